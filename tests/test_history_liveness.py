"""Who is alive: runs whose runner was killed, runs that live beside others, and the lock byte between them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import Program, ended, is_running, wait_until
from history_tools import (
    gate,
    integrity,
    is_locked,
    kill,
    lock_path,
    names,
    pid_in,
    sql,
    wait_for_end,
)
from kill_tools import wait_for_jobs

pytestmark = pytest.mark.promise(3, 4)


def waiting_job(name: str = "up") -> str:
    """A command that tells its pid in a file, then waits at the gate."""
    return f"echo $$ > {name}; read x < gate"


def next_run(program: Program) -> None:
    """Another run of another config, which has to note what it finds."""
    program.config({"z": "true"}, name="next.json")
    result = program("-c", "next.json")
    assert result.code == 0, result.err


# --- a runner that was killed ---------------------------------------------------------------


def test_the_state_of_a_killed_run_is_readable_at_once(program: Program) -> None:
    """After kill -9 the rows stand as last committed, the database is sound, nobody has to repair anything."""
    program.config({"a": "true", "b": waiting_job(), "c": "true"})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        kill(runner)
        assert program.run_row()["status"] == "RUNNING"
        assert program.statuses() == {"a": "SUCCESS", "b": "RUNNING", "c": "PENDING"}
        assert integrity(program.history) == ["ok"]


def test_the_next_run_records_a_killed_one_as_interrupted(program: Program) -> None:
    """RUNNING becomes INTERRUPTED, PENDING becomes SKIPPED; the counts are right, the unknown end is NULL."""
    program.config(
        {
            "ok": "true",
            "bad": "exit 3",
            "left_out": "true",
            "hangs": waiting_job(),
            "later": "true",
            "last": "true",
        }
    )
    with (
        gate(program),
        ended(program.start("-c", "flow.json", "--continue-on-error", "--skip", "left_out")) as runner,
    ):
        pid_in(program, "up")
        kill(runner)
    next_run(program)
    run = program.run_row()
    assert run["status"] == "INTERRUPTED"
    assert (run["total_jobs"], run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]) == (6, 1, 1, 3)
    assert (run["end_time"], run["duration_seconds"], run["exit_code"]) == (None, None, None)
    assert run["failure_summary"]
    jobs = program.jobs()
    assert {name: row["status"] for name, row in jobs.items()} == {
        "ok": "SUCCESS",
        "bad": "FAILED",
        "left_out": "SKIPPED",
        "hangs": "INTERRUPTED",
        "later": "SKIPPED",
        "last": "SKIPPED",
    }
    assert jobs["later"]["reason"] == jobs["last"]["reason"] == "run interrupted"
    assert jobs["left_out"]["reason"] == "--skip"
    assert jobs["hangs"]["reason"]
    assert (jobs["hangs"]["end_time"], jobs["hangs"]["exit_code"]) == (None, None)


def test_a_killed_run_is_recorded_before_a_run_that_fails(program: Program) -> None:
    """That the next run itself goes wrong does not matter for what it found."""
    program.config({"a": waiting_job()})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        kill(runner)
    program.config({"z": "false"}, name="next.json")
    assert program("-c", "next.json").code == 1
    assert program.run_row(1)["status"] == "INTERRUPTED"


def test_several_killed_runs_are_recorded_together(program: Program) -> None:
    """Three dead runs beside a live one: the three are INTERRUPTED, the live one is left alone."""
    program.config({"a": "echo $$ > up$EXECUTIONER_RUN_ID; read x < gate"})
    with gate(program) as let_through:
        dead = []
        for run_id in (1, 2, 3):
            dead.append(program.start("-c", "flow.json", stderr=None, stdout=None))
            pid_in(program, f"up{run_id}")
        with ended(program.start("-c", "flow.json")) as live:
            pid_in(program, "up4")
            for runner in dead:
                kill(runner)
            next_run(program)
            found = program.rows("SELECT status FROM run_metadata ORDER BY run_id")
            assert [row["status"] for row in found] == ["INTERRUPTED"] * 3 + ["RUNNING", "SUCCESS"]
            for _ in range(4):
                let_through()
            live.communicate()
            assert live.returncode == 0
    assert program.run_row(4)["status"] == "SUCCESS"


def test_a_killed_runner_that_nobody_buries_is_dead(program: Program) -> None:
    """A zombie is no living process: where a supervisor never waits, a dead run must not look alive for ever."""
    program.config({"a": waiting_job()})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        os.kill(runner.pid, 9)  # and no wait: it stays a zombie
        wait_for_end(runner.pid)
        next_run(program)
        assert Path(f"/proc/{runner.pid}").exists()
        assert program.run_row(1)["status"] == "INTERRUPTED"


def test_a_zombie_runner_does_not_count_against_max_active_runs(program: Program) -> None:
    """A run whose runner was killed does not keep the next one out."""
    program.config({"a": waiting_job()}, max_active_runs=1)
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        job = pid_in(program, "up")
        os.kill(runner.pid, 9)
        wait_for_end(runner.pid)
        os.kill(job, 9)
        wait_for_end(job)
        program.config({"a": "true"}, max_active_runs=1)
        result = program("-c", "flow.json")
    assert result.code == 0, result.err


# --- runs that live -------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["flow.json", "other.json"])
def test_a_live_run_is_never_declared_dead_by_another(program: Program, other: str) -> None:
    """While a run waits, another of the same or another config comes and goes; the first ends as SUCCESS."""
    program.config({"a": "[ $EXECUTIONER_RUN_ID != 1 ] || { echo $$ > up; read x < gate; }"})
    program.config({"a": "true"}, name="other.json")
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as first:
        pid_in(program, "up")
        second = program("-c", other)
        assert second.code == 0
        assert ("already being run" in second.err) == (other == "flow.json")
        assert (program.run_row(1)["status"], program.statuses(1)) == ("RUNNING", {"a": "RUNNING"})
        let_through()
        first.communicate()
        assert first.returncode == 0
    assert [program.run_row(n)["status"] for n in (1, 2)] == ["SUCCESS", "SUCCESS"]


def test_a_live_run_is_known_by_its_process_where_its_lock_file_was_deleted(program: Program) -> None:
    """A tidy-up script that removes ``*.lock`` makes no run look dead: boot id, pid and start ticks tell."""
    program.config({"a": waiting_job()})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as first:
        pid_in(program, "up")
        lock_path(program).unlink()
        next_run(program)
        assert program.run_row(1)["status"] == "RUNNING"
        let_through()
        first.communicate()
        assert first.returncode == 0
    assert program.run_row(1)["status"] == "SUCCESS"


def test_a_live_run_is_not_declared_dead_in_a_copy_of_its_history(program: Program) -> None:
    """A copy has no lock held, but the run's process lives: a run that uses the copy leaves it RUNNING."""
    program.config({"a": waiting_job()})
    with gate(program), ended(program.start("-c", "flow.json")):
        pid_in(program, "up")
        for suffix in ("", "-wal"):
            shutil.copy(f"{program.history}{suffix}", program.folder / f"copy.db{suffix}")
        program.config({"z": "true"}, name="next.json")
        assert program("-c", "next.json", "--db", "copy.db").code == 0
        copy = program.folder / "copy.db"
        assert [program.run_row(n, db=copy)["status"] for n in (1, 2)] == ["RUNNING", "SUCCESS"]


