"""Files that are no history, or none that this program can use: refused, explained, and not touched."""

import contextlib
import os
import shutil
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Program, Result
from history_tools import as_an_ordinary_user, names, ordinary_user, sql

pytestmark = pytest.mark.promise(8)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a real history with one run."""
    program = Program(tmp_path_factory.mktemp("history") / "work")
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    return program.history.read_bytes()


def changed(path: Path, history: bytes, statement: str) -> None:
    """A history changed by an SQL statement, closed cleanly."""
    path.write_bytes(history)
    sql(path, "PRAGMA journal_mode = DELETE", statement)


def with_log(path: Path, history: bytes, *statements: str) -> None:
    """A history whose newest changes stand in its write-ahead log alone, as after a crash."""
    other = path.with_name("other.db")
    other.write_bytes(history)
    with contextlib.closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for statement in statements:
            connection.execute(statement)
        shutil.copy(other, path)
        shutil.copy(f"{other}-wal", f"{path}-wal")
    for entry in path.parent.glob("other.db*"):
        entry.unlink()


def foreign(path: Path, _: bytes) -> None:
    """Another program's database."""
    sql(path, "CREATE TABLE bookmarks (url TEXT)", "INSERT INTO bookmarks VALUES ('x')")


def foreign_with_id(path: Path, _: bytes) -> None:
    """Another program's database that says so."""
    sql(path, "PRAGMA application_id = 252006673", "CREATE TABLE fossil (x)")


def foreign_with_log(path: Path, _: bytes) -> None:
    """Another program's database after a crash: most of it stands in the write-ahead log."""
    other = path.with_name("other.db")
    with contextlib.closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        shutil.copy(other, path)
        shutil.copy(f"{other}-wal", f"{path}-wal")
    for entry in path.parent.glob("other.db*"):
        entry.unlink()


def corrupt_header(path: Path, history: bytes) -> None:
    """An impossible page size."""
    path.write_bytes(history[:16] + struct.pack(">H", 1000) + history[18:])


def unreadable_format(path: Path, history: bytes) -> None:
    """A file format that SQLite does not know."""
    path.write_bytes(history[:18] + b"\x09\x09" + history[20:])


