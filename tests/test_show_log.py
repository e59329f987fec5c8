"""--show-log: what a job printed, byte by byte, from any terminal, also while it is still printing."""

import array
import fcntl
import filecmp
import os
import signal
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import Program, Result, ended, gate, peak_mib, wait_until
from history_tools import as_an_ordinary_user, kill
from past import add_runs, make_past
from screens import commands_of, on_screen, paste

CHUNK = 1 << 18  # what is read at once


class Raw(NamedTuple):
    """How the program ended, with its output as bytes."""

    code: int
    out: bytes
    err: str


def raw(program: Program, *args: str) -> Raw:
    """Run the program; its output is not decoded."""
    done = subprocess.run(
        program.command(*args),
        cwd=program.folder,
        env=program.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Raw(done.returncode, done.stdout, done.stderr.decode())


def log(program: Program, name: str, content: bytes) -> str:
    """Make a log; returns its path."""
    path = program.folder / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def one_run(program: Program, *jobs: dict[str, Any], **columns: Any) -> None:
    """The program's history: one run with these jobs."""
    make_past(program.history, [{"status": "FAILED", **columns, "jobs": jobs}])


def one_log(program: Program, content: bytes) -> None:
    """The program's history: one run of one job, which printed this."""
    one_run(program, {"id": "load", "log_path": log(program, "load.log", content)}, status="SUCCESS")


def following(program: Program, *args: str) -> "subprocess.Popen[str]":
    """Follow a log from another terminal."""
    return program.start("--show-log", *args, "--follow")


def next_line(process: "subprocess.Popen[str]", stream: str = "stdout") -> str:
    """The next line that a process prints, waited for."""
    pipe = process.stdout if stream == "stdout" else process.stderr
    assert pipe is not None
    line: str = pipe.readline()
    return line


def rest_of(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """What a process prints from here on to its end, on stdout and stderr."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    process.wait(60)
    return out, err


def whole_log(program: Program, job: str) -> str:
    """A job's log as it lies there."""
    return Path(program.jobs()[job]["log_path"]).read_text()


# --- as it is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"Reading part 2\nERROR: no such file\n",
        b"",
        b"\n",
        b"no newline at the end",
        b"\0\0\n\0",
        bytes(range(256)) * 40,
        b"caf\xe9 \xff\xfe \xe2\x82",
        b"\x1b[31mred\x1b[0m\r\nprogress 10%\rprogress 20%\r",
        b"x" + "漢".encode() * CHUNK,
    ],
    ids=["text", "empty", "newline", "no newline", "NUL", "binary", "not UTF-8", "escapes", "longer than a chunk"],
)
def test_a_log_comes_out_byte_by_byte(program: Program, content: bytes) -> None:
    """Stdout has the bytes of the file, all of them and nothing else; stderr nothing."""
    one_log(program, content)
    assert raw(program, "--show-log", "1", "load") == Raw(0, content, "")


def test_a_huge_log_takes_no_memory(program: Program) -> None:
    """A log of 50 MB, with lines and in one line, comes out whole with the memory of an empty one."""
    lines = log(program, "lines.log", b"row loaded into the warehouse\n" * 1_000_000)
    line = log(program, "line.log", b"x" * 50_000_000)
    empty = log(program, "empty.log", b"")
    jobs = [{"id": Path(path).stem, "log_path": path} for path in (lines, line, empty)]
    one_run(program, *jobs)
    out = program.folder / "out"
    least = peak_mib(program, out, "--show-log", "1", "empty")
    for path in (lines, line):
        assert peak_mib(program, out, "--show-log", "1", Path(path).stem) < least + 6
        assert filecmp.cmp(path, out, shallow=False)
        tail = peak_mib(program, out, "--show-log", "1", Path(path).stem, "--tail", "999999")
        assert tail < least + 6


# --- on a terminal --------------------------------------------------------------------------


