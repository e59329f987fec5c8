"""Finding runs: by which indexes, and that exactly the wanted ones are found, in order, page by page."""

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from past import make_past

from executioner.history import query
from executioner.history.liveness import settled
from executioner.history.query import Position, RunFilter, ended_runs, matches, streams
from executioner.history.read import reading, run_of, running_rows
from executioner.history.reader import History
from executioner.records import Run

ENDED = ("SUCCESS", "FAILED", "INTERRUPTED", "PARTIAL")
APPLICATIONS = ("orders_eu", "orders_us", "a*b", "[x]")
USERS = ("anna", "etl", None)
CONFIGS = ("/etl/1.json", "/etl/2.json", None)
TIMES = tuple(f"2025-05-23T09:45:0{second}.000000Z" for second in range(4))
MIDDLE: Position = (TIMES[2], 5)


# --- query plans --------------------------------------------------------------------------------


def every_run() -> Iterator[dict[str, Any]]:
    """Runs of every application, user, config and status, some of them partly completed."""
    columns = itertools.product(APPLICATIONS, USERS, CONFIGS, ENDED)
    for number, (application, user, config, status) in enumerate(columns, 1):
        jobs = [{"id": "a"}, {"id": "b", "status": "SUCCESS" if status == "SUCCESS" else "FAILED"}]
        yield {
            "run_id": number,
            "application_name": application,
            "user": user,
            "config_path": config,
            "status": status,
            "start_time": TIMES[number % 4],
            "jobs": jobs,
        }