CASES: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "text": (lambda path, _: path.write_text("not a database\n" * 100), "not an SQLite database"),
    "one byte": (lambda path, _: path.write_bytes(b"S"), "not an SQLite database"),
    "zeros": (lambda path, _: path.write_bytes(bytes(8192)), "not an SQLite database"),
    "folder": (lambda path, _: path.mkdir(), "is a folder"),
    "fifo": (lambda path, _: os.mkfifo(path), "not a regular file"),
    "foreign": (foreign, "another program"),
    "foreign with an id": (foreign_with_id, "another program"),
    "foreign with a log": (foreign_with_log, "another program"),
    "newer": (lambda path, history: changed(path, history, "PRAGMA user_version = 99"), "newer"),
    "newer in its log alone": (lambda path, history: with_log(path, history, "PRAGMA user_version = 99"), "newer"),
    "our id, other tables": (
        lambda path, _: sql(
            path, "PRAGMA application_id = 1163412803", "PRAGMA user_version = 1", "CREATE TABLE t (x)"
        ),
        "",
    ),
    "corrupt header": (corrupt_header, "damaged"),
    "unknown format": (unreadable_format, "damaged"),
    "cut in its header": (lambda path, history: path.write_bytes(history[:60]), ""),
    "cut after its header": (lambda path, history: path.write_bytes(history[:100]), "damaged"),
    "cut in its second page": (lambda path, history: path.write_bytes(history[:5000]), "damaged"),
    "cut in its middle": (lambda path, history: path.write_bytes(history[: len(history) // 2]), "damaged"),
}


def content(folder: Path) -> dict[str, bytes | str]:
    """The bytes of each file in a folder."""
    return {entry.name: entry.read_bytes() if entry.is_file() else "no file" for entry in folder.iterdir()}


def refused(program: Program, *flags: str) -> Result:
    """What a run says that is to use ``db/h.db``."""
    program.config({"a": "touch ran"})
    return program("-c", "flow.json", "--db", "db/h.db", *flags)


@pytest.fixture
def folder(program: Program) -> Path:
    """The folder of the database to be refused."""
    path = program.folder / "db"
    path.mkdir()
    return path


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["run", "dry-run"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_serve_is_refused(
    program: Program, folder: Path, history: bytes, case: str, flags: tuple[str, ...]
) -> None:
    """Exit 3, one error that names the path and says what to type; nothing is run, not a byte is changed."""
    make, what = CASES[case]
    make(folder / "h.db", history)
    before = content(folder)
    result = refused(program, *flags)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("Error: ")
    assert str(folder / "h.db") in result.err
    assert what in result.err
    assert (
        result.err.count("To see what is wrong:\n") == result.err.count(f" --db {folder / 'h.db'} --doctor\n") == 1
    )
    assert result.err.endswith("\nTo use another history, name it with --db FILE.\n")
    assert "Traceback" not in result.err
    assert not (program.folder / "ran").exists()
    assert not (program.folder / "logs").exists()
    after = content(folder)
    for name in ("h.db", "h.db-wal"):
        assert after.get(name) == before.get(name)


@pytest.mark.parametrize("case", CASES)
def test_nothing_appears_beside_a_file_that_cannot_serve(
    program: Program, folder: Path, history: bytes, case: str
) -> None:
    """No lock file, no -shm, no -wal: the file is recognised before anything is opened for writing.

    A history of ours with a write-ahead log has to be read through it: that may leave an -shm.
    """
    CASES[case][0](folder / "h.db", history)
    before = names(folder)
    refused(program)
    allowed = {"h.db-shm"} if case == "newer in its log alone" else set()
    assert set(names(folder)) - allowed == set(before)


def test_a_foreign_database_in_use_is_not_disturbed(program: Program, folder: Path) -> None:
    """Its owner has it open, with changes in the write-ahead log: both keep their bytes, and he goes on."""
    path = folder / "h.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as owner:
        owner.execute("PRAGMA journal_mode = WAL")
        owner.execute("CREATE TABLE bookmarks (url TEXT)")
        before = content(folder)
        result = refused(program)
        assert result.code == 3
        assert "another program" in result.err
        after = content(folder)
        assert sorted(after) == sorted(before) == ["h.db", "h.db-shm", "h.db-wal"]
        assert (after["h.db"], after["h.db-wal"]) == (before["h.db"], before["h.db-wal"])
        owner.execute("INSERT INTO bookmarks VALUES ('x')")
        assert owner.execute("SELECT count(*) FROM bookmarks").fetchone() == (1,)


def test_a_newer_history_names_both_versions(program: Program, folder: Path, history: bytes) -> None:
    """The error of a newer schema tells which version the file has, which is known, and to upgrade."""
    changed(folder / "h.db", history, "PRAGMA user_version = 99")
    result = refused(program)
    assert "version 99" in result.err
    assert "knows 2" in result.err
    assert "upgrade" in result.err


def test_damage_that_shows_later_is_refused_too(program: Program, folder: Path, history: bytes) -> None:
    """A sound header and rubbish in the pages behind it: exit 3, the file keeps its bytes, nothing is run."""
    path = folder / "h.db"
    path.write_bytes(history[:4096] + b"\xff" * (len(history) - 4096))
    before = path.read_bytes()
    result = refused(program)
    assert (result.code, result.out) == (3, "")
    assert "damaged" in result.err
    assert str(path) in result.err
    assert path.read_bytes() == before
    assert not (program.folder / "ran").exists()


def test_a_path_below_a_file_is_refused(program: Program) -> None:
    """Exit 3 with the path, no traceback, nothing run."""
    program.config({"a": "touch ran"})
    result = program("-c", "flow.json", "--db", "flow.json/h.db")
    assert (result.code, result.out) == (3, "")
    assert "flow.json/h.db" in result.err
    assert "Traceback" not in result.err
    assert not (program.folder / "ran").exists()


def test_an_empty_file_is_taken_as_a_new_history(program: Program, folder: Path) -> None:
    """What ``mktemp`` or ``touch`` made is filled."""
    (folder / "h.db").touch()
    result = refused(program)
    assert (result.code, result.err) == (0, "")
    assert program.run_row(db=folder / "h.db")["status"] == "SUCCESS"


# --- not ours to write ------------------------------------------------------------------------


@contextlib.contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """Change the permissions of something for a while."""
    before = path.stat().st_mode & 0o7777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


@pytest.fixture
def own_history(program: Program) -> Path:
    """The program's history, with one run."""
    program.config({"a": "touch ran"})
    assert as_an_ordinary_user(program, "-c", "flow.json").code == 0
    (program.folder / "ran").unlink()
    return program.history


@pytest.mark.parametrize(
    ("suffix", "bits"),
    [("", 0o400), ("", 0o000), (".lock", 0o400)],
    ids=["database read-only", "database unreadable", "lock read-only"],
)
def test_a_history_that_may_not_be_written_is_refused(
    program: Program, own_history: Path, suffix: str, bits: int
) -> None:
    """Exit 3, the path is named, nothing is run, no row is added."""
    with mode(Path(f"{own_history}{suffix}"), bits):
        result = as_an_ordinary_user(program, "-c", "flow.json")
    assert (result.code, result.out) == (3, "")
    assert str(own_history) in result.err
    assert "Traceback" not in result.err
    assert not (program.folder / "ran").exists()
    assert len(program.rows("SELECT * FROM run_metadata")) == 1


def test_a_history_in_a_read_only_folder_is_refused(program: Program, own_history: Path) -> None:
    """Where no write-ahead log can be made beside it: exit 3, nothing is run."""
    with mode(own_history.parent, 0o500):
        result = as_an_ordinary_user(program, "-c", "flow.json")
    assert (result.code, result.out) == (3, "")
    assert str(own_history) in result.err
    assert not (program.folder / "ran").exists()
    assert len(program.rows("SELECT * FROM run_metadata")) == 1


def test_a_history_cannot_be_made_in_a_read_only_folder(program: Program) -> None:
    """Exit 3, the path is named, nothing is run."""
    program.config({"a": "touch ran"})
    (program.folder / "shut").mkdir()
    with mode(program.folder / "shut", 0o500):
        for db in ("shut/h.db", "shut/below/h.db"):
            result = as_an_ordinary_user(program, "-c", "flow.json", "--db", db)
            assert (result.code, result.out) == (3, "")
            assert "shut" in result.err
    assert names(program.folder / "shut") == []
    assert not (program.folder / "ran").exists()


def test_a_history_that_becomes_writable_again_can_be_used_again(program: Program, own_history: Path) -> None:
    """The refused attempt leaves nothing behind, such as a read-only -shm, that breaks the history for good."""
    with mode(own_history, 0o400):
        assert as_an_ordinary_user(program, "-c", "flow.json").code == 3
    result = as_an_ordinary_user(program, "-c", "flow.json")
    assert result.code == 0, result.err


def test_a_dry_run_refuses_a_history_that_the_run_may_not_write(program: Program, own_history: Path) -> None:
    """Database and folder are read-only: a preview exits as the run would, and makes no file."""
    before = names(own_history.parent)
    with mode(own_history, 0o400), mode(own_history.parent, 0o500):
        preview = as_an_ordinary_user(program, "-c", "flow.json", "--dry-run", "-j", "2")
        run = as_an_ordinary_user(program, "-c", "flow.json", "-j", "2")
    assert preview == run
    assert (run.code, run.out) == (3, "")
    assert names(own_history.parent) == before


READ = """
import sys
from executioner.history.files import identify
from executioner.history.read import reading
identify(sys.argv[1])
print(reading(sys.argv[1], lambda history: history.execute("SELECT count(*) FROM run_metadata").fetchone()[0]))
"""


def test_a_crashed_history_in_a_read_only_folder_can_be_read(program: Program, history: bytes) -> None:
    """The write-ahead log holds what counts and no -shm can be made: it is read from a private copy."""
    folder = program.folder / "db"
    folder.mkdir()
    with_log(folder / "h.db", history, "DELETE FROM run_metadata")
    with mode(folder, 0o500):
        done = ordinary_user([sys.executable, "-P", "-c", READ, str(folder / "h.db")], program)
    assert (done.code, done.out, done.err) == (0, "0\n", "")
    assert names(folder) == ["h.db", "h.db-wal"]


def test_a_planted_link_in_place_of_the_lock_file_is_not_followed(program: Program) -> None:
    """A symbolic link at the lock's name: exit 3, its target is not made, nothing is run."""
    program.config({"a": "touch ran"})
    (program.folder / "h.db.lock").symlink_to("planted")
    result = program("-c", "flow.json", "--db", "h.db")
    assert (result.code, result.out) == (3, "")
    assert "h.db.lock" in result.err
    assert not (program.folder / "planted").exists()
    assert not (program.folder / "ran").exists()
