"""What becomes of each run and job of an earlier database: statuses, attempts, times, numbers, odd values."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from earlier_databases import (
    BECOMES,
    VERSIONS,
    Row,
    Version,
    job,
    summary,
    version_1,
    version_4,
    version_5,
    version_6,
    zone,
)

from executioner.history.migrate import in_memory
from executioner.history.read import run_details
from executioner.records import Job, Run, RunDetails


def source(version: Version = version_6, **options: Any) -> sqlite3.Connection:
    """An earlier database in memory."""
    database = sqlite3.connect(":memory:")
    with database:
        version(database, **options)
    return database


def taken(database: sqlite3.Connection) -> dict[int, RunDetails]:
    """All runs of a database as they are after the take-over."""
    with closing(database), closing(in_memory(database, "earlier.db") or database) as target:
        ids = [run_id for (run_id,) in target.execute("SELECT run_id FROM run_metadata ORDER BY run_id")]
        return {run_id: details for run_id in ids if (details := run_details(target, run_id)) is not None}


def runs(*jobs: Row, summaries: tuple[Row, ...] = (), version: Version = version_6) -> dict[int, RunDetails]:
    """The runs that such rows become."""
    return taken(source(version, jobs=jobs, summaries=summaries))


def one_run(*jobs: Row, summaries: tuple[Row, ...] = (), version: Version = version_6) -> Run:
    """The only run that such rows become."""
    [details] = runs(*jobs, summaries=summaries, version=version).values()
    return details.run


def one_job(*jobs: Row, version: Version = version_6) -> Job:
    """The only job that such rows become."""
    [details] = runs(*jobs, version=version).values()
    [found] = details.jobs
    return found


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    """The machine's zone is UTC."""
    with zone("UTC"):
        yield


@pytest.fixture
def berlin(utc: None) -> Iterator[None]:
    """The machine's zone is Berlin's."""
    with zone("Europe/Berlin"):
        yield


# --- statuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "columns", "status", "reason"),
    [
        ("SUCCESS", {"last_exit_code": 0}, "SUCCESS", None),
        ("success", {}, "SUCCESS", None),
        ("Failed", {"last_exit_code": 3}, "FAILED", "Exit code 3"),
        ("FAILED", {"last_exit_code": -9}, "FAILED", "Killed by SIGKILL"),
        ("FAILED", {"last_exit_code": 3, "last_error": "no such table"}, "FAILED", "no such table"),
        ("FAILED", {}, "FAILED", None),
        ("TIMEOUT", {"last_error": "Timed out after 60 s"}, "TIMEOUT", "Timed out after 60 s"),
        ("ERROR", {"last_error": "No such file"}, "ERROR", "No such file"),
        ("PRECHECK_FAILED", {}, "FAILED", "A pre-check failed"),
        ("POSTCHECK_FAILED", {"last_exit_code": 0}, "FAILED", "A post-check failed"),
        ("postcheck_failed", {"last_error": "ORA-00942 in load.log"}, "FAILED", "ORA-00942 in load.log"),
        ("RUNNING", {}, "INTERRUPTED", "Its runner ended without recording a result"),
        ("PENDING", {}, "SKIPPED", "run interrupted"),
        ("SKIPPED", {"last_error": "dependency failed"}, "SKIPPED", "dependency failed"),
        ("BLOCKED", {}, "ERROR", 'Recorded as "BLOCKED" by the earlier tool'),
        ("BLOCKED", {"last_error": "held by ops"}, "ERROR", "held by ops"),
        ("", {}, "ERROR", 'Recorded as "" by the earlier tool'),
    ],
)
def test_the_status_of_a_job(recorded: str, columns: Row, status: str, reason: str | None) -> None:
    """Each status becomes one of ours with its reason, whatever its case; what nobody knows is an error."""
    found = one_job(job(1, "a", recorded, "2025-05-21 02:00:00", **columns))
    assert (found.status, found.reason) == (status, reason)


def test_a_job_without_a_status_is_no_success() -> None:
    """NULL is not shown as the word None."""
    found = one_job(job(1, "a", None))
    assert found.status == "ERROR"
    assert found.reason is not None
    assert "None" not in found.reason


