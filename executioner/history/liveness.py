"""Which of the runs that are recorded as RUNNING still have a runner."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from executioner.enumeration import StrEnum
from executioner.history.lock import ProcessIdentity, is_alive, is_held
from executioner.history.sqlite import sqlite3
from executioner.lean import contextmanager
from executioner.record import Record
from executioner.times import instant

NO_RESULT = "Its runner ended without recording a result"
_RUNNING = """
SELECT run_id, boot_id, pid, pid_start_ticks, user, host, start_time, config_path, application_name
FROM run_metadata INDEXED BY run_by_status WHERE status = 'RUNNING' ORDER BY run_id"""


class Liveness(StrEnum):
    """What is known of a run that is recorded as RUNNING."""

    ALIVE = "alive"
    UNVERIFIED = "unverified"  # the lock file cannot be read: it counts as alive
    DEAD = "dead"


class UnfinishedRun(Record):
    """A run that is recorded as RUNNING."""

    run_id: int
    liveness: Liveness
    user: str | None
    host: str | None
    pid: int | None
    started_at: float
    config_path: str | None = None
    application: str | None = None

    @property
    def lives(self) -> bool:
        """Whether its runner may still exist."""
        return self.liveness is not Liveness.DEAD


def unfinished_runs(
    connection: sqlite3.Connection, lock_path: str, config_path: str | None = None
) -> list[UnfinishedRun]:
    """The runs recorded as RUNNING, of one config or of all, oldest first."""
    found = []
    for run_id, boot_id, pid, ticks, user, host, start, config, name in connection.execute(_RUNNING):
        if config_path is None or same_file(config, config_path):
            liveness = _liveness(lock_path, run_id, ProcessIdentity(boot_id, pid, ticks))
            found.append(UnfinishedRun(run_id, liveness, user, host, pid, instant(start) or 0.0, config, name))
    return found


def _liveness(lock_path: str, run_id: int, process: ProcessIdentity) -> Liveness:
    held = is_held(lock_path, run_id)
    if held or is_alive(process):
        return Liveness.ALIVE
    return Liveness.UNVERIFIED if held is None else Liveness.DEAD


@contextmanager
def settled(connection: sqlite3.Connection, lock_path: str) -> Iterator[Mapping[int, Liveness]]:
    """A read transaction, and of the runs that are RUNNING in it whether they live."""
    with settled_runs(connection, lock_path) as recorded:
        yield {run.run_id: run.liveness for run in recorded}


@contextmanager
def settled_runs(connection: sqlite3.Connection, lock_path: str) -> Iterator[Sequence[UnfinishedRun]]:
    """A read transaction, and what is known of the runs that are RUNNING in it.

    A run that is found dead may have recorded its end just before it went: its row is
    read again, in a transaction that begins after that was found.
    """
    dead: set[int] = set()
    try:
        while True:
            connection.execute("BEGIN")
            found = unfinished_runs(connection, lock_path)
            now_dead = {run.run_id for run in found if not run.lives}
            if now_dead <= dead:
                break
            dead = now_dead
            connection.execute("COMMIT")
        yield found
    finally:
        connection.rollback()


def same_file(one: str | None, other: str) -> bool:
    """Whether two paths lead to one file, by whatever links."""
    try:
        return one == other or (one is not None and os.path.samefile(one, other))
    except OSError:
        return False
