"""Expected durations."""

import pytest

from executioner.estimate import median, weights


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], 3.0), ([1.0, 9.0], 5.0), ([9.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 3.0, 2.0], 2.5)],
)
def test_median(values: list[float], expected: float) -> None:
    """The middle of the ordered values, the mean of the two middle ones of an even number."""
    assert median(values) == expected


def test_median_leaves_its_argument_alone() -> None:
    """The values are not put in order in place."""
    values = [3.0, 1.0, 2.0]
    median(values)
    assert values == [3.0, 1.0, 2.0]


def test_without_history_all_jobs_weigh_the_same() -> None:
    """Without any known duration each job counts as one, so the longest path is that with most jobs."""
    assert weights(["a", "b"], {}) == [1.0, 1.0]
    assert weights([], {}) == []


def test_a_job_weighs_its_own_median() -> None:
    """A job with history counts with the median of its durations; one exceptional run changes little."""
    assert weights(["a", "b"], {"a": [10.0, 11.0, 900.0], "b": [2.0]}) == [11.0, 2.0]


def test_a_job_without_history_weighs_what_is_usual() -> None:
    """A new job counts as the median of those that are known."""
    known = {"a": [1.0], "b": [3.0], "c": [50.0], "new": []}
    assert weights(["a", "new", "b", "c"], known) == [1.0, 3.0, 3.0, 50.0]


def test_durations_of_jobs_that_are_gone_do_not_count() -> None:
    """Only the jobs of this workflow say what is usual."""
    assert weights(["a", "new"], {"a": [2.0], "removed": [1000.0]}) == [2.0, 2.0]