def test_a_terminal_gets_nothing_that_it_would_obey(program: Program) -> None:
    """Controls, bidi marks and bytes that are not UTF-8 are escaped; newlines, tabs and letters are kept."""
    content = "a\tb Zürich 東京 🚀\n\x1b[31mred\x07 \x7f \x9b2J \u202eabc \u2066 \u2028 \ufeff\n10%\r20%\r\n\0"
    one_log(program, content.encode() + b" caf\xe9 \xff\n")
    shown = "a\tb Zürich 東京 🚀\n\\e[31mred\\x07 \\x7f \\x9b2J \\u202eabc \\u2066 \\u2028 \\ufeff\n10%\\r20%\\r\n"
    assert on_screen(program, "--show-log", "1", "load") == Result(0, shown + "\\x00 caf\\xe9 \\xff\n", "")


@pytest.mark.parametrize("before", [0, 1, 2])
def test_characters_across_two_reads_are_whole_on_a_terminal(program: Program, before: int) -> None:
    """A character whose bytes are read in two goes is shown as itself, wherever the cut is."""
    content = "x" * before + ("漢" * 99 + "\n") * 1200
    assert len(content.encode()) > CHUNK
    one_log(program, content.encode())
    assert on_screen(program, "--show-log", "1", "load") == Result(0, content, "")


@pytest.mark.parametrize(("cut", "shown"), [(b"\xe2\x82", "\\xe2\\x82"), (b"\xf0\x9f\x9a", "\\xf0\\x9f\\x9a")])
def test_a_character_that_the_log_ends_in_is_shown_on_a_terminal(program: Program, cut: bytes, shown: str) -> None:
    """A job that was killed in the middle of a character: the bytes that are there are shown, not swallowed."""
    one_log(program, b"price: 5 " + cut)
    assert on_screen(program, "--show-log", "1", "load") == Result(0, f"price: 5 {shown}", "")


