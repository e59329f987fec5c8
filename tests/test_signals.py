"""What signals to the runner do: once, twice, ignored; and what they leave behind: nothing but a good record."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness import Program, attempts, ended, gate, is_running, pid_in, wait_until

pytestmark = pytest.mark.promise(5)

Process = subprocess.Popen[str]

POLITE = "trap 'echo cleaned; exit 0' TERM; echo $$ > pid; touch up; sleep 300 & wait"
STUBBORN = "trap '' TERM; echo $$ > pid; touch up; while :; do sleep 0.05; done"
#: Signals that end a run, with exit code and reason.
ENDING = [
    pytest.param(signal.SIGINT, 130, "Ctrl-C (SIGINT)", id="INT"),
    pytest.param(signal.SIGTERM, 143, "Terminated (SIGTERM)", id="TERM"),
    pytest.param(signal.SIGHUP, 129, "Hung up (SIGHUP)", id="HUP"),
]


@contextmanager
def running(program: Program, *args: str, **options: Any) -> Iterator[Process]:
    """The program at work on flow.json, its first job being up."""
    with ended(program.start("-c", "flow.json", *args, **options)) as process:
        program.wait_for("up")
        yield process


def ignoring(*numbers: int) -> Callable[[], None]:
    """What a parent that ignores signals does before it starts the program."""

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return ignore


@pytest.mark.parametrize(("number", "code", "cause"), ENDING)
def test_the_first_signal_ends_jobs_gracefully(program: Program, number: int, code: int, cause: str) -> None:
    """INT, TERM or HUP: running jobs get TERM and may clean up, the rest is skipped, all of it is recorded."""
    program.config(
        [
            {"id": "done", "command": "true"},
            {"id": "a", "command": POLITE, "description": "Transform", "dependencies": ["done"]},
            {"id": "b", "command": "touch wrong", "dependencies": ["a"]},
            {"id": "c", "command": "touch wrong"},
        ],
        kill_grace=50,
        working_dir=".",
    )
    with running(program) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=40)
    assert process.returncode == code
    found = {name: (row["status"], row["reason"]) for name, row in program.jobs().items()}
    elapsed = found["a"][1]
    assert elapsed is not None and elapsed.startswith("Ended by the runner after 00:00:")
    assert found == {
        "done": ("SUCCESS", None),
        "a": ("INTERRUPTED", elapsed),
        "b": ("SKIPPED", "run interrupted"),
        "c": ("SKIPPED", "run interrupted"),
    }
    assert program.output("a") == b"cleaned\n"
    assert not (program.folder / "wrong").exists()
    assert not is_running(pid_in(program.folder / "pid"))
    run = program.run_row()
    assert (run["status"], run["exit_code"]) == ("INTERRUPTED", code)
    assert (run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]) == (1, 0, 2)
    assert run["end_time"] is not None and cause in run["failure_summary"]
    key = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    first, last = err.splitlines()
    assert first == f"Interrupted: ending 1 running job, up to 00:00:50 ({key} again kills at once)"
    assert last == f"Error: Run 1 INTERRUPTED: {cause} (flow)"
    assert f"Status: INTERRUPTED\nReason: {cause}\n" in out
    assert "Jobs: 4 total, 1 completed, 0 failed, 1 interrupted, 2 skipped\n" in out
    assert f"Interrupted Jobs:\n  - a: Transform was interrupted\n      Reason: {elapsed}\n" in out
    assert "Skipped Jobs:\n  - b (run interrupted)\n  - c (run interrupted)\n" in out
    assert "RESUME OPTIONS:" in out and "--resume-from 1\n" in out


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(signal.SIGINT, signal.SIGINT, id="INT twice"),
        pytest.param(signal.SIGTERM, signal.SIGTERM, id="TERM twice"),
        pytest.param(signal.SIGHUP, signal.SIGTERM, id="HUP, TERM"),
        pytest.param(signal.SIGINT, signal.SIGQUIT, id="INT, QUIT"),
    ],
)
def test_the_second_signal_kills_at_once(program: Program, first: int, second: int) -> None:
    """A second signal ends a job that ignores TERM without waiting; the first one gives the exit code."""
    program.config({"a": STUBBORN, "b": "touch wrong"}, kill_grace=50)
    start = time.monotonic()
    with running(program) as process:
        process.send_signal(first)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Interrupted: ending 1 running job, up to 00:00:50 (")
        assert is_running(pid_in(program.folder / "pid"))
        process.send_signal(second)
        _, err = process.communicate(timeout=40)
    assert time.monotonic() - start < 40
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}[first]
    assert err.startswith("Interrupted: killing 1 running job\n")
    assert program.statuses() == {"a": "INTERRUPTED", "b": "SKIPPED"}
    assert program.jobs()["a"]["exit_code"] == -9
    assert not is_running(pid_in(program.folder / "pid"))
    assert program.run_row()["status"] == "INTERRUPTED"


def test_quit_kills_at_once(program: Program) -> None:
    """QUIT does at the first time what others do at the second."""
    program.config({"a": STUBBORN, "b": "touch wrong"}, kill_grace=50)
    with running(program) as process:
        process.send_signal(signal.SIGQUIT)
        out, err = process.communicate(timeout=40)
    assert process.returncode == 131
    assert program.statuses() == {"a": "INTERRUPTED", "b": "SKIPPED"}
    assert not is_running(pid_in(program.folder / "pid"))
    assert err.splitlines()[0] == "Interrupted: killing 1 running job"
    assert "Reason: Quit (SIGQUIT)\n" in out


def test_after_the_grace_jobs_are_killed(program: Program) -> None:
    """A job that ignores TERM is killed when kill_grace is over, with one signal only."""
    program.config({"a": STUBBORN}, kill_grace=0.3)
    with running(program) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 130
    assert program.statuses() == {"a": "INTERRUPTED"}
    assert not is_running(pid_in(program.folder / "pid"))


def test_all_running_jobs_are_ended_with_all_their_processes(program: Program) -> None:
    """With several workers each job's processes end: children, other sessions, daemons, stopped ones."""
    waiting = "while :; do sleep 0.05; done"
    kinds = {
        "group": f"echo $$ > group.pid; sh -c '{waiting}' & {waiting}",
        "session": f"setsid sh -c 'echo $$ > session.pid; {waiting}' & {waiting}",
        "daemon": f"(setsid sh -c 'trap \"\" TERM; echo $$ > daemon.pid; {waiting}' &); {waiting}",
        "stopped": "echo $$ > stopped.pid; kill -STOP $$",
        "ready": "for name in group session daemon stopped; do until test -s $name.pid; do sleep 0.02; done; done;"
        f" touch up; {waiting}",
    }
    program.config(kinds, kill_grace=0.3)
    with running(program, "-j", "5") as process:
        pids = {name: pid_in(program.folder / f"{name}.pid") for name in kinds if name != "ready"}
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
    survivors = {name: pid for name, pid in pids.items() if is_running(pid)}
    for pid in survivors.values():
        os.kill(pid, signal.SIGKILL)
    assert survivors == {}
    assert process.returncode == 130
    assert err.startswith("Interrupted: ending 5 running jobs, up to 00:00:00 (")
    assert set(program.statuses().values()) == {"INTERRUPTED"}


