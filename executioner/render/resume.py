"""What resuming a run would do, as a screen and as data; and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from executioner.definition import NAMES, TEXTS, Change
from executioner.model import JobStatus
from executioner.plan import RUNS, Action, starting_order
from executioner.render.dryrun import DurationsByJob, job_object, passed_over_object, passed_over_title, plan_head
from executioner.render.summary import LISTED_OF_MANY, MOST_LISTED
from executioner.render.text import Palette, count, safe
from executioner.resume import ResumePlan
from executioner.verdict import BY_FROM_JOB, BY_SKIP


def resume_lines(
    resume: ResumePlan, run_id: int, taken_over: str, palette: Palette, *, verbose: bool
) -> Iterator[str]:
    """The preview of a resume, line by line.

    Args:
        resume: the plan.
        run_id: the run that is resumed.
        taken_over: flags of that run that are taken over, as they are typed; empty if there are none.
        palette: colours and symbols.
        verbose: whether the reason is shown for each job.
    """
    title = f"RESUME DRY RUN - Run ID {run_id}"
    yield title
    yield "=" * len(title)
    if taken_over:
        yield f"Taken over from run {run_id}: {taken_over}"
        yield ""
    for heading, mark, positions in _groups(resume, palette):
        if positions:
            yield heading
            for position in positions:
                yield f"  {mark} {_name(resume, position)}{_note(resume, position, verbose)}"
                if verbose and position in resume.changed:
                    yield from (f"    {safe(line)}" for line in change_lines(resume.changed[position]))
            yield ""
    if resume.removed:
        yield f"No longer in the config (left as {'it was' if len(resume.removed) == 1 else 'they were'}):"
        for name in resume.removed:
            yield f"  {palette.idle} {safe(name)}"
        yield ""
    plan = resume.plan
    running, reused = len(plan.positions(*RUNS)), len(plan.positions(Action.REUSE))
    rest = f", {len(plan.reasons)} left out" if plan.reasons else ""
    yield f"Total: {count(running, 'job')} to execute, {count(reused, 'job')} to skip{rest}"


def _groups(resume: ResumePlan, palette: Palette) -> Iterator[tuple[str, str, Sequence[int]]]:
    """The groups of jobs: what stands above them, their mark, and their positions."""
    plan, past, changed = resume.plan, resume.past, resume.changed
    reused = plan.positions(Action.REUSE)
    retried = [at for at in plan.positions(Action.RETRY) if at not in resume.rerun]
    failed = [at for at in retried if past[at].status != JobStatus.INTERRUPTED]
    interrupted = [at for at in retried if past[at].status == JobStatus.INTERRUPTED]
    again = [at for at in plan.positions(*RUNS) if at in resume.rerun]
    executed = [at for at in plan.positions(Action.EXECUTE) if at not in resume.rerun]
    succeeded = [at for at in executed if at in past and past[at].is_done]
    added = [at for at in executed if at not in past]
    rest = [at for at in executed if at in past and not past[at].is_done]
    same = [at for at in reused if at not in changed]
    kept = [at for at in reused if at in changed]
    yield f"Would skip successful {_jobs(same)}:", palette.good, same
    results = "result of a job" if len(kept) == 1 else "results of jobs"
    yield f"Would keep the {results} changed since:", palette.good, kept
    yield f"Would retry failed {_jobs(failed)}:", palette.bad, failed
    yield f"Would retry interrupted {_jobs(interrupted)}:", palette.bad, interrupted
    yield "Would run again, changed since or after such a job:", palette.idle, again
    yield f"Would run successful {_jobs(succeeded)} again, as asked:", palette.idle, succeeded
    yield f"Would execute remaining {_jobs(rest)}:", palette.idle, rest
    yield f"Would execute {_jobs(added)} added since:", palette.idle, added
    for reason, positions in plan.passed_over().items():
        yield passed_over_title(reason, len(positions)), palette.idle, positions


def _jobs(positions: Sequence[int]) -> str:
    return "job" if len(positions) == 1 else "jobs"


def _name(resume: ResumePlan, position: int) -> str:
    return resume.plan.workflow.jobs[position].id


def _note(resume: ResumePlan, position: int, verbose: bool) -> str:
    """What follows a job's name: why, where that is wanted; what must always be seen."""
    if verbose:
        return f" - {safe(resume.why(position))}"
    past = resume.past.get(position)
    notes = []
    if past is not None and past.marked_by is not None:
        notes.append(f"marked by {past.marked_by}{f': {past.mark_reason}' if past.mark_reason else ''}")
    reason = resume.plan.reasons.get(position)
    if reason == BY_FROM_JOB:
        notes.append("no SUCCESS on record")
    elif reason == BY_SKIP and past is not None and not past.is_done and past.status != JobStatus.SKIPPED:
        notes.append(f"{past.status} in run {resume.plan.parent_run_id}")
    if position in resume.changed:
        notes.append(f"changed: {', '.join(resume.changed[position].parts())}")
    return f" ({safe('; '.join(notes))})" if notes else ""


