"""Text and files that mean harm: what reaches a terminal, what is written where, and what is followed."""

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Program, Result, ended, wait_until
from history_tools import gate, names, pid_in
from screens import assert_harmless, on_screen, tree
from test_history_failing import break_history

pytestmark = pytest.mark.promise(11)

#: Titles, clipboard, device control, cursor, C0, C1, bidirectional marks, separators, a line of its own.
EVIL = (
    "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1bPq\x1b\\\x1b[5m\x1b[2J\x9b2J\x90x\x9c\x85\x08\x0b\x0c\x0e\r"
    "\u202egnp.\u2066\u2069\u061c\u2028\u2029\u200e\u200f\ufeff\x7f\nFORGED line\t"
)
PATH_EVIL = EVIL.replace("/", "")
NOISE = EVIL.replace("FORGED", "a").encode() + b"\xff\xfe\xed\xb2\x80\x00\nlast \x1b[5m\x9bline\n"
_OWN_COLOURS = re.compile("\x1b\\[(?:0|1|2|31|32|33|36)m")


def assert_calm(result: Result, what: object) -> None:
    """Nothing in it that a terminal would obey, no line that a text made up, no traceback."""
    for text in (result.out, result.err):
        try:
            assert_harmless(text.replace("\t", "") if "--show-log" in str(what) else text)  # a log keeps its tabs
        except AssertionError as exc:
            raise AssertionError(f"{what}: {exc}") from None
        ours = "" if "--show-log" in str(what) else text.partition("Failed Job Log Preview")[0]
        assert "\nFORGED" not in ours, (what, text)  # a job's output has lines of its own
        assert "Traceback" not in text, (what, text)
    assert result.code in (0, 1, 2, 3), (what, result)


def shown(program: Program, *args: str) -> Result:
    """A screen on a terminal; without colours it is the same."""
    result = on_screen(program, *args)
    assert_calm(result, args)
    return result


def hostile_config(program: Program) -> str:
    """A config in which every text means harm; returns its name, which does so, too."""
    (program.folder / "noise").write_bytes(NOISE)
    (program.folder / "checks.py").write_text(
        f"def bad():\n    raise ValueError({EVIL!r})\nCHECKS = {{'bad': bad}}\n"
    )
    (program.folder / f"dir{PATH_EVIL}").mkdir()
    return program.config(
        [
            {"id": "good", "command": f"echo '{EVIL}'", "description": EVIL},
            {"id": "a", "command": "cat noise; exit 3", "description": f"Load {EVIL}"},
            {"id": "b", "command": "true", "pre_checks": [{"name": "bad"}], "working_dir": f"dir{PATH_EVIL}"},
            {"id": "c", "command": f"./{EVIL}", "env_variables": {"X": EVIL}},
            {"id": "d", "command": "true", "description": EVIL, "dependencies": ["a"]},
        ],
        name=f"flow{PATH_EVIL}.json",
        application_name=f"app{EVIL}",
        dependency_plugins=["checks.py"],
        continue_on_error=True,
        log_dir=f"logs{PATH_EVIL}",
        env_variables={"Y": EVIL},
    )


def readers(config: str) -> Iterator[list[str]]:
    """Every screen that looks at the runs of a config, and changes nothing."""
    yield ["--list-runs"]
    yield ["--list-runs", "--app", "app*", "--since", "7d"]
    yield ["-c", config, "--list-runs"]
    for form in ("json", "csv"):
        yield ["--list-runs", "--format", form]
        yield ["--show-run", "1", "--format", form]
    yield ["--show-run", "1"]
    yield ["--show-run", "1", "--status", "failed,skipped"]
    for job in ("good", "a", "b"):
        yield ["--show-log", "1", job]
    yield ["--show-log", "1", "a", "--tail", "2"]
    for more in ([], ["--verbose"], ["--format", "json"], ["--from-job", "a", "--yes"], ["--resume-failed-only"]):
        yield ["--resume-from", "1", "--dry-run", *more]
    yield ["--mark-success", "1", "a", "c", "--dry-run", "--reason", EVIL]
    yield ["--mark-success", "1", "no-such-job"]
    yield ["--show-run", "999"]
    yield ["-c", config, "--resume-from", "999"]


