"""What the fault tests share: the instrumented program, and tools of the system that inject faults."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import ROOT, Program, Result

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
