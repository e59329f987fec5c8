"""Histories of schema version 1: read as they are, brought to this version by the first run, live runs and all."""

import contextlib
import fcntl
import json
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Program, Result, ended, wait_until
from history_tools import has_open, integrity, lock_path, names, region, sql
from past import JOB_DEFAULTS, RUN_DEFAULTS, insert
from screens import everything

from executioner.history.create import create
from executioner.history.reader import History
from executioner.history.store import HistoryWriter

SCHEMA = ROOT / "tests/data/schema-version-1.sql"
BACKUP = "history.db.version-1.bak"
FILES = ["history.db", "history.db.lock", BACKUP]
LIVE = 3
_DEFINITION = '{"command":"true","dependencies":[]}'
RUNS: list[dict[str, Any]] = [
    {
        "run_id": 1,
        "status": "FAILED",
        "exit_code": 1,
        "failure_summary": "load: Exit code 1",
        "duration_seconds": 61.5,
        "end_time": "2025-05-23T09:46:01.500000Z",
        "options": '{"env": {"MODE": "full"}, "workers": 2}',
        "jobs": [
            {
                "id": "extract",
                "duration_seconds": 31.5,
                "exit_code": 0,
                "last_run": "2025-05-23T09:45:00.000000Z",
                "definition": _DEFINITION,
            },
            {
                "id": "load",
                "status": "FAILED",
                "reason": "Exit code 1",
                "exit_code": 1,
                "duration_seconds": 30.0,
                "retry_count": 1,
                "retry_history": '[{"attempt": 1, "status": "FAILED"}, {"attempt": 2, "status": "FAILED"}]',
            },
            {"id": "report", "status": "SKIPPED", "reason": "dependency failed"},
        ],
    },
    {
        "run_id": 2,
        "parent_run_id": 1,
        "root_run_id": 1,
        "duration_seconds": 32.0,
        "end_time": "2025-05-23T10:45:32.000000Z",
        "start_time": "2025-05-23T10:45:00.000000Z",
        "jobs": [
            {"id": "extract", "source_run_id": 1, "duration_seconds": 31.5},
            {
                "id": "load",
                "marked_by": "ann",
                "marked_at": "2025-05-23T10:00:00.000000Z",
                "mark_reason": "by hand",
            },
            {"id": "report", "duration_seconds": 2.0},
        ],
    },
]


def make_version_1(path: Path, *more: dict[str, Any]) -> Path:
    """A history as version 1 of the schema had it, with runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN;\n{SCHEMA.read_text()}COMMIT;")
        connection.executemany(
            "INSERT INTO database_identity VALUES (?, ?)", [("id", b"0123456789ab"), ("key", bytes(range(32)))]
        )
        for given in (*RUNS, *more):
            run = {
                **RUN_DEFAULTS,
                "total_jobs": 3,
                "completed_jobs": 1,
                "failed_jobs": 1,
                "skipped_jobs": 1,
                **given,
            }
            run = {"root_run_id": run["run_id"], "config_path": "/srv/etl/data_pipeline.json", **run}
            for position, given_job in enumerate(run.pop("jobs")):
                own = {"run_id": run["run_id"], "position": position, "application_name": "data_pipeline"}
                job = {**JOB_DEFAULTS, **own, **given_job}
                del job["max_retries"]  # that came later
                insert(connection, "job_history", job)
            insert(connection, "run_metadata", run)
    path.chmod(0o600)
    return path


def schema(path: Path) -> dict[str, Any]:
    """What a schema is: the columns of each table with their properties, the indexes with theirs, the views."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found: dict[str, Any] = {}
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall():
            if kind == "table":
                found[name] = connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall()
            elif kind == "index":
                columns = connection.execute("SELECT * FROM pragma_index_xinfo(?)", (name,)).fetchall()
                found[name] = (columns, " ".join((sql or "").split()))
            else:
                found[name] = " ".join(sql.split())
        for pragma in ("application_id", "user_version", "journal_mode"):
            found[pragma] = connection.execute(f"PRAGMA {pragma}").fetchone()
        return found


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of the three tables, without the column that version 2 added."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        found = {}
        for table in ("run_metadata", "job_history", "database_identity"):
            found[table] = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
        for row in found["job_history"]:
            assert row.pop("max_retries", None) is None
        return found


