"""The declaration of all config keys: validator, JSON Schema and documentation agree."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from every_key import EVERY_KEY
from hypothesis import given, settings
from hypothesis import strategies as st

from executioner.config import parse as config
from executioner.config import samples
from executioner.config.keys import APPLICATION, CHECK, JOB, PLUGIN, json_schema, markdown_tables
from executioner.config.objects import NOTHING, Key, ObjectOf
from executioner.errors import ConfigError

pytestmark = pytest.mark.promise(7)

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
OBJECTS = {"application": APPLICATION, "job": JOB, "check": CHECK, "plugin": PLUGIN}
ALL_KEYS = [
    pytest.param(kind, key, id=f"{name}-{key.name}")
    for name, kind in OBJECTS.items()
    for key in kind.keys.values()
]

CHECKER = jsonschema.Draft202012Validator(json_schema())


def is_valid_here(values: object) -> bool:
    try:
        config.parse(
            json.dumps(values).encode(),
            path="/c/x.json",
            shown="x.json",
            home="/h",
            is_folder=lambda path: True,
            plugin_checks=lambda plugin: frozenset(),
        )
    except ConfigError:
        return False
    return True


def is_valid_by_schema(values: object) -> bool:
    return bool(CHECKER.is_valid(values))


def with_value(kind: str, name: str, value: object) -> dict[str, Any]:
    """A valid config, but for this value of this key."""
    values: dict[str, Any] = {"jobs": [{"id": "a", "command": "true"}]}
    target = {
        "application": values,
        "job": values["jobs"][0],
        "check": {"name": "check_file_exists", "params": {"path": "x"}},
        "plugin": {"path": "p.py"},
    }[kind]
    if kind == "check":
        values["jobs"][0]["pre_checks"] = [target]
    if kind == "plugin":
        values["dependency_plugins"] = [target]
    target[name] = value
    return values


def test_the_schema_is_a_schema() -> None:
    """What --config-schema prints is valid by the rules of draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_config_with_every_key_is_valid() -> None:
    """Each declared key of application and job can be used, all of them together."""
    assert set(EVERY_KEY) == set(APPLICATION.keys)
    assert set(EVERY_KEY["jobs"][1]) == set(JOB.keys)
    assert is_valid_here(EVERY_KEY)
    assert is_valid_by_schema(EVERY_KEY)


def test_the_samples_are_valid_by_the_schema() -> None:
    """The sample configs satisfy the schema too, and the larger one names nearly every key."""
    assert is_valid_by_schema(json.loads(samples.SIMPLE_CONFIG))
    sample = json.loads(samples.SAMPLE_CONFIG)
    assert is_valid_by_schema(sample)
    named = {name.removeprefix("_") for name in sample}
    assert set(APPLICATION.keys) - named == {"name", "security_policy"}


@pytest.mark.parametrize("name", [name for name in json.loads(samples.SAMPLE_CONFIG) if name[0] == "_"])
def test_commented_keys_of_the_sample_may_be_used(name: str) -> None:
    """Removing the _ from a key of the sample gives a valid config, but for true comments."""
    if name.startswith("_comment"):
        return
    sample = json.loads(samples.SAMPLE_CONFIG)
    sample[name[1:]] = sample.pop(name)
    if name == "_command_whitelist":
        sample["allow_shell"] = False
        sample["jobs"] = [{"id": "a", "command": "echo 1"}]
    assert is_valid_here(sample)
    assert is_valid_by_schema(sample)


@pytest.mark.parametrize(("kind", "key"), ALL_KEYS)
def test_every_key_is_documented(kind: ObjectOf, key: Key) -> None:
    """A key has one line of words, a type and a default in the tables."""
    assert f"| `{key.name}` | " in markdown_tables()
    assert key.doc.endswith(".")
    assert "\n" not in key.doc
    assert key.required or key.default is not NOTHING or key.default_words


@pytest.mark.parametrize(("kind", "key"), ALL_KEYS)
def test_every_default_is_valid(kind: ObjectOf, key: Key) -> None:
    """Writing a default down changes nothing and is never refused."""
    if key.default is not NOTHING:
        assert key.kind.problem(key.default) is None
        assert jsonschema.Draft202012Validator(key.kind.schema()).is_valid(key.default)


@pytest.mark.parametrize("name", OBJECTS)
def test_unknown_keys_are_refused_and_comments_are_not(name: str) -> None:
    """Validator and schema agree about unknown keys and comment keys at every level."""
    for key, expected in (("unknown", False), ("_unknown", True), ("$unknown", True)):
        values = with_value(name, key, [{"any": "thing"}])
        assert is_valid_here(values) is expected
        assert is_valid_by_schema(values) is expected


