"""The screen of one run, as a function of what is known of it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from screens import assert_harmless

from executioner.records import Job, Run, RunDetails
from executioner.render.command import Invocation
from executioner.render.details import RunView, details_lines
from executioner.render.summary import Preview
from executioner.render.text import Palette
from executioner.suggest import timeout_hint

TYPED = Invocation(["executioner.py"], config="flow.json")
HOSTILE = "a\x1b[2J\nb\u202ec\u2028d\x9be\udcff"
HOSTILE_SHOWN = "a\\e[2J\\nb\\u202ec\\u2028d\\x9be\\xff"


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local time is UTC, whatever the machine's is."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(clock: str, day: str = "2025-05-23") -> str:
    """An instant as the history stores it."""
    return f"{day}T{clock}.000000Z"


NOW = datetime(2025, 5, 23, 10, 0, 0, tzinfo=UTC).timestamp()


def run(**changes: Any) -> Run:
    """A run that failed and can be resumed."""
    nothing: dict[str, Any] = dict.fromkeys(Run._fields)
    values: dict[str, Any] = {
        **nothing,
        "run_id": 7,
        "root_run_id": 7,
        "status": "FAILED",
        "application_name": "flow",
        "start_time": utc("09:45:00"),
        "end_time": utc("09:47:15"),
        "duration_seconds": 135.2,
        "total_jobs": 1,
        "completed_jobs": 0,
        "failed_jobs": 1,
        "skipped_jobs": 0,
        "resumable": True,
        "unverified": False,
        **changes,
    }
    return Run(**values)


def job(name: str, status: str, **changes: Any) -> Job:
    """A job of a status, without any more that is known of it."""
    nothing: dict[str, Any] = dict.fromkeys(Job._fields)
    values = {
        **nothing,
        "id": name,
        "position": 0,
        "retry_count": 0,
        "max_retries": 0,
        "status": status,
        **changes,
    }
    return Job(**values)


def failed(name: str, **changes: Any) -> Job:
    """A job that failed and has a log."""
    return job(name, "FAILED", **{"reason": "Exit code 1", "log_path": f"/w/logs/{name}.log", **changes})


def view(jobs: Sequence[Job], one: Run | None = None, **changes: Any) -> RunView:
    """What is shown of a run with these jobs."""
    values: dict[str, Any] = {
        "details": RunDetails(one or run(), jobs),
        "statuses": frozenset(),
        "config_state": None,
        "config_exists": True,
        "history_path": "/h/history.db",
        "previews": [],
        "hints": [],
        "succeeded_since": None,
        **changes,
    }
    return RunView(**values)


def screen(
    shown: RunView, typed: Invocation = TYPED, palette: Palette | None = None, now: float = NOW
) -> list[str]:
    """The lines of the screen."""
    return list(details_lines(shown, typed, palette or Palette(), "/w", now))


def header(shown: RunView, typed: Invocation = TYPED, now: float = NOW) -> list[str]:
    """The lines below the title, up to the jobs."""
    lines = screen(shown, typed, now=now)
    return lines[2 : lines.index("")]


def job_lines(jobs: Sequence[Job], **changes: Any) -> list[str]:
    """The lines of the jobs."""
    lines = [*screen(view(jobs, **changes)), ""]
    start = lines.index("-----------") + 1
    return lines[start : lines.index("", start)]


def ending(shown: RunView, typed: Invocation = TYPED) -> list[str]:
    """What follows the jobs: previews, hints, commands."""
    lines = screen(shown, typed)
    return (
        lines[lines.index("", lines.index("-----------")) :] if "" in lines[lines.index("-----------") :] else []
    )


# --- the header ---------------------------------------------------------------------------


def test_the_whole_screen_of_a_run_with_everything_known() -> None:
    """Title, header in its order, jobs: an empty line before each part and none at the end."""
    one = run(
        status="SUCCESS", resumable=False, config_path="/w/flow.json", user="etl", host="etl01", parent_run_id=5,
        resumed_by=9,
    )  # fmt: skip
    jobs = [job("a", "SUCCESS", duration_seconds=30.4)]
    shown = view(jobs, one, config_state="unchanged since")
    assert screen(shown, TYPED._replace(directory="/w", db="own.db")) == [
        "Run Details for ID 7:",
        "======================",
        "Application: flow",
        "Status: SUCCESS",
        "Start Time: 2025-05-23 09:45:00",
        "End Time: 2025-05-23 09:47:15",
        "Duration: 00:02:15",
        "Config: flow.json (unchanged since)",
        "User: etl@etl01",
        "Seen from: /w",
        "History: /h/history.db",
        "Resumes: run 5",
        "Resumed by: run 9",
        "",
        "Job Status:",
        "-----------",
        "✓ a - SUCCESS (00:00:30)",
        "",
        "To view the run that resumed it:",
        "  cd /w && executioner.py --db own.db --show-run 9",
    ]


def test_what_was_not_recorded_is_not_made_up() -> None:
    """A run of the earlier tool without config, user and times says unknown, or nothing at all."""
    one = run(start_time=None, end_time=None, duration_seconds=None)
    assert header(view([], one)) == [
        "Application: flow",
        "Status: FAILED",
        "Start Time: unknown",
        "End Time: unknown",
        "Duration: unknown",
        "History: /h/history.db",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"user": "etl"}, "User: etl"),
        ({"user": "etl", "host": "etl01"}, "User: etl@etl01"),
        ({"config_path": "/w/sub/flow.json"}, "Config: sub/flow.json"),
        ({"config_path": "/etc/flow.json"}, "Config: /etc/flow.json"),
        ({"status": "RUNNING", "unverified": True}, "Status: RUNNING (unverified)"),
        ({"status": "PARTIAL"}, "Status: PARTIAL"),
        ({"duration_seconds": 360_000.0}, "Duration: 100:00:00"),
    ],
)
def test_lines_of_the_header(changes: dict[str, Any], line: str) -> None:
    """Each fact has its line, with paths below the current folder relative to it."""
    assert line in header(view([], run(**changes)))


def test_an_interrupted_run_says_by_what() -> None:
    """The reason of the interruption follows the status; the failures that the summary adds to it do not."""
    one = run(status="INTERRUPTED", failure_summary="Ctrl-C (SIGINT); a: Exit code 1")
    assert header(view([], one))[1:3] == ["Status: INTERRUPTED", "Reason: Ctrl-C (SIGINT)"]


def test_a_failed_run_has_no_reason_line() -> None:
    """Why jobs of a failed run failed stands with the jobs."""
    one = run(failure_summary="a: Exit code 1")
    assert not [line for line in header(view([], one)) if line.startswith("Reason")]


@pytest.mark.parametrize(("now", "shown"), [(NOW, "00:15:00"), (0.0, "00:00:00")])
def test_a_running_run_has_no_end_yet(now: float, shown: str) -> None:
    """It has a duration so far, which is never negative, also where the clock was set back."""
    lines = header(view([], run(status="RUNNING", end_time=None, duration_seconds=None)), now=now)
    assert lines[2:] == [
        "Start Time: 2025-05-23 09:45:00", f"Duration: {shown} so far", "History: /h/history.db",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("jobs", "end"),
    [
        ([], "unknown"),
        ([job("a", "SKIPPED")], "unknown"),
        ([job("a", "SUCCESS", last_run=utc("09:45:01"), end_time=utc("09:46:40"))],
         "unknown (last recorded 09:46:40)"),
        ([job("a", "SUCCESS", last_run=utc("09:45:01"), end_time=utc("09:46:40")),
          job("b", "INTERRUPTED", last_run=utc("09:46:41"))], "unknown (last recorded 09:46:41)"),
        ([job("a", "INTERRUPTED", last_run=utc("09:45:01"), retry_history=[{"end_time": utc("09:50:02")}, 7])],
         "unknown (last recorded 09:50:02)"),
        ([job("a", "INTERRUPTED", last_run=utc("00:00:01", "2025-05-24"))],
         "unknown (last recorded 2025-05-24 00:00:01)"),
    ],
)  # fmt: skip
def test_the_end_of_a_dead_run_is_the_last_that_is_known_of_it(jobs: list[Job], end: str) -> None:
    """Nobody knows it: the newest recorded start or end of a job is given, on another day with the date."""
    one = run(status="INTERRUPTED", end_time=None, duration_seconds=None)
    assert [line for line in header(view(jobs, one)) if line.startswith(("End", "Duration"))] == [
        f"End Time: {end}",
        "Duration: unknown",
    ]


def test_a_reused_job_is_no_sign_of_life() -> None:
    """A reused job's times are those of the run in which it ran, before this one started."""
    reused = job("a", "SUCCESS", last_run=utc("08:00:00"), end_time=utc("08:01:00"), source_run_id=5)
    one = run(status="INTERRUPTED", end_time=None, duration_seconds=None)
    assert "End Time: unknown" in header(view([reused, job("b", "SKIPPED")], one))


