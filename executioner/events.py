"""What the scheduler tells its listeners, in the order in which it happened.

``at`` is wall clock time; durations were measured with the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from executioner.model import Attempt, Job, JobStatus
from executioner.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


class AttemptStarting(Record):
    """A job's command is about to be started; committed before it is."""

    at: float
    job: Job
    number: int
    of: int
    log_path: str


class AttemptFailed(Record):
    """An attempt ended and will be followed by another after ``retry_in_s``."""

    at: float
    job: Job
    attempts: Sequence[Attempt]
    of: int
    elapsed_s: float
    retry_in_s: float


class JobEnded(Record):
    """A job has its final status.

    ``duration_s`` is first start to last end, waits included, and None if it never came to
    a start; ``memory_mb`` and ``cpu_percent`` are None where unknown.
    """

    at: float
    job: Job
    status: JobStatus
    reason: str | None
    exit_code: int | None
    duration_s: float | None
    attempts: Sequence[Attempt]
    memory_mb: float | None
    cpu_percent: float | None
    log_path: str | None


class JobsSkipped(Record):
    """Jobs that will not run in this run, all for the same reason."""

    at: float
    jobs: Sequence[Job]
    reason: str


class JobsReused(Record):
    """Jobs that count as done because they succeeded, or were marked, in the run that is resumed."""

    at: float
    jobs: Sequence[Job]
    run_id: int


class JobStillRunning(Record):
    """A sign of life of a job that takes long."""

    at: float
    job: Job
    number: int
    of: int
    elapsed_s: float


class RunInterrupted(Record):
    """A signal ends the run. ``grace_s`` 0 means that its jobs are killed at once."""

    at: float
    cause: str
    running: int
    grace_s: float
    key: str


class Warned(Record):
    """Something that the user should know although the run goes on."""

    at: float
    text: str


Event: TypeAlias = (
    AttemptStarting
    | AttemptFailed
    | JobEnded
    | JobsSkipped
    | JobsReused
    | JobStillRunning
    | RunInterrupted
    | Warned
)
