"""Executing a plan: from the run's row in the history to the end that is recorded and shown."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, time

from executioner import __version__, environ, joblog
from executioner.attempt import Conditions, Starter
from executioner.commands.context import Context, stored_options, user_name
from executioner.commands.finish import Finish
from executioner.commands.guards import active_warnings, log_dir_error, place_warnings
from executioner.commands.room import Room
from executioner.definition import definer
from executioner.family import token
from executioner.folders import is_below, make_folder
from executioner.history.lock import this_process
from executioner.history.store import HistoryWriter, NewJob, NewRun
from executioner.lean import suppress
from executioner.listeners import Reporter, RunLog, Tally
from executioner.model import Job, Workflow
from executioner.plan import Action, Agenda, Plan
from executioner.process import Launcher
from executioner.record import Record
from executioner.render.command import Invocation
from executioner.render.error import note_text, warning_text
from executioner.render.progress import started_line
from executioner.render.text import local_time, safe
from executioner.scheduler import Scheduler
from executioner.signals import signal_queue
from executioner.terminal import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.checks import CheckRunner
    from executioner.history.files import State
    from executioner.history.lineage import Lineage
    from executioner.resume import ResumePlan

#: Descriptors that are kept free of job logs: for what the run opens yet, for ending jobs, and for the history.
_SPARE_DESCRIPTORS = 16


class Environments:
    """The environments of jobs.

    Raises:
        UsageError: a variable of all jobs grows beyond what a program can be given.
    """

    def __init__(self, workflow: Workflow, given: Mapping[bytes, bytes], command_line: Mapping[str, str]) -> None:
        self._application = workflow.env
        self._command_line = command_line
        self._inherited = environ.base_environment(given, workflow.inherit_shell_env)
        self._shared = environ.layered(self._inherited, workflow.env, {}, command_line)
        self.has_functions = any(name.startswith(b"BASH_FUNC_") for name in self._inherited)
        outer = given.get(b"EXECUTIONER_TRACE")
        self._own = {b"EXECUTIONER_TRACE": outer} if outer else {}

    def of_run(self, run_id: int, history: str) -> Callable[[Job], dict[bytes, bytes]]:
        """A function from a job to its environment."""
        own = {
            **self._own,
            b"EXECUTIONER_RUN_ID": str(run_id).encode(),
            b"EXECUTIONER_DB": os.fsencode(history),
        }
        shared = self._shared | own

        def environment(job: Job) -> dict[bytes, bytes]:
            if not job.env:
                return shared.copy()
            return environ.layered(self._inherited, self._application, job.env, self._command_line) | own

        return environment


class _Log(Record):
    fd: int
    path: str


class Resumed(Record):
    """What a run resumes: the plan in full, and the parent run as the plan was made from it."""

    plan: ResumePlan
    lineage: Lineage
    key: bytes  # with which the plan's definitions were made: a history that is brought up gets another
    state: State | None  # of the history before anything was read; None if it was not at rest


class ChangedMeanwhileError(Exception):
    """The run that is resumed is no longer what the plan was made from."""


class Execution:
    """One run from its row in the history to its end."""

    def __init__(
        self,
        context: Context,
        plan: Plan,
        environments: Environments,
        writer: HistoryWriter,
        typed: Invocation,
        resumed: Resumed | None = None,
    ) -> None:
        self._context = context
        self._terminal = context.terminal
        self._plan = plan
        self._resumed = resumed
        self._workflow = plan.workflow
        self._environments = environments
        self._writer = writer
        self._typed = typed
        self._process = this_process()
        self._started_at = time()
        self._started_mono = monotonic()
        self._log = _Log(-1, "")

    def execute(self) -> int:
        """Create the run, execute its plan, record its end and show the summary.

        Raises:
            ChangedMeanwhileError: nothing was run, and the plan is out of date.
        """
        workflow, options = self._workflow, self._context.options
        limited = self._limit_workers()
        agenda = Agenda(self._plan, self._durations_s())
        identity = self._writer.identity()
        self._writer.begin(self._say_it_waits)  # Ctrl-C still just ends us
        self._check_parent()
        signals = signal_queue()
        warnings, run_id = self._create(identity)
        log = RunLog(self._log.fd)
        tally = Tally(self._plan.graph.index)
        reporter = Reporter(
            tally, len(workflow.jobs), log, self._progress_stream(), self._terminal.err, verbose=options.verbose
        )
        warnings += limited
        self._announce(run_id, log, warnings)
        room = Room(self._plan)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        scheduler = Scheduler(
            self._plan,
            agenda,
            Starter(
                self._conditions(run_id, identity),
                Launcher(null, functions=self._environments.has_functions),
                _check_runner(workflow),
            ),
            workflow.kill_grace_s,
            self._writer,
            room.told(reporter.hear),
            signals,
            _chance,
        )
        try:
            outcome = scheduler.run()
        except BaseException:
            scheduler.kill_all()
            raise
        finish = Finish(
            self._context,
            self._plan,
            self._writer,
            self._typed,
            signals,
            self._started_at,
            self._started_mono,
            room.fd,
        )
        return finish.conclude(outcome, tally, log)

    def _say_it_waits(self) -> None:
        from executioner.history.holder import holder_words

        if self._context.options.quiet:
            return
        err = self._terminal.err
        err.write(note_text(f"waiting for the history, which {holder_words(self._writer.path)} has locked"))
        err.drain()

    def _durations_s(self) -> Mapping[str, Sequence[float]]:
        if not self._plan.chooses():
            return {}
        return self._writer.durations_s(self._workflow.name)

    # --- the beginning --------------------------------------------------------------------

    def _check_parent(self) -> None:
        """See that the run that is resumed is still as it was read; nobody can change it now.

        Raises:
            ChangedMeanwhileError: it is not. Of two resumes one is too late.
        """
        resumed = self._resumed
        if resumed is None or self._writer.is_as(resumed.state):
            return
        if self._writer.lineage(resumed.lineage.run.run_id) != resumed.lineage:
            self._writer.abandon()
            raise ChangedMeanwhileError

    def _create(self, identity: Mapping[str, bytes]) -> tuple[list[str], int]:
        """Record the run; returns what the user should be warned of, and its id."""
        workflow = self._workflow
        parent = self._resumed.lineage.run if self._resumed else None
        new = NewRun(
            config_path=workflow.config_path,
            config_hash=workflow.config_hash,
            application_name=workflow.name,
            working_dir=workflow.working_dir,
            total_jobs=len(workflow.jobs),
            started_at=self._started_at,
            user=user_name(),
            host=os.uname().nodename,
            process=self._process,
            options=stored_options(self._context.options),
            version=__version__,
            parent_run_id=parent.run_id if parent else None,
            root_run_id=parent.root_run_id or parent.run_id if parent else None,
            as_parent=self._is_as_parent(),
        )
        try:
            active = self._writer.active_runs(workflow.config_path)
            warnings = [
                *self._writer.remarks,
                *place_warnings(self._writer.path),
                *_unsent(workflow),
                *active_warnings(workflow, active, self._typed),
            ]
            jobs = self._new_jobs(identity["key"], but_reused=new.as_parent)
            return warnings, self._writer.create_run(new, jobs, self._open_log)
        except BaseException:
            self._writer.abandon()
            if self._log.fd >= 0:
                with suppress(OSError):
                    os.unlink(self._log.path)
            raise

    def _is_as_parent(self) -> bool:
        """Whether each job is as it was in the run that is resumed: the same config, read by the same program."""
        if self._resumed is None or self._resumed.plan.removed:
            return False
        run, jobs = self._resumed.lineage.run, self._resumed.lineage.jobs
        if (run.config_hash, run.executioner_version) != (self._workflow.config_hash, __version__):
            return False
        return all(job.command is not None and job.definition is not None for job in jobs)

    def _new_jobs(self, key: bytes, *, but_reused: bool) -> Iterator[NewJob]:
        """The jobs' rows as the run begins."""
        definition = definer(self._workflow.env, key)
        known = self._resumed.plan.definitions if self._resumed and self._resumed.key == key else {}
        for at, job in enumerate(self._workflow.jobs):
            reused = self._plan.actions[at] is Action.REUSE
            if reused and but_reused:
                continue
            text = known.get(at) or definition(job)
            yield NewJob(job.id, at, job.description, job.command, text, job.retry.max_retries, reused)

    def _open_log(self, run_id: int) -> str:
        """Create the run's main log; a folder that is missing is made."""
        workflow = self._workflow
        try:
            make_folder(workflow.log_dir)
            self._log = _Log(*joblog.create(workflow.log_dir, joblog.run_name(workflow.name, run_id)))
        except OSError as exc:
            raise log_dir_error(workflow, f"{exc.strerror}: {exc.filename}") from exc
        return self._log.path

    def _progress_stream(self) -> Stream | None:
        options = self._context.options
        if options.quiet:
            return None
        return self._terminal.err if options.json else self._terminal.out

    def _announce(self, run_id: int, log: RunLog, warnings: Sequence[str]) -> None:
        workflow, err = self._workflow, self._terminal.err
        parent = self._plan.parent_run_id
        line = started_line(run_id, workflow.name, len(workflow.jobs), self._plan.workers, parent)
        log.write(self._started_at, line)
        log.write(self._started_at, f"Config: {safe(workflow.config_path)}")
        log.write(self._started_at, f"History: {safe(self._writer.path)}")
        stream = self._progress_stream()
        for note in self._writer.notes:
            log.write(self._started_at, f"Note: {safe(note)}")
        for warning in warnings:
            log.write(self._started_at, f"Warning: {safe(warning)}")
            if stream is not None:
                err.write(warning_text(warning, err.palette))
        if stream is not None:
            stream.write(f"{local_time(self._started_at)[11:]} {line}\n")

    def _limit_workers(self) -> list[str]:
        """Plan for no more workers than there are descriptors for logs and checks; what to say of that."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or self._plan.workers * 2 + 64 < soft:
            return []
        try:
            used = len(os.listdir("/proc/self/fd"))
        except OSError:
            used = 32
        each = 2 if any(job.pre_checks or job.post_checks for job in self._workflow.jobs) else 1
        most = max(1, (soft - used - _SPARE_DESCRIPTORS) // each)
        wanted = self._plan.workers
        if most >= wanted:
            return []
        self._plan = self._plan._replace(workers=most)
        return [f"the limit of {soft} open files (ulimit -n) allows {most} at a time, not {wanted}"]

    def _conditions(self, run_id: int, identity: Mapping[str, bytes]) -> Conditions:
        workflow, process = self._workflow, self._process
        return Conditions(
            run_id=run_id,
            token=token(identity["id"], run_id, process.pid, process.start_ticks),
            log_dir=workflow.log_dir,
            logs_only_in=workflow.working_dir if is_below(workflow.log_dir, workflow.working_dir) else None,
            log_stem=joblog.stem(workflow.name),
            environment=self._environments.of_run(run_id, self._writer.path),
            words=None if workflow.allow_shell else _words,
        )


def _unsent(workflow: Workflow) -> list[str]:
    """What to say of a notification that this version does not send."""
    if not workflow.notification.addresses:
        return []
    return ["email_address is set, but this version sends no mail: let cron mail what --quiet prints"]


def _check_runner(workflow: Workflow) -> CheckRunner | None:
    """What runs checks, where any job has some."""
    if not any(job.pre_checks or job.post_checks for job in workflow.jobs):
        return None
    from executioner.checks import CheckRunner

    return CheckRunner(workflow.plugins)


def _chance() -> float:
    import random  # needed by retries alone

    return random.random()


def _words(job: Job, environment: Mapping[bytes, bytes]) -> list[bytes]:
    import shlex

    return environ.interpolate_words(shlex.split(job.command), environment)
