"""The event loop: one thread, one owner of all state.

A tick: take in the children that ended, serve the deadlines that passed, choose what to
start, commit all of it to the history at once, start the processes, tell the listeners,
and sleep until the next child ends, signal arrives or deadline passes. So RUNNING is
committed before a process is started and a result before any dependent is; nothing polls.

Rules:
- Exits are handled before deadlines: a runner that was stopped or slow does not declare
  a job late that ended in time.
- A job that waits for its next attempt holds no worker; one that is being ended does.
- After a failure without ``continue_on_error`` nothing more is started, retries
  included; what runs may finish.
- The first INT, TERM or HUP ends running jobs gracefully, the second one, or QUIT, at once.
- If the history cannot be written nothing more is started, what runs may finish, and the
  results that could not be recorded are left to the caller.
"""

import os
import random
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from time import monotonic, time
from typing import NamedTuple, Protocol

from executioner import joblog, retry
from executioner.checks import CheckRunner
from executioner.errors import HistoryError
from executioner.events import (
    AttemptFailed,
    AttemptStarting,
    Event,
    JobEnded,
    JobsSkipped,
    JobStillRunning,
    RunInterrupted,
    Warned,
)
from executioner.family import Family, ProcessTable, adopt_orphans, process_table
from executioner.model import FAILURES, Attempt, Job, JobStatus
from executioner.plan import Action, Agenda, Plan
from executioner.process import Launcher
from executioner.render.text import duration
from executioner.signals import SignalQueue
from executioner.verdict import ON_REQUEST

_FIRST_SIGN_OF_LIFE_S = 10.0
_SIGN_OF_LIFE_S = 300.0
_BUSY_HISTORY_S = 30.0
_LAST_RESORT_S = 10.0  # after KILL: a process that the kernel cannot end is given up
_IDLE_S = 0.05
_EXHAUSTED = frozenset({11, 12, 23, 24})  # EAGAIN, ENOMEM, ENFILE, EMFILE
_CAUSES = {
    signal.SIGINT: "Ctrl-C (SIGINT)",
    signal.SIGTERM: "Terminated (SIGTERM)",
    signal.SIGHUP: "Hung up (SIGHUP)",
    signal.SIGQUIT: "Quit (SIGQUIT)",
}


class Recorder(Protocol):
    """The history, as far as the loop needs it."""

    def note(self, event: Event) -> None:
        """Take an event in, to be written by the next commit."""

    def commit(self) -> bool:
        """Write what was noted; False if the history is busy just now."""


class Conditions(NamedTuple):
    """What all jobs of a run have in common."""

    run_id: int
    token: str  # marks the run's processes
    log_dir: str
    log_stem: str  # executioner.<app>
    kill_grace_s: float
    environment: Callable[[Job], dict[bytes, bytes]]
    words: Callable[[Job, Mapping[bytes, bytes]], list[bytes]] | None  # None: a shell runs commands


class Outcome(NamedTuple):
    """How the loop ended: by which signal, if any; and why the history failed, if it did."""

    signal: int | None
    cause: str | None
    history_error: HistoryError | None


class _Progress:
    """What a job's earlier attempts leave to the later ones."""

    __slots__ = ("attempts", "first_at", "first_mono", "log_path")

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.first_at: float | None = None
        self.first_mono = 0.0
        self.log_path: str | None = None


class _Running:
    """One attempt on its way."""

    __slots__ = (
        "alone_since",
        "announce_at",
        "check_fd",
        "cpu_s",
        "deadline",
        "end_reason",
        "end_status",
        "environment",
        "exit_code",
        "family",
        "frame",
        "job",
        "kill_at",
        "killed",
        "number",
        "own_peak_kib",
        "peak_kib",
        "phase",
        "pid",
        "position",
        "scan_at",
        "scan_step",
        "started_at",
        "started_mono",
    )

    def __init__(self, position: int, job: Job, number: int, frame: joblog.Frame) -> None:
        self.position = position
        self.job = job
        self.number = number
        self.frame = frame
        self.phase = "command"
        self.pid = 0
        self.environment: dict[bytes, bytes] = {}
        self.check_fd = -1
        self.cpu_s = 0.0
        self.peak_kib = self.own_peak_kib = 0
        self.started_at = self.started_mono = 0.0
        self.deadline = self.announce_at = float("inf")
        self.alone_since: float | None = None
        # set while the attempt is being ended:
        self.family: Family | None = None
        self.end_status = JobStatus.INTERRUPTED
        self.end_reason = ""
        self.kill_at = self.scan_at = float("inf")
        self.scan_step = 0.02
        self.killed = False
        self.exit_code: int | None = None

    def wake_at(self) -> float:
        """When it next wants to be looked at."""
        return min(self.deadline, self.announce_at, self.kill_at, self.scan_at)


