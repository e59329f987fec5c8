"""``--resume-from``: run what is missing of an earlier run, or show with ``--dry-run`` what that would be."""

import os
from collections.abc import Sequence
from time import time
from typing import NamedTuple

from executioner import joblog
from executioner.commands.context import (
    Context,
    history_path,
    invocation,
    is_variable,
    recorded_env,
    recorded_names,
    run_flags,
    run_words,
    stored_options,
)
from executioner.commands.execute import ChangedMeanwhileError, Environments, Execution, Resumed
from executioner.commands.guards import active_warnings, check_log_dir, preferences, refuse_unproven
from executioner.commands.leftovers import check_leftovers, end_leftovers, find_leftovers
from executioner.commands.past import Past, find_lineage
from executioner.commands.workflow import load
from executioner.definition import definer
from executioner.errors import RunRefusedError, UsageError
from executioner.history.crashes import Suspects
from executioner.history.lineage import Lineage
from executioner.history.liveness import UnfinishedRun
from executioner.history.lock import this_process
from executioner.history.query import RunFilter, config_paths
from executioner.history.store import HistoryWriter
from executioner.leftovers import Leftover
from executioner.model import NextStep, RunStatus, Workflow
from executioner.plan import RUNS, Action
from executioner.records import Run
from executioner.render.command import Invocation, steps_text
from executioner.render.error import note_text
from executioner.render.resume import changes_lines, resume_lines, resume_object
from executioner.render.runs import status_words
from executioner.render.text import clock_time, count, local_time, quoted, safe, shown_path
from executioner.resume import IfChanged, Parent, ResumePlan, Wanted, make_resume_plan
from executioner.verdict import BY_FROM_JOB, BY_SKIP

_MOST_TRIES = 5
_MOST_NAMED = 5


class _Prepared(NamedTuple):
    """A resume that may start. ``context`` has the options with what is taken over."""

    context: Context
    plan: ResumePlan
    lineage: Lineage
    history: str
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
    past, lineage = find_lineage(context, wanted, "There is no run to resume: nothing was ever run")
    run = lineage.run
    notes = [] if wanted != "last" or workflow is not None else [_naming(run)]
    if workflow is None:
        context = _with_config(context, past, run)
        workflow = load(context)
    context, taken_over, more = _with_options(context, run, workflow)
    notes += more
    typed = _typed(context, workflow, past)
    if run.application_name != workflow.name and run.config_hash != workflow.config_hash:
        raise _of_another(run, workflow, past, typed)
    key = past.history.identity()["key"]
    resume_plan = _plan(context, workflow, lineage, key)
    _refuse_live(lineage, typed)
    _refuse_spool(run, workflow)
    _refuse_resumed(context, lineage, resume_plan, typed)
    if _nothing_left(context, lineage, resume_plan, typed):
        return None
    _refuse_secrets_missing(context, run, typed)
    _refuse_changed(context, run, resume_plan, typed)
    _refuse_blocked(context, run, resume_plan, typed)
    check_log_dir(workflow)
    environments = Environments(workflow, context.environment, context.options.env)
    active_warnings(workflow, past.history.active_runs(workflow.config_path), typed)
    paths = {*config_paths(workflow.config_path), *([run.config_path] if run.config_path else [])}
    suspects = Suspects(sorted(paths), workflow.name, run.run_id)
    crashes = past.history.crashes(suspects, this_process().boot_id)
    to_end = check_leftovers(context, typed, find_leftovers(crashes, past.history.identity))
    if context.options.json or not context.options.dry_run:
        _refuse_unproven(context, run, resume_plan, typed)
    notes += _warnings(past, run, resume_plan)
    return _Prepared(
        context, resume_plan, lineage, past.history.path, typed, environments, taken_over, notes, key, to_end
    )


def _preview(prepared: _Prepared) -> int:
    """Show what the resume would do; starts and writes nothing."""
    from executioner.commands.preview import look_ahead, show_preview

    context, plan, run = prepared.context, prepared.plan, prepared.lineage.run
    err = context.terminal.err
    durations = look_ahead(context, plan.plan, prepared.history, prepared.typed)
    _say(context, prepared.notes)
    lines = resume_lines(
        plan, run.run_id, prepared.taken_over, context.terminal.out.palette, verbose=context.options.verbose
    )
    root = run.root_run_id or run.run_id
    options = stored_options(context.options)
    show_preview(context, lines, lambda: resume_object(plan, run.run_id, root, options, durations))
    _refuse_unproven(context, run, plan, prepared.typed)
    if not context.options.json:
        context.terminal.out.drain()
        line = prepared.typed.run(*run_words(context.options))
        err.write(f"\nNothing was run. To run it:\n  {line}\n")
    return 0


