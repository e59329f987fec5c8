"""Counting the cases behind each promise of docs/promises.md, and writing its table from a run of the tests.

A test says with ``@pytest.mark.promise(3)`` (or ``pytestmark`` for a whole file) which promises it
proves, and counts as one case; one that tries many says so with the fixture ``cases``. At the end of
a run the table is printed; ``--write-promises`` puts it into the document.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/promises.md"
_TABLE = re.compile(r"(?<=<!-- promises: table -->\n).*?(?=<!-- promises: end -->)", re.DOTALL)
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

    def rows(self) -> list[tuple[int, str, int, int, list[str]]]:
        """Each promise with its title, the cases tried, those in which it was broken, and the files."""
        return [
            (number, title, sum(self.cases[number].values()), self.broken[number], sorted(self.cases[number]))
            for number, title in sorted(titles().items())
        ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table, if any promise was tried."""
        if not self.cases and not self.broken:
            return
        terminalreporter.write_sep("-", "promises: cases tried")
        for number, title, cases, broken, _ in self.rows():
            skipped = f", {self.skipped[number]} skipped" if self.skipped[number] else ""
            tried = f"{cases:,} tried, {broken} broken" if cases or broken else "not tried"
            terminalreporter.write_line(f"{number:2}. {title}: {tried}{skipped}")

    def write(self) -> None:
        """Put the table into the document."""
        lines = ["| | promise | cases tried | broken | by the tests in |\n| --- | --- | ---: | ---: | --- |\n"]
        for number, title, cases, broken, files in self.rows():
            links = ", ".join(f"[{Path(file).name}](../{file})" for file in files)
            lines.append(f"| {number} | {title} | {cases:,} | {broken} | {links} |\n")
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(_TABLE.sub("".join(lines).replace("\\", r"\\"), text), encoding="utf-8")


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
    """Begin to count."""
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
    """Write the table if that is asked for and nothing failed."""
    if session.config.getoption("--write-promises") and exitstatus == 0:
        tried = session.config.pluginmanager.get_plugin("tried")
        assert isinstance(tried, Tried)
        tried.write()
