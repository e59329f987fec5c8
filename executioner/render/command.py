"""Commands to type next: complete, quoted, as the program was called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from executioner.model import NextStep
from executioner.record import Record
from executioner.render.text import quoted, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.suggest import Hint

_HINT_WIDTH = 76


class Invocation(Record):
    """How the program was called, as far as a printed command has to repeat it.

    ``config`` and ``db`` are the paths to print, None where none is needed; ``flags`` are
    those that a resumed run needs again, quoted as they are typed; ``directory`` is set where the reader may not
    know the current folder: commands then begin with ``cd``.
    """

    program: Sequence[str]
    directory: str | None = None
    config: str | None = None
    db: str | None = None
    flags: str = ""

    def run(self, *args: str) -> str:
        """A command that reads the config."""
        return self._line((*self.config_words, *self.db_words), self.flags, args)

    def look(self, *args: str) -> str:
        """A command that reads the history alone."""
        return self._line((*self.db_words, *args))

    def template(self, *words: str) -> str:
        """The beginning of a command that the reader completes; ``words`` are shown as they are."""
        return " ".join([self._line(()), *words, *map(quoted, self.db_words)])

    def resume_template(self, *args: str) -> str:
        """A command that goes on with a run whose config the reader has to name."""
        return " ".join([self.template("-c NEW_PATH"), *([self.flags] if self.flags else []), *map(quoted, args)])

    def plain(self, args: Iterable[str]) -> str:
        """A command that is given whole."""
        return self._line(tuple(args))

    @property
    def config_words(self) -> Sequence[str]:
        """``-c PATH`` where there is a config."""
        if self.config is None:
            return ()
        return ("-c", as_argument(self.config))

    @property
    def db_words(self) -> Sequence[str]:
        """``--db PATH`` where a command needs it."""
        return ("--db", self.db) if self.db is not None else ()

    def _line(self, words: Sequence[str], flags: str = "", rest: Sequence[str] = ()) -> str:
        before = [quoted(word) for word in (*self.program, *words)]
        line = " ".join([*before, *([flags] if flags else []), *map(quoted, rest)])
        return f"cd {quoted(self.directory)} && {line}" if self.directory is not None else line


def as_argument(name: str) -> str:
    """A file name as an option's value: one that begins with a hyphen would be taken for an option."""
    return f"./{name}" if name.startswith("-") else name


def hint_lines(hint: Hint, invocation: Invocation) -> list[str]:
    """A hint as lines that are no wider than a page, after an empty one; then its command, if it has one."""
    import textwrap

    lines = textwrap.wrap(f"Hint: {hint.text}", _HINT_WIDTH, break_long_words=False, break_on_hyphens=False)
    return ["", *lines, *([f"  {invocation.look(*hint.look)}"] if hint.look else [])]


def step_line(step: NextStep, invocation: Invocation) -> str:
    """A step's command as it is typed."""
    into = f" > {quoted(step.into)}" if step.into is not None else ""
    return f"{step.line or invocation.plain(step.args)}{into}"


def steps_text(steps: Iterable[NextStep], invocation: Invocation, assurance: str = "") -> list[str]:
    """Next steps, a reason and a command each; ``assurance`` goes before the first reason."""
    lines: list[str] = []
    for step in steps:
        why = f"{assurance} {step.why}" if assurance and not lines else step.why
        lines += [safe(why), f"  {step_line(step, invocation)}"]
    return lines or ([safe(assurance)] if assurance else [])
