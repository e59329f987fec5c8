"""Fixtures of all tests."""

from pathlib import Path

import pytest
from harness import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The real program in a fresh folder, with a home and a history of its own."""
    return Program(tmp_path / "work")
