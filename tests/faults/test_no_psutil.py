"""The library that looks at processes cannot be imported: nobody may be told that nothing is left."""

from pathlib import Path

import pytest
from faults_tools import living_in, nobody_left
from harness import Program, ended, is_running
from history_tools import gate, kill, pid_in

pytestmark = pytest.mark.promise(5)


@pytest.fixture
def blind(program: Program, tmp_path: Path) -> Program:
    """The program as started by a Python that has no psutil, as the system's own may not."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    (folder / "psutil.py").write_text('raise ModuleNotFoundError("No module named \'psutil\'", name="psutil")\n')
    program.env["PYTHONPATH"] = ":".join([str(folder), *program.env.get("PYTHONPATH", "").split()])
    return program


def left_running(program: Program) -> int:
    """A run is killed; its job lives on. Returns the job's pid."""
    program.config({"a": "[ -e up ] && exit; echo $$ > up; read x < gate"})
    with ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "up")
        kill(runner)
    return pid


@pytest.mark.xfail(strict=True, reason="process_table takes a missing psutil for a system without processes")
@pytest.mark.parametrize("flags", [(), ("--kill-leftovers",), ("--resume-from", "1")])
def test_a_job_that_still_runs_is_not_started_again(blind: Program, flags: tuple[str, ...]) -> None:
    """Where processes cannot be looked at, a run after a crash is refused: it could do the work twice."""
    with nobody_left(blind.folder), gate(blind):
        pid = left_running(blind)
        result = blind("-c", "flow.json", *flags)
        assert is_running(pid)
        assert (result.code, result.out) == (3, ""), result
        assert "psutil" in result.err
        assert list(blind.statuses(2)) == []


@pytest.mark.xfail(strict=True, reason="--doctor says that no job outlived its runner, without having looked")
@pytest.mark.parametrize("is_gone", [False, True], ids=["history", "no history"])
def test_the_doctor_does_not_say_what_it_cannot_know(blind: Program, is_gone: bool) -> None:
    """Where processes cannot be looked at, that is what --doctor tells, with exit code 3."""
    with nobody_left(blind.folder), gate(blind):
        left_running(blind)
        if is_gone:
            blind.history.unlink()
        result = blind("--doctor")
        assert "no job outlived its runner" not in result.out
        assert (result.code, result.err) == (3, "")
        assert "psutil" in result.out


@pytest.mark.xfail(strict=True, reason="without psutil a process that left its session is not seen, so not ended")
def test_a_timeout_leaves_no_process_behind(blind: Program) -> None:
    """A job that timed out has no process left in another session, or else the run was refused at its start."""
    command = (
        "setsid sh -c 'echo $$ > up; exec sleep 1000' & until [ -s up ]; do sleep 0.01; done; exec sleep 1000"
    )
    blind.config([{"id": "a", "command": command, "timeout": 1}], kill_grace=0)
    with nobody_left(blind.folder):
        assert blind("-c", "flow.json").code != 0
        assert living_in(blind.folder) == {}
