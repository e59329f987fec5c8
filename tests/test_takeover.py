"""Databases of the earlier tool: read as they are, taken over by the first run, and never half of it."""

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from earlier_databases import (
    BECOMES,
    JOBS,
    SUMMARIES,
    VERSIONS,
    Version,
    job,
    make_earlier,
    many,
    version_1,
    version_6,
    zone,
)
from harness import Program, Result, ended, wait_until
from history_tools import as_an_ordinary_user, has_open, integrity, is_locked, lock_path, names, region, sql
from screens import everything
from test_migration import make_version_1

from executioner.history import files, sqlite
from executioner.history.lock import LockFile
from executioner.history.reader import History
from executioner.history.store import HistoryWriter

BACKUP = "history.db.earlier-tool.bak"
FILES = ["history.db", BACKUP, "history.db.lock"]

LIST = """\
Recent Execution History:
=======================
Run ID | Application      | Status      | Start Time          | Duration | Completed/Total
-------|------------------|-------------|---------------------|----------|----------------
  12   | orders           | SUCCESS     | 2025-05-24 08:00:00 | 00:01:01 | 1/1
   7   | etl              | INTERRUPTED | 2025-05-24 02:00:00 | -        | 1/3
   3   | etl              | SUCCESS     | 2025-05-23 02:00:00 | 07:01:30 | 3/3
   2   | etl              | SUCCESS     | 2025-05-22 02:00:00 | 00:02:45 | 3/3
   1   | etl              | FAILED      | 2025-05-21 02:00:00 | 00:02:10 | 1/3

To resume a failed run: cd {folder} && executioner.py -c <config> --resume-from <RUN_ID>
To see details: cd {folder} && executioner.py --show-run <RUN_ID>
"""
FAILED_RUN = """\
Run Details for ID 1:
======================
Application: etl
Status: FAILED
Start Time: 2025-05-21 02:00:00
End Time: 2025-05-21 02:02:10
Duration: 00:02:10
Config: /srv/etl/etl.json (no longer exists)
Seen from: {folder}
History: {history}

Job Status:
-----------
✓ extract - SUCCESS (00:00:30)
✗ load    - FAILED  (00:01:40) - Exit code: 1
- report  - SKIPPED (dependency failed)

A newer run of this config has succeeded: run 3. To view it:
  cd {folder} && executioner.py --show-run 3
"""
KILLED_RUN = """\
Run Details for ID 7:
======================
Application: etl
Status: INTERRUPTED
Reason: load: Its runner ended without recording a result
Start Time: 2025-05-24 02:00:00
End Time: unknown (last recorded 02:00:30)
Duration: unknown
Seen from: {folder}
History: {history}

Job Status:
-----------
✓ extract - SUCCESS     (00:00:30)
✗ load    - INTERRUPTED - Its runner ended without recording a result
- report  - SKIPPED     (run interrupted)

Hint: how load ended is not known, and a resume runs it again. If its log
shows that it did its work, let it count:
  cd {folder} && executioner.py --mark-success 7 load

To resume all remaining jobs:
  cd {folder} && executioner.py -c NEW_PATH --resume-from 7
"""


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    """Earlier databases are read in the program's zone by the tests too."""
    with zone("UTC"):
        yield


def details(path: Path, newest: int = 2**62) -> dict[int, object]:
    """All that is known of all runs up to one, as scripts see it; ``{}`` where nothing is there."""
    history = History(path)
    return {run.run_id: history.run(run.run_id).as_object() for run in history.runs() if run.run_id <= newest}


