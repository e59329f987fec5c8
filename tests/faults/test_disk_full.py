"""No room, or a broken disk, for the history and for logs: nothing is called a success that is not on record."""

import contextlib
import json
import os
import random
import resource
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_tools import copy_history, ext4_disk, failing, small_disk
from harness import ROOT, Program, Result, ended, gate
from history_tools import integrity

LOG = "logs/executioner.flow.job-{}.run-{}.log"
#: A diamond of jobs, each with those that it depends on.
JOBS = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def diamond(program: Program, first: str = "true", **keys: Any) -> None:
    """Write a workflow of four jobs that leave marks beside the config; ``first`` is what ``a`` does besides."""
    program.config(
        [
            {
                "id": name,
                "command": f"echo x > mark.$EXECUTIONER_RUN_ID.{name}; {first if name == 'a' else 'true'}",
                "dependencies": list(before),
            }
            for name, before in JOBS.items()
        ],
        **keys,
    )


def started(program: Program, run_id: int) -> set[str]:
    """The jobs of a run that were really started."""
    return {path.name.split(".")[2] for path in program.folder.glob(f"mark.{run_id}.*")}


def newest(program: Program) -> int:
    """The greatest id of a run that is on record; 0 where there is none."""
    if not program.history.exists():
        return 0
    return int(program.rows("SELECT coalesce(max(run_id), 0) AS n FROM run_metadata")[0]["n"])


def spool_of(folder: Path, run_id: int) -> Path:
    """Where a run's results are kept that the history could not take."""
    return folder / f"executioner.flow.run-{run_id}.spool.json"


def judge(program: Program, result: Result, what: str, run_id: int = 1, logs: Path | None = None) -> str:
    """See that a run of the diamond kept the promise whatever failed; returns how it went.

    "refused": nothing was run. "broken": the history failed on the way. "well": all is recorded.
    """
    logs = logs or program.folder / "logs"
    said = result.out + result.err
    what = f"{what}: {result}"
    assert "Traceback" not in said and "Internal error" not in said, what
    assert integrity(program.history) == ["ok"] if program.history.exists() else True, what
    marks = started(program, run_id)
    rows = program.rows("SELECT * FROM run_metadata WHERE run_id = ?", run_id) if program.history.exists() else []
    if not rows:
        assert (result.code, marks) == (3, set()), what
        assert result.err.startswith("Error: ") and str(program.history) in result.err, what
        return "refused"
    jobs = program.jobs(run_id)
    # RUNNING is on record before a job starts, and the success of what it depends on as well
    assert marks <= {name for name, row in jobs.items() if row["status"] != "PENDING"}, what
    done = {name for name, row in jobs.items() if row["status"] == "SUCCESS"}
    assert all(done.issuperset(JOBS[name]) for name in marks), what
    assert done <= marks, what
    spool = spool_of(logs, run_id)
    if result.code == 0:
        assert (rows[0]["status"], rows[0]["exit_code"], done, marks) == ("SUCCESS", 0, set(JOBS), set(JOBS)), what
        assert not spool.exists(), what
        return "well"
    assert result.code == 3, what
    assert (rows[0]["status"], rows[0]["exit_code"]) == ("RUNNING", None), what
    assert "SUCCESS" not in said, what
    assert f"Error: Run {run_id} could not be recorded: " in result.err, what
    if spool.exists():
        assert f"Its results are kept in {spool}" in result.err, what
        content = json.loads(spool.read_text())
        assert (content["run_id"], content["history"]) == (run_id, str(program.history)), what
        kept: dict[str, dict[str, Any]] = {name: dict(row) for name, row in jobs.items()}
        for entry in content["jobs"]:
            kept[entry["id"]].update(entry)
        # history and spool together know how each job ended
        no_log = {name for name, row in kept.items() if "its log cannot be written" in (row["reason"] or "")}
        ends = {name: "SUCCESS" if name in marks else "ERROR" if name in no_log else "SKIPPED" for name in JOBS}
        assert {name: row["status"] for name, row in kept.items()} == ends, what
        status = "FAILED" if no_log and not content["run"]["skipped_jobs"] else "INTERRUPTED"
        assert (content["run"]["status"], content["run"]["exit_code"]) == (status, 3), what
    else:
        assert f"Its results could not be kept in {spool} either: " in result.err, what
    return "broken"


def goes_on(program: Program, run_id: int, logs: Path | None = None) -> None:
    """See that a resume refuses while the spool lies there, and that without it everything comes to an end."""
    spool = spool_of(logs or program.folder / "logs", run_id)
    before = started(program, run_id + 1)
    if spool.exists():
        refused = program("-c", "flow.json", "--resume-from", str(run_id))
        assert (refused.code, refused.out) == (3, "") and str(spool) in refused.err
        assert started(program, run_id + 1) == before
        spool.unlink()
    result = program("-c", "flow.json", "--resume-from", str(run_id))
    assert result.code == 0, result
    if set(program.statuses(run_id).values()) == {"SUCCESS"}:  # only the run's own end is not on record
        assert result.err.startswith(f"Nothing to resume: all 4 jobs of run {run_id} succeeded")
        return
    assert program.run_row(run_id)["status"] == "INTERRUPTED"
    assert program.statuses(run_id + 1) == dict.fromkeys(JOBS, "SUCCESS")
    assert integrity(program.history) == ["ok"]


