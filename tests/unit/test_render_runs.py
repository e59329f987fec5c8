"""The list of runs, as a function of the runs, the terminal's width and the time of day."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from past import RUN_DEFAULTS
from screens import assert_harmless, plain

from executioner.records import Run
from executioner.render.command import Invocation
from executioner.render.runs import (
    newest_text,
    no_runs_text,
    none_found_text,
    recent_lines,
    runs_text,
    status_counts,
)
from executioner.render.text import Palette

NOW = 1_747_993_500.0  # 2025-05-23T09:45:00Z
PLAIN = Palette()
CALLED = Invocation(["executioner.py"])
HEAD = """\
Recent Execution History:
=======================
Run ID | Application      | Status    | Start Time          | Duration | Completed/Total
-------|------------------|-----------|---------------------|----------|----------------
"""
DETAILS = "To see details: executioner.py --show-run <RUN_ID>\n"
RESUME = "To resume a failed run: executioner.py -c <config> --resume-from <RUN_ID>\n"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local times are UTC in this file."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run(run_id: int = 7, name: str = "flow", status: str = "SUCCESS", done: int = 3, **more: Any) -> Run:
    """A run of three jobs that took 45 seconds."""
    values = {
        **{key: value for key, value in RUN_DEFAULTS.items() if key in Run._fields},
        "run_id": run_id,
        "config_path": "/srv/etl/flow.json",
        "application_name": name,
        "status": status,
        "total_jobs": 3,
        "completed_jobs": done,
        "failed_jobs": 0,
        "skipped_jobs": 3 - done,
        "end_time": None,
        "duration_seconds": 45.0,
        "root_run_id": run_id,
        **more,
    }
    return Run(**values)


def screen(*runs: Run, **changes: Any) -> str:
    """The whole screen of runs."""
    options: dict[str, Any] = {"more": (), "invocation": CALLED, "now": NOW, "width": None, "palette": PLAIN}
    return runs_text(runs, **{**options, **changes})


def rows(text: str) -> list[str]:
    """The rows of the table without its head."""
    return text.split("\n\n", 1)[0].splitlines()[4:]


def test_the_founding_documents_table_to_the_letter() -> None:
    """Its five runs give its whole sample, though what failed was mended by the newest."""

    def sample(run_id: int, name: str, status: str, clock: str, seconds: float, jobs: tuple[int, int]) -> Run:
        done, total = jobs
        start = f"2025-05-23T{clock}:00.000000Z"
        changes = {"total_jobs": total, "start_time": start, "duration_seconds": seconds}
        return run(run_id, name, status, done, **changes)

    runs = [
        sample(250, "data_pipeline", "SUCCESS", "10:15", 323.4, (8, 8)),
        sample(249, "data_pipeline", "FAILED", "09:45", 135.2, (5, 8)),
        sample(248, "batch_processor", "SUCCESS", "09:00", 941.6, (12, 12)),
        sample(247, "data_pipeline", "FAILED", "08:30", 65.0, (2, 8)),
        sample(246, "data_pipeline", "FAILED", "08:00", 44.9, (0, 8)),
    ]
    assert (
        screen(*runs)
        == """\
Recent Execution History:
=======================
Run ID | Application      | Status    | Start Time          | Duration | Completed/Total
-------|------------------|-----------|---------------------|----------|----------------
  250  | data_pipeline    | SUCCESS   | 2025-05-23 10:15:00 | 00:05:23 | 8/8
  249  | data_pipeline    | FAILED    | 2025-05-23 09:45:00 | 00:02:15 | 5/8
  248  | batch_processor  | SUCCESS   | 2025-05-23 09:00:00 | 00:15:42 | 12/12
  247  | data_pipeline    | FAILED    | 2025-05-23 08:30:00 | 00:01:05 | 2/8
  246  | data_pipeline    | FAILED    | 2025-05-23 08:00:00 | 00:00:45 | 0/8

