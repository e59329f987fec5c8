"""``--dry-run``: what a run would do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os.path import dirname

from executioner.commands.context import Context
from executioner.commands.guards import active_warnings, place_warnings
from executioner.folders import check_can_hold
from executioner.history.files import Kind, check_writable, identify, problem
from executioner.history.reader import History
from executioner.mounts import free_bytes
from executioner.plan import Plan
from executioner.render.command import Invocation
from executioner.render.dryrun import DurationsByJob
from executioner.render.error import note_text, warning_text

_COMING = {
    Kind.OLDER: "the run would first bring the history to this version, after a backup beside it",
    Kind.EARLIER_TOOL: "the run would first take over the history of the earlier tool, after a backup beside it",
}


def look_ahead(context: Context, plan: Plan, history: str, typed: Invocation) -> DurationsByJob:
    """Look whether the plan could be run now, and say what the run would say; returns past durations.

    Raises:
        ExecutionerError: a run would end with it before its first job.
    """
    kind = identify(history)
    workflow, err = plan.workflow, context.terminal.err
    if free_bytes(history) == 0:
        text = "nothing is free on the disk of the history: if that stays so a run may be refused"
        err.write(warning_text(text, err.palette))
    if kind is Kind.ABSENT:
        try:
            check_can_hold(dirname(history))
        except OSError as exc:
            raise problem(history, exc) from exc
        return {}
    check_writable(history)
    reader = History(history)
    active = reader.active_runs(workflow.config_path)
    warnings = [*place_warnings(history), *active_warnings(workflow, active, typed)]
    if kind in _COMING:
        err.write(note_text(_COMING[kind]))
    for warning in warnings:
        err.write(warning_text(warning, err.palette))
    return reader.durations_s(workflow.name) if plan.workers > 1 else {}


def show_preview(context: Context, lines: Iterable[str], data: Callable[[], object]) -> None:
    """Show a plan as a screen, or as JSON where that is wanted."""
    out = context.terminal.out
    if context.options.json:
        from executioner.jsontext import indented

        out.write(indented(data()) + "\n")
    else:
        out.write_lines(lines)
