"""Histories with runs of the tests' choosing, written row by row: what happened, and when, is fixed."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from executioner.history.create import create

RUN_DEFAULTS: dict[str, Any] = {
    "config_hash": "0" * 64,
    "parent_run_id": None,
    "start_time": "2025-05-23T09:45:00.000000Z",
    "status": "SUCCESS",
    "failure_summary": None,
    "application_name": "data_pipeline",
    "user": "etl",
    "host": "etl01",
    "boot_id": "11111111-2222-3333-4444-555555555555",
    "pid": 4711,
    "pid_start_ticks": 1,
    "working_dir": "/srv/etl",
    "log_path": None,
    "exit_code": 0,
    "options": "{}",
    "executioner_version": "0.1.0",
}
JOB_DEFAULTS: dict[str, Any] = {
    "description": "",
    "command": "true",
    "status": "SUCCESS",
    "retry_count": 0,
    "definition": "{}",
    "max_retries": 0,
}
FAILED = ("FAILED", "TIMEOUT", "ERROR")


def make_past(path: Path, runs: Iterable[Mapping[str, Any]]) -> Path:
    """Make a history of runs: columns of ``run_metadata`` and ``jobs``, a list of columns of ``job_history``.

    What is not given is filled in: counts from the jobs, ``config_path`` beside the history,
    the end from start and duration.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    create(str(path), 0o600)
    add_runs(path, runs)
    return path


def add_runs(path: Path, runs: Iterable[Mapping[str, Any]]) -> None:
    """Add runs to a history."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for given in runs:
            run = {**RUN_DEFAULTS, "config_path": str(path.parent / "data_pipeline.json"), **given}
            jobs = [{**JOB_DEFAULTS, **job} for job in run.pop("jobs", ())]
            statuses = [job["status"] for job in jobs]
            counts = {
                "total_jobs": len(jobs),
                "completed_jobs": statuses.count("SUCCESS"),
                "failed_jobs": sum(status in FAILED for status in statuses),
                "skipped_jobs": statuses.count("SKIPPED"),
                "root_run_id": run.get("parent_run_id") or run.get("run_id"),
            }
            run_id = insert(connection, "run_metadata", {**counts, **run})
            if run.get("run_id") is None:
                connection.execute(
                    "UPDATE run_metadata SET root_run_id = coalesce(root_run_id, run_id) WHERE run_id = ?",
                    (run_id,),
                )
            for position, job in enumerate(jobs):
                own = {"run_id": run_id, "position": position, "application_name": run["application_name"]}
                insert(connection, "job_history", {**own, **job})


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int:
    """Insert a row; returns its rowid where the table has such."""
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    cursor = connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
    return cursor.lastrowid or 0


def state_history(home: Path) -> Path:
    """Where the program looks for its history when ``home`` is the home folder."""
    return home / ".local/state/executioner/history.db"


def untouched(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything in a folder: compare before and after to see that nothing was written."""
    found = {}
    for name in sorted(os.listdir(folder)):
        status = (folder / name).stat()
        content = (folder / name).read_bytes() if (folder / name).is_file() else b""
        found[name] = (status.st_mtime_ns, status.st_mode, content)
    return found
