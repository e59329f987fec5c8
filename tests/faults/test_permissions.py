"""Histories and log folders that belong to somebody else: they can be read or it is said why not."""

import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_tools import Stranger, needs_root, public_folder, whole
from harness import Program, ended, gate
from history_tools import integrity

#: What a stranger may do, by the rights on the database's files and on their folder.
RIGHTS = {"nothing written": (0o444, 0o555), "files only": (0o666, 0o555), "folder only": (0o444, 0o777)}
WRITING = (
    ("-c", "flow.json"),
    ("-c", "flow.json", "--resume-from", "1"),
    ("--mark-success", "1", "b", "--reason", "seen", "--yes", "--db", "db/history.db"),
)
READING = (
    ("--list-runs", "--db", "db/history.db"),
    ("--show-run", "1", "--db", "db/history.db"),
    ("--show-run", "last", "--format", "json", "--db", "db/history.db"),
    ("--show-log", "1", "b", "--db", "db/history.db"),
)


class Shared:
    """A folder with a workflow, its history and its logs, of an owner and of a stranger who comes along."""

    def __init__(self, folder: Path) -> None:
        self.owner = Program(folder / "work")
        self.stranger = Stranger(folder / "work")
        self.folder = self.owner.folder
        self.db = self.folder / "db"
        self.logs = self.folder / "logs"
        self.owner.history = self.stranger.history = self.db / "history.db"
        self.owner.config({"a": "true", "b": "echo x >> ran; test -e go"}, history_db="db/history.db")
        assert self.owner("-c", "flow.json").code == 1
        self.open_up()

    def open_up(self) -> None:
        """Let the stranger read all, and make files in the folders other than that of the database."""
        for path in (self.folder, self.logs):
            path.chmod(0o777)
        for path in (*self.logs.iterdir(), *self.folder.glob("*.json")):
            path.chmod(0o644)
        (self.folder / "ran").unlink(missing_ok=True)

    def crash(self) -> None:
        """Add a run whose runner was killed: the write-ahead log then holds what counts."""
        with self.waiting(self.owner, "z", "db/history.db") as (_, runner):
            runner.kill()
            runner.communicate()
        self.open_up()

    @contextlib.contextmanager
    def waiting(
        self, whose: Program, job: str, history_db: str
    ) -> "Iterator[tuple[Callable[[], None], subprocess.Popen[str]]]":
        """A run of one job, which waits until the gate that is yielded lets it on."""
        whose.config({job: "echo x > up; read x < gate"}, "waits.json", history_db=history_db)
        with gate(self.folder / "gate") as let_on, ended(whose.start("-c", "waits.json")) as runner:
            (self.folder / "gate").chmod(0o666)
            self.owner.wait_for("up")
            yield let_on, runner

    @contextlib.contextmanager
    def rights(self, files: int, folder: int) -> Iterator[None]:
        """Set the rights on the database and what belongs to it for a while."""
        before = [(path, stat.S_IMODE(path.stat().st_mode)) for path in (*self.db.iterdir(), self.db)]
        for path, _ in before:
            path.chmod(folder if path == self.db else files)
        try:
            yield
        finally:
            self.db.chmod(0o700)
            for path, mode in before:
                if path.exists():
                    path.chmod(mode)

    def content(self) -> dict[str, bytes | None]:
        """All of the database's folder but the shared memory, which holds no data."""
        return {name: data for name, data in whole(self.db).items() if not name.endswith("-shm")}


@pytest.fixture
def shared() -> Iterator[Shared]:
    """A failed run on record, in a folder that the stranger may enter."""
    with public_folder() as folder:
        yield Shared(folder)


