"""What has changed in a job's definition since a run: texts as they were and are, everything else by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executioner.definition import NAMES, TEXTS, Change, change, definer, recorded_dependencies
from executioner.model import Check, Job, RetryPolicy
from executioner.records import PastJob

KEY = b"0123456789abcdef"


def job(**changes: Any) -> Job:
    """A job with some of its fields changed."""
    plain = Job("a", "true", "", (), None, True, {}, "/srv", RetryPolicy(), (), ())
    return plain._replace(**changes)


def definition(one: Job, env: dict[str, str] | None = None, key: bytes = KEY) -> str:
    return definer(env or {}, key)(one)


def past(one: Job, env: dict[str, str] | None = None) -> PastJob:
    return PastJob(one.id, "SUCCESS", None, one.command, definition(one, env))


def changed(
    before: Job, now: Job, before_env: dict[str, str] | None = None, env: dict[str, str] | None = None
) -> Any:
    return change(past(before, before_env), definition(now, env))


CHECK = Check("check_file_exists", {"path": "x"})
OTHER = Check("check_file_exists", {"path": "y"})
ORA = Check("check_no_ora_errors", {"log_file": "*.log"})


@pytest.mark.parametrize(
    ("before", "now", "part", "expected"),
    [
        ({}, {"command": "false"}, "command", ("true", "false")),
        ({}, {"working_dir": "/tmp"}, "working_dir", ("/srv", "/tmp")),
        ({}, {"dependencies": ("b",)}, "dependencies", ["+b"]),
        ({"dependencies": ("b", "c")}, {"dependencies": ("c", "d")}, "dependencies", ["+d", "-b"]),
        ({}, {"pre_checks": (CHECK,)}, "pre_checks", ["+check_file_exists"]),
        ({"pre_checks": (CHECK,)}, {"pre_checks": (OTHER,)}, "pre_checks", ["check_file_exists"]),
        ({"post_checks": (CHECK, ORA)}, {"post_checks": (ORA,)}, "post_checks", ["-check_file_exists"]),
        ({"post_checks": (CHECK,)}, {"post_checks": (CHECK, OTHER)}, "post_checks", ["check_file_exists"]),
        ({"post_checks": (CHECK, OTHER)}, {"post_checks": (OTHER, CHECK)}, "post_checks", ["check_file_exists"]),
        ({}, {"env": {"A": "1"}}, "env_variables", ["+A"]),
        ({"env": {"A": "1"}}, {}, "env_variables", ["-A"]),
        ({"env": {"A": "1"}}, {"env": {"A": "2"}}, "env_variables", ["A"]),
    ],
)
def test_one_part(before: dict[str, Any], now: dict[str, Any], part: str, expected: Any) -> None:
    """A change of one part is found in that part alone."""
    found = changed(job(**before), job(**now))
    assert found.parts() == [part]
    assert (found.texts if part in TEXTS else found.names) == {part: expected}


@pytest.mark.parametrize(
    "now",
    [
        {"description": "new"},
        {"timeout_s": 5.0, "timeout_is_default": False},
        {"retry": RetryPolicy(max_retries=5)},
    ],
)
def test_what_is_no_part_of_a_definition(now: dict[str, Any]) -> None:
    """Description, limit and retries do not decide what a job does."""
    assert changed(job(), job(**now)) is None


def test_the_order_of_dependencies_and_variables_is_no_change() -> None:
    """Both are sets."""
    before = job(dependencies=("b", "c"), env={"A": "1", "B": "2"})
    assert changed(before, job(dependencies=("c", "b"), env={"B": "2", "A": "1"})) is None


def test_the_order_of_different_checks_is_no_change_by_name() -> None:
    """Checks of different names in another order differ in the text, but nothing can be named: no change."""
    assert changed(job(pre_checks=(CHECK, ORA)), job(pre_checks=(ORA, CHECK))) is None


def test_variables_of_the_application_count() -> None:
    """They are part of every job's definition; the job's own value wins over them."""
    assert changed(job(), job(), {"A": "1"}, {"A": "2"}).names == {"env_variables": ["A"]}
    assert changed(job(env={"A": "1"}), job(env={"A": "1"}), {"A": "1"}, {"A": "2"}) is None
    assert changed(job(), job(env={"A": "1"}), {"A": "1"}, {}) is None


def test_variables_of_the_command_line() -> None:
    """Names that differ in ``--env`` are a change of its own part, last, with and without another change."""
    assert change(past(job()), definition(job()), ["+A", "B"]) == Change({}, {"--env": ["+A", "B"]})
    both = change(past(job()), definition(job(command="false")), ["B"])
    assert both is not None
    assert both.parts() == ["command", "--env"]


def test_the_order_of_the_parts() -> None:
    """All parts at once are named in the order in which they are shown."""
    now = job(
        command="x", working_dir="/", dependencies=("b",), pre_checks=(CHECK,), post_checks=(ORA,), env={"A": "1"}
    )
    found = change(past(job()), definition(now), ["B"])
    assert found is not None
    assert tuple(found.parts()) == (*TEXTS, *NAMES)


def test_values_are_not_in_a_definition() -> None:
    """Only an HMAC under the key of the database stands there: another key gives another text."""
    one = job(env={"PASSWORD": "hunter2"})
    assert "hunter2" not in definition(one)
    assert definition(one) != definition(one, key=b"other")
    assert definition(one) == definition(one)


def test_a_value_that_is_not_utf_8() -> None:
    """Bytes of the command line that are no UTF-8 have an HMAC as well."""
    assert changed(job(env={"A": "\udcff"}), job(env={"A": "\udcfe"})).names == {"env_variables": ["A"]}


# --- runs without a definition, and edited ones ------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "null", "{}", "[[[", "[]", "7", '"x"', "[" * 100_000])
def test_without_a_definition_the_command_is_compared(text: str | None) -> None:
    """A run of the earlier tool, or a text that is no definition: the command alone decides."""
    now = definition(job(env={"A": "1"}, dependencies=("b",)))
    assert change(PastJob("a", "SUCCESS", None, "true", text), now) is None
    found = change(PastJob("a", "SUCCESS", None, "false", text), now)
    assert found == Change({"command": ("false", "true")}, {})


@pytest.mark.parametrize("command", [None, ""])
def test_with_nothing_to_compare(command: str | None) -> None:
    """Neither definition nor command recorded: nothing is known to have changed."""
    assert change(PastJob("a", "SUCCESS", None, command, None), definition(job())) is None


@pytest.mark.parametrize(
    "part", ["command", "working_dir", "dependencies", "pre_checks", "post_checks", "env_variables"]
)
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [[]], [[[]]], [{}], [None], {"A": None}])
def test_an_edited_definition(part: str, value: object) -> None:
    """Whatever stands in a part, the answer is a change or none, and it can be named."""
    edited = {**json.loads(definition(job(dependencies=("b",), env={"A": "1"}))), part: value}
    found = change(PastJob("a", "SUCCESS", None, "true", json.dumps(edited)), definition(job(dependencies=("b",))))
    assert found is None or all(isinstance(name, str) for names in found.names.values() for name in names)
    assert found is None or all(isinstance(text, str) for pair in found.texts.values() for text in pair)


def test_a_definition_with_fewer_parts() -> None:
    """A part that is not recorded is not compared."""
    text = json.dumps({"command": "true"})
    assert change(PastJob("a", "SUCCESS", None, "true", text), definition(job(working_dir="/tmp"))) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (definition(job(dependencies=("b", "c"))), ["b", "c"]),
        (None, []),
        ("[[[", []),
        ('{"dependencies": 7}', []),
        ('{"dependencies": ["b", 7, null]}', ["b"]),
    ],
)
def test_recorded_dependencies(text: str | None, expected: list[str]) -> None:
    """What a job depended on as far as it is recorded; of an edited text what can be used."""
    assert recorded_dependencies(PastJob("a", "SUCCESS", definition=text, command="true")) == expected


# --- what holds for all ------------------------------------------------------------------------------

NAME = st.sampled_from(["A", "B", "C"])
JOBS = st.builds(
    lambda command, folder, needs, env, pre: job(
        command=command, working_dir=folder, dependencies=tuple(needs), env=env, pre_checks=tuple(pre)
    ),
    st.sampled_from(["true", "false", "a\nb"]),
    st.sampled_from(["/", "/srv"]),
    st.lists(NAME, unique=True),
    st.dictionaries(NAME, st.sampled_from(["", "1", "2"])),
    st.lists(st.sampled_from([CHECK, OTHER, ORA]), max_size=3),
)


@given(JOBS, JOBS)
def test_a_change_is_found_exactly_where_there_is_one(before: Job, now: Job) -> None:
    """A job equals itself; of two the parts that differ are named, and no others."""
    assert changed(before, before) is None
    found = changed(before, now)
    parts = set(found.parts()) if found is not None else set()
    differing = {
        "command": before.command != now.command,
        "working_dir": before.working_dir != now.working_dir,
        "dependencies": set(before.dependencies) != set(now.dependencies),
        "env_variables": before.env != now.env,
        "pre_checks": by_name(before) != by_name(now),
    }
    assert parts == {part for part, differs in differing.items() if differs}


def by_name(one: Job) -> dict[str, list[object]]:
    """A job's pre-checks: of each name the parameters in their order."""
    found: dict[str, list[object]] = {}
    for check in one.pre_checks:
        found.setdefault(check.name, []).append(check.params)
    return found
