"""Databases of the tool before this one: a function for each version of its tables, and runs to put into them.

Columns were added in the order of the versions; a version takes of a row what it has columns
for. What comes twice under a version's key replaces what was there, as that tool did it.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Rows = Iterable[Row]
#: Fills a database with the tables of one version, and rows.
Version = Callable[..., None]

_FIRST = {
    "run_id": "{ids}",
    "id": "TEXT",
    "description": "TEXT",
    "command": "TEXT",
    "status": "TEXT",
    "application_name": "TEXT",
    "last_run": "TIMESTAMP",
}
_RETRIES = {"retry_count": "INTEGER DEFAULT 0", "last_error": "TEXT", "retry_history": "TEXT"}
_USAGE = {"duration_seconds": "REAL", "memory_usage_mb": "REAL", "cpu_usage_percent": "REAL"}
_EXIT = {"last_exit_code": "INTEGER"}
_ATTEMPT = {"attempt_id": "INTEGER NOT NULL DEFAULT 1"}
_SUMMARY = {
    "run_id": "{ids}",
    "application_name": "TEXT",
    "start_time": "TIMESTAMP",
    "end_time": "TIMESTAMP",
    "status": "TEXT",
    "total_jobs": "INTEGER",
    "completed_jobs": "INTEGER",
    "failed_jobs": "INTEGER",
    "skipped_jobs": "INTEGER",
    "exit_code": "INTEGER",
    "created_at": "TIMESTAMP DEFAULT CURRENT_TIMESTAMP",
}
_PLACES = {"working_dir": "TEXT", "config_path": "TEXT"}


def job(run_id: int | str | None, name: object, status: str | None, last_run: Any = None, **columns: Any) -> Row:
    """A row of ``job_history``."""
    given = {"application_name": "etl", "command": f"run {name}", "description": "", **columns}
    return {"run_id": run_id, "id": name, "status": status, "last_run": last_run, **given}


def summary(run_id: int | str | None, status: str | None, start: Any, end: Any, jobs: Any, **columns: Any) -> Row:
    """A row of ``run_summary``; ``jobs`` are the four counts: total, completed, failed, skipped."""
    names = ("total_jobs", "completed_jobs", "failed_jobs", "skipped_jobs")
    given = {"application_name": "etl", "created_at": "2025-05-23 12:00:00", **columns}
    counts = dict(zip(names, jobs, strict=True))
    return {"run_id": run_id, "status": status, "start_time": start, "end_time": end, **counts, **given}


_RETRIED = '[{"attempt": 1, "status": "FAILED", "exit_code": 75, "timestamp": "2025-05-22 02:00:05"}]'
#: A failed run, one that succeeded after a retry, one of two attempts, one that was killed, another application.
JOBS: Sequence[Row] = (
    job(1, "extract", "SUCCESS", "2025-05-21 02:00:00", duration_seconds=30.0, last_exit_code=0),
    job(
        1,
        "load",
        "FAILED",
        "2025-05-21 02:00:30",
        last_error="Exit code 1",
        duration_seconds=100.0,
        last_exit_code=1,
        memory_usage_mb=61.5,
    ),
    job(1, "report", "SKIPPED", None, last_error="dependency failed"),
    job(
        2,
        "extract",
        "SUCCESS",
        "2025-05-22 02:00:40",
        retry_count=1,
        retry_history=_RETRIED,
        duration_seconds=31.0,
        last_exit_code=0,
    ),
    job(2, "load", "SUCCESS", "2025-05-22 02:01:11", duration_seconds=90.0, last_exit_code=0),
    job(2, "report", "SUCCESS", "2025-05-22 02:02:41", duration_seconds=4.0, last_exit_code=0),
    job(3, "extract", "SUCCESS", "2025-05-23 02:00:00", duration_seconds=29.0, attempt_id=1, last_exit_code=0),
    job(
        3,
        "load",
        "POSTCHECK_FAILED",
        "2025-05-23 02:00:29",
        duration_seconds=80.0,
        attempt_id=1,
        last_exit_code=0,
    ),
    job(3, "load", "SUCCESS", "2025-05-23 09:00:00", duration_seconds=85.0, attempt_id=2, last_exit_code=0),
    job(3, "report", "SUCCESS", "2025-05-23 09:01:25", duration_seconds=5.0, attempt_id=2, last_exit_code=0),
    job(7, "extract", "SUCCESS", "2025-05-24 02:00:00", duration_seconds=30.0, last_exit_code=0),
    job(7, "load", "RUNNING", "2025-05-24 02:00:30"),
    job(7, "report", "PENDING"),
    job(
        12,
        "ship",
        "SUCCESS",
        "2025-05-24 08:00:00",
        application_name="orders",
        duration_seconds=61.0,
        last_exit_code=0,
    ),
)
_ETL = {"working_dir": "/srv/etl", "config_path": "/srv/etl/etl.json"}
SUMMARIES: Sequence[Row] = (
    summary(1, "FAILED", "2025-05-21 02:00:00", "2025-05-21 02:02:10", (3, 1, 1, 1), exit_code=1, **_ETL),
    summary(2, "SUCCESS", "2025-05-22 02:00:00", "2025-05-22 02:02:45", (3, 3, 0, 0), exit_code=0, **_ETL),
    summary(
        3,
        "FAILED",
        "2025-05-23 02:00:00",
        "2025-05-23 02:01:49",
        (3, 1, 1, 1),
        **{"exit_code": 1, "attempt_id": 1, **_ETL},
    ),
    summary(
        3,
        "SUCCESS",
        "2025-05-23 09:00:00",
        "2025-05-23 09:01:30",
        (3, 3, 0, 0),
        **{"exit_code": 0, "attempt_id": 2, **_ETL},
    ),
    summary(
        12,
        "SUCCESS",
        "2025-05-24 08:00:00",
        "2025-05-24 08:01:01",
        (1, 1, 0, 0),
        exit_code=0,
        application_name="orders",
        config_path="/srv/orders/orders.json",
    ),
)
#: Each run of these and what it becomes: its status, and the status of each job.
BECOMES: Mapping[int, tuple[str, Mapping[str, str]]] = {
    1: ("FAILED", {"extract": "SUCCESS", "load": "FAILED", "report": "SKIPPED"}),
    2: ("SUCCESS", {"extract": "SUCCESS", "load": "SUCCESS", "report": "SUCCESS"}),
    3: ("SUCCESS", {"extract": "SUCCESS", "load": "SUCCESS", "report": "SUCCESS"}),
    7: ("INTERRUPTED", {"extract": "SUCCESS", "load": "INTERRUPTED", "report": "SKIPPED"}),
    12: ("SUCCESS", {"ship": "SUCCESS"}),
}


def version_1(
    database: sqlite3.Connection,
    ids: str = "INTEGER",
    jobs: Rows = JOBS,
    summaries: Rows = SUMMARIES,
    ending: str = "",
) -> None:
    """Jobs alone. ``ids`` is the type of the column of run ids; ``ending`` follows each table's columns."""
    _table(database, "job_history", _FIRST, "run_id, id", jobs, ids, ending)


