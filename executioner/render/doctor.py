"""The screen of ``--doctor``: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from executioner.enumeration import StrEnum
from executioner.model import NextStep
from executioner.record import Record
from executioner.render.text import Palette, count, safe


class Level(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    NOTE = "note"  # nothing fails because of it now
    PROBLEM = "problem"


class Finding(Record):
    """What was found in one respect.

    Attributes:
        topic: what was looked at, a word or two.
        level: how it is.
        text: what was found.
        details: lines below that.
        advice: what to do, in words.
        steps: the same as commands.
    """

    topic: str
    level: Level
    text: str
    details: Sequence[str] = ()
    advice: str = ""
    steps: Sequence[NextStep] = ()


_TITLE = "Doctor"


def doctor_lines(findings: Sequence[Finding], palette: Palette, columns: int | None = None) -> Iterator[str]:
    """The screen, line by line; text is wrapped where it is shown in so many columns, commands never."""
    marks = {Level.GOOD: palette.good, Level.NOTE: palette.paint("33", "!"), Level.PROBLEM: palette.bad}
    width = max(len(one.topic) for one in findings)
    indent = " " * (width + 4)
    yield _TITLE
    yield "=" * len(_TITLE)
    for one in findings:
        first, *rest = _wrapped(one.text, columns, len(indent))
        yield f"{marks[one.level]} {one.topic:{width}}  {first}"
        for text in (*one.details, one.advice):
            rest += _wrapped(text, columns, len(indent)) if text else []
        yield from (f"{indent}{line}" for line in rest)
        for step in one.steps:
            yield f"{indent}{safe(step.why)}"
            yield f"{indent}  {step.line}"
    yield ""
    yield _verdict(findings)


def _wrapped(text: str, columns: int | None, indent: int) -> list[str]:
    shown = safe(text)
    if columns is None or indent + len(shown) <= columns:
        return [shown]
    import textwrap

    room = max(columns - indent, 30)
    return textwrap.wrap(shown, room, break_long_words=False, break_on_hyphens=False)


def _verdict(findings: Sequence[Finding]) -> str:
    problems = sum(one.level is Level.PROBLEM for one in findings)
    notes = sum(one.level is Level.NOTE for one in findings)
    if not problems and not notes:
        return "No problem found."
    counts = [count(number, noun) for number, noun in ((problems, "problem"), (notes, "note")) if number]
    return f"{' and '.join(counts)}: see above." if problems else f"No problem found, {counts[0]}: see above."


def doctor_object(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """The findings as ``--format json`` prints them."""
    return [
        {
            "topic": one.topic,
            "level": one.level.value,
            "text": one.text,
            "details": list(one.details),
            "advice": one.advice or None,
            "commands": [step.line for step in one.steps],
        }
        for one in findings
    ]
