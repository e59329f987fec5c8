"""Putting results back that a history could not take when they came in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from executioner.errors import RunRefusedError
from executioner.history.changes import COUNTED, set_statement
from executioner.history.identity import newest_id
from executioner.history.spool import ENDED, NOTHING, Spool
from executioner.history.sqlite import sqlite3
from executioner.model import JobStatus
from executioner.record import Record
from executioner.render.text import local_time
from executioner.times import instant
from executioner.verdict import JobOutcome, run_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KNOWN = """
SELECT run_id FROM run_metadata WHERE application_name = ? AND start_time = ? ORDER BY run_id = ? DESC, run_id"""
_IS_TAKEN = """
SELECT EXISTS (SELECT 1 FROM run_metadata WHERE run_id = ?1)
    OR EXISTS (SELECT 1 FROM job_history WHERE run_id = ?1)"""
_NOT_DONE = """
SELECT coalesce(position, 0), id, status, coalesce(reason, '') FROM job_history
WHERE run_id = ? AND status <> 'SUCCESS'"""
_SETTLE = f"""
UPDATE run_metadata SET status = ?1, {COUNTED},
    failure_summary = CASE WHEN ?1 = 'SUCCESS' THEN NULL ELSE failure_summary END
WHERE run_id = ?2"""
#: What is taken over into rows that are there: how things ended, never what they are, nor what a person has
#: recorded since.
_OF_RUN = frozenset({"exit_code", "end_time", "duration_seconds", "failure_summary"})
_OF_JOB = frozenset(
    (
        "status reason exit_code start_time end_time last_run duration_seconds retry_count retry_history"
        " last_error memory_usage_mb cpu_usage_percent log_path"
    ).split()
)


class Place(Record):
    """Where the results of a spool belong: the run's id there, and whether the run is new there."""

    run_id: int
    is_new: bool


def find_place(connection: sqlite3.Connection, spool: Spool, live: Iterable[int]) -> Place:
    """Where the results of a spool belong; changes nothing.

    A run is known by its application and start. Where it is not, because its database was removed, it can
    be put in whole: under its id, or a new one if another run has that.

    Raises:
        RunRefusedError: the run is still on, or is not known and the spool does not hold all of it.
    """
    known = connection.execute(_KNOWN, (spool.application_name, spool.start_time, spool.run_id)).fetchone()
    if known is not None and (known[0] == spool.run_id or spool.is_whole):
        if known[0] in live:
            raise RunRefusedError(
                f"Run {known[0]} is still running", assurance=f"{NOTHING} Wait until it has ended."
            )
        return Place(known[0], is_new=False)
    [is_taken] = connection.execute(_IS_TAKEN, (spool.run_id,)).fetchone()
    if not spool.is_whole:
        raise _not_known(spool, is_other=bool(is_taken))
    return Place(newest_id(connection) + 1 if is_taken else spool.run_id, is_new=True)


def _not_known(spool: Spool, *, is_other: bool) -> RunRefusedError:
    what = "is another run there" if is_other else "is not in it"
    return RunRefusedError(
        f"The results belong to a history that is not this one: run {spool.run_id} {what}",
        spool.path,
        details=[
            f"They are of run {spool.run_id} of {spool.application_name},"
            f" started {_shown_time(spool.start_time)},",
            f"in {spool.history}.",
        ],
        assurance=f"{NOTHING} If that history was moved, name it with --db PATH.",
    )


def _shown_time(text: str) -> str:
    at = instant(text)
    return text if at is None else local_time(at)


def put_back(connection: sqlite3.Connection, spool: Spool, live: Iterable[int], identity: str) -> int:
    """Record a spool's results, within the transaction that is open; returns the run's id.

    The run has its results on top of what was recorded of it meanwhile, and the status of its jobs. Doing
    it twice changes nothing. ``identity`` is the database's own.

    Raises:
        RunRefusedError: as ``find_place``; or a job is not there.
    """
    place = find_place(connection, spool, live)
    run_id = place.run_id
    if place.is_new:
        _insert(connection, spool, run_id, is_same=spool.history_id == identity)
    else:
        _update(connection, "run_metadata", spool.run, _OF_RUN, "run_id = ?", (run_id,))
        for job, columns in spool.jobs.items():
            if not _update(connection, "job_history", columns, _OF_JOB, "run_id = ? AND id = ?", (run_id, job)):
                raise RunRefusedError(
                    f"Run {run_id} has no job {job}: the file was edited", spool.path, assurance=NOTHING
                )
    _settle(connection, run_id)
    return run_id


def _update(
    connection: sqlite3.Connection,
    table: str,
    columns: Mapping[str, Any],
    taken: frozenset[str],
    where: str,
    key: Sequence[object],
) -> bool:
    """Change those columns of one row that are taken over; whether there is such a row."""
    changed = {name: value for name, value in columns.items() if name in taken}
    if not changed:
        return connection.execute(f"SELECT 1 FROM {table} WHERE {where}", tuple(key)).fetchone() is not None
    return connection.execute(set_statement(table, changed, where), (*changed.values(), *key)).rowcount == 1


def _insert(connection: sqlite3.Connection, spool: Spool, run_id: int, *, is_same: bool) -> None:
    """Put in a whole run; ``is_same`` says that it comes from this very database, so that its links are right.

    Else the runs that it resumed went with their history: its reused jobs stand as its own.
    """
    links = {} if is_same else {"root_run_id": run_id, "parent_run_id": None}
    _insert_row(connection, "run_metadata", {**spool.run, "run_id": run_id, **links})
    sources = {} if is_same else {"source_run_id": None}
    for columns in spool.jobs.values():
        _insert_row(connection, "job_history", {**columns, "run_id": run_id, **sources})


def _insert_row(connection: sqlite3.Connection, table: str, columns: Mapping[str, Any]) -> None:
    places = ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", tuple(columns.values()))


def _settle(connection: sqlite3.Connection, run_id: int) -> None:
    """Give the run the status and the counts that follow from its jobs."""
    outcomes = [
        JobOutcome(position, job, "", JobStatus(status) if status in ENDED else JobStatus.ERROR, reason, None)
        for position, job, status, reason in connection.execute(_NOT_DONE, (run_id,))
    ]
    status = run_status(outcomes, stopped=True)
    connection.execute(_SETTLE, (status.value, run_id))