def fill(disk: Path) -> None:
    """Let nothing more fit on a disk."""
    with (disk / "filler").open("ab", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))


def free(disk: Path) -> None:
    """Make room again."""
    for path in disk.glob("filler*"):
        path.unlink()


# --- a real disk that is full ---------------------------------------------------------------------


@pytest.mark.promise(9)
@pytest.mark.parametrize("where", ["history", "history and logs"])
def test_a_disk_that_fills_up_in_mid_run(
    program: Program, nightly: bool, cases: Callable[[int], None], where: str
) -> None:
    """A job leaves a few kilobytes on the disk of the history, and of the logs: either all of the run is on
    record, or it exits 3, starts nothing more and keeps all results; with room again the run is resumed.
    """
    # the history grows with each of the runs: many of them need a larger disk
    size, left_kib = ("4m", (*range(0, 200, 8), 2000)) if nightly else ("768k", (0, 16, 400))
    ways = []
    with small_disk(program.folder / "disk", f"size={size}") as disk:
        program.history = disk / "history.db"
        logs = disk / "logs" if "logs" in where else program.folder / "logs"
        diamond(program, "sh ./fill", log_dir=str(logs), history_db=str(program.history))
        for kib in left_kib:
            run_id = newest(program) + 1
            fill = f"cat /dev/zero > disk/filler 2> /dev/null; truncate -s -{kib}K disk/filler"
            (program.folder / "fill").write_text(fill)
            result = program("-c", "flow.json")
            free(disk)
            ways.append(judge(program, result, f"{where}, {kib} KiB left", run_id, logs))
            if ways[-1] == "broken":
                assert "No space" in result.err or "full" in result.err or "I/O error" in result.err, result
                assert spool_of(logs, run_id).exists()
            (program.folder / "fill").write_text("true")
            if ways[-1] == "broken":
                goes_on(program, run_id, logs)
            for path in logs.glob("*.log"):
                path.unlink()
    assert ways[0] == "broken" and ways[-1] == "well", ways
    cases(len(ways))


def filled(program: Program, disk: Path) -> None:
    """Write a diamond whose first job fills the disk that history and logs are on."""
    program.history = disk / "history.db"
    (program.folder / "fill").write_text("cat /dev/zero > disk/filler 2> /dev/null; true")
    diamond(program, "sh ./fill", log_dir="disk/logs", history_db="disk/history.db")


@pytest.mark.promise(9)
def test_results_for_which_nothing_is_free(program: Program) -> None:
    """History and log folder are on one disk, of which no byte is free: exit 3, and the results are kept in the
    room that was taken for them at the start; with room again they are put back, and nothing is run twice.
    """
    with small_disk(program.folder / "disk", "size=512k") as disk:
        filled(program, disk)
        result = program("-c", "flow.json")
        assert judge(program, result, "full", logs=disk / "logs") == "broken"
        spool = spool_of(disk / "logs", 1)
        assert spool.stat().st_mode & 0o7777 == 0o600
        assert {entry["id"] for entry in json.loads(spool.read_text())["jobs"]} == set(JOBS)
        free(disk)
        assert program("--import-spool", str(spool)).code == 0
        assert program.statuses(1) == {"a": "SUCCESS", "b": "ERROR", "c": "SKIPPED", "d": "SKIPPED"}
        assert program("-c", "flow.json", "--resume-from", "1").code == 0
        assert started(program, 2) == {"b", "c", "d"}


@pytest.mark.promise(9)
def test_where_both_streams_are_one_the_error_stands_apart(program: Program) -> None:
    """With ``2>&1`` the summary ends, then after an empty line it is said that the run could not be recorded."""
    with small_disk(program.folder / "disk", "size=512k") as disk:
        filled(program, disk)
        both = program.start("-c", "flow.json", stderr=subprocess.STDOUT)
        out, _ = both.communicate(timeout=60)
        assert both.returncode == 3
        assert out.count("\n\nError: Run 1 could not be recorded: ") == 1


@pytest.mark.promise(3, 9)
def test_room_that_is_taken_for_results_comes_back(program: Program) -> None:
    """While a run is on, 64 KiB or more are taken on the disk of the logs, under no name; after kill -9 they are
    free again.
    """
    with small_disk(program.folder / "logs", "size=1m") as disk:
        program.config({"a": "echo x > up; exec sleep 1000"})

        def free_bytes() -> int:
            found = os.statvfs(disk)
            return found.f_bavail * found.f_bsize

        before = free_bytes()
        with ended(program.start("-c", "flow.json")) as runner:
            program.wait_for("up")
            named = sum(path.stat().st_blocks * 512 for path in disk.iterdir())
            assert 64 * 1024 <= before - free_bytes() - named <= 80 * 1024
            runner.kill()
            runner.wait()
        left = sum(path.stat().st_blocks * 512 for path in disk.iterdir())
        assert before - free_bytes() == left