SCALARS: list[object] = [None, True, False, 0, 1, -1, 0.5, 1.0, 2.5, 255, 256, -64, -65, 65_535, 65_536, 10**6]
SCALARS += [10**9, 10**9 + 1, 10**400, "", " ", "x", "a b", "-x", ".x", "a.b-c_d", "x" * 128, "x" * 129]
SCALARS += ["default", "starttls", "SSL", "none", "warn", "strict", "FAILED", "timeout", "~", "~/x", "~x", "A=1"]
SCALARS += ["a@b", "a@b@c", "a@b, c@d", "a@b,,", ",", "@b", "a@", "x" * 131_071, "x" * 131_072]
COMPOUND: list[object] = [[], {}, [[]], [{}], {"A": 1}, {"1": 1}, {"A-B": 1}, {"EXECUTIONER_X": 1}, {"A": None}]
COMPOUND += [{"A": []}, {"_comment": []}, {"_X": []}, {"_X": 1}, {"name": "n"}, {"path": "p"}]
COMPOUND += [[scalar] for scalar in SCALARS]
#: What a schema cannot say: that the check or the job exists, that a command is on the list.
BEYOND_SCHEMA = {
    ("check", "name"),
    ("check", "params"),
    ("job", "dependencies"),
    ("application", "command_whitelist"),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, key) for kind, known in OBJECTS.items() for key in known.keys if (kind, key) not in BEYOND_SCHEMA],
)
def test_validator_and_schema_agree(kind: str, name: str) -> None:
    """For every key and a corpus of values both say yes, or both say no."""
    for value in SCALARS + COMPOUND:
        values = with_value(kind, name, value)
        agree = (is_valid_here(values), is_valid_by_schema(values))
        assert agree in ((True, True), (False, False)), (name, str(value)[:80], agree)


@pytest.mark.parametrize(("kind", "key"), ALL_KEYS)
def test_each_kind_agrees_with_its_schema(kind: ObjectOf, key: Key) -> None:
    """The same for each key on its own, also where other rules apply in a whole config."""
    if key.name == "jobs":
        return  # judges its items one by one, later
    checker = jsonschema.Draft202012Validator(key.kind.schema())
    for value in SCALARS + COMPOUND:
        assert (key.kind.problem(value) is None) == checker.is_valid(value), (key.name, str(value)[:80])


def paths(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    todo = [value]
    for box in todo:
        keys = list(box) if isinstance(box, dict) else range(len(box))
        found += [(box, key) for key in keys]
        todo += [box[key] for key in keys if isinstance(box[key], (dict, list))]
    return found


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_valid_here_is_valid_by_the_schema(data: st.DataObject) -> None:
    """The schema never refuses a config that would run."""
    values = deepcopy(EVERY_KEY)
    for _ in range(data.draw(st.integers(1, 2))):
        box, key = data.draw(st.sampled_from(paths(values)))
        box[key] = deepcopy(data.draw(st.sampled_from(SCALARS + COMPOUND)))
    if is_valid_here(values):
        assert is_valid_by_schema(values)


def test_the_tables_in_the_documentation_are_the_generated_ones() -> None:
    """docs/configuration.md has exactly what markdown_tables() gives, between its markers."""
    between = DOC.split("<!-- keys:begin -->\n")[1].split("\n<!-- keys:end -->")[0]
    assert between == markdown_tables()


@pytest.mark.parametrize("text", re.findall(r"```json\n(.*?)```", DOC, re.DOTALL))
def test_json_examples_in_the_documentation(text: str) -> None:
    """Every JSON example is valid, complete ones as they are, parts as keys of a small config."""
    part = json.loads(text)
    values = part if "jobs" in part else {**part, "jobs": [{"id": "a", "command": "true"}]}
    if "command" in part:
        values = {"jobs": [part]}
    config.parse(
        json.dumps(values).encode(),
        path="/c/x.json",
        shown="x.json",
        home="/h",
        is_folder=lambda path: True,
        plugin_checks=lambda plugin: frozenset({"row_count" if plugin.name == "checks" else plugin.name}),
    )
    assert is_valid_by_schema(values)


def plugin_examples() -> list[dict[str, Any]]:
    found = []
    for text in re.findall(r"```python\n(.*?)```", DOC, re.DOTALL):
        names: dict[str, Any] = {}
        exec(text, names)
        found.append(names)
    return found


def test_plugin_examples_in_the_documentation(tmp_path: Path) -> None:
    """Both ways to write a plugin work as they stand in the documentation."""
    checks, convention = plugin_examples()
    file = tmp_path / "rows.csv"
    file.write_text("a\nb\n", encoding="utf-8")
    assert checks["CHECKS"]["row_count"](path=str(file), at_least=2)
    assert not checks["CHECKS"]["row_count"](path=str(file), at_least=3)
    assert convention["PLUGIN_CLASS"]({"path": str(file), "max_age_s": 3600}).check()
    assert not convention["PLUGIN_CLASS"]({"path": str(tmp_path / "none"), "max_age_s": 1}).check()
