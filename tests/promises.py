"""Counting the cases behind each promise of docs/promises.md, and writing its table from a run of the tests.

A test says with ``@pytest.mark.promise(3)`` (or ``pytestmark`` for a whole file) which promises it
proves, and counts as one case; one that tries many says so with the fixture ``cases``. At the end of
a run the table is printed; ``--write-promises`` puts it into the document, if that run was of all tests.
"""

import os
import platform
import re
import shlex
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/promises.md"
_TABLE = re.compile(r"(?<=<!-- promises: table -->\n).*?(?=<!-- promises: end -->)", re.DOTALL)
#: What some tests need, and are skipped without.
_TOOLS = ("strace", "faketime", "setpriv")
_TITLE = re.compile(r"^### (\d+)\. (.+)$", re.MULTILINE)


def titles() -> dict[int, str]:
    """The promises' short titles by their numbers, as the document has them."""
    return {int(number): title for number, title in _TITLE.findall(DOCUMENT.read_text(encoding="utf-8"))}


class Tried:
    """What the tests of this run tried, by promise and by test file."""

    def __init__(self) -> None:
        self.cases: dict[int, Counter[str]] = defaultdict(Counter)
        self.broken: Counter[int] = Counter()
        self.skipped: Counter[int] = Counter()
        self.files: set[str] = set()
        self.deselected = 0

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember which files have tests in this run."""
        self.files.add(item.nodeid.partition("::")[0])

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count what was collected and is not tried (``-k``, ``-m``, ``--deselect``, ``--last-failed``)."""
        self.deselected += len(items)

    def missing(self, arguments: Sequence[str]) -> str | None:
        """Why a run is not one of all tests, whose arguments these are; None if it is."""
        tests = Path(__file__).resolve().parent
        there = {path.relative_to(tests.parent).as_posix() for path in tests.rglob("test_*.py")}
        absent = sorted(there - self.files)
        if absent:
            return f"{len(absent)} of {len(there)} test files were not collected: {', '.join(absent[:5])}"
        if self.deselected:
            return f"{self.deselected} tests were deselected"
        single = [word for word in arguments if "::" in word]
        return f"only some tests of a file were asked for: {single[0]}" if single else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test that has ended."""
        facts = dict(report.user_properties)
        numbers: Any = facts.get("promises", ())
        for number in numbers:
            if report.failed:
                self.broken[number] += 1
            elif report.skipped:
                self.skipped[number] += 1
            elif report.when == "call":
                self.cases[number][report.nodeid.partition("::")[0]] += int(str(facts.get("cases", 1)))

    def rows(self) -> list[tuple[int, str, int, int, int, list[str]]]:
        """Each promise with its title, the cases tried, those in which it was broken, tests skipped, the files."""
        return [
            (
                *(number, title, sum(self.cases[number].values()), self.broken[number], self.skipped[number]),
                sorted(self.cases[number]),
            )
            for number, title in sorted(titles().items())
        ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, if any promise was tried."""
        if not self.cases and not self.broken:
            return
        terminalreporter.write_sep("-", "promises: cases tried")
        for number, title, cases, broken, skipped, _ in self.rows():
            more = f", {skipped} skipped" if skipped else ""
            tried = f"{cases:,} tried, {broken} broken" if cases or broken else "not tried"
            terminalreporter.write_line(f"{number:2}. {title}: {tried}{more}")

    def write(self, arguments: Sequence[str], *, nightly: bool) -> None:
        """Put the table into the document."""
        lines = [f"{how(arguments, nightly=nightly)}\n\n"]
        lines.append("| | promise | cases tried | broken | tests skipped | by the tests in |\n")
        lines.append("| --- | --- | ---: | ---: | ---: | --- |\n")
        for number, title, cases, broken, skipped, files in self.rows():
            links = ", ".join(f"[{Path(file).name}](../{file})" for file in files)
            lines.append(f"| {number} | {title} | {cases:,} | {broken} | {skipped:,} | {links} |\n")
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(_TABLE.sub("".join(lines).replace("\\", r"\\"), text), encoding="utf-8")


def how(arguments: Sequence[str], *, nightly: bool) -> str:
    """One line that says how the cases were tried: the command, by whom, on what, and with which tools."""
    there = [name for name in _TOOLS if shutil.which(name)]
    absent = [name for name in _TOOLS if name not in there]
    tools = [f"with {', '.join(there)}"] if there else []
    tools += [f"without {', '.join(absent)}"] if absent else []
    return (
        f"Tried by `python -m pytest {shlex.join(arguments)}` ({'with' if nightly else 'without'} `--nightly`),"
        f" {'as root' if os.geteuid() == 0 else 'not as root'}, by Python {platform.python_version()}"
        f" and SQLite {sqlite3.sqlite_version}, {' and '.join(tools)}."
    )


def _shown(config: pytest.Config) -> list[str]:
    """The words of the command line that say what is tried: not those of reports and of places on this machine."""
    words = [word for word in config.invocation_params.args if isinstance(word, str)]
    return [
        word
        for word in words
        if word in ("--nightly", "--write-promises") or (word[:1] not in ("-", "/") and Path(word).exists())
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the fault tests."""
    group = parser.getgroup("promises")
    group.addoption("--nightly", action="store_true", help="try many times more cases (hours rather than minutes)")
    group.addoption(
        "--write-promises", action="store_true", help="put the table of cases tried into docs/promises.md"
    )
    group.addoption(
        "--update-golden",
        action="store_true",
        help="write what the program says now into the files of golden texts",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count.

    Raises:
        pytest.UsageError: the table is to be written, which one process does that tries all.
    """
    if config.getoption("--write-promises") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--write-promises counts in one process: leave -n out. Nothing was written.")
    config.addinivalue_line("markers", "promise(*numbers): which promises of docs/promises.md a test proves")
    config.pluginmanager.register(Tried(), "tried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each report say which promises its test proves."""
    known = set(titles())
    for item in items:
        numbers = {number for mark in item.iter_markers("promise") for number in mark.args}
        assert numbers <= known, f"{item.nodeid}: there is no promise {numbers - known}"
        if numbers:
            item.user_properties.append(("promises", tuple(sorted(numbers))))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table if that is asked for and nothing failed.

    Raises:
        pytest.UsageError: the run was not one of all tests.
    """
    config = session.config
    if not config.getoption("--write-promises") or exitstatus != 0:
        return
    tried = config.pluginmanager.get_plugin("tried")
    assert isinstance(tried, Tried)
    tried.write(_shown(config), nightly=config.getoption("--nightly"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to write a table of less than all tests, before hours are spent.

    Raises:
        pytest.UsageError: it would be one.
    """
    config = session.config
    tried = config.pluginmanager.get_plugin("tried")
    if config.getoption("--write-promises") and isinstance(tried, Tried):
        why = "nothing is run" if config.getoption("collectonly") else tried.missing(config.args)
        if why is not None:
            raise pytest.UsageError(f"--write-promises counts all tests, and here {why}. Nothing was written.")
