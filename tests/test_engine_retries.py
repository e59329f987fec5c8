"""Further attempts: when there is one, how long it is waited for, and what is recorded of each."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from harness import Program, attempts


def flaky(successes_at: int, **keys: Any) -> dict[str, Any]:
    """A job that prints its attempt's number and succeeds at one of its attempts."""
    command = f"echo try $EXECUTIONER_ATTEMPT; test $EXECUTIONER_ATTEMPT -ge {successes_at}"
    return {"id": "a", "command": command, "max_retries": 5, "retry_delay": 0.01, **keys}


def outcomes(program: Program, job: str = "a") -> list[tuple[Any, ...]]:
    """Number, status, reason and exit code of each attempt."""
    return [(one["attempt"], one["status"], one["reason"], one["exit_code"]) for one in attempts(program, job)]


def waits(program: Program, job: str = "a") -> list[float]:
    """The seconds between the attempts of a job."""
    found = attempts(program, job)
    starts, ends = ([datetime.fromisoformat(one[name]) for one in found] for name in ("start_time", "end_time"))
    return [(start - end).total_seconds() for start, end in zip(starts[1:], ends[:-1], strict=True)]


def test_a_job_is_retried_until_it_succeeds(program: Program) -> None:
    """A job that succeeds at its third attempt is SUCCESS; each attempt and its output's bytes are recorded."""
    program.config([flaky(3), {"id": "b", "command": "true", "dependencies": ["a"]}])
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}
    assert outcomes(program) == [
        (1, "FAILED", "Exit code 1", 1),
        (2, "FAILED", "Exit code 1", 1),
        (3, "SUCCESS", None, 0),
    ]
    row = program.jobs()["a"]
    assert (row["retry_count"], row["exit_code"], row["reason"], row["last_error"]) == (2, 0, None, "Exit code 1")
    log = Path(row["log_path"]).read_bytes()
    printed = [log[one["log_start"] : one["log_end"]] for one in attempts(program, "a")]
    assert printed == [b"try 1\n", b"try 2\n", b"try 3\n"]
    assert program.run_row()["status"] == "SUCCESS"
    assert log.count(b"=== a, run 1, attempt ") == 3
    assert b"=== FAILED: Exit code 1, " in log and b"=== SUCCESS, " in log
    first, last = attempts(program, "a")[0], attempts(program, "a")[-1]
    assert row["start_time"] <= first["start_time"] < first["end_time"] <= row["last_run"]
    assert row["last_run"] <= last["start_time"] <= last["end_time"] <= row["end_time"]
    assert row["duration_seconds"] >= sum(one["duration_seconds"] for one in attempts(program, "a"))


def test_an_attempt_is_recorded_without_any_retry(program: Program) -> None:
    """A job that succeeds at once has one recorded attempt and a retry count of 0."""
    program.config({"a": "echo hi"})
    assert program("-c", "flow.json").code == 0
    assert outcomes(program) == [(1, "SUCCESS", None, 0)]
    row = program.jobs()["a"]
    assert (row["retry_count"], row["last_error"]) == (0, None)
    assert Path(row["log_path"]).read_bytes().startswith(b"=== a, run 1, 2")


def test_retries_are_limited(program: Program) -> None:
    """A job that never succeeds is FAILED after its last permitted attempt, and its dependents are skipped."""
    program.config([flaky(99, max_retries=2), {"id": "b", "command": "true", "dependencies": ["a"]}])
    result = program("-c", "flow.json")
    assert result.code == 1
    assert program.statuses() == {"a": "FAILED", "b": "SKIPPED"}
    assert [one[:2] for one in outcomes(program)] == [(1, "FAILED"), (2, "FAILED"), (3, "FAILED")]
    row = program.jobs()["a"]
    assert (row["retry_count"], row["last_error"], row["reason"]) == (2, "Exit code 1", "Exit code 1")
    assert " Exit code 1, attempt 1 of 3, next in 00:00:00\n" in result.out
    assert "attempt 3 of 3" not in result.out


