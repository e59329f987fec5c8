"""Fixtures of the fault tests."""

from pathlib import Path

import pytest

pytest.register_assert_rewrite("kill_tools")

from faults_tools import Instrumented  # noqa: E402


@pytest.fixture
def instrumented(tmp_path: Path) -> Instrumented:
    """The program with hooks at its dangerous points, in a fresh folder, with a home and history of its own."""
    return Instrumented(tmp_path / "work")