def test_every_screen_of_a_hostile_config(tmp_path: Path, nightly: bool, cases: Callable[[int], None]) -> None:
    """Names, paths, commands, descriptions, output, checks and marks: each screen shows them escaped."""
    program = Program(tmp_path / f"work{PATH_EVIL}")
    config = hostile_config(program)
    number = 0
    for flags in (["--validate"], ["--dry-run"], ["--dry-run", "--verbose"], ["--dry-run", "--format", "json"]):
        assert shown(program, "-c", config, *flags).code == 0
    for flags in ([], ["--verbose", "--debug"], ["--quiet"], ["--format", "json"]):
        assert shown(program, "-c", config, *flags, "--env", f"PLAIN={EVIL}").code == 1
    for args in readers(config):
        shown(program, *args)
        number += 1
    assert "app\\e]0;owned" in shown(program, "--show-run", "1").out  # what is escaped is there
    coloured = program.on_terminal("--show-run", "1")
    assert "\x1b[31m" in coloured.out
    assert_harmless(_OWN_COLOURS.sub("", coloured.out))
    assert shown(program, "--mark-success", "1", "a", "--yes", "--reason", EVIL).code == 0
    again = [args for args in readers(config) if nightly or "--dry-run" in args or args == ["--show-run", "1"]]
    for args in again:
        shown(program, *args)
        number += 1
    text = (program.folder / config).read_text().replace("echo ", "echo changed ")
    (program.folder / config).write_text(text)
    refused = shown(program, "--resume-from", "1", "--yes")
    assert (refused.code, "changed" in refused.out) == (2, True)
    cases(number + 12)


ERRORS: list[list[str]] = [
    ["-c", f"gone{EVIL}.json"],
    ["-c", "flow.json", f"--skip={EVIL}"],
    ["-c", "flow.json", "--env", f"{EVIL}=1"],
    ["-c", "flow.json", "--env", EVIL],
    ["-c", "flow.json", "-j", EVIL],
    ["-c", "flow.json", "--from-job", EVIL],
    [f"--{EVIL}"],
    [EVIL],
    ["--db", f"gone{EVIL}.db", "--list-runs"],
    ["--db", f"gone{EVIL}/x.db", "--show-run", "1"],
    ["--list-runs", "--status", EVIL],
    ["--list-runs", "--since", EVIL],
    ["--list-runs", "--app", EVIL],
    ["--list-runs", "--user", EVIL],
    ["--list-runs", "-c", EVIL],
    ["--show-run", EVIL],
    ["--show-log", "1", EVIL],
    ["--resume-from", EVIL],
    ["--mark-success", "1", EVIL],
    ["--color", EVIL],
    ["--format", EVIL, "--list-runs"],
    ["-c", "keys.json"],
    ["-c", "types.json"],
    ["-c", "plugin.json"],
    ["-c", "circle.json"],
    ["-c", "no-json.json"],
]