def dump(path: Path) -> list[str]:
    """All content of a database as SQL text, by a read-only connection."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        return list(connection.iterdump())


def statuses(path: Path) -> Mapping[int, tuple[str, Mapping[str, str]]]:
    """The status of each run and of its jobs."""
    found = ((run.run_id, History(path).run(run.run_id)) for run in History(path).runs())
    return {number: (one.run.status, {job.id: job.status for job in one.jobs}) for number, one in found}


def note(program: Program, runs: int, jobs: int, more: str = "") -> str:
    """What a run says on stderr that took over a database."""
    what = f"The history of the earlier tool was taken over: {runs} runs with {jobs} jobs{more}."
    return f"Note: {what} Its former state is kept in {program.history.parent / BACKUP}\n"


def take_over(program: Program, *flags: str, **options: Any) -> Result:
    """Run a workflow of another application with one quick job."""
    program.config({"a": "true"}, application_name="new")
    return program("-c", "flow.json", *flags, **options)


# --- what is read before and after ---------------------------------------------------------------


@pytest.mark.parametrize("ids", ["INTEGER", "TEXT"])
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.__name__)
def test_every_run_of_every_version(program: Program, version: Version, ids: str) -> None:
    """All is listed and shown before the take-over without a write, and just the same after it."""
    make_earlier(program.history, version, ids=ids)
    original = dump(program.history)
    before = everything(program)
    listed = program("--list-runs", "--format", "json")
    known = details(program.history)
    assert everything(program) == before
    assert (listed.code, listed.err) == (0, "")
    assert statuses(program.history) == BECOMES

    result = take_over(program)
    assert (result.code, result.err) == (0, note(program, 5, 13))
    after = json.loads(program("--list-runs", "--format", "json").out)
    assert [run["run_id"] for run in after] == [13, 12, 7, 3, 2, 1]
    assert after[1:] == json.loads(listed.out)
    assert details(program.history, 12) == known
    assert names(program.history.parent) == FILES
    assert dump(program.history.parent / BACKUP) == original


def test_the_screens_of_an_earlier_database(program: Program) -> None:
    """A list, a failed run and a killed one, to the letter; of a killed one nobody knows when it ended."""
    make_earlier(program.history)
    before = everything(program)
    shown = {"--list-runs": LIST, "--show-run 1": FAILED_RUN, "--show-run 7": KILLED_RUN}
    for words, expected in shown.items():
        text = expected.format(folder=program.folder, history=program.history)
        assert program(*words.split()) == Result(0, text, "")
    assert everything(program) == before
    assert take_over(program).code == 0
    for words, expected in list(shown.items())[1:]:
        text = expected.format(folder=program.folder, history=program.history)
        assert program(*words.split()) == Result(0, text, "")


def test_no_duration_is_invented(program: Program) -> None:
    """The first version recorded starts of jobs alone: how long a run took is not known, and not 00:00:00."""
    make_earlier(program.history, version_1)
    row = "  12   | orders           | SUCCESS     | 2025-05-24 08:00:00 | -        | 1/1\n"
    assert row in program("--list-runs").out


def test_new_runs_count_on_above_the_old_ones(program: Program) -> None:
    """From run 13 on; the second run has nothing to say any more, and makes no second backup."""
    make_earlier(program.history)
    assert "Run 13 started" in take_over(program).out
    again = take_over(program)
    assert "Run 14 started" in again.out
    assert (again.code, again.err) == (0, "")
    assert names(program.history.parent) == FILES


@pytest.mark.parametrize("flags", [(), ("--format", "json"), ("--quiet",)], ids=["plain", "json", "quiet"])
def test_what_was_done_is_said_on_stderr(program: Program, flags: tuple[str, ...]) -> None:
    """And in the log of the run; stdout is the run's alone. With --quiet too: it happens but once."""
    make_earlier(program.history)
    result = take_over(program, *flags)
    said = note(program, 5, 13)
    assert result.code == 0
    assert result.err.startswith(said)
    assert said not in result.out
    assert said in (program.folder / "logs/executioner.new.run-13.log").read_text()


def test_runs_under_new_numbers_are_named(program: Program) -> None:
    """Reading gives the same numbers before the take-over as it does after."""
    rows = (job("nightly", "a", "FAILED"), job("weekly", "b", "SUCCESS"), job("3", "c", "SUCCESS"))
    make_earlier(program.history, ids="TEXT", jobs=rows, summaries=())
    before = details(program.history)
    assert sorted(before) == [3, 4, 5]
    renumbered = '; ids that were no numbers have new ones: "nightly" is run 4, "weekly" is run 5'
    assert take_over(program).err == note(program, 3, 3, renumbered)
    assert details(program.history, 5) == before


def test_an_id_of_the_earlier_database_that_is_not_there(program: Program) -> None:
    """The founding document's error, from a database that was not taken over yet."""
    make_earlier(program.history)
    assert program("--show-run", "999") == Result(
        2,
        "",
        f"""\
Error: Run ID 999 not found in history.

Recent runs:
  Run 12 - SUCCESS     - 2025-05-24 08:00:00
  Run  7 - INTERRUPTED - 2025-05-24 02:00:00
  Run  3 - SUCCESS     - 2025-05-23 02:00:00
  Run  2 - SUCCESS     - 2025-05-22 02:00:00
  Run  1 - FAILED      - 2025-05-21 02:00:00

Use --list-runs to see all available runs.
History: {program.history}
""",
    )


