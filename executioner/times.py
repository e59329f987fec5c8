"""Instants as the history stores them: UTC, ISO 8601, fixed width, so that text sorts as time."""

from __future__ import annotations

import time

from executioner.lean import lru_cache


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
    whole, dot, fraction = text.partition(".")
    parts = whole.translate(_APART).split(" ") if len(whole) == _WHOLE_WIDTH else []
    minute = _minute(*map(int, parts[:5])) if len(parts) == 6 else 0
    micros, end = fraction[:6], fraction[6:]
    is_fraction = micros.isascii() and micros.isdigit() and len(micros) == 6 and end == "Z"
    if _whole(minute)[:-3] != whole[:-2] or whole[-2:] not in _SECONDS or not (is_fraction or not dot):
        raise ValueError(f"no instant as the history stores it: {text!r}")
    return minute + int(whole[-2:]) + int(micros or 0) / 1e6


def instant(text: object) -> float | None:
    """Unix time of what a history holds; None where nothing is there, or no instant: somebody has edited it."""
    try:
        return from_utc_text(text) if isinstance(text, str) else None
    except ValueError:
        return None


_WHOLE_WIDTH = len("2025-05-23T09:45:00")
_SECONDS = frozenset(f"{second:02d}" for second in range(62))  # leap seconds, which other programs may write
_APART = {ord(mark): " " for mark in "-T:"}


def _minute(year: int, month: int, day: int, hour: int, minute: int) -> int:
    """Unix time, by counting the days of years that begin with March: a leap day is then the last one of its year.

    ``calendar`` and ``time.strptime`` would do the same, and take 2 ms to load.
    """
    year -= month < 3
    days = 365 * year + year // 4 - year // 100 + year // 400
    days += (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (days - _DAYS_TO_1970) * 86400 + hour * 3600 + minute * 60


_DAYS_TO_1970 = 719468  # from the first of March of the year 0
