"""Taking over the database of the tool before this one.

It has ``job_history`` and, from some version on, ``run_summary``; columns vary between
its versions, run ids may be text, a run may have several attempts, times are local and
without a zone. What it recorded is kept; what it did not record stays NULL.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from executioner.model import FAILURES, JobStatus, RunStatus
from executioner.times import utc_text
from executioner.verdict import JobOutcome, failure_summary, run_status

_JOB_COLUMNS = (
    *("run_id", "attempt_id", "id", "description", "command", "status", "application_name", "last_run"),
    *("retry_count", "last_error", "retry_history", "duration_seconds", "memory_usage_mb"),
    *("cpu_usage_percent", "last_exit_code"),
)
_RUN_COLUMNS = (
    *("run_id", "attempt_id", "application_name", "start_time", "end_time", "status", "total_jobs"),
    *("completed_jobs", "failed_jobs", "skipped_jobs", "exit_code", "working_dir", "config_path", "created_at"),
)
_CHECKS_FAILED = {"PRECHECK_FAILED": "A pre-check failed", "POSTCHECK_FAILED": "A post-check failed"}
_INSERT_RUN = """
INSERT INTO run_metadata (run_id, root_run_id, config_path, working_dir, application_name, status, total_jobs,
    completed_jobs, failed_jobs, skipped_jobs, start_time, end_time, duration_seconds, exit_code,
    failure_summary) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_JOB = """
INSERT INTO job_history (run_id, id, position, description, command, status, reason, exit_code, application_name,
    last_run, duration_seconds, retry_count, retry_history, last_error, memory_usage_mb, cpu_usage_percent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_Row = Mapping[str, Any]


class Taken(NamedTuple):
    """What was taken over; ``renumbered`` runs had ids that are no numbers."""

    runs: int
    jobs: int
    renumbered: int


def take_over(source: sqlite3.Connection, target: sqlite3.Connection) -> Taken:
    """Write every run and job of an earlier database into one of our schema, which is empty."""
    source.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    jobs_table = _Table(source, "job_history", _JOB_COLUMNS)
    runs_table = _Table(source, "run_summary", _RUN_COLUMNS)
    numbers = _Numbers(source, (jobs_table, runs_table))
    runs = jobs = 0
    for number, rows in groupby(jobs_table.rows(), key=lambda row: numbers.of(row["run_id"])):
        attempts = list(rows)
        kept = [_job(tries) for tries in _by_job(attempts)]
        summaries = list(runs_table.rows(attempts[0]["run_id"]))
        target.execute(_INSERT_RUN, _run(number, attempts, kept, summaries))
        target.executemany(
            _INSERT_JOB, ((number, one.values[0], place, *one.values[1:]) for place, one in enumerate(kept))
        )
        runs += 1
        jobs += len(kept)
    for run_id in runs_table.ids():
        number = numbers.of(run_id)
        if target.execute("SELECT 1 FROM run_metadata WHERE run_id = ?", (number,)).fetchone() is None:
            target.execute(_INSERT_RUN, _run(number, [], [], list(runs_table.rows(run_id))))
            runs += 1
    return Taken(runs, jobs, len(numbers.odd))


class _Table:
    """A table of the earlier tool, whichever of its columns there are."""

    def __init__(self, source: sqlite3.Connection, name: str, columns: Sequence[str]) -> None:
        self._source = source
        self._name = name
        there = {column for (column,) in source.execute("SELECT name FROM pragma_table_info(?)", (name,))}
        self.exists = "run_id" in there
        chosen = (column if column in there else f"NULL AS {column}" for column in columns)
        self._select = f"SELECT {', '.join(chosen)} FROM {name}"
        self._columns = columns
        attempt = ["CAST(attempt_id AS INTEGER)"] if "attempt_id" in there else []
        self._order = ", ".join(["CAST(run_id AS INTEGER)", "run_id", *attempt, *self._inserted()])

    def _inserted(self) -> list[str]:
        """The order of insertion, where the table keeps it."""
        try:
            self._source.execute(f"SELECT rowid FROM {self._name} LIMIT 1")
        except sqlite3.OperationalError:
            return []
        return ["rowid"]

    def rows(self, run_id: object = None) -> Iterator[_Row]:
        """The rows of one run or of all, run by run, attempts in their order."""
        if not self.exists:
            return
        where, values = ("", ()) if run_id is None else (" WHERE run_id = ?", (run_id,))
        for row in self._source.execute(f"{self._select}{where} ORDER BY {self._order}", values):
            yield dict(zip(self._columns, row, strict=True))

    def ids(self) -> list[object]:
        """The ids of all runs, as they are stored."""
        if not self.exists:
            return []
        return [run_id for (run_id,) in self._source.execute(f"SELECT DISTINCT run_id FROM {self._name}")]


class _Numbers:
    """The numbers of runs: their ids, and where those are no numbers, new ones above all others."""

    def __init__(self, source: sqlite3.Connection, tables: Sequence[_Table]) -> None:
        ids = [run_id for table in tables for run_id in table.ids()]
        self._newest = max((number for number in map(_number, ids) if number is not None), default=0)
        self.odd: dict[object, int] = {}
        for run_id in ids:
            self.of(run_id)

    def of(self, run_id: object) -> int:
        """The number of a run."""
        number = _number(run_id)
        return self.odd.setdefault(run_id, self._newest + 1 + len(self.odd)) if number is None else number


def _number(run_id: object) -> int | None:
    """An id as a number; None if it is none that a run can have."""
    try:
        number = int(run_id) if isinstance(run_id, int | float | str) else 0
    except (ValueError, OverflowError):
        return None
    plain = str(number) == run_id if isinstance(run_id, str) else number == run_id
    return number if plain and 0 < number < 2**62 else None


def _by_job(rows: Sequence[_Row]) -> list[list[_Row]]:
    """A run's rows by job, in the order in which the jobs first appear."""
    found: dict[object, list[_Row]] = {}
    for row in rows:
        found.setdefault(row["id"], []).append(row)
    return list(found.values())


