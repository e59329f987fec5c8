"""Making a history, and connecting to one."""

from __future__ import annotations

import os
from collections.abc import Iterator

from executioner.folders import sync_folder
from executioner.history import files
from executioner.history.lock import LockFile
from executioner.history.sqlite import sqlite3
from executioner.lean import suppress


def create(path: str, mode: int) -> list[str]:
    """Make an empty history; returns what the user should know of it. The guard byte is held.

    It is built beside its place and moved there when it is whole: a kill leaves either no
    history or an empty one, never half of one.
    """
    remarks = _set_aside(path)
    draft = path + ".new"
    with suppress(FileNotFoundError):
        os.unlink(draft)
    fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)
        connection = sqlite3.connect(files.uri(draft, "mode=rw"), uri=True, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # synced as a whole, below
            connection.execute("PRAGMA journal_mode = MEMORY")  # what fails half-way is thrown away
            connection.execute("BEGIN")
            create_schema(connection)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        os.fsync(fd)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
    finally:
        os.close(fd)
    sync_folder(os.path.dirname(path))
    return remarks


def create_schema(connection: sqlite3.Connection) -> None:
    """Make our tables and the database's own random values, within the transaction that is open."""
    for statement in statements():
        connection.execute(statement)
    values = [("id", os.urandom(6).hex().encode()), ("key", os.urandom(32))]
    connection.executemany("INSERT INTO database_identity VALUES (?, ?)", values)


def statements() -> Iterator[str]:
    """The statements of ``schema.sql``, one by one: SQLite's script function would commit first."""
    statement = ""
    for line in files.schema_text().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _set_aside(path: str) -> list[str]:
    """Move the write-ahead log of a removed database away: it must not be mixed into a new one."""
    remarks = []
    for ending in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.replace(path + ending, f"{path}{ending}.orphaned")
            if ending != "-shm":
                remarks.append(
                    f"{path}{ending} belonged to a history that is gone: moved to {path}{ending}.orphaned"
                )
    return remarks


def connect(path: str, lock: LockFile) -> sqlite3.Connection:
    """A connection for writing. The file is known to be a history.

    Raises:
        HistoryError: its schema has just been changed by another program.
    """
    connection = sqlite3.connect(files.uri(path, "mode=rw"), uri=True, isolation_level=None, timeout=0.1)
    files.patiently(connection.execute, "PRAGMA user_version")  # the first question may have to wait
    connection.execute(f"PRAGMA busy_timeout = {files.BUSY_TIMEOUT_S * 1000:.0f}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version != files.SCHEMA_VERSION:
        connection.close()
        raise files.refusal(path, f"The history was changed to schema version {version} just now")
    [journal] = connection.execute("PRAGMA journal_mode").fetchone()
    if journal != "wal":  # somebody switched it off: a copy made by another tool, say
        with lock.guard():
            connection.execute("PRAGMA journal_mode = WAL")
    return connection
