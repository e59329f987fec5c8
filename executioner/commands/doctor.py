"""``--doctor``: look at everything that a run relies on, and say what to do about what is wrong."""

import json
import os
import platform
import resource
from collections.abc import Iterator, Sequence

from executioner import __version__
from executioner.commands.context import Context, history_path, invocation
from executioner.commands.guards import place_warnings
from executioner.commands.leftovers import find_leftovers
from executioner.commands.past import configured_history, waiting_spool
from executioner.commands.workflow import load
from executioner.errors import ExecutionerError
from executioner.folders import check_can_hold
from executioner.history import files
from executioner.history.crashes import Suspects
from executioner.history.health import SQLITE_VERSION, WAL_RESET_MENDED, Health, lock_state, look_at
from executioner.history.liveness import NO_RESULT
from executioner.history.lock import this_process
from executioner.history.query import RunFilter
from executioner.history.reader import History
from executioner.model import NextStep, Workflow
from executioner.mounts import free_bytes
from executioner.record import Record
from executioner.records import Run
from executioner.render.command import Invocation
from executioner.render.doctor import Finding, Level, doctor_lines, doctor_object
from executioner.render.text import count, quoted, shown_path

_MIB = 1024 * 1024
_TOO_LITTLE = 64 * _MIB
_LITTLE = 1024 * _MIB
_FEW_FILES = 256
_MOST_RUNS = 50
_COMING = {
    files.Kind.OLDER: "an older version: the next run brings it up, after a backup beside it",
    files.Kind.EARLIER_TOOL: "the earlier tool's: the next run takes it over, after a backup beside it",
}


class _Patient(Record):
    """What is looked at, and how to print paths and commands."""

    context: Context
    history: str
    origin: str
    workflow: Workflow | None
    typed: Invocation

    def shown(self, path: str) -> str:
        return shown_path(path, self.context.cwd)


def doctor(context: Context) -> int:
    """Look at program, history, logs and leftovers; returns 3 if a problem was found, else 0."""
    workflow, config = _config(context)
    options = context.options
    configured = None if options.config is None else configured_history(context, options.config)
    history = history_path(context, configured)
    patient = _Patient(
        context,
        history,
        _origin(context, configured),
        workflow,
        invocation(context, options.config, history),
    )
    findings = [_program(), _sqlite(), *config, *_history(patient), *_surroundings(patient)]
    out = context.terminal.out
    problem = any(one.level is Level.PROBLEM for one in findings)
    if options.json:
        out.write(json.dumps(doctor_object(findings), indent=2) + "\n")
    elif problem or not options.quiet:
        out.write_lines(doctor_lines(findings, out.palette))
    return 3 if problem else 0


def _program() -> Finding:
    system = f"{platform.system()} {platform.release()}"
    return Finding(
        "Program", Level.GOOD, f"executioner {__version__}, Python {platform.python_version()}, {system}"
    )


def _sqlite() -> Finding:
    text = ".".join(map(str, SQLITE_VERSION))
    if SQLITE_VERSION < WAL_RESET_MENDED:
        mended = ".".join(map(str, WAL_RESET_MENDED))
        text += f" (older than {mended}, which mends a rare fault: checkpoints are kept apart because of it)"
    return Finding("SQLite", Level.GOOD, text)


def _config(context: Context) -> tuple[Workflow | None, list[Finding]]:
    if context.options.config is None:
        return None, []
    try:
        workflow = load(context)
    except ExecutionerError as exc:
        return None, [_fault("Config", exc)]
    text = f"{shown_path(workflow.config_path, context.cwd)}: {workflow.name}, {count(len(workflow.jobs), 'job')}"
    return workflow, [Finding("Config", Level.GOOD, text)]


def _fault(topic: str, error: ExecutionerError) -> Finding:
    """An error that a run would end with."""
    where = f" ({error.where})" if error.where else ""
    return Finding(topic, Level.PROBLEM, f"{error.what}{where}", error.details)


