"""Histories that are damaged, foreign or newer: every command refuses them, or loses nothing; none breaks."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults_tools import Instrumented, copy_history
from harness import Program, Result
from history_tools import sql
from kill_tools import FLAGS, LANES, content, in_lanes, wait_for_jobs, workflow

pytestmark = pytest.mark.promise(8)
RUNS = 6
READING = (
    ("--list-runs", "--format", "json"),
    ("--show-run", "1"),
    ("--show-log", "1", "first"),
    ("-c", "flow.json", "--resume-from", "1", "--dry-run"),
)
MARK = ("--mark-success", "1", "fails", "--yes")
RESUME = ("-c", "flow.json", *FLAGS, "--resume-from", str(RUNS), "--if-changed", "keep", "--yes")
RUN = ("-c", "flow.json", *FLAGS)
WRITING = (MARK, RESUME, RUN)


class Good(NamedTuple):
    """Bytes of sound histories: one that was closed, and one whose runner was killed, with its log."""

    folder: Path
    closed: bytes
    killed: bytes
    log: bytes


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    """Six runs of a workflow that fails, and a seventh that was killed."""
    program = Instrumented(tmp_path_factory.mktemp("good") / "work")
    workflow(program)
    for _ in range(RUNS):
        assert program(*RUN).code == 1
    closed = program.history.read_bytes()
    killed = program(*RUN, env={"EXECUTIONER_TEST_FAULT": "kill commit after 4"})
    assert killed.code == -signal.SIGKILL
    wait_for_jobs(program)
    copy = program.home / "copy.db"
    copy_history(program.history, copy)
    (program.folder / "fails").unlink()
    return Good(program.folder, closed, copy.read_bytes(), Path(f"{copy}-wal").read_bytes())


def readable(path: Path, scratch: Path) -> dict[tuple[str, int], Any]:
    """All rows of runs and jobs that SQLite can still read, by table and run; what marking changes left out."""
    copy_history(path, scratch)
    if Path(f"{path}-journal").exists():
        shutil.copyfile(f"{path}-journal", f"{scratch}-journal")
    found: dict[tuple[str, int], Any] = {}
    columns = "run_id, id, command, exit_code, start_time, end_time, retry_history, log_path, definition"
    with contextlib.closing(sqlite3.connect(scratch)) as connection:
        connection.text_factory = bytes
        for run_id in range(1, RUNS + 1):
            for table, query in (
                ("run", "SELECT * FROM run_metadata NOT INDEXED WHERE run_id = ?"),
                ("jobs", f"SELECT {columns} FROM job_history WHERE run_id = ? ORDER BY id"),
            ):
                with contextlib.suppress(
                    sqlite3.Error, UnicodeDecodeError
                ):  # of its message, if the schema is harmed
                    found[table, run_id] = connection.execute(query, (run_id,)).fetchall()
    for ending in ("", "-wal", "-shm", "-journal"):
        Path(f"{scratch}{ending}").unlink(missing_ok=True)
    return found


def check_refusal(result: Result, path: Path, args: Sequence[str]) -> None:
    """A refusal is one clear error that names the file and what to do."""
    assert len([line for line in result.err.splitlines() if line.startswith("Error: ")]) == 1, (args, result)
    assert path.name in result.err, (args, result)
    assert "--db FILE" in result.err, (args, result)
    assert "nternal error" not in result.err, (args, result)


def check_commands(
    program: Program,
    path: Path,
    *,
    refused: bool = False,
    ours: bool = True,
    keeps: bool = True,
) -> list[int]:
    """No command breaks on a history, however damaged; returns their exit codes.

    What is refused keeps its bytes, and gets no new file beside it. No row is lost
    that could be read (unless ``keeps`` is False).
    """
    codes = []
    db = ("--db", str(path))
    scratch = program.home / "scratch.db"
    allowed = {f"{path.name}.lock", f"{path.name}-shm", f"{path.name}-wal"} if ours else set()
    for args in (*READING, *WRITING):
        before, beside, rows = content(path), set(os.listdir(path.parent)), readable(path, scratch)
        result = program(*db, *args)
        codes.append(result.code)
        assert "Traceback" not in result.err, (args, result)
        assert result.code in (0, 2, 3), (args, result)
        assert result.code == 3 or not refused, (args, result)
        if result.code == 3:
            check_refusal(result, path, args)
        if result.code or args in READING:
            now = content(path)
            assert now[0] == before[0], (args, result)
            assert (now[1] or None) == (before[1] or None), (args, result)
            assert set(os.listdir(path.parent)) - beside <= allowed, (args, result)
            assert not list(program.folder.glob("start.*")), (args, result)
        after = readable(path, scratch)
        lost = [key for key, value in rows.items() if after.get(key) != value]
        assert not lost or not keeps, (args, lost, result)
        for kind in ("start.*", "seen.*", "end.*"):
            for mark in program.folder.glob(kind):
                mark.unlink()
    return codes


def lanes(good: Good, tmp_path: Path) -> list[Program]:
    """Programs that can resume what stands in the histories."""
    programs = [Program(tmp_path / f"lane{at}") for at in range(LANES)]
    for program in programs:
        workflow(program)
        (program.folder / "fails").unlink()
        (program.folder / "db").mkdir()
    return programs


def harmed(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A database harmed in some way, and which way that was."""
    [page] = struct.unpack_from(">H", data, 16)
    pages = len(data) // page
    harm = bytearray(data)
    way = rng.choice(["header", "bit", "bytes", "zeros", "rubbish", "swap", "cut", "cut page", "start of page"])
    at = rng.randrange(len(data))
    one, other = (rng.randrange(pages) * page for _ in range(2))
    match way:
        case "header":
            harm[rng.randrange(100)] ^= rng.randrange(1, 256)
        case "bit":
            harm[at] ^= 1 << rng.randrange(8)
        case "bytes":
            for _ in range(rng.choice([4, 64, 1000])):
                harm[rng.randrange(100, len(data))] = rng.randrange(256)
        case "zeros":
            harm[one : one + page] = bytes(page)
        case "rubbish":
            harm[one : one + page] = rng.randbytes(page)
        case "swap":
            harm[one : one + page], harm[other : other + page] = data[other : other + page], data[one : one + page]
        case "cut":
            del harm[at:]
        case "cut page":
            del harm[max(one, page) :]
        case "start of page":
            for by in range(12):
                if rng.random() < 0.4:
                    harm[max(one, page) + by] = rng.randrange(256)
    return way, bytes(harm)