def test_which_jobs_are_counted() -> None:
    """Failed are FAILED, TIMEOUT, ERROR and failed checks; what was running is left, what waited is skipped."""
    words = "SUCCESS FAILED TIMEOUT ERROR PRECHECK_FAILED POSTCHECK_FAILED WEIRD SKIPPED PENDING RUNNING".split()
    run = one_run(*(job(1, f"j{number}", word) for number, word in enumerate(words)))
    assert (run.total_jobs, run.completed_jobs, run.failed_jobs, run.skipped_jobs) == (10, 1, 6, 2)
    assert run.status == "INTERRUPTED"


@pytest.mark.parametrize("ids", ["INTEGER", "TEXT"])
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.__name__)
def test_every_version_becomes_the_same_runs(version: Version, ids: str) -> None:
    """Of every version each run and each job is there under its id, in the order of recording."""
    found = taken(source(version, ids=ids))
    statuses = {
        number: (one.run.status, {job.id: job.status for job in one.jobs}) for number, one in found.items()
    }
    assert statuses == BECOMES
    assert [[job.id for job in one.jobs] for one in found.values()] == [list(jobs) for _, jobs in BECOMES.values()]
    assert all([job.position for job in one.jobs] == list(range(len(one.jobs))) for one in found.values())


# --- a run's own row ----------------------------------------------------------------------------


def done(name: str = "a", run_id: int = 1, **columns: Any) -> Row:
    """A job that succeeded."""
    return job(run_id, name, "SUCCESS", "2025-05-21 02:00:00", **columns)


def summed(status: str | None, *jobs: Any, run_id: int = 1, **columns: Any) -> Row:
    """A run that was summed up."""
    return summary(run_id, status, "2025-05-21 02:00:00", "2025-05-21 02:10:00", jobs, **columns)


def test_a_summary_fills_the_run() -> None:
    """Times, exit code, config and folder come from it; what the earlier tool did not know is NULL."""
    run = one_run(
        done(),
        summaries=(summed("SUCCESS", 1, 1, 0, 0, exit_code=0, working_dir="/srv", config_path="/srv/e.json"),),
    )
    assert (run.status, run.exit_code, run.working_dir, run.config_path) == ("SUCCESS", 0, "/srv", "/srv/e.json")
    assert (run.start_time, run.end_time) == ("2025-05-21T02:00:00.000000Z", "2025-05-21T02:10:00.000000Z")
    assert (run.duration_seconds, run.application_name, run.root_run_id) == (600.0, "etl", 1)
    unknown = {run.user, run.host, run.pid, run.boot_id, run.log_path, run.parent_run_id, run.config_hash}
    assert unknown == {None}


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "INTERRUPTED", "PARTIAL", "success"])
def test_a_summary_without_jobs_is_a_run(status: str) -> None:
    """It keeps its status and its counts."""
    run = one_run(summaries=(summed(status, 8, 5, 2, 1, exit_code=1),))
    assert (run.status, run.total_jobs, run.completed_jobs) == (status.upper(), 8, 5)
    assert (run.failed_jobs, run.skipped_jobs, run.exit_code) == (2, 1, 1)


@pytest.mark.parametrize("status", ["RUNNING", None, "", "WEIRD"])
def test_a_summary_without_jobs_that_tells_no_end_is_interrupted(status: str | None) -> None:
    """Nobody runs an earlier run any more, and what is not known is no success."""
    assert one_run(summaries=(summed(status, 8, 5, 0, 0),)).status == "INTERRUPTED"


@pytest.mark.parametrize("recorded", ["SUCCESS", "RUNNING", None])
@pytest.mark.parametrize("version", [version_5, version_6], ids=lambda version: version.__name__)
def test_more_jobs_summed_up_than_recorded_is_never_a_success(recorded: str | None, version: Version) -> None:
    """A run that was killed before its last jobs has no rows of those."""
    run = one_run(done("a"), done("b"), summaries=(summed(recorded, 5, 2, 0, 0),), version=version)
    assert (run.status, run.total_jobs, run.completed_jobs) == ("INTERRUPTED", 5, 2)


@pytest.mark.parametrize("recorded", ["FAILED", "INTERRUPTED", "PARTIAL", "failed"])
def test_a_run_is_not_better_than_it_was_recorded(recorded: str) -> None:
    """All jobs that have rows succeeded, and still the run did not."""
    assert one_run(done(), summaries=(summed(recorded, 1, 1, 0, 0),)).status == recorded.upper()


def test_a_run_that_failed_before_its_jobs_were_skipped_stays_failed() -> None:
    """Jobs that were skipped alone would be PARTIAL; it was recorded that the run failed."""
    run = one_run(done("a"), job(1, "b", "SKIPPED"), summaries=(summed("FAILED", 2, 1, 0, 1),))
    assert run.status == "FAILED"


