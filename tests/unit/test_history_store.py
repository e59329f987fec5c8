"""The writer on its own: transactions, busy databases, checkpoints, and what an event writes."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from executioner.errors import HistoryError
from executioner.events import AttemptStarting, JobsSkipped
from executioner.history import files, store
from executioner.history.changes import RunEnd
from executioner.history.liveness import unfinished_runs
from executioner.history.lock import is_held, this_process
from executioner.history.spool import write
from executioner.history.store import HistoryWriter, NewJob, NewRun
from executioner.history.usual import durations_s
from executioner.model import Job, RetryPolicy, RunStatus
from executioner.times import utc_text

AT = 1747993500.25


def job(name: str) -> Job:
    """A job of which only the id matters."""
    return Job(name, "true", "", (), None, False, {}, "/", RetryPolicy(), (), ())


def new_run(jobs: int, config: str = "/flow.json") -> NewRun:
    """A run of some jobs by this process."""
    return NewRun(config, "0" * 64, "app", "/", jobs, AT, "me", "here", this_process(), {}, "1")


def create(writer: HistoryWriter, open_log: Callable[[int], str], *names: str) -> int:
    """Record a run as the program does: begin, create, and abandon where that raises."""
    jobs = [NewJob(name, at, "", "true", "{}", 0) for at, name in enumerate(names)]
    writer.begin()
    try:
        return writer.create_run(new_run(len(jobs)), jobs, open_log)
    except BaseException:
        writer.abandon()
        raise


def begin(writer: HistoryWriter, *names: str) -> int:
    """Record a run."""
    return create(writer, lambda run_id: f"/log-{run_id}", *names)


def end(status: RunStatus = RunStatus.SUCCESS) -> RunEnd:
    """A run's end."""
    return RunEnd(status, 0, AT + 1, 1.0, 1, 0, 0, None)


def starting(name: str, number: int = 1) -> AttemptStarting:
    """A job's start."""
    return AttemptStarting(AT + number - 1, job(name), number, 1, f"/log-{name}")


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the history is made."""
    return str(tmp_path / "h.db")


@contextmanager
def writing(path: str) -> Iterator[HistoryWriter]:
    """A writer that is closed in the end."""
    writer = HistoryWriter(path)
    try:
        yield writer
    finally:
        writer.close()


def rows(path: str, query: str) -> list[Any]:
    """What another connection sees."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def test_nothing_shows_before_a_commit_and_all_of_it_after(path: str) -> None:
    """What was noted between two commits appears at once."""
    with writing(path) as writer:
        begin(writer, "a", "b", "c")
        query = "SELECT status FROM job_history ORDER BY position"
        writer.note(starting("a"))
        writer.note(JobsSkipped(AT, [job("b"), job("c")], "--skip"))
        assert rows(path, query) == [("PENDING",)] * 3
        assert writer.commit()
        assert rows(path, query) == [("RUNNING",), ("SKIPPED",), ("SKIPPED",)]


def test_a_commit_without_changes_writes_nothing(path: str) -> None:
    """An idle tick costs no transaction: it succeeds although another process has the database."""
    with writing(path) as writer:
        begin(writer, "a")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert writer.commit()


