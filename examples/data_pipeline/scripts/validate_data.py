"""Check every raw file that has arrived: columns, plausible values, no day missing."""

import weather


def main() -> None:
    """Check part 1, and part 2 if it is there; the transformation checks a later delivery."""
    for part in weather.YEARS:
        path = weather.input_file(part)
        if part == 2 and not path.exists():
            print(f"{weather.shown(path)}: not delivered yet, will be checked when it is used")
            continue
        try:
            days = weather.read_days(part)
        except (OSError, ValueError) as error:
            weather.fail("Invalid data", error)
        print(f"{weather.shown(path)}: {len(days)} days, {days[0].date} to {days[-1].date}, no day missing")


if __name__ == "__main__":
    main()
