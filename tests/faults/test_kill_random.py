"""``kill -9`` at moments that nobody chose, and runners that are stopped, or whose pid somebody else has now."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults_tools import Instrumented
from harness import Program, ended, wait_until
from history_tools import gate, kill, names, pid_in, sql, wait_for_end
from kill_tools import (
    FLAGS,
    LANES,
    Stage,
    check_after_kill,
    go_on,
    in_lanes,
    look,
    marks,
    outcome,
    recorded,
    stopped,
    wait_for_jobs,
    workflow,
)

#: Three jobs in each of eight layers, each depending on two of the layer before; and the two that fail.
WIDE = {f"j{at}": (f"j{at - 3}", f"j{(at // 3 - 1) * 3 + (at + 1) % 3}") if at > 2 else () for at in range(24)}
WIDE |= {"retried": ("j0",), "fails": ("j5", "retried"), "never": ("fails",)}
WORKERS = 6
RUN = ("-c", "flow.json", "-j", str(WORKERS), "--continue-on-error")


@pytest.mark.promise(2, 3, 4)
def test_kill_at_random_moments(tmp_path: Path, nightly: bool, cases: Callable[[int], None]) -> None:
    """Killed at a random moment with many jobs side by side: sound, nothing lost, INTERRUPTED, resumed at once.

    Each run that was killed is resumed, and the resume is killed again, up to three times in a row.
    """
    stages = [Stage(Program(tmp_path / f"lane{at}")) for at in range(LANES)]
    for stage in stages:
        workflow(stage.program, WIDE)
        stage.save()
    began = time.monotonic()
    assert stages[0].program(*RUN).code == 1
    usual_s = time.monotonic() - began
    killed: list[int] = []

    def try_one(stage: Stage, seed: int) -> None:
        program = stage.reset()
        rng = random.Random(seed)
        try:
            resume: tuple[str, ...] = ()
            for _ in range(rng.randint(1, 3)):
                runner = program.start(*RUN, *resume)
                with ended(runner):
                    try:
                        runner.wait(rng.uniform(0, usual_s))
                    except subprocess.TimeoutExpired:
                        kill(runner)
                        killed.append(seed)
                runs = check_after_kill(program, WIDE, WORKERS, jobs_too=seed % 3 == 0)
                if runs:
                    resume = ("--resume-from", "last")
            go_on(program, runs, WIDE)
        except AssertionError as exc:
            exc.add_note(f"seed {seed}")
            raise

    in_lanes(stages, range(400 if nightly else 8), try_one)
    assert killed
    cases(len(killed))


# --- stopped is not dead ------------------------------------------------------------------------


@pytest.mark.promise(4)
def test_a_runner_that_is_stopped_is_not_dead(
    instrumented: Instrumented, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Stopped at a point of its way: RUNNING for all who look, a resume of it is refused; then it goes on well."""
    program = instrumented
    workflow(program)
    stage = Stage(program)
    stage.save()
    names_of_points = ["spawn before 1", "spawn after 3", "commit after 4", "commit before 5", "begin before 6"]
    if nightly:
        names_of_points += [f"{name} {n}" for name in ("spawn before", "spawn after") for n in range(1, 8)]
        names_of_points += [f"commit {where} {n}" for where in ("before", "after") for n in range(3, 7)]
    for point in names_of_points:
        stage.reset()
        runner = program.start("-c", "flow.json", *FLAGS, env={"EXECUTIONER_TEST_FAULT": f"stop {point}"})
        with ended(runner):
            with stopped(runner) as is_stopped:
                assert is_stopped, point
                [run] = look(program, "--list-runs", "--format", "json")
                assert (run["run_id"], run["status"]) == (1, "RUNNING"), point
                before = recorded(program.history)
                refused = program("-c", "flow.json", *FLAGS, "--resume-from", "1")
                assert (refused.code, refused.out) == (3, ""), point
                assert f"pid {runner.pid}" in refused.err
                assert recorded(program.history) == before
            assert outcome(runner).code == 1
        assert recorded(program.history)[1].status == "FAILED"
        # that a job was started twice would have made it fail
        assert {job: status for job, status in program.statuses().items() if status != "SUCCESS"} == {
            "fails": "FAILED",
            "never": "SKIPPED",
        }
    cases(len(names_of_points))


