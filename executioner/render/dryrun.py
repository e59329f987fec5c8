"""What a run would do, as a screen and as data for scripts."""

from collections.abc import Iterator, Mapping

from executioner.model import Job
from executioner.plan import Action, Plan, starting_order
from executioner.render.command import Invocation
from executioner.render.text import Palette, count, limit, safe, shown_path

DurationsByJob = Mapping[str, list[float]]


def plan_lines(
    plan: Plan,
    durations_s: DurationsByJob,
    invocation: Invocation,
    palette: Palette,
    cwd: str,
    *,
    verbose: bool,
) -> Iterator[str]:
    """The preview of a fresh run, line by line."""
    workflow = plan.workflow
    title = f"DRY RUN - {safe(workflow.name)}"
    yield title
    yield "=" * len(title)
    skipped = plan.jobs(Action.SKIP)
    if skipped:
        yield "Would skip on request (counts as done for what depends on it):"
        for job in skipped:
            yield f"  {palette.idle} {job.id}"
        yield ""
    if plan.workers > 1:
        yield f"Would execute, up to {plan.workers} at a time, about in this order:"
    else:
        yield "Would execute, in this order, one at a time:"
    left_out = {job.id for job in skipped}
    number = 0
    for job in starting_order(plan, durations_s):
        number += 1
        yield f"  {palette.idle} {job.id}{_particulars(job, left_out)}"
        if verbose:
            yield f"      {safe(job.command)}"
            yield f"      in {safe(shown_path(job.working_dir, cwd))}{_retries(job)}"
    if not number:
        yield "  (nothing)"
    yield from _limits(plan)
    yield ""
    rest = f", {len(skipped)} left out" if skipped else ""
    yield f"Total: {count(number, 'job')} to execute{rest}"
    yield ""
    yield "Nothing was run. To run it:"
    yield "  " + invocation.run(*(word for job in skipped for word in ("--skip", job.id)))


def _particulars(job: Job, left_out: set[str]) -> str:
    parts = []
    if job.dependencies:
        names = [f"{name} (skipped)" if name in left_out else name for name in job.dependencies]
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


def plan_object(plan: Plan, durations_s: DurationsByJob) -> dict[str, object]:
    """The same as data: the jobs to execute in their order, and those left out."""
    workflow = plan.workflow
    return {
        "application_name": workflow.name,
        "config_path": workflow.config_path,
        "workers": plan.workers,
        "continue_on_error": plan.continue_on_error,
        "execute": [
            {
                "id": job.id,
                "command": job.command,
                "dependencies": list(job.dependencies),
                "working_dir": job.working_dir,
                "timeout_seconds": job.timeout_s,
                "max_retries": job.retry.max_retries,
            }
            for job in starting_order(plan, durations_s)
        ],
        "skip": [{"id": job.id, "reason": "--skip"} for job in plan.jobs(Action.SKIP)],
    }