# --- jobs ---------------------------------------------------------------------------------


def test_every_status_in_its_column() -> None:
    """Ids and statuses are padded to the longest, nothing stands behind the last word of a line."""
    jobs = [
        job("good", "SUCCESS", duration_seconds=30),
        job("code", "FAILED", duration_seconds=30, reason="Exit code 1"),
        job("slow_one", "TIMEOUT", duration_seconds=1802, reason="Timed out after 00:30:00"),
        job("odd", "ERROR", duration_seconds=0.1, reason="Could not be started: No such file or directory"),
        job("cut", "INTERRUPTED", duration_seconds=12, reason="Ended by the runner after 00:00:12"),
        job("after", "SKIPPED", reason="dependency failed"),
        job("on", "RUNNING", start_time=utc("09:58:30")),
        job("next", "PENDING"),
    ]
    assert job_lines(jobs) == [
        "✓ good     - SUCCESS     (00:00:30)",
        "✗ code     - FAILED      (00:00:30) - Exit code: 1",
        "✗ slow_one - TIMEOUT     (00:30:02) - Timed out after 00:30:00",
        "✗ odd      - ERROR       (00:00:00) - Could not be started: No such file or directory",
        "✗ cut      - INTERRUPTED (00:00:12) - Ended by the runner after 00:00:12",
        "- after    - SKIPPED     (dependency failed)",
        "> on       - RUNNING     (00:01:30)",
        "- next     - PENDING",
    ]


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (failed("a", reason="Killed by SIGKILL", duration_seconds=3),
         "✗ a - FAILED (00:00:03) - Killed by SIGKILL"),
        (failed("a", reason="Exit code 127 (command not found? PATH is /bin)", duration_seconds=0),
         "✗ a - FAILED (00:00:00) - Exit code: 127 (command not found? PATH is /bin)"),
        (failed("a", reason="Post-check failed: Exit code 1 in x", duration_seconds=0),
         "✗ a - FAILED (00:00:00) - Post-check failed: Exit code 1 in x"),
        (failed("a", reason=None), "✗ a - FAILED"),
        (failed("a", retry_count=2, max_retries=3, duration_seconds=98),
         "✗ a - FAILED (00:01:38) - Exit code: 1, attempt 3 of 4"),
        (job("a", "TIMEOUT", reason="Timed out after 03:00:00 (default_timeout)", duration_seconds=10_802),
         "✗ a - TIMEOUT (03:00:02) - Timed out after 03:00:00 (default_timeout)"),
        (job("a", "SUCCESS", retry_count=2, max_retries=3, duration_seconds=98),
         "✓ a - SUCCESS (00:01:38) - attempt 3 of 4"),
        (job("a", "SUCCESS", retry_count=2, max_retries=None, duration_seconds=98),
         "✓ a - SUCCESS (00:01:38) - attempt 3"),
        (job("a", "SUCCESS", max_retries=3, duration_seconds=98), "✓ a - SUCCESS (00:01:38)"),
        (job("a", "RUNNING", start_time=utc("09:59:00"), retry_count=1, max_retries=1),
         "> a - RUNNING (00:01:00) - attempt 2 of 2"),
        (job("a", "SUCCESS", duration_seconds=30, source_run_id=5, retry_count=1, max_retries=1),
         "✓ a - SUCCESS (00:00:30) - reused from run 5"),
        (job("a", "SUCCESS", duration_seconds=30, marked_by="anna"), "✓ a - SUCCESS (00:00:30) - marked by anna"),
        (job("a", "SUCCESS", marked_by="anna", mark_reason="loaded by hand"),
         "✓ a - SUCCESS - marked by anna: loaded by hand"),
        (job("a", "INTERRUPTED", reason="Its runner ended without recording a result"),
         "✗ a - INTERRUPTED - Its runner ended without recording a result"),
        (job("a", "SKIPPED"), "- a - SKIPPED"),
        (job("a", "SKIPPED", reason="run stopped after b failed"), "- a - SKIPPED (run stopped after b failed)"),
        (job("a", "SKIPPED", reason="run interrupted"), "- a - SKIPPED (run interrupted)"),
        (job("a", "SKIPPED", reason="--skip"), "- a - SKIPPED (--skip)"),
        (job("a", "SKIPPED", reason="--resume-failed-only"), "- a - SKIPPED (--resume-failed-only)"),
    ],
)  # fmt: skip
def test_the_line_of_one_job(one: Job, shown: str) -> None:
    """What follows the status: how long it took, why it ended so, its attempts where more than one, its origin."""
    assert job_lines([one]) == [shown]


