"""Runs whose runner died: what they were at, so that one can look for what is left of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from executioner.history.liveness import NO_RESULT, UnfinishedRun, same_file
from executioner.history.sqlite import sqlite3
from executioner.record import Record

_MOST = 20
_COLUMNS = "SELECT run_id, pid, pid_start_ticks, boot_id, user FROM run_metadata"
_OF_CONFIG = f"""
{_COLUMNS} INDEXED BY run_by_config
WHERE config_path = ? AND status = 'INTERRUPTED' AND failure_summary = ? ORDER BY run_id DESC LIMIT ?"""
_OF_APPLICATION = f"""
{_COLUMNS} INDEXED BY run_by_application
WHERE application_name = ? AND status = 'INTERRUPTED' AND failure_summary = ? ORDER BY run_id DESC LIMIT ?"""
_ONE = f"{_COLUMNS} WHERE run_id = ?"
_LOST_JOBS = """
SELECT id, iif(typeof(log_path) = 'text', log_path, NULL) FROM job_history WHERE run_id = ?
    AND typeof(id) = 'text' AND (status = 'RUNNING' OR (status = 'INTERRUPTED' AND reason = ?))
ORDER BY position, id"""


def has_lost_runs(
    connection: sqlite3.Connection, recorded: Iterable[UnfinishedRun], config_paths: Sequence[str]
) -> bool:
    """Whether a runner of a config has ended without recording that; quick, for every run asks."""
    if any(connection.execute(_OF_CONFIG, (path, NO_RESULT, 1)).fetchone() for path in config_paths):
        return True
    return any(
        not run.lives and any(same_file(run.config_path, path) for path in config_paths) for run in recorded
    )


class Crash(Record):
    """A run whose runner died, and the jobs that were running then, each with its log."""

    run_id: int
    pid: int | None
    start_ticks: int | None
    jobs: Sequence[tuple[str, str | None]]
    user: str | None = None


class Suspects(Record):
    """Which runs are looked at: those of a config, by its paths and by its application's name, and one more."""

    config_paths: Sequence[str] = ()
    application: str | None = None
    run_id: int | None = None


def crashes(
    connection: sqlite3.Connection, recorded: Iterable[UnfinishedRun], suspects: Suspects, boot_id: str | None
) -> list[Crash]:
    """Those of some runs whose runner died since the machine was started; newest first.

    ``recorded`` are the runs that are RUNNING in the transaction that is open.
    """
    rows = {}
    for query, values in ((_OF_CONFIG, suspects.config_paths), (_OF_APPLICATION, [suspects.application])):
        for value in values:
            for row in connection.execute(query, (value, NO_RESULT, _MOST)):
                rows[row[0]] = row
    wanted = [] if suspects.run_id is None else [suspects.run_id]
    for run in recorded:
        of_config = any(same_file(run.config_path, path) for path in suspects.config_paths)
        if not run.lives and (of_config or run.application == suspects.application):
            wanted.append(run.run_id)
    for run_id in wanted:
        row = connection.execute(_ONE, (run_id,)).fetchone()
        if row is not None:
            rows[run_id] = row
    found = []
    for _, (run_id, pid, ticks, boot, user) in sorted(rows.items(), reverse=True):
        if boot is None or (boot_id is not None and boot != boot_id):
            continue  # an earlier boot left no process behind
        jobs = connection.execute(_LOST_JOBS, (run_id, NO_RESULT)).fetchall()
        if jobs:
            found.append(Crash(run_id, pid, ticks, jobs, user if isinstance(user, str) else None))
    return found
