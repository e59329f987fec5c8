"""What lies around a history, as ``--doctor`` looks at it: log folder, free space, file system, limits."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator, Mapping

from executioner.commands.context import Context
from executioner.commands.guards import place_fault
from executioner.errors import ExecutionerError
from executioner.folders import check_can_hold
from executioner.history.query import RunFilter
from executioner.history.reader import History
from executioner.model import Workflow
from executioner.mounts import disk_of, free_bytes
from executioner.record import Record
from executioner.records import Run
from executioner.render.command import Invocation
from executioner.render.doctor import Finding, Level
from executioner.render.text import shown_path

_MIB = 1024 * 1024
_TOO_LITTLE = 64 * _MIB
_LITTLE = 1024 * _MIB
_FEW_FILES = 256
_MOST_LOOKED_AT = 100
_IF_FULL = {
    "history": "A run whose history cannot be written ends with exit code 3.",
    "logs": "Jobs whose logs cannot be written lose output, or fail.",
    "history and logs": "A run that can write neither ends with exit code 3; jobs lose output, or fail.",
}


class Patient(Record):
    """What is looked at, and how to print paths and commands; ``logs`` is the log folder, if any is known."""

    context: Context
    history: str
    origin: str
    workflow: Workflow | None
    typed: Invocation
    logs: str | None

    def shown(self, path: str) -> str:
        """A path as it is printed."""
        return shown_path(path, self.context.cwd)


def surroundings(patient: Patient) -> Iterator[Finding]:
    """Log folder, free space, the kind of file system, and limits."""
    folders = {"history": os.path.dirname(patient.history)}
    logs = patient.logs
    if logs is not None:
        folders["logs"] = logs
        try:
            check_can_hold(logs)
        except OSError as exc:
            text = f"{patient.shown(str(exc.filename))} is {exc.strerror}"
            advice = 'No job can be started. Set "log_dir" in the config to a folder that can be written.'
            yield Finding("Log folder", Level.PROBLEM, text, advice=advice)
        else:
            yield _log_folder(patient, logs)
    yield from _space(folders)
    fault = place_fault(patient.history)
    if fault is not None:
        text, advice = fault
        yield Finding("File system", Level.NOTE, text, advice=f"{advice[:1].upper()}{advice[1:]}.")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FEW_FILES:
        text = f"no more than {soft} at a time: many jobs side by side need more"
        yield Finding("Open files", Level.NOTE, text, advice="To allow more: ulimit -n 1024")


def _log_folder(patient: Patient, logs: str) -> Finding:
    """A log folder that can be written, or made."""
    shown = patient.shown(logs)
    if os.path.isdir(logs):
        return Finding("Log folder", Level.GOOD, f"{shown}: can be written")
    if logs not in recorded_folders(patient):
        return Finding("Log folder", Level.GOOD, f"{shown}: the next run makes it")
    text = f"{shown} is gone, and with it logs of earlier runs: the next run makes a new one"
    return Finding("Log folder", Level.NOTE, text, advice="If it is on a disk of its own: is that mounted?")


def recorded_folders(patient: Patient) -> set[str]:
    """Where the logs of the newest runs are, of the config if there is one."""
    paths = (patient.workflow.config_path,) if patient.workflow is not None else ()
    try:
        runs = list(History(patient.history).find(RunFilter(config_paths=paths), _MOST_LOOKED_AT))
    except ExecutionerError:
        return set()
    return log_folders(runs)


def log_folders(runs: Iterable[Run]) -> set[str]:
    """Where the logs of some runs are."""
    return {os.path.dirname(run.log_path) for run in runs if run.log_path}


def remains(history: str) -> list[str]:
    """The names of what is there of a history, also of one that was removed or cannot be read."""
    name = os.path.basename(history)
    return [f"{name}{ending}" for ending in ("", "-wal", ".lock") if os.path.lexists(f"{history}{ending}")]


def log_folder(workflow: Workflow | None, history: str) -> str | None:
    """The log folder of the config, else that of the newest run."""
    if workflow is not None:
        return workflow.log_dir
    try:
        newest = next(History(history).find(RunFilter(), 1), None)
    except ExecutionerError:
        return None
    return None if newest is None or newest.log_path is None else os.path.dirname(newest.log_path)


def _space(folders: Mapping[str, str]) -> Iterator[Finding]:
    """How much room there is; folders on one disk are told of once."""
    by_disk: dict[int | None, tuple[str, list[str]]] = {}
    for what, folder in folders.items():
        by_disk.setdefault(disk_of(folder), (folder, []))[1].append(what)
    for folder, names in by_disk.values():
        what, free = " and ".join(names), free_bytes(folder)
        if free is None:
            yield Finding("Space", Level.GOOD, f"this file system does not tell how much is free for {what}")
            continue
        level = Level.PROBLEM if free < _TOO_LITTLE else Level.NOTE if free < _LITTLE else Level.GOOD
        text = f"{size(free)} free for {what}"
        if level is Level.GOOD:
            yield Finding("Space", level, text)
            continue
        advice = (
            f"Make room (below {size(_LITTLE)} is noted, below {size(_TOO_LITTLE)} a problem). {_IF_FULL[what]}"
        )
        yield Finding("Space", level, f"{text}, in {folder}", advice=advice)


def size(number: int) -> str:
    """``1.2 MiB``."""
    value = float(number)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
