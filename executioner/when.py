"""Times as people type them: ``7d``, ``yesterday``, ``2025-05-23``, ``2025-05-23 09:45``, ``09:45``."""

import re
from datetime import date, datetime, time, timedelta

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d)?")
_FINE = re.compile(r"[T ]\d\d(:?\d\d)?(:?\d\d)?([.,]\d+)?")
EXPECTED = 'expected 2025-05-23, "2025-05-23 09:45", 09:45, 7d, 12h, today or yesterday'


def instant(text: str, now: float, *, end: bool) -> float:
    """The Unix time that a text means in the local time zone.

    A text that names a stretch of time (a day, a minute, a second) means its start, or with
    ``end`` the start of what follows, so that the stretch itself lies before it. ``7d`` is
    seven times 24 hours ago.

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
        start, stretch = _stretch(word, datetime.fromtimestamp(now).date())
        if not end:
            return start.timestamp()
        # of an hour that occurs twice, when clocks are set back, the second one
        return (start + stretch).replace(fold=1).timestamp()
    except (ValueError, OverflowError, OSError) as exc:
        raise ValueError(f'{EXPECTED}, got "{text}"') from exc


def _stretch(word: str, today: date) -> tuple[datetime, timedelta]:
    """The start of what a word names, and how long it is."""
    day = timedelta(days=1)
    if word in ("today", "yesterday"):
        return datetime.combine(today - (day if word == "yesterday" else timedelta(0)), time()), day
    if _CLOCK.fullmatch(word):
        word = f"{today.isoformat()} {word}"
    start = datetime.fromisoformat(word.upper())
    fine = _FINE.search(word.upper())
    if fine is None:
        return start, day
    if fine[3]:
        return start, timedelta(0)
    return start, timedelta(seconds=1) if fine[2] else timedelta(minutes=1)


def named_day(text: str) -> str | None:
    """The text, if it is the date of a day; else None."""
    return text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
