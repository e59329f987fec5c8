"""The screen at a run's end: what happened, why, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence

from executioner.model import FAILURES, JobStatus, RunStatus
from executioner.record import Record
from executioner.render.command import Invocation, hint_lines
from executioner.render.text import Palette, count, duration, local_time, log_path, quoted, safe
from executioner.verdict import COUNT_AS_DONE, LEFT_OUT, JobOutcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.records import Job
    from executioner.suggest import Hint

#: More entries than this are grouped, after the first few.
MOST_LISTED = 10
LISTED_OF_MANY = 5
#: At most so many failed jobs have the end of their log shown, and so many lines of it.
MOST_PREVIEWS = 3
PREVIEW_LINES = 10
_VERBS = {JobStatus.TIMEOUT: "timed out", JobStatus.INTERRUPTED: "was interrupted"}


class Preview(Record):
    """The end of a failed job's output; ``note`` says why there is none."""

    job: Job
    lines: Sequence[str]
    note: str = "no output"


class RunReport(Record):
    """How a run ended. ``outcomes`` are the jobs without SUCCESS, in config order."""

    application_name: str
    run_id: int
    status: RunStatus
    cause: str | None  # what interrupted it
    started_at: float
    ended_at: float
    duration_s: float
    history_path: str
    total: int
    completed: int
    outcomes: Sequence[JobOutcome]
    resumes: int | None = None  # the run that it resumes
    reused: int = 0  # so many of the completed jobs were taken over from there
    recorded: bool = True  # else it cannot be resumed
    hints: Sequence[Hint] = ()  # what the evidence says about the way on
    previews: Sequence[Preview] = ()  # of failed jobs, where no line of progress has shown their output

    def having(self, *statuses: JobStatus) -> list[JobOutcome]:
        """The outcomes with one of some statuses."""
        return [outcome for outcome in self.outcomes if outcome.status in statuses]


def summary_text(report: RunReport, invocation: Invocation, palette: Palette, cwd: str, width: int | None) -> str:
    """The whole screen, ended by a newline.

    Args:
        report: what happened.
        invocation: how to print commands.
        palette: colours and symbols.
        cwd: what paths are shown relative to.
        width: of the terminal; None where descriptions are not to be cut.
    """
    failed = report.having(*FAILURES)
    interrupted = report.having(JobStatus.INTERRUPTED)
    skipped = report.having(JobStatus.SKIPPED)
    lines = ["=" * 40, "           EXECUTION SUMMARY", "=" * 40]
    lines += _header(report, invocation, palette)
    lines.append(_counts(report, len(failed), len(interrupted), len(skipped)))
    for title, outcomes in (("Failed Jobs:", failed), ("Interrupted Jobs:", interrupted)):
        if outcomes:
            lines += ["", title, *_troubled(outcomes, report.run_id, invocation, cwd, width)]
    if skipped:
        lines += ["", "Skipped Jobs:", *_skipped(skipped, report.run_id, invocation)]
    lines += preview_lines(report.previews)
    for hint in report.hints:
        lines += hint_lines(hint, invocation)
    steps = _next_steps(report, bool(failed), bool(interrupted), invocation)
    lines += ["", *steps] if steps else []
    return "\n".join(lines) + "\n"


def preview_lines(previews: Sequence[Preview]) -> list[str]:
    """The ends of failed jobs' logs, each after an empty line."""
    lines = []
    for preview in previews:
        title = f"Failed Job Log Preview ({safe(preview.job.id)}):"
        lines += ["", title, "-" * len(title), *map(safe, preview.lines or [f"({preview.note})"])]
    return lines


def _header(report: RunReport, invocation: Invocation, palette: Palette) -> list[str]:
    lines = [
        f"Application: {safe(report.application_name)}",
        f"Run ID: {report.run_id}",
        f"Status: {palette.status(report.status)}",
    ]
    if report.cause is not None and report.status is RunStatus.INTERRUPTED:
        lines.append(f"Reason: {report.cause}")
    lines += [
        f"Start Time: {local_time(report.started_at)}",
        f"End Time: {local_time(report.ended_at)}",
        f"Duration: {duration(report.duration_s)}",
    ]
    if invocation.directory is not None:
        lines.append(f"Directory: {safe(invocation.directory)}")
    lines.append(f"History: {safe(report.history_path)}")
    if report.resumes is not None:
        lines.append(f"Resumes: run {report.resumes} ({count(report.reused, 'job')} reused)")
    return lines