def shown(path: Path, newest: int = 2) -> dict[int, object]:
    """The first runs as scripts see them."""
    history = History(path)
    return {run.run_id: history.run(run.run_id).as_object() for run in history.runs() if run.run_id <= newest}


def note(program: Program) -> str:
    """What a run says that brought a history up."""
    what = "The history was brought from schema version 1 to 2."
    return f"Note: {what} Its former state is kept in {program.history.parent / BACKUP}\n"


def migrate(program: Program, **options: Any) -> Result:
    """Run a workflow of another application with one quick job."""
    program.config({"a": "true"}, application_name="new")
    return program("-c", "flow.json", **options)


def test_the_schema_becomes_that_of_a_new_history(tmp_path: Path) -> None:
    """Columns in their order with types and keys, indexes with their conditions, views, ids and WAL mode."""
    HistoryWriter(str(make_version_1(tmp_path / "old.db"))).close()
    create(str(tmp_path / "new.db"), 0o600)
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")
    assert integrity(tmp_path / "old.db") == ["ok"]


def test_every_row_is_kept(tmp_path: Path) -> None:
    """Every value of every column, the database's own random values too; nothing else is added."""
    path = make_version_1(tmp_path / "history.db")
    before = rows(path)
    HistoryWriter(str(path)).close()
    assert rows(path) == before


def test_reading_works_before_and_says_the_same_after(program: Program) -> None:
    """Listing and showing write nothing; the first run says what it did, the next one nothing more."""
    make_version_1(program.history)
    before = everything(program)
    listed, one = program("--list-runs", "--format", "json"), program("--show-run", "2")
    known = shown(program.history)
    assert everything(program) == before
    assert (listed.code, listed.err, one.code, one.err) == (0, "", 0, "")
    assert [run["run_id"] for run in json.loads(listed.out)] == [2, 1]
    assert "load    - SUCCESS - marked by ann: by hand\n" in one.out

    result = migrate(program)
    assert (result.code, result.err) == (0, note(program))
    assert "Run 3 started" in result.out
    assert json.loads(program("--list-runs", "--format", "json").out)[1:] == json.loads(listed.out)
    assert program("--show-run", "2").out == one.out
    assert shown(program.history) == known
    again = migrate(program)
    assert (again.code, again.err) == (0, "")
    assert names(program.history.parent) == FILES


def test_the_backup_is_the_former_history(program: Program) -> None:
    """Private, whole, of version 1, and readable by this program too."""
    before = rows(make_version_1(program.history))
    program.history.chmod(0o644)
    assert migrate(program, umask=0).code == 0
    backup = program.history.parent / BACKUP
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(shown(backup)) == [1, 2]
    assert sql(backup, "PRAGMA user_version") == [(1,)]
    assert rows(backup) == before


def test_a_preview_says_what_a_run_would_do_first(program: Program) -> None:
    """--dry-run writes nothing; that the history will be brought up stands on stderr."""
    make_version_1(program.history)
    program.config({"a": "touch ran"})
    before = everything(program)
    result = program("-c", "flow.json", "--dry-run")
    said = "the run would first bring the history to this version, after a backup beside it"
    assert (result.code, result.err) == (0, f"Note: {said}\n")
    assert everything(program) == before


# --- runs of the version before that are on ------------------------------------------------------


@contextlib.contextmanager
def live_run(path: Path) -> Iterator[sqlite3.Connection]:
    """A run of version 1 that is on: its byte is held, its connection open, its changes in the write-ahead log."""
    lock = Path(f"{path}.lock")
    lock.touch(0o600)
    fd = os.open(lock, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, LIVE))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE job_history SET status = 'RUNNING' WHERE run_id = ? AND id = 'a'", (LIVE,))
        yield connection
    os.close(fd)


def running(run_id: int) -> dict[str, Any]:
    """A run that is on."""
    jobs = [{"id": "a", "status": "PENDING"}, {"id": "b", "status": "PENDING"}]
    start = "2025-05-23T11:45:00.000000Z"
    return {"run_id": run_id, "status": "RUNNING", "exit_code": None, "start_time": start, "jobs": jobs}


