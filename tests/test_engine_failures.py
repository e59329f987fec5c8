"""What a failure means for the other jobs, for the run and for the exit code; and --skip."""

import os
import subprocess
import sys
from typing import Any

import pytest
from harness import Program, gate, wait_until

pytestmark = pytest.mark.promise(1)


def test_fail_fast_lets_running_jobs_finish_and_skips_the_rest(program: Program) -> None:
    """After a failure nothing more starts, what runs may finish, and each skipped job says why."""
    program.config(
        [
            {"id": "slow", "command": "touch up; read line < go; touch done"},
            {"id": "bad", "command": "read line < fail; exit 3"},
            {"id": "after_bad", "command": "touch wrong", "dependencies": ["bad"]},
            {"id": "after_both", "command": "touch wrong", "dependencies": ["after_bad", "slow"]},
            {"id": "after_slow", "command": "touch wrong", "dependencies": ["slow"]},
            {"id": "other", "command": "touch wrong"},
        ],
        default_timeout=50,
    )
    with gate(program.folder / "go") as go, gate(program.folder / "fail") as fail:
        process = program.start("-c", "flow.json", "-j", "2")
        program.wait_for("up")
        fail()
        wait_until(lambda: program.statuses()["bad"] == "FAILED", "the failure to be recorded")
        assert program.statuses()["slow"] == "RUNNING"
        assert program.statuses()["other"] == "SKIPPED"
        go()
        out, err = process.communicate(timeout=50)
    assert process.returncode == 1
    assert err == "Error: Run 1 FAILED: bad (flow)\n"
    found = {name: (row["status"], row["reason"], row["exit_code"]) for name, row in program.jobs().items()}
    assert found == {
        "slow": ("SUCCESS", None, 0),
        "bad": ("FAILED", "Exit code 3", 3),
        "after_bad": ("SKIPPED", "dependency failed", None),
        "after_both": ("SKIPPED", "dependency failed", None),
        "after_slow": ("SKIPPED", "run stopped after bad failed", None),
        "other": ("SKIPPED", "run stopped after bad failed", None),
    }
    assert (program.folder / "done").exists()
    assert not (program.folder / "wrong").exists()
    run = program.run_row()
    assert (run["status"], run["exit_code"], run["failure_summary"]) == ("FAILED", 1, "bad: Exit code 3")
    assert (run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]) == (1, 1, 4)
    assert "Jobs: 6 total, 1 completed, 1 failed, 4 skipped\n" in out
    assert "  - after_bad (dependency failed)\n  - after_both (dependency failed)\n" in out
    assert "  - after_slow (run stopped after bad failed)\n  - other (run stopped after bad failed)\n" in out


@pytest.mark.parametrize(("keys", "flags"), [({}, ("--continue-on-error",)), ({"continue_on_error": True}, ())])
def test_continue_on_error_runs_what_does_not_depend_on_the_failure(
    program: Program, keys: dict[str, Any], flags: tuple[str, ...]
) -> None:
    """By flag or config key: after a failure all jobs that do not need the failed one run; exit code 1."""
    program.config(
        [
            {"id": "bad", "command": "exit 4"},
            {"id": "after", "command": "touch wrong", "dependencies": ["bad"]},
            {"id": "later", "command": "touch wrong", "dependencies": ["after", "good"]},
            {"id": "good", "command": "true"},
            {"id": "fine", "command": "true", "dependencies": ["good"]},
        ],
        **keys,
    )
    result = program("-c", "flow.json", *flags)
    assert (result.code, result.err) == (1, "Error: Run 1 FAILED: bad (flow)\n")
    found = {name: (row["status"], row["reason"]) for name, row in program.jobs().items()}
    assert found == {
        "bad": ("FAILED", "Exit code 4"),
        "after": ("SKIPPED", "dependency failed"),
        "later": ("SKIPPED", "dependency failed"),
        "good": ("SUCCESS", None),
        "fine": ("SUCCESS", None),
    }
    assert not (program.folder / "wrong").exists()
    assert program.run_row()["status"] == "FAILED"


def test_a_failed_leaf_fails_the_run_with_continue_on_error(program: Program) -> None:
    """A failed job on which nothing depends still makes the run FAILED with exit code 1."""
    program.config([{"id": "a", "command": "true"}, {"id": "leaf", "command": "false", "dependencies": ["a"]}])
    result = program("-c", "flow.json", "--continue-on-error")
    assert result.code == 1
    assert program.statuses() == {"a": "SUCCESS", "leaf": "FAILED"}
    assert (program.run_row()["status"], program.run_row()["exit_code"]) == ("FAILED", 1)
    assert "Status: FAILED\n" in result.out


