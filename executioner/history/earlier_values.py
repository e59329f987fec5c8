"""Values that another tool wrote, of any type: read as what they should be, or None."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from executioner.times import utc_text

_YEAR_1000, _YEAR_10000 = -30_610_224_000, 253_402_300_799


def instant(value: object, *, utc: bool = False, fold: int = 0) -> float | None:
    """Unix time of a time of the earlier tool, which is local unless it says otherwise; None if it is none."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, int | float):
            at = float(value)
        else:
            read = datetime.fromisoformat(str(value))
            if read.tzinfo is None:
                read = read.replace(tzinfo=UTC) if utc else read.replace(fold=fold)
            at = read.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return at if _YEAR_1000 <= at < _YEAR_10000 else None  # for others our form has no place


def stored(at: float | None) -> str | None:
    """An instant as we store it."""
    return None if at is None else utc_text(at)


def integer(value: Any) -> int | None:
    """A value as an integer that SQLite can hold; None if it is none."""
    try:
        number = None if value is None else int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number is not None and abs(number) < 2**63 else None


def real(value: Any) -> float | None:
    """A value as a finite number; None if it is none."""
    try:
        number = None if value is None else float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def text(value: object) -> str | None:
    """A value as text; None stays None."""
    return None if value is None else str(value)
