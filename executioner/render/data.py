"""What scripts read: runs and jobs as JSON and CSV, line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from executioner.jsontext import indented, one_line
from executioner.render.text import safe

_BELOW = "\n  "
_LINE_END = "\r\n"


def json_list_lines(objects: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The lines of a JSON list of objects; ``[]`` if there are none."""
    before = "["
    for one in objects:
        yield before
        before = f"  {indented(one, _BELOW)},"
    yield "[]" if before == "[" else before[:-1]
    if before != "[":
        yield "]"


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[object]], *, escape: bool) -> Iterator[str]:
    """A header and a line a row (RFC 4180, newline-ended): nothing for null, true, false and objects as in JSON.

    ``escape`` shows control characters escaped: for a terminal.
    """
    import csv

    # what ends a line there is what is quoted in a value
    write = csv.writer(_Echo(), lineterminator=_LINE_END).writerow
    yield write(header)[: -len(_LINE_END)]
    for row in rows:
        yield write([_value(value, escape) for value in row])[: -len(_LINE_END)]


class _Echo:
    """A file that hands back what is written: the writer of the library then returns its line."""

    @staticmethod
    def write(text: str) -> str:
        return text


def _value(value: object, escape: bool) -> object:
    if isinstance(value, bool | dict | list):
        return one_line(value)
    return safe(value) if escape and isinstance(value, str) else value
