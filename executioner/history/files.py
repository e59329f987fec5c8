"""Where a history lies, whose it is, and what its bytes say before anything is opened for writing."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from executioner.enumeration import StrEnum
from executioner.errors import DamagedHistoryError, HistoryError
from executioner.history.sqlite import sqlite3
from executioner.lean import closing, contextmanager, suppress
from executioner.model import NextStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

APPLICATION_ID = 1163412803
SCHEMA_VERSION = 2
_TABLES = {"run_metadata", "job_history", "database_identity"}
_PARTS = ("", "-wal", "-journal")
_MOST_COPIES = 10
_EARLIER_COLUMNS = {"run_id", "id", "status", "application_name"}
BUSY_TIMEOUT_S = 30.0
_LONG_S = 2.0
_FULL_BYTES = 256 * 1024
_UNREADABLE = "The history cannot be read"
_ANOTHER = "To use another history, name it with --db FILE."
_UNCHANGED = "It was not changed. Nothing was run."
#: The application id, the schema version, and the tables; of a foreign database with their columns.
Facts: TypeAlias = tuple[int, int, Mapping[str, frozenset[str]]]
#: The file's inode, size and time of the last write (ns), and whether a log belongs to it.
State: TypeAlias = tuple[int, int, int, bool]
#: Files' times lag behind the clock, by two of its ticks at least, and whole-second file systems cut the rest off.
_SURELY_PAST_NS = 2_000_000_000
_NO_DATABASE = "This is not a history: not an SQLite database"
_SMALLEST = 512  # bytes of a database: a page
_MAGIC = b"SQLite format 3\0"


class Kind(StrEnum):
    """What stands at a history's path."""

    ABSENT = "absent"
    CURRENT = "current"
    OLDER = "older"  # an earlier version of our schema: migrated on the first writing use
    EARLIER_TOOL = "earlier tool"  # the database of the tool before this one: taken over on the first writing use


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
    return _fault(HistoryError, path, what, details=details, assurance=_UNCHANGED)


def damage(path: str, why: str) -> HistoryError:
    """The error for a history whose content is wrong."""
    return _fault(DamagedHistoryError, path, f"The history is damaged: {why}", assurance=_UNCHANGED)


def _fault(
    kind: type[HistoryError],
    path: str,
    what: str,
    *,
    where: str | None = None,
    details: Sequence[str] = (),
    assurance: str = "",
) -> HistoryError:
    """The error about a history, with both ways on; ``where`` is the place if that is another one."""
    steps = [NextStep("To see what is wrong:", ("--db", path, "--doctor"))]
    return kind(what, where or path, details=details, assurance=assurance, steps=steps, ending=_ANOTHER)


def identify(path: str, opened: Callable[[str, State], sqlite3.Connection] | None = None) -> Kind:
    """Say what a file is without changing it, nor opening it but through SQLite.

    ``opened`` gives the connection with which a file without a log is read, as it lies there in some state; its
    owner closes it.

    This process may have the history open for writing: closing any other descriptor of the file would drop
    the locks that SQLite holds on it (fcntl(2), https://www.sqlite.org/howtocorrupt.html, 2.2).

    Raises:
        HistoryError: it is not a history, a newer one, damaged, or cannot be read.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return Kind.ABSENT
    except OSError as exc:
        raise refusal(path, f"{_UNREADABLE}: {exc.strerror}") from exc
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise refusal(path, f"The history is {what}")
    if status.st_size == 0:
        return Kind.ABSENT
    if status.st_size < _SMALLEST:  # SQLite would take it for an empty one
        raise _why_not(path, sqlite3.DatabaseError("file is too short"))
    try:
        said = _ask(path, opened)
    except (sqlite3.Error, OSError, UnicodeDecodeError) as exc:
        raise _why_not(path, exc) from exc
    return kind_of(path, said)


def _why_not(path: str, exc: Exception) -> HistoryError:
    """The error for a file that SQLite cannot read: now its bytes are looked at, for nobody writes it here."""
    if isinstance(exc, OSError):
        return refusal(path, f"{_UNREADABLE}: {exc.strerror}")
    try:
        head, size = _beginning(path)
    except OSError as beginning:
        return refusal(path, f"{_UNREADABLE}: {beginning.strerror}")
    if not head.startswith(_MAGIC):
        if os.path.lexists(f"{path}.lock"):  # there was one: its beginning was overwritten
            return damage(path, "it is not an SQLite database any more")
        return refusal(path, _NO_DATABASE)
    if size < _stated_size(head) and not has_log(path):
        return damage(path, "it is shorter than it says itself")
    return problem(path, exc) if is_damage(exc) else refusal(path, f"{_UNREADABLE}: {exc}")


def kind_of(path: str, said: Facts) -> Kind:
    """What a database is by what it says of itself.

    Raises:
        HistoryError: it is not a history, a newer one, or damaged.
    """
    application, version, tables = said
    if application == 0 and is_earlier_tool(tables):
        return Kind.EARLIER_TOOL
    if application != APPLICATION_ID:
        raise refusal(path, "This is not a history: an SQLite database of another program")
    if version > SCHEMA_VERSION:
        raise refusal(
            path,
            "The history was written by a newer executioner",
            f"Its schema is version {version}, this program knows {SCHEMA_VERSION}: upgrade executioner.",
        )
    if version < 1 or not tables.keys() >= _TABLES:
        raise damage(path, "tables are missing")
    return Kind.CURRENT if version == SCHEMA_VERSION else Kind.OLDER


def is_earlier_tool(tables: Mapping[str, frozenset[str]]) -> bool:
    """Whether tables and their columns are those of the tool before this one."""
    return "run_metadata" not in tables and tables.get("job_history", frozenset()) >= _EARLIER_COLUMNS


def _beginning(path: str) -> tuple[bytes, int]:
    """A file's first 100 bytes, and its size."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, 100), os.fstat(fd).st_size
    finally:
        os.close(fd)


