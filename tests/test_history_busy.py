"""A history that others hold: a run waits for it, starts nothing meanwhile, and goes on serving its jobs."""

import contextlib
import fcntl
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Program, ended, wait_until
from history_tools import gate, has_open, lock_path, pid_in, region, wait_for_end

pytestmark = pytest.mark.promise(10)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the database's write lock, as a long transaction of some other program does."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_run_waits_for_a_history_that_is_held_in_mid_run(program: Program) -> None:
    """While another program holds the database nothing is started, a timeout is served all the same;
    when it lets go, everything is recorded and the run succeeds.
    """
    program.config(
        [
            {"id": "a", "command": "echo $$ > a_pid; read x < gate"},
            {
                "id": "slow",
                "command": "[ $EXECUTIONER_ATTEMPT = 2 ] || { echo $$ > slow_pid; exec sleep 1000; }",
                "timeout": 2,
                "max_retries": 1,
                "retry_delay": 0,
            },
            {"id": "b", "command": "touch b_ran", "dependencies": ["a"]},
        ]
    )
    with gate(program) as let_through, ended(program.start("-c", "flow.json", "-j", "2")) as runner:
        job, slow = pid_in(program, "a_pid"), pid_in(program, "slow_pid")
        with held(program.history):
            let_through()
            wait_for_end(job)
            wait_for_end(slow)  # about two seconds later: its time is up
            assert not (program.folder / "b_ran").exists()
            assert set(program.statuses().values()) == {"RUNNING", "PENDING"}
            assert runner.poll() is None
        out, err = runner.communicate()
    assert (runner.returncode, err) == (0, ""), out
    jobs = program.jobs()
    assert {name: row["status"] for name, row in jobs.items()} == {
        "a": "SUCCESS",
        "slow": "SUCCESS",
        "b": "SUCCESS",
    }
    assert jobs["slow"]["retry_count"] == 1
    assert "Timed out" in jobs["slow"]["last_error"]
    assert (program.folder / "b_ran").exists()


def test_a_run_is_interrupted_while_its_history_is_held(program: Program) -> None:
    """TERM ends the jobs at once although nothing can be written; what happened is recorded afterwards."""
    program.config({"a": "echo $$ > a_pid; exec sleep 1000", "b": "true"})
    with ended(program.start("-c", "flow.json")) as runner:
        job = pid_in(program, "a_pid")
        with held(program.history):
            runner.send_signal(signal.SIGTERM)
            wait_for_end(job)
            assert program.statuses() == {"a": "RUNNING", "b": "PENDING"}
        runner.communicate()
    assert runner.returncode == 143
    assert program.statuses() == {"a": "INTERRUPTED", "b": "SKIPPED"}
    assert program.run_row()["status"] == "INTERRUPTED"