def test_every_error_about_a_hostile_word(program: Program, nightly: bool, cases: Callable[[int], None]) -> None:
    """What was typed or stands in a wrong config is named in the error, escaped, and nothing is run."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    program.config([{"id": "a", "command": "touch wrong", EVIL: 1, "dependencies": [EVIL]}], "keys.json")
    program.config([{"id": EVIL, "command": 3, "timeout": EVIL}], "types.json", **{f"log_dir{EVIL}": EVIL})
    program.config({"a": "touch wrong"}, "plugin.json", dependency_plugins=[f"p{EVIL}.py"])
    circle = {"A": "${B}" + EVIL, "B": "${A}"}
    program.config({"a": "touch wrong"}, "circle.json", env_variables=circle)
    (program.folder / "no-json.json").write_bytes(b'{"jobs": [' + EVIL.encode() + b"\xff\x1b[5m")
    for args in ERRORS:
        result = shown(program, *args)
        assert result.out, args
        if nightly:
            piped = program(*args)
            assert_calm(piped, args)
            assert piped.code == result.code, args
        assert not (program.folder / "wrong").exists(), args
    cases(len(ERRORS) * (2 if nightly else 1))


# --- rows that somebody edited ----------------------------------------------------------------------

#: Texts as SQL: SQLite takes what is no UTF-8, and NUL.
TEXTS = {
    "escapes": EVIL.encode(),
    "nul": b"a\0b" + EVIL.encode(),
    "no utf-8": b"\xff\xfe\x9b2J\xed\xb2\x80\xc3" + EVIL.encode(),
    "long": b"x\x1b[5m" * 4000,
    "empty": b"",
}
FREE = {
    "run_metadata": [
        "config_path",
        "failure_summary",
        "application_name",
        "user",
        "host",
        "working_dir",
        "log_path",
    ],
    "job_history": [
        "description",
        "command",
        "reason",
        "application_name",
        "last_error",
        "marked_by",
        "mark_reason",
    ],
}
#: Columns in which only certain texts make sense.
STRICT = {
    "run_metadata": [
        "config_hash",
        "start_time",
        "end_time",
        "status",
        "options",
        "boot_id",
        "executioner_version",
    ],
    "job_history": ["status", "start_time", "end_time", "last_run", "retry_history", "log_path", "definition"],
}


def edited(
    program: Program, columns: Mapping[str, list[str]], text: bytes
) -> contextlib.AbstractContextManager[None]:
    """Put a text into columns of all rows; the history is put back at the end."""

    @contextlib.contextmanager
    def edit() -> Iterator[None]:
        before = program.history.read_bytes()
        with contextlib.closing(sqlite3.connect(program.history)) as connection, connection:
            for table, some in columns.items():
                for column in some:
                    connection.execute(f'UPDATE {table} SET "{column}" = CAST(? AS TEXT)', (text,))
        try:
            yield
        finally:
            program.history.write_bytes(before)

    return edit()


LOOKS = [
    ["--list-runs"],
    ["--list-runs", "--format", "json"],
    ["--list-runs", "--format", "csv"],
    ["--show-run", "1"],
    ["--show-run", "1", "--format", "json"],
    ["--show-run", "1", "--format", "csv"],
    ["--show-log", "1", "a"],
    ["--resume-from", "1", "--dry-run", "--verbose"],
    ["-c", "flow.json", "--resume-from", "1", "--dry-run", "--format", "json"],
    ["--mark-success", "1", "a", "--dry-run"],
    ["--show-run", "77"],
]


@pytest.mark.parametrize("name", TEXTS)
def test_every_screen_of_edited_rows(
    program: Program, name: str, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Text that somebody put into the database: nothing of it reaches a terminal raw, and nothing crashes."""
    program.config({"good": "true", "a": "exit 3", "b": "true"})
    assert program("-c", "flow.json").code == 1
    one_by_one = [{table: [column]} for table, some in STRICT.items() for column in some]
    if nightly:
        one_by_one += [{table: [column]} for table, some in FREE.items() for column in some]
    looks = LOOKS if nightly else LOOKS[3:4]
    number, wrong = 0, []
    with edited(program, FREE, TEXTS[name]):
        for args in LOOKS:
            result = shown(program, *args)
            if name == "escapes" and args in (["--list-runs"], ["--show-run", "1"]):
                assert "\\e]0;" in result.out, args  # it is shown, escaped
            number += 1
    for columns in one_by_one if nightly or name == "escapes" else ():
        with edited(program, columns, TEXTS[name]):
            for args in looks:
                if "--mark-success" in args and columns == {"job_history": ["status"]}:
                    continue  # a test of its own, below
                number += 1
                try:
                    shown(program, *args)
                except AssertionError as exc:
                    wrong.append(f"{columns}: {exc}")
    assert wrong == []
    cases(number)


