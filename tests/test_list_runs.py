"""``--list-runs``: which runs are listed, how, and what is said where none is."""

import contextlib
import csv
import io
import json
import os
import sqlite3
import subprocess
import time
from typing import Any, NamedTuple

import pytest
from harness import Program, Result, ended, gate
from past import make_past, untouched
from screens import everything, figures, on_screen, paste, plain

from executioner.history.lock import this_process

Row = dict[str, Any]

HEAD = """\
Recent Execution History:
=======================
Run ID | Application      | Status    | Start Time          | Duration | Completed/Total
-------|------------------|-----------|---------------------|----------|----------------
"""
# The founding document, improvement 1.
FOUNDING = (
    HEAD
    + """\
  250  | data_pipeline    | SUCCESS   | 2025-05-23 10:15:00 | 00:05:23 | 8/8
  249  | data_pipeline    | FAILED    | 2025-05-23 09:45:00 | 00:02:15 | 5/8
  248  | batch_processor  | SUCCESS   | 2025-05-23 09:00:00 | 00:15:42 | 12/12
  247  | data_pipeline    | FAILED    | 2025-05-23 08:30:00 | 00:01:05 | 2/8
  246  | data_pipeline    | FAILED    | 2025-05-23 08:00:00 | 00:00:45 | 0/8

To resume a failed run: executioner.py -c <config> --resume-from <RUN_ID>
To see details: executioner.py --show-run <RUN_ID>
"""
)
CSV_HEADER = (
    "run_id,config_path,config_hash,parent_run_id,total_jobs,completed_jobs,failed_jobs,skipped_jobs,start_time,"
    "end_time,duration_seconds,status,failure_summary,application_name,user,host,boot_id,pid,pid_start_ticks,"
    "root_run_id,working_dir,log_path,exit_code,options,executioner_version,resumed_by,resumable,unverified\n"
)
OPTIONS_STEP = "To see all options:\n  {cd}executioner.py --help\n"


def jobs(done: int, total: int) -> list[Row]:
    """Jobs of which the first ones succeeded, the next failed, and the rest was skipped for that."""
    rest = [{"id": f"skipped{n}", "status": "SKIPPED", "reason": "dependency failed"} for n in range(total)]
    failed = [{"id": "failed", "status": "FAILED", "reason": "Exit code 1"}]
    return [*({"id": f"done{n}"} for n in range(done)), *(failed + rest)[: total - done]]


def ran(
    run_id: int,
    name: str,
    status: str,
    start: str,
    *,
    done: int = 1,
    of: int = 3,
    seconds: float = 45,
    **more: Any,
) -> Row:
    """A run's row; ``start`` in UTC."""
    fraction = "" if "." in start else ".000000"
    return {
        "run_id": run_id,
        "application_name": name,
        "status": status,
        "start_time": f"{start.replace(' ', 'T')}{fraction}Z",
        "duration_seconds": seconds,
        "jobs": jobs(done, of),
        "config_path": f"/srv/etl/{name}.json",
        **more,
    }


def founding(*, fixed: bool) -> list[Row]:
    """The founding document's five runs. ``fixed``: run 250 was of the same config as those that failed."""
    old = "/srv/etl/data_pipeline.json" if fixed else "/srv/etl/before/data_pipeline.json"
    return [
        ran(246, "data_pipeline", "FAILED", "2025-05-23 08:00:00", done=0, of=8, seconds=45, config_path=old),
        ran(247, "data_pipeline", "FAILED", "2025-05-23 08:30:00", done=2, of=8, seconds=65, config_path=old),
        ran(248, "batch_processor", "SUCCESS", "2025-05-23 09:00:00", done=12, of=12, seconds=942),
        ran(249, "data_pipeline", "FAILED", "2025-05-23 09:45:00", done=5, of=8, seconds=135, config_path=old),
        ran(250, "data_pipeline", "SUCCESS", "2025-05-23 10:15:00", done=8, of=8, seconds=323),
    ]


def here(program: Program) -> str:
    """How printed commands begin where no terminal looks on."""
    return f"cd {program.folder} && "


def history(program: Program, *runs: Row) -> Program:
    """The program with a history of these runs in its state folder."""
    make_past(program.history, runs)
    return program


def listed(program: Program, *args: str, **options: Any) -> list[int]:
    """The ids of the runs that are listed, in their order."""
    done = program("--list-runs", "--format", "json", *args, **options)
    assert (done.code, done.err) == (0, "")
    return [row["run_id"] for row in json.loads(done.out)]


def objects(program: Program, *args: str) -> dict[int, Row]:
    """The runs as JSON objects by their ids."""
    done = program("--list-runs", "--format", "json", *args)
    assert (done.code, done.err) == (0, "")
    return {row["run_id"]: row for row in json.loads(done.out)}


