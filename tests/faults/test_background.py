"""In the background or without a terminal: nohup, ``&``, terminals that close, closed streams, readers that go."""

import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from faults_tools import living_in, nobody_left, tool
from harness import Program, is_running, wait_until
from history_tools import gate, integrity, pid_in

WAITS = "echo $$ > job.pid; read line < gate"
#: How scripts put the program where no Ctrl-C or hang-up should reach it, and what it then ignores.
DETACHED = {
    "&": ('"$@" > out 2> err & echo $! > runner.pid', [signal.SIGINT, signal.SIGQUIT]),
    "nohup": ('nohup "$@" > out 2> err < /dev/null & echo $! > runner.pid', [signal.SIGHUP, signal.SIGINT]),
    "( & )": ('("$@" > out 2> err & echo $! > runner.pid)', [signal.SIGINT]),
    "trap": ("trap '' HUP INT QUIT; \"$@\" > out 2> err & echo $! > runner.pid", [signal.SIGHUP, signal.SIGQUIT]),
    "setsid nohup": ('setsid nohup "$@" > out 2> err < /dev/null & echo $! > runner.pid', [signal.SIGHUP]),
    "nohup in sh": ('nohup sh -c \'echo $$ > runner.pid; exec "$@" > out 2> err\' sh "$@" &', [signal.SIGHUP]),
}


def ignores(pid: int, number: int) -> bool:
    """Whether a process ignores a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")]
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.promise(4)
@pytest.mark.parametrize("how", DETACHED)
def test_a_run_in_the_background_goes_on(program: Program, how: str, cases: Callable[[int], None]) -> None:
    """Started so by a script that ends at once: INT, HUP, QUIT stay ignored, the run goes on and is recorded."""
    script, numbers = DETACHED[how]
    program.config({"a": WAITS, "b": "touch ran"}, default_timeout=50)
    with nobody_left(program.folder), gate(program) as let_through:
        subprocess.run(
            ["sh", "-c", script, "sh", *program.command("-c", "flow.json")],
            cwd=program.folder,
            env=program.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        job, runner = pid_in(program, "job.pid"), pid_in(program, "runner.pid")
        for number in numbers:
            assert ignores(runner, number), number
            os.kill(runner, number)
        assert "RUNNING" in program("--list-runs").out  # the runner is alive, and is said to be
        assert is_running(job)
        let_through()
        wait_until(lambda: not is_running(runner), "the end of the run")
        assert living_in(program.folder) == {}
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}
    run = program.run_row()
    assert (run["status"], run["exit_code"], run["pid"]) == ("SUCCESS", 0, runner)
    assert (program.folder / "err").read_text().replace("nohup: ignoring input\n", "") == ""
    assert "Status: SUCCESS" in (program.folder / "out").read_text()
    cases(len(numbers))


@contextlib.contextmanager
def terminal(program: Program, *command: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """A session on a pseudo-terminal that runs a command; its leader's pid, and how to close the terminal."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(program.folder)
        os.execve("/bin/sh", ["sh", "-c", *command], program.environment({"TERM": "xterm"}))
    closed = False

    def close() -> None:
        nonlocal closed
        closed = True
        os.close(master)

    try:
        yield pid, close
    finally:
        if not closed:
            os.close(master)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


@pytest.mark.promise(4, 5)
@pytest.mark.parametrize("shell", ["exec", "child"])
def test_a_terminal_that_closes_ends_the_run(program: Program, shell: str) -> None:
    """Without nohup: the job is ended, the run INTERRUPTED with exit code 129, though nobody can be told."""
    program.config({"a": WAITS, "b": "touch wrong"}, kill_grace=5)
    script = {
        "exec": 'echo $$ > runner.pid; exec "$@"',
        "child": '"$@"; true',
    }[shell]
    with nobody_left(program.folder), gate(program):
        with terminal(program, script, "sh", *program.command("-c", "flow.json")) as (pid, close):
            job = pid_in(program, "job.pid")
            close()
            _, status = os.waitpid(pid, 0)
        if shell == "exec":
            assert os.waitstatus_to_exitcode(status) == 129
        else:
            assert (
                os.waitstatus_to_exitcode(status) == -signal.SIGHUP
            )  # the shell; the kernel then tells the runner
            wait_until(lambda: living_in(program.folder) == {}, "the end of the run")
        assert not is_running(job)
        assert living_in(program.folder) == {}
    assert program.statuses() == {"a": "INTERRUPTED", "b": "SKIPPED"}
    run = program.run_row()
    assert (run["status"], run["exit_code"]) == ("INTERRUPTED", 129)
    assert run["failure_summary"].startswith("Hung up (SIGHUP); a: Ended by the runner after ")
    assert not (program.folder / "wrong").exists()
    assert "INTERRUPTED" in program("--list-runs").out


