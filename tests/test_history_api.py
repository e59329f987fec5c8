"""``from executioner import History``: the history for scripts. Typed, read as it is taken, never written."""

import concurrent.futures
import contextlib
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Program, ended, gate
from history_tools import kill
from past import add_runs, make_past, untouched

from executioner import History, HistoryError, Job, Run, RunDetails, UnknownRunError

DATA = Path(__file__).resolve().parent / "data"


def ids(runs: Iterator[Run]) -> list[int]:
    """The ids of runs."""
    return [run.run_id for run in runs]


def at(day: int, clock: str = "09:45:00") -> str:
    """A stored time in May 2025."""
    return f"2025-05-{day:02d}T{clock}.000000Z"


@pytest.fixture
def past(tmp_path: Path) -> Path:
    """Six runs of three applications, by two users; run 3 resumes run 2, run 6 started before run 5."""
    ok, bad, left = {"id": "a"}, {"id": "b", "status": "FAILED"}, {"id": "b", "status": "SKIPPED"}
    runs = [
        {"start_time": at(1), "application_name": "orders_eu", "config_path": "/etl/eu.json", "jobs": [ok]},
        {"start_time": at(2), "status": "FAILED", "user": "anna", "jobs": [ok, bad]},
        {"start_time": at(3), "status": "FAILED", "parent_run_id": 2, "root_run_id": 2, "jobs": [ok, bad]},
        {"start_time": at(4), "status": "INTERRUPTED", "application_name": "orders_us", "jobs": [left]},
        {"start_time": at(6), "status": "PARTIAL", "user": "anna", "jobs": [ok, {**left, "reason": "--skip"}]},
        {"start_time": at(5), "application_name": "orders_eu", "config_path": "/etl/eu.json", "jobs": [ok]},
    ]
    own = [{"run_id": number, "config_path": f"/etl/{number}.json", **run} for number, run in enumerate(runs, 1)]
    own[2]["config_path"] = own[1]["config_path"]
    return make_past(tmp_path / "db/history.db", own)


# --- typed, and imported where it is used -------------------------------------------------------


def test_the_package_says_that_it_is_typed() -> None:
    """``py.typed`` lies in the package: type checkers believe its annotations."""
    assert (ROOT / "executioner/py.typed").is_file()


GOOD = """
from datetime import datetime
from executioner import History, HistoryError, Job, Run, RunDetails, UnknownRunError

def newest(path: str) -> Run | None:
    found: list[Run] = list(History(path).runs(status=["FAILED"], since=datetime.now(), limit=1))
    return found[0] if found else None

def slow(details: RunDetails) -> dict[str, float]:
    return {job.id: job.duration_seconds for job in details.jobs if job.duration_seconds is not None}

try:
    job: Job | None = History().job(1, "load")
    slow(History().run(1))
except UnknownRunError as unknown:
    lookup: LookupError = unknown
except HistoryError as error:
    print(error.exit_code, error.what)
names: list[str] = History().applications("orders_*")
"""
BAD = """
from executioner import History
for run in History().runs(limit="3"):
    print(run.statsu, run.duration_seconds + 1)
"""


