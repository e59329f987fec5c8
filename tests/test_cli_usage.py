"""The command line itself: flags, help, what is printed for nothing and for wrong usage, exit codes."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import ROOT, Program, ended, gate, wait_until
from resume_tools import screen
from screens import everything, on_screen, paste, plain

from executioner import __version__

pytestmark = pytest.mark.promise(7)

FLAGS = (
    *("-c", "--config", "--dry-run", "--skip", "--env", "--continue-on-error", "--parallel", "-j", "--workers"),
    *("--sequential", "--db", "--validate", "--simple-config", "--sample-config", "--config-schema", "--format"),
    *("--color", "--quiet", "--verbose", "--debug", "--version", "--help"),
)


# --- help and version ---------------------------------------------------------------------


def test_no_arguments_give_a_short_help(program: Program) -> None:
    """Called alone the program says on stderr how it is called, and exits with 2."""
    assert on_screen(program) == (
        2,
        "Usage: executioner.py -c FILE [options]\n"
        "       executioner.py --resume-from RUN_ID [options] | --mark-success RUN_ID JOB ...\n"
        "       executioner.py --list-runs | --show-run RUN_ID | --show-log RUN_ID [JOB]\n\n"
        "Runs a JSON file of shell jobs with dependencies, and remembers every run.\n"
        "To see all options:\n"
        "  executioner.py --help\n",
        "",
    )
    piped = program()
    assert (piped.code, piped.out) == (2, "")
    assert piped.err.startswith("Usage: executioner.py -c FILE [options]\n")


def test_help_shows_every_option_in_groups(program: Program) -> None:
    """``--help`` goes to stdout with exit code 0 and names every option, under the titles of their groups."""
    result = program("--help")
    assert (result.code, result.err) == (0, "")
    words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", result.out))
    assert set(FLAGS) <= words
    lines = result.out.splitlines()
    titles = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["run:", "resume:", "history:", "config help:", "general:", "examples:", "exit codes:"]
    assert program("-h") == result


@pytest.mark.parametrize("columns", [None, "80", "250"])
def test_help_is_at_most_100_columns_wide(program: Program, columns: str | None) -> None:
    """The help fits in 100 columns, however wide the terminal."""
    result = program("--help", env={"COLUMNS": columns})
    assert max(map(len, result.out.splitlines())) <= 100
    wide = on_screen(program, "--help", width=250)
    assert max(map(len, wide.out.splitlines())) <= 100


def test_the_help_names_the_program_as_it_was_called(program: Program) -> None:
    """Usage and examples can be typed: ``python -m executioner`` is told about itself."""
    done = subprocess.run(
        [sys.executable, "-m", "executioner", "--help"],
        cwd=program.folder,
        env=program.environment({"PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        check=True,
    )
    usage = done.stdout.splitlines()[0]
    assert usage.lower().startswith("usage: ")
    assert f"{sys.executable} -m executioner -c FILE" in usage
    examples = done.stdout.partition("examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert [line for line in examples if f"{sys.executable} -m executioner " not in line] == []


def test_version(program: Program) -> None:
    """``--version`` prints name and version."""
    assert program("--version") == (0, f"executioner {__version__}\n", "")


# --- wrong usage --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--dryrun", "--dry-run"),
        ("--colour=never", "--color"),
        ("--parralel", "--parallel"),
        ("--validat", "--validate"),  # no abbreviations: a later option must not change a script's meaning
        ("--contine-on-error", "--continue-on-error"),
        ("-n", "--dry-run"),
        ("--dry", "--dry-run"),
        ("-k", "--continue-on-error"),
        ("-kn", "--continue-on-error"),
        ("-q", "--quiet"),
        ("-v", "--verbose"),
        ("--jobs=8", "-j"),
        ("--file=flow.json", "-c"),
        ("--resume", "--resume-from"),
        ("--retry-failed", "--resume-failed-only"),
        ("--failed-only", "--resume-failed-only"),
        ("--json", "--format"),
        ("--details", "--show-run"),
        ("--log", "--show-log"),
    ],
)
def test_a_misspelt_option_is_recognised(program: Program, typed: str, meant: str) -> None:
    """An unknown option is an error that names ours that was probably meant, also where other programs have it."""
    program.config({"a": "touch ran"})
    before = everything(program)
    result = on_screen(program, "-c", "flow.json", typed)
    assert (result.code, result.out) == (
        2,
        f'Error: Unknown option "{typed.partition("=")[0]}", did you mean "{meant}"? (command line)\n'
        "To see all options:\n"
        "  executioner.py --help\n",
    )
    assert everything(program) == before


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--show-log", "last", "-f"], "--follow"),
        (["--show-log=last", "-f"], "--follow"),
        (["--show-log", "last", "-n", "5"], "--tail"),
        (["--list-runs", "-n", "5"], "--last"),
        (["--list-runs", "-s", "failed"], "--status"),
        (["--show-run", "last", "-k"], None),
        (["--show-run", "last", "-q"], "--quiet"),
        (["-f", "flow.json"], "-c"),
        (["-n"], "--dry-run"),
    ],
)
def test_an_option_of_other_programs(program: Program, typed: list[str], meant: str | None) -> None:
    """The option that is named goes with what is asked for."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    flag = next(word for word in typed if re.fullmatch("-[a-z]", word))
    said = f', did you mean "{meant}"?' if meant else ""
    assert program(*typed).err.startswith(f'Error: Unknown option "{flag}"{said} (command line)\n')
    if meant:
        words = [meant if word == flag else word for word in typed]
        assert "(command line)" not in program(*words, *([] if len(words) > 1 else ["-c", "flow.json"])).err


