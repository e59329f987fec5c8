"""Whether and when there is a next attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executioner.model import JobStatus, RetryPolicy
from executioner.retry import next_wait_s, wait_s

MIDDLE = 0.5  # the chance at which jitter changes nothing


def wait(policy: RetryPolicy, **changes: object) -> float | str:
    """The next wait after a first failure with exit code 1, with changes."""
    given_: dict[str, object] = {
        "status": JobStatus.FAILED,
        "exit_code": 1,
        "retries": 0,
        "elapsed_s": 0.0,
        "chance": MIDDLE,
    }
    return next_wait_s(policy, **{**given_, **changes})  # type: ignore[arg-type]


def test_waits_grow_by_the_backoff() -> None:
    """The wait before retry n is delay * backoff ** n, with n = 0 at the first retry."""
    policy = RetryPolicy(delay_s=30, backoff=1.5, jitter=0.1)
    assert [wait_s(policy, retry, MIDDLE) for retry in range(4)] == [30, 45, 67.5, 101.25]


def test_a_backoff_below_one_shortens_waits() -> None:
    """Backoff 1 keeps the wait, 0 leaves only the first, a half halves it."""
    assert [wait_s(RetryPolicy(delay_s=8, backoff=0.5), retry, MIDDLE) for retry in range(3)] == [8, 4, 2]
    assert [wait_s(RetryPolicy(delay_s=8, backoff=1), retry, MIDDLE) for retry in range(3)] == [8, 8, 8]
    assert [wait_s(RetryPolicy(delay_s=8, backoff=0), retry, MIDDLE) for retry in range(3)] == [8, 0, 0]


def test_jitter_goes_both_ways() -> None:
    """A jitter of a tenth spreads the wait evenly from nine tenths of it to eleven."""
    policy = RetryPolicy(delay_s=100, backoff=1, jitter=0.1)
    assert [wait_s(policy, 0, chance) for chance in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([90, 95, 100, 110])


@given(
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.floats(0, 1),
    st.integers(0, 1_000_000),
    st.floats(0, 1, exclude_max=True),
)
def test_no_policy_gives_an_impossible_wait(
    delay: float, backoff: float, jitter: float, retry: int, chance: float
) -> None:
    """Whatever a config may say, a wait is a number of at least 0 (perhaps infinite), never an exception."""
    assert wait_s(RetryPolicy(delay_s=delay, backoff=backoff, jitter=jitter), retry, chance) >= 0


def test_there_are_as_many_retries_as_permitted() -> None:
    """Retries end with max_retries; by default there is none."""
    policy = RetryPolicy(max_retries=2, delay_s=1, backoff=1)
    assert [wait(policy, retries=retries) for retries in range(4)] == [1, 1, "max_retries", "max_retries"]
    assert wait(RetryPolicy()) == "max_retries"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (JobStatus.FAILED, "retry_on_status"),
        (JobStatus.TIMEOUT, 1.0),
        (JobStatus.ERROR, 1.0),
        (JobStatus.SUCCESS, "retry_on_status"),
        (JobStatus.INTERRUPTED, "retry_on_status"),
    ],
)
def test_only_listed_statuses_are_retried(status: JobStatus, expected: float | str) -> None:
    """A status that is not listed is not retried, and the key that lists them is told."""
    policy = RetryPolicy(max_retries=1, delay_s=1, on_status=frozenset({JobStatus.TIMEOUT, JobStatus.ERROR}))
    assert wait(policy, status=status) == expected


def test_all_failures_are_retried_by_default() -> None:
    """Without a list every kind of failure is retried, and an interruption is none."""
    policy = RetryPolicy(max_retries=1, delay_s=1)
    retried = {status for status in JobStatus if wait(policy, status=status) == 1}
    assert retried == {JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR}


def test_listed_exit_codes_are_needed_too() -> None:
    """With exit codes given both status and code must be listed; where there is no code, the status alone."""
    policy = RetryPolicy(max_retries=1, delay_s=1, on_exit_codes=frozenset({75, -9}))
    no = "retry_on_exit_codes"
    assert [wait(policy, exit_code=code) for code in (75, -9, 1, 0, 9, None)] == [1, 1, no, no, no, 1]
    only_timeouts = policy._replace(on_status=frozenset({JobStatus.TIMEOUT}))
    assert wait(only_timeouts, exit_code=75) == "retry_on_status"


def test_no_retry_begins_after_the_retry_time() -> None:
    """A wait that would end behind the retry time is not begun; one that ends just then is."""
    policy = RetryPolicy(max_retries=9, delay_s=10, backoff=1, max_time_s=60)
    assert [wait(policy, elapsed_s=elapsed) for elapsed in (0, 50, 50.1, 100)] == [10, 10, *["max_retry_time"] * 2]
    assert wait(policy._replace(max_time_s=None), elapsed_s=1e6) == 10


def test_no_delay_stays_none_after_any_number_of_retries() -> None:
    """A delay of 0 multiplied by whatever backoff is 0, at the ten-thousandth retry too."""
    policy = RetryPolicy(max_retries=1_000_000, delay_s=0)
    assert wait(policy, retries=0) == wait(policy, retries=10_000) == wait(policy, retries=10_000, chance=0.0) == 0


def test_an_infinite_wait_is_not_begun() -> None:
    """A wait that overflows lies behind any retry time."""
    assert wait(RetryPolicy(max_retries=10_000, delay_s=1, backoff=1e9), retries=5000) == "max_retry_time"