def test_there_is_no_retry_by_default(program: Program) -> None:
    """A job without any retry key has one attempt."""
    program.config({"a": "false"})
    assert program("-c", "flow.json").code == 1
    assert len(attempts(program, "a")) == 1


def test_application_defaults_and_a_job_that_says_otherwise(program: Program) -> None:
    """The `default_` keys hold for jobs that say nothing, and a job's own keys win."""
    program.config(
        [{"id": "usual", "command": "false"}, {"id": "own", "command": "false", "max_retries": 1}],
        default_max_retries=2,
        default_retry_delay=0.01,
        default_retry_backoff=1,
        default_retry_jitter=0,
        continue_on_error=True,
    )
    assert program("-c", "flow.json").code == 1
    assert {job: len(attempts(program, job)) for job in ("usual", "own")} == {"usual": 3, "own": 2}


def test_waits_grow_by_the_backoff(program: Program) -> None:
    """The first wait is the delay, and each further one the backoff's multiple of the one before."""
    program.config([flaky(4, retry_delay=0.1, retry_backoff=3, retry_jitter=0)])
    assert program("-c", "flow.json").code == 0
    first, second, third = waits(program)
    assert 0.1 <= first < 20 and 0.3 <= second < 20 and 0.9 <= third < 20


def test_waits_vary_by_the_jitter(program: Program) -> None:
    """With a jitter of 1 the waits of six jobs with one delay differ."""
    jobs = [{**flaky(2, retry_delay=0.4, retry_backoff=1, retry_jitter=1), "id": f"j{at}"} for at in range(6)]
    program.config(jobs)
    assert program("-c", "flow.json", "-j", "6").code == 0
    found = [waits(program, f"j{at}")[0] for at in range(6)]
    assert max(found) - min(found) > 0.01


@pytest.mark.parametrize(
    ("command", "keys", "attempts_made"),
    [
        ("exit 75", {"retry_on_exit_codes": [75, 111]}, 3),
        ("exit 1", {"retry_on_exit_codes": [75, 111]}, 1),
        ("kill -KILL $$", {"retry_on_exit_codes": [-9]}, 3),
        ("kill -KILL $$", {"retry_on_exit_codes": [9]}, 1),
        ("exit 1", {"retry_on_status": ["TIMEOUT", "ERROR"]}, 1),
        ("exit 1", {"retry_on_status": ["FAILED"]}, 3),
        ("exit 75", {"retry_on_status": ["TIMEOUT"], "retry_on_exit_codes": [75]}, 1),
        ("sleep 60", {"retry_on_status": ["TIMEOUT"], "timeout": 0.2}, 3),
        ("sleep 60", {"retry_on_status": ["FAILED"], "timeout": 0.2}, 1),
        ("exit 1", {"retry_on_exit_codes": []}, 3),
    ],
)
def test_a_retry_needs_the_status_and_the_exit_code(
    program: Program, command: str, keys: dict[str, Any], attempts_made: int
) -> None:
    """A failure is retried if its status is listed and, where codes are given, its exit code or signal too; where
    it is not, the reason names the key.
    """
    program.config([{"id": "a", "command": command, "max_retries": 2, "retry_delay": 0.01, **keys}])
    assert program("-c", "flow.json").code == 1
    assert len(attempts(program, "a")) == attempts_made
    why = re.search(r" \(not retried: (\w+)\)$", program.jobs()["a"]["reason"])
    assert (why is None) is (attempts_made == 3)
    assert why is None or why[1] in keys


def test_a_job_that_could_not_be_started_is_retried(program: Program) -> None:
    """ERROR is a failure that can be retried: a folder that was moved away for a moment is found the next time."""
    (program.folder / "sub").mkdir()
    program.config(
        [
            {"id": "away", "command": "mv sub other"},
            {
                "id": "a",
                "command": "true",
                "working_dir": "sub",
                "dependencies": ["away"],
                "max_retries": 1000,
                "retry_delay": 0.05,
                "retry_backoff": 1,
            },
            {"id": "back", "command": "mv other sub", "dependencies": ["away"]},
        ]
    )
    result = program("-c", "flow.json", "-j", "2")
    assert result.code == 0, result.out
    *before, last = [one[1] for one in outcomes(program)]
    assert set(before) == {"ERROR"} and last == "SUCCESS"


