"""What runs that were not recorded to their end left behind: results beside logs, and jobs that still run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from executioner import leftovers
from executioner.commands.context import going_on
from executioner.commands.guards import missing_packages
from executioner.commands.leftovers import find_leftovers, unseen
from executioner.commands.surroundings import Patient, log_folders, recorded_folders, remains
from executioner.errors import HistoryError, RunRefusedError, UsageError
from executioner.history import spool
from executioner.history.crashes import Suspects
from executioner.history.liveness import NO_RESULT
from executioner.history.lock import this_process
from executioner.history.query import RunFilter
from executioner.history.reader import History
from executioner.history.spool import Spool
from executioner.leftovers import Leftover
from executioner.model import NextStep
from executioner.records import Run
from executioner.render.doctor import Finding, Level
from executioner.render.text import safe


def aftermath(patient: Patient, history: History | None) -> Iterator[Finding]:
    """Look for both; ``history`` is None where there is none, or none that can be read."""
    try:
        interrupted = history.find(RunFilter(statuses=("INTERRUPTED",))) if history else iter(())
        runs = [run for run in interrupted if run.failure_summary == NO_RESULT]
        yield from _results(patient, history, runs)
        if "psutil" in missing_packages():
            return  # that is told: processes cannot be looked at
        yield from _known_leftovers(patient, history, runs) if history else _unknown_leftovers(patient)
    except HistoryError as exc:
        yield Finding("History", Level.PROBLEM, exc.what)


# --- results ---------------------------------------------------------------------------------


def _results(patient: Patient, history: History | None, runs: Sequence[Run]) -> Iterator[Finding]:
    """Results that the history could not take and that nobody has imported."""
    folders = log_folders(runs) | ({patient.logs} if patient.logs is not None else set())
    files = {folder: _spool_files(folder) for folder in folders}
    found = False
    for path in sorted(path for paths in files.values() for path in paths or ()):
        shown = patient.shown(path)
        try:
            content = spool.read(path)
        except UsageError as exc:
            text = f"{shown}: {exc.what}"
            advice = "A resume of its run is refused while it lies there. To go on without it, move it away."
            yield Finding("Results", Level.PROBLEM, text, advice=advice)
            found = True
            continue
        if os.path.realpath(content.history) != patient.history or _is_recorded(history, content):
            continue
        found = True
        text = f"those of run {content.run_id} ({content.application_name}) are not in the history"
        line = patient.typed.look("--import-spool", shown)
        when = "the history is back" if history is None and not content.is_whole else "it can be written"
        step = NextStep(f"To put them in, once {when}:", line=line)
        yield Finding("Results", Level.PROBLEM, safe(text), steps=[step])
    if not found:
        yield _no_results(patient, history, runs, files)


def _no_results(
    patient: Patient, history: History | None, runs: Sequence[Run], files: Mapping[str, list[str] | None]
) -> Finding:
    """None was found. Where a folder with logs could not be looked at, that does not say that there is none."""
    unknown = "whether some wait to be imported is not known"
    is_lost = history is None and bool(remains(patient.history))
    if is_lost and not files:
        text = f"{unknown}: the history would tell where the logs are"
        return Finding("Results", Level.NOTE, text, advice="To look beside the logs of a config: add -c FILE.")
    unseen = {folder for folder, paths in files.items() if paths is None}
    if unseen and not is_lost:  # in a folder without any run's logs there is nothing
        unseen &= recorded_folders(patient) | log_folders(runs)
    if unseen:
        gone = {folder for folder in unseen if not os.path.lexists(folder)}
        why = [
            f"{', '.join(sorted(map(patient.shown, folders)))} {words}"
            for folders, words in ((gone, "is not there"), (unseen - gone, "cannot be looked at"))
            if folders
        ]
        return Finding("Results", Level.NOTE, f"{unknown}: {'; '.join(why)}")
    return Finding("Results", Level.GOOD, "none waits beside the logs to be imported")


def _spool_files(folder: str) -> list[str] | None:
    """The spool files in a folder; None if it cannot be looked at."""
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(spool.ENDING)]
    except OSError:
        return None


def _is_recorded(history: History | None, content: Spool) -> bool:
    """Whether the end that a spool tells of is in the history: it could not be renamed then."""
    if history is None:
        return False
    try:
        place = history.place(content)
    except RunRefusedError:
        return False
    return not place.is_new and history.run(place.run_id).run.end_time == content.run.get("end_time")


# --- jobs that still run ------------------------------------------------------------------------


def _known_leftovers(patient: Patient, history: History, runs: Sequence[Run]) -> Iterator[Finding]:
    here = this_process().boot_id
    of_this_boot = [run.run_id for run in runs if here is None or run.boot_id == here]
    crashes = [one for run_id in of_this_boot for one in history.crashes(Suspects(run_id=run_id), here)]
    found = find_leftovers(crashes, history.identity)
    for run in sorted(runs, key=lambda run: run.run_id):
        of_run = [one for one in found if one.run_id == run.run_id]
        if of_run:
            yield _leftovers_of(patient, run, of_run)
    hidden = unseen(crashes)
    for text in hidden:
        yield Finding("Leftovers", Level.NOTE, text)
    if not found and not hidden:
        yield Finding("Leftovers", Level.GOOD, "no job outlived its runner")


def _leftovers_of(patient: Patient, run: Run, found: Sequence[Leftover]) -> Finding:
    run_id = run.run_id
    names = " and ".join(f"{one.job} (pid {one.pid})" for one in found)
    one = len(found) == 1
    text = f"{names} of run {run_id} still {'runs, though its' if one else 'run, though their'} runner is gone"
    look = patient.typed.look
    steps = [
        NextStep(
            f"To wait for {left.job}, watch its log:", line=look("--show-log", str(run_id), left.job, "--follow")
        )
        for left in found
    ]
    if run.resumable and run.resumed_by is None:
        typed = going_on(patient.typed, run, patient.context.cwd)
        end = typed.run("--resume-from", str(run_id), "--kill-leftovers")
        steps.append(NextStep(f"To end {'it' if one else 'them'} and resume:", line=end))
    else:  # a resume would be refused, or have nothing to do
        groups = " ".join(f"-{group}" for group in leftovers.groups(found))
        if groups:
            steps.append(NextStep(f"To end {'it' if one else 'them'}:", line=f"kill -- {groups}"))
    return Finding("Leftovers", Level.PROBLEM, text, steps=steps)


def _unknown_leftovers(patient: Patient) -> Iterator[Finding]:
    """Jobs of a history that is gone or cannot be read: found by what their processes say of themselves."""
    found = leftovers.of_dead_runners(patient.history)
    for one in found:
        yield Finding(
            "Leftovers",
            Level.PROBLEM,
            f"{one.job} of run {one.run_id} still runs (pid {one.pid}), though its runner is gone",
            advice="The history cannot tell any more: a run would start it a second time.",
            steps=[NextStep("To end it:", line=f"kill -- -{one.group}")],
        )
    if not found:
        yield Finding("Leftovers", Level.GOOD, "no job outlived its runner")
