"""What commands know of their caller: folder, program, history, flags to repeat."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from executioner.commands.context import (
    Context,
    Options,
    current_folder,
    history_path,
    invocation,
    program_words,
)
from executioner.folders import default_history
from executioner.terminal import Terminal


def a_script(path: Path, first: str = "#!/usr/bin/env python3") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{first}\n")
    path.chmod(0o755)
    return str(path)


def a_context(cwd: str = "/w", environment: Mapping[bytes, bytes] | None = None, **options: object) -> Context:
    terminal = Terminal("never", environment or {})
    return Context(terminal, environment or {}, cwd, ["executioner.py"], Options(**options))  # type: ignore[arg-type]


# --- the program as it was called ---------------------------------------------------------


def test_a_script_on_path_is_called_by_its_name(tmp_path: Path) -> None:
    """Where PATH finds that very file, its bare name is enough."""
    script = a_script(tmp_path / "bin/executioner.py")
    words = ["/usr/bin/python3", script, "-c", "f"]
    assert program_words(words, 2, f"/nope:{tmp_path}/bin") == ["executioner.py"]


def test_a_link_on_path_to_the_script_counts(tmp_path: Path) -> None:
    """A link in a folder of PATH is that very file."""
    script = a_script(tmp_path / "src/executioner.py")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/executioner.py").symlink_to(script)
    assert program_words(["/usr/bin/python3", script], 0, f"{tmp_path}/bin") == ["executioner.py"]


def test_another_file_of_that_name_earlier_on_path_does_not_count(tmp_path: Path) -> None:
    """What the shell would find first decides, even if the script is found later."""
    script = a_script(tmp_path / "src/executioner.py")
    a_script(tmp_path / "other/executioner.py")
    words = ["/usr/bin/python3", script]
    assert program_words(words, 0, f"{tmp_path}/other:{tmp_path}/src") == words


def test_an_interpreter_with_a_script_is_printed_as_called(tmp_path: Path) -> None:
    """``python executioner.py`` stays that."""
    script = a_script(tmp_path / "executioner.py")
    assert program_words(["python", script, "-c", "f"], 2, "/usr/bin:/bin") == ["python", script]


def test_a_script_that_names_its_interpreter_is_printed_alone(tmp_path: Path) -> None:
    """What the kernel put before an executable script is not repeated."""
    script = a_script(tmp_path / "executioner", "#!/opt/venv/bin/python")
    assert program_words(["/opt/venv/bin/python", script, "--help"], 1, "/usr/bin:/bin") == [script]


def test_a_module_is_printed_as_called() -> None:
    """``python -m executioner`` stays that, options of the interpreter included."""
    assert program_words(["python", "-m", "executioner", "-c", "f"], 2, "") == ["python", "-m", "executioner"]
    words = ["python", "-X", "dev", "executioner.py"]
    assert program_words([*words, "--help"], 1, "") == words


def test_a_script_that_cannot_be_executed_needs_its_interpreter(tmp_path: Path) -> None:
    """A file without the executable bit is not what the shell would run, wherever it lies."""
    script = a_script(tmp_path / "executioner.py")
    (tmp_path / "executioner.py").chmod(0o644)
    assert program_words(["python", script], 0, str(tmp_path)) == ["python", script]


# --- the current folder -------------------------------------------------------------------


def test_the_current_folder_is_named_as_the_shell_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that led to the current folder stays in printed paths; a wrong PWD does not."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "link")
    monkeypatch.setenv("PWD", str(tmp_path / "link"))
    assert current_folder() == str(tmp_path / "link")
    monkeypatch.setenv("PWD", str(tmp_path))
    assert current_folder() == str(tmp_path / "real")
    monkeypatch.delenv("PWD")
    assert current_folder() == str(tmp_path / "real")


# --- the history --------------------------------------------------------------------------


@pytest.fixture
def homely(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing but a home."""
    monkeypatch.setattr(os, "environ", {"HOME": "/home/etl"})
    return monkeypatch


def test_the_state_folder_by_default(homely: pytest.MonkeyPatch) -> None:
    """``~/.local/state`` unless XDG_STATE_HOME names an absolute folder."""
    assert default_history() == "/home/etl/.local/state/executioner/history.db"
    for ignored in ("", "relative/folder"):
        homely.setitem(os.environ, "XDG_STATE_HOME", ignored)
        assert default_history() == "/home/etl/.local/state/executioner/history.db"
    homely.setitem(os.environ, "XDG_STATE_HOME", "/var/state")
    assert default_history() == "/var/state/executioner/history.db"


def test_which_history_is_used(homely: pytest.MonkeyPatch) -> None:
    """``--db``, else EXECUTIONER_DB, else the config's, else the state folder's; all absolute."""
    assert history_path(a_context(), None) == "/home/etl/.local/state/executioner/history.db"
    assert history_path(a_context(), "/etl/own.db") == "/etl/own.db"
    homely.setitem(os.environ, "EXECUTIONER_DB", "env.db")
    assert history_path(a_context(), "/etl/own.db") == "/w/env.db"
    assert history_path(a_context(db="sub/../flag.db"), "/etl/own.db") == "/w/flag.db"


# --- what a printed command repeats -------------------------------------------------------


@pytest.mark.usefixtures("homely")
def test_the_history_is_printed_unless_it_is_the_state_folders() -> None:
    """``--db`` stands in commands only where the default would be another file."""
    default = default_history()
    assert invocation(a_context(), "f.json", default).db is None
    assert invocation(a_context(db=default), "f.json", default).db is None
    assert invocation(a_context(), "f.json", "/etl/h.db").db == "/etl/h.db"
    assert invocation(a_context(), "f.json", "/w/h.db").db == "h.db"


@pytest.mark.usefixtures("homely")
def test_the_directory_is_printed_where_no_stream_is_a_terminal() -> None:
    """Whoever reads a log or a mail does not know where the run was started."""
    context = a_context()
    for stream in (context.terminal.out, context.terminal.err):
        stream.is_terminal = False
    assert invocation(context, "f.json", "/h.db").directory == "/w"
    context.terminal.err.is_terminal = True
    assert invocation(context, "f.json", "/h.db").directory is None


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, ""),
        ({"env": {"A": "1", "B": "x y"}}, "--env A=1 --env 'B=x y'"),
        ({"workers": 3}, "--workers 3"),
        ({"workers": 3, "parallel": True}, "--workers 3"),
        ({"parallel": True}, "--parallel"),
        ({"sequential": True}, "--sequential"),
        ({"continue_on_error": True}, "--continue-on-error"),
        ({"quiet": True, "verbose": True, "json": True, "dry_run": True}, ""),
    ],
)
@pytest.mark.usefixtures("homely")
def test_flags_that_a_resumption_needs_are_repeated(options: dict[str, object], flags: str) -> None:
    """What changes the jobs' environment, their pace or the meaning of a failure is repeated."""
    assert invocation(a_context(**options), "f.json", "/h.db").flags == flags


@pytest.mark.usefixtures("homely")
def test_secret_values_are_not_repeated() -> None:
    """Of a variable whose name looks secret the value is in no printed command."""
    typed = invocation(a_context(env={"DB_PASSWORD": "hunter2", "API_KEY": "k3y"}), "f.json", "/h.db")
    line = typed.run("--resume-from", "1")
    assert "DB_PASSWORD" in line
    assert "API_KEY" in line
    assert "hunter2" not in line
    assert "k3y" not in line
