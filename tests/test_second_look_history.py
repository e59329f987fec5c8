"""What a second look at reading the history and taking over databases found wrong, and now holds."""

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from earlier_databases import job, make_earlier, many, summary, version_6, zone
from harness import Program, Result, attempts, ended, wait_until
from history_tools import gate, integrity, kill, lock_path, names, pid_in, region, sql
from past import make_past
from screens import assert_harmless, commands_of, everything, figures, on_screen
from test_migration import make_version_1

from executioner.errors import HistoryError
from executioner.history import files
from executioner.history.migrate import bring_up, in_memory
from executioner.history.query import RunFilter
from executioner.history.reader import History

BACKUP = "history.db.earlier-tool.bak"
_PENDING_BYTE = str(0x40000000)


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    """Earlier databases are read in the program's zone by the tests too."""
    with zone("UTC"):
        yield


def take_over(program: Program, *flags: str) -> Result:
    """Run a workflow of one quick job."""
    program.config({"a": "true"}, application_name="new")
    return program("-c", "flow.json", *flags)


def note(program: Program, what: str) -> str:
    """What a run says on stderr that took over a database."""
    kept = program.history.parent / BACKUP
    return f"Note: The history of the earlier tool was taken over: {what}. Its former state is kept in {kept}\n"


def content(path: Path) -> list[str]:
    """All content of a database as SQL text, by a read-only connection."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        return list(connection.iterdump())


def ids_of(program: Program) -> dict[str, int]:
    """The new numbers of runs whose ids were no numbers."""
    runs = History(program.history).runs()
    return {run.options["earlier_run_id"]: run.run_id for run in runs if run.options}


# --- taking over ----------------------------------------------------------------------------


def is_committing(pid: int) -> bool:
    """Whether a process holds SQLite's pending byte: as a writer that waits for the last reader to go."""
    locks = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return any(words[3:5] == ["WRITE", str(pid)] and words[6] == _PENDING_BYTE for words in locks)


@pytest.mark.parametrize("moment", ["backup", "commit"])
@pytest.mark.parametrize("reader_stays", [True, False], ids=["reader stays", "reader goes"])
def test_ctrl_c_while_the_take_over_waits_for_a_reader(program: Program, moment: str, reader_stays: bool) -> None:
    """It is the old database whole, or the new one with the backup beside it; never a new one without."""
    make_earlier(program.history)
    original = content(program.history)
    program.config({"a": "touch ran"}, application_name="new")
    backup = program.history.parent / BACKUP
    with contextlib.closing(sqlite3.connect(program.history, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM job_history").fetchall()
        with ended(program.start("-c", "flow.json")) as runner:
            wait_until(backup.exists, "the backup")
            if moment == "commit":
                wait_until(lambda: is_committing(runner.pid), "the commit")
            runner.send_signal(signal.SIGINT)
            if not reader_stays:
                reader.execute("COMMIT")
            _, err = runner.communicate(timeout=15)
    assert "Traceback" not in err
    assert integrity(program.history) == ["ok"]
    if files.identify(str(program.history)) is files.Kind.EARLIER_TOOL:
        assert content(program.history) == original
        assert names(program.history.parent) == ["history.db", "history.db.lock"]
        assert runner.returncode == 130
        assert not (program.folder / "ran").exists()
    else:
        assert not reader_stays
        assert content(backup) == original
    assert take_over(program).code == 0
    assert content(backup) == original


def test_rows_that_the_earlier_tool_still_inserts_block_no_run(program: Program) -> None:
    """Its run id, the greatest and one, is left alone: the next run has a higher one, and all go well."""
    make_earlier(program.history)
    assert "Run 13 started" in take_over(program).out
    for theirs in (14, 16):
        sql(
            program.history,
            "INSERT OR REPLACE INTO job_history (run_id, id, description, command, status, application_name,"
            " last_run) SELECT max(run_id) + 1, 'a', '', 'true', 'SUCCESS', 'new', '2025-06-01 02:00:00'"
            " FROM job_history",
        )
        again = take_over(program)
        assert (again.code, again.err) == (0, "")
        assert f"Run {theirs + 1} started" in again.out
        assert program.statuses(theirs) == {"a": "SUCCESS"}
        assert program.run_row(theirs + 1)["status"] == "SUCCESS"
    assert program("--list-runs").code == 0


_OTHER = "CREATE TABLE other (status TEXT)"
_TABLE = ["CREATE TABLE failed_jobs (name TEXT)", "INSERT INTO failed_jobs VALUES ('kept')"]
_RENAMED = "; its table failed_jobs is now failed_jobs_earlier"


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            [
                *_TABLE,
                _OTHER,
                "CREATE VIEW run_overview AS SELECT status FROM other",
                "CREATE INDEX run_by_status ON other (status)",
            ],
            _RENAMED,
        ),
        ([*_TABLE, "CREATE INDEX run_by_status ON failed_jobs (name)"], _RENAMED),
        ([*_TABLE, "CREATE VIEW names AS SELECT name FROM failed_jobs"], _RENAMED),
        (
            [
                *_TABLE,
                "CREATE VIEW bad AS SELECT id FROM job_history WHERE status = 'FAILED'",
                "CREATE VIEW newest_bad AS SELECT max(id) FROM bad",
            ],
            _RENAMED,
        ),
        (["CREATE INDEX run_by_status ON run_summary (status)"], ""),
        (["CREATE INDEX Run_By_Status ON job_history (status)"], ""),
    ],
    ids=[
        "one of each",
        "index on the table",
        "view of the table",
        "view of a view",
        "index on run_summary",
        "index on job_history",
    ],
)
def test_names_of_ours_do_not_hinder_the_take_over(program: Program, statements: list[str], said: str) -> None:
    """A table lives on under another name, with its rows, which is said; views and indexes give way."""
    make_earlier(program.history, version_6, *statements)
    original = content(program.history)
    result = take_over(program)
    assert (result.code, result.err) == (0, note(program, f"5 runs with 13 jobs{said}"))
    if said:
        assert sql(program.history, "SELECT name FROM failed_jobs_earlier") == [("kept",)]
    assert integrity(program.history) == ["ok"]
    assert content(program.history.parent / BACKUP) == original
    assert program("--list-runs", "--format", "json").code == 0
    assert (take_over(program).code, program.statuses(14)) == (0, {"a": "SUCCESS"})