def test_a_run_is_not_better_than_its_jobs() -> None:
    """A summary that says SUCCESS of a run with a failed job is not believed."""
    run = one_run(done("a"), job(1, "b", "FAILED"), summaries=(summed("SUCCESS", 2, 2, 0, 0),))
    assert (run.status, run.completed_jobs, run.failed_jobs) == ("FAILED", 1, 1)


@pytest.mark.parametrize("version", [version_1, version_4, version_5], ids=lambda version: version.__name__)
def test_what_was_not_summed_up_has_no_known_end(version: Version) -> None:
    """The start of the last job is not the end of the run: nobody recorded that."""
    run = one_run(
        job(1, "a", "SUCCESS", "2025-05-21 02:00:00"),
        job(1, "b", "SUCCESS", "2025-05-21 02:05:00"),
        version=version,
    )
    assert run.start_time == "2025-05-21T02:00:00.000000Z"
    assert (run.end_time, run.duration_seconds, run.exit_code) == (None, None, None)


def test_a_summary_of_an_older_attempt_does_not_speak_for_the_run() -> None:
    """The second attempt was killed: the first one's end, exit code and status are not the run's."""
    run = one_run(
        job(1, "a", "SUCCESS", "2025-05-21 02:00:00", attempt_id=1),
        job(1, "b", "FAILED", "2025-05-21 02:01:00", attempt_id=1),
        job(1, "b", "RUNNING", "2025-05-21 09:00:00", attempt_id=2),
        summaries=(summed("FAILED", 2, 1, 1, 0, exit_code=1, attempt_id=1, config_path="/srv/e.json"),),
    )
    assert (run.status, run.exit_code, run.config_path) == ("INTERRUPTED", None, "/srv/e.json")
    assert (run.start_time, run.end_time) == ("2025-05-21T02:00:00.000000Z", None)


# --- attempts -----------------------------------------------------------------------------------


def test_the_attempts_of_a_run_stay_one_run() -> None:
    """Each job has its latest status, its place of the first attempt, and all attempts in their order."""
    found = runs(
        job(4, "b", "FAILED", "2025-05-21 02:00:30", attempt_id=1, last_error="boom", last_exit_code=2),
        job(4, "c", "SKIPPED", None, attempt_id=1),
        job(4, "b", "TIMEOUT", "2025-05-21 03:00:00", attempt_id=2, last_error="too slow"),
        job(4, "b", "SUCCESS", "2025-05-21 04:00:00", attempt_id=10, duration_seconds=4.0, last_exit_code=0),
        job(4, "c", "SUCCESS", "2025-05-21 04:00:04", attempt_id=10),
    )
    [b, c] = found[4].jobs
    assert (found[4].run.status, found[4].run.total_jobs) == ("SUCCESS", 2)
    assert (b.status, b.retry_count, b.last_run) == ("SUCCESS", 2, "2025-05-21T04:00:00.000000Z")
    listed = [
        (one["attempt"], one["status"], one["reason"], one["exit_code"], one["start_time"])
        for one in b.retry_history or ()
    ]
    assert listed == [
        (1, "FAILED", "boom", 2, "2025-05-21T02:00:30.000000Z"),
        (2, "TIMEOUT", "too slow", None, "2025-05-21T03:00:00.000000Z"),
        (3, "SUCCESS", None, 0, "2025-05-21T04:00:00.000000Z"),
    ]
    assert (c.status, c.retry_count, len(c.retry_history or ())) == ("SUCCESS", 0, 1)  # skipped is no attempt


def test_retries_stand_before_the_attempt_that_followed_them() -> None:
    """Retries within each attempt of the run and the attempts themselves are one list, counted from 1."""
    retried = '[{"attempt": 1, "status": "FAILED", "exit_code": 75, "error": "busy"}]'
    found = one_job(
        job(1, "a", "FAILED", "2025-05-21 02:00:00", attempt_id=1, retry_count=1, retry_history=retried),
        job(1, "a", "SUCCESS", "2025-05-21 03:00:00", attempt_id=2, retry_count=1, retry_history=retried),
    )
    entries = found.retry_history or ()
    assert [(one["attempt"], one["status"]) for one in entries] == [
        *((1, "FAILED"), (2, "FAILED"), (3, "FAILED"), (4, "SUCCESS"))
    ]
    assert (entries[0]["reason"], entries[0]["exit_code"], found.retry_count) == ("busy", 75, 3)
    assert entries[0]["earlier"] == json.loads(retried)[0]


