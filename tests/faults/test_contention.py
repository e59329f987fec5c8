"""Many processes at one history: nobody hears of a lock, nobody waits for another's jobs, nothing is lost."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_tools import HOLDS, Instrumented, held_by_another
from harness import Program, Result, ended, gate, state_of, wait_until
from history_tools import has_open, integrity, names, pid_in, wait_for_end

pytestmark = pytest.mark.promise(10)


def hold_on(seconds: float) -> None:
    """Let so much time pass while a database is held: that is what is tried here."""
    over = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > over, "the time to pass")


def waiting(program: Program, jobs: int = 2) -> None:
    """Write a workflow of jobs one after another, each of which waits at the gate when it is up."""
    program.config(
        [
            {
                "id": f"j{at}",
                "command": f"echo $$ > up{at}; read x < gate; echo x > done{at}",
                "dependencies": [f"j{at - 1}"] if at else [],
            }
            for at in range(jobs)
        ]
    )


# --- a database that another process holds --------------------------------------------------------


@pytest.mark.parametrize("how", HOLDS)
def test_a_history_that_is_held_at_the_start(program: Program, nightly: bool, how: str) -> None:
    """A run waits for whoever holds its history, for writing or from readers too, and then runs as ever."""
    program.config({"a": "echo x >> ran"})
    assert program("-c", "flow.json").code == 0
    with held_by_another(program.history, how):
        runner = program.start("-c", "flow.json")
        wait_until(
            lambda: has_open(runner.pid, program.history) or runner.poll() is not None, "the runner at its history"
        )
        hold_on(5 if nightly else 0.5)
        assert runner.poll() is None
        assert (program.folder / "ran").read_text() == "x\n"
    with ended(runner):
        out, err = runner.communicate()
    assert runner.returncode == 0, (out, err)
    assert re.fullmatch(r"(Note: waiting for the history, .*\n)?" if nightly else "", err)
    assert program.run_row(2)["status"] == "SUCCESS"
    assert integrity(program.history) == ["ok"]


@pytest.mark.parametrize("how", ["immediate", "exclusive"])
def test_a_history_that_is_held_in_mid_run_and_at_the_end(
    program: Program, nightly: bool, cases: Callable[[int], None], how: str
) -> None:
    """Each time that a job ends another process holds the history: no dependent starts meanwhile, then it goes
    on; at the end all is recorded, and nobody has heard of a lock.
    """
    seconds = 5 if nightly else 0.4
    waiting(program, 3)
    with gate(program.folder / "gate") as let_one_on, ended(program.start("-c", "flow.json")) as runner:
        for at in range(3):
            job = pid_in(program, f"up{at}")
            with held_by_another(program.history, how):
                let_one_on()
                wait_for_end(job)
                hold_on(seconds)
                assert not (program.folder / f"up{at + 1}").exists()
                assert program.statuses()[f"j{at}"] == "RUNNING"  # reading is not disturbed
                listed = program("--show-run", "1")
                assert (listed.code, listed.err) == (0, "")
                assert runner.poll() is None
        out, err = runner.communicate()
    assert (runner.returncode, err) == (0, ""), out
    assert program.run_row()["status"] == "SUCCESS"
    assert set(program.statuses().values()) == {"SUCCESS"}
    cases(3)


@pytest.mark.parametrize(
    "how",
    [
        "immediate",
        "exclusive",
        "locking_mode",
    ],
)
def test_ctrl_c_while_the_history_is_held_at_the_start(instrumented: Instrumented, how: str) -> None:
    """Ctrl-C ends a run that waits for its history at once: nothing was run, nothing is on record."""
    program = instrumented
    program.config({"a": "echo x >> ran"})
    assert program("-c", "flow.json").code == 0
    with held_by_another(program.history, how):
        with ended(program.start("-c", "flow.json", env={"EXECUTIONER_TEST_BUSY_S": "5"})) as runner:
            wait_until(lambda: has_open(runner.pid, program.history), "the runner at its history")
            hold_on(0.3)
            began = time.monotonic()
            runner.send_signal(signal.SIGINT)
            out, err = runner.communicate(timeout=60)
            took_s = time.monotonic() - began
        assert (runner.returncode, out, err) == (130, "", "\nInterrupted: nothing was run\n")
    assert len(program.rows("SELECT * FROM run_metadata")) == 1
    assert (program.folder / "ran").read_text() == "x\n"
    assert took_s < 3


def test_ctrl_c_and_a_timeout_while_the_history_is_held(program: Program) -> None:
    """While another process holds the history a job's time runs out and Ctrl-C is heard: both jobs are ended
    before the history is free, and both ends are on record afterwards.
    """
    program.config(
        [
            {"id": "late", "command": "echo $$ > late_up; exec sleep 1000", "timeout": 1},
            {"id": "long", "command": "echo $$ > long_up; exec sleep 1000"},
            {"id": "next", "command": "echo x > wrong", "dependencies": ["late"]},
        ]
    )
    with ended(program.start("-c", "flow.json", "-j", "2")) as runner:
        late, long = pid_in(program, "late_up"), pid_in(program, "long_up")
        with held_by_another(program.history, "exclusive"):
            wait_for_end(late)
            runner.send_signal(signal.SIGINT)
            wait_for_end(long)
            assert set(program.statuses().values()) == {"RUNNING", "PENDING"}
            # only the end is to be recorded now; a second Ctrl-C would be the user's patience
            hold_on(0.3)
            assert runner.poll() is None
        out, err = runner.communicate(timeout=60)
    assert runner.returncode == 130, (out, err)
    assert "locked" not in out + err
    assert program.statuses() == {"late": "TIMEOUT", "long": "INTERRUPTED", "next": "SKIPPED"}


# --- held for too long ----------------------------------------------------------------------------


def held_for_ever(program: Program, when: str, seconds: float) -> Result:
    """A run whose history is held by another process until it gives up."""
    env = {"EXECUTIONER_TEST_BUSY_S": str(seconds)} if isinstance(program, Instrumented) else {}
    waiting(program)
    if when == "start":
        program.config({"a": "true"}, name="first.json")
        assert program("-c", "first.json").code == 0
        with held_by_another(program.history):
            return program("-c", "flow.json", env=env, timeout=seconds + 60)
    with (
        gate(program.folder / "gate") as let_one_on,
        ended(program.start("-c", "flow.json", env=env)) as runner,
    ):
        if when == "end":
            pid_in(program, "up0")
            let_one_on()
        job = pid_in(program, "up1" if when == "end" else "up0")
        with held_by_another(program.history):
            let_one_on()
            wait_for_end(job)
            out, err = runner.communicate(timeout=seconds + 60)
    return Result(runner.returncode, out, err)


def check_given_up(program: Program, result: Result, when: str, seconds: float) -> None:
    """See that a run which gave up its history said so, kept what it knew, and did nothing more."""
    assert result.code == 3, result
    assert "SUCCESS" not in result.out + result.err
    assert "The history was locked by " in result.err or "the history was locked by " in result.err
    assert integrity(program.history) == ["ok"]
    if when == "start":
        assert result.out == ""
        assert f"for {seconds:.0f} s ({program.history})" in result.err
        assert not (program.folder / "up0").exists()
        assert not (program.folder / "logs/executioner.flow.run-2.log").exists()
        assert len(program.rows("SELECT * FROM run_metadata")) == 1
    else:
        if when == "middle":
            assert f"locked by another process for {seconds:.0f} s. Nothing more is started." in result.err
        assert (program.folder / "up1").exists() == (when == "end")
        assert str(program.history) in result.err
        spool = program.folder / "logs/executioner.flow.run-1.spool.json"
        assert spool.exists() and str(spool) in result.err
        refused = program("-c", "flow.json", "--resume-from", "1")
        assert (refused.code, refused.out) == (3, "") and str(spool) in refused.err


@pytest.mark.promise(9)
@pytest.mark.parametrize("when", ["start", "middle", "end"])
def test_a_history_that_is_held_for_too_long(instrumented: Instrumented, when: str) -> None:
    """With patience of one second: exit 3, the results are kept beside the logs, and it is said what held it
    up; nothing more was started.
    """
    result = held_for_ever(instrumented, when, 1)
    check_given_up(instrumented, result, when, 1)


def held_at_the_last_commit(program: Instrumented, seconds: float, *, impatient: bool = False) -> Result:
    """A run all of whose results are on record when its history is held: only its own end is not."""
    program.config({"a": "true", "b": "true"})
    assert program("-c", "flow.json").code == 0
    _, points = program.points("-c", "flow.json")
    last = points.count("begin before")
    env = {"EXECUTIONER_TEST_BUSY_S": str(seconds), "EXECUTIONER_TEST_FAULT": f"stop begin before {last}"}
    with ended(program.start("-c", "flow.json", env=env)) as runner:
        wait_until(lambda: state_of(runner.pid) == "T", "the runner at its last commit")
        with held_by_another(program.history):
            runner.send_signal(signal.SIGCONT)
            if impatient:
                hold_on(0.3)
                assert runner.poll() is None
                runner.send_signal(signal.SIGINT)
            out, err = runner.communicate(timeout=60)
    assert program.statuses(3) == {"a": "SUCCESS", "b": "SUCCESS"}
    return Result(runner.returncode, out, err)


@pytest.mark.promise(9)
@pytest.mark.parametrize("impatient", [False, True], ids=["waited for", "Ctrl-C"])
def test_only_the_end_of_a_run_cannot_be_recorded(instrumented: Instrumented, impatient: bool) -> None:
    """The history is held at a run's very last commit until its patience, or the user's, is over: exit 3, no
    word of SUCCESS, the run's end is kept beside the logs.
    """
    result = held_at_the_last_commit(instrumented, 60 if impatient else 1, impatient=impatient)
    assert result.code == 3
    assert "SUCCESS" not in result.out + result.err
    assert "Error: Run 3 could not be recorded: the history was locked by process " in result.err
    spool = instrumented.folder / "logs/executioner.flow.run-3.spool.json"
    assert f"Its results are kept in {spool}" in result.err
    assert instrumented.run_row(3)["status"] == "RUNNING"


@pytest.mark.promise(9)
def test_a_history_that_is_held_at_the_end_says_how_long(instrumented: Instrumented) -> None:
    """As at the start and on the way, whoever reads it learns for how long the run has waited."""
    assert ") for 1 s (" in held_at_the_last_commit(instrumented, 1).err


@pytest.mark.promise(9)
@pytest.mark.parametrize("when", ["start", "middle", "end"])
def test_a_history_that_is_held_for_30_seconds(program: Program, nightly: bool, when: str) -> None:
    """The same with the patience that the program really has."""
    if not nightly:
        pytest.skip("takes half a minute: with --nightly")
    began = time.monotonic()
    result = held_for_ever(program, when, 30)
    assert time.monotonic() - began > 29
    check_given_up(program, result, when, 30)


# --- many runners ---------------------------------------------------------------------------------


def at_the_barrier(program: Program, *args: str) -> "subprocess.Popen[str]":
    """Start the program so that it begins when the gate ``barrier`` lets it."""
    return program.launch(["sh", "-c", 'read x < barrier; exec "$@"', "sh", *program.command(*args)])


def whole_history(program: Program, runs: int, jobs: dict[str, int]) -> None:
    """See that a history has runs with distinct ids, each with all its jobs, and all of them SUCCESS."""
    rows = program.rows("SELECT * FROM run_metadata ORDER BY run_id")
    assert [row["run_id"] for row in rows] == list(range(1, runs + 1))
    assert len({(row["pid"], row["pid_start_ticks"]) for row in rows}) == runs
    for row in rows:
        found = program.jobs(row["run_id"])
        wanted = jobs[row["application_name"]]
        assert len(found) == row["total_jobs"] == row["completed_jobs"] == wanted
        assert (row["status"], row["exit_code"], row["failed_jobs"], row["skipped_jobs"]) == ("SUCCESS", 0, 0, 0)
        assert row["start_time"] <= row["end_time"] and row["duration_seconds"] > 0
        assert re.search(rf"\.run-{row['run_id']}\.log$", row["log_path"])
        for job in found.values():
            assert (job["status"], job["exit_code"]) == ("SUCCESS", 0)
            assert job["start_time"] <= job["end_time"]
            assert Path(job["log_path"]).read_bytes().count(b"=== SUCCESS") == 1
    assert integrity(program.history) == ["ok"]


def test_32_runners_make_one_history_and_none_waits_for_another(program: Program) -> None:
    """32 runners let off at one moment where there is no history yet: distinct ids, all succeed, no word of a
    lock. One of them has a job that does not end before all the others have: nobody waits for it.
    """
    program.config({f"j{at}": "true" for at in range(3)})
    program.config({"slow": "echo $$ > slow_up; read x < gate"}, name="slow.json")
    with gate(program.folder / "gate") as let_slow_on, gate(program.folder / "barrier") as let_off:
        runners = [at_the_barrier(program, "-c", "slow.json")]
        runners += [at_the_barrier(program, "-c", "flow.json", "-j", "2") for _ in range(31)]
        try:
            for _ in runners:
                let_off()
            ends = [Result(0, "", "")]
            for runner in runners[1:]:
                out, err = runner.communicate(timeout=120)
                ends.append(Result(runner.returncode, out, err))
            assert runners[0].poll() is None
            pid_in(program, "slow_up")
            let_slow_on()
            out, err = runners[0].communicate(timeout=60)
            ends[0] = Result(runners[0].returncode, out, err)
        finally:
            for runner in runners:
                runner.kill()
                runner.wait()
    assert [end.code for end in ends] == [0] * 32, [end.err for end in ends if end.code]
    for end in ends:
        # that its config is being run by others as well is all that a runner may warn of
        assert all("this config is already being run" in line for line in end.err.splitlines()), end.err
        assert "locked" not in end.out + end.err
    # looked at before any reader of ours, which leaves files beside a WAL database
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    whole_history(program, 32, {"flow": 3, "slow": 1})


def test_eight_runners_with_many_quick_jobs_and_readers(
    program: Program, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Eight runners at a time write one result after another, round after round, while others read lists and
    runs: all succeed, no reader fails or sees a run without its jobs, nobody hears of a lock.
    """
    rounds, jobs = (12, 60) if nightly else (1, 12)
    configs = [program.config({f"j{at}": "true" for at in range(jobs)}, f"flow{n}.json") for n in range(8)]
    program.config({"a": "true"}, "first.json")
    assert program("-c", "first.json").code == 0
    reads = 0
    for _ in range(rounds):
        runners = [program.start("-c", name, "-j", "2", "--quiet") for name in configs]
        try:
            while any(runner.poll() is None for runner in runners):
                for args in (("--list-runs",), ("--show-run", "last"), ("--show-run", "last", "--format", "json")):
                    result = program(*args)
                    assert (result.code, result.err) == (0, ""), (args, result)
                    reads += 1
            ends = [(*runner.communicate(), runner.returncode) for runner in runners]
        finally:
            for runner in runners:
                runner.kill()
                runner.wait()
        assert ends == [("", "", 0)] * 8
    whole_history(program, 1 + 8 * rounds, {"first": 1, **{f"flow{n}": jobs for n in range(8)}})
    assert reads >= 3
    cases(8 * rounds + reads)