@pytest.mark.promise(9)
@pytest.mark.parametrize(
    ("wide", "retries", "ids"),
    [(40, 9, 1), (300, 0, 1), (1, 0, 128)],
    ids=["retries", "many side by side", "long ids"],
)
def test_many_results_for_which_nothing_is_free(program: Program, wide: int, retries: int, ids: int) -> None:
    """However many jobs run when the disk becomes full, however often each was tried, however long the ids of
    those that are skipped: all results are kept.
    """
    with small_disk(program.folder / "disk", "size=30m") as disk:
        program.history = disk / "history.db"
        last = f'[ "$EXECUTIONER_ATTEMPT" -gt {retries} ] || exit 1; echo x >> begun; read line < full; exit 7'
        jobs = [
            {"id": f"{at:0{ids}d}", "command": last, "max_retries": retries, "retry_delay": 0}
            for at in range(wide)
        ]
        rest = [
            {"id": f"r{at:0{max(1, ids - 1)}d}", "command": "true", "dependencies": ["fill"]} for at in range(2000)
        ]
        fill = f"until [ $(wc -l < begun) = {wide} ]; do sleep 0.1; done; cat /dev/zero > disk/filler 2> /dev/null"
        fill += "; for n in $(seq 1000); do echo; done > full"
        program.config(
            [*jobs, {"id": "fill", "command": f"{fill}; exit 1"}, *rest],
            log_dir="disk/logs",
            history_db="disk/history.db",
            max_workers=wide + 1,
            parallel=True,
        )
        (program.folder / "begun").touch()
        os.mkfifo(program.folder / "full")
        result = program("-c", "flow.json", timeout=120)
        assert result.code == 3, result
        spool = spool_of(disk / "logs", 1)
        assert f"Its results are kept in {spool}" in result.err, result
        free(disk)
        assert program("--import-spool", str(spool)).code == 0
        found = program.statuses(1).values()
        assert sorted(found) == ["FAILED"] * (wide + 1) + ["SKIPPED"] * 2000


@pytest.mark.promise(9)
@pytest.mark.parametrize(
    ("wide", "retries", "tried"),
    [(400, 1, 1), (1, 3000, 900)],
    ids=["many jobs that wait", "a job with many attempts"],
)
def test_results_of_jobs_that_are_tried_again(program: Program, wide: int, retries: int, tried: int) -> None:
    """However many jobs wait for another attempt when the disk becomes full, and however many they had, more than
    have workers: all results are kept.
    """
    with small_disk(program.folder / "disk", "size=200m") as disk:
        program.history = disk / "history.db"
        last = f'[ "$EXECUTIONER_ATTEMPT" -lt {tried} ] || {{ echo x >> begun; exit 3; }}; exit 4'
        delay = {"max_retries": retries, "retry_delay": 0 if tried > 1 else 60}
        if tried > 1:
            last = last.replace("exit 3", "read line < full; exit 3")
        fill = f"until [ $(wc -l < begun) = {wide} ]; do sleep 0.1; done; cat /dev/zero > disk/filler 2> /dev/null"
        jobs = [{"id": "fill", "command": f"{fill}; touch filled; timeout 1 tee full < begun; true"}]
        jobs += [{"id": f"j{at}", "command": last, **delay} for at in range(wide)]
        keys = {"log_dir": "disk/logs", "history_db": "disk/history.db", "parallel": True, "max_workers": 4}
        program.config(jobs, continue_on_error=True, **keys)
        (program.folder / "begun").touch()
        os.mkfifo(program.folder / "full")
        result = program("-c", "flow.json", timeout=120)
        assert result.code == 3, result
        spool = spool_of(disk / "logs", 1)
        assert f"Its results are kept in {spool}" in result.err, result
        free(disk)
        assert program("--import-spool", str(spool)).code == 0
        assert program.statuses(1) == {**{f"j{at}": "FAILED" for at in range(wide)}, "fill": "SUCCESS"}


@pytest.mark.promise(9)
def test_jobs_whose_logs_do_not_fit_either(program: Program) -> None:
    """Hundreds of jobs are ready when history and logs do not fit any more: of those that cannot have a log no
    more end than there is room for, the rest is skipped.
    """
    with small_disk(program.folder / "disk", "size=12m") as disk:
        program.history = disk / "history.db"
        jobs = [{"id": "fill", "command": "cat /dev/zero > disk/filler 2> /dev/null; true"}]
        jobs += [{"id": f"j{at}", "command": "true"} for at in range(1000)]
        program.config(jobs, continue_on_error=True, log_dir="disk/logs", history_db="disk/history.db")
        result = program("-c", "flow.json")
        assert result.code == 3, result
        spool = spool_of(disk / "logs", 1)
        assert f"Its results are kept in {spool}" in result.err, result
        free(disk)
        assert program("--import-spool", str(spool)).code == 0
        found = list(program.statuses(1).values())
        assert (found[0], found.count("ERROR"), found.count("SKIPPED")) == ("SUCCESS", 1, 999)


@pytest.mark.promise(9)
def test_a_log_folder_in_which_no_log_can_be_made(program: Program) -> None:
    """Where the history can be written, each job that cannot have a log ends with ERROR, and the run ends."""
    jobs = [{"id": "first", "command": "rm -r logs; touch logs"}]
    program.config([*jobs, *({"id": f"j{at}", "command": "true"} for at in range(50))], continue_on_error=True)
    result = program("-c", "flow.json", timeout=60)
    assert result.code == 1, result
    assert list(program.statuses(1).values()) == ["SUCCESS", *["ERROR"] * 50]


