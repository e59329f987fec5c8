"""How long jobs usually take, as the history tells."""

from __future__ import annotations

from executioner.history.sqlite import sqlite3

_NEWEST_RUNS = "SELECT run_id FROM ({}) ORDER BY run_id DESC LIMIT :runs".format(
    " UNION ALL ".join(
        "SELECT * FROM (SELECT run_id FROM run_metadata WHERE application_name = :application"
        f" AND status = '{status}' AND run_id < :before ORDER BY run_id DESC LIMIT :runs)"
        for status in ("RUNNING", "SUCCESS", "FAILED", "INTERRUPTED", "PARTIAL")
    )
)
_DURATIONS = f"""
SELECT id, duration_seconds FROM job_history WHERE run_id IN ({_NEWEST_RUNS})
  AND status = 'SUCCESS' AND source_run_id IS NULL AND duration_seconds IS NOT NULL"""
_OF_ONE_JOB = f"{_DURATIONS} AND id = :job ORDER BY run_id DESC LIMIT 10"
_RUNS_LOOKED_THROUGH = 100
_LATEST = 2**63 - 1


def runs_before(connection: sqlite3.Connection, application_name: str, run_id: int, most: int) -> list[int]:
    """The application's last runs before a run, newest first."""
    wanted = {"application": application_name, "runs": most, "before": run_id}
    return [found for (found,) in connection.execute(_NEWEST_RUNS, wanted)]


def durations_s(connection: sqlite3.Connection, application_name: str, runs: int = 10) -> dict[str, list[float]]:
    """How long each job took when it succeeded, in the application's last ``runs`` runs."""
    found: dict[str, list[float]] = {}
    wanted = {"application": application_name, "runs": runs, "before": _LATEST}
    for job, duration in connection.execute(_DURATIONS, wanted):
        found.setdefault(job, []).append(duration)
    return found


def usual_s(connection: sqlite3.Connection, application_name: str, job: str) -> list[float]:
    """How long one job took the last ten times that it succeeded, within the application's last hundred runs."""
    wanted = {"application": application_name, "runs": _RUNS_LOOKED_THROUGH, "job": job, "before": _LATEST}
    return [duration for _, duration in connection.execute(_OF_ONE_JOB, wanted)]
