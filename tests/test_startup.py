"""What a start loads: a heavy module on the hot path would cost every run, so the lists stand here."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import Program

#: Packages and modules that cost a start more than a millisecond each, or that nothing here needs.
HEAVY = frozenset(
    (
        "asyncio concurrent csv dataclasses decimal difflib email hashlib http importlib.metadata inspect"
        " logging pathlib platform psutil random rich shutil ssl subprocess tabulate tempfile threading"
        " traceback typing unittest urllib uuid wcwidth xml zipfile locale fnmatch ctypes datetime sqlite3 select"
    ).split()
)
#: What ``lean``, ``jsontext``, ``enumeration``, ``arguments`` and ``__main__`` do without.
WRAPPERS = frozenset("signal heapq json gettext argparse re enum contextlib functools collections types".split())
#: What argparse loads of these.
ARGPARSE = frozenset("argparse re enum contextlib functools collections types gettext".split())
RUN = Path(__file__).parent / "data/modules-run.txt"
RESUME = Path(__file__).parent / "data/modules-resume.txt"
LIST = Path(__file__).parent / "data/modules-list-runs.txt"


def loaded(program: Program, *args: str) -> list[str]:
    """The modules that a start loads beyond those of ``python -c pass``, sorted."""

    def modules(command: Sequence[str]) -> set[str]:
        done = subprocess.run(
            command, cwd=program.folder, env=program.environment(), capture_output=True, text=True, check=False
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines[1:]}

    python, script, *rest = program.command(*args)
    bare = modules([python, "-X", "importtime", "-c", "pass"])
    return sorted(modules([python, "-X", "importtime", script, *rest]) - bare)


def ours(modules: Sequence[str]) -> list[str]:
    """Those of this program."""
    return [name for name in modules if name.split(".")[0] == "executioner"]


def heavy(modules: Sequence[str]) -> list[str]:
    """Those that no start may load."""
    return [name for name in modules if name in HEAVY or name.split(".")[0] in HEAVY]


@pytest.mark.parametrize(
    ("listed", "args", "wrappers"),
    [
        (RUN, ("-c", "flow.json"), set()),
        (RESUME, ("-c", "flow.json", "--resume-from", "1"), set()),
        (LIST, ("--list-runs", "--format", "json"), {"heapq"}),
    ],
    ids=["a run of one job", "a resume", "a list as JSON"],
)
def test_the_modules_that_a_start_loads(
    program: Program, listed: Path, args: tuple[str, ...], wrappers: set[str]
) -> None:
    """No heavy module, and of our own exactly those that are listed: one more is a decision."""
    program.config({"a": "test -f there"})
    assert program("-c", "flow.json").code == 1
    (program.folder / "there").touch()
    found = loaded(program, *args)
    assert heavy(found) == []
    assert WRAPPERS.intersection(found) == wrappers
    assert ours(found) == listed.read_text().split()


@pytest.mark.parametrize("missing", ["_heapq", "_json", "_functools", "_collections"])
def test_an_interpreter_that_is_built_in_another_way_runs_as_well(program: Program, missing: str) -> None:
    """Where these cannot be imported, the standard library's modules in Python serve."""
    program.config({"a": "true", "b": "test -f there"})
    result = program.changed(f"sys.modules.update({missing}=None)\n", "-c", "flow.json")
    assert (result.code, result.out.count("✓"), result.out.count("✗")) == (1, 1, 1)


_PLUGIN = """
import collections, collections.abc, contextlib, enum, functools, re
from collections.abc import Mapping
from functools import lru_cache, partial, reduce

Point = collections.namedtuple("Point", "x y")

@lru_cache
def bare(number):
    return number + 1

@functools.lru_cache(maxsize=None, typed=True)
def named(number):
    return number + 1

@lru_cache(8)
def sized(number):
    return number + 1

@functools.wraps(bare)
def wrapped():
    return None

def check():
    assert collections.abc.Mapping is Mapping
    assert isinstance(collections.OrderedDict(), Mapping)
    assert [bare(1), named(1), sized(1), partial(bare, 2)(), reduce(int.__mul__, [2, 3])] == [2, 2, 2, 3, 6]
    assert (bare.cache_info().misses, sized.cache_info()[1], wrapped.__name__) == (2, 1, "bare")
    assert Point(1, 2).y == 2 and enum.Enum("Colour", "RED").RED.name == "RED"
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyError))
        {}["missing"]
    return re.fullmatch("a+", "aaa") is not None

CHECKS = {"all of the library": check}
"""


def test_plugins_have_the_whole_library(program: Program) -> None:
    """What a start does without is there for whoever imports it later: nothing of it is missing or another."""
    (program.folder / "plugin.py").write_text(_PLUGIN)
    job = {"id": "a", "command": "true", "pre_checks": [{"name": "all of the library"}]}
    program.config([job], dependency_plugins=["plugin.py"])
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, ""), result.out


@pytest.mark.parametrize(("flag", "wrappers"), [("--version", set()), ("--help", ARGPARSE)])
def test_help_and_version_load_next_to_nothing(program: Program, flag: str, wrappers: set[str]) -> None:
    """Neither sqlite3 nor json, nor anything of the history, the config or the engine; help loads argparse."""
    found = loaded(program, flag)
    assert set(heavy(found)) <= {"shutil", "fnmatch"}  # argparse asks shutil how wide the terminal is
    assert WRAPPERS.intersection(found) <= wrappers
    assert not {"sqlite3", "_sqlite3"} & set(found)
    packages = {name.split(".")[1] for name in ours(found) if "." in name}
    assert not packages & {"history", "config", "scheduler", "process"}
