"""How a history is: what a person who doubts it wants to have looked at. Nothing is written."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence

from executioner.history import files
from executioner.history.liveness import Liveness, UnfinishedRun, settled_runs
from executioner.history.lock import has_open_locks, is_held
from executioner.history.read import reading
from executioner.record import Record

#: The version of SQLite in use, and the one that mended a rare fault of resetting the write-ahead log.
SQLITE_VERSION = sqlite3.sqlite_version_info
WAL_RESET_MENDED = (3, 51, 3)
_MOST_FAULTS = 5
_MOST_CHECKED = 1000  # before it is said that only indexes are damaged
_UNFINISHED_JOBS = """
SELECT DISTINCT run_id FROM run_metadata NATURAL JOIN (
    SELECT run_id FROM job_history WHERE status IN ('PENDING', 'RUNNING'))
WHERE status <> 'RUNNING' LIMIT ?"""


class Health(Record):
    """How a history is.

    Attributes:
        runs: how many runs it holds.
        bytes: the size of the database.
        log_bytes: the size of its write-ahead log.
        faults: what SQLite's integrity check finds; the first few.
        contradictions: rows that cannot both be true; the first few.
        live: the runs that are on.
        unverified: those of which that cannot be told.
        dead: those that are recorded as RUNNING though their runner is gone.
        others: whether users other than the owner and its group may read or write it.
    """

    runs: int
    bytes: int
    log_bytes: int
    faults: Sequence[str]
    contradictions: Sequence[str]
    live: Sequence[UnfinishedRun]
    unverified: Sequence[UnfinishedRun]
    dead: Sequence[UnfinishedRun]
    others: bool


def look_at(path: str, kind: files.Kind) -> Health:
    """Look at a history that is there.

    Raises:
        HistoryError: it is damaged, or cannot be read.
    """
    runs, faults, contradictions, recorded = reading(
        path, lambda connection: _content(connection, path, kind), theirs=kind is files.Kind.EARLIER_TOOL
    )
    status = os.stat(path)
    by = {one: [run for run in recorded if run.liveness is one] for one in Liveness}
    return Health(
        runs,
        status.st_size,
        _size(f"{path}-wal"),
        faults,
        contradictions,
        by[Liveness.ALIVE],
        by[Liveness.UNVERIFIED],
        by[Liveness.DEAD],
        bool(stat.S_IMODE(status.st_mode) & 0o007),
    )


def _content(
    connection: sqlite3.Connection, path: str, kind: files.Kind
) -> tuple[int, list[str], list[str], list[UnfinishedRun]]:
    faults = [text for (text,) in connection.execute(f"PRAGMA integrity_check({_MOST_CHECKED})") if text != "ok"]
    if kind is files.Kind.EARLIER_TOOL:
        [runs] = connection.execute("SELECT count(DISTINCT run_id) FROM job_history").fetchone()
        return runs, faults, [], []
    with settled_runs(connection, f"{path}.lock") as recorded:
        [runs] = connection.execute("SELECT count(*) FROM run_metadata").fetchone()
        unfinished = connection.execute(_UNFINISHED_JOBS, (_MOST_FAULTS,)).fetchall()
        contradictions = [f"run {run_id} has ended, but not all of its jobs have" for (run_id,) in unfinished]
        return runs, faults, contradictions, list(recorded)


def lock_state(path: str) -> tuple[str, str] | None:
    """What is wrong with a history's lock file, ``{lock}``, and what to do; None if nothing is."""
    lock = f"{path}.lock"
    if not has_open_locks():
        return "this system has no locks of open files: whether a run is on is told by its process alone", ""
    try:
        mode = os.lstat(lock).st_mode
    except OSError:
        return None  # made by the next run, or in a folder that is looked at elsewhere
    if not stat.S_ISREG(mode):
        return "{lock} is not a regular file", "Move it away: the next run makes a new one."
    is_ours = os.access(path, os.W_OK)
    rights = "Give it the owner and the permissions of the history." if is_ours else ""
    if is_held(lock, 0) is None:
        return "{lock} cannot be read, or its file system has no locks", rights
    return None if os.access(lock, os.W_OK) else ("{lock} cannot be written by this user", rights)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
