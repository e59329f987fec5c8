"""``kill -9`` at every moment at which the program waits for the disk, as strace sees them in the real program."""

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from faults_tools import tool
from harness import Program, Result
from kill_tools import FLAGS, LANES, Stage, check_after_kill, go_on, in_lanes, recorded, wait_for_jobs, workflow

pytestmark = pytest.mark.promise(2, 3)
RUN = ("-c", "flow.json", *FLAGS)


def killed_at(program: Program, call: int, *args: str) -> Result:
    """Run the program, and kill it as it calls fsync or fdatasync for this time; the jobs are let alone."""
    command = [
        *(tool("strace", "nothing else kills at a system call"), "-q", "-o", os.devnull),
        *("-e", "trace=fsync,fdatasync", "-e", f"inject=fsync,fdatasync:signal=SIGKILL:when={call}"),
        *program.command(*args),
    ]
    result = program.run(command)
    if "ptrace" in result.err:
        pytest.skip("strace is not permitted here")
    return result


@pytest.mark.parametrize("before", ["new history", "history exists", "resume"])
def test_kill_at_every_sync(tmp_path: Path, cases: Callable[[int], None], before: str) -> None:
    """Killed before the first sync, the second, ... until the run ends untouched: nothing that counts is lost."""
    tool("strace", "nothing else kills at a system call")
    stages = [Stage(Program(tmp_path / f"lane{at}")) for at in range(LANES)]
    for stage in stages:
        workflow(stage.program)
        if before == "history exists":
            stage.program.config({"z": "true"}, name="other.json")
            assert stage.program("-c", "other.json").code == 0
        if before == "resume":
            assert stage.program(*RUN).code == 1
            (stage.program.folder / "fails").unlink()
        stage.save()
    resume = ("--resume-from", "last") if before == "resume" else ()
    untouched = 0 if resume else 1
    tried: list[int] = []

    def try_lane(stage: Stage, first: int) -> None:
        for call in count(first, LANES):
            program = stage.reset()
            old = max(recorded(program.history), default=0) if program.history.exists() else 0
            end = killed_at(program, call, *RUN, *resume)
            if end.code == untouched:
                return
            assert end.code == -signal.SIGKILL, (call, end)
            runs = check_after_kill(program)
            for run_id, run in runs.items():
                assert run_id > old or run.status in ("SUCCESS", "FAILED"), (call, run)
            go_on(program, runs)
            tried.append(call)

    in_lanes(stages, range(1, LANES + 1), try_lane)
    wait_for_jobs(stages[0].program)
    assert sorted(tried) == list(range(1, len(tried) + 1))
    # a run is synced to the disk when it is created, when it has ended, and as the log is folded in
    assert len(tried) >= 4
    cases(len(tried))