@pytest.fixture(scope="module", params=["as made", "analyzed", "analyzed when all were alike"])
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A history as it is, and with what the planner makes of statistics that another tool has left in it."""
    path = make_past(tmp_path_factory.mktemp("plans") / "h.db", every_run())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as opened:
        if request.param != "as made":
            opened.execute("ANALYZE")
        if request.param == "analyzed when all were alike":  # a million runs, and no index tells any apart
            names = [name for (name,) in opened.execute("SELECT idx FROM sqlite_stat1 WHERE tbl = 'run_metadata'")]
            for name in names:
                columns = len(opened.execute(f"PRAGMA index_info({name})").fetchall())
                stat = " ".join(["1000000"] * (columns + 1))
                opened.execute("UPDATE sqlite_stat1 SET stat = ? WHERE idx = ?", (stat, name))
            opened.execute("ANALYZE sqlite_schema")  # reads the statistics
        yield opened


def plan(connection: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> list[str]:
    """How SQLite would answer a statement."""
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def assert_flat(steps: Iterable[str]) -> None:
    """Fails where runs are looked through or sorted."""
    for step in steps:
        assert not re.match(r"SCAN (run|run_metadata|later|child|job)\b", step), step
        assert "TEMP B-TREE" not in step, step
        assert not re.match(r"SEARCH \w+ USING INTEGER PRIMARY KEY \(rowid[<>]", step), step


FILTERS: list[tuple[str, dict[str, Any], str]] = [
    ("none", {}, "status"),
    ("status", {"statuses": ("FAILED",)}, "status"),
    ("statuses", {"statuses": ("FAILED", "SUCCESS")}, "status"),
    ("application", {"application": "orders_eu"}, "application"),
    ("pattern", {"application": "orders_*"}, "application"),
    ("config", {"config_paths": ("/etl/1.json",)}, "config"),
    ("configs", {"config_paths": ("/etl/1.json", "/etl/2.json")}, "config"),
    ("user", {"user": "anna"}, "user"),
    ("status, application", {"statuses": ("FAILED",), "application": "orders_eu"}, "application"),
    ("status, config", {"statuses": ("FAILED",), "config_paths": ("/etl/1.json",)}, "config"),
    ("status, user", {"statuses": ("FAILED",), "user": "anna"}, "user"),
    ("application, user", {"application": "orders_eu", "user": "anna"}, "application_user"),
    ("application, config", {"application": "orders_*", "config_paths": ("/etl/1.json",)}, "config"),
    ("config, user", {"config_paths": ("/etl/1.json",), "user": "anna"}, "config"),
]


@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first page", "later page"])
@pytest.mark.parametrize(
    "times",
    [{}, {"since": TIMES[0]}, {"before": TIMES[3]}, {"since": TIMES[0], "before": TIMES[3]}],
    ids=["", "since", "until", "both"],
)
@pytest.mark.parametrize("partly", [False, True], ids=["", "partly"])
@pytest.mark.parametrize(("filters", "column"), [row[1:] for row in FILTERS], ids=[row[0] for row in FILTERS])
def test_each_stream_is_a_walk_along_its_index(
    connection: sqlite3.Connection,
    filters: dict[str, Any],
    column: str,
    partly: bool,
    times: dict[str, str],
    after: Position | None,
) -> None:
    """A SEARCH by the index of the filter with the status, that gives the order; whatever statistics say."""
    wanted = RunFilter(partly_completed=partly, **filters, **times)
    if partly:  # few enough for the application alone
        column = column.replace("application_user", "application")
    index = f"{'partly' if partly else 'run'}_by_{column}{'_time' if times else ''}"
    found = list(streams(connection, wanted, after))
    assert found
    for stream in found:
        first, *rest = plan(connection, *stream)
        conditions = re.fullmatch(rf"SEARCH run USING INDEX {index} \((.*)\)", first)
        assert conditions is not None, first
        assert "status=?" in conditions[1]
        if times:
            assert "start_time" in conditions[1]
        elif after is not None:
            assert "rowid<?" in conditions[1]
        assert_flat(rest)


@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first page", "later page"])
@pytest.mark.parametrize("times", [{}, {"since": TIMES[0]}], ids=["", "since"])
@pytest.mark.parametrize(
    "filters",
    [{}, {"statuses": ("FAILED",)}, {"user": "anna"}, {"application": "orders_*"}, {"partly_completed": True}],
    ids=lambda filters: " ".join(filters) or "none",
)
def test_runs_that_can_be_resumed_are_found_by_config(
    connection: sqlite3.Connection, filters: dict[str, Any], times: dict[str, str], after: Position | None
) -> None:
    """By the config's index from its newest success on; of runs without config by the application's."""
    found = list(streams(connection, RunFilter(resumable=True, **filters, **times), after))
    assert found
    for stream in found:
        first, *rest = plan(connection, *stream)
        index = "run_without_config" if "config_path IS NULL" in stream.sql else "run_by_config"
        assert re.match(rf"SEARCH run USING INDEX {index} \(\w+=\? AND status=\?", first), first
        if index == "run_by_config":
            assert "rowid>?" in first
        # what is newer than a success is little, and may be sorted by time
        assert_flat(step for step in rest if not (times and step == "USE TEMP B-TREE FOR ORDER BY"))


@pytest.mark.parametrize("name", ["_APPLICATIONS", "_OPEN_CONFIGS", "_OPEN_WITHOUT_CONFIG"])
def test_names_are_found_by_jumping_along_an_index(connection: sqlite3.Connection, name: str) -> None:
    """The distinct applications and configs: no run is looked through, and none are sorted to find the next."""
    steps = plan(connection, getattr(query, name))
    assert any("SEARCH run_metadata USING" in step for step in steps)
    # the groups, of which there are as many as names, may be sorted
    assert_flat(step for step in steps if step != "USE TEMP B-TREE FOR GROUP BY")


def test_live_runs_are_found_by_status(connection: sqlite3.Connection) -> None:
    """What every page asks for first: the runs that are recorded as RUNNING, by an index on the status."""
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    with settled(connection, "/nowhere.lock"):
        running_rows(connection)
    connection.set_trace_callback(None)
    asked = [statement for statement in asked if "SELECT" in statement]
    assert len(asked) == 2
    for statement in asked:
        first, *rest = plan(connection, statement)
        assert re.match(r"SEARCH \w+ USING INDEX run_by_status(_time)? \(status=\?\)", first), first
        assert_flat(rest)


def test_more_names_than_streams_are_looked_up_in_one_walk(tmp_path: Path) -> None:
    """A pattern that matches hundreds of applications: one stream a status, in order, and nothing is lost."""
    runs = [{"application_name": f"job_{number}", "status": ENDED[number % 4]} for number in range(250)]
    path = make_past(tmp_path / "h.db", [*runs, {"application_name": "other"}])
    with contextlib.closing(sqlite3.connect(path)) as opened:
        found = list(streams(opened, RunFilter(application="job_*"), None))
        assert len(found) == 4
        assert all(
            plan(opened, *stream)[0].startswith("SEARCH run USING INDEX run_by_status ") for stream in found
        )
        assert [row[0] for row in ended_runs(opened, RunFilter(application="job_*"), None)] == list(
            range(250, 0, -1)
        )


# --- equivalence with a plain filter ------------------------------------------------------------


class Row(NamedTuple):
    """A run as the tests make it."""

    application: str
    user: str | None
    config: str | None
    status: str
    start: str | None
    parent: int | None  # how many runs before this one, if it resumes one
    jobs: tuple[tuple[str, str | None], ...]  # status and reason of each

    def columns(self, run_id: int, roots: dict[int, int]) -> dict[str, Any]:
        """The run's columns."""
        parent = run_id - self.parent if self.parent is not None and self.parent < run_id else None
        roots[run_id] = roots[parent] if parent else run_id
        return {
            "run_id": run_id,
            "application_name": self.application,
            "user": self.user,
            "config_path": self.config,
            "status": self.status,
            "start_time": TIMES[0] if self.status == "RUNNING" and self.start is None else self.start,
            "parent_run_id": parent,
            "root_run_id": roots[run_id],
            "jobs": [
                {"id": f"job{at}", "status": status, "reason": reason}
                for at, (status, reason) in enumerate(self.jobs)
            ],
        }


