"""When what is in the history: a run with all its jobs at once, RUNNING before, results at once after."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import Program, ended, wait_until
from history_tools import UTC_TEXT, gate, names, peeking, seen, sql

pytestmark = pytest.mark.promise(2, 3)


def test_a_run_and_all_its_jobs_are_there_before_the_first_job_starts(program: Program) -> None:
    """The first job finds its run, itself RUNNING and every other job PENDING."""
    program.config(
        [{"id": "first", "command": peeking(program)}, *({"id": f"j{n}", "command": "true"} for n in range(5))]
    )
    assert program("-c", "flow.json").code == 0
    found = seen(program, "first")
    assert {name: row["status"] for name, row in found["jobs"].items()} == {
        "first": "RUNNING",
        **{f"j{n}": "PENDING" for n in range(5)},
    }
    run = found["run"]
    assert (run["status"], run["total_jobs"], run["end_time"], run["exit_code"]) == ("RUNNING", 6, None, None)
    assert UTC_TEXT.fullmatch(run["start_time"])
    assert Path(run["log_path"]).is_file()


def test_a_pending_job_has_its_definition_and_no_result(program: Program) -> None:
    """What is known before the start is stored before the start; what only an end can tell is NULL."""
    program.config(
        [{"id": "first", "command": peeking(program)}, {"id": "later", "command": "true", "description": "D"}]
    )
    assert program("-c", "flow.json").code == 0
    row = seen(program, "first")["jobs"]["later"]
    assert (row["position"], row["description"], row["command"], row["retry_count"]) == (1, "D", "true", 0)
    assert row["definition"].startswith('{"command":"true"')
    results = ("exit_code", "start_time", "end_time", "last_run", "duration_seconds", "retry_history", "log_path")
    assert [row[name] for name in results] == [None] * len(results)


def test_a_watcher_never_sees_a_run_without_its_jobs(program: Program) -> None:
    """A reader that looks again and again sees either nothing of a run or all of its 3,000 jobs."""
    program.config({"old": "true"}, name="old.json")
    assert program("-c", "old.json").code == 0
    program.config({f"j{n}": "true" for n in range(3000)})
    query = "SELECT (SELECT count(*) FROM run_metadata), (SELECT count(*) FROM job_history)"
    looks: set[Any] = set()
    with closing(sqlite3.connect(f"file:{program.history}?mode=ro", uri=True)) as connection:

        def complete() -> bool:
            looks.add(connection.execute(query).fetchone())
            return (2, 3001) in looks

        with ended(program.start("-c", "flow.json")):
            wait_until(complete, "the second run")
    assert looks <= {(1, 1), (2, 3001)}


def test_a_job_finds_itself_running(program: Program) -> None:
    """RUNNING, the start and the log's path are committed before the process exists; the log is its stdout."""
    peek = peeking(program)
    program.config([{"id": "a", "command": peek}, {"id": "b", "command": peek, "dependencies": ["a"]}])
    assert program("-c", "flow.json").code == 0
    for job in ("a", "b"):
        found = seen(program, job)
        row = found["jobs"][job]
        assert row["status"] == "RUNNING"
        assert UTC_TEXT.fullmatch(row["start_time"])
        assert row["last_run"] == row["start_time"]
        assert row["log_path"] == found["stdout"]
        assert row["end_time"] is None


def test_jobs_that_start_together_find_themselves_running(program: Program) -> None:
    """With four workers each of eight jobs is RUNNING in the database before its process looks."""
    program.config({f"j{n}": peeking(program) for n in range(8)})
    assert program("-c", "flow.json", "-j", "4").code == 0
    assert {seen(program, f"j{n}")["jobs"][f"j{n}"]["status"] for n in range(8)} == {"RUNNING"}


def test_a_second_attempt_finds_the_first_in_the_history(program: Program) -> None:
    """Before attempt 2 starts, attempt 1 is recorded; start_time stays, last_run is that of attempt 2."""
    peek = peeking(program)
    command = f"[ $EXECUTIONER_ATTEMPT = 2 ] || exit 9; {peek}"
    program.config([{"id": "a", "command": command, "max_retries": 1, "retry_delay": 0}])
    assert program("-c", "flow.json").code == 0
    row = seen(program, "a")["jobs"]["a"]
    assert (row["status"], row["exit_code"], row["last_error"], row["retry_count"]) == (
        "RUNNING",
        9,
        "Exit code 9",
        1,
    )
    assert row["last_run"] > row["start_time"]
    assert '"exit_code": 9' in row["retry_history"]


def test_a_dependent_finds_the_results_of_its_dependencies(program: Program) -> None:
    """SUCCESS, exit code, end and attempts of all dependencies are committed before a dependent starts."""
    program.config(
        [
            {"id": "a", "command": "true"},
            {"id": "b", "command": "true", "dependencies": ["a"]},
            {"id": "c", "command": "true", "dependencies": ["a"]},
            {"id": "d", "command": peeking(program), "dependencies": ["b", "c"]},
        ]
    )
    assert program("-c", "flow.json", "-j", "2").code == 0
    jobs = seen(program, "d")["jobs"]
    for name in "abc":
        row = jobs[name]
        assert (row["status"], row["exit_code"], row["reason"]) == ("SUCCESS", 0, None)
        assert row["end_time"] <= jobs["d"]["start_time"]
        assert row["retry_history"].startswith("[{")


