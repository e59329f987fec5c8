"""JSON by the interpreter's functions: exactly what the package ``json`` makes of the same."""

import json
import math
import subprocess
import sys

import pytest

from executioner import jsontext

VALUES = [
    *(
        None,
        True,
        False,
        0,
        -1,
        10**400,
        0.1,
        -1e300,
        5e-324,
        "",
        "a",
        'quote " and \\',
        "tab\t and \x01",
        "ä€𝄞",
        "\ud800",
    ),
    *([{}, [], [{"b": "ä", "a": 1.5}]],),
    *([], {}, [[]], [1, [2, {"three": [4]}]], {"b": 1, "a": {"d": None, "c": [True]}}, {"ä": "\u2028"}),
]
TEXTS = [
    *(
        "{}",
        " \t\r\n[1, 2.50, -0, 1e5] \n",
        '{"a": 1, "a": 2}',
        '"\\u00e4\\ud834\\udd1e\\/"',
        "NaN",
        "-Infinity",
        "1E400",
    ),
    *(
        "",
        " ",
        "{",
        "[1,]",
        '{"a" 1}',
        '{"a": 1,}',
        "[1] 2",
        "nul",
        '"\n"',
        '"open',
        "\ufeff{}",
        "'a'",
        "01",
        "+1",
        "\x0b1",
    ),
]


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_a_text_is_that_of_the_package(value: object) -> None:
    """As ``json.dumps`` with sorted keys; canonical is compact and in Unicode; both read back as the value.

    On one line, or a line an entry, the keys stay in their order.
    """
    assert jsontext.dumps(value) == json.dumps(value, sort_keys=True)
    compact = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert jsontext.canonical(value) == compact
    assert jsontext.one_line(value) == json.dumps(value)
    assert jsontext.indented(value) == json.dumps(value, indent=2)
    assert jsontext.loads(jsontext.dumps(value)) == value
    if isinstance(value, str):
        assert jsontext.in_quotes(value) == compact


def test_tuples_are_lists() -> None:
    """As the package has them, empty ones and those within others."""
    value = {"z": (), "a": [(1, ({},)), ("x",)]}
    assert jsontext.indented(value) == json.dumps(value, indent=2)
    assert jsontext.one_line(value) == json.dumps(value)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", {(1, 2): 3}], ids=lambda value: type(value).__name__
)
def test_what_json_has_not_is_refused(value: object) -> None:
    """With a ``TypeError``, as the package does."""
    for write in (jsontext.dumps, jsontext.canonical, jsontext.one_line, jsontext.indented):
        with pytest.raises(TypeError):
            write(value)


def test_a_deep_value_is_written_as_deep_as_by_the_package() -> None:
    """900 lists in each other, within Python's usual limit of a thousand frames."""
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    script = (
        "from executioner import jsontext\n"
        "deep = []\nfor _ in range(900): deep = [deep]\n"
        "print(jsontext.indented(deep))"
    )
    alone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert alone.stdout == json.dumps(deep, indent=2) + "\n"


def read_by_the_package(text: str) -> tuple[object, object]:
    """The value, or the error with its place."""
    try:
        return "value", json.JSONDecoder().decode(text)
    except json.JSONDecodeError as error:
        return error.msg, error.pos


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_is_read_as_by_the_package(text: str) -> None:
    """The same value, or the same error at the same place, also in a process that has not loaded the package."""
    expected = read_by_the_package(text)
    script = (
        "import sys\nfrom executioner import jsontext\nassert 'json' not in sys.modules\n"
        "try: print(('value', jsontext.loads(sys.argv[1])))\n"
        "except ValueError as error: print((error.msg, error.pos))"
    )
    alone = subprocess.run([sys.executable, "-c", script, text], capture_output=True, text=True, check=True)
    assert alone.stdout.rstrip("\n") == repr(expected)
    try:
        found: tuple[object, object] = ("value", jsontext.loads(text))
    except json.JSONDecodeError as error:
        found = (error.msg, error.pos)
    assert repr(found) == repr(expected)


def test_hooks_make_the_values() -> None:
    """Objects, numbers and what is no number are what the hooks make of them."""

    class Hooks(jsontext.Hooks):
        def object_pairs_hook(self, pairs: list[tuple[str, object]]) -> object:
            return pairs

        def parse_float(self, text: str) -> object:
            return f"float {text}"

        def parse_int(self, text: str) -> object:
            return f"int {text}"

        def parse_constant(self, text: str) -> object:
            return f"constant {text}"

    read = jsontext.loads(' {"a": 1, "a": [2.50, NaN]}\n', Hooks())
    assert read == [("a", "int 1"), ("a", ["float 2.50", "constant NaN"])]
    assert math.isnan(jsontext.loads("NaN"))


def test_an_error_of_a_hook_is_not_taken_for_one_of_the_text() -> None:
    """It reaches the caller at once; nothing is read a second time."""
    read: list[str] = []

    class Hooks(jsontext.Hooks):
        def parse_int(self, text: str) -> object:
            read.append(text)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        jsontext.loads("[1, 2]", Hooks())
    assert read == ["1"]


def test_what_is_nested_too_deeply_is_said_to_be() -> None:
    """With a ``RecursionError``, not a crash."""
    with pytest.raises(RecursionError):
        jsontext.loads("[" * 200_000)