def test_a_script_passes_the_strict_type_checker(tmp_path: Path) -> None:
    """A right script passes ``mypy --strict``; in a wrong one each mistake is found."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            str(tmp_path / "cache"),
            "good.py",
            "bad.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.partition(" error:")[0] for line in errors] == ["bad.py:3:", "bad.py:4:", "bad.py:4:"], (
        done.stdout
    )
    assert [line.rpartition("[")[2] for line in errors] == ["arg-type]", "attr-defined]", "operator]"]


def test_importing_the_package_imports_nothing_of_the_history() -> None:
    """``import executioner`` costs next to nothing: SQLite is imported with the first use of a name."""
    script = (
        "import sys; before = set(sys.modules); import executioner; executioner.__version__;"
        " print(sorted(set(sys.modules) - before)); executioner.History; print('_sqlite3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    new, sqlite_then = done.stdout.splitlines()
    assert sqlite_then == "True"
    assert "sqlite3" not in new  # nor _sqlite3
    assert [name for name in json.loads(new.replace("'", '"')) if name.startswith("executioner.")] == []


def test_every_public_name_is_there_and_no_other() -> None:
    """Each name of ``__all__`` can be imported; another is an AttributeError, as of any module."""
    import executioner

    assert all(getattr(executioner, name).__name__ == name for name in executioner.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Histories'"):
        executioner.Histories  # noqa: B018


# --- runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"status": ["FAILED"]}, [3, 2]),
        ({"status": ["failed", "Interrupted"]}, [4, 3, 2]),
        ({"status": ("SUCCESS",)}, [6, 1]),
        pytest.param({"status": iter(["PARTIAL"])}, [5], id="an iterator"),
        ({"status": ["RUNNING"]}, []),
        ({"application": "orders_eu"}, [6, 1]),
        ({"application": "orders_*"}, [6, 4, 1]),
        ({"application": "orders_[a-e]?"}, [6, 1]),
        ({"application": "ORDERS_eu"}, []),
        ({"application": "nobody"}, []),
        ({"user": "anna"}, [5, 2]),
        ({"user": "an*"}, []),
        ({"config": "/etl/eu.json"}, [6, 1]),
        ({"config": Path("/etl/2.json")}, [3, 2]),
        ({"config": "/etl/none.json"}, []),
        ({"since": datetime(2025, 5, 4, 9, 45, tzinfo=UTC)}, [5, 6, 4]),
        ({"since": datetime(2025, 5, 4, 9, 45, 0, 1, tzinfo=UTC)}, [5, 6]),
        ({"until": datetime(2025, 5, 2, 9, 45, tzinfo=UTC)}, [1]),
        ({"until": datetime(2025, 5, 2, 9, 45, 0, 1, tzinfo=UTC)}, [2, 1]),
        ({"since": datetime(2025, 5, 2, tzinfo=UTC), "until": datetime(2025, 5, 4, tzinfo=UTC)}, [3, 2]),
        ({"partly_completed": True}, [5, 3, 2]),
        ({"resumable": True}, [4, 3]),
        ({"resumable": True, "status": ["FAILED"]}, [3]),
        ({"partly_completed": True, "user": "anna"}, [5, 2]),
        ({"limit": 2}, [6, 5]),
        ({"limit": 0}, []),
        ({"limit": 1_000_000}, [6, 5, 4, 3, 2, 1]),
        ({"status": ["FAILED"], "limit": 1}, [3]),
        ({"since": datetime(2025, 5, 1, tzinfo=UTC), "limit": 3}, [5, 6, 4]),
    ],
    ids=str,
)
def test_runs_are_found_newest_first(past: Path, wanted: dict[str, Any], found: list[int]) -> None:
    """Each filter alone and with others; by run id, or with times by start."""
    assert ids(History(past).runs(**wanted)) == found


def test_one_status_as_a_plain_text_is_not_taken_for_its_letters(past: Path) -> None:
    """``status="FAILED"`` finds the failed runs or is refused: it never looks as if nothing had failed."""
    with contextlib.suppress(TypeError, ValueError):
        assert ids(History(past).runs(status="FAILED")) == [3, 2]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_time_without_a_zone_is_local(past: Path, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same instant with a zone, and as the local clock shows it, finds the same runs."""
    instant = datetime(2025, 5, 3, 9, 45, tzinfo=UTC)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        local = datetime.fromtimestamp(instant.timestamp())
        for moment in (instant, instant.astimezone(timezone(timedelta(hours=-7))), local):
            assert ids(History(past).runs(since=moment)) == [5, 6, 4, 3]
            assert ids(History(past).runs(until=moment)) == [2, 1]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_run_has_what_was_recorded(past: Path) -> None:
    """Columns under their names, JSON decoded, and what is worked out: resumed by, resumable."""
    runs = {run.run_id: run for run in History(past).runs()}
    assert (runs[2].resumed_by, runs[2].resumable, runs[2].parent_run_id) == (3, False, None)
    assert (runs[3].resumed_by, runs[3].resumable, runs[3].parent_run_id) == (None, True, 2)
    assert (runs[3].completed_jobs, runs[3].failed_jobs, runs[3].total_jobs) == (1, 1, 2)
    assert (runs[1].start_time, runs[1].options, runs[1].unverified) == (at(1), {}, False)


def test_runs_are_read_as_they_are_taken(tmp_path: Path) -> None:
    """Nothing is read before the first one is asked for: a run that was added until then is there."""
    path = make_past(tmp_path / "h.db", [{} for _ in range(3)])
    runs = History(path).runs()
    add_runs(path, [{}])
    assert ids(runs) == [4, 3, 2, 1]