def _origin(context: Context, configured: str | None) -> str:
    """Why it is this history."""
    if context.options.db is not None:
        return "--db"
    if os.environ.get("EXECUTIONER_DB"):
        return "$EXECUTIONER_DB"
    return "the default" if configured is None else "history_db of the config"


# --- the history ---------------------------------------------------------------------------


def _history(patient: _Patient) -> Iterator[Finding]:
    path = patient.history
    shown = f"{patient.shown(path)} ({patient.origin})"
    try:
        kind = files.identify(path)
        if kind is files.Kind.ABSENT:
            yield _absent(path, shown)
            return
        health = look_at(path, kind)
    except ExecutionerError as exc:
        fault = _fault("History", exc)
        yield _damaged(patient, fault) if "damaged" in exc.what else fault
        return
    runs = count(health.runs, "run")
    log = f", {_size(health.log_bytes)} in its write-ahead log" if health.log_bytes else ""
    yield Finding("History", Level.GOOD, f"{shown}: {runs}, {_size(health.bytes)}{log}")
    if health.faults:
        yield _damaged(patient, Finding("Integrity", Level.PROBLEM, "it is damaged", health.faults))
    else:
        yield Finding("Integrity", Level.GOOD, "no fault found")
    current = kind is files.Kind.CURRENT
    text = f"version {files.SCHEMA_VERSION}" if current else _COMING[kind]
    yield Finding("Schema", Level.GOOD if current else Level.NOTE, text)
    yield _permissions(patient, health)
    yield _lock(patient, health)
    yield from _runs(patient, health)
    yield from _aftermath(patient)


def _damaged(patient: _Patient, fault: Finding) -> Finding:
    """What to do about a damaged history."""
    path = patient.history
    folder, name = os.path.split(path)
    backups = sorted(one for one in os.listdir(folder) if one.startswith(f"{name}.") and one.endswith(".bak"))
    shown = [quoted(patient.shown(one)) for one in (path, f"{path}-wal") if os.path.exists(one)]
    aside = quoted(patient.shown(f"{path}.damaged"))
    line = f"mkdir {aside} && mv {' '.join(shown)} {aside}"
    return fault._replace(
        details=(*fault.details, *(f"A backup lies beside it: {one}" for one in backups)),
        advice="Put a backup in its place, if there is one. The logs of its runs are not affected.",
        steps=[NextStep("To set it aside, so that the next run begins a new one:", line=line)],
    )


def _absent(path: str, shown: str) -> Finding:
    try:
        check_can_hold(os.path.dirname(path))
    except OSError as exc:
        text = f"{shown}: there is none, and it cannot be made: {exc.filename} is {exc.strerror}"
        return Finding("History", Level.PROBLEM, text, advice="To use another one, add --db FILE.")
    return Finding("History", Level.GOOD, f"{shown}: there is none yet, the first run makes it")


def _permissions(patient: _Patient, health: Health) -> Finding:
    try:
        files.check_writable(patient.history)
    except ExecutionerError as exc:
        return Finding("Permissions", Level.PROBLEM, exc.what, advice="Runs of this user end with exit code 3.")
    if health.others:
        advice = f"To keep it private: chmod o= {patient.shown(patient.history)}"
        return Finding("Permissions", Level.NOTE, "every user of this machine may use it", advice=advice)
    return Finding("Permissions", Level.GOOD, "it can be written")


def _lock(patient: _Patient, health: Health) -> Finding:
    wrong = lock_state(patient.history)
    lock = f"{patient.shown(patient.history)}.lock"
    if wrong is not None:
        advice = f"Its owner and permissions should be those of the history: see {lock}"
        return Finding("Lock", Level.PROBLEM, f"{lock}: {wrong}", advice=advice)
    held = count(len(health.live), "run") if health.live else "no run"
    return Finding("Lock", Level.GOOD, f"works; {held} {'hold' if len(health.live) > 1 else 'holds'} it")


def _runs(patient: _Patient, health: Health) -> Iterator[Finding]:
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
        text = f"run {run.run_id} of {run.application} was killed; the next run records it as INTERRUPTED"
        yield Finding("Run", Level.NOTE, text, steps=[step])


