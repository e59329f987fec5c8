"""Reading the history, by whoever has a connection to it."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from executioner.errors import HistoryError
from executioner.history import files
from executioner.history.lock import ProcessIdentity, is_alive, is_held
from executioner.history.times import from_utc_text

_T = TypeVar("_T")
_ATTEMPTS = 20
_JSON_COLUMNS = ("options", "retry_history", "definition")
_RUNNING = """
SELECT run_id, boot_id, pid, pid_start_ticks, user, host, start_time, config_path FROM run_metadata
WHERE status = 'RUNNING' ORDER BY run_id"""
_DURATIONS = """
SELECT id, duration_seconds FROM job_history
WHERE run_id IN (SELECT run_id FROM run_metadata WHERE application_name = ? ORDER BY run_id DESC LIMIT ?)
  AND status = 'SUCCESS' AND source_run_id IS NULL AND duration_seconds IS NOT NULL"""


class UnfinishedRun(NamedTuple):
    """A run that is recorded as RUNNING; ``lives`` says whether its runner still exists."""

    run_id: int
    lives: bool
    user: str | None
    host: str | None
    pid: int | None
    started_at: float


def reading(path: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
    """What ``work`` makes of a history that is opened for reading and not changed at all.

    Without a write-ahead log the file is read as it lies there, and again if it was changed
    meanwhile; with one, through it; where the folder does not allow that, from a private
    copy.

    Raises:
        HistoryError: it cannot be read.
    """
    try:
        for _ in range(_ATTEMPTS):
            before = files.file_state(path)
            if before[-1]:
                with contextlib.closing(_open(files.uri(path, "mode=ro"))) as connection:
                    return work(connection)
            try:
                with contextlib.closing(_open(files.uri(path, "mode=ro&immutable=1"))) as connection:
                    result = work(connection)
            except sqlite3.DatabaseError:
                if files.file_state(path) == before:
                    raise
                continue  # it was changed under our eyes
            if files.file_state(path) == before:
                return result
    except sqlite3.OperationalError as exc:
        if not files.cannot_open(exc):
            raise files.problem(path, exc) from exc
        return _read_copy(path, work)
    except (sqlite3.Error, OSError) as exc:
        raise files.problem(path, exc) from exc
    raise HistoryError("The history changes faster than it can be read", path)


def _open(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)


def _read_copy(path: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
    try:
        with (
            files.private_copy(path) as copy,
            contextlib.closing(_open(files.uri(copy, "mode=ro"))) as connection,
        ):
            return work(connection)
    except (sqlite3.Error, OSError) as exc:
        raise files.problem(path, exc) from exc


def unfinished_runs(
    connection: sqlite3.Connection, lock_path: str, config_path: str | None = None
) -> list[UnfinishedRun]:
    """The runs recorded as RUNNING, of one config or of all, oldest first.

    A lock that cannot be read counts as held: a live run is never called dead.
    """
    found = []
    for run_id, boot_id, pid, ticks, user, host, start, config in connection.execute(_RUNNING):
        if config_path is not None and not _same_file(config, config_path):
            continue
        held = is_held(lock_path, run_id) is not False
        lives = held or is_alive(ProcessIdentity(boot_id, pid, ticks))
        found.append(UnfinishedRun(run_id, lives, user, host, pid, from_utc_text(start)))
    return found


def _same_file(one: str | None, other: str) -> bool:
    """Whether two paths lead to one file, by whatever links."""
    try:
        return one == other or (one is not None and os.path.samefile(one, other))
    except OSError:
        return False


def durations_s(connection: sqlite3.Connection, application_name: str, runs: int = 10) -> dict[str, list[float]]:
    """How long each job took when it succeeded, in the application's last ``runs`` runs."""
    found: dict[str, list[float]] = {}
    for job, duration in connection.execute(_DURATIONS, (application_name, runs)):
        found.setdefault(job, []).append(duration)
    return found


def run_object(connection: sqlite3.Connection, run_id: int) -> dict[str, object] | None:
    """A run and its jobs in config order, as documented in docs/history.md; None if unknown."""
    rows = _rows(connection, "SELECT * FROM run_metadata WHERE run_id = ?", run_id)
    if not rows:
        return None
    jobs = job_rows(connection, run_id)
    for job in jobs:
        del job["run_id"], job["application_name"]
    return {name: _value(name, value) for name, value in rows[0].items()} | {
        "jobs": [{name: _value(name, value) for name, value in job.items()} for job in jobs]
    }


def job_rows(connection: sqlite3.Connection, run_id: int) -> list[dict[str, object]]:
    """The rows of a run's jobs, in config order, as they are stored."""
    return _rows(connection, "SELECT * FROM job_history WHERE run_id = ? ORDER BY position, id", run_id)


def _rows(connection: sqlite3.Connection, query: str, run_id: int) -> list[dict[str, object]]:
    cursor = connection.execute(query, (run_id,))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _value(name: str, value: object) -> object:
    return json.loads(value) if name in _JSON_COLUMNS and isinstance(value, str) else value
