"""Processes of jobs that outlived their runner: finding, watching and ending them.

Every process of a job carries the mark of its run and job in ``EXECUTIONER_TRACE``; what
dropped that is found by its session and by its descent. Processes whose environment may not
be read (another user's) are not found.
"""

import signal
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from executioner.family import BOOT_CLOCK, Family, Process, ProcessTable, one_process, process_table

_FIRST_LOOK_S = 0.02
_LONGEST_LOOK_S = 0.25
_LAST_RESORT_S = 10.0  # after KILL


class Leftover(NamedTuple):
    """A job of a dead run that still runs. ``since`` is when its oldest process started, in Unix time."""

    run_id: int
    job: str
    pid: int
    since: float
    mark: str
    created_at: float  # in seconds since boot: tells the process from a later one with its pid


def token(identity: bytes, run_id: int, pid: int | None, start_ticks: int | None) -> str:
    """What marks the processes of a run: the database, the run and the runner's process."""
    return f"{identity.decode('ascii', 'replace')}-{run_id}-{pid}-{start_ticks or 0}"


def find(run_id: int, run_token: str, jobs: Iterable[str]) -> list[Leftover]:
    """Those of some jobs of a run that still have a process, in the given order."""
    table = process_table()
    marked: dict[str, list[Process]] = {}
    for process in table:
        for mark in (process.trace or "").split():
            if mark.startswith(f"{run_token}/"):
                marked.setdefault(mark, []).append(process)
    found = []
    for job in jobs:
        for mark, processes in marked.items():
            if mark.split("/")[1] == job:
                oldest = min(processes, key=lambda process: (process.created_at, process.pid))
                since = time.time() - (time.clock_gettime(BOOT_CLOCK) - oldest.created_at)
                found.append(Leftover(run_id, job, oldest.pid, since, mark, oldest.created_at))
    return found


def has_process(one: Leftover) -> bool:
    """Whether the process that a leftover was found by is still there."""
    found = one_process(one.pid)
    return found is not None and found.created_at == one.created_at


def end(leftovers: Sequence[Leftover], grace_s: float) -> list[Leftover]:
    """End all processes of leftovers, gracefully at first; returns those that could not be ended."""
    table = process_table()
    for one in leftovers:
        for family in _families(one, table):
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
        left = [one for one in left if any(_pressed(family, table, kill) for family in _families(one, table))]
        if not left or time.monotonic() >= give_up:
            return left
        time.sleep(step)
        step = min(2 * step, _LONGEST_LOOK_S)


def _pressed(family: Family, table: ProcessTable, kill: bool) -> int:
    """How many processes a family has; they are killed at once if that is wanted."""
    return family.send(signal.SIGKILL, table) if kill else len(family.members(table))


def _families(one: Leftover, table: ProcessTable) -> list[Family]:
    """The families of a leftover: one for each session that a process with its mark is in.

    A session's number is not given away while it has a member, so each leads to that job's
    processes alone.
    """
    sessions = {process.session for process in table if one.mark in (process.trace or "").split()}
    return [Family(session, one.mark, None) for session in sorted(sessions)]