def test_a_terminal_that_cannot_show_unicode_gets_escapes(program: Program) -> None:
    """In an ASCII locale no letter is lost and the program does not fail."""
    one_log(program, "Zürich\n".encode())
    screen = on_screen(program, "--show-log", "1", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert screen == Result(0, "Z\\xfcrich\n", "")


# --- which job ------------------------------------------------------------------------------


def jobs_of(program: Program, *statuses: str) -> list[dict[str, Any]]:
    """Jobs a, b, c... with these statuses, each with a log that has its name in it."""
    return [
        {"id": name, "status": status, "log_path": log(program, f"{name}.log", f"{name} says\n".encode())}
        for name, status in zip("abcdefgh", statuses, strict=False)
    ]


@pytest.mark.parametrize(
    ("statuses", "chosen"),
    [
        (("SUCCESS", "FAILED", "SKIPPED"), "b"),
        (("SUCCESS", "SUCCESS", "TIMEOUT"), "c"),
        (("ERROR", "SUCCESS"), "a"),
        (("SUCCESS", "FAILED", "INTERRUPTED"), "b"),
        (("SUCCESS", "INTERRUPTED", "SKIPPED"), "b"),
        (("SUCCESS",), "a"),
    ],
    ids=["failed", "timed out", "error", "failed beside interrupted", "interrupted", "only job"],
)
def test_the_job_may_be_left_out_where_one_is_in_question(
    program: Program, statuses: Sequence[str], chosen: str
) -> None:
    """The one that failed, else the one that was interrupted, else the only one."""
    one_run(program, *jobs_of(program, *statuses))
    assert program("--show-log", "1") == Result(0, f"{chosen} says\n", "")


def test_the_job_may_be_left_out_where_one_is_running(program: Program) -> None:
    """Of a live run whose jobs have not failed the running one is meant."""
    program.config({"a": "true", "b": "echo b says; touch up; read x < gate", "c": "true"})
    with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        shown = program("--show-log", "last")
        assert (shown.code, shown.err) == (0, "")
        assert shown.out == whole_log(program, "b")
        assert shown.out.endswith("\nb says\n")


def test_several_failed_jobs_are_named(program: Program) -> None:
    """Exit 2; a command for each, which shows that job's log when it is pasted at another place."""
    one_run(program, *jobs_of(program, "FAILED", "SUCCESS", "TIMEOUT"))
    result = program("--show-log", "1")
    assert result == Result(
        2,
        "",
        f"""\
Error: Run 1 has 2 failed jobs: name one ({program.history})
a:
  cd {program.folder} && executioner.py --show-log 1 a
c:
  cd {program.folder} && executioner.py --show-log 1 c
""",
    )
    assert [paste(program, line).out for line in commands_of(result.err)] == ["a says\n", "c says\n"]


def test_of_many_failed_jobs_some_are_named(program: Program) -> None:
    """More than five: five commands, and the one that shows all of them."""
    make_past(program.folder / "h.db", [{"status": "FAILED", "jobs": jobs_of(program, *["FAILED"] * 7)}])
    screen = on_screen(program, "--show-log", "1", "--db", "h.db")
    steps = "".join(f"{name}:\n  executioner.py --db h.db --show-log 1 {name}\n" for name in "abcde")
    text = f"Error: Run 1 has 7 failed jobs: name one (h.db)\n{steps}"
    names = "All 7:\n  executioner.py --db h.db --show-run 1 --status failed\n"
    assert screen == Result(2, f"{text}{names}", "")


def test_several_interrupted_jobs_are_named(program: Program) -> None:
    """Where none failed but several were interrupted, these are named."""
    one_run(program, *jobs_of(program, "INTERRUPTED", "INTERRUPTED"))
    result = program("--show-log", "1")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: Run 1 has 2 interrupted jobs: name one (")
    assert [line.split()[-1] for line in commands_of(result.err)] == ["a", "b"]


def test_where_no_job_failed_one_must_be_named(program: Program) -> None:
    """Exit 2, and the command that shows which jobs there are."""
    one_run(program, *jobs_of(program, "SUCCESS", "SUCCESS"), status="SUCCESS")
    assert program("--show-log", "last") == Result(
        2,
        "",
        f"""\
Error: No job of run 1 failed: name the one to see ({program.history})
To see its jobs:
  cd {program.folder} && executioner.py --show-run 1
""",
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("transform_prt2", '  did you mean "transform_part2"?\n\n'), ("zzz", ""), ("\x1b[2J", ""), ("", "")],
)
def test_an_unknown_job_is_an_error(program: Program, name: str, hint: str) -> None:
    """Exit 2 with what was probably meant, the name escaped, and the command that shows the jobs."""
    one_run(program, {"id": "load"}, {"id": "transform_part2", "status": "FAILED"})
    shown = name.replace("\x1b", "\\u001b")
    assert program("--show-log", "1", name) == Result(
        2,
        "",
        f"""\
Error: Run 1 has no job "{shown}" ({program.history})
{hint}To see its jobs:
  cd {program.folder} && executioner.py --show-run 1
""",
    )


@pytest.mark.parametrize("word", ["last", "LAST"])
def test_last_is_the_newest_run(program: Program, word: str) -> None:
    """Without ``-c`` the newest of all, with it the newest of that config."""
    program.config({"a": "true"})
    old, new = (log(program, f"{name}.log", name.encode()) for name in ("old", "new"))
    runs = [
        {"config_path": str(program.folder / "flow.json"), "jobs": [{"id": "a", "log_path": old}]},
        {"config_path": str(program.folder / "other.json"), "jobs": [{"id": "a", "log_path": new}]},
    ]
    make_past(program.history, runs)
    assert program("--show-log", word) == Result(0, "new", "")
    assert program("--show-log", word, "-c", "flow.json") == Result(0, "old", "")


# --- no log to show -------------------------------------------------------------------------


def to_see(program: Program) -> str:
    """The step that errors about the logs of run 1 end with."""
    return f"To see its run:\n  cd {program.folder} && executioner.py --show-run 1\n"


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"status": "SKIPPED", "reason": "dependency failed"}, ": it was skipped (dependency failed)"),
        ({"status": "SKIPPED", "reason": "--skip"}, ": it was skipped (--skip)"),
        ({"status": "ERROR", "reason": "Cannot be started"}, ": Cannot be started"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--follow",), ("--tail", "3")])
def test_a_job_that_printed_nothing_has_no_log(
    program: Program, columns: dict[str, str], why: str, more: Sequence[str]
) -> None:
    """Exit 2, and why it was skipped, or could not be started."""
    one_run(program, {"id": "load", **columns})
    expected = f"Error: load has no log in run 1{why}\n{to_see(program)}"
    assert program("--show-log", "1", "load", *more) == Result(2, "", expected)


def test_a_log_that_was_deleted_is_an_error(program: Program) -> None:
    """Exit 2, and the path is named, as seen from the current folder or whole."""
    gone = program.folder / "logs/gone.log"
    one_run(program, {"id": "load", "log_path": str(gone)}, {"id": "far", "log_path": "/nowhere/far.log"})
    why = "cannot be read: No such file or directory"
    assert program("--show-log", "1", "load") == Result(
        2, "", f"Error: The log of load {why} (./logs/gone.log)\n{to_see(program)}"
    )
    assert program("--show-log", "1", "far") == Result(
        2, "", f"Error: The log of far {why} (/nowhere/far.log)\n{to_see(program)}"
    )


@pytest.mark.parametrize("more", [(), ("--tail", "3")])
def test_a_folder_in_the_place_of_a_log_is_an_error(program: Program, more: Sequence[str]) -> None:
    """Exit 2 and the path: nothing internal, and nothing is said of running jobs."""
    (program.folder / "load.log").mkdir()
    one_run(program, {"id": "load", "log_path": str(program.folder / "load.log")})
    expected = f"Error: The log of load cannot be read: it is a folder (./load.log)\n{to_see(program)}"
    assert program("--show-log", "1", *more) == Result(2, "", expected)


def test_a_log_that_may_not_be_read_is_an_error(program: Program) -> None:
    """Exit 2 with the system's reason and the path."""
    one_log(program, b"secret\n")
    (program.folder / "logs/load.log").chmod(0)
    expected = f"Error: The log of load cannot be read: Permission denied (./logs/load.log)\n{to_see(program)}"
    assert as_an_ordinary_user(program, "--show-log", "1") == Result(2, "", expected)


# --- reused jobs ----------------------------------------------------------------------------


def test_a_reused_job_shows_the_log_of_the_run_in_which_it_ran(program: Program) -> None:
    """Through a chain of resumes; and that run's own log, wherever the copied row points to."""
    first = {"id": "load", "log_path": log(program, "run-1.log", b"really ran\n")}
    other = log(program, "other.log", b"something else\n")
    runs = [
        {"status": "FAILED", "jobs": [first]},
        {"parent_run_id": 1, "status": "FAILED", "jobs": [{**first, "source_run_id": 1, "log_path": other}]},
        {"parent_run_id": 2, "root_run_id": 1, "jobs": [{**first, "source_run_id": 1, "log_path": None}]},
    ]
    make_past(program.history, runs)
    for run_id in ("2", "3"):
        for more in ((), ("--follow",), ("--tail", "1")):
            assert program("--show-log", run_id, "load", *more) == Result(0, "really ran\n", "")


def test_a_reused_job_of_a_run_that_is_gone_shows_its_log_all_the_same(program: Program) -> None:
    """Old runs may be deleted: the row of the resumed run has a copy of the path."""
    path = log(program, "run-1.log", b"really ran\n")
    one_run(program, {"id": "load", "source_run_id": 1, "log_path": path}, run_id=2, parent_run_id=1)
    assert program("--show-log", "2", "load") == Result(0, "really ran\n", "")


def test_where_the_log_of_a_reused_job_was_deleted_its_path_is_named(program: Program) -> None:
    """Exit 2 with the path of the log that the source run wrote."""
    runs = [
        {"status": "FAILED", "jobs": [{"id": "load", "log_path": f"{program.folder}/run-1.log"}]},
        {"parent_run_id": 1, "jobs": [{"id": "load", "source_run_id": 1}]},
    ]
    make_past(program.history, runs)
    expected = f"Error: The log of load cannot be read: No such file or directory (./run-1.log)\n{to_see(program)}"
    assert program("--show-log", "2", "load") == Result(2, "", expected)


# --- the last lines -------------------------------------------------------------------------


def last_lines(content: bytes, number: int) -> bytes:
    """The last lines of a text, by Python's own means."""
    lines = content.split(b"\n")
    ended_lines = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    return b"".join(ended_lines[len(ended_lines) - number :] if number < len(ended_lines) else ended_lines)


LONG = b"".join(b"row %d\n" % number for number in range(100_000))


@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (b"one\ntwo\nthree\n", (0, 1, 2, 3, 4, 1_000_000_000)),
        (b"one\ntwo\nthree", (0, 1, 2, 3, 4)),
        (b"\n\n\n", (0, 1, 2, 3, 4)),
        (b"\n\nx", (1, 2, 3)),
        (b"no line feed\rat all", (0, 1, 2)),
        (b"", (0, 1, 7)),
        (LONG, (1, 2, 37_449, 37_450, 99_999, 100_000, 100_001)),
        (b"first\n" + b"x" * (2 * CHUNK) + b"\nlast\n", (1, 2, 3)),
        (b"a\n" + b"x" * (CHUNK - 1) + b"\n", (1, 2)),
        (b"a" + b"\n" * CHUNK, (CHUNK - 1, CHUNK)),
    ],
    ids=[
        "ended",
        "not ended",
        "empty lines",
        "x",
        "one line",
        "empty",
        "long",
        "long line",
        "at a chunk",
        "feeds",
    ],
)
def test_tail_shows_the_last_lines(program: Program, content: bytes, numbers: Sequence[int]) -> None:
    """None, some, all and more than there are; a last line without a line feed is a line."""
    one_log(program, content)
    for number in numbers:
        result = raw(program, "--show-log", "1", "--tail", str(number))
        assert result == Raw(0, last_lines(content, number), ""), number