def test_the_zone_of_the_machine_at_the_take_over_counts(program: Program) -> None:
    """Times are then instants: read in another zone they are the same moments."""
    make_earlier(program.history)
    berlin = {"TZ": "Europe/Berlin"}
    assert take_over(program, env=berlin).code == 0
    assert program.run_row(1)["start_time"] == "2025-05-21T00:00:00.000000Z"
    for place, shown in (("Europe/Berlin", "2025-05-21 02:00:00"), ("America/New_York", "2025-05-20 20:00:00")):
        assert (
            f"   1   | etl              | FAILED      | {shown} |" in program("--list-runs", env={"TZ": place}).out
        )


def test_a_preview_says_what_a_run_would_do_first(program: Program) -> None:
    """--dry-run writes nothing; that there will be a take-over stands on stderr."""
    make_earlier(program.history)
    program.config({"a": "touch ran"})
    before = everything(program)
    result = program("-c", "flow.json", "--dry-run")
    said = "the run would first take over the history of the earlier tool, after a backup beside it"
    assert (result.code, result.err) == (0, f"Note: {said}\n")
    assert result.out.startswith("DRY RUN - flow\n")
    assert everything(program) == before


# --- the backup ---------------------------------------------------------------------------------


def test_the_backup_is_private_and_whole(program: Program) -> None:
    """Whatever the umask and the database's own mode; a complete database that the earlier tool can use again."""
    make_earlier(program.history)
    program.history.chmod(0o644)
    original = dump(program.history)
    assert take_over(program, umask=0).code == 0
    backup = program.history.parent / BACKUP
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert (dump(backup), integrity(backup)) == (original, ["ok"])
    assert names(program.history.parent) == FILES


def test_no_earlier_backup_is_overwritten(program: Program) -> None:
    """A name that is taken, by a file or a link that leads nowhere, is left alone."""
    make_earlier(program.history)
    folder = program.history.parent
    (folder / BACKUP).write_text("mine")
    (folder / "history.db.earlier-tool-2.bak").symlink_to(program.folder / "elsewhere")
    result = take_over(program)
    third = folder / "history.db.earlier-tool-3.bak"
    assert result.err == note(program, 5, 13).replace(str(folder / BACKUP), str(third))
    assert (folder / BACKUP).read_text() == "mine"
    assert not (program.folder / "elsewhere").exists()
    assert "job_history" in "".join(dump(third))


# --- what else such a database may hold ------------------------------------------------------------


def test_further_tables_stay(program: Program) -> None:
    """With rows, indexes, triggers and views of their own; foreign keys on what is gone hinder nothing."""
    make_earlier(
        program.history,
        version_6,
        "CREATE TABLE notes (run_id INTEGER REFERENCES job_history (run_id), text TEXT)",
        "CREATE TABLE audit (text TEXT)",
        "CREATE INDEX notes_by_text ON notes (text)",
        "CREATE TRIGGER noted AFTER INSERT ON notes BEGIN INSERT INTO audit VALUES (new.text); END",
        "CREATE VIEW all_notes AS SELECT * FROM notes",
        "INSERT INTO notes VALUES (1, 'look at this')",
        "ANALYZE",
    )
    assert take_over(program).code == 0
    sql(program.history, "INSERT INTO notes VALUES (2, 'and this')")
    assert sql(program.history, "SELECT text FROM all_notes ORDER BY run_id") == [("look at this",), ("and this",)]
    assert sql(program.history, "SELECT text FROM audit") == [("look at this",), ("and this",)]
    assert integrity(program.history) == ["ok"]


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE INDEX run_by_status ON job_history (status)",),
        ("CREATE TRIGGER t AFTER DELETE ON job_history BEGIN SELECT raise(ABORT, 'never'); END",),
        ("CREATE VIEW failed_jobs AS SELECT * FROM job_history WHERE status = 'FAILED'",),
        ('CREATE VIEW Failed_Jobs AS SELECT * FROM JOB_HISTORY, "Run_Summary"',),
        ("CREATE VIEW v AS SELECT run_id, last_exit_code FROM job_history", "CREATE VIEW w AS SELECT * FROM v"),
        ('CREATE VIEW "odd ""name" AS SELECT * FROM run_summary',),
        ("CREATE TABLE log (x)", "CREATE TRIGGER t AFTER INSERT ON log BEGIN DELETE FROM run_summary; END"),
        (
            "DROP TABLE run_summary",
            "CREATE VIEW run_summary AS SELECT run_id, count(*) FROM job_history GROUP BY 1",
        ),
        ("PRAGMA user_version = 7",),
        ("PRAGMA auto_vacuum = FULL", "VACUUM"),
        ("CREATE TABLE grown (x)", "INSERT INTO grown VALUES (zeroblob(3000000))", "DELETE FROM grown"),
    ],
    ids="index trigger view view-of-any-case view-of-view odd-name trigger-elsewhere summary-view version"
    " auto-vacuum free-pages".split(),
)
def test_what_hangs_on_the_old_tables_breaks_nothing(program: Program, statements: tuple[str, ...]) -> None:
    """Indexes, triggers and views of tables that go, under whatever name: all runs are taken over."""
    make_earlier(program.history, version_6, *statements)
    result = take_over(program)
    assert (result.code, result.err) == (0, note(program, 5, 13))
    assert {number: one for number, one in statuses(program.history).items() if number < 13} == BECOMES
    assert integrity(program.history) == ["ok"]
    assert sql(program.history, "SELECT count(*) FROM failed_jobs") == [(2,)]  # our view