To resume a failed run: executioner.py -c <config> --resume-from <RUN_ID>
To see details: executioner.py --show-run <RUN_ID>
"""
    )


# --- the lines below the table ----------------------------------------------------------------

CONFIG = Invocation(["executioner.py"], config="my flow.json", db="h.db", flags="--workers 2")
MORE = ("--list-runs", "--app", "a b")
ELSEWHERE = Invocation(["python3", "executioner.py"], directory="/srv/my jobs")


@pytest.mark.parametrize(
    ("resumable", "more", "invocation", "expected"),
    [
        (False, (), CALLED, DETAILS),
        (True, (), CALLED, RESUME + DETAILS),
        (False, MORE, CALLED, "To see more runs: executioner.py --list-runs --app 'a b'\n" + DETAILS),
        (True, MORE, CALLED, "To see more runs: executioner.py --list-runs --app 'a b'\n" + RESUME + DETAILS),
        (
            True,
            (),
            CONFIG,
            "To resume a failed run: executioner.py -c 'my flow.json' --db h.db --resume-from <RUN_ID>\n"
            "To see details: executioner.py --db h.db --show-run <RUN_ID>\n",
        ),
        (
            True,
            (),
            ELSEWHERE,
            "To resume a failed run: cd '/srv/my jobs' && python3 executioner.py -c <config>"
            " --resume-from <RUN_ID>\n"
            "To see details: cd '/srv/my jobs' && python3 executioner.py --show-run <RUN_ID>\n",
        ),
    ],
)
def test_the_hints_are_those_that_help(
    resumable: bool, more: Sequence[str], invocation: Invocation, expected: str
) -> None:
    """How to see more only where more match, how to resume only where that is possible, details always."""
    found = screen(run(8), run(7, resumable=resumable), more=more, invocation=invocation)
    assert found.split("\n\n", 1)[1] == expected


# --- single values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            run(1, status="RUNNING", done=1, duration_seconds=None, start_time="2025-05-23T09:42:45.500000Z"),
            "   1   | flow             | RUNNING   | 2025-05-23 09:42:45 | 00:02:15 | 1/3",
        ),
        (
            run(12, status="INTERRUPTED", done=2, duration_seconds=None),
            "  12   | flow             | INTERRUPTED | 2025-05-23 09:45:00 | -        | 2/3",
        ),
        (
            run(123456, status="RUNNING", unverified=True, done=0, duration_seconds=None),
            "123456 | flow             | RUNNING (unverified) | 2025-05-23 09:45:00 | 00:00:00 | 0/3",
        ),
        (
            run(1234567890, status="PARTIAL", duration_seconds=400_000.0),
            "1234567890 | flow             | PARTIAL   | 2025-05-23 09:45:00 | 111:06:40 | 3/3",
        ),
        (
            run(7, start_time=None, duration_seconds=None, done=100_000, total_jobs=100_000),
            "   7   | flow             | SUCCESS   | -                   | -        | 100000/100000",
        ),
        (
            run(7, status="RUNNING", duration_seconds=None, start_time="2025-05-23T10:45:00.000000Z"),
            "   7   | flow             | RUNNING   | 2025-05-23 10:45:00 | 00:00:00 | 3/3",
        ),
    ],
    ids=["running", "dead", "unverified", "long", "taken-over", "clock-set-back"],
)
def test_a_row(given: Run, expected: str) -> None:
    """What each kind of run looks like: a value that is not known is a dash, columns grow as needed."""
    assert rows(screen(given)) == [expected]


def test_columns_are_as_wide_as_their_widest_value() -> None:
    """One wide value widens its column in every line, the head included; run ids stay centred."""
    found = screen(run(1234567, status="INTERRUPTED", duration_seconds=360_000.0), run(7))
    assert found.splitlines()[2:6] == [
        "Run ID  | Application      | Status      | Start Time          | Duration  | Completed/Total",
        "--------|------------------|-------------|---------------------|-----------|----------------",
        "1234567 | flow             | INTERRUPTED | 2025-05-23 09:45:00 | 100:00:00 | 3/3",
        "   7    | flow             | SUCCESS     | 2025-05-23 09:45:00 | 00:00:45  | 3/3",
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [("SUCCESS", "32"), ("FAILED", "31"), ("INTERRUPTED", "33"), ("PARTIAL", "33"), ("RUNNING", "36")],
)
def test_the_status_is_coloured_and_nothing_else(status: str, code: str) -> None:
    """With a palette that has colours only the word changes; without the colours it is the same screen."""
    coloured = screen(run(status=status), palette=Palette(colour=True))
    assert f"| \x1b[{code}m{status}\x1b[0m " in coloured
    assert coloured.count("\x1b") == 2
    assert plain(coloured) == screen(run(status=status))


def test_an_unverified_status_is_coloured_whole() -> None:
    """The doubt belongs to the status."""
    coloured = screen(run(status="RUNNING", unverified=True), palette=Palette(colour=True))
    assert "| \x1b[36mRUNNING (unverified)\x1b[0m |" in coloured


# --- names ----------------------------------------------------------------------------------------

LONG = "nightly_regional_warehouse_consolidation_and_reporting"


@pytest.mark.parametrize(
    ("width", "head", "row"),
    [
        (
            None,
            "Run ID | Application                                            | Status    | Start Time          "
            "| Duration | Completed/Total",
            "   7   | nightly_regional_warehouse_consolidation_and_reporting | SUCCESS   | 2025-05-23 09:45:00 "
            "| 00:00:45 | 3/3",
        ),
        (
            120,
            "Run ID | Application                                      | Status    | Start Time          "
            "| Duration | Completed/Total",
            "   7   | nightly_regional_warehouse_consolidation_and_... | SUCCESS   | 2025-05-23 09:45:00 "
            "| 00:00:45 | 3/3",
        ),
        (
            88,
            "Run ID | Application      | Status    | Start Time          | Duration | Completed/Total",
            "   7   | nightly_regio... | SUCCESS   | 2025-05-23 09:45:00 | 00:00:45 | 3/3",
        ),
        (
            87,
            "Run ID | Application                | Status    | Start Time          | Duration | Done",
            "   7   | nightly_regional_wareho... | SUCCESS   | 2025-05-23 09:45:00 | 00:00:45 | 3/3",
        ),
        (
            80,
            "Run ID | Application         | Status    | Start Time          | Duration | Done",
            "   7   | nightly_regional... | SUCCESS   | 2025-05-23 09:45:00 | 00:00:45 | 3/3",
        ),
        (
            72,
            "Run ID | Application | Status    | Start Time          | Duration | Done",
            "   7   | nightly_... | SUCCESS   | 2025-05-23 09:45:00 | 00:00:45 | 3/3",
        ),
        (
            71,
            "Run ID | Application        | Status    | Start Time  | Duration | Done",
            "   7   | nightly_regiona... | SUCCESS   | 05-23 09:45 | 00:00:45 | 3/3",
        ),
        (
            64,
            "Run ID | Application | Status    | Start Time  | Duration | Done",
            "   7   | nightly_... | SUCCESS   | 05-23 09:45 | 00:00:45 | 3/3",
        ),
        (
            60,
            "Run ID | App     | Status    | Start Time  | Duration | Done",
            "   7   | nigh... | SUCCESS   | 05-23 09:45 | 00:00:45 | 3/3",
        ),
        (
            1,
            "Run ID | App    | Status    | Start Time  | Duration | Done",
            "   7   | nig... | SUCCESS   | 05-23 09:45 | 00:00:45 | 3/3",
        ),
    ],
)
def test_a_long_name_is_cut_to_the_terminals_width(width: int | None, head: str, row: str) -> None:
    """It is never wrapped; 80 columns give the last title up for it, fewer the year and the seconds, and last of
    all its own title; a file or pipe gets the whole name.
    """
    lines = screen(run(name=LONG), width=width).splitlines()
    assert [lines[2], lines[4]] == [head, row]
    assert len(lines[3]) == len(head)
    if width is not None and width >= 60:
        assert max(map(len, lines[2:5])) <= width


@pytest.mark.parametrize("name", [LONG, "数据管道每日加载任务" * 5, "x"], ids=["long", "wide", "short"])
def test_no_line_of_the_table_is_wider_than_the_terminal(name: str) -> None:
    """From 64 columns on, with all else at its longest: INTERRUPTED, ids of six digits, counts of hundreds."""
    runs = [run(654321, name, "INTERRUPTED", 100, total_jobs=100), run(7)]
    too_wide = []
    for width in range(64, 130):
        for line in screen(*runs, width=width).split("\n\n", 1)[0].splitlines():
            columns = len(line) + sum("\u4e00" <= character <= "\u9fff" for character in line)
            too_wide += [(width, line)] if columns > width else []
    assert not too_wide


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("数据管道", "数据管道        "),
        ("数据管道每日加载", "数据管道每日加载"),
        ("数据管道每日加载任", "数据管道每日... "),
        ("x数据管道每日加载任", "x数据管道每日..."),
        ("🚀 launch", "🚀 launch       "),
        ("👩\u200d💻 team", "👩\u200d💻 team         "),
        ("🇩🇪 load", "🇩🇪 load         "),
        ("cafe\u0301", "cafe\u0301            "),
        ("e\u0301" * 16, "e\u0301" * 16),
        ("e\u0301" * 17, "e\u0301" * 13 + "..."),
        ("データ", "データ          "),
        ("ﾃﾞｰﾀ", "ﾃﾞｰﾀ            "),
        ("한국어", "한국어          "),
        ("étape", "étape           "),
        ("a\u200bb", "a\u200bb              "),
        ("a" * 16, "a" * 16),
        ("a" * 17, "a" * 13 + "..."),
        ("1e5", "1e5             "),
        ("  spaced  ", "  spaced        "),
        ("", " " * 16),
    ],
)
def test_names_take_the_columns_that_a_terminal_gives_them(name: str, shown: str) -> None:
    """Wide characters and emoji count two, combining ones none, and none is ever cut in half."""
    expected = f"   7   | {shown} | SUCCESS   | 2025-05-23 09:45:00 | 00:00:45 | 3/3"
    assert rows(screen(run(name=name), width=88)) == [expected]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred", "\\e[31mred       "),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd      "),
        ("\x9b2J", "\\x9b2J          "),
        ("\u202eabc", "\\u202eabc       "),
        ("a\u2028b", "a\\u2028b        "),
        ("\x00\x01\x7f", "\\x00\\x01\\x7f    "),
        ("a\x0b\x0c\x1c\x85b", "a\\x0b\\x0c\\x1c..."),
        ("\\e[31m", "\\e[31m          "),
        ("| --- |", "| --- |         "),
    ],
)
def test_nothing_in_a_name_is_obeyed_by_a_terminal(name: str, shown: str) -> None:
    """Control characters are shown escaped, and the columns stay where they are."""
    found = screen(run(name=name), width=88)
    assert rows(found) == [f"   7   | {shown} | SUCCESS   | 2025-05-23 09:45:00 | 00:00:45 | 3/3"]
    assert_harmless(found)


# --- nothing found -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "misses", "expected"),
    [
        (
            ["app orders_*", "status FAILED", "started on 2025-05-20"],
            [
                "Without --status: 11 SUCCESS, 1 INTERRUPTED",
                "Without --since/--until: newest is run 247, 2025-05-16 02:00:04",
            ],
            "No runs found: app orders_*, status FAILED, started on 2025-05-20\n"
            "Without --status: 11 SUCCESS, 1 INTERRUPTED\n"
            "Without --since/--until: newest is run 247, 2025-05-16 02:00:04\n"
            "History: /home/etl/.local/state/executioner/history.db\n",
        ),
        ([], [], "No runs found\nHistory: /home/etl/.local/state/executioner/history.db\n"),
        (
            ["app \x1b[2J"],
            ["x\ny"],
            "No runs found: app \\e[2J\nx\\ny\nHistory: /home/etl/.local/state/executioner/history.db\n",
        ),
    ],
)
def test_nothing_found(filters: list[str], misses: list[str], expected: str) -> None:
    """Screen 8 of screens.md; what was typed is shown without being obeyed."""
    assert none_found_text(filters, misses, "/home/etl/.local/state/executioner/history.db") == expected


@pytest.mark.parametrize(
    ("invocation", "command"),
    [
        (CALLED, "executioner.py -c FILE"),
        (CALLED._replace(db="h.db"), "executioner.py -c FILE --db h.db"),
        (ELSEWHERE, "cd '/srv/my jobs' && python3 executioner.py -c FILE"),
    ],
)
def test_a_history_without_runs(invocation: Invocation, command: str) -> None:
    """It is said where runs would be recorded, and how to make the first one."""
    expected = f"No runs yet\nHistory: /srv/\\e.db\nTo run a workflow: {command}\n"
    assert no_runs_text("/srv/\x1b.db", invocation) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"SUCCESS": 11, "INTERRUPTED": 1}, "11 SUCCESS, 1 INTERRUPTED"),
        ({"FAILED": 1000}, "1,000 FAILED"),
        ({"FAILED": 1001, "PARTIAL": 2}, "over 1,000 FAILED, 2 PARTIAL"),
    ],
)
def test_counts_of_statuses(numbers: dict[str, int], expected: str) -> None:
    """As many as were counted, or that there are more than that."""
    assert status_counts(numbers, 1000) == expected


def test_the_newest_run_in_words() -> None:
    """Its id and its start in local time; of a taken-over run the start may not be known."""
    assert (
        newest_text(run(247, start_time="2025-05-16T02:00:04.900000Z")) == "newest is run 247, 2025-05-16 02:00:04"
    )
    assert newest_text(run(247, start_time=None)) == "newest is run 247"


def test_recent_runs_as_an_unknown_id_lists_them() -> None:
    """The founding document's lines: statuses padded to the longest one."""
    runs = [
        run(249, status="FAILED"),
        run(248, start_time="2025-05-23T09:00:00.000000Z"),
        run(247, status="FAILED", start_time=None),
    ]
    assert recent_lines(runs) == [
        "  Run 249 - FAILED  - 2025-05-23 09:45:00",
        "  Run 248 - SUCCESS - 2025-05-23 09:00:00",
        "  Run 247 - FAILED  - unknown",
    ]
    assert recent_lines([]) == []
    assert [line[:9] for line in recent_lines([run(10), run(9)])] == ["  Run 10 ", "  Run  9 "]
