"""What marking jobs of a run as successful means, before it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from executioner.model import JobStatus
from executioner.records import PastJob, Run
from executioner.render.runs import status_words
from executioner.render.summary import LISTED_OF_MANY, MOST_LISTED
from executioner.render.text import Palette, count, local_time, safe
from executioner.times import instant


def mark_lines(run: Run, jobs: Sequence[PastJob], freed: Sequence[str], palette: Palette) -> Iterator[str]:
    """What would be marked, and what a resume would then run.

    Args:
        run: the run.
        jobs: those that were named.
        freed: ids of the jobs that could then run.
        palette: colours and symbols.
    """
    to_mark = [job for job in jobs if not job.is_done]
    for job in jobs:
        if job.is_done:
            yield f"{safe(job.id)} {_already(job)}."
    if not to_mark:
        return
    done = f"{run.completed_jobs}/{run.total_jobs}"
    yield (
        f"{count(len(to_mark), 'job')} of run {run.run_id} to mark as successful"
        f" ({safe(run.application_name)}, {status_words(run)} {done}):"
    )
    width = max(len(safe(job.id)) for job in to_mark)
    for job in to_mark:
        mark = palette.idle if job.status == JobStatus.SKIPPED else palette.bad
        why = f" ({safe(job.reason)})" if job.reason else ""
        yield f"  {mark} {safe(job.id).ljust(width)} - {palette.status(safe(job.status))}{why}"
    one = len(to_mark) == 1
    yield ""
    yield (
        f"{'Its status stays' if one else 'Their statuses stay'} as recorded. Resuming run {run.run_id} will count"
        f" {'it' if one else 'them'} as done."
    )
    if freed:
        names = freed if len(freed) <= MOST_LISTED else freed[:LISTED_OF_MANY]
        more = f", and {len(freed) - len(names)} more" if len(freed) > len(names) else ""
        yield f"What depends on {'it' if one else 'them'} will then run: {', '.join(map(safe, names))}{more}"


def _already(job: PastJob) -> str:
    if job.marked_by is None:
        return "has succeeded already"
    at = instant(job.marked_at)
    when = "" if at is None else f", {local_time(at)}"
    return f"is marked already (by {safe(job.marked_by)}{when})"
