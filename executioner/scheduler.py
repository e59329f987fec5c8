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

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, time

from executioner import attempt, joblog
from executioner.attempt import CannotStartError, Phase, Progress, Running, Starter
from executioner.errors import HistoryError
from executioner.events import (
    AttemptFailed,
    AttemptStarting,
    Event,
    JobEnded,
    JobsReused,
    JobsSkipped,
    JobStillRunning,
    RunInterrupted,
    Warned,
)
from executioner.family import Children, ProcessTable, Solitude, adopt_orphans, kill_group, process_table
from executioner.lean import heapify, heappop, heappush, signal
from executioner.model import FAILURES, Attempt, JobStatus
from executioner.plan import Action, Agenda, Plan
from executioner.record import Record
from executioner.render.text import duration, limit
from executioner.signals import SignalQueue
from executioner.times import utc_text
from executioner.verdict import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Recorder(Protocol):
        """The history, as far as the loop needs it."""

        def note(self, event: Event) -> None:
            """Take an event in, to be written by the next commit."""

        def commit(self) -> bool:
            """Write what was noted; False if the history is busy just now."""


_SIGN_OF_LIFE_S = 300.0
_BUSY_HISTORY_S = 30.0
_IDLE_S = 0.05
_ONE_HANGUP_S = 2.0
_NEVER = float("inf")
#: Before so many starts, with several workers, we sleep for a moment. To Linux a core that has just computed for
#: long, as for so large a config, is busy: it starts the first job on another one, and stays with that. On two
#: cores each job then waits for the one before, and ours idles until posix_spawn returns (docs/performance.md).
_MANY_STARTS = 4000
_REST_S = 0.025
_EXHAUSTED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.ENFILE, errno.EMFILE})
_CAUSES: Mapping[int, str] = {
    signal.SIGINT: "Ctrl-C (SIGINT)",
    signal.SIGTERM: "Terminated (SIGTERM)",
    signal.SIGHUP: "Hung up (SIGHUP)",
    signal.SIGQUIT: "Quit (SIGQUIT)",
}


class Outcome(Record):
    """How the loop ended: by which signal, if any; and why the history failed, if it did."""

    signal: int | None
    cause: str | None
    history_error: HistoryError | None


