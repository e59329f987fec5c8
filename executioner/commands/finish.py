"""The end of a run: recorded first, told then."""

from __future__ import annotations

import os
from time import monotonic, time

from executioner import joblog
from executioner.commands.context import Context
from executioner.errors import ExecutionerError, HistoryError
from executioner.folders import make_folder
from executioner.history.changes import RunEnd
from executioner.history.files import BUSY_TIMEOUT_S, locked
from executioner.history.store import HistoryWriter
from executioner.listeners import RunLog, Tally
from executioner.model import FAILURES, JobStatus, NextStep, RunStatus
from executioner.plan import Action, Plan
from executioner.render.command import Invocation
from executioner.render.error import error_text
from executioner.render.summary import MOST_PREVIEWS, Preview, RunReport, summary_text
from executioner.render.text import safe, shown_path
from executioner.scheduler import Outcome
from executioner.signals import SignalQueue
from executioner.verdict import exit_code, failure_summary, run_status, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.suggest import Hint

_UNRECORDED = "The history could not be written"


class Finish:
    """Records how a run ended, and shows it."""

    def __init__(
        self,
        context: Context,
        plan: Plan,
        writer: HistoryWriter,
        typed: Invocation,
        signals: SignalQueue,
        started_at: float,
        started_mono: float,
        room: int | None,
    ) -> None:
        self._options = context.options
        self._terminal = context.terminal
        self._cwd = context.cwd
        self._plan = plan
        self._workflow = plan.workflow
        self._writer = writer
        self._typed = typed
        self._signals = signals
        self._started_at = started_at
        self._started_mono = started_mono
        self._room = room  # for results, should no other be left

    def conclude(self, outcome: Outcome, tally: Tally, log: RunLog) -> int:
        """Record the run's end and print the summary; returns the exit code."""
        tally.outcomes.sort()
        stopped = outcome.cause is not None or outcome.history_error is not None
        status = run_status(tally.outcomes, stopped=stopped)
        end = RunEnd(
            status,
            exit_code(status, outcome.signal),
            time(),
            monotonic() - self._started_mono,
            tally.completed,
            tally.count(*FAILURES),
            tally.count(JobStatus.SKIPPED),
            failure_summary(tally.outcomes, outcome.cause),
        )
        error = outcome.history_error or self._write(end)
        cause = outcome.cause
        if error is not None:
            end, cause = _unrecorded(end), _UNRECORDED
            error = self._spool(end, error)
            log.write(end.ended_at, f"Error: {safe(error.what)}; {safe(error.details[0])}")
        log.write(end.ended_at, f"Run {self._writer.run_id} ended: {end.status}, exit code {end.exit_code}")
        log.close()
        self._show(end, cause, tally, error)
        for stream in (self._terminal.out, self._terminal.err):
            stream.drain(self._asked_to_end)
        return end.exit_code

    def _asked_to_end(self) -> bool:
        return self._signals.wait_for_end(0) is not None

    # --- recording --------------------------------------------------------------------------

    def _write(self, end: RunEnd) -> HistoryError | None:
        """Write the run's end; why not, if that failed.

        A history that another process holds is waited for, until the usual time or the
        user's patience is over.
        """
        give_up = monotonic() + BUSY_TIMEOUT_S
        try:
            while not self._writer.finish_run(end):
                if self._signals.wait_for_end(0.05) is not None or monotonic() > give_up:
                    return locked(self._writer.path, whole_time=monotonic() > give_up)
        except HistoryError as exc:
            return exc
        return None

    def _spool(self, end: RunEnd, error: HistoryError) -> HistoryError:
        """Put what could not be written beside the logs; the error that tells so."""
        workflow, run_id = self._workflow, self._writer.run_id
        name = joblog.run_name(workflow.name, run_id)
        steps = []
        try:
            path = self._keep(f"{workflow.log_dir}/{name}", error.what, end)
        except OSError as exc:
            where = joblog.spool_path(f"{workflow.log_dir}/{name}")
            detail = (
                f"Its results could not be kept in {where} either: {exc.strerror}."
                " The last line of a job's log tells how it ended, if it still fitted."
            )
            line = f"{self._typed.look('--mark-success', str(run_id))} JOB ..."
            steps.append(NextStep("To let jobs that succeeded count, once the history can be written:", line=line))
        else:
            detail = f"Its results are kept in {path}"
            line = self._typed.look("--import-spool", shown_path(path, self._cwd))
            steps.append(NextStep("To put them back once the history can be written:", line=line))
        return HistoryError(
            f"Run {run_id} could not be recorded: {_in_mid_sentence(error.what)}",
            self._writer.path,
            details=[detail],
            steps=steps,
        )

    def _keep(self, base: str, reason: str, end: RunEnd) -> str:
        """Write the spool file: into the room that was taken for it, else into what letting go of all makes.

        Raises:
            OSError: there is none.
        """
        from executioner.history import spool

        content = self._writer.spool_content(reason, end)
        try:
            make_folder(self._workflow.log_dir)
            return spool.write(base, content, self._room)
        except OSError:
            self._writer.close()
            if self._room is not None:
                os.close(self._room)
                self._room = None
            make_folder(self._workflow.log_dir)
            return spool.write(base, content)

    # --- telling ----------------------------------------------------------------------------

    def _show(self, end: RunEnd, cause: str | None, tally: Tally, error: HistoryError | None) -> None:
        options, terminal = self._options, self._terminal
        good = end.exit_code == 0
        if not (good and options.quiet):
            hints, previews = self._look_back() if error is None and not good else ([], [])
            report = RunReport(
                self._workflow.name,
                self._writer.run_id,
                end.status,
                cause,
                self._started_at,
                end.ended_at,
                end.duration_s,
                shown_path(self._writer.path, self._cwd),
                len(self._workflow.jobs),
                tally.completed,
                tally.outcomes,
                self._plan.parent_run_id,
                len(self._plan.positions(Action.REUSE)),
                error is None,
                hints,
                previews,
            )
            self._print_summary(report, "" if good else self._complaint(report, error))
        if options.json and error is None:
            from executioner.jsontext import indented

            try:
                terminal.out.write(indented(self._writer.run_object()) + "\n")
            except HistoryError as exc:
                exc.assurance = "The run has ended, and is recorded."
                raise

    def _look_back(self) -> tuple[list[Hint], list[Preview]]:
        """What past runs say about this one, and what its failed jobs printed that no line of progress showed.

        Nothing where that cannot be read.
        """
        from executioner.commands.evidence import CHANGED, config_state, evidence, preview
        from executioner.history.reader import History
        from executioner.suggest import hints

        try:
            history = History(self._writer.path)
            details = history.failed_jobs(self._writer.run_id, MOST_PREVIEWS)
            changed = config_state(details.run)[0] == CHANGED
            found = evidence(history, details, details.jobs, config_changed=changed)
        except ExecutionerError:
            return [], []
        unseen = [job for job in details.jobs if job.log_path is not None] if self._options.quiet else []
        return hints(found), [preview(job, self._cwd) for job in unseen]

    def _print_summary(self, report: RunReport, complaint: str) -> None:
        options, terminal = self._options, self._terminal
        stream = terminal.err if options.json or options.quiet else terminal.out
        screen = summary_text(report, self._typed, stream.palette, self._cwd, terminal.width())
        if stream is terminal.err:  # what to type next stands last
            stream.write(f"{complaint}\n{screen}")
            return
        stream.write(f"\n{screen}")
        if complaint and (report.cause == _UNRECORDED or not terminal.same()):
            terminal.err.write(f"\n{complaint}" if terminal.same() else complaint)

    def _complaint(self, report: RunReport, error: HistoryError | None) -> str:
        palette = self._terminal.err.palette
        if error is not None:
            return error_text(error, self._typed, palette)
        name = safe(report.application_name)
        line = verdict(report.run_id, name, report.status, report.outcomes, report.cause)
        return f"{palette.paint('31', 'Error:')} {line}\n"


def _in_mid_sentence(text: str) -> str:
    return text[:1].lower() + text[1:]


def _unrecorded(end: RunEnd) -> RunEnd:
    """The end of a run that could not be recorded: never a success, whatever its jobs did."""
    status = end.status if end.status is RunStatus.FAILED else RunStatus.INTERRUPTED
    summary = "; ".join(filter(None, [_UNRECORDED, end.failure_summary]))
    return end._replace(status=status, exit_code=3, failure_summary=summary)
