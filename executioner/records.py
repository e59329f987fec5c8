"""What the history holds, as records: a run, a job of a run, and both as scripts read them.

Field names are those of the database's columns, explained in docs/history.md. Times are
text as stored (``2025-05-23T09:45:00.000000Z``), durations seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from executioner.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Run(Record):
    """One run. What was not recorded (a taken-over run has no user, say) is None."""

    run_id: int
    config_path: str | None
    config_hash: str | None
    parent_run_id: int | None
    total_jobs: int
    completed_jobs: int
    failed_jobs: int
    skipped_jobs: int
    start_time: str | None
    end_time: str | None
    duration_seconds: float | None
    status: str  # RUNNING, SUCCESS, PARTIAL, FAILED or INTERRUPTED
    failure_summary: str | None
    application_name: str
    user: str | None
    host: str | None
    boot_id: str | None
    pid: int | None
    pid_start_ticks: int | None
    root_run_id: int
    working_dir: str | None
    log_path: str | None
    exit_code: int | None
    options: Mapping[str, Any] | None
    executioner_version: str | None
    resumed_by: int | None = None  # the newest run that resumes this one
    resumable: bool = False
    unverified: bool = False  # RUNNING, but whether its process lives cannot be told


class Job(Record):
    """One job of a run."""

    id: str
    position: int
    description: str
    command: str
    status: str
    reason: str | None
    exit_code: int | None
    start_time: str | None
    end_time: str | None
    last_run: str | None
    duration_seconds: float | None
    retry_count: int
    retry_history: Sequence[Mapping[str, Any]] | None
    last_error: str | None
    memory_usage_mb: float | None
    cpu_usage_percent: float | None
    log_path: str | None
    definition: Mapping[str, Any] | None
    source_run_id: int | None
    marked_by: str | None
    marked_at: str | None
    mark_reason: str | None
    max_retries: int | None


class PastJob(Record):
    """What a resume needs to know of a job of the run that is resumed."""

    id: str
    status: str
    reason: str | None = None
    command: str | None = None
    definition: str | None = None  # canonical JSON; None where a run was taken over
    source_run_id: int | None = None
    marked_by: str | None = None
    marked_at: str | None = None
    mark_reason: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether its result can be reused: it succeeded, or a person said that it may count so."""
        return self.status == "SUCCESS" or self.marked_by is not None


def mark_words(job: Job | PastJob) -> str:
    """Who let a marked job count, and why: ``marked as successful by ops: mended by hand``."""
    return f"marked as successful by {job.marked_by}{f': {job.mark_reason}' if job.mark_reason else ''}"


class RunDetails(Record):
    """A run and its jobs in config order."""

    run: Run
    jobs: Sequence[Job]

    def as_object(self) -> dict[str, object]:
        """The run as ``--format json`` prints it."""
        return {**self.run._asdict(), "jobs": [job._asdict() for job in self.jobs]}


RUN_COLUMNS = Run._fields[: Run._fields.index("resumed_by")]
JOB_COLUMNS = Job._fields