def _execute(prepared: _Prepared) -> int:
    context = prepared.context
    writer = HistoryWriter(prepared.history)
    try:
        _say(context, writer.notes)  # also with --quiet: it is said once
        if not context.options.quiet:
            _say(context, prepared.notes)
        end_leftovers(context, prepared.to_end, prepared.plan.plan.workflow.kill_grace_s)
        resumed = Resumed(prepared.plan, prepared.lineage, prepared.key)
        plan = prepared.plan.plan
        return Execution(context, plan, prepared.environments, writer, prepared.typed, resumed).execute()
    finally:
        writer.close()


def _say(context: Context, notes: Sequence[str]) -> None:
    for note in notes:
        context.terminal.err.write(note_text(note))


# --- what is resumed, and with which options -------------------------------------------------


def _naming(run: Run) -> str:
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


# --- what stands in the way ------------------------------------------------------------------


def _of_another(run: Run, workflow: Workflow, past: Past, typed: Invocation) -> UsageError:
    name = run.application_name
    return UsageError(
        f"Run {run.run_id} is one of {name}, not of {workflow.name}",
        workflow.config_path if typed.config is None else typed.config,
        assurance=(
            f'Nothing was run. If it is the same workflow under another name, set "application_name" to "{name}".'
        ),
        steps=[NextStep("To see the runs of this config:", line=typed.look("--list-runs", *typed.config_words))],
    )


def _refuse_live(lineage: Lineage, typed: Invocation) -> None:
    """Refuse while a run of the chain is on, or may be."""
    live, run = lineage.live, lineage.run
    if live is None:
        return
    if live.run_id == run.run_id:
        what = f"Run {run.run_id} is still running ({_who(live)})"
    else:
        what = f"Run {run.run_id} is being resumed by run {live.run_id} ({_who(live)})"
    raise RunRefusedError(
        what,
        assurance="Nothing was run.",
        steps=[NextStep("To watch it:", line=typed.look("--show-run", str(live.run_id)))],
    )


def _who(live: UnfinishedRun) -> str:
    at = live.started_at
    since = clock_time(at) if local_time(at)[:10] == local_time(time())[:10] else local_time(at)
    return f"{live.user}@{live.host}, pid {live.pid}, since {since}"


def _refuse_spool(run: Run, workflow: Workflow) -> None:
    """Refuse while results of the run lie beside its logs because the history could not be written."""
    folder = os.path.dirname(run.log_path) if run.log_path else workflow.log_dir
    path = joblog.spool_path(folder, run.application_name, run.run_id)
    if os.path.lexists(path):
        raise RunRefusedError(
            f"Results of run {run.run_id} are not in the history, but in a file beside its logs",
            path,
            assurance=(
                "Nothing was run: jobs that succeeded could be run again."
                " To go on without them, move that file away."
            ),
        )


def _refuse_resumed(context: Context, lineage: Lineage, plan: ResumePlan, typed: Invocation) -> None:
    """Only the newest run of a chain is resumed, unless it is asked to go back."""
    options, run, newest = context.options, lineage.run, lineage.newest
    if newest.run_id == run.run_id or options.yes:
        return
    again = [job for job in plan.plan.jobs(*RUNS) if job.id in lineage.newest_done]
    back = typed.run(*run_words(options._replace(yes=True)))
    twice = f" (runs {count(len(again), 'job')} again that succeeded in {newest.run_id})" if again else ""
    if newest.status == RunStatus.SUCCESS:
        go_on = NextStep("To view the newest:", line=typed.look("--show-run", str(newest.run_id)))
    else:
        words = run_words(options._replace(resume_from=str(newest.run_id)))
        go_on = NextStep("To resume the newest:", line=typed.run(*words))
    raise RunRefusedError(
        f"Run {run.run_id} was already resumed by run {newest.run_id}"
        f" ({status_words(newest)}, {newest.completed_jobs}/{newest.total_jobs})",
        assurance="Nothing was run.",
        steps=[go_on, NextStep(f"To resume {run.run_id} all the same{twice}:", line=back)],
    )


def _nothing_left(context: Context, lineage: Lineage, plan: ResumePlan, typed: Invocation) -> bool:
    """Whether there is nothing to run, which is then said."""
    options, run = context.options, lineage.run
    asked = options.from_job is not None or options.if_changed == IfChanged.RERUN
    if not plan.is_empty and (run.status != RunStatus.SUCCESS or asked):
        return False
    if options.quiet:
        return True
    missing = [job.id for job in lineage.jobs if not job.is_done]
    again = NextStep("To run all of it again:", line=typed.run())
    if plan.plan.positions(Action.LEAVE_OUT) and not plan.plan.positions(Action.SKIP):
        what = f"Nothing to retry: no job of run {run.run_id} failed or was interrupted"
        everything = run_words(options._replace(failed_only=False))
        again = NextStep("To resume all remaining jobs:", line=typed.run(*everything))
    elif missing:
        what = f"Nothing to resume: all other jobs of run {run.run_id} succeeded, {_why_not(plan, missing)}"
        if plan.plan.positions(Action.SKIP):
            skipping_none = run_words(options._replace(skip=(), skip_given=True))
            again = NextStep("To run what is skipped:", line=typed.run(*skipping_none))
    else:
        jobs = lineage.jobs
        marked = any(job.marked_by is not None for job in jobs)
        whole = "the only job" if len(jobs) == 1 else f"all {len(jobs):,} jobs"
        ended = "have succeeded or are marked as successful" if marked else "succeeded"
        what = f"Nothing to resume: {whole} of run {run.run_id} {ended}"
        if plan.added:
            added = f"Added to the config since: {_names(plan, plan.added)}"
            again = NextStep(f"{added}. To run all of it:", line=again.line)
    lines = [f"{safe(what)} ({safe(run.application_name)})", *steps_text([again], typed)]
    context.terminal.err.write("\n".join(lines) + "\n")
    return True


