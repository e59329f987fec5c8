"""Times as people type them: ``7d``, ``yesterday``, ``2025-05-23``, ``2025-05-23 09:45``, ``09:45``."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta

_AGO = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
_TIME = r"(?P<hour>\d\d)(?P<minute>:?\d\d)?(?P<second>:?\d\d)?(?P<fraction>[.,]\d+)?"
_DATE = re.compile(rf"(?:\d{{4}}-\d\d-\d\d|\d{{8}})(?:[T ]{_TIME}.*)?", re.ASCII)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)  # the finest that a datetime has
_FIRST, _LAST = -62_135_510_400.0, 253_402_214_400.0  # the second day of the year 1, the last of the year 9999
EXPECTED = 'expected 2025-05-23, "2025-05-23 09:45", 09:45, 7d, 12h, today or yesterday'


def instant(text: str, now: float, *, end: bool) -> float:
    """The Unix time that a text means in the local time zone.

    A text that names a stretch of time (a day, a minute, a second) means the first moment
    at which clocks show that; with ``end`` the moment after the last one, so that the
    stretch itself lies before it. That holds also where clocks are set back or forward and
    show a time twice or never. ``7d`` is seven times 24 hours ago.

    Raises:
        ValueError: the text is no time.
    """
    word = text.strip().lower()
    ago = _AGO.fullmatch(word)
    if ago is not None:
        return now - int(ago[1]) * _UNIT_S[ago[2]]
    if word == "now":
        return now
    try:
        start, stretch = _stretch(word.upper(), datetime.fromtimestamp(now).date())
        if start.year in (1, 9999):  # at the edges local times cannot be reckoned with; so far off nobody minds
            return _FIRST if start.year == 1 else _LAST
        return _after(start + (stretch - _TICK)) if end else _first(start)
    except (ValueError, OverflowError, OSError) as exc:
        raise ValueError(f'{EXPECTED}, got "{text}"') from exc


def _stretch(word: str, today: date) -> tuple[datetime, timedelta]:
    """The start of what a word names, and how long that is."""
    if word in ("TODAY", "YESTERDAY"):
        return datetime.combine(today - _DAY if word == "YESTERDAY" else today, time()), _DAY
    if _CLOCK.fullmatch(word):
        word = f"{today.isoformat()} {word}"
    found = _DATE.fullmatch(word)
    if found is None:
        raise ValueError(word)
    start = datetime.fromisoformat(word)
    if found["fraction"]:
        return start, _TICK
    if found["second"]:
        return start, timedelta(seconds=1)
    if found["minute"]:
        return start, timedelta(minutes=1)
    return start, timedelta(hours=1) if found["hour"] else _DAY


def _first(local: datetime) -> float:
    """The first moment at which clocks show a time, or the next one that they ever show."""
    early, late = local.timestamp(), local.replace(fold=1).timestamp()
    if local.tzinfo is not None or early <= late:  # shown once, or twice
        return early
    # clocks are set forward between the two: find the second when
    before, after = int(late), int(early) + 1
    while after - before > 1:
        middle = (before + after) // 2
        if datetime.fromtimestamp(middle) >= local:
            after = middle
        else:
            before = middle
    return float(after)


def _after(local: datetime) -> float:
    """The moment after the last one at which clocks show a time."""
    early, late = local.timestamp(), local.replace(fold=1).timestamp()
    if local.tzinfo is None and early > late:  # never shown: all before it are over when clocks are set forward
        return _first(local)
    return round(late + _TICK.total_seconds(), 6)


def span(since: str | None, until: str | None) -> list[str]:
    """Bounds in words, as they were typed: ``started on 2025-05-20``, ``started in the last 7d``."""
    if since is not None and since == until and re.fullmatch(r"\d{4}-\d\d-\d\d", since):
        return [f"started on {since}"]
    if since is not None and since == until and since.lower() in ("today", "yesterday"):
        return [f"started {since.lower()}"]
    words = []
    if since is not None:
        words.append(f"started in the last {since}" if _AGO.fullmatch(since.lower()) else f"started since {since}")
    if until is not None:
        words.append(f"started before {until} ago" if _AGO.fullmatch(until.lower()) else f"started until {until}")
    return words
