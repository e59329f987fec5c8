"""``-c FILE``: run a workflow, or show with ``--dry-run`` what that would do."""

import contextlib
import json
import os
import pwd
from collections.abc import Mapping, Sequence
from time import monotonic, time
from typing import NamedTuple

from executioner import __version__, environ, joblog
from executioner.attempt import Conditions, Starter
from executioner.checks import CheckRunner
from executioner.commands.context import Context, Options, history_path, invocation
from executioner.commands.guards import check_active_runs, check_log_dir, log_dir_error, preferences
from executioner.commands.workflow import load
from executioner.definition import definer
from executioner.errors import HistoryError
from executioner.history.changes import RunEnd
from executioner.history.files import make_folder
from executioner.history.lock import this_process
from executioner.history.store import HistoryWriter, NewJob, NewRun
from executioner.listeners import Reporter, RunLog, Tally
from executioner.model import FAILURES, Job, JobStatus
from executioner.plan import Agenda, Plan, make_plan
from executioner.process import Launcher
from executioner.render.command import Invocation
from executioner.render.error import error_text
from executioner.render.progress import started_line
from executioner.render.summary import RunReport, summary_text
from executioner.render.text import local_time, safe
from executioner.scheduler import Outcome, Scheduler
from executioner.signals import signal_queue
from executioner.terminal import Stream
from executioner.verdict import exit_code, failure_summary, run_status, verdict


def run(context: Context) -> int:
    """Run the workflow of ``--config``; returns the exit code.

    Raises:
        ExecutionerError: nothing was run.
    """
    workflow = load(context)
    plan = make_plan(workflow, preferences(context, workflow), os.cpu_count() or 1)
    history = history_path(context, workflow.history_db)
    typed = invocation(context, context.options.config, history)
    if context.options.dry_run:
        from executioner.commands.preview import preview

        return preview(context, plan, history, typed)
    writer = HistoryWriter(history)
    try:
        return _Run(context, plan, writer, typed).execute()
    finally:
        writer.close()


class _Log(NamedTuple):
    fd: int
    path: str


