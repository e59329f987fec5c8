"""Reading the history: what it holds of a run, as plain values."""

import json
import sqlite3

_JSON_COLUMNS = ("options", "retry_history", "definition")


def run_object(connection: sqlite3.Connection, run_id: int) -> dict[str, object] | None:
    """A run and its jobs in config order, as documented in docs/history.md; None if unknown."""
    rows = _rows(connection, "SELECT * FROM run_metadata WHERE run_id = ?", run_id)
    if not rows:
        return None
    jobs = _rows(connection, "SELECT * FROM job_history WHERE run_id = ? ORDER BY position, id", run_id)
    for job in jobs:
        del job["run_id"], job["application_name"]
    return {**rows[0], "jobs": jobs}


def _rows(connection: sqlite3.Connection, query: str, run_id: int) -> list[dict[str, object]]:
    cursor = connection.execute(query, (run_id,))
    names = [column[0] for column in cursor.description]
    return [
        {name: _value(name, value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()
    ]


def _value(name: str, value: object) -> object:
    return json.loads(value) if name in _JSON_COLUMNS and isinstance(value, str) else value
