"""Printed commands: complete, quoted, as the program was called. What is printed is pasted into a shell."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import ROOT, SCRIPT, Program, Result
from screens import assert_harmless, commands_of, on_screen, paste, split_terminal, summary_of

NOT_ON_PATH = f"{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin"


def call(program: Program, *command: str, env: Mapping[str, str | None] | None = None) -> Result:
    """Run any command line in the program's folder."""
    done = subprocess.run(
        command,
        cwd=program.folder,
        env=program.environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def dry_run_command(text: str) -> str:
    """The command that a preview ends with."""
    return text.splitlines()[-1].strip()


def resume_command(text: str) -> str:
    """The command of a summary that repeats the run, without what a later version adds to it."""
    [line] = [line for line in commands_of(text) if line.endswith(" --resume-from 1")]
    return line.removesuffix(" --resume-from 1")


# --- pasted -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["plain.json", "my flow.json", 'it\'s "quoted".json', "$HOME `id` & ; #.json", "ü✓.json"]
)
def test_a_printed_command_can_be_pasted(program: Program, name: str) -> None:
    """The command at a preview's end runs the config from any folder, whatever the file's name."""
    program.config({"a": "touch ran"}, name=name)
    command = dry_run_command(program("-c", name, "--dry-run").out)
    assert paste(program, command).code == 0
    assert (program.folder / "ran").exists()
    assert program.run_row()["config_path"] == str(program.folder / name)


@pytest.mark.parametrize("name", ["-flow.json", "--help"])
def test_a_config_whose_name_looks_like_an_option(program: Program, name: str) -> None:
    """A config given as ``--config=-flow.json`` is printed so that it is read as a file again."""
    program.config({"a": "touch ran"}, name=name)
    command = dry_run_command(program(f"--config={name}", "--dry-run").out)
    assert paste(program, command).code == 0
    assert (program.folder / "ran").exists()


def test_a_config_with_control_characters_in_its_name(program: Program) -> None:
    """Such a name is printed harmlessly, and a shell still reads the very name."""
    name = "a\nb\x1b[31m\u202ec'd.json"
    program.config({"a": "touch ran"}, name=name)
    result = program("-c", name, "--dry-run")
    assert_harmless(result.out)
    assert paste(program, dry_run_command(result.out), shell="bash").code == 0
    assert (program.folder / "ran").exists()


def test_a_folder_with_odd_characters(tmp_path: Path) -> None:
    """The ``cd`` of a printed command is quoted too."""
    program = Program(tmp_path / 'it\'s a $folder; & "more"')
    program.config({"a": "touch ran"})
    result = program("-c", "flow.json", "--dry-run")
    assert paste(program, dry_run_command(result.out)).code == 0
    assert (program.folder / "ran").exists()


def test_the_command_of_a_summary_repeats_the_run(program: Program) -> None:
    """Config, history, variables and workers of the run are all in the command that resumes it."""
    history = program.home / "my history.db"
    program.config({"a": 'touch ran; echo "$GREETING"; exit 3'}, name="my flow.json")
    result = program(
        *("-c", "my flow.json", "--db", str(history), "--env", "GREETING=it's me", "--env", "EMPTY="),
        *("-j", "3", "--continue-on-error"),
    )
    assert result.code == 1
    command = resume_command(result.out)
    assert shlex.split(command) == [
        *("cd", str(program.folder), "&&", "executioner.py", "-c", "my flow.json", "--db", str(history)),
        *("--env", "GREETING=it's me", "--env", "EMPTY=", "--workers", "3", "--continue-on-error"),
    ]
    assert paste(program, command).code == 1
    row = program.jobs(2, db=history)["a"]
    assert b"it's me\n" in Path(row["log_path"]).read_bytes()
    assert not program.history.exists()


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [(["--parallel"], "--parallel"), (["--sequential"], "--sequential"), (["-j2"], "--workers 2")],
)
def test_the_pace_is_repeated(program: Program, arguments: list[str], flags: str) -> None:
    """How many jobs run at a time is part of the run that a printed command repeats."""
    program.config({"a": "true"})
    preview = on_screen(program, "-c", "flow.json", "--dry-run", *arguments)
    assert dry_run_command(preview.out) == f"executioner.py -c flow.json {flags}"


def test_skipped_jobs_are_repeated_in_a_preview(program: Program) -> None:
    """Each skipped job is in the command that runs what was previewed."""
    program.config({"a": "true", "b": "true", "c": "true"})
    command = dry_run_command(program("-c", "flow.json", "--dry-run", "--skip", "a,c").out)
    assert paste(program, command).code == 0
    assert program.statuses() == {"a": "SKIPPED", "b": "SUCCESS", "c": "SKIPPED"}


