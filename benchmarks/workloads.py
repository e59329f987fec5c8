"""What is run: graphs of jobs, described once and written for each runner by ``peers``."""

from collections.abc import Sequence
from typing import NamedTuple


class Job(NamedTuple):
    """A shell command and the names of the jobs it waits for."""

    name: str
    command: str
    after: tuple[str, ...] = ()


class Workload(NamedTuple):
    """Jobs and the number of workers; ``before`` says what happens ahead of the measured run.

    ``before`` is "nothing", "a run" (the same, so that durations are known), or "a failure" (a run
    in which the jobs that need the file ``ok`` fail; the measured run is then the resume).
    """

    jobs: Sequence[Job]
    workers: int
    before: str = "nothing"


def chain(number: int, command: str = "true") -> list[Job]:
    """Jobs one after another."""
    return [Job(f"j{i}", command, (f"j{i - 1}",) if i else ()) for i in range(number)]


def independent(number: int, command: str = "true") -> list[Job]:
    """Jobs that wait for nothing."""
    return [Job(f"j{i}", command) for i in range(number)]


def layers(number: int, command: str = "true", *, layers: int = 10, fan: int = 3) -> list[Job]:
    """Jobs in equal layers, each after ``fan`` neighbours of the layer before."""
    width = max(1, number // layers)
    return [
        Job(
            f"j{i}",
            command,
            tuple(sorted({f"j{i - i % width - width + (i + d) % width}" for d in range(fan)}))
            if i >= width
            else (),
        )
        for i in range(number)
    ]


def last_fails(jobs: Sequence[Job]) -> list[Job]:
    """The same jobs; the last succeeds only if the file ``ok`` is there."""
    return [*jobs[:-1], jobs[-1]._replace(command="test -e ok")]


def critical(unit: float) -> list[Job]:
    """Eight short jobs ahead of a chain of four long ones.

    With two workers: eight units if the longest path goes first, twelve if the first listed does.
    """
    short = [Job(f"s{i}", f"sleep {unit}") for i in range(8)]
    return short + [job._replace(name="c" + job.name) for job in _renamed(chain(4, f"sleep {2 * unit}"))]


def _renamed(jobs: Sequence[Job]) -> list[Job]:
    return [job._replace(after=tuple("c" + name for name in job.after)) for job in jobs]


def ragged(number: int, unit: float) -> list[Job]:
    """Independent sleeps, one in eight ten times as long as the others."""
    return [Job(f"j{i}", f"sleep {unit * (10 if i % 8 == 0 else 1):g}") for i in range(number)]