class _Run:
    """One run from its row in the history to its summary."""

    def __init__(self, context: Context, plan: Plan, writer: HistoryWriter, typed: Invocation) -> None:
        self._context = context
        self._options = context.options
        self._terminal = context.terminal
        self._plan = plan
        self._workflow = plan.workflow
        self._writer = writer
        self._typed = typed
        self._started_at = time()
        self._started_mono = monotonic()
        self._log = _Log(-1, "")

    def execute(self) -> int:
        """Create the run, execute its plan, record its end and show the summary."""
        workflow = self._workflow
        check_log_dir(workflow)
        agenda = Agenda(self._plan, self._durations_s())
        identity = self._writer.identity()
        with signal_queue() as signals:
            run_id = self._create(identity)
            log = RunLog(self._log.fd)
            tally = Tally(self._plan.graph.index)
            progress = self._progress_stream()
            reporter = Reporter(
                tally, len(workflow.jobs), log, progress, self._terminal.err, verbose=self._options.verbose
            )
            self._announce(run_id, log)
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            starter = Starter(self._conditions(run_id, identity), Launcher(null), CheckRunner(workflow.plugins))
            scheduler = Scheduler(
                self._plan,
                agenda,
                starter,
                workflow.kill_grace_s,
                self._writer,
                reporter.hear,
                signals,
                _chance,
            )
            try:
                outcome = scheduler.run()
            except BaseException:
                scheduler.kill_all()
                raise
            finally:
                os.chdir(self._context.cwd)
                os.close(null)
            return self._finish(outcome, tally, log)

    def _durations_s(self) -> Mapping[str, Sequence[float]]:
        if self._plan.workers == 1:
            return {}
        return self._writer.durations_s(self._workflow.name)

    # --- the beginning --------------------------------------------------------------------

    def _create(self, identity: Mapping[str, bytes]) -> int:
        workflow, options = self._workflow, self._options
        new = NewRun(
            config_path=workflow.config_path,
            config_hash=workflow.config_hash,
            application_name=workflow.name,
            working_dir=workflow.working_dir,
            total_jobs=len(workflow.jobs),
            started_at=self._started_at,
            user=_user(),
            host=os.uname().nodename,
            process=this_process(),
            options=_stored_options(options),
            version=__version__,
        )
        definition = definer(workflow.env, identity["key"])
        jobs = (
            NewJob(job.id, position, job.description, job.command, definition(job))
            for position, job in enumerate(workflow.jobs)
        )
        try:
            return self._writer.create_run(
                new,
                jobs,
                self._open_log,
                lambda: check_active_runs(self._context, workflow, self._writer.active_runs(workflow.config_path)),
            )
        except BaseException:
            if self._log.fd >= 0:
                with contextlib.suppress(OSError):
                    os.unlink(self._log.path)
            raise

    def _open_log(self, run_id: int) -> str:
        """Create the run's main log; a folder that is missing is made."""
        workflow = self._workflow
        stem = f"executioner.{joblog.file_word(workflow.name)}.run-{run_id}"
        try:
            make_folder(workflow.log_dir)
            self._log = _Log(*joblog.create(workflow.log_dir, stem))
        except OSError as exc:
            raise log_dir_error(workflow, f"{exc.strerror}: {exc.filename}") from exc
        return self._log.path

    def _progress_stream(self) -> Stream | None:
        if self._options.quiet:
            return None
        return self._terminal.err if self._options.json else self._terminal.out

    def _announce(self, run_id: int, log: RunLog) -> None:
        workflow = self._workflow
        line = started_line(run_id, workflow.name, len(workflow.jobs), self._plan.workers)
        log.write(self._started_at, line)
        log.write(self._started_at, f"Config: {safe(workflow.config_path)}")
        log.write(self._started_at, f"History: {safe(self._writer.path)}")
        stream = self._progress_stream()
        if stream is not None:
            stream.write(f"{local_time(self._started_at)[11:]} {line}\n")

    def _conditions(self, run_id: int, identity: Mapping[str, bytes]) -> Conditions:
        workflow, process = self._workflow, this_process()
        token = f"{identity['id'].decode('ascii')}-{run_id}-{process.pid}-{process.start_ticks or 0}"
        inherited = environ.base_environment(self._context.environment, workflow.inherit_shell_env)
        own = {
            b"EXECUTIONER_RUN_ID": str(run_id).encode(),
            b"EXECUTIONER_DB": os.fsencode(self._writer.path),
        }
        outer = self._context.environment.get(b"EXECUTIONER_TRACE")
        if outer:
            own[b"EXECUTIONER_TRACE"] = outer
        shared = environ.layered(inherited, workflow.env, {}, self._options.env) | own

        def environment(job: Job) -> dict[bytes, bytes]:
            if not job.env:
                return shared.copy()
            return environ.layered(inherited, workflow.env, job.env, self._options.env) | own

        return Conditions(
            run_id=run_id,
            token=token,
            log_dir=workflow.log_dir,
            log_stem=f"executioner.{joblog.file_word(workflow.name)}",
            environment=environment,
            words=None if workflow.allow_shell else _words,
        )

    # --- the end --------------------------------------------------------------------------

    def _finish(self, outcome: Outcome, tally: Tally, log: RunLog) -> int:
        tally.outcomes.sort()
        stopped = outcome.cause is not None or outcome.history_error is not None
        status = run_status(tally.outcomes, stopped=stopped)
        end = RunEnd(
            status,
            3 if outcome.history_error else exit_code(status, outcome.signal),
            time(),
            monotonic() - self._started_mono,
            tally.completed,
            tally.count(*FAILURES),
            tally.count(JobStatus.SKIPPED),
            failure_summary(tally.outcomes, outcome.cause),
        )
        error = self._record(end, outcome.history_error)
        code = 3 if error else end.exit_code
        log.write(end.ended_at, f"Run {self._writer.run_id} ended: {status}, exit code {code}")
        self._summarise(end, outcome.cause, tally, error)
        log.close()
        return code

    def _record(self, end: RunEnd, error: HistoryError | None) -> HistoryError | None:
        """Write the run's end, or put what cannot be written beside the logs."""
        if error is None:
            try:
                self._writer.finish_run(end)
            except HistoryError as exc:
                error = exc
            else:
                return None
        workflow, run_id = self._workflow, self._writer.run_id
        path = f"{workflow.log_dir}/executioner.{joblog.file_word(workflow.name)}.run-{run_id}.spool.json"
        try:
            self._writer.spool(path, error.what, end)
        except OSError as exc:
            details = [f"Its results could not be kept in {path} either: {exc.strerror}"]
        else:
            details = [f"Its results are kept in {path}"]
        return HistoryError(
            f"Run {run_id} could not be recorded: {error.what}", self._writer.path, details=details
        )

    def _summarise(self, end: RunEnd, cause: str | None, tally: Tally, error: HistoryError | None) -> None:
        options, terminal = self._options, self._terminal
        good = end.exit_code == 0 and error is None
        if good and options.quiet:
            self._print_object()
            return
        report = RunReport(
            self._workflow.name,
            self._writer.run_id,
            end.status,
            cause,
            self._started_at,
            end.ended_at,
            end.duration_s,
            self._writer.path,
            len(self._workflow.jobs),
            tally.completed,
            tally.outcomes,
        )
        stream = terminal.err if options.json or options.quiet else terminal.out
        screen = summary_text(report, self._typed, stream.palette, self._context.cwd, terminal.width())
        complaint = "" if good else self._complaint(report, error)
        if stream is terminal.err:  # what to type next stands last
            stream.write(f"{complaint}\n{screen}")
            self._print_object()
        else:
            stream.write(f"\n{screen}")
            if error is not None or not terminal.same():
                terminal.err.write(complaint)

    def _complaint(self, report: RunReport, error: HistoryError | None) -> str:
        palette = self._terminal.err.palette
        if error is not None:
            return error_text(error, self._typed, palette)
        name = safe(report.application_name)
        line = verdict(report.run_id, name, report.status, report.outcomes, report.cause)
        return f"{palette.paint('31', 'Error:')} {line}\n"

    def _print_object(self) -> None:
        if self._options.json:
            self._terminal.out.write(json.dumps(self._writer.run_object(), indent=2) + "\n")


def _chance() -> float:
    import random  # needed by retries alone

    return random.random()


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return os.environ.get("USER") or str(os.getuid())


def _words(job: Job, environment: Mapping[bytes, bytes]) -> list[bytes]:
    import shlex

    return environ.interpolate_words(shlex.split(job.command), environment)


def _stored_options(options: Options) -> dict[str, object]:
    """The flags used, as the history keeps them; of secret-named variables only the names."""
    secret = sorted(name for name in options.env if environ.looks_secret(name))
    flags: dict[str, object] = {
        "skip": list(options.skip),
        "env": {name: value for name, value in options.env.items() if name not in secret},
        "env_secret": secret,
        "workers": options.workers,
        "parallel": options.parallel,
        "sequential": options.sequential,
        "continue_on_error": options.continue_on_error,
    }
    return {name: value for name, value in flags.items() if value}
