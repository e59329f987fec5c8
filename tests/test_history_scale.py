"""Lists of runs cost the same in a small history and in a large one: counted in SQLite's steps, not in time."""

import contextlib
import itertools
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import ROOT, Program, ended, peak_mib
from history_tools import sql

from executioner.history import query
from executioner.history.liveness import settled
from executioner.history.query import RunFilter, ended_runs
from executioner.history.read import running_rows

sys.path.insert(0, str(ROOT / "benchmarks"))

import fill_history

SMALL, LARGE, VERY_LARGE = 1_000, 20_000, 50_000
PAGE = 20
SPARE = 500  # steps that a seldom used filter may vary by
LONG_AGO = "2020-09-13T13:00:00.000000Z"  # before nearly all runs


class Histories(NamedTuple):
    """A small history and a large one of the same kind, and a value for each filter that finds some of it."""

    small: Path
    large: Path
    filters: Mapping[str, Any]


def as_filled(run: dict[str, Any]) -> dict[str, Any]:
    """A run as the benchmark makes it: what never succeeds is never resumed with success either."""
    return run


def mixed(run: dict[str, Any]) -> dict[str, Any]:
    """A run of an application of which some runs succeed and others fail, by a user who runs all of them."""
    number = run["run_id"] // 8 % 40
    user = f"user_{run['run_id'] // 320 % 3:02}"
    return {**run, "application_name": f"app_{number:02}", "config_path": f"/etl/{number:02}.json", "user": user}


def one_config(run: dict[str, Any]) -> dict[str, Any]:
    """A run of the only pipeline that there is."""
    return {**mixed(run), "application_name": "app_03", "config_path": "/etl/03.json"}


def taken_over(run: dict[str, Any]) -> dict[str, Any]:
    """A run from a tool that did not record the config."""
    return {**mixed(run), "config_path": None}


def all_alike(run: dict[str, Any]) -> dict[str, Any]:
    """A run of the only pipeline that there is, which always succeeds."""
    return {**one_config(run), "status": "SUCCESS", "completed_jobs": run["total_jobs"], "user": "user_01"}


KINDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "filled": as_filled,
    "mixed": mixed,
    "one config": one_config,
    "taken over": taken_over,
    "all alike": all_alike,
}


