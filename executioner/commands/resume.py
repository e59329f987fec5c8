"""``--resume-from``: run what is missing of an earlier run, or show with ``--dry-run`` what that would be."""

from __future__ import annotations

import os
from collections.abc import Sequence

from executioner.commands.context import (
    Context,
    history_path,
    invocation,
    recorded_env,
    recorded_names,
    run_flags,
    run_words,
    stored_options,
)
from executioner.commands.execute import ChangedMeanwhileError, Environments, Execution, Resumed
from executioner.commands.guards import (
    active_warnings,
    check_installation,
    check_log_dir,
    jobs_to_end,
    preferences,
)
from executioner.commands.obstacles import (
    job_names,
    marked_again,
    nothing_left,
    refuse_another,
    refuse_blocked,
    refuse_changed,
    refuse_counted,
    refuse_live,
    refuse_resumed,
    refuse_secrets_missing,
    refuse_spool,
)
from executioner.commands.past import Past, find_lineage
from executioner.commands.workflow import load
from executioner.definition import definer
from executioner.errors import RunRefusedError, UsageError
from executioner.folders import config_paths
from executioner.history.crashes import Suspects
from executioner.history.lineage import Lineage
from executioner.history.lock import this_process
from executioner.history.query import RunFilter
from executioner.history.store import HistoryWriter
from executioner.model import NextStep, RunStatus, Workflow
from executioner.plan import Action
from executioner.record import Record
from executioner.records import Run
from executioner.render.command import Invocation
from executioner.render.error import note_text
from executioner.render.text import quoted, shown_path
from executioner.resume import IfChanged, Parent, ResumePlan, Wanted, make_resume_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.leftovers import Leftover

_MOST_TRIES = 5


class _Prepared(Record):
    """A resume that may start. ``context`` has the options with what is taken over."""

    context: Context
    plan: ResumePlan
    lineage: Lineage
    past: Past
    typed: Invocation
    environments: Environments
    taken_over: str
    notes: Sequence[str]
    key: bytes  # with which the plan's definitions were made
    to_end: Sequence[Leftover]


def resume(context: Context) -> int:
    """Resume the run of ``--resume-from``; returns the exit code.

    Raises:
        ExecutionerError: nothing was run.
    """
    check_installation()
    for _ in range(_MOST_TRIES):
        prepared = _prepare(context)
        if prepared is None:
            if context.options.json:
                context.terminal.out.write("null\n")
            return 0
        if context.options.dry_run:
            return _preview(prepared)
        try:
            return _execute(prepared)
        except ChangedMeanwhileError:  # another resume began, or a job was marked: look again
            continue
    raise RunRefusedError(
        f"Run {context.options.resume_from} is being changed all the time", assurance="Nothing was run."
    )


def _prepare(context: Context) -> _Prepared | None:
    """Find the run, plan, and look whether that may be run now; None if nothing is left to run, which is said.

    Raises:
        ExecutionerError: it may not.
    """
    wanted = context.options.resume_from or "last"
    workflow = None if context.options.config is None else load(context)
    past, lineage = find_lineage(context, wanted, "There is no run to resume: nothing was ever run", workflow)
    run = lineage.run
    notes = [] if wanted != "last" or workflow is not None else [_naming(run)]
    if workflow is None:
        context = _with_config(context, past, run)
        workflow = load(context)
    context, taken_over, more = _with_options(context, run, workflow)
    notes += more
    typed = _typed(context, workflow, past)
    refuse_another(run, workflow, typed)
    key = past.history.identity()["key"]
    resume_plan = _plan(context, workflow, lineage, key)
    refuse_live(lineage, typed)
    refuse_spool(run, workflow.log_dir, typed, context.cwd)
    refuse_resumed(context, lineage, resume_plan, typed)
    if nothing_left(context, lineage, resume_plan, typed):
        return None
    refuse_secrets_missing(context, run, typed)
    refuse_changed(context, run, resume_plan, typed)
    refuse_blocked(context, run, resume_plan, typed)
    check_log_dir(workflow)
    environments = Environments(workflow, context.environment, context.options.env)
    active_warnings(workflow, past.history.active_runs(workflow.config_path), typed)
    paths = {*config_paths(workflow.config_path), *([run.config_path] if run.config_path else [])}
    suspects = Suspects(sorted(paths), workflow.name, run.run_id)
    crashes = past.history.crashes(suspects, this_process().boot_id)
    to_end = jobs_to_end(context, typed, crashes, past.history.identity)
    if crashes:
        from executioner.commands.leftovers import unseen

        notes += unseen([crash for crash in crashes if crash.run_id == run.run_id])
    if context.options.json or not context.options.dry_run:
        refuse_counted(context, run, resume_plan, typed)
    notes += _warnings(past, run, resume_plan)
    return _Prepared(context, resume_plan, lineage, past, typed, environments, taken_over, notes, key, to_end)


def _preview(prepared: _Prepared) -> int:
    """Show what the resume would do; starts and writes nothing."""
    from executioner.commands.preview import look_ahead, show_preview
    from executioner.render.resume import resume_lines, resume_object

    context, plan, run = prepared.context, prepared.plan, prepared.lineage.run
    err = context.terminal.err
    durations = look_ahead(context, plan.plan, prepared.past.history.path, prepared.typed)
    _say(context, prepared.notes)
    lines = resume_lines(
        plan, run.run_id, prepared.taken_over, context.terminal.out.palette, verbose=context.options.verbose
    )
    root = run.root_run_id or run.run_id
    options = stored_options(context.options)
    show_preview(context, lines, lambda: resume_object(plan, run.run_id, root, options, durations))
    refuse_counted(context, run, plan, prepared.typed)
    if not context.options.json:
        context.terminal.out.drain()
        line = prepared.typed.run(*run_words(context.options))
        err.write(f"\nNothing was run. To run it:\n  {line}\n")
    return 0


