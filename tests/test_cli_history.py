"""Where the history lies, and who may read what we create."""

import grp
import json
import os
import stat
from pathlib import Path

import pytest
from harness import Program
from screens import everything


def histories(program: Program) -> list[Path]:
    """All databases below the program's folder and home."""
    return sorted(path for path in program.folder.parent.rglob("*.db"))


# --- where --------------------------------------------------------------------------------


def test_the_state_folder_of_the_home_by_default(program: Program) -> None:
    """Without any wish the history is ``~/.local/state/executioner/history.db``, and the summary names it."""
    program.config({"a": "true"})
    result = program("-c", "flow.json")
    assert histories(program) == [program.home / ".local/state/executioner/history.db"]
    assert f"\nHistory: {program.home}/.local/state/executioner/history.db\n" in result.out


def test_the_state_folder_of_xdg(program: Program) -> None:
    """XDG_STATE_HOME moves it."""
    program.config({"a": "true"})
    assert program("-c", "flow.json", env={"XDG_STATE_HOME": str(program.home / "my state")}).code == 0
    assert histories(program) == [program.home / "my state/executioner/history.db"]


@pytest.mark.parametrize("value", ["", "relative/state", "."])
def test_a_relative_state_folder_is_ignored(program: Program, value: str) -> None:
    """As the XDG specification says, a relative XDG_STATE_HOME counts as not set."""
    program.config({"a": "true"})
    assert program("-c", "flow.json", env={"XDG_STATE_HOME": value}).code == 0
    assert histories(program) == [program.history]


def test_the_configs_own_history(program: Program) -> None:
    """``history_db`` is relative to the config's folder, wherever the program is called."""
    (program.folder / "sub").mkdir()
    program.config({"a": "true"}, name="sub/flow.json", history_db="own/runs.db")
    assert program("-c", "sub/flow.json").code == 0
    assert histories(program) == [program.folder / "sub/own/runs.db"]


def test_the_environments_history_is_stronger_than_the_configs(program: Program) -> None:
    """EXECUTIONER_DB, relative to the current folder, wins over the config."""
    program.config({"a": "true"}, history_db="own.db")
    assert program("-c", "flow.json", env={"EXECUTIONER_DB": "env.db"}).code == 0
    assert histories(program) == [program.folder / "env.db"]


def test_the_command_lines_history_is_the_strongest(program: Program) -> None:
    """``--db`` wins over EXECUTIONER_DB, and EXECUTIONER_DB over all else."""
    program.config({"a": "true"}, history_db="own.db")
    result = program("-c", "flow.json", "--db", "flag.db", env={"EXECUTIONER_DB": "env.db"})
    assert result.code == 0
    assert histories(program) == [program.folder / "flag.db"]


def test_an_empty_variable_is_no_wish(program: Program) -> None:
    """EXECUTIONER_DB set to nothing counts as not set."""
    program.config({"a": "true"})
    assert program("-c", "flow.json", env={"EXECUTIONER_DB": ""}).code == 0
    assert histories(program) == [program.history]


def test_a_nested_run_uses_the_same_history(program: Program) -> None:
    """A job that calls the program again records into the history of the run that it is part of."""
    program.config({"inner": "true"}, name="inner.json")
    program.config({"outer": "executioner.py -c inner.json"}, history_db="own.db")
    assert program("-c", "flow.json").code == 0
    assert histories(program) == [program.folder / "own.db"]
    rows = program.rows("SELECT application_name FROM run_metadata ORDER BY run_id", db=program.folder / "own.db")
    assert [row["application_name"] for row in rows] == ["flow", "inner"]


def test_the_history_holds_absolute_paths(program: Program) -> None:
    """Config, folder and logs are recorded with their whole paths, so that any folder will do to read them."""
    (program.folder / "sub").mkdir()
    program.config({"a": "true"}, name="sub/flow.json", log_dir="../logs")
    assert program("-c", "sub/../sub/flow.json").code == 0
    row = program.run_row()
    assert row["config_path"] == str(program.folder / "sub/flow.json")
    assert row["working_dir"] == str(program.folder / "sub")
    assert row["log_path"] == str(program.folder / "logs/executioner.flow.run-1.log")
    assert program.jobs()["a"]["log_path"] == str(program.folder / "logs/executioner.flow.job-a.run-1.log")


def test_below_the_current_folder_the_history_is_shown_relative(program: Program) -> None:
    """As all paths, that of a history below the current folder is shown relative to it."""
    program.config({"a": "true"})
    result = program("-c", "flow.json", "--db", "own.db")
    assert f"\nDirectory: {program.folder}\nHistory: own.db\n" in result.out


