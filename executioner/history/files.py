"""Where a history lies, whose it is, and what its bytes say before anything is opened for writing."""

import os
import sqlite3
import stat
from enum import Enum

from executioner.errors import HistoryError
from executioner.model import NextStep

APPLICATION_ID = 1163412803
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 30.0
_MAGIC = b"SQLite format 3\0"


class Kind(Enum):
    """What stands at a history's path."""

    ABSENT = 1
    CURRENT = 2


def schema_text() -> str:
    """The text of ``schema.sql``: in the package where installed, else beside it in the checkout."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in (here, os.path.dirname(here)):
        try:
            with open(os.path.join(folder, "schema.sql"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise HistoryError("schema.sql is missing from the installation", here)


def uri(path: str, query: str) -> str:
    """An SQLite URI for any path, also one that is not UTF-8."""
    plain = b"/._-"
    quoted = "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in plain else f"%{byte:02x}"
        for byte in os.fsencode(path)
    )
    return f"file:{quoted}?{query}"


def refusal(path: str, what: str, *details: str) -> HistoryError:
    """The error for a file that cannot serve as the history."""
    return HistoryError(
        what,
        path,
        details=details,
        assurance="It was not changed. Nothing was run.",
        steps=[NextStep("To use another history, add:", ("--db", "OTHER_FILE"))],
    )


def identify(path: str) -> Kind:
    """Say what a file is without changing it.

    Raises:
        HistoryError: it is not a history, a newer one, damaged, or cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return Kind.ABSENT
    except OSError as exc:
        raise refusal(path, f"The history cannot be read: {exc.strerror}") from exc
    try:
        status = os.fstat(fd)
        head = os.read(fd, 100) if stat.S_ISREG(status.st_mode) else b""
    finally:
        os.close(fd)
    if not stat.S_ISREG(status.st_mode):
        raise refusal(path, "The history is not a regular file")
    if status.st_size == 0:
        return Kind.ABSENT
    if not head.startswith(_MAGIC):
        raise refusal(path, "This is not a history: not an SQLite database")
    application, version = int.from_bytes(head[68:72], "big"), int.from_bytes(head[60:64], "big")
    if application != APPLICATION_ID or version != SCHEMA_VERSION or has_content(path + "-wal"):
        # the truth may stand in the write-ahead log
        application, version = _ask(path)
    if application != APPLICATION_ID:
        raise refusal(path, "This is not a history: an SQLite database of another program")
    if version > SCHEMA_VERSION:
        raise refusal(
            path,
            "The history was written by a newer executioner",
            f"Its schema is version {version}, this program knows {SCHEMA_VERSION}: upgrade executioner.",
        )
    return Kind.CURRENT


def has_content(path: str) -> bool:
    """Whether there is a file with anything in it."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _ask(path: str) -> tuple[int, int]:
    """The application id and schema version as SQLite sees them, read only."""
    query = "mode=ro" if has_content(path + "-wal") else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(uri(path, query), uri=True, isolation_level=None)
        try:
            [application] = connection.execute("PRAGMA application_id").fetchone()
            [version] = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise refusal(path, f"The history is damaged: {exc}") from exc
    return application, version


def modes(path: str) -> tuple[int, int]:
    """The permissions of a history's files and of a folder made for it.

    Private, except in a folder whose owner shares it with a group (group-write and setgid).
    """
    try:
        folder = os.stat(os.path.dirname(path)).st_mode
    except OSError:
        return 0o600, 0o700
    shared = folder & stat.S_ISGID and folder & stat.S_IWGRP
    return (0o660 if shared else 0o600), 0o700


def make_folder(path: str) -> None:
    """Make a folder and its missing parents, each 0700 whatever the umask."""
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
            os.chmod(folder, 0o700)
        except FileExistsError:
            continue


def is_busy(exc: sqlite3.Error) -> bool:
    """Whether an error says that another process has the database just now."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def problem(path: str, exc: sqlite3.Error | OSError) -> HistoryError:
    """What SQLite or the system said about a history, as an error that a user can read."""
    if isinstance(exc, OSError):
        return HistoryError(f"The history cannot be used: {exc.strerror}", exc.filename or path)
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return refusal(path, f"The history is damaged: {exc}")
    if is_busy(exc):
        return HistoryError(f"The history was locked by another process for {BUSY_TIMEOUT_S:.0f} s", path)
    return HistoryError(f"The history cannot be used: {exc}", path)
