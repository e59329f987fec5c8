"""Commands that run without a shell (``allow_shell: false``): what may stand in them.

Quotes and backslashes work as in a shell, and as ``shlex.split`` reads them. Everything
else that only a shell understands is refused, so that no command silently does something
else than it says. ``${NAME}`` is allowed: it is filled in when the job starts.
"""

from executioner.config.problems import nearest, printable, quoted
from executioner.environ import NAME_CHARS

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./,:+@=%^- \t")
_SYNTAX = frozenset("|&;<>()$`*?[]{}!\n\r")
_QUOTES = frozenset("'\"\\")
_MARKS = {"\n": "a line break", "\r": "a carriage return"}


def problem(command: str, whitelist: frozenset[str] | None) -> str | None:
    """What is wrong with a command that is not for a shell, None if nothing is."""
    message = None if _PLAIN.issuperset(command) else _syntax(command)
    if message is not None:
        return message
    word = _first_word(command)
    name, sign, _ = word.partition("=")
    if not word:
        return "the command's name is empty (allow_shell: false)"
    if sign and name and not name[0].isdigit() and NAME_CHARS.issuperset(name):
        return f"{quoted(word)} before a command needs a shell, use env_variables (allow_shell: false)"
    if whitelist is not None and word not in whitelist:
        near = nearest(word, whitelist)
        hint = "" if near is None else f", did you mean {quoted(near)}?"
        return f"{quoted(word)} is not in command_whitelist{hint}"
    return None


def _first_word(command: str) -> str:
    word = command.split(None, 1)[0]
    if _QUOTES.isdisjoint(word):
        return word
    import shlex

    return shlex.split(command)[0]


def _syntax(command: str) -> str | None:
    """The first shell syntax outside quotes, or quotes that are not closed."""
    at = 0
    end = len(command)
    quote = ""
    while at < end:
        char = command[at]
        step = 1
        if quote == "'":
            quote = "" if char == "'" else quote
        elif char == "\\":
            if at + 1 == end:
                return "a backslash at the end quotes nothing (allow_shell: false)"
            if command[at + 1] == "\n" or (quote and command[at + 1] in "$`"):
                return _refusal(command[at + 1], quote)
            step = 2
        elif char == '"' or (char == "'" and not quote):
            quote = "" if quote else char
        elif char == "$" and _reference_end(command, at):
            step = _reference_end(command, at) - at
        elif char in "$`" if quote else _is_syntax(command, at):
            return _refusal(char, quote)
        at += step
    return f"the quote {quote} is not closed (allow_shell: false)" if quote else None


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


def _refusal(char: str, quote: str) -> str:
    mark = _MARKS.get(char) or printable(char)
    where = " inside double quotes" if quote else ""
    remedy = "put it in single quotes" if char not in "\n\r" else "write one command"
    return f"{mark}{where} needs a shell: {remedy}, or allow one (allow_shell: false)"