def test_the_other_name_may_be_taken_too(program: Program) -> None:
    """Both tables live on, and the take-over is not hindered."""
    taken = ["CREATE TABLE failed_jobs_earlier (name TEXT)", "INSERT INTO failed_jobs_earlier VALUES ('other')"]
    make_earlier(program.history, version_6, *_TABLE, *taken)
    assert take_over(program).code == 0
    assert sql(program.history, "SELECT name FROM failed_jobs_earlier") == [("other",)]
    tables = sql(
        program.history, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'failed_jobs%'"
    )
    assert ("kept",) in [row for (table,) in tables for row in sql(program.history, f"SELECT name FROM {table}")]


def test_ids_that_are_no_numbers_are_numbered_by_time(program: Program) -> None:
    """In the order of starts, whichever table tells them, and not of the alphabet; before as after."""
    rows = (
        job("alpha", "a", "SUCCESS", "2025-05-23 02:00:00"),
        job("beta", "a", "SUCCESS", "2025-05-20 02:00:00"),
        job("gamma", "a", "FAILED", "2025-05-24 02:00:00"),
        job("omega", "a", "SUCCESS", "2025-05-19 02:00:00"),
        job("7", "a", "SUCCESS", "2025-05-30 02:00:00"),
    )
    summaries = (summary("gamma", "FAILED", "2025-05-21T02:00:00", "2025-05-24 02:01:00", (1, 0, 1, 0)),)
    make_earlier(program.history, ids="TEXT", jobs=rows, summaries=summaries)
    expected = {"omega": 8, "beta": 9, "gamma": 10, "alpha": 11}
    assert ids_of(program) == expected
    result = take_over(program)
    assert result.code == 0
    assert "5 runs with 5 jobs; ids that were no numbers have new ones: " in result.err
    assert " and 1 more. Its former state" in result.err
    assert {name: number for name, number in ids_of(program).items() if number < 12} == expected


