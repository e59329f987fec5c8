"""``--show-run``: what became of a run and its jobs, why, and what to type next, by the real program."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Result, ended, gate, pid_in
from past import FAILED, add_runs, make_past, untouched
from screens import assert_harmless, everything, figures, on_screen, paste, plain, split_terminal

# The founding document, improvement 2; config, user and history are design.md's additions.
FOUNDING = """\
Run Details for ID 249:
======================
Application: data_pipeline
Status: FAILED
Start Time: 2025-05-23 09:45:00
End Time: 2025-05-23 09:47:15
Duration: 00:02:15
Config: data_pipeline.json (unchanged since)
User: etl@etl01
History: /home/etl/.local/state/executioner/history.db

Job Status:
-----------
✓ download_data     - SUCCESS (00:00:30)
✓ validate_data     - SUCCESS (00:00:45)
✓ transform_part1   - SUCCESS (00:00:20)
✗ transform_part2   - FAILED  (00:00:30) - Exit code: 1
- merge_results     - SKIPPED (dependency failed)
- generate_report   - SKIPPED (dependency failed)
- send_notification - SKIPPED (dependency failed)
- cleanup           - SKIPPED (dependency failed)

Failed Job Log Preview (transform_part2):
-----------------------------------------
ERROR: Unable to process data file
FileNotFoundError: /data/part2_input.csv

To resume all remaining jobs:
  executioner.py -c data_pipeline.json --resume-from 249

To resume only failed jobs:
  executioner.py -c data_pipeline.json --resume-from 249 --resume-failed-only
"""
# screens.md, 4
RESUMED = """\
Run Details for ID 250:
======================
Application: data_pipeline
Status: FAILED
Start Time: 2025-05-23 10:15:00
End Time: 2025-05-23 10:46:40
Duration: 00:31:40
Config: data_pipeline.json (unchanged since)
User: etl@etl01
History: /home/etl/.local/state/executioner/history.db
Resumes: run 249

Job Status:
-----------
✓ download_data     - SUCCESS (00:00:30) - reused from run 249
✓ validate_data     - SUCCESS (00:00:45) - reused from run 249
✓ transform_part1   - SUCCESS (00:00:20) - reused from run 249
✓ transform_part2   - SUCCESS (00:01:38) - attempt 3 of 4
✗ merge_results     - TIMEOUT (00:30:02) - Timed out after 00:30:00
- generate_report   - SKIPPED (dependency failed)
- send_notification - SKIPPED (dependency failed)
- cleanup           - SKIPPED (dependency failed)

Failed Job Log Preview (merge_results):
---------------------------------------
waiting for lock on table results ...

Hint: merge_results usually takes 00:12:10 (10 runs): look for a hang before
raising its limit (jobs[4].timeout).

To resume all remaining jobs:
  executioner.py -c data_pipeline.json --resume-from 250

To resume only failed jobs:
  executioner.py -c data_pipeline.json --resume-from 250 --resume-failed-only
"""
STATE_HISTORY = "/home/etl/.local/state/executioner/history.db"
HOSTILE = "a\x1b[2J\nb\u202ec\u2028d\x9be"
PIPELINE = (
    *("download_data", "validate_data", "transform_part1", "transform_part2"),
    *("merge_results", "generate_report", "send_notification", "cleanup"),
)


# --- building a past ----------------------------------------------------------------------


def written_log(
    program: Program, name: str, output: bytes, before: bytes = b"", after: bytes = b"=== end ===\n"
) -> Any:
    """Write a log with output between other bytes; returns the columns that a job's row has of it."""
    path = program.folder / "logs" / f"{name}.log"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(before + output + after)
    attempt = {"attempt": 1, "log_start": len(before), "log_end": len(before) + len(output)}
    return {"log_path": str(path), "retry_history": json.dumps([attempt])}


def config_columns(program: Program, name: str = "data_pipeline.json") -> dict[str, Any]:
    """Write a config; returns the columns that a run's row has of it."""
    path = program.folder / program.config({"a": "true"}, name=name)
    return {"config_path": str(path), "config_hash": hashlib.sha256(path.read_bytes()).hexdigest()}


def done(seconds: float, **more: Any) -> dict[str, Any]:
    """A job that succeeded."""
    return {"duration_seconds": seconds, **more}


def pipeline_jobs(*what: dict[str, Any]) -> list[dict[str, Any]]:
    """The founding document's jobs: the first as given, the others skipped."""
    jobs: list[dict[str, Any]] = [
        {"id": name, "status": "SKIPPED", "reason": "dependency failed"} for name in PIPELINE
    ]
    for job, given in zip(jobs, what, strict=False):
        job |= {"status": "SUCCESS", "reason": None, **given}
    return jobs


def founding_past(program: Program) -> dict[str, Any]:
    """Run 249; returns the columns about its config."""
    config = config_columns(program)
    before = b"=== Attempt 1 of 1 of transform_part2 in run 249, 2025-05-23 09:46:35 +0000 ===\n"
    output = b"ERROR: Unable to process data file\nFileNotFoundError: /data/part2_input.csv\n"
    after = b"=== FAILED: Exit code 1, 00:00:30, 2025-05-23 09:47:05 +0000 ===\n"
    failed = {
        "status": "FAILED",
        "reason": "Exit code 1",
        "exit_code": 1,
        "duration_seconds": 29.6,
        **written_log(program, "part2", output, before, after),
    }
    run = {
        **config,
        "run_id": 249,
        "status": "FAILED",
        "end_time": "2025-05-23T09:47:15.000000Z",
        "duration_seconds": 135.0,
        "jobs": pipeline_jobs(done(30.0), done(44.8), done(20.2), failed),
    }
    make_past(program.history, [run])
    return config


def recorded(program: Program) -> dict[str, Any]:
    """All files of the history but the readers' own shared memory, which SQLite marks as it reads."""
    found: dict[str, Any] = untouched(program.history.parent)
    found.pop("history.db-shm", None)
    return found


def simple_past(program: Program, jobs: Sequence[dict[str, Any]] = (), **run: Any) -> None:
    """One run, 7, of data_pipeline.json, which failed unless told otherwise, and left the given jobs."""
    given = {"run_id": 7, "status": "FAILED", "duration_seconds": 60.0, "end_time": "2025-05-23T09:46:00.000000Z"}
    make_past(program.history, [{**config_columns(program), **given, "jobs": jobs, **run}])