def _why_not(plan: ResumePlan, missing: Sequence[str]) -> str:
    """Why jobs that did not succeed are not run now, in words."""
    index, reasons = plan.plan.graph.index, plan.plan.reasons
    words = {BY_SKIP: "skipped on request", BY_FROM_JOB: "counted as done"}
    groups: dict[str, list[str]] = {}
    for name in missing:
        why = words.get(reasons.get(index[name], ""), "") if name in index else "no longer in the config"
        groups.setdefault(why, []).append(name)
    return ", ".join(f"{_few(names)} {'is' if len(names) == 1 else 'are'} {why}" for why, names in groups.items())


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _names(plan: ResumePlan, positions: Sequence[int]) -> str:
    return _few([plan.plan.workflow.jobs[at].id for at in positions])


def _refuse_secrets_missing(context: Context, run: Run, typed: Invocation) -> None:
    """Values of variables with secret names are not kept: they must be given again."""
    options = context.options
    missing = [
        name
        for name in recorded_names(run.options or {}, "env_secret")
        if name not in options.env and is_variable(name)
    ]
    if missing:
        flags = run_flags({"env_secret": missing})
        one = len(missing) == 1
        from_shell = "it again, from a variable of the shell" if one else "them again, from variables of the shell"
        again = typed._replace(flags=" ".join(filter(None, [typed.flags, flags])))
        raise UsageError(
            f"Run {run.run_id} had --env {', '.join(missing)}, whose value{' was' if one else 's were'} not kept",
            "its name looks secret" if one else "their names look secret",
            assurance="Nothing was run.",
            steps=[NextStep(f"To give {from_shell}:", line=again.run(*run_words(options)))],
        )


def _refuse_changed(context: Context, run: Run, plan: ResumePlan, typed: Invocation) -> None:
    """A success of a job that is another one now is not reused unasked."""
    changed = plan.stopped_by
    if not changed:
        return
    options = context.options
    one = len(changed) == 1

    def command(choice: IfChanged) -> str:
        return typed.run(*run_words(options._replace(if_changed=choice)))

    raise UsageError(
        f"{count(len(changed), 'successful job')} of run {run.run_id} {'has' if one else 'have'} changed since",
        str(options.config),
        details=list(changes_lines(plan, changed)),
        assurance="Nothing was run.",
        steps=[
            NextStep(
                f"To run {'it' if one else 'them'} and everything after {'it' if one else 'them'} again:",
                line=command(IfChanged.RERUN),
            ),
            NextStep(f"To keep {'its result' if one else 'their results'}:", line=command(IfChanged.KEEP)),
        ],
        ending="Add --dry-run to preview either.",
    )


def _refuse_blocked(context: Context, run: Run, plan: ResumePlan, typed: Invocation) -> None:
    """With ``--resume-failed-only``: a job cannot be retried without what it depends on."""
    if not plan.blocked:
        return
    jobs, past = plan.plan.workflow.jobs, plan.past
    details = []
    for at, needed in plan.blocked[:_MOST_NAMED]:
        state = f"{past[needed].status} in run {run.run_id}" if needed in past else "added since"
        details.append(f"{jobs[at].id} needs {jobs[needed].id} ({state})")
    if len(plan.blocked) > _MOST_NAMED:
        details.append(f"... and {len(plan.blocked) - _MOST_NAMED} more")
    retried = len({at for at, _ in plan.blocked})
    raise UsageError(
        f"{count(retried, 'job')} cannot be retried without a job that --resume-failed-only leaves out",
        str(context.options.config),
        details=details,
        assurance="Nothing was run.",
        steps=[
            NextStep(
                "To resume all remaining jobs:",
                line=typed.run(*run_words(context.options._replace(failed_only=False))),
            )
        ],
    )


def _refuse_unproven(context: Context, run: Run, plan: ResumePlan, typed: Invocation) -> None:
    jobs = plan.plan.workflow.jobs
    unproven = [(jobs[at].id, (run.run_id, plan.past[at]) if at in plan.past else None) for at in plan.unproven]
    refuse_unproven(context, typed, unproven)


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
        notes.append(f"kept, though changed since: {_names(plan, kept)}")
    return notes