def test_a_take_over_is_told_under_quiet(program: Program) -> None:
    """It happens once: --quiet keeps the rest to itself, but not where the former database is now."""
    make_earlier(program.history)
    assert take_over(program, "--quiet") == Result(0, "", note(program, "5 runs with 13 jobs"))
    assert take_over(program, "--quiet") == Result(0, "", "")


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (
            [
                job(1, "load", "FAILED", last_error="disk full", last_exit_code=1, attempt_id=1),
                job(1, "load", "SUCCESS", last_exit_code=0, attempt_id=2),
            ],
            "disk full",
        ),
        (
            [
                job(1, "load", "TIMEOUT", last_error="too slow", attempt_id=1),
                job(1, "load", "FAILED", last_exit_code=9, attempt_id=2),
                job(1, "load", "SUCCESS", last_exit_code=0, attempt_id=3),
            ],
            "Exit code 9",
        ),
        (
            [
                job(
                    1,
                    "load",
                    "SUCCESS",
                    last_exit_code=0,
                    retry_count=1,
                    retry_history='[{"attempt": 1, "status": "FAILED", "exit_code": 75}]',
                )
            ],
            "Exit code 75",
        ),
        ([job(1, "load", "SUCCESS", last_exit_code=0)], None),
    ],
    ids=["attempts", "three attempts", "retry_history", "never failed"],
)
def test_the_last_error_of_a_job_that_succeeded_later(
    program: Program, rows: list[dict[str, Any]], error: str | None
) -> None:
    """It is the reason of its last attempt that failed; without any it is NULL."""
    make_earlier(program.history, jobs=rows, summaries=())
    assert take_over(program).code == 0
    row = program.jobs(1)["load"]
    assert (row["status"], row["last_error"]) == ("SUCCESS", error)


@pytest.mark.parametrize("table", ["run_summary", "job_history"])
def test_tables_without_a_key_are_taken_over_in_linear_time(tmp_path: Path, table: str) -> None:
    """Six times the runs cost no more than eight times the steps of SQLite."""
    steps = []
    for runs in (500, 3000):
        copied = [
            f"CREATE TABLE plain AS SELECT * FROM {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE plain RENAME TO {table}",
        ]
        path = make_earlier(tmp_path / f"{runs}.db", version_6, *copied, **many(runs, 1))
        counted = [0]

        def count(counted: list[int] = counted) -> int:
            counted[0] += 1
            return 0

        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as source:
            source.set_progress_handler(count, 10)
            copy = in_memory(source, str(path))
        assert copy is not None
        with contextlib.closing(copy):
            assert copy.execute("SELECT count(*), sum(total_jobs) FROM run_metadata").fetchone() == (runs, runs)
        steps.append(counted[0])
    assert 0 < steps[1] <= 8 * steps[0]


def test_a_schema_that_has_become_newer_is_refused(tmp_path: Path) -> None:
    """Another program was faster than the guard: version 3 stays version 3, and no backup is made."""
    path = make_past(tmp_path / "history.db", [{"run_id": 1}])
    sql(path, "PRAGMA user_version = 3")
    before = names(tmp_path)
    with pytest.raises(HistoryError, match="The history was written by a newer executioner"):
        bring_up(str(path), 0o600)
    assert sql(path, "PRAGMA user_version") == [(3,)]
    assert sql(path, "SELECT run_id FROM run_metadata") == [(1,)]
    assert names(tmp_path) == before


# --- reading --------------------------------------------------------------------------------


def test_reading_an_earlier_write_ahead_log_leaves_no_shm(program: Program, tmp_path: Path) -> None:
    """Of a database with a -wal and no -shm: what stands in the log is shown, and no file appears."""
    model = make_earlier(tmp_path / "model.db", version_6, "PRAGMA journal_mode = WAL")
    program.history.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(model, isolation_level=None)) as writer:
        writer.execute(
            "INSERT INTO job_history (run_id, id, status, application_name) VALUES (30, 'late', 'FAILED', 'etl')"
        )
        for ending in ("", "-wal"):
            shutil.copyfile(f"{model}{ending}", f"{program.history}{ending}")
    before = everything(program)
    for words in ("--list-runs", "--show-run 30", "--list-runs --format json", "--show-run last"):
        shown = program(*words.split())
        assert (shown.code, shown.err) == (0, "")
        assert "30" in shown.out
    assert everything(program) == before
    assert names(program.history.parent) == ["history.db", "history.db-wal"]