@pytest.mark.parametrize("value", ["- by hand", "-"])
def test_a_text_that_begins_with_a_hyphen(program: Program, value: str) -> None:
    """What no option can be is a value, as it is."""
    program.config({"a": "false"})
    assert program("-c", "flow.json").code == 1
    assert program("--mark-success", "last", "a", "--yes", "--reason", value).code == 0
    assert program.jobs()["a"]["mark_reason"] == value


def test_an_option_like_no_other(program: Program) -> None:
    """Where nothing is similar nothing is guessed."""
    result = program("-c", "flow.json", "--xyzzy")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith('Error: Unknown option "--xyzzy" (command line)\n')


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["--list-runs", "--app", "-we*"],
            "--app: expected a value, got \"-we*\": what begins so is written --app='-we*'",
        ),
        (
            ["--list-runs", "--since", "-d"],
            '--since: expected a value, got "-d": what begins so is written --since=-d',
        ),
        (
            ["-c", "-x.json"],
            '--config: expected a value, got "-x.json": what begins so is written --config=-x.json',
        ),
        (["-c", "--dry-run"], "--config: expected a value, got nothing"),
        (["--list-runs", "--last", "-3"], '--last: expected a number from 1 to 1,000,000,000, got "-3"'),
        (["-c", "flow.json", "--env", "-X=hunter2"], None),
        (["-c", "flow.json", "--skip", "-A=hunter2"], None),
        (["-c", "flow.json", "-j", "A=hunter2"], None),
        (["-c", "flow.json", "--dry-run=A=hunter2"], None),
        (["--resume-from", "A=hunter2"], None),
        (["--list-runs", "--status", "A=hunter2"], None),
        (["--list-runs", "--since", "A=hunter2"], None),
        (['--yes=A="hunter2'], None),
        (
            ["--list-runs", "--last", "-5."],
            '--last: expected a value, got "-5.": what begins so is written --last=-5.',
        ),
    ],
)
def test_a_value_that_looks_like_an_option(program: Program, typed: list[str], said: str | None) -> None:
    """It is not called nothing, and how it is written is said; that form is understood."""
    result = program(*typed)
    assert (result.code, result.out) == (2, "")
    assert "hunter2" not in result.err
    if said is not None:
        assert result.err.startswith(f"Error: {said} (command line)\n")
    if said is not None and "is written" in said:
        right = said.rpartition(" ")[2]
        assert "is written" not in program(*typed[:-2], *shlex.split(right)).err


def test_a_bare_file_was_meant_as_the_config(program: Program) -> None:
    """A file without ``-c`` is not run; the command with ``-c`` is told."""
    program.config({"a": "touch ran"}, name="my flow.json")
    before = everything(program)
    result = on_screen(program, "my flow.json")
    assert (result.code, result.out) == (
        2,
        'Error: Unexpected argument "my flow.json" (command line)\n'
        "Did you mean:\n"
        "  executioner.py -c 'my flow.json'\n"
        "To see all options:\n"
        "  executioner.py --help\n",
    )
    assert everything(program) == before


