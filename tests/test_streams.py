"""The standard streams: what goes where, colours, symbols, closed and broken ones."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import Program, Result, ended, gate
from screens import assert_harmless, commands_of, figures, on_screen, plain, split_terminal, summary_of

from executioner.terminal import locale_shows_unicode

ERROR = "Error: Run 1 FAILED: bad (flow)\n"


def a_failure(program: Program) -> None:
    """A config whose second of three jobs fails."""
    program.config(
        [
            {"id": "good", "command": "echo fine"},
            {"id": "bad", "command": "exit 3", "dependencies": ["good"]},
            {"id": "after", "command": "true", "dependencies": ["bad"]},
        ]
    )


def through_shell(program: Program, redirections: str, *args: str, env: Mapping[str, str] | None = None) -> Result:
    """Run the program with a shell's redirections."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *program.command(*args)],
        cwd=program.folder,
        env=program.environment(env),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


# --- which stream -------------------------------------------------------------------------


def test_progress_and_summary_on_stdout_the_error_on_stderr(program: Program) -> None:
    """Of a failed run stdout has all but the one line that a script's log needs."""
    a_failure(program)
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (1, ERROR)
    assert result.out.startswith(result.out.split(" ")[0] + " Run 1 started: flow, 3 jobs, 1 worker\n")
    assert result.out.endswith(f"  cd {program.folder} && executioner.py --show-run 1\n")


def test_one_pipe_for_both_streams_has_no_second_error(program: Program) -> None:
    """With ``2>&1`` the summary has said it already: the error line is left out."""
    a_failure(program)
    both = program.start("-c", "flow.json", stderr=subprocess.STDOUT)
    text, _ = both.communicate(timeout=60)
    assert both.returncode == 1
    assert "Error:" not in text
    assert "Status: FAILED" in text


def test_one_file_for_both_streams_has_no_second_error(program: Program) -> None:
    """``> log 2>&1`` likewise, and the file has the lines of both streams in their order."""
    a_failure(program)
    result = through_shell(program, "> both.log 2>&1", "-c", "flow.json")
    assert result == (1, "", "")
    text = (program.folder / "both.log").read_text()
    assert "Error:" not in text
    assert summary_of(text).endswith("--show-run 1\n")


def test_one_file_opened_twice_is_one_file(program: Program) -> None:
    """``>> log 2>> log`` is one file too, however often it was opened."""
    a_failure(program)
    assert through_shell(program, ">> both.log 2>> both.log", "-c", "flow.json").code == 1
    assert "Error:" not in (program.folder / "both.log").read_text()


def test_two_files_have_their_own(program: Program) -> None:
    """With the streams in different files the error line is in the second."""
    a_failure(program)
    assert through_shell(program, "> out.log 2> err.log", "-c", "flow.json").code == 1
    assert (program.folder / "err.log").read_text() == ERROR
    assert "Error:" not in (program.folder / "out.log").read_text()


def test_a_terminal_has_no_second_error(program: Program) -> None:
    """On a terminal, where both streams are one, the error line is left out."""
    a_failure(program)
    assert "Error:" not in on_screen(program, "-c", "flow.json").out


def test_a_terminal_beside_a_pipe_has_the_error(program: Program) -> None:
    """``executioner ... | tee log``: the error is on the terminal, the rest goes through the pipe."""
    a_failure(program)
    result = split_terminal(program, "-c", "flow.json", stream="stderr", env={"NO_COLOR": "1"})
    assert (result.code, result.err) == (1, ERROR)
    assert "Status: FAILED" in result.out


# --- quiet --------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--skip", "a"]])
def test_quiet_is_silent_on_success(program: Program, arguments: list[str]) -> None:
    """``--quiet``: a run that ends with 0, SUCCESS or PARTIAL, prints nothing at all; it is recorded."""
    program.config({"a": "echo loud; echo louder >&2", "b": "true"})
    assert program("-c", "flow.json", "--quiet", *arguments) == (0, "", "")
    assert program.run_row()["exit_code"] == 0


