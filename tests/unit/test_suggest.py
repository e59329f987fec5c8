"""The rules that say what to do about a run: each from evidence to a sentence that says why."""

from typing import Any

import pytest

from executioner.records import JOB_COLUMNS, RUN_COLUMNS, Job, Run
from executioner.suggest import (
    Evidence,
    Failure,
    Hint,
    Survivor,
    can_retry_failed,
    changed_hint,
    comparable,
    hints,
    same_error_hint,
    survivors_hint,
    timeout_hint,
)


def job(name: str = "load", status: str = "FAILED", **changes: Any) -> Job:
    values = dict.fromkeys(JOB_COLUMNS)
    return Job(**{**values, "id": name, "position": 0, "status": status, "retry_count": 0, **changes})


def run(**changes: Any) -> Run:
    values = dict.fromkeys(RUN_COLUMNS)
    return Run(**{**values, "run_id": 9, "status": "FAILED", "resumable": True, **changes})


def evidence(**changes: Any) -> Evidence:
    nothing: dict[str, Any] = {
        "run": run(),
        "config_changed": False,
        "survivors": [],
        "lost": [],
        "failed": [],
        "usual_s": {},
        "failures": {},
    }
    return Evidence(**{**nothing, **changes})


def test_without_evidence_nothing_is_said() -> None:
    """No rule speaks where there is no ground for it."""
    assert hints(evidence(failed=[job()], failures={"load": [Failure(9, ["ERROR"])]})) == []


def test_the_most_urgent_comes_first() -> None:
    """What still runs stands before the changed config, that before the same error, the time limit last."""
    late = job("late", "TIMEOUT", reason="Timed out after 00:10:00")
    found = hints(
        evidence(
            config_changed=True,
            survivors=[Survivor("x", 7)],
            failed=[late, job()],
            usual_s={"late": [5.0]},
            failures={"load": [Failure(9, ["E"]), Failure(8, ["E"])]},
        )
    )
    assert [hint.text.split(" ")[0] for hint in found] == ["x", "the", "load", "late"]


@pytest.mark.parametrize(
    ("survivors", "text"),
    [
        (
            [Survivor("a", 1)],
            "a (pid 1) of this run is still running though the runner is gone: wait for it,"
            " or end it with --kill-leftovers when you resume.",
        ),
        (
            [Survivor(name, at) for at, name in enumerate("abcde")],
            "a (pid 0), b (pid 1), c (pid 2) and 2 more of this run are still running though the runner is gone:"
            " wait for them, or end them with --kill-leftovers when you resume.",
        ),
    ],
)
def test_what_still_runs(survivors: list[Survivor], text: str) -> None:
    """Jobs that outlived the runner are named with their pids, and both ways on are."""
    assert survivors_hint(survivors) == Hint(text)
    assert survivors_hint([]) is None


def test_a_changed_config() -> None:
    """A changed config is worth a preview, but only where the run can be resumed."""
    found = changed_hint(evidence(config_changed=True))
    assert found is not None
    assert "--dry-run" in found.text
    assert changed_hint(evidence(config_changed=True, run=run(resumable=False))) is None
    assert changed_hint(evidence()) is None


@pytest.mark.parametrize(
    ("tails", "runs"),
    [
        ([["x"], ["x"]], "2 runs (8, 9)"),
        ([["x"], ["x"], ["x"], ["y"], ["x"]], "3 runs (7, 8, 9)"),
        ([["x"]] * 5, "5 runs (..., 7, 8, 9)"),
        ([["x"], ["y"], ["x"]], None),
        ([["x"]], None),
        ([[], []], None),
        ([["  "], ["  "]], None),
        ([], None),
    ],
)
def test_the_same_error_again(tails: list[list[str]], runs: str | None) -> None:
    """It speaks from the second like failure in a row on, names the runs, and not where nothing was printed."""
    found = same_error_hint("load", [Failure(9 - at, tail) for at, tail in enumerate(tails)])
    if runs is None:
        assert found is None
    else:
        assert found == Hint(
            f"load ended with the same error in the last {runs}:"
            " resuming alone will hardly help, look at its log for the cause first."
        )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2025-05-23 09:45:01 ERROR row 17", "2026-01-02 10:00:59 ERROR row 4711"),
        ("at 0x7f3c11e75690", "at 0x55fdfb63bed0"),
        ("id 3fa85f64-5717-4562-b3fc-2c963f66afa6 gone", "id 9b2f81aa-0000-4562-b3fc-2c963f66afa6 gone"),
        ("commit 3fa85f64aa", "commit 99999a64bb"),
        ("a   b", " a b "),
        ("logs/x.run-249.log", "logs/x.run-250.log"),
    ],
)
def test_what_differs_each_time_does_not_count(one: str, other: str) -> None:
    """Numbers, times, addresses, identifiers and spaces do not make two errors of one."""
    assert comparable([one]) == comparable([other])