def _stated_size(head: bytes) -> int:
    """The size in bytes that a database's header tells (SQLite file format, 1.3); 0 where it tells none."""
    page = int.from_bytes(head[16:18], "big")
    valid = head[24:28] == head[92:96]  # written by a version that keeps the count
    return (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big") if valid else 0


def is_anothers(path: str) -> bool:
    """Whether a file is another user's, who could not write what SQLite makes beside it in our name."""
    return os.geteuid() not in (0, os.stat(path).st_uid)


def has_log(path: str) -> bool:
    """Whether a write-ahead log, or the journal of a database without one, belongs to a file's content."""
    return has_content(path + "-wal") or has_content(path + "-journal")


def has_content(path: str) -> bool:
    """Whether there is a file with anything in it."""
    try:
        return os.stat(path).st_size > 0
    except OSError:
        return False


def _ask(path: str, opened: Callable[[str, State], sqlite3.Connection] | None) -> Facts:
    """What a database says of itself, read only.

    With a write-ahead log SQLite makes a ``-shm`` beside the file, if it can; beside what
    is not ours it shall not. A journal that a crash left can only be applied to a copy.
    """
    if not has_log(path):
        before = file_state(path)
        try:
            return facts(opened(path, before)) if opened else _answers(uri(path, "mode=ro&immutable=1"))
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            if file_state(path) == before:
                raise  # it was not changed meanwhile
    if os.path.exists(path + "-shm") or (not is_anothers(path) and _says_it_is_ours(path)):
        try:
            return _answers(uri(path, "mode=ro"))
        except sqlite3.OperationalError as exc:
            if not cannot_open(exc):
                raise
    with private_copy(path) as copy:
        return _answers(uri(copy, "mode=rw"))


def _says_it_is_ours(path: str) -> bool:
    """Whether the file alone, without its write-ahead log, says that it is a history."""
    try:
        return _answers(uri(path, "mode=ro&immutable=1"))[0] == APPLICATION_ID
    except (sqlite3.Error, UnicodeDecodeError):
        return False


def _answers(database: str) -> Facts:
    with closing(sqlite3.connect(database, uri=True, isolation_level=None)) as connection:
        return facts(connection)


def facts(connection: sqlite3.Connection) -> Facts:
    """What a database says of itself: the application id, the schema version, tables with their columns."""
    [application] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if application == APPLICATION_ID:
        return application, version, dict.fromkeys(names, frozenset())
    columns = "SELECT name FROM pragma_table_info(?)"
    return (
        application,
        version,
        {name: frozenset(c for (c,) in connection.execute(columns, (name,))) for name in names},
    )


@contextmanager
def private_copy(path: str) -> Iterator[str]:
    """A copy of a database and its logs in a folder of its own, for as long as it is used.

    Where the database's folder is read-only, SQLite cannot read a write-ahead log there.
    """
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix="executioner-") as folder:
        copy = os.path.join(folder, "history.db")
        for _ in range(_MOST_COPIES):
            before = _states(path)
            for ending, state in zip(_PARTS, before, strict=True):
                if state is not None:
                    with suppress(FileNotFoundError):
                        shutil.copyfile(path + ending, copy + ending)
            if _states(path) == before:
                break  # nothing was written meanwhile: the parts belong together
        yield copy


