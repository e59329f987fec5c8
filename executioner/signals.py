"""Waiting for whatever comes first: a child's end, a signal to the runner, or a deadline.

From a run's creation on these signals are blocked and taken from the queue one by one, so
that none interrupts a commit, is lost between two looks, or strikes after the end. Signals
that were ignored when the program started (``nohup``, ``&``) stay ignored.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from executioner.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_NEVER = float("inf")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_NOHUP = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # what callers ignore on purpose


def _heard() -> set[int]:
    """The signals that end a run. TERM always does: without it the runner could only be killed."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # jobs get it too
    return {number for number in _ENDING if number not in _NOHUP or signal.getsignal(number) != signal.SIG_IGN}


class SignalQueue:
    """The signals of a run, from its creation to the end of the process. Linux: sigwait(3), sigtimedwait(2).

    Time is kept by SIGALRM, which is taken from the queue like the others: when
    ``sigtimedwait`` is interrupted (SIGSTOP, suspend) at the end of its time, Python 3.11
    returns a signal that was never sent.
    """

    def __init__(self) -> None:
        self._alarm_at = _NEVER
        self._watched = _heard()
        self._watched |= {signal.SIGCHLD, signal.SIGALRM}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)

    def wait(self, timeout_s: float | None) -> int | None:
        """The next signal's number, at once if one is pending; None when the time is over."""
        if timeout_s is not None and timeout_s <= 0:
            info = signal.sigtimedwait(self._watched, 0)
            number = info.si_signo if info else None
        else:
            if timeout_s is not None:
                self._set_alarm(timeout_s)
            number = signal.sigwait(self._watched)
        if number != signal.SIGALRM:
            return number
        self._alarm_at = _NEVER
        return None

    def wait_for_end(self, timeout_s: float | None) -> int | None:
        """As ``wait``, for who wants to know of the signals that end a run; a child's end wakes as well."""
        number = self.wait(timeout_s)
        return None if number == signal.SIGCHLD else number

    def _set_alarm(self, timeout_s: float) -> None:
        """See to it that SIGALRM comes in time; one that comes too early does no harm."""
        at = monotonic() + timeout_s
        if at < self._alarm_at:
            signal.setitimer(signal.ITIMER_REAL, max(timeout_s, 1e-6))
            self._alarm_at = at


class WakeUpSignalQueue(SignalQueue):
    """The same by handlers and a wake-up descriptor, for systems without sigtimedwait(2)."""

    def __init__(self) -> None:
        watched = _heard()
        self._pending: list[int] = []
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in (*watched, signal.SIGCHLD):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pending.append(number)

    def wait(self, timeout_s: float | None) -> int | None:
        """The next signal's number, at once if one is pending; None when the time is over."""
        import select  # 0.2 ms, for systems without sigtimedwait(2)

        until = None if timeout_s is None else monotonic() + timeout_s
        while not self._pending:
            left_s = None if until is None else max(0.0, until - monotonic())
            if not select.select([self._read_fd], [], [], left_s)[0]:
                break
            os.read(self._read_fd, 4096)  # may be of signals that were returned already
        return self._pending.pop(0) if self._pending else None


def signal_queue() -> SignalQueue:
    """The queue that fits this system."""
    return SignalQueue() if sys.platform == "linux" else WakeUpSignalQueue()
