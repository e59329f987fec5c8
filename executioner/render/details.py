"""The screen of one run: what became of each job, why, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from executioner.model import FAILURES, JobStatus, RunStatus
from executioner.record import Record
from executioner.records import Job, Run, RunDetails
from executioner.render.command import Invocation, hint_lines
from executioner.render.runs import status_words
from executioner.render.summary import LISTED_OF_MANY, MOST_LISTED, MOST_PREVIEWS, Preview, preview_lines
from executioner.render.text import (
    Palette,
    clock_time,
    columns,
    count,
    duration,
    local_time,
    safe,
    shown_path,
)
from executioner.suggest import Hint, Survivor, can_retry_failed
from executioner.times import instant

_WIDEST_ID = 40
_TITLE_LINE = "=" * 22


class RunView(Record):
    """What is shown of a run.

    Attributes:
        details: the run with its jobs.
        statuses: of the jobs to show; empty for all.
        config_state: what became of the config file since, None where that is not known.
        config_exists: whether there is still such a file.
        history_path: as it is shown.
        previews: of failed jobs, the first few.
        hints: what the evidence says about the way on.
        survivors: jobs of it that outlived its runner.
        succeeded_since: a newer run of the same config that succeeded.
        spool: the file with those results that the history could not take.
    """

    details: RunDetails
    statuses: frozenset[str]
    config_state: str | None
    config_exists: bool
    history_path: str
    previews: Sequence[Preview]
    hints: Sequence[Hint]
    succeeded_since: int | None
    survivors: Sequence[Survivor] = ()
    spool: str | None = None

    def shown_jobs(self) -> list[Job]:
        """The jobs that are shown, in config order."""
        return [job for job in self.details.jobs if not self.statuses or job.status in self.statuses]


def details_lines(view: RunView, invocation: Invocation, palette: Palette, cwd: str, now: float) -> Iterator[str]:
    """The screen, line by line."""
    run = view.details.run
    yield f"Run Details for ID {run.run_id}:"
    yield _TITLE_LINE
    yield from _header(view, invocation, palette, cwd, now)
    yield ""
    yield "Job Status:"
    yield "-----------"
    yield from _job_lines(view, palette, now)
    yield from preview_lines(view.previews)
    yield from _further_logs(view, invocation)
    for hint in view.hints:
        yield from hint_lines(hint, invocation)
    yield from _next_steps(view, invocation)


def _header(view: RunView, invocation: Invocation, palette: Palette, cwd: str, now: float) -> Iterator[str]:
    run = view.details.run
    yield f"Application: {safe(run.application_name) or 'unknown'}"
    yield f"Status: {palette.status(run.status, status_words(run))}"
    if run.status == RunStatus.INTERRUPTED and run.failure_summary:
        yield f"Reason: {safe(run.failure_summary.partition('; ')[0])}"
    yield from _times(view.details, now)
    if run.config_path is not None:
        state = f" ({view.config_state})" if view.config_state else ""
        yield f"Config: {safe(shown_path(run.config_path, cwd))}{state}"
    if run.user is not None:
        yield f"User: {safe(run.user)}{f'@{safe(run.host)}' if run.host else ''}"
    if invocation.directory is not None:
        yield f"Seen from: {safe(invocation.directory)}"  # the run may have been started elsewhere
    yield f"History: {safe(view.history_path)}"
    if run.parent_run_id is not None:
        yield f"Resumes: run {run.parent_run_id}"
    if run.resumed_by is not None:
        yield f"Resumed by: run {run.resumed_by}"


def _times(details: RunDetails, now: float) -> Iterator[str]:
    run = details.run
    start, end = instant(run.start_time), instant(run.end_time)
    yield f"Start Time: {'unknown' if start is None else local_time(start)}"
    if run.status == RunStatus.RUNNING:
        if start is not None:
            yield f"Duration: {duration(now - start)} so far"
        return
    if end is not None:
        yield f"End Time: {local_time(end)}"
    else:
        yield f"End Time: unknown{_last_recorded(details, start)}"
    yield f"Duration: {'unknown' if run.duration_seconds is None else duration(run.duration_seconds)}"


def _last_recorded(details: RunDetails, start: float | None) -> str:
    """The last sign of life of a run whose runner died."""
    own = [job for job in details.jobs if job.source_run_id is None]
    texts = [text for job in own for text in (job.end_time, job.last_run)]
    texts += [
        attempt.get("end_time") for job in own for attempt in job.retry_history or () if isinstance(attempt, dict)
    ]
    times = [at for at in map(instant, texts) if at is not None]
    if not times:
        return ""
    last = max(times)
    same_day = start is not None and local_time(start)[:10] == local_time(last)[:10]
    return f" (last recorded {clock_time(last) if same_day else local_time(last)})"


# --- jobs ----------------------------------------------------------------------------------


def _job_lines(view: RunView, palette: Palette, now: float) -> Iterator[str]:
    jobs = view.shown_jobs()
    if not jobs:
        yield _no_jobs(view)
        return
    id_width = max((width for width in (columns(safe(job.id)) for job in jobs) if width <= _WIDEST_ID), default=0)
    statuses = [safe(str(job.status)) for job in jobs]
    status_width = max(map(len, statuses))
    for job, status in zip(jobs, statuses, strict=True):
        name = safe(job.id)
        name += " " * (id_width - columns(name))
        padded = palette.status(status) + " " * (status_width - len(status))
        yield f"{_mark(job.status, palette)} {name} - {padded}{_particulars(job, now)}".rstrip()


def _no_jobs(view: RunView) -> str:
    """Why no job is shown: which statuses there are instead of those that were asked for."""
    if not view.details.jobs:
        return "(no job is recorded)"
    numbers: dict[str, int] = {}
    for job in view.details.jobs:
        numbers[job.status] = numbers.get(job.status, 0) + 1
    others = ", ".join(f"{number:,} {safe(status)}" for status, number in numbers.items())
    return f"(no job is {' or '.join(sorted(view.statuses))}, but {others})"


def _mark(status: str, palette: Palette) -> str:
    match status:
        case JobStatus.SUCCESS:
            return palette.good
        case JobStatus.RUNNING:
            return ">"
        case JobStatus.SKIPPED | JobStatus.PENDING:
            return palette.idle
        case _:
            return palette.bad


def _particulars(job: Job, now: float) -> str:
    """What follows a job's status: how long it took, and why it ended so."""
    if job.status == JobStatus.SKIPPED:
        marked = f" - {_marked(job)}" if job.marked_by is not None else ""
        return (f" ({safe(job.reason)})" if job.reason else "") + marked
    elapsed = job.duration_seconds
    start = instant(job.start_time) if job.status == JobStatus.RUNNING else None
    if start is not None:
        elapsed = now - start
    time = "" if elapsed is None else f" ({duration(elapsed)})"
    if job.source_run_id is not None:
        own = [f"reused from run {job.source_run_id}"]
    else:
        own = [_reason(job), _attempt(job)]
    notes = [note for note in (*own, _marked(job)) if note]
    return f"{time} - {', '.join(notes)}" if notes else time