def test_the_commands_of_a_usage_error_can_be_pasted_from_a_log(program: Program) -> None:
    """Where no stream is a terminal the command in a usage error too begins with ``cd``, and works elsewhere."""
    program.config({"a": "touch ran"})
    result = program("flow.json")
    assert result.code == 2
    command = result.err.splitlines()[2].strip()
    assert command == f"cd {program.folder} && executioner.py -c flow.json"
    assert paste(program, command).code == 0
    assert (program.folder / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-c"], "--config: expected a value, got nothing (command line)"),
        (["--dry-run"], "No config given (command line)"),
        (["-c", "flow.json", "-j", "0"], '--workers: expected a number from 1 to 100,000, got "0"'),
        (["-c", "flow.json", "-j", "two"], '--workers: expected a number from 1 to 100,000, got "two"'),
        (["-c", "flow.json", "--color", "pink"], '--color: expected auto, always or never, got "pink"'),
        (["-c", "flow.json", "--env", "LONELY"], '--env: expected NAME=VALUE, got "LONELY"'),
        (["-c", "flow.json", "--env", "=x"], "--env: expected NAME=VALUE, got"),
        (
            ["-c", "flow.json", "--env", "1A=x"],
            '--env: "1A" cannot be a variable: a name has letters, digits and _, the first no digit',
        ),
        (["-c", "flow.json", "--env", "EXECUTIONER_RUN_ID=3"], "--env: EXECUTIONER_RUN_ID is set by executioner"),
        (["-c", "flow.json", "--parallel", "--sequential"], "--sequential does not go with --parallel"),
        (["-c", "flow.json", "--skip", "firts"], '--skip: no job "firts" (flow.json)\n  did you mean "first"?'),
        (["-c", "nope.json"], "The config cannot be read: No such file or directory (nope.json)"),
        (["-c", "."], "The config cannot be read: it is a folder, did you mean flow.json? (.)"),
        (["-c", "pipe"], "The config cannot be read: it is not a regular file (pipe)"),
    ],
)
def test_wrong_usage_runs_and_writes_nothing(program: Program, arguments: list[str], message: str) -> None:
    """Each misuse exits with 2 and one ``Error:`` on stderr; nothing is run, no file is written."""
    program.config({"first": "touch ran"})
    with gate(program.folder / "pipe"):
        before = everything(program)
        result = program(*arguments)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"Error: {message}")
        assert "Traceback" not in result.err
        assert everything(program) == before


@pytest.mark.parametrize(
    ("typed", "there", "meant"),
    [
        ("flwo.json", "flow.json", "flow.json"),
        ("flow", "flow.json", "flow.json"),
        ("Nightly.json", "nightly.json", "nightly.json"),
        ("sub/nigthly.json", "sub/nightly.json", "sub/nightly.json"),
        ("./-flwo.json", "-flow.json", "./-flow.json"),
        ("flow.jsn", "flow.json", "flow.json"),
        ("load.json", "flow.json", None),
        ("flwo.json", "flow.json/", None),
        ("flow", "flow.json/", None),
        ("flwo.json", "flow\udcff.json", None),
    ],
)
def test_a_misspelt_config_is_found(program: Program, typed: str, there: str, meant: str | None) -> None:
    """A file of nearly the same name, with the same ending, is named, and the command that previews it works."""
    program.config({"a": "true"}, name="good.txt")
    path = program.folder / there
    path.parent.mkdir(exist_ok=True)
    if there.endswith("/"):
        path.mkdir()
    else:
        (program.folder / "good.txt").rename(path)
    did_you_mean = "" if meant is None else f", did you mean {meant}?"
    to_preview = "" if meant is None else f"To preview that one:\n  executioner.py -c {meant} --dry-run\n"
    assert screen(program, "-c", typed) == (
        2,
        "",
        f"Error: The config cannot be read: No such file or directory{did_you_mean} ({typed})\n"
        f"Nothing was run. {to_preview}"
        f"To start with a small example:\n  executioner.py --simple-config > {typed}\n",
    )
    if meant is not None:
        assert program("-c", meant, "--dry-run").code == 0


