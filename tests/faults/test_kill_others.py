"""``kill -9`` of what else writes a history: imports, marks, and the first run over an older history."""

import contextlib
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from earlier_databases import make_earlier
from faults_tools import Instrumented
from harness import Program
from history_tools import integrity, names
from kill_tools import LANES, Recorded, Stage, in_lanes, intended_schema, recorded, schema, spread, wait_for_jobs
from test_history_failing import fail_in_mid_run
from test_import_spool import history_removed
from test_kill import a_failed_run, a_killed_run
from test_migration import make_version_1

pytestmark = pytest.mark.promise(3, 9)

SPOOL = "logs/executioner.flow.run-1.spool.json"
IMPORT = ("--import-spool", SPOOL)
NEXT = ("-c", "next.json")


def contents(path: Path) -> dict[str, list[Any]]:
    """Every row of a database's runs and jobs, by their tables; but of a mark's time only that there is one."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        found: dict[str, list[Any]] = {}
        for table, order in (("run_metadata", "run_id"), ("job_history", "run_id, position, id")):
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}")]
            found[table] = [{**row, "marked_at": row.get("marked_at") is not None} for row in rows]
        return found


class State(NamedTuple):
    """What a command leaves: rows, tables, and the names of files beside the history and of logs."""

    rows: dict[str, list[Any]]
    schema: list[Any]
    files: list[str]
    logs: list[str]


def state(program: Program) -> State:
    """What a command has left."""
    # a command that finds nothing to do only reads, and leaves a write-ahead log to the next writer
    files = [name for name in names(program.history.parent) if not name.endswith(("-wal", "-shm"))]
    return State(contents(program.history), schema(program.history), files, names(program.folder / "logs"))


def in_each_lane(tmp_path: Path, prepare: Callable[[Instrumented], None]) -> list[Stage]:
    """Folders for cases side by side, each prepared."""
    stages = [Stage(Instrumented(tmp_path / f"lane{at}")) for at in range(LANES)]
    for stage in stages:
        assert isinstance(stage.program, Instrumented)
        prepare(stage.program)
        stage.save()
    return stages


def at_each_point(
    stages: list[Stage],
    command: tuple[str, ...],
    most: int | None,
    judge: Callable[[Instrumented, State], None],
) -> int:
    """Kill a command at points of it, at most so many, and judge each time; returns how many were killed.

    ``judge`` is given the state to which the command leads that nobody kills.
    """
    expected: dict[int, State] = {}
    points: list[str] = []
    for stage in stages:
        assert isinstance(stage.program, Instrumented)
        result, points = stage.program.points(*command)
        assert result.code == 0, result
        expected[id(stage)] = state(stage.program)
    tried = spread(len(points), len(points) if most is None else most)
    killed: list[int] = []

    def try_one(stage: Stage, point: int) -> None:
        program = stage.reset()
        assert isinstance(program, Instrumented)
        try:
            end = program(*command, env={"EXECUTIONER_TEST_FAULT": f"kill {point}"})
            # how many points there are depends a little on how a job ends
            assert end.code == -signal.SIGKILL or (point > len(points) - 5 and end.code == 0), end
            wait_for_jobs(program)
            if end.code == -signal.SIGKILL:
                killed.append(point)
                judge(program, expected[id(stage)])
        except AssertionError as exc:
            exc.add_note(f"killed at point {point}, which was {points[point - 1]!r} in another run")
            raise

    in_lanes(stages, tried, try_one)
    assert len(killed) > len(tried) * 0.8
    return len(killed)


# --- imports and marks ----------------------------------------------------------------------------


def a_partial_spool(program: Instrumented) -> None:
    """The history knows the run, and lacks its last results."""
    assert fail_in_mid_run(program).code == 3
    for name in ("gate", "gate2"):  # which cannot be copied
        (program.folder / name).unlink()


def a_whole_spool(program: Instrumented) -> None:
    """The history was removed in mid-run, and there is no other."""
    assert history_removed(program).code == 3
    for path in program.history.parent.iterdir():
        path.unlink()


def a_whole_spool_whose_id_is_given_away(program: Instrumented) -> None:
    """The history was removed in mid-run; in the one that there is now another run has that id."""
    a_whole_spool(program)
    program.config({"x": "true"}, name="other.json")
    assert program("-c", "other.json").code == 0


#: What there is before, the command, and how many of its points are tried by default.
VARIANTS: dict[str, tuple[Callable[[Instrumented], None], tuple[str, ...], int]] = {
    "partial spool": (a_partial_spool, IMPORT, 14),
    "whole spool": (a_whole_spool, IMPORT, 20),
    "whole spool, id given away": (a_whole_spool_whose_id_is_given_away, IMPORT, 14),
    "mark": (a_failed_run, ("--mark-success", "1", "fails", "--yes"), 12),
    "mark in a killed run": (a_killed_run, ("--mark-success", "1", "fails", "--yes"), 12),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_kill_of_an_import_or_a_mark(
    tmp_path: Path, nightly: bool, cases: Callable[[int], None], variant: str
) -> None:
    """After a kill at any point the history has all of it or nothing; typed again, it ends as if never killed.

    In particular no run is imported twice, and no file stays that was half made.
    """
    prepare, command, most = VARIANTS[variant]
    stages = in_each_lane(tmp_path, prepare)
    untouched = {id(stage.program): _rows(stage.program) for stage in stages}

    def judge(program: Instrumented, expected: State) -> None:
        if program.history.exists():
            assert integrity(program.history) == ["ok"]
            assert contents(program.history) in (untouched[id(program)], expected.rows, _EMPTY)
        was_renamed = command == IMPORT and not (program.folder / SPOOL).exists()
        again = program(*command)
        assert "Traceback" not in again.err
        if was_renamed:
            assert (again.code, again.out) == (2, "") and "It was imported already" in again.err, again
        else:
            assert (again.code, again.err) == (0, ""), again
        assert state(program) == expected
        assert integrity(program.history) == ["ok"]
        assert schema(program.history) == intended_schema()

    cases(at_each_point(stages, command, None if nightly else most, judge))


_EMPTY: dict[str, list[Any]] = {"run_metadata": [], "job_history": []}


def _rows(program: Program) -> dict[str, list[Any]] | None:
    return contents(program.history) if program.history.exists() else None


# --- the first run over an older history ----------------------------------------------------------


def a_version_1_history(program: Instrumented) -> None:
    """Runs in a history of an earlier version of ours."""
    make_version_1(program.history)
    program.config({"a": "echo x >> ran"}, name="next.json")


def a_database_of_the_earlier_tool(program: Instrumented) -> None:
    """Runs in a database of the tool before."""
    make_earlier(program.history)
    program.config({"a": "echo x >> ran"}, name="next.json")


@pytest.mark.promise(8)
@pytest.mark.parametrize("prepare", [a_version_1_history, a_database_of_the_earlier_tool])
def test_a_kill_of_the_first_run_over_an_older_history(
    tmp_path: Path, nightly: bool, cases: Callable[[int], None], prepare: Callable[[Instrumented], None]
) -> None:
    """After a kill at any point the next run finds the old history whole, or the new one, never a mixture.

    It ends well, all old runs are as they would be without the kill, and each backup is the whole old history.
    """
    stages = in_each_lane(tmp_path, prepare)
    former = {id(stage.program): _dump(stage.program.history) for stage in stages}
    before_any = _version(stages[0].program.history)

    def judge(program: Instrumented, expected: State) -> None:
        rows = expected.rows
        known = len(rows["run_metadata"]) - 1
        assert integrity(program.history) == ["ok"]
        if _version(program.history) == before_any:
            assert _dump(program.history) == former[id(program)]
            assert not (program.folder / "ran").exists()
        else:
            assert schema(program.history) == expected.schema
        listed = program("--list-runs", "--format", "json")
        assert (listed.code, "Traceback" in listed.err) == (0, False), listed
        result = program(*NEXT)
        assert result.code == 0 and "Status: SUCCESS" in result.out, result
        beside = names(program.history.parent)
        after = contents(program.history)
        assert after["run_metadata"][:known] == rows["run_metadata"][:known]
        old = [row for row in rows["job_history"] if row["id"] != "a"]
        assert [row for row in after["job_history"] if row["id"] != "a"] == old
        newest = recorded(program.history)
        assert newest[max(newest)] == Recorded("SUCCESS", {"a": "SUCCESS"})
        # a kill that comes when the backup has its name leaves that: it is whole, and the next has another
        backups = [name for name in beside if name.endswith(".bak")]
        assert sorted(set(beside) - set(backups)) == ["history.db", "history.db.lock"]
        assert set(expected.files) <= set(beside) and len(backups) in (1, 2)
        for name in backups:
            backup = program.history.parent / name
            assert integrity(backup) == ["ok"]
            assert _dump(backup) == former[id(program)]
        assert integrity(program.history) == ["ok"]
        assert schema(program.history) == expected.schema

    cases(at_each_point(stages, NEXT, None if nightly else 24, judge))


def _version(path: Path) -> tuple[int, bool]:
    """The version of a database's schema as it says it itself, and whether our runs are in it."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        [version] = connection.execute("PRAGMA user_version").fetchone()
        query = "SELECT count(*) FROM sqlite_schema WHERE name = 'run_metadata'"
        return version, bool(connection.execute(query).fetchone()[0])


def _dump(path: Path) -> list[str]:
    """All of a database as SQL."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())
