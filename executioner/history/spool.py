"""The results that a history could not take: a JSON file beside the logs, and putting them back.

The form is described in docs/history.md. It holds what the history lacks, as columns; if the database
was removed during the run, the rows as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence

from executioner.errors import RunRefusedError, UsageError
from executioner.folders import open_regular, sync_folder
from executioner.history.identity import newest_id
from executioner.model import JobStatus
from executioner.record import Record
from executioner.records import JOB_COLUMNS, RUN_COLUMNS
from executioner.render.text import local_time
from executioner.times import from_utc_text
from executioner.verdict import JobOutcome, run_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_FORM = 1
_MOST_FILES = 100
_HEAD = ("history", "history_id", "run_id", "application_name", "start_time", "reason")
_RUN_COLUMNS = frozenset(RUN_COLUMNS)
_JOB_COLUMNS = frozenset((*JOB_COLUMNS, "run_id", "application_name"))
_ENDED = frozenset(JobStatus) - {JobStatus.PENDING, JobStatus.RUNNING}
_NOTHING = "Nothing was imported."
_NOT_DONE = """
SELECT coalesce(position, 0), id, status, coalesce(reason, '') FROM job_history
WHERE run_id = ? AND status <> 'SUCCESS'"""
_SETTLE = """
UPDATE run_metadata SET status = ?1,
    completed_jobs = (SELECT count(*) FROM job_history WHERE run_id = ?2 AND status = 'SUCCESS'),
    failed_jobs = (SELECT count(*) FROM job_history
                   WHERE run_id = ?2 AND status IN ('FAILED', 'TIMEOUT', 'ERROR')),
    skipped_jobs = (SELECT count(*) FROM job_history WHERE run_id = ?2 AND status = 'SKIPPED'),
    failure_summary = CASE WHEN ?1 = 'SUCCESS' THEN NULL ELSE failure_summary END
WHERE run_id = ?2"""
#: What a person may have recorded meanwhile.
_MARKS = ("marked_by", "marked_at", "mark_reason")


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


def names(base: str) -> list[str]:
    """The names that spool files of a run may have; ``BASE`` is the folder and what its logs begin with."""
    return [f"{base}{f'-{number}' if number > 1 else ''}.spool.json" for number in range(1, _MOST_FILES)]


def write(base: str, content: Mapping[str, object]) -> str:
    """Create ``BASE.spool.json`` durably, 0600; returns its path. A name that is taken is left alone.

    Raises:
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    path = next((path for path in names(base) if not os.path.lexists(path)), names(base)[-1])
    fd = os.open(path, flags, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, 0o600)  # whatever the umask
            json.dump({"executioner_spool": _FORM, **content}, file, indent=1)
            file.flush()
            os.fsync(fd)
        sync_folder(os.path.dirname(path))
    except OSError:
        with contextlib.suppress(OSError):  # half a spool is none
            os.unlink(path)
        raise
    return path