@pytest.mark.parametrize("make", [make_earlier, make_version_1], ids=["earlier tool", "version 1"])
@pytest.mark.parametrize(
    "where", ["reader.ended_runs", "reader.running_rows", "reader.run_of", "liveness.unfinished_runs"]
)
def test_an_interrupted_call_leaves_the_history_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, where: str
) -> None:
    """Ctrl-C in a notebook while runs() reads: the same object answers the next call."""
    history = History(make(tmp_path / "history.db"))
    expected = [run.run_id for run in history.runs()]

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"executioner.history.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(history.runs())
    assert [run.run_id for run in history.runs()] == expected
    assert history.run(expected[0]).run.run_id == expected[0]


@pytest.mark.parametrize("given", ["a\0b", "\ud800"], ids=["NUL", "lone surrogate"])
def test_a_history_db_that_no_file_can_have(program: Program, given: str) -> None:
    """It is passed over, as no run can have used it: nothing was ever run, and no internal error."""
    program.config({"a": "true"}, history_db=given)
    run = "executioner.py -c FILE"
    assert program("--list-runs", "-c", "flow.json") == Result(
        0, "", f"No runs yet\nHistory: {program.history}\nTo run a workflow: cd {program.folder} && {run}\n"
    )


@pytest.mark.parametrize(
    "name", ["\x1b]0;owned\x07load", "\x9b31mload", "\u202eload"], ids=["escape", "C1 escape", "right to left"]
)
@pytest.mark.parametrize(
    "words", [["1"], ["1", "{name}3"], ["1", "{name}"]], ids=["no name", "wrong name", "no log"]
)
def test_job_ids_of_an_earlier_database_on_a_terminal(program: Program, name: str, words: list[str]) -> None:
    """The errors of --show-log name jobs, and a terminal obeys nothing of it."""
    make_earlier(
        program.history,
        jobs=[job(1, name, "FAILED", last_exit_code=1), job(1, f"{name}2", "FAILED", last_exit_code=1)],
        summaries=(),
    )
    result = on_screen(program, "--show-log", *(word.format(name=name) for word in words), width=200)
    assert result.code == 2
    assert result.out.startswith("Error: ")
    assert "load" in result.out
    assert_harmless(result.out)


# --- rows edited by hand --------------------------------------------------------------------