def test_the_command_with_the_right_config_is_the_one_that_was_typed(program: Program) -> None:
    """Its options stand in it; who wanted to check the file is told how to check it."""
    program.config({"a": "true", "b": "true"})
    assert program("-c", "flow.json").code == 0
    given = ["--db", "other.db", "--env", "A=1 2", "--workers", "4", "--skip", "b"]
    line = "executioner.py -c flow.json --db other.db --env 'A=1 2' --workers 4 --skip b --dry-run"
    assert f"To preview that one:\n  {line}\n" in screen(program, "-c", "flwo.json", *given).err
    line = "executioner.py -c flow.json --resume-from 1 --skip b --dry-run"
    found = screen(program, "-c", "flwo.json", "--resume-from", "1", "--skip", "b").err
    assert found.endswith(f"\nNothing was run. To preview that one:\n  {line}\n")
    line = "executioner.py -c flow.json --validate"
    assert f"To check that one:\n  {line}\n" in screen(program, "-c", "flwo.json", "--validate").err


def test_a_config_that_is_gone_is_not_previewed(program: Program) -> None:
    """Where the config of the run is the very file that is not there, or another folder's of that name, no command
    is offered that would be refused, or preview something else.
    """
    offer = "To preview it with the config that the run was started with:"
    (program.folder / "one").mkdir()
    program.config({"a": "false"}, name="one/flow.json")
    assert program("-c", "one/flow.json").code == 1
    for words in (["-c", "two/flow.json", "--resume-from", "last"], ["-c", "x/other.json", "--resume-from", "1"]):
        assert offer not in program(*words).err
    for wanted in ("1", "last"):
        assert offer in program("-c", "two/one/flow.json", "--resume-from", wanted).err
    (program.folder / "one").rename(program.folder / "two")
    for wanted in ("1", "last"):
        assert offer not in program("-c", "one/flow.json", "--resume-from", wanted).err


def test_a_misspelt_config_among_many_files(program: Program) -> None:
    """The same letters win, then the same in capitals; a link in a circle is no hindrance."""
    program.config({"a": "true"})
    for at in range(1200):
        (program.folder / f"flow{at}.json").touch()
    (program.folder / "loop.json").symlink_to("loop.json")
    assert "did you mean flow.json? (flow)" in program("-c", "flow").err
    assert "did you mean flow.json? (FLOW.json)" in program("-c", "FLOW.json").err
    assert "did you mean" not in program("-c", "loop").err