def test_what_was_to_start_when_the_history_was_held_never_started(program: Program) -> None:
    """Chosen while the database was held, then interrupted: SKIPPED, without a start that never was."""
    program.config({"a": "echo $$ > a_pid; read x < gate", "b": "touch b_ran"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "a_pid")
        with held(program.history):
            let_through()
            log = program.folder / "logs/executioner.flow.job-a.run-1.log"
            wait_until(lambda: b"=== SUCCESS" in log.read_bytes(), "the end of a")
            runner.send_signal(signal.SIGTERM)
            main_log = program.folder / "logs/executioner.flow.run-1.log"
            wait_until(lambda: b"SIGTERM" in main_log.read_bytes(), "the runner to hear of the signal")
        runner.communicate()
    assert runner.returncode == 143
    assert not (program.folder / "b_ran").exists()
    row = program.jobs()["b"]
    assert (program.jobs()["a"]["status"], row["status"], row["reason"]) == (
        "SUCCESS",
        "SKIPPED",
        "run interrupted",
    )
    assert (row["start_time"], row["last_run"], row["retry_history"]) == (None, None, None)


def test_the_end_of_a_run_waits_for_a_history_that_is_held(program: Program) -> None:
    """The last job ends while the database is held: the run waits and records both ends."""
    program.config({"a": "echo $$ > a_pid; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        job = pid_in(program, "a_pid")
        with held(program.history):
            let_through()
            wait_for_end(job)
            assert runner.poll() is None
        _, err = runner.communicate()
    assert (runner.returncode, err) == (0, "")
    assert program.run_row()["status"] == "SUCCESS"


def test_a_run_waits_at_its_beginning_for_a_history_that_is_held(program: Program) -> None:
    """Nothing is started before the run could be recorded; it begins when the database is free."""
    program.config({"a": "touch ran"})
    assert program("-c", "flow.json").code == 0
    (program.folder / "ran").unlink()
    with held(program.history):
        runner = program.start("-c", "flow.json")
        wait_until(lambda: has_open(runner.pid, program.history), "the runner to open its history")
        assert not (program.folder / "ran").exists()
        assert len(program.rows("SELECT * FROM run_metadata")) == 1
        assert runner.poll() is None
    with ended(runner):
        _, err = runner.communicate()
    assert (runner.returncode, err) == (0, "")
    assert program.run_row(2)["status"] == "SUCCESS"


def test_the_times_of_a_run_that_had_to_wait_are_those_of_what_happened(program: Program) -> None:
    """A job's end is when it ended, not when the database was free to hear of it."""
    program.config({"a": "echo $$ > a_pid; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        job = pid_in(program, "a_pid")
        with held(program.history):
            let_through()
            wait_for_end(job)
            # the runner has taken the end in: it buried the process
            wait_until(lambda: not Path(f"/proc/{job}").exists(), "the job's burial")
            log = program.folder / "logs/executioner.flow.job-a.run-1.log"
            wait_until(lambda: b"=== SUCCESS" in log.read_bytes(), "the footer of the log")
            [[released]] = sqlite3.connect(":memory:").execute("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
        runner.communicate()
    assert program.jobs()["a"]["end_time"][:23] <= released


def test_a_reader_neither_stops_a_run_nor_is_disturbed_by_it(program: Program) -> None:
    """A reader in the middle of a long read sees its moment of the history; the run goes on to its end."""
    program.config({"a": "true", "b": "true"})
    assert program("-c", "flow.json").code == 0
    uri = f"file:{program.history}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        query = "SELECT count(*) FROM job_history"
        assert reader.execute(query).fetchone() == (2,)
        result = program("-c", "flow.json")
        assert (result.code, result.err) == (0, "")
        assert reader.execute(query).fetchone() == (2,)
        reader.execute("COMMIT")
        assert reader.execute(query).fetchone() == (4,)
    assert program.run_row(2)["status"] == "SUCCESS"


def test_creating_a_history_waits_for_the_guard_byte(program: Program) -> None:
    """While another process holds byte 0 of the lock file no database is made; then it is."""
    program.history.parent.mkdir(parents=True)
    lock = lock_path(program)
    fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    program.config({"a": "touch ran"})
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, 0))
        runner = program.start("-c", "flow.json")
        wait_until(lambda: has_open(runner.pid, lock), "the runner to open the lock file")
        assert not program.history.exists()
        assert not (program.folder / "ran").exists()
    finally:
        os.close(fd)
    with ended(runner):
        runner.communicate()
    assert runner.returncode == 0
    assert program.run_row()["status"] == "SUCCESS"


def test_a_clean_end_waits_for_the_guard_byte(program: Program) -> None:
    """Folding the write-ahead log into the database is done under byte 0, after the end was recorded."""
    program.config({"a": "echo $$ > a_pid; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "a_pid")
        fd = os.open(lock_path(program), os.O_RDWR)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, 0))
            let_through()
            wait_until(lambda: program.run_row()["status"] == "SUCCESS", "the recorded end")
            assert Path(f"{program.history}-wal").stat().st_size > 0
        finally:
            os.close(fd)
        runner.communicate()
    assert runner.returncode == 0