JOBS = st.sampled_from(
    [("SUCCESS", None), ("FAILED", "Exit code 1"), ("SKIPPED", "--skip"), ("SKIPPED", "dependency failed")]
)
ROWS = st.lists(
    st.builds(
        Row,
        application=st.sampled_from(APPLICATIONS),
        user=st.sampled_from(USERS),
        config=st.sampled_from(CONFIGS),
        status=st.sampled_from((*ENDED, "RUNNING")),
        start=st.sampled_from((*TIMES, None)),
        parent=st.none() | st.integers(1, 4),
        jobs=st.lists(JOBS, max_size=3).map(tuple),
    ),
    max_size=25,
)
WANTED = st.builds(
    RunFilter,
    statuses=st.just(()) | st.lists(st.sampled_from((*ENDED, "RUNNING")), unique=True).map(tuple),
    application=st.none() | st.sampled_from(("orders_eu", "orders_*", "*", "a*b", "[x]", "?x?", "[!o]*", "none")),
    user=st.none() | st.sampled_from(("anna", "etl", "nobody")),
    config_paths=st.just(())
    | st.lists(st.sampled_from(("/etl/1.json", "/etl/2.json", "/x")), max_size=3).map(tuple),
    since=st.none() | st.sampled_from(TIMES),
    before=st.none() | st.sampled_from(TIMES),
    partly_completed=st.booleans(),
    resumable=st.booleans(),
)


def wanted_by(wanted: RunFilter, run: dict[str, Any], runs: Sequence[dict[str, Any]]) -> bool:
    """Whether a filter wants a run, in the words of the command line's help; nothing of it is the package's."""
    status, name, start = run["status"], run["application_name"], run["start_time"]
    done = sum(job["status"] == "SUCCESS" for job in run["jobs"])
    if wanted.statuses and status not in wanted.statuses:
        return False
    if wanted.application is not None and name != wanted.application and not fnmatchcase(name, wanted.application):
        return False
    if wanted.user is not None and run["user"] != wanted.user:
        return False
    if wanted.config_paths and run["config_path"] not in wanted.config_paths:
        return False
    if wanted.since is not None and (start is None or start < wanted.since):
        return False
    if wanted.before is not None and (start is None or start >= wanted.before):
        return False
    if wanted.partly_completed and not 0 < done < len(run["jobs"]):
        return False
    return not wanted.resumable or can_be_resumed(run, runs)


def can_be_resumed(run: dict[str, Any], runs: Sequence[dict[str, Any]]) -> bool:
    """Design, section 7: ended, not SUCCESS, newest of its root, no newer success of its config, jobs missing.

    Of a run of which the config is not known the application stands for it.
    """
    newer = [other for other in runs if other["run_id"] > run["run_id"]]
    by = "application_name" if run["config_path"] is None else "config_path"
    missing = [
        job
        for job in run["jobs"]
        if job["status"] != "SUCCESS" and (job["status"], job["reason"]) != ("SKIPPED", "--skip")
    ]
    return (
        run["status"] not in ("RUNNING", "SUCCESS")
        and not any(other["root_run_id"] == run["root_run_id"] for other in newer)
        and not any(other["status"] == "SUCCESS" and other[by] == run[by] for other in newer)
        and bool(missing)
    )


def as_dead(run: dict[str, Any]) -> dict[str, Any]:
    """A run that is recorded as RUNNING as it is shown: nobody runs it."""
    return {**run, "status": "INTERRUPTED"} if run["status"] == "RUNNING" else run


