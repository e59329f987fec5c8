"""What is wrong with a config, told so that it can be mended: place, message, nearest name.

The collector of problems, and how values from a config are repeated in messages without
harming a terminal or filling it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from executioner.errors import Problem

#: Problems that are kept with their texts; further ones are only counted.
MOST_PROBLEMS = 100
#: Characters of a value from the config that a message repeats.
MOST_SHOWN = 60
#: The same of a path, whose end matters: the most that Linux takes.
MOST_OF_PATH = 4096
#: Values nested deeper than this are refused: whoever stores them need not fear recursion.
MOST_LEVELS = 100
#: Above this many names, ``difflib`` would take seconds for each misspelt one.
MOST_COMPARED = 500


class Broken:
    """Stands where the text of the config had a value that was already complained about."""

    __slots__ = ()


BROKEN = Broken()


class WrittenFloat(float):
    """A number with a fraction that remembers its text: as a variable, 3.10 stays ``3.10``."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        """Read a JSON number; ``float`` raises ValueError for what is none."""
        self = super().__new__(cls, text)
        self.text = text
        return self


class Problems:
    """Collects problems: the first ones with their texts, of all of them the number."""

    __slots__ = ("kept", "total")

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.total = 0

    def add(self, place: str, message: str) -> None:
        """Count a problem, and keep it while there is room."""
        self.total += 1
        if len(self.kept) < MOST_PROBLEMS:
            self.kept.append(Problem(place, message))

    def add_misspelt(self, place: str, message: str, word: str, names: Iterable[str]) -> None:
        """Add a problem with the nearest of ``names``, which is looked for only if it will be read."""
        if len(self.kept) < MOST_PROBLEMS:
            near = nearest(word, names)
            message = f"{message}, did you mean {quoted(near)}?" if near is not None else message
        self.add(place, message)


def quoted(text: str, most: int = MOST_SHOWN) -> str:
    """Text in JSON's quotes, harmless on a terminal, shortened to about ``most`` characters."""
    if len(text) > most:
        text = text[: most - 3] + "..."
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(inner)}"'


def printable(text: str) -> str:
    """Text with control, bidi and surrogate characters escaped as JSON does."""
    if text.isprintable():
        return text
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(char if char.isprintable() else short.get(char) or f"\\u{ord(char):04x}" for char in text)


def shown(value: object) -> str:
    """A value of the config as a message repeats it; lists and objects by their kind only."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "an object"
    text = value.text if isinstance(value, WrittenFloat) else str(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def mismatch(expected: str, value: object) -> str:
    """The common form of all messages about a wrong value."""
    return f"expected {expected}, got {shown(value)}"


def child(place: str, name: str) -> str:
    """The place of the value ``name`` in the object at ``place``; odd names are quoted."""
    if name.replace("-", "_").replace(".", "_").isidentifier() and name.isascii() and len(name) <= MOST_SHOWN:
        return f"{place}.{name}" if place else name
    return f"{place}[{quoted(name)}]"


def is_comment(name: str) -> bool:
    """Whether a key is a remark for the reader of the file, to be skipped with all it holds."""
    return name.startswith(("_", "$"))


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``word`` was probably meant to be."""
    candidates = names if isinstance(names, (Mapping, Sequence, set, frozenset)) else tuple(names)
    if len(word) > 200:
        return None
    if len(candidates) > MOST_COMPARED:
        return one_edit_away(word, candidates)
    import difflib

    by_lower = {name.lower(): name for name in candidates}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def one_edit_away(word: str, names: Iterable[str]) -> str | None:
    """A name that differs by one typing error; takes the same time for any number of names."""
    known = names if isinstance(names, (Mapping, set, frozenset)) else set(names)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
    for at in range(len(word) + 1):
        head, tail = word[:at], word[at:]
        edits = [head + tail[1:], head + tail[1:2] + tail[:1] + tail[2:]]
        edits += [head + letter + tail[1:] for letter in letters]
        edits += [head + letter + tail for letter in letters]
        for edit in edits:
            if edit in known and edit != word:
                return edit
    return None


def levels_exceed(value: object, most: int) -> bool:
    """Whether lists and objects are nested more than ``most`` levels deep."""
    layer = [value]
    for _ in range(most + 1):
        inner: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif item is BROKEN:
                continue
        layer = [item for item in inner if isinstance(item, (dict, list))]
        if not layer:
            return False
    return True
