"""The program with a hook at each point where a kill might hurt.

It is the real ``executioner``, with the calls by which it changes the world outside wrapped:
statements that begin or end a transaction (and each write in between), ``rollback()``, the start of a
process and the forking of one for checks, ``fsync``, renaming, locking, closing a database. The program
itself has no hook and pays for none. A forked process reaches no point: it is a job's, not the runner.

``EXECUTIONER_TEST_POINTS``: a file to which each point is written as it is passed, a line a point:
``commit before``, ``spawn after``, ...
``EXECUTIONER_TEST_FAULT``: ``kill 12`` ends the process with SIGKILL at the twelfth point that it passes,
``stop 12`` stops it there with SIGSTOP (a test goes on with SIGCONT), ``kill commit before 3`` does so when
it passes ``commit before`` for the third time.
``EXECUTIONER_TEST_MOUNTS``: a file that is read instead of the kernel's list of mounts.
``EXECUTIONER_TEST_CLOCK``: a file; its content is added, in seconds, to what ``time.time`` says.
``EXECUTIONER_TEST_BUSY_S``: for how many seconds a database that another process holds is waited for,
instead of 30.
"""

import fcntl
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

_WORDS = {
    "BEGIN": "begin",
    "COMMIT": "commit",
    "ROLLBACK": "rollback",
    **dict.fromkeys(("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP"), "write"),
}


class _Points:
    """Counts the points that are passed, and does at one of them what the environment asks for."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.passed = 0
        self.by_name: Counter[str] = Counter()
        action, _, where = os.environ.pop("EXECUTIONER_TEST_FAULT", "").partition(" ")
        self.signal = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(action)
        name, _, number = where.rpartition(" ")
        self.name, self.number = name, int(number or 0)
        path = os.environ.pop("EXECUTIONER_TEST_POINTS", "")
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if path else -1

    def reach(self, name: str) -> None:
        """One point is reached."""
        if os.getpid() != self.pid:
            return
        self.passed += 1
        self.by_name[name] += 1
        if self.fd >= 0:
            os.write(self.fd, f"{name}\n".encode())
        here = self.by_name[name] if self.name == name else self.passed if not self.name else 0
        if self.signal is not None and here == self.number:
            os.kill(os.getpid(), self.signal)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function that does the same, with a point before and after it."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.reach(f"{name} before")
            result = call(*args, **kwargs)
            self.reach(f"{name} after")
            return result

        return wrapped


def instrument() -> None:
    """Wrap what the program calls. Before anything else of it is imported."""
    from executioner.history.sqlite import sqlite3

    points = _Points()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *args: Any) -> Any:
            word = _WORDS.get(sql.split(None, 1)[0].upper())
            if word is None:
                return super().execute(sql, *args)
            points.reach(f"{word} before")
            result = super().execute(sql, *args)
            points.reach(f"{word} after")
            return result

        def executemany(self, sql: str, *args: Any) -> Any:
            points.reach("write before")
            result = super().executemany(sql, *args)
            points.reach("write after")
            return result

    class Connection(sqlite3.Connection):
        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            return super().cursor(Cursor)

        def execute(self, *args: Any) -> Any:
            return self.cursor().execute(*args)

        def executemany(self, *args: Any) -> Any:
            return self.cursor().executemany(*args)

        def rollback(self) -> None:
            points.reach("rollback before")
            super().rollback()
            points.reach("rollback after")

        def close(self) -> None:
            points.reach("close before")
            super().close()
            points.reach("close after")

    connect = sqlite3.connect

    def connect_instrumented(*args: Any, **kwargs: Any) -> Any:
        return connect(*args, factory=Connection, **kwargs)

    real_fcntl = fcntl.fcntl

    def fcntl_instrumented(fd: Any, command: int, *args: Any) -> Any:
        if command != fcntl.F_OFD_SETLK:
            return real_fcntl(fd, command, *args)
        points.reach("lock before")
        result = real_fcntl(fd, command, *args)
        points.reach("lock after")
        return result

    sqlite3.connect = connect_instrumented
    fcntl.fcntl = fcntl_instrumented  # type: ignore[assignment]
    for name in ("posix_spawn", "fork", "fsync", "replace", "rename"):
        setattr(os, name, points.around(name.removeprefix("posix_"), getattr(os, name)))
    clock = os.environ.pop("EXECUTIONER_TEST_CLOCK", "")
    if clock:
        real_time = time.time

        def time_elsewhere() -> float:
            with open(clock, encoding="ascii") as file:
                return real_time() + float(file.read() or 0)

        time.time = time_elsewhere


def shorten_waits() -> None:
    """Wait less long for a database that is held. Before modules take the number over by its name."""
    seconds = os.environ.pop("EXECUTIONER_TEST_BUSY_S", "")
    if seconds:
        from executioner.history import files

        files.BUSY_TIMEOUT_S = float(seconds)
        from executioner import scheduler

        scheduler._BUSY_HISTORY_S = float(seconds)


if __name__ == "__main__":
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path[0] = root
    instrument()
    from executioner import mounts

    shorten_waits()
    from executioner.cli import main_script

    if "EXECUTIONER_TEST_MOUNTS" in os.environ:
        mounts.network_file_system.__defaults__ = (os.environ.pop("EXECUTIONER_TEST_MOUNTS"),)
    # printed commands name the program, not this file
    sys.orig_argv[-len(sys.argv) :] = [os.path.join(root, "executioner.py"), *sys.argv[1:]]
    main_script()
