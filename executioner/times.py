"""Instants as the history stores them: UTC, ISO 8601, fixed width, so that text sorts as time."""

from __future__ import annotations

import time
from functools import lru_cache


@lru_cache(maxsize=16)  # an instant is written to several columns
def utc_text(at: float) -> str:
    """``2025-05-23T09:45:00.000000Z`` for Unix time ``at``."""
    micros = round(at * 1_000_000)
    second, fraction = divmod(micros, 1_000_000)
    return f"{_whole(second)}{fraction:06d}Z"


@lru_cache(maxsize=4)  # most instants of a busy run share their second
def _whole(second: int) -> str:
    at = time.gmtime(second)
    return f"{at.tm_year:04d}{time.strftime('-%m-%dT%H:%M:%S.', at)}"  # %Y has no fixed width


def from_utc_text(text: str) -> float:
    """Unix time of a stored instant.

    Raises:
        ValueError: the text is not of the stored form.
    """
    from calendar import timegm  # with locale: 2 ms

    whole, _, fraction = text.partition(".")
    return timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + int(fraction.rstrip("Z") or 0) / 1e6
