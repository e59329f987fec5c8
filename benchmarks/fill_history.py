"""Make a history of many runs, to measure how lists of them scale: ``fill_history.py history.db 100000``.

The runs are of 40 applications with a config each, by 12 users, one a minute; five in eight
succeed, some of the others are resumed. Each has JOBS jobs (default 2), whose rows are as large as real ones.
"""

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from executioner.history.create import create
from executioner.times import utc_text

FIRST_START = 1_600_000_000
APPLICATIONS, USERS = 40, 12
STATUSES = ("SUCCESS", "SUCCESS", "SUCCESS", "FAILED", "SUCCESS", "INTERRUPTED", "SUCCESS", "PARTIAL")
RUN = (
    *("run_id", "config_path", "config_hash", "parent_run_id", "total_jobs", "completed_jobs", "failed_jobs"),
    *("skipped_jobs", "start_time", "end_time", "duration_seconds", "status", "failure_summary"),
    *("application_name", "user", "host", "boot_id", "pid", "pid_start_ticks", "root_run_id", "working_dir"),
    *("log_path", "exit_code", "options", "executioner_version"),
)
JOB = (
    *("run_id", "id", "position", "description", "command", "status", "reason", "exit_code", "application_name"),
    *("start_time", "end_time", "last_run", "duration_seconds", "retry_count", "retry_history", "log_path"),
    *("cpu_usage_percent", "definition", "max_retries"),
)
DEFINITION = (
    '{"command":"true","dependencies":["job_0"],"env_variables":{},"post_checks":[],"pre_checks":[],'
    '"working_dir":"/srv/etl/pipelines/app_00"}'
)
ATTEMPT = (
    '[{{"attempt": 1, "status": "{}", "reason": null, "exit_code": {}, "start_time": "{}", "end_time": "{}",'
    ' "duration_seconds": 3.003799, "log_start": 45, "log_end": 1045}}]'
)


def runs(number: int, jobs: int) -> Iterator[dict[str, Any]]:
    """Rows of runs."""
    for run_id in range(1, number + 1):
        app = run_id * 7 % APPLICATIONS
        status = STATUSES[(run_id * 2654435761 % 2**32 >> 13) % len(STATUSES)]
        parent = run_id - APPLICATIONS if run_id % 11 == 0 and run_id > APPLICATIONS else None
        start = FIRST_START + 60 * run_id
        done = jobs if status == "SUCCESS" else run_id % jobs
        yield {
            "run_id": run_id,
            "config_path": f"/srv/etl/pipelines/app_{app:02}/config.json",
            "config_hash": f"{app:064x}",
            "parent_run_id": parent,
            "total_jobs": jobs,
            "completed_jobs": done,
            "failed_jobs": int(status == "FAILED"),
            "skipped_jobs": jobs - done - int(status == "FAILED"),
            "start_time": utc_text(start),
            "end_time": utc_text(start + 30),
            "duration_seconds": 30.0,
            "status": status,
            "failure_summary": "load: Exit code 1" if status == "FAILED" else None,
            "application_name": f"app_{app:02}",
            "user": f"user_{run_id % USERS:02}",
            "host": "etl01",
            "boot_id": "11111111-2222-3333-4444-555555555555",
            "pid": 4711,
            "pid_start_ticks": 1,
            "root_run_id": parent or run_id,
            "working_dir": f"/srv/etl/pipelines/app_{app:02}",
            "log_path": f"/srv/etl/logs/executioner.app_{app:02}.run-{run_id}.log",
            "exit_code": int(status == "FAILED"),
            "options": "{}",
            "executioner_version": "0.1.0",
        }


def job_rows(run: dict[str, Any], jobs: int) -> Iterator[dict[str, Any]]:
    """Rows of a run's jobs: those that succeeded, in a failed run one that failed, and the rest was skipped."""
    logs = run["log_path"].rpartition(".run-")[0]
    for position in range(jobs):
        row: dict[str, Any] = dict.fromkeys(JOB)
        row |= {
            "run_id": run["run_id"],
            "id": f"job_{position}",
            "position": position,
            "description": "",
            "command": "true",
            "application_name": run["application_name"],
            "retry_count": 0,
            "definition": DEFINITION,
            "max_retries": 0,
        }
        failed = position == run["completed_jobs"] and bool(run["failed_jobs"])
        if position > run["completed_jobs"] or (position == run["completed_jobs"] and not failed):
            yield row | {"status": "SKIPPED", "reason": "run interrupted"}
            continue
        status = "FAILED" if failed else "SUCCESS"
        yield row | {
            "status": status,
            "reason": "Exit code 1" if failed else None,
            "exit_code": int(failed),
            "start_time": run["start_time"],
            "end_time": run["end_time"],
            "last_run": run["start_time"],
            "duration_seconds": 3.0,
            "retry_history": ATTEMPT.format(status, int(failed), run["start_time"], run["end_time"]),
            "log_path": f"{logs}.job-job_{position}.run-{run['run_id']}.log",
            "cpu_usage_percent": 22.7828661579084,
        }


def fill(path: str, number: int, jobs: int = 2) -> None:
    """Make a history of some runs with some jobs each. It must not be there yet."""
    create(str(Path(path).absolute()), 0o600)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF").fetchall()  # twice the space otherwise
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        run = f"INSERT INTO run_metadata ({', '.join(RUN)}) VALUES ({', '.join(f':{name}' for name in RUN)})"
        job = f"INSERT INTO job_history ({', '.join(JOB)}) VALUES ({', '.join(f':{name}' for name in JOB)})"
        connection.executemany(run, runs(number, jobs))
        connection.executemany(job, (row for one in runs(number, jobs) for row in job_rows(one, jobs)))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()


def main() -> int:
    """Make the history that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make a history of many runs, some 700 bytes a job.")
    parser.add_argument("path", metavar="PATH", help="a file that is not there yet")
    parser.add_argument("runs", type=int, metavar="RUNS")
    parser.add_argument("jobs", type=int, nargs="?", default=2, metavar="JOBS", help="of each run (default: 2)")
    given = parser.parse_args()
    if os.path.lexists(given.path):
        parser.error(f"{given.path} is there already")
    fill(given.path, given.runs, given.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
