"""A job's log file: created so that nothing can be planted or lost, framed a line an attempt.

The job writes to the file's own descriptor. The runner adds a header line before and a
footer line after each attempt, and remembers the byte range between them.
"""

from __future__ import annotations

import errno
import os
import time

from executioner.folders import file_id, make_folder, open_regular
from executioner.lean import lru_cache, suppress
from executioner.record import Record
from executioner.render.text import duration, safe

_CREATE = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MOST_NAMES = 1000


def file_word(name: str) -> str:
    """An application's name as a part of file names."""
    word = bytes(byte if byte in _NAME_BYTES else 0x5F for byte in os.fsencode(name))
    return word[:64].decode("ascii")


def stem(application: str) -> str:
    """What the names of an application's logs begin with."""
    return f"executioner.{file_word(application)}"


def run_name(application: str, run_id: int) -> str:
    """What the names of a run's own files begin with: its log, and what the history could not take of it."""
    return f"{stem(application)}.run-{run_id}"


def spool_path(base: str) -> str:
    """Where what the history could not take of a run is kept first of all; ``base`` is folder and run name."""
    return f"{base}.spool.json"


def create(folder: str, name: str, only_in: str | None = None) -> tuple[int, str]:
    """Create ``NAME.log`` in a folder, 0600; returns the descriptor and the path.

    A name that is taken is left alone, whatever it is, and the new file is told from it
    by a number. A folder that is gone is made again, but only while the folder ``only_in`` is there: it
    might be made with it, and be empty.

    Raises:
        OSError: no file can be created there.
    """
    made = False
    number = 1
    while True:
        path = f"{folder}/{name}{f'-{number}' if number > 1 else ''}.log"
        try:
            fd = os.open(path, _CREATE, 0o600)
        except FileExistsError:
            number += 1
            if number > _MOST_NAMES:
                raise
        except FileNotFoundError:
            if made or (only_in is not None and not os.path.isdir(only_in)):
                raise
            make_folder(folder)
            made = True
        else:
            if _takes_from_owner():
                os.fchmod(fd, 0o600)  # whatever the umask
            return fd, path


class Frame(Record):
    """An open attempt in a log: where its output begins, and the header that precedes it."""

    fd: int
    path: str
    header: bytes
    start: int


class Section(Record):
    """A closed attempt: its output's byte range, whether its header is still there, and why it took no footer."""

    start: int
    end: int
    intact: bool
    fault: str | None


def begin(fd: int, path: str, title: str, *, anew: bool = True) -> Frame:
    """Write an attempt's header. ``anew`` says that the file is empty.

    Raises:
        OSError: it cannot be written.
    """
    header = f"=== {title}, {_stamp()} ===\n".encode()
    written = os.write(fd, header)
    if written != len(header):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    return Frame(fd, path, header, written if anew else os.lseek(fd, 0, os.SEEK_CUR))


@lru_cache(maxsize=1)
def _takes_from_owner() -> bool:
    """Whether the umask denies a file's owner what we give. It can only be asked for by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return bool(mask & 0o600)


def reopen(
    folder: str, name: str, path: str, known: tuple[int, int] | None, only_in: str | None = None
) -> tuple[int, str]:
    """Open a job's log for a further attempt, or a new one (as ``create``) if it is gone or another file now.

    Raises:
        OSError: no file can be opened or created there.
    """
    try:
        fd = os.open(path, _REOPEN)
    except OSError:
        return create(folder, name, only_in)
    if file_id(fd) == known:
        return fd, path
    os.close(fd)
    return create(folder, name, only_in)


def end(frame: Frame, verdict: str, seconds: float) -> Section:
    """Write an attempt's footer on a line of its own and close the log. Never fails."""
    fd, header, start = frame.fd, frame.header, frame.start
    size, intact, fault = start, True, None
    try:
        found = os.pread(fd, len(header) + 1, start - len(header))
        if found != header:  # else it is there, and nothing behind it
            size = os.fstat(fd).st_size
            intact = size >= start and found.startswith(header)
            found = os.pread(fd, 1, size - 1) if size else b"\n"
        newline = b"" if found.endswith(b"\n") else b"\n"
        footer = f"=== {safe(verdict)}, {duration(seconds)}, {_stamp()} ===\n"
        text = newline + footer.encode("utf-8", "replace")
        if os.write(fd, text) != len(text):
            fault = os.strerror(errno.ENOSPC)
    except OSError as exc:
        fault = exc.strerror
        with suppress(OSError):
            size = os.fstat(fd).st_size
    with suppress(OSError):
        os.close(fd)
    return Section(start if intact else 0, size, intact, fault)


def _stamp() -> str:
    """The local time with its offset from UTC."""
    return _stamp_of(int(time.time()))


@lru_cache(maxsize=1)  # most lines of a busy run are of the same second as the one before
def _stamp_of(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(second))


def tail(path: str, start: int, stop: int, lines: int, most_bytes: int = 16384) -> list[str]:
    """The last lines of a byte range of a log, decoded; undecodable bytes become surrogates.

    Raises:
        OSError: the file cannot be read.
        EOFError: it does not reach to the range: it was emptied.
    """
    begin_at = max(start, stop - most_bytes)
    with open(open_regular(path), "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < start:
            raise EOFError(path)
        data = os.pread(file.fileno(), max(0, stop - begin_at), begin_at)
    text = data.decode("utf-8", "surrogateescape")
    found = text.rstrip().split("\n")
    if begin_at > start and len(found) > 1:
        found = found[1:]  # cut in its middle
    return [line.rstrip("\r") for line in found[-lines:]] if text.strip() else []