def test_a_secret_is_neither_printed_nor_recorded(program: Program) -> None:
    """The value of a variable whose name looks secret stands on no screen, in no log of ours, in no history."""
    program.config({"a": "exit 3"})
    secrets = [
        word
        for name in ("DB_PASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY")
        for word in ("--env", f"{name}=hunter2")
    ]
    for more in ([], ["--dry-run"], ["--dry-run", "--format", "json"], ["--verbose", "--format", "json"]):
        result = program("-c", "flow.json", *secrets, *more)
        assert "hunter2" not in result.out + result.err
    files = [path for path in program.folder.parent.rglob("*") if path.is_file()]
    assert any(path.name == "history.db" for path in files)
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []


def test_a_secret_comes_from_the_shell_that_the_command_is_pasted_into(program: Program) -> None:
    """The pasted command gives the job the value that the reader's own shell has for that variable."""
    program.config({"a": 'test "$DB_PASSWORD" = "hunter 2" || { echo "got [$DB_PASSWORD]"; exit 3; }'})
    preview = program("-c", "flow.json", "--env", "DB_PASSWORD=hunter 2", "--dry-run")
    done = paste(program, dry_run_command(preview.out), env={"DB_PASSWORD": "hunter 2"})
    assert (done.code, done.err) == (0, "")


# --- which history ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "env", "printed"),
    [
        ([], {}, ""),
        (["--db", "own.db"], {}, " --db own.db"),
        (["--db", "sub/../own.db"], {}, " --db own.db"),
        (["--db", "{home}/own.db"], {}, " --db {home}/own.db"),
        (["--db", "{home}/.local/state/executioner/history.db"], {}, ""),
        ([], {"EXECUTIONER_DB": "own.db"}, " --db own.db"),
        ([], {"XDG_STATE_HOME": "{home}/state"}, ""),
    ],
)
def test_the_history_is_named_unless_it_is_the_state_folders(
    program: Program, flags: list[str], env: dict[str, str], printed: str
) -> None:
    """``--db`` stands in printed commands exactly where they would else use another history."""

    def filled(text: str) -> str:
        return text.format(home=program.home)

    program.config({"a": "exit 3"})
    env = {name: filled(value) for name, value in env.items()}
    result = on_screen(program, "-c", "flow.json", *map(filled, flags), env={"NO_COLOR": "1", **env})
    assert commands_of(result.out) == [
        filled(line.replace("@", printed))
        for line in (
            "executioner.py -c flow.json@ --resume-from 1",
            "executioner.py -c flow.json@ --resume-from 1 --resume-failed-only",
            "executioner.py@ --show-run 1",
        )
    ]


def test_the_configs_own_history_is_named(program: Program) -> None:
    """A history that the config names is printed: a command that only looks does not read the config."""
    program.config({"a": "exit 3"}, history_db="own.db")
    result = on_screen(program, "-c", "flow.json")
    assert commands_of(result.out)[-1] == "executioner.py --db own.db --show-run 1"


# --- where no terminal is -----------------------------------------------------------------


def test_directory_and_cd_where_no_stream_is_a_terminal(program: Program) -> None:
    """In a log or a mail the header names the folder and each command begins by going there."""
    program.config({"a": "exit 3"})
    summary = summary_of(program("-c", "flow.json").out)
    assert f"\nDirectory: {program.folder}\nHistory: {program.history}\n" in summary
    prefix = f"cd {program.folder} && executioner.py "
    assert len(commands_of(summary)) == 3
    assert [line for line in commands_of(summary) if not line.startswith(prefix)] == []


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
def test_no_directory_where_a_stream_is_a_terminal(program: Program, stream: str) -> None:
    """Who sits at the terminal, even of one stream, knows the folder."""
    program.config({"a": "exit 3"})
    if stream == "both":
        result = on_screen(program, "-c", "flow.json")
    else:
        result = split_terminal(program, "-c", "flow.json", stream=stream, env={"NO_COLOR": "1"})
    assert result.code == 1
    assert "Directory:" not in result.out
    assert commands_of(result.out) == [
        "executioner.py -c flow.json --resume-from 1",
        "executioner.py -c flow.json --resume-from 1 --resume-failed-only",
        "executioner.py --show-run 1",
    ]


