"""JSON by the interpreter's own functions, as far as they go; all else is left to the package ``json``.

That package compiles regular expressions: 0.7 ms of every start. What the functions cannot read is read by the
package once more, for the error: where that is not loaded, Python 3.11 has none.
"""

from __future__ import annotations

import sys

try:
    import _json
except ImportError:  # an interpreter that is built in another way
    _json = None  # type: ignore[assignment]
if hasattr(sys, "gettotalrefcount"):  # or for debugging: where one reports no error it ends the process
    _json = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\r\n"


class Hooks:
    """What is made of the values that are read, as ``json.JSONDecoder`` takes it; by default the usual."""

    strict = True
    object_hook = array_hook = None
    object_pairs_hook: Any = None
    parse_float: Any = float
    parse_int: Any = int
    parse_constant: Any = float


_PLAIN = Hooks()


def loads(text: str, hooks: Hooks = _PLAIN) -> Any:
    """What a JSON text says.

    Raises:
        json.JSONDecodeError: it is none; a ``ValueError``.
        RecursionError: it is nested too deeply.
    """
    if _json is not None:
        body = text.strip(_SPACE)
        try:
            value, end = _json.make_scanner(hooks)(body, 0)  # type: ignore[arg-type]
        except (ValueError, StopIteration, RecursionError, SystemError):
            end = -1
        if end == len(body):
            return value
    from json import JSONDecoder

    return JSONDecoder(
        object_pairs_hook=hooks.object_pairs_hook,
        parse_float=hooks.parse_float,
        parse_int=hooks.parse_int,
        parse_constant=hooks.parse_constant,
    ).decode(text)


def _refuse(value: object) -> object:
    raise TypeError(f"JSON has nothing like {type(value).__name__}")


if _json is not None:
    in_quotes, _in_ascii = _json.encode_basestring, _json.encode_basestring_ascii
    _sorted = _json.make_encoder(None, _refuse, _in_ascii, None, ": ", ", ", True, False, True)
    _compact = _json.make_encoder(None, _refuse, in_quotes, None, ":", ",", True, False, True)
    _in_order = _json.make_encoder(None, _refuse, _in_ascii, None, ": ", ", ", False, False, True)

    def dumps(value: object) -> str:
        """The text of a value, its keys sorted."""
        return "".join(_sorted(value, 0))

    def one_line(value: object) -> str:
        """The text of a value, its keys in their order."""
        return "".join(_in_order(value, 0))

    def canonical(value: object) -> str:
        """The text of a value that is the same for equal values: keys sorted, no spaces, in Unicode."""
        return "".join(_compact(value, 0))

else:
    import json

    in_quotes, _in_ascii = json.encoder.encode_basestring, json.encoder.encode_basestring_ascii

    def dumps(value: object) -> str:  # noqa: D103
        return json.dumps(value, sort_keys=True)

    def one_line(value: object) -> str:  # noqa: D103
        return json.dumps(value)

    def canonical(value: object) -> str:  # noqa: D103
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def indented(value: object, margin: str = "\n") -> str:
    """The text of a value as people read it, a line an entry, keys being texts; ``margin`` begins its lines."""
    deeper = margin + "  "
    if value and isinstance(value, dict):
        entries = []
        for key, one in value.items():  # a comprehension would be a frame more a level
            entries.append(f"{_in_ascii(key)}: {indented(one, deeper)}")
        return f"{{{deeper}{f',{deeper}'.join(entries)}{margin}}}"
    if value and isinstance(value, list | tuple):
        entries = []
        for one in value:
            entries.append(indented(one, deeper))
        return f"[{deeper}{f',{deeper}'.join(entries)}{margin}]"
    return one_line(value)