def test_entries_have_every_field_of_ours_and_statuses_of_ours() -> None:
    """A reader of retry_history need not know where an entry comes from: POSTCHECK_FAILED is FAILED there too."""
    retried = '[{"status": "POSTCHECK_FAILED"}, {"status": "failed"}]'
    found = one_job(job(1, "a", "SUCCESS", "2025-05-21 02:00:00", retry_count=2, retry_history=retried))
    fields = "attempt status reason exit_code start_time end_time duration_seconds log_start log_end".split()
    entries = found.retry_history or ()
    assert [one["status"] for one in entries] == ["FAILED", "FAILED", "SUCCESS"]
    assert all(set(fields) <= set(one) <= {*fields, "earlier"} for one in entries)


@pytest.mark.parametrize(
    "odd",
    [
        "not JSON",
        "{",
        '{"status": "FAILED"}',
        '"a word"',
        "17",
        "[[[[1]]], null, true, 3.5]",
        '[{"status": {"a": [1]}, "exit_code": [2], "error": {"b": 1}, "timestamp": {"c": 1}}]',
        '[{"exit_code": 1e999, "duration_seconds": NaN, "timestamp": -1e300}]',
        '[{"duration": "Infinity", "timestamp": 1e18}]',
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        b"\xff\xfe",
        17,
        "",
        None,
    ],
    ids=lambda odd: str(odd)[:24],
)
def test_an_odd_retry_history_hinders_nothing(odd: object) -> None:
    """Whatever stands there, the job is taken over, and its own retry_history is strict JSON."""
    with closing(source(jobs=(done(retry_history=odd),), summaries=())) as database:
        target = in_memory(database, "earlier.db")
    assert target is not None
    with closing(target):
        [(status, text)] = target.execute("SELECT status, retry_history FROM job_history")
    entries = json.loads(text, parse_constant=pytest.fail)
    assert status == "SUCCESS"
    assert entries[-1]["status"] == "SUCCESS"
    assert [one["attempt"] for one in entries] == list(range(1, len(entries) + 1))


# --- times --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("recorded", "stored"),
    [
        ("2025-05-23 09:45:00", "2025-05-23T07:45:00.000000Z"),
        ("2025-01-23 09:45:00", "2025-01-23T08:45:00.000000Z"),
        ("2025-05-23T09:45:00", "2025-05-23T07:45:00.000000Z"),
        ("2025-05-23 09:45:00.123456", "2025-05-23T07:45:00.123456Z"),
        ("2025-05-23 09:45:00.5", "2025-05-23T07:45:00.500000Z"),
        ("2025-05-23T09:45:00+05:30", "2025-05-23T04:15:00.000000Z"),
        ("2025-05-23 09:45:00Z", "2025-05-23T09:45:00.000000Z"),
        ("2025-05-23", "2025-05-22T22:00:00.000000Z"),
        ("2025-03-30 01:59:59", "2025-03-30T00:59:59.000000Z"),
        ("2025-03-30 03:00:00", "2025-03-30T01:00:00.000000Z"),
        ("2025-03-30 02:30:00", "2025-03-30T01:30:00.000000Z"),  # there was no such time
        ("2025-10-26 01:59:59", "2025-10-25T23:59:59.000000Z"),
        ("2025-10-26 02:30:00", "2025-10-26T00:30:00.000000Z"),  # there were two: the earlier one
        ("2025-10-26 03:00:00", "2025-10-26T02:00:00.000000Z"),
        (1747986300, "2025-05-23T07:45:00.000000Z"),
        (1747986300.25, "2025-05-23T07:45:00.250000Z"),
    ],
)
def test_local_times_become_utc(recorded: object, stored: str) -> None:
    """Without a zone it is the machine's, summer and winter and in the nights in between; else what it says."""
    [details] = runs(
        job(1, "a", "SUCCESS", recorded), summaries=(summary(1, "SUCCESS", recorded, recorded, (1, 1, 0, 0)),)
    ).values()
    assert (details.jobs[0].last_run, details.run.start_time, details.run.end_time) == (stored, stored, stored)


