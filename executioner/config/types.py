"""What a value in a config may be: small classes that judge it and describe themselves.

Each kind says whether a value is fine (``problem``), tells a collector where exactly it is
not (``report``), gives its JSON Schema (``schema``) and its words for the documentation
(``words``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from executioner.config.problems import BROKEN, Problems, WrittenFloat, mismatch


class Kind:
    """The base: a kind that takes nothing. ``expected`` completes "expected ..., got ..."."""

    __slots__ = ("expected",)
    expected: str
    #: The Python types that JSON values of this kind have, by which ``Either`` chooses.
    takes: tuple[type, ...] = ()

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, None if nothing is."""
        raise NotImplementedError

    def report(self, value: object, place: str, problems: Problems) -> None:
        """Add what ``problem`` found, at the exact place inside the value."""
        message = self.problem(value)
        if message is not None and value is not BROKEN:
            problems.add(place, message)

    def schema(self) -> dict[str, object]:
        """The JSON Schema that says the same, as far as a schema can."""
        raise NotImplementedError

    def words(self) -> str:
        """What the documentation says in its type column: the message without its advice."""
        return self.expected.partition(" (")[0].removeprefix("an ").removeprefix("a ")


class Flag(Kind):
    """True or false."""

    __slots__ = ()
    takes = (bool,)

    def __init__(self) -> None:
        self.expected = "true or false"

    def problem(self, value: object) -> str | None:
        """Anything but a boolean is wrong, 0 and "yes" too."""
        return None if value is True or value is False else mismatch(self.expected, value)

    def schema(self) -> dict[str, object]:
        """A boolean."""
        return {"type": "boolean"}


class Text(Kind):
    """A string that is not blank. ``fault`` finds what else may be wrong with it.

    ``rule`` is what a JSON Schema can say about that.
    """

    __slots__ = ("fault", "rule")
    takes = (str,)

    def __init__(
        self,
        expected: str = "a string",
        fault: Callable[[str], str | None] | None = None,
        rule: Mapping[str, object] | None = None,
    ) -> None:
        self.expected = expected
        self.fault = fault
        self.rule = {"pattern": r"\S"} if rule is None else rule

    def problem(self, value: object) -> str | None:
        """Wrong: no string, a blank one, or what ``fault`` says."""
        if type(value) is not str:
            return mismatch("a string", value)
        if not value or value.isspace():
            return mismatch(self.expected, value)
        return self.fault(value) if self.fault is not None else None

    def schema(self) -> dict[str, object]:
        """A string, with what the schema can say about its content."""
        return {"type": "string", **self.rule}


class AnyText(Kind):
    """Any string, the empty one too."""

    __slots__ = ()
    takes = (str,)

    def __init__(self) -> None:
        self.expected = "a string"

    def problem(self, value: object) -> str | None:
        """Only what is no string is wrong."""
        return None if type(value) is str else mismatch(self.expected, value)

    def schema(self) -> dict[str, object]:
        """A string."""
        return {"type": "string"}


class OneOf(Kind):
    """One of a few words; with ``any_case`` however they are written.

    ``expected`` replaces the list of the words in messages; ``remedies`` has better messages
    for some wrong words.
    """

    __slots__ = ("any_case", "remedies", "values")
    takes = (str,)

    def __init__(
        self,
        *values: str,
        any_case: bool = False,
        expected: str | None = None,
        remedies: Mapping[str, str] | None = None,
    ) -> None:
        self.values = values
        self.any_case = any_case
        self.remedies = remedies or {}
        names = [name if any_case else f'"{name}"' for name in values]
        self.expected = expected or " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

    def problem(self, value: object) -> str | None:
        """Wrong: any other word."""
        if isinstance(value, str):
            if (value.upper() if self.any_case and value.isascii() else value) in self.values:
                return None
            if value in self.remedies:
                return self.remedies[value]
        return mismatch(self.expected, value)

    def schema(self) -> dict[str, object]:
        """An enumeration, or a pattern when the case does not matter."""
        if not self.any_case:
            return {"enum": list(self.values)}
        words = ("".join(f"[{char}{char.lower()}]" for char in value) for value in self.values)
        return {"type": "string", "pattern": f"^(?:{'|'.join(words)})$"}