@pytest.mark.promise(4)
def test_many_resumes_of_one_run_at_once(program: Program, nightly: bool, cases: Callable[[int], None]) -> None:
    """Of six resumes of one run that are let off at one moment exactly one runs; each of the others exits 3, says
    who has the run, and starts nothing.
    """
    rounds = 20 if nightly else 1
    program.config({"a": "true", "b": "echo $EXECUTIONER_RUN_ID >> ran; test -e go && read x < gate"})
    with gate(program.folder / "gate") as let_on, gate(program.folder / "barrier") as let_off:
        for _ in range(rounds):
            (program.folder / "go").unlink(missing_ok=True)
            assert program("-c", "flow.json").code == 1
            first = program.rows("SELECT max(run_id) AS n FROM run_metadata")[0]["n"]
            (program.folder / "ran").unlink()
            (program.folder / "go").touch()
            args = ("-c", "flow.json", "--resume-from", str(first))
            runners = [at_the_barrier(program, *args) for _ in range(6)]
            try:
                for _ in runners:
                    let_off()

                def on(runners: "list[subprocess.Popen[str]]" = runners) -> int:
                    return sum(runner.poll() is None for runner in runners)

                wait_until(lambda: on() <= 1, "the end of all but one")
                [winner] = [runner for runner in runners if runner.poll() is None]
                let_on()
                winner.wait(60)
                ends = {runner.pid: (*runner.communicate(), runner.returncode) for runner in runners}
            finally:
                for runner in runners:
                    runner.kill()
                    runner.wait()
            out, err, code = ends.pop(winner.pid)
            assert (code, err) == (0, ""), out
            for out, err, code in ends.values():
                assert (code, out) == (3, "")
                assert err.startswith(f"Error: Run {first} is being resumed by run {first + 1} ("), err
                assert f"pid {winner.pid}," in err
            assert (program.folder / "ran").read_text() == f"{first + 1}\n"
            rows = program.rows("SELECT run_id FROM run_metadata WHERE parent_run_id = ?", first)
            assert rows == [{"run_id": first + 1}]
    cases(6 * rounds)


