"""Reading the history, by whoever has a connection to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import isfinite

from executioner.errors import HistoryError
from executioner.history import files
from executioner.history.liveness import NO_RESULT, Liveness
from executioner.history.query import RESUMABLE, SELECT_RUN, Row
from executioner.history.sqlite import sqlite3
from executioner.jsontext import loads
from executioner.lean import closing
from executioner.records import JOB_COLUMNS, RUN_COLUMNS, Job, Run, RunDetails

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")
_ATTEMPTS = 20
_JOBS = f"SELECT {', '.join(JOB_COLUMNS)} FROM job_history WHERE run_id = ? ORDER BY position, id"
_FAILED = _JOBS.replace("ORDER BY", "AND status IN ('FAILED', 'TIMEOUT', 'ERROR') ORDER BY") + " LIMIT ?"
_ONE_JOB = f"SELECT {', '.join(JOB_COLUMNS)} FROM job_history WHERE run_id = ? AND id = ?"
_COUNTS = "SELECT status, count(*) FROM job_history WHERE run_id = ? GROUP BY status"
_RESUMABLE_IF_DEAD = f"SELECT {RESUMABLE} FROM run_metadata AS run WHERE run.run_id = ?"
_ALWAYS = {
    *("run_id", "total_jobs", "completed_jobs", "failed_jobs", "skipped_jobs", "status", "application_name"),
    *("root_run_id", "id", "position", "description", "command", "retry_count"),
}
_INTEGERS = {"pid", "pid_start_ticks", "parent_run_id", "exit_code", "source_run_id", "max_retries"}
_NUMBERS = {"duration_seconds", "memory_usage_mb", "cpu_usage_percent"}
_INSTANTS = {"start_time", "end_time", "last_run", "marked_at"}


def _kind(column: str) -> str:
    """What kind of values a column has."""
    if column in _NUMBERS:
        return "real"
    if column in _INSTANTS:
        return "time"
    if column in _ALWAYS:
        text = column in ("status", "application_name", "id", "description", "command")
        return "TEXT" if text else "INTEGER"
    return "integer" if column in _INTEGERS else "text"


_ZEROS = str.maketrans("123456789", "000000000")
_TIME = "0000-00-00T00:00:00.000000Z"
_NONE = {"TEXT": "", "INTEGER": 0}
_RUN_KINDS = [_kind(name) for name in RUN_COLUMNS]
_JOB_KINDS = [_kind(name) for name in JOB_COLUMNS]
_RETRY_HISTORY, _DEFINITION = JOB_COLUMNS.index("retry_history"), JOB_COLUMNS.index("definition")


class OpenFile:
    """A history that is read as it lies there, open for as long as it rests; for one thread.

    Opening one, and reading its schema, takes 100 µs.
    """

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._state: files.State | None = None  # None while a write could go unseen

    def at(self, path: str, state: files.State) -> sqlite3.Connection:
        """A connection to a file that is in some state now: the one there is, if nothing can have been written."""
        if self._connection is None or self._state != state:
            self.close()
            self._state = state if files.is_at_rest(state) else None
            self._connection = _open(files.uri(path, "mode=ro&immutable=1"))
        return self._connection

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def reading(
    path: str,
    work: Callable[[sqlite3.Connection], _T],
    *,
    theirs: bool = False,
    kept: OpenFile | None = None,
) -> _T:
    """What ``work`` makes of a history that is opened for reading and not changed at all.

    Without a write-ahead log or a journal the file is read as it lies there, and again if it was changed
    meanwhile; with one, through it; where the folder does not allow that, from a private
    copy; ``theirs`` says that it is another program's, beside which no ``-shm`` shall be made, nor beside
    another user's. ``kept`` is left open for the next call.

    Raises:
        HistoryError: it cannot be read.
    """
    file = kept or OpenFile()
    try:
        for _ in range(_ATTEMPTS):
            before = files.file_state(path)
            if before[-1] and (theirs or files.is_anothers(path)) and not os.path.exists(f"{path}-shm"):
                return _read_copy(path, work)
            if before[-1]:
                with closing(_open(files.uri(path, "mode=ro"))) as connection:
                    return work(connection)
            try:
                result = work(file.at(path, before))
            except (sqlite3.DatabaseError, UnicodeDecodeError):
                if files.file_state(path) == before:
                    raise
                continue  # it was changed under our eyes
            if files.file_state(path) == before:
                return result
    except sqlite3.OperationalError as exc:
        if not files.cannot_open(exc):
            raise files.problem(path, exc) from exc
        return _read_copy(path, work)
    except files.FAULTS as exc:
        raise files.problem(path, exc) from exc
    finally:
        if kept is None:
            file.close()
    raise HistoryError("The history changes faster than it can be read", path)


def _open(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)


def _read_copy(path: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
    try:
        with (
            files.private_copy(path) as copy,
            closing(_open(files.uri(copy, "mode=rw"))) as connection,
        ):
            return work(connection)
    except files.FAULTS as exc:
        raise files.problem(path, exc) from exc


def run_of(row: Row) -> Run:
    """A row of ``SELECT_RUN`` as a record."""
    columns = row[: len(RUN_COLUMNS)]
    run = Run._make((*map(_cleaned, _RUN_KINDS, columns), *row[len(RUN_COLUMNS) :], False))
    return run._replace(options=_decoded(run.options, dict), resumable=bool(run.resumable))


def unfinished(connection: sqlite3.Connection, run: Run, liveness: Liveness) -> Run:
    """A run that is recorded as RUNNING, as it really is: its counts so far, and INTERRUPTED if it is dead."""
    numbers = dict(connection.execute(_COUNTS, (run.run_id,)))
    count = {name: sum(numbers.get(status, 0) for status in statuses) for name, statuses in _COUNTED.items()}
    if liveness is not Liveness.DEAD:
        return run._replace(**count, unverified=liveness is Liveness.UNVERIFIED)
    count["skipped_jobs"] += numbers.get("PENDING", 0)
    [resumable] = connection.execute(_RESUMABLE_IF_DEAD, (run.run_id,)).fetchone()
    return run._replace(**count, status="INTERRUPTED", failure_summary=NO_RESULT, resumable=bool(resumable))


_COUNTED: Mapping[str, tuple[str, ...]] = {
    "completed_jobs": ("SUCCESS",),
    "failed_jobs": ("FAILED", "TIMEOUT", "ERROR"),
    "skipped_jobs": ("SKIPPED",),
}


def running_rows(connection: sqlite3.Connection) -> list[Row]:
    """The rows of the runs that are recorded as RUNNING."""
    return connection.execute(f"{SELECT_RUN} INDEXED BY run_by_status WHERE run.status = 'RUNNING'").fetchall()


def run_details(
    connection: sqlite3.Connection,
    run_id: int,
    running: Mapping[int, Liveness] | None = None,
    failed: int | None = None,
) -> RunDetails | None:
    """A run and its jobs; None if it is not known.

    ``running`` says of the runs that are recorded as RUNNING whether they live; with ``failed`` only
    the first so many of the failed jobs are read.
    """
    row = connection.execute(f"{SELECT_RUN} WHERE run.run_id = ?", (run_id,)).fetchone()
    if row is None:
        return None
    run = run_of(row)
    rows = (
        connection.execute(_JOBS, (run_id,)) if failed is None else connection.execute(_FAILED, (run_id, failed))
    )
    jobs = list(map(_job, rows))
    liveness = (running or {}).get(run_id)
    if liveness is not None:
        run = unfinished(connection, run, liveness)
    if liveness is Liveness.DEAD:
        jobs = [_ended_with_its_run(job) for job in jobs]
    return RunDetails(run, jobs)


def job_of(connection: sqlite3.Connection, run_id: int, job_id: str, liveness: Liveness | None) -> Job | None:
    """One job of a run, of which ``liveness`` is known if it is recorded as RUNNING; None if it is not known."""
    row = connection.execute(_ONE_JOB, (run_id, job_id)).fetchone()
    if row is None:
        return None
    return _ended_with_its_run(_job(row)) if liveness is Liveness.DEAD else _job(row)


def _job(row: Row) -> Job:
    values: list[Any] = list(map(_cleaned, _JOB_KINDS, row))
    attempts = _decoded(values[_RETRY_HISTORY], list)
    values[_RETRY_HISTORY] = attempts if all(isinstance(one, dict) for one in attempts or ()) else None
    values[_DEFINITION] = _decoded(values[_DEFINITION], dict)
    return _with_known_end(Job._make(values))


def _with_known_end(job: Job) -> Job:
    """Of a job whose runner ended while it waited for a further attempt it is known how the last one ended."""
    attempts = job.retry_history or ()
    if job.status != "INTERRUPTED" or job.reason != NO_RESULT or len(attempts) <= job.retry_count:
        return job
    last = attempts[-1].get("reason")
    if last in (None, NO_RESULT):  # as in runs that were taken over
        return job
    return job._replace(reason=f"Its runner ended before attempt {len(attempts) + 1}: {last}")


def _ended_with_its_run(job: Job) -> Job:
    """A job of a dead run as the next run will record it."""
    if job.status == "RUNNING":
        return _with_known_end(job._replace(status="INTERRUPTED", reason=NO_RESULT))
    if job.status == "PENDING":
        return job._replace(status="SKIPPED", reason="run interrupted")
    return job


def _decoded(value: Any, kind: type) -> Any:
    """A JSON column; None where somebody has edited it into something else."""
    try:
        decoded = loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, kind) else None


def _cleaned(kind: str, value: Any) -> Any:
    """A column's value; where somebody has edited it into one of another kind, what stands for none.

    A kind is the type of the column, in capitals where there is always a value.
    """
    match kind.lower():
        case "text":
            good = isinstance(value, str)
        case "time":
            good = isinstance(value, str) and value.translate(_ZEROS) == _TIME
        case "integer":
            good = isinstance(value, int)
        case _:
            good = isinstance(value, int | float) and isfinite(value)
    return value if good else _NONE.get(kind)