@pytest.mark.parametrize(
    "state",
    ["closed", "killed"],
)
def test_a_damaged_history_never_breaks_a_command(
    good: Good, tmp_path: Path, nightly: bool, cases: Callable[[int], None], state: str
) -> None:
    """Bits flipped, pages zeroed, swapped or missing: refused and left as it is, or used without losing a row."""
    data, log = (good.closed, None) if state == "closed" else (good.killed, good.log)
    seeds = range(600 if nightly else 4)
    noticed: list[int] = []

    def try_one(program: Program, seed: int) -> None:
        way, harm = harmed(data, random.Random(seed))
        folder = program.folder / "db"
        shutil.rmtree(folder)
        folder.mkdir()
        path = folder / "harmed.db"
        path.write_bytes(harm)
        if log is not None:
            Path(f"{path}-wal").write_bytes(log)
        try:
            # pages that are sound, but in each other's place, only a look at the whole file could notice
            noticed.extend(check_commands(program, path, keeps=way != "swap"))
        except AssertionError as exc:
            exc.add_note(f"seed {seed}: {way}")
            raise

    in_lanes(lanes(good, tmp_path), seeds, try_one)
    assert 3 in noticed  # else this would prove nothing of refusals
    assert 0 in noticed
    cases(len(seeds))


def test_a_message_of_sqlite_that_is_not_utf_8(good: Good, tmp_path: Path) -> None:
    """Damage in the text of the schema, which SQLite quotes in its message: refused as any other damage."""
    [program, *_] = lanes(good, tmp_path)
    path = program.folder / "db/h.db"
    path.write_bytes(good.closed.replace(b"CREATE TABLE run_metadata", b"CREAT\xa3 TABLE run_metadata"))
    for args in (*READING, *WRITING):
        before = path.read_bytes()
        result = program("--db", str(path), *args)
        assert result.code == 3, args
        assert "damaged" in result.err, args
        check_refusal(result, path, args)
        assert path.read_bytes() == before, args


def without_root(data: bytes, scratch: Path, name: str) -> bytes:
    """A database in which the first page of a table or index is zeros."""
    scratch.write_bytes(data)
    [(root,)] = sql(scratch, f"SELECT rootpage FROM sqlite_schema WHERE name = '{name}'")
    [page] = struct.unpack_from(">H", data, 16)
    return data[: (root - 1) * page] + bytes(page) + data[root * page :]


@pytest.mark.parametrize("args", [MARK, RESUME, RUN], ids=["mark", "resume", "run"])
def test_a_refused_history_keeps_its_log_apart(good: Good, tmp_path: Path, args: tuple[str, ...]) -> None:
    """Damage that shows only as something is written: exit 3, database and write-ahead log keep their bytes."""
    [program, *_] = lanes(good, tmp_path)
    path = program.folder / "db/h.db"
    path.write_bytes(without_root(good.killed, tmp_path / "scratch.db", "partly_by_status"))
    Path(f"{path}-wal").write_bytes(good.log)
    before = content(path)
    result = program("--db", str(path), *args)
    assert (result.code, "It was not changed" in result.err) == (3, True), result
    assert content(path) == before


def foreign(path: Path, good: Good) -> None:
    """Another program's database, closed."""
    sql(path, "CREATE TABLE bookmarks (url TEXT)", "INSERT INTO bookmarks VALUES ('x')")


def foreign_with_our_names(path: Path, good: Good) -> None:
    """Another program's database with tables of our names."""
    sql(
        path, "CREATE TABLE run_metadata (x)", "CREATE TABLE job_history (x)", "CREATE TABLE database_identity (x)"
    )