_DEEP = "[" * 990 + "]" * 990


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("run_metadata", "status", "\x1b[2JFAILED"),
        ("job_history", "status", "\x1b[2JFAILED"),
        ("run_metadata", "application_name", "\x1b[2Jetl"),
        ("run_metadata", "start_time", "2024"),
        ("job_history", "start_time", "2024"),
        ("run_metadata", "options", "[1]"),
        ("run_metadata", "options", '{"workers": "2; echo pwned", "env_secret": ["A;id"]}'),
        ("run_metadata", "options", '{"env": {"A": "1; echo pwned"}, "parallel": "; echo pwned"}'),
        ("run_metadata", "options", '{"env": ["A;id"]}'),
        ("run_metadata", "options", '{"env_secret": 5}'),
        ("run_metadata", "options", '{"env_secret": [5]}'),
        ("run_metadata", "options", f'{{"env": {_DEEP}}}'),
        ("job_history", "retry_history", _DEEP),
        ("job_history", "retry_history", "[1]"),
        ("job_history", "retry_history", '[{"attempt": 1, "log_start": "x", "log_end": "y"}]'),
        ("job_history", "definition", _DEEP),
        ("run_metadata", "options", '{"workers": true}'),
        ("run_metadata", "host", b"\xff\x00"),
        ("run_metadata", "duration_seconds", float("inf")),
        ("job_history", "duration_seconds", float("inf")),
        ("job_history", "reason", b"\xff"),
        ("job_history", "exit_code", "none"),
    ],
)
def test_rows_edited_by_hand(program: Program, table: str, column: str, value: object) -> None:
    """Whatever stands there: the run is listed and shown, and no printed command does more than it says."""
    program.config({"load": "false"})
    (program.folder / "load.log").write_text("one\ntwo\n")
    failed = {
        "id": "load",
        "status": "FAILED",
        "reason": "Exit code 1",
        "log_path": str(program.folder / "load.log"),
        "retry_history": '[{"attempt": 1, "status": "FAILED", "log_start": 0, "log_end": 8}]',
    }
    run = {"run_id": 1, "status": "FAILED", "config_path": str(program.folder / "flow.json"), "jobs": [failed]}
    make_past(program.history, [run, {"run_id": 2, "application_name": "other"}])
    with contextlib.closing(sqlite3.connect(program.history)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE run_id = 1", (value,))
    for words in (["--list-runs"], ["--show-run", "1"]):
        shown = program(*words)
        assert (shown.code, shown.err) == (0, "")
        assert_harmless(shown.out)
        data = program(*words, "--format", "json")
        assert (data.code, data.err) == (0, "")
        json.loads(data.out)
        screen = on_screen(program, *words)
        assert screen.code == 0
        assert_harmless(screen.out)
        for command in commands_of(shown.out):
            assert ";" not in list(shlex.shlex(command, posix=True, punctuation_chars=True))
            assert "A;id" not in command


# --- nothing was ever run -------------------------------------------------------------------


@pytest.mark.parametrize("empty", [False, True], ids=["no file", "empty file"])
@pytest.mark.parametrize("command", ["--show-run", "--show-log"])
def test_a_run_where_nothing_was_ever_run(program: Program, command: str, empty: bool) -> None:
    """Of an id: the error for an unknown run. Of ``last``: that there are none yet, and it is no error."""
    db = ["--db", "empty.db"] if empty else []
    if empty:
        (program.folder / "empty.db").touch()
    where = "empty.db" if empty else str(program.history)
    before = everything(program)
    message = f"Error: Run ID 5 not found in history.\n\nNo runs yet.\n\nHistory: {where}\n"
    assert program(command, "5", *db) == Result(2, "", message)
    template = f"cd {program.folder} && executioner.py -c FILE" + (" --db empty.db" if empty else "")
    none = f"No runs yet\nHistory: {where}\nTo run a workflow: {template}\n"
    assert program(command, "last", *db) == Result(0, "", none)
    if command == "--show-run":
        assert program(command, "5", *db, "--format", "json") == Result(2, "", message)
        assert program(command, "last", *db, "--format", "json") == Result(0, "null\n", none)
    assert everything(program) == before


# --- one run --------------------------------------------------------------------------------


def job_lines(text: str) -> list[str]:
    """The lines of the jobs on the screen of a run."""
    return figures(text).partition("-----------\n")[2].partition("\n\n")[0].splitlines()


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ("failed", "(no job is FAILED, but 1 TIMEOUT, 1 SUCCESS)"),
        ("failed,error", "(no job is ERROR or FAILED, but 1 TIMEOUT, 1 SUCCESS)"),
    ],
)
def test_no_job_of_a_status(program: Program, wanted: str, line: str) -> None:
    """It is said which statuses there are: who asks for FAILED may mean a TIMEOUT."""
    jobs = [{"id": "slow", "status": "TIMEOUT"}, {"id": "ok"}]
    make_past(program.history, [{"run_id": 7, "status": "FAILED", "jobs": jobs}])
    shown = program("--show-run", "7", "--status", wanted)
    assert (shown.code, shown.err, job_lines(shown.out)) == (0, "", [line.strip()])


def test_a_job_that_waits_for_its_retry(program: Program) -> None:
    """The screen of a live run says that it waits, after which attempt and why."""
    program.config([{"id": "load", "command": "exit 7", "max_retries": 2, "retry_delay": 600}])
    with ended(program.start("-c", "flow.json")) as runner:
        wait_until(
            lambda: program.history.exists() and runner.poll() is None and bool(_tries(program)), "an attempt", 15
        )
        [line] = job_lines(program("--show-run", "1").out)
        runner.send_signal(signal.SIGINT)
        runner.communicate(timeout=30)
    assert (
        re.sub(r" \(00:00:00\)", "", line) == "> load - RUNNING - Exit code: 7, attempt 1 of 3, waiting to retry"
    )


