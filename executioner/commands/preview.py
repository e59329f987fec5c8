"""``--dry-run``: what a run would do."""

import json
from os.path import dirname

from executioner.commands.context import Context
from executioner.commands.guards import active_warnings
from executioner.folders import check_can_hold
from executioner.history.files import Kind, check_writable, identify, problem
from executioner.history.reader import History
from executioner.plan import Plan
from executioner.render.command import Invocation
from executioner.render.dryrun import plan_lines, plan_object
from executioner.render.error import note_text, warning_text

_COMING = {
    Kind.OLDER: "The run would first bring the history to this version, after a backup beside it",
    Kind.EARLIER_TOOL: "The run would first take over the history of the earlier tool, after a backup beside it",
}


def preview(context: Context, plan: Plan, history: str, typed: Invocation) -> int:
    """Show the plan; starts and writes nothing, and refuses what a run would refuse.

    Raises:
        ExecutionerError: a run would end with it before its first job.
    """
    kind = identify(history)
    durations, warnings = _look(plan, kind, history, typed)
    out, err = context.terminal.out, context.terminal.err
    if kind in _COMING:
        err.write(note_text(_COMING[kind]))
    for warning in warnings:
        err.write(warning_text(warning, err.palette))
    if context.options.json:
        out.write(json.dumps(plan_object(plan, durations), indent=2) + "\n")
        return 0
    verbose = context.options.verbose
    out.write_lines(plan_lines(plan, durations, typed, out.palette, context.cwd, verbose=verbose))
    return 0


def _look(plan: Plan, kind: Kind, history: str, typed: Invocation) -> tuple[dict[str, list[float]], list[str]]:
    """What the history says to a plan: past durations, and warnings."""
    workflow = plan.workflow
    if kind is Kind.ABSENT:
        try:
            check_can_hold(dirname(history))
        except OSError as exc:
            raise problem(history, exc) from exc
        return {}, []

    check_writable(history)
    reader = History(history)
    warnings = active_warnings(workflow, reader.active_runs(workflow.config_path), typed)
    return (reader.durations_s(workflow.name) if plan.workers > 1 else {}), warnings
