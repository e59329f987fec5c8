"""Processes of jobs that outlived their runner: finding, watching and ending them.

Every process of a job carries the mark of its run and job in ``EXECUTIONER_TRACE``; one that
dropped its environment still writes to the job's log, is in the session of one that does, or
descends from it. Processes of which none of that may be read (another user's) are not found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence, Set

from executioner.family import BOOT_CLOCK, Family, Process, ProcessTable, one_process, process_table
from executioner.lean import signal, suppress
from executioner.record import Record

_FIRST_LOOK_S = 0.02
_LONGEST_LOOK_S = 0.25
_LAST_RESORT_S = 10.0  # after KILL

#: By pid, the files that a process has as its stdout and stderr.
Outputs = Mapping[int, Set[str]]


class Leftover(Record):
    """A job of a dead run that still runs.

    Attributes:
        run_id: the run.
        job: the job's id.
        pid: its oldest process.
        since: when that was started, in Unix time.
        mark: what the marks of its processes begin with; the number of the attempt follows.
        log_path: where they write to; None where that is not known.
        created_at: of that process in seconds since boot: tells it from a later one with its pid.
    """

    run_id: int
    job: str
    pid: int
    since: float
    mark: str
    log_path: str | None
    created_at: float

    def owns(self, process: Process, outputs: Outputs) -> bool:
        """Whether a process shows by itself that it is the job's."""
        marks = (process.trace or "").split()
        return any(mark.startswith(self.mark) for mark in marks) or self.log_path in outputs[process.pid]


def outputs_of(table: ProcessTable) -> Outputs:
    """What processes have as their stdout and stderr. proc(5)."""
    found: dict[int, set[str]] = {}
    for process in table:
        names = found[process.pid] = set()
        for fd in (1, 2):
            with suppress(OSError):
                names.add(os.readlink(f"/proc/{process.pid}/fd/{fd}"))
    return found


def find(
    run_id: int, run_token: str, jobs: Iterable[tuple[str, str | None]], table: ProcessTable, outputs: Outputs
) -> list[Leftover]:
    """Those of some jobs of a run, each given with its log, that still have a process."""
    found = []
    for job, log_path in jobs:
        candidate = Leftover(run_id, job, 0, 0.0, f"{run_token}/{job}/", log_path, 0.0)
        processes = [process for process in table if candidate.owns(process, outputs)]
        if processes:
            oldest = min(processes, key=lambda process: (process.created_at, process.pid))
            since = time.time() - (time.clock_gettime(BOOT_CLOCK) - oldest.created_at)
            found.append(candidate._replace(pid=oldest.pid, since=since, created_at=oldest.created_at))
    return found


def hides(user: str | None, since_ticks: int, table: ProcessTable) -> bool:
    """Whether a user has processes, started since some moment, of which it cannot be told whose they are."""
    import pwd

    try:
        owner = None if user is None else pwd.getpwnam(user).pw_uid
    except KeyError:
        owner = None
    if all(process.pid != 1 for process in table):  # other users' are not even listed: proc(5), hidepid
        return True
    since = since_ticks / os.sysconf("SC_CLK_TCK")
    for process in table:
        if process.created_at >= since and process.trace is None and process.session:  # the kernel's own have none
            with suppress(OSError):
                found = os.stat(f"/proc/{process.pid}").st_uid
                if found == owner if owner is not None else found not in (0, os.geteuid()):
                    return True
    return False


def groups(found: Sequence[Leftover]) -> list[int]:
    """The process groups of all that is left of some jobs."""
    table = process_table()
    outputs = outputs_of(table)
    families = [family for one in found for family in _families(one, table, outputs)]
    return sorted({member.group for family in families for member in family.members(table)})


def has_process(one: Leftover) -> bool:
    """Whether the process that a leftover was found by is still there."""
    found = one_process(one.pid)
    return found is not None and found.created_at == one.created_at


def holds_us(one: Leftover) -> bool:
    """Whether this very process is one of the job's: it must not end itself."""
    table = process_table()
    return os.getsid(0) in {family.leader for family in _families(one, table, outputs_of(table))}


def end(leftovers: Sequence[Leftover], grace_s: float) -> list[Leftover]:
    """End all processes of leftovers, gracefully at first; returns those that could not be ended."""
    table = process_table()
    outputs = outputs_of(table)
    for one in leftovers:
        for family in _families(one, table, outputs):
            family.send(signal.SIGTERM, table)
    left = _wait(leftovers, grace_s, kill=False)
    return _wait(left, _LAST_RESORT_S, kill=True) if left else []


def _wait(leftovers: Sequence[Leftover], most_s: float, *, kill: bool) -> list[Leftover]:
    """Wait until all processes are gone, at growing intervals; returns what is left after that time."""
    give_up = time.monotonic() + most_s
    step = _FIRST_LOOK_S
    left = list(leftovers)
    while True:
        table = process_table()
        outputs = outputs_of(table)
        left = [
            one for one in left if any(_pressed(family, table, kill) for family in _families(one, table, outputs))
        ]
        if not left or time.monotonic() >= give_up:
            return left
        time.sleep(step)
        step = min(2 * step, _LONGEST_LOOK_S)


def _pressed(family: Family, table: ProcessTable, kill: bool) -> int:
    """How many processes a family has; they are killed at once if that is wanted."""
    return family.send(signal.SIGKILL, table) if kill else len(family.members(table))


def _families(one: Leftover, table: ProcessTable, outputs: Outputs) -> list[Family]:
    """The families of a leftover: one for each session that a process of it is in.

    A session's number is not given away while it has a member, so each leads to that job's
    processes alone.
    """
    return [Family(session, one.mark) for session in sorted({p.session for p in table if one.owns(p, outputs)})]


class Orphan(Record):
    """A job whose runner is gone, by what its process says of itself; ``group`` is its process group."""

    run_id: int
    job: str
    pid: int
    group: int


def of_dead_runners(history: str) -> list[Orphan]:
    """The jobs of runs of a history that still run though their runner does not; the history is not asked."""
    import psutil

    ticks_a_second = os.sysconf("SC_CLK_TCK")
    found: dict[tuple[int, str], Orphan] = {}
    for process in sorted(process_table(), key=lambda one: one.created_at):
        mark = (process.trace or "").partition(" ")[0]
        token_text, _, rest = mark.partition("/")
        parts = token_text.rsplit("-", 3)
        if len(parts) != 4 or not all(part.isdigit() for part in parts[1:]):
            continue
        run_id, runner, ticks = map(int, parts[1:])
        alive = one_process(runner)
        if alive is not None and abs(alive.created_at * ticks_a_second - ticks) < 2:
            continue
        with suppress(psutil.Error, OSError):
            if psutil.Process(process.pid).environ().get("EXECUTIONER_DB") == history:
                job = rest.rpartition("/")[0]
                found.setdefault((run_id, job), Orphan(run_id, job, process.pid, process.group))
    return list(found.values())