class Number(Kind):
    """A number from ``least`` to ``most``, with ``over`` without ``least`` itself.

    ``whole`` is for integers (2.0 is one); with ``null``, null is fine too. ``in_range`` is
    expected where a number is too large, for kinds whose usual words do not tell the limit.
    """

    __slots__ = ("in_range", "least", "most", "null", "over", "whole")
    takes = (int, float, WrittenFloat, type(None))

    def __init__(
        self,
        expected: str,
        least: float,
        most: float,
        *,
        over: bool = False,
        whole: bool = False,
        null: bool = False,
        in_range: str | None = None,
    ) -> None:
        self.expected = expected
        self.in_range = in_range or expected
        self.least = least
        self.most = most
        self.over = over
        self.whole = whole
        self.null = null

    def problem(self, value: object) -> str | None:
        """Wrong: no number, a boolean, a fraction where none may be, or out of range."""
        if value is None and self.null:
            return None
        if not isinstance(value, (int, float)) or value is True or value is False:
            return mismatch(self.expected, value)
        if value > self.most:
            return mismatch(self.in_range, value)
        # NaN fails every comparison, so the test asks for what is right.
        if not value >= self.least or (self.over and value == self.least):
            return mismatch(self.expected, value)
        if self.whole and value != int(value):
            return mismatch(self.expected, value)
        return None

    def schema(self) -> dict[str, object]:
        """A number or integer with its bounds."""
        name = "integer" if self.whole else "number"
        lower = "exclusiveMinimum" if self.over else "minimum"
        return {
            "type": [name, "null"] if self.null else name,
            lower: self.least,
            "maximum": self.most,
        }

    def words(self) -> str:
        """The words of the message, and null."""
        return f"{super().words()}, or null" if self.null else super().words()


class ListOf(Kind):
    """A list with items of one kind; ``shallow`` leaves judging the items to the caller."""

    __slots__ = ("item", "least", "null", "shallow")
    takes = (list,)

    def __init__(
        self, expected: str, item: Kind, *, least: int = 0, null: bool = False, shallow: bool = False
    ) -> None:
        self.expected = expected
        self.item = item
        self.least = least
        self.null = null
        self.shallow = shallow

    def problem(self, value: object) -> str | None:
        """Wrong: no list, too short, or a wrong item (the first one's message)."""
        if type(value) is not list:
            return None if value is None and self.null else mismatch(self.expected, value)
        if len(value) < self.least:
            return mismatch(self.expected, value)
        if not self.shallow:
            judge = self.item.problem
            for item in value:
                message = judge(item)
                if message is not None:
                    return message
        return None

    def report(self, value: object, place: str, problems: Problems) -> None:
        """Add the list's own problem, or each item's at ``place[i]``."""
        if isinstance(value, list) and len(value) >= self.least:
            if self.shallow:
                return
            for at, item in enumerate(value):
                self.item.report(item, f"{place}[{at}]", problems)
        else:
            super().report(value, place, problems)

    def schema(self) -> dict[str, object]:
        """An array."""
        schema: dict[str, object] = {"type": ["array", "null"] if self.null else "array"}
        schema["items"] = self.item.schema()
        if self.least:
            schema["minItems"] = self.least
        return schema

    def words(self) -> str:
        """The words of the message, and null."""
        return f"{super().words()}, or null" if self.null else super().words()


class Either(Kind):
    """One of several kinds of different JSON types."""

    __slots__ = ("kinds",)

    def __init__(self, expected: str, *kinds: Kind) -> None:
        self.expected = expected
        self.kinds = kinds

    def problem(self, value: object) -> str | None:
        """What the kind of the value's type says; any other type is wrong."""
        kind = self._kind(value)
        return kind.problem(value) if kind else mismatch(self.expected, value)

    def report(self, value: object, place: str, problems: Problems) -> None:
        """Let the kind of the value's type report."""
        kind = self._kind(value)
        if kind:
            kind.report(value, place, problems)
        else:
            super().report(value, place, problems)

    def schema(self) -> dict[str, object]:
        """Any of the kinds' schemas."""
        return {"anyOf": [kind.schema() for kind in self.kinds]}

    def _kind(self, value: object) -> Kind | None:
        return next((kind for kind in self.kinds if type(value) in kind.takes), None)