def test_quiet_tells_a_failure_in_full_on_stderr(program: Program) -> None:
    """``--quiet``: of a failed run stderr has the error line and the whole summary, with what progress would have
    shown of the failed jobs' output; stdout nothing.
    """
    a_failure(program)
    loud = program("-c", "flow.json")
    quiet = program("-c", "flow.json", "--quiet")
    assert (quiet.code, quiet.out) == (1, "")
    error, _, rest = quiet.err.partition("\n")
    assert error == "Error: Run 2 FAILED: bad (flow)"
    expected = summary_of(loud.out)
    for word in ("Run ID: ", ".run-", "--resume-from ", "--show-run "):
        expected = expected.replace(f"{word}1", f"{word}2")
    before, _, more = rest.lstrip("\n").partition("Failed Job Log Preview (bad):\n-----------------------------\n")
    output, _, after = more.partition("\n\n")
    tail = [line.partition("         | ")[2] for line in loud.out.splitlines() if line.startswith("         | ")]
    assert output.splitlines() == (tail or ["(no output)"])
    assert figures(before + after) == figures(expected)


def test_a_quiet_run_shows_the_output_of_three_failed_jobs(program: Program) -> None:
    """The first three in config order, ten lines of each at most; a job that printed nothing says so."""
    jobs = {f"j{at}": f"seq {at}1; exit 1" for at in range(1, 5)} | {"j2": "exit 1"}
    program.config(jobs, continue_on_error=True)
    err = program("-c", "flow.json", "--quiet").err
    found = [block.partition("\n\n")[0].splitlines() for block in err.split("Failed Job Log Preview (")[1:]]
    assert [block[0] for block in found] == ["j1):", "j2):", "j3):"]
    assert [block[2:] for block in found] == [
        [str(line) for line in range(2, 12)],
        ["(no output)"],
        [str(line) for line in range(22, 32)],
    ]


def test_quiet_still_warns(program: Program) -> None:
    """``--quiet`` keeps silent about success, not about what the user should know."""
    program.config({"a": "touch started; exec sleep 60"})
    with ended(program.start("-c", "flow.json", "--quiet")) as process:
        program.wait_for("started")
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")
    lines = err.splitlines()
    assert lines[0] == "Interrupted: ending 1 running job, up to 00:00:10 (SIGTERM again kills at once)"
    assert lines[1] == "Error: Run 1 INTERRUPTED: Terminated (SIGTERM) (flow)"
    assert "Status: INTERRUPTED" in lines


def test_errors_before_a_run_are_told_with_quiet_too(program: Program) -> None:
    """``--quiet`` does not hide that nothing was run."""
    result = program("-c", "nope.json", "--quiet")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: The config cannot be read")


# --- json ---------------------------------------------------------------------------------


def columns(program: Program, table: str) -> set[str]:
    return {row["name"] for row in program.rows(f"SELECT name FROM pragma_table_info('{table}')")}


@pytest.mark.parametrize("flags", [[], ["--quiet"], ["--verbose"]])
def test_json_is_one_object_on_stdout(program: Program, flags: list[str]) -> None:
    """``--format json``: stdout has the run's object and nothing else; its fields are those of the history."""
    a_failure(program)
    result = program("-c", "flow.json", "--format", "json", *flags)
    run = json.loads(result.out)
    assert result.code == 1
    assert result.out.count("\n}\n") == 1
    assert set(run) == columns(program, "run_metadata") | {"jobs", "resumed_by", "resumable", "unverified"}
    assert [job["id"] for job in run["jobs"]] == ["good", "bad", "after"]
    for job in run["jobs"]:
        assert set(job) >= columns(program, "job_history") - {"run_id", "application_name"}
    row = program.run_row()
    for name in columns(program, "run_metadata") - {"options"}:
        assert run[name] == row[name], name


