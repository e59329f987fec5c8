"""What the pipeline's scripts share: where files lie, how to read them, how to fail."""

import csv
import datetime
import hashlib
import os
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

FOLDER = Path(__file__).resolve().parent.parent
ARCHIVE = FOLDER / "archive"
LATE = ARCHIVE / "late"
DATA = FOLDER / "data"  # inputs, as they arrived
WORK = FOLDER / "work"  # intermediate files, removed by cleanup
REPORT = FOLDER / "report"
OUTBOX = FOLDER / "outbox"

YEARS = {1: (2012, 2013), 2: (2014, 2015)}
WEATHER_TYPES = ("drizzle", "fog", "rain", "snow", "sun")
RAW_HEADER = ["date", "precipitation", "temp_max", "temp_min", "wind", "weather"]
MONTHLY_HEADER = ["month", "days", "temp_max_mean", "temp_min_mean", "precipitation_mm"]
MONTHLY_HEADER += [f"{kind}_days" for kind in WEATHER_TYPES]


class Day(NamedTuple):
    """One day's observations: millimetres and degrees Celsius."""

    date: datetime.date
    precipitation: float
    temp_max: float
    temp_min: float
    weather: str


def input_file(part: int) -> Path:
    """The raw observations of one half of the years."""
    return DATA / f"part{part}_input.csv"


def part_file(part: int) -> Path:
    """The monthly figures of one half of the years."""
    return WORK / f"part{part}_monthly.csv"


def shown(path: Path) -> str:
    """A path as a reader of the log wants it: from the example's folder."""
    return str(path.relative_to(FOLDER))


def read_days(part: int) -> list[Day]:
    """Read and check one raw file; ValueError names the first bad line."""
    path = input_file(part)
    first_year, last_year = YEARS[part]
    expected = datetime.date(first_year, 1, 1)
    days = []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        if next(rows, None) != RAW_HEADER:
            raise ValueError(f"{shown(path)}:1: expected the columns {','.join(RAW_HEADER)}")
        for row in rows:
            try:
                day = parse_day(row, expected)
            except ValueError as error:
                raise ValueError(f"{shown(path)}:{rows.line_num}: {error}") from None
            days.append(day)
            expected += datetime.timedelta(days=1)
    if expected != datetime.date(last_year + 1, 1, 1):
        raise ValueError(f"{shown(path)}: ends before {expected}, {last_year}-12-31 should be the last day")
    return days


def parse_day(row: list[str], expected: datetime.date) -> Day:
    """Turn one line into a Day; ValueError says what cannot be true."""
    date, precipitation, temp_max, temp_min, _wind, weather = row
    day = Day(datetime.date.fromisoformat(date), float(precipitation), float(temp_max), float(temp_min), weather)
    if day.date != expected:
        raise ValueError(f"expected {expected}, found {day.date}")
    if not day.precipitation >= 0:
        raise ValueError(f"precipitation of {precipitation} mm")
    if not day.temp_min <= day.temp_max:
        raise ValueError(f"minimum of {temp_min} °C above the maximum of {temp_max} °C")
    if weather not in WEATHER_TYPES:
        raise ValueError(f"unknown weather {weather!r}")
    return day


def read_monthly(path: Path) -> list[dict[str, str]]:
    """Read monthly figures, as write_monthly wrote them."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_monthly(path: Path, rows: list[dict[str, str]]) -> None:
    """Write monthly figures as CSV."""
    lines = [",".join(MONTHLY_HEADER)] + [",".join(row[name] for name in MONTHLY_HEADER) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a job that is killed leaves no half of it behind."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def sha256(path: Path) -> str:
    """The checksum of a file, as sha256sum prints it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fail(what: str, error: Exception) -> NoReturn:
    """End the job with exit code 1; the last two lines of its log say what and why."""
    sys.stdout.flush()  # both streams share the log: keep the order
    detail = error.filename if isinstance(error, OSError) and error.filename else error
    print(f"ERROR: {what}\n{type(error).__name__}: {detail}", file=sys.stderr)
    sys.exit(1)
