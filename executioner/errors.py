"""The one base of all errors that a user is meant to read, and their exit codes."""

from __future__ import annotations

from collections.abc import Sequence

from executioner.model import NextStep
from executioner.record import Record


class ExecutionerError(Exception):
    """Something a user must read: what, where, details, and what to type next.

    Shown by the command line as ``Error: WHAT (WHERE)``, the details indented, ``remark``, then
    ``assurance`` and the next steps, and ``ending`` last.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        where: str = "",
        *,
        details: Sequence[str] = (),
        steps: Sequence[NextStep] = (),
        assurance: str = "",
        body: Sequence[str] = (),
        remark: str = "",
        ending: str = "",
    ) -> None:
        """``body`` are lines that are shown as they are, after an empty one."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.details = tuple(details)
        self.steps = tuple(steps)
        self.assurance = assurance
        self.body = tuple(body)
        self.remark = remark
        self.ending = ending


class UsageError(ExecutionerError):
    """The command line asks for something that cannot be done."""


class UnknownRunError(ExecutionerError, LookupError):
    """There is no run of that id in the history."""


#: What errors of the command line end with.
SEE_OPTIONS = NextStep("To see all options:", ("--help",))


class Problem(Record):
    """One fault in a config: its place (``jobs[3].timeout``) and what is wrong there."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class ConfigError(ExecutionerError):
    """A config that cannot be run, with every problem that was found in it."""

    def __init__(
        self, path: str, problems: Sequence[Problem], steps: Sequence[NextStep] = (), total: int | None = None
    ) -> None:
        """``total`` where there are more problems than are given."""
        count = len(problems) if total is None else total
        super().__init__(
            f"{count:,} problem{'' if count == 1 else 's'} in the config",
            path,
            details=[str(problem) for problem in problems],
            steps=steps,
            assurance="Nothing was run.",
        )
        self.problems = tuple(problems)


class HistoryError(ExecutionerError):
    """The history cannot be used: foreign, newer, corrupt, locked, not writable."""

    exit_code = 3


class DamagedHistoryError(HistoryError):
    """The history's content is wrong."""


class NoHistoryError(HistoryError):
    """There is no history at that place."""


class RunRefusedError(ExecutionerError):
    """The run may not start now: too many are active, it is being resumed, processes of it are left."""

    exit_code = 3