@pytest.mark.parametrize(
    ("command", "status", "reason", "exit_code"),
    [
        ("exit 7", "FAILED", "Exit code 7", 7),
        ("false", "FAILED", "Exit code 1", 1),
        ("exit 255", "FAILED", "Exit code 255", 255),
        ("kill -KILL $$", "FAILED", "Killed by SIGKILL", -9),
        ("kill -TERM $$", "FAILED", "Killed by SIGTERM", -15),
        ("sh -c 'kill -SEGV $$'", "FAILED", "Exit code 139", 139),
    ],
)
def test_how_a_command_ends_is_recorded(
    program: Program, command: str, status: str, reason: str, exit_code: int
) -> None:
    """The exit code or the signal of a failed command stands in the history, the reason and the summary."""
    program.config({"a": command})
    result = program("-c", "flow.json")
    row = program.jobs()["a"]
    assert (row["status"], row["reason"], row["exit_code"]) == (status, reason, exit_code)
    assert row["last_error"] == reason
    assert result.code == 1
    assert f"  - a: failed\n      Reason: {reason}\n" in result.out


def test_a_job_that_is_stopped_by_the_failure_of_a_timeout_or_an_error(program: Program) -> None:
    """A job that timed out or could not be started stops the run as one that failed does."""
    (program.folder / "sub").mkdir()
    program.config(
        [
            {"id": "gone", "command": "rmdir sub"},
            {"id": "lost", "command": "true", "working_dir": "sub", "dependencies": ["gone"]},
            {"id": "rest", "command": "true", "dependencies": ["gone"]},
        ]
    )
    assert program("-c", "flow.json").code == 1
    assert program.statuses() == {"gone": "SUCCESS", "lost": "ERROR", "rest": "SKIPPED"}
    assert program.jobs()["rest"]["reason"] == "run stopped after lost failed"
    program.config([{"id": "late", "command": "sleep 60", "timeout": 0.2}, {"id": "rest", "command": "true"}])
    assert program("-c", "flow.json").code == 1
    assert program.statuses(2) == {"late": "TIMEOUT", "rest": "SKIPPED"}
    assert program.jobs(2)["rest"]["reason"] == "run stopped after late failed"


def test_a_working_folder_that_vanished_is_an_error_of_its_job(program: Program) -> None:
    """A job whose folder was removed in mid-run is ERROR with the folder's name, and is not started elsewhere."""
    (program.folder / "sub").mkdir()
    program.config(
        [
            {"id": "gone", "command": "rmdir sub"},
            {"id": "lost", "command": "touch wrong", "working_dir": "sub", "dependencies": ["gone"]},
            {"id": "last", "command": "pwd", "dependencies": ["gone"]},
        ]
    )
    result = program("-c", "flow.json", "--continue-on-error")
    assert result.code == 1
    row = program.jobs()["lost"]
    assert (row["status"], row["exit_code"]) == ("ERROR", None)
    assert row["reason"] == f"Could not be started: its folder is gone: {program.folder}/sub"
    assert program.output("last").decode() == f"{program.folder}\n"
    assert not (program.folder / "wrong").exists()