def _aftermath(patient: _Patient) -> Iterator[Finding]:
    """What the newest runs that did not succeed left behind: results beside logs, and processes."""
    history = History(patient.history)
    wanted = RunFilter(statuses=("INTERRUPTED", "FAILED"))
    runs = list(history.find(wanted, _MOST_RUNS))
    yield from _spools(patient, runs)
    left = Finding("Leftovers", Level.GOOD, "no job outlived its runner")
    here = this_process().boot_id
    for run in runs:
        if run.failure_summary != NO_RESULT:
            continue
        crashes = history.crashes(Suspects(run_id=run.run_id), here)
        for one in find_leftovers(crashes, history.identity):
            left = Finding(
                "Leftovers",
                Level.PROBLEM,
                f"{one.job} of run {one.run_id} still runs, though its runner is gone (pid {one.pid})",
                steps=[
                    NextStep(
                        "To wait for it, watch its log:",
                        line=patient.typed.look("--show-log", str(one.run_id), one.job, "--follow"),
                    ),
                    NextStep(
                        "To end it and resume:",
                        line=patient.typed.look("--resume-from", str(one.run_id), "--kill-leftovers"),
                    ),
                ],
            )
            yield left
    if left.level is Level.GOOD:
        yield left


def _spools(patient: _Patient, runs: Sequence[Run]) -> Iterator[Finding]:
    """Results that the history could not take and that nobody has imported."""
    found = False
    for run in runs:
        path = waiting_spool(run)
        if path is not None:
            found = True
            line = patient.typed.look("--import-spool", patient.shown(path))
            yield Finding(
                "Results",
                Level.PROBLEM,
                f"those of run {run.run_id} are not in the history: it could not be written then",
                steps=[NextStep("To put them in:", line=line)],
            )
    if not found:
        yield Finding("Results", Level.GOOD, "none waits beside the logs to be imported")


# --- what lies around it -------------------------------------------------------------------


def _surroundings(patient: _Patient) -> Iterator[Finding]:
    folders = {"history": os.path.dirname(patient.history)}
    logs = _log_folder(patient)
    if logs is not None:
        folders["logs"] = logs
        try:
            check_can_hold(logs)
        except OSError as exc:
            text = f"{patient.shown(logs)}: {exc.filename} is {exc.strerror}"
            advice = "Its jobs cannot be started: they have no place for their output."
            yield Finding("Log folder", Level.PROBLEM, text, advice=advice)
        else:
            yield Finding("Log folder", Level.GOOD, f"{patient.shown(logs)}: can be written")
    for what, folder in folders.items():
        yield _space(what, folder)
    for warning in place_warnings(patient.history):
        yield Finding("File system", Level.NOTE, warning)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        text = f"no more than {soft} at a time: many jobs side by side need more"
        yield Finding("Open files", Level.NOTE, text, advice="To allow more: ulimit -n 1024")


def _log_folder(patient: _Patient) -> str | None:
    """The log folder of the config, else that of the newest run."""
    if patient.workflow is not None:
        return patient.workflow.log_dir
    try:
        newest = next(History(patient.history).find(RunFilter(), 1), None)
    except ExecutionerError:
        return None
    return None if newest is None or newest.log_path is None else os.path.dirname(newest.log_path)


def _space(what: str, folder: str) -> Finding:
    free = free_bytes(folder)
    if free is None:
        return Finding("Space", Level.NOTE, f"for the {what}: it cannot be told how much is free")
    level = Level.PROBLEM if free < _TOO_LITTLE else Level.NOTE if free < _LITTLE else Level.GOOD
    full = "A run whose history cannot be written ends with exit code 3." if what == "history" else ""
    advice = "" if level is Level.GOOD else f"Free some. {full}".rstrip()
    return Finding("Space", level, f"{_size(free)} free for the {what}", advice=advice)


def _size(number: int) -> str:
    """``1.2 MiB``."""
    value = float(number)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