def test_a_database_in_utf16(program: Program) -> None:
    """SQLite converts; ids and names read the same."""
    with contextlib.closing(sqlite3.connect(":memory:")) as source:
        source.execute("PRAGMA encoding = 'UTF-16le'")
        version_6(source, jobs=[*JOBS, job(20, "größe", "FAILED", last_error="naïve")])
        source.commit()
        program.history.parent.mkdir(parents=True)
        source.execute("VACUUM INTO ?", (str(program.history),))
    assert take_over(program).code == 0
    found = program.jobs(20)["größe"]
    assert (found["status"], found["reason"]) == ("FAILED", "naïve")


# --- databases that were not closed ----------------------------------------------------------------


def die_while_writing(path: Path, *statements: str) -> None:
    """Execute statements by a process that then ends without closing or finishing anything."""
    pid = os.fork()
    if pid == 0:
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            for statement in statements:
                connection.execute(statement).fetchall()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def with_hot_journal(path: Path) -> None:
    """A crash in mid-transaction, after half of it had been written into the file."""
    make_earlier(path, version_6, **many(300))
    changes = (
        "UPDATE job_history SET status = 'LOST', last_error = hex(zeroblob(400))",
        "DELETE FROM run_summary",
    )
    die_while_writing(path, "PRAGMA cache_size = 1", "BEGIN IMMEDIATE", *changes)
    assert Path(f"{path}-journal").stat().st_size > 512


def test_a_journal_that_a_crash_left_is_undone(program: Program) -> None:
    """Before and after the take-over the runs are those of the last commit; reading leaves both files alone."""
    with_hot_journal(program.history)
    before = everything(program)
    known = details(program.history)
    assert program("--list-runs").out.count("SUCCESS") == 18
    assert everything(program) == before
    assert len(known) == 300
    result = take_over(program)
    assert (result.code, result.err) == (0, note(program, 300, 1500).replace("1500", "1,500"))
    assert details(program.history, 300) == known
    assert names(program.history.parent) == FILES
    assert sql(program.history.parent / BACKUP, "SELECT count(*) FROM run_summary") == [(300,)]
    assert names(program.history.parent) == FILES


