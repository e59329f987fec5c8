"""Reading the JSON text of a config: strictly, and with messages that say what to mend.

What Python's reader would let pass is a problem here: duplicate keys, NaN and Infinity,
numbers beyond a float's range, NUL, lone surrogates. Such values are replaced by
``BROKEN``, about which nobody complains again.
"""

from __future__ import annotations

from collections.abc import Iterator

from executioner.config.objects import is_variable_comment
from executioner.config.problems import (
    BROKEN,
    MOST_SHOWN,
    Problems,
    WrittenFloat,
    child,
    is_comment,
    mismatch,
    printable,
    shown,
)
from executioner.jsontext import Hooks, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Python's own limit on the digits of an integer, beyond which reading is quadratic.
MOST_DIGITS = 4300


_INFINITE = float("inf")


class _Unreadable:
    """A number that is none, until its place is known."""

    __slots__ = ("literal", "message")

    def __init__(self, message: str, *, literal: bool = False) -> None:
        self.message = message
        #: NaN and Infinity are no JSON at all, and so wrong even within comments.
        self.literal = literal


class _Finds(Hooks):
    """What the reader meets that needs a second look, when places are known."""

    def __init__(self) -> None:
        self.numbers = False
        #: Names of duplicate keys by the identity of their object, which is kept: one that
        #: is itself the value of a duplicate key would be freed, and its identity reused.
        self.repeated: dict[int, tuple[object, list[str]]] = {}

    def object_pairs_hook(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            once = set(found)
            again: dict[str, None] = {}
            for name, _ in pairs:
                if name in once:
                    once.remove(name)
                else:
                    again[name] = None
            self.repeated[id(found)] = (found, list(again))
        return found

    def parse_float(self, text: str) -> object:
        number = WrittenFloat(text)
        if number in (_INFINITE, -_INFINITE):
            self.numbers = True
            return _Unreadable(f"{text[:MOST_SHOWN]} is too large a number")
        return number

    def parse_int(self, text: str) -> object:
        # The interpreter's limit may have been set lower, or off.
        if len(text) <= MOST_DIGITS:
            try:
                return int(text)
            except ValueError:
                pass
        self.numbers = True
        return _Unreadable(f"a number of {len(text):,} digits is too large")

    def parse_constant(self, text: str) -> object:
        self.numbers = True
        return _Unreadable(f"{text} is not a number that JSON has", literal=True)


def read(data: bytes, problems: Problems) -> dict[str, object] | None:
    """The object that the text describes; None, with a problem added, if it describes none."""
    text = _decoded(data, problems)
    if text is None:
        return None
    if not text.strip(" \t\r\n"):
        problems.add("", "the file is empty")
        return None
    finds = _Finds()
    try:
        value = loads(text, finds)
    except ValueError as error:
        from json import JSONDecodeError

        from executioner.config.syntax import diagnosis

        assert isinstance(error, JSONDecodeError)
        at, message = diagnosis(text, error.msg, error.pos)
        line = text.count("\n", 0, at) + 1
        problems.add(f"line {line}, column {at - text.rfind(chr(10), 0, at)}", message)
        return None
    except RecursionError:
        problems.add("", "nested too deeply")
        return None
    if finds.numbers or finds.repeated or "\\u" in text:
        value = _without_unreadable(value, finds, problems)
    if isinstance(value, dict):
        return value
    if value is not BROKEN:
        problems.add("", mismatch("an object", value))
    return None


def _decoded(data: bytes, problems: Problems) -> str | None:
    if data.startswith(b"SQLite format 3\0"):
        problems.add("", "this is an SQLite database; the history is named with --db, a config is a JSON file")
        return None
    skipped = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return data[skipped:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = skipped + error.start
        message = f"byte 0x{data[at]:02x} at offset {at:,} is not UTF-8"
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            message += ", the file looks like UTF-16"
        line = data.count(b"\n", 0, at) + 1
        problems.add(f"line {line}", f"{message}; save it as UTF-8")
        return None


def _without_unreadable(root: object, finds: _Finds, problems: Problems) -> object:
    """Report what has no place in a config, and put ``BROKEN`` where it was."""
    holder: list[object] = [root]
    path: list[str | int] = []
    work: list[tuple[Any, Iterator[str | int], bool]] = [(holder, iter((0,)), False)]
    while work:
        box, keys, in_comment = work[-1]
        key = next(keys, None)
        if key is None:
            work.pop()
            if path:
                path.pop()
            continue
        value = box[key]
        is_remark = in_comment or _is_remark(path, key)
        fault = None if is_remark or isinstance(key, int) else _text_fault(key)
        if fault is not None:
            problems.add(_place([*path, key]), f"the key {fault}")
            del box[key]
            continue
        message = _fault(value, is_remark=is_remark)
        if message is not None:
            problems.add(_place([*path, key]), message)
        if message is not None or isinstance(value, _Unreadable):
            box[key] = BROKEN
        elif isinstance(value, (dict, list)):
            path.append(key)
            if not is_remark:
                _report_repeated(value, path, finds, problems)
            work.append((value, iter(list(value) if isinstance(value, dict) else range(len(value))), is_remark))
    return holder[0]


def _is_remark(path: list[str | int], key: str | int) -> bool:
    if isinstance(key, int):
        return False
    return is_variable_comment(key) if path and path[-1] == "env_variables" else is_comment(key)


def _fault(value: object, *, is_remark: bool) -> str | None:
    if isinstance(value, _Unreadable):
        return value.message if value.literal or not is_remark else None
    if isinstance(value, str) and not is_remark:
        fault = _text_fault(value)
        return fault and f"{shown(value)} {fault}"
    return None


def _text_fault(text: str) -> str | None:
    if text.isprintable():
        return None
    if "\0" in text:
        return "contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"contains a lone surrogate, {printable(text[error.start])}"
    return None


def _report_repeated(value: object, path: list[str | int], finds: _Finds, problems: Problems) -> None:
    _, names = finds.repeated.get(id(value), (None, ()))
    for name in names:
        if not _is_remark(path, name):
            problems.add(_place([*path, name]), "this key is there more than once")


def _place(path: list[str | int]) -> str:
    """The place that a path of keys leads to; its first step is the root."""
    place = ""
    for step in path[1:]:
        place = f"{place}[{step}]" if isinstance(step, int) else child(place, step)
    return place
