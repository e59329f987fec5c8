"""What resuming a run would do: every case that decides about a job, and why."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executioner.definition import definer
from executioner.model import Job, Notification, RetryPolicy, Workflow
from executioner.plan import DONE, RUNS, Action, Preferences
from executioner.records import PastJob
from executioner.resume import IfChanged, Parent, ResumePlan, Wanted, make_resume_plan

DEFINITION = definer({}, b"key")
REUSE, RETRY, EXECUTE, SKIP, LEAVE_OUT = (
    *(Action.REUSE, Action.RETRY, Action.EXECUTE),
    *(Action.SKIP, Action.LEAVE_OUT),
)


def job(name: str, *dependencies: str, command: str = "true", **env: str) -> Job:
    return Job(name, command, "", dependencies, None, True, env, "/", RetryPolicy(), (), ())


def workflow(*jobs: Job, go_on: bool = False) -> Workflow:
    return Workflow(
        name="w",
        config_path="/w.json",
        config_hash="",
        working_dir="/",
        log_dir="/logs",
        history_db=None,
        parallel=False,
        max_workers=None,
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


def past(one: Job, status: str, reason: str | None = None, **columns: Any) -> PastJob:
    """A job as the history has it."""
    return PastJob(one.id, status, reason, one.command, DEFINITION(one), **columns)


def plan(
    jobs: Iterable[Job],
    before: Iterable[PastJob],
    *,
    env: Mapping[str, str] | None = None,
    past_env: Mapping[str, str] | None = None,
    skip: Iterable[str] = (),
    from_job: str | None = None,
    failed_only: bool = False,
    if_changed: str = "stop",
    **preferences: Any,
) -> ResumePlan:
    return make_resume_plan(
        workflow(*jobs),
        Parent(1, list(before), past_env or {}),
        DEFINITION,
        env or {},
        Preferences(skip=frozenset(skip), from_job=from_job, **preferences),
        Wanted(failed_only, IfChanged(if_changed)),
        cpu_count=4,
    )


def actions(made: ResumePlan) -> dict[str, Action]:
    """What is done with each job."""
    return dict(zip(made.plan.graph.ids, made.plan.actions, strict=True))


def whys(made: ResumePlan) -> dict[str, str]:
    """Why it is."""
    return {name: made.why(at) for at, name in enumerate(made.plan.graph.ids)}


def named(made: ResumePlan, positions: Iterable[int]) -> list[str]:
    """The ids of jobs at some positions."""
    return [made.plan.graph.ids[at] for at in positions]


A, B, C, D = job("a"), job("b", "a"), job("c", "b"), job("d")
CHAIN = (A, B, C, D)
#: a has succeeded, b has failed, c and d were not run.
FAILED_RUN = (
    past(A, "SUCCESS"),
    past(B, "FAILED", "Exit code 1"),
    past(C, "SKIPPED", "dependency failed"),
    past(D, "SKIPPED", "run stopped after b failed"),
)


# --- the rule of each status ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("SUCCESS", None, REUSE),
        ("FAILED", "Exit code 1", RETRY),
        ("TIMEOUT", "Timed out after 00:00:10", RETRY),
        ("ERROR", "Cannot be started", RETRY),
        ("INTERRUPTED", "Ended by the runner", RETRY),
        ("SKIPPED", "dependency failed", EXECUTE),
        ("SKIPPED", "run stopped after b failed", EXECUTE),
        ("SKIPPED", "run interrupted", EXECUTE),
        ("SKIPPED", "--resume-failed-only", EXECUTE),
        ("SKIPPED", "left out by --from-job", EXECUTE),
        ("SKIPPED", "--skip", EXECUTE),  # that it is taken over is for the caller, who knows the command line
        ("SKIPPED", "--from-job", SKIP),
        ("PENDING", None, EXECUTE),
        ("", None, EXECUTE),
        ("UNHEARD_OF", None, EXECUTE),
    ],
)
def test_each_status(status: str, reason: str | None, expected: Action) -> None:
    """Successes are reused, failures and interruptions retried, all else executed, unless it counted as done."""
    assert actions(plan([A], [past(A, status, reason)])) == {"a": expected}


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT", "INTERRUPTED", "SKIPPED"])
def test_a_marked_job_is_reused(status: str) -> None:
    """A mark counts as success, whatever the status is."""
    made = plan([A], [past(A, status, marked_by="anna", mark_reason="by hand")])
    assert (actions(made), whys(made)) == ({"a": REUSE}, {"a": "marked as successful by anna: by hand"})
    assert made.is_empty


def test_a_plain_resume() -> None:
    """Each job has its action, and the reason names how it ended and in which run."""
    made = plan(CHAIN, FAILED_RUN)
    assert actions(made) == {"a": REUSE, "b": RETRY, "c": EXECUTE, "d": EXECUTE}
    assert whys(made) == {
        "a": "SUCCESS in run 1",
        "b": "FAILED in run 1: Exit code 1",
        "c": "SKIPPED in run 1: dependency failed",
        "d": "SKIPPED in run 1: run stopped after b failed",
    }
    assert (made.changed, made.rerun, made.added, made.removed) == ({}, frozenset(), [], [])
    assert (made.stopped_by, made.blocked, made.unproven, made.plan.reasons) == ([], [], [], {})
    assert made.plan.parent_run_id == 1
    assert not made.is_empty


def test_a_reused_job_names_the_run_that_ran_it() -> None:
    """The reason of a job that was reused before names the run in which it really ran."""
    assert whys(plan([A], [past(A, "SUCCESS", source_run_id=7)])) == {"a": "SUCCESS in run 7"}


def test_nothing_is_left() -> None:
    """A run of which all succeeded leaves an empty plan."""
    made = plan([A, B], [past(A, "SUCCESS"), past(B, "SUCCESS")])
    assert made.is_empty
    assert actions(made) == {"a": REUSE, "b": REUSE}


def test_the_order_of_the_config_of_now_counts() -> None:
    """Positions are those of the config of now, however the history had them."""
    made = plan([D, C, B, A], FAILED_RUN)
    assert named(made, range(4)) == ["d", "c", "b", "a"]
    assert made.plan.actions == [EXECUTE, EXECUTE, RETRY, REUSE]
    assert {at: job.id for at, job in made.past.items()} == {0: "d", 1: "c", 2: "b", 3: "a"}


def test_how_many_run_side_by_side_is_as_in_a_fresh_run() -> None:
    """Workers and ``--continue-on-error`` come from the command line and the config alone."""
    assert plan(CHAIN, FAILED_RUN).plan.workers == 1
    made = plan(CHAIN, FAILED_RUN, workers=3, continue_on_error=True)
    assert (made.plan.workers, made.plan.continue_on_error) == (3, True)


# --- added and removed ----------------------------------------------------------------------------


def test_added_and_removed_jobs() -> None:
    """What is new is executed, what is gone is named in the order of the history."""
    new = job("new", "a")
    made = plan([A, new], FAILED_RUN)
    assert actions(made) == {"a": REUSE, "new": EXECUTE}
    assert (named(made, made.added), list(made.removed)) == (["new"], ["b", "c", "d"])
    assert whys(made)["new"] == "not in run 1"


# --- only what failed -----------------------------------------------------------------------------


def test_only_what_failed() -> None:
    """Retried jobs run, successes are reused, the rest is left out for that reason, also what is new."""
    made = plan([*CHAIN, job("new")], FAILED_RUN, failed_only=True)
    assert actions(made) == {"a": REUSE, "b": RETRY, "c": LEAVE_OUT, "d": LEAVE_OUT, "new": LEAVE_OUT}
    assert set(made.plan.reasons.values()) == {"--resume-failed-only"}
    assert made.blocked == []


def test_a_retried_job_that_needs_one_that_is_left_out() -> None:
    """It is blocked, each with what it needs."""
    needy = job("b", "a", "d", "new")
    made = plan([A, needy, D, job("new")], FAILED_RUN, failed_only=True)
    assert [tuple(named(made, pair)) for pair in made.blocked] == [("b", "d"), ("b", "new")]


def test_a_retried_job_that_needs_another_retried_one() -> None:
    """Two failures in a row are retried together, in their order: nothing is blocked."""
    before = [past(A, "FAILED"), past(B, "FAILED")]
    made = plan([A, B], before, failed_only=True)
    assert (actions(made), made.blocked) == ({"a": RETRY, "b": RETRY}, [])


def test_a_retried_job_that_needs_a_skipped_one() -> None:
    """What counts as done on request blocks nothing."""
    made = plan([A, B], [past(A, "SKIPPED", "--skip"), past(B, "FAILED")], failed_only=True, skip=["a"])
    assert (actions(made), made.blocked) == ({"a": SKIP, "b": RETRY}, [])


def test_only_what_failed_where_nothing_did() -> None:
    """Then the plan is empty."""
    made = plan([A, D], [past(A, "SUCCESS"), past(D, "SKIPPED", "--resume-failed-only")], failed_only=True)
    assert made.is_empty


# --- skip -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"), [("a", REUSE), ("b", SKIP), ("c", SKIP)], ids=["succeeded", "failed", "not run"]
)
def test_a_skipped_job(name: str, expected: Action) -> None:
    """What is skipped counts as done; a success stays one, for it is better than a skip."""
    made = plan(CHAIN, FAILED_RUN, skip=[name])
    assert actions(made)[name] == expected
    reasons = {made.plan.graph.ids[at]: reason for at, reason in made.plan.reasons.items()}
    assert reasons == ({name: "--skip"} if expected is SKIP else {})


# --- changed definitions --------------------------------------------------------------------------

A2 = job("a", command="echo new")


def test_a_changed_success_stops() -> None:
    """By default the plan says by which reused jobs it is stopped."""
    made = plan([A2, B, C, D], FAILED_RUN)
    assert named(made, made.stopped_by) == ["a"]
    assert made.changed[0].texts == {"command": ("true", "echo new")}


def test_a_changed_success_is_kept() -> None:
    """``keep``: reused, and the reason says that it is kept though it changed."""
    made = plan([A2, B, C, D], FAILED_RUN, if_changed="keep")
    assert (actions(made)["a"], made.stopped_by) == (REUSE, [])
    assert whys(made)["a"] == "kept, though changed since (command); SUCCESS in run 1"


def test_a_changed_success_runs_again() -> None:
    """``rerun``: it and all that depends on it; what does not is reused."""
    before = [past(one, "SUCCESS") for one in CHAIN]
    made = plan([A2, B, C, D], before, if_changed="rerun")
    assert actions(made) == {"a": EXECUTE, "b": EXECUTE, "c": EXECUTE, "d": REUSE}
    assert named(made, sorted(made.rerun)) == ["a", "b", "c"]
    assert whys(made) == {
        "a": "changed since (command); SUCCESS in run 1",
        "b": "depends on what has changed; SUCCESS in run 1",
        "c": "depends on what has changed; SUCCESS in run 1",
        "d": "SUCCESS in run 1",
    }


def test_a_changed_marked_job() -> None:
    """A mark is a success here, too: it stops, and can be run again."""
    before = [past(A, "FAILED", marked_by="anna")]
    made = plan([A2], before)
    assert named(made, made.stopped_by) == ["a"]
    assert actions(plan([A2], before, if_changed="rerun"))["a"] in RUNS


@pytest.mark.parametrize("choice", list(IfChanged))
def test_a_changed_job_that_runs_anyway(choice: str) -> None:
    """It stops nothing, takes nothing along, and is retried; that it changed is known."""
    made = plan([A, job("b", "a", command="better"), C, D], FAILED_RUN, if_changed=choice)
    assert actions(made) == {"a": REUSE, "b": RETRY, "c": EXECUTE, "d": EXECUTE}
    assert (made.stopped_by, made.rerun, list(made.changed)) == ([], frozenset(), [1])


def test_rerun_with_only_what_failed() -> None:
    """The changed job, what had succeeded after it, and the retried ones run; the rest is left out."""
    before = [past(A, "SUCCESS"), past(B, "SUCCESS"), past(C, "SKIPPED", "x"), past(D, "FAILED")]
    made = plan([A2, B, C, D], before, if_changed="rerun", failed_only=True)
    assert actions(made) == {"a": EXECUTE, "b": EXECUTE, "c": LEAVE_OUT, "d": RETRY}
    assert made.blocked == []


def test_a_skipped_success_that_changed() -> None:
    """Its result is not used: skipped, and it stops nothing; with ``keep`` it is reused."""
    assert actions(made := plan([A2, B, C, D], FAILED_RUN, skip=["a"]))["a"] == SKIP
    assert made.stopped_by == []
    assert actions(plan([A2, B, C, D], FAILED_RUN, skip=["a"], if_changed="rerun"))["a"] == SKIP
    assert actions(plan([A2, B, C, D], FAILED_RUN, skip=["a"], if_changed="keep"))["a"] == REUSE


@pytest.mark.parametrize(
    ("past_env", "env", "names"),
    [
        ({}, {}, None),
        ({"A": "1"}, {"A": "1"}, None),
        ({"A": "1"}, {"A": "2"}, ["A"]),
        ({}, {"A": "1"}, ["+A"]),
        ({"B": "1"}, {"A": "1", "B": "2"}, ["+A", "B"]),
    ],
)
def test_another_env(past_env: dict[str, str], env: dict[str, str], names: list[str] | None) -> None:
    """A differing ``--env`` is a change of every job, by name."""
    made = plan(CHAIN, FAILED_RUN, past_env=past_env, env=env)
    if names is None:
        assert (made.changed, made.stopped_by) == ({}, [])
    else:
        assert [made.changed[at].names for at in range(4)] == [{"--env": names}] * 4
        assert named(made, made.stopped_by) == ["a"]


# --- starting in midstream ------------------------------------------------------------------------


def test_from_a_job() -> None:
    """The job and what depends on it run, successes elsewhere are reused, nothing is unproven."""
    made = plan(CHAIN, [past(one, "SUCCESS") for one in CHAIN], from_job="b")
    assert actions(made) == {"a": REUSE, "b": EXECUTE, "c": EXECUTE, "d": REUSE}
    assert whys(made)["b"] == "--from-job b; SUCCESS in run 1"
    assert (made.unproven, made.plan.reasons) == ([], {})


def test_from_a_job_after_one_that_failed() -> None:
    """What is before it counts as done, and is unproven where it has no success; what is neither is left out."""
    made = plan(CHAIN, FAILED_RUN, from_job="c")
    assert actions(made) == {"a": REUSE, "b": SKIP, "c": EXECUTE, "d": LEAVE_OUT}
    assert (named(made, made.unproven), dict(made.plan.reasons)) == (
        ["b"],
        {1: "--from-job", 3: "left out by --from-job"},
    )


def test_from_a_job_after_one_that_is_new() -> None:
    """A job that the parent did not have is unproven."""
    made = plan([A, job("new"), job("c", "a", "new")], [past(A, "SUCCESS")], from_job="c")
    assert (actions(made)["new"], named(made, made.unproven)) == (SKIP, ["new"])


def test_what_counted_as_done_before_is_not_asked_again() -> None:
    """What the parent run counted as done for ``--from-job`` is skipped again, and not unproven."""
    before = [past(A, "SKIPPED", "--from-job"), past(B, "FAILED")]
    for more in ({}, {"from_job": "b"}):
        made = plan([A, B], before, **more)  # type: ignore[arg-type]
        assert (actions(made), made.unproven) == ({"a": SKIP, "b": RETRY}, [])


def test_from_a_job_that_counted_as_done_before() -> None:
    """Starting with that very job runs it."""
    made = plan([A, B], [past(A, "SKIPPED", "--from-job"), past(B, "SUCCESS")], from_job="a")
    assert actions(made) == {"a": EXECUTE, "b": EXECUTE}


def test_from_a_failed_job() -> None:
    """The failed job itself is retried, not executed."""
    assert actions(plan(CHAIN, FAILED_RUN, from_job="b"))["b"] == RETRY


def test_from_a_job_with_a_changed_one_before() -> None:
    """``rerun`` runs the changed job too and what is after it; otherwise it stops as ever."""
    before = [past(one, "SUCCESS") for one in CHAIN]
    jobs = [A2, B, C, D]
    made = plan(jobs, before, from_job="c", if_changed="rerun")
    assert actions(made) == {"a": EXECUTE, "b": EXECUTE, "c": EXECUTE, "d": REUSE}
    made = plan(jobs, before, from_job="c")
    assert named(made, made.stopped_by) == ["a"]


# --- runs of the earlier tool ---------------------------------------------------------------------


@pytest.mark.parametrize(("command", "stopped"), [("true", []), ("false", ["a"])])
def test_without_a_definition_the_command_is_compared(command: str, stopped: list[str]) -> None:
    """A run that was taken over has only the command."""
    made = plan([job("a", command="true", NEW="1")], [PastJob("a", "SUCCESS", None, command, None)])
    assert named(made, made.stopped_by) == stopped


# --- what holds for every plan --------------------------------------------------------------------

STATUSES = st.sampled_from(
    [
        *(("SUCCESS", None), ("FAILED", "Exit code 1"), ("INTERRUPTED", "x"), ("SKIPPED", "dependency failed")),
        *(("SKIPPED", "--skip"), ("SKIPPED", "--from-job"), ("SKIPPED", "--resume-failed-only"), None),
    ]
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Job], list[PastJob], dict[str, Any]]:
    """Jobs of now, what is recorded of them, and what is asked."""
    size = draw(st.integers(1, 7))
    jobs, before = [], []
    for number in range(size):
        needs = [f"j{other}" for other in range(number) if draw(st.booleans())]
        now = job(f"j{number}", *needs)
        jobs.append(now)
        found = draw(STATUSES)
        if found is not None:
            then = job(now.id, *needs, command="other") if draw(st.booleans()) else now
            before.append(past(then, found[0], found[1]))
    failed_only = draw(st.booleans())
    asked = {
        "skip": [one.id for one in jobs if draw(st.integers(0, 4)) == 0],
        "failed_only": failed_only,
        "if_changed": draw(st.sampled_from(list(IfChanged))),
    }
    if not failed_only and draw(st.booleans()):
        asked["from_job"] = draw(
            st.sampled_from([one.id for one in jobs if one.id not in asked["skip"]] or [None])
        )
    return jobs, before, asked


@given(cases())
def test_what_holds_for_every_plan(case: tuple[list[Job], list[PastJob], dict[str, Any]]) -> None:
    """A success runs again only if asked; only successes are reused; nothing runs before what it needs is done
    or runs too, unless the plan says that it is blocked; each job that neither runs nor is reused has a reason.
    """
    jobs, before, asked = case
    made = plan(jobs, before, **asked)
    found, done = actions(made), {one.id for one in before if one.is_done}
    blocked = {tuple(named(made, pair)) for pair in made.blocked}
    for at, one in enumerate(jobs):
        action = found[one.id]
        if action is REUSE:
            assert one.id in done
        if action in RUNS and one.id in done:
            assert asked.get("from_job") or asked["if_changed"] is IfChanged.RERUN
        if action in RUNS:
            assert one.id not in asked["skip"]
            for needed in one.dependencies:
                assert found[needed] in RUNS | DONE or (one.id, needed) in blocked
        assert (action in (SKIP, LEAVE_OUT)) == (at in made.plan.reasons)
        assert made.why(at)
    assert not blocked or asked["failed_only"]
    assert not made.stopped_by or asked["if_changed"] is IfChanged.STOP
    assert made.is_empty == RUNS.isdisjoint(found.values())


@given(cases())
def test_a_plan_without_what_was_asked_for_reaches_the_end(
    case: tuple[list[Job], list[PastJob], dict[str, Any]],
) -> None:
    """A plain resume leaves nothing out: what is not reused or counted as done runs."""
    jobs, before, _ = case
    assert LEAVE_OUT not in actions(plan(jobs, before, if_changed="keep")).values()
