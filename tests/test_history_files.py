"""Where the history lies, with which permissions, in which mode, and when it is synced to the disk."""

import contextlib
import os
import re
import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest
from harness import ROOT, Program, ended, wait_until
from history_tools import gate, integrity, kill, lock_path, names, pid_in, sql


def bits(path: str | Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)


def ok(program: Program, *flags: str, **options: object) -> None:
    """Run ``flow.json`` and see it succeed."""
    result = program("-c", "flow.json", *flags, **options)  # type: ignore[arg-type]
    assert (result.code, result.err) == (0, "")


@pytest.fixture
def program(program: Program) -> Program:
    """The program with a config of one quick job."""
    program.config({"a": "true"})
    return program


# --- where --------------------------------------------------------------------------------


def test_the_history_lies_in_the_state_folder(program: Program) -> None:
    """``~/.local/state/executioner/history.db`` unless something else is said."""
    ok(program)
    assert (program.home / ".local/state/executioner/history.db").is_file()


def test_the_state_folder_is_that_of_xdg(program: Program) -> None:
    """$XDG_STATE_HOME moves it; a relative one is ignored, as the specification demands."""
    ok(program, env={"XDG_STATE_HOME": str(program.folder / "state")})
    assert (program.folder / "state/executioner/history.db").is_file()
    ok(program, env={"XDG_STATE_HOME": "relative"})
    assert program.history.is_file()
    assert not (program.folder / "relative").exists()


def test_which_history_wins(program: Program) -> None:
    """--db before $EXECUTIONER_DB before the config's history_db before the state folder's."""
    (program.folder / "sub").mkdir()
    program.config({"a": "true"}, name="sub/flow.json", history_db="config.db")
    variable = {"EXECUTIONER_DB": str(program.folder / "variable.db")}
    result = program("-c", "sub/flow.json", "--db", "option.db", env=variable)
    assert result.code == 0
    assert (program.folder / "option.db").exists()
    assert not (program.folder / "variable.db").exists()
    assert program("-c", "sub/flow.json", env=variable).code == 0
    assert (program.folder / "variable.db").exists()
    assert not (program.folder / "sub/config.db").exists()
    assert program("-c", "sub/flow.json").code == 0
    assert (program.folder / "sub/config.db").exists()  # relative to the config, not to the current folder
    assert not program.history.exists()


def test_a_link_and_its_target_are_one_history(program: Program) -> None:
    """Through a symbolic link the same database and the same lock file are used."""
    (program.folder / "real").mkdir()
    (program.folder / "link.db").symlink_to("real/h.db")
    ok(program, "--db", "link.db")
    ok(program, "--db", "real/h.db")
    assert (program.folder / "link.db").is_symlink()
    assert names(program.folder / "real") == ["h.db", "h.db.lock"]
    assert not (program.folder / "link.db.lock").exists()
    assert [
        row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata", db=program.folder / "real/h.db")
    ] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    "name", ["a b.db", "100%41.db", "what?mode=ro.db", "#1.db", "q'u\"o;te.db", "ü☃.db", "file:x.db"]
)
def test_a_history_may_have_any_name(program: Program, name: str) -> None:
    """No character of a path means anything to SQLite's URIs."""
    ok(program, "--db", name)
    ok(program, "--db", name)
    assert {name, f"{name}.lock"} <= set(names(program.folder))
    assert len(sql(program.folder / name, "SELECT * FROM run_metadata")) == 2


def test_a_history_may_have_a_name_that_is_not_utf_8(program: Program) -> None:
    """A path is bytes; these need not be text."""
    name = os.fsdecode(b"caf\xe9.db")
    ok(program, "--db", name)
    assert (program.folder / name).is_file()


def test_a_nested_run_uses_the_history_of_the_outer_one(program: Program) -> None:
    """A job that calls the program finds $EXECUTIONER_DB: both runs stand in one database, each with its id."""
    program.config({"inner": "true"}, name="inner.json")
    program.config({"outer": f"python {ROOT}/executioner.py -c inner.json"})
    ok(program, "--db", "mine.db")
    rows = sql(program.folder / "mine.db", "SELECT run_id, application_name, status FROM run_metadata ORDER BY 1")
    assert rows == [(1, "flow", "SUCCESS"), (2, "inner", "SUCCESS")]
    assert not program.history.exists()


