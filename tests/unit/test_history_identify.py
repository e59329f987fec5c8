"""What a file's bytes say of it, and which permissions its neighbours get."""

import os
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest

from executioner.errors import HistoryError
from executioner.folders import make_folder
from executioner.history import files
from executioner.history.create import create
from executioner.history.read import OpenFile


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """An empty history."""
    path = tmp_path / "h.db"
    create(str(path), 0o600)
    return path


def test_a_history_is_recognised(history: Path) -> None:
    """What create makes, identify takes."""
    assert files.identify(str(history)) is files.Kind.CURRENT


def test_nothing_is_absent(tmp_path: Path) -> None:
    """A missing and an empty file may become a history."""
    (tmp_path / "empty").touch()
    assert files.identify(str(tmp_path / "missing")) is files.Kind.ABSENT
    assert files.identify(str(tmp_path / "missing/below")) is files.Kind.ABSENT
    assert files.identify(str(tmp_path / "empty")) is files.Kind.ABSENT


def test_looking_makes_no_file(history: Path) -> None:
    """Identifying leaves the folder and the file's times as they are."""
    before = os.stat(history)
    files.identify(str(history))
    assert os.listdir(history.parent) == ["h.db"]
    assert os.stat(history).st_mtime_ns == before.st_mtime_ns


def rested(history: Path, seconds_ago: int = 60) -> files.State | None:
    """Date the last write back, and look."""
    written = time.time_ns() - seconds_ago * 10**9
    os.utime(history, ns=(written, written))
    return files.resting_state(str(history))


def test_a_resting_history_tells_of_each_write(history: Path) -> None:
    """Whoever writes changes its state: while the write waits in the log, and when it is folded into the file."""
    path = str(history)
    state = rested(history)
    assert state == files.file_state(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("SELECT count(*) FROM run_metadata").fetchone() == (0,)
        connection.execute("BEGIN IMMEDIATE")
        assert files.file_state(path) == state  # opening it is no write
        connection.execute("INSERT INTO run_metadata (status) VALUES ('RUNNING')")
        connection.execute("COMMIT")
        assert files.file_state(path) != state
        assert files.resting_state(path) is None
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert os.stat(f"{path}-wal").st_size == 0
        assert files.file_state(path) != state


def test_what_could_hide_a_write_is_no_rest(history: Path) -> None:
    """A write just now or in what is the future since the clock was set back, and no file at all."""
    path = str(history)
    assert rested(history) is not None
    assert rested(history, 0) is None
    assert rested(history, -60) is None
    history.unlink()
    assert files.resting_state(path) is None


def test_a_file_stays_open_while_it_rests(history: Path) -> None:
    """A history that was written long ago is opened once; one written just now, or since, is opened anew."""
    path, file = str(history), OpenFile()
    with closing(file):
        rested(history)
        kept = file.at(path, files.file_state(path))
        assert file.at(path, files.file_state(path)) is kept
        rested(history, 120)
        assert file.at(path, files.file_state(path)) is not kept
        rested(history, 0)
        fresh = file.at(path, files.file_state(path))
        assert file.at(path, files.file_state(path)) is not fresh


def test_what_is_made_is_whole(history: Path) -> None:
    """WAL mode, all tables, two random values, private, and no draft beside it."""
    with closing(sqlite3.connect(f"file:{history}?mode=ro&immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() is not None
        assert history.read_bytes()[18:20] == b"\x02\x02"  # WAL, as the header says
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables >= {"run_metadata", "job_history", "database_identity"}
        identity = dict(connection.execute("SELECT name, value FROM database_identity"))
    assert sorted(identity) == ["id", "key"]
    assert len(identity["key"]) == 32
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert os.listdir(history.parent) == ["h.db"]


@pytest.mark.parametrize("version", [files.SCHEMA_VERSION + 1, 99, 2**31 - 1])
def test_a_newer_schema_is_refused(history: Path, version: int) -> None:
    """Exit code 3, both versions named, and the advice to upgrade."""
    with closing(sqlite3.connect(history)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(HistoryError) as caught:
        files.identify(str(history))
    assert caught.value.exit_code == 3
    assert str(version) in caught.value.details[0]
    assert "upgrade" in caught.value.details[0]


def test_a_newer_schema_that_stands_in_the_log_alone_is_refused(history: Path) -> None:
    """The header still says what it said; the write-ahead log says 99, and it is right."""
    with closing(sqlite3.connect(history, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
        assert history.read_bytes()[60:64] == files.SCHEMA_VERSION.to_bytes(4, "big")
        with pytest.raises(HistoryError, match="newer"):
            files.identify(str(history))


def test_every_prefix_of_a_history_is_refused_or_recognised(history: Path, tmp_path: Path) -> None:
    """However a file was cut, the answer is an error for users, never a crash."""
    content = history.read_bytes()
    cut = tmp_path / "cut.db"
    for length in (1, 15, 16, 17, 59, 61, 67, 71, 99, 100, 101, 4095):
        cut.write_bytes(content[:length])
        with pytest.raises(HistoryError):
            files.identify(str(cut))


@pytest.mark.parametrize("name", ["a b", "a?mode=memory", "a#b", "a%20b", "ü", "\udce9", "a;b&c", "a\nb", "'\""])
def test_any_path_survives_the_uri(tmp_path: Path, name: str) -> None:
    """SQLite opens the very file that was meant."""
    path = tmp_path / name
    with closing(sqlite3.connect(files.uri(str(path), "mode=rwc"), uri=True)) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(name)]


@pytest.mark.parametrize(
    ("folder_mode", "file_mode"),
    [(0o700, 0o600), (0o755, 0o600), (0o770, 0o600), (0o2755, 0o600), (0o2770, 0o660), (0o2775, 0o660)],
)
def test_who_may_read(tmp_path: Path, folder_mode: int, file_mode: int) -> None:
    """Private, unless the folder has both setgid and group-write."""
    tmp_path.chmod(folder_mode)
    assert files.mode(str(tmp_path / "h.db")) == file_mode
    tmp_path.chmod(0o700)


def test_a_folder_that_will_be_made_is_private(tmp_path: Path) -> None:
    """Missing parents are 0700, whatever the umask, and an existing one keeps its mode."""
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        make_folder(str(tmp_path / "a/b/c"))
        make_folder(str(tmp_path / "a/b/c"))
    finally:
        os.umask(before)
    for folder in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