def test_jobs_do_not_get_the_signals_of_the_terminal(program: Program) -> None:
    """INT to the runner's process group, as from a terminal, reaches no job: the runner ends them by TERM."""
    trap = "trap 'echo INT' INT; trap 'echo TERM; exit 0' TERM; touch up; sleep 300 & wait; wait"
    program.config({"a": trap})
    with running(program, start_new_session=True) as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 130
    assert program.output("a") == b"TERM\n"


def test_a_signal_while_a_job_waits_for_its_retry(program: Program) -> None:
    """A job whose next attempt is still to come is INTERRUPTED with its attempts kept, and nobody waits for it."""
    program.config(
        [
            {"id": "a", "command": "exit 5", "max_retries": 3, "retry_delay": 300, "max_retry_time": 1000},
            {"id": "b", "command": "touch up", "dependencies": []},
            {"id": "c", "command": "touch wrong", "dependencies": ["a"]},
        ]
    )
    with running(program) as process:
        wait_until(lambda: program.statuses()["b"] == "SUCCESS", "b to be recorded")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
    assert process.returncode == 130
    found = {name: (row["status"], row["reason"]) for name, row in program.jobs().items()}
    assert found == {
        "a": ("INTERRUPTED", "Interrupted before attempt 2: Exit code 5"),
        "b": ("SUCCESS", None),
        "c": ("SKIPPED", "run interrupted"),
    }
    assert [(one["status"], one["exit_code"]) for one in attempts(program, "a")] == [("FAILED", 5)]
    assert program.jobs()["a"]["retry_count"] == 0
    assert err.splitlines()[0] == "Interrupted: no job was running"


def test_an_ended_job_is_not_retried_after_a_signal(program: Program) -> None:
    """A job that fails because it was told to end is INTERRUPTED, not tried again."""
    program.config(
        [{"id": "a", "command": POLITE.replace("exit 0", "exit 3"), "max_retries": 3, "retry_delay": 0.01}]
    )
    with running(program) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
    assert process.returncode == 143
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"], len(attempts(program, "a"))) == ("INTERRUPTED", 3, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_the_parent_ignores_stays_ignored(program: Program, number: int) -> None:
    """Started by nohup or in the background of a script, the runner goes on after HUP or INT."""
    program.config({"a": "touch up; read line < go", "b": "true"}, default_timeout=40)
    with gate(program.folder / "go") as go, running(program, preexec_fn=ignoring(number)) as process:
        process.send_signal(number)
        go()
        _, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (0, "")
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_other_signals_end_a_runner_that_ignores_int(program: Program) -> None:
    """TERM ends a run whose parent ignores INT and HUP."""
    program.config({"a": POLITE})
    with running(program, preexec_fn=ignoring(signal.SIGINT, signal.SIGHUP)) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
    assert process.returncode == 143
    assert program.statuses() == {"a": "INTERRUPTED"}


