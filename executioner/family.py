"""Finding and ending every process of a job, also those that left its group and session.

A process belongs to a job when it is in the session or group of the job's leader,
descends from a member, carries the job's mark in its environment (``EXECUTIONER_TRACE``),
or was left to us as its adopter and has the job's log open, or came while only that job ran.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from executioner.lean import signal, suppress
from executioner.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


#: Starts are stated in clock ticks, rounded down: that far one may lie before our clock's.
_TICK_S = 0.01
_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
#: How often processes are looked for that were started during the look before.
_MOST_LOOKS = 50
_NONE: frozenset[int] = frozenset()
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Process(Record):
    """A living process. ``created_at`` tells it from a later one with the same pid.

    It is in seconds since boot (CLOCK_BOOTTIME): the wall clock may be set at any moment.
    """

    pid: int
    created_at: float
    parent: int
    group: int
    session: int
    trace: str | None  # its EXECUTIONER_TRACE; None where it has none or may not be read


ProcessTable: TypeAlias = list[Process]


def token(identity: bytes, run_id: int, pid: int | None, start_ticks: int | None) -> str:
    """What marks the processes of a run: the database, the run and the runner's process."""
    return f"{identity.decode('ascii', 'replace')}-{run_id}-{pid}-{start_ticks or 0}"


def process_table() -> ProcessTable:
    """Every living process but ourselves; zombies are dead.

    It is looked again until none is new: one that starts the next and ends would else be missed with it.
    Empty where the system does not let us look (no descriptor is left, say): then the
    groups of the jobs' leaders have to do.
    """
    import psutil  # that it is there was seen before the run began

    try:
        boot_time = psutil.boot_time()  # stated in whole seconds, but the same in every create_time
        found: ProcessTable = []
        known = {os.getpid()}
        for _ in range(_MOST_LOOKS):
            new = [pid for pid in psutil.pids() if pid not in known]
            if not new:
                break
            known.update(new)
            found += filter(None, (_look_at(pid, boot_time) for pid in new))
    except OSError:
        return []
    return found


def one_process(pid: int) -> Process | None:
    """A living process; None if there is none of that pid."""
    import psutil

    try:
        return _look_at(pid, psutil.boot_time())
    except OSError:
        return None


