"""What the fault tests share: the instrumented program, and tools of the system that inject faults."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import DEADLINE_S, ROOT, Program, Result

_SCRIPT = ROOT / "tests/faults/instrumented.py"
_MANY = ROOT / "tests/faults/many.py"


class Instrumented(Program):
    """The program with a hook at each dangerous point: see ``faults/instrumented.py``."""

    def command(self, *args: str) -> list[str]:
        """The command line of the instrumented program."""
        return [sys.executable, str(_SCRIPT), *args]

    def points(self, *args: str, env: Mapping[str, str | None] | None = None) -> tuple[Result, list[str]]:
        """Run it; how it ended, and the points that it passed, in order."""
        path = self.home / "points"
        path.unlink(missing_ok=True)
        result = self(*args, env={**(env or {}), "EXECUTIONER_TEST_POINTS": str(path)})
        return result, path.read_text().splitlines()


def tool(name: str, why: str) -> str:
    """The path of a program that injects faults; the test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: {why}")
    return path


def needs_root(why: str) -> None:
    """Skip a test that only root can do."""
    if os.geteuid() != 0:
        pytest.skip(f"only root can {why}")


def copy_history(source: Path, target: Path) -> None:
    """Copy a database with its write-ahead log, without the shared memory that a reboot would remove."""
    for ending in ("", "-wal"):
        path = Path(f"{source}{ending}")
        if path.exists():
            shutil.copyfile(path, f"{target}{ending}")


class Ended(NamedTuple):
    """How the program ended, what it printed (bytes that are no UTF-8 as surrogates), and what it took."""

    code: int
    out: str
    err: str
    seconds: float
    peak_mib: float


class Many:
    """The real program many times over, without the start of an interpreter each time (``faults/many.py``)."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, *args: str) -> Ended:
        """Run the program with arguments; fails if it does not end."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(args) + "\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], DEADLINE_S)[0], f"does not end: {args!r}"
        said = json.loads(process.stdout.readline())
        return Ended(said["code"], said["out"], said["err"], said["s"], said["kib"] / 1024)


@contextlib.contextmanager
def many(program: Program, env: Mapping[str, str | None] | None = None) -> Iterator[Many]:
    """What runs the program many times over in its folder; whatever hangs is ended with it."""
    with subprocess.Popen(
        [sys.executable, str(_MANY)],
        cwd=program.folder,
        env=program.environment(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            yield Many(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def glance(*folders: Path) -> dict[str, tuple[int, ...]]:
    """Names, sizes, times and permissions of all that is in folders: quick to compare before and after."""
    found: dict[str, tuple[int, ...]] = {}
    work: list[str] = [str(folder) for folder in folders]
    while work:
        with os.scandir(work.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found[entry.path] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns)
                if entry.is_dir(follow_symlinks=False):
                    work.append(entry.path)
    return found


def assert_no_fault(ended: Ended, codes: Sequence[int], case: str) -> None:
    """Fails if an end is none that the program promises: a traceback, a signal, another exit code."""
    assert ended.code in codes, f"{case}: exit code {ended.code}\n{ended.err[-3000:]}"
    for word in ("Traceback (most recent call last)", "Internal error"):
        assert word not in ended.err, f"{case}:\n{ended.err[-3000:]}"