@pytest.mark.promise(4)
def test_a_terminal_that_closes_leaves_a_run_under_nohup(program: Program) -> None:
    """With nohup the run goes on when the terminal closes, its output in nohup.out, and is recorded."""
    tool("nohup", "of coreutils")
    program.config({"a": WAITS, "b": "true"}, default_timeout=50)
    with nobody_left(program.folder), gate(program) as let_through:
        script = 'nohup "$@" & echo $! > runner.pid; wait'
        with terminal(program, script, "sh", *program.command("-c", "flow.json")) as (_, close):
            job, runner = pid_in(program, "job.pid"), pid_in(program, "runner.pid")
            close()
        assert is_running(job) and is_running(runner)
        let_through()
        wait_until(lambda: not is_running(runner), "the end of the run")
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert (program.run_row()["status"], program.run_row()["exit_code"]) == ("SUCCESS", 0)
    assert "Status: SUCCESS" in (program.folder / "nohup.out").read_text()


@pytest.mark.promise(9)
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_and_a_signal(program: Program, closed: str) -> None:
    """With the streams closed a run in the background is ended by TERM and recorded; no file is written into."""
    program.config({"a": WAITS, "b": "true"}, kill_grace=5)
    script = f'exec "$@" {closed}'
    with nobody_left(program.folder), gate(program):
        runner = subprocess.Popen(
            ["sh", "-c", script, "sh", *program.command("-c", "flow.json")],
            cwd=program.folder,
            env=program.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        job = pid_in(program, "job.pid")
        runner.terminate()
        runner.communicate(timeout=50)
        assert runner.returncode == 143
        assert not is_running(job)
    assert program.statuses() == {"a": "INTERRUPTED", "b": "SKIPPED"}
    assert integrity(program.history) == ["ok"]
    lines = Path(program.jobs()["a"]["log_path"]).read_text().splitlines()
    assert len(lines) == 2 and lines[0].startswith("=== a, run 1, ") and lines[1].startswith("=== INTERRUPTED")


def first_line(stream: IO[bytes] | None) -> bytes:
    """What ``head -1`` reads, and then goes."""
    assert stream is not None
    line = stream.readline()
    stream.close()
    return line


@pytest.mark.promise(1)
def test_readers_that_go_after_one_line(program: Program, cases: Callable[[int], None]) -> None:
    """``| head -1`` of every screen: no traceback, no word on stderr, the exit code as ever, SIGPIPE or not."""
    program.config({**{f"j{number}": "true" for number in range(300)}, "bad": "exit 3"}, continue_on_error=True)
    assert program("-c", "flow.json").code == 1
    screens = [
        (["-c", "flow.json", "--verbose"], 1),
        (["-c", "flow.json", "--dry-run", "--verbose"], 0),
        (["-c", "flow.json", "--dry-run", "--format", "json"], 0),
        (["--resume-from", "1", "--dry-run", "--verbose"], 0),
        (["--list-runs", "--format", "csv"], 0),
        (["--show-run", "1"], 0),
        (["--show-run", "1", "--format", "json"], 0),
        (["--show-log", "1", "bad"], 0),
        (["--sample-config"], 0),
        (["--config-schema"], 0),
        (["--help"], 0),
    ]
    for args, code in screens:
        for ignore in (False, True):
            runner = subprocess.Popen(
                program.command(*args),
                cwd=program.folder,
                env=program.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                restore_signals=not ignore,  # Python's own children are given SIGPIPE as it ignores it
            )
            assert first_line(runner.stdout), args
            assert runner.stderr is not None
            err = runner.stderr.read().decode()
            runner.stderr.close()
            assert runner.wait(timeout=60) == code, (args, ignore, err)
            assert "Traceback" not in err and "roken pipe" not in err, (args, err)
    assert {row["status"] for row in program.rows("SELECT status FROM run_metadata")} == {"FAILED"}
    assert program.run_row(3)["completed_jobs"] == 300
    cases(2 * len(screens))
