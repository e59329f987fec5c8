"""Join the monthly figures of both parts into report/monthly.csv."""

import weather


def main() -> None:
    """Read both parts, check that they make up whole years, write one file."""
    rows = []
    try:
        for part in weather.YEARS:
            path = weather.part_file(part)
            part_rows = weather.read_monthly(path)
            print(f"{weather.shown(path)}: {len(part_rows)} months")
            rows += part_rows
    except OSError as error:
        print("The monthly parts come from transform_part1 and transform_part2.")
        weather.fail("Unable to merge", error)
    years = [year for first_last in weather.YEARS.values() for year in first_last]
    expected = [f"{year}-{month:02}" for year in years for month in range(1, 13)]
    if [row["month"] for row in rows] != expected:
        weather.fail("Unable to merge", ValueError("the parts do not make up 48 consecutive months"))
    target = weather.REPORT / "monthly.csv"
    weather.write_monthly(target, rows)
    print(f"-> {weather.shown(target)}: {len(rows)} months")


if __name__ == "__main__":
    main()
