"""A history that cannot be written any more in mid-run: nothing is lost, and nothing is called a success."""

import json
import os
import resource
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Result, ended
from history_tools import gate, integrity, names, pid_in

pytestmark = pytest.mark.promise(9)


def break_history(runner: "subprocess.Popen[str]", program: Program) -> None:
    """Let no further byte be added to the write-ahead log, as a full disk does.

    Only files as long as the log are touched by the limit: the jobs' logs are shorter.
    """
    size = Path(f"{program.history}-wal").stat().st_size
    resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))


def result(runner: "subprocess.Popen[str]") -> Result:
    """How a started program ended."""
    out, err = runner.communicate()
    return Result(runner.returncode, out, err)


def spool(program: Program, run_id: int = 1) -> dict[str, Any]:
    """The content of a run's spool file."""
    path = program.folder / f"logs/executioner.flow.run-{run_id}.spool.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def results(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the entries of a spool file say of each job in the end, later ones on top of earlier ones."""
    found: dict[str, dict[str, Any]] = {}
    for entry in content["jobs"]:
        found.setdefault(entry["id"], {}).update(entry)
    return found


def fail_in_mid_run(program: Program, *flags: str) -> Result:
    """``a`` ends after the history broke; ``c`` still runs then and ends later; ``b`` and ``d`` are to come."""
    program.config(
        [
            {"id": "a", "command": "echo $$ > a_pid; read x < gate"},
            {"id": "c", "command": "echo $$ > c_pid; read x < gate2; echo done > c_done"},
            {"id": "b", "command": "touch b_ran", "dependencies": ["a"]},
            {"id": "d", "command": "touch d_ran"},
        ]
    )
    with (
        gate(program) as let_a,
        gate(program, "gate2") as let_c,
        ended(program.start("-c", "flow.json", "-j", "2", *flags)) as runner,
    ):
        pid_in(program, "a_pid")
        pid_in(program, "c_pid")
        break_history(runner, program)
        let_a()
        log = program.folder / "logs/executioner.flow.job-a.run-1.log"
        while b"=== SUCCESS" not in log.read_bytes():
            assert runner.poll() is None
        assert runner.poll() is None  # c may end
        let_c()
        return result(runner)


def test_a_run_whose_history_fails_starts_nothing_more_and_lets_running_jobs_end(program: Program) -> None:
    """Exit 3; the job that runs comes to its end; its dependents and the rest are never started."""
    ending = fail_in_mid_run(program)
    assert ending.code == 3
    assert (program.folder / "c_done").exists()
    assert not (program.folder / "b_ran").exists()
    assert not (program.folder / "d_ran").exists()


def test_a_run_whose_history_fails_says_so(program: Program) -> None:
    """The error names the run, the database and the file that holds the results; no word of success."""
    ending = fail_in_mid_run(program)
    assert "Error: Run 1 could not be recorded" in ending.err
    assert str(program.history) in ending.err
    assert "logs/executioner.flow.run-1.spool.json" in ending.err
    assert "Traceback" not in ending.err
    assert "Status: SUCCESS" not in ending.out + ending.err


def test_results_that_cannot_be_recorded_are_kept_beside_the_logs(program: Program) -> None:
    """The spool file holds what the history lacks: results with exit code and times, and what was not started."""
    fail_in_mid_run(program)
    content = spool(program)
    assert (content["executioner_spool"], content["history"], content["run_id"]) == (1, str(program.history), 1)
    assert content["reason"]
    jobs = results(content)
    for name in "ac":
        assert (jobs[name]["status"], jobs[name]["exit_code"]) == ("SUCCESS", 0)
        assert jobs[name]["end_time"] > "2020"
        assert json.loads(jobs[name]["retry_history"])[0]["status"] == "SUCCESS"
    assert [jobs[name]["status"] for name in "bd"] == ["SKIPPED", "SKIPPED"]
    run = content["run"]
    assert (run["status"], run["exit_code"]) == ("INTERRUPTED", 3)
    assert (run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]) == (2, 0, 2)