def test_a_long_id_is_whole_and_widens_nothing() -> None:
    """The column is as wide as the longest id of up to 40 columns; a longer one sticks out, unshortened."""
    ids = ["a", "b" * 40, "c" * 41, "d" * 128]
    assert job_lines([job(one, "PENDING") for one in ids]) == [
        f"- a{' ' * 39} - PENDING",
        f"- {'b' * 40} - PENDING",
        f"- {'c' * 41} - PENDING",
        f"- {'d' * 128} - PENDING",
    ]


def test_only_long_ids() -> None:
    """Where all ids are long, each line is as wide as it needs."""
    assert job_lines([job("c" * 41, "PENDING"), job("d" * 50, "PENDING")]) == [
        f"- {'c' * 41} - PENDING",
        f"- {'d' * 50} - PENDING",
    ]


@pytest.mark.parametrize(
    ("statuses", "jobs", "shown"),
    [
        ({"FAILED"}, [failed("a"), job("bbbbbb", "INTERRUPTED")], ["✗ a - FAILED - Exit code: 1"]),
        ({"SKIPPED"}, [failed("a")], ["(no job is SKIPPED, but 1 FAILED)"]),
        ({"TIMEOUT", "ERROR"}, [failed("a")], ["(no job is ERROR or TIMEOUT, but 1 FAILED)"]),
        ((), [], ["(no job is recorded)"]),
    ],
)
def test_jobs_of_some_statuses(statuses: set[str], jobs: list[Job], shown: list[str]) -> None:
    """Only jobs of the wanted statuses are shown, padded to those; where there is none, that is said."""
    assert job_lines(jobs, statuses=frozenset(statuses)) == shown