def test_a_live_run_goes_on_through_the_migration(program: Program) -> None:
    """It is shown as RUNNING before and after, is not recorded as dead, and its writes go on to be taken."""
    make_version_1(program.history, running(LIVE))
    with live_run(program.history) as runner:
        assert "Status: RUNNING" in program("--show-run", str(LIVE)).out
        result = migrate(program)
        assert (result.code, result.err) == (0, note(program))
        assert "Status: RUNNING" in program("--show-run", str(LIVE)).out
        assert program.statuses(LIVE) == {"a": "RUNNING", "b": "PENDING"}
        runner.execute("BEGIN IMMEDIATE")
        runner.execute("UPDATE job_history SET status = 'SUCCESS' WHERE run_id = ? AND id = 'a'", (LIVE,))
        runner.execute("UPDATE job_history SET status = 'RUNNING' WHERE run_id = ? AND id = 'b'", (LIVE,))
        runner.execute("COMMIT")
        assert program.statuses(LIVE) == {"a": "SUCCESS", "b": "RUNNING"}
    assert migrate(program).code == 0  # its runner is gone now
    assert (program.run_row(LIVE)["status"], program.statuses(LIVE)["b"]) == ("INTERRUPTED", "INTERRUPTED")
    assert integrity(program.history) == ["ok"]


def test_a_dead_run_is_shown_as_such_before_the_migration(program: Program) -> None:
    """Nobody holds its byte: INTERRUPTED at once, without a write."""
    make_version_1(program.history, running(LIVE))
    before = everything(program)
    assert "Status: INTERRUPTED" in program("--show-run", str(LIVE)).out
    assert everything(program) == before
    assert migrate(program).code == 0
    assert program.run_row(LIVE)["status"] == "INTERRUPTED"


def test_the_write_ahead_log_of_a_killed_run_is_migrated_too(program: Program) -> None:
    """What stands in it alone is kept."""
    make_version_1(program.history, running(LIVE))
    other = program.history.with_name("other")
    with live_run(program.history):
        shutil.copyfile(program.history, other)
        shutil.copyfile(f"{program.history}-wal", f"{other}-wal")
    for ending in ("", "-wal"):
        os.replace(f"{other}{ending}", f"{program.history}{ending}")
    assert migrate(program).code == 0
    assert program.statuses(LIVE) == {"a": "INTERRUPTED", "b": "SKIPPED"}
    assert sql(
        program.history.parent / BACKUP, "SELECT status FROM job_history WHERE run_id = 3 AND id = 'a'"
    ) == [("RUNNING",)]


# --- what cannot be written ------------------------------------------------------------------------


@pytest.mark.parametrize("room", [8192, 45_000], ids=["backup", "migration"])
def test_a_full_disk_leaves_all_as_it_was(program: Program, room: int) -> None:
    """Exit 3, the version is the former one, every row is there, nothing ran and no half of a backup stays."""
    path = make_version_1(program.history)
    assert 30_000 < path.stat().st_size < 45_000
    before, content = rows(path), path.read_bytes()
    program.config({"a": "touch ran"})
    limit = (room, room)
    result = program("-c", "flow.json", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("Error: The history could not be brought up to this version: ")
    assert "Traceback" not in result.err
    assert path.read_bytes() == content
    assert rows(path) == before
    assert not [name for name in names(path.parent) if "bak" in name]
    assert names(program.folder) == ["flow.json"]
    assert program("-c", "flow.json").code == 0  # with room again


def test_two_runs_at_once_migrate_once(program: Program) -> None:
    """Both wait for the guard; the second finds the work done."""
    make_version_1(program.history)
    program.config({"a": "true"}, application_name="new")
    lock_path(program).touch(0o600)
    fd = os.open(lock_path(program), os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, 0))
    with ended(program.start("-c", "flow.json")) as one, ended(program.start("-c", "flow.json")) as other:
        wait_until(lambda: all(has_open(each.pid, lock_path(program)) for each in (one, other)), "both to wait")
        os.close(fd)
        said = [process.communicate()[1] for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0]
    assert sorted(text.count(note(program)) for text in said) == [0, 1]
    assert [run.run_id for run in History(program.history).runs(status=["SUCCESS"])] == [4, 3, 2]
    assert names(program.history.parent) == FILES
