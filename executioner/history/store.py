"""Writing the history: every SQL statement that changes it, and when what is durable.

The rules (docs/history.md): a run and all its jobs appear in one
transaction; RUNNING is committed before a process is started and a result before any
dependent starts, one commit a tick of the scheduler; creating and finishing a run is
synced to the disk (synchronous=FULL), what lies between is not (NORMAL): a power cut
can only make a job run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from executioner.errors import HistoryError
from executioner.events import Event
from executioner.folders import file_id, make_folder
from executioner.history import files
from executioner.history.changes import COUNTED, JobChange, RunEnd, changes, run_columns, set_statement
from executioner.history.crashes import Crash, Suspects, crashes, has_lost_runs
from executioner.history.create import connect, create
from executioner.history.identity import identity, newest_id
from executioner.history.liveness import NO_RESULT, UnfinishedRun, unfinished_runs
from executioner.history.lock import LockFile, ProcessIdentity
from executioner.history.sqlite import sqlite3
from executioner.jsontext import dumps
from executioner.lean import contextmanager, suppress
from executioner.model import NextStep
from executioner.record import Record
from executioner.render.text import count
from executioner.times import utc_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.history.lineage import Lineage
    from executioner.history.spool import Spool

CHECKPOINT_BYTES = 64 * 1024 * 1024
_COMMITS_BETWEEN_SIZE_CHECKS = 512
_PATIENCE_AT_END_S = 2.0

_INSERT_RUN = """
INSERT INTO run_metadata (run_id, config_path, config_hash, parent_run_id, root_run_id, total_jobs, completed_jobs,
    failed_jobs, skipped_jobs, start_time, status, application_name, user, host, boot_id, pid,
    pid_start_ticks, working_dir, options, executioner_version)
VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, 'RUNNING', ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PLACE_RUN = """
UPDATE run_metadata SET log_path = ?, root_run_id = coalesce(root_run_id, run_id) WHERE run_id = ?"""
_INSERT_JOB = """
INSERT INTO job_history (run_id, id, position, description, command, status, application_name, retry_count,
    definition, max_retries, retry_history) VALUES (?, ?, ?, ?, ?, 'PENDING', ?, 0, ?, ?, zeroblob(?))"""
#: A row grows by about so much when its job runs. Without room for that in its page every other result makes
#: SQLite distribute rows over pages anew: more is written a commit, and synced at the end of the run.
_GROWTH_BYTES = 400
_OTHER_COLUMNS_BYTES = 100  # of a PENDING row, beside its texts
_FREE_ROOM = "UPDATE job_history SET retry_history = NULL WHERE run_id = ?"
_RESULT = """exit_code, start_time, end_time, last_run, duration_seconds, retry_count, retry_history, last_error,
    memory_usage_mb, cpu_usage_percent, log_path, marked_by, marked_at, mark_reason"""
#: The parent run is read through a second connection to the same file, ``past``, which sees what is committed:
#: where a statement reads the table that it writes, SQLite first copies all that it reads into a temporary table.
_ATTACH_PAST = "ATTACH ? AS past"
_DETACH_PAST = "DETACH past"
_COUNT_JOBS = "SELECT count(*) FROM job_history WHERE run_id = ?"
#: Each of its pages is read once; to keep them all would only cost memory, which the kernel gives page by page.
_PAST_PAGES = 16
_REUSED_AT_ONCE = 50  # in one statement
_INSERT_REUSED = f"""
WITH taken (id, position, description, command, definition, max_retries) AS (VALUES {{}})
INSERT INTO main.job_history (run_id, id, position, description, command, status, application_name, definition,
    max_retries, source_run_id, {_RESULT})
SELECT ?, job.id, taken.position, taken.description, coalesce(job.command, taken.command), 'SUCCESS', ?,
    coalesce(job.definition, taken.definition), taken.max_retries, coalesce(source_run_id, run_id), {_RESULT}
FROM taken CROSS JOIN past.job_history AS job ON job.run_id = ? AND job.id = taken.id"""
#: The same where a row needs no change: all that counts as done in the parent run and is not to run again.
_COPY_REST = f"""
INSERT OR IGNORE INTO main.job_history (run_id, id, position, description, command, status, application_name,
    definition, max_retries, source_run_id, {_RESULT})
SELECT ?, id, position, description, command, 'SUCCESS', ?,
    definition, max_retries, coalesce(source_run_id, run_id), {_RESULT}
FROM past.job_history WHERE run_id = ? AND (status = 'SUCCESS' OR marked_by IS NOT NULL) AND typeof(id) = 'text'"""
_MARK = """
UPDATE job_history SET marked_by = ?, marked_at = ?, mark_reason = ?
WHERE run_id = ? AND id = ? AND status <> 'SUCCESS' AND marked_by IS NULL"""
_DEAD_RUN = f"""
UPDATE run_metadata SET status = 'INTERRUPTED', failure_summary = ?, {COUNTED}
WHERE run_id = ? AND status = 'RUNNING'"""
_DEAD_JOBS_RUNNING = """
UPDATE job_history SET status = 'INTERRUPTED', reason = ?
WHERE run_id = ? AND status = 'RUNNING'"""
_DEAD_JOBS_PENDING = """
UPDATE job_history SET status = 'SKIPPED', reason = 'run interrupted'
WHERE run_id = ? AND status = 'PENDING'"""


