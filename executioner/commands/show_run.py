"""``--show-run``: what became of one run and its jobs, on a screen or for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

from executioner.commands.context import Context, going_on
from executioner.commands.past import find_run, open_past
from executioner.jsontext import indented
from executioner.records import Job, RunDetails
from executioner.render.data import csv_lines


def show_run(context: Context, wanted: str, statuses: Sequence[str]) -> int:
    """Show the run of an id, or the newest; returns the exit code.

    Raises:
        UnknownRunError: there is no such run.
        HistoryError: the history cannot be used.
    """
    past = open_past(context, wanted)
    details = find_run(context, past, wanted) if past else None
    if past is None or details is None:
        if context.options.json:
            context.terminal.out.write("null\n")
        return 0
    if context.options.json or context.options.csv:
        jobs = [job for job in details.jobs if not statuses or job.status in statuses]
        _write_data(context, details._replace(jobs=jobs))
        return 0
    from executioner.commands.run_view import run_view  # 3 ms, which scripts save
    from executioner.render.details import details_lines

    out = context.terminal.out
    view = run_view(context, past, details, frozenset(statuses))
    typed = going_on(past.typed, details.run, context.cwd)
    out.write_lines(details_lines(view, typed, out.palette, context.cwd, time()))
    return 0


def _write_data(context: Context, details: RunDetails) -> None:
    """The run as JSON, or its jobs as CSV with the run's id before each."""
    out = context.terminal.out
    if context.options.json:
        out.write(indented(details.as_object()) + "\n")
        return
    rows = ((details.run.run_id, *job) for job in details.jobs)
    out.write_lines(csv_lines(("run_id", *Job._fields), rows, escape=out.is_terminal))
