"""Fixtures of all tests."""

import signal
from pathlib import Path

import pytest
from harness import Program

# whoever started the tests may have had signals ignored (``pytest &`` in a script), and the
# programs that the tests start would inherit that
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTTIN, signal.SIGTTOU):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The real program in a fresh folder, with a home and a history of its own."""
    return Program(tmp_path / "work")
