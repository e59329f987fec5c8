"""What a run's end means: its status, its exit code, and one line about it.

All of it is a function of the jobs' statuses and of what stopped the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from executioner.lean import signal
from executioner.model import FAILURES, JobStatus, RunStatus
from executioner.record import Record
from executioner.render.text import few

#: As many names as one line can hold before the rest is counted.
MOST_NAMES = 5
_SIGNAL_EXITS: Mapping[int, int] = {
    signal.SIGHUP: 129,
    signal.SIGINT: 130,
    signal.SIGQUIT: 131,
    signal.SIGTERM: 143,
}
#: Why jobs are SKIPPED because somebody asked for it, as the history keeps it.
BY_SKIP = "--skip"
BY_FROM_JOB = "--from-job"  # before the job that is started with
BY_FAILED_ONLY = "--resume-failed-only"
NOT_AFTER = "left out by --from-job"  # neither before nor after it
#: What depends on such jobs may run; a resume takes that over.
COUNT_AS_DONE = frozenset({BY_SKIP, BY_FROM_JOB})
#: Such jobs are still to be run.
LEFT_OUT = frozenset({BY_FAILED_ONLY, NOT_AFTER})
ON_REQUEST = COUNT_AS_DONE | LEFT_OUT


class JobOutcome(Record):
    """A job that did not succeed, as far as a summary tells of it."""

    position: int
    id: str
    description: str
    status: JobStatus
    reason: str
    log_path: str | None


def run_status(outcomes: Sequence[JobOutcome], *, stopped: bool) -> RunStatus:
    """A run's status from its jobs without SUCCESS.

    ``stopped`` says that a signal, or a history that could not be written, ended the run;
    if that left nothing undone, the jobs alone decide.
    """
    unfinished = any(
        one.status is JobStatus.INTERRUPTED or (one.status is JobStatus.SKIPPED and one.reason not in ON_REQUEST)
        for one in outcomes
    )
    if stopped and unfinished:
        return RunStatus.INTERRUPTED
    if any(one.status in FAILURES for one in outcomes):
        return RunStatus.FAILED
    return RunStatus.PARTIAL if outcomes else RunStatus.SUCCESS


def exit_code(status: RunStatus, signal_number: int | None) -> int:
    """The program's exit code for a run that could be recorded."""
    if status is RunStatus.INTERRUPTED:
        return _SIGNAL_EXITS[signal_number or signal.SIGINT]
    return 1 if status is RunStatus.FAILED else 0


def failure_summary(outcomes: Sequence[JobOutcome], cause: str | None) -> str | None:
    """What failed and why, for lists of runs; None where nothing did."""
    troubled = [one for one in outcomes if one.status is not JobStatus.SKIPPED]
    parts = [f"{one.id}: {one.reason}" for one in troubled[:MOST_NAMES]]
    if len(troubled) > MOST_NAMES:
        parts.append(f"and {len(troubled) - MOST_NAMES} more")
    if cause is not None:
        parts.insert(0, cause)
    return "; ".join(parts) or None


def verdict(run_id: int, name: str, status: RunStatus, outcomes: Sequence[JobOutcome], cause: str | None) -> str:
    """``Run 249 FAILED: transform_part2 (data_pipeline)``."""
    if status is RunStatus.INTERRUPTED:
        return f"Run {run_id} {status}: {cause} ({name})"
    failed = [one.id for one in outcomes if one.status in FAILURES]
    return f"Run {run_id} {status}: {few(failed, MOST_NAMES)} ({name})"


def signal_name(number: int) -> str:
    """``SIGKILL``; of the real-time signals only the first and the last have a name."""
    names = (name for name in sorted(dir(signal)) if name.startswith("SIG") and not name.startswith("SIG_"))
    return next((name for name in names if getattr(signal, name) == number), f"signal {number}")
