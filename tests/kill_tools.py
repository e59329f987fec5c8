"""What the tests of kills and power cuts share: a workflow whose jobs bear witness, and what must hold of it."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from harness import ROOT, Program, Result, state_of, wait_until
from history_tools import integrity, names

_T = TypeVar("_T")
_C = TypeVar("_C")
#: How many cases are tried side by side: each waits for processes most of its time.
LANES = 2
FLAGS = ("-j", "2", "--continue-on-error")
#: What each job depends on. ``retried`` fails once in each run, ``fails`` while there is a file ``fails``.
NEEDS: dict[str, tuple[str, ...]] = {
    "first": (),
    "left": ("first",),
    "right": ("first",),
    "retried": ("first",),
    "fails": ("left", "right"),
    "never": ("fails",),
    "last": ("retried",),
}
# each job leaves: that it began, what the history said then, and that it ended well. A second start of the
# same attempt fails, and so would be seen
_JOB = """
import os, sqlite3, sys
job, run, attempt = (os.environ["EXECUTIONER_" + name] for name in ("JOB_ID", "RUN_ID", "ATTEMPT"))
name = f"{job}.{run}.{attempt}"
open("start." + name, "x").close()
connection = sqlite3.connect("file:" + os.environ["EXECUTIONER_DB"] + "?mode=ro", uri=True, timeout=30)
rows = connection.execute("SELECT id, status FROM job_history WHERE run_id = ?", (run,)).fetchall()
with open("seen." + name, "x") as file:
    file.write("\\n".join(map(" ".join, rows)))
if job == "retried" and attempt == "1" or os.path.exists(job):
    sys.exit(1)
open("end." + name, "x").close()
"""


class Recorded(NamedTuple):
    """What a history says of one run."""

    status: str
    jobs: dict[str, str]


def workflow(program: Program, needs: Mapping[str, Sequence[str]] = NEEDS) -> None:
    """Write ``flow.json``, whose jobs bear witness in the program's folder; the job ``fails`` will fail."""
    (program.folder / "job.py").write_text(_JOB)
    (program.folder / "fails").touch()
    command = f"{sys.executable} -I -S job.py"
    retries = {"retried": {"max_retries": 1, "retry_delay": 0}}
    program.config(
        [
            {"id": job, "command": command, "dependencies": list(before), **retries.get(job, {})}
            for job, before in needs.items()
        ]
    )


def recorded(path: Path) -> dict[int, Recorded]:
    """All runs of a history with the statuses of their jobs, as any SQLite reads them."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        found = {
            run_id: Recorded(status, {})
            for run_id, status in connection.execute("SELECT run_id, status FROM run_metadata ORDER BY run_id")
        }
        for run_id, job, status in connection.execute("SELECT run_id, id, status FROM job_history"):
            found[run_id].jobs[job] = status
        return found


def schema(path: Path) -> list[Any]:
    """The tables, indexes and views of a database."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY name"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def intended_schema() -> list[Any]:
    """What ``schema.sql`` makes."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY name"
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((ROOT / "schema.sql").read_text())
        return connection.execute(query).fetchall()


def marks(program: Program, kind: str) -> set[tuple[str, int, int]]:
    """The jobs that have left a mark of a kind, each with its run and attempt."""
    found = (path.name.split(".") for path in program.folder.glob(f"{kind}.*"))
    return {(job, int(run), int(attempt)) for _, job, run, attempt in found}


def wait_for_jobs(program: Program) -> None:
    """Wait until no process is in the program's folder: jobs that outlived their runner have ended."""
    folder = str(program.folder)

    def inside() -> bool:
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{name}/cwd") == folder:
                    return True
        return False

    wait_until(lambda: not inside(), f"the end of the jobs in {folder}")


def as_shown(run: Recorded) -> Recorded:
    """A run whose runner is gone, as every screen must show it."""
    if run.status != "RUNNING":
        return run
    instead = {"RUNNING": "INTERRUPTED", "PENDING": "SKIPPED"}
    return Recorded("INTERRUPTED", {job: instead.get(status, status) for job, status in run.jobs.items()})


def check_witnesses(program: Program, runs: Mapping[int, Recorded], needs: Mapping[str, Sequence[str]]) -> None:
    """What jobs have left behind agrees with what a history says of them, and nothing they saw was lost."""
    ended = marks(program, "end")
    for job, run_id, attempt in marks(program, "start"):
        assert run_id in runs, f"{job} was started in run {run_id}, which is not recorded"
        status = runs[run_id].jobs
        assert status[job] != "PENDING", f"{job} was started, and is not recorded so"
        witness = program.folder / f"seen.{job}.{run_id}.{attempt}"
        saw = dict(line.split() for line in witness.read_text().splitlines())
        assert saw[job] == "RUNNING"
        for other in needs[job]:
            assert saw[other] == status[other] == "SUCCESS", f"{job} was started before {other} had succeeded"
        for other, was in saw.items():
            if was not in ("PENDING", "RUNNING"):
                assert status[other] == was, f"{other} was {was} when {job} began, and is {status[other]}"
            elif was == "RUNNING":
                assert status[other] != "PENDING"
    for run_id, run in runs.items():
        for job, status in run.jobs.items():
            if job in needs and status == "SUCCESS":
                assert {one[0] for one in ended if one[1] <= run_id} >= {job}, f"{job} did not end"


