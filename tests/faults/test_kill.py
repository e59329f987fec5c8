"""``kill -9`` of the runner at every point where it changes the world outside, and what is left then."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_tools import Instrumented
from harness import Program, ended
from kill_tools import (
    FLAGS,
    LANES,
    Recorded,
    Stage,
    as_shown,
    check_after_kill,
    go_on,
    in_lanes,
    look,
    outcome,
    recorded,
    spread,
    stopped,
    wait_for_jobs,
    workflow,
)

pytestmark = pytest.mark.promise(2, 3, 4)

RUN = ("-c", "flow.json", *FLAGS)
RESUME = (*RUN, "--resume-from", "last")


def nothing(program: Instrumented) -> None:
    """No history yet."""
    workflow(program)


def checks(program: Instrumented) -> None:
    """No history yet, and jobs with checks before and after them, for which the runner forks."""
    workflow(program)
    path = program.folder / "flow.json"
    config = json.loads(path.read_text())
    check = [{"name": "check_file_exists", "params": {"path": "job.py"}}]
    for job in config["jobs"]:
        if job["id"] in ("left", "retried", "last"):
            job["pre_checks"] = job["post_checks"] = check
    path.write_text(json.dumps(config))


def another_run(program: Instrumented) -> None:
    """A history with a run of another config."""
    workflow(program)
    program.config({"z": "true"}, name="other.json")
    assert program("-c", "other.json").code == 0


def a_failed_run(program: Instrumented) -> None:
    """A run of which two jobs are missing, which can succeed by now."""
    workflow(program)
    assert program(*RUN).code == 1
    (program.folder / "fails").unlink()


def a_killed_run(program: Instrumented) -> None:
    """A run whose runner was killed half-way, in a history that nobody has opened since."""
    workflow(program)
    assert program(*RUN, env={"EXECUTIONER_TEST_FAULT": "kill spawn after 4"}).code == -signal.SIGKILL
    wait_for_jobs(program)
    (program.folder / "fails").unlink()


#: Points without which nothing of this would be tried.
ACTS = ("begin", "write", "commit", "lock", "spawn")
DANGEROUS = {f"{act} {when}" for act in ACTS for when in ("before", "after")}
#: What there is before; the command, how it ends if it is not killed; how many points are tried by default.
VARIANTS: dict[str, tuple[Callable[[Instrumented], None], tuple[str, ...], int, int]] = {
    "new history": (nothing, RUN, 1, 10),
    "history exists": (another_run, RUN, 1, 7),
    "checks": (checks, RUN, 1, 6),
    "resume": (a_failed_run, RESUME, 0, 7),
    "resume of a killed run": (a_killed_run, RESUME, 0, 8),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("way", ["kill", "stop"])
def test_kill_at_every_point(
    tmp_path: Path, nightly: bool, cases: Callable[[int], None], variant: str, way: str
) -> None:
    """After a kill at any point the history is sound and complete, the run is INTERRUPTED, and can be resumed.

    Once it is killed at the point, once it is stopped there first: then others still see it RUNNING, and what
    they can read is just what they read after the kill.
    """
    prepare, command, code, by_default = VARIANTS[variant]
    stages = [Stage(Instrumented(tmp_path / f"lane{at}")) for at in range(LANES)]
    for stage in stages:
        prepare(stage.program)
        stage.save()
    program = stages[0].program
    known = max(recorded(program.history), default=0) if program.history.exists() else 0
    result, points = program.points(*command)
    assert result.code == code, result
    assert set(points) >= DANGEROUS
    tried = spread(len(points), len(points) if nightly else by_default)
    if way == "stop" and not nightly:  # others than those of the kills
        tried = [point - 3 for point in tried if point > 3]
    reached: list[int] = []

    def try_one(stage: Stage, point: int) -> None:
        program = stage.reset()
        assert isinstance(program, Instrumented)
        process = program.start(*command, env={"EXECUTIONER_TEST_FAULT": f"{way} {point}"})
        try:
            before = None
            with ended(process):
                if way == "stop":
                    with stopped(process) as is_stopped:
                        before = seen_while_stopped(program, known) if is_stopped else None
                        process.send_signal(signal.SIGKILL)
                end = outcome(process)
            # how many points there are depends a little on how jobs end side by side
            assert end.code == -signal.SIGKILL or (point > len(points) - 30 and end.code == code), end
            runs = check_after_kill(program, jobs_too=nightly or point % 4 == 0)
            if end.code == -signal.SIGKILL:
                reached.append(point)
                assert before is None or runs == before
            go_on(program, runs)
        except AssertionError as exc:
            exc.add_note(f"{variant}: {way} at point {point}, which was {points[point - 1]!r} in another run")
            raise

    in_lanes(stages, tried, try_one)
    assert len(reached) >= len(tried) * 0.8 - 1  # the last point may lie behind the end
    cases(len(reached))


def seen_while_stopped(program: Program, known: int) -> dict[int, Recorded]:
    """What the history says while the runner is stopped; lists show its run as RUNNING, not as dead.

    ``known`` is the newest run that there was before it.
    """
    if not program.history.exists():
        return {}
    runs = recorded(program.history)
    shown = {run["run_id"]: run["status"] for run in look(program, "--list-runs", "--format", "json")}
    assert shown == {run_id: (run if run_id > known else as_shown(run)).status for run_id, run in runs.items()}
    return runs
