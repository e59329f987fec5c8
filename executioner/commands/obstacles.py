"""What stands in the way of a resume: each refuses by raising, but where nothing is left to run."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

from executioner.commands.context import (
    Context,
    Options,
    is_variable,
    recorded_names,
    run_flags,
    run_words,
)
from executioner.commands.guards import refuse_unproven
from executioner.commands.past import waiting_spool
from executioner.errors import RunRefusedError, UsageError
from executioner.history.lineage import Lineage
from executioner.history.liveness import UnfinishedRun
from executioner.model import NextStep, RunStatus, Workflow
from executioner.plan import RUNS, Action
from executioner.records import PastJob, Run, mark_words
from executioner.render.command import Invocation, steps_text
from executioner.render.text import clock_time, count, few, first_of, local_time, safe, shown_path
from executioner.resume import RETRIED, IfChanged, ResumePlan
from executioner.verdict import BY_FROM_JOB, BY_SKIP

_MOST_NAMED = 5


def refuse_another(run: Run, workflow: Workflow, typed: Invocation) -> None:
    """Refuse a run of another application: another name, and not the very same config."""
    name = run.application_name
    if name == workflow.name or run.config_hash == workflow.config_hash:
        return
    raise UsageError(
        f"Run {run.run_id} is of application {name}, not of {workflow.name}",
        workflow.config_path if typed.config is None else typed.config,
        assurance=(
            f'Nothing was run. If it is the same workflow under another name, set "application_name" to "{name}".'
        ),
        steps=[NextStep("To see the runs of this config:", line=typed.look("--list-runs", *typed.config_words))],
    )


def refuse_live(lineage: Lineage, typed: Invocation) -> None:
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


def refuse_spool(
    run: Run,
    log_dir: str | None,
    typed: Invocation,
    cwd: str,
    why: str = "Nothing was run: jobs that succeeded could be run again.",
) -> None:
    """Refuse while results of the run lie beside its logs because the history could not be written."""
    path = waiting_spool(run, log_dir)
    if path is not None:
        line = typed.look("--import-spool", shown_path(path, cwd))
        raise RunRefusedError(
            f"Results of run {run.run_id} are not in the history, but in a file beside its logs",
            path,
            assurance=why,
            steps=[NextStep("To put them into the history:", line=line)],
            ending="To go on without them, move that file away.",
        )


def refuse_resumed(context: Context, lineage: Lineage, plan: ResumePlan, typed: Invocation) -> None:
    """Only the newest run of a chain is resumed, unless it is asked to go back."""
    options, run, newest = context.options, lineage.run, lineage.newest
    if newest.run_id == run.run_id or options.yes:
        return
    from executioner.render.runs import status_words

    again = [job for job in plan.plan.jobs(*RUNS) if job.id in lineage.newest_done]
    back = _command(options._replace(yes=True), run, typed)
    twice = f" (runs {count(len(again), 'job')} again that succeeded in {newest.run_id})" if again else ""
    if newest.status == RunStatus.SUCCESS:
        go_on = NextStep("To view the newest:", line=typed.look("--show-run", str(newest.run_id)))
    else:
        other = options._replace(resume_from=str(newest.run_id))
        go_on = NextStep("To resume the newest:", line=_command(other, newest, typed))
    raise RunRefusedError(
        f"Run {run.run_id} was already resumed by run {newest.run_id}"
        f" ({status_words(newest)}, {newest.completed_jobs}/{newest.total_jobs})",
        assurance="Nothing was run.",
        steps=[go_on, NextStep(f"To resume {run.run_id} all the same{twice}:", line=back)],
    )


def nothing_left(context: Context, lineage: Lineage, plan: ResumePlan, typed: Invocation) -> bool:
    """Whether there is nothing to run, which is then said."""
    options, run = context.options, lineage.run
    asked = options.from_job is not None or options.if_changed == IfChanged.RERUN
    if not plan.is_empty and (run.status != RunStatus.SUCCESS or asked):
        return False
    if options.quiet:
        return True
    what, steps = _nothing(options, lineage, plan, typed)
    lines = [f"{safe(what)} ({safe(run.application_name)})", *steps_text(steps, typed)]
    context.terminal.err.write("\n".join(lines) + "\n")
    return True


def _nothing(
    options: Options, lineage: Lineage, plan: ResumePlan, typed: Invocation
) -> tuple[str, Sequence[NextStep]]:
    """Why nothing is left to run, and what could be run yet."""
    run, jobs = lineage.run, lineage.jobs
    is_marked = any(job.marked_by is not None for job in jobs)
    succeeded = "have succeeded or are marked as successful" if is_marked else "succeeded"
    done_and_changed = [
        at for at in plan.changed if plan.past[at].is_done and options.if_changed == IfChanged.STOP
    ]

    def on(why: str, what: str, chosen: Options) -> NextStep:
        """The command that goes on, which runs what has changed again: else it would be refused."""
        if not done_and_changed:
            return NextStep(f"{why}:", line=typed.run(*run_words(chosen)))
        rerun = run_words(chosen._replace(if_changed=IfChanged.RERUN))
        them = "it" if len(done_and_changed) == 1 else "them"
        changed = f"Changed since: {job_names(plan, done_and_changed)}. To run {them} again, and {what}:"
        return NextStep(changed, line=typed.run(*rerun))

    if plan.plan.positions(Action.LEAVE_OUT) and run.status != RunStatus.SUCCESS:
        failed = [job for job in jobs if job.status in RETRIED]
        what = (
            f"Nothing to retry of what failed in run {run.run_id}: {_why_not(plan, failed)}"
            if failed
            else f"Nothing to retry: no job of run {run.run_id} failed or was interrupted"
        )
        everything = options._replace(failed_only=False)
        return what, [on("To resume all remaining jobs", "all remaining jobs", everything)]
    missing = [job for job in jobs if not job.is_done]
    all_again = NextStep("To run all of it again:", line=typed.run())
    if missing:
        others = "" if len(missing) == len(jobs) else f"all other jobs of run {run.run_id} {succeeded}, "
        what = f"Nothing to resume: {others}{_why_not(plan, missing)}"
        if plan.plan.positions(Action.SKIP):
            skipping_none = options._replace(skip=(), skip_given=True, failed_only=False)
            return what, [on("To run what is skipped", "what is skipped", skipping_none)]
        return what, [*_rerun_step(plan, options, typed), all_again]
    whole = "the only job" if len(jobs) == 1 else "both jobs" if len(jobs) == 2 else f"all {len(jobs):,} jobs"
    what = f"Nothing to resume: {whole} of run {run.run_id} {succeeded}"
    steps = _rerun_step(plan, options._replace(failed_only=False), typed)
    if plan.added:
        why = f"Added to the config since: {job_names(plan, plan.added)}. To run all of it:"
        steps.append(NextStep(why, line=all_again.line))
    return what, steps or [all_again]


def _rerun_step(plan: ResumePlan, options: Options, typed: Invocation) -> list[NextStep]:
    """How to run again what has changed, if anything has."""
    if not plan.stopped_by:
        return []
    again, options = _again(plan, options)
    return [
        NextStep(
            f"Changed since: {job_names(plan, plan.stopped_by)}. To run {again}:",
            line=typed.run(*run_words(options)),
        )
    ]


def _again(plan: ResumePlan, options: Options) -> tuple[str, Options]:
    """What runs again of what has changed, in words, and the options for that."""
    names = {plan.plan.workflow.jobs[at].id for at in plan.stopped_by}
    skip = tuple(name for name in options.skip if name not in names)
    rerun = options._replace(if_changed=IfChanged.RERUN)
    if skip != options.skip:  # what is skipped would not run again
        rerun = rerun._replace(skip=skip, skip_given=True)
    them = "it" if len(names) == 1 else "them"
    unskipped = " that is not skipped" if skip else ""
    return f"{them} and everything after {them}{unskipped} again", rerun


def _why_not(plan: ResumePlan, missing: Sequence[PastJob]) -> str:
    """Why jobs that did not succeed are not run now, in words."""
    index, reasons = plan.plan.graph.index, plan.plan.reasons
    words = {BY_SKIP: "skipped on request", BY_FROM_JOB: "counted as done"}
    groups: dict[str, list[str]] = {}
    for job in missing:
        why = (
            "no longer in the config"
            if job.id not in index
            else "marked as successful"
            if job.marked_by is not None
            else words.get(reasons.get(index[job.id], ""), "not run")
        )
        groups.setdefault(why, []).append(job.id)
    return ", ".join(
        f"{few(names, _MOST_NAMED)} {'is' if len(names) == 1 else 'are'} {why}" for why, names in groups.items()
    )


def job_names(plan: ResumePlan, positions: Sequence[int]) -> str:
    """The ids of jobs; of many the first few."""
    return few([plan.plan.workflow.jobs[at].id for at in positions], _MOST_NAMED)


def refuse_secrets_missing(context: Context, run: Run, typed: Invocation) -> None:
    """Values of variables with secret names are not kept: they must be given again."""
    missing = _missing_secrets(context.options, run)
    if missing:
        one = len(missing) == 1
        from_shell = "it again, from a variable of the shell" if one else "them again, from variables of the shell"
        raise UsageError(
            f"Run {run.run_id} had --env {', '.join(missing)}, whose value{' was' if one else 's were'} not kept",
            "its name looks secret" if one else "their names look secret",
            assurance="Nothing was run.",
            steps=[NextStep(f"To give {from_shell}:", line=_command(context.options, run, typed))],
            ending="" if context.options.dry_run else "Add --dry-run to preview it.",
        )


def _missing_secrets(options: Options, run: Run) -> list[str]:
    """The variables with secret names that a run was given with ``--env``, and that are not given now."""
    names = recorded_names(run.options or {}, "env_secret")
    return [name for name in names if name not in options.env and is_variable(name)]


def _command(options: Options, run: Run, typed: Invocation) -> str:
    """The command that resumes a run with some options, and with its secrets from variables of the shell."""
    flags = run_flags({"env_secret": _missing_secrets(options, run)})
    complete = typed._replace(flags=" ".join(filter(None, [typed.flags, flags])))
    return complete.run(*run_words(options), *(["--dry-run"] if options.dry_run else []))


def refuse_changed(context: Context, run: Run, plan: ResumePlan, typed: Invocation) -> None:
    """A success of a job that is another one now is not reused unasked."""
    changed = plan.stopped_by
    if not changed:
        return
    from executioner.render.resume import changes_lines

    options = context.options
    one = len(changed) == 1
    again = marked_again(plan, "would run again, too")

    words, to_rerun = _again(plan, options)

    raise UsageError(
        f"{count(len(changed), 'successful job')} of run {run.run_id} {'has' if one else 'have'} changed since",
        str(options.config),
        details=list(changes_lines(plan, changed)),
        remark="; ".join(again),
        assurance="Nothing was run.",
        steps=[
            NextStep(f"To run {words}:", line=typed.run(*run_words(to_rerun))),
            NextStep(
                f"To keep {'its result' if one else 'their results'}:",
                line=typed.run(*run_words(options._replace(if_changed=IfChanged.KEEP))),
            ),
        ],
        ending="Add --dry-run to preview either.",
    )


def marked_again(plan: ResumePlan, verb: str) -> list[str]:
    """What to say of the jobs that run again though somebody marked them as successful."""
    jobs = plan.plan.workflow.jobs
    told = [
        f"{jobs[at].id} was {mark_words(plan.past[at])}"
        if at in plan.stopped_by  # it is spoken of already
        else f"{jobs[at].id} {verb}, though {mark_words(plan.past[at])}"
        for at in plan.marked_again
    ]
    return first_of(told, _MOST_NAMED)


def refuse_blocked(context: Context, run: Run, plan: ResumePlan, typed: Invocation) -> None:
    """With ``--resume-failed-only``: a job cannot be retried without what it depends on."""
    if not plan.blocked:
        return
    jobs, past = plan.plan.workflow.jobs, plan.past
    details = []
    for at, needed in plan.blocked:
        state = f"{past[needed].status} in run {run.run_id}" if needed in past else "added since"
        details.append(f"{jobs[at].id} needs {jobs[needed].id} ({state})")
    retried = len({at for at, _ in plan.blocked})
    raise UsageError(
        f"{count(retried, 'job')} cannot be retried without a job that --resume-failed-only leaves out",
        str(context.options.config),
        details=first_of(details, _MOST_NAMED),
        assurance="Nothing was run.",
        steps=[
            NextStep(
                "To resume all remaining jobs:",
                line=typed.run(*run_words(context.options._replace(failed_only=False))),
            )
        ],
    )


def refuse_counted(context: Context, run: Run, plan: ResumePlan, typed: Invocation) -> None:
    """Refuse to count jobs as done that have no SUCCESS in the run that is resumed, unless that is accepted."""
    jobs = plan.plan.workflow.jobs
    unproven = [(jobs[at].id, (run.run_id, plan.past[at]) if at in plan.past else None) for at in plan.unproven]
    refuse_unproven(context, typed, unproven)