def test_a_secret_given_in_the_wrong_form_is_not_printed(program: Program) -> None:
    """The error for a name that cannot be a variable's repeats the name, never the value."""
    program.config({"a": "true"})
    result = program("-c", "flow.json", "--env", "DB-PASSWORD=hunter2")
    assert result.code == 2
    assert "DB-PASSWORD" in result.err
    assert "hunter2" not in result.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["env", "DB_PASSWORD=hunter2"], "--env DB_PASSWORD=... -c FILE"),
        (["DB_PASSWORD=hunter2"], "--env DB_PASSWORD=... -c FILE"),
        (["--env", "DB_PASSWORD=hunter2", "run"], "--env DB_PASSWORD=... -c FILE"),
        (["--env=DB_PASSWORD=hunter2", "flow.json"], "--env=DB_PASSWORD=... -c flow.json"),
        (["--env", "DB-PASSWORD=hunter2", "flow.json"], None),
        (["--env", "1=hunter2", "flow.json"], None),
        (["--env", "=hunter2", "flow.json"], None),
        (["--env=db.password=hunter2", "--status", "failed"], None),
        (["flow.json", "DB_PASSWORD=hunter2"], "-c flow.json --env DB_PASSWORD=..."),
        (["flow.json", "--envi=DB_PASSWORD=hunter2"], "-c flow.json --envi=..."),
        (["flow.json", "-eDB_PASSWORD=hunter2"], "-c flow.json -eDB_PASSWORD=..."),
        (["flow.json", "--DB_PASSWORD=hunter2"], "-c flow.json --DB_PASSWORD=..."),
        (["-e=DB_PASSWORD=hunter2", "list"], None),
        (["DB_PASSWORD=hunter2", "flow.json"], "--env DB_PASSWORD=... -c flow.json"),
        (["--env", "flow.json", "DB_PASSWORD=hunter2"], None),
        (["-c", "flow.json", "DB_PASSWORD=hunter2"], None),
        (["--env", "DB_PASSWORD=hunter2", "--status", "failed"], None),
    ],
)
def test_a_secret_beside_an_unexpected_argument_is_not_printed(
    program: Program, typed: list[str], meant: str | None
) -> None:
    """The command that was probably meant has the variable's name, not its value."""
    program.config({"a": "true"})
    result = program(*typed)
    assert result.code == 2
    assert "hunter2" not in result.err
    assert result.err.partition("executioner.py ")[2].partition("\n")[0] == (meant or "--help")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["resume", "flow.json"], "--resume-from last -c flow.json"),
        (["resume", "7", "--dry-run"], "--resume-from 7 --dry-run"),
        (["show", "flow.json"], "--show-run last -c flow.json"),
        (["logs", "flow.json"], "--show-log last -c flow.json"),
        (["logs", "last", "a"], "--show-log last a"),
        (["logs", "a"], "--show-log last a"),
        (["run", "flow.json"], "-c flow.json"),
        (["list", "flow.json"], "--list-runs -c flow.json"),
        (["last", "flow.json"], "--show-run last -c flow.json"),
        (["last", "5"], "--list-runs --last 5"),
        (["list", "5"], "--list-runs --last 5"),
        (["--list-runs", "5"], "--list-runs --last 5"),
        (["--list-runs", "last"], "--list-runs --last 10"),
        (["--list-runs", "failed"], "--list-runs --status failed"),
        (["--list-runs", "status"], "--list-runs --status failed"),
        (["ls", "failed", "--last", "3"], "--list-runs --status failed --last 3"),
        (["failed"], "--list-runs --status failed"),
        (["resumable"], "--list-runs --resumable"),
        (["app", "load*"], "--list-runs --app 'load*'"),
        (["since"], "--list-runs --since today"),
        (["status"], "--show-run last"),
        (["status", "7"], "--show-run 7"),
        (["status", "failed"], "--list-runs --status failed"),
        (["--show-run", "3", "load"], "--show-log 3 load"),
        (["show", "3", "load"], "--show-log 3 load"),
        (["show", "load"], "--show-log last load"),
        (["logs", "load", "flow.json"], "--show-log last load -c flow.json"),
        (["logs", "last", "flow.json"], "--show-log last -c flow.json"),
        (["resume", "etl"], "--resume-from last -c etl"),
        (["resume", "flow.yaml"], "--resume-from last -c flow.yaml"),
        (["--since", "2026-11-27", "09:45", "--list-runs"], "--since '2026-11-27 09:45' --list-runs"),
        (["--list-runs", "--until", "2026-11-27", "9:45"], "--list-runs --until '2026-11-27 09:45'"),
        (["--list-runs", "--until", "today", "9:45"], "--help"),
        (["--tail", "10", "3"], "--tail 10 --show-log 3"),
        (["--follow", "last"], "--follow --show-log last"),
        (["--show-run", "3", "4"], "--help"),
        (["--list-runs", "etl"], "--list-runs --app etl"),
        (["--list-runs", "etl.json"], "--list-runs -c etl.json"),
        (["retry", "3"], "--resume-from 3"),
        (["mark", "3", "load"], "--mark-success 3 load"),
        (["mark", "3"], "--help"),
        (["check", "flow.json"], "--validate -c flow.json"),
        (["preview", "flow.json"], "--dry-run -c flow.json"),
        (["why", "3"], "--show-run 3"),
        (["init"], "--simple-config"),
        (["kill", "3"], "--help"),
        (["skip", "a"], "--skip a -c FILE"),
        (["check"], "--validate -c FILE"),
        (["--resume-failed-only", "--from-job", "a"], "--help"),
        (["tail", "a"], "--show-log last a"),
        (["lst"], "--list-runs"),
        (["resme", "7"], "--resume-from 7"),
        (["-c", "flow.json", "--resume-failed-only"], "-c flow.json --resume-failed-only --resume-from last"),
        (["--if-changed", "keep"], "--if-changed keep --resume-from last"),
        (["logs", "flow.json", "a"], "--show-log last a -c flow.json"),
        (["--db", "run", "list", "--app", "list"], "--db run --list-runs --app list"),
        (["--db", "X=1.db", "--status", "failed"], "--list-runs --db X=1.db --status failed"),
    ],
)
def test_habits_of_other_programs(program: Program, typed: list[str], meant: str) -> None:
    """What was probably meant is a command that is understood, whatever its options have for values."""
    program.config({"a": "true"})
    result = program(*typed)
    assert (result.code, result.out) == (2, "")
    assert result.err.partition("executioner.py ")[2].partition("\n")[0] == meant
    if meant != "--help":
        assert "(command line)" not in program(*shlex.split(meant)).err


