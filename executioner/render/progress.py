"""The lines that tell how a run gets on, one event at a time."""

from __future__ import annotations

from collections.abc import Sequence

from executioner.events import (
    AttemptFailed,
    AttemptStarting,
    Event,
    JobEnded,
    JobsReused,
    JobsSkipped,
    JobStillRunning,
    RunInterrupted,
    Warned,
)
from executioner.model import JobStatus
from executioner.render.text import Palette, count, duration, safe


def started_line(run_id: int, name: str, jobs: int, workers: int, resumes: int | None = None) -> str:
    """The first line of a run; ``resumes`` is the run that it goes on with."""
    parent = "" if resumes is None else f", resumes run {resumes}"
    return f"Run {run_id} started: {safe(name)}, {count(jobs, 'job')}, {count(workers, 'worker')}{parent}"


def event_line(event: Event, done: int, total: int, palette: Palette) -> str | None:
    """What an event says to a reader, without its time; None for a warning or an interruption, told apart.

    ``done`` jobs of ``total`` have their final status, the event included.
    """
    counter = f"[{done}/{total}]"
    match event:
        case JobEnded(job=job, status=status, reason=reason, duration_s=elapsed):
            time = f" {duration(elapsed)}" if elapsed is not None else ""
            if status is JobStatus.SUCCESS:
                return f"{counter} {palette.good} {job.id}{time}"
            return f"{counter} {palette.bad} {job.id}{time} {safe(reason or status)}"
        case AttemptFailed(_, job, attempts, of, elapsed, wait):
            reason = safe(attempts[-1].reason or "")
            attempt = f"attempt {len(attempts)} of {of}, next in {duration(wait)}"
            return f"{counter} {palette.bad} {job.id} {duration(elapsed)} {reason}, {attempt}"
        case JobStillRunning(_, job, number, of, elapsed):
            attempt = f", attempt {number} of {of}" if number > 1 else ""
            return f"{counter} > {job.id} running {duration(elapsed)}{attempt}"
        case JobsSkipped(_, jobs, reason):
            return f"{counter} {palette.idle} {count(len(jobs), 'job')} skipped ({safe(reason)})"
        case JobsReused(_, jobs, run_id):
            return f"{counter} {palette.good} {count(len(jobs), 'job')} reused from run {run_id}"
        case AttemptStarting(_, job, number, of):
            attempt = f", attempt {number} of {of}" if number > 1 else ""
            return f"{counter} > {job.id} started{attempt}: {safe(job.command)}"
        case RunInterrupted() | Warned():
            return None


def interrupted_line(event: RunInterrupted) -> str:
    """What the runner does about a signal, for the error stream."""
    jobs = count(event.running, "running job")
    if not event.running:
        return "Interrupted: no job was running"
    if not event.grace_s:
        return f"Interrupted: killing {jobs}"
    return f"Interrupted: ending {jobs}, up to {duration(event.grace_s)} ({event.key} again kills at once)"


def output_lines(tail: Sequence[str]) -> list[str]:
    """The last lines of a failed job's output, set off below its line."""
    return [f"         | {safe(line)}" for line in tail]