@pytest.mark.promise(9)
@pytest.mark.parametrize("crashed", [False, True], ids=["folded in", "with -wal"])
@pytest.mark.parametrize("may", RIGHTS)
def test_a_history_of_somebody_else(shared: Shared, cases: Callable[[int], None], may: str, crashed: bool) -> None:
    """Whoever may not write it: running, resuming and marking exit 3 and say so, nothing is run and no byte is
    changed; lists and screens are those that the owner sees; the owner goes on as if nobody had come.
    """
    if crashed:
        shared.crash()
    seen = [shared.owner(*args) for args in READING]
    assert {result.code for result in seen} == {0}
    with shared.rights(*RIGHTS[may]):
        before = shared.content()
        for args in WRITING:
            result = shared.stranger(*args)
            assert result.code == 3, (args, result)
            assert result.err.startswith("Error: The history cannot be written: no permission"), (args, result)
            assert str(shared.owner.history) in result.err
            assert not (shared.folder / "ran").exists()
            assert shared.content() == before, args
        for args, wanted in zip(READING, seen, strict=True):
            assert shared.stranger(*args) == wanted, args
            assert shared.content() == before, args
        preview = shared.stranger("-c", "flow.json", "--dry-run")
        assert preview.code == 3 and shared.content() == before
    (shared.folder / "go").touch()
    assert shared.owner("-c", "flow.json", "--resume-from", "1").code == 0
    assert integrity(shared.owner.history) == ["ok"]
    cases(len(WRITING) + len(READING) + 1)


@pytest.mark.promise(9)
@pytest.mark.parametrize("crashed", [False, True], ids=["folded in", "with -wal"])
@pytest.mark.parametrize("hidden", ["files", "folder"])
def test_a_history_that_may_not_even_be_read(
    shared: Shared, cases: Callable[[int], None], hidden: str, crashed: bool
) -> None:
    """Reading, running and resuming exit 3 and say that there is no permission: it is never taken for empty."""
    if crashed:
        shared.crash()
    with shared.rights(*((0o000, 0o755) if hidden == "files" else (0o644, 0o000))):
        for args in (*WRITING, *READING, ("-c", "flow.json", "--dry-run")):
            result = shared.stranger(*args)
            assert (result.code, result.out) == (3, ""), (args, result)
            assert "Permission denied" in result.err or "no permission" in result.err, (args, result)
            assert str(shared.owner.history) in result.err
            assert "Traceback" not in result.err and "damaged" not in result.err
    assert not (shared.folder / "ran").exists()
    assert len(shared.owner.rows("SELECT * FROM run_metadata")) == 1 + crashed
    cases(len(WRITING) + len(READING) + 1)


@pytest.mark.promise(9)
def test_a_history_that_becomes_read_only_in_mid_run(shared: Shared) -> None:
    """What a running run has opened it may go on writing: its end is on record, whatever the rights are then."""
    shared.db.chmod(0o777)
    (shared.db / "history.db").chmod(0o666)
    (shared.db / "history.db.lock").chmod(0o666)
    with (
        shared.waiting(shared.stranger, "a", "db/history.db") as (let_on, runner),
        shared.rights(0o444, 0o555),
    ):
        let_on()
        out, err = runner.communicate(timeout=60)
        # the folder lets nobody remove the write-ahead log: it stays, and belongs to the rest
        assert (runner.returncode, err) == (0, ""), out
        assert "SUCCESS" in shared.owner("--list-runs", "--last", "1", "--db", "db/history.db").out
    assert shared.owner.run_row(2)["status"] == "SUCCESS"
    assert integrity(shared.owner.history) == ["ok"]


