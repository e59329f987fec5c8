"""Turn the days of one part into monthly figures.

usage: python3 scripts/transform.py --part 1|2
"""

import argparse
import itertools
import math
import shlex
from collections import Counter
from statistics import fmean

import weather


def monthly_figures(month: str, days: list[weather.Day]) -> dict[str, str]:
    """Sum up the days of one month."""
    kinds = Counter(day.weather for day in days)
    figures = {
        "month": month,
        "days": str(len(days)),
        "temp_max_mean": f"{fmean(day.temp_max for day in days):.1f}",
        "temp_min_mean": f"{fmean(day.temp_min for day in days):.1f}",
        "precipitation_mm": f"{math.fsum(day.precipitation for day in days):.1f}",
    }
    return figures | {f"{kind}_days": str(kinds[kind]) for kind in weather.WEATHER_TYPES}


def main() -> None:
    """Read one part, write its months."""
    parser = argparse.ArgumentParser(description="Turn the days of one part into monthly figures.")
    parser.add_argument("--part", type=int, choices=list(weather.YEARS), required=True)
    part = parser.parse_args().part

    source, target = weather.input_file(part), weather.part_file(part)
    print(f"Reading {weather.shown(source)}")
    try:
        days = weather.read_days(part)
    except (OSError, ValueError) as error:
        late = weather.LATE / source.name
        if isinstance(error, FileNotFoundError) and late.exists():
            print("Part 2 is delivered late. It is there now; to put it in place:")
            print(f"  cp {shlex.quote(str(late))} {shlex.quote(str(source))}")
        weather.fail("Unable to process data file", error)
    by_month = itertools.groupby(days, key=lambda day: f"{day.date:%Y-%m}")
    rows = [monthly_figures(month, list(group)) for month, group in by_month]
    weather.write_monthly(target, rows)
    print(f"{len(days)} days -> {weather.shown(target)}: {len(rows)} months")


if __name__ == "__main__":
    main()
