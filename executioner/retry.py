"""Whether and when a failed attempt is followed by another: arithmetic only."""

from __future__ import annotations

from executioner.model import JobStatus, RetryPolicy

_AGES_S = 1e12  # no number is too large for a config, but infinity times 0 is none


def wait_s(policy: RetryPolicy, retry: int, chance: float) -> float:
    """The wait before retry number ``retry`` (0 for the first).

    ``chance`` in [0, 1) is where in the jitter's range it falls.
    """
    try:
        wait = policy.delay_s * policy.backoff**retry
    except OverflowError:  # no float is that large
        wait = _AGES_S if policy.delay_s else 0.0
    return wait * (1 + policy.jitter * (2 * chance - 1))


def next_wait_s(
    policy: RetryPolicy,
    *,
    status: JobStatus,
    exit_code: int | None,
    retries: int,
    elapsed_s: float,
    chance: float,
) -> float | str:
    """The wait before the next attempt, or why there is to be none: by which key of the config.

    Args:
        policy: the job's.
        status: how the attempt ended.
        exit_code: None where it is not to be looked at (a failed post-check).
        retries: how many retries there were before.
        elapsed_s: since the job's first start.
        chance: in [0, 1), for the jitter.
    """
    if retries >= policy.max_retries:
        return "max_retries"
    if status not in policy.on_status:
        return "retry_on_status"
    if policy.on_exit_codes is not None and exit_code is not None and exit_code not in policy.on_exit_codes:
        return "retry_on_exit_codes"
    wait = wait_s(policy, retries, chance)
    if policy.max_time_s is not None and elapsed_s + wait > policy.max_time_s:
        return "max_retry_time"
    return wait