def test_one_history_for_all_configs(program: Program) -> None:
    """Runs of different configs from different folders have consecutive ids in the one history."""
    program.config({"a": "true"})
    (program.folder / "sub").mkdir()
    program.config({"b": "true"}, name="sub/other.json")
    assert program("-c", "flow.json").code == 0
    assert program("-c", "sub/other.json").code == 0
    rows = program.rows("SELECT run_id, application_name FROM run_metadata ORDER BY run_id")
    assert [tuple(row.values()) for row in rows] == [(1, "flow"), (2, "other")]


# --- config errors leave nothing ----------------------------------------------------------


def test_a_config_error_leaves_no_trace(program: Program) -> None:
    """A config that is wrong makes no history, no lock file and no log folder."""
    program.config([{"id": "a", "command": "touch ran", "dependencies": ["nope"]}])
    before = everything(program)
    assert program("-c", "flow.json").code == 2
    assert everything(program) == before


# --- permissions --------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_we_create_is_private_whatever_the_umask(program: Program, umask: int) -> None:
    """Every file that we create is 0600 and every folder 0700, during the run and after it."""
    look = 'find "$HOME" ../work/logs -mindepth 1 -printf "%y %m %f\\n" | sort > seen'
    program.config({"a": look, "b": "exit 3"})
    before = set(program.folder.parent.rglob("*"))
    assert program("-c", "flow.json", umask=umask).code == 1
    created = set(program.folder.parent.rglob("*")) - before - {program.folder / "seen"}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in created}
    assert program.history in modes
    assert {path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    seen = (program.folder / "seen").read_text().splitlines()
    names = {line.split()[2] for line in seen}
    assert {"history.db", "history.db-wal", "history.db-shm", "history.db.lock"} <= names
    assert [line for line in seen if line.split()[:2] not in (["d", "700"], ["f", "600"])] == []


def another_group() -> int:
    """A group that files do not have by themselves, if we may give them to one."""
    mine = os.getegid()
    if os.geteuid() == 0:
        return next(entry.gr_gid for entry in grp.getgrall() if entry.gr_gid != mine)
    return next((group for group in os.getgroups() if group != mine), mine)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_shared_folder_gives_shared_files(program: Program, umask: int) -> None:
    """In a setgid folder that its group may write, the history's files are 0660 and of that group."""
    shared = program.folder / "shared"
    shared.mkdir()
    group = another_group()
    os.chown(shared, -1, group)
    shared.chmod(0o2770)
    program.config({"a": 'stat -c "%a %g %n" shared/* > seen'})
    assert program("-c", "flow.json", "--db", "shared/runs.db", umask=umask).code == 0
    seen = (program.folder / "seen").read_text().splitlines()
    assert seen == [f"660 {group} shared/runs.db{suffix}" for suffix in ("", "-shm", "-wal", ".lock")]
    for path in shared.iterdir():
        assert (oct(stat.S_IMODE(path.stat().st_mode)), path.stat().st_gid) == ("0o660", group)


@pytest.mark.parametrize("mode", [0o770, 0o2750, 0o755])
def test_other_existing_folders_do_not_share(program: Program, mode: int) -> None:
    """Without both bits, group-write and setgid, the history's files are 0600; the folder stays as it is."""
    folder = program.folder / "mine"
    folder.mkdir()
    folder.chmod(mode)
    program.config({"a": "true"})
    assert program("-c", "flow.json", "--db", "mine/runs.db").code == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_an_existing_log_folder_keeps_its_permissions(program: Program) -> None:
    """Logs are 0600 also in a folder that others may read; the folder is not changed."""
    logs = program.folder / "logs"
    logs.mkdir()
    logs.chmod(0o755)
    program.config({"a": "true"})
    assert program("-c", "flow.json", umask=0).code == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in logs.iterdir()} == {0o600}
    assert stat.S_IMODE(logs.stat().st_mode) == 0o755


def test_secret_variables_are_recorded_by_name_only(program: Program) -> None:
    """The run's options hold the values of plain variables, and of secret ones only the names."""
    program.config({"a": "true"})
    assert program("-c", "flow.json", "--env", "STAGE=prod", "--env", "DB_PASSWORD=hunter2").code == 0
    options = json.loads(program.run_row()["options"])
    assert options["env"] == {"STAGE": "prod"}
    assert "DB_PASSWORD" in json.dumps(options)
    assert "hunter2" not in json.dumps(options)
