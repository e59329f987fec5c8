"""The history for reading: what the command line's lists and screens use, and scripts may.

Nothing is ever written, and nobody who writes is held up. Each call sees the history as
it is at that moment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from executioner.errors import HistoryError, NoHistoryError, UnknownRunError
from executioner.folders import config_paths, default_history
from executioner.history import files
from executioner.history.crashes import Crash, Suspects, crashes
from executioner.history.identity import identity
from executioner.history.lineage import Lineage, latest_results, lineage, newest_run
from executioner.history.liveness import UnfinishedRun, settled, settled_runs, unfinished_runs
from executioner.history.query import Position, RunFilter, applications, ended_runs, matches
from executioner.history.read import OpenFile, job_of, reading, run_details, run_of, running_rows, unfinished
from executioner.history.sqlite import sqlite3
from executioner.history.usual import durations_s, runs_before, usual_s
from executioner.model import RunStatus
from executioner.records import Job, PastJob, Run, RunDetails
from executioner.times import utc_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import TypeVar

    from executioner.history.putback import Place
    from executioner.history.spool import Spool

    _T = TypeVar("_T")
_PAGE = 500
_LARGEST_ID = 2**63 - 1


class History:
    """A history that is read and never written.

    >>> for run in History("history.db").runs(status=["FAILED"], limit=3):
    ...     print(run.run_id, run.application_name, run.failure_summary)
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, keep_open: bool = False) -> None:
        """Open the history at ``path``; by default ``$EXECUTIONER_DB``, else the one in the state folder.

        ``keep_open``: the file stays open until ``close``; this and all calls are of one thread then.

        Raises:
            HistoryError: there is none, or it cannot be used.
        """
        chosen = os.fspath(path) if path is not None else os.environ.get("EXECUTIONER_DB") or default_history()
        try:
            self.path = os.path.realpath(chosen)
        except ValueError as exc:
            raise HistoryError(f"The path of a history cannot be used: {exc}", chosen) from exc
        self._copy: sqlite3.Connection | None = None  # of one that is not of this version
        self._kept = OpenFile() if keep_open else None
        kind = None
        try:
            kind = files.identify(self.path, self._kept.at if self._kept else None)
        finally:
            if kind is not files.Kind.CURRENT:
                self.close()
        if kind is files.Kind.ABSENT:
            raise NoHistoryError("There is no history", self.path)
        if kind is not files.Kind.CURRENT:
            from threading import Lock

            from executioner.history.migrate import in_memory

            self._one_at_a_time = Lock()
            theirs = kind is files.Kind.EARLIER_TOOL
            self._copy = reading(self.path, lambda source: in_memory(source, self.path), theirs=theirs)

    def runs(
        self,
        *,
        status: str | Iterable[str] = (),
        application: str | None = None,
        user: str | None = None,
        config: str | os.PathLike[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        partly_completed: bool = False,
        resumable: bool = False,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """The runs for which all of this is true, newest first; read as they are taken.

        Newest is the greatest run id; with ``since`` or ``until`` the latest start.

        Args:
            status: one, or any of several, for example ``["FAILED", "INTERRUPTED"]``.
            application: this application; ``*``, ``?`` and ``[a-z]`` match as in a shell.
            user: who ran it.
            config: the path of its config.
            since: it started at this time or later; without a time zone: local time.
            until: it started before this time.
            partly_completed: some of its jobs succeeded, but not all.
            resumable: it can be resumed.
            limit: at most so many.

        Raises:
            ValueError: there is no such status.
            HistoryError: the history cannot be read.
        """
        statuses = tuple(one.upper() for one in ([status] if isinstance(status, str) else status))
        if unknown := [one for one in statuses if one not in RunStatus.__members__]:
            raise ValueError(f"no status {', '.join(unknown)}: expected {', '.join(RunStatus)}")
        wanted = RunFilter(
            statuses=statuses,
            application=application,
            user=user,
            config_paths=() if config is None else config_paths(os.fspath(config)),
            since=None if since is None else utc_text(since.timestamp()),
            before=None if until is None else utc_text(until.timestamp()),
            partly_completed=partly_completed,
            resumable=resumable,
        )
        return self.find(wanted, limit)

    def find(self, wanted: RunFilter, limit: int | None = None) -> Iterator[Run]:
        """The runs that a filter wants, newest first; read as they are taken, a page at a time."""
        after: Position | None = None
        left = _LARGEST_ID if limit is None else limit
        while left > 0:
            size = left if wanted.resumable else min(left, _PAGE)  # those are few, and found all at once
            page = self._read(lambda connection: self._page(connection, wanted, after, size))  # noqa: B023
            yield from page
            if len(page) < size:
                return
            after = (page[-1].start_time if wanted.by_time else None, page[-1].run_id)
            left -= size

    def _page(
        self, connection: sqlite3.Connection, wanted: RunFilter, after: Position | None, size: int
    ) -> list[Run]:
        """The next runs, merged from those that have ended and those that are recorded as RUNNING."""

        def order(run: Run) -> tuple[str, int]:
            return (run.start_time or "" if wanted.by_time else "", run.run_id)

        with settled(connection, self._lock_path) as liveness:
            recorded = map(run_of, running_rows(connection))
            running = [unfinished(connection, run, liveness[run.run_id]) for run in recorded]
            running = sorted((run for run in running if matches(run, wanted, after)), key=order, reverse=True)
            found: Iterable[Run] = map(run_of, ended_runs(connection, wanted, after, size))
            if running:
                from heapq import merge

                found = merge(running, found, key=order, reverse=True)
            return list(islice(found, size))

    def run(self, run_id: int) -> RunDetails:
        """A run with its jobs.

        Raises:
            UnknownRunError: there is no such run.
            HistoryError: the history cannot be read.
        """

        def work(connection: sqlite3.Connection) -> RunDetails | None:
            with settled(connection, self._lock_path) as running:
                return run_details(connection, run_id, running)

        details = self._read(work) if 0 < run_id <= _LARGEST_ID else None
        return _known(details, run_id)

    def newest_run(self, config_paths: Sequence[str] = ()) -> int | None:
        """The newest run of a config, by its absolute paths; without any of all; None if there is none."""
        return self._read(lambda connection: newest_run(connection, config_paths))

    def job(self, run_id: int, job_id: str) -> Job | None:
        """One job of a run; None if there is none of that id.

        Raises:
            HistoryError: the history cannot be read.
        """

        def work(connection: sqlite3.Connection) -> Job | None:
            with settled(connection, self._lock_path) as running:
                return job_of(connection, run_id, job_id, running.get(run_id))

        return self._read(work) if 0 < run_id <= _LARGEST_ID else None

    def applications(self, pattern: str | None = None) -> list[str]:
        """The names of the applications that match a shell pattern, sorted.

        Raises:
            HistoryError: the history cannot be read.
        """
        return self._read(lambda connection: applications(connection, pattern))

    def durations_s(self, application: str) -> dict[str, list[float]]:
        """How long each job took when it succeeded, in the application's last ten runs."""
        return self._read(lambda connection: durations_s(connection, application))

    def usual_s(self, application: str, job: str) -> list[float]:
        """How long one job took the last ten times that it succeeded, the newest first."""
        return self._read(lambda connection: usual_s(connection, application, job))

    def earlier(self, application: str, job: str, run_id: int, most: int) -> list[tuple[int, Job]]:
        """One job in the application's last runs before a run, each with its run's id, newest first."""

        def work(connection: sqlite3.Connection) -> list[tuple[int, Job]]:
            runs = runs_before(connection, application, run_id, most)
            with settled(connection, self._lock_path) as running:
                rows = ((one, job_of(connection, one, job, running.get(one))) for one in runs)
                return [(one, found) for one, found in rows if found is not None]

        return self._read(work)

    def active_runs(self, config_path: str) -> list[UnfinishedRun]:
        """The runs of a config that are on, oldest first."""

        def work(connection: sqlite3.Connection) -> list[UnfinishedRun]:
            return unfinished_runs(connection, self._lock_path, config_path)

        return [run for run in self._read(work) if run.lives]

    def lineage(self, run_id: int) -> Lineage:
        """A run that is to be resumed, and what became of it since.

        Raises:
            UnknownRunError: there is no such run.
            HistoryError: the history cannot be read.
        """

        def work(connection: sqlite3.Connection) -> Lineage | None:
            with settled_runs(connection, self._lock_path) as recorded:
                return lineage(connection, recorded, run_id)

        found = self._read(work) if 0 < run_id <= _LARGEST_ID else None
        return _known(found, run_id)

    def crashes(self, suspects: Suspects, boot_id: str | None) -> list[Crash]:
        """Those of some runs whose runner died since the machine was started."""

        def work(connection: sqlite3.Connection) -> list[Crash]:
            with settled_runs(connection, self._lock_path) as recorded:
                return crashes(connection, recorded, suspects, boot_id)

        return self._read(work)

    def failed_jobs(self, run_id: int, most: int) -> RunDetails:
        """A run that has ended with the first few of its failed jobs.

        Raises:
            UnknownRunError: there is no such run.
        """
        details = self._read(lambda connection: run_details(connection, run_id, failed=most))
        return _known(details, run_id)

    def latest_results(
        self, config_paths: Sequence[str], application: str, jobs: Iterable[str], on_request: Iterable[str]
    ) -> dict[str, tuple[int, PastJob]]:
        """For each job the newest run of a config in which it was not left out for such a reason."""

        def work(connection: sqlite3.Connection) -> dict[str, tuple[int, PastJob]]:
            with settled_runs(connection, self._lock_path) as recorded:
                return latest_results(connection, recorded, config_paths, application, jobs, on_request)

        return self._read(work)

    def place(self, spool: Spool) -> Place:
        """Where the results of a spool file belong.

        Raises:
            RunRefusedError: nowhere, or not yet.
        """
        from executioner.history.putback import find_place

        def work(connection: sqlite3.Connection) -> Place:
            with settled_runs(connection, self._lock_path) as recorded:
                return find_place(connection, spool, [run.run_id for run in recorded if run.lives])

        return self._read(work)

    def identity(self) -> Mapping[str, bytes]:
        """The database's own random values: ``id`` and ``key``."""
        return self._read(lambda connection: identity(connection, self.path))

    @property
    def is_current(self) -> bool:
        """Whether it is of this version, and read as it lies there; not a copy of an older one."""
        return self._copy is None

    def close(self) -> None:
        """Close the file that is kept open. The next call opens it again."""
        if self._kept is not None:
            self._kept.close()

    def renewed(self) -> History:
        """The history as it is now: where an older one was copied for reading, a new copy."""
        if self._copy is None:
            return self
        with self._one_at_a_time:
            self._copy.close()
        return History(self.path)

    @property
    def _lock_path(self) -> str:
        return f"{self.path}.lock"

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._copy is not None:
            try:
                with self._one_at_a_time:
                    return work(self._copy)
            except (sqlite3.Error, UnicodeDecodeError) as exc:
                raise files.problem(self.path, exc) from exc
        return reading(self.path, work, kept=self._kept)


def _known(found: _T | None, run_id: int) -> _T:
    """What was found of a run.

    Raises:
        UnknownRunError: there is no such run.
    """
    if found is None:
        raise UnknownRunError(f"Run ID {run_id} not found in history.")
    return found