@pytest.mark.usefixtures("berlin")
def test_the_time_that_the_database_filled_in_is_utc() -> None:
    """CURRENT_TIMESTAMP is; it stands for a start that was not recorded."""
    rows = (summary(1, "SUCCESS", None, None, (1, 1, 0, 0), created_at="2025-05-23 09:45:00"),)
    assert one_run(done(), summaries=rows).start_time == "2025-05-23T09:45:00.000000Z"


@pytest.mark.usefixtures("berlin")
def test_a_run_over_the_end_of_summer_time_does_not_end_before_it_began() -> None:
    """From 02:50 in summer time to 02:10 in winter time are twenty minutes."""
    rows = (summary(1, "SUCCESS", "2025-10-26 02:50:00", "2025-10-26 02:10:00", (1, 1, 0, 0)),)
    run = one_run(done(), summaries=rows)
    assert (run.start_time, run.end_time) == ("2025-10-26T00:50:00.000000Z", "2025-10-26T01:10:00.000000Z")
    assert run.duration_seconds == 1200.0


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    "garbage",
    [
        *(
            "yesterday",
            "",
            "0000-00-00 00:00:00",
            "23.05.2025",
            "2025-02-30 10:00:00",
            "None",
            None,
            b"\xff",
            b"2025",
        ),
        *(1747986300000, -1e300, 9e999, 10**18, "9" * 40, "0001-01-01 00:00:00", "9999-12-31T23:59:59-12:00"),
    ],
    ids=repr,
)
def test_a_time_that_is_none_is_unknown(garbage: object) -> None:
    """No guess and no crash: what no history of ours could hold is NULL (milliseconds, years of more digits)."""
    rows = (summary(1, "SUCCESS", garbage, garbage, (1, 1, 0, 0), created_at=garbage),)
    [details] = runs(job(1, "a", "SUCCESS", garbage), summaries=rows).values()
    assert details.jobs[0].last_run is None
    assert (details.run.start_time, details.run.end_time, details.run.duration_seconds) == (None, None, None)


# --- run ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["nightly", "7b", "007", " 8", "8.0", "-3", "0", "", "९", "9" * 30, "0x10", "1e3"])
def test_an_id_that_is_no_number_gets_a_new_one(odd: str) -> None:
    """Above all numbers that are in use, in either table, and with its own summary."""
    found = taken(
        source(
            ids="TEXT",
            jobs=(done("a", 5), job(odd, "b", "FAILED")),
            summaries=(summed("SUCCESS", 1, 1, 0, 0, run_id=41), summary(odd, "FAILED", None, None, (1, 0, 1, 0))),
        )
    )
    assert sorted(found) == [5, 41, 42]
    assert [(one.id, one.status) for one in found[42].jobs] == [("b", "FAILED")]
    assert (found[42].run.status, found[42].run.total_jobs) == ("FAILED", 1)


@pytest.mark.parametrize(
    ("jobs_ids", "summary_ids"), [("TEXT", "INTEGER"), ("INTEGER", "TEXT"), ("", ""), ("BLOB", "")]
)
def test_ids_of_different_types_are_one_run(jobs_ids: str, summary_ids: str) -> None:
    """The number 5 and the text 5 mean one run, whichever types the columns have."""
    database = sqlite3.connect(":memory:")
    version_6(database, jobs_ids, (done("a", 5), job("6", "b", "FAILED")), ())
    database.execute("DROP TABLE run_summary")
    other = sqlite3.connect(":memory:")
    version_6(other, summary_ids, (), ())
    for (sql,) in other.execute("SELECT sql FROM sqlite_schema WHERE name = 'run_summary'").fetchall():
        database.execute(sql)
    other.close()
    for run_id, code in (("5", 0), (6, 4)):
        database.execute(
            "INSERT INTO run_summary (run_id, status, total_jobs, exit_code) VALUES (?, 'FAILED', 1, ?)",
            (run_id, code),
        )
    found = taken(database)
    assert {number: (len(one.jobs), one.run.exit_code) for number, one in found.items()} == {5: (1, 0), 6: (1, 4)}


def test_mixed_ids_in_one_column() -> None:
    """Numbers, their text, and text that only looks like them: each row is in one run, and none is lost."""
    rows = (job(7, "a", "SUCCESS"), job("7", "b", "FAILED"), job("07", "c", "SUCCESS"), job("x", "d", "SUCCESS"))
    found = taken(source(ids="", jobs=rows, summaries=()))
    jobs = {number: sorted(one.id for one in details.jobs) for number, details in found.items()}
    assert jobs.pop(7) == ["a", "b"]
    assert sorted(jobs) == [8, 9]
    assert sorted(jobs.values()) == [["c"], ["d"]]