def check_after_kill(
    program: Program, needs: Mapping[str, Sequence[str]] = NEEDS, workers: int = 2, *, jobs_too: bool = True
) -> dict[int, Recorded]:
    """The runner was killed: all that must hold of the history at once. Returns what it says.

    ``jobs_too``: see also what the screen of the newest run says of each job.
    """
    wait_for_jobs(program)
    if not program.history.exists():
        assert marks(program, "start") == set()
        return {}
    assert integrity(program.history) == ["ok"]
    assert schema(program.history) == intended_schema()
    runs = recorded(program.history)
    check_witnesses(program, runs, needs)
    for run_id, run in runs.items():
        waiting = [status for status in run.jobs.values() if status in ("PENDING", "RUNNING")]
        assert run.status == "RUNNING" or not waiting, f"run {run_id} has ended, some of its jobs have not"
        assert waiting.count("RUNNING") <= workers
    check_shown(program, runs, jobs_too=jobs_too)
    return runs


def check_shown(program: Program, runs: Mapping[int, Recorded], *, jobs_too: bool) -> None:
    """Lists and screens show each run as it is, a dead one as INTERRUPTED, and change nothing."""
    before = content(program.history)
    listed = look(program, "--list-runs", "--format", "json")
    assert {run["run_id"]: run["status"] for run in listed} == {
        run_id: as_shown(run).status for run_id, run in runs.items()
    }
    if runs and jobs_too:
        newest = max(runs)
        shown = look(program, "--show-run", str(newest), "--format", "json")
        assert {job["id"]: job["status"] for job in shown["jobs"]} == as_shown(runs[newest]).jobs
    assert content(program.history) == before


def look(program: Program, *args: str) -> Any:
    """The JSON of a reading command, which must succeed without a word on stderr."""
    result = program(*args)
    assert (result.code, result.err) == (0, ""), result
    return json.loads(result.out)


def content(path: Path) -> list[bytes | None]:
    """The bytes of a database and of its write-ahead log."""
    parts = (Path(f"{path}{ending}") for ending in ("", "-wal"))
    return [part.read_bytes() if part.exists() else None for part in parts]


def go_on(program: Program, runs: Mapping[int, Recorded], needs: Mapping[str, Sequence[str]] = NEEDS) -> None:
    """What is typed next works at once, ends well, and runs nothing again whose success was recorded."""
    (program.folder / "fails").unlink(missing_ok=True)
    ours = [run_id for run_id, run in runs.items() if run.jobs.keys() == needs.keys()]
    done = runs[max(ours)].jobs if ours else {}
    resume = ("--resume-from", "last") if ours else ()
    result = program("-c", "flow.json", *FLAGS, *resume)
    assert result.code == 0, result
    assert "Traceback" not in result.err
    if set(done.values()) == {"SUCCESS"}:
        return
    # looked at before any reader of ours, which leaves files beside a WAL database
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    after = recorded(program.history)
    new = max(after)
    assert after[new] == Recorded("SUCCESS", dict.fromkeys(needs, "SUCCESS"))
    started = {job for job, run_id, _ in marks(program, "start") if run_id == new}
    assert started == {job for job in needs if done.get(job) != "SUCCESS"}
    reused = {job for job, row in program.jobs(new).items() if row["source_run_id"] is not None}
    assert reused == needs.keys() - started
    for run_id, run in runs.items():
        assert after[run_id] == as_shown(run), f"run {run_id} is recorded otherwise now"
        if run.status == "RUNNING":
            row = program.run_row(run_id)
            assert (row["end_time"], row["exit_code"], row["duration_seconds"]) == (None, None, None)
    assert len(after) == len(runs) + 1
    assert integrity(program.history) == ["ok"]
    assert schema(program.history) == intended_schema()


class Stage:
    """A folder and home that can be put back to where they were, so that many cases begin alike."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._saved = [(path, path.with_name(path.name + "-saved")) for path in (program.folder, program.home)]

    def save(self) -> None:
        """Remember how everything is now."""
        for path, saved in self._saved:
            shutil.copytree(path, saved, symlinks=True)

    def reset(self) -> Program:
        """Put everything back."""
        for path, saved in self._saved:
            shutil.rmtree(path)
            shutil.copytree(saved, path, symlinks=True)
        return self.program


def in_lanes(stages: Sequence[_T], cases: Sequence[_C], try_one: Callable[[_T, _C], object]) -> None:
    """Try cases side by side, each stage having one at a time; the first error is raised."""

    def lane(at: int) -> None:
        for case in cases[at :: len(stages)]:
            try_one(stages[at], case)

    with ThreadPoolExecutor(len(stages)) as pool:
        for future in [pool.submit(lane, at) for at in range(len(stages))]:
            future.result()


def spread(number: int, most: int, first: int = 1) -> list[int]:
    """At most so many of the numbers from ``first`` on, spread evenly; the last one is among them."""
    if number <= most:
        return list(range(first, first + number))
    return sorted({first + round(at * (number - 1) / (most - 1)) for at in range(most)})


@contextlib.contextmanager
def stopped(process: "subprocess.Popen[str]") -> Iterator[bool]:
    """Wait until a program has stopped itself, or ended, which is False; it goes on afterwards unless killed."""

    def settled() -> bool:
        return process.poll() is not None or state_of(process.pid) == "T"

    wait_until(settled, "the program to stop")
    try:
        yield process.returncode is None
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)


def outcome(process: "subprocess.Popen[str]") -> Result:
    """How a started program ended; waits for it."""
    out, err = process.communicate(timeout=60)
    return Result(process.returncode, out, err)