def test_a_runner_whose_parent_ignores_sigchld_sees_exit_codes(program: Program) -> None:
    """Started with SIGCHLD ignored, as by some daemons, `exit 7` is FAILED and `true` SUCCESS."""
    import signal

    program.config({"good": "true", "bad": "exit 7"})
    result = program("-c", "flow.json", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert result.code == 1
    assert program.statuses() == {"good": "SUCCESS", "bad": "FAILED"}
    assert program.jobs()["bad"]["exit_code"] == 7


def test_a_runner_with_foreign_children_sees_its_jobs(program: Program) -> None:
    """Children that the process had before it became the runner neither disturb it nor are taken for jobs."""
    program.config({"good": "sleep 0.2", "bad": "exit 7"})
    wrapper = 'sleep 0.05 & sleep 300 & echo $! > stranger; exec "$@"'
    try:
        done = subprocess.run(
            ["sh", "-c", wrapper, "sh", *program.command("-c", "flow.json")],
            cwd=program.folder,
            env=program.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=50,
            check=False,
        )
        assert done.returncode == 1
        assert program.statuses() == {"good": "SUCCESS", "bad": "FAILED"}
    finally:
        os.kill(int((program.folder / "stranger").read_text()), 9)


def leaves_a_zombie(program: Program) -> str:
    """A command whose process has a child that ended before it, and that it did not wait for."""
    (program.folder / "until_zombie.py").write_text(
        "import sys\nwhile ') Z ' not in open(f'/proc/{sys.argv[1]}/stat').read():\n    pass\n"
    )
    return f"true & exec {sys.executable} until_zombie.py $!"


def test_an_orphan_that_ends_with_its_job_is_buried_while_the_next_job_runs(program: Program) -> None:
    """A zombie that a job left behind is no child of the runner any more once the next job has started.

    After 10 s the runner would take it in anyhow, on waking to tell that the job runs on.
    """
    leaves = leaves_a_zombie(program)
    looks = "until set -- $(cat /proc/$PPID/task/$PPID/children) && [ $# = 1 ]; do :; done"
    program.config(
        [
            {"id": "leaves", "command": leaves, "timeout": 20},
            {"id": "looks", "command": looks, "dependencies": ["leaves"], "timeout": 8},
        ]
    )
    assert program("-c", "flow.json").code == 0
    assert program.statuses() == {"leaves": "SUCCESS", "looks": "SUCCESS"}


def test_no_zombie_of_the_last_job_is_left_to_whoever_started_the_runner(program: Program) -> None:
    """Where nobody else buries orphans (a container's first process, say), none is left when the run has ended."""
    program.config({"leaves": leaves_a_zombie(program)})
    adopter = (
        "import ctypes, os, subprocess, sys\n"
        "ctypes.CDLL(None).prctl(36, 1)\n"  # PR_SET_CHILD_SUBREAPER
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(code, open(f'/proc/self/task/{os.getpid()}/children').read().split())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", adopter, *program.command("-c", "flow.json")],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("0 []\n", "")


# --- --skip -------------------------------------------------------------------------------


def test_skipped_jobs_count_as_satisfied(program: Program) -> None:
    """Jobs left out with --skip are SKIPPED for that reason, their dependents run, the run is PARTIAL, exit 0."""
    program.config(
        [
            {"id": "a", "command": "touch a"},
            {"id": "b", "command": "touch b", "dependencies": ["a"]},
            {"id": "c", "command": "touch c", "dependencies": ["b"]},
            {"id": "d", "command": "touch d", "dependencies": ["a", "c"]},
        ]
    )
    result = program("-c", "flow.json", "--skip", "a,c", "--skip", "a")
    assert (result.code, result.err) == (0, "")
    found = {name: (row["status"], row["reason"]) for name, row in program.jobs().items()}
    assert found == {
        "a": ("SKIPPED", "--skip"),
        "b": ("SUCCESS", None),
        "c": ("SKIPPED", "--skip"),
        "d": ("SUCCESS", None),
    }
    assert sorted(path.name for path in program.folder.iterdir() if len(path.name) == 1) == ["b", "d"]
    run = program.run_row()
    assert (run["status"], run["exit_code"], run["skipped_jobs"], run["completed_jobs"]) == ("PARTIAL", 0, 2, 2)
    assert "Status: PARTIAL\n" in result.out
    assert "  - a (--skip)\n  - c (--skip)\n" in result.out


def test_a_failure_beside_a_skipped_job_is_a_failure(program: Program) -> None:
    """A run with skipped and failed jobs is FAILED, not PARTIAL."""
    program.config({"a": "true", "b": "false"})
    assert program("-c", "flow.json", "--skip", "a").code == 1
    assert program.run_row()["status"] == "FAILED"
    assert program.statuses() == {"a": "SKIPPED", "b": "FAILED"}


def test_all_jobs_skipped_is_a_partial_run(program: Program) -> None:
    """A run of which every job is left out starts nothing and is PARTIAL with exit code 0."""
    program.config({"a": "touch wrong"})
    assert program("-c", "flow.json", "--skip", "a").code == 0
    assert program.run_row()["status"] == "PARTIAL"
    assert not (program.folder / "wrong").exists()


def test_an_unknown_job_to_skip_is_refused(program: Program) -> None:
    """--skip of an id that no job has exits 2 with the likely id; nothing is run, recorded or logged."""
    program.config({"transform": "touch wrong"})
    result = program("-c", "flow.json", "--skip", "tranform")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith('Error: --skip: no job "tranform"')
    assert 'did you mean "transform"?' in result.err
    assert "Nothing was run." in result.err
    assert [path.name for path in program.folder.iterdir()] == ["flow.json"]
    assert not program.history.exists()
