"""The database's own random values, and the run ids that it has given out."""

from __future__ import annotations

from collections.abc import Mapping

from executioner.history.files import damage
from executioner.history.sqlite import sqlite3

# also of a job that something else has written: the earlier tool, say, into what was taken over from it;
# its ids may be text, which is more than any number
_NEWEST_ID = """
SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'run_metadata'), 0),
           coalesce((SELECT max(run_id) FROM job_history WHERE run_id < 9223372036854775807), 0))"""


def newest_id(connection: sqlite3.Connection) -> int:
    """The highest run id that was ever given out; 0 where none was."""
    [newest] = connection.execute(_NEWEST_ID).fetchone()
    return int(newest)


def identity(connection: sqlite3.Connection, path: str) -> Mapping[str, bytes]:
    """``id``, which marks the processes of this history's runs, and ``key``, the HMAC key of definitions.

    Raises:
        HistoryError: somebody has removed or edited them.
    """
    found = dict(connection.execute("SELECT name, value FROM database_identity"))
    if not all(isinstance(found.get(name), bytes) for name in ("id", "key")):
        raise damage(path, "its table database_identity lacks what it held")
    return found
