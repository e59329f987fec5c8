"""Remove intermediate files. Inputs (data/) and results (report/, outbox/) stay."""

import weather


def main() -> None:
    """Remove the monthly parts and whatever an interrupted job left half written."""
    parts = [weather.part_file(part) for part in weather.YEARS]
    removed = 0
    for path in parts + sorted(weather.WORK.glob("*.unfinished")):
        if path.exists():
            path.unlink()
            print(f"Removed {weather.shown(path)}")
            removed += 1
    print(f"{removed} intermediate files removed")


if __name__ == "__main__":
    main()