def test_the_history_of_a_failed_write_is_sound_and_the_next_run_records_it(program: Program) -> None:
    """What was committed stands; the next run records the broken one as INTERRUPTED."""
    fail_in_mid_run(program)
    assert integrity(program.history) == ["ok"]
    assert program.statuses() == {"a": "RUNNING", "c": "RUNNING", "b": "PENDING", "d": "PENDING"}
    program.config({"z": "true"}, name="next.json")
    assert program("-c", "next.json").code == 0
    assert program.run_row(1)["status"] == "INTERRUPTED"
    assert program.statuses(1) == {"a": "INTERRUPTED", "c": "INTERRUPTED", "b": "SKIPPED", "d": "SKIPPED"}


def test_no_success_is_reported_where_only_the_end_could_not_be_recorded(program: Program) -> None:
    """All jobs succeeded, the history did not hear of it: neither screen nor spool nor log call that SUCCESS."""
    program.config({"a": "echo $$ > a_pid; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "a_pid")
        break_history(runner, program)
        let_through()
        ending = result(runner)
    assert ending.code == 3
    assert results(spool(program))["a"]["status"] == "SUCCESS"  # the job is what it is
    assert spool(program)["run"]["exit_code"] == 3
    assert spool(program)["run"]["status"] != "SUCCESS"
    assert "ended: SUCCESS" not in (program.folder / "logs/executioner.flow.run-1.log").read_text()
    assert "Status: SUCCESS" not in ending.out + ending.err


def test_stdout_stays_empty_with_json_where_the_history_failed(program: Program) -> None:
    """A script never gets an object that says RUNNING of a run that has ended."""
    ending = fail_in_mid_run(program, "--format", "json")
    assert (ending.code, ending.out) == (3, "")
    assert "could not be recorded" in ending.err


def test_quiet_tells_of_a_history_that_failed(program: Program) -> None:
    """Cron mails it: --quiet keeps stdout empty and has the error on stderr."""
    ending = fail_in_mid_run(program, "--quiet")
    assert (ending.code, ending.out) == (3, "")
    assert "could not be recorded" in ending.err


def test_a_signal_ends_what_runs_after_the_history_failed(program: Program) -> None:
    """After the failure the next signal ends the running job; it is INTERRUPTED in the spool file, exit code 3."""
    program.config(
        {"a": "echo $$ > a_pid; read x < gate", "c": "echo $$ > c_pid; exec sleep 1000", "b": "touch b_ran"}
    )
    with gate(program) as let_through, ended(program.start("-c", "flow.json", "-j", "2")) as runner:
        pid_in(program, "a_pid")
        pid_in(program, "c_pid")
        break_history(runner, program)
        let_through()
        log = program.folder / "logs/executioner.flow.job-a.run-1.log"
        while b"=== SUCCESS" not in log.read_bytes():
            assert runner.poll() is None
        runner.send_signal(signal.SIGTERM)
        ending = result(runner)
    assert ending.code == 3
    jobs = results(spool(program))
    assert {name: row["status"] for name, row in jobs.items()} == {
        "a": "SUCCESS",
        "c": "INTERRUPTED",
        "b": "SKIPPED",
    }
    assert not (program.folder / "b_ran").exists()


def test_a_run_that_cannot_be_recorded_at_all_does_not_start(program: Program) -> None:
    """Where not even the creating transaction fits: exit 3, no row, no log, no spool, nothing run."""
    program.config({"a": "true"}, name="first.json")
    assert program("-c", "first.json").code == 0
    logs = names(program.folder / "logs")
    program.config({"first": "touch ran", **{f"j{n}": "true" for n in range(2000)}})
    limit = 65536

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ending = program("-c", "flow.json", preexec_fn=limited)
    assert ending.code == 3
    assert str(program.history) in ending.err
    assert "Traceback" not in ending.err
    assert ending.out == ""
    assert names(program.folder / "logs") == logs
    assert not (program.folder / "ran").exists()
    assert len(program.rows("SELECT * FROM run_metadata")) == 1
    assert integrity(program.history) == ["ok"]
    os.unlink(program.folder / "first.json")
    assert program("-c", "flow.json", "--dry-run").code == 0