def foreign_with_log(path: Path, good: Good) -> None:
    """Another program's database after its crash, in WAL mode."""
    with contextlib.closing(sqlite3.connect(path.parent / "x.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        copy_history(path.parent / "x.db", path)
    for left in path.parent.glob("x.db*"):
        left.unlink()


def foreign_with_journal(path: Path, good: Good) -> None:
    """Another program's database after its crash, with a journal that has to be rolled back."""
    source = path.parent / "x.db"
    sql(source, "CREATE TABLE bookmarks (url TEXT)", f"INSERT INTO bookmarks VALUES ('{'x' * 100_000}')")
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute(f"UPDATE bookmarks SET url = '{'y' * 100_000}'")
        shutil.copyfile(source, path)
        shutil.copyfile(f"{source}-journal", f"{path}-journal")
        # as the owner's commit would have synced it: with the number of pages in its header
        with Path(f"{path}-journal").open("r+b") as file:
            file.seek(8)
            file.write(b"\xff\xff\xff\xff")
    for left in path.parent.glob("x.db*"):
        left.unlink()


def rubbish(path: Path, good: Good) -> None:
    """Random bytes."""
    path.write_bytes(random.Random(5).randbytes(20_000))


def rubbish_with_magic(path: Path, good: Good) -> None:
    """Random bytes that begin as an SQLite database does."""
    path.write_bytes(good.closed[:16] + random.Random(6).randbytes(20_000))


def rubbish_behind_the_header(path: Path, good: Good) -> None:
    """The header of a history, random pages."""
    path.write_bytes(good.closed[:100] + random.Random(7).randbytes(len(good.closed) - 100))


def newer(path: Path, good: Good) -> None:
    """A history of a newer version."""
    path.write_bytes(good.closed)
    sql(path, "PRAGMA journal_mode = DELETE", "PRAGMA user_version = 3")


def newer_in_its_log(path: Path, good: Good) -> None:
    """A history that was brought up to a newer version just before a crash."""
    source = path.parent / "x.db"
    source.write_bytes(good.closed)
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 3")
        copy_history(source, path)
    for left in path.parent.glob("x.db*"):
        left.unlink()


def damaged_in_its_log(path: Path, good: Good) -> None:
    """A history whose newest commit, whole by its checksums, has broken the list of tables."""
    source = path.parent / "x.db"
    source.write_bytes(good.closed)
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE nonsense' WHERE name = 'job_history'")
        copy_history(source, path)
    for left in path.parent.glob("x.db*"):
        left.unlink()


def without_a_table(path: Path, good: Good) -> None:
    """A history that has lost its table of jobs."""
    path.write_bytes(good.closed)
    sql(path, "PRAGMA journal_mode = DELETE", "DROP TABLE job_history")


REFUSED: Mapping[str, tuple[Callable[[Path, Good], object], bool]] = {
    "foreign": (foreign, False),
    "foreign, our names": (foreign_with_our_names, False),
    "foreign, log": (foreign_with_log, False),
    "foreign, journal": (foreign_with_journal, False),
    "rubbish": (rubbish, False),
    "rubbish, magic": (rubbish_with_magic, False),
    "rubbish behind the header": (rubbish_behind_the_header, False),
    "newer": (newer, False),
    "newer in its log": (newer_in_its_log, True),
    "damaged in its log": (damaged_in_its_log, True),
    "without a table": (without_a_table, False),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_command_refuses_what_cannot_serve(
    good: Good, tmp_path: Path, cases: Callable[[int], None], case: str
) -> None:
    """Lists, screens, logs, previews, marking, resuming and running: exit 3, not a byte changed, no file beside.

    Only beside a history of ours that has a write-ahead log may there be an -shm, without which it cannot be read.
    """
    make, ours = REFUSED[case]
    [program, *_] = lanes(good, tmp_path)
    path = program.folder / "db/h.db"
    make(path, good)
    journal = Path(f"{path}-journal")
    before = journal.read_bytes() if journal.exists() else None
    codes = check_commands(program, path, refused=True, ours=ours)
    assert (journal.read_bytes() if journal.exists() else None) == before
    assert not Path(f"{path}.lock").exists()
    cases(len(codes))


def test_a_log_that_is_none_of_its_own_is_harmless(
    good: Good, tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Rubbish in place of the write-ahead log of a sound history: all works, and all is there."""
    number = 60 if nightly else 2

    def try_one(program: Program, seed: int) -> None:
        rng = random.Random(seed)
        folder = program.folder / "db"
        shutil.rmtree(folder)
        folder.mkdir()
        path = folder / "h.db"
        path.write_bytes(good.closed)
        log = rng.choice(
            [rng.randbytes(rng.randrange(1, 20_000)), bytes(8192), good.log[:32] + rng.randbytes(9000)]
        )
        Path(f"{path}-wal").write_bytes(log)
        codes = check_commands(program, path)
        assert codes[:4] == [0, 0, 0, 2], f"seed {seed}"
        assert codes[-1] == 0, f"seed {seed}"

    in_lanes(lanes(good, tmp_path), range(number), try_one)
    cases(number)
