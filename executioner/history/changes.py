"""What events change in the history: the columns of jobs' rows and of the run's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from executioner.events import AttemptFailed, AttemptStarting, Event, JobEnded, JobsSkipped
from executioner.jsontext import dumps
from executioner.model import Attempt, RunStatus
from executioner.record import Record
from executioner.times import utc_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

#: A job's id and the columns of its row that change.
JobChange: TypeAlias = tuple[str, dict[str, object]]


class RunEnd(Record):
    """How a run ended."""

    status: RunStatus
    exit_code: int
    ended_at: float
    duration_s: float
    completed: int
    failed: int
    skipped: int
    failure_summary: str | None


#: What sets a run's counts to what its jobs' rows say.
COUNTED = ", ".join(
    f"{column} = (SELECT count(*) FROM job_history job"
    f" WHERE job.run_id = run_metadata.run_id AND job.status IN ({statuses}))"
    for column, statuses in (
        ("completed_jobs", "'SUCCESS'"),
        ("failed_jobs", "'FAILED', 'TIMEOUT', 'ERROR'"),
        ("skipped_jobs", "'SKIPPED'"),
    )
)
_NEVER_STARTED = {"start_time": None, "last_run": None, "log_path": None}


def changes(event: Event) -> Sequence[JobChange]:
    """What an event changes in the rows of jobs."""
    match event:
        case JobEnded():
            return ((event.job.id, _ended(event)),)
        case AttemptStarting(at, job, number, _, log_path):
            now = utc_text(at)
            columns: dict[str, object] = {"status": "RUNNING", "last_run": now, "log_path": log_path}
            if number == 1:
                columns["start_time"] = now
            else:
                columns["retry_count"] = number - 1
            return ((job.id, columns),)
        case AttemptFailed(_, job, attempts):
            last = attempts[-1]
            failed: dict[str, object] = {
                "exit_code": last.exit_code,
                "last_error": last.reason,
                "retry_history": _attempts_json(attempts),
            }
            return ((job.id, failed),)
        case JobsSkipped(_, jobs, reason):
            # it may have been about to start: what was noted of that did not come true
            return [(job.id, {"status": "SKIPPED", "reason": reason, **_NEVER_STARTED}) for job in jobs]
        case _:
            return ()


def _ended(event: JobEnded) -> dict[str, object]:
    attempts = event.attempts
    columns: dict[str, object] = {
        "status": event.status.value,
        "reason": event.reason,
        "exit_code": event.exit_code,
        "end_time": utc_text(attempts[-1].ended_at if attempts else event.at),
        "duration_seconds": event.duration_s,
        "retry_count": max(0, len(attempts) - 1),
        "retry_history": _attempts_json(attempts),
        "memory_usage_mb": event.memory_mb,
        "cpu_usage_percent": event.cpu_percent,
    }
    if event.reason is not None:
        columns["last_error"] = event.reason
    return columns


def run_columns(end: RunEnd) -> dict[str, object]:
    """A run's end as columns of its row."""
    return {
        "status": end.status.value,
        "exit_code": end.exit_code,
        "end_time": utc_text(end.ended_at),
        "duration_seconds": end.duration_s,
        "completed_jobs": end.completed,
        "failed_jobs": end.failed,
        "skipped_jobs": end.skipped,
        "failure_summary": end.failure_summary,
    }


def _attempts_json(attempts: Sequence[Attempt]) -> str:
    """The attempts as JSON, as ``json.dumps`` would write them: most are one success, and it would take 10 µs."""
    return f"[{', '.join(map(_attempt_json, attempts))}]"


def _attempt_json(attempt: Attempt) -> str:
    reason = "null" if attempt.reason is None else dumps(attempt.reason)
    exit_code = "null" if attempt.exit_code is None else attempt.exit_code
    log_start = "null" if attempt.log_start is None else attempt.log_start
    log_end = "null" if attempt.log_end is None else attempt.log_end
    return (
        f'{{"attempt": {attempt.number}, "status": "{attempt.status.value}", "reason": {reason},'
        f' "exit_code": {exit_code}, "start_time": "{utc_text(attempt.started_at)}",'
        f' "end_time": "{utc_text(attempt.ended_at)}", "duration_seconds": {round(attempt.duration_s, 6)!r},'
        f' "log_start": {log_start}, "log_end": {log_end}}}'
    )


def set_statement(table: str, columns: Iterable[str], where: str) -> str:
    """An UPDATE of some columns, whose names are ours."""
    return f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} WHERE {where}"
