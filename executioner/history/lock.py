"""Who is alive: one byte a run in a lock file beside the database.

The lock on byte ``run_id`` is an open-file-description lock: the kernel drops it when
the process that holds it ends, however it ends. So there are no heartbeats, no stale
locks and no unlock command. Byte 0 guards the rare acts that must not race: creating
the file, switching it to WAL, migrating and checkpointing.

Linux: fcntl_locking(2), "Open file description locks". Where the platform lacks them
(or the file system refuses), liveness rests on the process's identity alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator

from executioner.errors import HistoryError
from executioner.lean import contextmanager

_SETLK = getattr(fcntl, "F_OFD_SETLK", None)
_GETLK = getattr(fcntl, "F_OFD_GETLK", None)
_BUSY = (errno.EAGAIN, errno.EACCES)
GUARD_BYTE = 0


def _region(kind: int, byte: int) -> bytes:
    # struct flock: l_type, l_whence, padding, l_start, l_len, l_pid, padding (struct takes 0.2 ms to load)
    return b"".join(
        number.to_bytes(size, sys.byteorder, signed=True)
        for number, size in ((kind, 2), (os.SEEK_SET, 2), (0, 4), (byte, 8), (1, 8), (0, 4), (0, 4))
    )


class LockFile:
    """The lock file of one database, held open for as long as any byte is held."""

    def __init__(self, path: str, mode: int) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:  # its permissions are its owner's business
            self._fd = os.open(path, flags)
        else:
            os.fchmod(self._fd, mode)  # whatever the umask

    def try_hold(self, byte: int) -> bool:
        """Take a byte; False if another process has it."""
        if _SETLK is None:
            return True
        try:
            fcntl.fcntl(self._fd, _SETLK, _region(fcntl.F_WRLCK, byte))
        except OSError as exc:
            if exc.errno in _BUSY:
                return False
            raise
        return True

    def release(self, byte: int) -> None:
        """Give a byte back."""
        if _SETLK is not None:
            fcntl.fcntl(self._fd, _SETLK, _region(fcntl.F_UNLCK, byte))

    @contextmanager
    def guard(self, wait_s: float = 30.0) -> Iterator[None]:
        """Hold byte 0, waiting for whoever has it.

        Raises:
            HistoryError: it was not free within ``wait_s``.
        """
        give_up = time.monotonic() + wait_s
        while not self.try_hold(GUARD_BYTE):
            if time.monotonic() > give_up:
                raise HistoryError("The history is being changed by another process", self.path)
            time.sleep(0.005)
        try:
            yield
        finally:
            self.release(GUARD_BYTE)

    def close(self) -> None:
        """Give all bytes back."""
        os.close(self._fd)


def has_open_locks() -> bool:
    """Whether this system has open-file-description locks."""
    return _SETLK is not None


def is_held(path: str, byte: int) -> bool | None:
    """Whether any process holds a byte of the lock file; None if that cannot be told."""
    if _GETLK is None:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        answer = fcntl.fcntl(fd, _GETLK, _region(fcntl.F_WRLCK, byte))
    except OSError:
        return None
    finally:
        os.close(fd)
    return int.from_bytes(answer[:2], sys.byteorder, signed=True) != fcntl.F_UNLCK


class ProcessIdentity:
    """What tells a process from every other, also after its pid was given away again."""

    __slots__ = ("boot_id", "pid", "start_ticks")

    def __init__(self, boot_id: str | None, pid: int, start_ticks: int | None) -> None:
        self.boot_id = boot_id
        self.pid = pid
        self.start_ticks = start_ticks


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read().decode("ascii", "replace")
    except OSError:
        return None


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it ended or that cannot be told.

    proc(5), /proc/pid/stat: a zombie has ended, though its parent may not have noticed.
    """
    text = _read(f"/proc/{pid}/stat")
    if not text:
        return None
    # the second field, the program's name, may hold spaces and parentheses
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def this_process() -> ProcessIdentity:
    """The identity of the calling process."""
    boot_id = _read("/proc/sys/kernel/random/boot_id")
    pid = os.getpid()
    return ProcessIdentity(boot_id.strip() if boot_id else None, pid, start_ticks(pid))


def is_alive(identity: ProcessIdentity, here: Callable[[], ProcessIdentity] = this_process) -> bool:
    """Whether that very process still runs on this boot of this machine."""
    if identity.boot_id is None or identity.start_ticks is None:
        return False
    return here().boot_id == identity.boot_id and start_ticks(identity.pid) == identity.start_ticks