def test_the_last_lines_of_a_log_of_gigabytes_come_at_once(program: Program) -> None:
    """Only the end of the file is read: of 64 GB that would take minutes."""
    one_log(program, b"")
    path = program.folder / "logs/load.log"
    os.truncate(path, 64 << 30)
    with path.open("ab") as file:
        file.write(b"\nlast but one\nlast\n")
    result = program("--show-log", "1", "--tail", "2", timeout=20)
    assert result == Result(0, "last but one\nlast\n", "")


def test_tail_on_a_terminal_is_escaped_as_well(program: Program) -> None:
    """The last lines are shown as the whole log is."""
    one_log(program, b"one\ntwo \x1b[2J\nthree\xff")
    assert on_screen(program, "--show-log", "1", "--tail", "2") == Result(0, "two \\e[2J\nthree\\xff", "")


# --- following ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "INTERRUPTED"])
def test_following_a_job_that_has_ended_prints_its_log(program: Program, status: str) -> None:
    """All of it or its last lines, and the program ends."""
    one_run(program, {"id": "load", "status": status, "log_path": log(program, "load.log", b"one\ntwo\n")})
    assert program("--show-log", "1", "--follow") == Result(0, "one\ntwo\n", "")
    assert program("--show-log", "1", "load", "--follow", "--tail", "1") == Result(0, "two\n", "")