def version_2(
    database: sqlite3.Connection,
    ids: str = "INTEGER",
    jobs: Rows = JOBS,
    summaries: Rows = SUMMARIES,
    ending: str = "",
) -> None:
    """Retries."""
    _table(database, "job_history", {**_FIRST, **_RETRIES}, "run_id, id", jobs, ids, ending)


def version_3(
    database: sqlite3.Connection,
    ids: str = "INTEGER",
    jobs: Rows = JOBS,
    summaries: Rows = SUMMARIES,
    ending: str = "",
) -> None:
    """Durations and usage."""
    _table(database, "job_history", {**_FIRST, **_RETRIES, **_USAGE}, "run_id, id", jobs, ids, ending)


def version_4(
    database: sqlite3.Connection,
    ids: str = "INTEGER",
    jobs: Rows = JOBS,
    summaries: Rows = SUMMARIES,
    ending: str = "",
) -> None:
    """Exit codes."""
    _table(database, "job_history", {**_FIRST, **_RETRIES, **_USAGE, **_EXIT}, "run_id, id", jobs, ids, ending)


def version_5(
    database: sqlite3.Connection,
    ids: str = "INTEGER",
    jobs: Rows = JOBS,
    summaries: Rows = SUMMARIES,
    ending: str = "",
) -> None:
    """Runs are summed up."""
    version_4(database, ids, jobs, ending=ending)
    _table(database, "run_summary", _SUMMARY, "run_id", summaries, ids, ending)


def version_6(
    database: sqlite3.Connection,
    ids: str = "INTEGER",
    jobs: Rows = JOBS,
    summaries: Rows = SUMMARIES,
    ending: str = "",
) -> None:
    """A run has attempts, and places."""
    columns = {**_FIRST, **_RETRIES, **_USAGE, **_EXIT, **_ATTEMPT}
    _table(database, "job_history", columns, "run_id, attempt_id, id", jobs, ids, ending)
    _table(
        database, "run_summary", {**_SUMMARY, **_ATTEMPT, **_PLACES}, "run_id, attempt_id", summaries, ids, ending
    )


VERSIONS: Sequence[Version] = (version_1, version_2, version_3, version_4, version_5, version_6)


def _table(
    database: sqlite3.Connection,
    name: str,
    columns: Mapping[str, str],
    key: str,
    rows: Rows,
    ids: str,
    ending: str,
) -> None:
    declared = ", ".join(f"{column} {kind.format(ids=ids)}" for column, kind in columns.items())
    database.execute(f"CREATE TABLE {name} ({declared}, PRIMARY KEY ({key})){ending}")
    known = ({column: value for column, value in row.items() if column in columns} for row in rows)
    for names, alike in groupby(known, key=tuple):
        marks = ", ".join("?" * len(names))
        database.executemany(
            f"INSERT OR REPLACE INTO {name} ({', '.join(names)}) VALUES ({marks})",
            (tuple(row.values()) for row in alike),
        )


def make_earlier(path: Path, version: Version = version_6, *more: str, **options: Any) -> Path:
    """Make a database of the earlier tool in a file; ``more`` are statements to execute after that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as database:
        with database:
            version(database, **options)
        for statement in more:
            database.execute(statement)
        database.commit()
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def zone(name: str) -> Iterator[None]:
    """Let this process be in a time zone for a while."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def many(runs: int, jobs: int = 5) -> dict[str, Any]:
    """Rows of so many runs of so many jobs: successes, and a failure in every tenth run."""

    def job_rows() -> Iterable[Row]:
        for run in range(1, runs + 1):
            for number in range(jobs):
                status = "FAILED" if run % 10 == 0 and number == jobs - 1 else "SUCCESS"
                yield job(
                    run,
                    f"job{number}",
                    status,
                    "2025-05-23 02:00:00",
                    duration_seconds=3.0,
                    last_exit_code=int(status == "FAILED"),
                )

    def summary_rows() -> Iterable[Row]:
        for run in range(1, runs + 1):
            failed = int(run % 10 == 0)
            counts = (jobs, jobs - failed, failed, 0)
            status = "FAILED" if failed else "SUCCESS"
            yield summary(run, status, "2025-05-23 02:00:00", "2025-05-23 02:00:15", counts, exit_code=failed)

    return {"jobs": job_rows(), "summaries": summary_rows()}