class _Job(NamedTuple):
    """A job's values for ``_INSERT_JOB`` but for run and position, and what a run's status needs of it."""

    values: tuple[object, ...]
    outcome: JobOutcome


def _job(tries: Sequence[_Row]) -> _Job:
    """A job of a run from its rows, one an attempt at the run: the latest counts, the others are kept."""
    last = tries[-1]
    status, reason = _status(last)
    recorded = [entry for row in tries for entry in _attempts(row)]
    entries = [{**entry, "attempt": number} for number, entry in enumerate(recorded, 1)]
    name = str(last["id"])
    description = str(last["description"] or "")
    duration = _float(last["duration_seconds"])
    values = (
        *(name, description, str(last["command"] or ""), status.value, reason),
        *(_int(last["last_exit_code"]), str(last["application_name"] or ""), _time(last["last_run"]), duration),
        *(max(_int(last["retry_count"]) or 0, len(entries) - 1), json.dumps(entries) if entries else None),
        *(last["last_error"], _float(last["memory_usage_mb"]), _float(last["cpu_usage_percent"])),
    )
    return _Job(values, JobOutcome(0, name, description, status, reason or status.value, None))


def _status(row: _Row) -> tuple[JobStatus, str | None]:
    """A job's status in our words, and why it is not a success."""
    recorded = str(row["status"] or "").upper()
    error = str(row["last_error"]) if row["last_error"] else None
    code = _int(row["last_exit_code"])
    if recorded in _CHECKS_FAILED:
        return JobStatus.FAILED, error or _CHECKS_FAILED[recorded]
    if recorded == "RUNNING":
        return JobStatus.INTERRUPTED, "Its runner ended without recording a result"
    if recorded == "PENDING":
        return JobStatus.SKIPPED, "run interrupted"
    if recorded not in JobStatus.__members__:
        return JobStatus.ERROR, error or f'Recorded as "{row["status"]}" by the earlier tool'
    status = JobStatus(recorded)
    if status is JobStatus.SUCCESS:
        return status, None
    if error is None and status is JobStatus.FAILED and code:
        error = f"Killed by signal {-code}" if code < 0 else f"Exit code {code}"
    return status, error


def _attempts(row: _Row) -> list[dict[str, object]]:
    """What a row says of attempts: its own, after those of its ``retry_history``."""
    try:
        listed = json.loads(row["retry_history"] or "[]")
    except (ValueError, TypeError):
        listed = [row["retry_history"]]
    listed = listed if isinstance(listed, list) else [listed]
    entries = [_attempt(one) for one in listed]
    status, reason = _status(row)
    if status is JobStatus.SKIPPED:
        return entries
    own = _entry(status.value, reason, _int(row["last_exit_code"]), _time(row["last_run"]))
    own["duration_seconds"] = _float(row["duration_seconds"])
    if entries and entries[-1]["status"] == status.value and len(entries) > (_int(row["retry_count"]) or 0):
        return entries  # the list has the last attempt already
    return [*entries, own]