@pytest.mark.promise(9)
def test_a_reader_does_not_lock_the_owner_out(shared: Shared) -> None:
    """A user who may write the folder but not the files looks at a crashed run whose -shm is gone: nothing that
    SQLite leaves beside the history then keeps its owner, another ordinary user, from running on.
    """
    needs_root("be two other users")
    shared.crash()
    owner = 65533
    for path in (*shared.db.iterdir(), shared.db, shared.owner.home):
        os.chown(path, owner, owner)
    Path(f"{shared.owner.history}-shm").unlink()
    with shared.rights(0o644, 0o777):
        for args in READING:
            assert shared.stranger(*args).code == 0
        shared.stranger.prefix = Stranger.becoming(owner)
        done = subprocess.run(
            shared.stranger.command("-c", "flow.json"),
            cwd=shared.folder,
            env=shared.owner.environment({"PYTHONPATH": shared.stranger.env["PYTHONPATH"]}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1, done.stderr  # its job fails: it was run, and is on record
    assert shared.owner.run_row(3)["status"] == "FAILED"


# --- logs -----------------------------------------------------------------------------------------


@pytest.mark.promise(9)
@pytest.mark.parametrize("rights", [0o555, 0o000])
def test_a_log_folder_of_somebody_else(shared: Shared, rights: int) -> None:
    """Where the logs cannot be written nothing is run and nothing is on record: it is said what to change."""
    shared.stranger.config({"a": "echo x > wrong"}, "mine.json", history_db="mine.db")
    shared.logs.chmod(rights)
    for more in ((), ("--dry-run",)):
        result = shared.stranger("-c", "mine.json", *more)
        assert (result.code, result.out) == (2, ""), result
        assert result.err.startswith(f"Error: The logs cannot be written: {shared.logs} is not writable")
        assert 'Set "log_dir"' in result.err
    assert not (shared.folder / "wrong").exists() and not (shared.folder / "mine.db").exists()
    shared.logs.chmod(0o777)


@pytest.mark.promise(9)
def test_a_log_folder_that_is_closed_in_mid_run(shared: Shared) -> None:
    """Jobs whose log cannot be made any more are ERROR with the reason; what depends on them is skipped."""
    shared.stranger.config(
        {"a": "echo x > up; read x < gate", "b": "echo x > wrong"}, "mine.json", history_db="mine.db"
    )
    shared.stranger.history = shared.folder / "mine.db"
    with (
        gate(shared.folder / "gate") as let_on,
        ended(shared.stranger.start("-c", "mine.json")) as runner,
    ):
        (shared.folder / "gate").chmod(0o666)
        shared.owner.wait_for("up")
        shared.logs.chmod(0o555)
        let_on()
        out, err = runner.communicate(timeout=60)
    shared.logs.chmod(0o777)
    assert runner.returncode == 1, err
    assert shared.stranger.statuses() == {"a": "SUCCESS", "b": "ERROR"}
    log = shared.logs / "executioner.mine.job-b.run-1.log"
    reason = f"Could not be started: its log cannot be written: Permission denied: {log}"
    assert shared.stranger.jobs()["b"]["reason"] == reason and reason in out
    assert not (shared.folder / "wrong").exists()


@pytest.mark.promise(9)
def test_results_that_cannot_be_kept_in_a_folder_of_somebody_else(shared: Shared) -> None:
    """History gone and log folder closed: exit 3, and it is said that the results could not be kept, and why."""
    with shared.waiting(shared.stranger, "a", "mine.db") as (let_on, runner):
        shared.logs.chmod(0o555)
        (shared.folder / "mine.db").unlink()
        let_on()
        out, err = runner.communicate(timeout=60)
    shared.logs.chmod(0o777)
    assert runner.returncode == 3
    assert "could not be kept in" in err and "Permission denied" in err
    assert "Traceback" not in err and "SUCCESS" not in out + err


@pytest.mark.promise(9)
def test_logs_that_may_not_be_read(shared: Shared) -> None:
    """A colleague who may read the history but not the logs sees the run without them; asking for a log says why
    there is none.
    """
    for path in shared.logs.iterdir():
        path.chmod(0o000)
    with shared.rights(0o444, 0o555):
        shown = shared.stranger("--show-run", "1", "--db", "db/history.db")
        assert (shown.code, shown.err) == (0, "")
        assert "Status: FAILED" in shown.out and "✗ b - FAILED" in shown.out
        assert "(the log cannot be read: ./logs/" in shown.out
        asked = shared.stranger("--show-log", "1", "b", "--db", "db/history.db")
    assert (asked.code, asked.out) == (2, "")
    assert asked.err.startswith("Error: The log of b cannot be read: Permission denied")