def test_workers_and_parallel_go_together(program: Program) -> None:
    """``-j N`` implies ``--parallel``: saying both is no contradiction."""
    program.config({"a": "true"})
    result = program("-c", "flow.json", "--parallel", "-j", "2")
    assert (result.code, result.err) == (0, "")
    assert " Run 1 started: flow, 1 job, 2 workers\n" in result.out


def test_skip_takes_lists_and_repetitions(program: Program) -> None:
    """``--skip`` may be given several times, with commas and spaces between ids."""
    program.config({"a": "true", "b": "true", "c": "true", "d": "true"})
    assert program("-c", "flow.json", "--skip", "a, b", "--skip", "d").code == 0
    assert program.statuses() == {"a": "SKIPPED", "b": "SKIPPED", "c": "SUCCESS", "d": "SKIPPED"}


def test_env_keeps_equals_signs_and_empty_values(program: Program) -> None:
    """Everything after the first ``=`` is the value, also nothing at all; the last one of a name wins."""
    program.config({"a": 'echo "[$A][$B]"'})
    assert program("-c", "flow.json", "--env", "A=1=2", "--env", "B=x", "--env", "B=").code == 0
    assert program.output("a") == b"[1=2][]\n"


def test_a_removed_current_folder(program: Program) -> None:
    """Called in a folder that is gone, the program says so, without a traceback."""
    gone = program.folder / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *program.command("-c", "/x.json")],
        cwd=gone,
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: The current folder no longer exists")
    assert "Traceback" not in done.stderr


# --- bytes that are no UTF-8 ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["flow\udcff.json", "folder\udcff/flow.json"])
def test_a_path_that_is_not_utf8(program: Program, name: str) -> None:
    """The history's text is UTF-8: a config whose path is not is refused by preview and run alike."""
    (program.folder / name).parent.mkdir(exist_ok=True)
    program.config({"a": "touch ran"}, name=name)
    preview, run = program("-c", name, "--dry-run"), program("-c", name)
    assert preview == run
    assert (run.code, run.out) == (2, "")
    assert run.err == (
        "Error: The config cannot be read: its path is not UTF-8, so that no history could name it "
        f"({name.replace(chr(0xDCFF), chr(92) + 'xff')})\nNothing was run.\n"
    )
    assert not (program.folder / name).with_name("ran").exists()
    assert not program.history.exists()


def test_a_search_path_that_is_not_utf8(program: Program) -> None:
    """A command that is not found on a PATH with odd bytes has failed as any other; the run is recorded."""
    program.config({"a": "no-such-program-here", "b": "touch ran"}, continue_on_error=True)
    result = program("-c", "flow.json", env={"PATH": "/usr/bin:/bin:/odd\udcff"})
    assert (result.code, result.err) == (1, "Error: Run 1 FAILED: a (flow)\n")
    assert program.statuses() == {"a": "FAILED", "b": "SUCCESS"}
    row = program.run_row()
    assert (row["status"], row["exit_code"]) == ("FAILED", 1)


def test_a_variable_that_is_not_utf8(program: Program) -> None:
    """The value of ``--env`` reaches the job byte by byte."""
    program.config({"a": 'printf %s "$A"'})
    assert program("-c", "flow.json", "--env", "A=x\udcffy").code == 0
    assert program.output("a") == b"x\xffy"


# --- configs to start from ----------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--simple-config", "--sample-config"])
def test_a_printed_config_runs_as_it_is(program: Program, flag: str) -> None:
    """What is printed is JSON that validates without a problem and runs to success, in any folder."""
    printed = program(flag)
    assert (printed.code, printed.err) == (0, "")
    jobs = [job["id"] for job in json.loads(printed.out)["jobs"]]
    (program.folder / "new.json").write_text(printed.out)
    name = json.loads(printed.out).get("application_name", "new")
    assert program("-c", "new.json", "--validate") == (
        0,
        f"✓ new.json: {name}, {len(jobs)} jobs, no problems\n",
        "",
    )
    assert program("-c", "new.json").code == 0
    assert program.statuses() == dict.fromkeys(jobs, "SUCCESS")