def resume_object(
    resume: ResumePlan, run_id: int, root_run_id: int, options: Mapping[str, object], durations_s: DurationsByJob
) -> dict[str, object]:
    """The same as data for scripts: ``options`` are the flags of the run, what it takes over included."""
    plan, past = resume.plan, resume.past
    counted = [at for at, reason in plan.reasons.items() if reason == BY_FROM_JOB]
    no_success = {_name(resume, at): resume.why(at) for at in counted}
    index = plan.graph.index

    def entry(position: int, more: Mapping[str, object]) -> dict[str, object]:
        found = {**more, "why": resume.why(position)}
        changed = resume.changed.get(position)
        return found if changed is None else {**found, "changed": _change_object(changed)}

    return {
        **plan_head(plan),
        "resumes": run_id,
        "root_run_id": root_run_id,
        "options": dict(options),
        "execute": [
            entry(index[job.id], {**job_object(job), "action": plan.actions[index[job.id]].value})
            for job in starting_order(plan, durations_s)
        ],
        "reuse": [
            entry(
                at,
                {
                    "id": past[at].id,
                    "source_run_id": past[at].source_run_id or run_id,
                    "marked_by": past[at].marked_by,
                },
            )
            for at in plan.positions(Action.REUSE)
        ],
        "skip": [entry(at, passed_over_object(plan, at, no_success)) for at in plan.positions(Action.SKIP)],
        "leave_out": [entry(at, passed_over_object(plan, at, {})) for at in plan.positions(Action.LEAVE_OUT)],
        "added": [_name(resume, at) for at in resume.added],
        "removed": list(resume.removed),
    }


def _change_object(change: Change) -> dict[str, object]:
    texts = {part: {"before": before, "now": now} for part, (before, now) in change.texts.items()}
    return {**texts, **{part: list(names) for part, names in change.names.items()}}


def changes_lines(resume: ResumePlan, positions: Sequence[int]) -> Iterator[str]:
    """What has changed in some jobs: of over ten the first five."""
    shown = positions if len(positions) <= MOST_LISTED else positions[:LISTED_OF_MANY]
    for position in shown:
        yield _name(resume, position)
        yield from change_lines(resume.changed[position])
    rest = positions[len(shown) :]
    if rest:
        kinds: dict[str, int] = {}
        for position in rest:
            for part in resume.changed[position].parts():
                kinds[part] = kinds.get(part, 0) + 1
        yield f"... and {len(rest)} more: {', '.join(f'{number} {part}' for part, number in kinds.items())}"


def change_lines(change: Change) -> Iterator[str]:
    """What has changed in one job: texts as a diff, all else by name."""
    for part in TEXTS:
        if part in change.texts:
            yield f"  {part}:"
            yield from (f"    {line}" for line in _difference(*change.texts[part]))
    for part in NAMES:
        if part in change.names:
            yield f"  {part}: {', '.join(change.names[part])}"


def _difference(before: str, now: str) -> Iterator[str]:
    """Lines that are gone and lines that are new; of long texts with a line around them."""
    old, new = before.split("\n"), now.split("\n")
    if len(old) == len(new) == 1:
        yield from (f"- {before}", f"+ {now}")
        return
    from difflib import unified_diff

    for line in list(unified_diff(old, new, lineterm="", n=1))[2:]:
        if not line.startswith(("@@ -1,", "@@ -1 ")):  # before those nothing is left out
            yield "..." if line.startswith("@@") else f"{line[:1]} {line[1:]}"
