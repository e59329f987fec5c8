"""What a run would do, as a screen and as data."""

import json
from typing import Any

from screens import assert_harmless

from executioner.config.parse import parse
from executioner.model import Workflow
from executioner.plan import Plan, Preferences, make_plan
from executioner.render.command import Invocation
from executioner.render.dryrun import plan_lines, plan_object
from executioner.render.text import Palette

TYPED = Invocation(["executioner.py"], config="flow.json")


def workflow(jobs: list[dict[str, Any]], **keys: Any) -> Workflow:
    """A workflow as the config reader gives it."""
    return parse(
        json.dumps({**keys, "jobs": jobs}).encode(),
        path="/w/flow.json",
        shown="flow.json",
        home="/home/etl",
        is_folder=lambda _: True,
        plugin_checks=lambda _: "none",
    )


def job(name: str, *dependencies: str, **keys: Any) -> dict[str, Any]:
    return {"id": name, "command": f"echo {name}", "dependencies": list(dependencies), **keys}


def plan(jobs: list[dict[str, Any]], preferences: Preferences | None = None, **keys: Any) -> Plan:
    return make_plan(workflow(jobs, **keys), preferences or Preferences(), 4)


def lines(
    one: Plan, *more: str, verbose: bool = False, durations: dict[str, list[float]] | None = None
) -> list[str]:
    return list(plan_lines(one, durations or {}, TYPED.run(*more), Palette(), "/w", verbose=verbose))


def test_a_plan_in_order() -> None:
    """Jobs stand in the order in which they run, each with what it waits for."""
    one = plan([job("c", "a", "b"), job("b", "a"), job("a")])
    assert lines(one) == [
        "DRY RUN - flow",
        "==============",
        "Would execute, in this order, one at a time:",
        "  - a",
        "  - b (after a)",
        "  - c (after a, b)",
        "",
        "Time limit 03:00:00 (default_timeout) where none is named.",
        "",
        "Total: 3 jobs to execute",
        "",
        "Nothing was run. To run it:",
        "  executioner.py -c flow.json",
    ]


def test_skipped_jobs_and_what_follows_from_them() -> None:
    """A skipped job is named with the reason, counts as done, and stands so where it is waited for."""
    one = plan([job("a"), job("b", "a"), job("c", "b")], Preferences(skip=frozenset({"b"})))
    assert lines(one, "--skip", "b") == [
        "DRY RUN - flow",
        "==============",
        "Would skip on request (counts as done for what depends on it):",
        "  - b",
        "",
        "Would execute, in this order, one at a time:",
        "  - a",
        "  - c (after b (skipped))",
        "",
        "Time limit 03:00:00 (default_timeout) where none is named.",
        "",
        "Total: 2 jobs to execute, 1 left out",
        "",
        "Nothing was run. To run it:",
        "  executioner.py -c flow.json --skip b",
    ]


def test_where_limits_come_from() -> None:
    """A job's own limit stands beside it; the default is told once, with its name."""
    one = plan(
        [job("a", timeout=90), job("b", "a", timeout=None), job("c")],
        default_timeout=60,
    )
    assert lines(one)[3:8] == [
        "  - a (limit 00:01:30)",
        "  - b (after a; no time limit)",
        "  - c",
        "",
        "Time limit 00:01:00 (default_timeout) where none is named.",
    ]


def test_no_default_limit_is_said_too() -> None:
    """``default_timeout: null`` is told, and where every job has its own limit no default is."""
    assert "No time limit (default_timeout) where none is named." in lines(plan([job("a")], default_timeout=None))
    assert not [line for line in lines(plan([job("a", timeout=5)])) if "default_timeout" in line]


def test_everything_skipped() -> None:
    """A plan with nothing left to execute says so."""
    text = lines(plan([job("a")], Preferences(skip=frozenset({"a"}))))
    assert "  (nothing)" in text
    assert "Total: 0 jobs to execute, 1 left out" in text


def test_workers_are_told() -> None:
    """Of a parallel run the preview tells how many jobs run at a time."""
    text = lines(plan([job("a"), job("b")], Preferences(workers=3)))
    assert text[2] == "Would execute, up to 3 at a time, about in this order:"


def test_known_durations_decide_the_parallel_order() -> None:
    """With several workers the longest remaining path stands first, by what jobs took before."""
    one = plan([job("a"), job("b"), job("c", "b")], Preferences(workers=2))
    assert [line for line in lines(one) if line.startswith("  - ")] == ["  - b", "  - a", "  - c (after b)"]
    slow = lines(one, durations={"a": [100.0], "b": [1.0], "c": [1.0]})
    assert [line for line in slow if line.startswith("  - ")] == ["  - a", "  - b", "  - c (after b)"]


def test_verbose_shows_commands_folders_and_attempts() -> None:
    """``--verbose`` adds each job's command, its folder and how often it may be tried."""
    text = lines(plan([job("a", working_dir="sub", max_retries=2)]), verbose=True)
    assert text[3:6] == ["  - a", "      echo a", "      in sub, up to 3 attempts"]


def test_nothing_in_a_preview_is_obeyed_by_a_terminal() -> None:
    """Commands, names and folders are escaped."""
    evil = "\x1b[2J\x07\x9b\u202e\u2028\r"
    one = plan([{"id": "a", "command": f"echo {evil}", "working_dir": f"/{evil}"}], application_name=f"x{evil}")
    assert_harmless("\n".join(lines(one, verbose=True)))


def test_the_plan_as_data() -> None:
    """As data the plan has what will be executed in order and what is left out with the reason."""
    one = plan(
        [job("a", max_retries=1), job("b", "a", "c", timeout=5), job("c", timeout=None)],
        Preferences(skip=frozenset({"c"}), workers=2),
        continue_on_error=True,
    )
    assert plan_object(one, {}) == {
        "application_name": "flow",
        "config_path": "/w/flow.json",
        "workers": 2,
        "continue_on_error": True,
        "execute": [
            {
                "id": "a",
                "command": "echo a",
                "dependencies": [],
                "working_dir": "/w",
                "timeout_seconds": 10800.0,
                "max_retries": 1,
            },
            {
                "id": "b",
                "command": "echo b",
                "dependencies": ["a", "c"],
                "working_dir": "/w",
                "timeout_seconds": 5.0,
                "max_retries": 0,
            },
        ],
        "skip": [{"id": "c", "reason": "--skip"}],
        "leave_out": [],
    }
