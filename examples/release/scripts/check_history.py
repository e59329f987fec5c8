"""The smoke test's run must be in its history as SUCCESS, every job completed."""

import sqlite3
from contextlib import closing

import project


def main() -> None:
    """Read the newest run of the smoke test's own database."""
    with closing(sqlite3.connect(project.WORK / "smoke" / "history.db")) as database:
        query = "SELECT run_id, status, completed_jobs, total_jobs FROM run_metadata ORDER BY run_id DESC"
        run = database.execute(query).fetchone()
    if run is None:
        project.fail("no run in the history")
    run_id, status, completed, total = run
    print(f"Run {run_id}: {status}, {completed}/{total}")
    if status != "SUCCESS" or completed != total:
        project.fail("the smoke test's run is not recorded as complete")


if __name__ == "__main__":
    main()