# --- the locks of SQLite ---------------------------------------------------------------------------


def shares(pid: int, database: Path) -> bool:
    """Whether a process has SQLite's shared lock on a database: without it another one may take its log away."""
    inode = database.stat().st_ino
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(
        fields[4] == str(pid) and fields[5].endswith(f":{inode}") and int(fields[6]) >= 0x40000000
        for fields in locks
        if "->" not in fields
    )


@contextlib.contextmanager
def on_a_terminal(program: Instrumented, env: dict[str, str | None]) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """A run on a terminal: its pid, and a function that reads its screen as far as it goes; killed at the end."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(program.folder)
        command = program.command("-c", "flow.json")
        os.execve(command[0], command, program.environment(env))
    screen = bytearray()

    def read() -> bytes:
        with contextlib.suppress(OSError):  # the other side was closed
            while select.select([master], [], [], 0)[0]:
                screen.extend(os.read(master, 65536))
        return bytes(screen)

    try:
        yield pid, read
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


@pytest.mark.promise(3, 10)
def test_a_run_keeps_its_lock_on_the_database_whatever_it_reads(instrumented: Instrumented) -> None:
    """A run on a terminal after a failed one (a note is made of that), and at its end, when hints were looked up:
    no file of the history was opened and closed beside SQLite, which would drop its locks (fcntl(2)).
    """
    program = instrumented
    program.config({"a": "echo x; false"})
    for _ in range(2):
        assert program("-c", "flow.json").code == 1
    points = program.home / "points"
    with on_a_terminal(program, {"EXECUTIONER_TEST_POINTS": str(points)}) as (pid, read):
        wait_until(lambda: read() and state_of(pid) == "Z", "the end of the run")
    last = points.read_text().splitlines().count("close before")
    for fault in ("stop spawn after 1", f"stop close before {last}"):
        with on_a_terminal(program, {"EXECUTIONER_TEST_FAULT": fault}) as (pid, read):
            wait_until(lambda: read() and state_of(pid) == "T", "the stopped runner")
            assert b"can be resumed" in read()
            assert shares(pid, program.history), fault


def test_a_run_that_waits_long_says_for_whom(program: Program) -> None:
    """After two seconds a note names the process that has the history; then the run goes on as if nothing was."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    with contextlib.ExitStack() as held:
        held.enter_context(held_by_another(program.history, "immediate"))
        with ended(program.start("-c", "flow.json")) as runner:
            assert runner.stderr is not None
            said = runner.stderr.readline()
            held.close()
            _, err = runner.communicate(timeout=60)
    assert re.fullmatch(r"Note: waiting for the history, which process \d+ \(python\S*\) has locked\n", said)
    assert (runner.returncode, err) == (0, "")