def test_a_busy_database_is_no_error(path: str) -> None:
    """It answers False at once, keeps what was noted, and writes it when the database is free."""
    with writing(path) as writer:
        begin(writer, "a")
        writer.note(starting("a"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not writer.commit()
            assert not writer.commit()
            other.execute("ROLLBACK")
        assert writer.commit()
        assert rows(path, "SELECT status, start_time FROM job_history") == [("RUNNING", utc_text(AT))]


def test_a_run_that_is_refused_leaves_nothing(path: str) -> None:
    """A log that cannot be made inside the creating transaction: no row, no id used up."""
    with writing(path) as writer:

        def no_log(run_id: int) -> str:
            raise OSError(28, "No space left on device")

        with pytest.raises(HistoryError):
            create(writer, no_log, "a")
        assert rows(path, "SELECT * FROM run_metadata") == []
        assert rows(path, "SELECT * FROM job_history") == []
        writer.begin()
        writer.abandon()
    with writing(path) as writer:
        assert begin(writer, "a") == 1


def test_the_byte_is_held_before_the_row_can_be_seen(path: str) -> None:
    """When the log is opened, inside the transaction, the byte is taken and no reader sees the run."""
    seen = []

    def look(run_id: int) -> str:
        seen.append((is_held(path + ".lock", run_id), rows(path, "SELECT * FROM run_metadata")))
        return "/log"

    with writing(path) as writer:
        create(writer, look)
    assert seen == [(True, [])]
    assert is_held(path + ".lock", 1) is False


def test_a_run_id_whose_byte_is_held_is_not_used(path: str) -> None:
    """A live run of a history that stood here before has the byte: the next number is taken, for good."""
    with writing(path) as writer, writing(path) as other:
        assert other._lock.try_hold(1)
        assert begin(writer, "a") == 2
        assert rows(path, "SELECT run_id, root_run_id FROM run_metadata") == [(2, 2)]
        assert rows(path, "SELECT run_id FROM job_history") == [(2,)]
        writer.finish_run(end())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM job_history")
        connection.execute("DELETE FROM run_metadata")
    with writing(path) as writer:
        assert begin(writer, "a") == 3


def test_two_writers_of_one_process_do_not_take_each_other_for_dead(path: str) -> None:
    """The lock belongs to the writer: a second run leaves the first RUNNING."""
    with writing(path) as one, writing(path) as other:
        assert (begin(one, "a"), begin(other, "b")) == (1, 2)
        one.finish_run(end())
        other.finish_run(end())
    assert rows(path, "SELECT status FROM run_metadata") == [("SUCCESS",), ("SUCCESS",)]


def test_finishing_writes_the_last_results_along(path: str) -> None:
    """What was noted and the run's end are one transaction."""
    with writing(path) as writer:
        begin(writer, "a")
        writer.note(starting("a"))
        writer.finish_run(end(RunStatus.FAILED))
    assert rows(path, "SELECT status FROM job_history") == [("RUNNING",)]
    assert rows(path, "SELECT status, end_time FROM run_metadata") == [("FAILED", utc_text(AT + 1))]


def test_a_second_writer_does_not_open_a_history_that_changed_its_schema(path: str) -> None:
    """A newer program migrated it meanwhile: refused."""
    with writing(path) as writer:
        begin(writer, "a")
        writer.finish_run(end())
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {files.SCHEMA_VERSION + 1}")
    with pytest.raises(HistoryError, match="newer"):
        HistoryWriter(path)


def test_the_write_ahead_log_stays_short_in_a_long_run(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit the log is folded into the database in mid-run, and used from its start again."""
    monkeypatch.setattr(store, "CHECKPOINT_BYTES", 200_000)
    monkeypatch.setattr(store, "_COMMITS_BETWEEN_SIZE_CHECKS", 8)
    log = Path(f"{path}-wal")
    with writing(path) as writer:
        begin(writer, "a")
        sizes = []
        for number in range(1, 400):
            writer.note(starting("a", number))
            assert writer.commit()
            sizes.append(log.stat().st_size)
        assert max(sizes) < 400_000
        assert sizes[-1] > 100_000
    assert not log.exists()


def test_a_checkpoint_leaves_the_guard_byte_free(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte 0 is given back after folding, and where another process has it the run goes on without."""
    monkeypatch.setattr(store, "CHECKPOINT_BYTES", 0)
    monkeypatch.setattr(store, "_COMMITS_BETWEEN_SIZE_CHECKS", 1)
    with writing(path) as writer, writing(path) as other:
        begin(writer, "a")
        writer.note(starting("a"))
        assert writer.commit()
        assert is_held(path + ".lock", 0) is False
        with other._lock.guard():
            writer.note(starting("a", 2))
            assert writer.commit()


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 100, 101])
def test_reused_results_are_copied_however_many_they_are(path: str, number: int) -> None:
    """Each reused job has its parent's result and where it is from, and what the config says of it now."""
    names = [f"j{at * 37 % 101}" for at in range(number)]
    with writing(path) as writer:
        parent = begin(writer, *names, "last")
        execute = writer._connection.execute
        execute("UPDATE job_history SET status = 'SUCCESS', exit_code = position, log_path = '/log/' || id")
        execute("UPDATE job_history SET source_run_id = 7 WHERE position % 3 = 0")
        execute("UPDATE job_history SET command = NULL, definition = NULL WHERE position % 5 = 0")
    jobs = [
        *(NewJob(name, at + 1, f"job {name}", "false", '{"new": 1}', 2, True) for at, name in enumerate(names)),
        NewJob("last", 0, "", "false", "{}", 0),
    ]
    with writing(path) as writer:
        writer.begin()
        run = new_run(len(jobs))._replace(parent_run_id=parent)
        run_id = writer.create_run(run, jobs, lambda run_id: f"/log-{run_id}")
        found = writer._connection.execute(
            "SELECT id, position, description, command, definition, max_retries, status, exit_code, log_path,"
            " source_run_id FROM job_history WHERE run_id = ? ORDER BY position",
            (run_id,),
        ).fetchall()
    assert found == [
        ("last", 0, "", "false", "{}", 0, "PENDING", None, None, None),
        *(
            (
                *(name, at + 1, f"job {name}"),
                *(("false", '{"new": 1}') if at % 5 == 0 else ("true", "{}")),
                *(2, "SUCCESS", at, f"/log/{name}", 7 if at % 3 == 0 else parent),
            )
            for at, name in enumerate(names)
        ),
    ]


def with_past(path: str, *done: str) -> NewRun:
    """A history with a run in which some jobs succeeded, and the run that resumes it, with one job more to do."""
    with writing(path) as writer:
        parent = begin(writer, *done, "last")
        writer._connection.execute("UPDATE job_history SET status = 'SUCCESS' WHERE id <> 'last'")
    return new_run(len(done) + 1)._replace(parent_run_id=parent, as_parent=True)


LAST = NewJob("last", 1, "", "true", "{}", 0)


def test_results_are_copied_without_a_temporary_table(path: str) -> None:
    """Neither statement makes one, which would hold all that a resume reuses, and on a full disk end it."""
    run = with_past(path, "a")
    with writing(path) as writer, closing(sqlite3.connect(path)) as connection:
        connection.execute(store._ATTACH_PAST, (path,))
        for statement, values in (
            (store._COPY_REST, (2, "app", 1)),
            (store._INSERT_REUSED.format("(?, ?, ?, ?, ?, ?)"), (*LAST[:6], 2, "app", 1)),
        ):
            made = [row[1] for row in connection.execute(f"EXPLAIN {statement}", values)]
            assert "Insert" in made or "IdxInsert" in made
            assert not {"OpenEphemeral", "OpenAutoindex"} & set(made)
        writer.begin()
        assert writer.create_run(run, [LAST], lambda run_id: f"/log-{run_id}") == 2
        assert [row[1] for row in writer._connection.execute("PRAGMA database_list")] == ["main"]
    assert not files.has_log(path)
    assert rows(path, "SELECT id, status, source_run_id FROM job_history WHERE run_id = 2 ORDER BY id") == [
        ("a", "SUCCESS", 1),
        ("last", "PENDING", None),
    ]


def test_a_resume_that_is_refused_in_its_transaction_leaves_no_log(path: str) -> None:
    """The parent run was being read through a second connection: the write-ahead log is folded in all the same."""
    run = with_past(path, "a")

    def no_log(run_id: int) -> str:
        raise OSError(28, "No space left on device")

    with writing(path) as writer:
        writer.begin()
        with pytest.raises(HistoryError):
            writer.create_run(run, [LAST], no_log)
        writer.abandon()
        assert begin(writer, "a") == 2
    assert not files.has_log(path)
    assert rows(path, "SELECT run_id, count(*) FROM job_history GROUP BY run_id") == [(1, 2), (2, 1)]


@pytest.mark.parametrize("there", [True, False], ids=["another file", "nothing"])
def test_no_result_is_copied_from_a_file_that_took_the_place(path: str, tmp_path: Path, there: bool) -> None:
    """Where the history was replaced or removed since it was opened, a resume is refused, and nothing is made."""
    run = with_past(path, "a")
    with writing(path) as writer:
        writer.begin()
        (tmp_path / "h.db").rename(tmp_path / "old.db")
        if there:
            (tmp_path / "h.db").write_bytes((tmp_path / "old.db").read_bytes())
        with pytest.raises(HistoryError, match="was removed or replaced just now"):
            writer.create_run(run, [LAST], lambda run_id: f"/log-{run_id}")
        writer.abandon()
    for file in ("h.db", "old.db")[not there :]:
        assert rows(str(tmp_path / file), "SELECT count(*) FROM run_metadata") == [(1,)]


def test_a_result_that_cannot_be_copied_refuses_the_resume(path: str) -> None:
    """A row whose id somebody made no text: better no run than one in which a job is missing."""
    run = with_past(path, "a")
    with writing(path) as writer:
        writer._connection.execute("UPDATE job_history SET id = CAST(id AS BLOB) WHERE id = 'a'")
        writer.begin()
        with pytest.raises(HistoryError, match="1 result of run 1 cannot be copied"):
            writer.create_run(run, [LAST], lambda run_id: f"/log-{run_id}")
        writer.abandon()
    assert rows(path, "SELECT count(*) FROM run_metadata") == [(1,)]


def test_durations_are_those_of_the_newest_successes(path: str) -> None:
    """Of one application's last runs; failures and reused rows teach nothing."""
    with writing(path) as writer:
        connection = writer._connection
        ended = ("SUCCESS", "FAILED", "RUNNING")
        for run_id in range(1, 21):
            connection.execute(
                "INSERT INTO run_metadata (run_id, application_name, status) VALUES (?, 'app', ?)",
                (run_id, ended[run_id % 3]),
            )
            for name, status, source in (("a", "SUCCESS", None), ("b", "FAILED", None), ("c", "SUCCESS", 1)):
                connection.execute(
                    "INSERT INTO job_history (run_id, id, status, source_run_id, duration_seconds)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (run_id, name, status, source, float(run_id)),
                )
        found = durations_s(connection, "app")
        assert {name: sorted(values) for name, values in found.items()} == {"a": [float(n) for n in range(11, 21)]}
        assert durations_s(connection, "other") == {}


def test_an_unfinished_run_of_a_dead_process_does_not_live(path: str) -> None:
    """A RUNNING row without lock and process is reported as dead, with what it says of its runner."""
    with writing(path) as writer:
        writer._connection.execute(
            "INSERT INTO run_metadata (config_path, status, start_time, pid, boot_id, pid_start_ticks, user, host)"
            " VALUES ('/x', 'RUNNING', ?, 1, 'other boot', 1, 'u', 'h')",
            (utc_text(AT),),
        )
        [found] = unfinished_runs(writer._connection, path + ".lock")
        assert (found.run_id, found.lives, found.user, found.host, found.pid) == (1, False, "u", "h", 1)
        assert found.started_at == AT
        assert unfinished_runs(writer._connection, path + ".lock", "/other") == []


def test_the_spool_keeps_what_was_not_written(path: str, tmp_path: Path) -> None:
    """All that was noted since the last commit, in order, and the run's end; a name that is taken stays."""
    with writing(path) as writer:
        begin(writer, "a", "b")
        writer.note(starting("a"))
        assert writer.commit()
        writer.note(JobsSkipped(AT, [job("b")], "dependency failed"))
        (tmp_path / "run.spool.json").symlink_to("target")
        path_of_spool = write(str(tmp_path / "run"), writer.spool_content("disk full", end(RunStatus.FAILED)))
        assert path_of_spool == str(tmp_path / "run-2.spool.json")
        content = json.loads(Path(path_of_spool).read_text())
        assert (content["run_id"], content["history"], content["reason"]) == (1, path, "disk full")
        never = {"start_time": None, "last_run": None, "log_path": None}
        assert content["jobs"] == [{"id": "b", "status": "SKIPPED", "reason": "dependency failed", **never}]
        assert content["run"]["status"] == "FAILED"
        assert not (tmp_path / "target").exists()
