"""Bringing a history up to this version: our own earlier schemas, and databases of the tool before.

For writing this is done in place, in one transaction with the version number, after a
backup beside the file. For reading it is done to a copy in memory.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from executioner.folders import sync_folder
from executioner.history import files
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


def statements() -> Iterator[str]:
    """The statements of ``schema.sql``, one by one: SQLite's script function would commit first."""
    statement = ""
    for line in files.schema_text().splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def bring_up(path: str, mode: int) -> list[str]:
    """Bring a history up to this version in place; returns what the user should know. The guard byte is held.

    A backup is made beside it first. If anything fails, the history is as before.

    Raises:
        HistoryError: it cannot be done.
    """
    connection = sqlite3.connect(
        files.uri(path, "mode=rw"), uri=True, isolation_level=None, timeout=files.BUSY_TIMEOUT_S
    )
    try:
        with contextlib.closing(connection):
            return _bring_up(connection, path, mode)
    except (sqlite3.Error, OSError) as exc:
        if isinstance(exc, sqlite3.Error) and files.is_busy(exc):
            raise
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        what = f"The history could not be brought up to this version: {why}"
        raise files.refusal(path, what, "A backup is made beside it first: is there room for both?") from exc


def _bring_up(connection: sqlite3.Connection, path: str, mode: int) -> list[str]:
    connection.execute("BEGIN IMMEDIATE")
    kind, version = _kind(connection)
    if kind is files.Kind.CURRENT:  # somebody else was faster
        connection.execute("ROLLBACK")
        return []
    taking_over = kind is files.Kind.EARLIER_TOOL
    backup = _back_up(path, "earlier-tool" if taking_over else f"version-{version}", mode)
    try:
        if taking_over:
            with contextlib.closing(_reading(backup, "&immutable=1")) as source:
                remark = _taken_remark(_take_over_in_place(source, connection))
        else:
            _migrate(connection, version)
            remark = f"The history was brought from schema version {version} to {files.SCHEMA_VERSION}"
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        os.unlink(backup)  # nothing was changed
        raise
    return [f"{remark}. Its former state is kept in {backup}"]


def in_memory(source: sqlite3.Connection) -> sqlite3.Connection | None:
    """A history that needs to be brought up, as it would be after that, in memory; None if it needs not."""
    kind, version = _kind(source)
    if kind is files.Kind.CURRENT:
        return None
    target = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    target.execute("BEGIN")
    if kind is files.Kind.EARLIER_TOOL:
        _create(target)
        take_over(source, target)
    else:
        target.execute("COMMIT")
        source.backup(target)
        target.execute("BEGIN")
        _migrate(target, version)
    target.execute("COMMIT")
    return target


def _kind(connection: sqlite3.Connection) -> tuple[files.Kind, int]:
    """What a database that is known to be a history is by now, and the version of its schema."""
    application, version, tables = files.facts(connection)
    if application == 0 and files.is_earlier_tool(tables):
        return files.Kind.EARLIER_TOOL, 0
    return (files.Kind.CURRENT if version == files.SCHEMA_VERSION else files.Kind.OLDER), version


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


def _take_over_in_place(source: sqlite3.Connection, target: sqlite3.Connection) -> Taken:
    ours = "SELECT type, name, lower(coalesce(sql, '')) FROM sqlite_schema WHERE type IN ('table', 'view')"
    objects = sorted(target.execute(ours).fetchall(), reverse=True)  # views before what they show
    for kind, name, sql in objects:
        of_theirs = kind == "view" and ("job_history" in sql or "run_summary" in sql)
        if of_theirs or name.lower() in ("job_history", "run_summary"):
            target.execute(f'DROP {kind} "{name.replace(chr(34), chr(34) * 2)}"')
    _create(target)
    return take_over(source, target)


def _create(connection: sqlite3.Connection) -> None:
    """Make the schema and the database's own random values."""
    for statement in statements():
        connection.execute(statement)
    values = [("id", os.urandom(6).hex().encode()), ("key", os.urandom(32))]
    connection.executemany("INSERT INTO database_identity VALUES (?, ?)", values)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Change an earlier schema of ours step by step."""
    for step in range(version, files.SCHEMA_VERSION):
        for statement in _STEPS[step]:
            connection.execute(statement)
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    for statement in statements():
        words = _code(statement).split()
        missing = words[:2] in (["CREATE", "INDEX"], ["CREATE", "VIEW"]) and words[2] not in there
        if missing or words[:2] == ["PRAGMA", "user_version"]:
            connection.execute(statement)


def _code(statement: str) -> str:
    """A statement without the comments before it."""
    lines = [line for line in statement.splitlines() if line.strip() and not line.lstrip().startswith("--")]
    return "\n".join(lines)


def _taken_remark(taken: Taken) -> str:
    what = f"{count(taken.runs, 'run')} with {count(taken.jobs, 'job')}"
    names = [f'"{name}" is run {number}' for name, number in list(taken.renumbered.items())[:_MOST_NAMED]]
    more = f" and {len(taken.renumbered) - _MOST_NAMED} more" if len(taken.renumbered) > _MOST_NAMED else ""
    renumbered = f"; ids that were no numbers have new ones: {', '.join(names)}{more}" if names else ""
    return f"The history of the earlier tool was taken over: {what}{renumbered}"