def _look_at(pid: int, boot_time: float) -> Process | None:
    """What is to be known of a process; None if it has just ended."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        try:
            trace = process.environ().get("EXECUTIONER_TRACE")
        except (psutil.AccessDenied, OSError):
            trace = None
        created_at = process.create_time() - boot_time
        return Process(pid, created_at, process.ppid(), os.getpgid(pid), os.getsid(pid), trace)
    except (psutil.Error, OSError):
        return None


class Solitude(Record):
    """The time in which one job alone has run, as seen from its start.

    An orphan of that time is that job's, unless an earlier job left it behind on purpose,
    or left the daemon that it belongs to.
    """

    since: float  # in seconds since boot
    children: frozenset[int]  # ours already then

    @classmethod
    def begin(cls, children: Children) -> Solitude:
        """Now. The job is not started yet."""
        return cls(time.clock_gettime(BOOT_CLOCK), children.pids())

    def covers(self, process: Process, starts: dict[int, float]) -> bool:
        """Whether a process without a mark of this run was left to us in that time.

        ``starts``: when each living process was started.
        """
        since = self.since - _TICK_S
        return (
            process.parent == os.getpid()
            and process.pid not in self.children
            and process.created_at >= since
            and starts.get(process.session, since) >= since  # not of an older session
        )


class Children:
    """Our children: leaders of jobs, and orphans that were handed over to us. proc(5).

    Their list is kept open: it is read at every start of a job that runs alone.
    """

    def __init__(self) -> None:
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)

    def are_none(self) -> bool:
        """Whether there is surely none, not even one that has ended."""
        return self._fd >= 0 and not os.pread(self._fd, 1, 0)

    def pids(self) -> frozenset[int]:
        """Those of this moment; none where the system does not tell."""
        if self._fd < 0:
            return _NONE
        found = os.pread(self._fd, 1 << 16, 0)
        return frozenset(map(int, found.split())) if found else _NONE


class Family:
    """The processes of one started job.

    Args:
        leader: the pid that was spawned, leading a session of its own.
        mark: the job's own entry of ``EXECUTIONER_TRACE``.
        alone_since: set if no other job has run since this one was started: the processes
            that the kernel handed over to us since then are then its own.
        log: what tells the job's log from all other files, where that is known.
    """

    def __init__(
        self, leader: int, mark: str, alone_since: Solitude | None = None, log: tuple[int, int] | None = None
    ) -> None:
        self.leader = leader
        self._mark = mark
        self._run = f"{mark.partition('/')[0]}/"  # what all marks of the run begin with
        self._alone_since = alone_since
        self._log = log
        self._known: set[tuple[int, float]] = set()
        self.reaped = False

    def leader_reaped(self) -> None:
        """From now on the leader's pid may be given to a stranger: its group is not signalled."""
        self.reaped = True

    def send(self, number: int, table: ProcessTable) -> int:
        """Send a signal to every member; returns how many the table holds.

        A stopped process would see TERM only once it goes on: CONT follows it.
        """
        numbers = (number, signal.SIGCONT) if number == signal.SIGTERM else (number,)
        members = self.members(table)
        living = {member.pid: member for member in members}
        # a group's number is not given away while it has a member
        groups = {member.group for member in members} & {self.leader} | (set() if self.reaped else {self.leader})
        if number == signal.SIGKILL:  # a group is killed as one: nobody in it can start another meanwhile
            strangers = {process.group for process in table if process.pid not in living}
            groups |= {member.group for member in members} - strangers - {os.getpgrp()}
        for one in numbers:
            for group in groups:
                _signal(os.killpg, group, one)
            for member in members:
                if member.group not in groups:  # nobody is signalled twice
                    if number == signal.SIGTERM and self._is_cared_for(member, living):
                        continue
                    _signal(os.kill, member.pid, one)
        return len(members)

    def members(self, table: ProcessTable) -> list[Process]:
        """The members among the processes of a table."""
        children: dict[int, list[Process]] = {}
        for process in table:
            children.setdefault(process.parent, []).append(process)
        starts = {process.pid: process.created_at for process in table}
        members = [process for process in table if self._owns(process, starts)]
        seen = {process.pid for process in members}
        for member in members:  # grows while it is walked
            for child in children.get(member.pid, ()):
                if child.pid not in seen:
                    seen.add(child.pid)
                    members.append(child)
        self._known.update((process.pid, process.created_at) for process in members)
        return members

    def _is_cared_for(self, member: Process, living: dict[int, Process]) -> bool:
        """Whether a member is of a nested run whose runner lives: that one gets TERM, and ends its jobs itself.

        Else a job that ends well on TERM could be taken for one that ended by itself.
        """
        if not self._is_nested(member):
            return False
        above: Process | None = member
        while above is not None and self._is_nested(above):
            above = living.get(above.parent)
        return above is not None

    def _is_nested(self, member: Process) -> bool:
        """Whether a process was started by a run inside the job: other marks follow the job's."""
        marks = (member.trace or "").split()
        return self._mark in marks[:-1]

    def _owns(self, process: Process, starts: dict[int, float]) -> bool:
        if process.pid == self.leader and self.reaped:
            return False  # a stranger with its pid
        if self.leader in (process.group, process.session):
            return True
        if (process.pid, process.created_at) in self._known:
            return True
        marks = (process.trace or "").split()
        if any(mark.startswith(self._run) for mark in marks):
            return self._mark in marks
        if self._alone_since is not None and self._alone_since.covers(process, starts):
            return True
        return process.parent == os.getpid() and self._log is not None and has_open(process.pid, self._log)


def has_open(pid: int, file: tuple[int, int]) -> bool:
    """Whether a process has a file, by its device and number, as its stdout or stderr. proc(5)."""
    for fd in (1, 2):
        try:
            status = os.stat(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if (status.st_dev, status.st_ino) == file:
            return True
    return False


def kill_group(leader: int) -> None:
    """End the process group of a leader that was not reaped."""
    _signal(os.killpg, leader, signal.SIGKILL)


def adopt_orphans() -> bool:
    """Ask the kernel to hand us the orphans among our descendants; False where it cannot.

    prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    return _ask_kernel(_SET_CHILD_SUBREAPER, 1)


def end_with(parent: int) -> None:
    """Let this process be killed when its parent ends. prctl(2), PR_SET_PDEATHSIG."""
    _ask_kernel(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def _ask_kernel(option: int, value: int) -> bool:
    """Call prctl(2); False where it cannot be had or refuses."""
    try:
        import _ctypes  # a third of the time that ctypes takes, and all that is needed

        prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type]
        return bool(_ctypes.call_function(prctl, (option, int(value), 0, 0, 0)) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _signal(send: Callable[[int, int], None], target: int, number: int) -> None:
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):
        return
