"""Power cuts: the write-ahead log cut, zeroed, changed or gone, and what the program then makes of the history.

A power cut may take back what was written since the last sync, or leave any part of it. What it leaves must be
a state that was once committed, and what was synced must be there: the creation of runs and their ends.
"""

import contextlib
import random
import shutil
import signal
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from faults_tools import Instrumented, copy_history
from harness import Program, ended
from kill_tools import (
    FLAGS,
    NEEDS,
    Recorded,
    as_shown,
    look,
    marks,
    outcome,
    recorded,
    stopped,
    wait_for_jobs,
    workflow,
)

pytestmark = pytest.mark.promise(3)
_HEADER, _FRAME_HEADER = 32, 24  # SQLite file format, 4.1


class Crashed(NamedTuple):
    """A history whose runner was killed.

    Attributes:
        program: whose it is; its runs have ended and its jobs too.
        path: the database, with its write-ahead log beside it.
        log: the log's bytes.
        commits: where in the log each commit ends; the first is 0, the database without it.
        synced: how much of the log was synced to the disk when run 2 began to start jobs, at least.
        states: what the history says after each of these commits.
    """

    program: Program
    path: Path
    log: bytes
    commits: list[int]
    synced: int
    states: list[dict[int, Recorded]]


def commits(log: bytes) -> list[int]:
    """Where in a write-ahead log each commit ends, 0 first."""
    [page] = struct.unpack_from(">I", log, 8)
    salts = log[16:24]
    ends = [0]
    for at in range(_HEADER, len(log) - page - _FRAME_HEADER + 1, page + _FRAME_HEADER):
        [size] = struct.unpack_from(">I", log, at + 4)
        if log[at + 8 : at + 16] != salts:
            break
        if size:
            ends.append(at + _FRAME_HEADER + page)
    return ends


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    """Run 1 ended as FAILED beside a live run, which is killed in the middle of its work: all in one log."""
    program = Instrumented(tmp_path_factory.mktemp("power") / "work")
    workflow(program)
    # a run that holds the write-ahead log open, so that no end of another folds it in
    program.config({"z": "true"}, name="other.json")
    assert program("-c", "other.json").code == 0
    with contextlib.closing(sqlite3.connect(program.history)) as holder:
        assert holder.execute("SELECT count(*) FROM run_metadata").fetchone() == (1,)
        assert program("-c", "flow.json", *FLAGS).code == 1
        log = Path(f"{program.history}-wal")
        runner = program.start("-c", "flow.json", *FLAGS, env={"EXECUTIONER_TEST_FAULT": "stop spawn before 1"})
        with ended(runner):
            with stopped(runner) as is_stopped:
                assert is_stopped
                # its creation is synced; that its first job is RUNNING need not be
                ends = commits(log.read_bytes())
                synced = ends[-2]
            assert outcome(runner).code == 1
        # and one that is killed
        assert (
            program("-c", "flow.json", *FLAGS, env={"EXECUTIONER_TEST_FAULT": "kill commit after 4"}).code
            == -signal.SIGKILL
        )
        wait_for_jobs(program)
        path = program.home / "crashed/h.db"
        path.parent.mkdir()
        copy_history(program.history, path)
    data = Path(f"{path}-wal").read_bytes()
    found = commits(data)
    states = []
    scratch = program.home / "scratch.db"
    for end in found:
        damaged(path, scratch, data[:end])
        states.append(recorded(scratch))
    return Crashed(program, path, data, found, synced, states)


def damaged(source: Path, target: Path, log: bytes | None) -> None:
    """A copy of a database with another write-ahead log, or none, and without shared memory."""
    for ending in ("-wal", "-shm"):
        Path(f"{target}{ending}").unlink(missing_ok=True)
    shutil.copyfile(source, target)
    if log is not None:
        Path(f"{target}-wal").write_bytes(log)


