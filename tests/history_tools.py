"""What the tests of the history share: gates for jobs, locks as others see them, looks inside a run."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Program, Result, ended, is_running, wait_until

UTC_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

_PEEK = """
import json, os, sqlite3, sys
connection = sqlite3.connect("file:" + os.environ["EXECUTIONER_DB"] + "?mode=ro", uri=True)
connection.row_factory = sqlite3.Row
run_id = int(os.environ["EXECUTIONER_RUN_ID"])
[run] = connection.execute("SELECT * FROM run_metadata WHERE run_id = ?", (run_id,))
jobs = connection.execute("SELECT * FROM job_history WHERE run_id = ?", (run_id,))
print(json.dumps({"run": dict(run), "jobs": {row["id"]: dict(row) for row in jobs},
                  "stdout": os.readlink("/proc/self/fd/1")}))
"""


@contextlib.contextmanager
def gate(program: Program, name: str = "gate") -> Iterator[Callable[[], object]]:
    """A FIFO on which jobs wait with ``read x < NAME``; each call of what this yields lets one through.

    The test holds both ends: when it ends, however it ends, no job waits any longer.
    """
    path = program.folder / name
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    try:
        yield lambda: os.write(fd, b"\n")
    finally:
        os.close(fd)


def peeking(program: Program) -> str:
    """A command by which a job prints the rows of its own run as the database holds them just then."""
    (program.folder / "peek.py").write_text(_PEEK)
    return f"{sys.executable} -I -S {program.folder}/peek.py"


def seen(program: Program, job: str, run_id: int = 1) -> dict[str, Any]:
    """What a job that peeked saw."""
    found: dict[str, Any] = json.loads(program.output(job, run_id))
    return found


def region(kind: int, byte: int) -> bytes:
    """One byte as ``struct flock``."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)


def is_locked(path: str | Path, byte: int) -> bool:
    """Whether anybody else holds a byte of a lock file, asked on a read-only descriptor."""
    fd = os.open(path, os.O_RDONLY)
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, region(fcntl.F_WRLCK, byte))
    finally:
        os.close(fd)
    return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)


def lock_path(program: Program) -> Path:
    """The lock file of the program's own history."""
    return Path(f"{program.history}.lock")


def kill(process: "subprocess.Popen[str]") -> None:
    """End a runner as a power cut does: no last words."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def pid_in(program: Program, name: str) -> int:
    """The pid that a job wrote with ``echo $$ > NAME``, once it is there."""
    path = program.folder / name
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"a pid in {name}")
    return int(path.read_text())


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone or a zombie."""
    wait_until(lambda: not is_running(pid), f"the end of process {pid}")


def sql(path: str | Path, *statements: str) -> list[Any]:
    """Execute statements by a connection of its own; returns the rows of the last one."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        rows: list[Any] = []
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        return rows


def integrity(path: str | Path) -> list[Any]:
    """What SQLite finds wrong with a database; ``["ok"]`` if nothing."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("PRAGMA integrity_check")]


def names(folder: Path) -> list[str]:
    """The names in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


def as_an_ordinary_user(program: Program, *args: str) -> Result:
    """Run the program without root's power over permissions; its files still belong to the caller."""
    return ordinary_user(program.command(*args), program)


def ordinary_user(command: list[str], program: Program) -> Result:
    """Run a command so, in the program's folder, with the package at hand."""
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root, and no setpriv to give up its power over permissions")
        command = [setpriv, "--inh-caps=-all", "--bounding-set=-all", *command]
    path = ":".join([str(ROOT), *program.env.get("PYTHONPATH", "").split()])
    return program.run(command, env={"PYTHONPATH": path})


def left_running(program: Program, command: str = "echo $$ > up; read x < gate") -> int:
    """A run of a job ``a`` is killed; the job lives on. Returns the job's pid, which it writes into ``up``."""
    program.config({"a": command})
    with ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "up")
        kill(runner)
    return pid


def spool_content(**changes: Any) -> dict[str, Any]:
    """What a spool file of one failed job holds, with changes."""
    return {
        "executioner_spool": 1,
        "history": "/x/history.db",
        "history_id": "x",
        "run_id": 1,
        "application_name": "flow",
        "start_time": "2026-01-01T00:00:00.000000Z",
        "reason": "?",
        "run": {"status": "FAILED"},
        "jobs": [{"id": "a", "status": "FAILED"}],
        **changes,
    }


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    with contextlib.suppress(OSError):
        return str(path) in [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return False
