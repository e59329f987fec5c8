"""The rows of the table: what is compared, what counts as 1, and our limit."""

import contextlib
import glob
import os
import shutil
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fill_history import fill
from measure import Contender, run
from peers import EXECUTIONER, Peer, found
from report import Limits
from workloads import Workload, chain, critical, independent, last_fails, layers, ragged

#: Between a failure and what goes on from there, as when somebody types that. Within two seconds of the last write
#: to the history a resume reads the old run twice.
PAUSE_S = 2.1
GIGABYTE = 1_000_000_000
#: How often what takes less than three seconds, with all contenders, is measured in each pass over the rows.
QUICK = 3
FILLER = Path(__file__).with_name("fill_history.py")
SCHEMA = Path(__file__).parent.parent / "schema.sql"
LIST = "SELECT * FROM run_metadata ORDER BY run_id DESC LIMIT 20"
QUERY = "import sqlite3; [print(*row) for row in sqlite3.connect({!r}).execute({!r})]"


def nothing() -> None:
    """Prepare nothing."""


BARE = Contender("python -c pass", nothing, (sys.executable, "-c", "pass"))


class Row(NamedTuple):
    """A line of the table; ``contenders`` are given a folder to keep files in, and whether to be quick.

    A row whose contenders take little is measured ``times`` in each pass over all rows.
    """

    name: str
    title: str
    base: str
    limits: Limits
    contenders: Callable[[str, bool], list[Contender]]
    times: int = 1


def of_jobs(
    make: Callable[..., Workload], full: Sequence[float], smoke: Sequence[float], _work: str, small: bool
) -> list[Contender]:
    """Every runner found, on a workload that it can run, made of its sizes in full or of those of a smoke test."""
    workload = make(*(smoke if small else full))
    free = not any(job.after for job in workload.jobs) or workload.before == "a failure"
    return [runner(peer, workload) for peer in found() if peer.orders or free]


def runner(peer: Peer, workload: Workload) -> Contender:
    """A runner with its files written, and what has to happen before the measured run."""
    text = peer.text(workload)
    command = peer.command(workload.workers)

    def prepare() -> None:
        with open(peer.file, "w", encoding="utf-8") as file:
            file.write(text)
        if workload.before == "a failure":
            run(command, expect=None)
            open("ok", "w").close()
            time.sleep(PAUSE_S)
        elif workload.before == "a run":
            run(command)

    return Contender(
        peer.name, prepare, peer.again(workload.workers) if workload.before == "a failure" else command
    )


def start(_work: str, _small: bool) -> list[Contender]:
    """A run of one job, beside an interpreter that does nothing."""
    return [BARE, *(runner(peer, Workload(chain(1), 1)) for peer in found())]


def says(word: str, _work: str, _small: bool) -> list[Contender]:
    """The program with one option that needs nothing else, beside an interpreter that does nothing."""
    return [BARE, Contender("executioner", nothing, (*EXECUTIONER, word))]


def output(_work: str, small: bool) -> list[Contender]:
    """A job that writes much, beside a shell that sends the same to a file."""
    command = f"yes 0123456789012345678901234567890123456789 | head -c {GIGABYTE // (1000 if small else 1)}"
    bare = Contender("sh > file", nothing, ("sh", "-c", f"{command} > plain"))
    others = [runner(peer, Workload(independent(1, command), 1)) for peer in found() if peer.name != "doit"]
    return [contender._replace(large=True) for contender in (bare, *others)]


def listing(runs: int, jobs: int, words: Sequence[str], work: str, small: bool) -> list[Contender]:
    """The last 20 runs of a history, beside the same query in a bare interpreter."""
    database = history(work, min(runs, 1000) if small else runs, jobs)
    contenders = [
        Contender("python sqlite3", nothing, (sys.executable, "-c", QUERY.format(database, LIST))),
        Contender("executioner", nothing, (*EXECUTIONER, "--db", database, "--list-runs", "--last", "20", *words)),
    ]
    shell = shutil.which("sqlite3")
    return (
        [*contenders, Contender("sqlite3", nothing, (shell, "-readonly", database, LIST))] if shell else contenders
    )