def test_the_folder_is_named_as_the_shell_names_it(program: Program) -> None:
    """In a folder that was entered by a link, ``cd`` and ``Directory`` show the link."""
    program.config({"a": "true"})
    link = program.folder.parent / "link"
    link.symlink_to(program.folder)
    done = call(program, "sh", "-c", f'cd "{link}" && exec "$@"', "sh", *program.command("-c", "flow.json"))
    assert f"\nDirectory: {link}\n" in done.out
    assert f"\n  cd {link} && executioner.py --show-run 1\n" in done.out


# --- the program as it was called ---------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "shown"),
    [
        ("name on PATH", "executioner.py"),
        ("absolute script on PATH", "executioner.py"),
        ("python with the script on PATH", "executioner.py"),
        ("python with a relative script", "{python} executioner.py"),
        ("python3 with a relative script", None),
        ("executable relative script", None),
        ("absolute script", None),
        ("python with an absolute script", "{python} {script}"),
        ("module", "{python} -m executioner"),
        ("module of python3", "python3 -m executioner"),
        ("installed command on PATH", "executioner"),
        ("installed command elsewhere", "{folder}/bin/executioner"),
    ],
)
def test_the_program_is_printed_as_it_was_called(program: Program, way: str, shown: str | None) -> None:
    """However the program was called, the printed command works when pasted, and looks like the call."""
    python, script = sys.executable, str(SCRIPT)
    env: dict[str, str] = {"PATH": NOT_ON_PATH, "PYTHONPATH": str(ROOT)}
    on_path = f"{ROOT}:{NOT_ON_PATH}"
    (program.folder / "executioner.py").symlink_to(SCRIPT)
    installed = program.folder / "bin/executioner"
    installed.parent.mkdir()
    installed.write_text(
        f"#!{python}\nimport sys\nfrom executioner.cli import main_script\nsys.exit(main_script())\n"
    )
    installed.chmod(0o755)
    commands: dict[str, tuple[list[str], str]] = {
        "name on PATH": (["executioner.py"], on_path),
        "absolute script on PATH": ([script], on_path),
        "python with the script on PATH": ([python, script], on_path),
        "python with a relative script": ([python, "executioner.py"], NOT_ON_PATH),
        "python3 with a relative script": (["python3", "executioner.py"], NOT_ON_PATH),
        "executable relative script": (["./executioner.py"], NOT_ON_PATH),
        "absolute script": ([script], NOT_ON_PATH),
        "python with an absolute script": ([python, script], NOT_ON_PATH),
        "module": ([python, "-m", "executioner"], NOT_ON_PATH),
        "module of python3": (["python3", "-m", "executioner"], NOT_ON_PATH),
        "installed command on PATH": (["executioner"], f"{installed.parent}:{NOT_ON_PATH}"),
        "installed command elsewhere": ([str(installed)], NOT_ON_PATH),
    }
    words, env["PATH"] = commands[way]
    program.config({"a": "touch ran"})
    # through a shell, as it is typed: the shell looks on the PATH that is given here
    preview = call(program, "sh", "-c", 'exec "$@"', "sh", *words, "-c", "flow.json", "--dry-run", env=env)
    assert (preview.code, preview.err) == (0, "")
    command = dry_run_command(preview.out)
    if shown is not None:
        program_words = shown.format(python=python, script=script, folder=program.folder)
        assert command == f"cd {program.folder} && {program_words} -c flow.json"
    done = paste(program, command, env=env)
    assert (done.code, done.err) == (0, "")
    assert (program.folder / "ran").exists()


def test_another_program_of_that_name_is_not_offered(program: Program) -> None:
    """Where PATH would find a different file of the same name, the bare name is not printed."""
    other = program.folder / "bin/executioner.py"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 99\n")
    other.chmod(0o755)
    program.config({"a": "touch ran"})
    env = {"PATH": f"{other.parent}:{ROOT}:{NOT_ON_PATH}"}
    command = dry_run_command(program("-c", "flow.json", "--dry-run", env=env).out)
    assert paste(program, command, env=env).code == 0
    assert (program.folder / "ran").exists()


def test_a_program_in_a_folder_with_spaces(program: Program) -> None:
    """The path of the program itself is quoted."""
    script = program.folder / "my tools/executioner.py"
    script.parent.mkdir()
    script.symlink_to(SCRIPT)
    program.config({"a": "touch ran"})
    env = {"PATH": NOT_ON_PATH}
    preview = call(program, sys.executable, str(script), "-c", "flow.json", "--dry-run", env=env)
    assert paste(program, dry_run_command(preview.out), env=env).code == 0
    assert (program.folder / "ran").exists()
