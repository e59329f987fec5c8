"""Commands that run without a shell (``allow_shell: false``): what may stand in them.

Quotes and backslashes work as in a shell, and as ``shlex.split`` reads them. Everything
else that only a shell understands is refused, so that no command silently does something
else than it says. ``${NAME}`` is allowed: it is filled in when the job starts.
"""

from __future__ import annotations

from executioner.config.problems import nearest, quoted
from executioner.environ import NAME_CHARS

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./,:+@=%^- \t")
_SYNTAX = frozenset("|&;<>()$`*?[]{}!\n\r")
_QUOTES = frozenset("'\"\\")
_BREAKS = {"\n": "a line break", "\r": "a carriage return"}
_BUT = "but allow_shell is false"
_ALLOW = "set allow_shell to true"


def faults(command: str, whitelist: frozenset[str] | None) -> list[str]:
    """What is wrong with a command that is not for a shell; empty if nothing is."""
    found = [] if _PLAIN.issuperset(command) else _syntax(command)
    if found and not _PLAIN.issuperset(command.split(None, 1)[0]):
        return found  # where the first word ends is not clear
    word = _first_word(command)
    name, sign, _ = word.partition("=")
    if not word:
        found.append("the command's name is empty (allow_shell: false)")
    elif sign and name and not name[0].isdigit() and NAME_CHARS.issuperset(name):
        found.append(f"{quoted(word)} before a command needs a shell, {_BUT}: use env_variables or {_ALLOW}")
    elif whitelist is not None and word not in whitelist:
        near = nearest(word, whitelist)
        hint = "" if near is None else f", did you mean {quoted(near)}?"
        found.append(f"{quoted(word)} is not in command_whitelist{hint}")
    return found


def _first_word(command: str) -> str:
    word = command.split(None, 1)[0]
    if _QUOTES.isdisjoint(word):
        return word
    import shlex

    return shlex.split(command)[0]


def _syntax(command: str) -> list[str]:
    """The shell syntax outside quotes, each character once, and quotes that are not closed."""
    at = 0
    end = len(command)
    quote = ""
    bare: dict[str, None] = {}
    within: dict[str, None] = {}
    unclosed: list[str] = []
    while at < end:
        char = command[at]
        step = 1
        if quote == "'":
            quote = "" if char == "'" else quote
        elif char == "\\":
            step = 2
            if at + 1 == end:
                unclosed.append("a backslash at the end quotes nothing (allow_shell: false)")
            elif command[at + 1] == "\n":
                bare["\n"] = None
            elif quote and command[at + 1] in "$`":
                within[command[at + 1]] = None
        elif char == '"' or (char == "'" and not quote):
            quote = "" if quote else char
        elif char == "$" and _reference_end(command, at):
            step = _reference_end(command, at) - at
        elif quote:
            if char in "$`":
                within[char] = None
        elif _is_syntax(command, at):
            bare[char] = None
        at += step
    if quote:
        unclosed.append(f"the quote {quote} is not closed (allow_shell: false)")
    return [*_refusals(list(bare), list(within)), *unclosed]


def _is_syntax(command: str, at: int) -> bool:
    """Whether the unquoted character at ``at`` means something to a shell."""
    char = command[at]
    if char in _SYNTAX:
        return True
    before = command[at - 1] if at else " "
    return (char == "#" and before in " \t") or (char == "~" and before in " \t=:")


def _reference_end(command: str, at: int) -> int:
    """The position behind a ``${NAME}`` that begins at ``at``; 0 if none does."""
    end = command.find("}", at) if command.startswith("${", at) else -1
    name = command[at + 2 : end] if end > 0 else ""
    return end + 1 if name and not name[0].isdigit() and NAME_CHARS.issuperset(name) else 0


def _refusals(bare: list[str], within: list[str]) -> list[str]:
    """The messages about characters outside quotes, and about those inside double quotes."""
    found: list[str] = []
    signs = [char for char in bare if char not in _BREAKS]
    breaks = [_BREAKS[char] for char in bare if char in _BREAKS]
    if signs:
        them = "it" if len(signs) == 1 else "them"
        examples = ", ".join(f"'{char}'" for char in signs)
        found.append(f"{_need(signs)} a shell, {_BUT}: quote {them} ({examples}) or {_ALLOW}")
    if within:
        found.append(f"{_need(within, ' inside double quotes')} a shell, {_BUT}: use single quotes or {_ALLOW}")
    if breaks:
        found.append(f"{_need(breaks)} a shell, {_BUT}: write one command or {_ALLOW}")
    return found


def _need(marks: list[str], where: str = "") -> str:
    """``*, ( and ) need``."""
    listed = " and ".join(filter(None, [", ".join(marks[:-1]), marks[-1]]))
    return f"{listed}{where} {'needs' if len(marks) == 1 else 'need'}"