class NewRun(Record):
    """What is known of a run when it is created.

    ``options`` are the flags used, as JSON values. ``as_parent``: its jobs are exactly those of the parent run;
    what is done there is copied, except for the jobs that ``create_run`` is given.
    """

    config_path: str
    config_hash: str
    application_name: str
    working_dir: str
    total_jobs: int
    started_at: float
    user: str
    host: str
    process: ProcessIdentity
    options: Mapping[str, object]
    version: str
    parent_run_id: int | None = None
    root_run_id: int | None = None
    as_parent: bool = False


class NewJob(Record):
    """A job's row when its run is created; of a ``reused`` one the result is copied from the parent run.

    Of a run that is ``as_parent`` there are none that are reused.
    """

    id: str
    position: int
    description: str
    command: str
    definition: str
    max_retries: int
    reused: bool = False


class HistoryWriter:
    """The one writing connection of a run. ``path`` must be absolute and real."""

    def __init__(self, path: str, found: files.State | None = None) -> None:
        """Open the history at ``path``, creating it where nothing is there, bringing it up where it is older.

        ``found`` is a state in which it was found to be one of this version.

        Raises:
            HistoryError: the file is foreign, newer, damaged or cannot be written.
        """
        known = found is not None and files.resting_state(path) == found
        kind = files.Kind.CURRENT if known else files.identify(path)
        if kind is not files.Kind.ABSENT:
            files.check_writable(path)
        self.path = path
        self.run_id = 0
        self._run: NewRun | None = None
        self._damaged = self._opened = self._reads_past = False
        self.remarks: list[str] = []  # what the user should be warned of
        self.notes: list[str] = []  # what the user should know
        self._changes: list[JobChange] = []
        self._updates: dict[tuple[str, ...], str] = {}
        self._commits = 0
        with self._explained():
            make_folder(os.path.dirname(path))
            mode = files.mode(path)
            self._lock = LockFile(path + ".lock", mode)
            if kind is files.Kind.ABSENT:
                with self._lock.guard():
                    if files.identify(path) is files.Kind.ABSENT:
                        self.remarks += create(path, mode)
            elif kind is not files.Kind.CURRENT:
                from executioner.history.migrate import bring_up

                with self._lock.guard():
                    self.notes += bring_up(path, mode)
            self._connection = connect(path, self._lock)
            self._file = file_id(path)
            self._identity = identity(self._connection, path)
        cursor = self._connection.cursor()
        self._execute, self._execute_each = cursor.execute, cursor.executemany
        self._opened = True

    def identity(self) -> Mapping[str, bytes]:
        """The database's own random values: ``id`` and ``key``."""
        return self._identity

    def active_runs(self, config_path: str) -> list[UnfinishedRun]:
        """The live runs of a config, oldest first."""
        with self._explained():
            found = unfinished_runs(self._connection, self._lock.path, config_path)
        return [run for run in found if run.lives]

    def durations_s(self, application_name: str) -> dict[str, list[float]]:
        """How long each job took when it succeeded, in the application's last runs."""
        from executioner.history.usual import durations_s

        with self._explained():
            return durations_s(self._connection, application_name)

    def lineage(self, run_id: int) -> Lineage | None:
        """A run that is to be resumed, and what became of it since; within ``begin`` nobody can change that."""
        from executioner.history.lineage import lineage

        with self._explained():
            return lineage(self._connection, self._recorded(), run_id)

    def is_as(self, state: files.State | None) -> bool:
        """Whether nothing was written since ``files.resting_state``; within ``begin`` nothing will be."""
        with self._explained():
            return state is not None and files.file_state(self.path) == state

    def crashes(self, suspects: Suspects, boot_id: str | None) -> list[Crash]:
        """Those of some runs whose runner died since the machine was started."""
        with self._explained():
            return crashes(self._connection, self._recorded(), suspects, boot_id)

    def has_lost_runs(self, config_paths: Sequence[str]) -> bool:
        """Whether a runner of a config has ended without recording that."""
        with self._explained():
            return has_lost_runs(self._connection, self._recorded(), config_paths)

    def _recorded(self) -> list[UnfinishedRun]:
        return unfinished_runs(self._connection, self._lock.path)

    def mark(self, run_id: int, jobs: Iterable[str], who: str, at: float, reason: str | None) -> None:
        """Record durably that a person declares jobs of a run successful.

        What ``begin`` began ends with it. Jobs that succeeded, or are marked already, stay as they are.
        """
        with self._explained():
            self._record_dead_runs()
            for job in jobs:
                self._execute(_MARK, (who, utc_text(at), reason, run_id, job))
            self._execute("COMMIT")

    def begin(self, say: Callable[[], object] = lambda: None) -> None:
        """Begin the transaction that creates a run, waiting for whoever writes just now; ``say`` if that is long.

        Raises:
            HistoryError: it took too long, or the database cannot be written.
        """
        with self._explained():
            self._execute("PRAGMA busy_timeout = 100")
            files.patiently(self._execute, "BEGIN IMMEDIATE", say)

    def create_run(self, run: NewRun, jobs: Iterable[NewJob], open_log: Callable[[int], str]) -> int:
        """Record a run with all its jobs as PENDING, durably, and end what ``begin`` began.

        ``open_log`` is given the run's id and returns the main log's path. Returns the id.
        If anything raises, ``abandon`` leaves no trace of the run.
        """
        with self._explained():
            self._record_dead_runs()
            run_id = self._insert_run(run, newest_id(self._connection) + 1)
            while not self._lock.try_hold(run_id):
                # a live run of a database that stood here before, and was removed, has it
                self._execute("DELETE FROM run_metadata WHERE run_id = ?", (run_id,))
                run_id = self._insert_run(run, run_id + 1)
            self._insert_jobs(run, run_id, jobs)
            self._execute(_PLACE_RUN, (open_log(run_id), run_id))
            self._execute("COMMIT")
            self._forget_past()
            self._execute("PRAGMA busy_timeout = 0")
            self._execute("PRAGMA synchronous = NORMAL")  # the last one: it has no row that would keep it open
        self.run_id = run_id
        self._run = run
        return run_id

    def abandon(self) -> None:
        """Take back all since ``begin``."""
        with suppress(sqlite3.Error):
            self._connection.rollback()
        self._forget_past()

    def _insert_run(self, run: NewRun, run_id: int) -> int:
        process = run.process
        values = (
            *(run_id, run.config_path, run.config_hash, run.parent_run_id, run.root_run_id, run.total_jobs),
            *(utc_text(run.started_at), run.application_name, run.user, run.host),
            *(process.boot_id, process.pid, process.start_ticks),
            *(run.working_dir, dumps(run.options), run.version),
        )
        inserted = self._execute(_INSERT_RUN, values).lastrowid
        assert inserted is not None
        return inserted

    def _insert_jobs(self, run: NewRun, run_id: int, jobs: Iterable[NewJob]) -> None:
        reused: list[NewJob] = []
        most = self._longest_row() - _OTHER_COLUMNS_BYTES - len(run.application_name.encode())

        def fresh() -> Iterator[tuple[object, ...]]:
            for job in jobs:
                if job.reused:
                    reused.append(job)
                else:
                    text = f"{job.id}{job.description}{job.command}{job.definition}"
                    room = most - (len(text) if text.isascii() else len(text.encode()))
                    yield (
                        *(run_id, *job[:4], run.application_name, job.definition, job.max_retries),
                        max(0, min(_GROWTH_BYTES, room)),
                    )

        self._execute_each(_INSERT_JOB, fresh())
        self._execute(_FREE_ROOM, (run_id,))
        if run.parent_run_id is not None:
            self._copy_results(run, run_id, reused)

    def _copy_results(self, run: NewRun, run_id: int, reused: list[NewJob]) -> None:
        """Copy what is reused from the parent run, and all that is done there where the run is as that.

        Raises:
            HistoryError: not all of it is there any more.
        """
        self._attach_past()
        if run.as_parent:
            self._execute(_COPY_REST, (run_id, run.application_name, run.parent_run_id))
        reused.sort()  # by id, as the table is: its pages are filled one after the other
        for at in range(0, len(reused), _REUSED_AT_ONCE):
            group = reused[at : at + _REUSED_AT_ONCE]
            values = chain.from_iterable(job[:6] for job in group)
            self._execute(
                _INSERT_REUSED.format(", ".join(["(?, ?, ?, ?, ?, ?)"] * len(group))),
                (*values, run_id, run.application_name, run.parent_run_id),
            )
        [rows] = self._execute(_COUNT_JOBS, (run_id,)).fetchone()
        if rows != run.total_jobs:
            what = f"{count(run.total_jobs - rows, 'result')} of run {run.parent_run_id} cannot be copied"
            raise files.refusal(self.path, what, "Rows of that run were changed by another program.")

    def _attach_past(self) -> None:
        """Open the history once more, to read the parent run.

        Raises:
            HistoryError: another file stands there by now.
        """
        self._check_place_at_start()
        self._execute(_ATTACH_PAST, (files.uri(self.path, "mode=ro"),))
        self._reads_past = True
        self._check_place_at_start()
        self._execute(f"PRAGMA past.cache_size = {_PAST_PAGES}")

    def _forget_past(self) -> None:
        """Close it again, where it is open: as long as it is, closing ours does not fold the log in."""
        if self._reads_past:
            with suppress(sqlite3.Error):
                self._execute(_DETACH_PAST)
                self._reads_past = False

    def _longest_row(self) -> int:
        """How many bytes a row may have to be kept in one page (https://www.sqlite.org/fileformat2.html, 1.6)."""
        [page] = self._execute("PRAGMA page_size").fetchone()
        return int((page - 12) * 64 // 255 - 23)

    def _record_dead_runs(self) -> None:
        for run in unfinished_runs(self._connection, self._lock.path):
            if not run.lives:
                self._execute(_DEAD_JOBS_RUNNING, (NO_RESULT, run.run_id))
                self._execute(_DEAD_JOBS_PENDING, (run.run_id,))
                self._execute(_DEAD_RUN, (NO_RESULT, run.run_id))

    def note(self, event: Event) -> None:
        """Take an event in, to be written by the next commit."""
        self._changes.extend(changes(event))

    def commit(self) -> bool:
        """Write what was noted; False if another process has the database just now.

        Raises:
            HistoryError: it cannot be written. What was noted is kept for ``spool``.
        """
        if not self._changes:
            return True
        return self._commit(None)

    def _commit(self, end: RunEnd | None) -> bool:
        try:
            self._execute("BEGIN IMMEDIATE")
            for statement, values in self._statements():
                self._execute_each(statement, values)
            if end is not None:
                columns = run_columns(end)
                self._execute(
                    set_statement("run_metadata", columns, "run_id = ?"), (*columns.values(), self.run_id)
                )
            self._execute("COMMIT")
        except (sqlite3.Error, UnicodeError, OverflowError) as exc:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            if not isinstance(exc, sqlite3.Error):  # a value that SQLite cannot hold
                raise HistoryError(f"The history cannot be written: {exc}", self.path) from exc
            if files.is_busy(exc):
                return False
            raise self._problem(exc) from exc
        self._changes.clear()
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN_SIZE_CHECKS == 0:
            self._keep_log_short()
        return True

    def finish_run(self, end: RunEnd) -> bool:
        """Record the run's end and all that was noted, durably; False if the database is busy just now.

        Raises:
            HistoryError: it cannot be written.
        """
        self._check_place()
        with self._explained():
            self._execute("PRAGMA synchronous = FULL")
        return self._commit(end)

    def _check_place(self) -> None:
        """What is written into a file that was removed is lost, though no write fails.

        Raises:
            HistoryError: the file was removed or replaced.
        """
        if self._is_displaced():
            raise HistoryError("The history was removed or replaced during the run", self.path)

    def _is_displaced(self) -> bool:
        """Whether the file that is open here does not stand at its path any more."""
        return file_id(self.path) != self._file

    def _check_place_at_start(self) -> None:
        """The same before anything was run."""
        if self._is_displaced():
            raise HistoryError(
                "The history was removed or replaced just now",
                self.path,
                assurance="Nothing was run.",
                steps=[NextStep("To see what is there now:", ("--db", self.path, "--list-runs"))],
            )

    def run_object(self) -> dict[str, object] | None:
        """The run as scripts read it (docs/history.md)."""
        from executioner.history.read import run_details

        with self._explained():
            details = run_details(self._connection, self.run_id)
        return None if details is None else details.as_object()

    def _statements(self) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
        """The statements that write what was noted: changes in a row of the same columns are one."""
        last: tuple[str, ...] = ()
        values: list[tuple[object, ...]] = []
        for job, columns in self._changes:
            names = tuple(columns)
            if names != last and values:
                yield self._update(last), values
                values = []
            last = names
            values.append((*columns.values(), self.run_id, job))
        if values:
            yield self._update(last), values

    def _update(self, columns: tuple[str, ...]) -> str:
        statement = self._updates.get(columns)
        if statement is None:
            statement = set_statement("job_history", columns, "run_id = ? AND id = ?")
            self._updates[columns] = statement
        return statement

    def spool_content(self, reason: str, end: RunEnd) -> dict[str, object]:
        """What a spool file is to keep of the run, because it could not be recorded."""
        assert self._run is not None
        lost = self._is_displaced()
        jobs: dict[object, dict[str, object]] = {}
        for row in self._lost_jobs() if lost else ():
            jobs[row["id"]] = row
        for job, columns in self._changes:  # one entry a job: the room that is taken for them is counted so
            jobs.setdefault(job, {"id": job}).update(columns)
        return {
            "history": self.path,
            "history_id": self._id(),
            "run_id": self.run_id,
            "application_name": self._run.application_name,
            "start_time": utc_text(self._run.started_at),
            "reason": reason,
            "run": {**(self._lost_run() if lost else {}), **run_columns(end)},
            "jobs": list(jobs.values()),
        }

    def _id(self) -> str:
        return self._identity["id"].decode("ascii", "replace")

    def _lost_run(self) -> dict[str, object]:
        """The run's row, where it was written into a file that is gone: we alone see it still."""
        return next(self._lost("SELECT * FROM run_metadata WHERE run_id = ?"), {})

    def _lost_jobs(self) -> Iterator[dict[str, object]]:
        """Likewise the jobs' rows."""
        return self._lost("SELECT * FROM job_history WHERE run_id = ? ORDER BY position, id")

    def _lost(self, query: str) -> Iterator[dict[str, object]]:
        with suppress(sqlite3.Error):
            cursor = self._execute(query, (self.run_id,))
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                yield dict(zip(names, row, strict=True))

    def put_back(self, spool: Spool) -> int:
        """Record durably what a spool file holds; returns the run's id. What ``begin`` began ends with it.

        Raises:
            RunRefusedError: the run is still on, or is not known here and the spool does not hold all of it.
        """
        from executioner.history.putback import put_back

        with self._explained():
            self._record_dead_runs()
            live = [run.run_id for run in self._recorded() if run.lives]
            run_id = put_back(self._connection, spool, live, self._id())
            self._execute("COMMIT")
        return run_id

    def close(self) -> None:
        """Fold the write-ahead log into the file, and let go of the run's lock; a damaged file stays as it is."""
        try:
            with self._lock.guard(wait_s=_PATIENCE_AT_END_S):
                self._close_connection()
        except (*files.FAULTS, HistoryError):
            return  # the write-ahead log stays, and the end of the process lets go of the lock
        self._lock.close()

    def _close_connection(self) -> None:
        self._forget_past()
        if self._damaged:
            from executioner.history.undo import keep_log_apart

            self._last = keep_log_apart(self.path)  # goes with us, when all statements have gone
        self._connection.close()  # the last connection checkpoints

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite and the system raise into an error that a user can read."""
        try:
            yield
        except files.FAULTS as exc:
            raise self._problem(exc) from exc

    def _problem(self, exc: Exception) -> HistoryError:
        self._damaged = self._damaged or files.is_damage(exc)
        if self._opened and not self._damaged and not files.is_busy(exc):
            from executioner.history.undo import take_back

            take_back(self._connection)
        return files.problem(self.path, exc)

    def _keep_log_short(self) -> None:
        self._check_place()
        with suppress(OSError, sqlite3.Error):
            if os.stat(self.path + "-wal").st_size > CHECKPOINT_BYTES and self._lock.try_hold(0):
                try:
                    self._execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                finally:
                    self._lock.release(0)
