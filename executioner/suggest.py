"""What to do about a run that did not succeed: rules, each from evidence to a hint that says why.

Pure. The evidence is gathered by ``commands.evidence``; a rule that has nothing to say gives None.
"""

from __future__ import annotations

from collections.abc import Sequence

from executioner.estimate import median
from executioner.model import FAILURES, JobStatus
from executioner.record import Record
from executioner.records import Job, Run
from executioner.render.text import count, few, limit, safe

_CLOSE_TO_LIMIT = 0.7
_COMPARED_LINES = 5
_MOST_NAMED = 3
_TIMED_OUT = r"Timed out after (?:(\d+):(\d\d):(\d\d)|([\d.]+) s)(?: \((\w+)\))?"
# what differs between two outputs of one error: identifiers, addresses, and every number
_VARYING = r"0x[0-9a-fA-F]+|\b(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*\b|\d+"


class Survivor(Record):
    """A job of a dead run that still runs."""

    job: str
    pid: int


class Failure(Record):
    """What an earlier run, or this one, left of a job that failed in it: the last lines of its output."""

    run_id: int
    tail: Sequence[str]


class Evidence(Record):
    """What is known about a run that did not succeed.

    Attributes:
        run: the run.
        config_changed: whether the config file is another one now.
        survivors: jobs that outlived the runner.
        lost: jobs that ran when the runner died.
        failed: the failed jobs that are looked at.
        usual_s: by job, how long it took the last times that it succeeded.
        failures: by job, how it failed in this run and in those directly before, the newest first.
    """

    run: Run
    config_changed: bool
    survivors: Sequence[Survivor]
    lost: Sequence[str]
    failed: Sequence[Job]
    usual_s: dict[str, Sequence[float]]
    failures: dict[str, Sequence[Failure]]


class Hint(Record):
    """What to do and why; ``look`` are the words of the command for it, if there is one."""

    text: str
    look: tuple[str, ...] = ()


def hints(evidence: Evidence) -> list[Hint]:
    """What the rules say, the most urgent first."""
    found = [
        survivors_hint(evidence.survivors, resumes=evidence.run.resumable and evidence.run.resumed_by is None),
        lost_hint(evidence),
        changed_hint(evidence),
    ]
    found += [
        same_error_hint(job.id, evidence.failures.get(job.id, ()))
        for job in evidence.failed
        if job.status == JobStatus.FAILED
    ]
    found += [
        timeout_hint(job, evidence.usual_s.get(job.id, ()), evidence.failures.get(job.id, ()))
        for job in evidence.failed
    ]
    return [hint for hint in found if hint is not None]


def can_retry_failed(jobs: Sequence[Job]) -> bool:
    """Whether ``--resume-failed-only`` is a way on: a job failed, and nobody said that it may count as done."""
    return any(job.status in FAILURES and job.marked_by is None for job in jobs)


def survivors_hint(survivors: Sequence[Survivor], *, resumes: bool = True) -> Hint | None:
    """A job that still runs could be run twice at once."""
    if not survivors:
        return None
    named = few([f"{safe(one.job)} (pid {one.pid})" for one in survivors], _MOST_NAMED)
    verb, them = ("is", "it") if len(survivors) == 1 else ("are", "them")
    return Hint(
        f"{named} of this run {verb} still running though the runner is gone: wait for {them},"
        f" or end {them} {'with --kill-leftovers when you resume' if resumes else 'as --doctor says'}."
    )


def lost_hint(evidence: Evidence) -> Hint | None:
    """A job that outlived its runner may have done its work, and a resume would do it once more."""
    lost = [job for job in evidence.lost if job not in {one.job for one in evidence.survivors}]
    if not lost or not evidence.run.resumable:
        return None
    named = ", ".join(map(safe, lost[:_MOST_NAMED])) + (" ..." if len(lost) > _MOST_NAMED else "")
    one = len(lost) == 1
    text = (
        f"how {named} ended is not known, and a resume runs {'it' if one else 'them'} again. If"
        f" {'its log shows that it did its' if one else 'a log shows that a job did its'} work, let it count:"
    )
    return Hint(text, ("--mark-success", str(evidence.run.run_id), lost[0] if one else "JOB"))


def changed_hint(evidence: Evidence) -> Hint | None:
    """Of a config that is another one now a resume may do more, or less, than is expected."""
    if not (evidence.config_changed and evidence.run.resumable):
        return None
    return Hint("the config has changed since this run: add --dry-run to see first what resuming would do.")


def same_error_hint(job: str, failures: Sequence[Failure]) -> Hint | None:
    """What failed in the same way before will most likely do so again."""
    if not failures or not comparable(failures[0].tail):
        return None
    first = comparable(failures[0].tail)
    runs: list[int] = []
    for failure in failures:
        if comparable(failure.tail) != first:
            break
        runs.append(failure.run_id)
    if len(runs) < 2:
        return None
    return Hint(
        f"{safe(job)} ended with the same error in the last {_numbered(runs)}:"
        " resuming alone will hardly help, look at its log for the cause first."
    )


def _numbered(runs: Sequence[int]) -> str:
    """``4 runs (..., 7, 8, 9)``, of runs of which the newest is the first."""
    shown = ", ".join(map(str, reversed(runs[:_MOST_NAMED])))
    return f"{count(len(runs), 'run')} ({'..., ' if len(runs) > _MOST_NAMED else ''}{shown})"


def comparable(tail: Sequence[str]) -> list[str]:
    """The last lines of an output without what differs each time: numbers, times, identifiers, spaces."""
    import re  # 2.5 ms, for runs with failures

    lines = [" ".join(re.sub(_VARYING, "#", line).split()) for line in tail]
    return [line for line in lines if line][-_COMPARED_LINES:]


def timeout_hint(job: Job, usual_s: Sequence[float], failures: Sequence[Failure] = ()) -> Hint | None:
    """Whether a job that timed out hung, or needs more time: by what it usually takes, if it ever succeeded."""
    if job.status != JobStatus.TIMEOUT or (not usual_s and len(failures) < 2):
        return None
    import re

    found = re.match(_TIMED_OUT, job.reason or "")
    if found is None:
        return None
    hours, minutes, seconds, whole, default = found.groups()
    where = default or f"jobs[{job.position}].timeout"
    if not usual_s:
        runs = _numbered([failure.run_id for failure in failures])
        return Hint(f"{safe(job.id)} timed out in the last {runs}: look for a hang, or raise its limit ({where}).")
    allowed = float(whole) if whole else int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    usual = median(usual_s)
    advice = (
        f"its limit is close to that: raise it ({where})."
        if usual >= _CLOSE_TO_LIMIT * allowed
        else f"look for a hang before raising its limit ({where})."
    )
    return Hint(f"{safe(job.id)} usually takes {limit(usual)} ({count(len(usual_s), 'run')}): {advice}")
