"""SUCCESS means success: every other way in which a job can end is called something else."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Program, attempts, ended, is_running, stop, wait_until_asleep
from history_tools import gate, pid_in, wait_for_end

pytestmark = pytest.mark.promise(1)

#: Signals that do not end a process: it goes on, or stops.
HARMLESS = {signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}


def assert_failed(program: Program, job: str, run_id: int = 1) -> None:
    """A job is FAILED in the history, its log, and every screen and list of its run."""
    row = program.jobs(run_id)[job]
    assert row["status"] == "FAILED" and row["reason"], row
    assert [one["status"] for one in json.loads(row["retry_history"])] == ["FAILED"]
    assert b"=== FAILED: " in Path(row["log_path"]).read_bytes()


def test_every_exit_code_but_0_is_a_failure(program: Program, cases: Callable[[int], None]) -> None:
    """1 to 255, of a shell and of a program: FAILED with that code, and what depends on it does not start."""
    codes = range(1, 256)
    quit_py = program.folder / "quit.sh"
    quit_py.write_text("#!/bin/sh\nexit $1\n")
    quit_py.chmod(0o700)
    jobs = [{"id": f"shell{code}", "command": f"exit {code}; true"} for code in codes]
    jobs += [{"id": f"plain{code}", "command": f"./quit.sh {code}"} for code in codes]
    jobs += [{"id": f"after{code}", "command": "touch wrong", "dependencies": [f"shell{code}"]} for code in codes]
    jobs += [{"id": "zero", "command": "exit 0"}, {"id": "wrapped", "command": "exit 256"}]
    program.config(jobs, continue_on_error=True)
    result = program("-c", "flow.json", "-j", "4")
    assert result.code == 1
    rows = program.jobs()
    for code in codes:
        for kind in ("shell", "plain"):
            row = rows[f"{kind}{code}"]
            assert (row["status"], row["exit_code"]) == ("FAILED", code)
            assert row["reason"].startswith(f"Exit code {code}")
        assert rows[f"after{code}"]["status"] == "SKIPPED"
    for name in ("shell1", "plain255"):
        assert_failed(program, name)
    assert not (program.folder / "wrong").exists()
    succeeded = [name for name, row in rows.items() if row["status"] == "SUCCESS"]
    assert succeeded == [name for name in ("zero", "wrapped") if rows[name]["exit_code"] == 0]
    assert "zero" in succeeded
    run = program.run_row()
    assert (run["completed_jobs"], run["status"]) == (len(succeeded), "FAILED")
    shown = json.loads(program("--show-run", "1", "--format", "json").out)
    assert [job["id"] for job in shown["jobs"] if job["status"] == "SUCCESS"] == succeeded
    cases(3 * len(codes) + 2)


def test_every_signal_that_ends_a_job_is_a_failure(program: Program, cases: Callable[[int], None]) -> None:
    """Killed by any signal, real-time ones too: FAILED with minus its number; in a child of a shell as well."""
    numbers = [number for number in signal.valid_signals() if number not in HARMLESS | STOPPING]
    kill = "import os, signal, sys; n = int(sys.argv[1]); n in (9,) or signal.signal(n, signal.SIG_DFL)\n"
    kill += "os.kill(os.getpid(), n); signal.pause()\n"
    (program.folder / "kill.py").write_text(kill)
    jobs = {f"s{int(number)}": f"exec python -S kill.py {int(number)}" for number in numbers}
    child = {f"c{int(number)}": f"python -S kill.py {int(number)}; exit $?" for number in numbers[:5]}
    program.config({**jobs, **child}, continue_on_error=True, default_timeout=30)
    assert program("-c", "flow.json", "-j", "4").code == 1
    rows = program.jobs()
    for number in numbers:
        row = rows[f"s{int(number)}"]
        assert (row["status"], row["exit_code"]) == ("FAILED", -number), row
        assert row["reason"].startswith("Killed by ")
    for number in numbers[:5]:
        assert (rows[f"c{int(number)}"]["status"], rows[f"c{int(number)}"]["exit_code"]) == (
            "FAILED",
            128 + number,
        )
    assert program.run_row()["completed_jobs"] == 0
    cases(len(jobs) + len(child))


def test_a_parent_that_ignores_sigchld_loses_no_exit_status(program: Program) -> None:
    """Started by a parent that ignores SIGCHLD, the program reads every exit status all the same."""
    program.config(
        {"good": "true", "bad": "exit 7", "shell": "exit 3; :", "killed": "kill -9 $$"}, continue_on_error=True
    )

    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    result = program("-c", "flow.json", preexec_fn=ignore)
    assert result.code == 1
    found = {name: (row["status"], row["exit_code"]) for name, row in program.jobs().items()}
    assert found == {
        "good": ("SUCCESS", 0),
        "bad": ("FAILED", 7),
        "shell": ("FAILED", 3),
        "killed": ("FAILED", -9),
    }


def test_an_exit_status_that_is_lost_is_an_error(program: Program) -> None:
    """If the kernel buries children without a word, a job is ERROR, never SUCCESS, and nothing starts after it."""
    program.config(
        [
            {
                "id": "a",
                "command": "true",
                "timeout": 1,
            },  # when that is over the runner looks, though nothing woke it
            {"id": "b", "command": "touch wrong", "dependencies": ["a"]},
        ]
    )
    lose = (
        "import signal\n"
        "from executioner import scheduler\n"
        "real = scheduler.Scheduler.run\n"
        "def run(self):\n"
        "    signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"  # from now on no zombie is kept
        "    return real(self)\n"
        "scheduler.Scheduler.run = run\n"
    )
    done = program.changed(lose, "-c", "flow.json", timeout=50)
    assert done.code == 1, done.err
    row = program.jobs()["a"]
    assert (row["status"], row["reason"], row["exit_code"]) == ("ERROR", "Its exit status is not known", None)
    assert program.statuses()["b"] == "SKIPPED"
    assert not (program.folder / "wrong").exists()
    assert "Status: FAILED" in done.out


@pytest.mark.parametrize("how", ["rm -r logs", "rm logs/*.log", ": > $(ls logs/*job-a*)", "mv logs away"])
def test_a_log_that_vanishes_hides_no_failure(program: Program, how: str) -> None:
    """A job that destroys its log is what its exit status says, FAILED where that is not 0."""
    program.config(
        {"a": f"{how}; exit 4", "b": f"mkdir -p logs; touch logs/x.log; {how.replace('job-a', 'job-b')}; true"}
    )
    result = program("-c", "flow.json", "--continue-on-error")
    assert result.code == 1
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"], row["reason"]) == ("FAILED", 4, "Exit code 4")
    assert program.jobs()["b"]["exit_code"] == (0 if program.statuses()["b"] == "SUCCESS" else 1)
    assert program("--show-run", "1").code == 0


CHECKS = """
import os, signal, sys, threading, time
def hang():
    time.sleep(300)