def _counts(report: RunReport, failed: int, interrupted: int, skipped: int) -> str:
    parts = [f"{report.total} total", f"{report.completed} completed", f"{failed} failed"]
    if interrupted:
        parts.append(f"{interrupted} interrupted")
    return "Jobs: " + ", ".join([*parts, f"{skipped} skipped"])


def _troubled(
    outcomes: Sequence[JobOutcome], run_id: int, invocation: Invocation, cwd: str, width: int | None
) -> list[str]:
    lines = []
    shown = outcomes if len(outcomes) <= MOST_LISTED else outcomes[:LISTED_OF_MANY]
    for outcome in shown:
        lines.append(f"  - {_title(outcome, width)}")
        lines.append(f"      Reason: {safe(outcome.reason)}")
        if outcome.log_path is not None:
            lines.append(f"      Log: {quoted(log_path(outcome.log_path, cwd))}")
    rest = outcomes[len(shown) :]
    if rest:
        kinds: dict[str, int] = {}
        for outcome in rest:
            kind = reason_kind(outcome.reason)
            kinds[kind] = kinds.get(kind, 0) + 1
        groups = [f"{number} {safe(kind)}" for kind, number in sorted(kinds.items(), key=lambda item: -item[1])]
        lines.append(f"  ... and {len(rest)} more: {', '.join(groups)}")
        statuses = ",".join(status.lower() for status in JobStatus if any(o.status is status for o in outcomes))
        lines.append("      " + invocation.look("--show-run", str(run_id), "--status", statuses))
    return lines


def _title(outcome: JobOutcome, width: int | None) -> str:
    verb = _VERBS.get(outcome.status, "failed")
    if not outcome.description:
        return f"{outcome.id}: {verb}"
    description = safe(outcome.description)
    if width is not None:
        room = max(16, width - len(f"  - {outcome.id}:  {verb}"))
        if len(description) > room:
            description = description[: room - 3] + "..."
    return f"{outcome.id}: {description} {verb}"


def reason_kind(reason: str) -> str:
    """A reason without its particulars, so that like ones can be counted together."""
    for mark in (" after ", ": ", " ("):
        reason = reason.partition(mark)[0]
    return reason


def _skipped(outcomes: Sequence[JobOutcome], run_id: int, invocation: Invocation) -> list[str]:
    if len(outcomes) <= MOST_LISTED:
        return [f"  - {outcome.id} ({safe(outcome.reason)})" for outcome in outcomes]
    groups: dict[str, list[JobOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.reason, []).append(outcome)
    lines = []
    for reason, group in groups.items():
        names = ", ".join(outcome.id for outcome in group[:LISTED_OF_MANY])
        more = ", ..." if len(group) > LISTED_OF_MANY else ""
        lines.append(f"  {len(group)} {safe(reason)}: {names}{more}")
    return [*lines, "      " + invocation.look("--show-run", str(run_id), "--status", "skipped")]


def _next_steps(report: RunReport, failed: bool, interrupted: bool, invocation: Invocation) -> list[str]:
    run_id = str(report.run_id)
    later = ["To view this run details later:", "  " + invocation.look("--show-run", run_id)]
    if not report.recorded:
        return []  # the error tells what to do
    if report.completed == report.total or not (failed or interrupted or _left(report)):
        return later
    lines = ["RESUME OPTIONS:", "==============="]
    left_out = sum(outcome.reason in LEFT_OUT for outcome in report.having(JobStatus.SKIPPED))
    resume = "  " + invocation.run("--resume-from", run_id)
    if left_out:
        verb, them = ("was", "it") if left_out == 1 else ("were", "them")
        missing = "all that is missing" if failed or interrupted else them
        later += ["", f"Not complete: {count(left_out, 'job')} {verb} left out.", f"To run {missing}:", resume]
    if failed or interrupted or not left_out:
        lines += ["To resume this run (all incomplete jobs):", resume, ""]
    if failed:
        command = invocation.run("--resume-from", run_id, "--resume-failed-only")
        lines += ["To retry only failed jobs:", f"  {command}", ""]
    return lines + later


def _left(report: RunReport) -> bool:
    """Whether jobs are missing that do not count as done on request."""
    return any(o.status is JobStatus.SKIPPED and o.reason not in COUNT_AS_DONE for o in report.outcomes)