def shown(result: Result) -> str:
    """A screen that was printed without complaint."""
    assert (result.code, result.err) == (0, "")
    return result.out


def part(text: str, title: str) -> list[str]:
    """The lines below a title and its underline, up to the next empty line."""
    lines = [*text.splitlines(), ""]
    start = lines.index(title) + 2
    return lines[start : lines.index("", start)]


def steps(text: str) -> list[str]:
    """What is printed below the jobs and previews: reasons and commands."""
    return re.findall(r"^(?:To |A newer).*\n  .*$", text, re.MULTILINE)


# --- the golden screens -------------------------------------------------------------------


def test_the_founding_documents_screen(program: Program) -> None:
    """Run 249: the founding document's screen, letter by letter, with the lines that design.md adds."""
    founding_past(program)
    result = on_screen(program, "--show-run", "249")
    assert result == (0, FOUNDING.replace(STATE_HISTORY, str(program.history)), "")


def test_a_resumed_run(program: Program) -> None:
    """Run 250: screen 4 of screens.md, letter by letter. Ten runs before it tell what merge_results takes."""
    config = founding_past(program)
    reused = [done(seconds, source_run_id=249) for seconds in (30.0, 45.0, 20.0)]
    timed_out = {
        "status": "TIMEOUT",
        "reason": "Timed out after 00:30:00",
        "duration_seconds": 1802.0,
        **written_log(program, "merge", b"waiting for lock on table results ...\n", b"=== Attempt 1 ===\n"),
    }
    add_runs(
        program.history,
        [
            {"run_id": run_id, "jobs": [{"id": "merge_results", "duration_seconds": 730.0}], **config}
            for run_id in range(239, 249)
        ],
    )
    add_runs(
        program.history,
        [
            {
                **config,
                "run_id": 250,
                "parent_run_id": 249,
                "root_run_id": 249,
                "status": "FAILED",
                "start_time": "2025-05-23T10:15:00.000000Z",
                "end_time": "2025-05-23T10:46:40.000000Z",
                "duration_seconds": 1900.0,
                "jobs": pipeline_jobs(*reused, done(98.0, retry_count=2, max_retries=3), timed_out),
            }
        ],
    )
    result = on_screen(program, "--show-run", "250")
    assert result == (0, RESUMED.replace(STATE_HISTORY, str(program.history)), "")


def test_a_run_that_was_resumed(program: Program) -> None:
    """Run 249 after 250: it says by which run it was resumed, and names that instead of commands to resume it."""
    config = founding_past(program)
    add_runs(program.history, [{**config, "run_id": 250, "parent_run_id": 249, "root_run_id": 249}])
    expected = FOUNDING.replace(STATE_HISTORY, f"{program.history}\nResumed by: run 250")
    expected = expected[: expected.index("To resume all")]
    expected += "To view the run that resumed it:\n  executioner.py --show-run 250\n"
    assert on_screen(program, "--show-run", "249") == (0, expected, "")


def without_terminal(program: Program, text: str) -> str:
    """A screen as it is where no stream is a terminal."""
    text = text.replace("History: ", f"Seen from: {program.folder}\nHistory: ").replace(
        STATE_HISTORY, str(program.history)
    )
    return text.replace("  executioner.py", f"  cd {program.folder} && executioner.py")


def test_where_nobody_sees_the_current_folder(program: Program) -> None:
    """Where no stream is a terminal the header has the folder, which is not the run's, and commands begin with
    ``cd``.
    """
    founding_past(program)
    assert program("--show-run", "249") == (0, without_terminal(program, FOUNDING), "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_one_terminal_is_enough(program: Program, stream: str) -> None:
    """Where either stream is a terminal its reader knows the folder: no Directory, no ``cd``."""
    founding_past(program)
    result = split_terminal(program, "--show-run", "249", stream=stream, env={"NO_COLOR": "1"})
    assert result == (0, FOUNDING.replace(STATE_HISTORY, str(program.history)), "")


def test_without_unicode(program: Program) -> None:
    """With LANG=C the marks are + x -, and all else is the same."""
    founding_past(program)
    expected = FOUNDING.replace("✓", "+").replace("✗", "x").replace(STATE_HISTORY, str(program.history))
    assert on_screen(program, "--show-run", "249", env={"NO_COLOR": "1", "LANG": "C"}) == (0, expected, "")


def test_with_colours(program: Program) -> None:
    """On a terminal marks and statuses are coloured, and nothing else differs."""
    founding_past(program)
    screen = program.on_terminal("--show-run", "249").out
    assert "\n\x1b[31m✗\x1b[0m transform_part2   - \x1b[31mFAILED\x1b[0m  (00:00:30) - Exit code: 1\n" in screen
    assert plain(screen) == FOUNDING.replace(STATE_HISTORY, str(program.history))


@pytest.mark.parametrize("width", [40, 300])
def test_lines_are_not_cut_on_a_terminal(program: Program, width: int) -> None:
    """The width of the terminal changes nothing: commands and reasons are whole on every one."""
    founding_past(program)
    screen = on_screen(program, "--show-run", "249", width=width)
    assert screen.out == FOUNDING.replace(STATE_HISTORY, str(program.history))


# --- the header ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda path: None, "unchanged since"),
        (lambda path: path.write_text("{}"), "changed since"),
        (lambda path: path.unlink(), "no longer exists"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read: it is a folder"),
        (lambda path: (path.unlink(), path.symlink_to(path.name)),
         "cannot be read: Too many levels of symbolic links"),
    ],
)  # fmt: skip
def test_what_became_of_the_config(program: Program, change: Any, state: str) -> None:
    """The header says whether the config is still what was run."""
    simple_past(program)
    change(program.folder / "data_pipeline.json")
    assert f"\nConfig: data_pipeline.json ({state})\n" in shown(program("--show-run", "7"))


def test_a_config_whose_folder_is_no_folder_any_more(program: Program) -> None:
    """Where a file stands in the place of the config's folder, the config no longer exists."""
    (program.folder / "sub").write_text("")
    simple_past(program, config_path=str(program.folder / "sub/flow.json"))
    assert "\nConfig: sub/flow.json (no longer exists)\n" in shown(program("--show-run", "7"))


