"""What to do with a write-ahead log after something went wrong, so that nobody is misled by it later."""

from __future__ import annotations

from executioner.history import files
from executioner.history.sqlite import sqlite3
from executioner.lean import suppress


def take_back(connection: sqlite3.Connection) -> None:
    """Undo a transaction whose end failed: write over it in the write-ahead log.

    If only the sync failed it stands there whole, and whoever opens the database next without its shared
    memory, after a crash say, would find it. Best effort: the disk is not well.
    """
    with suppress(*files.FAULTS):
        connection.rollback()
        connection.execute("PRAGMA busy_timeout = 100")
        connection.execute("PRAGMA synchronous = OFF")
        try:
            connection.execute("BEGIN IMMEDIATE")
            # the same again, but unlike an UPDATE that changes nothing this does write a page
            connection.execute(f"PRAGMA user_version = {files.SCHEMA_VERSION}")
            connection.execute("COMMIT")
        finally:
            with suppress(*files.FAULTS):
                connection.rollback()
            connection.execute("PRAGMA synchronous = FULL")  # for the end, which folds the log in


def keep_log_apart(path: str) -> sqlite3.Connection:
    """A connection that may only read: as long as it is open, closing others does not fold the log in.

    To be closed after all others, and after their statements: it leaves the log as it is.
    """
    reader = sqlite3.connect(files.uri(path, "mode=ro"), uri=True, isolation_level=None)
    with suppress(*files.FAULTS):
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return reader