def _states(path: str) -> list[tuple[int, int, int] | None]:
    """What changes when a part of a database does."""
    found: list[tuple[int, int, int] | None] = []
    for ending in _PARTS:
        try:
            status = os.stat(path + ending)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def check_writable(path: str) -> None:
    """See whether a history and its folder can be written, before SQLite tries and leaves files behind.

    Raises:
        HistoryError: they cannot.
    """
    for place, rights in ((path, os.R_OK | os.W_OK), (os.path.dirname(path), os.W_OK | os.X_OK)):
        if not os.access(place, rights):
            where = "" if place == path else f" for its folder, {place}"
            why = "its file system is read-only" if _is_read_only(place) else f"no permission{where}"
            raise refusal(path, f"The history cannot be written: {why}")


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def file_state(path: str) -> State:
    """What changes when a history does: compare before and after."""
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns, has_log(path)


def is_at_rest(state: State) -> bool:
    """Whether any write from now on will change the state; who reads the content after this call will know of it.

    Not while there is a write-ahead log, and not shortly after a write: another one could leave the file's time
    as it is (inode(7)).
    """
    _, _, written_ns, logged = state
    return not logged and time.time_ns() - written_ns > _SURELY_PAST_NS


def resting_state(path: str) -> State | None:
    """The state of a history that is at rest; None if it is not, or not there."""
    try:
        state = file_state(path)
    except OSError:
        return None
    return state if is_at_rest(state) else None


def mode(path: str) -> int:
    """The permissions of a history's files.

    Private, except in a folder whose owner shares it with a group (group-write and setgid).
    """
    try:
        folder = os.stat(os.path.dirname(path)).st_mode
    except OSError:
        return 0o600
    shared = folder & stat.S_ISGID and folder & stat.S_IWGRP
    return 0o660 if shared else 0o600


def code_of(exc: Exception) -> int:
    """SQLite's primary result code; 0 where an error is not SQLite's."""
    code: int = getattr(exc, "sqlite_errorcode", 0)
    return code & 0xFF


def is_busy(exc: Exception) -> bool:
    """Whether an error says that another process has the database just now."""
    return code_of(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def patiently(execute: Callable[[str], object], statement: str, say: Callable[[], object] = lambda: None) -> None:
    """Execute a statement that may have to wait for other processes; ``say`` is called if that takes long.

    The connection's own timeout must be short: between two tries Ctrl-C is heard.

    Raises:
        sqlite3.Error: it failed, or took too long.
    """
    began = time.monotonic()
    said = False
    while True:
        try:
            execute(statement)
        except sqlite3.OperationalError as exc:
            waited_s = time.monotonic() - began
            if not is_busy(exc) or waited_s > BUSY_TIMEOUT_S:
                raise
            if not said and waited_s > _LONG_S:
                said = True
                say()
        else:
            return


def cannot_open(exc: sqlite3.Error) -> bool:
    """Whether an error says that a file beside the database could not be opened, made or undone from."""
    return code_of(exc) in (
        *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL),  # the disk is full
    )


def is_damage(exc: Exception) -> bool:
    """Whether an error says that a file's content is wrong."""
    if isinstance(exc, UnicodeDecodeError):  # SQLite's own message quotes what it could not make sense of
        return True
    return code_of(exc) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


#: What SQLite and the system raise where a history cannot be used.
FAULTS = (sqlite3.Error, OSError, UnicodeDecodeError)


def problem(path: str, exc: Exception) -> HistoryError:
    """What SQLite or the system said about a history, as an error that a user can read."""
    if isinstance(exc, OSError):
        what = f"The history cannot be used: {exc.strerror}{_room(path)}"
        return _fault(HistoryError, path, what, where=exc.filename)
    if is_damage(exc):
        why = "what describes its tables is no text" if isinstance(exc, UnicodeDecodeError) else exc
        return damage(path, str(why))
    if code_of(exc) == sqlite3.SQLITE_READONLY:
        return refusal(path, f"The history cannot be written: {exc}")
    if is_busy(exc):
        return locked(path)
    return _fault(HistoryError, path, f"The history cannot be used: {exc}{_room(path)}")


def locked(path: str, *, whole_time: bool = True) -> HistoryError:
    """The error for a history that another process did not give free."""
    from executioner.history.holder import holder_words

    waited = f" for {BUSY_TIMEOUT_S:.0f} s" if whole_time else ""
    return HistoryError(
        f"The history was locked by {holder_words(path)}{waited}",
        path,
        assurance="Nothing was run. Try again when it has let go of it.",
    )


def _room(path: str) -> str:
    """What to add to an error if the disk is full: SQLite calls that an I/O error, too."""
    try:
        state = os.statvfs(os.path.dirname(path))
    except OSError:
        return ""
    free = state.f_bavail * state.f_frsize
    return f" ({free // 1024:,} KiB are free on its disk)" if state.f_blocks and free < _FULL_BYTES else ""
