"""``--dry-run``: what a run would do."""

import json
from sqlite3 import Connection

from executioner.commands.context import Context
from executioner.commands.guards import check_active_runs, check_log_dir
from executioner.history.files import Kind, identify
from executioner.history.read import durations_s, reading, unfinished_runs
from executioner.plan import Plan
from executioner.render.command import Invocation
from executioner.render.dryrun import plan_lines, plan_object

_LINES_AT_ONCE = 1000


def preview(context: Context, plan: Plan, history: str, typed: Invocation) -> int:
    """Show the plan; starts and writes nothing, and refuses what a run would refuse."""
    check_log_dir(plan.workflow)
    durations: dict[str, list[float]] = {}
    if identify(history) is Kind.CURRENT:

        def look(connection: Connection) -> dict[str, list[float]]:
            found = unfinished_runs(connection, history + ".lock", plan.workflow.config_path)
            check_active_runs(context, plan.workflow, [run for run in found if run.lives])
            return durations_s(connection, plan.workflow.name) if plan.workers > 1 else {}

        durations = reading(history, look)
    out = context.terminal.out
    if context.options.json:
        out.write(json.dumps(plan_object(plan, durations), indent=2) + "\n")
        return 0
    lines: list[str] = []
    verbose = context.options.verbose
    for line in plan_lines(plan, durations, typed, out.palette, context.cwd, verbose=verbose):
        lines.append(line)
        if len(lines) == _LINES_AT_ONCE:
            out.write("\n".join(lines) + "\n")
            lines.clear()
    out.write("\n".join(lines) + "\n")
    return 0