def test_a_config_that_is_now_a_pipe(program: Program) -> None:
    """A FIFO in the config's place does not hang the screen."""
    simple_past(program)
    (program.folder / "data_pipeline.json").unlink()
    os.mkfifo(program.folder / "data_pipeline.json")
    assert "\nConfig: data_pipeline.json (" in shown(program("--show-run", "7", timeout=4))


def test_across_the_change_to_summer_time(program: Program) -> None:
    """Start and end are local on either side of the change; the duration is the one that was measured."""
    times: dict[str, Any] = {
        "start_time": "2025-03-30T00:30:00.000000Z",
        "end_time": "2025-03-30T02:30:00.000000Z",
    }
    simple_past(program, duration_seconds=7200.0, **times)
    text = shown(program("--show-run", "7", env={"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}))
    assert "\nStart Time: 2025-03-30 01:30:00\nEnd Time: 2025-03-30 04:30:00\nDuration: 02:00:00\n" in text


def test_across_the_change_from_summer_time(program: Program) -> None:
    """A run of one hour whose start and end have the same name on the clock took an hour."""
    times: dict[str, Any] = {
        "start_time": "2025-10-26T00:30:00.000000Z",
        "end_time": "2025-10-26T01:30:00.000000Z",
    }
    simple_past(program, duration_seconds=3600.0, **times)
    text = shown(program("--show-run", "7", env={"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}))
    assert "\nStart Time: 2025-10-26 02:30:00\nEnd Time: 2025-10-26 02:30:00\nDuration: 01:00:00\n" in text


# --- jobs, by real runs -------------------------------------------------------------------


def test_how_jobs_end(program: Program) -> None:
    """Exit codes, signals, timeouts, commands that cannot be found or started, checks, skips: each is told."""
    needs_file = {"name": "check_file_exists", "params": {"path": "in"}}
    (program.folder / "made").mkdir()
    program.config(
        [
            {"id": "good", "command": "rmdir made"},
            {"id": "code", "command": "exit 3"},
            {"id": "killed", "command": "kill -9 $$"},
            {"id": "slow", "command": "exec sleep 60", "timeout": 1},
            {"id": "absent", "command": "no_such_program"},
            {"id": "nowhere", "command": "true", "working_dir": "made", "dependencies": ["good"]},
            {"id": "check", "command": "true", "pre_checks": [needs_file]},
            {"id": "left", "command": "true"},
            {"id": "after", "command": "true", "dependencies": ["code"]},
        ],
        continue_on_error=True,
        max_workers=9,
        parallel=True,
        env_variables={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert program("-c", "flow.json", "--skip", "left").code == 1
    lines = part(shown(program("--show-run", "last")), "Job Status:")
    assert [figures(line) for line in lines] == [
        "✓ good    - SUCCESS (00:00:00)",
        "✗ code    - FAILED  (00:00:00) - Exit code: 3",
        "✗ killed  - FAILED  (00:00:00) - Killed by SIGKILL",
        "✗ slow    - TIMEOUT (00:00:00) - Timed out after 00:00:00",
        "✗ absent  - FAILED  (00:00:00) - Exit code: 127 (command not found? PATH is /usr/bin:/bin)",
        f"✗ nowhere - ERROR   (00:00:00) - Could not be started: its folder is gone: {program.folder}/made",
        "✗ check   - FAILED  (00:00:00) - Pre-check failed: check_file_exists(path='in'): no such file",
        "- left    - SKIPPED (--skip)",
        "- after   - SKIPPED (dependency failed)",
    ]


def test_a_run_that_stopped_at_its_first_failure(program: Program) -> None:
    """Without continue_on_error the other jobs are skipped, with the job that failed as reason."""
    program.config({"a": "exit 1", "b": "true"})
    assert program("-c", "flow.json").code == 1
    assert [figures(line) for line in part(shown(program("--show-run", "1")), "Job Status:")] == [
        "✗ a - FAILED  (00:00:00) - Exit code: 1",
        "- b - SKIPPED (run stopped after a failed)",
    ]


def test_attempts_and_the_log_of_the_last_one(program: Program) -> None:
    """The attempts are counted; the preview is the last attempt's last ten lines, without header and footer."""
    count = 'n=$(cat n 2>/dev/null); n=$((n+1)); echo $n > n; seq -f "attempt $n line %g" 12; exit 1'
    program.config([{"id": "load", "command": count, "max_retries": 2, "retry_delay": 0}])
    assert program("-c", "flow.json").code == 1
    text = shown(program("--show-run", "1"))
    assert [figures(line) for line in part(text, "Job Status:")] == [
        "✗ load - FAILED (00:00:00) - Exit code: 1, attempt 3 of 3"
    ]
    expected = [f"attempt 3 line {number}" for number in range(3, 13)]
    assert part(text, "Failed Job Log Preview (load):") == expected


def test_a_last_attempt_without_output(program: Program) -> None:
    """What an earlier attempt printed is not shown as the last one's."""
    count = "test -e n && exit 2; touch n; echo first; exit 1"
    program.config([{"id": "load", "command": count, "max_retries": 1, "retry_delay": 0}])
    assert program("-c", "flow.json").code == 1
    text = shown(program("--show-run", "1"))
    assert part(text, "Failed Job Log Preview (load):") == ["(no output)"]


def test_a_job_that_times_out_in_each_run(program: Program) -> None:
    """It never succeeded: from the second run on summary and screen say so, and where its limit is set."""
    program.config([{"id": "load", "command": "exec sleep 60", "timeout": 0.2}])
    hint = "Hint: load timed out in the last 2 runs (1, 2): look for a hang, or raise its limit (jobs[0].timeout)."
    assert "Hint" not in program("-c", "flow.json").out
    Path(program.jobs(1)["load"]["log_path"]).unlink()  # what was printed does not matter
    assert hint in " ".join(program("-c", "flow.json").out.split())
    assert hint in " ".join(shown(program("--show-run", "2")).split())


def test_a_timeout_with_a_hint_from_real_runs(program: Program) -> None:
    """A job that timed out is compared with what it took when it succeeded."""
    program.config([{"id": "load", "command": "test ! -e hang || exec sleep 60", "timeout": 1}])
    for _ in range(2):
        assert program("-c", "flow.json").code == 0
    (program.folder / "hang").touch()
    assert program("-c", "flow.json").code == 1
    text = " ".join(shown(program("--show-run", "last")).split())
    assert re.search(
        r"Hint: load usually takes 0(\.\d+)? s \(2 runs\): look for a hang before raising its limit "
        r"\(jobs\[0\]\.timeout\)\.",
        text,
    )


# --- previews -----------------------------------------------------------------------------


def failed_job(name: str, **more: Any) -> dict[str, Any]:
    """A job that failed."""
    return {"id": name, "status": "FAILED", "reason": "Exit code 1", "duration_seconds": 1.0, **more}


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"one\ntwo", ["one", "two"]),
        (b"one\n\ntwo\n\n\n", ["one", "", "two"]),
        (b"".join(b"%d\n" % number for number in range(99)), [str(number) for number in range(89, 99)]),
        (b"", ["(no output)"]),
        (b"\n \n", ["(no output)"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\x1b[31mred\x1b[0m\x07 a\tb\n", ["\\e[31mred\\e[0m\\x07 a\\tb"]),
        ("\u202eevil \u2028 \x9b31m ✓ 大\n".encode(), ["\\u202eevil \\u2028 \\x9b31m ✓ 大"]),
        (b"caf\xe9 \xff\n", ["caf\\xe9 \\xff"]),
        (b"nul\0nul\n", ["nul\\x00nul"]),
        (b"x" * 5000 + b"\nend\n", ["x" * 5000, "end"]),
        (b"y\n" * 20000 + b"x" * 16000 + b"\nend\n", [*["y"] * 8, "x" * 16000, "end"]),
    ],
)
def test_what_a_preview_shows(program: Program, output: bytes, lines: list[str]) -> None:
    """The last ten lines, whole, trailing empty ones left out, and nothing in them that a terminal would obey."""
    columns = written_log(program, "load", output, b"=== header ===\n", b"\n=== footer ===\n")
    simple_past(program, [failed_job("load", **columns)])
    text = on_screen(program, "--show-run", "7").out
    assert_harmless(text)
    title = "Failed Job Log Preview (load):"
    assert f"\n\n{title}\n{'-' * len(title)}\n" + "\n".join(lines) + "\n\nTo resume all" in text


def test_a_single_endless_line(program: Program) -> None:
    """Of a line of megabytes without an end the preview shows the end, and not more than 16 KiB of it."""
    columns = written_log(program, "load", b"x" * 3_000_000 + b"the real error\n")
    simple_past(program, [failed_job("load", **columns)])
    [line] = part(shown(program("--show-run", "7")), "Failed Job Log Preview (load):")
    assert line.endswith("xthe real error")
    assert len(line) <= 16384


@pytest.mark.parametrize(
    ("instead", "why"),
    [
        (None, "No such file or directory"),
        (Path.mkdir, "it is a folder"),
        (os.mkfifo, "it is not a regular file"),
    ],
)
def test_a_log_that_is_gone(program: Program, instead: Any, why: str) -> None:
    """A log that was removed or replaced is named, and does not hang or hide the rest of the screen."""
    simple_past(program, [failed_job("load", **written_log(program, "load", b"x\n"))])
    path = program.folder / "logs/load.log"
    path.unlink()
    if instead is not None:
        instead(path)
    text = shown(program("--show-run", "7", timeout=4))
    assert part(text, "Failed Job Log Preview (load):") == [f"(the log cannot be read: ./logs/load.log: {why})"]
    assert "To resume all remaining jobs:" in text


def test_at_most_three_previews(program: Program) -> None:
    """The first three failed jobs in config order have previews, the others are named with their commands."""
    jobs = [failed_job(name, **written_log(program, name, b"from %s\n" % name.encode())) for name in "edcba"]
    jobs[1] |= {"status": "TIMEOUT", "reason": "Timed out after 00:00:01"}
    jobs[4] |= {"status": "INTERRUPTED", "reason": "Ended by the runner after 00:00:01"}
    simple_past(program, jobs)
    text = on_screen(program, "--show-run", "7").out
    assert text[text.index("Failed Job") :] == (
        "Failed Job Log Preview (e):\n---------------------------\nfrom e\n\n"
        "Failed Job Log Preview (d):\n---------------------------\nfrom d\n\n"
        "Failed Job Log Preview (c):\n---------------------------\nfrom c\n\n"
        "To see the logs of 2 more jobs:\n  executioner.py --show-log 7 b\n  executioner.py --show-log 7 a\n\n"
        "To resume all remaining jobs:\n  executioner.py -c data_pipeline.json --resume-from 7\n\n"
        "To resume only failed jobs:\n"
        "  executioner.py -c data_pipeline.json --resume-from 7 --resume-failed-only\n"
    )


def test_the_printed_command_for_a_log_can_be_pasted(program: Program) -> None:
    """From another folder, with a history whose path has spaces and quotes, it prints that log."""
    history = program.folder / 'it\'s my "own" $HOME' / "runs.db"
    jobs = [failed_job(name, **written_log(program, name, b"from %s\n" % name.encode())) for name in "abcd"]
    make_past(history, [{"run_id": 7, "status": "FAILED", "jobs": jobs}])
    text = shown(program("--db", str(history), "--show-run", "7"))
    [line] = [line for line in text.splitlines() if "--show-log" in line]
    assert paste(program, line) == (0, "from d\n=== end ===\n", "")


# --- live and dead runs -------------------------------------------------------------------


def test_a_live_run(program: Program) -> None:
    """While it is on: RUNNING and PENDING jobs, times so far, how to follow them; looking changes nothing."""
    program.config(
        [
            {"id": "first", "command": "true"},
            {"id": "load", "command": "touch up; read x < gate", "dependencies": ["first"], "max_retries": 2},
            {"id": "after", "command": "true", "dependencies": ["load"]},
        ]
    )
    with gate(program.folder / "gate") as let_on, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        row = program.run_row()
        before = recorded(program)
        screen = on_screen(program, "--show-run", "last")
        listed = json.loads(shown(program("--show-run", "1", "--format", "json")))
        assert recorded(program) == before
        let_on()
        runner.communicate()
        assert runner.returncode == 0
    assert screen.code == 0
    assert figures(screen.out) == figures(
        "Run Details for ID 1:\n======================\nApplication: flow\nStatus: RUNNING\n"
        "Start Time: 2025-05-23 09:45:00\nDuration: 00:00:01 so far\nConfig: flow.json (unchanged since)\n"
        f"User: {row['user']}@{row['host']}\nHistory: {program.history}\n\n"
        "Job Status:\n-----------\n"
        "✓ first - SUCCESS (00:00:00)\n> load  - RUNNING (00:00:01)\n- after - PENDING\n\n"
        "To follow the output of load:\n  executioner.py --show-log 1 load --follow\n"
    )
    assert (listed["status"], listed["completed_jobs"], listed["resumable"]) == ("RUNNING", 1, False)
    assert [job["status"] for job in listed["jobs"]] == ["SUCCESS", "RUNNING", "PENDING"]


def test_a_live_run_in_its_second_attempt(program: Program) -> None:
    """A job that runs again says which attempt it is."""
    command = "test -e again && { touch up; read x < gate; exit 0; }; touch again; exit 1"
    program.config([{"id": "load", "command": command, "max_retries": 3, "retry_delay": 0}])
    with gate(program.folder / "gate") as let_on, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        text = shown(program("--show-run", "1"))
        let_on()
        runner.communicate()
    assert figures(part(text, "Job Status:")[0]) == "> load - RUNNING (00:00:00) - attempt 2 of 4"


def test_a_killed_run(program: Program) -> None:
    """After kill -9 of the runner it is INTERRUPTED at once, with its jobs, and nothing is written to say so.

    What outlived the runner is named, with what can be done about it.
    """
    program.config({"first": "true", "load": "echo $$ > pid; touch up; read x < gate", "after": "true"})
    with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        row = program.run_row()
        runner.kill()
        runner.communicate()
        pid = pid_in(program.folder / "pid")
        before = recorded(program)
        screens = [on_screen(program, "--show-run", wanted).out for wanted in ("1", "last")]
        listed = json.loads(shown(program("--show-run", "1", "--format", "json")))
        assert recorded(program) == before
    assert screens[0] == screens[1]
    hint = screens[0].partition("Hint: ")[2].partition("\n\n")[0]
    unwrapped = screens[0].replace(hint, " ".join(hint.split()))
    assert figures(unwrapped) == figures(
        "Run Details for ID 1:\n======================\nApplication: flow\nStatus: INTERRUPTED\n"
        "Reason: Its runner ended without recording a result\n"
        "Start Time: 2025-05-23 09:45:00\nEnd Time: unknown (last recorded 09:45:01)\nDuration: unknown\n"
        f"Config: flow.json (unchanged since)\nUser: {row['user']}@{row['host']}\nHistory: {program.history}\n\n"
        "Job Status:\n-----------\n"
        "✓ first - SUCCESS     (00:00:00)\n"
        "✗ load  - INTERRUPTED - Its runner ended without recording a result\n"
        "- after - SKIPPED     (run interrupted)\n\n"
        "To see the log of 1 interrupted job:\n  executioner.py --show-log 1 load\n\n"
        f"Hint: load (pid {pid}) of this run is still running though the runner is gone: wait for it, or end it"
        " with --kill-leftovers when you resume.\n\n"
        "To wait for load, watch its log, then resume:\n  executioner.py --show-log 1 load --follow\n\n"
        "To end it and resume all remaining jobs:\n"
        "  executioner.py -c flow.json --resume-from 1 --kill-leftovers\n"
    )
    assert (listed["status"], listed["end_time"], listed["resumable"]) == ("INTERRUPTED", None, True)
    assert [job["status"] for job in listed["jobs"]] == ["SUCCESS", "INTERRUPTED", "SKIPPED"]


DEAD_JOBS: list[dict[str, Any]] = [
    {"id": "first", "duration_seconds": 240.0, "last_run": "2025-05-23T02:00:00.000000Z",
     "end_time": "2025-05-23T02:04:00.000000Z"},
    {"id": "load", "status": "RUNNING", "start_time": "2025-05-23T02:04:00.000000Z",
     "last_run": "2025-05-23T02:14:07.000000Z", "retry_count": 1, "max_retries": 3},
    {"id": "bad", "status": "FAILED", "reason": "Exit code 1", "duration_seconds": 2.0,
     "end_time": "2025-05-23T02:04:02.000000Z"},
    {"id": "after", "status": "PENDING"},
]  # fmt: skip


def dead_past(program: Program, **run: Any) -> None:
    """A run that is recorded as RUNNING, by a process of another boot of the machine."""
    times = {"start_time": "2025-05-23T02:00:00.000000Z", "end_time": None, "duration_seconds": None}
    simple_past(program, DEAD_JOBS, **{**times, "status": "RUNNING", "exit_code": None, **run})
    Path(f"{program.history}.lock").touch()


def test_a_run_before_the_reboot(program: Program) -> None:
    """A RUNNING run of an earlier boot is shown as INTERRUPTED, its end by the last that was recorded."""
    dead_past(program)
    before = untouched(program.history.parent)
    assert on_screen(program, "--show-run", "7").out == (
        "Run Details for ID 7:\n======================\nApplication: data_pipeline\nStatus: INTERRUPTED\n"
        "Reason: Its runner ended without recording a result\nStart Time: 2025-05-23 02:00:00\n"
        "End Time: unknown (last recorded 02:14:07)\nDuration: unknown\n"
        "Config: data_pipeline.json (unchanged since)\nUser: etl@etl01\n"
        f"History: {program.history}\n\n"
        "Job Status:\n-----------\n"
        "✓ first - SUCCESS     (00:04:00)\n"
        "✗ load  - INTERRUPTED - Its runner ended without recording a result, attempt 2 of 4\n"
        "✗ bad   - FAILED      (00:00:02) - Exit code: 1\n"
        "- after - SKIPPED     (run interrupted)\n\n"
        "Failed Job Log Preview (bad):\n-----------------------------\n(no log is recorded)\n\n"
        "Hint: how load ended is not known, and a resume runs it again. If its log\n"
        "shows that it did its work, let it count:\n  executioner.py --mark-success 7 load\n\n"
        "To resume all remaining jobs:\n  executioner.py -c data_pipeline.json --resume-from 7\n\n"
        "To resume only failed jobs:\n"
        "  executioner.py -c data_pipeline.json --resume-from 7 --resume-failed-only\n"
    )
    assert untouched(program.history.parent) == before


def test_the_jobs_of_a_dead_run_by_status(program: Program) -> None:
    """--status goes by what is shown, not by what the dead runner had recorded."""
    dead_past(program)
    lines = part(shown(program("--show-run", "7", "--status", "interrupted,skipped")), "Job Status:")
    assert [line.split()[1] for line in lines] == ["load", "after"]
    lines = part(shown(program("--show-run", "7", "--status", "running")), "Job Status:")
    assert lines == ["(no job is RUNNING, but 1 SUCCESS, 1 INTERRUPTED, 1 FAILED, 1 SKIPPED)"]


def test_a_run_whose_life_cannot_be_told(program: Program) -> None:
    """Where the lock cannot be read it is RUNNING (unverified): nobody is told to resume what may be on."""
    dead_past(program)
    lock = Path(f"{program.history}.lock")
    lock.unlink()
    lock.symlink_to("elsewhere")
    text = shown(program("--show-run", "7"))
    assert "\nStatus: RUNNING (unverified)\n" in text
    assert "--resume-from" not in text
    assert json.loads(program("--show-run", "7", "--format", "json").out)["unverified"] is True


def test_a_dead_run_looks_the_same_once_it_is_recorded(program: Program) -> None:
    """The next run writes down what was shown before."""
    program.config({"first": "true", "load": "touch up; read x < gate", "after": "true"})
    with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        runner.kill()
        runner.communicate()
    shown_before = on_screen(program, "--show-run", "1").out
    program.config({"z": "true"}, name="next.json")
    assert program("-c", "next.json").code == 0
    assert program.run_row(1)["status"] == "INTERRUPTED"
    assert on_screen(program, "--show-run", "1").out == shown_before


# --- what to type next --------------------------------------------------------------------

RESUME = "To resume all remaining jobs:\n  executioner.py {} --resume-from 7"
RETRY = "To resume only failed jobs:\n  executioner.py {} --resume-from 7 --resume-failed-only"
CONFIG = "-c data_pipeline.json"
BAD = {"id": "a", "status": "FAILED", "reason": "Exit code 1"}
CUT = {"id": "a", "status": "INTERRUPTED", "reason": "Ended by the runner after 00:00:01"}


@pytest.mark.parametrize(
    ("status", "jobs", "expected"),
    [
        ("SUCCESS", [{"id": "a"}], []),
        ("FAILED", [BAD], [RESUME.format(CONFIG), RETRY.format(CONFIG)]),
        ("INTERRUPTED", [CUT], [RESUME.format(CONFIG)]),
        ("PARTIAL", [{"id": "a", "status": "SKIPPED", "reason": "--resume-failed-only"}], [RESUME.format(CONFIG)]),
        ("PARTIAL", [{"id": "a", "status": "SKIPPED", "reason": "--skip"}], []),
    ],
)  # fmt: skip
def test_the_commands_that_apply(
    program: Program, status: str, jobs: list[dict[str, Any]], expected: list[str]
) -> None:
    """Nothing to resume after a success or where only --skip left jobs out; only failed jobs if there are any."""
    simple_past(program, jobs, status=status)
    assert steps(on_screen(program, "--show-run", "7").out) == expected


def test_a_newer_success_of_the_config(program: Program) -> None:
    """A failed run after which the config succeeded is not to be resumed: the newer run is named."""
    simple_past(program, [BAD])
    newer = [{"run_id": number, "config_path": str(program.folder / "data_pipeline.json")} for number in (8, 9)]
    add_runs(program.history, newer)
    assert steps(on_screen(program, "--show-run", "7").out) == [
        "A newer run of this config has succeeded: run 9. To view it:\n  executioner.py --show-run 9"
    ]


def test_a_success_of_another_config_does_not_matter(program: Program) -> None:
    """Only the run's own config counts."""
    simple_past(program, [BAD])
    add_runs(program.history, [{"run_id": 8, "config_path": "/elsewhere.json"}])
    assert steps(on_screen(program, "--show-run", "7").out) == [RESUME.format(CONFIG), RETRY.format(CONFIG)]


FLAGS = {"env": {"STAGE": "my prod", "LANG": "C"}, "env_secret": ["DB_PASSWORD"], "workers": 4}
FLAG_WORDS = """--env 'STAGE=my prod' --env LANG=C --env DB_PASSWORD="${DB_PASSWORD:?}" --workers 4"""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (FLAGS, FLAG_WORDS),
        ({"parallel": True, "continue_on_error": True}, "--parallel --continue-on-error"),
        ({"sequential": True}, "--sequential"),
    ],
)
def test_the_recorded_flags(program: Program, options: dict[str, Any], words: str) -> None:
    """The commands repeat the flags of the run; a secret's value comes from the reader's shell."""
    simple_past(program, [BAD], options=json.dumps(options))
    given = f"{CONFIG} {words}"
    assert steps(on_screen(program, "--show-run", "7").out) == [RESUME.format(given), RETRY.format(given)]


def test_the_recorded_flags_where_the_config_is_gone(program: Program) -> None:
    """The reader has to name the config, and nothing else: the flags are there all the same."""
    simple_past(program, [BAD], options=json.dumps(FLAGS))
    (program.folder / "data_pipeline.json").unlink()
    given = f"-c NEW_PATH {FLAG_WORDS}"
    assert steps(on_screen(program, "--show-run", "7").out) == [RESUME.format(given), RETRY.format(given)]


def test_another_history_than_the_state_folders(program: Program) -> None:
    """--db is repeated where it is needed, and only there."""
    simple_past(program, [BAD])
    given = f"{CONFIG} --db own.db"
    make_past(program.folder / "own.db", [{"run_id": 7, "status": "FAILED", "jobs": [BAD]}])
    assert steps(on_screen(program, "--db", "own.db", "--show-run", "7").out) == [
        RESUME.format(given),
        RETRY.format(given),
    ]
    text = on_screen(program, "--db", str(program.history), "--show-run", "7").out
    assert steps(text) == [RESUME.format(CONFIG), RETRY.format(CONFIG)]


@pytest.mark.parametrize("how", ["config", "environment"])
def test_a_history_that_was_chosen_elsewhere(program: Program, how: str) -> None:
    """That of the config of -c, and that of EXECUTIONER_DB, are named too: commands work without either."""
    make_past(program.folder / "own.db", [{"run_id": 7, "status": "FAILED", "jobs": [BAD]}])
    program.config({"a": "true"}, name="data_pipeline.json", history_db="own.db")
    chosen = {"NO_COLOR": "1"} | ({"EXECUTIONER_DB": "own.db"} if how == "environment" else {})
    words = [] if how == "environment" else ["-c", "data_pipeline.json"]
    text = on_screen(program, *words, "--show-run", "7", env=chosen).out
    assert "\nHistory: own.db\n" in text
    assert steps(text)[0] == RESUME.format(f"{CONFIG} --db own.db")


# --- --status -----------------------------------------------------------------------------

ONE_OF_EACH = [
    {"id": status.lower(), "status": status, "reason": None if status == "SUCCESS" else "why"}
    for status in ("SUCCESS", *FAILED, "INTERRUPTED", "SKIPPED")
]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["failed"], ["failed"]),
        (["FAILED"], ["failed"]),
        (["Failed,timeout"], ["failed", "timeout"]),
        ([" skipped , SUCCESS "], ["success", "skipped"]),
        (["error", "--status", "interrupted"], ["error", "interrupted"]),
        (["failed,failed"], ["failed"]),
    ],
)
def test_jobs_of_some_statuses(program: Program, words: list[str], names: list[str]) -> None:
    """One status or several, in any case, repeated or as a comma list: in config order, the header as ever."""
    simple_past(program, ONE_OF_EACH)
    text = shown(program("--show-run", "7", "--status", *words))
    assert [line.split()[1] for line in part(text, "Job Status:")] == names
    assert "\nStatus: FAILED\n" in text
    previews = re.findall(r"Log Preview \((.*)\)", text)
    assert previews == [name for name in names if name.upper() in FAILED]
    assert "To resume all remaining jobs:" in text
    for form in ("json", "csv"):
        out = shown(program("--show-run", "7", "--status", *words, "--format", form))
        rows = json.loads(out)["jobs"] if form == "json" else list(csv.DictReader(io.StringIO(out)))
        assert [row["id"] for row in rows] == names


def test_no_job_of_that_status(program: Program) -> None:
    """Where no job matches, that is said in place of the jobs; for scripts there is an empty list."""
    simple_past(program, [BAD])
    text = shown(program("--show-run", "7", "--status", "skipped,timeout"))
    assert part(text, "Job Status:") == ["(no job is SKIPPED or TIMEOUT, but 1 FAILED)"]
    data = json.loads(shown(program("--show-run", "7", "--status", "skipped", "--format", "json")))
    assert data["jobs"] == []


@pytest.mark.parametrize(
    ("word", "guess"), [("fail", ', did you mean "failed"?'), ("partial", ""), ("failed,nonsense", "")]
)
def test_a_status_that_no_job_has(program: Program, word: str, guess: str) -> None:
    """It is an error of the command line that lists the statuses; PARTIAL is one of runs only."""
    simple_past(program, [BAD])
    result = program("--show-run", "7", "--status", word)
    wrong = word.rpartition(",")[2]
    assert result == (
        2,
        "",
        f'Error: --status: no status "{wrong}"{guess} (command line)\n'
        "  one of: pending, running, success, failed, timeout, error, interrupted, skipped\n\n"
        f"To see all options:\n  cd {program.folder} && executioner.py --help\n",
    )


# --- for scripts --------------------------------------------------------------------------


def varied_run(program: Program) -> None:
    """A real run with retries, a failure, a skip and flags; its ids do not sort as the config does."""
    program.config(
        [
            {"id": "z", "command": "echo out; exit 1", "description": 'with "quotes",\nand more', "max_retries": 1,
             "retry_delay": 0},
            {"id": "a", "command": "true", "dependencies": ["z"]},
            {"id": "m", "command": "true", "env_variables": {"X": "1"}},
        ],
        continue_on_error=True,
    )  # fmt: skip
    assert program("-c", "flow.json", "--env", "STAGE=prod", "--skip", "m").code == 1


def stored(program: Program) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run 1 and its jobs in config order as the database has them, JSON columns decoded."""
    run = program.run_row()
    run["options"] = json.loads(run["options"])
    jobs = program.rows("SELECT * FROM job_history WHERE run_id = 1 ORDER BY position")
    for job in jobs:
        del job["run_id"], job["application_name"]
        for column in ("retry_history", "definition"):
            job[column] = None if job[column] is None else json.loads(job[column])
    return run, jobs


def test_json_is_what_is_stored(program: Program) -> None:
    """All columns of the run and its jobs, jobs in config order, and three more that follow from other runs."""
    varied_run(program)
    out = shown(program("--show-run", "1", "--format", "json"))
    run, jobs = stored(program)
    assert json.loads(out) == {**run, "resumed_by": None, "resumable": True, "unverified": False, "jobs": jobs}
    assert [job["id"] for job in jobs] == ["z", "a", "m"]
    assert out.isascii()
    assert out.endswith("}\n")


def test_json_is_the_same_as_at_the_runs_end(program: Program) -> None:
    """--format json on a run prints this object."""
    program.config({"a": "true", "b": "exit 1"})
    at_end = json.loads(program("-c", "flow.json", "--format", "json").out)
    assert json.loads(shown(program("--show-run", "1", "--format", "json"))) == at_end


def test_json_on_a_terminal_has_no_colours(program: Program) -> None:
    """On a terminal JSON is the same text."""
    varied_run(program)
    piped = shown(program("--show-run", "1", "--format", "json"))
    assert program.on_terminal("--show-run", "1", "--format", "json").out == piped


def test_csv_is_a_line_a_job(program: Program) -> None:
    """A header, then a job a line with its run's id: NULL is empty, objects are JSON, newlines are quoted."""
    varied_run(program)
    rows = list(csv.DictReader(io.StringIO(shown(program("--show-run", "1", "--format", "csv")))))
    _, jobs = stored(program)
    for row, job in zip(rows, jobs, strict=True):
        assert row.pop("run_id") == "1"
        assert {name: json.loads(row.pop(name) or "null") for name in ("retry_history", "definition")} == {
            name: job.pop(name) for name in ("retry_history", "definition")
        }
        assert row == {name: "" if value is None else str(value) for name, value in job.items()}


def test_the_header_of_csv(program: Program) -> None:
    """The first line names the columns: those of JSON, in its order, behind the run's id."""
    varied_run(program)
    first = shown(program("--show-run", "1", "--format", "csv")).partition("\n")[0]
    names = list(json.loads(program("--show-run", "1", "--format", "json").out)["jobs"][0])
    assert first.split(",") == ["run_id", *names]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_looking_changes_nothing(program: Program, form: str) -> None:
    """No form of the command writes anything anywhere."""
    varied_run(program)
    before = everything(program)
    shown(program("--show-run", "1", "--format", form))
    assert everything(program) == before


# --- many jobs ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A history with one run of 100,000 jobs, the last 1,000 of which failed."""
    program = Program(tmp_path_factory.mktemp("huge") / "work")
    simple_past(program, [], total_jobs=100_000)
    log = written_log(program, "log", b"the error\n")
    rows = [
        (7, f"job_{number:05d}", number, "FAILED" if number >= 99_000 else "SUCCESS", 1.0, 0, log["log_path"],
         log["retry_history"], "Exit code 1" if number >= 99_000 else None, "", "true", "{}", 0)
        for number in range(100_000)
    ]  # fmt: skip
    with contextlib.closing(sqlite3.connect(program.history)) as connection, connection:
        connection.executemany(
            "INSERT INTO job_history (run_id, id, position, status, duration_seconds, retry_count, log_path,"
            " retry_history, reason, description, command, definition, max_retries)"
            f" VALUES ({', '.join('?' * 13)})",
            rows,
        )
    return program


def test_a_run_of_100000_jobs(huge: Program) -> None:
    """All are shown, within a few seconds, and the failures that have no preview fit on a screen."""
    began = time.monotonic()
    text = on_screen(huge, "--show-run", "7").out
    took_s = time.monotonic() - began
    lines = text.splitlines()
    jobs = part(text, "Job Status:")
    assert len(jobs) == 100_000
    assert jobs[0] == "✓ job_00000 - SUCCESS (00:00:01)"
    assert jobs[-1] == "✗ job_99999 - FAILED  (00:00:01) - Exit code: 1"
    named = "\n".join(f"  executioner.py --show-log 7 job_{number}" for number in range(99_003, 99_008))
    assert "\n".join(lines[-13:-6]) == (
        f"To see the logs of 997 more failed jobs:\n{named}\n"
        "  ... and 992 more: executioner.py --show-run 7 --status failed"
    )
    assert took_s < 15


def test_some_of_100000_jobs(huge: Program) -> None:
    """--status shortens the screen to what is wanted."""
    text = shown(huge("--show-run", "7", "--status", "timeout"))
    assert part(text, "Job Status:") == ["(no job is TIMEOUT, but 99,000 SUCCESS, 1,000 FAILED)"]
    assert len(text.splitlines()) < 30


def test_a_reader_that_has_seen_enough(huge: Program) -> None:
    """``| head`` ends the program quietly."""
    done = subprocess.run(
        ["bash", "-c", "executioner.py --show-run 7 | head -n 1; echo ${PIPESTATUS[0]}"],
        env=huge.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Run Details for ID 7:\n0\n", "")


# --- hostile text -------------------------------------------------------------------------


def arguments_of(line: str) -> list[str]:
    """The arguments that a printed command gives the program, by a real shell."""
    script = "executioner.py() { printf '%s\\0' \"$@\"; }\n" + line
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("env", [{}, {"LANG": "C"}, {"NO_COLOR": "1"}])
def test_hostile_text_reaches_no_terminal(program: Program, env: dict[str, str]) -> None:
    """Whatever stands in names, reasons, descriptions, paths and logs, it is shown escaped, a line a line."""
    log = written_log(program, "log", HOSTILE.encode() + b"\xff\n")
    jobs = [
        failed_job("load", description=HOSTILE, command=HOSTILE, **{**log, "reason": HOSTILE}),
        failed_job("gone", log_path=f"/{HOSTILE}"),
        {"id": "skip", "status": "SKIPPED", "reason": HOSTILE},
        {"id": "mark", "marked_by": HOSTILE, "mark_reason": HOSTILE},
    ]
    simple_past(
        program,
        jobs,
        status="INTERRUPTED",
        application_name=HOSTILE,
        user=HOSTILE,
        host=HOSTILE,
        failure_summary=HOSTILE,
        config_path=str(program.folder / HOSTILE),
        options=json.dumps({"env": {"A": HOSTILE}}),
    )
    text = program.on_terminal("--show-run", "7", env=env).out
    assert_harmless(plain(text))
    assert "\nApplication: a\\e[2J\\nb" in text
    assert len(part(plain(text), "Job Status:")) == 4


@pytest.mark.parametrize(
    "name", ["my flow.json", 'it\'s "new".json', "a$(touch pwned)`b`;c.json", "-c.json", HOSTILE]
)
def test_printed_commands_name_the_very_config(program: Program, name: str) -> None:
    """A shell that is given the printed command passes on exactly the config's path and the flags."""
    path = program.folder / name
    options = {"env": {"A": f"it's {HOSTILE}", "B": "$HOME"}}
    simple_past(program, [BAD], config_path=str(path), options=json.dumps(options))
    path.write_text("{}")
    text = on_screen(program, "--show-run", "7").out
    command = text.splitlines()[-4]
    expected = ["-c", f"./{name}" if name.startswith("-") else name]
    expected += ["--env", f"A=it's {HOSTILE}", "--env", "B=$HOME", "--resume-from", "7"]
    assert arguments_of(command) == expected


def test_csv_on_a_terminal_is_harmless(program: Program) -> None:
    """A script's bytes are as stored, a terminal's are escaped."""
    simple_past(program, [failed_job("load", description=HOSTILE, reason=HOSTILE)])
    assert HOSTILE in shown(program("--show-run", "7", "--format", "csv"))
    assert_harmless(program.on_terminal("--show-run", "7", "--format", "csv").out)


@pytest.mark.parametrize("command", ["echo one\necho two", "printf x\rexit 3", 'echo "a, b"'])
def test_csv_with_line_breaks_is_read_again(program: Program, command: str) -> None:
    """Of jobs whose texts have line breaks the rows are whole for whoever reads CSV (RFC 4180)."""
    program.config(
        [{"id": "a", "command": command, "description": "of\ntwo lines"}, {"id": "b", "command": "true"}]
    )
    program("-c", "flow.json", "--continue-on-error")
    rows = list(csv.DictReader(io.StringIO(program("--show-run", "last", "--format", "csv").out, newline="")))
    assert [(row["id"], row["command"]) for row in rows] == [("a", command), ("b", "true")]
    assert rows[0]["description"] == "of\ntwo lines"
