"""Waiting for whatever comes first: a child's end, a signal to the runner, or a deadline.

While a run is on, these signals are blocked and taken from the queue one by one, so that
none interrupts a commit or is lost between two looks. Signals that were ignored when the
program started (``nohup``, ``&``) stay ignored.
"""

import os
import select
import signal
import sys
from types import FrameType, TracebackType
from typing import Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class SignalQueue:
    """The signals of a run, as a context manager. Linux: sigtimedwait(2)."""

    def __enter__(self) -> Self:
        self._watched = {number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN}
        self._watched.add(signal.SIGCHLD)
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self.wait(0):
            pass  # what came too late to matter must not strike after the end
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, timeout_s: float | None) -> int | None:
        """The next signal's number, at once if one is pending; None when the time is over."""
        if timeout_s is None:
            return signal.sigwaitinfo(self._watched).si_signo
        info = signal.sigtimedwait(self._watched, timeout_s)
        return info.si_signo if info else None


class WakeUpSignalQueue(SignalQueue):
    """The same by handlers and a wake-up descriptor, for systems without sigtimedwait(2)."""

    def __enter__(self) -> Self:
        self._watched = {number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN}
        self._watched.add(signal.SIGCHLD)
        self._pending: list[int] = []
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._old_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, self._handle) for number in self._watched}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._pending.append(number)

    def wait(self, timeout_s: float | None) -> int | None:
        """The next signal's number, at once if one is pending; None when the time is over."""
        if not self._pending:
            select.select([self._read_fd], [], [], timeout_s)
            try:
                os.read(self._read_fd, 4096)
            except BlockingIOError:
                return None
        return self._pending.pop(0) if self._pending else None


def signal_queue() -> SignalQueue:
    """The queue that fits this system."""
    return SignalQueue() if sys.platform == "linux" else WakeUpSignalQueue()
