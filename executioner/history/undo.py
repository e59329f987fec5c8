"""What to do with a write-ahead log after something went wrong, so that nobody is misled by it later."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from executioner.history import files


def take_back(connection: sqlite3.Connection) -> None:
    """Undo a transaction whose end failed: write over it in the write-ahead log.

    If only the sync failed it stands there whole, and whoever opens the database next without its shared
    memory, after a crash say, would find it. Best effort: the disk is not well.
    """
    with contextlib.suppress(*files.FAULTS):
        connection.rollback()
        connection.execute("PRAGMA busy_timeout = 100")
        connection.execute("PRAGMA synchronous = OFF")
        try:
            connection.execute("BEGIN IMMEDIATE")
            # the same again, but unlike an UPDATE that changes nothing this does write a page
            connection.execute(f"PRAGMA user_version = {files.SCHEMA_VERSION}")
            connection.execute("COMMIT")
        finally:
            with contextlib.suppress(*files.FAULTS):
                connection.rollback()
            connection.execute("PRAGMA synchronous = FULL")  # for the end, which folds the log in


@contextlib.contextmanager
def log_kept_apart(path: str) -> Iterator[None]:
    """While this is on, closing a connection does not fold the write-ahead log in: it is not the last one.

    The last is one that may only read, and leaves the log as it is.
    """
    reader = sqlite3.connect(files.uri(path, "mode=ro"), uri=True, isolation_level=None)
    try:
        with contextlib.suppress(*files.FAULTS):
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield
    finally:
        reader.close()
