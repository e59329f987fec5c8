"""Running the real program as a process, in a folder, home and history of its own."""

import contextlib
import json
import os
import pty
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "executioner.py"
DEADLINE_S = 60.0


class Result(NamedTuple):
    """How the program ended. On a terminal, ``out`` is the screen and ``err`` is empty."""

    code: int
    out: str
    err: str


def _libraries() -> dict[str, str]:
    """The variable that leads the program to the libraries where a plain start of this Python finds none."""
    found = subprocess.run(
        [sys.executable, "-c", "import psutil, tabulate"], env={}, capture_output=True, check=False
    )
    if found.returncode == 0:
        return {}
    return {"PYTHONPATH": str(Path(psutil.__file__).parents[1])}


_LIBRARIES = _libraries()

#: Runs the program in Python that has changed it before.
MAIN = """
from executioner.cli import main
sys.exit(main(sys.argv[1:], ["executioner.py", *sys.argv[1:]]))
"""


class Program:
    """The program in a folder of its own. Call it with arguments; it waits for the end.

    ``executioner.py`` is found on PATH, so that printed commands have their short form.
    Time zone UTC, UTF-8 locale, no colour variables, its own home: nothing of the
    machine that runs the tests shows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder.parent / (folder.name + "-home")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(exist_ok=True)
        self.env: dict[str, str] = {
            "PATH": f"{ROOT}:{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "PYTHONDONTWRITEBYTECODE": "1",
            **_LIBRARIES,
        }
        self.history = self.home / ".local/state/executioner/history.db"

    def environment(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The environment with changes; None removes a variable."""
        merged: dict[str, str | None] = {**self.env, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def config(self, jobs: Any, name: str = "flow.json", **keys: Any) -> str:
        """Write a config; ``jobs`` are dicts, or ``{id: command}``. Returns its name."""
        if isinstance(jobs, dict):
            jobs = [{"id": job, "command": command} for job, command in jobs.items()]
        (self.folder / name).write_text(json.dumps({**keys, "jobs": jobs}), encoding="utf-8")
        return name

    def command(self, *args: str) -> list[str]:
        """The command line of the program."""
        return [sys.executable, str(SCRIPT), *args]

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str | None] | None = None,
        timeout: float = DEADLINE_S,
        **options: Any,
    ) -> Result:
        """Run the program with pipes as its streams."""
        return self.run(self.command(*args), env=env, timeout=timeout, **options)

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        timeout: float = DEADLINE_S,
        **options: Any,
    ) -> Result:
        """Run a command, such as one that wraps the program's, where and as the program is run."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            **options,
        )
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def changed(self, change: str, *args: str, **options: Any) -> Result:
        """Run the program with something in it changed by Python code, which may use ``sys``."""
        return self.run(
            [sys.executable, "-c", f"import sys\n{change}{MAIN}", *args],
            env={"PYTHONPATH": str(ROOT)},
            **options,
        )

    def start(
        self, *args: str, env: Mapping[str, str | None] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start the program and do not wait."""
        return self.launch(self.command(*args), env=env, **options)

    def launch(
        self, command: Sequence[str], *, env: Mapping[str, str | None] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command where and as the program is started, and do not wait."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(command, cwd=self.folder, env=self.environment(env), text=True, **options)

    def on_terminal(
        self,
        *args: str,
        width: int = 120,
        env: Mapping[str, str | None] | None = None,
        keys: Sequence[tuple[str, bytes]] = (),
        folder: Path | None = None,
        script: Path | None = None,
    ) -> Result:
        """Run it on a pseudo-terminal; returns the screen with plain newlines.

        ``keys``: (text to wait for, bytes to type then), in order. ``script``: an
        executable to run instead of the interpreter with the script.
        """
        import fcntl
        import struct
        import termios

        pid, master = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
            os.chdir(folder or self.folder)
            command = [str(script), *args] if script else self.command(*args)
            os.execve(command[0], command, self.environment({"TERM": "xterm", **(env or {})}))
        pending = list(keys)
        screen = b""
        give_up = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up:
            if select.select([master], [], [], 1.0)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:  # Linux: the other side was closed
                    break
                if not data:
                    break
                screen += data
            while pending and pending[0][0].encode() in screen:
                os.write(master, pending.pop(0)[1])
        os.close(master)
        _, status = os.waitpid(pid, 0)
        text = screen.decode(errors="replace").replace("\r\n", "\n")
        return Result(os.waitstatus_to_exitcode(status), text, "")

    def rows(self, query: str, *values: Any, db: Path | None = None) -> list[dict[str, Any]]:
        """What a query of the history gives."""
        with contextlib.closing(sqlite3.connect(f"file:{db or self.history}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def jobs(self, run_id: int = 1, db: Path | None = None) -> dict[str, dict[str, Any]]:
        """The jobs of a run by id, in config order."""
        query = "SELECT * FROM job_history WHERE run_id = ? ORDER BY position"
        return {row["id"]: row for row in self.rows(query, run_id, db=db)}

    def statuses(self, run_id: int = 1) -> dict[str, str]:
        """The status of each job of a run."""
        return {name: row["status"] for name, row in self.jobs(run_id).items()}

    def run_row(self, run_id: int = 1, db: Path | None = None) -> dict[str, Any]:
        """A run's row."""
        [row] = self.rows("SELECT * FROM run_metadata WHERE run_id = ?", run_id, db=db)
        return row

    def output(self, job: str, run_id: int = 1) -> bytes:
        """The bytes that a job printed in its last attempt."""
        row = self.jobs(run_id)[job]
        last = json.loads(row["retry_history"])[-1]
        return Path(row["log_path"]).read_bytes()[last["log_start"] : last["log_end"]]

    def wait_for(self, *names: str) -> None:
        """Wait until jobs have made files of these names in the folder."""
        wait_until(lambda: all((self.folder / name).exists() for name in names), f"files {names}")


def wait_until(holds: Any, what: str, timeout: float = DEADLINE_S) -> None:
    """Wait until a condition holds; fails after the deadline.

    This is the one place where tests poll: for what another process does there is no
    descriptor to wait on.
    """
    give_up = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < give_up, f"waited {timeout:.0f} s for {what}"
        time.sleep(0.005)


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    return state_of(pid) not in ("Z", "")


def wait_until_asleep(pid: int) -> None:
    """Wait until a process waits for something, as the runner does when it has nothing to do."""
    wait_until(lambda: state_of(pid) == "S", f"process {pid} to have nothing to do")


def stop(pid: int) -> None:
    """Stop a process with SIGSTOP, and wait until it is stopped: until then it may still do something."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", f"process {pid} to stop")


def state_of(pid: int) -> str:
    """The letter of proc(5) for what a process does; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextlib.contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """See to it that a started program does not outlive the test."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@contextlib.contextmanager
def gate(path: Path) -> Iterator[Callable[[], None]]:
    """A FIFO that jobs wait at with ``read line < NAME``; each call of what is yielded lets one on.

    The test holds both ends, so that nobody waits for another to open it, and a job that
    still waits when the test is over reads the end of the file.
    """
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield lambda: os.write(fd, b"\n") and None
    finally:
        os.close(fd)


def attempts(program: Program, job: str, run_id: int = 1) -> list[dict[str, Any]]:
    """The recorded attempts of a job."""
    found: list[dict[str, Any]] = json.loads(program.jobs(run_id)[job]["retry_history"])
    return found


def pid_in(path: Path) -> int:
    """The pid that a job wrote into a file."""
    return int(path.read_text())


_PEAK = """
import sys
from executioner.cli import main
code = main(sys.argv[1:])
with open("/proc/self/status") as file:
    [peak] = [line.split()[1] for line in file if line.startswith("VmHWM")]
sys.stderr.write(peak)
sys.exit(code)
"""


def peak_mib(program: Program, out: Path, *args: str) -> float:
    """The peak memory of the program in MiB, its stdout into a file.

    It says so itself: the peak that its parent would be told begins at the parent's own.
    """
    with out.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, *args],
            cwd=program.folder,
            env=program.environment({"PYTHONPATH": str(ROOT)}),
            stdout=file,
            stderr=subprocess.PIPE,
            timeout=60,
            check=True,
        )
    return int(done.stderr) / 1024