def test_an_edited_status_at_the_marking_of_a_job(program: Program) -> None:
    """A status that somebody edited is shown escaped where it is told what would be marked."""
    program.config({"a": "exit 3"})
    assert program("-c", "flow.json").code == 1
    with edited(program, {"job_history": ["status"]}, TEXTS["escapes"]):
        shown(program, "--mark-success", "1", "a", "--dry-run")


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "..", ".", "a\nb", "x" * 10_000, "ü" * 5000, "-rf", "a b;$(x)"]
)
def test_a_name_leads_nowhere(program: Program, tmp_path: Path, name: str) -> None:
    """Whatever an application is called, files appear in the log folder and in the history's folder only."""
    program.config({"a": "true"}, application_name=name)
    (tmp_path / "beside").mkdir()
    before = set(tree(tmp_path))
    assert program("-c", "flow.json").code == 0
    new = {Path(path) for path in set(tree(tmp_path)) - before}
    logs, state = program.folder / "logs", program.home / ".local"
    assert all(path == logs or path.parent == logs or state in (path, *path.parents) for path in new), new
    assert len(names(logs)) == 2
    assert all(
        re.fullmatch(r"executioner\.[A-Za-z0-9_.-]{1,64}\.(job-a\.)?run-1\.log", one) for one in names(logs)
    )


def plant(path: Path, kind: str, outside: Path) -> None:
    """Put something where the program will want to make a file."""
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "dangling link":
        path.symlink_to(outside.parent / "nowhere")
    elif kind == "hard link":
        path.hardlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/null")


KINDS = ["link", "dangling link", "hard link", "fifo", "folder", "device"]


def precious(tmp_path: Path) -> tuple[Path, Callable[[], None]]:
    """A file that nobody may touch, and a check that nobody has."""
    folder = tmp_path / "precious"
    folder.mkdir()
    outside = folder / "file"
    outside.write_text("precious\n")
    outside.chmod(0o640)

    def check() -> None:
        assert names(folder) == ["file"], "something was made beside it"
        assert outside.read_text() == "precious\n"
        assert stat.S_IMODE(outside.stat().st_mode) == 0o640

    return outside, check


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_at_the_name_of_a_log_is_left_alone(program: Program, tmp_path: Path, kind: str) -> None:
    """Links, FIFOs, folders at the names of the run's and a job's log: not followed, written or waited at."""
    outside, check = precious(tmp_path)
    logs = program.folder / "logs"
    logs.mkdir()
    for name in ("executioner.flow.run-1.log", "executioner.flow.job-a.run-1.log"):
        plant(logs / name, kind, outside)
    program.config({"a": "echo out"})
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    check()
    assert program.output("a") == b"out\n"
    assert Path(program.jobs()["a"]["log_path"]).name == "executioner.flow.job-a.run-1-2.log"
    assert Path(program.run_row()["log_path"]).name == "executioner.flow.run-1-2.log"


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_job_plants_in_place_of_its_log_is_left_alone(program: Program, tmp_path: Path, kind: str) -> None:
    """Between two attempts a job's log is replaced: the next attempt writes into no file outside the folder."""
    outside, check = precious(tmp_path)
    log = "logs/executioner.flow.job-a.run-1.log"
    make = {
        "link": f"ln -sf {outside} {log}",
        "dangling link": f"ln -sf {outside.parent}/nowhere {log}",
        "hard link": f"ln -f {outside} {log}",
        "fifo": f"rm {log}; mkfifo {log}",
        "folder": f"rm {log}; mkdir {log}",
        "device": f"ln -sf /dev/null {log}",
    }[kind]
    command = f"test $EXECUTIONER_ATTEMPT = 2 || {{ {make}; exit 1; }}; echo second"
    job = {"id": "a", "command": command, "max_retries": 1, "retry_delay": 0.01}
    program.config([job], default_timeout=20)
    assert program("-c", "flow.json").code == 0
    check()
    assert program.output("a") == b"second\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["history.db.lock", "history.db.new"])