# --- permissions --------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_made_is_private(program: Program, umask: int) -> None:
    """Missing folders are made 0700, database, lock and write-ahead log 0600, whatever the umask."""
    program.config({"a": "echo $$ > up; read x < gate"})
    db = program.folder / "x/y/h.db"
    with gate(program) as let_through:
        runner = program.start("-c", "flow.json", "--db", str(db), preexec_fn=lambda: os.umask(umask) and None)
        with ended(runner):
            pid_in(program, "up")
            assert {name: bits(db.parent / name) for name in names(db.parent)} == {
                "h.db": 0o600,
                "h.db-shm": 0o600,
                "h.db-wal": 0o600,
                "h.db.lock": 0o600,
            }
            let_through()
            runner.communicate()
    assert (bits(program.folder / "x"), bits(program.folder / "x/y")) == (0o700, 0o700)
    assert (bits(db), bits(f"{db}.lock")) == (0o600, 0o600)


def test_a_folder_that_is_there_keeps_its_permissions(program: Program) -> None:
    """Only files are added to it, private ones."""
    (program.folder / "open").mkdir()
    (program.folder / "open").chmod(0o755)
    ok(program, "--db", "open/h.db")
    assert bits(program.folder / "open") == 0o755
    assert (bits(program.folder / "open/h.db"), bits(program.folder / "open/h.db.lock")) == (0o600, 0o600)


@pytest.mark.parametrize("folder_mode", [0o2770, 0o2775])
def test_a_shared_folder_gives_shared_files(program: Program, folder_mode: int) -> None:
    """In a folder with setgid and group-write all files are 0660 with its group, also with a strict umask."""
    folder = program.folder / "shared"
    folder.mkdir()
    group = 54321 if os.geteuid() == 0 else os.getgid()
    os.chown(folder, -1, group)
    folder.chmod(folder_mode)
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through:
        runner = program.start(
            "-c", "flow.json", "--db", "shared/h.db", preexec_fn=lambda: os.umask(0o077) and None
        )
        with ended(runner):
            pid_in(program, "up")
            for name in ("h.db", "h.db-shm", "h.db-wal", "h.db.lock"):
                assert (name, bits(folder / name)) == (name, 0o660)
                assert (folder / name).stat().st_gid == group
            let_through()
            runner.communicate()
    assert bits(folder) == folder_mode


@pytest.mark.parametrize("folder_mode", [0o770, 0o2755])
def test_a_folder_with_half_of_the_signs_is_not_shared(program: Program, folder_mode: int) -> None:
    """Group-write without setgid, or setgid without group-write: the files stay private."""
    folder = program.folder / "folder"
    folder.mkdir()
    folder.chmod(folder_mode)
    ok(program, "--db", "folder/h.db")
    assert (bits(folder / "h.db"), bits(folder / "h.db.lock")) == (0o600, 0o600)


# --- what lies there ------------------------------------------------------------------------


def test_the_database_says_what_it_is(program: Program) -> None:
    """Application id, schema version and tables are those of schema.sql; the journal is a write-ahead log."""
    ok(program)
    assert sql(program.history, "PRAGMA application_id") == [(int.from_bytes(b"EXEC", "big"),)]
    assert sql(program.history, "PRAGMA user_version") == [(2,)]
    assert sql(program.history, "PRAGMA journal_mode") == [("wal",)]
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name != 'sqlite_sequence' ORDER BY name"
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((ROOT / "schema.sql").read_text())
        assert sql(program.history, query) == connection.execute(query).fetchall()


def test_a_clean_end_leaves_database_and_lock_file_only(program: Program) -> None:
    """No -wal, no -shm, no draft; the lock file is never deleted."""
    for _ in range(2):
        ok(program)
        assert names(program.history.parent) == ["history.db", "history.db.lock"]
    inode = lock_path(program).stat().st_ino
    ok(program)
    assert lock_path(program).stat().st_ino == inode


@pytest.mark.parametrize(
    "flow", [{"a": "false"}, {"a": "kill -TERM $PPID; exec sleep 1000"}], ids=["failed", "signal"]
)
def test_a_bad_end_leaves_database_and_lock_file_only(program: Program, flow: dict[str, str]) -> None:
    """A failed and an interrupted run fold the write-ahead log into the database too."""
    program.config(flow)
    assert program("-c", "flow.json").code in (1, 143)
    assert names(program.history.parent) == ["history.db", "history.db.lock"]


def test_a_history_that_was_switched_to_a_rollback_journal_is_switched_back(program: Program) -> None:
    """``PRAGMA journal_mode = DELETE`` by a user lasts until the next run."""
    ok(program)
    assert sql(program.history, "PRAGMA journal_mode = DELETE") == [("delete",)]
    ok(program)
    assert sql(program.history, "PRAGMA journal_mode") == [("wal",)]
    assert len(program.rows("SELECT * FROM run_metadata")) == 2


