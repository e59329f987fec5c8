"""What the history, the logs and the processes say about a run that did not succeed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from executioner.commands.configfile import config_content
from executioner.commands.leftovers import leftovers_of
from executioner.config.parse import sha256_hex
from executioner.history.crashes import Suspects
from executioner.history.liveness import NO_RESULT
from executioner.history.reader import History
from executioner.joblog import tail
from executioner.model import JobStatus, RunStatus
from executioner.records import Job, Run, RunDetails
from executioner.render.summary import PREVIEW_LINES, Preview
from executioner.render.text import log_path, quoted
from executioner.suggest import Evidence, Failure, Survivor

#: At most so many earlier runs are compared.
_MOST_COMPARED = 10
_TAIL_LINES = 10
_COMPARED = (JobStatus.FAILED, JobStatus.TIMEOUT)
CHANGED = "changed since"


def evidence(history: History, details: RunDetails, looked_at: Sequence[Job], *, config_changed: bool) -> Evidence:
    """What is known about a run; ``looked_at`` are the failed jobs that matter.

    Raises:
        HistoryError: the history cannot be read.
    """
    run = details.run
    looked_at = [job for job in looked_at if job.marked_by is None]  # somebody has seen to it
    timed_out = [job for job in looked_at if job.status == JobStatus.TIMEOUT]
    return Evidence(
        run,
        config_changed,
        survivors(history, details),
        [job.id for job in details.jobs if job.reason == NO_RESULT and job.marked_by is None],
        looked_at,
        {job.id: history.usual_s(run.application_name, job.id) for job in timed_out},
        {job.id: _failures(history, run, job) for job in looked_at if job.status in _COMPARED},
    )


def config_state(run: Run) -> tuple[str | None, bool]:
    """What became of a run's config since, and whether there is still such a file."""
    if run.config_path is None:
        return None, False
    try:
        content = config_content(run.config_path)
    except (FileNotFoundError, NotADirectoryError):
        return "no longer exists", False
    except OSError as exc:
        return f"cannot be read: {exc.strerror}", True
    if run.config_hash is None:
        return None, True
    same = sha256_hex(content) == run.config_hash
    return "unchanged since" if same else CHANGED, True


def survivors(history: History, details: RunDetails) -> list[Survivor]:
    """The jobs of a dead run that still run; nothing is looked for where none can be left."""
    run = details.run
    if run.status != RunStatus.INTERRUPTED or not any(job.reason == NO_RESULT for job in details.jobs):
        return []
    return [Survivor(one.job, one.pid) for one in leftovers_of(history, Suspects(run_id=run.run_id))]


def preview(job: Job, cwd: str) -> Preview:
    """The last lines that a job's last attempt printed, or why there are none."""
    if job.log_path is None:
        return Preview(job, (), "no log is recorded")
    try:
        lines = last_output(job, PREVIEW_LINES)
    except OSError as exc:
        why = f": {exc.strerror}" if exc.strerror else ""
        return Preview(job, (), f"the log cannot be read: {quoted(log_path(job.log_path, cwd))}{why}")
    except EOFError:
        return Preview(job, (), f"the log was emptied since: {quoted(log_path(job.log_path, cwd))}")
    return Preview(job, lines, "no output")


def last_output(job: Job, lines: int) -> list[str]:
    """The last lines that a job's last attempt printed.

    Raises:
        OSError: its log cannot be read.
        EOFError: its log was emptied since.
    """
    if job.log_path is None:
        return []
    last = job.retry_history[-1] if job.retry_history else {}
    start, end = last.get("log_start"), last.get("log_end")
    if not isinstance(start, int) or not isinstance(end, int):  # not recorded: all of it
        start, end = 0, os.stat(job.log_path).st_size
    return tail(job.log_path, start, end, lines)


def _failures(history: History, run: Run, job: Job) -> list[Failure]:
    """How a job failed in a run and in those directly before, in which it came to run; the newest first."""
    found = []
    for run_id, one in [
        (run.run_id, job),
        *history.earlier(run.application_name, job.id, run.run_id, _MOST_COMPARED),
    ]:
        if one.status == JobStatus.SKIPPED or one.source_run_id is not None:
            continue
        if one.status != job.status:
            break
        if job.status != JobStatus.FAILED:  # what it printed does not matter
            found.append(Failure(run_id, ()))
            continue
        try:
            found.append(Failure(run_id, last_output(one, _TAIL_LINES)))
        except (OSError, EOFError):
            break
    return found
