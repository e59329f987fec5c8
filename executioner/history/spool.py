"""The results that a history could not take: a JSON file beside the logs.

The form is described in docs/history.md. It holds what the history lacks, as columns; if the database
was removed during the run, the rows as a whole. ``putback`` puts them back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from math import isfinite

from executioner.errors import UsageError
from executioner.folders import give_name, open_regular, sync_folder
from executioner.lean import suppress
from executioner.model import JobStatus
from executioner.record import Record
from executioner.records import JOB_COLUMNS, RUN_COLUMNS
from executioner.render.text import storable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    _Made = TypeVar("_Made")

_FORM = 1
_MOST_FILES = 1000
#: How the names of spool files end.
ENDING = ".spool.json"
_HEAD = ("history", "history_id", "run_id", "application_name", "start_time", "reason")
_RUN_COLUMNS = frozenset(RUN_COLUMNS)
_JOB_COLUMNS = frozenset((*JOB_COLUMNS, "run_id", "application_name"))
#: The statuses that a job ends with.
ENDED = frozenset(JobStatus) - {JobStatus.PENDING, JobStatus.RUNNING}
#: What errors of importing end with.
NOTHING = "Nothing was imported."


class Spool(Record):
    """The content of a spool file.

    Attributes:
        path: the file.
        history: the database that could not be written.
        history_id: that database's own random id.
        run_id: the run.
        application_name: with ``start_time``, what tells the run from another of the same id.
        reason: why the history could not be written.
        run: columns of the run's row; all of them if ``is_whole``.
        jobs: columns of each job's row by its id; all of them if ``is_whole``.
        is_whole: whether the run can be put into a history that does not know it.
    """

    path: str
    history: str
    history_id: str
    run_id: int
    application_name: str
    start_time: str
    reason: str
    run: Mapping[str, Any]
    jobs: Mapping[str, Mapping[str, Any]]
    is_whole: bool

    def counts(self) -> dict[str, int]:
        """How many jobs it has of each status, in the order of their appearance."""
        found: dict[str, int] = {}
        for columns in self.jobs.values():
            if "status" in columns:
                found[columns["status"]] = found.get(columns["status"], 0) + 1
        return found


# --- the file ---------------------------------------------------------------------------------


def write(base: str, content: Mapping[str, object], room: int | None = None) -> str:
    """Create ``BASE.spool.json`` durably, 0600; returns its path. A name that is taken is left alone.

    Args:
        base: the path up to the ending.
        content: what it holds besides the version of its form.
        room: what ``take_room`` took, to be used instead of what is free.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(_cleaned({"executioner_spool": _FORM, **content}), indent=1).encode()
    path = None
    try:
        if room is not None:
            _write(room, text)
            path, _ = _at_free_name(base, lambda free: give_name(room, free))
            os.fsync(room)  # a file without a name is none after a power cut: that it has one now is to last
        else:
            path, fd = _at_free_name(base, _create)
            try:
                _write(fd, text)
            finally:
                os.close(fd)
        sync_folder(os.path.dirname(path))
    except BaseException:
        if path is not None:
            with suppress(OSError):  # half a spool is none
                os.unlink(path)
        raise
    return path


def _write(fd: int, text: bytes) -> None:
    os.fchmod(fd, 0o600)  # whatever the umask
    written = 0
    while written < len(text):
        written += os.pwrite(fd, text[written:], written)
    os.ftruncate(fd, written)
    os.fsync(fd)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _at_free_name(base: str, make: Callable[[str], _Made]) -> tuple[str, _Made]:
    number = 1
    while True:
        path = f"{base}{f'-{number}' if number > 1 else ''}{ENDING}"
        try:
            return path, make(path)
        except FileExistsError:
            number += 1
            if number > _MOST_FILES:
                raise


def _cleaned(value: object) -> object:
    """A value as it can be read again: what the history cannot hold becomes what it would show instead."""
    if isinstance(value, str):
        return storable(value) if not value.isascii() else value
    if isinstance(value, dict):
        return {name: _cleaned(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return None if isinstance(value, float) and not isfinite(value) else value


def waiting(base: str, run_id: int, start_time: str | None, end_time: str | None) -> str | None:
    """The spool file of a run that was not imported yet; None if there is none.

    One of such a name is passed over that can be read and is another run's, of another history that keeps
    its logs in the same folder; so is one whose end of the run is recorded, but which could not be renamed.
    """
    folder, name = os.path.split(base)
    try:
        names = sorted(one for one in os.listdir(folder) if one.startswith(name) and one.endswith(ENDING))
    except OSError:
        return None
    for one in names:
        number = one[len(name) : -len(ENDING)]
        if number and not (number[0] == "-" and number[1:].isdigit()):
            continue  # of another run: its number begins with this one's
        path = os.path.join(folder, one)
        try:
            found = read(path)
        except UsageError:
            return path
        is_recorded = end_time is not None and found.run.get("end_time") == end_time
        if (found.run_id, found.start_time) == (run_id, start_time) and not is_recorded:
            return path
    return None


def read(path: str, shown: str | None = None) -> Spool:
    """The content of a spool file; ``shown`` is how errors name it.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    shown = path if shown is None else shown
    try:
        with open(open_regular(path), encoding="utf-8") as file:
            content = json.load(file, parse_constant=lambda name: _refuse(shown, f"it has the number {name}"))
    except OSError as exc:
        raise UsageError(f"The file cannot be read: {exc.strerror}", shown, assurance=NOTHING) from exc
    except (ValueError, RecursionError):
        _refuse(shown, "it is not JSON, or was cut")
    if not isinstance(content, dict) or "executioner_spool" not in content:
        _refuse(shown, "it does not say that it is one")
    if content["executioner_spool"] != _FORM:
        raise UsageError(
            "The file was written by a newer executioner",
            shown,
            details=[f"This program knows form {_FORM} of such files: upgrade executioner."],
            assurance=NOTHING,
        )
    for name in _HEAD:
        if type(content.get(name)) is not (int if name == "run_id" else str):
            _refuse(shown, f'"{name}" is missing')
    run = content.get("run")
    entries = content.get("jobs")
    if not isinstance(run, dict) or not isinstance(entries, list):
        _refuse(shown, '"run" or "jobs" is missing')
    _check_columns(shown, run, _RUN_COLUMNS, "run")
    jobs: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            _refuse(shown, "a job has no id")
        _check_columns(shown, entry, _JOB_COLUMNS, f"job {entry['id']}")
        jobs.setdefault(entry["id"], {}).update(entry)  # later entries on top of earlier ones
    for job, columns in jobs.items():
        if columns.get("status", JobStatus.SUCCESS) not in ENDED:
            _refuse(shown, f"job {job} has no status that a job ends with")
    is_whole = (
        run.keys() >= _RUN_COLUMNS
        and run["total_jobs"] == len(jobs)
        and all(one.keys() >= _JOB_COLUMNS for one in jobs.values())
    )
    return Spool(path=path, **{name: content[name] for name in _HEAD}, run=run, jobs=jobs, is_whole=is_whole)


def _check_columns(path: str, columns: Mapping[str, Any], known: frozenset[str], of: str) -> None:
    for name, value in columns.items():
        if name not in known:
            _refuse(path, f'{of} has an unknown column "{name}"')
        if not _can_be_stored(value):
            _refuse(path, f'"{name}" of {of} is no value of a column')


def _can_be_stored(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    return value is None or type(value) is float or (type(value) is int and -(2**63) <= value < 2**63)


def _refuse(path: str, why: str) -> NoReturn:
    raise UsageError(f"This is not a spool file: {why}", path, assurance=NOTHING)