def test_the_commits_are_those_of_the_promises(crashed: Crashed) -> None:
    """Each commit leads from one lawful state to the next: runs appear whole, and no job goes back."""
    order = ["PENDING", "RUNNING", "ended"]
    assert len(crashed.states) > 15
    for before, after in zip(crashed.states, crashed.states[1:], strict=False):
        assert before.keys() <= after.keys()
        for run_id, run in after.items():
            assert run.jobs.keys() == (NEEDS.keys() if run_id > 1 else {"z"})
            for job, status in run.jobs.items():
                was = before[run_id].jobs[job] if run_id in before else "PENDING"
                new, old = (order.index(one if one in order else "ended") for one in (status, was))
                assert new >= old
                assert old < 2 or status == was
                if old < 1 < new:
                    assert status == "SKIPPED"
                if status != "PENDING" and status != "SKIPPED" and run_id > 1:
                    assert all(run.jobs[other] == "SUCCESS" for other in NEEDS[job])
    assert crashed.states[-1][4].status == "RUNNING"


def lengths(crashed: Crashed, rng: random.Random, nightly: bool) -> list[int]:
    """Where to cut the log: at each frame, one byte beside, in the headers, and anywhere."""
    [page] = struct.unpack_from(">I", crashed.log, 8)
    frames = range(_HEADER, len(crashed.log) + 1, page + _FRAME_HEADER)
    near = [frame + by for frame in frames for by in (-1, 0, 1, _FRAME_HEADER)]
    anywhere = rng.choices(range(len(crashed.log)), k=5000 if nightly else 100)
    return [at for at in [0, 1, 31, *near, *anywhere] if 0 <= at <= len(crashed.log)]