def _reason(job: Job) -> str:
    """Why a job did not succeed; an exit code as the screen of a run shows it, with a colon."""
    reason = job.reason
    if job.status == JobStatus.RUNNING and job.retry_history and len(job.retry_history) > job.retry_count:
        reason = str(job.retry_history[-1].get("reason") or "")
    text = safe(reason or "")
    number = text.removeprefix("Exit code ")
    return f"Exit code: {number}" if number != text and number[:1].isdigit() else text


def _marked(job: Job) -> str:
    """Who said that a job may count as successful, and why."""
    if job.marked_by is None:
        return ""
    return f"marked by {safe(job.marked_by)}{f': {safe(job.mark_reason)}' if job.mark_reason else ''}"


def _attempt(job: Job) -> str:
    ended = len(job.retry_history or ())
    number = max(job.retry_count + 1, ended)
    waits = job.status == JobStatus.RUNNING and ended == number
    if number == 1 and not waits:
        return ""
    attempt = f"attempt {number}" + (f" of {job.max_retries + 1}" if job.max_retries is not None else "")
    return f"{attempt}, waiting to retry" if waits else attempt


# --- logs ----------------------------------------------------------------------------------


def _further_logs(view: RunView, invocation: Invocation) -> Iterator[str]:
    """The commands for the logs of jobs that failed or were interrupted and are not previewed."""
    shown = {preview.job.id for preview in view.previews}
    troubled = (*FAILURES, JobStatus.INTERRUPTED)
    others = [
        job
        for job in view.shown_jobs()
        if job.status in troubled and job.id not in shown and job.log_path is not None
    ]
    if not others:
        return
    run_id = str(view.details.run.run_id)
    yield ""
    yield f"To see the {'log' if len(others) == 1 else 'logs'} of {count(len(others), _kind(others))}:"
    named = others if len(others) <= MOST_LISTED else others[:LISTED_OF_MANY]
    for job in named:
        yield f"  {invocation.look('--show-log', run_id, job.id)}"
    if len(others) > len(named):
        statuses = sorted({job.status for job in others})
        if view.statuses == set(statuses):  # they are named above
            command = invocation.look("--show-log", run_id, "JOB")
        else:
            command = invocation.look("--show-run", run_id, "--status", ",".join(statuses).lower())
        yield f"  ... and {len(others) - len(named)} more: {command}"