def expected_ids(runs: Sequence[dict[str, Any]], wanted: RunFilter) -> list[int]:
    """The ids of the wanted runs in the wanted order: plain Python over all rows."""
    shown = [as_dead(run) for run in runs]
    found = [run for run in shown if wanted_by(wanted, run, shown)]
    if wanted.since is not None or wanted.before is not None:
        found.sort(key=lambda run: (run["start_time"], run["run_id"]), reverse=True)
    else:
        found.sort(key=lambda run: run["run_id"], reverse=True)
    return [run["run_id"] for run in found]


class Made(NamedTuple):
    """A history and its rows."""

    path: Path
    runs: list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for histories, one after another."""
    return tmp_path_factory.mktemp("random")


def make(folder: Path, rows: Sequence[Row]) -> Made:
    """Make a history; the one before it is gone."""
    roots: dict[int, int] = {}
    runs = [row.columns(run_id, roots) for run_id, row in enumerate(rows, 1)]
    return Made(make_past(folder / "h.db", runs), runs)


QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(rows=ROWS, filters=st.lists(WANTED, min_size=12, max_size=12))
def test_exactly_the_wanted_runs_are_found_in_order(
    folder: Path, rows: list[Row], filters: list[RunFilter]
) -> None:
    """For any history and any filter: what plain Python finds over all rows, dead runs as INTERRUPTED."""
    made = make(folder, rows)
    history = History(made.path)
    for wanted in filters:
        expected = expected_ids(made.runs, wanted)
        event("something found" if expected else "nothing found")
        assert [run.run_id for run in history.find(wanted)] == expected, wanted
        assert [run.run_id for run in history.find(wanted, 3)] == expected[:3], wanted


@QUICK
@given(rows=ROWS, wanted=WANTED, size=st.integers(1, 7))
def test_pages_of_any_size_give_what_one_page_gives(
    folder: Path, rows: list[Row], wanted: RunFilter, size: int
) -> None:
    """Going on after each page's last run finds the rest: nothing twice, nothing left out."""
    made = make(folder, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("executioner.history.reader._PAGE", size)
        found = [run.run_id for run in History(made.path).find(wanted)]
    assert found == expected_ids(made.runs, wanted)


@QUICK
@given(rows=ROWS, wanted=WANTED, at=st.integers(0, 24))
def test_a_record_is_judged_as_the_statements_judge_its_row(
    folder: Path, rows: list[Row], wanted: RunFilter, at: int
) -> None:
    """``matches``, by which live runs are chosen, agrees with the statements about each run and position."""
    made = make(folder, rows)

    def work(connection: sqlite3.Connection) -> tuple[list[Run], Position | None, list[int]]:
        everything = [run_of(row) for row in ended_runs(connection, RunFilter(), None)]
        timed = [run for run in everything if run.start_time is not None]
        some = (timed if wanted.by_time else everything)[at : at + 1]
        after = (some[0].start_time if wanted.by_time else None, some[0].run_id) if some else None
        return everything, after, [run_of(row).run_id for row in ended_runs(connection, wanted, after)]

    everything, after, found = reading(str(made.path), work)
    assert sorted(found) == sorted(run.run_id for run in everything if matches(run, wanted, after))


@QUICK
@given(rows=ROWS)
def test_what_a_run_says_of_itself_is_what_the_filter_finds(folder: Path, rows: list[Row]) -> None:
    """The field ``resumable`` and the filter agree; ``resumed_by`` is the newest run with it as its parent."""
    made = make(folder, rows)
    runs = list(History(made.path).find(RunFilter()))
    assert [run.run_id for run in runs if run.resumable] == expected_ids(made.runs, RunFilter(resumable=True))
    for run in runs:
        children = [child["run_id"] for child in made.runs if child["parent_run_id"] == run.run_id]
        assert run.resumed_by == max(children, default=None)


@QUICK
@given(rows=ROWS, pattern=st.none() | st.sampled_from(("orders_*", "a*b", "[x]", "*")))
def test_every_application_is_listed_once(folder: Path, rows: list[Row], pattern: str | None) -> None:
    """The distinct names that match, sorted; a name with wildcards in it matches itself."""
    made = make(folder, rows)
    names = {run["application_name"] for run in made.runs}
    matching = {name for name in names if pattern is None or name == pattern or fnmatchcase(name, pattern)}
    assert History(made.path).applications(pattern) == sorted(matching)
