"""Who has a database just now: by the locks that SQLite takes (https://www.sqlite.org/walformat.html, 2.3.1).

They are looked up in the kernel's list, /proc/locks: asking on a descriptor of our own would drop our own locks
when that is closed.
"""

from __future__ import annotations

import os

_WAL_WRITE = (120, 120)  # in the -shm: whoever writes
_DATABASE = (0x40000000, 0x400001FF)  # in the database: whoever has it for himself


def holder(path: str) -> str | None:
    """The process that holds a database against writers, ``4711 (sqlite3)``; None if none can be found."""
    try:
        with open("/proc/locks", encoding="ascii") as file:
            locks = [line.split() for line in file]
    except OSError:
        return None
    for name, place in ((f"{path}-shm", _WAL_WRITE), (path, _DATABASE)):
        pid = _holder_of(name, place, locks)
        if pid is not None and pid != os.getpid():
            return f"{pid}{_program(pid)}"
    return None


def holder_words(path: str) -> str:
    """Who holds a database against writers: ``process 4711 (sqlite3)``, or ``another process``."""
    who = holder(path)
    return "another process" if who is None else f"process {who}"


def _holder_of(path: str, place: tuple[int, int], locks: list[list[str]]) -> int | None:
    """Who holds a write lock on a part of a file. proc_locks(5)."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for fields in locks:
        if "->" in fields or len(fields) < 8 or fields[3] != "WRITE" or fields[5] != wanted:
            continue
        first, last = int(fields[6]), None if fields[7] == "EOF" else int(fields[7])
        if first <= place[1] and (last is None or last >= place[0]):
            return int(fields[4])
    return None


def _program(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