def test_marks_in_ascii() -> None:
    """Where a stream cannot show them, the marks are + x -."""
    jobs = [job("a", "SUCCESS"), failed("b"), job("c", "SKIPPED"), job("d", "RUNNING")]
    lines = screen(view(jobs), palette=Palette(unicode=False))
    assert [line[0] for line in lines if re.match(". [a-d] ", line)] == ["+", "x", "-", ">"]


def test_colours() -> None:
    """Marks and statuses are coloured, and padding is outside of the colour."""
    jobs = [job("a", "SUCCESS", duration_seconds=1), job("b", "INTERRUPTED")]
    lines = screen(view(jobs), palette=Palette(colour=True))
    assert lines[3] == "Status: \x1b[31mFAILED\x1b[0m"
    assert "\x1b[32m✓\x1b[0m a - \x1b[32mSUCCESS\x1b[0m     (00:00:01)" in lines
    assert "\x1b[31m✗\x1b[0m b - \x1b[33mINTERRUPTED\x1b[0m" in lines


# --- logs ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preview", "shown"),
    [
        (Preview(failed("load"), ["ERROR: no", "  at x"]), ["ERROR: no", "  at x"]),
        (Preview(failed("load"), []), ["(no output)"]),
        (
            Preview(failed("load"), [], "the log cannot be read: ./\x1bl.log"),
            ["(the log cannot be read: ./\\el.log)"],
        ),
        (Preview(failed("load"), ["\x1b[31mred\x07\t\rx\udcff"]), ["\\e[31mred\\x07\\t\\rx\\xff"]),
    ],
)
def test_a_preview(preview: Preview, shown: list[str]) -> None:
    """Its title is underlined as long as it is; what cannot be shown is explained; controls are made visible."""
    found = ending(view([preview.job], run(resumable=False), previews=[preview]))
    title = "Failed Job Log Preview (load):"
    assert found == ["", title, "-" * len(title), *shown]


