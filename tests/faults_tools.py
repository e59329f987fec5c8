"""What the fault tests share: the instrumented program, and tools of the system that inject faults."""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from harness import ROOT, Program, Result, is_running

_SCRIPT = ROOT / "tests/faults/instrumented.py"


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


def living_in(folder: Path) -> dict[int, str]:
    """Living processes that work in a folder or name it on their command line, each with that line.

    That is another way of looking than the program's own: no session, no parent, no
    environment counts. Whoever works here was started by the test of this folder.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it has just ended, or is somebody else's
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(entry / "cwd")
            here = place == str(folder) or place.startswith(f"{folder}/") or f"{folder}/" in line
            if here and is_running(int(entry.name)):
                found[int(entry.name)] = line
    return found


@contextlib.contextmanager
def nobody_left(*folders: Path) -> Iterator[None]:
    """Kill what a failing test leaves behind in its folders."""
    try:
        yield
    finally:
        for folder in folders:
            for pid in living_in(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