def test_a_log_cut_anywhere_is_a_state_that_was_committed(
    crashed: Crashed, tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Cut at any length, the history is just what it was after the last commit that is whole."""
    seed = 3
    where = lengths(crashed, random.Random(seed), nightly)
    scratch = tmp_path / "h.db"
    for length in where:
        damaged(crashed.path, scratch, crashed.log[:length])
        expected = max(at for at, end in enumerate(crashed.commits) if end <= length)
        assert recorded(scratch) == crashed.states[expected], f"cut at {length}, seed {seed}"
    cases(len(where))


def harmed(log: bytes, rng: random.Random, first: int) -> bytes:
    """A log of which what comes after the first so many bytes was harmed in a way that a power cut can."""
    data = bytearray(log)
    way = rng.choice(["cut", "zeros", "flip", "sectors", "rubbish", "old"])
    at = rng.randrange(first, len(log))
    match way:
        case "cut":
            del data[at:]
        case "zeros":  # the file had grown, its content was not written
            data[at:] = bytes(len(data) - at)
        case "flip":
            data[at] ^= 1 << rng.randrange(8)
        case "sectors":  # some sectors were written and some were not
            for sector in range(-(-first // 512), -(-len(log) // 512)):
                if rng.random() < 0.3:
                    data[sector * 512 : (sector + 1) * 512] = bytes(512)
            del data[len(log) :]
        case "rubbish":
            data[at : at + 4096] = rng.randbytes(len(data[at : at + 4096]))
        case "old":  # a sector still has what another frame had written there
            other = rng.randrange(len(log))
            data[at : at + 512] = log[other : other + len(data[at : at + 512])]
    return bytes(data)


def test_a_log_harmed_anywhere_is_a_state_that_was_committed(
    crashed: Crashed, tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Bits flipped, sectors missing, zeros, rubbish: a commit counts only while all up to it is whole."""
    scratch = tmp_path / "h.db"
    number = 20_000 if nightly else 300
    for seed in range(number):
        log = harmed(crashed.log, random.Random(seed), 0)
        damaged(crashed.path, scratch, log)
        whole = max(at for at, end in enumerate(crashed.commits) if log[:end] == crashed.log[:end])
        assert recorded(scratch) == crashed.states[whole], f"seed {seed}"
    cases(number)


def test_what_was_synced_survives(
    crashed: Crashed, tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Whatever a power cut does to what was written since: ended runs are whole, the new one has all its jobs."""
    scratch = tmp_path / "h.db"
    number = 20_000 if nightly else 300
    for seed in range(number):
        damaged(crashed.path, scratch, harmed(crashed.log, random.Random(seed), crashed.synced))
        found = recorded(scratch)
        assert found[2] == crashed.states[-1][2], f"seed {seed}"
        assert (found[2].status, found[3].jobs.keys()) == ("FAILED", NEEDS.keys()), f"seed {seed}"
    cases(number)


# --- the program -------------------------------------------------------------------------------


def test_the_program_goes_on_after_a_power_cut(
    crashed: Crashed, tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """With whatever log is left it lists, shows and resumes; only what the history has as SUCCESS is reused.

    What a job really did decides: nothing is SUCCESS that did not end well.
    """
    number = 300 if nightly else 12
    # where the history says that the config and the jobs' folder are
    program = Program(crashed.program.folder)
    for seed in range(number):
        rng = random.Random(seed)
        path, plain = tmp_path / f"h{seed}.db", tmp_path / "plain.db"
        log = harmed(crashed.log, rng, rng.choice([0, crashed.synced]))
        if seed < 3:
            log = [None, b"", crashed.log[: rng.choice(crashed.commits)]][seed]
        damaged(crashed.path, path, log)
        if rng.random() < 0.5:  # shared memory of another moment, as a copy may bring it along
            Path(f"{path}-shm").write_bytes(rng.choice([b"", bytes(32768), rng.randbytes(32768)]))
        damaged(crashed.path, plain, log)
        try:
            check_program(program, path, recorded(plain))
        except AssertionError as exc:
            exc.add_note(f"seed {seed}")
            raise
    cases(number)


def check_program(program: Program, path: Path, left: dict[int, Recorded]) -> None:
    """What the program says of a history and makes of it, which says this itself."""
    db = ("--db", str(path))
    listed = look(program, *db, "--list-runs", "--format", "json")
    assert {run["run_id"]: run["status"] for run in listed} == {
        run_id: as_shown(run).status for run_id, run in left.items()
    }
    newest = max(left)
    shown = look(program, *db, "--show-run", str(newest), "--format", "json")
    assert {job["id"]: job["status"] for job in shown["jobs"]} == as_shown(left[newest]).jobs
    well = {(job, run) for job, run, _ in marks(program, "end")}
    for run_id, run in left.items():
        assert all((job, run_id) in well for job, status in run.jobs.items() if status == "SUCCESS" and job != "z")
    (program.folder / "fails").unlink(missing_ok=True)
    resume = ("--resume-from", "last") if newest > 1 else ()
    with put_away(program.folder):
        result = program(*db, "-c", "flow.json", *FLAGS, *resume)
        started = marks(program, "start")
    assert (result.code, result.err) == (0, ""), result
    after = recorded(path)
    new = max(after)
    assert after[new] == Recorded("SUCCESS", dict.fromkeys(NEEDS, "SUCCESS"))
    done = {job for job, status in left[newest].jobs.items() if status == "SUCCESS"}
    assert {job for job, run, _ in started} == NEEDS.keys() - done
    # the new run's number is above all that are left
    assert {run_id: after[run_id] for run_id in left} == {run_id: as_shown(run) for run_id, run in left.items()}


@contextlib.contextmanager
def put_away(folder: Path) -> Iterator[None]:
    """Without what the jobs of earlier runs have left: new runs may have their numbers, if theirs were lost."""
    kinds = ("start.*", "seen.*", "end.*")
    earlier = [path for kind in kinds for path in folder.glob(kind)]
    for path in earlier:
        path.rename(folder / f"earlier-{path.name}")
    try:
        yield
    finally:
        for path in [path for kind in kinds for path in folder.glob(kind)]:
            path.unlink()
        for path in earlier:
            (folder / f"earlier-{path.name}").rename(path)
