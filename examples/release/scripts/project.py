"""What the release's scripts share: where things lie, and how to say that something is wrong."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

FOLDER = Path(__file__).resolve().parent.parent
ROOT = FOLDER.parent.parent
WORK = FOLDER / "work"
DIST = WORK / "dist"


def fail(problem: str) -> NoReturn:
    """End the job with exit code 1 and one line that says why."""
    sys.stdout.flush()
    sys.exit(f"ERROR: {problem}")


def version() -> str:
    """The version that executioner/__init__.py states."""
    text = (ROOT / "executioner" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    return found[1] if found else fail("executioner/__init__.py states no __version__")


def wheel() -> Path:
    """The one wheel that build_wheel made."""
    wheels = sorted(DIST.glob("*.whl"))
    if len(wheels) != 1:
        fail(f"{DIST} holds {len(wheels)} wheels, expected 1: has build_wheel run?")
    return wheels[0]


def fresh_environment(folder: Path) -> Path:
    """Make an empty virtual environment, return its Python."""
    venv.create(folder, clear=True, symlinks=True, with_pip=True)
    return folder / "bin" / "python"


def pip(python: Path, *arguments: str) -> None:
    """Run an environment's pip; its cache stays in the work folder too."""
    settings = {
        "PIP_CACHE_DIR": str(WORK / "pip-cache"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }
    done = subprocess.run([python, "-m", "pip", *arguments], env=os.environ | settings, check=False)
    if done.returncode:
        fail(f"pip {arguments[0]} failed with exit code {done.returncode}")
