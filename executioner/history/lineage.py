"""What a resume, and a fresh run, look at before they start: earlier runs of the chain and of the config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from executioner.history.liveness import NO_RESULT, Liveness, UnfinishedRun
from executioner.history.query import SELECT_RUN
from executioner.history.read import job_of, run_of, unfinished
from executioner.history.sqlite import sqlite3
from executioner.record import Record
from executioner.records import PastJob, Run

_MOST_LOOKED_THROUGH = 100
# of a dead run as the next run records it
_PAST_JOBS = f"""
SELECT CAST(id AS TEXT),
    CASE WHEN :dead AND status = 'RUNNING' THEN 'INTERRUPTED'
         WHEN :dead AND status = 'PENDING' THEN 'SKIPPED' ELSE coalesce(status, '') END,
    CASE WHEN :dead AND status = 'RUNNING' THEN '{NO_RESULT}'
         WHEN :dead AND status = 'PENDING' THEN 'run interrupted'
         WHEN typeof(reason) = 'text' THEN reason END,
    iif(typeof(command) = 'text', command, NULL), iif(typeof(definition) = 'text', definition, NULL),
    iif(typeof(source_run_id) = 'integer', source_run_id, NULL),
    CASE WHEN marked_by IS NOT NULL THEN CAST(marked_by AS TEXT) END,
    iif(typeof(marked_at) = 'text', marked_at, NULL), iif(typeof(mark_reason) = 'text', mark_reason, NULL)
FROM job_history WHERE run_id = :run ORDER BY position, id"""
_NEWEST_OF_ROOT = "SELECT max(run_id) FROM run_metadata WHERE root_run_id = ?"
_ROOT_OF_RUNNING = (
    "SELECT run_id FROM run_metadata INDEXED BY run_by_root WHERE root_run_id = ? AND status = 'RUNNING'"
)
_NEWEST = "SELECT run_id FROM run_metadata INDEXED BY {} WHERE {} status = ? ORDER BY run_id DESC LIMIT ?"
_ANY = _NEWEST.format("run_by_status", "")
_OF_CONFIG = _NEWEST.format("run_by_config", "config_path = ? AND")
_OF_APPLICATION = _NEWEST.format("run_without_config", "application_name = ? AND config_path IS NULL AND")
_STATUSES = ("SUCCESS", "FAILED", "PARTIAL", "INTERRUPTED", "RUNNING")


class Lineage(Record):
    """A run that is to be resumed, as it really is, and what became of it since.

    Attributes:
        run: the run; INTERRUPTED if it is dead.
        jobs: its jobs in config order.
        newest: the newest run of its chain of resumes; the run itself if that was not resumed.
        newest_done: the ids of the jobs that are SUCCESS in ``newest``.
        live: the run of that chain that is on, if there is one.
    """

    run: Run
    jobs: Sequence[PastJob]
    newest: Run
    newest_done: frozenset[str]
    live: UnfinishedRun | None


def lineage(connection: sqlite3.Connection, recorded: Sequence[UnfinishedRun], run_id: int) -> Lineage | None:
    """A run to be resumed; None if it is not known.

    A transaction is open; ``recorded`` are the runs that are RUNNING in it.
    """
    running = {one.run_id: one.liveness for one in recorded}
    run = _run(connection, run_id, running)
    if run is None:
        return None
    root = run.root_run_id or run_id
    [newest_id] = connection.execute(_NEWEST_OF_ROOT, (root,)).fetchone()
    newest = (_run(connection, newest_id, running) if newest_id not in (None, run_id) else None) or run
    alive = {one.run_id: one for one in recorded if one.lives}
    of_root = [alive[one] for (one,) in connection.execute(_ROOT_OF_RUNNING, (root,)) if one in alive]
    done = (
        (job.id for job in _past_jobs(connection, newest.run_id, running) if job.status == "SUCCESS")
        if newest is not run
        else ()
    )
    return Lineage(
        run, _past_jobs(connection, run_id, running), newest, frozenset(done), of_root[-1] if of_root else None
    )


def _run(connection: sqlite3.Connection, run_id: int, running: Mapping[int, Liveness]) -> Run | None:
    row = connection.execute(f"{SELECT_RUN} WHERE run.run_id = ?", (run_id,)).fetchone()
    if row is None:
        return None
    run = run_of(row)
    return unfinished(connection, run, running[run_id]) if run_id in running else run


def _past_jobs(connection: sqlite3.Connection, run_id: int, running: Mapping[int, Liveness]) -> list[PastJob]:
    liveness = running.get(run_id)
    rows = connection.execute(_PAST_JOBS, {"run": run_id, "dead": liveness is Liveness.DEAD}).fetchall()
    jobs = list(map(PastJob._make, rows))
    for at, job in enumerate(jobs):
        if job.reason == NO_RESULT:  # its last attempt may have one
            found = job_of(connection, run_id, job.id, liveness)
            jobs[at] = job if found is None else job._replace(reason=found.reason)
    return jobs


def newest_run(connection: sqlite3.Connection, config_paths: Sequence[str]) -> int | None:
    """The newest run of a config, which may have several paths; without any of all runs."""
    asked = [(_OF_CONFIG, [path]) for path in config_paths] or [(_ANY, [])]
    return max((run for query, values in asked for run in _newest(connection, query, values, 1)), default=None)


def _newest(connection: sqlite3.Connection, query: str, values: Sequence[str], most: int) -> list[int]:
    """The newest runs that a query finds, by their status, one by one: so an index gives them in order."""
    return [run for status in _STATUSES for (run,) in connection.execute(query, (*values, status, most))]


def _newest_runs(
    connection: sqlite3.Connection, config_paths: Sequence[str], application: str, most: int
) -> list[int]:
    """The newest runs of a config, newest first; of an application if none of the config is recorded."""
    found = [run for path in config_paths for run in _newest(connection, _OF_CONFIG, [path], most)]
    found = found or _newest(connection, _OF_APPLICATION, [application], most)
    return sorted(set(found), reverse=True)[:most]


def latest_results(
    connection: sqlite3.Connection,
    recorded: Sequence[UnfinishedRun],
    config_paths: Sequence[str],
    application: str,
    wanted: Iterable[str],
    on_request: Iterable[str],
) -> dict[str, tuple[int, PastJob]]:
    """For each job the newest run of the config in which it was not left out on request, and how it ended there.

    ``on_request`` are the reasons of jobs that were left out so. Jobs without such a run are missing.
    """
    left, asked = set(wanted), frozenset(on_request)
    running = {one.run_id: one.liveness for one in recorded}
    found: dict[str, tuple[int, PastJob]] = {}
    for run_id in _newest_runs(connection, config_paths, application, _MOST_LOOKED_THROUGH):
        if not left:
            break
        for job in _past_jobs(connection, run_id, running):
            if job.id in left and not (job.status == "SKIPPED" and job.reason in asked):
                left.discard(job.id)
                found[job.id] = (run_id, job)
    return found