@pytest.mark.parametrize(("one", "other"), [("disk full", "no route"), ("deadbeef", "feedface"), ("a b", "ab")])
def test_words_count(one: str, other: str) -> None:
    """Different words are different errors, also where they look like hexadecimal numbers."""
    assert comparable([one]) != comparable([other])


def test_only_the_end_is_compared() -> None:
    """Five lines that are not empty, from the end."""
    assert comparable(["start", "", *"abcde", " "]) == list("abcde")


def test_a_limit_that_is_hit_each_time() -> None:
    """Of a job that never succeeded it is said from the second run on, and where the limit is set."""
    late = job("late", "TIMEOUT", reason="Timed out after 00:10:00 (default_timeout)")
    failures = [Failure(at, []) for at in (9, 8, 7, 5)]
    assert timeout_hint(late, [], failures[:1]) is None
    assert timeout_hint(late, [], failures[:2]) == Hint(
        "late timed out in the last 2 runs (8, 9): look for a hang, or raise its limit (default_timeout)."
    )
    found = hints(evidence(failed=[late], failures={"late": failures}))
    assert [hint.text for hint in found] == [
        "late timed out in the last 4 runs (..., 7, 8, 9): look for a hang, or raise its limit (default_timeout)."
    ]


@pytest.mark.parametrize(
    ("reason", "usual", "advice"),
    [
        ("Timed out after 00:30:00", 730.0, "look for a hang before raising its limit (jobs[4].timeout)."),
        ("Timed out after 00:30:00", 1700.0, "its limit is close to that: raise it (jobs[4].timeout)."),
        (
            "Timed out after 00:30:00 (default_timeout)",
            1.0,
            "look for a hang before raising its limit (default_timeout).",
        ),
        ("Timed out after 0.5 s", 0.45, "its limit is close to that: raise it (jobs[4].timeout)."),
    ],
)
def test_a_limit_that_was_hit(reason: str, usual: float, advice: str) -> None:
    """By what the job usually takes it hung, or needs more time; the limit's place in the config is named."""
    found = timeout_hint(job(status="TIMEOUT", reason=reason, position=4), [usual])
    assert found is not None
    assert found.text.startswith("load usually takes ")
    assert found.text.endswith(f"(1 run): {advice}")


@pytest.mark.parametrize(
    ("one", "usual"),
    [
        (job(status="TIMEOUT", reason="Timed out after 00:30:00"), []),
        (job(status="FAILED", reason="Timed out after 00:30:00"), [1.0]),
        (job(status="TIMEOUT", reason="late"), [1.0]),
        (job(status="TIMEOUT", reason=None), [1.0]),
    ],
)
def test_no_word_on_a_limit_without_ground(one: Job, usual: list[float]) -> None:
    """Without a past, another status or an unknown reason nothing is said."""
    assert timeout_hint(one, usual) is None


def test_when_only_failed_jobs_may_be_retried() -> None:
    """That way on is offered while a failed job is left that nobody marked."""
    assert can_retry_failed([job()])
    assert can_retry_failed([job(status="TIMEOUT")])
    assert not can_retry_failed([job(marked_by="anna")])
    assert not can_retry_failed([job(status="INTERRUPTED"), job(status="SUCCESS")])


def test_hostile_names_are_escaped() -> None:
    """A name from a hand-edited history does not reach a terminal raw."""
    evil = "x\x1b[2J"
    found = [
        survivors_hint([Survivor(evil, 1)]),
        same_error_hint(evil, [Failure(2, ["e"]), Failure(1, ["e"])]),
        timeout_hint(job(evil, "TIMEOUT", reason="Timed out after 00:30:00"), [1.0]),
    ]
    assert all(hint is not None and "\x1b" not in hint.text for hint in found)