class Scheduler:
    """Executes a plan. Used once."""

    def __init__(
        self,
        plan: Plan,
        agenda: Agenda,
        starter: Starter,
        kill_grace_s: float,
        history: Recorder,
        listen: Callable[[Sequence[Event]], bool],
        signals: SignalQueue,
        chance: Callable[[], float],
    ) -> None:
        self._jobs = plan.workflow.jobs
        self._plan = plan
        self._agenda = agenda
        self._starter = starter
        self._kill_grace_s = kill_grace_s
        self._history = history
        self._listen = listen  # says whether something is still to be said: call it again
        self._signals = signals
        self._chance = chance  # for the jitter of retries
        self._workers = plan.workers
        self._progress: dict[int, Progress] = {}  # of jobs that are under way
        self._running: dict[int, Running] = {}  # by pid
        self._starting: list[Running] = []  # chosen, not yet committed
        self._waiting: list[tuple[float, int]] = []  # (when, position): next attempts, and what was put off
        self._events: list[Event] = []  # not yet told to the listeners
        self._wakes: list[tuple[float, int, float]] = []  # (when, pid, its start), some out of date
        self._lonely: Running | None = None
        self._children = Children()
        self._stopped = ""  # why nothing more is started
        self._signal: int | None = None
        self._signal_mono = 0.0
        self._cause: str | None = None
        self._busy_since: float | None = None
        self._history_error: HistoryError | None = None
        self._unsaid = False
        self._goes_on = False  # there is more to choose, though no worker became free
        self._table: ProcessTable | None = None  # as of this turn

    # --- the loop -------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Execute the plan to its end, or to the end that a signal or a fault brings."""
        self._pass_over()
        adopt_orphans()
        rests = self._workers > 1 and len(self._agenda) >= _MANY_STARTS
        early = self._signals.wait_for_end(_REST_S if rests else 0)
        if early is not None:
            self._interrupt(early)  # before anything was started
        while True:
            self._reap()
            self._serve_deadlines()
            self._choose()
            committed = self._commit()
            told: Sequence[Event] = ()
            if committed or self._history_error:
                told, self._events = self._events, []
            if committed:
                self._launch()  # what fails to start is told, and committed, in the next turn
            if told or self._unsaid:
                self._unsaid = self._listen(told)
            if not (self._running or self._starting or self._waiting or self._agenda or self._events):
                return Outcome(self._signal, self._cause, self._history_error)
            self._wait()

    def _pass_over(self) -> None:
        """Tell of the jobs that the plan does not run: they are reused, skipped or left out."""
        plan = self._plan
        reused = plan.jobs(Action.REUSE)
        if reused and plan.parent_run_id is not None:
            self._tell(JobsReused(time(), reused, plan.parent_run_id))
        for reason, positions in plan.passed_over().items():
            self._skip(positions, reason)

    def kill_all(self) -> None:
        """End every process at once, without recording anything: for a fault of our own."""
        for running in self._running.values():
            kill_group(running.pid)
        table = process_table()
        for running in self._running.values():
            self._starter.family(running).send(signal.SIGKILL, table)

    def _tell(self, event: Event) -> None:
        """Something to be recorded; the listeners hear of it once that is done."""
        self._events.append(event)
        self._history.note(event)

    def _say(self, event: Event) -> None:
        """Something for the listeners alone, at once."""
        self._unsaid = self._listen((event,))

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
            self._give_up_history(
                HistoryError(f"The history was locked by another process for {_BUSY_HISTORY_S:.0f} s")
            )
        return False

    def _give_up_history(self, error: HistoryError) -> None:
        self._history_error = error
        self._busy_since = None
        self._say(Warned(time(), f"{error.what}. Nothing more is started."))
        self._stop("the history could not be written")

    def _wait(self) -> None:
        """Sleep until a child ends, a signal comes or the next deadline passes."""
        busy = self._busy_since is not None
        if self._events and not busy:
            return
        now = monotonic()
        until = self._wakes[0][0] if self._wakes else _NEVER
        if self._waiting and not busy and self._free_workers() > 0:
            until = min(until, self._waiting[0][0])
        if busy or self._unsaid:
            until = min(until, now + _IDLE_S)
        elif self._goes_on:
            until = now
        self._goes_on = False
        timeout = None if until == _NEVER else max(0.0, until - now)
        number = self._signals.wait_for_end(timeout)
        if number is not None:
            self._interrupt(number)

    # --- choosing and starting --------------------------------------------------------------

    def _choose(self) -> None:
        """Fill the free workers: retries that are due first, then the most urgent jobs."""
        if self._busy_since is not None:
            return
        now = monotonic() if self._waiting else 0.0
        while self._free_workers() > 0:
            if self._waiting and self._waiting[0][0] <= now:
                _, position = heappop(self._waiting)
            else:
                taken = self._agenda.take()
                if taken is None:
                    return
                position = taken
            if not self._prepare(position):
                return

    def _free_workers(self) -> int:
        return self._workers - len(self._running) - len(self._starting)

    def _prepare(self, position: int) -> bool:
        """Open a job's log and announce its start; False where that has to wait."""
        job = self._jobs[position]
        progress = self._progress.get(position)
        if progress is None:
            progress = self._progress[position] = Progress()
        try:
            running = self._starter.open(position, job, progress)
        except OSError as exc:
            if exc.errno in _EXHAUSTED and (self._running or self._starting):
                self._put_off(position, str(exc.strerror))
                return False
            reason = attempt.kept(f"Could not be started: {attempt.log_fault(exc, job)}")
            self._conclude(position, JobStatus.ERROR, reason, None)
            # commit first: the disk may be full for the history, too, and then no more jobs are to end so
            self._goes_on = True
            return False
        self._starting.append(running)
        of = job.retry.max_retries + 1
        self._tell(AttemptStarting(time(), job, running.number, of, running.frame.path))
        return True

    def _put_off(self, position: int, why: str) -> None:
        """The system has no room for one more just now: the job waits for the next worker to become free."""
        workers = len(self._running) + len(self._starting)
        if workers < self._workers:
            self._workers = workers
            self._say(
                Warned(time(), f"no more jobs can be started now ({why}): going on with {workers} at a time")
            )
        heappush(self._waiting, (monotonic(), position))

    def _launch(self) -> None:
        """Start what was chosen. RUNNING is committed."""
        starting, self._starting = self._starting, []
        for running in starting:
            self._keep_company(running)
            try:
                self._starter.start(running, self._progress[running.position])
            except CannotStartError as exc:
                if exc.errno in _EXHAUSTED and self._running:
                    joblog.end(running.frame, f"not started: {exc}", 0.0)
                    self._put_off(running.position, str(exc))
                else:
                    self._attempt_over(running, JobStatus.ERROR, f"Could not be started: {exc}", None)
            else:
                self._watch(running)

    def _watch(self, running: Running) -> None:
        utc_text(running.started_at)  # kept for its end, after which the next job waits for us
        self._running[running.pid] = running
        self._wake_for(running)

    def _wake_for(self, running: Running) -> None:
        """See to it that a running attempt is looked at when it wants to be."""
        heappush(self._wakes, (running.wake_at(), running.pid, running.started_mono))
        if len(self._wakes) > 4 * len(self._running) + 64:  # mostly entries of attempts that ended
            self._wakes = [(one.wake_at(), one.pid, one.started_mono) for one in self._running.values()]
            heapify(self._wakes)

    def _keep_company(self, running: Running) -> None:
        """Note whether a job runs alone: then the orphans that appear meanwhile are its own."""
        if self._lonely:
            self._lonely.alone_since = None
            self._lonely = None
        if not self._running:
            running.alone_since = Solitude.begin(self._children)
            self._lonely = running

    # --- what ended -----------------------------------------------------------------------

    def _reap(self) -> None:
        """Take in every child that ended."""
        while True:
            try:
                # any child: the process is ours alone, and whatever else turns up is an
                # orphan that the kernel handed over to us and that nobody else will bury
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self._lost([one for one in self._running.values() if not (one.ending and one.ending.leader_gone)])
                return
            if not pid:
                return
            ended = self._running.get(pid)
            if ended is not None:
                ended.cpu_s += usage.ru_utime + usage.ru_stime
                if usage.ru_maxrss > ended.own_peak_kib:  # else it is no more than what it began with
                    ended.peak_kib = max(ended.peak_kib, usage.ru_maxrss)
                self._process_ended(ended, os.waitstatus_to_exitcode(status))
                if not self._running and self._children.are_none():
                    return  # to be told so by wait4 is an exception, of 6 µs, for which the next start would wait

    def _lost(self, children: Sequence[Running]) -> None:
        """Children are gone, but the kernel did not tell us how they ended."""
        for running in children:
            del self._running[running.pid]
            self._attempt_over(running, JobStatus.ERROR, "Its exit status is not known", None)

    def _process_ended(self, running: Running, exit_code: int) -> None:
        """The process of an attempt's phase ended."""
        if running.ending is not None:
            of_command = {Phase.COMMAND: exit_code, Phase.PRE_CHECKS: None, Phase.POST_CHECKS: 0}
            running.ending.leader_ended(of_command[running.phase])
            self._wake_for(running)  # whether others are left is looked at with the deadlines
            return
        del self._running[running.pid]
        if running.phase is Phase.COMMAND:
            if exit_code:
                reason = attempt.exit_reason(exit_code, running.job, running.environment)
                self._attempt_over(running, JobStatus.FAILED, reason, exit_code)
            elif running.job.post_checks:
                self._enter(running, Phase.POST_CHECKS)
            else:
                self._attempt_over(running, JobStatus.SUCCESS, None, 0)
            return
        verdict = self._starter.verdict(running, exit_code)
        if running.phase is Phase.PRE_CHECKS:
            if verdict is None:
                self._enter(running, Phase.COMMAND)
            else:
                reason = f"Pre-check failed: {verdict}"
                self._attempt_over(running, JobStatus.FAILED, reason, None, retry_it=False)
        elif verdict is None:
            self._attempt_over(running, JobStatus.SUCCESS, None, 0)
        else:
            self._attempt_over(running, JobStatus.FAILED, f"Post-check failed: {verdict}", 0, by_code=False)

    def _enter(self, running: Running, phase: Phase) -> None:
        try:
            self._starter.enter(running, phase)
        except CannotStartError as exc:
            if phase is Phase.POST_CHECKS:
                reason = f"Its {phase} could not be started: {exc}"
                self._attempt_over(running, JobStatus.ERROR, reason, 0, by_code=False)
            else:
                self._attempt_over(running, JobStatus.ERROR, f"Could not be started: {exc}", None)
        else:
            self._watch(running)

    def _attempt_over(
        self,
        running: Running,
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
        reason = None if reason is None else attempt.kept(reason)
        closed, fault = attempt.close(running, status, reason, exit_code)
        if fault is not None:
            self._say(Warned(time(), fault))
        progress = self._progress[running.position]
        progress.attempts.append(closed)
        progress.ended_mono = monotonic()
        progress.memory_mb = running.memory_mb()
        progress.cpu_percent = 100 * running.cpu_s / closed.duration_s if closed.duration_s > 0 else None
        reason = closed.reason
        if retry_it and status in FAILURES and running.number <= running.job.retry.max_retries:
            why_not = self._stopped or self._retry(running, progress, exit_code if by_code else None)
            if why_not is None:
                return
            reason = f"{reason} (not retried: {why_not})"
        self._conclude(running.position, status, reason, exit_code)

    def _retry(self, running: Running, progress: Progress, exit_code: int | None) -> str | None:
        """Plan the next attempt; if there is to be none, the key of the config that says so."""
        policy = running.job.retry
        from executioner import retry

        now = monotonic()
        elapsed = now - (progress.started_mono or now)
        wait = retry.next_wait_s(
            policy,
            status=progress.attempts[-1].status,
            exit_code=exit_code,
            retries=running.number - 1,
            elapsed_s=elapsed,
            chance=self._chance(),
        )
        if isinstance(wait, str):
            return wait
        heappush(self._waiting, (now + wait, running.position))
        attempts = tuple(progress.attempts)
        self._tell(AttemptFailed(time(), running.job, attempts, policy.max_retries + 1, elapsed, wait))
        return None

    def _conclude(
        self,
        position: int,
        status: JobStatus,
        reason: str | None,
        exit_code: int | None,
    ) -> None:
        """Give a job its final status, and its dependents what follows from it."""
        job = self._jobs[position]
        progress = self._progress.pop(position)
        started = progress.started_mono
        self._tell(
            JobEnded(
                time(),
                job,
                status,
                reason,
                exit_code,
                None if started is None else progress.ended_mono - started,
                tuple(progress.attempts),
                progress.memory_mb,
                progress.cpu_percent,
                progress.log_path,
            )
        )
        if status is JobStatus.SUCCESS:
            self._agenda.succeeded(position)
            return
        self._skip(self._agenda.failed(position), "dependency failed")
        if status in FAILURES and not self._plan.continue_on_error and not self._stopped:
            self._stop(f"run stopped after {job.id} failed")

    def _skip(self, positions: Sequence[int], reason: str) -> None:
        if positions:
            self._tell(JobsSkipped(time(), [self._jobs[position] for position in positions], reason))

    def _stop(self, reason: str) -> None:
        """Start nothing more, further attempts included."""
        self._stopped = self._stopped or reason
        self._skip(self._agenda.drop_rest(), reason)
        for position, last in self._give_back(reason):
            if self._cause is None:
                why = f"{last.reason} (not retried: {reason})"
                self._conclude(position, last.status, why, last.exit_code)
            else:
                why = f"Interrupted before attempt {last.number + 1}: {last.reason}"
                self._conclude(position, JobStatus.INTERRUPTED, why, last.exit_code)

    def _give_back(self, reason: str) -> list[tuple[int, Attempt]]:
        """Take back what was to start, for the first time or again.

        Jobs that never started are skipped; those that did are returned with their last
        attempt, in config order.
        """
        positions = [position for _, position in self._waiting]
        self._waiting = []
        starting, self._starting = self._starting, []
        for running in starting:  # chosen, but not yet committed
            joblog.end(running.frame, f"not started: {reason}", 0.0)
            positions.append(running.position)
        begun = []
        for position in sorted(positions):
            attempts = self._progress[position].attempts
            if attempts:
                begun.append((position, attempts[-1]))
            else:
                del self._progress[position]
                self._skip([position], reason)
                self._skip(self._agenda.failed(position), reason)
        return begun

    # --- deadlines, and ending what runs ------------------------------------------------------

    def _serve_deadlines(self) -> None:
        now = monotonic()
        self._table = None
        while self._wakes and self._wakes[0][0] <= now:
            _, pid, started = heappop(self._wakes)
            running = self._running.get(pid)
            if running is None or running.started_mono != started:
                continue  # it ended meanwhile
            if running.wake_at() <= now:
                self._look_after(running, now)
            if running.pid in self._running:
                self._wake_for(running)

    def _look_after(self, running: Running, now: float) -> None:
        """Do what is due for one running attempt."""
        job = running.job
        if running.ending is None and running.deadline <= now:
            source = " (default_timeout)" if job.timeout_is_default else ""
            what = self._starter.under_way(running)
            where = f" in {what}" if what else ""
            reason = f"Timed out after {limit(job.timeout_s or 0)}{source}{where}"
            self._end(running, JobStatus.TIMEOUT, reason, now)
        elif running.ending is None:
            running.announce_at = now + _SIGN_OF_LIFE_S
            of = job.retry.max_retries + 1
            self._say(JobStillRunning(time(), job, running.number, of, now - running.started_mono))
        elif running.ending.press(now, self._processes):
            del self._running[running.pid]
            ending = running.ending
            by_code = running.phase is not Phase.POST_CHECKS  # then it is that of a command that was fine
            self._attempt_over(running, ending.status, ending.reason, ending.exit_code, by_code=by_code)

    def _processes(self) -> ProcessTable:
        """All processes, looked up once for all the attempts that are ended in one turn."""
        if self._table is None:
            self._table = process_table()
        return self._table

    def _end(self, running: Running, status: JobStatus, reason: str, now: float) -> None:
        from executioner.ending import Ending

        family = self._starter.family(running)
        running.ending = Ending(family, status, reason, now, self._kill_grace_s, self._processes())

    def _interrupt(self, number: int) -> None:
        """A signal to the runner: the first ends gracefully, the second at once."""
        self._reap()  # what ended before the signal was taken ended by itself
        now = monotonic()
        self._table = None
        again = self._cause is not None
        if again and number == self._signal == signal.SIGHUP and now - self._signal_mono < _ONE_HANGUP_S:
            return  # a terminal that closes tells both the shell, which passes it on, and us
        at_once = again or number == signal.SIGQUIT
        name = signal_name(number)
        if not again:
            self._signal_mono = now
            self._signal, self._cause = number, _CAUSES.get(number, name)
        grace_s = 0.0 if at_once else self._kill_grace_s
        key = "Ctrl-C" if number == signal.SIGINT else name
        self._say(RunInterrupted(time(), self._cause or name, len(self._running), grace_s, key))
        if not again:
            self._stop("run interrupted")
        for running in self._running.values():
            if running.ending is None:
                elapsed = duration(now - running.started_mono)
                self._end(running, JobStatus.INTERRUPTED, f"Ended by the runner after {elapsed}", now)
            if at_once and running.ending is not None:
                running.ending.hurry(now)
            self._wake_for(running)