def test_a_run_of_an_earlier_boot_is_dead(program: Program) -> None:
    """The same pid and start ticks after a reboot are another process."""
    program.config({"a": waiting_job()})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as other:
        pid_in(program, "up")
        run = program.run_row(1)
        sql(
            program.history,
            "INSERT INTO run_metadata (config_path, total_jobs, start_time, status, boot_id, pid, pid_start_ticks)"
            f" VALUES ('/x', 0, '{run['start_time']}', 'RUNNING', 'another boot', {run['pid']},"
            f" {run['pid_start_ticks']})",
        )
        next_run(program)
        assert [program.run_row(n)["status"] for n in (1, 2, 3)] == ["RUNNING", "INTERRUPTED", "SUCCESS"]
        let_through()
        other.communicate()


def test_the_runner_is_recorded_by_boot_pid_and_start_ticks(program: Program) -> None:
    """boot_id, pid and pid_start_ticks are those that the system gives for the process."""
    program.config({"a": waiting_job()})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        run = program.run_row()
        ticks = int(Path(f"/proc/{runner.pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert (run["boot_id"], run["pid"], run["pid_start_ticks"]) == (boot_id, runner.pid, ticks)


# --- the lock byte --------------------------------------------------------------------------


def test_a_run_holds_its_byte_exactly_while_it_lives(program: Program) -> None:
    """Byte run_id is locked while the run is on, no other byte is, and none is afterwards."""
    program.config({"a": "true"}, name="quick.json")
    for _ in range(2):
        assert program("-c", "quick.json").code == 0
    lock = lock_path(program)
    assert not any(is_locked(lock, byte) for byte in range(6))
    program.config({"a": waiting_job()})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        assert [byte for byte in range(10) if is_locked(lock, byte)] == [3]
        let_through()
        runner.communicate()
    assert not any(is_locked(lock, byte) for byte in range(10))
    assert (lock.stat().st_mode & 0o777, lock.stat().st_size) == (0o600, 0)


def test_the_byte_is_free_only_after_the_end_is_recorded(program: Program) -> None:
    """Whoever finds the byte free finds the run's end in the history: an ended run never looks dead."""
    program.config({"a": waiting_job()})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        let_through()
        wait_until(lambda: not is_locked(lock_path(program), 1), "the byte")
        assert program.run_row()["status"] == "SUCCESS"
        runner.communicate()


def test_a_job_that_outlives_its_runner_does_not_hold_the_byte(program: Program) -> None:
    """After kill -9 of the runner the byte is free although the job goes on."""
    program.config({"a": waiting_job()})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        job = pid_in(program, "up")
        kill(runner)
        assert is_running(job)
        assert not is_locked(lock_path(program), 1)


def test_a_job_inherits_neither_lock_nor_database(program: Program) -> None:
    """Of the runner's descriptors a job has 0, 1 and 2 only, started directly or by a shell."""
    program.config({"direct": "ls -l /proc/self/fd", "shell": "(ls -l /proc/self/fd)"})
    assert program("-c", "flow.json").code == 0
    for job in ("direct", "shell"):
        text = program.output(job).decode()
        assert " 0 -> /dev/null" in text
        assert "history" not in text
        assert text.count(" -> ") == 4  # and the folder that ls itself reads


PLUGIN = """
import os
def hang(**params):
    with open("fds", "w") as file:
        names = os.listdir("/proc/self/fd")
        paths = ["/proc/self/fd/" + name for name in names]
        file.write("\\n".join(os.readlink(path) for path in paths if os.path.lexists(path)))
    with open("check_up.part", "w") as file:
        file.write(str(os.getpid()) + "\\n")
    os.rename("check_up.part", "check_up")
    with open("gate") as file:
        file.readline()
    return True
CHECKS = {"hang": hang}
"""


def test_a_check_holds_neither_the_byte_nor_the_database(program: Program) -> None:
    """A check, forked from the runner, has no descriptor of lock or database, and outlives it without the byte."""
    (program.folder / "plugin.py").write_text(PLUGIN)
    program.config(
        [{"id": "a", "command": "true", "pre_checks": [{"name": "hang", "params": {}}]}],
        dependency_plugins=["plugin.py"],
    )
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        check = pid_in(program, "check_up")
        assert "history" not in (program.folder / "fds").read_text()
        assert is_locked(lock_path(program), 1)
        kill(runner)
        assert is_running(check)
        assert not is_locked(lock_path(program), 1)


# --- many at once ---------------------------------------------------------------------------


def test_32_runners_start_together_on_a_history_that_does_not_exist(program: Program) -> None:
    """Each gets an id of its own and succeeds; nobody hears of a lock, and one sound database is left."""
    program.config({"a": "true", "b": "true"})
    runners = [program.start("-c", "flow.json") for _ in range(32)]
    ends = [(*runner.communicate(), runner.returncode) for runner in runners]
    assert [code for _, _, code in ends] == [0] * 32, [err for _, err, _ in ends]
    assert not [err for _, err, _ in ends if "Error" in err or "locked" in err]
    # looked at before any reader of ours, which leaves files beside a WAL database
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    rows = program.rows("SELECT run_id, status FROM run_metadata ORDER BY run_id")
    assert rows == [{"run_id": n, "status": "SUCCESS"} for n in range(1, 33)]
    assert program.rows("SELECT count(*) AS n FROM job_history WHERE status = 'SUCCESS'") == [{"n": 64}]
    assert integrity(program.history) == ["ok"]


def test_32_runners_end_together(program: Program) -> None:
    """32 live runs that all end at one moment are all recorded as SUCCESS."""
    program.config({"a": "echo $$ > up$EXECUTIONER_RUN_ID; read x < gate"})
    with gate(program) as let_through:
        runners = [program.start("-c", "flow.json") for _ in range(32)]
        for run_id in range(1, 33):
            pid_in(program, f"up{run_id}")
        for _ in runners:
            let_through()
        ends = [(runner.communicate()[1], runner.returncode) for runner in runners]
    assert [code for _, code in ends] == [0] * 32, ends
    # looked at before any reader of ours, which leaves files beside a WAL database
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    assert program.rows("SELECT DISTINCT status FROM run_metadata") == [{"status": "SUCCESS"}]


# --- killed at any moment -------------------------------------------------------------------


def made(program: Program) -> int:
    """How many jobs of the newest run have left their mark."""
    return len(list(program.folder.glob("mark.*")))


def wait_for_stage(program: Program, runner: "subprocess.Popen[str]", stage: int) -> None:
    """Wait until a run has come so far: folder, lock file, its row, then three jobs more at each stage."""
    if stage == 0:
        wait_until(program.history.parent.exists, "the folder of the history")
    elif stage == 1:
        wait_until(lock_path(program).exists, "the lock file")
    elif stage == 2:
        wait_until(lambda: is_locked(lock_path(program), 1) or runner.poll() is not None, "the first run")
    else:
        wanted = 3 * (stage - 2)
        wait_until(lambda: made(program) >= wanted, f"{wanted} marks")


def test_the_history_is_sound_after_a_kill_at_any_moment(program: Program) -> None:
    """Killed at 15 stages of a run: the database is sound, what was started is recorded as started, nothing
    that did not end is SUCCESS, and the next run finds its way.
    """
    command = "touch mark.$EXECUTIONER_JOB_ID; true"
    program.config({f"j{n:02}": command for n in range(40)})
    for stage in range(15):
        for mark in program.folder.glob("mark.*"):
            mark.unlink()
        runner = program.start("-c", "flow.json", "-j", "2")
        with ended(runner):
            wait_for_stage(program, runner, stage)
            kill(runner)
        wait_for_jobs(program)  # one that is still there would keep out the next run
        if not program.history.exists():
            continue
        assert integrity(program.history) == ["ok"]
        for run in program.rows("SELECT * FROM run_metadata ORDER BY run_id DESC LIMIT 1"):
            jobs = program.jobs(run["run_id"])
            assert len(jobs) == 40
            if run["status"] == "RUNNING":
                started = {name for name, row in jobs.items() if row["status"] != "PENDING"}
                marks = {mark.suffix[1:] for mark in program.folder.glob("mark.*")}
                assert marks <= started
                done = {name for name, row in jobs.items() if row["status"] == "SUCCESS"}
                assert done <= marks
    result = program("-c", "flow.json", "-j", "2")
    assert result.code == 0, result.err
    # looked at before any reader of ours, which leaves files beside a WAL database
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    statuses = [row["status"] for row in program.rows("SELECT status FROM run_metadata ORDER BY run_id")]
    assert len(statuses) >= 10
    assert set(statuses[:-1]) <= {"INTERRUPTED", "SUCCESS"}
    assert statuses[-1] == "SUCCESS"
    assert program.rows("SELECT * FROM job_history WHERE status IN ('RUNNING', 'PENDING')") == []
    assert integrity(program.history) == ["ok"]