def test_a_waiting_retry_holds_no_worker(program: Program) -> None:
    """With one worker other jobs run while a job waits for its next attempt, and the failure stops nothing."""
    program.config(
        [
            {
                "id": "flaky",
                "command": "echo flaky >> order; test $EXECUTIONER_ATTEMPT = 2",
                "max_retries": 1,
                "retry_delay": 1,
                "retry_jitter": 0,
            },
            {"id": "other", "command": "echo other >> order"},
            {"id": "third", "command": "echo third >> order"},
        ]
    )
    assert program("-c", "flow.json").code == 0
    assert (program.folder / "order").read_text().split() == ["flaky", "other", "third", "flaky"]


def test_no_attempt_begins_after_the_retry_time(program: Program) -> None:
    """`max_retry_time` counts from the first start: attempts are made within it, and none behind it."""
    program.config(
        [flaky(9999, max_retries=9999, retry_delay=0.1, retry_backoff=1, retry_jitter=0, max_retry_time=1)]
    )
    assert program("-c", "flow.json").code == 1
    found = attempts(program, "a")
    first, last = (datetime.fromisoformat(found[at]["start_time"]) for at in (0, -1))
    assert len(found) >= 2
    assert (last - first).total_seconds() < 1.5
    assert program.jobs()["a"]["status"] == "FAILED"


def test_a_wait_beyond_the_retry_time_is_not_begun(program: Program) -> None:
    """Where the next attempt would come after `max_retry_time` the job fails at once, without the wait."""
    program.config([flaky(9999, retry_delay=300, max_retry_time=200)])
    result = program("-c", "flow.json")
    assert result.code == 1
    assert len(attempts(program, "a")) == 1
    assert program.jobs()["a"]["duration_seconds"] < 50
    assert "      Reason: Exit code 1 (not retried: max_retry_time)\n" in result.out


def test_a_failure_after_the_run_was_stopped_is_not_retried(program: Program) -> None:
    """A job that fails when another one has stopped the run already says why it is not tried again."""
    late = {
        "id": "late",
        "command": "until test -e stop; do sleep 0.05; done; sleep 0.3; exit 6",
        "max_retries": 3,
    }
    program.config([late, {"id": "first", "command": "touch stop; exit 5"}])
    assert program("-c", "flow.json", "-j", "2").code == 1
    assert program.jobs()["late"]["reason"] == "Exit code 6 (not retried: run stopped after first failed)"


def test_a_failure_elsewhere_cancels_a_retry(program: Program) -> None:
    """When another job stops the run, a job that waits for its retry is FAILED, and its reason says so."""
    program.config(
        [
            {"id": "flaky", "command": "echo x >> tries; exit 5", "max_retries": 3, "retry_delay": 300},
            {"id": "bad", "command": "exit 9"},
        ]
    )
    result = program("-c", "flow.json")
    assert result.code == 1
    row = program.jobs()["flaky"]
    assert (row["status"], row["exit_code"]) == ("FAILED", 5)
    assert row["reason"] == "Exit code 5 (not retried: run stopped after bad failed)"
    assert len(attempts(program, "flaky")) == 1
    assert row["retry_count"] == 0
    assert (program.folder / "tries").read_text() == "x\n"
    assert program.statuses()["bad"] == "FAILED"
    assert program.run_row()["failed_jobs"] == 2


def test_a_log_that_was_removed_between_attempts_is_begun_anew(program: Program) -> None:
    """If a job removes its own log, the next attempt gets a new one, and the history knows where it is."""
    program.config([flaky(2, command="rm -r logs; echo try $EXECUTIONER_ATTEMPT; test $EXECUTIONER_ATTEMPT = 2")])
    assert program("-c", "flow.json").code == 0
    assert [one[1] for one in outcomes(program)] == ["FAILED", "SUCCESS"]
