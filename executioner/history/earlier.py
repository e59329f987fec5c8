"""Taking over the database of the tool before this one.

It has ``job_history`` and, from some version on, ``run_summary``; columns vary between
its versions, run ids may be text, a run may have several attempts, times are local and
without a zone. What it recorded is kept; what it did not record stays NULL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from executioner.history.earlier_tables import NOTHING, Numbers, Row, Table, run_number
from executioner.history.earlier_values import instant, integer, real, stored, text
from executioner.history.liveness import NO_RESULT
from executioner.history.sqlite import sqlite3
from executioner.model import FAILURES, JobStatus, RunStatus
from executioner.record import Record
from executioner.verdict import JobOutcome, failure_summary, run_status, signal_name

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
_WORSE = {
    RunStatus.SUCCESS: (RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.INTERRUPTED),
    RunStatus.PARTIAL: (RunStatus.FAILED, RunStatus.INTERRUPTED),
}
_INSERT_RUN = """
INSERT INTO run_metadata (run_id, root_run_id, config_path, working_dir, application_name, status, total_jobs,
    completed_jobs, failed_jobs, skipped_jobs, start_time, end_time, duration_seconds, exit_code,
    failure_summary, options) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_JOB = """
INSERT INTO job_history (run_id, position, id, description, command, status, reason, exit_code, application_name,
    last_run, duration_seconds, retry_count, retry_history, last_error, memory_usage_mb, cpu_usage_percent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class Taken(Record):
    """What was taken over; ``renumbered`` are the runs whose ids were no numbers, with the new ones."""

    runs: int
    jobs: int
    renumbered: Mapping[object, int]


def take_over(source: sqlite3.Connection, target: sqlite3.Connection) -> Taken:
    """Write every run and job of an earlier database into one of our schema, which is empty."""
    source.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    jobs_table = Table(source, "job_history", _JOB_COLUMNS)
    runs_table = Table(source, "run_summary", _RUN_COLUMNS)
    numbers = Numbers([*jobs_table.ids(), *runs_table.ids()])
    numbers.number_the_odd(
        lambda run_id: _start(list(jobs_table.rows(run_id)), list(runs_table.rows(run_id))) or 0.0
    )
    jobs = 0
    for number, ids in sorted(numbers.ids.items()):
        rows = [row for run_id in ids for row in jobs_table.rows(run_id)]
        summaries = [row for run_id in ids for row in runs_table.rows(run_id)]
        kept = [_job(name, tries) for name, tries in _by_job(rows).items()]
        target.execute(_INSERT_RUN, _run(number, ids[0], rows, kept, summaries))
        target.executemany(_INSERT_JOB, ((number, place, *one.values) for place, one in enumerate(kept)))
        jobs += len(kept)
    return Taken(len(numbers.ids), jobs, numbers.odd)


def _by_job(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """A run's rows by job, in the order in which the jobs first appear; attempts in theirs."""
    found: dict[str | None, list[Row]] = {}
    for row in sorted(rows, key=lambda row: integer(row["attempt_id"]) or 0):
        found.setdefault(None if row["id"] is None else str(row["id"]), []).append(row)
    if None in found:  # a row without a name
        name = "unnamed"
        while name in found:
            name += "_"
        return {name if job is None else job: tries for job, tries in found.items()}
    return {job: tries for job, tries in found.items() if job is not None}


class _Job(Record):
    """A job's values for ``_INSERT_JOB`` but for run and position, and what a run's status needs of it."""

    values: tuple[object, ...]
    outcome: JobOutcome


def _job(name: str, tries: Sequence[Row]) -> _Job:
    """A job of a run from its rows, one an attempt at the run: the latest counts, the others are kept."""
    last = tries[-1]
    entries: list[dict[str, object]] = []
    for row in tries:
        verdict = _verdict(row["status"], row["last_error"], integer(row["last_exit_code"]))
        entries += _attempts(row, *verdict)
    for number, entry in enumerate(entries, 1):
        entry["attempt"] = number
    status, reason = verdict
    description = str(last["description"] or "")
    retries = max(integer(last["retry_count"]) or 0, len(entries) - 1, 0)
    at = instant(last["last_run"])
    values = (
        *(name, description, str(last["command"] or ""), status.value, reason, integer(last["last_exit_code"])),
        *(str(last["application_name"] or ""), stored(at), real(last["duration_seconds"])),
        *(retries, json.dumps(entries) if entries else None, text(last["last_error"]) or _last_error(entries)),
        *(real(last["memory_usage_mb"]), real(last["cpu_usage_percent"])),
    )
    return _Job(values, JobOutcome(0, name, description, status, reason or status.value, None))


def _last_error(entries: Sequence[Mapping[str, object]]) -> object:
    """The reason of the last attempt that failed."""
    return next((entry["reason"] for entry in reversed(entries) if entry["status"] != JobStatus.SUCCESS), None)


def _verdict(recorded: object, error: object, code: int | None) -> tuple[JobStatus, str | None]:
    """A status in our words, and why it is not a success."""
    word = str(recorded or "").upper()
    reason = str(error) if error else None
    if word in _CHECKS_FAILED:
        return JobStatus.FAILED, reason or _CHECKS_FAILED[word]
    if word == "RUNNING":
        return JobStatus.INTERRUPTED, NO_RESULT
    if word == "PENDING":
        return JobStatus.SKIPPED, "run interrupted"
    if word not in JobStatus.__members__:
        unknown = "No status was recorded" if recorded is None else f'Recorded as "{recorded}"'
        return JobStatus.ERROR, reason or f"{unknown} by the earlier tool"
    status = JobStatus(word)
    if status is JobStatus.SUCCESS:
        return status, None
    if reason is None and status is JobStatus.FAILED and code:
        reason = f"Killed by {signal_name(-code)}" if code < 0 else f"Exit code {code}"
    return status, reason


