"""``--doctor``: look at everything that a run relies on, and say what to do about what is wrong."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from itertools import count as count_from

from executioner import __version__
from executioner.commands.aftermath import aftermath
from executioner.commands.context import Context, history_place, invocation
from executioner.commands.guards import install_step, missing_packages
from executioner.commands.past import configured_history
from executioner.commands.surroundings import Patient, log_folder, remains, size, surroundings
from executioner.commands.workflow import load
from executioner.errors import DamagedHistoryError, ExecutionerError
from executioner.folders import check_can_hold
from executioner.history import files
from executioner.history.health import SQLITE_VERSION, WAL_RESET_MENDED, Health, lock_state, look_at
from executioner.history.reader import History
from executioner.model import NextStep, Workflow
from executioner.render.command import Invocation, step_line
from executioner.render.doctor import Finding, Level, doctor_lines, doctor_object
from executioner.render.text import count, first_of, quoted, shown_path

_MOST_FAULTS = 5
_COMING = {
    files.Kind.OLDER: "an older version: the next run brings it up, after a backup beside it",
    files.Kind.EARLIER_TOOL: "the earlier tool's: the next run takes it over, after a backup beside it",
}


def doctor(context: Context) -> int:
    """Look at program, history, logs and leftovers; returns 3 if a problem was found, else 0."""
    options = context.options
    history, origin = history_place(context, lambda: _configured(context))
    typed = invocation(context, options.config, history)
    workflow, config_findings = _config(context, typed)
    patient = Patient(context, history, origin, workflow, typed, log_folder(workflow, history))
    findings = [_program(), _sqlite(), *config_findings, *_history(patient), *surroundings(patient)]
    if options.quiet:
        findings = [one for one in findings if one.level is Level.PROBLEM]
    out = context.terminal.out
    problem = any(one.level is Level.PROBLEM for one in findings)
    if options.json:
        from executioner.jsontext import indented

        out.write(indented(doctor_object(findings)) + "\n")
    elif problem or not options.quiet:
        out.write_lines(doctor_lines(findings, out.palette, context.terminal.width()))
    return 3 if problem else 0


def _configured(context: Context) -> str | None:
    config = context.options.config
    return None if config is None else configured_history(context, config, warn=False)


def _program() -> Finding:
    system = f"{platform.system()} {platform.release()}"
    text = f"executioner {__version__}, Python {platform.python_version()}, {system}"
    missing = missing_packages()
    if not missing:
        return Finding("Program", Level.GOOD, text)
    why = f"{text}, without {', '.join(missing)}"
    return Finding("Program", Level.PROBLEM, why, steps=[install_step(missing)])


def _sqlite() -> Finding:
    text = ".".join(map(str, SQLITE_VERSION))
    if SQLITE_VERSION < WAL_RESET_MENDED:
        mended = ".".join(map(str, WAL_RESET_MENDED))
        text += f" (executioner works around a rare fault that {mended} mends)"
    return Finding("SQLite", Level.GOOD, text)


def _config(context: Context, typed: Invocation) -> tuple[Workflow | None, list[Finding]]:
    if context.options.config is None:
        return None, []
    try:
        workflow = load(context, only_to_check=True)
    except ExecutionerError as exc:
        again = NextStep("To check it again:", (*typed.config_words, "--validate"))
        is_file = os.path.isfile(os.path.join(context.cwd, context.options.config))
        steps = [again] if is_file else exc.steps
        lines = [NextStep(step.why, line=step_line(step, typed)) for step in steps]
        return None, [_fault("Config", exc)._replace(steps=lines)]
    text = f"{shown_path(workflow.config_path, context.cwd)}: {workflow.name}, {count(len(workflow.jobs), 'job')}"
    return workflow, [Finding("Config", Level.GOOD, text)]


def _fault(topic: str, error: ExecutionerError) -> Finding:
    """An error that a run would end with."""
    where = f" ({error.where})" if error.where else ""
    return Finding(topic, Level.PROBLEM, f"{error.what}{where}", error.details)


# --- the history ---------------------------------------------------------------------------


def _history(patient: Patient) -> Iterator[Finding]:
    path = patient.history
    shown = f"{patient.shown(path)} ({patient.origin})"
    try:
        kind = files.identify(path)
        if kind is files.Kind.ABSENT:
            yield _absent(patient, shown)
            yield from aftermath(patient, None)
            return
        health = look_at(path, kind)
    except ExecutionerError as exc:
        fault = _fault("History", exc)
        other = fault._replace(advice="To use another one, name it with --db FILE.")
        yield _damaged(patient, fault) if isinstance(exc, DamagedHistoryError) else other
        yield from aftermath(patient, None)
        return
    runs = count(health.runs, "run")
    log = f", {size(health.log_bytes)} in its write-ahead log" if health.log_bytes else ""
    yield Finding("History", Level.GOOD, f"{shown}: {runs}, {size(health.bytes)}{log}")
    if health.faults:
        yield _integrity(patient, health.faults)
    elif health.contradictions:
        text = "rows contradict each other: somebody has edited them"
        advice = "The next resume of such a run treats these jobs as interrupted."
        yield Finding("Integrity", Level.NOTE, text, health.contradictions, advice)
    else:
        yield Finding("Integrity", Level.GOOD, "no fault found")
    current = kind is files.Kind.CURRENT
    text = f"version {files.SCHEMA_VERSION}" if current else _COMING[kind]
    yield Finding("Schema", Level.GOOD if current else Level.NOTE, text)
    yield _permissions(patient, health)
    yield _lock(patient, health)
    yield from _runs(patient, health)
    yield from aftermath(patient, History(path))


def _integrity(patient: Patient, found: Sequence[str]) -> Finding:
    """What to do about what SQLite's own check finds."""
    faults = first_of(found, _MOST_FAULTS)
    if not all("index" in fault for fault in found):  # SQLite has words alone for it
        return _damaged(patient, Finding("Integrity", Level.PROBLEM, "it is damaged", faults))
    return Finding(
        "Integrity",
        Level.PROBLEM,
        "an index is damaged: all is there, but may not be found",
        faults,
        steps=[
            NextStep(
                "To mend it while no run is on:",
                line=f"sqlite3 {quoted(patient.shown(patient.history))} REINDEX",
            )
        ],
    )