@pytest.mark.promise(4)
def test_a_resume_that_is_stopped_keeps_out_another(
    instrumented: Instrumented, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Of two resumes of one run the second is refused while the first is stopped; the first ends well."""
    program = instrumented
    workflow(program)
    assert program("-c", "flow.json", *FLAGS).code == 1
    (program.folder / "fails").unlink()
    stage = Stage(program)
    stage.save()
    resume = ("-c", "flow.json", *FLAGS, "--resume-from", "1")
    points = ["spawn before 1", "spawn after 1", "commit before 2", "write after 6"]
    if nightly:
        points += [f"commit {where} {n}" for where in ("before", "after") for n in range(2, 5)]
        points += ["spawn before 2", "spawn after 2", "begin before 5", "begin after 7", "begin before 8"]
    for point in points:
        stage.reset()
        first = program.start(*resume, env={"EXECUTIONER_TEST_FAULT": f"stop {point}"})
        with ended(first):
            with stopped(first) as is_stopped:
                assert is_stopped, point
                assert [run["status"] for run in look(program, "--list-runs", "--format", "json")] == [
                    "RUNNING",
                    "FAILED",
                ]
                for more in ((), ("--yes",), ("--dry-run",)):
                    second = program(*resume, *more)
                    assert (second.code, second.out) == (3, ""), (point, more, second)
                    assert f"pid {first.pid}" in second.err
                assert len(recorded(program.history)) == 2
            assert outcome(first).code == 0
        after = recorded(program.history)
        assert (len(after), set(after[2].jobs.values())) == (2, {"SUCCESS"})
        assert {job for job, run, _ in marks(program, "start") if run == 2} == {"fails", "never"}
    cases(len(points))


@pytest.mark.promise(4)
def test_a_second_resume_while_the_first_holds_its_transaction(instrumented: Instrumented) -> None:
    """The first is stopped between its rows and their commit: the second waits, then hears that it is resumed."""
    program = instrumented
    workflow(program)
    assert program("-c", "flow.json", *FLAGS).code == 1
    (program.folder / "fails").unlink()
    resume = ("-c", "flow.json", *FLAGS, "--resume-from", "1")
    first = program.start(*resume, env={"EXECUTIONER_TEST_FAULT": "stop commit before 1"})
    points = program.home / "points"
    with ended(first):
        with stopped(first) as is_stopped:
            assert is_stopped
            assert len(recorded(program.history)) == 1  # not yet committed
            second = program.start(*resume, env={"EXECUTIONER_TEST_POINTS": str(points)})
            wait_until(lambda: points.exists() and "begin before" in points.read_text(), "the second to begin")
        with ended(second):
            ends = outcome(first), outcome(second)
    assert [end.code for end in ends] == [0, 3], ends
    assert "Traceback" not in ends[1].err
    assert len(recorded(program.history)) == 2
    assert {job for job, run, _ in marks(program, "start") if run == 2} == {"fails", "never"}


# --- somebody else's pid ------------------------------------------------------------------------


@contextmanager
def killed_run(program: Program) -> Iterator[None]:
    """A run whose runner was killed at its only job, which has ended too."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        job = pid_in(program, "up")
        kill(runner)
        os.kill(job, signal.SIGKILL)
        wait_for_end(job)
    wait_for_jobs(program)
    program.config({"a": "true"})
    yield


def own_ticks() -> int:
    """When this process was started, in clock ticks."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.promise(4)
@pytest.mark.parametrize(
    ("ticks", "boot"),
    [(1, "'other boot'"), (0, "'other boot'"), (-1, "boot_id"), (1, "boot_id"), (0, "NULL"), (None, "boot_id")],
    ids=["both differ", "boot differs", "earlier", "later", "no boot", "no ticks"],
)
def test_a_pid_that_was_given_away_again(program: Program, ticks: int | None, boot: str) -> None:
    """A live process that has the dead runner's pid, but not its start or boot, does not make the run live."""
    with killed_run(program):
        start = "NULL" if ticks is None else str(own_ticks() + ticks)
        sql(
            program.history,
            f"UPDATE run_metadata SET pid = {os.getpid()}, pid_start_ticks = {start}, boot_id = {boot}",
        )
        [run] = look(program, "--list-runs", "--format", "json")
        assert run["status"] == "INTERRUPTED"
        assert look(program, "--show-run", "1", "--format", "json")["jobs"][0]["status"] == "INTERRUPTED"
        result = program("-c", "flow.json", "--resume-from", "1")
        assert (result.code, result.err) == (0, "")
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    assert {run_id: run.status for run_id, run in recorded(program.history).items()} == {
        1: "INTERRUPTED",
        2: "SUCCESS",
    }


@pytest.mark.promise(4)
def test_the_very_process_makes_the_run_live(program: Program) -> None:
    """The same with pid, start and boot of a live process: RUNNING, and no resume. So the test above can fail."""
    with killed_run(program):
        sql(program.history, f"UPDATE run_metadata SET pid = {os.getpid()}, pid_start_ticks = {own_ticks()}")
        [run] = look(program, "--list-runs", "--format", "json")
        assert run["status"] == "RUNNING"
        result = program("-c", "flow.json", "--resume-from", "1")
        assert (result.code, result.out) == (3, "")
    assert {run_id: run.status for run_id, run in recorded(program.history).items()} == {1: "RUNNING"}