def test_following_prints_what_comes_and_ends_with_the_job(program: Program) -> None:
    """Each line is there while the job still runs; in the end all of the log, its footer too, has been printed."""
    program.config({"a": "echo one; touch up; read x < gate; echo two; read x < gate; printf three", "b": "true"})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(following(program, "1", "a")) as follower:
            seen = [next_line(follower), next_line(follower)]
            let()
            seen.append(next_line(follower))
            assert seen[1:] == ["one\n", "two\n"]
            assert follower.poll() is None
            let()
            rest, err = rest_of(follower)
        assert "".join(seen) + rest == whole_log(program, "a")
        assert rest.startswith("three\n=== ")
        assert (follower.returncode, err) == (0, "")


def test_following_waits_for_a_pending_job(program: Program) -> None:
    """It says that it waits, on stderr; then it prints the job's whole log."""
    program.config(
        [
            {"id": "a", "command": "touch up; read x < gate"},
            {"id": "b", "command": "echo one", "dependencies": ["a"]},
        ]
    )
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(following(program, "last", "b")) as follower:
            assert next_line(follower, "stderr") == "Waiting for b to start\n"
            let()
            out, err = rest_of(follower)
        assert (follower.returncode, out, err) == (0, whole_log(program, "b"), "")


def test_the_last_lines_of_a_job_that_has_not_started_are_all_that_come(program: Program) -> None:
    """``--tail`` is about what was there when following began: nothing that comes later is left out."""
    program.config(
        [
            {"id": "a", "command": "touch up; read x < gate"},
            {"id": "b", "command": "echo one; echo two; read x < gate", "dependencies": ["a"]},
        ]
    )
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        with ended(program.start("--show-log", "1", "b", "--follow", "--tail", "0")) as follower:
            assert next_line(follower, "stderr") == "Waiting for b to start\n"
            let()
            let()
            runner.communicate(timeout=60)
            out, _ = rest_of(follower)
    assert out == whole_log(program, "b")


