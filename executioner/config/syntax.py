"""What is wrong with a text that is not JSON, in words that tell how to mend it."""

from __future__ import annotations

_NO_COMMENTS = 'JSON has no comments: use a key that begins with _, such as "_comment"'
_SPACE = " \t\r\n"
#: What looks like nothing, although Python calls some of it printable.
_INVISIBLE = "\u200b\u2060\ufeff"
_BARE_WORDS = {
    "True": "true",
    "False": "false",
    "None": "null",
    "yes": "true",
    "no": "false",
    "undefined": "null",
}


def diagnosis(text: str, message: str, at: int) -> tuple[int, str]:
    """Where to look and what to change, from the reader's ``message`` and position."""
    start = _not_json(text)
    if start is not None:
        return start, "this is not JSON: it must begin with {"
    if "Unterminated string" in message:
        return at, "this string has no closing quote"
    if "Invalid control character" in message:
        return at, r"a line break or tab inside a string: write \n or \t, or close the quotes"
    if "escape" in message:
        return at, r"no such escape in JSON: write \\ for a backslash"
    before = _last_char_before(text, at)
    rest = text[at:]
    if not rest.strip():
        return _behind(text, before), "the file ends too early, something is not closed"
    if not rest[0].isprintable() or rest[0] in _INVISIBLE:
        return at, f"the invisible character U+{ord(rest[0]):04X} has no place here, remove it"
    if rest.startswith(("//", "/*", "#")):
        return at, _NO_COMMENTS
    if "trailing comma" in message or (rest[0] in "}]" and text[before : before + 1] == ","):
        return (at if rest[0] == "," else before), "remove this comma, nothing follows it"
    if "Expecting ',' delimiter" in message:
        return _missing_comma(text, before, at)
    if "Expecting ':' delimiter" in message:
        return _behind(text, before), "a colon is missing behind the key"
    if "Extra data" in message:
        return at, "text behind the end of the config"
    return at, _expected(message, rest)


def _not_json(text: str) -> int | None:
    """Where a file of another format begins, such as YAML, TOML or INI; None if it may be meant as JSON."""
    first = text.lstrip(_SPACE)[:1]
    body = text.lstrip(_SPACE)
    while body.startswith(("#", "//")):
        body = body.partition("\n")[2].lstrip(_SPACE)
    if not first.isprintable() or first in _INVISIBLE or body.startswith(("{", "/*")):
        return None
    head = body.partition("\n")[0].strip(_SPACE)
    is_section = head.endswith("]") and head.strip("[]").replace(" ", "_").replace(".", "_").isidentifier()
    if body.startswith("[") and not is_section:
        return None
    return len(text) - len(text.lstrip(_SPACE))


def _missing_comma(text: str, before: int, at: int) -> tuple[int, str]:
    """A value is complete, and what follows is neither a comma nor a closing bracket."""
    if text[at] in '"{[' or (text[before] in '"}]' and text[at].isalnum() and "\n" in text[before:at]):
        return _behind(text, before), "a comma is missing here"
    if text[at] in "}]":
        return at, f"{text[at]} closes what another bracket opened"
    if text[before] == '"' and before + 1 == at:
        return at, r"unexpected text behind a string: write \" for a quote inside one"
    return at, "expected a comma or a closing bracket"


def _expected(message: str, rest: str) -> str:
    """What should stand here instead of ``rest``, a key or a value."""
    wanted = "a key in double quotes" if "property name" in message else "a value"
    if rest[0] in "'‘’“”`":
        return 'use double quotes: "'
    word = rest[: len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"))]
    if word in _BARE_WORDS and wanted == "a value":
        return f"write {_BARE_WORDS[word]} instead of {word}"
    if word:
        return f"{'keys' if wanted != 'a value' else 'strings'} need double quotes"
    if rest[0] == "," and wanted == "a value":
        return "a value is missing before this comma"
    if rest[0] == ",":
        return "one comma too many"
    return f"expected {wanted}"


def _last_char_before(text: str, at: int) -> int:
    """The position of the last character before ``at`` that is no white space, else -1."""
    return len(text[:at].rstrip(" \t\r\n")) - 1


def _behind(text: str, before: int) -> int:
    """The position behind the character at ``before``."""
    return min(before + 1, len(text))