class Scheduler:
    """Executes a plan. Used once."""

    def __init__(
        self,
        plan: Plan,
        agenda: Agenda,
        conditions: Conditions,
        history: Recorder,
        listen: Callable[[Sequence[Event]], None],
        launcher: Launcher,
        checks: CheckRunner,
        signals: SignalQueue,
    ) -> None:
        self._jobs = plan.workflow.jobs
        self._plan = plan
        self._agenda = agenda
        self._conditions = conditions
        self._history = history
        self._listen = listen
        self._launcher = launcher
        self._checks = checks
        self._signals = signals
        self._workers = plan.workers
        self._progress: dict[int, _Progress] = {}  # of jobs that are under way
        self._running: dict[int, _Running] = {}  # by pid
        self._starting: list[_Running] = []  # chosen, not yet committed
        self._waiting: list[tuple[float, int]] = []  # (when, position) of next attempts
        self._events: list[Event] = []  # not yet told to the listeners
        self._next_wake = float("inf")  # never later than any running job's wake_at
        self._lonely: _Running | None = None
        self._stopped_by: str | None = None
        self._signal: int | None = None
        self._cause: str | None = None
        self._busy_since: float | None = None
        self._history_error: HistoryError | None = None
        self._adopting = False
        self._table: ProcessTable | None = None  # as of this turn

    # --- the loop ---------------------------------------------------------------------

    def run(self) -> Outcome:
        """Execute the plan to its end, or to the end that a signal or a fault brings."""
        self._skip_on_request()
        while True:
            self._reap()
            self._serve_deadlines()
            self._choose()
            if self._commit():
                self._launch()
            self._publish()
            if not (self._running or self._starting or self._waiting or self._agenda or self._events):
                return Outcome(self._signal, self._cause, self._history_error)
            self._wait()

    def kill_all(self) -> None:
        """End every process at once, without recording anything: for a fault of our own."""
        for running in self._running.values():
            family = running.family or self._family(running)
            family.send(signal.SIGKILL, process_table())

    def _tell(self, event: Event) -> None:
        """Something to be recorded; the listeners hear of it once that is done."""
        self._events.append(event)
        self._history.note(event)

    def _say(self, event: Event) -> None:
        """Something for the listeners alone, at once."""
        self._listen((event,))

    def _skip_on_request(self) -> None:
        skipped = self._plan.jobs(Action.SKIP)
        if skipped:
            self._tell(JobsSkipped(time(), skipped, ON_REQUEST))

    def _commit(self) -> bool:
        """Write what happened; whether processes may be started now."""
        if self._history_error:
            return False
        try:
            done = self._history.commit()
        except HistoryError as exc:
            self._give_up_history(exc)
            return False
        if done:
            self._busy_since = None
            return True
        now = monotonic()
        if self._busy_since is None:
            self._busy_since = now
        elif now - self._busy_since > _BUSY_HISTORY_S:
            self._give_up_history(HistoryError(f"The history was locked for {_BUSY_HISTORY_S:.0f} s"))
        return False

    def _give_up_history(self, error: HistoryError) -> None:
        self._history_error = error
        self._busy_since = None
        self._say(Warned(time(), f"{error.what}. Nothing more is started."))
        self._stop("the history could not be written")
        self._drop_chosen("the history could not be written")

    def _publish(self) -> None:
        if self._events and self._busy_since is None:
            events, self._events = self._events, []
            self._listen(events)

    def _wait(self) -> None:
        if self._events and self._busy_since is None:
            return
        now = monotonic()
        until = self._next_wake
        if self._waiting:
            until = min(until, self._waiting[0][0])
        if self._busy_since is not None:
            until = min(until, now + _IDLE_S)
        timeout = None if until == float("inf") else max(0.0, until - now)
        if not self._adopting and (timeout is None or timeout > _IDLE_S):
            number = self._signals.wait(_IDLE_S)
            if number is None:  # a long job: worth the import that this costs
                self._adopting = True
                adopt_orphans()
                return
        else:
            number = self._signals.wait(timeout)
        if number is not None and number != signal.SIGCHLD:
            self._interrupt(number)

    # --- choosing and starting ----------------------------------------------------------

    def _choose(self) -> None:
        """Fill the free workers: retries that are due first, then the most urgent jobs."""
        if self._busy_since is not None:
            return
        now = monotonic() if self._waiting else 0.0
        while len(self._running) + len(self._starting) < self._workers:
            if self._waiting and self._waiting[0][0] <= now:
                _, position = heappop(self._waiting)
            else:
                taken = self._agenda.take()
                if taken is None:
                    return
                position = taken
            if not self._prepare(position):
                return

    def _prepare(self, position: int) -> bool:
        """Open a job's log and announce its start; False where that has to wait."""
        job = self._jobs[position]
        progress = self._progress.get(position)
        if progress is None:
            progress = self._progress[position] = _Progress()
        number = len(progress.attempts) + 1
        of = job.retry.max_retries + 1
        try:
            frame = self._open_log(job, progress, number, of)
        except OSError as exc:
            if exc.errno in _EXHAUSTED and (self._running or self._starting):
                self._fewer_workers(position, progress, exc)
                return False
            reason = f"Could not be started: its log cannot be written: {exc.strerror}"
            self._conclude(position, JobStatus.ERROR, reason, None, None)
            return True
        progress.log_path = frame.path
        running = _Running(position, job, number, frame)
        running.started_at = time()
        if progress.first_at is None:
            progress.first_at, progress.first_mono = running.started_at, monotonic()
        self._starting.append(running)
        self._tell(AttemptStarting(running.started_at, job, number, of, frame.path))
        return True

    def _open_log(self, job: Job, progress: _Progress, number: int, of: int) -> joblog.Frame:
        conditions = self._conditions
        stem = f"{conditions.log_stem}.job-{job.id}.run-{conditions.run_id}"
        if progress.log_path is None:
            fd, path = joblog.create(conditions.log_dir, stem)
        else:
            fd, path = joblog.reopen(conditions.log_dir, stem, progress.log_path)
        attempt = f", attempt {number} of {of}" if of > 1 else ""
        try:
            return joblog.begin(fd, path, f"{job.id}, run {conditions.run_id}{attempt}")
        except OSError:
            os.close(fd)
            raise

    def _fewer_workers(self, position: int, progress: _Progress, exc: OSError) -> None:
        self._workers = len(self._running) + len(self._starting)
        self._say(Warned(time(), f"{exc.strerror}: going on with {self._workers} at a time"))
        if progress.attempts:
            heappush(self._waiting, (monotonic() + 1.0, position))
        else:
            del self._progress[position]
            self._agenda.put_back(position)

    def _launch(self) -> None:
        """Start what was chosen. RUNNING is committed."""
        starting, self._starting = self._starting, []
        for running in starting:
            self._keep_company(running)
            job = running.job
            running.started_at, running.started_mono = time(), monotonic()
            if job.timeout_s is not None:
                running.deadline = running.started_mono + job.timeout_s
            running.announce_at = running.started_mono + _FIRST_SIGN_OF_LIFE_S
            running.own_peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            running.environment = self._environment(running)
            self._enter_phase(running, "pre" if job.pre_checks else "command")

    def _keep_company(self, running: _Running) -> None:
        """Note whether a job runs alone: then the orphans that appear meanwhile are its own."""
        if self._lonely:
            self._lonely.alone_since = None
            self._lonely = None
        if not self._running:
            running.alone_since = time()
            self._lonely = running

    def _environment(self, running: _Running) -> dict[bytes, bytes]:
        job = running.job
        environment = self._conditions.environment(job)
        environment[b"EXECUTIONER_JOB_ID"] = job.id.encode()
        environment[b"EXECUTIONER_ATTEMPT"] = b"%d" % running.number
        outer = environment.get(b"EXECUTIONER_TRACE")
        mark = self._mark(running).encode()
        environment[b"EXECUTIONER_TRACE"] = outer + b" " + mark if outer else mark
        environment[b"PWD"] = os.fsencode(job.working_dir)
        return environment

    def _mark(self, running: _Running) -> str:
        return f"{self._conditions.token}/{running.job.id}/{running.number}"

    def _enter_phase(self, running: _Running, phase: str) -> None:
        """Start an attempt's pre-checks, command or post-checks."""
        running.phase = phase
        job = running.job
        try:
            os.chdir(job.working_dir)
            if phase == "command":
                words = self._conditions.words
                fd = running.frame.fd
                if words is None:
                    pid = self._launcher.spawn_shell(job.command, running.environment, fd)
                else:
                    pid = self._launcher.spawn_words(words(job, running.environment), running.environment, fd)
            else:
                checks = job.pre_checks if phase == "pre" else job.post_checks
                pid, running.check_fd = self._checks.start(
                    checks, running.environment, running.frame.fd, job.working_dir
                )
        except OSError as exc:
            what = f"{exc.strerror}: {exc.filename}" if exc.filename else str(exc.strerror)
            self._attempt_over(running, JobStatus.ERROR, f"Could not be started: {what}", None)
            return
        running.pid = pid
        self._running[pid] = running
        self._next_wake = min(self._next_wake, running.wake_at())

    # --- what ended -------------------------------------------------------------------

    def _reap(self) -> None:
        """Take in every child that ended."""
        while self._running:
            try:
                # any child: the process is ours alone, and whatever else turns up is an
                # orphan that the kernel handed over to us and that nobody else will bury
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                for running in list(self._running.values()):
                    self._gone(running, JobStatus.ERROR, "Its exit status is not known")
                return
            if not pid:
                return
            ended = self._running.get(pid)
            if ended is not None:
                ended.cpu_s += usage.ru_utime + usage.ru_stime
                ended.peak_kib = max(ended.peak_kib, usage.ru_maxrss)
                self._child_ended(ended, os.waitstatus_to_exitcode(status))

    def _child_ended(self, running: _Running, exit_code: int) -> None:
        if running.family is not None:
            running.family.leader_reaped()
            running.exit_code = exit_code
            running.scan_at = self._next_wake = 0.0  # whether others are left, the deadlines' turn will tell
            return
        del self._running[running.pid]
        if running.phase == "command":
            if exit_code:
                self._attempt_over(
                    running, JobStatus.FAILED, _exit_reason(exit_code, running.environment), exit_code
                )
            elif running.job.post_checks:
                self._enter_phase(running, "post")
            else:
                self._attempt_over(running, JobStatus.SUCCESS, None, 0)
            return
        verdict = self._checks.verdict(running.check_fd, exit_code)
        running.check_fd = -1
        if running.phase == "pre":
            if verdict is None:
                self._enter_phase(running, "command")
            else:
                self._attempt_over(running, JobStatus.FAILED, f"Pre-check failed: {verdict}", None, retry_it=False)
        elif verdict is None:
            self._attempt_over(running, JobStatus.SUCCESS, None, 0)
        else:
            self._attempt_over(running, JobStatus.FAILED, f"Post-check failed: {verdict}", 0, by_code=False)

    def _gone(self, running: _Running, status: JobStatus, reason: str) -> None:
        del self._running[running.pid]
        self._attempt_over(running, status, reason, running.exit_code)

    def _attempt_over(
        self,
        running: _Running,
        status: JobStatus,
        reason: str | None,
        exit_code: int | None,
        *,
        retry_it: bool = True,
        by_code: bool = True,
    ) -> None:
        """Close an attempt, and decide between another one and the job's end."""
        if running is self._lonely:
            self._lonely = None
        if running.check_fd >= 0:
            os.close(running.check_fd)
        now = monotonic()
        at = time()
        job = running.job
        elapsed = now - running.started_mono if running.started_mono else 0.0
        section = joblog.end(running.frame, f"{status}: {reason}" if reason else str(status), elapsed)
        if not section.intact:
            self._say(Warned(at, _truncated(job.id, running.frame.path)))
        progress = self._progress[running.position]
        progress.attempts.append(
            Attempt(
                running.number,
                status,
                reason,
                exit_code,
                running.started_at,
                at,
                elapsed,
                section.start,
                section.end,
            )
        )
        if retry_it and status in FAILURES and self._retry(running, status, exit_code if by_code else None, now):
            return
        memory_mb = running.peak_kib / 1024 if running.peak_kib > running.own_peak_kib else None
        cpu = 100 * running.cpu_s / elapsed if elapsed > 0 else None
        self._conclude(running.position, status, reason, exit_code, (memory_mb, cpu))

    def _retry(self, running: _Running, status: JobStatus, exit_code: int | None, now: float) -> bool:
        if self._stopped_by is not None or self._cause is not None:
            return False
        progress = self._progress[running.position]
        policy = running.job.retry
        elapsed = now - progress.first_mono
        wait = retry.next_wait_s(
            policy,
            status=status,
            exit_code=exit_code,
            retries=running.number - 1,
            elapsed_s=elapsed,
            chance=random.random(),
        )
        if wait is None:
            return False
        heappush(self._waiting, (now + wait, running.position))
        self._tell(
            AttemptFailed(time(), running.job, tuple(progress.attempts), policy.max_retries + 1, elapsed, wait)
        )
        return True

    def _conclude(
        self,
        position: int,
        status: JobStatus,
        reason: str | None,
        exit_code: int | None,
        usage: tuple[float | None, float | None] | None,
    ) -> None:
        """Give a job its final status, and its dependents what follows from it."""
        job = self._jobs[position]
        progress = self._progress.pop(position)
        at = time()
        elapsed = monotonic() - progress.first_mono if progress.first_at is not None else None
        memory_mb, cpu_percent = usage or (None, None)
        self._tell(
            JobEnded(
                at,
                job,
                status,
                reason,
                exit_code,
                progress.first_at,
                elapsed,
                tuple(progress.attempts),
                job.retry.max_retries + 1,
                memory_mb,
                cpu_percent,
                progress.log_path,
            )
        )
        if status is JobStatus.SUCCESS:
            self._agenda.succeeded(position)
            return
        self._skip(self._agenda.failed(position), "dependency failed")
        if status in FAILURES and not self._plan.continue_on_error and self._stopped_by is None:
            self._stop(f"run stopped after {job.id} failed")

    def _skip(self, positions: Sequence[int], reason: str) -> None:
        if positions:
            self._tell(JobsSkipped(time(), [self._jobs[position] for position in positions], reason))

    def _stop(self, reason: str) -> None:
        """Start nothing more, further attempts included. What was chosen already may go on."""
        self._stopped_by = reason
        self._skip(self._agenda.drop_rest(), reason)
        for position, last in self._cancel_retries():
            self._conclude(position, last.status, f"{last.reason} (not retried: {reason})", last.exit_code, None)

    def _cancel_retries(self) -> list[tuple[int, Attempt]]:
        waiting, self._waiting = self._waiting, []
        positions = sorted(position for _, position in waiting)
        return [(position, self._progress[position].attempts[-1]) for position in positions]

    def _drop_chosen(self, reason: str) -> None:
        """Take back what was chosen but is not committed, and so was not started."""
        starting, self._starting = self._starting, []
        for running in starting:
            joblog.end(running.frame, f"not started: {reason}", 0.0)
            del self._progress[running.position]
            self._skip([running.position, *self._agenda.failed(running.position)], reason)

    # --- deadlines, and ending what runs --------------------------------------------------

    def _serve_deadlines(self) -> None:
        now = monotonic()
        if now < self._next_wake:
            return
        self._table = None
        for running in list(self._running.values()):
            if running.wake_at() <= now:
                self._look_after(running, now)
        self._next_wake = min((one.wake_at() for one in self._running.values()), default=float("inf"))

    def _look_after(self, running: _Running, now: float) -> None:
        """Do what is due for one running attempt."""
        if running.deadline <= now:
            job = running.job
            source = " (default_timeout)" if job.timeout_is_default else ""
            self._end(running, JobStatus.TIMEOUT, f"Timed out after {duration(job.timeout_s or 0)}{source}", now)
        if running.family is not None:
            self._press(running, running.family, now)
        elif running.announce_at <= now:
            running.announce_at = now + _SIGN_OF_LIFE_S
            progress = self._progress[running.position]
            of = running.job.retry.max_retries + 1
            elapsed = now - (running.started_mono if running.number > 1 else progress.first_mono)
            self._say(JobStillRunning(time(), running.job, running.number, of, elapsed))
        self._next_wake = min(self._next_wake, running.wake_at())

    def _processes(self) -> ProcessTable:
        """All processes, looked up once for all the jobs that are ended in one turn."""
        if self._table is None:
            self._table = process_table()
        return self._table

    def _family(self, running: _Running) -> Family:
        return Family(running.pid, self._mark(running), running.alone_since)

    def _end(self, running: _Running, status: JobStatus, reason: str, now: float) -> None:
        """Begin to end an attempt: TERM now, KILL after the grace."""
        running.end_status, running.end_reason = status, reason
        running.deadline = running.announce_at = float("inf")
        running.kill_at = now + self._conditions.kill_grace_s
        running.scan_at = now + running.scan_step
        running.family = self._family(running)
        running.family.send(signal.SIGTERM, self._processes())

    def _press(self, running: _Running, family: Family, now: float) -> None:
        """Go on ending an attempt until none of its processes is left."""
        if running.kill_at <= now:
            if running.killed:
                reason = f"{running.end_reason}; processes of it could not be ended"
                self._gone(running, running.end_status, reason)
                return
            running.killed = True
            running.kill_at = now + _LAST_RESORT_S
            running.scan_step = 0.01
            running.scan_at = now
        if running.scan_at <= now:
            table = self._processes()
            left = family.send(signal.SIGKILL, table) if running.killed else len(family.members(table))
            if not left and family.reaped:
                self._gone(running, running.end_status, running.end_reason)
                return
            running.scan_step = min(running.scan_step * 2, 0.25)
            running.scan_at = now + running.scan_step

    def _interrupt(self, number: int) -> None:
        """A signal to the runner: the first ends gracefully, the second at once."""
        now = monotonic()
        self._table = None
        again = self._cause is not None
        at_once = again or number == signal.SIGQUIT
        if not again:
            self._signal = number
            self._cause = _CAUSES.get(signal.Signals(number), signal.Signals(number).name)
        grace = 0.0 if at_once else self._conditions.kill_grace_s
        key = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self._say(RunInterrupted(time(), self._cause or "", len(self._running), grace, key))
        if not again:
            self._drop_everything()
        for running in list(self._running.values()):
            if running.family is None:
                elapsed = duration(now - running.started_mono)
                self._end(running, JobStatus.INTERRUPTED, f"Ended by the runner after {elapsed}", now)
            if at_once and not running.killed:
                running.kill_at = now
            self._next_wake = min(self._next_wake, running.wake_at())

    def _drop_everything(self) -> None:
        """Nothing more will be started: skip what did not run, close what waits for a retry."""
        self._skip(self._agenda.drop_rest(), "run interrupted")
        self._drop_chosen("run interrupted")
        for position, last in self._cancel_retries():
            reason = f"Interrupted before attempt {last.number + 1}: {last.reason}"
            self._conclude(position, JobStatus.INTERRUPTED, reason, last.exit_code, None)


def _exit_reason(exit_code: int, environment: Mapping[bytes, bytes]) -> str:
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        return f"Killed by {name}"
    if exit_code == 127:
        path = os.fsdecode(environment.get(b"PATH", b""))
        return f"Exit code 127 (command not found? PATH is {path or 'not set'})"
    return f"Exit code {exit_code}"


def _truncated(job_id: str, path: str) -> str:
    return (
        f"{job_id} cut off its own log ({path}): it opened /dev/stdout or /dev/stderr anew, "
        "as `tee /dev/stderr` does. Use `tee -a /dev/stderr` or `>&2`."
    )
