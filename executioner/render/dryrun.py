"""What a run would do, as a screen and as data for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from executioner.model import Job
from executioner.plan import Action, Plan, starting_order
from executioner.render.text import Palette, count, limit, safe, shown_path
from executioner.verdict import BY_FAILED_ONLY, BY_FROM_JOB, BY_SKIP, NOT_AFTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

#: Past durations a job, in seconds.
DurationsByJob: TypeAlias = Mapping[str, list[float]]


def plan_lines(
    plan: Plan,
    durations_s: DurationsByJob,
    command: str,
    palette: Palette,
    cwd: str,
    unproven: Mapping[str, str] | None = None,
    *,
    verbose: bool,
) -> Iterator[str]:
    """The preview of a fresh run, line by line.

    ``command`` is the one that runs it; ``unproven`` are the jobs that count as done without a SUCCESS on
    record, with what is on record instead.
    """
    workflow = plan.workflow
    title = f"DRY RUN - {safe(workflow.name)}"
    yield title
    yield "=" * len(title)
    for reason, positions in plan.passed_over().items():
        yield passed_over_title(reason, len(positions))
        for position in positions:
            name = workflow.jobs[position].id
            record = (unproven or {}).get(name)
            yield f"  {palette.idle} {name}{f' (no SUCCESS on record: {safe(record)})' if record else ''}"
        yield ""
    if plan.workers > 1:
        yield f"Would execute, up to {plan.workers} at a time, about in this order:"
    else:
        yield "Would execute, in this order, one at a time:"
    skipped = {plan.workflow.jobs[position].id: reason for position, reason in plan.reasons.items()}
    number = 0
    for job in starting_order(plan, durations_s):
        number += 1
        yield f"  {palette.idle} {job.id}{_particulars(job, skipped)}"
        if verbose:
            yield f"      {safe(job.command)}"
            yield f"      in {safe(shown_path(job.working_dir, cwd))}{_retries(job)}"
    if not number:
        yield "  (nothing)"
    yield from _limits(plan)
    yield ""
    rest = f", {len(plan.reasons)} left out" if plan.reasons else ""
    yield f"Total: {count(number, 'job')} to execute{rest}"
    yield ""
    yield "Nothing was run. To run it:"
    yield f"  {command}"


def passed_over_title(reason: str, number: int) -> str:
    """What stands above a group of jobs that do not run."""
    one = number == 1
    return {
        BY_SKIP: "Would skip on request (counts as done for what depends on it):",
        BY_FROM_JOB: f"Would count as done (--from-job starts after {'it' if one else 'them'}):",
        BY_FAILED_ONLY: "Would leave out (--resume-failed-only):",
        NOT_AFTER: f"Would leave out ({'does' if one else 'do'} not depend on the job of --from-job):",
    }[reason]


def _particulars(job: Job, skipped: Mapping[str, str]) -> str:
    parts = []
    if job.dependencies:
        words = {BY_SKIP: " (skipped)", BY_FROM_JOB: " (counts as done)"}
        names = [name + words.get(skipped.get(name, ""), "") for name in job.dependencies]
        parts.append("after " + ", ".join(names))
    if not job.timeout_is_default:
        parts.append(f"limit {limit(job.timeout_s)}" if job.timeout_s is not None else "no time limit")
    return f" ({'; '.join(parts)})" if parts else ""


def _retries(job: Job) -> str:
    retries = job.retry.max_retries
    return f", up to {retries + 1} attempts" if retries else ""


def _limits(plan: Plan) -> Iterator[str]:
    """Where the time limits come from that the jobs' own lines do not name."""
    for job in plan.workflow.jobs:
        if job.timeout_is_default:
            yield ""
            if job.timeout_s is None:
                yield "No time limit (default_timeout) where none is named."
            else:
                yield f"Time limit {limit(job.timeout_s)} (default_timeout) where none is named."
            return


def plan_object(
    plan: Plan, durations_s: DurationsByJob, unproven: Mapping[str, str] | None = None
) -> dict[str, object]:
    """The same as data: the jobs to execute in their order, and those that are not."""
    return {
        **plan_head(plan),
        "execute": [job_object(job) for job in starting_order(plan, durations_s)],
        "skip": [passed_over_object(plan, at, unproven or {}) for at in plan.positions(Action.SKIP)],
        "leave_out": [passed_over_object(plan, at, {}) for at in plan.positions(Action.LEAVE_OUT)],
    }


def plan_head(plan: Plan) -> dict[str, object]:
    """What is said of a plan as a whole."""
    workflow = plan.workflow
    return {
        "application_name": workflow.name,
        "config_path": workflow.config_path,
        "workers": plan.workers,
        "continue_on_error": plan.continue_on_error,
    }


def job_object(job: Job) -> dict[str, object]:
    """What is said of a job that would run."""
    return {
        "id": job.id,
        "command": job.command,
        "dependencies": list(job.dependencies),
        "working_dir": job.working_dir,
        "timeout_seconds": job.timeout_s,
        "max_retries": job.retry.max_retries,
    }


def passed_over_object(plan: Plan, position: int, unproven: Mapping[str, str]) -> dict[str, object]:
    """What is said of a job that is skipped or left out: why, and what is on record instead of a success."""
    name = plan.workflow.jobs[position].id
    found: dict[str, object] = {"id": name, "reason": plan.reasons[position]}
    return {**found, "no_success": unproven[name]} if name in unproven else found