def fill(path: Path, number: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Make a history of runs of a kind, a job or two each."""
    made = fill_history.runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill_history, "runs", lambda number, jobs: map(change, made(number, jobs)))
        fill_history.fill(str(path), number, 1 if change is as_filled else 2)
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Histories]:
    """The histories of a kind, made when they are first asked for."""
    folder = tmp_path_factory.mktemp("scale")
    made: dict[str, Histories] = {}

    def histories(kind: str) -> Histories:
        if kind not in made:
            large = VERY_LARGE if kind == "filled" else LARGE
            paths = [fill(folder / f"{kind}-{number}.db", number, KINDS[kind]) for number in (SMALL, large)]
            config = "/srv/etl/pipelines/app_03/config.json" if kind == "filled" else "/etl/03.json"
            filters = {
                "statuses": ("FAILED", "INTERRUPTED"),
                "application": "app_03",
                "user": "user_01",
                "config_paths": (config,),
                "partly_completed": True,
                "since": LONG_AGO,
                "before": "2030-01-01T00:00:00.000000Z",
                "resumable": True,
            }
            made[kind] = Histories(*paths, filters)
        return made[kind]

    return histories


@contextlib.contextmanager
def counted(path: Path) -> Iterator[tuple[sqlite3.Connection, list[int]]]:
    """A connection, and a list whose length is the number of steps that SQLite has made for it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        steps: list[int] = []
        connection.set_progress_handler(lambda: steps.append(1), 1)
        yield connection, steps


def cost(path: Path, wanted: RunFilter, most: int) -> tuple[int, int]:
    """The steps that a page takes, the look for live runs included, and how many runs are on it."""
    with counted(path) as (connection, steps), settled(connection, f"{path}.lock"):
        running_rows(connection)
        found = len(list(itertools.islice(ended_runs(connection, wanted, None, most), most)))
        return len(steps), found


def compare(histories: Histories, wanted: RunFilter) -> None:
    """Fails if the same number of runs costs more than twice as much in the large history."""
    small, found = cost(histories.small, wanted, PAGE)
    large, _ = cost(histories.large, wanted, max(found, 1))
    assert large <= 2 * small + SPARE, f"{small} steps of SQLite became {large}"


FILTERS = ("statuses", "application", "user", "config_paths", "partly_completed")
TIMES: tuple[tuple[str, ...], ...] = ((), ("since",), ("before",), ("since", "before"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names",
    [(*one, *times) for size in (0, 1, 2) for one in itertools.combinations(FILTERS, size) for times in TIMES],
    ids=lambda names: "+".join(names) or "all",
)
def test_a_page_of_a_large_history_costs_what_one_of_a_small_one_costs(
    filled: Callable[[str], Histories], kind: str, names: tuple[str, ...]
) -> None:
    """Every filter, every two of them, with and without times: at most twice the steps for 20 times the runs."""
    histories = filled(kind)
    if kind == "taken over" and "config_paths" in names:
        histories = histories._replace(filters={**histories.filters, "config_paths": ("/none.json",)})
    compare(histories, RunFilter(**{name: histories.filters[name] for name in names}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names",
    [(), ("statuses",), ("application",), ("user",), ("config_paths",), ("partly_completed",), ("since",)],
    ids=lambda names: "+".join(names) or "alone",
)
def test_what_can_be_resumed_is_found_as_fast_in_a_large_history(
    filled: Callable[[str], Histories], kind: str, names: tuple[str, ...]
) -> None:
    """--resumable alone and with another filter: at most twice the steps for 20 or 50 times the runs."""
    histories = filled(kind)
    compare(histories, RunFilter(resumable=True, **{name: histories.filters[name] for name in names}))


@pytest.mark.parametrize("application", ["app_*", "*", "app_[0-2]?", "none_*", "none"])
def test_patterns_of_names_cost_the_same(filled: Callable[[str], Histories], application: str) -> None:
    """Of many applications, all, some and none."""
    compare(filled("filled"), RunFilter(application=application))


def test_the_names_of_applications_are_found_without_reading_all_runs(filled: Callable[[str], Histories]) -> None:
    """What --app looks its patterns up in: each name once, by a few steps each."""
    taken = []
    for path in filled("filled")[:2]:
        with counted(path) as (connection, steps):
            assert query.applications(connection) == [f"app_{number:02}" for number in range(40)]
            taken.append(len(steps))
    assert taken[1] <= 1.1 * taken[0]


@pytest.mark.parametrize(
    "names", [(), ("application",), ("since",), ("before",), ("since", "before")], ids="+".join
)
def test_later_pages_cost_what_the_first_one_costs(
    filled: Callable[[str], Histories], names: tuple[str, ...]
) -> None:
    """Going on from the middle of the history is a jump, not a walk over what was shown."""
    histories = filled("mixed")
    wanted = RunFilter(**{name: histories.filters[name] for name in names})
    with counted(histories.large) as (connection, steps):
        rows = list(itertools.islice(ended_runs(connection, wanted, None), 400))
        start = query.RUN_COLUMNS.index("start_time")
        after = (rows[-1][start] if wanted.by_time else None, rows[-1][0])
        taken = []
        for position in (None, after):
            before = len(steps)
            list(itertools.islice(ended_runs(connection, wanted, position), PAGE))  # type: ignore[arg-type]
            taken.append(len(steps) - before)
    assert taken[1] <= 1.2 * taken[0] + SPARE


@pytest.mark.parametrize("kind", ["one config", "mixed", "all alike"])
@pytest.mark.parametrize(
    "wanted", [RunFilter(), RunFilter(resumable=True), RunFilter(user="user_01"), RunFilter(statuses=("FAILED",))]
)
def test_statistics_that_a_tool_has_left_do_not_make_lists_slower(
    filled: Callable[[str], Histories], tmp_path: Path, kind: str, wanted: RunFilter
) -> None:
    """ANALYZE of a history in which all runs are alike: the steps of a page stay what they were."""
    path = tmp_path / "analyzed.db"
    path.write_bytes(filled(kind).large.read_bytes())
    before, found = cost(path, wanted, PAGE)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("ANALYZE")
    after, still_found = cost(path, wanted, PAGE)
    assert found == still_found
    assert after <= 1.2 * before + SPARE, f"{before} steps became {after}"


# --- the program ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_list_of_all_runs_takes_no_memory(
    program: Program, filled: Callable[[str], Histories], form: str
) -> None:
    """``--last 50000`` for scripts: every run, in the memory of a list of ten."""
    path, out = filled("filled").large, program.folder / "out"
    least = peak_mib(program, out, "--list-runs", "--db", str(path), "--last", "10", "--format", form)
    peak = peak_mib(program, out, "--list-runs", "--db", str(path), "--last", str(VERY_LARGE), "--format", form)
    assert peak < min(60, least + 8)
    text = out.read_text()
    if form == "csv":
        lines = text.splitlines()
        assert len(lines) == VERY_LARGE + 1
        assert [line.partition(",")[0] for line in lines[1:]] == [str(n) for n in range(VERY_LARGE, 0, -1)]
    else:
        assert [run["run_id"] for run in json.loads(text)] == list(range(VERY_LARGE, 0, -1))


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_first_lines_come_before_the_rest_is_read(
    program: Program, filled: Callable[[str], Histories], form: str
) -> None:
    """A reader that takes one line and goes: exit 0, no word, and the rest was never read from the file."""
    path = filled("filled").large
    args = ("--list-runs", "--db", str(path), "--last", str(VERY_LARGE), "--format", form)
    with ended(program.start(*args)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first.startswith("run_id,config_path," if form == "csv" else "[")
        # it waits for its reader, and has not read on meanwhile: the file is 40 MB
        [read] = [
            int(line.split()[1])
            for line in Path(f"/proc/{process.pid}/io").read_text().splitlines()
            if line.startswith("rchar")
        ]
        assert read < path.stat().st_size / 3
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, "")
        process.stdout = None


@pytest.mark.parametrize("description", ["", "d" * 300], ids=["short rows", "longer rows"])
def test_a_result_is_written_without_moving_others(program: Program, description: str) -> None:
    """A job's result goes where its row is: without room to grow there it took 2.5 pages, in a chain of jobs."""
    jobs = [
        {
            "id": f"job{at:03}",
            "command": "true" if at < 100 else "kill -9 $PPID",  # the log is folded into the file at the end
            "description": description,
            "dependencies": [f"job{at - 1:03}"] if at else [],
        }
        for at in range(101)
    ]
    program.config(jobs)
    assert program("-c", "flow.json").code == -9
    created, *commits = pages_written(Path(f"{program.history}-wal"))
    assert len(commits) == 101  # a start, with the end of the job before
    assert created < 50
    assert sum(commits) < 1.6 * len(commits)


@pytest.mark.parametrize(
    ("text", "application"),
    [("d" * 600, "flow"), ("ж" * 300, "flow"), ("d" * 300, "a" * 200), ("d" * 300, "flow")],
    ids=["long rows", "not ASCII", "a long name", "short rows"],
)
def test_room_is_left_only_where_a_row_stays_in_its_page(program: Program, text: str, application: str) -> None:
    """A row that is too long with the room would take a page of its own, which would be free at once."""
    jobs = [{"id": "first", "command": "false"}]
    jobs += [{"id": f"job{at}", "command": "true", "description": text} for at in range(200)]
    program.config(jobs, application_name=application)
    assert program("-c", "flow.json").code == 1
    [(free,)] = sql(program.history, "PRAGMA freelist_count")
    assert free == 0


def pages_written(log: Path) -> list[int]:
    """How many pages each commit wrote (https://www.sqlite.org/fileformat2.html#the_write_ahead_log)."""
    data = log.read_bytes()
    size = 24 + int.from_bytes(data[8:12], "big")
    commits = [0]
    for at in range(32, len(data), size):
        commits[-1] += 1
        if int.from_bytes(data[at + 4 : at + 8], "big"):  # the size of the database, in the last frame of a commit
            commits.append(0)
    return commits[:-1]
