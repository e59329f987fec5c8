"""What a run's end means: pure functions of the jobs' statuses and of what stopped the run."""

import signal

import pytest

from executioner.model import JobStatus, RunStatus
from executioner.verdict import JobOutcome, exit_code, failure_summary, run_status, verdict


def one(status: JobStatus, reason: str = "Exit code 1", job: str = "a") -> JobOutcome:
    return JobOutcome(0, job, "", status, reason, None)


FAILED = one(JobStatus.FAILED)
TIMEOUT = one(JobStatus.TIMEOUT)
ERROR = one(JobStatus.ERROR)
INTERRUPTED = one(JobStatus.INTERRUPTED)
ASKED = one(JobStatus.SKIPPED, "--skip")
DEPENDENT = one(JobStatus.SKIPPED, "dependency failed")
CUT_OFF = one(JobStatus.SKIPPED, "run interrupted")


@pytest.mark.parametrize(
    ("outcomes", "stopped", "status"),
    [
        ([], False, RunStatus.SUCCESS),
        ([], True, RunStatus.SUCCESS),  # the signal came when all had succeeded
        ([ASKED], False, RunStatus.PARTIAL),
        ([ASKED], True, RunStatus.PARTIAL),
        ([FAILED], False, RunStatus.FAILED),
        ([TIMEOUT], False, RunStatus.FAILED),
        ([ERROR], False, RunStatus.FAILED),
        ([FAILED, DEPENDENT], False, RunStatus.FAILED),
        ([FAILED, ASKED], False, RunStatus.FAILED),
        ([FAILED], True, RunStatus.FAILED),  # nothing was left unfinished
        ([INTERRUPTED], True, RunStatus.INTERRUPTED),
        ([FAILED, INTERRUPTED], True, RunStatus.INTERRUPTED),
        ([CUT_OFF], True, RunStatus.INTERRUPTED),
        ([FAILED, CUT_OFF], True, RunStatus.INTERRUPTED),
    ],
)
def test_a_runs_status(outcomes: list[JobOutcome], stopped: bool, status: RunStatus) -> None:
    """INTERRUPTED if something was left unfinished, else FAILED, else PARTIAL, else SUCCESS."""
    assert run_status(outcomes, stopped=stopped) is status


@pytest.mark.parametrize(
    ("status", "number", "code"),
    [
        (RunStatus.SUCCESS, None, 0),
        (RunStatus.SUCCESS, signal.SIGINT, 0),
        (RunStatus.PARTIAL, None, 0),
        (RunStatus.FAILED, None, 1),
        (RunStatus.FAILED, signal.SIGTERM, 1),
        (RunStatus.INTERRUPTED, signal.SIGHUP, 129),
        (RunStatus.INTERRUPTED, signal.SIGINT, 130),
        (RunStatus.INTERRUPTED, signal.SIGTERM, 143),
    ],
)
def test_exit_codes(status: RunStatus, number: int | None, code: int) -> None:
    """0 for SUCCESS and PARTIAL, 1 for FAILED, 128 + the signal for INTERRUPTED."""
    assert exit_code(status, number) == code


def test_the_one_line_about_a_failed_run() -> None:
    """``Run 249 FAILED: transform_part2 (data_pipeline)``."""
    outcomes = [one(JobStatus.FAILED, job="transform_part2"), one(JobStatus.SKIPPED, "dependency failed", "b")]
    assert verdict(249, "data_pipeline", RunStatus.FAILED, outcomes, None) == (
        "Run 249 FAILED: transform_part2 (data_pipeline)"
    )


def test_the_line_names_five_jobs_and_counts_the_rest() -> None:
    """However many failed, the line stays short."""
    outcomes = [one(JobStatus.FAILED, job=f"j{number}") for number in range(8)]
    assert verdict(1, "app", RunStatus.FAILED, outcomes[:5], None) == "Run 1 FAILED: j0, j1, j2, j3, j4 (app)"
    assert verdict(1, "app", RunStatus.FAILED, outcomes, None) == (
        "Run 1 FAILED: j0, j1, j2, j3, j4 and 3 more (app)"
    )


def test_the_line_about_an_interrupted_run_tells_the_cause() -> None:
    """What stopped the run stands in the place of the jobs."""
    assert verdict(2, "app", RunStatus.INTERRUPTED, [INTERRUPTED], "Ctrl-C (SIGINT)") == (
        "Run 2 INTERRUPTED: Ctrl-C (SIGINT) (app)"
    )


def test_the_failure_summary() -> None:
    """The history's failure_summary names what failed with the reason; NULL where nothing did."""
    assert failure_summary([], None) is None
    assert failure_summary([ASKED], None) is None
    assert failure_summary([FAILED, DEPENDENT], None) == "a: Exit code 1"
    assert failure_summary([INTERRUPTED], "Ctrl-C (SIGINT)") == "Ctrl-C (SIGINT); a: Exit code 1"
    many = [one(JobStatus.FAILED, job=f"j{number}") for number in range(7)]
    assert failure_summary(many, None) == (
        "j0: Exit code 1; j1: Exit code 1; j2: Exit code 1; j3: Exit code 1; j4: Exit code 1; and 2 more"
    )