def test_a_job_whose_runner_was_killed_while_it_waited_for_its_retry(program: Program) -> None:
    """How it ended is known, also to those who mark or resume it, so nobody is told to let it count; it is the
    same once the next run has recorded the end.
    """
    program.config([{"id": "load", "command": "exit 7", "max_retries": 2, "retry_delay": 600}])
    with ended(program.start("-c", "flow.json")) as runner:
        wait_until(
            lambda: program.history.exists() and runner.poll() is None and bool(_tries(program)), "an attempt", 15
        )
        runner.kill()
        runner.wait(timeout=30)
    expected = "✗ load - INTERRUPTED - Its runner ended before attempt 2: Exit code 7"
    shown = program("--show-run", "1").out
    assert job_lines(shown) == [expected]
    assert "--mark-success" not in shown

    def in_previews() -> None:
        why = "Its runner ended before attempt 2: Exit code 7"
        marking = program("--mark-success", "1", "load", "--dry-run").out
        assert f"load - INTERRUPTED ({why})" in marking
        resuming = program("--resume-from", "1", "--yes", "--dry-run", "--verbose").out
        assert f"load - INTERRUPTED in run 1: {why}" in resuming

    in_previews()
    program.config({"load": "true"})
    assert program("-c", "flow.json").code == 0
    assert program.statuses(1) == {"load": "INTERRUPTED"}
    assert job_lines(program("--show-run", "1").out) == [expected]
    in_previews()


def _tries(program: Program) -> list[dict[str, Any]]:
    """The attempts of ``load`` that are recorded so far."""
    with contextlib.suppress(sqlite3.Error, KeyError, TypeError):
        return attempts(program, "load")
    return []


def test_unverified_is_explained(program: Program) -> None:
    """Where the lock is no regular file, it is said why that cannot be told, and how to find out."""
    make_past(
        program.history,
        [{"run_id": 7, "status": "RUNNING", "exit_code": None, "jobs": [{"id": "load", "status": "RUNNING"}]}],
    )
    lock = lock_path(program)
    lock.unlink(missing_ok=True)
    lock.symlink_to("elsewhere")
    shown = program("--show-run", "7")
    assert (shown.code, shown.err) == (0, "")
    assert "\nStatus: RUNNING (unverified)\n" in shown.out
    explained = f"\nWhether it is still on cannot be told: {lock} cannot be read.\n"
    assert f"{explained}Ask its owner, or see on etl01 with: ps -p 4711\n" in shown.out
    assert "--resume-from" not in shown.out


# --- following ------------------------------------------------------------------------------


def line_of(process: Any) -> str:
    """The next line that a process prints on stdout, waited for."""
    text: str = process.stdout.readline()
    return text


def test_following_a_job_whose_runner_was_killed(program: Program) -> None:
    """It goes on while the job outlives its runner, and says on stderr what has become of both."""
    program.config({"load": "echo one; echo $$ > pid; touch up; read x < gate; echo two"})
    with gate(program) as let_on, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        with ended(program.start("--show-log", "1", "load", "--follow")) as follower:
            assert line_of(follower).startswith("=== load, run 1, ")
            assert line_of(follower) == "one\n"
            kill(runner)
            assert follower.stderr is not None
            pid = pid_in(program, "pid")
            told: str = follower.stderr.readline()
            assert told == f"Note: the runner of run 1 is gone, load still runs (pid {pid})\n"
            let_on()
            out, err = follower.communicate(timeout=30)
    assert (follower.returncode, out) == (0, "two\n")
    assert err == (
        "Note: the runner of run 1 is gone, load has ended too: its result is not known\n"
        "To see its run:\n"
        f"  cd {program.folder} && executioner.py --show-run 1\n"
        "A resume runs it again. If its log shows that it did its work, let it count instead:\n"
        f"  cd {program.folder} && executioner.py --mark-success 1 load\n"
    )


def test_following_a_job_that_ended_with_its_runner(program: Program) -> None:
    """Where nothing of the job is left the following ends at once with what it printed."""
    program.config({"load": "echo one; kill -9 $PPID"})
    assert program("-c", "flow.json").code == -9
    wait_until(lambda: "INTERRUPTED" in program("--show-run", "1").out, "the death of the runner")
    shown = program("--show-log", "1", "load", "--follow")
    assert (shown.code, shown.out.splitlines()[1:]) == (0, ["one"])
    assert shown.err == (
        "Note: the runner of run 1 is gone, load does not run any more: its result is not known\n"
        "To see its run:\n"
        f"  cd {program.folder} && executioner.py --show-run 1\n"
        "A resume runs it again. If its log shows that it did its work, let it count instead:\n"
        f"  cd {program.folder} && executioner.py --mark-success 1 load\n"
    )


