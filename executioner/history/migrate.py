"""Bringing a history up to this version: our own earlier schemas, and databases of the tool before.

For writing this is done in place, in one transaction with the version number, after a
backup beside the file. For reading it is done to a copy in memory.
"""

import contextlib
import os
import sqlite3
from time import monotonic

from executioner.folders import sync_folder
from executioner.history import files
from executioner.history.create import create_schema, statements
from executioner.history.earlier import Taken, take_over
from executioner.render.text import count

_MOST_BACKUPS = 1000
_MOST_NAMED = 3
#: From each version of the schema to the next. Indexes and views that are not there are made afterwards.
_STEPS = {
    1: (
        "ALTER TABLE job_history ADD COLUMN max_retries INTEGER",
        *(f"DROP INDEX IF EXISTS run_by_{column}" for column in ("config", "application", "status", "root")),
    )
}


def bring_up(path: str, mode: int) -> list[str]:
    """Bring a history up to this version in place; returns what the user should know. The guard byte is held.

    A backup is made beside it first. If anything fails, the history is as before.

    Raises:
        HistoryError: it cannot be done.
    """
    connection = sqlite3.connect(files.uri(path, "mode=rw"), uri=True, isolation_level=None, timeout=0.1)
    try:
        with contextlib.closing(connection):
            return _bring_up(connection, path, mode)
    except (sqlite3.Error, OSError) as exc:
        if isinstance(exc, sqlite3.Error) and files.is_busy(exc):
            raise
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        what = f"The history could not be brought up to this version: {why}"
        raise files.refusal(path, what, "A backup is made beside it first: there must be room for both.") from exc


