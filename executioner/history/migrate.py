"""Bringing a history up to this version: our own earlier schemas, and databases of the tool before.

For writing this is done in place, in one transaction with the version number, after a
backup beside the file. For reading it is done to a copy in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from executioner.folders import sync_folder
from executioner.history import files
from executioner.history.create import create_schema, statements
from executioner.history.earlier import Taken, take_over
from executioner.history.sqlite import sqlite3
from executioner.lean import closing, suppress
from executioner.render.text import count, few

_MOST_BACKUPS = 1000
_MOST_NAMED = 3
_REPLACED = {"job_history", "run_summary"}
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
        with closing(connection):
            return _bring_up(connection, path, mode)
    except (sqlite3.Error, OSError) as exc:
        if isinstance(exc, sqlite3.Error) and files.is_busy(exc):
            raise
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        what = f"The history could not be brought up to this version: {why}"
        raise files.refusal(path, what, "A backup is made beside it first: there must be room for both.") from exc


def _bring_up(connection: sqlite3.Connection, path: str, mode: int) -> list[str]:
    connection.execute("PRAGMA synchronous = FULL")
    files.patiently(connection.execute, "BEGIN IMMEDIATE")
    said = files.facts(connection)
    kind, version = files.kind_of(path, said), said[1]
    if kind is files.Kind.CURRENT:  # somebody else was faster
        connection.execute("ROLLBACK")
        return []
    taking_over = kind is files.Kind.EARLIER_TOOL
    backup = _free_name(f"{path}.earlier-tool" if taking_over else f"{path}.version-{version}")
    try:
        _back_up(path, backup, mode)
        if taking_over:
            with closing(_reading(backup, "&immutable=1")) as source:
                remark = _take_over_in_place(source, connection)
        else:
            _migrate(connection, version)
            remark = f"The history was brought from schema version {version} to {files.SCHEMA_VERSION}"
        files.patiently(connection.execute, "COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        if _is_as_before(connection, said):  # else Ctrl-C came when all was done, and the backup is needed
            _remove(backup)
        raise
    return [f"{remark}. Its former state is kept in {backup}"]


def _is_as_before(connection: sqlite3.Connection, said: files.Facts) -> bool:
    """Whether a database surely says of itself what it said."""
    try:
        return files.facts(connection) == said
    except sqlite3.Error:
        return False


def in_memory(source: sqlite3.Connection, path: str) -> sqlite3.Connection | None:
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


def _back_up(path: str, backup: str, mode: int) -> None:
    """Copy a database beside itself, durably; only a whole copy ever has the name ``backup``.

    Through a connection of its own: the one with the transaction would wait for itself.
    """
    draft = f"{backup}.new"
    _remove(draft)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(draft, flags, mode)
    try:
        os.fchmod(fd, mode)
        with (
            closing(_reading(path)) as source,
            closing(sqlite3.connect(files.uri(draft, "mode=rw"), uri=True)) as target,
        ):
            target.execute("PRAGMA synchronous = OFF")  # synced as a whole, below
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").fetchall()  # it must need no file beside it
        os.fsync(fd)
        os.rename(draft, backup)
        sync_folder(os.path.dirname(path))
    except BaseException:
        _remove(draft)
        raise
    finally:
        os.close(fd)


def _remove(draft: str) -> None:
    """Remove a copy that was not finished, and what belongs to it."""
    for ending in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(draft + ending)


def _free_name(stem: str) -> str:
    for number in range(1, _MOST_BACKUPS):
        backup = f"{stem}{f'-{number}' if number > 1 else ''}.bak"
        if not os.path.lexists(backup):
            return backup
    raise FileExistsError(17, f"{_MOST_BACKUPS - 1} backups lie beside it, remove some", stem)


def _reading(path: str, more: str = "") -> sqlite3.Connection:
    return sqlite3.connect(files.uri(path, f"mode=ro{more}"), uri=True, isolation_level=None)


def _take_over_in_place(source: sqlite3.Connection, target: sqlite3.Connection) -> str:
    """Replace the earlier tool's tables by ours; what was done, in words."""
    ours = {name.lower() for kind, name in map(_created, statements()) if kind}
    query = (
        "SELECT type, name, lower(coalesce(sql, '')) FROM sqlite_schema WHERE type IN ('table', 'view', 'index')"
    )
    objects = sorted(target.execute(query).fetchall(), reverse=True)  # views before what they show
    taken = {name.lower() for _, name, _ in objects}
    target.execute("PRAGMA legacy_alter_table = ON")  # views and triggers of theirs need not be right
    renamed = []
    for kind, name, _ in objects:
        if kind == "table" and name.lower() in ours - _REPLACED:
            free = next(one for one in _other_names(name) if one.lower() not in taken)
            target.execute(f"ALTER TABLE {_quoted(name)} RENAME TO {_quoted(free)}")
            renamed.append(f"; its table {name} is now {free}")
    for kind, name, sql in objects:
        shows_theirs = kind == "view" and any(table in sql for table in _REPLACED)
        if name.lower() in _REPLACED or shows_theirs or (kind != "table" and name.lower() in ours):
            target.execute(f"DROP {kind} IF EXISTS {_quoted(name)}")  # an index may have gone with its table
    create_schema(target)
    return _taken_remark(take_over(source, target)) + "".join(renamed)


def _other_names(name: str) -> Iterator[str]:
    yield f"{name}_earlier"
    for number in range(2, _MOST_BACKUPS):
        yield f"{name}_earlier_{number}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
    names = [
        f'"{name}" is run {number}' for name, number in sorted(taken.renumbered.items(), key=lambda pair: pair[1])
    ]
    renumbered = f"; ids that were no numbers have new ones: {few(names, _MOST_NAMED)}" if names else ""
    return f"The history of the earlier tool was taken over: {what}{renumbered}"