def test_json_values(program: Program) -> None:
    """Numbers are numbers, times ISO 8601 in UTC, JSON columns are data, what is not there is null."""
    a_failure(program)
    run = json.loads(program("-c", "flow.json", "--format", "json", "--env", "A=1").out)
    good, bad, after = run["jobs"]
    when = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    for value in (run["start_time"], run["end_time"], good["start_time"], good["end_time"], bad["last_run"]):
        assert when.fullmatch(value)
    assert [run["run_id"], run["status"], run["exit_code"]] == [1, "FAILED", 1]
    assert [run["total_jobs"], run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]] == [3, 1, 1, 1]
    assert run["failure_summary"] == "bad: Exit code 3"
    assert run["parent_run_id"] is None
    assert run["options"]["env"] == {"A": "1"}
    assert [job["status"] for job in run["jobs"]] == ["SUCCESS", "FAILED", "SKIPPED"]
    assert [job["exit_code"] for job in run["jobs"]] == [0, 3, None]
    assert [job["reason"] for job in run["jobs"]] == [None, "Exit code 3", "dependency failed"]
    assert after["start_time"] is None
    assert isinstance(good["duration_seconds"], float)
    [attempt] = bad["retry_history"]
    assert (attempt["status"], attempt["exit_code"]) == ("FAILED", 3)


def test_json_has_the_rest_on_stderr(program: Program) -> None:
    """Progress, the error line and the summary are on stderr when stdout is for a script."""
    a_failure(program)
    text = program("-c", "flow.json")
    result = program("-c", "flow.json", "--format", "json")
    assert result.err.count("Error: Run 2 FAILED: bad (flow)\n") == 1
    assert "[2/3] ✗ bad" in result.err
    shown = summary_of(result.err)
    for word in ("Run ID: ", ".run-", "--resume-from ", "--show-run "):
        shown = shown.replace(f"{word}2", f"{word}1")
    assert figures(shown) == figures(summary_of(text.out))


def test_json_with_quiet_says_nothing_else_on_success(program: Program) -> None:
    """``--format json --quiet``: the object on stdout, nothing on stderr."""
    program.config({"a": "echo x"})
    result = program("-c", "flow.json", "--format", "json", "--quiet")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["status"] == "SUCCESS"


def test_json_on_an_error_before_the_run_is_nothing(program: Program) -> None:
    """On errors stdout stays empty."""
    result = program("-c", "nope.json", "--format", "json")
    assert (result.code, result.out) == (2, "")


def test_json_is_not_disturbed_by_a_plugin(program: Program) -> None:
    """What a plugin prints while it is loaded and asked goes into no stream of ours."""
    (program.folder / "checks.py").write_text(
        "print('loading')\ndef fine():\n    print('asked')\n    return True\nCHECKS = {'fine': fine}\n"
    )
    program.config(
        [{"id": "a", "command": "true", "pre_checks": [{"name": "fine"}]}], dependency_plugins=["checks.py"]
    )
    result = program("-c", "flow.json", "--format", "json", "--quiet")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["status"] == "SUCCESS"


