"""How long jobs usually take, as the history tells."""

import sqlite3

_DURATIONS = """
SELECT id, duration_seconds FROM job_history
WHERE run_id IN (SELECT run_id FROM ({}) ORDER BY run_id DESC LIMIT :runs)
  AND status = 'SUCCESS' AND source_run_id IS NULL AND duration_seconds IS NOT NULL""".format(
    " UNION ALL ".join(
        "SELECT * FROM (SELECT run_id FROM run_metadata WHERE application_name = :application"
        f" AND status = '{status}' ORDER BY run_id DESC LIMIT :runs)"
        for status in ("RUNNING", "SUCCESS", "FAILED", "INTERRUPTED", "PARTIAL")
    )
)


def durations_s(connection: sqlite3.Connection, application_name: str, runs: int = 10) -> dict[str, list[float]]:
    """How long each job took when it succeeded, in the application's last ``runs`` runs."""
    found: dict[str, list[float]] = {}
    wanted = {"application": application_name, "runs": runs}
    for job, duration in connection.execute(_DURATIONS, wanted):
        found.setdefault(job, []).append(duration)
    return found