@pytest.mark.promise(9)
@pytest.mark.parametrize("calls", ["fallocate,ftruncate,fstatfs", "fallocate,ftruncate", "fstatfs"])
def test_room_on_a_disk_that_breaks(program: Program, calls: str) -> None:
    """Jobs fail, wait and fail again on a log disk where no room for results can be taken any more: that is no
    matter for the run, whose history can be written.
    """
    jobs = [{"id": f"j{at}", "command": "exit 3", "max_retries": 1, "retry_delay": 1} for at in range(60)]
    program.config(jobs, continue_on_error=True, parallel=True, max_workers=4)
    result = failing(program, f"{calls}:error=EIO:when=2+", [], "-c", "flow.json")
    assert result.code == 1, result
    assert set(program.statuses(1).values()) == {"FAILED"}


@pytest.mark.promise(9)
@pytest.mark.parametrize(("wide", "left"), [(8, 0), (8, 1)], ids=["last attempt", "one is left"])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/opt/tools/bin", "nosuch"),
        ("/ö日本語", "nosuch"),
        ("/🚀", "nosuch"),
        ("/x", "/opt/" + "tools/" * 400 + "x"),
    ],
    ids=["PATH", "letters of other languages", "emoji", "program"],
)
def test_long_reasons_for_which_nothing_is_free(
    program: Program, wide: int, left: int, path: str, name: str
) -> None:
    """As many workers as there are: each job's reason is long, each attempt's too, and all are kept."""
    with small_disk(program.folder / "disk", "size=4m") as disk:
        program.history = disk / "history.db"
        last = f'{name} || [ "$EXECUTIONER_ATTEMPT" -gt 5 ] || exit 127; echo x >> begun'
        last += "; until [ -e full ]; do sleep 0.1; done; exit 127"
        jobs = [{"id": f"j{at}", "command": last, "max_retries": 5 + left} for at in range(wide)]
        jobs = [{**job, "retry_delay": 0} for job in jobs]
        fill = f"until [ $(wc -l < begun) = {wide} ]; do sleep 0.1; done; cat /dev/zero > disk/filler 2> /dev/null"
        jobs.append({"id": "fill", "command": f"{fill}; touch full; true"})
        keys = {"log_dir": "disk/logs", "history_db": "disk/history.db", "parallel": True, "max_workers": wide + 1}
        program.config(jobs, continue_on_error=True, **keys)
        (program.folder / "begun").touch()
        result = program("-c", "flow.json", env={"PATH": f"/usr/bin:/bin:{path * 300}"}, timeout=120)
        assert result.code == 3, result
        free(disk)
        assert program("--import-spool", str(spool_of(disk / "logs", 1))).code == 0
        assert program.statuses(1) == {**{f"j{at}": "FAILED" for at in range(wide)}, "fill": "SUCCESS"}


@pytest.mark.promise(9)
def test_room_within_a_limit_of_file_sizes(program: Program) -> None:
    """Where no file may be as large as all results of a run might take, room is taken within that limit."""
    code = "import os, sys; from executioner.folders import take_room; fd = take_room('.', 5_000_000)"
    code += "; print(os.fstat(fd).st_blocks * 512)"
    command = f"ulimit -f 1000; exec {sys.executable} -c {shlex.quote(code)}"
    env = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", command], cwd=program.folder, env=env, capture_output=True, check=True)
    assert 256 * 1024 <= int(done.stdout) <= 512 * 1024


@pytest.mark.promise(9)
def test_room_within_a_quota(program: Program) -> None:
    """Of a quota, which the disk's free space does not tell of, no more than half is taken."""
    code = (
        "import errno, os\n"
        "from executioner.folders import take_room\n"
        "def within(fd, at, size, allocate=os.posix_fallocate):\n"
        "    if at + size > 1000 * 1024:\n"
        "        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))\n"
        "    allocate(fd, at, size)\n"
        "os.posix_fallocate = within\n"
        "for size in (3_900_000, 1_100_000):\n"
        "    print(os.fstat(take_room('.', size)).st_blocks * 512)\n"
    )
    env = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=program.folder, env=env, capture_output=True, check=True)
    assert all(250 * 1024 <= int(size) <= 500 * 1024 for size in done.stdout.split()), done.stdout


@pytest.mark.promise(9)
def test_the_room_of_a_large_run_leaves_half_of_a_small_disk(program: Program) -> None:
    """On ext4, which keeps what it could of a request that was too large: half is left to the logs."""
    with ext4_disk(program.folder / "disk", mib=16) as disk:
        jobs = [{"id": f"j{at:0120d}", "command": "true"} for at in range(20_000)]
        program.config([{"id": "first", "command": "echo x > up; read line < gate"}, *jobs], log_dir="disk/logs")

        def free_bytes() -> int:
            found = os.statvfs(disk)
            return found.f_bavail * found.f_bsize

        (disk / "filler").write_bytes(bytes(free_bytes() - 4 * 1024 * 1024))
        before = free_bytes()
        with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")) as runner:
            program.wait_for("up")
            assert 0.4 * before < free_bytes() < 0.6 * before
            runner.kill()
            runner.wait()