def _attempt(recorded: object) -> dict[str, object]:
    """An entry of an earlier ``retry_history``: what can be read of it, and all of it as it was."""
    one: Mapping[str, Any] = recorded if isinstance(recorded, dict) else {}
    status = str(one.get("status") or "FAILED").upper()
    reason = one.get("error") or one.get("reason") or one.get("last_error")
    code = _int(one.get("exit_code", one.get("last_exit_code")))
    at = _time(one.get("timestamp") or one.get("start_time") or one.get("last_run"))
    entry = _entry(status, None if reason is None else str(reason), code, at)
    entry["duration_seconds"] = _float(one.get("duration_seconds", one.get("duration")))
    return {**entry, "earlier": recorded}


def _entry(status: str, reason: str | None, exit_code: int | None, at: str | None) -> dict[str, object]:
    return {
        "attempt": 0,
        "status": status,
        "reason": reason,
        "exit_code": exit_code,
        "start_time": at,
        "end_time": None,
        "duration_seconds": None,
        "log_start": None,
        "log_end": None,
    }


def _run(number: int, rows: Sequence[_Row], jobs: Sequence[_Job], summaries: Sequence[_Row]) -> tuple[object, ...]:
    """The values of ``_INSERT_RUN``: what was summed up of a run, and for the rest what its jobs tell."""
    last: _Row = summaries[-1] if summaries else dict.fromkeys(_RUN_COLUMNS)
    # an attempt that was killed has jobs, but nobody summed it up
    summed_up = _int(last["attempt_id"])
    newest = max((_int(row["attempt_id"]) or 0 for row in rows), default=0)
    complete = bool(summaries) and (summed_up is None or newest <= summed_up)
    outcomes = [job.outcome for job in jobs if job.outcome.status is not JobStatus.SUCCESS]
    statuses = [job.outcome.status for job in jobs]
    completed, failed, skipped = (
        (
            statuses.count(JobStatus.SUCCESS),
            sum(status in FAILURES for status in statuses),
            statuses.count(JobStatus.SKIPPED),
        )
        if jobs
        else (_int(last[name]) or 0 for name in ("completed_jobs", "failed_jobs", "skipped_jobs"))
    )
    total = max(len(jobs), _int(last["total_jobs"]) or 0)
    starts = [_time(one["start_time"]) or _time(one["created_at"], utc=True) for one in summaries]
    times = [at for at in (_time(row["last_run"]) for row in rows) if at is not None]
    start = min([at for at in starts if at is not None] or times, default=None)
    end = _time(last["end_time"]) if complete else max(times, default=None)
    name = last["application_name"] or (rows[-1]["application_name"] if rows else None)
    return (
        *(number, number, _text(last["config_path"]), _text(last["working_dir"]), str(name or "")),
        *(
            _run_status(last["status"] if complete else None, outcomes, len(jobs), total).value,
            total,
            completed,
            failed,
            skipped,
        ),
        *(
            start,
            end,
            _between(start, end),
            _int(last["exit_code"]) if complete else None,
            failure_summary(outcomes, None),
        ),
    )


def _run_status(recorded: object, outcomes: Sequence[JobOutcome], jobs: int, total: int) -> RunStatus:
    """A run's status from its jobs; what was recorded for it counts where it is worse."""
    word = str(recorded or "").upper()
    known = RunStatus(word) if word in RunStatus.__members__ else None
    if not jobs:
        return RunStatus.INTERRUPTED if known in (None, RunStatus.RUNNING) else known or RunStatus.INTERRUPTED
    stopped = any(one.status is JobStatus.INTERRUPTED for one in outcomes) or jobs < total
    status = run_status(outcomes, stopped=stopped)
    if status is not RunStatus.SUCCESS:
        return status
    if known in (RunStatus.FAILED, RunStatus.INTERRUPTED, RunStatus.PARTIAL):
        return known
    return RunStatus.INTERRUPTED if jobs < total else status


def _time(value: object, *, utc: bool = False) -> str | None:
    """A time of the earlier tool, local unless it says otherwise, as we store it; None if it is none."""
    from datetime import UTC, datetime

    try:
        if isinstance(value, int | float):
            return utc_text(value)
        at = datetime.fromisoformat(str(value))
        return utc_text((at.replace(tzinfo=UTC) if utc and at.tzinfo is None else at).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def _between(start: str | None, end: str | None) -> float | None:
    from executioner.times import from_utc_text

    return None if start is None or end is None else max(0.0, from_utc_text(end) - from_utc_text(start))


def _int(value: Any) -> int | None:
    try:
        return None if value is None else int(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _float(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (ValueError, TypeError):
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)
