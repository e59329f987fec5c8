"""The library that looks at processes is not installed: nobody may be told that nothing is left."""

from pathlib import Path

import pytest
from faults_tools import nobody_left
from harness import Program, is_running
from history_tools import gate, left_running

pytestmark = pytest.mark.promise(5)

_HIDE = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.split(".")[0] == "psutil" else find_spec(name, *more)
"""


@pytest.fixture
def blind(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python finds no psutil, as the system's own may not."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_HIDE)
    return {"PYTHONPATH": str(folder)}


#: A job that waits, and when it is run again does not.
WAITS_ONCE = "[ -e up ] && exit; echo $$ > up; read x < gate"


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "flow.json"),
        ("-c", "flow.json", "--kill-leftovers"),
        ("--resume-from", "1"),
        ("--mark-success", "1", "a"),
    ],
    ids=" ".join,
)
def test_nothing_is_begun_that_could_not_be_ended(
    program: Program, blind: dict[str, str], words: tuple[str, ...]
) -> None:
    """Exit 3 and how to install it: a job that still runs is not started again, nor marked."""
    with nobody_left(program.folder), gate(program):
        pid = left_running(program, WAITS_ONCE)
        result = program(*words, env=blind)
        assert is_running(pid)
        assert (result.code, result.out) == (3, "")
        assert result.err.startswith("Error: This Python lacks packages that executioner needs (psutil)\n")
        assert "-m pip install psutil\n" in result.err
        assert list(program.statuses(2)) == []
        assert program.jobs()["a"]["marked_by"] is None


@pytest.mark.parametrize("is_gone", [False, True], ids=["history", "no history"])
def test_the_doctor_does_not_say_what_it_cannot_know(
    program: Program, blind: dict[str, str], is_gone: bool
) -> None:
    """That processes cannot be looked at is a problem, and no word is said of what would be found."""
    with nobody_left(program.folder), gate(program):
        left_running(program, WAITS_ONCE)
        if is_gone:
            program.history.unlink()
        result = program("--doctor", env=blind)
        assert "no job outlived its runner" not in result.out
        assert (result.code, result.err) == (3, "")
        assert ", without psutil\n" in result.out


def test_looking_back_works_all_the_same(program: Program, blind: dict[str, str]) -> None:
    """Lists and screens look at no process where no runner died."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    for words in (("--list-runs", "--format", "json"), ("--show-run", "1"), ("--show-log", "1", "a")):
        assert program(*words, env=blind).code == 0