@pytest.mark.promise(9)
def test_less_room_than_all_results_may_take(program: Program) -> None:
    """Where a run begins with little free on the disk, half of that is taken for results, and suffices for
    those of a run that goes as usual.
    """
    with small_disk(program.folder / "disk", "size=512k") as disk:
        filled(program, disk)
        rest = [f"j{at}" for at in range(100)]
        jobs = [{"id": name, "command": "true", "dependencies": ["fill"]} for name in rest]
        keys = {"log_dir": "disk/logs", "history_db": "disk/history.db", "parallel": True, "max_workers": 100}
        program.config([{"id": "fill", "command": "df disk > free; sh ./fill"}, *jobs], **keys)
        result = program("-c", "flow.json")
        assert result.code == 3, result
        kib = int((program.folder / "free").read_text().split()[-3])
        assert 100 < kib < 300  # all results may take 600, were they those of a hundred long reasons
        spool = spool_of(disk / "logs", 1)
        assert f"Its results are kept in {spool}" in result.err, result
        free(disk)
        assert program("--import-spool", str(spool)).code == 0
        ends = {"fill": "SUCCESS", **dict.fromkeys(rest, "SKIPPED"), "j0": "ERROR"}  # that one's log did not fit
        assert program.statuses(1) == ends


@pytest.mark.promise(9)
def test_a_log_folder_that_moves_to_another_disk(program: Program) -> None:
    """The log folder is on another disk when the history fails: the results are kept there, though the room for
    them was taken on the first disk.
    """
    with small_disk(program.folder / "disk", "size=512k") as disk:
        filled(program, disk)
        (program.folder / "fill").write_text(
            "mv disk/logs disk/former; ln -s ../other disk/logs; cat /dev/zero > disk/filler 2> /dev/null; true"
        )
        (program.folder / "other").mkdir()
        result = program("-c", "flow.json")
        assert f"Its results are kept in {disk}/logs/executioner.flow.run-1.spool.json" in result.err
        kept = json.loads(spool_of(program.folder / "other", 1).read_text())
        assert {entry["id"]: entry["status"] for entry in kept["jobs"]}["a"] == "SUCCESS"


@pytest.mark.promise(9)
@pytest.mark.parametrize(
    "calls",
    ["openat:error=EOPNOTSUPP:when=1", "fallocate:error=ENOSPC:when=1+"],
    ids=["no files without a name", "no room at the start either"],
)
def test_where_nothing_can_be_kept_either(program: Program, calls: str) -> None:
    """History and log folder are on one full disk, and no room could be taken: exit 3, it is said that the
    results could not be kept, no half of a spool is left, and with room again the run is resumed.
    """
    with small_disk(program.folder / "disk", "size=512k") as disk:
        filled(program, disk)
        logs = disk / "logs"
        logs.mkdir(mode=0o700)
        # the folder itself is opened once, to make the file without a name
        result = failing(program, calls, [logs] if calls.startswith("openat") else [], "-c", "flow.json")
        assert judge(program, result, "full", logs=logs) == "broken"
        assert "could not be kept" in result.err and "No space left on device" in result.err
        assert not list(logs.glob("*.json"))
        assert started(program, 1) == {"a"}
        free(disk)
        (program.folder / "fill").write_text("true")
        goes_on(program, 1, logs)


@pytest.mark.promise(9)
def test_room_that_cannot_have_a_name_is_let_go_of(program: Program) -> None:
    """Where the file without a name cannot be given one, another one is written into the room that it leaves."""
    with small_disk(program.folder / "disk", "size=512k") as disk:
        filled(program, disk)
        result = failing(program, "linkat:error=EPERM:when=1+", [], "-c", "flow.json")
        assert judge(program, result, "full", logs=disk / "logs") == "broken"
        assert spool_of(disk / "logs", 1).exists()


@pytest.mark.promise(9)
def test_a_disk_without_room_for_a_history(program: Program, cases: Callable[[int], None]) -> None:
    """A history cannot be made, or a run not be added, on a full disk: exit 3, nothing is run, nothing is left.

    Nothing but the lock file; and the preview warns.
    """
    with small_disk(program.folder / "disk", "size=512k") as disk:
        program.history = disk / "history.db"
        diamond(program, history_db="disk/history.db")
        (disk / "filler").write_bytes(bytes(512 * 1024))
        warned = program("-c", "flow.json", "--dry-run").err
        assert warned.startswith("Warning: nothing is free on the disk of the history: ")
        result = program("-c", "flow.json")
        assert not program.history.exists() and not (program.folder / "logs").exists()
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "history.db.lock"]
        free(disk)
        assert judge(program, result, "no room to make one") == "refused"
        assert program("-c", "flow.json").code == 0
        fill(disk)
        result = program("-c", "flow.json")
        free(disk)
        assert judge(program, result, "no room for a second run", 2) == "refused"
        assert len(program.rows("SELECT * FROM run_metadata")) == 1
        assert program("-c", "flow.json").code == 0
    cases(2)


@pytest.mark.promise(6, 9)
def test_a_job_whose_output_does_not_fit_any_more(program: Program) -> None:
    """On a full log folder the job itself gets ENOSPC from its writes; the next, whose log cannot be begun, is
    ERROR and says why; the run goes on and is on record, though its own log cannot be written either.
    """
    with small_disk(program.folder / "logs", "size=256k"):
        program.config(
            {"a": "echo begun; cat /dev/zero", "b": "touch b_ran", "c": "touch c_ran"}, continue_on_error=True
        )
        result = program("-c", "flow.json")
        assert result.code == 1
        rows = program.jobs()
        assert (rows["a"]["status"], rows["a"]["exit_code"]) == ("FAILED", 1)
        assert program.output("a").startswith(b"begun\n\0\0")
        assert len(program.output("a")) > 150_000
        for name in "bc":
            reason = "Could not be started: its log cannot be written: No space left on device"
            assert (rows[name]["status"], rows[name]["reason"], rows[name]["start_time"]) == (
                "ERROR",
                reason,
                None,
            )
            assert f"  - {name}: " in result.out and reason in result.out
            assert program("--show-log", "1", name).err.startswith(
                f"Error: {name} has no log in run 1: {reason}\n"
            )
        assert not list(program.folder.glob("*_ran"))
        assert (program.run_row()["status"], program.run_row()["exit_code"]) == ("FAILED", 1)
        Path(rows["a"]["log_path"]).unlink()
        assert program("-c", program.config({"a": "echo room"}, name="next.json")).code == 0


