"""What the fault tests share: the instrumented program, and tools of the system that inject faults."""

import contextlib
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from harness import DEADLINE_S, ROOT, SCRIPT, Program, Result, is_running

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


# --- disks and calls of the system that fail ------------------------------------------------------


@contextlib.contextmanager
def small_disk(path: Path, *options: str) -> Iterator[Path]:
    """A disk of its own, with options of tmpfs such as ``size=512k``, mounted for as long as it is used."""
    needs_root("mount a small disk")
    path.mkdir(parents=True)
    mount = [tool("mount", "no small disk"), "-t", "tmpfs", "-o", ",".join(("mode=0700", *options)), "tmpfs", path]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield path
    finally:
        # lazily: a process that a failed test has left may still be there, and the disk must not stay
        subprocess.run(["umount", "-l", path], check=True)


@contextlib.contextmanager
def ext4_disk(path: Path, mib: int) -> Iterator[Path]:
    """A disk of its own with an ext4 in a file, mounted for as long as it is used."""
    needs_root("mount a disk")
    path.mkdir(parents=True)
    image = path.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(mib * 1024 * 1024)
    make = [tool("mkfs.ext4", "no disk with ext4"), "-q", "-m", "0", "-N", "1024", image]
    subprocess.run(make, check=True)
    if subprocess.run(["mount", "-o", "loop", image, path], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        image.unlink()


@functools.cache
def _strace() -> str:
    """The path of strace, where it may be used."""
    path = tool("strace", "no call of the system can be made to fail")
    if subprocess.run([path, "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not permitted here")
    return path


def failing(
    program: Program, calls: str, paths: Sequence[str | Path], *args: str, trace: Path | None = None
) -> Result:
    """Run the program while some of its calls of the system on some files fail.

    ``calls`` is as ``write:error=ENOSPC:when=3+``: from the third one on. Jobs are not affected. All calls on
    these files are written into ``trace``.
    """
    named = [word for path in paths for word in ("-P", str(path))]
    # the names of files that are not there yet cannot be made absolute: strace says so, and goes on
    traced = ["-o", os.devnull] if trace is None else ["-y", "-o", str(trace)]
    command = [_strace(), "-qqq", *traced, *named, "-e", f"inject={calls}", *program.command(*args)]
    return program.run(command)


# --- a database that another process holds --------------------------------------------------------

_HOLDER = """
import sqlite3, sys
path, *statements = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None, timeout=60)
for statement in statements:
    connection.execute(statement)
print("held", flush=True)
sys.stdin.read()
connection.close()
"""
#: How a database may be held, by the names that tests show.
HOLDS = {
    "immediate": ("BEGIN IMMEDIATE",),
    "exclusive": ("BEGIN EXCLUSIVE",),
    # readers are kept out as well, the one who holds it need not be within a transaction
    "locking_mode": ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "COMMIT"),
}


@contextlib.contextmanager
def held_by_another(path: Path, how: str = "immediate") -> Iterator[None]:
    """Let another process hold a database."""
    command = [sys.executable, "-I", "-S", "-c", _HOLDER, str(path), *HOLDS[how]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "held\n"
            yield
        finally:
            holder.communicate("")


# --- another user ---------------------------------------------------------------------------------


class Stranger(Program):
    """The program as run by an ordinary user who is told from whoever runs the tests.

    Of root's tests it is another user, whose own is the home alone; else it is the user
    himself: what is made read-only is so for both.
    """

    UID = 65534

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.prefix: list[str] = []
        self.python = sys.executable
        if os.geteuid() != 0:
            return
        self.prefix = self.becoming(self.UID)
        os.chown(self.home, self.UID, -1)
        # the system's own Python may lack the libraries that the one of the tests has
        self.env["PYTHONPATH"] = sysconfig.get_path("platlib")
        found = [python for python in (sys.executable, "/usr/bin/python3") if self._can_run(python)]
        if not found:
            pytest.skip("another user can run no Python that is new enough, or not read the checkout")
        self.python = found[0]

    @staticmethod
    def becoming(uid: int) -> list[str]:
        """What stands before a command that another user shall run."""
        setpriv = tool("setpriv", "root can be nobody else")
        # root's power over permissions ends with the first program that setpriv executes: so that is another
        return [setpriv, f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "env"]

    def _can_run(self, python: str) -> bool:
        look = f"import sys, tabulate, psutil; assert sys.version_info >= (3, 11); open({str(SCRIPT)!r}).close()"
        command = [*self.prefix, python, "-c", look]
        return subprocess.run(command, env=self.environment(), capture_output=True, check=False).returncode == 0

    def command(self, *args: str) -> list[str]:
        """The command line of the program as that user."""
        return [*self.prefix, self.python, str(SCRIPT), *args]


@contextlib.contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="executioner-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def whole(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, to see that nothing was changed; None for what is no regular file."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


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