@pytest.mark.parametrize("shared_memory", [True, False], ids=["with -shm", "without -shm"])
def test_a_write_ahead_log_that_was_not_folded_in_counts(program: Program, shared_memory: bool) -> None:
    """What stands in the log alone is shown, taken over and backed up; reading changes neither file nor log."""
    make_earlier(program.history, version_6, "PRAGMA journal_mode = WAL")
    newest = "INSERT INTO job_history (run_id, id, status, application_name) VALUES (30, 'late', 'FAILED', 'etl')"
    die_while_writing(program.history, "PRAGMA wal_autocheckpoint = 0", newest)
    log = Path(f"{program.history}-wal")
    if not shared_memory:
        os.unlink(f"{program.history}-shm")
    before = (program.history.read_bytes(), log.read_bytes())
    assert program("--list-runs").out.count(" etl ") == 5
    known = details(program.history)
    assert (program.history.read_bytes(), log.read_bytes()) == before
    assert set(names(program.history.parent)) <= {"history.db", "history.db-shm", "history.db-wal"}
    assert sorted(known) == [1, 2, 3, 7, 12, 30]
    assert take_over(program).code == 0
    assert details(program.history, 30) == known
    backup = program.history.parent / BACKUP
    assert names(program.history.parent) == FILES
    assert "late" in "".join(dump(backup))


def test_the_earlier_tool_may_just_be_writing(program: Program) -> None:
    """The take-over waits for its transaction, and has what that added."""
    make_earlier(program.history)
    program.config({"a": "true"}, application_name="new")
    with contextlib.closing(sqlite3.connect(program.history, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO job_history (run_id, id, status) VALUES (13, 'fresh', 'SUCCESS')")
        with ended(program.start("-c", "flow.json")) as runner:
            wait_until(lambda: lock_path(program).exists() and is_locked(lock_path(program), 0), "the guard")
            writer.execute("COMMIT")
            out, err = runner.communicate()
    assert (runner.returncode, err) == (0, note(program, 6, 14))
    assert "Run 14 started" in out
    assert program.jobs(13)["fresh"]["status"] == "SUCCESS"


def test_two_runs_at_once_take_over_once(program: Program) -> None:
    """Both have found the old database before either may change it: one says so, both are recorded."""
    make_earlier(program.history)
    program.config({"a": "true"}, application_name="new")
    lock_path(program).touch(0o600)
    fd = os.open(lock_path(program), os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, 0))
    with ended(program.start("-c", "flow.json")) as one, ended(program.start("-c", "flow.json")) as other:
        wait_until(lambda: all(has_open(each.pid, lock_path(program)) for each in (one, other)), "both to wait")
        os.close(fd)
        results = [process.communicate() for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0]
    assert sorted(said.count("was taken over") for _, said in results) == [0, 1]
    assert [run.run_id for run in History(program.history).runs()] == [14, 13, 12, 7, 3, 2, 1]
    assert {run.status for run in History(program.history).runs(application="new")} == {"SUCCESS"}
    assert names(program.history.parent) == FILES


# --- kills --------------------------------------------------------------------------------------


class _Dying(sqlite3.Connection):
    """A connection of a process that is killed before its n-th act."""

    left = 0

    def _act(self) -> None:
        _Dying.left -= 1
        if _Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._act()
        return super().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self._act()
        return super().executemany(*args)

    def backup(self, *args: Any, **options: Any) -> None:
        options.update(pages=1, progress=lambda *_: self._act())
        super().backup(*args, **options)

    def close(self) -> None:
        self._act()
        super().close()


def killed_at(act: int, path: Path) -> bool:
    """Open a history for writing in a process that is killed before an act; False if it ended before."""
    pid = os.fork()
    if pid == 0:
        try:
            _Dying.left = act
            connect = sqlite.sqlite3.connect
            sqlite.sqlite3.connect = lambda *args, **options: connect(*args, **{"factory": _Dying, **options})
            HistoryWriter(str(path)).close()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("make", "kind"),
    [(make_earlier, files.Kind.EARLIER_TOOL), (make_version_1, files.Kind.OLDER)],
    ids=["earlier tool", "version 1"],
)
def test_killed_before_any_act_of_bringing_it_up(
    tmp_path: Path, make: Callable[[Path], Path], kind: files.Kind
) -> None:
    """It is the old database or the new one, each backup is a whole one, and the next take-over finishes it."""
    model = make(tmp_path / "model.db")
    original, known = dump(model), details(model)
    act = 0
    kinds = []
    alive = True
    while alive:
        act += 1
        folder = tmp_path / str(act)
        folder.mkdir()
        path = folder / "history.db"
        shutil.copyfile(model, path)
        alive = killed_at(act, path)
        kinds.append(files.identify(str(path)))
        assert details(path) == known, f"act {act}"
        for backup in folder.glob("*.bak"):
            assert sorted(dump(backup)) == sorted(original), f"{backup.name}, killed before act {act}"
        HistoryWriter(str(path)).close()
        assert files.identify(str(path)) is files.Kind.CURRENT
        assert details(path) == known
        shutil.rmtree(folder)
    taken = kinds.index(files.Kind.CURRENT)
    assert set(kinds[:taken]) == {kind}
    assert set(kinds[taken:]) == {files.Kind.CURRENT}
    assert taken > 30