def history(work: str, runs: int, jobs: int) -> str:
    """The path of a history of that many runs as it was filled; made once, and kept for the next call.

    Its name tells it from those of another filler or schema.
    """
    made_by = zlib.crc32(b"".join(path.read_bytes() for path in (FILLER, SCHEMA)))
    path = os.path.join(work, f"history-{runs}-runs-of-{jobs}-{made_by:08x}.db")
    if not os.path.exists(path):
        for left in glob.glob(f"{glob.escape(path)}.part*"):
            os.unlink(left)
        fill(f"{path}.part", runs, jobs)
        os.rename(f"{path}.part", path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.part.lock")
    as_filled(path, runs)
    return path


def as_filled(path: str, runs: int) -> None:
    """Take out of a history what was run in it since it was filled."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table in ("job_history", "run_metadata"):
            connection.execute(f"DELETE FROM {table} WHERE run_id > ?", (runs,))


ROWS: Sequence[Row] = (
    Row("one", "a run of one job", "python -c pass", Limits(4.0), start, QUICK),
    Row("help", "`--help`", "python -c pass", Limits(), partial(says, "--help"), QUICK),
    Row("version", "`--version`", "python -c pass", Limits(), partial(says, "--version"), QUICK),
    Row(
        "layers1000",
        "1,000 jobs in layers, `true`, 8 workers",
        "ninja",
        Limits(1.15, mib=25),
        partial(of_jobs, lambda number: Workload(layers(number), 8), (1000,), (20,)),
        QUICK,
    ),
    Row(
        "layers1000ext",
        "1,000 jobs in layers, a program (`/bin/true`)",
        "ninja",
        Limits(0.70),
        partial(of_jobs, lambda number: Workload(layers(number, "/bin/true"), 8), (1000,), (20,)),
        QUICK,
    ),
    Row(
        "layers1000sh",
        "1,000 jobs in layers, for a shell (`true && true`)",
        "ninja",
        Limits(),
        partial(of_jobs, lambda number: Workload(layers(number, "true && true"), 8), (1000,), (20,)),
        QUICK,
    ),
    Row(
        "layers10000",
        "10,000 jobs in layers",
        "ninja",
        Limits(1.05, mib=40),
        partial(of_jobs, lambda number: Workload(layers(number), 8), (10_000,), (30,)),
    ),
    Row(
        "chain200",
        "a chain of 200 `true`",
        "ninja",
        Limits(1.35),
        partial(of_jobs, lambda number: Workload(chain(number), 1), (200,), (5,)),
        QUICK,
    ),
    Row(
        "wide500",
        "500 independent jobs, 8 workers",
        "ninja",
        Limits(1.40),
        partial(of_jobs, lambda number: Workload(independent(number), 8), (500,), (10,)),
        QUICK,
    ),
    Row(
        "critical",
        "a long path behind short jobs, durations known",
        "ninja",
        Limits(0.80),
        partial(of_jobs, lambda unit: Workload(critical(unit), 2, "a run"), (0.25,), (0.01,)),
    ),
    Row(
        "ragged",
        "64 ragged sleeps, durations known",
        "ninja",
        Limits(0.83),
        partial(of_jobs, lambda number, unit: Workload(ragged(number, unit), 8, "a run"), (64, 0.05), (8, 0.01)),
    ),
    Row(
        "resume",
        "a resume of 1,000 jobs with 1 left",
        "parallel",
        Limits(0.50, ms=45),
        partial(of_jobs, lambda number: Workload(last_fails(layers(number)), 8, "a failure"), (1000,), (20,)),
    ),
    Row("output", "1 GB of output of a job", "sh > file", Limits(1.10, mib=20), output),
    Row(
        "list",
        "the last 20 of 100,000 runs, as JSON",
        "python sqlite3",
        Limits(2.5),
        partial(listing, 100_000, 2, ("--format", "json")),
        QUICK,
    ),
    Row(
        "table",
        "the last 20 of 100,000 runs, as a table",
        "python sqlite3",
        Limits(5.0),
        partial(listing, 100_000, 2, ()),
        QUICK,
    ),
)