@pytest.mark.promise(9)
def test_a_log_folder_without_room_for_a_name(program: Program) -> None:
    """Where not even an empty file can be made for the run's own log nothing is run: exit code, reason, no row."""
    program.config({"a": "touch ran"})
    with small_disk(program.folder / "logs", "size=64k", "nr_inodes=2") as logs:
        (logs / "filler").touch()
        result = program("-c", "flow.json")
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("Error: The logs cannot be written: No space left on device: ")
        assert "Nothing was run." in result.err
        assert not (program.folder / "ran").exists()
        assert program.rows("SELECT * FROM run_metadata") == []
        free(logs)
        # one name is free: the run's own log gets it, and the job's log does not fit
        result = program("-c", "flow.json")
        assert result.code == 1
        assert program.jobs(1)["a"]["status"] == "ERROR"
        assert "its log cannot be written: No space left on device" in program.jobs(1)["a"]["reason"]


@pytest.mark.promise(9)
def test_looking_back_on_a_full_disk(program: Program) -> None:
    """A runner was killed, the machine restarted, the disk is full: lists and screens work all the same."""
    with small_disk(program.folder / "disk", "size=512k") as disk:
        program.history = disk / "history.db"
        program.config({"a": "echo x > up; read x < gate"}, history_db="disk/history.db")
        with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")) as runner:
            program.wait_for("up")
            runner.kill()
            runner.communicate()
        Path(f"{program.history}-shm").unlink()  # as a restart does, where it lies in memory
        fill(disk)
        for command in (("--list-runs",), ("--show-run", "1"), ("--show-log", "1", "a")):
            result = program(*command, "--db", "disk/history.db")
            assert (result.code, result.err) == (0, ""), (command, result)
            assert "damaged" not in result.err


# --- a limit on the size of files: without root, and with every byte in turn -----------------------


@pytest.mark.promise(9)
def test_a_history_that_can_grow_by_so_much_and_no_more(
    program: Program, nightly: bool, cases: Callable[[int], None]
) -> None:
    """The write-ahead log of a running run can grow by 0, 1, 2, ... pages and a few bytes: at each point the run
    either is on record to its end, or exits 3 and its spool and the history together know everything.
    """
    seed = 9
    chance = random.Random(seed)
    ways = []
    pages = [page for page in range(30) for _ in range(4)] if nightly else [0, 2, 5, 60]
    diamond(program, "echo x > up$EXECUTIONER_RUN_ID; read x < gate")
    with gate(program.folder / "gate") as let_through:
        for run_id, page in enumerate(pages, 1):
            more = page * 4120 + chance.randrange(4120)
            what = f"run {run_id}, {more} bytes more (seed {seed})"
            with ended(program.start("-c", "flow.json")) as runner:
                program.wait_for(f"up{run_id}")
                size = Path(f"{program.history}-wal").stat().st_size + more
                resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))
                let_through()
                out, err = runner.communicate(timeout=60)
            ways.append(judge(program, Result(runner.returncode, out, err), what, run_id))
    assert "broken" in ways and "well" in ways, ways
    # what was broken is found dead, and recorded as what it is, by the next run
    for run_id, way in enumerate(ways[:-1], 1):
        assert program.run_row(run_id)["status"] == ("SUCCESS" if way == "well" else "INTERRUPTED")
    cases(len(ways))


@pytest.mark.promise(9)
def test_the_results_of_one_history_do_not_replace_those_of_another(program: Program) -> None:
    """Two histories whose runs have one number and one log folder, and both cannot be written: both are kept."""
    program.config({"a": "echo x > up; read x < gate"})
    with gate(program.folder / "gate") as let_through:
        for name in ("one.db", "two.db"):
            with ended(program.start("-c", "flow.json", "--db", name)) as runner:
                program.wait_for("up")
                size = (program.folder / f"{name}-wal").stat().st_size
                resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))
                let_through()
                runner.communicate(timeout=60)
            assert runner.returncode == 3
            (program.folder / "up").unlink()
    kept = [json.loads(path.read_text())["history"] for path in (program.folder / "logs").glob("*.json")]
    assert sorted(kept) == [str(program.folder / "one.db"), str(program.folder / "two.db")]


# --- calls that fail, one after another -----------------------------------------------------------


def database(program: Program) -> list[str]:
    """The files of a program's history that hold data."""
    return [str(program.history), f"{program.history}-wal"]


def each_point(program: Program, call: str, error: str, points: list[int]) -> list[str]:
    """Run the diamond with a call on the history's files failing from the Nth on; how each went."""
    diamond(program)
    ways = []
    for n in points:
        run_id = newest(program) + 1
        for path in program.folder.glob("mark.*"):
            path.unlink()
        result = failing(program, f"{call}:error={error}:when={n}+", database(program), "-c", "flow.json")
        ways.append(judge(program, result, f"{call} {n}+ fails with {error}", run_id))
        if ways[-1] == "broken" and "broken" not in ways[:-1]:
            goes_on(program, run_id)
    return ways


