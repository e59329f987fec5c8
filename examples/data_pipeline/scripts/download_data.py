"""Fetch the raw files that the archive has into data/, checksums verified.

The archive folder stands in for a mirror, so that the example needs no network. Its second
half is a late delivery that somebody has to bring: it is not fetched here, and if it is in
data/ already, it stays.
"""

import shutil

import weather


def read_checksums() -> dict[str, str]:
    """Map each file name of archive/SHA256SUMS to its checksum."""
    lines = (weather.ARCHIVE / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: checksum for checksum, name in (line.split() for line in lines)}


def fetch(name: str, checksum: str) -> None:
    """Copy one file from the archive unless the very same is there already."""
    source, target = weather.ARCHIVE / name, weather.DATA / name
    if target.exists() and weather.sha256(target) == checksum:
        print(f"{weather.shown(target)}: up to date, checksum verified")
        return
    unfinished = target.with_name(name + ".unfinished")
    shutil.copyfile(source, unfinished)
    if weather.sha256(unfinished) != checksum:
        unfinished.unlink()
        raise ValueError(f"{weather.shown(source)}: its checksum is not that of SHA256SUMS")
    unfinished.replace(target)
    print(f"{weather.shown(target)}: {target.stat().st_size:,} bytes fetched, checksum verified")


def main() -> None:
    """Fetch part 1 and say how things stand with part 2."""
    weather.DATA.mkdir(exist_ok=True)
    try:
        fetch("part1_input.csv", read_checksums()["part1_input.csv"])
    except (OSError, ValueError, KeyError) as error:
        weather.fail("Unable to fetch the data", error)
    late = weather.input_file(2)
    print(f"{weather.shown(late)}: {'delivered' if late.exists() else 'not delivered yet'}")


if __name__ == "__main__":
    main()