def test_a_signal_ends_a_hanging_check(program: Program) -> None:
    """A check that hangs is ended as a command is; the command does not start."""
    (program.folder / "slow.py").write_text(
        "import os, time\n"
        "def slow():\n"
        "    open('pid', 'w').write(str(os.getpid()))\n"
        "    open('up', 'w').close()\n"
        "    time.sleep(300)\n"
        "CHECKS = {'slow': slow}\n"
    )
    job = {"id": "a", "command": "touch wrong", "pre_checks": [{"name": "slow"}]}
    program.config([job], dependency_plugins=["slow.py"])
    with running(program) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 130
    assert program.statuses() == {"a": "INTERRUPTED"}
    assert not is_running(pid_in(program.folder / "pid"))
    assert not (program.folder / "wrong").exists()


def test_a_failure_before_the_signal_leaves_the_run_interrupted(program: Program) -> None:
    """A run with a failed job that a signal stops is INTERRUPTED; what failed or was skipped by that stays so."""
    program.config(
        [
            {"id": "bad", "command": "exit 3"},
            {"id": "after", "command": "true", "dependencies": ["bad"]},
            {"id": "a", "command": POLITE},
            {"id": "left", "command": "true"},
        ]
    )
    with running(program, "--continue-on-error") as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    assert process.returncode == 130
    found = {name: (row["status"], row["reason"]) for name, row in program.jobs().items() if name != "a"}
    assert found == {
        "bad": ("FAILED", "Exit code 3"),
        "after": ("SKIPPED", "dependency failed"),
        "left": ("SKIPPED", "run interrupted"),
    }
    assert program.statuses()["a"] == "INTERRUPTED"
    run = program.run_row()
    assert (run["status"], run["failed_jobs"], run["skipped_jobs"]) == ("INTERRUPTED", 1, 2)


def test_a_nested_run_is_interrupted_gracefully(program: Program) -> None:
    """A run inside a job is ended as the job is: its own jobs may clean up, and it records its end."""
    program.config({"inner": POLITE}, name="inner.json", kill_grace=40)
    program.config({"outer": "executioner.py -c inner.json"}, kill_grace=40)
    with running(program) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=50)
    assert process.returncode == 130
    assert program.statuses(1) == {"outer": "INTERRUPTED"}
    assert program.statuses(2) == {"inner": "INTERRUPTED"}
    assert program.output("inner", 2) == b"cleaned\n"
    run = program.run_row(2)
    assert (run["status"], run["exit_code"]) == ("INTERRUPTED", 143)
    assert b"Interrupted: ending 1 running job" in program.output("outer")
    assert b"killing" not in program.output("outer")


def test_a_killed_runner_leaves_a_readable_history(program: Program) -> None:
    """After SIGKILL the history says what was running and pending; the next run records it as INTERRUPTED."""
    program.config({"done": "true", "a": "echo $$ > pid; touch up; exec sleep 300", "b": "true"})
    with running(program) as process:
        process.kill()
        process.wait(timeout=40)
    try:
        assert program.statuses(1) == {"done": "SUCCESS", "a": "RUNNING", "b": "PENDING"}
        assert program.run_row(1)["status"] == "RUNNING"
        program.config({"x": "true"}, name="other.json")
        assert program("-c", "other.json").code == 0
    finally:
        os.kill(pid_in(program.folder / "pid"), signal.SIGKILL)
    assert program.run_row(1)["status"] == "INTERRUPTED"
    assert program.statuses(1) == {"done": "SUCCESS", "a": "INTERRUPTED", "b": "SKIPPED"}
    assert program.jobs(1)["b"]["reason"] == "run interrupted"
    assert program.statuses(2) == {"x": "SUCCESS"}


def test_a_closing_terminal_is_one_signal(program: Program) -> None:
    """Shell and kernel both tell of a closed terminal: two HUPs at once still leave jobs their grace."""
    program.config({"a": "trap 'touch cleaned; exit 1' TERM; touch started; sleep 60 & wait"}, kill_grace=30)
    with ended(program.start("-c", "flow.json", env={"PYTHONUNBUFFERED": "1"})) as process:
        program.wait_for("started")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 129
    assert (program.folder / "cleaned").exists()
    assert "killing" not in err
    assert "Reason: Hung up (SIGHUP)" in out