def test_a_run_id_that_is_null_is_a_run_of_its_own() -> None:
    """It gets a number, and not the summaries of all other runs."""
    found = runs(done("a", 1), job(None, "b", "FAILED"), summaries=(summed("SUCCESS", 9, 9, 0, 0, exit_code=0),))
    assert sorted(found) == [1, 2]
    assert (found[2].run.status, found[2].run.total_jobs, found[2].run.exit_code) == ("FAILED", 1, None)


# --- odd values ---------------------------------------------------------------------------------


def test_nulls_everywhere() -> None:
    """A row of which nothing is known but its run is still a run with a job."""
    rows = (
        dict.fromkeys(("id", "status", "description", "command", "application_name", "last_run")) | {"run_id": 3},
    )
    nothing = summary(3, None, None, None, (None,) * 4, created_at=None, application_name=None)
    [details] = runs(*rows, summaries=(nothing,)).values()
    [found] = details.jobs
    assert (details.run.run_id, details.run.application_name, details.run.total_jobs) == (3, "", 1)
    assert details.run.status != "SUCCESS"
    assert (found.description, found.command, found.retry_count) == ("", "", 0)


def test_a_job_without_an_id_beside_one_that_is_called_so() -> None:
    """NULL and the word None are two jobs."""
    [details] = runs(job(1, None, "SUCCESS"), job(1, "None", "FAILED"), job(1, None, "TIMEOUT")).values()
    assert [one.status for one in details.jobs] == ["TIMEOUT", "FAILED"]


@pytest.mark.parametrize(
    "value",
    ["many", "", b"\xff", "9" * 30, 1e300, 9e999, "nan", "inf", "-inf", "1e999"],
    ids=lambda value: repr(value)[:12],
)
def test_numbers_that_are_none_are_unknown(value: Any) -> None:
    """They hinder nothing, and no script ever reads NaN, Infinity or what is no JSON."""
    names = ("duration_seconds", "memory_usage_mb", "cpu_usage_percent", "last_exit_code", "retry_count")
    rows = (summed("SUCCESS", *[value] * 4, exit_code=value),)
    [details] = runs(done(**dict.fromkeys(names, value)), summaries=rows).values()
    [found] = details.jobs
    text = json.dumps(details.as_object(), allow_nan=False)
    assert json.loads(text)["jobs"][0]["status"] == "SUCCESS"
    assert (found.exit_code, details.run.exit_code) == (None, None)
    assert (found.retry_count, details.run.total_jobs) == (0, 1)


def test_text_that_is_not_utf8_is_kept_readable() -> None:
    r"""Bytes of another encoding are shown as ``\xe9``, in every column."""
    database = source(version_6, jobs=(), summaries=())
    database.execute(
        "INSERT INTO job_history (run_id, id, description, command, status, application_name, last_error)"
        " SELECT 1, t, t, t, 'FAILED', t, t FROM (SELECT CAST(x'636166e9' AS TEXT) AS t)"
    )
    [details] = taken(database).values()
    [found] = details.jobs
    assert {found.id, found.description, found.command, found.last_error, found.reason} == {"caf\\xe9"}
    assert details.run.application_name == "caf\\xe9"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.__name__)
def test_tables_without_row_ids(version: Version) -> None:
    """Their order of insertion is not known; every run and job is there all the same."""
    found = taken(source(version, ending=" WITHOUT ROWID"))
    assert {
        number: (one.run.status, {job.id: job.status for job in one.jobs}) for number, one in found.items()
    } == BECOMES


def test_further_columns_and_another_order_of_columns() -> None:
    """Columns are found by name, wherever they stand and whatever stands between them."""
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE TABLE job_history (owner TEXT, status TEXT, application_name TEXT, id TEXT, priority,"
        " run_id INTEGER, PRIMARY KEY (id, run_id))"
    )
    database.execute("INSERT INTO job_history VALUES ('ann', 'FAILED', 'etl', 'load', 1, 4)")
    database.execute("CREATE TABLE run_summary (note TEXT, status TEXT, run_id INTEGER)")
    database.execute("INSERT INTO run_summary VALUES ('x', 'FAILED', 4)")
    [details] = taken(database).values()
    assert (details.run.run_id, details.run.status, details.run.application_name) == (4, "FAILED", "etl")
    assert [(one.id, one.status, one.command) for one in details.jobs] == [("load", "FAILED", "")]
