"""Fixtures of all tests."""

import compileall
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import ROOT, Program
from promises import (  # noqa: F401  (hooks)
    pytest_addoption,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_sessionfinish,
)

# whoever started the tests may have had signals ignored (``pytest &`` in a script), and the
# programs that the tests start would inherit that
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTTIN, signal.SIGTTOU):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the program once: the thousands of processes that the tests start write nothing into its folder."""
    if not hasattr(session.config, "workerinput"):
        compileall.compile_dir(ROOT / "executioner", quiet=1)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The real program in a fresh folder, with a home and a history of its own."""
    return Program(tmp_path / "work")


@pytest.fixture
def nightly(request: pytest.FixtureRequest) -> bool:
    """Whether many times more cases are to be tried."""
    return bool(request.config.getoption("--nightly"))


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """Say how many cases this test has tried, for the table of promises; called once, at the end."""

    def count(number: int) -> None:
        request.node.user_properties.append(("cases", number))

    return count