def test_the_logs_of_jobs_of_which_only_those_are_shown() -> None:
    """Where the screen shows the failed jobs alone, the way on from many is no command for the same screen."""
    found = screen(view([failed(f"j{number}") for number in range(20)], statuses=frozenset({"FAILED"})))
    assert "  ... and 15 more: executioner.py --show-log 7 JOB" in found


def named(numbers: Sequence[int]) -> list[str]:
    """The commands for the logs of jobs."""
    return [f"  executioner.py --show-log 7 j{number}" for number in numbers]


@pytest.mark.parametrize(
    ("failures", "shown"),
    [
        (3, []),
        (4, ["", "To see the log of 1 more failed job:", *named([3])]),
        (13, ["", "To see the logs of 10 more failed jobs:", *named(range(3, 13))]),
        (14, ["", "To see the logs of 11 more failed jobs:", *named(range(3, 8)),
              "  ... and 6 more: executioner.py --show-run 7 --status failed"]),
    ],
)  # fmt: skip
def test_the_logs_that_are_not_previewed(failures: int, shown: list[str]) -> None:
    """They are named with their commands, up to ten; of more the first five and the command that lists them."""
    jobs = [failed(f"j{number}") for number in range(failures)]
    previews = [Preview(one, ["x"]) for one in jobs[:3]]
    found = ending(view(jobs, run(resumable=False), previews=previews))
    assert found[12:] == shown


# --- hints --------------------------------------------------------------------------------


def hint(one: Job, past: list[float] | None, **changes: Any) -> list[str]:
    """What is said of a previewed job and how long it took before."""
    hints = [hint for hint in [timeout_hint(one, past or [])] if hint is not None]
    found = ending(view([one], run(resumable=False), previews=[Preview(one, ["x"])], hints=hints, **changes))
    return found[4:]


def test_a_job_that_is_usually_far_quicker_may_hang() -> None:
    """Screen 4's hint, letter by letter: the median, the number of runs, and the limit's place in the config."""
    one = job("merge_results", "TIMEOUT", position=4, reason="Timed out after 00:30:00", log_path="/w/l")
    assert hint(one, [729.0, 730.0, 730.4] + [730.0] * 7) == [
        "",
        "Hint: merge_results usually takes 00:12:10 (10 runs): look for a hang before",
        "raising its limit (jobs[4].timeout).",
    ]


@pytest.mark.parametrize(
    ("reason", "past", "advice"),
    [
        ("Timed out after 00:10:00", [420.0],
         "takes 00:07:00 (1 run): its limit is close to that: raise it (jobs[0].timeout)."),
        ("Timed out after 00:10:00", [419.0, 419.0],
         "takes 00:06:59 (2 runs): look for a hang before raising its limit (jobs[0].timeout)."),
        ("Timed out after 00:10:00 (default_timeout)", [2.0],
         "takes 00:00:02 (1 run): look for a hang before raising its limit (default_timeout)."),
        ("Timed out after 00:10:00", [0.25],
         "takes 0.25 s (1 run): look for a hang before raising its limit (jobs[0].timeout)."),
    ],
)  # fmt: skip
def test_the_advice_after_a_timeout(reason: str, past: list[float], advice: str) -> None:
    """From 0.7 of the limit on it is the limit that is too low; the hint names where it is set."""
    assert " ".join(hint(job("a", "TIMEOUT", reason=reason, log_path="/w/l"), past)).strip() == (
        f"Hint: a usually {advice}"
    )


