"""Side by side: every round runs each contender once, in turn, so that drift falls on all alike."""

import fcntl
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

# linux/fs.h, on 64-bit machines
_GET_FLAGS, _SET_FLAGS, _TOP_OF_HIERARCHY = 0x80086601, 0x40086602, 0x00020000
METER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "meter.py")


class Contender(NamedTuple):
    """One side of a comparison: files to make in an empty folder, then a command to time there.

    What is ``large`` is written to the disk and removed before the next one runs.
    """

    name: str
    prepare: Callable[[], None]
    command: Sequence[str]
    large: bool = False


class Sample(NamedTuple):
    """Of a command and its children: seconds of wall clock and of CPU, and bytes of the largest process."""

    wall: float
    cpu: float
    peak: int


class BrokenError(Exception):
    """A contender did not do its work: its command, exit status, folder, and both ends of its output."""


def run(command: Sequence[str], *, expect: int | None = 0) -> Sample:
    """Run a command in the current folder, its output to ``output``, and take the kernel's figures.

    Raises:
        BrokenError: it ended with another status than ``expect`` (None: any).
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    metered = [sys.executable, "-I", "-S", METER, *command]
    taken = subprocess.run(metered, env=environment, stdout=subprocess.PIPE, check=True).stdout
    code, wall, cpu, peak = map(float, taken.split())
    if expect is not None and code != expect:
        with open("output", "rb") as file:
            lines = file.read().decode(errors="replace").splitlines()
        shown = lines if len(lines) <= 20 else [*lines[:10], "...", *lines[-10:]]
        what = f"{' '.join(command)} ended with {code:.0f}, in {os.getcwd()}; what comes after it is not measured"
        raise BrokenError("\n".join([f"{what}:", *shown]))
    return Sample(wall, cpu, int(peak))


def side_by_side(
    contenders: Sequence[Contender], rounds: int, folder: str, told: Callable[[str], None]
) -> Iterator[dict[str, Sample]]:
    """Samples of each contender by name, round by round; every one is taken in a new folder.

    Small files are not deleted in between: ext4 makes files more slowly for a while after many were deleted. What
    was written before a round is on the disk first: else the kernel would write it meanwhile.

    Raises:
        BrokenError: a contender did not do its work.
    """
    os.makedirs(folder)
    place_apart(folder)
    for number in range(rounds):
        os.sync()
        samples = {}
        for contender in contenders:
            told(f"round {number + 1} of {rounds}: {contender.name}")
            place = os.path.join(folder, f"{number}-{contender.name.replace(' ', '-')}")
            os.makedirs(place)
            os.chdir(place)
            contender.prepare()
            samples[contender.name] = run(contender.command)
            if contender.large:
                os.chdir(folder)
                shutil.rmtree(place)
                os.sync()
        yield samples


def gather(samples: dict[str, list[Sample]], rounds: Iterable[Mapping[str, Sample]]) -> None:
    """Put the samples of some rounds to those that are there."""
    for taken in rounds:
        for name, sample in taken.items():
            samples.setdefault(name, []).append(sample)


def place_apart(folder: str) -> None:
    """Have ext4 spread the folders that are made in this one over its block groups: ioctl_iflags(2), chattr(1), T.

    Without a journal it passes over each inode of a group that was deleted in the last minutes, at every new file
    there: what one contender deletes would slow down another. Elsewhere nothing is done.
    """
    fd = os.open(folder, os.O_RDONLY)
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, _GET_FLAGS, bytes(4)), sys.byteorder)
        fcntl.ioctl(fd, _SET_FLAGS, (flags | _TOP_OF_HIERARCHY).to_bytes(4, sys.byteorder))
    except OSError:
        pass
    finally:
        os.close(fd)


def ratio(samples: Sequence[Sample], base: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    """The median over rounds of a figure over that of the base in the same round."""
    return statistics.median(of(one) / of(other) for one, other in zip(samples, base, strict=True))
