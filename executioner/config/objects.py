"""Objects of a config: known keys, environment variables, parameters of checks."""

from __future__ import annotations

from executioner.config.problems import (
    BROKEN,
    MOST_LEVELS,
    Problems,
    child,
    is_comment,
    levels_exceed,
    mismatch,
    quoted,
)
from executioner.config.types import Kind
from executioner.environ import MOST_BYTES, NAME_CHARS
from executioner.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What keys are called in the files of other programs.
_ELSEWHERE = {
    **dict.fromkeys(("script", "run", "cmd", "exec", "shell_command"), "command"),
    **dict.fromkeys(("needs", "after", "deps", "requires", "upstream"), "dependencies"),
    **dict.fromkeys(("env", "environment", "variables"), "env_variables"),
    **dict.fromkeys(("cwd", "workdir", "dir", "directory"), "working_dir"),
    **dict.fromkeys(("tries", "attempts", "retry"), "max_retries"),
    "name": "id",
    **dict.fromkeys(("workers", "max_jobs", "concurrency"), "max_workers"),
}
#: Stands for "no default" where None is a possible one.
NOTHING = object()


class Key(Record):
    """One key: its kind, its default, and one line of documentation.

    ``default`` is a JSON value; where the default is not one value,
    ``default_words`` tells it.
    """

    name: str
    kind: Kind
    doc: str
    default: object = NOTHING
    default_words: str = ""
    required: bool = False


class ObjectOf(Kind):
    """An object with known keys. Comment keys are skipped, all others are wrong."""

    __slots__ = ("keys", "required")
    takes = (dict,)

    def __init__(self, expected: str, keys: tuple[Key, ...]) -> None:
        self.expected = expected
        self.keys = {key.name: key for key in keys}
        self.required = tuple(key.name for key in keys if key.required)

    def problem(self, value: object) -> str | None:
        """Wrong: no object, an unknown or wrong key, a required one missing."""
        if not isinstance(value, dict):
            return mismatch(self.expected, value)
        keys = self.keys
        for name, item in value.items():
            key = keys.get(name)
            if key is None:
                if not is_comment(name):
                    return f"unknown key {quoted(name)}"
            elif key.kind.problem(item) is not None:
                return f"{name} is wrong"
        for name in self.required:
            if name not in value:
                return f"{name} is missing"
        return None

    def report(self, value: object, place: str, problems: Problems) -> None:
        """Add the problem of each key, and the keys that are missing."""
        if not isinstance(value, dict):
            super().report(value, place, problems)
            return
        for name in self.required:
            if name not in value:
                problems.add(place, f'"{name}" is missing')
        for name, item in value.items():
            key = self.keys.get(name)
            if key is not None:
                key.kind.report(item, child(place, name), problems)
            elif not is_comment(name):
                meant = _ELSEWHERE.get(name.lower(), name)
                problems.add_misspelt(
                    child(place, name), "unknown key", meant if meant in self.keys else name, self.keys
                )

    def usable(self, value: object, place: str, problems: Problems) -> dict[str, Any]:
        """The parts of ``value`` that can be worked with; what is wrong is reported."""
        parts = self.parts(value)
        if parts is not value:
            self.report(value, place, problems)
        return parts

    def parts(self, value: object) -> dict[str, Any]:
        """``value`` itself if nothing is wrong with it, else the keys of it that are fine."""
        if isinstance(value, dict) and self.problem(value) is None:
            return value
        items = value.items() if isinstance(value, dict) else ()
        return {
            name: item for name, item in items if name in self.keys and self.keys[name].kind.problem(item) is None
        }

    def schema(self) -> dict[str, object]:
        """A closed object; comment keys may have any value."""
        schema: dict[str, object] = {"type": "object"}
        schema["properties"] = {key.name: _property(key) for key in self.keys.values()}
        schema["patternProperties"] = {"^[_$]": True}
        schema["additionalProperties"] = False
        if self.required:
            schema["required"] = list(self.required)
        return schema


class Variables(Kind):
    """Environment variables: names with strings, numbers or booleans."""

    __slots__ = ()
    takes = (dict,)

    def __init__(self) -> None:
        self.expected = "an object of environment variables"

    def problem(self, value: object) -> str | None:
        """Wrong: no object, or a name or value that no variable can have."""
        if not isinstance(value, dict):
            return mismatch(self.expected, value)
        for name, item in value.items():
            message = variable_problem(name, item)
            if message is not None:
                return message
        return None

    def report(self, value: object, place: str, problems: Problems) -> None:
        """Add the problem of each variable."""
        if not isinstance(value, dict):
            super().report(value, place, problems)
            return
        for name, item in value.items():
            message = None if item is BROKEN else variable_problem(name, item)
            if message is not None:
                problems.add(child(place, name), message)

    def schema(self) -> dict[str, object]:
        """An object whose keys match the rule for names."""
        return {
            "type": "object",
            "patternProperties": {
                r"^(?!EXECUTIONER_|_[Cc][Oo][Mm][Mm][Ee][Nn][Tt])[A-Za-z_][A-Za-z0-9_]*$": {
                    "type": ["string", "number", "boolean"]
                },
                r"^\$|^_[Cc][Oo][Mm][Mm][Ee][Nn][Tt]": True,
            },
            "additionalProperties": False,
        }


class Params(Kind):
    """The parameters of a check: any JSON values that are not nested too deeply."""

    __slots__ = ()
    takes = (dict,)

    def __init__(self) -> None:
        self.expected = "an object of parameters"

    def problem(self, value: object) -> str | None:
        """Wrong: no object, or more than 100 levels."""
        if not isinstance(value, dict):
            return mismatch(self.expected, value)
        return "nested too deeply" if levels_exceed(value, MOST_LEVELS) else None

    def schema(self) -> dict[str, object]:
        """An object."""
        return {"type": "object"}


def variable_text(value: object) -> str:
    """The text of a variable's value: true and false in lower case, numbers as written."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(getattr(value, "text", value))


def is_variable_comment(name: str) -> bool:
    """Whether a key among variables is a comment: ``_JAVA_OPTIONS`` is a name, ``_comment`` is none."""
    return name.startswith("$") or name[:8].lower() == "_comment"


def variable_problem(name: str, value: object) -> str | None:
    """What is wrong with one environment variable, None if nothing is."""
    if is_variable_comment(name):
        return None
    if not name or name[0].isdigit() or not NAME_CHARS.issuperset(name):
        return "not a name for an environment variable (letters a-z A-Z, digits and _, no digit first)"
    if name.startswith("EXECUTIONER_"):
        return "names that begin with EXECUTIONER_ are reserved"
    if not isinstance(value, (str, int, float)):
        return mismatch("a string, a number, true or false", value)
    return bytes_problem(f"{name}={variable_text(value)}")


def bytes_problem(text: str) -> str | None:
    """A message if a text is more than a program can be given as one argument or variable."""
    if len(text) <= MOST_BYTES // 4:
        return None
    size = len(text.encode("utf-8", "surrogatepass"))
    return f"is {size:,} bytes long, at most {MOST_BYTES:,} are possible" if size > MOST_BYTES else None


def _property(key: Key) -> dict[str, object]:
    schema = {**key.kind.schema(), "description": key.doc.replace("`", "")}
    if key.default is not NOTHING:
        schema["default"] = key.default
    return schema