@pytest.mark.parametrize(("number", "first"), [(1, "two\n"), (9, "=== ")])
def test_following_may_begin_at_the_last_lines(program: Program, number: int, first: str) -> None:
    """``--tail N --follow``: the last lines that are there, then all that comes."""
    program.config({"a": "echo one; echo two; touch up; read x < gate; echo three"})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(program.start("--show-log", "1", "--follow", "--tail", str(number))) as follower:
            seen = next_line(follower)
            let()
            seen += rest_of(follower)[0]
    assert seen.startswith(first)
    assert whole_log(program, "a").endswith(seen)
    assert "three\n=== " in seen


def test_following_goes_through_the_attempts(program: Program) -> None:
    """A job that is tried again is followed to its last attempt; all attempts are printed."""
    command = "echo try $EXECUTIONER_ATTEMPT; read x < gate; [ $EXECUTIONER_ATTEMPT = 3 ]"
    program.config([{"id": "a", "command": command, "max_retries": 5, "retry_delay": 0.01}])
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        wait_until(lambda: program.history.exists() and program.rows("SELECT * FROM run_metadata"), "the run")
        with ended(following(program, "1", "a")) as follower:
            seen = []
            for attempt in (1, 2, 3):
                while not seen or seen[-1] != f"try {attempt}\n":
                    seen.append(next_line(follower))
                    assert seen[-1], "it ended too early"
                let()
            rest, _ = rest_of(follower)
        assert "".join(seen) + rest == whole_log(program, "a")
        assert follower.returncode == 0


@pytest.mark.parametrize("at", ["output", "waiting"])
def test_following_ends_when_the_runner_was_killed(program: Program, at: str) -> None:
    """After kill -9 nobody would ever record the job's end: it ends with the job, with all that was printed."""
    program.config({"a": "echo one; touch up; read x < gate", "b": "true"})
    with gate(program.folder / "gate") as let_on, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        with ended(following(program, "1", "a" if at == "output" else "b")) as follower:
            if at == "output":
                first = next_line(follower) + next_line(follower)
                kill(runner)
                let_on()
                rest, err = rest_of(follower)
                assert first + rest == whole_log(program, "a")
                assert follower.returncode == 0
            else:
                assert next_line(follower, "stderr") == "Waiting for b to start\n"
                kill(runner)
                out, err = rest_of(follower)
                expected = "Error: b has no log in run 1: it was skipped (run interrupted)\n"
                expected += to_see(program)
                assert (follower.returncode, out, err) == (2, "", expected)
        assert "Traceback" not in err