def _attempts(row: Row, status: JobStatus, reason: str | None) -> list[dict[str, object]]:
    """What a row says of attempts: its own, after those of its ``retry_history``."""
    entries = [_attempt(one) for one in _listed(row["retry_history"])]
    if status is JobStatus.SKIPPED:
        return entries
    if entries and entries[-1]["status"] == status.value and len(entries) > (integer(row["retry_count"]) or 0):
        return entries  # the list has the last attempt already
    own = _entry(status.value, reason, integer(row["last_exit_code"]), row["last_run"], row["duration_seconds"])
    return [*entries, own]


def _listed(history: object) -> list[object]:
    """The entries of an earlier ``retry_history``; what is no list is one entry as it is."""
    if history is None or history == "":
        return []
    if isinstance(history, bytes):
        history = history.decode("utf-8", "backslashreplace")
    try:
        listed = json.loads(str(history), parse_constant=lambda name: None, parse_float=real)
        json.dumps(listed)  # what is nested too deep for that is kept as text
    except (ValueError, RecursionError):
        return [history]
    if listed is None:
        return []
    return listed if isinstance(listed, list) else [listed]


def _attempt(recorded: object) -> dict[str, object]:
    """An entry of an earlier ``retry_history``: what can be read of it, and all of it as it was."""
    one: Mapping[str, Any] = recorded if isinstance(recorded, dict) else {}
    code = integer(one.get("exit_code", one.get("last_exit_code")))
    error = one.get("error") or one.get("reason") or one.get("last_error")
    status, reason = _verdict(one.get("status") or "FAILED", error, code)
    at = one.get("timestamp") or one.get("start_time") or one.get("last_run")
    entry = _entry(status.value, reason, code, at, one.get("duration_seconds", one.get("duration")))
    return {**entry, "earlier": recorded}


def _entry(
    status: str, reason: str | None, exit_code: int | None, at: object, duration: object
) -> dict[str, object]:
    return {
        "attempt": 0,
        "status": status,
        "reason": reason,
        "exit_code": exit_code,
        "start_time": stored(instant(at)),
        "end_time": None,
        "duration_seconds": real(duration),
        "log_start": None,
        "log_end": None,
    }


def _run(
    number: int, run_id: object, rows: Sequence[Row], jobs: Sequence[_Job], summaries: Sequence[Row]
) -> tuple[object, ...]:
    """The values of ``_INSERT_RUN``: what was summed up of a run, and for the rest what its jobs tell."""
    last = summaries[-1] if summaries else NOTHING
    # an attempt that was killed has jobs, but nobody summed it up
    summed_up = integer(last["attempt_id"])
    newest = max((integer(row["attempt_id"]) or 0 for row in rows), default=0)
    complete = bool(summaries) and (summed_up is None or newest <= summed_up)
    statuses = [job.outcome.status for job in jobs]
    completed, failed, skipped = (
        (
            statuses.count(JobStatus.SUCCESS),
            sum(status in FAILURES for status in statuses),
            statuses.count(JobStatus.SKIPPED),
        )
        if jobs
        else (integer(last[name]) or 0 for name in ("completed_jobs", "failed_jobs", "skipped_jobs"))
    )
    total = max(len(jobs), integer(last["total_jobs"]) or 0)
    outcomes = [job.outcome for job in jobs if job.outcome.status is not JobStatus.SUCCESS]
    status = _run_status(last["status"] if complete else None, outcomes, len(jobs), total)
    start = _start(rows, summaries)
    end = _end(last["end_time"], start) if complete else None
    name = last["application_name"] or (rows[-1]["application_name"] if rows else None)
    odd = None if run_number(run_id) is not None else json.dumps({"earlier_run_id": text(run_id)})
    return (
        *(number, number, text(last["config_path"]), text(last["working_dir"]), str(name or "")),
        *(status.value, total, completed, failed, skipped, stored(start), stored(end)),
        None if start is None or end is None else max(0.0, end - start),
        *(integer(last["exit_code"]) if complete else None, failure_summary(outcomes, None), odd),
    )


def _start(rows: Sequence[Row], summaries: Sequence[Row]) -> float | None:
    """When a run began: as summed up, else when its first job did."""
    starts = [instant(one["start_time"]) or instant(one["created_at"], utc=True) for one in summaries]
    known = [at for at in starts if at is not None]
    return min(known or [at for at in (instant(row["last_run"]) for row in rows) if at is not None], default=None)


def _end(recorded: object, start: float | None) -> float | None:
    """When a run ended: of an hour that occurs twice the second one, where the first was before the start."""
    end = instant(recorded)
    if start is not None and end is not None and end < start:
        later = instant(recorded, fold=1)
        return later if later is not None and later >= start else end
    return end


def _run_status(recorded: object, outcomes: Sequence[JobOutcome], jobs: int, total: int) -> RunStatus:
    """A run's status from its jobs; what was recorded for it counts where it is worse."""
    word = str(recorded or "").upper()
    known = RunStatus(word) if word in RunStatus.__members__ else None
    if not jobs:
        return known if known not in (None, RunStatus.RUNNING) else RunStatus.INTERRUPTED
    stopped = any(one.status is JobStatus.INTERRUPTED for one in outcomes) or jobs < total
    status = run_status(outcomes, stopped=stopped)
    if known in _WORSE.get(status, ()):
        return known
    return RunStatus.INTERRUPTED if status is RunStatus.SUCCESS and jobs < total else status