def bound_by_permissions(program: Program, *args: str) -> Result:
    """Run the program so that the permission bits hold, which for root they do not."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*drop, *program.command(*args)],
        cwd=program.folder,
        env=program.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


# --- the table --------------------------------------------------------------------------------


@pytest.mark.parametrize("fixed", [False, True], ids=["open", "mended since"])
def test_the_founding_documents_screen_to_the_letter(program: Program, fixed: bool) -> None:
    """Its five runs on a terminal: its whole sample, also where run 250 mended what failed; nothing is written."""
    history(program, *founding(fixed=fixed))
    before = everything(program)
    assert on_screen(program, "--list-runs", width=88) == (0, FOUNDING, "")
    assert everything(program) == before


def test_without_a_terminal_commands_tell_their_folder(program: Program) -> None:
    """In a mail from cron the same table stands, and its commands begin with the right ``cd``."""
    history(program, *founding(fixed=False))
    expected = FOUNDING.replace(": executioner.py", f": {here(program)}executioner.py")
    assert program("--list-runs") == (0, expected, "")


def test_no_hint_where_nothing_can_be_resumed(program: Program) -> None:
    """Where no failed run is listed nobody is told to resume; details can always be seen."""
    history(program, *founding(fixed=True))
    done = on_screen(program, "--list-runs", "--status", "success", width=120)
    table = [line for line in FOUNDING.splitlines() if "FAILED" not in line and "To resume" not in line]
    assert done == (0, "\n".join(table) + "\n", "")


@pytest.mark.parametrize(
    ("args", "shown", "more"),
    [
        ((), 20, "--last 40"),
        (("--last", "3"), 3, "--last 6"),
        (("--limit", "3"), 3, "--last 6"),
        (("--last", "20"), 20, "--last 40"),
        (("--last", "21"), 21, ""),
        (("--last", "1000000000"), 21, ""),
        (("--last", "7", "--status", "success"), 7, ""),
        (("--last", "6", "--status", "success"), 6, "--last 12 --status SUCCESS"),
    ],
)
def test_how_many_are_listed(program: Program, args: tuple[str, ...], shown: int, more: str) -> None:
    """Twenty, or as many as are asked for, newest first; how to see more stands there where more match."""
    statuses = ["SUCCESS" if run_id % 3 == 0 else "FAILED" for run_id in range(1, 22)]
    runs = [ran(run_id, "flow", status, "2025-05-23 09:45:00") for run_id, status in enumerate(statuses, 1)]
    history(program, *runs)
    ids = [run_id for run_id in range(21, 0, -1) if "--status" not in args or run_id % 3 == 0][:shown]
    rows = [
        f"{run_id:>4}   | flow             | {statuses[run_id - 1]:9} | 2025-05-23 09:45:00 | 00:00:45 | 1/3\n"
        for run_id in ids
    ]
    resume = f"To resume a failed run: {here(program)}executioner.py -c <config> --resume-from <RUN_ID>\n"
    details = f"To see details: {here(program)}executioner.py --show-run <RUN_ID>\n"
    hint = f"To see more runs: {here(program)}executioner.py --list-runs {more}\n" if more else ""
    hints = f"{hint}{'' if '--status' in args else resume}{details}"
    assert program("--list-runs", *args) == (0, f"{HEAD}{''.join(rows)}\n{hints}", "")


def test_the_command_for_more_lists_more_of_the_same(program: Program) -> None:
    """It carries every filter, whatever its value, and the history: pasted, it lists these runs and the next."""
    runs = [ran(at, "-flow it", "FAILED", "2025-05-23 09:45:00", user="it's me") for at in range(1, 6)]
    make_past(program.folder / "past.db", runs)
    args = ["--status", "failed,partial", "--app=-flow it", "--user", "it's me", "--since", "2025-05-01"]
    args += ["--until", "2025-06-01", "--partly-completed", "--resumable"]
    screen = program("--list-runs", "--db", "past.db", "--last", "2", *args).out
    assert screen.count("| FAILED") == 2
    command = screen.partition("To see more runs: ")[2].partition("\n")[0]
    pasted = paste(program, command).out
    assert pasted.count("| FAILED") == 4
    again = paste(program, pasted.partition("To see more runs: ")[2].partition("\n")[0]).out
    assert again.count("| FAILED") == 5
    assert "To see more runs" not in again


def test_the_second_name_of_last_is_hidden(program: Program) -> None:
    """``--limit`` is understood, and the help does not teach it."""
    text = program("--help").out
    assert "--last" in text
    assert "--limit" not in text


@pytest.mark.parametrize("db", ["past.db", "sub folder/past.db"])
def test_commands_name_the_history_that_is_in_use(program: Program, db: str) -> None:
    """With ``--db`` the printed commands carry it, quoted; each can be pasted once its blanks are filled in."""
    make_past(program.folder / db, [ran(7, "flow", "FAILED", "2025-05-23 09:45:00")])
    word = f"'{db}'" if " " in db else db
    row = "   7   | flow             | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3\n"
    hints = (
        f"To resume a failed run: executioner.py -c <config> --db {word} --resume-from <RUN_ID>\n"
        f"To see details: executioner.py --db {word} --show-run <RUN_ID>\n"
    )
    assert on_screen(program, "--list-runs", "--db", db) == (0, f"{HEAD}{row}\n{hints}", "")


# --- colours, widths, names -------------------------------------------------------------------

STATUSES = {"SUCCESS": "32", "FAILED": "31", "PARTIAL": "33", "INTERRUPTED": "33"}


def one_of_each(program: Program) -> Program:
    """A history with one ended run of each status."""
    return history(
        program, *(ran(n, "flow", status, "2025-05-23 09:45:00") for n, status in enumerate(STATUSES, 1))
    )


@pytest.mark.parametrize(
    ("terminal", "args", "env", "coloured"),
    [
        (True, (), {}, True),
        (True, (), {"NO_COLOR": "1"}, False),
        (True, (), {"TERM": "dumb"}, False),
        (True, ("--color", "never"), {}, False),
        (False, (), {}, False),
        (False, (), {"FORCE_COLOR": "1"}, True),
        (False, ("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_the_status_is_in_colour_where_that_is_wanted(
    program: Program, terminal: bool, args: tuple[str, ...], env: dict[str, str], coloured: bool
) -> None:
    """Only the four words are painted, and the columns stay where they are."""
    one_of_each(program)
    run = program.on_terminal if terminal else program
    found = run("--list-runs", *args, env=env).out
    painted = [f"| \x1b[{code}m{status}\x1b[0m" for status, code in STATUSES.items()]
    assert [words in found for words in painted] == [coloured] * 4
    assert found.count("\x1b") == (8 if coloured else 0)
    without = program.on_terminal("--list-runs", "--color", "never") if terminal else program("--list-runs")
    assert plain(found) == without.out


LONG = "nightly_regional_warehouse_consolidation_and_reporting"


@pytest.mark.parametrize(
    ("width", "shown", "last"),
    [
        (None, LONG, "Completed/Total"),
        (120, f"{LONG[:45]}...", "Completed/Total"),
        (88, "nightly_regio...", "Completed/Total"),
        (80, "nightly_regional...", "Done"),
        (72, "nightly_...", "Done"),
    ],
)
def test_a_long_name_is_cut_to_the_width_of_the_terminal(
    program: Program, width: int | None, shown: str, last: str
) -> None:
    """It is shortened, never wrapped; without a terminal it is whole."""
    history(program, ran(7, LONG, "FAILED", "2025-05-23 09:45:00"))
    screen = program("--list-runs") if width is None else on_screen(program, "--list-runs", width=width)
    columns = len(shown)
    assert screen.out.splitlines()[2:5] == [
        f"Run ID | {'Application':{columns}} | Status    | Start Time          | Duration | {last}",
        f"-------|-{'-' * columns}-|-----------|---------------------|----------|{'-' * (len(last) + 1)}",
        f"   7   | {shown} | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3",
    ]


WORLD = ["数据管道", "🚀 launch", "cafe\u0301", "\x1b[2J\u202e\n", "e" * 16]
WORLD_TABLE = (
    HEAD
    + """\
   5   | eeeeeeeeeeeeeeee | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3
   4   | \\e[2J\\u202e\\n    | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3
   3   | cafe\u0301             | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3
   2   | 🚀 launch        | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3
   1   | 数据管道         | FAILED    | 2025-05-23 09:45:00 | 00:00:45 | 1/3
"""
)


@pytest.fixture(scope="module")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale that is not UTF-8 and really is there."""
    folder = tmp_path_factory.mktemp("locales")
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    try:
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    return {"LOCPATH": str(folder)} if made else {}


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C.UTF-8"},
        {"LANG": "C"},
        {"LANG": "POSIX", "PYTHONCOERCECLOCALE": "0"},
        {"LANG": None},
        {"LANG": None, "LC_ALL": "de_DE.ISO-8859-1"},
        {"LANG": "xx_XX.UTF-8"},
    ],
)
def test_names_of_all_the_world_are_aligned_in_every_locale(
    program: Program, latin1: dict[str, str], env: dict[str, str | None]
) -> None:
    """CJK, emoji, combining and control characters: the bytes are the same UTF-8 wherever it runs."""
    history(program, *(ran(n, name, "FAILED", "2025-05-23 09:45:00") for n, name in enumerate(WORLD, 1)))
    found = program("--list-runs", env={**latin1, **env})
    assert (found.code, found.err) == (0, "")
    assert found.out.partition("\n\n")[0] + "\n" == WORLD_TABLE