def test_following_a_job_that_will_not_start_ends_with_the_reason(program: Program) -> None:
    """It waits for a pending job, and what that depends on fails: exit 2, and why there is no log."""
    jobs: list[dict[str, Any]] = [
        {"id": "a", "command": "touch up; read x < gate; false"},
        {"id": "b", "command": "true", "dependencies": ["a"]},
    ]
    program.config(jobs)
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(following(program, "1", "b")) as follower:
            assert next_line(follower, "stderr") == "Waiting for b to start\n"
            let()
            out, err = rest_of(follower)
    expected = "Error: b has no log in run 1: it was skipped (dependency failed)\n"
    expected += to_see(program)
    assert (follower.returncode, out, err) == (2, "", expected)


def test_following_goes_on_where_the_job_empties_its_log(program: Program) -> None:
    """A job that truncates its own output is followed from the new beginning."""
    emptying = "echo before before before; touch up; read x < gate; : > /proc/self/fd/1; echo after; read x < gate"
    program.config({"a": emptying})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(following(program, "1", "a")) as follower:
            assert next_line(follower).startswith("=== ")
            assert next_line(follower) == "before before before\n"
            let()
            assert next_line(follower) == "after\n"
            let()
            rest, err = rest_of(follower)
        assert rest.startswith("=== ")
        assert (follower.returncode, err) == (0, "")


@pytest.mark.parametrize("job", ["a", "b"])
def test_ctrl_c_is_the_end_of_following(program: Program, job: str) -> None:
    """While the job is quiet or has not started: exit 130 and no word; the run is not touched."""
    program.config({"a": "echo one; touch up; read x < gate", "b": "true"})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("up")
        with ended(following(program, "1", job)) as follower:
            before = next_line(follower, "stdout" if job == "a" else "stderr")
            assert before
            follower.send_signal(signal.SIGINT)
            out, err = rest_of(follower)
        assert (follower.returncode, err) == (130, "")
        assert before + out == (whole_log(program, "a") if job == "a" else before)
        let()
        runner.communicate(timeout=60)
        assert runner.returncode == 0


def waiting_in(pipe: Any) -> int:
    """How many bytes a pipe holds that nobody has read."""
    number = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, number)
    return number[0]


def test_ctrl_c_ends_following_also_where_the_reader_is_stuck(program: Program) -> None:
    """A pager that waits at its first screen: the first Ctrl-C is enough, the rest is not waited for."""
    program.config({"a": "head -c 1000000 /dev/zero; touch up; read x < gate"})
    with gate(program.folder / "gate"), ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(following(program, "1", "a")) as follower:
            wait_until(lambda: waiting_in(follower.stdout) >= 65536, "a full pipe")
            follower.send_signal(signal.SIGINT)
            try:
                follower.wait(4)
            except subprocess.TimeoutExpired:
                pytest.fail("it waits for the reader")
        assert follower.returncode == 130


@pytest.mark.parametrize("prints_more", [True, False], ids=["at the next output", "while the job is quiet"])
def test_following_ends_with_its_reader(program: Program, prints_more: bool) -> None:
    """``--follow | head -1`` ends without a word when head has gone, as with GNU tail also in a quiet minute."""
    program.config({"a": "echo one; touch up; read x < gate; echo two; read x < gate"})
    with gate(program.folder / "gate") as let, ended(program.start("-c", "flow.json")):
        program.wait_for("up")
        with ended(following(program, "1", "a")) as follower:
            next_line(follower)
            assert follower.stdout is not None
            assert follower.stderr is not None
            follower.stdout.close()
            if prints_more:
                let()
            try:
                follower.wait(4)
            except subprocess.TimeoutExpired:
                pytest.fail("it goes on for nobody")
            assert (follower.returncode, follower.stderr.read()) == (0, "")
            follower.stdout = None
        assert program.run_row()["status"] == "RUNNING"


