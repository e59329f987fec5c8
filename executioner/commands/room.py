"""Room on the disk of the logs for the results that a history may not take: they fit on a full disk, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from executioner.events import AttemptFailed, Event, JobEnded
from executioner.folders import enlarge_room, take_room
from executioner.plan import Plan

# What a spool file takes in bytes at most, beside ids, paths and reasons: of a skipped job, of one that ends, and
# of each of its attempts.
_SKIPPED = 220
_ENDED = 1200
_ATTEMPT = 600
_REASON = 1300  # at most
_STEP = 64 * 1024


class Room:
    """As much as the results may come to of all that runs, waits for another attempt, or would be skipped.

    It is taken when a run starts, and enlarged with the attempts that jobs which are not done have behind them.

    Attributes:
        fd: what ``take_room`` gave.
    """

    def __init__(self, plan: Plan) -> None:
        workflow, ids = plan.workflow, plan.graph.ids
        self._retries = any(job.retry.max_retries for job in workflow.jobs)
        self._a_job = _ENDED + 2 * len(workflow.log_dir)
        self._tried: dict[str, int] = {}  # what those jobs take that have attempts behind them and are not done
        skipped = len(ids) * (_SKIPPED + max(map(len, ids))) + sum(map(len, ids))
        running = self._a_job + _ATTEMPT + 3 * _REASON  # its own, that of its last attempt, and in the list of all
        self._least = min(plan.workers, len(ids)) * running + skipped
        self._needed = 0  # beyond that
        self._may_grow = True
        self._size = max(_STEP, self._least)
        self.fd = take_room(workflow.log_dir, self._size)

    def told(self, hear: Callable[[Sequence[Event]], bool]) -> Callable[[Sequence[Event]], bool]:
        """A listener that hears what another one hears, first; where nothing is tried again, the other one."""
        fd = self.fd
        if fd is None or not self._retries:
            return hear

        def hear_both(events: Sequence[Event]) -> bool:
            self._hear(events, fd)
            return hear(events)

        return hear_both

    def _hear(self, events: Sequence[Event], fd: int) -> None:
        for event in events:
            if isinstance(event, AttemptFailed):
                before = self._tried.get(event.job.id, 0)
                more = _ATTEMPT + 3 * _written(event.attempts[-1].reason or "") + (0 if before else self._a_job)
                self._tried[event.job.id] = before + more
                self._needed += more
            elif isinstance(event, JobEnded):
                self._needed -= self._tried.pop(event.job.id, 0)
        if self._may_grow and self._least + self._needed > self._size:
            self._size = self._least + self._needed + _STEP  # in steps: each asks the system
            self._may_grow = enlarge_room(fd, self._size)


def _written(reason: str) -> int:
    """How many bytes a reason may take."""
    is_plain = reason.isascii() and reason.isprintable() and not {'"', "\\"}.intersection(reason)
    return len(reason) if is_plain else _REASON