def waiting(base: str, run_id: int, start_time: str | None, end_time: str | None) -> str | None:
    """The spool file of a run that was not imported yet; None if there is none.

    One of the same name is passed over that can be read and is another run's, of another history that keeps
    its logs in the same folder; so is one whose end of the run is recorded, but which could not be renamed.
    """
    for path in names(base):
        if not os.path.lexists(path):
            return None
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
        raise UsageError(f"The file cannot be read: {exc.strerror}", shown, assurance=_NOTHING) from exc
    except (ValueError, RecursionError):
        _refuse(shown, "it is not JSON, or was cut")
    if not isinstance(content, dict) or "executioner_spool" not in content:
        _refuse(shown, "it does not say that it is one")
    if content["executioner_spool"] != _FORM:
        raise UsageError(
            "The file was written by a newer executioner",
            shown,
            details=[f"This program knows form {_FORM} of such files: upgrade executioner."],
            assurance=_NOTHING,
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
        if columns.get("status", JobStatus.SUCCESS) not in _ENDED:
            _refuse(shown, f"job {job} has no status that a job ends with")
    is_whole = run.keys() >= _RUN_COLUMNS and all(one.keys() >= _JOB_COLUMNS for one in jobs.values())
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
    raise UsageError(f"This is not a spool file: {why}", path, assurance=_NOTHING)


# --- putting it back --------------------------------------------------------------------------


def put_back(connection: sqlite3.Connection, spool: Spool, live: frozenset[int]) -> int:
    """Record a spool's results, within the transaction that is open; returns the run's id.

    The run has its results on top of what was recorded of it meanwhile. Where it is not known, because its
    database was removed, it is put in whole; if another run has its id, under a new one. Its status is
    that of its jobs.

    Raises:
        RunRefusedError: the run is still on, or is not known and the spool does not hold all of it.
    """
    recorded = connection.execute(
        "SELECT application_name, start_time FROM run_metadata WHERE run_id = ?", (spool.run_id,)
    ).fetchone()
    run_id = spool.run_id
    if recorded == (spool.application_name, spool.start_time):
        if run_id in live:
            raise RunRefusedError(
                f"Run {run_id} is still running", assurance=f"{_NOTHING} Wait until it has ended."
            )
        _update(connection, "run_metadata", spool.run, "run_id = ?", (run_id,))
        for job, columns in spool.jobs.items():
            if not _update(connection, "job_history", columns, "run_id = ? AND id = ?", (run_id, job)):
                raise RunRefusedError(
                    f"Run {run_id} has no job {job}: the file was edited", spool.path, assurance=_NOTHING
                )
    elif not spool.is_whole:
        raise _not_known(spool, other=recorded is not None)
    else:
        run_id = _insert(connection, spool, taken=recorded is not None)
    _settle(connection, run_id)
    return run_id


def _not_known(spool: Spool, *, other: bool) -> RunRefusedError:
    what = "is another run there" if other else "is not in it"
    return RunRefusedError(
        f"The results belong to a history that is not this one: run {spool.run_id} {what}",
        spool.path,
        details=[
            f"They are of run {spool.run_id} of {spool.application_name},"
            f" started {_shown_time(spool.start_time)},",
            f"in {spool.history}.",
        ],
        assurance=f"{_NOTHING} If that history was moved, name it with --db PATH.",
    )


def _shown_time(text: str) -> str:
    try:
        return local_time(from_utc_text(text))
    except ValueError:  # somebody has edited it
        return text


def _update(
    connection: sqlite3.Connection, table: str, columns: Mapping[str, Any], where: str, key: Sequence[object]
) -> bool:
    """Change columns, whose names were checked, of one row; whether there is such a row."""
    changed = {name: value for name, value in columns.items() if name not in ("run_id", "id", *_MARKS)}
    if not changed:
        return connection.execute(f"SELECT 1 FROM {table} WHERE {where}", tuple(key)).fetchone() is not None
    assignments = ", ".join(f"{name} = ?" for name in changed)
    statement = f"UPDATE {table} SET {assignments} WHERE {where}"
    return connection.execute(statement, (*changed.values(), *key)).rowcount == 1


def _insert(connection: sqlite3.Connection, spool: Spool, *, taken: bool) -> int:
    """Put a whole run into a history that does not know it; returns the id that it has there."""
    rows = connection.execute("SELECT 1 FROM job_history WHERE run_id = ? LIMIT 1", (spool.run_id,)).fetchone()
    run_id = newest_id(connection) + 1 if taken or rows else spool.run_id
    # the runs that it resumed went with their history
    known = {**spool.run, "run_id": run_id, "root_run_id": run_id, "parent_run_id": None}
    _insert_row(connection, "run_metadata", known)
    for columns in spool.jobs.values():
        _insert_row(connection, "job_history", {**columns, "run_id": run_id})
    return run_id


def _insert_row(connection: sqlite3.Connection, table: str, columns: Mapping[str, Any]) -> None:
    places = ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", tuple(columns.values()))


def _settle(connection: sqlite3.Connection, run_id: int) -> None:
    """Give the run the status and the counts that follow from its jobs."""
    outcomes = [
        JobOutcome(position, job, "", JobStatus(status) if status in _ENDED else JobStatus.ERROR, reason, None)
        for position, job, status, reason in connection.execute(_NOT_DONE, (run_id,))
    ]
    status = run_status(outcomes, stopped=True)
    connection.execute(_SETTLE, (status.value, run_id))