# --- colours ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "flags", "env", "coloured"),
    [
        (False, [], {}, False),
        (True, [], {}, True),
        (True, [], {"NO_COLOR": "1"}, False),
        (True, [], {"NO_COLOR": ""}, True),
        (True, [], {"TERM": "dumb"}, False),
        (False, [], {"FORCE_COLOR": "1"}, True),
        (True, [], {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        (True, [], {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (True, ["--color", "never"], {"FORCE_COLOR": "1"}, False),
        (True, ["--color", "never"], {}, False),
        (False, ["--color", "always"], {}, True),
        (False, ["--color", "always"], {"NO_COLOR": "1"}, True),
        (True, ["--color", "auto"], {}, True),
    ],
)
def test_when_there_are_colours(
    program: Program, terminal: bool, flags: list[str], env: dict[str, str], coloured: bool
) -> None:
    """The flag decides; without it NO_COLOR, then FORCE_COLOR, then whether it is a terminal that can."""
    a_failure(program)
    run = program.on_terminal if terminal else program
    assert ("\x1b[" in run("-c", "flow.json", *flags, env=env).out) is coloured


def test_colours_change_nothing_else(program: Program) -> None:
    """Without its colour codes the coloured output is the plain one; status and marks are coloured."""
    a_failure(program)
    coloured = program("-c", "flow.json", "--color", "always")
    assert "\nStatus: \x1b[31mFAILED\x1b[0m\n" in coloured.out
    assert "[1/3] \x1b[32m✓\x1b[0m good" in coloured.out
    assert "[2/3] \x1b[31m✗\x1b[0m bad" in coloured.out
    assert coloured.err == "\x1b[31mError:\x1b[0m Run 1 FAILED: bad (flow)\n"
    again = figures(plain(coloured.out)).replace("run-1.log", "run-2.log").replace("Run 1 ", "Run 2 ")
    again = again.replace("Run ID: 1", "Run ID: 2").replace("--resume-from 1", "--resume-from 2")
    assert again.replace("--show-run 1", "--show-run 2") == figures(program("-c", "flow.json").out)


def test_each_stream_is_asked_itself(program: Program) -> None:
    """With stderr on a terminal and stdout in a pipe only the error is coloured."""
    a_failure(program)
    result = split_terminal(program, "-c", "flow.json", stream="stderr")
    assert result.err == "\x1b[31mError:\x1b[0m Run 1 FAILED: bad (flow)\n"
    assert "\x1b" not in result.out


def test_the_main_log_has_no_colours(program: Program) -> None:
    """What is kept in a file is plain, whatever the terminal."""
    a_failure(program)
    program.on_terminal("-c", "flow.json", "--color", "always")
    assert b"\x1b" not in (program.folder / "logs/executioner.flow.run-1.log").read_bytes()


# --- symbols ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "rich"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LANG": "en_US.utf8"}, True),
        ({"LANG": None}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "POSIX"}, False),
        ({"LANG": "de_DE"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LC_ALL": "POSIX"}, False),
        ({"LC_ALL": "C"}, False),
        ({"LC_CTYPE": "C"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, True),
        ({"PYTHONIOENCODING": "ascii"}, False),
        ({"PYTHONIOENCODING": "latin-1"}, False),
        ({"PYTHONIOENCODING": "utf-8"}, True),
        ({"LANG": "C", "PYTHONIOENCODING": "utf-8"}, False),
    ],
)
def test_symbols_are_those_that_can_be_shown(program: Program, env: dict[str, str | None], rich: bool) -> None:
    """``✓ ✗ -`` become ``+ x -`` where encoding or the caller's own locale cannot show them."""
    a_failure(program)
    good, bad = ("✓", "✗") if rich else ("+", "x")
    lines = figures(program("-c", "flow.json", env=env).out).splitlines()[1:4]
    assert lines == [
        f"00:00:00 [1/3] {good} good 00:00:00",
        f"00:00:00 [2/3] {bad} bad 00:00:00 Exit code 3",
        "00:00:00 [3/3] - 1 job skipped (dependency failed)",
    ]


@pytest.mark.parametrize(
    ("environment", "shows"),
    [
        ({}, True),
        ({b"LANG": b"C.UTF-8"}, True),
        ({b"LANG": b"sr_RS.UTF-8@latin"}, True),
        ({b"LANG": b"ca_ES.utf8@valencia"}, True),
        ({b"LANG": b"de_DE@euro"}, False),
        ({b"LC_ALL": b"", b"LANG": b"C.UTF-8"}, True),
        ({b"LC_ALL": b"C", b"LC_CTYPE": b"C.UTF-8"}, False),
        ({b"LC_CTYPE": b"C", b"LANG": b"C.UTF-8"}, False),
    ],
)
def test_what_a_locale_shows(environment: dict[bytes, bytes], shows: bool) -> None:
    """LC_ALL is asked first, then LC_CTYPE, then LANG; a modifier behind the encoding does not count."""
    assert locale_shows_unicode(environment) is shows


def test_text_that_an_encoding_lacks_is_escaped(program: Program) -> None:
    """A description that the stream cannot show is escaped, and never ends a run."""
    program.config([{"id": "a", "command": "exit 3", "description": "Zürich ✓"}])
    result = program("-c", "flow.json", env={"PYTHONIOENCODING": "ascii"})
    assert (result.code, result.err) == (1, "Error: Run 1 FAILED: a (flow)\n")
    assert "  - a: Z\\xfcrich \\u2713 failed\n" in result.out


def test_jobs_do_not_see_pythons_locale(program: Program) -> None:
    """In the C locale Python sets LC_CTYPE for itself; jobs get the caller's environment."""
    program.config({"a": "env | grep ^LC_ || echo none"})
    assert program("-c", "flow.json", env={"LANG": "C"}).code == 0
    assert program.output("a") == b"none\n"
    assert program("-c", "flow.json", env={"LANG": "C", "LC_CTYPE": "C.UTF-8"}).code == 0
    assert program.output("a", 2) == b"LC_CTYPE=C.UTF-8\n"
    assert program("-c", "flow.json", env={"LC_CTYPE": "C"}).code == 0
    assert program.output("a", 3) == b"LC_CTYPE=C\n"


# --- control characters -------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2J\x85\u202egnp.\u2066\u2028\u2029\u200f\ufeff\x7f"


@pytest.mark.parametrize("how", ["pipe", "terminal", "quiet", "verbose", "json"])
def test_nothing_that_a_terminal_obeys_is_printed(program: Program, how: str) -> None:
    """Names, descriptions, commands, reasons and output of jobs are shown with such characters escaped."""
    (program.folder / "checks.py").write_text(
        f"def bad():\n    raise ValueError({EVIL!r} + '\\r')\nCHECKS = {{'bad': bad}}\n"
    )
    (program.folder / "noise").write_bytes(EVIL.encode() + b"\r\tback\x08\xff\xfe\x80\nlast \x1b[5m line\x00\n")
    program.config(
        [
            {"id": "a", "command": "cat noise; exit 3", "description": f"Load {EVIL}"},
            {"id": "b", "command": "true", "description": EVIL, "pre_checks": [{"name": "bad"}]},
            {"id": "c", "command": f"echo '{EVIL}'; exit 4"},
        ],
        application_name=f"app{EVIL}",
        dependency_plugins=["checks.py"],
        continue_on_error=True,
    )
    flags = {"quiet": ["--quiet"], "verbose": ["--verbose"], "json": ["--format", "json"]}.get(how, [])
    if how == "terminal":
        result = on_screen(program, "-c", "flow.json", "--verbose")
    else:
        result = program("-c", "flow.json", *flags)
    assert result.code == 1
    assert_harmless(result.out)
    assert_harmless(result.err)
    [main_log] = [path for path in (program.folder / "logs").iterdir() if "job-" not in path.name]
    assert_harmless(main_log.read_text())
    assert b"\x1b]0;owned" in program.output("a")  # the log itself has what the job wrote


# --- closed, full and broken streams ------------------------------------------------------


@pytest.mark.parametrize(
    "closed",
    ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"],
)
def test_closed_streams(program: Program, closed: str) -> None:
    """With any of the three streams closed the run is as ever; nothing is written into logs or database."""
    program.config(
        {
            "a": 'echo out; echo err >&2; test -z "$(cat)"',
            "b": "ls -l /proc/self/fd | grep -c history",
            "c": "exit 3",
        },
        continue_on_error=True,
    )
    result = through_shell(program, closed, "-c", "flow.json", "--verbose")
    assert result.code == 1
    assert program.statuses() == {"a": "SUCCESS", "b": "FAILED", "c": "FAILED"}
    assert program.output("a") == b"out\nerr\n"
    assert program.output("b") == b"0\n"  # no descriptor of the history in a job
    assert program.output("c") == b""
    for job, row in program.jobs().items():
        lines = Path(row["log_path"]).read_text().splitlines()
        assert lines[0].startswith(f"=== {job}, run 1, "), lines
        assert lines[-1].startswith("=== "), lines
    with contextlib.closing(sqlite3.connect(program.history)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if ">&-" not in closed.replace("2>&-", ""):
        assert summary_of(result.out)
    if "2>&-" not in closed:
        assert result.err == "Error: Run 1 FAILED: b, c (flow)\n"


def test_all_streams_closed_without_a_run(program: Program) -> None:
    """Errors with nobody to read them still have their exit code."""
    assert through_shell(program, "<&- >&- 2>&-", "-c", "nope.json").code == 2
    assert through_shell(program, "<&- >&- 2>&-", "--help").code == 0


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 3", 1)])
def test_a_reader_that_goes_does_not_end_the_run(program: Program, command: str, code: int) -> None:
    """``| head -1``: the run goes on to its end, with its exit code and no traceback."""
    with gate(program.folder / "gate") as open_gate:
        program.config({"a": "read x < gate", "b": "true", "c": command})
        with ended(program.start("-c", "flow.json")) as process:
            assert process.stdout is not None
            assert "Run 1 started" in process.stdout.readline()
            process.stdout.close()
            open_gate()
            assert process.stderr is not None
            err = process.stderr.read()
            assert process.wait(60) == code
    assert err == ("" if code == 0 else "Error: Run 1 FAILED: c (flow)\n")
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS", "c": "FAILED" if code else "SUCCESS"}


def test_head_in_a_shell(program: Program) -> None:
    """A pipeline with ``head -1`` prints one line, nothing on stderr, and the program's exit code is 0."""
    program.config({f"j{n}": "true" for n in range(30)})
    script = '"$@" | head -1; echo "${PIPESTATUS[0]}"'
    for flags in ([], ["--dry-run"]):
        done = subprocess.run(
            ["bash", "-c", script, "bash", *program.command("-c", "flow.json", *flags)],
            cwd=program.folder,
            env=program.environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        assert done.stdout.splitlines()[1:] == ["0"]
    assert set(program.statuses().values()) == {"SUCCESS"}


def test_a_stderr_whose_reader_has_gone(program: Program) -> None:
    """A broken stderr changes neither the run nor stdout nor the exit code."""
    a_failure(program)
    with ended(program.start("-c", "flow.json")) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.wait(60) == 1
    assert summary_of(out)
    assert program.statuses() == {"good": "SUCCESS", "bad": "FAILED", "after": "SKIPPED"}


def test_a_full_disk_under_stdout_does_not_end_a_run(program: Program) -> None:
    """A run whose output cannot be written runs and records all its jobs; stderr says what is wrong."""
    program.config({"a": "echo x", "b": "touch ran"})
    with Path("/dev/full").open("wb") as full:
        process = program.start("-c", "flow.json", stdout=full)
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert err == "Error: The output cannot be written: No space left on device (stdout)\n"
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_a_reader_that_is_slow_and_does_not_block(program: Program) -> None:
    """A stdout that others set to non-blocking loses nothing of a long output."""
    program.config({f"job{n}": "true" for n in range(20_000)})
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    process = program.start("-c", "flow.json", "--dry-run", stdout=write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        lines = pipe.read().splitlines()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert sum(line.startswith("  - job") for line in lines) == 20_000


def test_stdin_is_not_for_jobs(program: Program) -> None:
    """A job reads nothing of what the caller's stdin holds, and the caller keeps it."""
    program.config({"a": "cat"})
    script = '"$@" -c flow.json --quiet; cat'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *program.command()],
        cwd=program.folder,
        env=program.environment(),
        input="mine\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("mine\n", "")
    assert program.output("a") == b""


def test_jobs_print_into_their_logs_only(program: Program) -> None:
    """Nothing that a successful job prints reaches the program's own streams."""
    program.config({"a": "echo to-stdout; echo to-stderr >&2"})
    result = program("-c", "flow.json")
    assert "to-std" not in result.out + result.err
    assert program.output("a") == b"to-stdout\nto-stderr\n"
    assert len(commands_of(result.out)) == 1
    assert sys.executable not in result.out