def test_following_prefers_the_running_job(program: Program) -> None:
    """Without a name and with a job that failed before: what is on is followed, what failed is shown."""
    program.config({"bad": "echo wrong; exit 1", "load": "echo one; touch up; read x < gate; echo two"})
    with gate(program) as let_on, ended(program.start("-c", "flow.json", "--continue-on-error")) as runner:
        program.wait_for("up")
        with ended(program.start("--show-log", "last", "--follow")) as follower:
            assert line_of(follower).startswith("=== load, run 1, ")
            assert line_of(follower) == "one\n"
            shown = program("--show-log", "last")
            assert shown.out.startswith("=== bad, run 1, ")
            assert (shown.code, shown.out.splitlines()[1], shown.err) == (0, "wrong", "")
            let_on()
            out, err = follower.communicate(timeout=30)
        runner.communicate(timeout=30)
    assert (follower.returncode, err) == (0, "")
    assert out.startswith("two\n=== SUCCESS, ")


def test_following_a_live_run_of_a_version_1_history(program: Program) -> None:
    """Its copy is made anew: it sees the job begin, what it prints, and its end."""
    log = program.folder / "load.log"
    running = {
        "run_id": 3,
        "status": "RUNNING",
        "exit_code": None,
        "jobs": [{"id": "load", "status": "PENDING"}],
    }
    make_version_1(program.history, running)
    fd = os.open(lock_path(program), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, 3))
        with ended(program.start("--show-log", "3", "load", "--follow")) as follower:
            assert follower.stderr is not None
            assert follower.stderr.readline() == "Waiting for load to start\n"
            log.write_text("one\n")
            job_is = "UPDATE job_history SET status = '{}', log_path = '{}' WHERE run_id = 3"
            sql(program.history, job_is.format("RUNNING", log))
            assert line_of(follower) == "one\n"
            with log.open("a") as file:
                file.write("two\n")
            assert line_of(follower) == "two\n"
            assert follower.poll() is None
            with log.open("a") as file:
                file.write("three\n")
            sql(program.history, job_is.format("SUCCESS", log))
            out, err = follower.communicate(timeout=30)
    finally:
        os.close(fd)
    assert (follower.returncode, out, err) == (0, "three\n", "")
    assert sql(program.history, "PRAGMA user_version") == [(1,)]


# --- what was probably meant ------------------------------------------------------------------


def listed(program: Program, *words: str) -> Result:
    """List the runs of a history with one run, of ``data_pipeline``."""
    make_past(program.history, [{"run_id": 249}])
    return program("--list-runs", *words)


def test_a_status_of_jobs_for_runs(program: Program) -> None:
    """TIMEOUT is one of jobs: it is said what such runs are."""
    result = listed(program, "--status", "timeout")
    what = "--status: TIMEOUT is a status of jobs; such runs are FAILED: --status failed"
    assert result == Result(
        2,
        "",
        f"Error: {what} (command line)\n"
        "  one of: running, interrupted, failed, partial, success\n\n"
        f"To see all options:\n  cd {program.folder} && executioner.py --help\n",
    )


def test_an_application_in_other_case(program: Program) -> None:
    """Names are told apart by case, and the one that is there is suggested."""
    assert listed(program, "--app", "Data_Pipeline") == Result(
        0,
        "",
        "No runs found: app Data_Pipeline\n"
        "Without --app: newest is run 249, 2025-05-23 09:45:00\n"
        "No application Data_Pipeline, did you mean data_pipeline?\n"
        f"History: {program.history}\n",
    )


def test_until_before_since(program: Program) -> None:
    """No run can match, whatever there is."""
    result = listed(program, "--since", "2025-05-24", "--until", "2025-05-20")
    assert (result.code, result.out) == (0, "")
    said = result.err.splitlines()
    assert said[0].startswith("No runs found: ")
    assert said[1:] == [
        "--until is not after --since: no run can match",
        "Without --since/--until: newest is run 249, 2025-05-23 09:45:00",
        f"History: {program.history}",
    ]