def test_a_copy_made_while_a_run_is_live_is_readable(program: Program) -> None:
    """Copied with its write-ahead log it tells of the live run; copied alone it is an older but sound history."""
    ok(program)
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program), ended(program.start("-c", "flow.json")):
        pid_in(program, "up")
        shutil.copy(program.history, program.folder / "alone.db")
        for suffix in ("", "-wal"):
            shutil.copy(f"{program.history}{suffix}", program.folder / f"whole.db{suffix}")
    query = "SELECT status FROM run_metadata ORDER BY run_id"
    assert integrity(program.folder / "whole.db") == integrity(program.folder / "alone.db") == ["ok"]
    assert sql(program.folder / "whole.db", query) == [("SUCCESS",), ("RUNNING",)]
    assert sql(program.folder / "alone.db", query) == [("SUCCESS",)]


def test_a_backup_while_a_run_is_live_is_complete(program: Program) -> None:
    """SQLite's own backup, as ``sqlite3 history.db '.backup FILE'`` does it, needs no pause of the run."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        with (
            contextlib.closing(sqlite3.connect(f"file:{program.history}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(program.folder / "backup.db")) as target,
        ):
            source.backup(target)
        let_through()
        runner.communicate()
        assert runner.returncode == 0
    assert sql(program.folder / "backup.db", "SELECT status FROM run_metadata") == [("RUNNING",)]
    assert program.run_row()["status"] == "SUCCESS"


def test_a_deleted_history_does_not_come_back(program: Program) -> None:
    """A runner was killed and its database deleted, not its -wal: a new history begins empty and whole."""
    program.config({"a": "echo $$ > up; read x < gate", "b": "true"})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        kill(runner)
    assert Path(f"{program.history}-wal").stat().st_size > 0
    program.history.unlink()
    program.config({"z": "true"})
    assert program("-c", "flow.json").code == 0  # a warning about the orphaned -wal is welcome
    assert integrity(program.history) == ["ok"]
    found = program.rows("SELECT run_id, total_jobs, status FROM run_metadata")
    assert found == [{"run_id": 1, "total_jobs": 1, "status": "SUCCESS"}]
    assert [row["id"] for row in program.rows("SELECT id FROM job_history")] == ["z"]


def test_a_draft_left_by_a_kill_is_no_obstacle(program: Program) -> None:
    """Rubbish under the name of the draft, from a runner killed while it made the history, is replaced."""
    program.history.parent.mkdir(parents=True)
    for suffix in (".new", ".new-journal", ".new-wal"):
        Path(f"{program.history}{suffix}").write_bytes(b"half of a database")
    ok(program)
    assert integrity(program.history) == ["ok"]
    assert "history.db.new" not in names(program.history.parent)


# --- when it is synced ------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there")
def test_creating_and_finishing_a_run_is_synced_and_nothing_in_between(program: Program) -> None:
    """The database is synced before the first of 50 jobs starts and after the last ended, never between."""
    ok(program)
    program.config({f"j{n}": "/bin/true" for n in range(50)})
    trace = program.folder / "trace"
    command = [
        "strace",
        "-f",
        "-y",
        "-o",
        str(trace),
        "-e",
        "trace=fsync,fdatasync,execve",
        *program.command("-c", "flow.json"),
    ]
    done = subprocess.run(
        command, cwd=program.folder, env=program.environment(), capture_output=True, timeout=60, check=False
    )
    if b"ptrace" in done.stderr or not trace.exists():
        pytest.skip("strace is not permitted")
    assert done.returncode == 0, done.stderr
    lines = trace.read_text(errors="replace").splitlines()
    starts = [at for at, line in enumerate(lines) if 'execve("/bin/true"' in line]
    syncs = [at for at, line in enumerate(lines) if re.search(r"f(data)?sync\(\d+<.*history\.db", line)]
    assert len(starts) == 50
    assert [at for at in syncs if at < starts[0]], "creating the run was not synced"
    assert [at for at in syncs if at > starts[-1]], "finishing the run was not synced"
    assert not [at for at in syncs if starts[0] < at < starts[-1]]


def test_a_live_run_folds_nothing_that_a_reader_needs(program: Program) -> None:
    """While a run is live its changes stand in the write-ahead log, which a reader with mode=ro sees at once."""
    program.config({"a": "true", "b": "echo $$ > up; read x < gate"})
    with gate(program), ended(program.start("-c", "flow.json")):
        pid_in(program, "up")
        assert Path(f"{program.history}-wal").stat().st_size > 0
        wait_until(lambda: program.statuses()["a"] == "SUCCESS", "the result of a")
