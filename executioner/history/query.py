"""Finding runs: which statements answer a filter, each of them a walk along one index.

A filter is split into streams, one for each status and application or config that it
names. A stream is a SELECT that an index answers in the wanted order, so that it costs
what it yields and not what the history holds; they are merged as they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from executioner.history.sqlite import sqlite3
from executioner.jsontext import dumps
from executioner.record import Record
from executioner.records import RUN_COLUMNS, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: A row: the columns of RUN_COLUMNS, the newest resuming run, and whether the run can be resumed.
Row = tuple[object, ...]
#: Where a page of rows ended: the start time, where rows are in its order, and the run id.
Position = tuple[str | None, int]

_UNSUCCESSFUL = ("FAILED", "INTERRUPTED", "PARTIAL")
_ENDED = ("SUCCESS", *_UNSUCCESSFUL)
PARTLY_COMPLETED = "completed_jobs > 0 AND completed_jobs < total_jobs"
#: Whether an ended run that was no success can be resumed: it is the newest of its chain, no
#: newer run of its config succeeded, and jobs are missing that do not count as done on request.
RESUMABLE = """(
    NOT EXISTS (SELECT 1 FROM run_metadata AS later
                WHERE later.root_run_id = run.root_run_id AND later.run_id > run.run_id)
    AND NOT EXISTS (SELECT 1 FROM run_metadata AS later WHERE later.config_path = run.config_path
                    AND later.status = 'SUCCESS' AND later.run_id > run.run_id)
    AND (run.config_path IS NOT NULL
         OR NOT EXISTS (SELECT 1 FROM run_metadata AS later
                        WHERE later.application_name = run.application_name
                        AND later.status = 'SUCCESS' AND later.run_id > run.run_id))
    AND EXISTS (SELECT 1 FROM job_history AS job WHERE job.run_id = run.run_id AND job.status <> 'SUCCESS'
                AND job.marked_by IS NULL
                AND (job.status <> 'SKIPPED' OR coalesce(job.reason, '') NOT IN ('--skip', '--from-job'))))"""
RESUMED_BY = "(SELECT max(child.run_id) FROM run_metadata AS child WHERE child.parent_run_id = run.run_id)"
SELECT_RUN = (
    f"SELECT {', '.join(f'run.{name}' for name in RUN_COLUMNS)}, {RESUMED_BY},"
    f" run.status NOT IN ('RUNNING', 'SUCCESS') AND {RESUMABLE} FROM run_metadata AS run"
)
_NO_CONFIG = "application, without config"
_MOST_STREAMS = 20  # applications that match a pattern; if there are more, all runs are looked through
_TIME_SHAPE = "0000-00-00T00:00:00.000000Z".replace("0", "[0-9]")
_RUN_ID = RUN_COLUMNS.index("run_id")
_START_TIME = RUN_COLUMNS.index("start_time")
_WILDCARDS = frozenset("*?[")

# The distinct values of a column, by jumping from one to the next along an index.
_DISTINCT = """
WITH RECURSIVE found(value) AS (
    SELECT (SELECT {column} FROM run_metadata INDEXED BY {index}
            WHERE {column} IS NOT NULL{also} ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (SELECT {column} FROM run_metadata INDEXED BY {index}
            WHERE {column} > found.value{also} ORDER BY {column} LIMIT 1)
    FROM found WHERE found.value IS NOT NULL)
"""
_VALUES = _DISTINCT + "SELECT value FROM found WHERE value IS NOT NULL"
_APPLICATIONS = _VALUES.format(column="application_name", also="", index="run_by_application")
_NEWEST = "coalesce((SELECT run_id FROM run_metadata INDEXED BY {} WHERE {} ORDER BY run_id DESC LIMIT 1), 0)"
# Configs, and the newest successes of those that have runs without success after them.
_OPEN = _DISTINCT + (
    "SELECT value, success FROM (SELECT value, {success} AS success, max({others}) AS other"
    " FROM found WHERE value IS NOT NULL GROUP BY value) WHERE other > success"
)


class RunFilter(Record):
    """Which runs are wanted; what is empty or None does not matter.

    Attributes:
        statuses: of the run, upper case.
        application: a name, or a shell pattern (``*``, ``?``, ``[a-z]``) for names.
        user: a user's name.
        config_paths: absolute paths, any of which will do.
        since: the earliest start, as stored text.
        before: starts are earlier than this text.
        partly_completed: some jobs succeeded, but not all.
        resumable: it can be resumed.
    """

    statuses: tuple[str, ...] = ()
    application: str | None = None
    user: str | None = None
    config_paths: tuple[str, ...] = ()
    since: str | None = None
    before: str | None = None
    partly_completed: bool = False
    resumable: bool = False

    @property
    def by_time(self) -> bool:
        """Whether rows come in the order of start times: where those are filtered. Else of run ids."""
        return self.since is not None or self.before is not None


def matches(run: Run, wanted: RunFilter, after: Position | None = None) -> bool:
    """Whether a run is wanted, as the statements would find it, and stands after a position."""
    name, start = run.application_name, run.start_time or ""
    here = (start if wanted.by_time else None, run.run_id)
    return (
        (not wanted.statuses or run.status in wanted.statuses)
        and (wanted.application is None or _named(name, wanted.application))
        and (wanted.user is None or run.user == wanted.user)
        and (not wanted.config_paths or run.config_path in wanted.config_paths)
        and (wanted.since is None or start >= wanted.since)
        and (wanted.before is None or "" < start < wanted.before)
        and (not wanted.partly_completed or 0 < run.completed_jobs < run.total_jobs)
        and (not wanted.resumable or run.resumable)
        and (after is None or here < after)
    )


def _named(name: str, pattern: str) -> bool:
    if name == pattern or _WILDCARDS.isdisjoint(pattern):
        return name == pattern
    from fnmatch import fnmatchcase  # 3 ms, for regular expressions

    return fnmatchcase(name, pattern)


class Stream(Record):
    """One statement and its values."""

    sql: str
    values: Sequence[object]


def applications(connection: sqlite3.Connection, pattern: str | None = None) -> list[str]:
    """The applications of the history whose names match a shell pattern, sorted."""
    names = [name for (name,) in connection.execute(_APPLICATIONS)]
    return [name for name in names if pattern is None or _named(name, pattern)]


def ended_runs(
    connection: sqlite3.Connection, wanted: RunFilter, after: Position | None, most: int = -1
) -> Iterator[Row]:
    """The rows of ended runs that are wanted, newest first, from a position on.

    ``most`` is how many of them will be taken at most; -1 for all. They are read as they
    are taken, but those that can be resumed at once.
    """

    def order(row: Row) -> Any:
        return (row[_START_TIME], row[_RUN_ID]) if wanted.by_time else row[_RUN_ID]

    if wanted.resumable:  # as many streams as there are configs with an open failure: not all at once
        rows: list[Row] = []
        for sql, values in streams(connection, wanted, after):
            rows += connection.execute(f"{sql} LIMIT {most}", values)
        yield from sorted(rows, key=order, reverse=True)
        return
    cursors = [connection.execute(*stream) for stream in streams(connection, wanted, after)]
    if len(cursors) == 1:  # the heap's module takes 0.2 ms, which a resume saves
        yield from cursors[0]
        return
    from heapq import merge

    yield from merge(*cursors, key=order, reverse=True)


def streams(connection: sqlite3.Connection, wanted: RunFilter, after: Position | None) -> Iterator[Stream]:
    """The statements that together give the ended runs that are wanted."""
    common, common_values = _common(wanted, after)
    kind = "partly" if wanted.partly_completed and not wanted.resumable else "run"
    order = "start_time DESC, run_id DESC" if wanted.by_time else "run_id DESC"
    statuses = _UNSUCCESSFUL if wanted.resumable else _ENDED
    for column, own, own_values in _groups(connection, wanted):
        # named, so that no statistics that another tool has left in the file change the plan
        index = f"{kind}_by_{column}{'_time' if wanted.by_time else ''}"
        if wanted.resumable:  # few: they are newer than a success, and may be sorted
            index = "run_without_config" if column == _NO_CONFIG else f"run_by_{column}"
        elif column == "application" and wanted.user is not None and not wanted.partly_completed:
            index = f"run_by_application_user{'_time' if wanted.by_time else ''}"
        where = " AND ".join([*own, "status = ?", *common])
        sql = f"{SELECT_RUN} INDEXED BY {index} WHERE {where} ORDER BY {order}"
        for status in statuses:
            if not wanted.statuses or status in wanted.statuses:
                yield Stream(sql, [*own_values, status, *common_values])


class _Group(Record):
    """What tells streams apart beside the status: conditions on the column that leads an index."""

    column: str
    conditions: Sequence[str]
    values: Sequence[object]


def _groups(connection: sqlite3.Connection, wanted: RunFilter) -> list[_Group]:
    named = wanted.application is not None
    names = applications(connection, wanted.application) if named else []
    if named and len(names) <= _MOST_STREAMS and not (wanted.resumable or wanted.config_paths):
        return [_Group("application", ["application_name = ?"], [name]) for name in names]
    among = ["application_name IN (SELECT value FROM json_each(?))"] if named else []
    values = [dumps(names)] if named else []
    if wanted.resumable:
        return [
            _Group(column, [*own, *among], [*own_values, *values])
            for column, own, own_values in _resumable_groups(connection, wanted)
        ]
    if wanted.config_paths:
        paths = dict.fromkeys(wanted.config_paths)
        return [_Group("config", ["config_path = ?", *among], [path, *values]) for path in paths]
    return [_Group("status" if wanted.user is None else "user", among, values)]


def _common(wanted: RunFilter, after: Position | None) -> tuple[list[str], list[object]]:
    """The conditions that every stream has."""
    conditions: list[str] = []
    values: list[object] = []

    def add(condition: str, *more: object) -> None:
        conditions.append(condition)
        values.extend(more)

    if wanted.user is not None:
        add("user = ?", wanted.user)
    if wanted.by_time:
        add("start_time GLOB ?", _TIME_SHAPE)  # what somebody has edited has no place in that order
    if wanted.since is not None:
        add("start_time >= ?", wanted.since)
    stands_before = after is not None and after[0] is not None and (wanted.before or "") > after[0]
    if wanted.before is not None and not stands_before:  # else the position says more
        add("start_time < ?", wanted.before)
    if after is not None and wanted.by_time:
        add("(start_time, run_id) < (?, ?)", *after)
    elif after is not None:
        add("run_id < ?", after[1])
    if wanted.resumable:
        add(RESUMABLE)
    if wanted.partly_completed:
        add(PARTLY_COMPLETED)
    return conditions, values


def _resumable_groups(connection: sqlite3.Connection, wanted: RunFilter) -> Iterator[_Group]:
    """Runs that can be resumed are newer than the newest success of their config.

    Of a run whose config is not known (it was taken over) its application stands for it.
    """
    for path, success in connection.execute(_OPEN_CONFIGS):
        if not wanted.config_paths or path in wanted.config_paths:
            yield _Group("config", ["config_path = ?", "run_id > ?"], [path, success])
    if not wanted.config_paths:
        for name, success in connection.execute(_OPEN_WITHOUT_CONFIG):
            yield _Group(
                _NO_CONFIG, ["application_name = ?", "config_path IS NULL", "run_id > ?"], [name, success]
            )


def _open_groups(column: str, index: str, own_index: str, also: str = "") -> str:
    success = _NEWEST.format(index, f"{column} = found.value AND status = 'SUCCESS'")
    newest = (
        _NEWEST.format(own_index, f"{column} = found.value{also} AND status = '{one}'") for one in _UNSUCCESSFUL
    )
    others = ", ".join(newest)
    return _OPEN.format(column=column, also=also, index=own_index, success=success, others=others)


_OPEN_CONFIGS = _open_groups("config_path", "run_by_config", "run_by_config")
_OPEN_WITHOUT_CONFIG = _open_groups(
    "application_name", "run_by_application", "run_without_config", " AND config_path IS NULL"
)