@pytest.mark.parametrize("name", ["new.json", "a new one's.json", "-c.json"])
def test_what_is_said_of_a_missing_config_makes_one(program: Program, name: str) -> None:
    """The command that is printed, typed into a shell, makes that file, which then runs."""
    missing = program(f"-c{name}")
    assert missing.code == 2
    command = missing.err.splitlines()[-1].strip()
    done = subprocess.run(command, shell=True, cwd="/", env=program.environment(), capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert program(f"-c{name}").code == 0


def test_where_the_folder_is_missing_too_the_example_is_printed(program: Program) -> None:
    """A shell could not make the file there."""
    for name in ("there/new.json", "there/"):
        assert program("-c", name).err.splitlines()[-1].endswith(" --simple-config")


def test_the_config_schema_is_a_json_schema(program: Program) -> None:
    """``--config-schema`` prints a valid JSON Schema; it accepts the sample and refuses a misspelt key."""
    from jsonschema import Draft202012Validator

    printed = program("--config-schema")
    assert (printed.code, printed.err) == (0, "")
    schema = json.loads(printed.out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for flag in ("--simple-config", "--sample-config"):
        assert list(validator.iter_errors(json.loads(program(flag).out))) == []
    assert list(validator.iter_errors({"jobs": [{"id": "a", "command": "true"}], "paralel": True}))


def test_validate_says_that_all_is_well(program: Program) -> None:
    """A good config: one line, exit code 0; nothing is run or written."""
    program.config({"a": "touch ran", "b": "true"}, application_name="nightly")
    before = everything(program)
    assert program("-c", "flow.json", "--validate") == (0, "✓ flow.json: nightly, 2 jobs, no problems\n", "")
    assert everything(program) == before


def test_validate_tells_all_that_is_wrong(program: Program) -> None:
    """A bad config: the problems on stderr, exit code 2; the same text as a run gives."""
    program.config([{"id": "a", "comand": "touch ran"}])
    before = everything(program)
    result = program("-c", "flow.json", "--validate")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "Error: 2 problems in the config (flow.json)\n"
        '  jobs[0]: "command" is missing\n'
        '  jobs[0].comand: unknown key, did you mean "command"?\n'
        "\n"
        "Nothing was run. To check again:\n"
        f"  cd {program.folder} && executioner.py -c flow.json --validate\n"
    )
    assert program("-c", "flow.json") == result
    assert program("-c", "flow.json", "--dry-run") == result
    assert everything(program) == before


# --- tracebacks ---------------------------------------------------------------------------


def test_debug_adds_a_traceback_and_changes_nothing_else(program: Program) -> None:
    """With ``--debug`` an error has its traceback too; text and exit code stay."""
    plain_error = program("-c", "nope.json")
    assert "Traceback" not in plain_error.err
    result = program("-c", "nope.json", "--debug")
    assert "Traceback (most recent call last):" in result.err
    assert plain_error.err in result.err
    assert (result.code, result.out) == (plain_error.code, "") == (2, "")


def test_debug_keeps_the_exit_code_of_a_history_error(program: Program) -> None:
    """A history that cannot be used is 3 with ``--debug`` too."""
    program.config({"a": "true"})
    (program.folder / "no.db").write_text("not a database, whatever its name says")
    assert program("-c", "flow.json", "--db", "no.db", "--debug").code == 3


def test_debug_is_silent_where_nothing_is_wrong(program: Program) -> None:
    """``--debug`` adds nothing to a run, a failing one included: a job's failure is no error of ours."""
    program.config({"a": "exit 4"})
    result = program("-c", "flow.json", "--debug")
    assert result.code == 1
    assert "Traceback" not in result.out + result.err


def test_an_internal_error_is_told_without_a_traceback(program: Program) -> None:
    """A fault of our own (here: an installation without its schema) exits with 3 and one ``Error:``."""
    program.config({"a": "touch ran"})
    copy = program.folder / "broken"
    shutil.copytree(ROOT / "executioner", copy / "executioner", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "executioner", "-c", "flow.json"],
        cwd=program.folder,
        env=program.environment({"PYTHONPATH": str(copy)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not (program.folder / "ran").exists()


# --- exit codes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "arguments", "code", "status"),
    [
        ("true", [], 0, "SUCCESS"),
        ("exit 7", [], 1, "FAILED"),
        ("exit 7", ["--skip", "a"], 0, "PARTIAL"),
    ],
)
def test_exit_codes_follow_from_the_run(
    program: Program, command: str, arguments: list[str], code: int, status: str
) -> None:
    """0 for SUCCESS and PARTIAL, 1 for FAILED; the history records the same code."""
    program.config({"a": command})
    assert program("-c", "flow.json", *arguments).code == code
    row = program.run_row()
    assert (row["status"], row["exit_code"]) == (status, code)


@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [
        (signal.SIGHUP, 129, "Hung up (SIGHUP)"),
        (signal.SIGINT, 130, "Ctrl-C (SIGINT)"),
        (signal.SIGTERM, 143, "Terminated (SIGTERM)"),
    ],
)
def test_exit_codes_of_signals(program: Program, number: int, code: int, cause: str) -> None:
    """HUP, INT and TERM end the run with 129, 130 and 143; the summary and the error name the cause."""
    program.config({"a": "touch started; exec sleep 60"})
    with ended(program.start("-c", "flow.json")) as process:
        program.wait_for("started")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"Status: INTERRUPTED\nReason: {cause}\n" in out
    assert err.endswith(f"Error: Run 1 INTERRUPTED: {cause} (flow)\n")
    row = program.run_row()
    assert (row["status"], row["exit_code"]) == ("INTERRUPTED", code)


def test_a_run_that_is_held_exits_with_3(program: Program) -> None:
    """``max_active_runs`` reached: 3, nothing run, and the command that shows the other run can be pasted."""
    history = program.home / "own.db"
    program.config({"a": "touch started; read x < gate", "b": "true"}, max_active_runs=1)
    command = ("-c", "flow.json", "--db", str(history))
    with gate(program.folder / "gate") as open_gate, ended(program.start(*command)) as process:
        program.wait_for("started")
        refused = [program(*command, *more) for more in ([], ["--dry-run"])]
        open_gate()
        process.communicate(timeout=60)
    for result in refused:
        assert (result.code, result.out) == (3, "")
        lines = result.err.splitlines()
        assert lines[0] == "Error: 1 run of this config is active, max_active_runs is 1 (flow)"
        assert re.fullmatch(r"  run 1 \(\S+@\S+, pid \d+, since [-\d]+ [:\d]+\)", lines[1])
        assert lines[2] == ""
        assert lines[3].startswith("Nothing was run. ")
        assert lines[4:] == [f"  cd {program.folder} && executioner.py --db {history} --show-run 1"]
    assert program.rows("SELECT count(*) AS runs FROM run_metadata", db=history) == [{"runs": 1}]


def test_another_run_of_the_config_is_warned_of(program: Program) -> None:
    """Without ``max_active_runs`` a second run at the same time is told of it and goes on; ``--quiet`` logs it."""
    program.config({"a": "touch started; read x < gate"})
    with gate(program.folder / "gate") as open_gate, ended(program.start("-c", "flow.json")) as process:
        program.wait_for("started")
        second = program("-c", "flow.json", "--skip", "a")
        silent = program("-c", "flow.json", "--skip", "a", "--quiet")
        open_gate()
        process.communicate(timeout=60)
    assert second.code == 0
    assert silent == (0, "", "")
    assert "Warning: this config is already being run: run 1" in Path(program.run_row(3)["log_path"]).read_text()
    assert re.fullmatch(
        r"Warning: this config is already being run: run 1 \(\S+@\S+, pid \d+, since [-\d]+ [:\d]+\)\n", second.err
    )
    wait_until(lambda: program.run_row(1)["status"] == "SUCCESS", "the end of run 1")


def test_colours_in_an_error_are_those_that_were_asked_for(program: Program) -> None:
    """``--color always`` colours errors on stderr too, and nothing but colours differs."""
    coloured = program("-c", "nope.json", "--color", "always")
    assert coloured.err.startswith("\x1b[31mError:\x1b[0m The config")
    assert plain(coloured.err) == program("-c", "nope.json").err
