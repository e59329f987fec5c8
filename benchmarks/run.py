"""Compare Executioner with the runners that are installed: ``python benchmarks/run.py``; see README.md."""

import argparse
import importlib.util
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from measure import BrokenError, Contender, Sample, gather, run, side_by_side
from peers import EXECUTIONER, found
from report import OURS, Limits, Measured, fits, plot_growth, plot_ratios, table
from rows import ROWS, Row, as_filled, history, nothing, runner
from workloads import Job, Workload, layers

# Sizes in full, and those of a smoke test.
JOB_SIZES: tuple[Sequence[int], Sequence[int]] = ((10, 100, 1_000, 10_000, 100_000), (10, 20, 40))
RUN_SIZES: tuple[Sequence[int], Sequence[int]] = ((1_000, 10_000, 100_000, 1_000_000), (100, 200, 400))
JOBS_A_RUN = 10
#: No more jobs of one size are run in all rounds together: there are fewer rounds then.
MOST_JOBS = 300_000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="benchmarks/run.py", description="Compare Executioner with its peers.")
    made.add_argument("rows", nargs="*", metavar="ROW", help="rows of the table (default: all); see --list")
    made.add_argument(
        "--growth", choices=("jobs", "runs"), help="instead of rows: how the cost grows with jobs, or with runs"
    )
    made.add_argument(
        "--rounds",
        type=int,
        default=7,
        metavar="N",
        help="rounds of each comparison; in the table three times as many of quick ones (default: 7)",
    )
    made.add_argument("--out", metavar="DIR", help="write the table (.md) and the plot (.svg) there, too")
    made.add_argument(
        "--work",
        metavar="DIR",
        help="make files there, on a real disk, and keep large histories for the next call"
        " (default: a new temporary folder)",
    )
    made.add_argument(
        "--smoke", action="store_true", help="one round of tiny sizes: shows that it works, and no more"
    )
    made.add_argument("--list", action="store_true", help="list the rows and the runners found")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write it and a plot. Returns the exit status."""
    given = parser().parse_args(arguments)
    known = {row.name: row for row in ROWS}
    unknown = [name for name in given.rows if name not in known]
    wrong = (
        f"no row is called {' or '.join(map(repr, unknown))}. See: python benchmarks/run.py --list"
        if unknown
        else "--rounds must be 1 or more"
        if given.rounds < 1
        else "--growth measures no rows of the table: leave out one or the other"
        if given.growth and given.rows
        else f"--work: there is no folder {given.work!r}"
        if given.work and not os.path.isdir(given.work)
        else "--out draws with matplotlib, which is not installed. To install it: python -m pip install matplotlib"
        if given.out and importlib.util.find_spec("matplotlib") is None
        else None
    )
    if wrong:
        print(f"benchmarks/run.py: {wrong}", file=sys.stderr)
        return 2
    if given.list:
        print("rows:")
        for row in ROWS:
            print(f"  {row.name:{max(map(len, known))}}  {row.title}")
        print("runners:", *(peer.name for peer in found()), *(["sqlite3"] if shutil.which("sqlite3") else []))
        return 0
    out = os.path.abspath(given.out) if given.out else None
    try:
        if out:
            os.makedirs(out, exist_ok=True)
        work = os.path.abspath(tempfile.mkdtemp(prefix="benchmark-", dir=given.work))
    except OSError as exc:
        print(f"benchmarks/run.py: {exc.strerror}: {exc.filename}", file=sys.stderr)
        return 2
    kept = os.path.abspath(given.work) if given.work else work
    rounds = 1 if given.smoke else given.rounds
    try:
        if given.growth:
            growth(given.growth, rounds, work, kept, out, given.smoke)
        else:
            rows = [known[name] for name in dict.fromkeys(given.rows or known)]
            compare(rows, rounds, work, kept, out, given.smoke)
    except BrokenError as broken:
        print(f"\nbenchmarks/run.py: {broken}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        large = "" if kept == work else f" Histories for the next call are {kept}/history-*.db."
        told(f"\nThe files made are in {work}; remove the folder when done.{large}\n")
    return 0


def compare(rows: Sequence[Row], passes: int, work: str, kept: str, out: str | None, small: bool) -> None:
    """The table of the rows; if it is broken off, of those that were measured, and not in ``out``.

    Each pass goes over all rows, so that minutes in which the machine is busy fall on all of them alike.
    """
    times = [1 if small else row.times for row in rows]
    going = [
        side_by_side(row.contenders(kept, small), passes * each, os.path.join(work, row.name), progress(row.name))
        for row, each in zip(rows, times, strict=True)
    ]
    samples: list[dict[str, list[Sample]]] = [{} for _ in rows]
    broken_off = ", broken off"
    try:
        for _ in range(passes):
            for rounds, each, taken in zip(going, times, samples, strict=True):
                gather(taken, islice(rounds, each))
        broken_off = ""
    finally:
        measured = [
            Measured(
                f"{row.title} (tiny)" if small else row.title, row.base, Limits() if small else row.limits, taken
            )
            for row, taken in zip(rows, samples, strict=True)
            if taken
        ]
        if measured:
            counts = {len(row.samples[OURS]) for row in measured}
            into = None if broken_off else out
            publish(table(measured), f"{counted(*sorted(counts))}, interleaved{broken_off}", into, "table")
    if out:
        plot_ratios(measured, os.path.join(out, "table.svg"))


def growth(by: str, rounds: int, work: str, kept: str, out: str | None, small: bool) -> None:
    """Times by the number of jobs of a run, or by the number of runs in the history, and their fits."""
    if by == "jobs":
        sizes = JOB_SIZES[small]
        contenders: Callable[[int], list[Contender]] = by_jobs
    else:
        sizes = RUN_SIZES[small]
        contenders = by_runs(kept)
    lines: dict[str, list[float]] = {}
    sizes_told: list[str] = []
    for size in sizes:
        number = max(1, min(rounds, MOST_JOBS // size)) if by == "jobs" else rounds
        folder = os.path.join(work, f"{by}-{size}")
        found: dict[str, list[Sample]] = {}
        gather(found, side_by_side(contenders(size), number, folder, progress(f"{size:,} {by}")))
        for name, samples in found.items():
            lines.setdefault(name, []).append(statistics.median(sample.wall for sample in samples))
        if by == "jobs":
            peak = statistics.median(sample.peak for sample in found[OURS]) / 2**20
            each = os.path.getsize(os.path.join(folder, f"0-{OURS}", "history.db")) / size
            told_of = f"{counted(number)}, peak memory of a run {peak:.0f} MiB"
        else:
            each = os.path.getsize(history(kept, size, JOBS_A_RUN)) / (size * JOBS_A_RUN)
            told_of = counted(number)
        sizes_told.append(f"- {size:,} {by}: {told_of}, history {each:,.0f} bytes a job")
    text = f"{fits(by[:-1], sizes, lines)}\n\n" + "\n".join(sizes_told)
    publish(text, "interleaved rounds, as many as are named above", out, by)
    if out:
        plot_growth(by[:-1], sizes, lines, os.path.join(out, f"{by}.svg"))


def by_jobs(size: int) -> list[Contender]:
    """A run of that many jobs in layers, and what is done with the config alone."""
    workload = Workload(layers(size, layers=10 if size >= 100 else 2), 8)
    ours, *others = found()
    mine = runner(ours, workload)
    validate = (*EXECUTIONER, "-c", "jobs.json", "--db", "history.db", "--validate")
    check = mine._replace(name="executioner --validate", command=validate)
    return [mine, check, *(runner(peer, workload) for peer in others if peer.name == "ninja")]


def by_runs(kept: str) -> Callable[[int], list[Contender]]:
    """What is asked of a history of that many runs with ten jobs each."""
    filters = {
        "": ("--last", "20"),
        " --app": ("--app", "app_07"),
        " --app (pattern)": ("--app", "app_0*"),
        " --status": ("--status", "failed"),
        " --user": ("--user", "user_03"),
        " --since": ("--since", "2020-09-14", "--last", "20"),
        " --until": ("--until", "2020-09-14 06:00", "--last", "20"),
        " --partly-completed": ("--partly-completed",),
        " --resumable": ("--resumable",),
        " -c": ("-c", "/srv/etl/pipelines/app_07/config.json"),
    }

    def contenders(size: int) -> list[Contender]:
        database = history(kept, size, JOBS_A_RUN)
        ours = (*EXECUTIONER, "--db", database)
        restore = partial(as_filled, database, size)
        lists = [
            Contender(f"--list-runs{name}", restore, (*ours, "--list-runs", *words, "--format", "json"))
            for name, words in filters.items()
        ]
        start = (*ours, "-c", "jobs.json")
        return [
            *lists,
            Contender("--show-run", nothing, (*ours, "--show-run", str(size), "--format", "json")),
            Contender("a run of one job", lambda: config("true"), start),
            Contender(
                "--resume-from --dry-run", lambda: failed(start), (*start, "--resume-from", "last", "--dry-run")
            ),
        ]

    return contenders


def config(command: str) -> None:
    """Write a config of one job."""
    ours, *_ = found()
    with open(ours.file, "w", encoding="utf-8") as file:
        file.write(ours.text(Workload([Job("j0", command)], 1)))


def failed(start: Sequence[str]) -> None:
    """Have a run that fails."""
    config("false")
    run(start, expect=1)


def counted(*rounds: int) -> str:
    """``1 round``, ``9 or 27 rounds``."""
    return f"{' or '.join(map(str, rounds))} round{'s' if max(rounds) > 1 else ''}"


def publish(text: str, rounds: str, out: str | None, name: str) -> None:
    """Print a table, and write it with what it was measured on."""
    told("\r\033[K" if sys.stderr.isatty() else "")
    machine = (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    text = f"{text}\n\nMedians of {rounds}; {machine}, SQLite {sqlite3.sqlite_version}.\n"
    print(text, end="")
    if out:
        with open(os.path.join(out, f"{name}.md"), "w", encoding="utf-8") as file:
            file.write(text)


def progress(what: str) -> Callable[[str], None]:
    """A line that is overwritten, on a terminal; silence elsewhere."""

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            told(f"\r\033[K{what}: {text}")

    return tell


def told(text: str) -> None:
    """Write to stderr."""
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