def test_what_follows_finds_a_failure_and_its_consequences(program: Program) -> None:
    """With --continue-on-error the next job sees the FAILED one and its SKIPPED dependents."""
    program.config(
        [
            {"id": "bad", "command": "exit 5"},
            {"id": "child", "command": "true", "dependencies": ["bad"]},
            {"id": "next", "command": peeking(program)},
        ]
    )
    assert program("-c", "flow.json", "--continue-on-error").code == 1
    jobs = seen(program, "next")["jobs"]
    assert (jobs["bad"]["status"], jobs["bad"]["exit_code"]) == ("FAILED", 5)
    assert (jobs["child"]["status"], jobs["child"]["reason"]) == ("SKIPPED", "dependency failed")


def test_a_job_left_out_on_request_is_recorded_before_its_dependent_starts(program: Program) -> None:
    """--skip shows in the history before what depends on the job starts."""
    program.config(
        [{"id": "a", "command": "true"}, {"id": "b", "command": peeking(program), "dependencies": ["a"]}]
    )
    assert program("-c", "flow.json", "--skip", "a").code == 0
    row = seen(program, "b")["jobs"]["a"]
    assert (row["status"], row["reason"], row["log_path"]) == ("SKIPPED", "--skip", None)


def test_an_ended_run_has_no_unfinished_job(program: Program) -> None:
    """After success, failure and a skip no row is PENDING or RUNNING."""
    program.config({"a": "true", "b": "false", "c": "true"})
    program("-c", "flow.json")
    program("-c", "flow.json", "--skip", "b")
    program("-c", "flow.json", "--continue-on-error")
    assert program.rows("SELECT * FROM job_history WHERE status IN ('PENDING', 'RUNNING')") == []
    assert [row["status"] for row in program.rows("SELECT status FROM run_metadata ORDER BY run_id")] == [
        "FAILED",
        "PARTIAL",
        "FAILED",
    ]


# --- no ghost runs ------------------------------------------------------------------------

GOOD = [{"id": "a", "command": "touch ran"}]
REFUSED: dict[str, tuple[dict[str, Any], list[str], int]] = {
    "unknown key": ({"jobs": GOOD, "timeuot": 1}, [], 2),
    "no jobs": ({"jobs": []}, [], 2),
    "unknown dependency": ({"jobs": [{**GOOD[0], "dependencies": ["b"]}]}, [], 2),
    "cycle": ({"jobs": [{**GOOD[0], "dependencies": ["a"]}]}, [], 2),
    "circular variables": ({"jobs": GOOD, "env_variables": {"A": "${B}", "B": "${A}"}}, [], 2),
    "working_dir missing": ({"jobs": GOOD, "working_dir": "nowhere"}, [], 2),
    "log_dir is a file": ({"jobs": GOOD, "log_dir": "flow.json"}, [], 2),
    "log_dir below a file": ({"jobs": GOOD, "log_dir": "flow.json/logs"}, [], 2),
    # passes every look beforehand; making it fails inside the creating transaction
    "log_dir cannot be made": ({"jobs": GOOD, "log_dir": "x" * 300}, [], 2),
    "unknown --skip": ({"jobs": GOOD}, ["--skip", "nope"], 2),
    "bad --env": ({"jobs": GOOD}, ["--env", "novalue"], 2),
    "--dry-run": ({"jobs": GOOD}, ["--dry-run"], 0),
    "--validate": ({"jobs": GOOD}, ["--validate"], 0),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_no_run(program: Program, case: str) -> None:
    """No row, no log, no id used up: the next real run is number 2."""
    keys, flags, code = REFUSED[case]
    program.config({"a": "true"}, name="good.json")
    assert program("-c", "good.json").code == 0
    logs = names(program.folder / "logs")
    program.config(**keys)
    assert program("-c", "flow.json", *flags).code == code
    assert names(program.folder / "logs") == logs
    assert not (program.folder / "ran").exists()
    assert program("-c", "good.json").code == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [1, 2]
    assert len(program.rows("SELECT * FROM job_history")) == 2


@pytest.mark.parametrize("case", [name for name in REFUSED if name != "log_dir cannot be made"])
def test_what_is_refused_beforehand_makes_no_history(program: Program, case: str) -> None:
    """A config that cannot be run leaves no trace at all: not even an empty history or its folder."""
    keys, flags, code = REFUSED[case]
    program.config(**keys)
    assert program("-c", "flow.json", *flags).code == code
    assert not program.history.parent.exists()


def test_a_run_over_max_active_runs_leaves_no_trace(program: Program) -> None:
    """Exit 3, the active run is named, and neither row nor log nor id is used up."""
    program.config({"a": "touch up; read x < gate"}, max_active_runs=1)
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as first:
        program.wait_for("up")
        logs = names(program.folder / "logs")
        refused = program("-c", "flow.json")
        assert refused.code == 3
        assert "max_active_runs" in refused.err
        assert "run 1" in refused.err
        assert refused.out == ""
        assert names(program.folder / "logs") == logs
        let_through()
        first.communicate()
        assert first.returncode == 0
    program.config({"a": "true"}, max_active_runs=1)
    assert program("-c", "flow.json").code == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [1, 2]


def test_run_ids_are_never_reused(program: Program) -> None:
    """After the newest run, and even all runs, were deleted, ids go on counting."""
    program.config({"a": "true"})
    for _ in range(2):
        assert program("-c", "flow.json").code == 0
    sql(program.history, "DELETE FROM job_history WHERE run_id = 2", "DELETE FROM run_metadata WHERE run_id = 2")
    assert program("-c", "flow.json").code == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [1, 3]
    sql(program.history, "DELETE FROM job_history", "DELETE FROM run_metadata")
    assert program("-c", "flow.json").code == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [4]
