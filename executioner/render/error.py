"""How an error looks: what, where, details, and what to type next."""

from __future__ import annotations

from executioner.errors import ExecutionerError
from executioner.render.command import Invocation, steps_text
from executioner.render.text import Palette, safe


def warning_text(text: str, palette: Palette) -> str:
    """The line of a warning, ended by a newline."""
    return f"{palette.paint('33', 'Warning:')} {safe(text)}\n"


def note_text(text: str) -> str:
    """The line of a note, ended by a newline."""
    return f"Note: {safe(text)}\n"


def error_text(error: ExecutionerError, invocation: Invocation, palette: Palette) -> str:
    """The lines of an error, ended by a newline."""
    where = f" ({safe(error.where)})" if error.where else ""
    lines = [f"{palette.paint('31', 'Error:')} {safe(error.what)}{where}"]
    lines += [f"  {safe(detail)}" for detail in error.details]
    if error.body:
        lines += ["", *map(safe, error.body)]
    if error.remark:
        lines.append(safe(error.remark))
    rest = steps_text(error.steps, invocation, error.assurance)
    if (error.details or error.body) and rest:
        lines.append("")
    ending = [safe(error.ending)] if error.ending else []
    return "\n".join([*lines, *rest, *ending]) + "\n"