@pytest.mark.promise(9)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_write_to_the_history_that_fails(
    program: Program, nightly: bool, cases: Callable[[int], None], error: str
) -> None:
    """From the Nth write on every write to the database and its log fails, at N from the first to beyond the
    last: nothing run, or exit 3 with the results kept, or everything on record.
    """
    diamond(program)
    assert program("-c", "flow.json").code == 0
    seed = 7
    # one while the log is folded in at a run's end, one while a run is created, and two on its way
    points = [75, *(range(1, 90) if nightly else (2, *random.Random(seed).sample(range(30, 66), 2)))]
    ways = each_point(program, "pwrite64", error, points)
    assert set(ways) == {"refused", "broken", "well"}, (seed, points, ways)
    cases(len(points))


#: Which of a run's syncs of the history's files, counted from 1, make its creation durable, and which its end.
_BEGINNING, _END = (1, 2), (3,)
_SYNCS = "fsync,fdatasync"


def after_a_crash(
    program: Program, copy: Path, calls: str
) -> tuple[Result, dict[int, tuple[str, dict[str, str]]]]:
    """Run the diamond while calls on the history's files fail, and as if the machine crashed then.

    A reader has the history open all the while: so nobody folds the write-ahead log into it and removes it.
    Database and log are copied as they are, without the shared memory, and read. Returns how the run ended,
    and each run that the copy has, with the statuses of its jobs.
    """
    uri = f"file:{program.history}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as reader:
        reader.execute("SELECT count(*) FROM run_metadata").fetchone()
        result = failing(program, calls, database(program), "-c", "flow.json")
        copy_history(program.history, copy)
    assert integrity(copy) == ["ok"]
    runs = program.rows("SELECT run_id, status FROM run_metadata", db=copy)
    found = {}
    for run in runs:
        jobs = program.jobs(run["run_id"], db=copy)
        found[run["run_id"]] = run["status"], {name: row["status"] for name, row in jobs.items()}
    return result, found


def a_history(program: Program, tmp_path: Path) -> Path:
    """A run of the diamond that went well; where to copy the history."""
    diamond(program)
    assert program("-c", "flow.json").code == 0
    for path in program.folder.glob("mark.*"):
        path.unlink()
    copy = tmp_path / "copy"
    copy.mkdir()
    return copy / "history.db"


@pytest.mark.promise(3, 9)
@pytest.mark.parametrize("more", ["", "+"], ids=["once", "from then on"])
@pytest.mark.parametrize("number", [_BEGINNING[0], pytest.param(_BEGINNING[1])])
def test_a_sync_at_the_beginning_that_fails(program: Program, tmp_path: Path, number: int, more: str) -> None:
    """Where the creation of a run cannot be made durable nothing is run, and after a crash no row of it is there.

    That one sync failed, or each from there on.
    """
    copy = a_history(program, tmp_path)
    result, found = after_a_crash(program, copy, f"{_SYNCS}:error=EIO:when={number}{more}")
    assert (result.code, result.out, started(program, 2)) == (3, "", set()), result
    assert result.err.startswith("Error: ") and str(program.history) in result.err
    well = ("SUCCESS", dict.fromkeys(JOBS, "SUCCESS"))
    assert found == {1: well}
    assert program("-c", "flow.json").code == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [1, 2]
    assert program.run_row(2)["status"] == "SUCCESS"


@pytest.mark.promise(3, 9)
@pytest.mark.parametrize("more", ["", "+"], ids=["once", "from then on"])
def test_a_sync_at_the_end_that_fails(program: Program, tmp_path: Path, more: str) -> None:
    """Where only the end of a run cannot be made durable: exit 3, and the history does not say SUCCESS after a
    crash either; what jobs did, and whose results were written before, is known from the spool and the history.
    """
    copy = a_history(program, tmp_path)
    [number] = _END
    result, found = after_a_crash(program, copy, f"{_SYNCS}:error=EIO:when={number}{more}")
    assert judge(program, result, f"sync {number}{more}", 2) == "broken"
    assert started(program, 2) == set(JOBS)
    assert found[1] == ("SUCCESS", dict.fromkeys(JOBS, "SUCCESS"))
    assert found[2][0] == "RUNNING", found
    content = json.loads(spool_of(program.folder / "logs", 2).read_text())
    ends = {**found[2][1], **{entry["id"]: entry["status"] for entry in content["jobs"] if "status" in entry}}
    assert ends == dict.fromkeys(JOBS, "SUCCESS")
    goes_on(program, 2)


@pytest.mark.promise(3, 9)
@pytest.mark.parametrize("calls", [f"{_SYNCS}:error=EIO:when=3", "pwrite64:error=EIO:when=45"])
def test_the_log_of_a_history_is_removed_only_after_the_database_was_synced(
    program: Program, tmp_path: Path, calls: str
) -> None:
    """After a write or sync that failed, too, the database is synced before its write-ahead log is unlinked.

    Else a power cut just then would take what stood in the log alone.
    """
    a_history(program, tmp_path)
    trace = tmp_path / "trace"
    result = failing(program, calls, database(program), "-c", "flow.json", trace=trace)
    assert result.code == 3, result
    lines = trace.read_text(errors="replace").splitlines()
    failed = [at for at, line in enumerate(lines) if "(INJECTED)" in line]
    assert failed, "no call failed"
    log, file = f"{program.history}-wal", str(program.history)
    removals = [at for at, line in enumerate(lines) if "unlink" in line and f'"{log}"' in line and "= 0" in line]
    for at in removals:
        written = [n for n in range(at) if "pwrite64(" in lines[n] and f"<{file}>" in lines[n]]
        synced = [n for n in range(at) if _is_sync_of(lines[n], file)]
        assert synced and synced[-1] > max([failed[-1], *written]), lines[max(0, at - 12) : at + 1]
    assert removals or Path(log).exists()


