"""Who has a database just now: by the locks that SQLite takes (https://www.sqlite.org/walformat.html, 2.3.1)."""

from __future__ import annotations

import fcntl
import os
import sys

# struct flock of fcntl(2): l_type, l_whence, padding, l_start, l_len, l_pid, padding
_SIZES = (2, 2, 4, 8, 8, 4, 4)
_WAL_WRITE = (120, 1)  # in the -shm: whoever writes
_DATABASE = (0x40000000, 512)  # in the database: whoever has it for himself


def holder(path: str) -> str | None:
    """The process that holds a database against writers, ``4711 (sqlite3)``; None if none can be found."""
    for name, (start, length) in ((f"{path}-shm", _WAL_WRITE), (path, _DATABASE)):
        pid = _locked_by(name, start, length)
        if pid:
            return f"{pid}{_program(pid)}"
    return None


def _locked_by(path: str, start: int, length: int) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # a write lock is asked for: what would stand in its way is told
        values = (fcntl.F_WRLCK if start == _WAL_WRITE[0] else fcntl.F_RDLCK, os.SEEK_SET, 0, start, length, 0, 0)
        question = b"".join(
            value.to_bytes(size, sys.byteorder, signed=True) for value, size in zip(values, _SIZES, strict=True)
        )
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, question)
    except OSError:
        return None
    finally:
        os.close(fd)
    if int.from_bytes(answer[:2], sys.byteorder, signed=True) == fcntl.F_UNLCK:
        return None
    return int.from_bytes(answer[24:28], sys.byteorder, signed=True)


def _program(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
