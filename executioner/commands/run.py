"""``-c FILE``: run a workflow, or show with ``--dry-run`` what that would do."""

from __future__ import annotations

import os

from executioner.commands.context import Context, history_path, invocation, run_flags, run_words
from executioner.commands.execute import Environments, Execution
from executioner.commands.guards import (
    Unproven,
    active_warnings,
    check_installation,
    check_log_dir,
    jobs_to_end,
    preferences,
    record_text,
    refuse_unproven,
)
from executioner.commands.workflow import load
from executioner.errors import NoHistoryError
from executioner.folders import config_paths
from executioner.history.crashes import Suspects
from executioner.history.liveness import NO_RESULT
from executioner.history.lock import this_process
from executioner.history.store import HistoryWriter
from executioner.model import Workflow
from executioner.plan import Plan, make_plan
from executioner.render.command import Invocation
from executioner.render.error import note_text, warning_text
from executioner.render.text import shown_path
from executioner.verdict import BY_FROM_JOB, ON_REQUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.history.reader import History
    from executioner.records import Run


def run(context: Context) -> int:
    """Run the workflow of ``--config``; returns the exit code.

    Raises:
        ExecutionerError: nothing was run.
    """
    check_installation()
    workflow = load(context)
    plan = make_plan(workflow, preferences(context, workflow), os.cpu_count() or 1)
    history = history_path(context, workflow.history_db)
    typed = invocation(context, context.options.config, history)
    check_log_dir(workflow)
    environments = Environments(workflow, context.environment, context.options.env)
    if context.options.dry_run:
        return _preview(context, plan, history, typed)
    unproven = _unproven(plan, history)
    if unproven and not context.options.yes:  # it will be refused: look only
        _refuse(context, plan, history, typed, unproven)
    is_new_folder = context.options.db is not None and not os.path.isdir(os.path.dirname(history))
    writer = HistoryWriter(history)
    try:
        if is_new_folder and not context.options.quiet:  # it may be misspelt
            place = shown_path(history, context.cwd)
            context.terminal.err.write(note_text(f"there was no such folder: a new history is made in {place}"))
        for note in writer.notes:  # now, whatever becomes of the run; also with --quiet: it is said once
            context.terminal.err.write(note_text(note))
        active_warnings(workflow, writer.active_runs(workflow.config_path), typed)
        crashes = writer.crashes(_suspects(workflow), this_process().boot_id)
        to_end = jobs_to_end(context, typed, crashes, writer.identity)
        _suggest_resume(context, plan, history, typed)
        if writer.has_lost_runs(config_paths(workflow.config_path)):
            _warn_of_results(context, workflow, history, typed)
        if to_end:
            from executioner.commands.leftovers import end_leftovers

            end_leftovers(context, to_end, workflow.kill_grace_s)
        return Execution(context, plan, environments, writer, typed).execute()
    finally:
        writer.close()


def _suspects(workflow: Workflow) -> Suspects:
    return Suspects(config_paths(workflow.config_path), workflow.name)


def _preview(context: Context, plan: Plan, history: str, typed: Invocation) -> int:
    """Show what the run would do; starts and writes nothing, and refuses what the run would refuse."""
    from executioner.commands.preview import look_ahead, show_preview
    from executioner.render.dryrun import plan_lines, plan_object

    durations = look_ahead(context, plan, history, typed)
    unproven = _unproven(plan, history)
    _check_past(context, plan, history, typed)
    if context.options.json:
        refuse_unproven(context, typed, unproven)
    _suggest_resume(context, plan, history, typed)
    _warn_of_results(context, plan.workflow, history, typed)
    palette, verbose = context.terminal.out.palette, context.options.verbose
    accepted = context.options._replace(yes=context.options.yes or bool(unproven))
    command = typed.run(*run_words(accepted))
    records = {name: "never run" if one is None else record_text(one) for name, one in unproven}
    lines = plan_lines(plan, durations, command, palette, context.cwd, records, verbose=verbose)
    show_preview(context, lines, lambda: plan_object(plan, durations, records))
    refuse_unproven(context, typed, unproven)
    return 0


def _refuse(context: Context, plan: Plan, history: str, typed: Invocation, unproven: Unproven) -> None:
    """Refuse to start in midstream, unless something else stands in the way before that. Writes nothing."""
    past = _history(history)
    if past is not None:
        active_warnings(plan.workflow, past.active_runs(plan.workflow.config_path), typed)
    _check_past(context, plan, history, typed)
    refuse_unproven(context, typed, unproven)


def _check_past(context: Context, plan: Plan, history: str, typed: Invocation) -> None:
    """Look for what earlier runs left running."""
    past = _history(history)
    if past is not None:
        crashes = past.crashes(_suspects(plan.workflow), this_process().boot_id)
        jobs_to_end(context, typed, crashes, past.identity)


def _history(path: str) -> History | None:
    from executioner.history.reader import History

    try:
        return History(path)
    except NoHistoryError:
        return None


# --- starting in midstream -------------------------------------------------------------------


def _unproven(plan: Plan, history: str) -> Unproven:
    """The jobs that are to count as done because of ``--from-job``, but have no SUCCESS on record.

    What counts is the newest run of the config in which the job was not left out on request.
    """
    jobs = plan.workflow.jobs
    names = [jobs[at].id for at in plan.passed_over().get(BY_FROM_JOB, ())]
    if not names:
        return []
    past = _history(history)
    workflow = plan.workflow
    found = (
        past.latest_results(config_paths(workflow.config_path), workflow.name, names, ON_REQUEST) if past else {}
    )
    return [(name, found.get(name)) for name in names if name not in found or not found[name][1].is_done]


# --- what a fresh start passes by ------------------------------------------------------------


def _suggest_resume(context: Context, plan: Plan, history: str, typed: Invocation) -> None:
    """On a terminal: say so if the config's newest run can be resumed."""
    options, err = context.options, context.terminal.err
    past = _history(history) if err.is_terminal and not options.quiet and options.from_job is None else None
    if past is None:
        return
    from executioner.commands.past import waiting_spool

    newest = _newest(past, plan.workflow)
    if newest is not None and newest.resumable and waiting_spool(newest) is None:
        command = typed._replace(flags=run_flags(newest.options or {})).run("--resume-from", str(newest.run_id))
        done = f"{newest.completed_jobs}/{newest.total_jobs}"
        err.write(f"Note: run {newest.run_id} {newest.status} at {done} and can be resumed: {command}\n")


def _warn_of_results(context: Context, workflow: Workflow, history: str, typed: Invocation) -> None:
    """Say so if results of the config's newest run wait beside its logs: this run does that work once more."""
    from executioner.commands.past import waiting_spool

    past = _history(history)
    newest = _newest(past, workflow) if past is not None else None
    path = waiting_spool(newest) if newest is not None and newest.failure_summary == NO_RESULT else None
    if newest is None or path is None:
        return
    err = context.terminal.err
    command = typed.look("--import-spool", shown_path(path, context.cwd))
    text = f"results of run {newest.run_id} are not in the history, but beside its logs; to put them in: {command}"
    err.write(warning_text(text, err.palette))


def _newest(past: History, workflow: Workflow) -> Run | None:
    from executioner.history.query import RunFilter

    return next(past.find(RunFilter(config_paths=config_paths(workflow.config_path)), 1), None)