def test_what_is_planted_beside_the_history_is_left_alone(
    program: Program, tmp_path: Path, name: str, kind: str
) -> None:
    """At the names of the lock and of the history's draft: nothing outside is made or changed, nothing hangs."""
    outside, check = precious(tmp_path)
    program.history.parent.mkdir(parents=True)
    plant(program.history.parent / name, kind, outside)
    program.config({"a": "touch ran"})
    result = program("-c", "flow.json", timeout=30)
    check()
    assert "Traceback" not in result.err
    assert result.code in (0, 3), result
    if result.code == 0:
        assert program.statuses() == {"a": "SUCCESS"}
    else:  # refused: then nothing was run, and the file is named
        assert not (program.folder / "ran").exists()
        assert "history.db" in result.err


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_at_the_name_of_the_spool_is_left_alone(
    program: Program, tmp_path: Path, kind: str
) -> None:
    """A spool file never goes through a link or into a FIFO; the exit code is 3 in any case."""
    outside, check = precious(tmp_path)
    (program.folder / "logs").mkdir()
    plant(program.folder / "logs/executioner.flow.run-1.spool.json", kind, outside)
    program.config({"a": "echo $$ > up; read x < gate", "b": "true"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        break_history(runner, program)
        let_through()
        _, err = runner.communicate(timeout=5)
    assert runner.returncode == 3
    check()
    assert "Traceback" not in err and "could not be recorded" in err


@pytest.mark.parametrize(
    "umask",
    [0o000, 0o077, 0o777],
)
def test_all_that_is_made_is_private(program: Program, umask: int) -> None:
    """Database, lock, logs, run log and spool are 0600 and new folders 0700, whatever the umask."""
    program.config({"a": "echo $$ > /dev/null; read x < gate", "b": "true"}, log_dir="deep/logs")
    before = set(tree(program.folder, program.home)) | {str(program.folder / "gate")}
    with gate(program) as let_through:
        script = f'umask {umask:03o}; exec "$@"'
        command = ["sh", "-c", script, "sh", *program.command("-c", "flow.json")]
        with ended(program.launch(command, stdout=subprocess.DEVNULL)) as runner:
            logs = program.folder / "deep/logs"
            log = logs / "executioner.flow.job-a.run-1.log"
            wait_until(lambda: log.exists() and program.statuses()["a"] == "RUNNING", "the job to start")
            middle = modes(before, program)
            break_history(runner, program)
            let_through()
            runner.communicate(timeout=50)
    assert runner.returncode == 3
    found = {**middle, **modes(before, program)}
    assert any(path.endswith(".spool.json") for path in found) and any(path.endswith("-wal") for path in found)
    assert {path: oct(mode) for path, mode in found.items() if mode not in (0o100600, 0o40700)} == {}


def modes(before: set[str], program: Program) -> dict[str, int]:
    """The modes of all that was made since."""
    new: dict[str, Any] = {
        path: facts for path, facts in tree(program.folder, program.home).items() if path not in before
    }
    return {path: facts[0] for path, facts in new.items()}


@pytest.mark.parametrize("written", ["before", "by a job"])
def test_no_module_is_loaded_from_the_current_folder(program: Program, written: str) -> None:
    """``python -m executioner`` looks there for modules first; what it needs only later it does not find there."""
    names = "signal hmac subprocess threading psutil socket"
    fake = f"for m in {names}; do echo 'print(\"LOADED\"); exit(9)' > $m.py; done"
    if written == "before":
        subprocess.run(["/bin/sh", "-c", fake], cwd=program.folder, check=True)
    program.config(
        [
            {"id": "writes", "command": fake},
            {
                "id": "killed",
                "command": "kill -9 $$",
                "dependencies": ["writes"],
                "max_retries": 1,
                "retry_delay": 0,
            },
            {"id": "late", "command": "sleep 300", "dependencies": ["writes"], "timeout": 0.2},
        ],
        continue_on_error=True,
        env_variables={"PASSWORD": "x"},
    )
    command = [sys.executable, "-m", "executioner", "-c", "flow.json"]
    result = program.run(command, env={"PYTHONPATH": str(ROOT)})
    assert (result.code, "LOADED" in result.out + result.err) == (1, False), result
    assert program.statuses() == {"writes": "SUCCESS", "killed": "FAILED", "late": "TIMEOUT"}
    assert program.jobs()["killed"]["reason"] == "Killed by SIGKILL"