def die(number):
    os.kill(os.getpid(), number)
    signal.pause()
def forked():
    if os.fork() == 0:
        os._exit(0)
    return 0
class Odd:
    def __bool__(self):
        raise ValueError("neither")
class Liar(Exception):
    def __str__(self):
        os._exit(0)
def lie():
    raise Liar
def deep():
    return deep()
def memory():
    raise MemoryError
def interrupt():
    raise KeyboardInterrupt
def close():
    os.closerange(0, 100)
    return False
def pretend():
    for fd in range(3, 20):
        try:
            os.write(fd, b"ok\\n")
        except OSError:
            pass
    os._exit(0)
CHECKS = {"hang": hang, "die": die, "forked": forked, "odd": lambda: Odd(), "lie": lie, "deep": deep,
          "memory": memory, "interrupt": interrupt, "close": close, "no": lambda: False, "zero": lambda: 0,
          "empty": lambda: "", "exit": lambda code: sys.exit(code), "gone": lambda: os._exit(0)}
"""


def test_a_post_check_that_does_not_say_yes_fails_its_job(program: Program, cases: Callable[[int], None]) -> None:
    """Killed by any signal, hanging, raising whatever, closing its descriptors, exiting with 0: never SUCCESS."""
    (program.folder / "checks.py").write_text(CHECKS)
    kinds: dict[str, tuple[str, dict[str, int]]] = {
        name: (name, {}) for name in "hang forked odd lie deep memory interrupt close no zero empty gone".split()
    }
    kinds["exit0"] = ("exit", {"code": 0})
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT, signal.SIGPIPE, signal.SIGHUP):
        kinds[f"by{number.name}"] = ("die", {"number": int(number)})
    jobs = [
        {"id": kind, "command": "true", "post_checks": [{"name": name, "params": params}], "timeout": 4}
        for kind, (name, params) in kinds.items()
    ]
    after = [{"id": f"after-{kind}", "command": "touch wrong", "dependencies": [kind]} for kind in kinds]
    program.config(jobs + after, dependency_plugins=["checks.py"], continue_on_error=True, kill_grace=0.2)
    assert program("-c", "flow.json", "-j", "4").code == 1
    statuses = program.statuses()
    assert {kind: statuses[kind] for kind in kinds} == {**dict.fromkeys(kinds, "FAILED"), "hang": "TIMEOUT"}
    assert {statuses[job["id"]] for job in after} == {"SKIPPED"}
    assert not (program.folder / "wrong").exists()
    assert program.run_row()["completed_jobs"] == 0
    cases(len(kinds))


ENDS_WELL = "trap 'exit 0' TERM; echo $$ > pid; sleep 300 & wait"


def test_exit_0_on_the_term_of_a_limit_is_a_timeout(program: Program) -> None:
    """A job that ends with 0 because its limit told it to is TIMEOUT, and its post-checks are not asked."""
    (program.folder / "there").touch()
    post = [{"name": "check_file_exists", "params": {"path": "there"}}]
    program.config([{"id": "a", "command": ENDS_WELL, "timeout": 1, "post_checks": post}])
    assert program("-c", "flow.json").code == 1
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"], row["reason"]) == ("TIMEOUT", 0, "Timed out after 00:00:01")
    assert b"check_file_exists" not in Path(row["log_path"]).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_exit_0_during_an_interrupt_is_interrupted(program: Program, number: int) -> None:
    """What ran when the signal came is INTERRUPTED, though it ends with 0; a resume runs it again."""
    program.config({"a": ENDS_WELL, "b": "touch wrong"}, kill_grace=20)
    with ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "pid")
        runner.send_signal(number)
        runner.communicate(timeout=40)
    assert not is_running(pid)
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"]) == ("INTERRUPTED", 0)
    plan = json.loads(program("--resume-from", "1", "--dry-run", "--format", "json").out)
    assert [(job["id"], job["action"]) for job in plan["execute"]] == [("a", "retry"), ("b", "execute")]
    assert plan["reuse"] == []


def test_a_job_that_ended_before_the_signal_was_taken_is_a_success(program: Program) -> None:
    """Its end with 0, by itself, while the runner was stopped, comes before the signal that came with it."""
    program.config({"a": "echo $$ > pid; read line < gate", "b": "touch wrong"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "pid")
        wait_until_asleep(runner.pid)  # else it might look for ended jobs first
        stop(runner.pid)
        let_through()
        wait_for_end(pid)
        os.kill(runner.pid, signal.SIGTERM)
        os.kill(runner.pid, signal.SIGCONT)
        runner.communicate(timeout=40)
    assert runner.returncode == 143
    assert program.statuses() == {"a": "SUCCESS", "b": "SKIPPED"}
    assert not (program.folder / "wrong").exists()


def test_every_screen_says_that_a_job_was_marked(program: Program, cases: Callable[[int], None]) -> None:
    """A marked job is visibly marked wherever it is shown: run, lists, JSON, CSV, preview, resume, and its run."""
    program.config(
        [{"id": "a", "command": "exit 3"}, {"id": "b", "command": "true", "dependencies": ["a"]}],
    )
    assert program("-c", "flow.json").code == 1
    assert program("--mark-success", "1", "a", "--yes", "--reason", "by hand").code == 0
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"], row["mark_reason"]) == (
        "FAILED",
        3,
        "by hand",
    )  # it stays what it was
    assert program.run_row()["completed_jobs"] == 0
    number = 0

    def says(*args: str) -> None:
        nonlocal number
        number += 1
        lines = program(*args).out.splitlines()
        assert any("marked" in line for line in lines), (args, lines)

    says("--show-run", "1")
    says("--show-run", "1", "--status", "failed")
    says("--resume-from", "1", "--dry-run")
    says("--resume-from", "1", "--dry-run", "--verbose")
    says("--mark-success", "1", "a", "--yes")
    [marked] = [
        job for job in json.loads(program("--show-run", "1", "--format", "json").out)["jobs"] if job["id"] == "a"
    ]
    assert marked["marked_by"] and marked["mark_reason"] == "by hand" and marked["status"] == "FAILED"
    assert "by hand" in program("--show-run", "1", "--format", "csv").out
    plan = json.loads(program("--resume-from", "1", "--dry-run", "--format", "json").out)
    assert [bool(job["marked_by"]) for job in plan["reuse"]] == [True]
    assert program("--resume-from", "1").code == 0
    says("--show-run", "2")
    says("--show-run", "last", "--status", "success")
    second = {job["id"]: job for job in json.loads(program("--show-run", "2", "--format", "json").out)["jobs"]}
    assert (second["a"]["marked_by"], second["a"]["exit_code"]) == (marked["marked_by"], 3)
    assert second["b"]["marked_by"] is None
    assert len(attempts(program, "b", 2)) == 1
    cases(number + 5)