def _is_sync_of(line: str, path: str) -> bool:
    """Whether a line of a trace tells of a sync of a file that went well."""
    return ("fsync(" in line or "fdatasync(" in line) and f"<{path}>" in line and line.endswith("= 0")


@pytest.mark.promise(9)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize(("calls", "first"), [("write", 1), ("write", 3)])
def test_the_runs_own_log_never_harms_the_run(program: Program, error: str, calls: str, first: int) -> None:
    """The main log cannot be written, from its first line on or later: the run succeeds and is on record."""
    diamond(program)
    log = program.folder / "logs/executioner.flow.run-1.log"
    result = failing(program, f"{calls}:error={error}:when={first}+", [log], "-c", "flow.json")
    assert judge(program, result, f"{calls} {first}+ {error}") == "well"
    assert result.err == ""


@pytest.mark.promise(9)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_closing_the_runs_own_log_never_harms_the_run(program: Program, error: str) -> None:
    """Network file systems tell of a full disk when a file is closed: for the main log nobody minds."""
    diamond(program)
    log = program.folder / "logs/executioner.flow.run-1.log"
    result = failing(program, f"close:error={error}:when=1+", [log], "-c", "flow.json")
    assert judge(program, result, f"close {error}") == "well"


@pytest.mark.promise(6, 9)
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("openat:error={}:when=1+", "ERROR"),
        ("write:error={}:when=1+", "ERROR"),
        ("write:error={}:when=2+", "SUCCESS"),
        ("fstat,newfstatat,statx:error={}:when=1+", "SUCCESS"),
        ("pread64:error={}:when=1+", "SUCCESS"),
        ("close:error={}:when=1+", "SUCCESS"),
    ],
    ids=["open", "header", "footer", "status", "look", "close"],
)
def test_a_jobs_log_that_fails(program: Program, call: str, status: str, error: str) -> None:
    """A log that cannot be opened or begun makes its job ERROR with the reason, its dependents are skipped and
    the others run; what fails at its end, when the job is over, changes nothing of how the job ended.
    """
    diamond(program)
    log = program.folder / LOG.format("b", 1)
    result = failing(program, call.format(error), [log], "-c", "flow.json", "--continue-on-error")
    assert "Traceback" not in result.err and "Internal error" not in result.err, result
    row = program.jobs()["b"]
    assert row["status"] == status, (result, row)
    statuses = {**dict.fromkeys("ac", "SUCCESS"), "b": status, "d": "SKIPPED" if status == "ERROR" else status}
    assert program.statuses() == statuses
    assert started(program, 1) == {name for name, end in statuses.items() if end == "SUCCESS"}
    words = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}[error]
    if status == "ERROR":
        assert row["reason"].startswith(f"Could not be started: its log cannot be written: {words}")
        assert row["reason"] in result.out
    assert (result.code, program.run_row()["status"]) == ((1, "FAILED") if status == "ERROR" else (0, "SUCCESS"))


# --- stdout ---------------------------------------------------------------------------------------


@pytest.mark.promise(9)
@pytest.mark.parametrize("flags", [(), ("--format", "json"), ("--verbose",)])
@pytest.mark.parametrize(("command", "code"), [("true", 3), ("false", 1)])
def test_a_screen_that_cannot_be_printed(
    program: Program, command: str, code: int, flags: tuple[str, ...]
) -> None:
    """Stdout on a full disk: everything is run and recorded; exit 3, unless a job failed: that is worse."""
    diamond(program, command)
    with Path("/dev/full").open("wb") as full:
        process = program.start("-c", "flow.json", *flags, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.endswith("Error: The output cannot be written: No space left on device (stdout)\n")
    assert "Traceback" not in err
    ends = dict.fromkeys(JOBS, "SUCCESS") if code == 3 else {"a": "FAILED", **dict.fromkeys("bcd", "SKIPPED")}
    assert program.statuses() == ends
    # the history tells how the run went: that nobody could read of it is no matter of the run
    assert program.run_row()["exit_code"] == (0 if code == 3 else 1)
    assert program.run_row()["status"] == ("SUCCESS" if code == 3 else "FAILED")


@pytest.mark.promise(9)
def test_a_screen_that_is_interrupted_and_cannot_be_printed(program: Program) -> None:
    """Stdout on a full disk and TERM: the signal's exit code stands, the jobs are on record as INTERRUPTED."""
    program.config({"a": "echo x > up; exec sleep 1000"})
    with (
        Path("/dev/full").open("wb") as full,
        ended(program.start("-c", "flow.json", stdout=full)) as runner,
    ):
        program.wait_for("up")
        runner.terminate()
        runner.communicate(timeout=60)
    assert runner.returncode == 143
    assert program.statuses() == {"a": "INTERRUPTED"}
    assert program.run_row()["exit_code"] == 143
