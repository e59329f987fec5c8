"""The standard streams: where text goes, and what may be shown there.

Text is written to the descriptors themselves, whole lines at once: a stream that was
closed, or whose reader has gone, never disturbs a run.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping

from executioner.render.text import Palette

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_LINES_AT_ONCE = 500
_UTF8 = ("utf-8", "utf8")


def open_missing_streams() -> None:
    """Open descriptors 0 to 2 on /dev/null where the caller closed them.

    Else a log or the database would get such a number, and a job would write into it.
    """
    while True:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd > 2:
            os.close(fd)
            return
        os.set_inheritable(fd, True)


def original_environment() -> Mapping[bytes, bytes]:
    """The environment as the caller gave it.

    Where the locale is not UTF-8 we changed it for ourselves (``__main__``), and where it
    is C Python did: it sets LC_CTYPE (PEP 538). Linux keeps the original in
    /proc/self/environ.
    """
    utf8 = os.environb.get(b"EXECUTIONER_PYTHONUTF8")
    if utf8 is not None:
        given = {name: value for name, value in os.environb.items() if name != b"EXECUTIONER_PYTHONUTF8"}
        del given[b"PYTHONUTF8"]
        return {**given, b"PYTHONUTF8": utf8} if utf8 else given
    if os.environb.get(b"LC_CTYPE") not in (b"C.UTF-8", b"C.utf8", b"UTF-8"):
        return os.environb
    try:
        with open("/proc/self/environ", "rb") as file:
            set_to = [entry[9:] for entry in file.read().split(b"\0") if entry.startswith(b"LC_CTYPE=")]
    except OSError:
        return os.environb
    original = {name: value for name, value in os.environb.items() if name != b"LC_CTYPE"}
    return {**original, b"LC_CTYPE": set_to[0]} if set_to else original


def locale_shows_unicode(environment: Mapping[bytes, bytes]) -> bool:
    """Whether the caller's locale, where one is set, can show more than ASCII."""
    for name in (b"LC_ALL", b"LC_CTYPE", b"LANG"):
        value = environment.get(name, b"")
        if value:  # without its modifier: sr_RS.UTF-8@latin
            return value.partition(b"@")[0].lower().endswith((b"utf-8", b"utf8"))
    return True


class Stream:
    """One standard stream. After a failed write it is silent; ``failure`` says why.

    Writing never waits for the reader (a terminal stopped with Ctrl-S, a pager): what it
    does not take at once is kept, and pushed with the next write; ``drain`` waits for the
    rest.
    """

    def __init__(self, fd: int, encoding: str, palette: Palette, is_terminal: bool) -> None:
        self.fd = fd
        self.encoding = encoding
        self.palette = palette
        self.is_terminal = is_terminal
        self.failure: OSError | None = None
        self._pending = bytearray()
        self._writer: int | None = None  # opened at the first write

    @classmethod
    def of(cls, fd: int, encoding: str | None, colour: str, environment: Mapping[bytes, bytes]) -> Self:
        """A standard stream as it is: ``colour`` is auto, always or never."""
        is_terminal = os.isatty(fd)
        encoding = encoding or "utf-8"
        can_show = encoding.lower() in _UTF8 and locale_shows_unicode(environment)
        return cls(fd, encoding, Palette(_coloured(colour, is_terminal, environment), can_show), is_terminal)

    def write(self, text: str) -> None:
        """Write text as far as the reader takes it, and keep the rest."""
        self.write_bytes(text.encode(self.encoding, "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """Write bytes as they are, as far as the reader takes them, and keep the rest."""
        if self.failure is None and data:
            self._pending += data
            self.push()

    def write_lines(self, lines: Iterable[str]) -> None:
        """Write lines as they are made, and wait for the reader now and then: they may be very many."""
        batch: list[str] = []
        for line in lines:
            batch.append(line)
            if len(batch) == _LINES_AT_ONCE:
                self._write_batch(batch)
                if self.failure is not None:
                    return
        self._write_batch(batch)

    def _write_batch(self, batch: list[str]) -> None:
        self.write("".join(f"{line}\n" for line in batch))
        batch.clear()
        self.drain()

    def drop(self) -> None:
        """Forget what the reader has not taken."""
        self._pending.clear()

    def reader_is_gone(self) -> bool:
        """Whether nobody reads any more, though nothing was written that could have failed."""
        import select

        poll = select.poll()
        poll.register(self.fd, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))

    @property
    def backlog(self) -> int:
        """How many bytes the reader has not taken."""
        return len(self._pending)

    def push(self) -> bool:
        """Write what is kept, without waiting; whether any of it is left."""
        if self._writer is None:
            self._writer = _unblocked(self.fd)
        try:
            while self._pending:
                if self._writer == self.fd and not _takes(self.fd, 0):
                    return True
                # through a descriptor that may block, no more than what surely fits
                size = 1 << 16 if self._writer != self.fd else 512
                del self._pending[: os.write(self._writer, self._pending[:size])]
        except BlockingIOError:
            return True
        except OSError as exc:
            self.failure = exc
            self._pending.clear()
        return False

    def drain(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Wait until the reader took everything, or until ``give_up`` says so; then the rest is dropped."""
        while self.push():
            if give_up():
                self._pending.clear()
                return
            _takes(self.fd, 0.1)


def _takes(fd: int, timeout_s: float) -> bool:
    """Whether a descriptor can be written without waiting longer than that."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(timeout_s * 1000))


def _unblocked(fd: int) -> int:
    """A descriptor of the same terminal or pipe that never blocks, or ``fd`` itself.

    The flag belongs to the open file, which the caller's shell shares: it is opened anew.
    Files never block, and opened anew they would lose their position.
    """
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        pass
    return fd


def _coloured(colour: str, is_terminal: bool, environment: Mapping[bytes, bytes]) -> bool:
    if colour != "auto":
        return colour == "always"
    if environment.get(b"NO_COLOR"):
        return False
    if environment.get(b"FORCE_COLOR"):
        return True
    return is_terminal and environment.get(b"TERM") != b"dumb"


class Terminal:
    """Both output streams and what is known about who reads them."""

    def __init__(self, colour: str, environment: Mapping[bytes, bytes]) -> None:
        self.out = Stream.of(1, getattr(sys.stdout, "encoding", None), colour, environment)
        self.err = Stream.of(2, getattr(sys.stderr, "encoding", None), colour, environment)

    @property
    def anybody(self) -> bool:
        """Whether either stream is a terminal."""
        return self.out.is_terminal or self.err.is_terminal

    def same(self) -> bool:
        """Whether both streams end in one file, so that what is said twice is seen twice."""
        try:
            one, two = os.fstat(1), os.fstat(2)
        except OSError:
            return False
        return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)

    def ask(self, question: str) -> str | None:
        """What somebody at the terminal answers, empty at the end of input; None where nobody can be asked."""
        if not (self.err.is_terminal and os.isatty(0)):
            return None
        self.err.write(question)
        self.err.drain()
        answer = bytearray()
        while not answer.endswith(b"\n") and (data := os.read(0, 1024)):
            answer += data
        if not answer.endswith(b"\n"):  # Ctrl-D: what follows begins on a line of its own
            self.err.write("\n")
        return answer.decode(errors="replace")

    def width(self) -> int | None:
        """The columns of the terminal that stdout is; None where it is none."""
        if not self.out.is_terminal:
            return None
        try:
            return os.get_terminal_size(1).columns or 80
        except OSError:
            return 80