@pytest.mark.parametrize(
    ("one", "past"),
    [
        (job("a", "TIMEOUT", reason="Timed out after 00:10:00", log_path="/w/l"), None),
        (failed("a"), [2.0]),
        (job("a", "TIMEOUT", reason="a reason of another tool", log_path="/w/l"), [2.0]),
    ],
)
def test_no_hint_without_ground(one: Job, past: list[float] | None) -> None:
    """A job that never succeeded before, that did not time out, or whose limit is not known gets none."""
    assert hint(one, past) == []


def test_a_long_id_in_a_hint_is_not_broken() -> None:
    """Lines of a hint end at spaces only, also where an id is longer than a line."""
    name = "load-" * 20 + "x"
    lines = hint(job(name, "TIMEOUT", reason="Timed out after 00:10:00", log_path="/w/l"), [2.0])
    assert name in " ".join(lines).split()


# --- what to type next --------------------------------------------------------------------

#: A job that failed and left no log, so that nothing is printed of that.
UNLOGGED = failed("a", log_path=None)
ALL = ["", "To resume all remaining jobs:", "  executioner.py -c flow.json --resume-from 7"]
FAILED_ONLY = [
    "", "To resume only failed jobs:", "  executioner.py -c flow.json --resume-from 7 --resume-failed-only",
]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "jobs", "changes", "shown"),
    [
        (run(), [UNLOGGED], {}, [*ALL, *FAILED_ONLY]),
        (run(status="INTERRUPTED"), [job("a", "INTERRUPTED")], {}, ALL),
        (run(status="PARTIAL"), [job("a", "SKIPPED", reason="--resume-failed-only")], {}, ALL),
        (run(), [UNLOGGED], {"statuses": frozenset({"SKIPPED"})}, [*ALL, *FAILED_ONLY]),
        (run(status="SUCCESS", resumable=False), [job("a", "SUCCESS")], {}, []),
        (run(resumable=False), [UNLOGGED], {}, []),
        (run(resumable=False, resumed_by=9), [UNLOGGED], {},
         ["", "To view the run that resumed it:", "  executioner.py --show-run 9"]),
        (run(resumable=False), [UNLOGGED], {"succeeded_since": 12},
         ["", "A newer run of this config has succeeded: run 12. To view it:", "  executioner.py --show-run 12"]),
        (run(resumable=False, resumed_by=9), [UNLOGGED], {"succeeded_since": 12},
         ["", "To view the run that resumed it:", "  executioner.py --show-run 9"]),
        (run(status="RUNNING", resumable=False), [job("a", "RUNNING"), job("b", "PENDING")], {},
         ["", "To follow the output of a:", "  executioner.py --show-log 7 a --follow"]),
        (run(status="RUNNING", resumable=False), [job("a", "PENDING")], {}, []),
    ],
)  # fmt: skip
def test_what_to_type_next(one: Run, jobs: list[Job], changes: dict[str, Any], shown: list[str]) -> None:
    """Only commands that apply to this run are printed."""
    assert ending(view(jobs, one, **changes)) == shown


def test_at_most_three_jobs_to_follow() -> None:
    """Of many jobs that run at once, the first three are named."""
    jobs = [job(f"j{number}", "RUNNING") for number in range(5)]
    found = ending(view(jobs, run(status="RUNNING", resumable=False)))
    assert found[2::3] == [f"  executioner.py --show-log 7 j{number} --follow" for number in range(3)]


