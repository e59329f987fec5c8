"""What a plan holds, and how an agenda follows it."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executioner.model import Job, Notification, RetryPolicy, Workflow
from executioner.plan import Action, Agenda, Plan, Preferences, make_plan, starting_order


def job(name: str, *dependencies: str) -> Job:
    return Job(name, "true", "", dependencies, None, True, {}, "/", RetryPolicy(), (), ())


def workflow(*jobs: Job, parallel: bool = False, max_workers: int | None = None, go_on: bool = False) -> Workflow:
    return Workflow(
        name="w",
        config_path="/w.json",
        config_hash="",
        working_dir="/",
        log_dir="/logs",
        history_db=None,
        parallel=parallel,
        max_workers=max_workers,
        max_active_runs=None,
        continue_on_error=go_on,
        kill_grace_s=10,
        env={},
        inherit_shell_env=True,
        allow_shell=True,
        command_whitelist=None,
        plugins=(),
        notification=Notification(),
        jobs=jobs,
    )


def plan(*jobs: Job, workers: int = 1, skip: Iterable[str] = ()) -> Plan:
    return make_plan(workflow(*jobs), Preferences(skip=frozenset(skip), workers=workers), cpu_count=4)


def order(made: Plan, durations: dict[str, list[float]] | None = None) -> list[str]:
    return [one.id for one in starting_order(made, durations)]


@pytest.mark.parametrize(
    ("parallel", "max_workers", "preferences", "expected"),
    [
        (False, None, Preferences(), 1),
        (False, 8, Preferences(), 1),
        (True, None, Preferences(), 4),
        (True, 8, Preferences(), 8),
        (False, None, Preferences(parallel=True), 4),
        (False, 8, Preferences(parallel=True), 8),
        (True, 8, Preferences(sequential=True), 1),
        (True, 8, Preferences(workers=3), 3),
        (False, None, Preferences(workers=3), 3),
    ],
)
def test_the_number_of_workers(
    parallel: bool, max_workers: int | None, preferences: Preferences, expected: int
) -> None:
    """Flags win over the config; parallel without a number means one worker a processor."""
    flow = workflow(job("a"), parallel=parallel, max_workers=max_workers)
    assert make_plan(flow, preferences, cpu_count=4).workers == expected


@pytest.mark.parametrize(("flag", "key"), [(False, False), (True, False), (False, True), (True, True)])
def test_continue_on_error_by_flag_or_key(flag: bool, key: bool) -> None:
    """Either the flag or the config's key makes a run go on."""
    made = make_plan(workflow(job("a"), go_on=key), Preferences(continue_on_error=flag), 1)
    assert made.continue_on_error is (flag or key)


def test_a_plan_has_an_action_for_each_job() -> None:
    """Jobs that are to be skipped are, all others are executed; both lists are in config order."""
    made = plan(job("a"), job("b"), job("c"), skip=["c", "a"])
    assert made.actions == [Action.SKIP, Action.EXECUTE, Action.SKIP]
    assert [one.id for one in made.jobs(Action.SKIP)] == ["a", "c"]
    assert [one.id for one in made.jobs(Action.EXECUTE)] == ["b"]


def test_one_worker_starts_in_config_order() -> None:
    """With one worker the first ready job of the config is next, whatever durations are known."""
    made = plan(job("z", "m"), job("m"), job("a"), job("b", "m"))
    assert order(made, {"a": [100.0]}) == ["m", "z", "a", "b"]


def test_several_workers_start_the_longest_path_first() -> None:
    """With several workers the heaviest remaining path is next; equal ones are in config order."""
    jobs = (job("x"), job("head"), job("y"), job("tail", "head"))
    assert order(plan(*jobs, workers=2)) == ["head", "x", "y", "tail"]
    assert order(plan(*jobs, workers=2), {"y": [9.0], "x": [1.0], "head": [1.0], "tail": [1.0]})[0] == "y"


def test_skipped_jobs_count_as_done() -> None:
    """A job all of whose dependencies are skipped is ready at once; the skipped are never handed out."""
    made = plan(job("a"), job("b", "a"), job("c", "a", "b"), skip=["a"])
    agenda = Agenda(made)
    assert (len(agenda), agenda.take(), agenda.take()) == (2, 1, None)
    agenda.succeeded(1)
    assert (agenda.take(), len(agenda)) == (2, 0)


def test_a_failure_drops_all_that_depends_on_it() -> None:
    """Direct and indirect dependents are dropped once, in config order; others stay, running ones too."""
    agenda = Agenda(plan(job("far", "near"), job("near", "a"), job("a"), job("b"), job("both", "a", "b")))
    assert agenda.take() == 2
    assert agenda.take() == 3
    assert agenda.failed(2) == [0, 1, 4]
    assert agenda.failed(2) == []
    agenda.succeeded(3)
    assert (agenda.take(), len(agenda)) == (None, 0)


def test_the_rest_can_be_dropped() -> None:
    """Everything that was not taken is dropped in config order, and nothing becomes ready afterwards."""
    agenda = Agenda(plan(job("c", "a"), job("a"), job("b")))
    assert agenda.take() == 1
    assert agenda.drop_rest() == [0, 2]
    agenda.succeeded(1)
    assert (agenda.take(), len(agenda), agenda.drop_rest()) == (None, 0, [])


@given(st.integers(1, 40), st.integers(1, 3), st.randoms(use_true_random=False))
def test_every_job_comes_once_after_its_dependencies(size: int, workers: int, chance: Random) -> None:
    """In any graph, with any jobs skipped or failing, each job is handed out, dropped or skipped exactly once."""
    jobs = [
        job(f"j{at}", *(f"j{other}" for other in chance.sample(range(at), min(at, chance.randrange(4)))))
        for at in range(size)
    ]
    chance.shuffle(jobs)
    skipped = {one.id for one in jobs if chance.random() < 0.1}
    made = plan(*jobs, workers=workers, skip=skipped)
    agenda = Agenda(made)
    done, failed, dropped = set(skipped), set(), set()
    while (position := agenda.take()) is not None:
        one = jobs[position]
        assert one.id not in done | failed | dropped
        assert set(one.dependencies) <= done
        if chance.random() < 0.2:
            failed.add(one.id)
            dropped |= {jobs[at].id for at in agenda.failed(position)}
        else:
            done.add(one.id)
            agenda.succeeded(position)
    assert len(agenda) == 0
    assert done | failed | dropped == {one.id for one in jobs}
    for one in jobs:
        if one.id in dropped:
            assert set(one.dependencies) & (failed | dropped)


def test_a_chain_of_any_length() -> None:
    """100,000 jobs in a chain come in order and fall together, without recursion."""
    size = 100_000
    jobs = [job("j0"), *(job(f"j{at}", f"j{at - 1}") for at in range(1, size))]
    made = plan(*jobs, workers=2)
    assert order(made) == [f"j{at}" for at in range(size)]
    agenda = Agenda(made)
    assert agenda.take() == 0
    assert agenda.failed(0) == list(range(1, size))
