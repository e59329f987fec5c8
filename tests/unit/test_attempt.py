"""What is kept of the reason why an attempt failed."""

import json

import pytest

from executioner.attempt import kept


@pytest.mark.parametrize("sign", ["x", '"', "\\", "ö", "日", "🚀", "\x7f", "\n", "\udc80"])
@pytest.mark.parametrize("number", [1, 85, 86, 171, 172, 1200, 1201, 100_000])
def test_how_long_a_reason_may_be(sign: str, number: int) -> None:
    """In JSON within JSON, as in a spool file, it has 1,203 bytes at most; what is shorter is kept whole."""
    reason = f"Post-check failed: {sign * number}"
    found = kept(reason)
    written = len(json.dumps(json.dumps(found))) - len(json.dumps(json.dumps("")))
    assert written <= 1203
    if "..." not in found:
        assert len(found) >= len(reason)
    else:
        assert len(json.dumps(json.dumps(reason))) > 1200 or sign in '"\\\x7f\n\udc80'


def test_a_long_reason_keeps_both_ends() -> None:
    """How it begins and how it ends says more than its middle: a check's words, and what it found."""
    query = ", ".join(f"column_{at}" for at in range(500))
    found = kept(f"Post-check failed: sql_rows(query='{query}'): RuntimeError: table SALES has 3 rows")
    assert found.startswith("Post-check failed: sql_rows(query='column_0, column_1, ")
    assert found.endswith("column_499'): RuntimeError: table SALES has 3 rows")
    assert "..." in found