def grown(path: str, size: int) -> Callable[[Path], bool]:
    """A condition: a file beside the history has grown to so many bytes."""

    def holds(history: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.stat(f"{history}{path}").st_size >= size
        return False

    return holds


@pytest.mark.parametrize(
    "moment",
    [
        grown(".lock", 0),
        grown(".earlier-tool.bak", 1),
        grown(".earlier-tool.bak", 600_000),
        grown("-journal", 1),
        grown("-journal", 300_000),
        grown("", 2_500_000),
    ],
    ids="lock backup half-a-backup journal long-journal grown".split(),
)
def test_killed_while_the_disk_is_written(program: Program, moment: Callable[[Path], bool]) -> None:
    """A run that is killed while it takes over thousands of runs: nothing is lost, the next one ends the work."""
    make_earlier(program.history, version_6, **many(2500, 4))
    original = program.history.read_bytes()
    counts = "SELECT count(*), sum(total_jobs), sum(completed_jobs) FROM run_metadata WHERE run_id <= 2500"
    program.config({"a": "true"}, application_name="new")
    with ended(program.start("-c", "flow.json")) as runner:
        wait_until(lambda: moment(program.history) or runner.poll() is not None, "the moment")
        runner.kill()
        runner.communicate()
    kind = files.identify(str(program.history))
    assert kind in (files.Kind.EARLIER_TOOL, files.Kind.CURRENT)
    if kind is files.Kind.EARLIER_TOOL and not files.has_log(str(program.history)):
        assert program.history.read_bytes() == original
    assert program("-c", "flow.json").code == 0
    assert program.rows(counts) == [
        {"count(*)": 2500, "sum(total_jobs)": 10_000, "sum(completed_jobs)": 10_000 - 250}
    ]
    assert integrity(program.history) == ["ok"]
    backups = list(program.history.parent.glob("*.bak"))
    assert backups
    for backup in backups:
        assert sql(backup, "SELECT count(*) FROM job_history") == [(10_000,)]


# --- what cannot be written ------------------------------------------------------------------------


@pytest.mark.parametrize("room", [8192, 120_000, 260_000, 330_000], ids="backup half-backup migration end".split())
def test_a_full_disk_leaves_all_as_it_was(program: Program, room: int) -> None:
    """Exit 3, the history is named, not a byte of it has changed, nothing ran and no half of a backup stays."""
    make_earlier(program.history, version_6, **many(400))
    assert 240_000 < program.history.stat().st_size < 260_000
    before = program.history.read_bytes()
    program.config({"a": "touch ran"})
    limit = (room, room)
    result = program("-c", "flow.json", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("Error: The history could not be brought up to this version: ")
    assert str(program.history) in result.err
    assert "Traceback" not in result.err
    assert program.history.read_bytes() == before
    assert names(program.history.parent) == ["history.db", "history.db.lock"]
    assert names(program.folder) == ["flow.json"]
    assert program("-c", "flow.json").code == 0  # with room again


@pytest.fixture
def read_only(program: Program) -> Iterator[Program]:
    """The folder of an earlier database may not be written."""
    make_earlier(program.history)
    program.config({"a": "touch ran"})
    program.history.parent.chmod(0o500)
    yield program
    program.history.parent.chmod(0o700)


def test_a_read_only_folder_is_read(read_only: Program) -> None:
    """Listing and showing need no right to write."""
    before = everything(read_only)
    listed = as_an_ordinary_user(read_only, "--list-runs", "--format", "json")
    assert (listed.code, listed.err) == (0, "")
    assert [run["run_id"] for run in json.loads(listed.out)] == [12, 7, 3, 2, 1]
    assert as_an_ordinary_user(read_only, "--show-run", "7").code == 0
    assert everything(read_only) == before


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["run", "preview"])
def test_a_read_only_folder_is_not_taken_over(read_only: Program, flags: tuple[str, ...]) -> None:
    """Exit 3, a preview as well; nothing is written, nothing run."""
    before = everything(read_only)
    folder = read_only.history.parent
    assert as_an_ordinary_user(read_only, "-c", "flow.json", *flags) == Result(
        3,
        "",
        f"Error: The history cannot be written: no permission for its folder, {folder} ({read_only.history})\n"
        "It was not changed. Nothing was run. To see what is wrong:\n"
        f"  cd {read_only.folder} && executioner.py --db {read_only.history} --doctor\n"
        "To use another history, name it with --db FILE.\n",
    )
    assert everything(read_only) == before


# --- what is not the earlier tool's ----------------------------------------------------------------

_NOT_ITS = {
    "no application": ["CREATE TABLE job_history (run_id INTEGER, id TEXT, status TEXT)"],
    "no status": ["CREATE TABLE job_history (run_id INTEGER, id TEXT, application_name TEXT)"],
    "a view": [
        "CREATE TABLE t (run_id, id, status, application_name)",
        "CREATE VIEW job_history AS SELECT * FROM t",
    ],
    "summaries alone": ["CREATE TABLE run_summary (run_id INTEGER, application_name TEXT, status TEXT)"],
    "run_metadata": [
        "CREATE TABLE job_history (run_id INTEGER, id TEXT, status TEXT, application_name TEXT)",
        "CREATE TABLE run_metadata (run_id INTEGER)",
    ],
    "another's id": [
        "CREATE TABLE job_history (run_id INTEGER, id TEXT, status TEXT, application_name TEXT)",
        "PRAGMA application_id = 252006673",
    ],
}


@pytest.mark.parametrize("args", [("-c", "flow.json"), ("-c", "flow.json", "--dry-run"), ("--list-runs",)])
@pytest.mark.parametrize("statements", _NOT_ITS.values(), ids=_NOT_ITS)
def test_what_is_not_the_earlier_tools_is_refused(
    program: Program, statements: list[str], args: tuple[str, ...]
) -> None:
    """Exit 3 and not a byte changed, whatever is asked for."""
    program.history.parent.mkdir(parents=True)
    sql(program.history, *statements)
    program.config({"a": "touch ran"})
    before = everything(program)
    assert program(*args) == Result(
        3,
        "",
        f"Error: This is not a history: an SQLite database of another program ({program.history})\n"
        f"It was not changed. {'' if args == ('--list-runs',) else 'Nothing was run. '}"
        "To see what is wrong:\n"
        f"  cd {program.folder} && executioner.py --db {program.history} --doctor\n"
        "To use another history, name it with --db FILE.\n",
    )
    assert everything(program) == before


def test_an_earlier_database_without_rows(program: Program) -> None:
    """No runs yet; the first one is run 1."""
    make_earlier(program.history, jobs=(), summaries=())
    listed = program("--list-runs")
    assert (listed.code, listed.out) == (0, "")
    assert listed.err.startswith("No runs yet\n")
    result = take_over(program)
    assert (result.code, result.err) == (0, note(program, 0, 0))
    assert "Run 1 started" in result.out


# --- scale --------------------------------------------------------------------------------------


def test_twenty_thousand_runs(program: Program) -> None:
    """They are taken over in seconds of computing and in little memory, which does not grow with them."""
    make_earlier(program.history, version_6, **many(20_000, 2))
    program.config({"a": "true"}, application_name="new")
    # a process of its own measures: a child's peak begins at that of whoever starts it
    measure = "import json, resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=2).returncode; "
    measure += "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    measure += "print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss]))"
    done = subprocess.run(
        [sys.executable, "-c", measure, *program.command("-c", "flow.json")],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        check=True,
    )
    code, cpu_s, peak_kib = json.loads(done.stdout)
    assert code == 0
    assert cpu_s < 15
    assert peak_kib < 60 * 1024
    [counts] = program.rows("SELECT count(*) AS jobs, count(DISTINCT run_id) AS runs FROM job_history")
    assert counts == {"jobs": 40_001, "runs": 20_001}


def test_old_runs_hold_no_lock(tmp_path: Path) -> None:
    """They are no live runs: nothing holds their bytes, and that of the next run is free."""
    path = make_earlier(tmp_path / "history.db", summaries=SUMMARIES)
    writer = HistoryWriter(str(path))
    with contextlib.closing(LockFile(f"{path}.lock", 0o600)) as lock:
        assert all(lock.try_hold(number) for number in (0, 1, 7, 12, 13))
    writer.close()