@pytest.mark.parametrize("times", [False, True], ids=["by id", "by time"])
def test_runs_that_come_while_others_are_read_change_nothing(tmp_path: Path, times: bool) -> None:
    """More than a page: whoever iterates meets each run once, in order, and none that is newer."""
    path = make_past(tmp_path / "h.db", [{"start_time": at(1 + n // 400)} for n in range(1600)])
    wanted: dict[str, Any] = {"since": datetime(2025, 1, 1, tzinfo=UTC)} if times else {}
    found = []
    for run in History(path).runs(**wanted):
        found.append(run.run_id)
        if len(found) in (1, 499, 500, 501, 1200):
            add_runs(path, [{"start_time": at(20)} for _ in range(60)])
    assert found == list(range(1600, 0, -1))


def test_runs_that_are_deleted_while_others_are_read_are_left_out(tmp_path: Path) -> None:
    """Old runs are pruned between two pages: the rest comes, without an error."""
    path = make_past(tmp_path / "h.db", [{} for _ in range(1100)])
    runs = History(path).runs()
    assert next(runs).run_id == 1100
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM run_metadata WHERE run_id BETWEEN 101 AND 650")
    assert ids(runs) == [*range(1099, 600, -1), *range(100, 0, -1)]


# --- one run, one job ---------------------------------------------------------------------------


def test_a_run_is_read_with_its_jobs(past: Path) -> None:
    """Jobs in config order; the whole as JSON has it."""
    details = History(past).run(3)
    assert isinstance(details, RunDetails)
    assert [(job.id, job.status, job.position) for job in details.jobs] == [
        ("a", "SUCCESS", 0),
        ("b", "FAILED", 1),
    ]
    as_object = details.as_object()
    assert json.loads(json.dumps(as_object)) == as_object
    assert as_object["run_id"] == 3


@pytest.mark.parametrize("run_id", [0, -1, 7, 2**63 - 1, 2**63, 10**40])
def test_an_unknown_run_is_a_lookup_error(past: Path, run_id: int) -> None:
    """UnknownRunError with the founding document's words, caught as LookupError too; a job of it is None."""
    with pytest.raises(LookupError, match=f"^Run ID {run_id} not found in history\\.$") as caught:
        History(past).run(run_id)
    assert isinstance(caught.value, UnknownRunError)
    assert History(past).job(run_id, "a") is None


def test_one_job_is_read_alone(past: Path) -> None:
    """As it stands among the jobs of its run; None where there is none."""
    history = History(past)
    job = history.job(3, "b")
    assert isinstance(job, Job)
    assert job == history.run(3).jobs[1]
    assert [history.job(3, name) for name in ("c", "", "B", "a%")] == [None] * 4


def test_applications_are_listed_by_name(past: Path) -> None:
    """All of them or those that match a shell pattern, sorted, each once."""
    history = History(past)
    assert history.applications() == ["data_pipeline", "orders_eu", "orders_us"]
    assert history.applications("orders_*") == ["orders_eu", "orders_us"]
    assert history.applications("x") == []


# --- which history ------------------------------------------------------------------------------


def test_by_default_it_is_the_history_that_the_program_uses(
    past: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path that is given, else ``$EXECUTIONER_DB``, else ``$XDG_STATE_HOME``, else below the home folder."""
    for name in ("EXECUTIONER_DB", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = [tmp_path / "home/.local/state/executioner/history.db", tmp_path / "state/executioner/history.db"]
    for number, place in enumerate(places, 1):
        make_past(place, [{} for _ in range(number)])
    assert ids(History().runs()) == [1]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert ids(History().runs()) == [2, 1]
    monkeypatch.setenv("EXECUTIONER_DB", "")
    assert History().path == str(places[1])
    monkeypatch.setenv("EXECUTIONER_DB", str(past))
    assert len(ids(History().runs())) == 6
    assert ids(History(str(places[0])).runs()) == [1]
    assert ids(History(places[1]).runs()) == [2, 1]


def test_the_path_is_absolute_and_without_links(past: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``path`` says which file it is, however it was named; a later chdir changes nothing."""
    (past.parent.parent / "link.db").symlink_to(past)
    monkeypatch.chdir(past.parent.parent)
    history = History("link.db")
    monkeypatch.chdir("/")
    assert history.path == str(past)
    assert len(ids(history.runs())) == 6


def damage(path: Path, kind: str) -> None:
    """Put something else in a history's place."""
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("run_id,status\n" * 1000)
    elif kind == "another program's":
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE history (url)")
    elif kind == "newer":
        path.write_bytes(content)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "overwritten":
        path.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("absent", "There is no history"),
        ("empty", "There is no history"),
        ("folder", "The history is a folder"),
        ("text", "This is not a history: not an SQLite database"),
        ("another program's", "This is not a history: an SQLite database of another program"),
        ("newer", "The history was written by a newer executioner"),
        ("cut", "The history is damaged: it is shorter than it says itself"),
        ("overwritten", "The history is damaged: "),
    ],
)
def test_what_is_no_history_is_refused_and_left_as_it_is(past: Path, kind: str, what: str) -> None:
    """HistoryError says what is wrong and where; no byte is changed and nothing is made."""
    damage(past, kind)
    before = untouched(past.parent)
    with pytest.raises(HistoryError) as caught:
        History(past)
    assert caught.value.what.startswith(what)
    assert (caught.value.where, caught.value.exit_code) == (str(past), 3)
    assert untouched(past.parent) == before


# --- nothing is written -------------------------------------------------------------------------


def read_everything(path: Path) -> tuple[list[Run], list[RunDetails], list[str]]:
    """All that can be asked of a history."""
    history = History(path)
    runs = list(history.runs())
    for filters in ({"status": ["FAILED"]}, {"resumable": True}, {"partly_completed": True}, {"user": "anna"}):
        list(history.runs(**filters))  # type: ignore[arg-type]
    history.job(1, "a")
    return runs, [history.run(run.run_id) for run in runs], history.applications()


def test_reading_writes_nothing(past: Path) -> None:
    """No byte, no time and no file in the history's folder changes, whatever is asked."""
    before = untouched(past.parent)
    runs, details, _ = read_everything(past)
    assert (len(runs), len(details)) == (6, 6)
    assert untouched(past.parent) == before
    assert list(before) == ["history.db"]


def test_a_run_that_is_on_is_read_as_it_stands(program: Program) -> None:
    """RUNNING with its counts so far; SUCCESS after its end, by the same object; the run is not held up."""
    program.config({"a": "true", "b": "touch up; read x < gate", "c": "true"})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        history = History(program.history)
        run, jobs = history.run(1)
        assert (run.status, run.completed_jobs, run.total_jobs, run.unverified) == ("RUNNING", 1, 3, False)
        assert [job.status for job in jobs] == ["SUCCESS", "RUNNING", "PENDING"]
        assert ids(history.runs(status=["RUNNING"])) == ids(history.runs(partly_completed=True)) == [1]
        assert ids(history.runs(status=["INTERRUPTED"])) == ids(history.runs(resumable=True)) == []
        let()
        runner.communicate(timeout=60)
    assert (history.run(1).run.status, history.run(1).run.completed_jobs) == ("SUCCESS", 3)
    assert ids(history.runs(status=["RUNNING"])) == []


@pytest.mark.parametrize("left", ["all", "no -shm", "copy", "no lock file"])
def test_a_killed_run_is_interrupted_at_once(program: Program, left: str) -> None:
    """After kill -9 its write-ahead log is read, and neither it nor the database is changed."""
    program.config({"a": "true", "b": "touch up; read x < gate", "c": "true"})
    with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        kill(runner)
    path = program.history
    if left == "copy":
        path = program.folder / "copy.db"
        for ending in ("", "-wal"):
            shutil.copy(f"{program.history}{ending}", f"{path}{ending}")
    elif left != "all":
        Path(f"{path}{'-shm' if left == 'no -shm' else '.lock'}").unlink()
    files = [Path(f"{path}{ending}") for ending in ("", "-wal")]
    before = [file.read_bytes() for file in files]
    assert before[1]
    runs, [(run, jobs)], _ = read_everything(path)
    assert [run] == runs
    assert (run.status, run.completed_jobs, run.skipped_jobs, run.resumable) == ("INTERRUPTED", 1, 1, True)
    assert (run.end_time, run.duration_seconds) == (None, None)
    assert [(job.status, job.reason) for job in jobs] == [
        ("SUCCESS", None),
        ("INTERRUPTED", "Its runner ended without recording a result"),
        ("SKIPPED", "run interrupted"),
    ]
    assert [file.read_bytes() for file in files] == before


READ = """
import sys
from executioner import History
history = History(sys.argv[1])
print([(run.run_id, run.status) for run in history.runs()], len(history.run(1).jobs))
"""


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_history_in_a_read_only_folder_is_read(program: Program, killed: bool) -> None:
    """Of another user, say: also where a write-ahead log was left there; nothing is made in the folder."""
    program.config({"a": "touch up; read x < gate"})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        if killed:
            kill(runner)
        else:
            let()
            runner.communicate(timeout=60)
    folder = program.history.parent
    Path(f"{program.history}-shm").unlink(missing_ok=True)
    command = [sys.executable, "-c", READ, str(program.history)]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root, and no setpriv to give up its power over permissions")
        command = [setpriv, "--inh-caps=-all", "--bounding-set=-all", *command]
    folder.chmod(0o500)
    try:
        before = untouched(folder)
        done = subprocess.run(
            command,
            env=program.environment({"PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert untouched(folder) == before
    finally:
        folder.chmod(0o700)
    status = "INTERRUPTED" if killed else "SUCCESS"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"[(1, '{status}')] 1\n", "")


# Each transaction writes the same text into all runs and adds one: a reader that sees two
# texts, or a number of runs that does not go with the text, has seen half of one.
HAMMER = """
import sqlite3, sys
path, reopen = sys.argv[1], sys.argv[2] == "reopen"
number, connection = 0, None
while True:
    connection = connection or sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO run_metadata (status, application_name, root_run_id, total_jobs,"
                       " completed_jobs, failed_jobs, skipped_jobs, options)"
                       " VALUES ('FAILED', 'hammer', 1, 2, 1, 1, 0, '{}')")
    connection.execute("DELETE FROM run_metadata WHERE run_id = (SELECT min(run_id) FROM run_metadata)")
    connection.execute("UPDATE run_metadata SET failure_summary = (SELECT max(run_id) FROM run_metadata)")
    connection.execute("COMMIT")
    number += 1
    if number == 3:
        print("on", flush=True)
    if reopen:
        connection.close()  # the last one to close folds the write-ahead log in and removes it
        connection = None
"""


@pytest.mark.parametrize("how", ["stay", "reopen"])
def test_reading_is_consistent_while_somebody_writes_without_a_pause(tmp_path: Path, how: str) -> None:
    """Every page is of one moment and none fails: with the write-ahead log always there, and coming and going."""
    path = make_past(tmp_path / "h.db", [{"status": "FAILED", "root_run_id": 1} for _ in range(30)])
    writer = subprocess.Popen([sys.executable, "-c", HAMMER, str(path), how], stdout=subprocess.PIPE, text=True)
    with ended(writer):
        assert writer.stdout is not None
        assert writer.stdout.readline() == "on\n"
        moments = set()
        for _ in range(150):
            runs = list(History(path).runs())
            assert len(runs) == 30
            assert {run.failure_summary for run in runs} == {str(runs[0].run_id)}
            moments.add(runs[0].run_id)
            assert History(path).applications()[-1] == "hammer"
        assert writer.poll() is None
    assert len(moments) > 1


def test_a_history_that_is_deleted_meanwhile_is_an_error(tmp_path: Path) -> None:
    """HistoryError that names it, between two pages as well; if it is made again, it is read again."""
    path = make_past(tmp_path / "h.db", [{} for _ in range(600)])
    history = History(path)
    runs = history.runs()
    assert next(runs).run_id == 600
    path.unlink()
    for ask in (lambda: list(runs), lambda: history.run(1), lambda: history.job(1, "a"), history.applications):
        with pytest.raises(HistoryError) as caught:
            ask()
        assert caught.value.where == str(path)
    make_past(path, [{}])
    assert ids(history.runs()) == [1]


@pytest.mark.parametrize("version", ["this", "earlier"])
def test_a_history_can_be_read_in_another_thread(tmp_path: Path, version: str) -> None:
    """Opened in one thread and read in others, as web servers do."""
    path = tmp_path / "h.db"
    if version == "this":
        make_past(path, [{}])
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript((DATA / "schema-version-1.sql").read_text())
        add_runs(path, [{}])
    history = History(path)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: ids(history.runs())).result() == [1]