@pytest.mark.parametrize(
    ("typed", "exists", "command"),
    [
        (TYPED._replace(db="own.db"), True, "executioner.py -c flow.json --db own.db --resume-from 7"),
        (TYPED._replace(flags="--env A=1 --workers 4"), True,
         "executioner.py -c flow.json --env A=1 --workers 4 --resume-from 7"),
        (TYPED._replace(directory="/w x"), True, "cd '/w x' && executioner.py -c flow.json --resume-from 7"),
        (TYPED._replace(config="it's new.json"), True,
         """executioner.py -c 'it'"'"'s new.json' --resume-from 7"""),
        (TYPED._replace(config="-x.json"), True, "executioner.py -c ./-x.json --resume-from 7"),
        (TYPED, False, "executioner.py -c NEW_PATH --resume-from 7"),
        (TYPED._replace(db="own.db"), False, "executioner.py -c NEW_PATH --db own.db --resume-from 7"),
        (TYPED._replace(flags="--workers 4"), False, "executioner.py -c NEW_PATH --workers 4 --resume-from 7"),
        (TYPED._replace(config=None), False, "executioner.py -c NEW_PATH --resume-from 7"),
    ],
)  # fmt: skip
def test_the_command_that_resumes(typed: Invocation, exists: bool, command: str) -> None:
    """It is complete: config, history, recorded flags; where the config is gone, the reader fills in another."""
    found = ending(view([UNLOGGED], config_exists=exists), typed)
    assert found[2] == f"  {command}"
    assert found[5] == f"  {command} --resume-failed-only"


# --- hostile text -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field", ["application_name", "user", "host", "config_path", "failure_summary"]
)  # fmt: skip
def test_hostile_text_of_a_run(field: str) -> None:
    """Whatever a run's row holds, a terminal obeys none of it, and the text is shown escaped."""
    one = run(**{"status": "INTERRUPTED", "user": "u", "config_path": "/w/c", field: HOSTILE})
    text = "\n".join(screen(view([failed("a")], one), TYPED._replace(config=one.config_path)))
    assert_harmless(text)
    assert HOSTILE_SHOWN in text


@pytest.mark.parametrize(
    ("status", "field"),
    [
        ("SKIPPED", "reason"),
        ("FAILED", "reason"),
        ("FAILED", "id"),
        ("TIMEOUT", "id"),
        ("RUNNING", "id"),
        ("SUCCESS", "mark_reason"),
        ("SUCCESS", "marked_by"),
        ("FAILED", "log_path"),
    ],
)
def test_hostile_text_of_a_job(status: str, field: str) -> None:
    """The same holds for a job's row: that of a taken-over history may have any text as id."""
    values = {"id": "a", "status": status, "marked_by": "m" if status == "SUCCESS" else None, "log_path": "/w/l"}
    values |= {"reason": "Timed out after 00:10:00" if status == "TIMEOUT" else "r", field: HOSTILE}
    one = job(values.pop("id") or "", values.pop("status") or "", **values)
    state = run(status="RUNNING", resumable=False) if status == "RUNNING" else run()
    previews = [Preview(one, [])] if status in ("FAILED", "TIMEOUT") else []
    hints = [hint for hint in [timeout_hint(one, [2.0])] if hint is not None]
    shown = view([one], state, previews=previews, hints=hints)
    assert_harmless("\n".join(screen(shown)))


@pytest.mark.parametrize(
    ("odd", "shown", "columns"), [("a\t\tb", "a\\t\\tb", 6), ("データ", "データ", 6), ("é" * 3, "é" * 3, 3)]
)
def test_an_odd_id_keeps_the_columns(odd: str, shown: str, columns: int) -> None:
    """Ids of a taken-over history are aligned by the columns that they take on the screen."""
    assert job_lines([job(odd, "PENDING"), job("abc", "PENDING")]) == [
        f"- {shown} - PENDING",
        f"- abc{' ' * (columns - 3)} - PENDING",
    ]


def test_hostile_text_in_the_header_of_commands() -> None:
    """The current folder and the history's path are shown escaped."""
    shown = view([failed("a")], history_path=HOSTILE)
    assert_harmless("\n".join(screen(shown, TYPED._replace(directory=HOSTILE, db=HOSTILE, config=HOSTILE))))