def _damaged(patient: Patient, fault: Finding) -> Finding:
    """What to do about a damaged history."""
    path = patient.history
    folder, name = os.path.split(path)
    try:
        names = os.listdir(folder)
    except OSError:  # it may be entered, but not be read
        names = []
    backups = sorted(one for one in names if one.startswith(f"{name}.") and one.endswith(".bak"))
    parts = [quoted(one) for one in (path, f"{path}-wal") if os.path.exists(one)]
    aside = next(one for number in count_from(1) if not os.path.lexists(one := f"{path}.damaged-{number}"))
    line = f"mkdir {quoted(aside)} && mv {' '.join(parts)} {quoted(aside)}"
    return fault._replace(
        details=(*fault.details, *(f"A backup lies beside it: {one}" for one in backups)),
        advice="Put a backup in its place, if there is one. The logs of its runs are not affected.",
        steps=[NextStep("To set it aside, so that the next run begins a new one:", line=line)],
    )


def _absent(patient: Patient, shown: str) -> Finding:
    path = patient.history
    try:
        check_can_hold(os.path.dirname(path))
    except OSError as exc:
        text = f"{shown}: there is none, and it cannot be made: {exc.filename} is {exc.strerror}"
        return Finding("History", Level.PROBLEM, text, advice="To use another one, name it with --db FILE.")
    left = remains(path)
    if left:
        are_left = f"{', '.join(left)} {'is' if len(left) == 1 else 'are'} left"
        text = f"{shown}: it was removed or emptied, or could not be made; {are_left}"
        advice = "Put a backup in its place before the next run, if there is one: that begins a new history."
        return Finding("History", Level.PROBLEM, text, advice=advice)
    return Finding("History", Level.GOOD, f"{shown}: there is none yet, the first run makes it")


_NOT_OURS = "Runs of this user end with exit code 3. To use another history, name it with --db FILE."


def _permissions(patient: Patient, health: Health) -> Finding:
    try:
        files.check_writable(patient.history)
    except ExecutionerError as exc:
        return Finding("Permissions", Level.PROBLEM, exc.what, advice=_NOT_OURS)
    if health.others:
        advice = f"To keep it private: chmod o= {quoted(patient.shown(patient.history))}"
        return Finding("Permissions", Level.NOTE, "every user of this machine may use it", advice=advice)
    return Finding("Permissions", Level.GOOD, "it can be written")


def _lock(patient: Patient, health: Health) -> Finding:
    wrong = lock_state(patient.history)
    if wrong is None and health.live and not os.path.lexists(f"{patient.history}.lock"):
        text = "its file is gone: somebody removed it while a run was on, which is told by its process alone"
        return Finding("Lock", Level.NOTE, text, advice="The next run makes it again; leave it where it is.")
    if wrong is None:
        held = count(len(health.live), "run") if health.live else "no run"
        return Finding("Lock", Level.GOOD, f"works; {held} {'hold' if len(health.live) > 1 else 'holds'} it")
    text, advice = wrong
    lock = f"{patient.shown(patient.history)}.lock"
    return Finding("Lock", Level.PROBLEM if advice else Level.NOTE, text.format(lock=lock), advice=advice)


def _runs(patient: Patient, health: Health) -> Iterator[Finding]:
    """What is on, and what only seems to be."""
    typed = patient.typed
    for run in health.unverified:
        text = f"whether run {run.run_id} is still on cannot be told: ask {run.user}@{run.host}, pid {run.pid}"
        yield Finding("Run", Level.NOTE, text)
    for run in health.live:
        text = f"run {run.run_id} of {run.application} is on ({run.user}@{run.host}, pid {run.pid})"
        yield Finding("Run", Level.GOOD, text)
    for run in health.dead:
        step = NextStep("To see it, and how to go on:", line=typed.look("--show-run", str(run.run_id)))
        of = f"run {run.run_id} of {run.application}"
        text = f"{of} ended without being recorded; the next run records it as INTERRUPTED"
        yield Finding("Run", Level.NOTE, text, steps=[step])
