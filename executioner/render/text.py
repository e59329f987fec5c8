"""The small parts of every screen: durations, local times, escaped text, quoted words, colours."""

from __future__ import annotations

import os.path
import time
from collections.abc import Sequence

from executioner.lean import lru_cache
from executioner.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

#: C0 and C1 controls, DEL, bidirectional marks, line and paragraph separators, surrogates,
#: and the byte order mark: what could move the cursor, reorder or hide text.
_UNSAFE = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
#: What a shell takes as it stands: ``shlex`` would not quote it either.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}


class Palette(Record):
    """How a stream shows things: colours or not, which symbols it has."""

    colour: bool = False
    unicode: bool = True

    def paint(self, code: str, text: str) -> str:
        """Text in a colour, where the stream has colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    @property
    def good(self) -> str:
        """The mark of success."""
        return self.paint("32", "✓" if self.unicode else "+")

    @property
    def bad(self) -> str:
        """The mark of failure."""
        return self.paint("31", "✗" if self.unicode else "x")

    @property
    def idle(self) -> str:
        """The mark of what did not run."""
        return self.paint("2", "-")

    def status(self, status: str, words: str | None = None) -> str:
        """A status in its colour, or other words in it."""
        return self.paint(_STATUS_COLOURS.get(status, "0"), words or status)


_STATUS_COLOURS = {
    "SUCCESS": "32",
    "FAILED": "31",
    "TIMEOUT": "31",
    "ERROR": "31",
    "INTERRUPTED": "33",
    "PARTIAL": "33",
    "RUNNING": "36",
}


def safe(text: str) -> str:
    """Text with nothing in it that a terminal would obey: such characters are shown escaped."""
    if text.isascii() and text.isprintable():
        return text
    import re  # 1.2 ms, and most text is plain

    return re.sub(_UNSAFE, _escape, text)


def safe_lines(text: str) -> str:
    """As ``safe``, for text of many lines: newlines and tabs are kept."""
    import re

    return re.sub(_UNSAFE, lambda match: match[0] if match[0] in "\n\t" else _escape(match), text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def storable(text: str) -> str:
    r"""Text as UTF-8 can hold it: bytes of another encoding become ``\xff``."""
    return text if text.isascii() else os.fsencode(text).decode("utf-8", "backslashreplace")


def duration(seconds: float) -> str:
    """``HH:MM:SS``, rounded to the nearest second; hours grow as needed."""
    whole = max(0, int(seconds + 0.5))
    if not whole:
        return "00:00:00"
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def limit(seconds: float) -> str:
    """A time limit: as ``duration``, but one of less than a second is not shown as none."""
    return duration(seconds) if seconds >= 1 else f"{round(seconds, 3):g} s"


def local_time(at: float) -> str:
    """``2025-05-23 09:45:00`` in the local time zone."""
    return _local_second(int(at // 1))


def clock_time(at: float) -> str:
    """``09:45:00`` in the local time zone."""
    return _local_second(int(at // 1))[11:]


@lru_cache(maxsize=4)  # most instants that a busy run tells of share their second
def _local_second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def count(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from wcwidth import width

    return width(text)


def quoted(word: str) -> str:
    """A word as it is typed at a shell, fit for pasting and for a terminal."""
    if word and _PLAIN.issuperset(word):
        return word
    if safe(word) != word:
        return "$'" + "".join(_ansi_c(byte) for byte in os.fsencode(word)) + "'"
    import shlex

    return shlex.quote(word)


def _ansi_c(byte: int) -> str:
    if 0x20 <= byte < 0x7F:
        character = chr(byte)
        return "\\" + character if character in "\\'" else character
    return f"\\x{byte:02x}"


def shown_path(path: str, cwd: str) -> str:
    """An absolute path as seen from ``cwd``: relative where it lies below it, else whole."""
    if path == cwd:
        return "."
    if cwd == "/":  # everything lies below it: that tells nobody anything
        return path
    prefix = cwd if cwd.endswith("/") else cwd + "/"
    return path[len(prefix) :] if path.startswith(prefix) else path


def log_path(path: str, cwd: str) -> str:
    """As ``shown_path``, with a leading ``./`` where relative."""
    shown = shown_path(path, cwd)
    return shown if shown.startswith("/") else f"./{shown}"


def few(names: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: the first of some names, in a sentence."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def first_of(lines: Sequence[str], most: int) -> list[str]:
    """The first few of many lines, and how many more there are."""
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]