@pytest.mark.parametrize("word", ["249", "last"])
def test_a_run_id_alone(program: Program, word: str) -> None:
    """Whoever types it wants to see that run."""
    assert program(word) == Result(
        2,
        "",
        f'Error: Unexpected argument "{word}" (command line)\n'
        f"Did you mean:\n  cd {program.folder} && executioner.py --show-run {word}\n"
        f"To see all options:\n  cd {program.folder} && executioner.py --help\n",
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["show-run", "249"], "--show-run 249"),
        (["show-run"], "--show-run last"),
        (["show-run", "1", "--db", "x.db"], "--show-run 1 --db x.db"),
        (["resume-from", "249", "--dry-run"], "--resume-from 249 --dry-run"),
        (["mark-success", "249", "a", "b", "--yes"], "--mark-success 249 a b --yes"),
        (["show-log", "--tail", "3"], "--show-log last --tail 3"),
        (["list-runs", "--last", "3"], "--list-runs --last 3"),
        (["db", "--list-runs"], "--db PATH --list-runs"),
        (["status", "failed", "--list-runs"], "--status failed --list-runs"),
        (["if-changed"], "--if-changed stop -c FILE"),
        (["validate", "flow.json"], "--validate -c flow.json"),
        (["run", "flow.json", "-j", "4"], "-c flow.json -j 4"),
        (["resume", "249"], "--resume-from 249"),
        (["logs", "249", "load"], "--show-log 249 load"),
        (["list", "--app", "list"], "--list-runs --app list"),
    ],
)
def test_an_option_without_its_dashes(program: Program, typed: list[str], meant: str) -> None:
    """As a subcommand, as other programs have them: the option is named, and the rest is as it was typed."""
    assert program(*typed) == Result(
        2,
        "",
        f'Error: Unexpected argument "{typed[0]}" (command line)\n'
        f"Did you mean:\n  cd {program.folder} && executioner.py {meant}\n"
        f"To see all options:\n  cd {program.folder} && executioner.py --help\n",
    )


@pytest.mark.parametrize("odd", ["2026-11-01T00:00:02Z", "soon", b"\x00", None])
def test_start_times_edited_by_hand_hide_no_other_run(tmp_path: Path, odd: object) -> None:
    """A list by time goes on past rows whose start is none, over every page; without times it has them too."""
    runs = [
        {
            "run_id": number,
            "status": "RUNNING" if number == 3 else "FAILED",
            "start_time": f"2026-11-01T00:{number % 60:02}:00.000000Z",
            "jobs": [{"id": "a", "status": "FAILED"}],
        }
        for number in range(1, 1202)
    ]
    path = make_past(tmp_path / "h.db", runs)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE run_metadata SET start_time = ? WHERE run_id % 2", (odd,))
    history = History(path)
    by_time = [run.run_id for run in history.find(RunFilter(since="2026-01-01"))]
    assert sorted(by_time) == list(range(2, 1202, 2))
    assert [run.run_id for run in history.find(RunFilter())] == list(range(1201, 0, -1))


def test_a_text_id_that_something_else_wrote_does_not_stop_runs(program: Program) -> None:
    """The next run gets the next number, whatever stands in job_history beside the numbers."""
    make_past(program.history, [{"run_id": 1, "jobs": [{"id": "a"}]}])
    with contextlib.closing(sqlite3.connect(program.history)) as connection, connection:
        for odd in ("nightly-7", b"\xff", 2**63 - 1):
            connection.execute("INSERT INTO job_history (run_id, id, status) VALUES (?, 'j', 'SUCCESS')", (odd,))
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [1, 2]


def test_the_commands_for_following_follow(program: Program) -> None:
    """Where two jobs run, --follow without a name prints commands that follow as well."""
    program.config({"a": "touch up-a; read x < gate", "b": "touch up-b; read x < gate"})
    with gate(program) as let, ended(program.start("-c", "flow.json", "-j", "2")) as runner:
        program.wait_for("up-a", "up-b")
        result = program("--show-log", "last", "--follow")
        let()
        let()
        runner.communicate()
    assert (result.code, result.out) == (2, "")
    assert [command.split()[-4:] for command in commands_of(result.err)] == [
        ["--show-log", "1", "a", "--follow"],
        ["--show-log", "1", "b", "--follow"],
    ]