def _kind(jobs: Sequence[Job]) -> str:
    """What some jobs have in common, in words."""
    if all(job.status in FAILURES for job in jobs):
        return "more failed job"
    return "interrupted job" if all(job.status == JobStatus.INTERRUPTED for job in jobs) else "more job"


# --- what to type next ---------------------------------------------------------------------


def _next_steps(view: RunView, invocation: Invocation) -> Iterator[str]:
    run = view.details.run
    run_id = str(run.run_id)
    if view.spool is not None:  # a resume before that is refused
        yield ""
        yield "The history could not be written then: results of this run are in a file beside its logs."
        yield "To put them into the history:"
        yield f"  {invocation.look('--import-spool', view.spool)}"
        return
    if run.unverified:
        yield ""
        yield f"Whether it is still on cannot be told: {safe(view.history_path)}.lock cannot be read."
        yield f"Ask its owner, or see on {safe(run.host or 'its machine')} with: ps -p {run.pid}"
    if run.status == RunStatus.RUNNING:
        running = [job.id for job in view.details.jobs if job.status == JobStatus.RUNNING]
        for job in running[:MOST_PREVIEWS]:
            yield ""
            yield f"To follow the output of {safe(job)}:"
            yield f"  {invocation.look('--show-log', run_id, job, '--follow')}"
    elif run.resumable:
        yield from _resume_steps(view, invocation)
    elif run.resumed_by is not None:
        yield ""
        yield "To view the run that resumed it:"
        yield f"  {invocation.look('--show-run', str(run.resumed_by))}"
    elif run.status != RunStatus.SUCCESS and run.completed_jobs == run.total_jobs > 0:
        yield ""
        yield "All jobs succeeded: nothing is left to resume."
    elif view.succeeded_since is not None and run.status != RunStatus.SUCCESS:
        yield ""
        yield f"A newer run of this config has succeeded: run {view.succeeded_since}. To view it:"
        yield f"  {invocation.look('--show-run', str(view.succeeded_since))}"


def _resume_steps(view: RunView, invocation: Invocation) -> Iterator[str]:
    run = view.details.run
    if view.survivors:  # first something has to become of them
        for one in view.survivors[:MOST_PREVIEWS]:
            yield ""
            yield f"To wait for {safe(one.job)}, watch its log, then resume:"
            yield f"  {invocation.look('--show-log', str(run.run_id), one.job, '--follow')}"
        yield ""
        yield f"To end {'it' if len(view.survivors) == 1 else 'them'} and resume all remaining jobs:"
        yield f"  {_resume(run, view, invocation, '--kill-leftovers')}"
        return
    yield ""
    yield "To resume all remaining jobs:"
    yield f"  {_resume(run, view, invocation)}"
    if can_retry_failed(view.details.jobs):
        yield ""
        yield "To resume only failed jobs:"
        yield f"  {_resume(run, view, invocation, '--resume-failed-only')}"


def _resume(run: Run, view: RunView, invocation: Invocation, *more: str) -> str:
    words = ("--resume-from", str(run.run_id), *more)
    if view.config_exists:
        return invocation.run(*words)
    return invocation.resume_template(*words)