def test_nothing_in_a_name_reaches_a_terminal(program: Program) -> None:
    """A name with escape sequences is shown escaped, on a terminal as in a file."""
    history(program, ran(1, "\x1b[2J\x9b1m\u202e\u2028\n", "FAILED", "2025-05-23 09:45:00"))
    shown = "\\e[2J\\x9b1m\\u202e\\u2028\\n"
    assert f"   1   | {shown} | FAILED " in on_screen(program, "--list-runs").out
    assert f"   1   | {shown} | FAILED " in program("--list-runs").out


# --- which runs: each filter -------------------------------------------------------------------

ME = this_process()
ALIVE: Row = {"boot_id": ME.boot_id, "pid": ME.pid, "pid_start_ticks": ME.start_ticks}
MANY = [
    ran(1, "orders_eu", "SUCCESS", "2025-05-16 02:00:04", done=2, of=2, user="anna", config_path="/srv/o.json"),
    ran(2, "orders_us", "FAILED", "2025-05-17 02:00:00", user="anna", config_path="/srv/o.json"),
    ran(3, "billing", "INTERRUPTED", "2025-05-18 02:00:00", user="bob"),
    ran(4, "orders_eu", "PARTIAL", "2025-05-19 23:59:59.999999", user="bob", config_path="/srv/o.json"),
    ran(5, "a[b]c", "FAILED", "2025-05-20 00:00:00"),
    ran(6, "abc", "SUCCESS", "2025-05-20 12:00:30", done=3),
    ran(7, "x*y?", "FAILED", "2025-05-20 12:01:00", done=0),
    ran(8, "x-yz", "SUCCESS", "2025-05-20 23:59:59.999999", done=3),
    ran(9, "Orders_EU", "FAILED", "2025-05-21 00:00:00"),
    # the next two are recorded as RUNNING: the process of one is this one, that of the other never was
    ran(10, "billing", "RUNNING", "2025-05-22 09:45:00", seconds=0, user="anna"),
    ran(11, "orders_eu", "RUNNING", "2025-05-23 09:45:00", config_path="/srv/o.json", **ALIVE),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A history with runs of all sorts; nothing writes to it."""
    return history(Program(tmp_path_factory.mktemp("many") / "work"), *MANY)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        # statuses, as they are and not as they are recorded
        (("--status", "FAILED"), [9, 7, 5, 2]),
        (("--status", "failed"), [9, 7, 5, 2]),
        (("--status", "RUNNING"), [11]),
        (("--status", "interrupted"), [10, 3]),
        (("--status", "Partial,SUCCESS"), [8, 6, 4, 1]),
        (("--status", " running , partial ,"), [11, 4]),
        (("--status", "running", "--status", "interrupted"), [11, 10, 3]),
        (("--status=SUCCESS,FAILED,PARTIAL,RUNNING,INTERRUPTED",), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        # applications: a name, or what a shell would match; such names themselves, too
        (("--app", "orders_eu"), [11, 4, 1]),
        (("--app", "orders_*"), [11, 4, 2, 1]),
        (("--app", "*"), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (("--app", "orders_??"), [11, 4, 2, 1]),
        (("--app", "orders_?"), []),
        (("--app", "[Oo]rders_[eE][uU]"), [11, 9, 4, 1]),
        (("--app", "orders_[a-h]*"), [11, 4, 1]),
        (("--app", "orders_[!a-h]*"), [2]),
        (("--app", "a[b]c"), [6, 5]),
        (("--app", "a[[]b]c"), [5]),
        (("--app", "x*y?"), [8, 7]),
        (("--app", "orders%"), []),
        (("--app", "orders"), []),
        # users
        (("--user", "bob"), [4, 3]),
        (("--user", "Bob"), []),
        (("--user", "b*"), []),
        # some, but not all jobs
        (("--partly-completed",), [11, 10, 9, 5, 4, 3, 2]),
        # times: from the first moment of T on, and up to the last one
        (("--since", "2025-05-20"), [11, 10, 9, 8, 7, 6, 5]),
        (("--until", "2025-05-20"), [8, 7, 6, 5, 4, 3, 2, 1]),
        (("--since", "2025-05-20", "--until", "2025-05-20"), [8, 7, 6, 5]),
        (("--since", "2025-05-20 12:00", "--until", "2025-05-20 12:00"), [6]),
        (("--since", "2025-05-20 12:00:30", "--until", "2025-05-20 12:00:30"), [6]),
        (("--since", "2025-05-20 12:00:31", "--until", "2025-05-20T12:01:00"), [7]),
        (("--until", "2025-05-16 02:00:03"), []),
        (("--until", "2025-05-16 02:00:04"), [1]),
        (("--since", "2025-05-23 09:45"), [11]),
        (("--since", "2025-05-23 09:46"), []),
        (("--since", "2025-05-22T11:45+02:00"), [11, 10]),
        (("--since", "2025-05-23", "--until", "2025-05-20"), []),
        (("--since", "1d"), []),
        (("--until", "1d"), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        # configs, which need not be there
        (("-c", "/srv/o.json"), [11, 4, 2, 1]),
        (("-c", "/srv/./x/../o.json"), [11, 4, 2, 1]),
        (("-c", "/srv/none.json"), []),
        # and together
        (("--app", "orders_*", "--status", "failed,partial"), [4, 2]),
        (("--app", "orders_*", "--status", "running"), [11]),
        (("--app", "*[!_]*", "--user", "anna", "--status", "interrupted"), [10]),
        (("-c", "/srv/o.json", "--app", "orders_eu", "--since", "2025-05-17"), [11, 4]),
        (("-c", "/srv/o.json", "--user", "bob", "--partly-completed"), [4]),
        (("--partly-completed", "--status", "failed", "--until", "2025-05-20"), [5, 2]),
        (("--partly-completed", "--app", "billing"), [10, 3]),
        (("--user", "anna", "--since", "2025-05-17", "--until", "2025-05-22"), [10, 2]),
        (("--resumable", "--user", "bob"), [4, 3]),
        (("--resumable", "--app", "orders_*", "--since", "2025-05-17"), [4, 2]),
        (("--resumable", "--status", "interrupted", "-c", "/srv/etl/billing.json"), [10, 3]),
        (("--resumable", "--partly-completed", "--status", "failed"), [9, 5, 2]),
        (("--resumable", "--status", "success"), []),
        (("--last", "2", "--status", "failed"), [9, 7]),
        (("--last", "2", "--since", "2025-05-20"), [11, 10]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_filters(many: Program, args: tuple[str, ...], expected: list[int]) -> None:
    """Each filter alone and some together list these runs and no others, newest first."""
    assert listed(many, *args) == expected


def test_ago_today_and_yesterday(program: Program) -> None:
    """``7d`` and ``12h`` count from now, ``today`` and ``yesterday`` are days of the local calendar."""
    now = time.time()
    # a zone in which it is around noon: no midnight passes during this test
    zone = f"XXX{time.gmtime(now).tm_hour - 12:+d}"
    hours_ago = {1: 24 * 8, 2: 24 * 6, 3: 24, 4: 11, 5: 1}
    runs = [
        ran(n, "flow", "FAILED", time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - hours * 3600)))
        for n, hours in hours_ago.items()
    ]
    history(program, *runs)
    asked = {
        "--since=7d": [5, 4, 3, 2],
        "--since=12h": [5, 4],
        "--until=12h": [3, 2, 1],
        "--since=today": [5, 4],
        "--until=yesterday": [3, 2, 1],
        "--since=yesterday": [5, 4, 3],
    }
    assert {args: listed(program, args, env={"TZ": zone}) for args in asked} == asked


def test_a_time_filter_orders_by_start(program: Program) -> None:
    """Where somebody set the clock back, a list by time is in the order of time; else ids decide."""
    history(
        program,
        ran(1, "flow", "FAILED", "2025-05-23 09:00:00"),
        ran(2, "flow", "SUCCESS", "2025-05-23 11:00:00"),
        ran(3, "flow", "FAILED", "2025-05-23 10:00:00"),
        ran(4, "flow", "RUNNING", "2025-05-23 10:30:00"),
    )
    assert listed(program) == [4, 3, 2, 1]
    assert listed(program, "--since", "2025-05-01") == [2, 4, 3, 1]
    assert listed(program, "--since", "2025-05-01", "--last", "2") == [2, 4]


@pytest.mark.parametrize("args", [(), ("--since", "2025-05-01")], ids=["by-id", "by-time"])
def test_a_long_list_is_whole(program: Program, args: tuple[str, ...]) -> None:
    """Over a thousand runs, most of them started in one second, dead ones among them: each is listed once."""
    runs = []
    for run_id in range(1, 1204):
        start = "2025-05-23 09:45:00" if run_id > 300 else f"2025-05-22 00:00:{run_id % 60:02d}"
        status = "RUNNING" if run_id in (2, 499, 500, 501, 703, 704, 1203) else "FAILED"
        runs.append(ran(run_id, "flow", status, start, done=0, of=1))
    history(program, *runs)
    ids = listed(program, "--last", "5000", *args)
    assert sorted(ids, reverse=True) == list(range(1203, 0, -1))
    assert ids[:903] == list(range(1203, 300, -1))


# --- local time ---------------------------------------------------------------------------------

CLOCKS_BACK = [
    ran(1, "flow", "FAILED", "2025-10-25 23:59:00"),
    ran(2, "flow", "FAILED", "2025-10-26 00:30:00"),
    ran(3, "flow", "FAILED", "2025-10-26 01:30:00"),
    ran(4, "flow", "FAILED", "2025-10-26 02:00:00"),
]
CLOCKS_FORWARD = [
    ran(1, "flow", "FAILED", "2025-03-30 00:59:00"),
    ran(2, "flow", "FAILED", "2025-03-30 01:00:00"),
    ran(3, "flow", "FAILED", "2025-03-30 01:20:00"),
]
NO_MIDNIGHT = [
    ran(1, "flow", "FAILED", "2025-04-24 21:59:59"),
    ran(2, "flow", "FAILED", "2025-04-24 22:00:00"),
]


@pytest.mark.parametrize(
    ("zone", "runs", "shown"),
    [
        (
            "Europe/Berlin",
            CLOCKS_BACK,
            ["2025-10-26 03:00:00", "2025-10-26 02:30:00", "2025-10-26 02:30:00", "2025-10-26 01:59:00"],
        ),
        (
            "Europe/Berlin",
            CLOCKS_FORWARD,
            ["2025-03-30 03:20:00", "2025-03-30 03:00:00", "2025-03-30 01:59:00"],
        ),
        ("Africa/Cairo", NO_MIDNIGHT, ["2025-04-25 01:00:00", "2025-04-24 23:59:59"]),
        ("Asia/Kathmandu", CLOCKS_FORWARD[:1], ["2025-03-30 06:44:00"]),
        ("XXX+11:30", CLOCKS_FORWARD[:1], ["2025-03-29 13:29:00"]),
    ],
)
def test_the_table_shows_local_time(program: Program, zone: str, runs: list[Row], shown: list[str]) -> None:
    """Starts are those of a local clock, also while it is set forward or back; JSON is in UTC."""
    history(program, *runs)
    lines = program("--list-runs", env={"TZ": zone}).out.splitlines()[4 : 4 + len(runs)]
    assert [line.split(" | ")[3] for line in lines] == shown
    rows = json.loads(program("--list-runs", "--format", "json", env={"TZ": zone}).out)
    assert [row["start_time"] for row in rows] == [row["start_time"] for row in reversed(runs)]


@pytest.mark.parametrize(
    ("zone", "runs", "args", "expected"),
    [
        ("Europe/Berlin", CLOCKS_BACK, ("--since", "2025-10-26 02:30"), [4, 3, 2]),
        ("Europe/Berlin", CLOCKS_BACK, ("--until", "2025-10-26 02:30"), [3, 2, 1]),
        ("Europe/Berlin", CLOCKS_BACK, ("--until", "2025-10-26 01:59"), [1]),
        ("Europe/Berlin", CLOCKS_BACK, ("--since", "2025-10-26", "--until", "2025-10-26"), [4, 3, 2, 1]),
        ("Europe/Berlin", CLOCKS_FORWARD, ("--since", "2025-03-30 02:30"), [3, 2]),
        ("Europe/Berlin", CLOCKS_FORWARD, ("--until", "2025-03-30 02:30"), [1]),
        ("Europe/Berlin", CLOCKS_FORWARD, ("--since", "2025-03-30 03:00"), [3, 2]),
        ("Africa/Cairo", NO_MIDNIGHT, ("--until", "2025-04-24"), [1]),
        ("Africa/Cairo", NO_MIDNIGHT, ("--since", "2025-04-25"), [2]),
    ],
)
def test_time_filters_agree_with_the_start_times_that_are_shown(
    program: Program, zone: str, runs: list[Row], args: tuple[str, ...], expected: list[int]
) -> None:
    """Who types a time from the table gets the runs that the table shows from there on, or up to there."""
    history(program, *runs)
    assert listed(program, *args, env={"TZ": zone}) == expected


# --- which runs can be resumed -------------------------------------------------------------------

SKIPPED_ON_REQUEST = {"id": "skipped", "status": "SKIPPED", "reason": "--skip"}
LEFT_OUT = {"id": "left_out", "status": "SKIPPED", "reason": "--resume-failed-only"}
DONE = {"id": "done"}


def flow(run_id: int, status: str, **more: Any) -> Row:
    """A run of flow.json, each an hour after the one before."""
    return ran(run_id, "flow", status, f"2025-05-23 {run_id:02d}:00:00", **more)


def resumed(run_id: int, status: str, parent: int, root: int, **more: Any) -> Row:
    """A run of flow.json that resumes another."""
    return flow(run_id, status, parent_run_id=parent, root_run_id=root, **more)


#: Runs of one config, numbered from 1, and which of them can be resumed.
RESUMABLE: dict[str, tuple[list[Row], list[int]]] = {
    "failed": ([flow(1, "FAILED")], [1]),
    "interrupted": ([flow(1, "INTERRUPTED")], [1]),
    "partial": ([flow(1, "PARTIAL", jobs=[DONE, LEFT_OUT])], [1]),
    "success": ([flow(1, "SUCCESS", done=3)], []),
    "alive": ([flow(1, "RUNNING", **ALIVE)], []),
    "dead": ([flow(1, "RUNNING")], [1]),
    "dead-in-a-job": ([flow(1, "RUNNING", jobs=[DONE, {"id": "b", "status": "RUNNING"}])], [1]),
    "only-skip-is-missing": ([flow(1, "PARTIAL", jobs=[DONE, SKIPPED_ON_REQUEST])], []),
    "skip-and-more-is-missing": ([flow(1, "PARTIAL", jobs=[DONE, SKIPPED_ON_REQUEST, LEFT_OUT])], [1]),
    "nothing-is-missing": ([flow(1, "INTERRUPTED", jobs=[DONE])], []),
    "resumed": ([flow(1, "FAILED"), resumed(2, "FAILED", 1, 1)], [2]),
    "resumed-again": ([flow(1, "FAILED"), resumed(2, "FAILED", 1, 1), resumed(3, "INTERRUPTED", 2, 1)], [3]),
    "resumed-twice": ([flow(1, "FAILED"), resumed(2, "FAILED", 1, 1), resumed(3, "FAILED", 1, 1)], [3]),
    "its-resumption-died": ([flow(1, "FAILED"), resumed(2, "RUNNING", 1, 1)], [2]),
    "being-resumed": ([flow(1, "FAILED"), resumed(2, "RUNNING", 1, 1, **ALIVE)], []),
    "its-resumption-succeeded": ([flow(1, "FAILED"), resumed(2, "SUCCESS", 1, 1, done=3)], []),
    "its-resumption-succeeded-elsewhere": (
        [flow(1, "FAILED"), resumed(2, "SUCCESS", 1, 1, done=3, config_path="/new/flow.json")],
        [],
    ),
    "succeeded-afresh": ([flow(1, "FAILED"), flow(2, "SUCCESS", done=3)], []),
    "failed-after-success": ([flow(1, "FAILED"), flow(2, "SUCCESS", done=3), flow(3, "FAILED")], [3]),
    "failed-twice": ([flow(1, "FAILED"), flow(2, "FAILED")], [2, 1]),
    "another-is-on": ([flow(1, "FAILED"), flow(2, "RUNNING", **ALIVE)], [1]),
    "another-left-out": ([flow(1, "FAILED"), flow(2, "PARTIAL", jobs=[DONE, SKIPPED_ON_REQUEST])], [1]),
    "another-config": ([flow(1, "FAILED"), flow(2, "SUCCESS", done=3, config_path="/other.json")], [1]),
}


class Answers(NamedTuple):
    """What the program says of all these runs: in the field of the JSON, and with ``--resumable``."""

    flagged: list[int]
    filtered: list[int]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """One history of all these runs: the ids of each case begin at a thousand, and the config is its own."""
    runs = []
    for number, (name, (given, _)) in enumerate(RESUMABLE.items(), 1):
        for row in given:
            shifted = {key: row[key] + 1000 * number for key in CHAIN if row.get(key) is not None}
            runs.append({**row, **shifted, "config_path": f"/{name}{row['config_path']}"})
    program = history(Program(tmp_path_factory.mktemp("resumable") / "work"), *runs)
    rows = objects(program, "--last", "1000")
    return Answers(
        [run_id for run_id, row in rows.items() if row["resumable"]],
        listed(program, "--resumable", "--last", "1000"),
    )


CHAIN = ("run_id", "parent_run_id", "root_run_id")


@pytest.mark.parametrize("case", RESUMABLE)
def test_what_can_be_resumed(answers: Answers, case: str) -> None:
    """Ended, no success, newest of its chain, no newer success of its config, more missing than --skip left out.

    ``--resumable`` and the field of the JSON say the same.
    """
    number = list(RESUMABLE).index(case) + 1
    expected = RESUMABLE[case][1]
    assert [run_id % 1000 for run_id in answers.flagged if run_id // 1000 == number] == expected
    assert [run_id % 1000 for run_id in answers.filtered if run_id // 1000 == number] == expected


# --- one config ------------------------------------------------------------------------------------


def test_a_config_is_found_by_any_of_its_paths(program: Program) -> None:
    """From the folder, from another, by its whole path, by a link to it or to its folder; and once it is gone."""
    path = program.folder / program.config({"a": "true"})
    (program.folder / "sub").mkdir()
    (program.folder / "link.json").symlink_to("flow.json")
    (program.home / "elsewhere").symlink_to(program.folder)
    history(program, flow(1, "FAILED", config_path=str(path)), flow(2, "FAILED", config_path="/srv/flow.json"))
    names = ["flow.json", "./flow.json", "sub/../flow.json", str(path), "link.json"]
    names.append(f"{program.home}/elsewhere/flow.json")
    assert {name: listed(program, "-c", name) for name in names} == {name: [1] for name in names}
    path.unlink()
    assert {name: listed(program, "-c", name) for name in names} == {name: [1] for name in names}


def test_with_a_config_the_hint_is_a_command(program: Program) -> None:
    """The config that was given stands in place of the blank."""
    path = program.folder / program.config({"a": "true"}, name="my flow.json")
    history(program, flow(1, "FAILED", config_path=str(path)))
    row = "   1   | flow             | FAILED    | 2025-05-23 01:00:00 | 00:00:45 | 1/3\n"
    hints = (
        "To resume a failed run: executioner.py -c 'my flow.json' --resume-from <RUN_ID>\n"
        "To see details: executioner.py --show-run <RUN_ID>\n"
    )
    assert on_screen(program, "--list-runs", "-c", "my flow.json") == (0, f"{HEAD}{row}\n{hints}", "")


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [(None, None, 3), (None, "variable.db", 2), ("option.db", None, 1), ("option.db", "variable.db", 1)],
)
def test_the_history_of_a_config(
    program: Program, option: str | None, variable: str | None, expected: int
) -> None:
    """``--db`` is the history, else the variable's, else the config's own, which is relative to the config."""
    (program.folder / "sub").mkdir()
    path = program.folder / program.config({"a": "true"}, name="sub/flow.json", history_db="own.db")
    for run_id, name in enumerate(["option.db", "variable.db", "sub/own.db"], 1):
        make_past(program.folder / name, [flow(run_id, "FAILED", config_path=str(path))])
    history(program, flow(4, "FAILED", config_path=str(path)))
    args = ["-c", "sub/flow.json", *(["--db", option] if option else [])]
    assert listed(program, *args, env={"EXECUTIONER_DB": variable}) == [expected]


def test_the_commands_name_the_history_of_the_config(program: Program) -> None:
    """``--show-run`` alone would look in the state folder."""
    path = program.folder / program.config({"a": "true"}, history_db="own.db")
    make_past(program.folder / "own.db", [flow(1, "FAILED", config_path=str(path))])
    assert on_screen(program, "--list-runs", "-c", "flow.json").out.split("\n\n")[1] == (
        "To resume a failed run: executioner.py -c flow.json --db own.db --resume-from <RUN_ID>\n"
        "To see details: executioner.py --db own.db --show-run <RUN_ID>\n"
    )


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        ("{broken", 0o644, "it is not JSON"),
        ('{"jobs": 1}', 0o000, "Permission denied"),
        ("[" * 100_000, 0o644, "it is not JSON"),
        ('{"jobs": 1, "history_db": 3}', 0o644, None),
        ("[]", 0o644, None),
    ],
    ids=["broken", "unreadable", "nested", "no-path", "no-object"],
)
def test_a_config_that_cannot_be_read_is_listed_all_the_same(
    program: Program, content: str, mode: int, why: str | None
) -> None:
    """Its runs are those of its path; where it might name another history, a warning says so on stderr."""
    path = program.folder / "flow.json"
    path.write_text(content)
    path.chmod(mode)
    history(program, flow(1, "FAILED", config_path=str(path)))
    done = bound_by_permissions(program, "--list-runs", "-c", "flow.json", "--format", "json")
    assert [row["run_id"] for row in json.loads(done.out)] == [1]
    warning = f"Warning: flow.json cannot be read ({why}): its history_db is not known\n" if why else ""
    assert (done.code, done.err) == (0, warning)


# --- for scripts ------------------------------------------------------------------------------------


def test_json_is_all_that_is_stored(program: Program) -> None:
    """Every column in its order, JSON as objects, UTC times, and who resumed it; whole stdout, stderr empty."""
    options = {"env": {"MODE": "x"}, "skip": ["a"]}
    history(
        program,
        flow(1, "FAILED", failure_summary="failed: Exit code 1", exit_code=1, options=json.dumps(options)),
        resumed(2, "FAILED", 1, 1),
        resumed(3, "FAILED", 1, 1),
    )
    rows = json.loads(program("--list-runs", "--format", "json").out)
    assert [(row["run_id"], row["parent_run_id"], row["resumed_by"], row["resumable"]) for row in rows] == [
        (3, 1, None, True),
        (2, 1, None, False),
        (1, None, 3, False),
    ]
    expected = {
        "run_id": 1,
        "config_path": "/srv/etl/flow.json",
        "config_hash": "0" * 64,
        "parent_run_id": None,
        "total_jobs": 3,
        "completed_jobs": 1,
        "failed_jobs": 1,
        "skipped_jobs": 1,
        "start_time": "2025-05-23T01:00:00.000000Z",
        "end_time": None,
        "duration_seconds": 45.0,
        "status": "FAILED",
        "failure_summary": "failed: Exit code 1",
        "application_name": "flow",
        "user": "etl",
        "host": "etl01",
        "boot_id": "11111111-2222-3333-4444-555555555555",
        "pid": 4711,
        "pid_start_ticks": 1,
        "root_run_id": 1,
        "working_dir": "/srv/etl",
        "log_path": None,
        "exit_code": 1,
        "options": options,
        "executioner_version": "0.1.0",
        "resumed_by": 3,
        "resumable": False,
        "unverified": False,
    }
    last = program("--list-runs", "--format", "json", "--until", "2025-05-23 01:00")
    assert last == (0, json.dumps([expected], indent=2) + "\n", "")


def test_csv_quotes_what_needs_it(program: Program) -> None:
    """A header and a line a run, RFC 4180 quotes, empty for null; escaped only where a terminal reads it."""
    name = 'a,"b"\nc \x1b[2J 数'
    history(program, flow(1, "FAILED", application_name=name, user=None, options='{"skip": ["a"]}'))
    line = (
        "1,/srv/etl/flow.json,0000000000000000000000000000000000000000000000000000000000000000,,3,1,1,1,"
        '2025-05-23T01:00:00.000000Z,,45.0,FAILED,,"a,""b""\nc \x1b[2J 数",,etl01,'
        '11111111-2222-3333-4444-555555555555,4711,1,1,/srv/etl,,0,"{""skip"": [""a""]}",0.1.0,,true,false\n'
    )
    done = program("--list-runs", "--format", "csv")
    assert done == (0, CSV_HEADER + line, "")
    assert next(csv.DictReader(io.StringIO(done.out)))["application_name"] == name
    escaped = line.replace("\n", "\\n", 1).replace("\x1b", "\\e")
    assert program.on_terminal("--list-runs", "--format", "csv") == (0, CSV_HEADER + escaped, "")


def test_csv_is_written_as_it_is_read(program: Program) -> None:
    """What a reader has not come to yet is not even read: old runs that are deleted meanwhile are not listed."""
    history(program, *(flow(n, "FAILED", start_time="2025-05-23T09:45:00.000000Z") for n in range(1, 3001)))
    with ended(program.start("--list-runs", "--last", "100000", "--format", "csv")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == CSV_HEADER
        assert process.stdout.readline().startswith("3000,")
        # the pipe is full long before: it takes 64 KiB, and the runs are 700
        delete(program, "DELETE FROM run_metadata WHERE run_id <= 500")
        rest = [line.split(",")[0] for line in process.stdout]
        assert process.wait(60) == 0
    assert rest == [str(n) for n in range(2999, 500, -1)]


def delete(program: Program, statement: str) -> None:
    """Change the history as another tool does."""
    with contextlib.closing(sqlite3.connect(program.history)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_reader_that_goes_away_is_no_error(program: Program, form: str) -> None:
    """``| head -1`` gets its line, the program ends with 0 and says nothing."""
    history(program, *(flow(n, "FAILED", start_time="2025-05-23T09:45:00.000000Z") for n in range(1, 2001)))
    line = f"{{ executioner.py --list-runs --last 100000 --format {form}; echo $? >&2; }} | head -1"
    first = {"table": "Recent Execution History:\n", "json": "[\n", "csv": CSV_HEADER}[form]
    assert paste(program, line) == (0, first, "0\n")


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_full_disk_is_an_error(program: Program, form: str) -> None:
    """A list that could not be written whole does not end with 0."""
    history(program, *founding(fixed=True))
    with open("/dev/full", "wb") as full:
        process = program.start("--list-runs", "--format", form, stdout=full)
        with ended(process):
            _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        3,
        "Error: The output cannot be written: No space left on device (stdout)\n",
    )


# --- nothing found ---------------------------------------------------------------------------------


def test_near_misses_to_the_letter(program: Program) -> None:
    """Screen 8 of screens.md: on stderr, exit 0, stdout empty."""
    runs = [ran(247, "orders_eu", "FAILED", "2025-05-16 02:00:04")]
    runs += [ran(n, "orders_eu", "SUCCESS", "2025-05-20 02:00:00", done=3) for n in range(248, 259)]
    runs += [ran(259, "orders_us", "INTERRUPTED", "2025-05-20 03:00:00")]
    history(program, *runs)
    asked = ["--app", "orders_*", "--status", "failed", "--since", "2025-05-20", "--until", "2025-05-20"]
    assert program("--list-runs", *asked) == (
        0,
        "",
        f"""\
No runs found: app orders_*, status FAILED, started on 2025-05-20
Without --status: 11 SUCCESS, 1 INTERRUPTED
Without --since/--until: newest is run 247, 2025-05-16 02:00:04
History: {program.history}
""",
    )
    assert program("--list-runs", "--format", "json", *asked) == (0, "[]\n", "")
    assert program("--list-runs", "--format", "csv", *asked) == (0, CSV_HEADER, "")


NEWEST_IS_11 = "newest is run 11, 2025-05-23 09:45:00"


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (("--app", "none"), ["app none", f"Without --app: {NEWEST_IS_11}"]),
        (
            ("--app", "biling"),
            [
                "app biling",
                f"Without --app: {NEWEST_IS_11}",
                "No application biling, did you mean billing?",
            ],
        ),
        (("--user", "Bob"), ["user Bob", f"Without --user: {NEWEST_IS_11}"]),
        (
            ("-c", "none.json"),
            ["config none.json", f"Without -c: {NEWEST_IS_11}", "There is no file none.json"],
        ),
        (("--since", "1d"), ["started in the last 1d", f"Without --since: {NEWEST_IS_11}"]),
        (("--until", "2025-05-15"), ["started until 2025-05-15", f"Without --until: {NEWEST_IS_11}"]),
        (
            ("--since", "2025-05-16 03:00", "--until", "2025-05-16"),
            [
                "started since 2025-05-16 03:00, started until 2025-05-16",
                f"Without --since/--until: {NEWEST_IS_11}",
            ],
        ),
        (
            ("--user", "bob", "--status", "success,running"),
            [
                "status SUCCESS, RUNNING, user bob",
                "Without --status: 1 PARTIAL, 1 INTERRUPTED",
                f"Without --user: {NEWEST_IS_11}",
            ],
        ),
        (
            ("--app", "abc", "--partly-completed"),
            [
                "app abc, partly completed",
                f"Without --app: {NEWEST_IS_11}",
                "Without --partly-completed: newest is run 6, 2025-05-20 12:00:30",
            ],
        ),
        (
            ("--app", "x-yz", "--resumable"),
            [
                "app x-yz, resumable",
                "Without --app: newest is run 10, 2025-05-22 09:45:00",
                "Without --resumable: newest is run 8, 2025-05-20 23:59:59",
            ],
        ),
        (("--app", "none", "--user", "nobody"), ["app none, user nobody", f"Without any of this: {NEWEST_IS_11}"]),
        (("--app", "\x1b[2J"), ["app \\e[2J", f"Without --app: {NEWEST_IS_11}"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_near_misses(many: Program, args: tuple[str, ...], lines: list[str]) -> None:
    """For each filter what would be found without it, where that is anything."""
    expected = "\n".join([f"No runs found: {lines[0]}", *lines[1:], f"History: {many.history}", ""])
    assert many("--list-runs", *args) == (0, "", expected)


@pytest.mark.parametrize(
    ("kind", "form", "out"),
    [
        ("absent", "table", ""),
        ("absent", "json", "[]\n"),
        ("absent", "csv", CSV_HEADER),
        ("empty-file", "table", ""),
        ("no-runs", "table", ""),
        ("no-runs", "json", "[]\n"),
    ],
)
def test_no_runs_yet(program: Program, kind: str, form: str, out: str) -> None:
    """A state folder's history without a run, or none at all: that is said, exit 0, and nothing is made.

    Scripts get an empty list.
    """
    if kind == "empty-file":
        program.history.parent.mkdir(parents=True)
        program.history.touch()
    elif kind == "no-runs":
        history(program)
    before = everything(program)
    said = f"No runs yet\nHistory: {program.history}\nTo run a workflow: {here(program)}executioner.py -c FILE\n"
    done = program("--list-runs", "--format", form)
    assert (done.code, done.out) == (0, out)
    if form == "table":
        assert done.err == said
    assert everything(program) == before


def test_no_runs_yet_with_filters(program: Program) -> None:
    """Filters that nothing could match are not what is in the way."""
    expected = f"No runs yet\nHistory: {program.history}\nTo run a workflow: executioner.py -c FILE\n"
    assert on_screen(program, "--list-runs", "--app", "x*", "--since", "7d", "--resumable").out == expected


@pytest.mark.parametrize(("db", "form"), [("none.db", "table"), ("none.db", "json"), ("no/folder/none.db", "csv")])
def test_an_explicit_history_that_is_not_there(program: Program, db: str, form: str) -> None:
    """Whoever names a history with --db means one that exists: exit 3, stdout empty, nothing made."""
    history(program, *founding(fixed=True))
    before = everything(program)
    right = f"Is the path right? Without --db it is {program.history}\n"
    expected = f"Error: There is no history ({program.folder}/{db})\n{right}"
    assert program("--list-runs", "--db", db, "--format", form) == (3, "", expected)
    assert everything(program) == before


# --- wrong usage -------------------------------------------------------------------------------------

RUN_STATUSES = "  one of: running, interrupted, failed, partial, success\n"
TIME_FORMS = 'expected 2025-05-23, "2025-05-23 09:45", 09:45, 7d, 12h, today or yesterday'


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            ("--list-runs", "--status", "faild"),
            f'--status: no status "faild", did you mean "failed"? (command line)\n{RUN_STATUSES}\n{OPTIONS_STEP}',
        ),
        (
            ("--list-runs", "--status", "failed,TIMEOUT"),
            "--status: TIMEOUT is a status of jobs; such runs are FAILED: --status failed (command line)\n"
            f"{RUN_STATUSES}\n{OPTIONS_STEP}",
        ),
        *(
            (("--list-runs", flag, ""), f"{flag}: expected {what}, got nothing (command line)\n{OPTIONS_STEP}")
            for flag, what in (
                ("--app", "a name or pattern"),
                ("--user", "a name"),
                ("-c", "a path"),
                ("--since", "a time"),
            )
        ),
        (
            ("--list-runs", "--status", ","),
            f"--status: expected a status, got nothing (command line)\n{RUN_STATUSES}\n{OPTIONS_STEP}",
        ),
        (("--list-runs", "--since", "soon"), f'--since: {TIME_FORMS}, got "soon" (command line)\n{OPTIONS_STEP}'),
        (
            ("--list-runs", "--until", "2025-02-30"),
            f'--until: {TIME_FORMS}, got "2025-02-30" (command line)\n{OPTIONS_STEP}',
        ),
        (
            ("--list-runs", "--since", "\x1b[2J"),
            f'--since: {TIME_FORMS}, got "\\e[2J" (command line)\n{OPTIONS_STEP}',
        ),
        *(
            (
                ("--list-runs", "--last", number),
                f'--last: expected a number from 1 to 1,000,000,000, got "{number}" (command line)\n'
                + OPTIONS_STEP,
            )
            for number in ("0", "x", "1.5", "1000000001", "")
        ),
        (
            ("--list-runs", "--limit", "0"),
            '--limit: expected a number from 1 to 1,000,000,000, got "0" (command line)\n' + OPTIONS_STEP,
        ),
        *(
            (
                tuple(args),
                f"{args[0]} goes with --list-runs (command line)\nDid you mean:\n"
                f"  {{cd}}executioner.py --list-runs {' '.join(args)}\n{OPTIONS_STEP}",
            )
            for args in (
                ["--last", "3"],
                ["--app", "x"],
                ["--since", "7d"],
                ["--resumable"],
                ["--partly-completed"],
            )
        ),
        *(
            (
                ("--list-runs", *args),
                f"{args[0]} does not go with --list-runs (command line)\n{OPTIONS_STEP}",
            )
            for args in (["--skip", "a"], ["--workers", "2"], ["--env", "A=1"], ["--dry-run"], ["--tail", "3"])
        ),
        (
            ("--list-runs", "--show-run", "3"),
            f"--list-runs does not go with --show-run (command line)\n{OPTIONS_STEP}",
        ),
        (
            ("--list-runs", "--lst", "3"),
            f'Unknown option "--lst", did you mean "--last"? (command line)\n{OPTIONS_STEP}',
        ),
        (
            ("--list-runs", "flow.json"),
            'Unexpected argument "flow.json" (command line)\nDid you mean:\n'
            f"  {{cd}}executioner.py --list-runs -c flow.json\n{OPTIONS_STEP}",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage(many: Program, args: tuple[str, ...], error: str) -> None:
    """What cannot be meant is refused with exit code 2 before anything is listed, and the right form is shown."""
    assert many(*args) == (2, "", f"Error: {error.replace('{cd}', here(many))}")


# --- runs that are on, and runs whose process is gone ------------------------------------------------


def waiting(program: Program) -> tuple[str, ...]:
    """The arguments of a run whose second job of four waits at the gate."""
    program.config({"a": "true", "b": "echo $$ > up; read line < gate", "c": "true", "d": "true"})
    return ("-c", "flow.json")


def one_row(status: str, elapsed: str, done: str) -> str:
    """The table of the one run, its figures as zeros."""
    width = max(9, len(status))
    return (
        "Recent Execution History:\n=======================\n"
        f"Run ID | Application      | {'Status':{width}} | Start Time          | Duration | Completed/Total\n"
        f"-------|------------------|-{'-' * width}-|---------------------|----------|----------------\n"
        f"   1   | flow             | {status:{width}} | 0000-00-00 00:00:00 | {elapsed:8} | {done}\n"
    )


def test_a_live_run_is_listed_with_its_counts_so_far(program: Program) -> None:
    """While its second job runs: RUNNING, one of four, no hint to resume it; JSON says what is known yet."""
    with gate(program.folder / "gate") as let_on, ended(program.start(*waiting(program))) as runner:
        program.wait_for("up")
        details = f"\nTo see details: {here(program)}executioner.py --show-run <RUN_ID>\n"
        found = program("--list-runs", "--status", "running")
        assert figures(found.out) == one_row("RUNNING", "00:00:00", "1/4") + details
        assert (found.code, found.err) == (0, "")
        [row] = objects(program, "--partly-completed").values()
        known = {name: row[name] for name in ("status", "pid", "end_time", "duration_seconds", "exit_code")}
        assert known == {
            "status": "RUNNING",
            "pid": runner.pid,
            "end_time": None,
            "duration_seconds": None,
            "exit_code": None,
        }
        assert [row[f"{what}_jobs"] for what in ("total", "completed", "failed", "skipped")] == [4, 1, 0, 0]
        assert (row["resumable"], row["unverified"]) == (False, False)
        let_on()
        assert runner.wait(60) == 0
    assert (listed(program, "--status", "running"), listed(program, "--status", "success")) == ([], [1])


@pytest.mark.parametrize("mode", ["writable", "read-only"])
def test_a_killed_run_is_listed_as_interrupted_at_once(program: Program, mode: str) -> None:
    """After kill -9 no other run has to come by first; also where the history may only be read.

    Nothing is changed; only SQLite's shared memory beside it is used where that is allowed.
    """
    folder = program.history.parent
    with gate(program.folder / "gate"), ended(program.start(*waiting(program))) as runner:
        program.wait_for("up")
        runner.kill()
        runner.wait(60)
        if mode == "read-only":
            for path in folder.iterdir():
                path.chmod(0o444)
            folder.chmod(0o555)
        before = untouched(folder)
        found = bound_by_permissions(program, "--list-runs", "--resumable", "--status", "interrupted")
        rows = json.loads(bound_by_permissions(program, "--list-runs", "--format", "json").out)
        after = untouched(folder)
        folder.chmod(0o700)
    hints = (
        f"\nTo resume a failed run: {here(program)}executioner.py -c <config> --resume-from <RUN_ID>\n"
        f"To see details: {here(program)}executioner.py --show-run <RUN_ID>\n"
    )
    assert (found.code, figures(found.out), found.err) == (0, one_row("INTERRUPTED", "-", "1/4") + hints, "")
    [row] = rows
    assert [row[f"{what}_jobs"] for what in ("total", "completed", "failed", "skipped")] == [4, 1, 0, 2]
    assert (row["status"], row["resumable"], row["end_time"], row["exit_code"]) == (
        "INTERRUPTED",
        True,
        None,
        None,
    )
    assert row["failure_summary"] == "Its runner ended without recording a result"
    if mode == "writable":
        before.pop("history.db-shm")
        after.pop("history.db-shm")
    assert after == before


@pytest.mark.parametrize("obstacle", ["permissions", "symlink", "directory"])
def test_a_lock_that_cannot_be_read_leaves_it_open(program: Program, obstacle: str) -> None:
    """Then nobody can say that the run is dead: RUNNING (unverified), nothing to resume, a field in JSON."""
    history(program, flow(1, "RUNNING"))
    lock = program.history.with_name("history.db.lock")
    lock.unlink(missing_ok=True)
    if obstacle == "permissions":
        lock.touch(0o000)
    elif obstacle == "symlink":
        lock.symlink_to("/dev/null")
    else:
        lock.mkdir()
    found = bound_by_permissions(program, "--list-runs")
    _, row, rest = found.out.partition("   1   |")
    assert (row + rest).startswith("   1   | flow             | RUNNING (unverified) | 2025-05-23 01:00:00 | ")
    assert rest.partition("\n\n")[2] == f"To see details: {here(program)}executioner.py --show-run <RUN_ID>\n"
    assert (found.code, found.err) == (0, "")
    [listed_row] = json.loads(bound_by_permissions(program, "--list-runs", "--format", "json").out)
    assert [listed_row[name] for name in ("status", "unverified", "resumable")] == ["RUNNING", True, False]