def _execute(prepared: _Prepared) -> int:
    context = prepared.context
    prepared.past.history.close()  # it need not stay open, with what was read, while jobs run
    writer = HistoryWriter(prepared.past.history.path, prepared.past.state)
    try:
        _say(context, writer.notes)  # also with --quiet: it is said once
        if not context.options.quiet:
            _say(context, prepared.notes)
        if prepared.to_end:
            from executioner.commands.leftovers import end_leftovers

            end_leftovers(context, prepared.to_end, prepared.plan.plan.workflow.kill_grace_s)
        resumed = Resumed(prepared.plan, prepared.lineage, prepared.key, prepared.past.state)
        plan = prepared.plan.plan
        return Execution(context, plan, prepared.environments, writer, prepared.typed, resumed).execute()
    finally:
        writer.close()


def _say(context: Context, notes: Sequence[str]) -> None:
    for note in notes:
        context.terminal.err.write(note_text(note))


# --- what is resumed, and with which options -------------------------------------------------


def _naming(run: Run) -> str:
    from executioner.render.runs import status_words

    done = f"{run.completed_jobs}/{run.total_jobs}"
    return f"the newest run is {run.run_id} ({run.application_name}, {status_words(run)}, {done})"


def _with_config(context: Context, past: Past, run: Run) -> Context:
    """The config that the run was started with, as if it had been named.

    Raises:
        UsageError: it is not known, or is gone.
    """
    path = run.config_path
    template = past.typed._replace(flags=run_flags(run.options or {})).resume_template
    line = template(*run_words(context.options._replace(resume_from=str(run.run_id))))
    if path is None:
        raise UsageError(
            f"The config of run {run.run_id} is not recorded",
            past.shown_path,
            assurance="Nothing was run.",
            steps=[NextStep("To name it:", line=line)],
        )
    shown = shown_path(path, context.cwd)
    if not os.path.lexists(path):
        raise UsageError(
            f"The config of run {run.run_id} is gone",
            shown,
            assurance="Nothing was run.",
            steps=[NextStep("If it was moved:", line=line)],
        )
    return context._replace(options=context.options._replace(config=shown))


def _with_options(context: Context, run: Run, workflow: Workflow) -> tuple[Context, str, list[str]]:
    """The options of the new run; what it takes over as it would be typed; and what to say of that."""
    options = context.options._replace(resume_from=str(run.run_id))
    env = {name: value for name, value in recorded_env(run.options or {}).items() if name not in options.env}
    known = {job.id for job in workflow.jobs}
    skipped = [
        name for name in recorded_names(run.options or {}, "skip") if name in known and name != options.from_job
    ]
    notes = []
    if options.skip_given:
        no_longer = [name for name in skipped if name not in options.skip]
        if no_longer:
            verb = "was" if len(no_longer) == 1 else "were"
            notes.append(
                f"{', '.join(no_longer)} {verb} skipped in run {run.run_id}, but not now: --skip was given again"
            )
        skipped = []
    words = [f"--env {quoted(f'{name}={value}')}" for name, value in env.items()]
    words += [f"--skip {quoted(name)}" for name in skipped]
    merged = options._replace(
        env={**env, **options.env}, skip=options.skip if options.skip_given else tuple(skipped)
    )
    return context._replace(options=merged), " ".join(words), notes


def _typed(context: Context, workflow: Workflow, past: Past) -> Invocation:
    """How to print commands that go on from here."""
    typed = invocation(context, context.options.config, past.history.path)
    found_by_config = history_path(context, workflow.history_db) == past.history.path
    return typed if found_by_config else typed._replace(db=shown_path(past.history.path, context.cwd))


def _plan(context: Context, workflow: Workflow, lineage: Lineage, key: bytes) -> ResumePlan:
    from executioner.environ import looks_secret

    options, run = context.options, lineage.run
    return make_resume_plan(
        workflow,
        Parent(run.run_id, lineage.jobs, recorded_env(run.options or {})),
        definer(workflow.env, key),
        {name: value for name, value in options.env.items() if not looks_secret(name)},
        preferences(context, workflow),
        Wanted(
            options.failed_only,
            IfChanged(options.if_changed),
            take_over=bool(options.skip) or not options.skip_given,
            skip_is_taken_over=not options.skip_given,
        ),
        os.cpu_count() or 1,
    )


def _warnings(past: Past, run: Run, plan: ResumePlan) -> list[str]:
    """What somebody should know who resumes this run, though nothing stands in the way."""
    notes = []
    if run.config_path is not None and run.status != RunStatus.SUCCESS:
        wanted = RunFilter(config_paths=(run.config_path,), statuses=(RunStatus.SUCCESS.value,))
        newest = next(past.history.find(wanted, 1), None)
        if newest is not None and newest.run_id > run.run_id and newest.root_run_id != run.root_run_id:
            notes.append(f"run {newest.run_id} of this config has succeeded since run {run.run_id}")
    kept = [at for at in plan.plan.positions(Action.REUSE) if at in plan.changed]
    if kept:
        notes.append(f"kept, though changed since: {job_names(plan, kept)}")
    return [*notes, *marked_again(plan, "runs again")]
