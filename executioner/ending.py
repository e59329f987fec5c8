"""Ending an attempt: TERM, the grace, KILL, and again until none of its processes is left."""

from __future__ import annotations

from collections.abc import Callable

from executioner.family import Family, ProcessTable
from executioner.lean import signal
from executioner.model import JobStatus

_LAST_RESORT_S = 10.0  # after KILL: a process that the kernel cannot end is given up
_FIRST_LOOK_S = 0.02
_LONGEST_LOOK_S = 0.25


class Ending:
    """How far the ending of one attempt has got.

    The leader's end is told by the kernel; that of its other processes has to be looked
    for, at growing intervals.
    """

    __slots__ = ("_family", "_look_at", "_look_step", "_next_at", "exit_code", "killed", "reason", "status")

    def __init__(
        self, family: Family, status: JobStatus, reason: str, now: float, grace_s: float, table: ProcessTable
    ) -> None:
        self._family = family
        self.status = status
        self.reason = reason
        self.exit_code: int | None = None  # of the leader, once it ended
        self.killed = False
        self._next_at = now + grace_s  # when to kill; after that, when to give up
        self._look_step = _FIRST_LOOK_S
        self._look_at = now + _FIRST_LOOK_S
        family.send(signal.SIGTERM, table)

    def wake_at(self) -> float:
        """When it next wants to be looked at."""
        return min(self._next_at, self._look_at)

    @property
    def leader_gone(self) -> bool:
        """Whether the leader was reaped."""
        return self._family.reaped

    def leader_ended(self, exit_code: int | None) -> None:
        """The leader was reaped: look at once whether others are left."""
        self._family.leader_reaped()
        self.exit_code = exit_code
        self._look_at = 0.0  # at once

    def hurry(self, now: float) -> None:
        """Kill at the next look instead of waiting for the grace to pass."""
        if not self.killed:
            self._next_at = now

    def press(self, now: float, processes: Callable[[], ProcessTable]) -> bool:
        """Do what is due; whether the attempt is over."""
        if self._next_at <= now:
            if self.killed:
                self.reason += "; processes of it could not be ended"
                return True
            self.killed = True
            self._next_at = now + _LAST_RESORT_S
            self._look_step = _FIRST_LOOK_S
            self._look_at = now
        if self._look_at <= now:
            table = processes()
            left = self._family.send(signal.SIGKILL, table) if self.killed else len(self._family.members(table))
            if not left and self._family.reaped:
                return True
            self._look_at = now + self._look_step
            self._look_step = min(self._look_step * 2, _LONGEST_LOOK_S)
        return False
