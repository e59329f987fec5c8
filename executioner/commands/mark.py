"""``--mark-success``: let jobs of a run count as successful because a person says so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import time

from executioner.commands.context import Context, going_on, user_name
from executioner.commands.guards import check_installation, near_misses
from executioner.commands.leftovers import find_leftovers, unseen
from executioner.commands.obstacles import refuse_spool
from executioner.commands.past import Past, find_lineage
from executioner.definition import recorded_dependencies
from executioner.errors import RunRefusedError, UsageError
from executioner.graph import reach
from executioner.history.crashes import Suspects
from executioner.history.lineage import Lineage
from executioner.history.lock import this_process
from executioner.history.store import HistoryWriter
from executioner.jsontext import dumps
from executioner.model import NextStep
from executioner.records import PastJob
from executioner.render.command import Invocation
from executioner.render.error import note_text
from executioner.render.mark import mark_lines
from executioner.render.text import count, safe, storable
from executioner.terminal import Stream
from executioner.verdict import COUNT_AS_DONE


def mark_success(context: Context, wanted: str, names: Sequence[str], reason: str | None) -> int:
    """Mark jobs of a run as successful; returns the exit code.

    Raises:
        UsageError: there is no such job, or nobody agreed.
        RunRefusedError: the run is on.
        HistoryError: the history cannot be used.
    """
    check_installation("marked")
    past, lineage = find_lineage(context, wanted, "There is no run to mark jobs of: nothing was ever run")
    run, options = lineage.run, context.options
    typed = going_on(past.typed, lineage.run, context.cwd)
    jobs = _chosen(past, lineage, names)
    if lineage.live is not None and lineage.live.run_id == run.run_id:
        raise RunRefusedError(
            f"Run {run.run_id} is still running: jobs are marked when it has ended",
            past.shown_path,
            assurance="Nothing was marked.",
            steps=[NextStep("To watch it:", line=typed.look("--show-run", str(run.run_id)))],
        )
    to_mark = [job for job in jobs if not job.is_done]
    _refuse_running(past, lineage, to_mark, context.terminal.err)
    refuse_spool(run, None, typed, context.cwd, "Nothing was marked: how its jobs ended is known there.")
    terminal = context.terminal
    for line in mark_lines(run, jobs, _freed(lineage, to_mark), terminal.out.palette):
        terminal.out.write(f"{line}\n")
    if not to_mark:
        terminal.out.write("Nothing to mark.\n")
        return 0
    terminal.out.drain()
    if lineage.newest.run_id != run.run_id:
        terminal.err.write(
            note_text(
                f"run {run.run_id} was already resumed by run {lineage.newest.run_id}:"
                f" only resuming run {run.run_id} again will heed this mark"
            )
        )
    again = typed.look("--mark-success", str(run.run_id), *(job.id for job in to_mark), *_reason_words(reason))
    if options.dry_run:
        terminal.err.write(f"\nNothing was marked. To mark {_them(to_mark)}:\n  {again} --yes\n")
        return 0
    if not options.yes:
        _ask(context, to_mark, f"{again} --yes")
    _record(context, past, lineage, to_mark, reason)
    terminal.out.write(f"\nMarked: {', '.join(safe(job.id) for job in to_mark)}\n")
    terminal.out.write("".join(f"{line}\n" for line in _way_on(lineage, to_mark, typed)))
    return 0


def _record(
    context: Context, past: Past, lineage: Lineage, to_mark: Sequence[PastJob], reason: str | None
) -> None:
    """Record the marks, if the run is still what was shown.

    Raises:
        RunRefusedError: it is not.
    """
    run_id = lineage.run.run_id
    writer = HistoryWriter(past.history.path)
    try:
        for note in writer.notes:
            context.terminal.err.write(note_text(note))
        writer.begin()
        now = writer.lineage(run_id)
        if now is None or now.jobs != lineage.jobs or now.live != lineage.live:
            writer.abandon()
            raise RunRefusedError(
                f"Run {run_id} was changed just now", past.shown_path, assurance="Nothing was marked."
            )
        why = None if reason is None else storable(reason)
        writer.mark(run_id, [job.id for job in to_mark], user_name(), time(), why)
    finally:
        writer.close()


def _way_on(lineage: Lineage, to_mark: Sequence[PastJob], typed: Invocation) -> list[str]:
    """How to resume the run now, if anything is left of it."""
    run = lineage.run
    marked = {job.id for job in to_mark}
    if all(job.is_done or job.id in marked or job.reason in COUNT_AS_DONE for job in lineage.jobs):
        return [f"Nothing of run {run.run_id} is left to resume."]
    back = () if lineage.newest.run_id == run.run_id else ("--yes",)
    words = ("--resume-from", str(run.run_id), *back)
    named = run.config_path is not None and os.path.lexists(run.config_path)
    line = typed.run(*words) if named else typed.resume_template(*words)
    return [f"To resume run {run.run_id}:", f"  {line}"]


def _refuse_running(past: Past, lineage: Lineage, to_mark: Sequence[PastJob], err: Stream) -> None:
    """A job that outlived its runner and still runs is nobody's success yet; that it cannot be seen is said.

    Raises:
        RunRefusedError: it does.
    """
    run_id = lineage.run.run_id
    named = {job.id for job in to_mark}
    crashes = past.history.crashes(Suspects(run_id=run_id), this_process().boot_id)
    found = [one for one in find_leftovers(crashes, past.history.identity) if one.job in named]
    for note in unseen(crashes):
        err.write(note_text(note))
    if found:
        raise RunRefusedError(
            f"{', '.join(one.job for one in found)} of run {run_id} still runs (pid {found[0].pid})",
            past.shown_path,
            assurance="Nothing was marked.",
            steps=[
                NextStep(
                    "To wait for it, watch its log, then mark it:",
                    line=past.typed.look("--show-log", str(run_id), found[0].job, "--follow"),
                )
            ],
        )


def _reason_words(reason: str | None) -> Sequence[str]:
    return () if reason is None else ("--reason", reason)


def _them(jobs: Sequence[PastJob]) -> str:
    return "it" if len(jobs) == 1 else "them"


def _chosen(past: Past, lineage: Lineage, names: Sequence[str]) -> list[PastJob]:
    """The jobs that are named.

    Raises:
        UsageError: the run has no such job.
    """
    known = {job.id: job for job in lineage.jobs}
    once = list(dict.fromkeys(names))
    unknown = [name for name in once if name not in known]
    if not unknown:
        return [known[name] for name in once]
    run_id = str(lineage.run.run_id)
    details = near_misses(unknown, known)
    if any("," in name and known.keys() >= set(name.split(",")) for name in unknown):
        details = ["jobs are separated by spaces here, not by commas"]
    raise UsageError(
        f"Run {run_id} has no job {', '.join(map(dumps, unknown))}",
        past.shown_path,
        details=details,
        assurance="Nothing was marked.",
        steps=[NextStep("To see its jobs:", line=past.typed.look("--show-run", run_id))],
    )


def _freed(lineage: Lineage, marked: Sequence[PastJob]) -> list[str]:
    """All that depends on some jobs, by what is recorded of that, and is not done and does not count so."""
    index = {job.id: at for at, job in enumerate(lineage.jobs)}
    dependents: list[list[int]] = [[] for _ in lineage.jobs]
    for at, job in enumerate(lineage.jobs):
        for needed in recorded_dependencies(job):
            if needed in index:
                dependents[index[needed]].append(at)
    starts = {index[job.id] for job in marked}
    after = sorted(reach(dependents, starts) - starts)
    jobs = [lineage.jobs[at] for at in after]
    return [job.id for job in jobs if not job.is_done and job.reason not in COUNT_AS_DONE]


def _ask(context: Context, jobs: Sequence[PastJob], again: str) -> None:
    """Ask whether to mark; without a terminal ``--yes`` is needed.

    Raises:
        UsageError: nobody agreed.
    """
    question = f"\nMark {_them(jobs)} as successful? [y/N] "
    answer = context.terminal.ask(question)
    if answer is None:
        raise UsageError(
            f"Marking {count(len(jobs), 'job')} needs --yes, for nobody can be asked here",
            "no terminal",
            assurance="Nothing was marked.",
            steps=[NextStep(f"To mark {_them(jobs)}:", line=again)],
        )
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError("Not confirmed", assurance="Nothing was marked.")