def _bring_up(connection: sqlite3.Connection, path: str, mode: int) -> list[str]:
    connection.execute("PRAGMA synchronous = FULL")
    _patiently(connection, "BEGIN IMMEDIATE")
    said = files.facts(connection)
    kind, version = files.kind_of(path, said), said[1]
    if kind is files.Kind.CURRENT:  # somebody else was faster
        connection.execute("ROLLBACK")
        return []
    taking_over = kind is files.Kind.EARLIER_TOOL
    backup = _back_up(path, "earlier-tool" if taking_over else f"version-{version}", mode)
    try:
        if taking_over:
            with contextlib.closing(_reading(backup, "&immutable=1")) as source:
                remark = _take_over_in_place(source, connection)
        else:
            _migrate(connection, version)
            remark = f"The history was brought from schema version {version} to {files.SCHEMA_VERSION}"
        _patiently(connection, "COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        if _is_as_before(connection, said):  # else Ctrl-C came when all was done, and the backup is needed
            os.unlink(backup)
        raise
    return [f"{remark}. Its former state is kept in {backup}"]


def _is_as_before(connection: sqlite3.Connection, said: files.Facts) -> bool:
    """Whether a database surely says of itself what it said."""
    try:
        return files.facts(connection) == said
    except sqlite3.Error:
        return False


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that has to wait for others, in short tries: between them Ctrl-C is heard."""
    give_up = monotonic() + files.BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as exc:
            if not files.is_busy(exc) or monotonic() > give_up:
                raise
        else:
            return


def in_memory(source: sqlite3.Connection, path: str = "") -> sqlite3.Connection | None:
    """A history that needs to be brought up, as it would be after that, in memory; None if it needs not.

    Raises:
        HistoryError: it is not a history, a newer one, or damaged.
    """
    if not source.in_transaction:
        source.execute("BEGIN")  # one state of it, whoever writes
    said = files.facts(source)
    kind = files.kind_of(path, said)
    if kind is files.Kind.CURRENT:
        source.rollback()
        return None
    target = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        if kind is files.Kind.EARLIER_TOOL:
            target.execute("BEGIN")
            create_schema(target)
            take_over(source, target)
        else:
            source.backup(target)
            target.execute("BEGIN")
            _migrate(target, said[1])
        target.execute("COMMIT")
    except BaseException:
        target.close()
        raise
    finally:
        source.rollback()
    return target


def _back_up(path: str, label: str, mode: int) -> str:
    """Copy a database beside itself, durably; returns the copy's path, which only a whole copy ever has.

    Through a connection of its own: the one with the transaction would wait for itself.
    """
    draft = f"{path}.{label}.bak.new"
    _remove(draft)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(draft, flags, mode)
    try:
        os.fchmod(fd, mode)
        with (
            contextlib.closing(_reading(path)) as source,
            contextlib.closing(sqlite3.connect(files.uri(draft, "mode=rw"), uri=True)) as target,
        ):
            target.execute("PRAGMA synchronous = OFF")  # synced as a whole, below
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").fetchall()  # it must need no file beside it
        os.fsync(fd)
        backup = _free_name(f"{path}.{label}")
        os.rename(draft, backup)
        sync_folder(os.path.dirname(path))
    except BaseException:
        _remove(draft)
        raise
    finally:
        os.close(fd)
    return backup


def _remove(draft: str) -> None:
    """Remove a copy that was not finished, and what belongs to it."""
    for ending in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft + ending)


def _free_name(stem: str) -> str:
    for number in range(1, _MOST_BACKUPS):
        backup = f"{stem}{f'-{number}' if number > 1 else ''}.bak"
        if not os.path.lexists(backup):
            return backup
    raise FileExistsError(17, "Too many backups", stem)


def _reading(path: str, more: str = "") -> sqlite3.Connection:
    return sqlite3.connect(files.uri(path, f"mode=ro{more}"), uri=True, isolation_level=None)


def _take_over_in_place(source: sqlite3.Connection, target: sqlite3.Connection) -> str:
    """Replace the earlier tool's tables by ours; what was done, in words."""
    ours = {name.lower() for kind, name in map(_created, statements()) if kind}
    query = (
        "SELECT type, name, lower(coalesce(sql, '')) FROM sqlite_schema WHERE type IN ('table', 'view', 'index')"
    )
    renamed = []
    for kind, name, sql in sorted(target.execute(query).fetchall(), reverse=True):  # views before what they show
        quoted = '"' + name.replace('"', '""') + '"'
        theirs = name.lower() in ("job_history", "run_summary")
        if theirs or (kind == "view" and ("job_history" in sql or "run_summary" in sql)):
            target.execute(f"DROP {kind} IF EXISTS {quoted}")
        elif name.lower() in ours and kind == "table":
            target.execute(f'ALTER TABLE {quoted} RENAME TO "{name}_earlier"')
            renamed.append(f"; its table {name} is now {name}_earlier")
        elif name.lower() in ours:  # an index may have gone with its table
            target.execute(f"DROP {kind} IF EXISTS {quoted}")
    create_schema(target)
    return _taken_remark(take_over(source, target)) + "".join(renamed)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Change an earlier schema of ours step by step."""
    for step in range(version, files.SCHEMA_VERSION):
        for statement in _STEPS[step]:
            connection.execute(statement)
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    for statement in statements():
        kind, name = _created(statement)
        if (kind in ("INDEX", "VIEW") and name not in there) or (kind, name) == ("", "user_version"):
            connection.execute(statement)


def _created(statement: str) -> tuple[str, str]:
    """What a statement of the schema creates, and its name; of a PRAGMA the name alone."""
    lines = [line for line in statement.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    words = " ".join(lines).split()
    return ("", words[1]) if words[0] == "PRAGMA" else (words[1], words[2])


def _taken_remark(taken: Taken) -> str:
    what = f"{count(taken.runs, 'run')} with {count(taken.jobs, 'job')}"
    names = [f'"{name}" is run {number}' for name, number in list(taken.renumbered.items())[:_MOST_NAMED]]
    more = f" and {len(taken.renumbered) - _MOST_NAMED} more" if len(taken.renumbered) > _MOST_NAMED else ""
    renumbered = f"; ids that were no numbers have new ones: {', '.join(names)}{more}" if names else ""
    return f"The history of the earlier tool was taken over: {what}{renumbered}"