def test_a_reader_that_takes_one_line_of_a_long_log_is_no_error(program: Program) -> None:
    """``--show-log | head -1`` of a long log: exit 0, stderr empty."""
    one_log(program, LONG)
    with ended(program.start("--show-log", "1")) as process:
        assert next_line(process) == "row 0\n"
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (0, "")
        process.stdout = None


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [("999",), ("0",), ("9" * 40,), ("999", "-c", "flow.json"), ("last", "-c", "other.json")],
    ids=" ".join,
)
def test_a_run_that_is_not_there_is_told_as_show_run_tells_it(program: Program, args: Sequence[str]) -> None:
    """The same message with the recent runs, the same exit code, nothing on stdout."""
    program.config({"a": "true"})
    make_past(program.history, [{"config_path": str(program.folder / "flow.json")}, {"status": "FAILED"}])
    result = program("--show-log", *args)
    assert result == program("--show-run", *args)
    assert (result.code, result.out) == (2, "")
    assert "  Run 1 - SUCCESS - 2025-05-23 09:45:00\n" in result.err


@pytest.mark.parametrize("args", [("last",), ("7",)])
@pytest.mark.parametrize("made", [False, True], ids=["no history", "no run"])
def test_where_nothing_was_ever_run_it_is_told_as_show_run_tells_it(
    program: Program, args: Sequence[str], made: bool
) -> None:
    """The same words and exit code as of ``--show-run``, with no history and with one that has no runs."""
    if made:
        make_past(program.history, [])
    result = program("--show-log", *args)
    assert result == program("--show-run", *args)
    assert result.code == (2 if args == ("7",) else 0)
    assert (result.out, "No runs yet" in result.err) == ("", True)


@pytest.mark.parametrize("content", [None, b"not a database at all"], ids=["absent", "foreign"])
def test_a_history_that_cannot_be_used_is_exit_3(program: Program, content: bytes | None) -> None:
    """Of ``--db``: as ``--show-run`` says it, and nothing is made or changed."""
    path = program.folder / "h.db"
    if content is not None:
        path.write_bytes(content)
    result = program("--show-log", "1", "--db", "h.db")
    assert result == program("--show-run", "1", "--db", "h.db")
    assert (result.code, result.out) == (3, "")
    assert sorted(os.listdir(program.folder)) == ([] if content is None else ["h.db"])


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("--show-log",), '--show-log: expected a run id or "last"'),
        (("--show-log", "x"), '--show-log: expected a run id or "last", got "x"'),
        (("--show-log", "load", "1"), '--show-log: expected a run id or "last", got "load"'),
        (("--show-log", "1", "a", "b"), '--show-log takes a run id and one job, got "b" as well'),
        (("--show-log", "1", "--tail", "-1"), '--tail: expected a number from 0 to 1,000,000,000, got "-1"'),
        (
            ("--show-log", "1", "--tail", "ten"),
            '--tail: expected a number from 0 to 1,000,000,000, got "ten"',
        ),
        (("--show-log", "1", "--dry-run"), "--dry-run does not go with --show-log"),
        (("--show-log", "1", "--status", "FAILED"), "--status does not go with --show-log"),
        (("--show-log", "1", "--last", "3"), "--last does not go with --show-log"),
        (("--show-log", "1", "--show-run", "1"), "--show-run does not go with --show-log"),
        (("--show-log", "1", "--list-runs"), "--list-runs does not go with --show-log"),
        (("--show-log", "1", "--format", "csv"), "--format csv goes with --list-runs or --show-run"),
        (("--show-log", "1", "--format", "json"), "--format json does not go with --show-log"),
        (("--tail", "3"), "--tail goes with --show-log"),
        (("--follow",), "--follow goes with --show-log"),
        (("--follow", "--show-run", "1"), "--follow does not go with --show-run"),
        (("--tail", "0", "--list-runs"), "--tail does not go with --list-runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_words_are_exit_2(program: Program, args: Sequence[str], what: str) -> None:
    """What does not go together is refused rather than left unheard."""
    one_log(program, b"one\n")
    expected = (
        f"Error: {what} (command line)\nTo see all options:\n  cd {program.folder} && executioner.py --help\n"
    )
    assert program(*args) == Result(2, "", expected)


def test_a_run_that_was_added_since_is_found(program: Program) -> None:
    """Each call reads the history as it is then."""
    one_log(program, b"one\n")
    add_runs(program.history, [{"jobs": [{"id": "load", "log_path": log(program, "two.log", b"two\n")}]}])
    assert program("--show-log", "last") == Result(0, "two\n", "")
