"""``--doctor``: what is looked at, what is found, and what to do about it."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from faults_tools import Instrumented, held_by_another
from harness import Program, ended, is_running
from history_tools import as_an_ordinary_user, gate, kill, left_running, names, pid_in, sql
from test_history_failing import fail_in_mid_run

from executioner.history.holder import holder
from executioner.mounts import network_file_system


def found(program: Program, *args: str, code: int = 0, env: dict[str, str | None] | None = None) -> dict[str, Any]:
    """The findings by topic; of several the last one."""
    result = program("--doctor", *args, "--format", "json", env=env)
    assert (result.code, result.err) == (code, ""), result
    return {one["topic"]: one for one in json.loads(result.out)}


def topics(findings: dict[str, Any], level: str) -> list[str]:
    """The topics of a level."""
    return [topic for topic, one in findings.items() if one["level"] == level]


def test_where_nothing_was_run_yet(program: Program) -> None:
    """There is no history, and that is no problem; none is made."""
    result = program("--doctor")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[:2] == ["Doctor", "======"]
    assert re.fullmatch(r"✓ Program    executioner \S+, Python 3\.\S+, Linux \S+", lines[2])
    assert lines[3].startswith(f"✓ SQLite     {sqlite3.sqlite_version}")
    assert lines[4] == f"✓ History    {program.history} (the default): there is none yet, the first run makes it"
    assert lines[5] == "✓ Results    none waits beside the logs to be imported"
    assert lines[6] == "✓ Leftovers  no job outlived its runner"
    assert re.fullmatch(r"✓ Space      [\d.]+ \w+ free for history", lines[7])
    assert lines[8:] == ["", "No problem found."]
    assert not program.history.parent.exists()


def test_a_history_in_order(program: Program) -> None:
    """Every check is good, with the config's log folder too; nothing is written."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    before = {name: (program.history.parent / name).read_bytes() for name in names(program.history.parent)}
    findings = found(program, "-c", "flow.json")
    assert topics(findings, "good") == list(findings)
    assert list(findings) == [
        *("Program", "SQLite", "Config", "History", "Integrity", "Schema", "Permissions", "Lock", "Results"),
        *("Leftovers", "Log folder", "Space"),
    ]
    assert findings["History"]["text"].startswith(f"{program.history} (the default): 1 run, ")
    assert findings["Lock"]["text"] == "works; no run holds it"
    assert before == {name: (program.history.parent / name).read_bytes() for name in names(program.history.parent)}


def test_a_run_that_is_on(program: Program) -> None:
    """It is named with its process, and is no problem."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        findings = found(program)
        run = program.run_row()
        text = f"run 1 of flow is on ({run['user']}@{run['host']}, pid {runner.pid})"
        assert findings["Run"] == {**findings["Run"], "level": "good", "text": text}
        assert findings["Lock"]["text"] == "works; 1 run holds it"
        let_through()
        assert runner.wait() == 0


def test_a_run_that_was_killed_and_the_job_that_it_left(program: Program) -> None:
    """Both are found with the commands that go on; exit 3. When the job has ended it is a note."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through:
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up")
            kill(runner)
        findings = found(program, code=3)
        assert findings["Run"]["level"] == "note"
        assert (
            findings["Run"]["text"]
            == "run 1 of flow ended without being recorded; the next run records it as INTERRUPTED"
        )
        assert findings["Leftovers"]["text"] == f"a (pid {pid}) of run 1 still runs, though its runner is gone"
        watch, end = findings["Leftovers"]["commands"]
        assert watch.endswith("--show-log 1 a --follow")
        assert end.endswith("--resume-from 1 --kill-leftovers")
        let_through()
    while is_running(pid):
        pass
    assert topics(found(program), "note") == ["Run"]


def test_the_command_against_a_leftover_works(program: Program) -> None:
    """Pasted, it ends the job and resumes."""
    program.config({"a": 'echo $$ > up; [ "$EXECUTIONER_RUN_ID" != 1 ] || read x < gate'})
    with gate(program):
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up")
            kill(runner)
        command = found(program, code=3)["Leftovers"]["commands"][1]
        done = subprocess.run(
            ["sh", "-c", command], env=program.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done
        assert not is_running(pid)


@pytest.mark.promise(9)
def test_results_that_wait_to_be_imported(program: Program) -> None:
    """The command puts them in; then nothing is wrong any more."""
    fail_in_mid_run(program)
    results = found(program, code=3)["Results"]
    assert results["text"] == "those of run 1 (flow) are not in the history"
    [command] = results["commands"]
    assert subprocess.run(["sh", "-c", command], env=program.environment(), check=False).returncode == 0
    assert topics(found(program), "good") == list(found(program))


@pytest.mark.promise(8)
def test_a_damaged_history(program: Program) -> None:
    """What SQLite finds is told, with the command that sets it aside; backups beside it are named."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    Path(f"{program.history}.version-1.bak").touch()
    with program.history.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(30_000))
    before = program.history.read_bytes()
    history = found(program, code=3)["History"]
    assert history["text"].startswith("The history is damaged: ")
    assert history["details"] == ["A backup lies beside it: history.db.version-1.bak"]
    assert program.history.read_bytes() == before
    [command] = history["commands"]
    assert subprocess.run(["sh", "-c", command], cwd=program.folder, check=False).returncode == 0
    assert program("-c", "flow.json").code == 0
    assert (program.history.parent / "history.db.damaged-1/history.db").read_bytes() == before


def test_rows_that_contradict_each_other(program: Program) -> None:
    """A run that has ended cannot have a job that runs: a note, for the history can be used."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    sql(program.history, "UPDATE job_history SET status = 'RUNNING'")
    integrity = found(program)["Integrity"]
    assert (integrity["level"], integrity["text"]) == (
        "note",
        "rows contradict each other: somebody has edited them",
    )
    assert integrity["details"] == ["run 1 has ended, but not all of its jobs have"]


def test_an_index_that_lacks_a_row(program: Program) -> None:
    """What SQLite's integrity check finds is told."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    sql(
        program.history,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '(user,', '(host,') WHERE name = 'run_by_user'",
    )
    integrity = found(program, code=3)["Integrity"]
    assert "row 1 missing from index run_by_user" in integrity["details"]
    assert integrity["commands"] == [f"sqlite3 {program.history} REINDEX"]


def test_a_history_of_an_older_version(program: Program) -> None:
    """That it will be brought up is a note."""
    schema_1 = (Path(__file__).parent / "data/schema-version-1.sql").read_text()
    with contextlib.closing(sqlite3.connect(program.folder / "old.db")) as connection:
        connection.executescript(schema_1)
    schema = found(program, "--db", "old.db")["Schema"]
    assert (schema["level"], schema["text"]) == (
        "note",
        "an older version: the next run brings it up, after a backup beside it",
    )


def test_a_foreign_database(program: Program) -> None:
    """It is refused as a run refuses it; the config's choice is named."""
    sql(program.folder / "foreign.db", "CREATE TABLE a (b)")
    program.config({"a": "true"}, history_db="foreign.db")
    findings = found(program, "-c", "flow.json", code=3)
    assert findings["History"]["text"] == (
        f"This is not a history: an SQLite database of another program ({program.folder / 'foreign.db'})"
    )
    assert topics(findings, "problem") == ["History"]


def test_which_history_it_is(program: Program) -> None:
    """The path says where it came from."""
    program.config({"a": "true"}, history_db="own.db")
    assert "x.db (--db)" in found(program, "--db", "x.db")["History"]["text"]
    assert "own.db (history_db of the config)" in found(program, "-c", "flow.json")["History"]["text"]
    assert "e.db ($EXECUTIONER_DB)" in found(program, env={"EXECUTIONER_DB": "e.db"})["History"]["text"]


def test_a_config_with_problems(program: Program) -> None:
    """They are told, and the rest is looked at all the same."""
    (program.folder / "flow.json").write_text('{"jobs": [{"id": "a"}]}')
    findings = found(program, "-c", "flow.json", code=3)
    assert findings["Config"]["details"] == ['jobs[0]: "command" is missing']
    assert findings["History"]["level"] == "good"


def test_a_history_that_this_user_may_not_write(program: Program) -> None:
    """Permissions of the file, and of the lock beside it."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    program.history.chmod(0o444)
    Path(f"{program.history}.lock").chmod(0o444)
    result = as_an_ordinary_user(program, "--doctor", "--format", "json")
    assert result.code == 3
    findings = {one["topic"]: one for one in json.loads(result.out)}
    assert findings["Permissions"]["text"] == "The history cannot be written: no permission"
    assert findings["Lock"]["text"].endswith(".lock cannot be written by this user")


def test_a_history_that_everybody_may_read(program: Program) -> None:
    """A note, with the command that makes it private."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    program.history.chmod(0o644)
    findings = found(program)
    assert topics(findings, "note") == ["Permissions"]
    assert findings["Permissions"]["advice"] == f"To keep it private: chmod o= {program.history}"


def test_a_lock_that_is_no_file(program: Program) -> None:
    """Something else stands where the lock file should: a problem."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    Path(f"{program.history}.lock").unlink()
    Path(f"{program.history}.lock").mkdir()
    assert found(program, code=3)["Lock"]["text"] == f"{program.history}.lock is not a regular file"


def test_a_log_folder_that_cannot_be_written(program: Program) -> None:
    """Named, with what follows from it."""
    (program.folder / "file").touch()
    program.config({"a": "true"}, log_dir="file/logs")
    folder = found(program, "-c", "flow.json", code=3)["Log folder"]
    assert folder["text"] == "file is not a folder"


def test_few_open_files(program: Program) -> None:
    """A low limit is a note."""
    limited = subprocess.run(
        ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *program.command("--doctor", "--format", "json")],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 0
    findings = {one["topic"]: one for one in json.loads(limited.stdout)}
    assert findings["Open files"]["text"] == "no more than 64 at a time: many jobs side by side need more"


def test_quiet_shows_problems_only(program: Program) -> None:
    """For cron: nothing where all is well."""
    assert program("--doctor", "--quiet")[:2] == (0, "")
    sql(program.folder / "foreign.db", "CREATE TABLE a (b)")
    result = program("--doctor", "--quiet", "--db", "foreign.db")
    assert result.code == 3
    assert "✗ History" in result.out


def test_a_network_file_system_is_told_from_a_disk(tmp_path: Path) -> None:
    """By the device of the path, in the kernel's list of mounts."""
    here = os.stat("/dev/shm").st_dev if os.path.isdir("/dev/shm") else 0
    if not here or os.major(here):
        pytest.skip("no file system without a device at hand")
    mounts = tmp_path / "mounts"
    for kind, expected in (("nfs4", "nfs4"), ("fuse.sshfs", "fuse.sshfs"), ("tmpfs", None)):
        mounts.write_text(
            "22 27 0:1 / /proc rw - proc proc rw\n"
            f"25 24 {os.major(here)}:{os.minor(here)} / /dev/shm rw,relatime shared:1 - {kind} server:/x rw\n"
        )
        assert network_file_system("/dev/shm/no/such/file", str(mounts)) == expected
    assert network_file_system(str(tmp_path), "/no/such/file") is None


def test_a_run_warns_of_a_network_file_system(instrumented_elsewhere: Instrumented) -> None:
    """A run, its preview and the doctor say that the history should lie elsewhere; the run goes on."""
    program = instrumented_elsewhere
    program.config({"a": "true"})
    warning = (
        "the history is on a network file system (nfs4), where other machines can damage it:"
        " keep it on a disk of this one (--db, $EXECUTIONER_DB, or history_db in the config)"
    )
    assert program("-c", "flow.json").err == f"Warning: {warning}\n"
    assert f"Warning: {warning}\n" in program("-c", "flow.json", "--dry-run").err
    findings = found(program)
    assert topics(findings, "note") == ["File system"]
    assert f"{findings['File system']['text']}: " == warning[: warning.index("keep")]
    assert findings["File system"]["advice"] == f"K{warning[warning.index('keep') + 1 :]}."


@pytest.fixture
def instrumented_elsewhere(tmp_path: Path) -> Any:
    """The program with its history on a file system that the list of mounts calls nfs4."""
    folder = Path("/dev/shm")
    if not folder.is_dir() or not os.access(folder, os.W_OK) or os.major(folder.stat().st_dev):
        pytest.skip("no file system without a device at hand")
    device = folder.stat().st_dev
    mounts = tmp_path / "mounts"
    mounts.write_text(f"25 24 {os.major(device)}:{os.minor(device)} / /x rw - nfs4 server:/x rw\n")
    program = Instrumented(tmp_path / "work")
    place = folder / f"executioner-test-{os.getpid()}"
    place.mkdir()
    program.history = place / "history.db"
    program.env |= {"EXECUTIONER_DB": str(program.history), "EXECUTIONER_TEST_MOUNTS": str(mounts)}
    yield program
    shutil.rmtree(place)


# --- histories that are gone -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["removed", "emptied", "damaged"])
def test_a_job_whose_history_is_gone_is_found_all_the_same(program: Program, how: str) -> None:
    """By what its process says of itself, with a command that ends it; the state of the history is a problem."""
    with gate(program):
        pid = left_running(program)
        if how == "removed":
            program.history.unlink()
        else:
            program.history.write_bytes(b"" if how == "emptied" else b"rubbish" * 1000)
        findings = found(program, code=3)
        assert findings["History"]["level"] == "problem"
        words = "it was removed or emptied" if how != "damaged" else "not an SQLite database"
        assert words in findings["History"]["text"]
        assert findings["Leftovers"]["text"] == f"a of run 1 still runs (pid {pid}), though its runner is gone"
        [command] = findings["Leftovers"]["commands"]
        assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
        while is_running(pid):
            pass
        assert found(program, code=3)["Leftovers"]["level"] == "good"


def test_a_beginning_that_was_overwritten_is_damage(program: Program) -> None:
    """Where a lock lies beside it there was a history: it is set aside as other damaged ones are."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    data = program.history.read_bytes()
    program.history.write_bytes(b"rubbish!" * 10 + data[80:])
    [command] = found(program, code=3)["History"]["commands"]
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
    assert program("-c", "flow.json").code == 0


def test_results_wait_though_the_history_is_gone_or_counts_anew(program: Program) -> None:
    """The file is found by its name and content: without a history, and where its run's id is another's now."""
    program.config({"a": f"rm -f {program.history}*; true"})
    assert program("-c", "flow.json").code == 3
    findings = found(program, "-c", "flow.json", code=3)
    assert findings["Results"]["text"] == "those of run 1 (flow) are not in the history"
    program.config({"x": "true"}, name="other.json")
    assert program("-c", "other.json").code == 0
    assert found(program, "-c", "flow.json", code=3)["Results"]["level"] == "problem"
    [command] = found(program, "-c", "flow.json", code=3)["Results"]["commands"]
    assert subprocess.run(["sh", "-c", command], env=program.environment(), check=False).returncode == 0
    assert found(program, "-c", "flow.json")["Results"]["level"] == "good"


def test_a_file_that_was_cut(program: Program) -> None:
    """It holds a resume up: that is said, and how to go on without it."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    (program.folder / "logs/executioner.flow.run-1.spool.json").write_text("{")
    results = found(program, code=3)["Results"]
    assert results["text"] == (
        "logs/executioner.flow.run-1.spool.json: This is not a spool file: it is not JSON, or was cut"
    )
    assert "move it away" in results["advice"]


def test_results_in_a_folder_that_is_gone(program: Program) -> None:
    """Whether some wait in a log folder that is not mounted is not known, nor where the history is gone, too; in
    one that was never made there are none.
    """
    program.config({"a": "true"}, log_dir="later")
    assert found(program, "-c", "flow.json")["Results"]["level"] == "good"
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    (program.folder / "logs").rename(program.folder / "away")
    for args in ((), ("-c", "flow.json")):
        results = found(program, *args)["Results"]
        assert results["level"] == "note"
        assert results["text"] == "whether some wait to be imported is not known: logs is not there"
    assert found(program)["Log folder"]["level"] == "note"
    program.config({"a": "true"}, name="other.json", log_dir="later")
    assert found(program, "-c", "other.json")["Results"]["level"] == "good"
    sql(
        program.history,
        "UPDATE run_metadata SET status = 'INTERRUPTED', failure_summary ="
        " 'Its runner ended without recording a result' WHERE run_id = 1",
    )
    assert found(program, "-c", "other.json")["Results"]["level"] == "note"  # the other config
    program.history.unlink()
    assert found(program, "-c", "flow.json", code=3)["Results"]["level"] == "note"
    assert "add -c FILE" in found(program, code=3)["Results"]["advice"]


def test_text_is_wrapped_on_a_terminal(program: Program) -> None:
    """Under its column, at words; nothing is wider than the screen but a command or a path."""
    shown = program.on_terminal("--doctor", width=60, env={"NO_COLOR": "1"})
    lines = shown.out.splitlines()
    at = lines.index(next(line for line in lines if "SQLite" in line))
    assert all(line.startswith("             ") for line in lines[at + 1 : at + 2])
    assert all(len(line) <= 60 or "/" in line for line in lines)


def test_a_lock_that_somebody_removed(program: Program) -> None:
    """A run that is on is known by its process alone then: a note."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        Path(f"{program.history}.lock").unlink()
        lock = found(program)["Lock"]
        assert (lock["level"], "its file is gone" in lock["text"]) == ("note", True)
        let_through()
        runner.wait()


def test_who_holds_a_history(program: Program) -> None:
    """A run that waits in vain names the process that has the history."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    with held_by_another(program.history, "immediate"):
        assert re.fullmatch(r"\d+ \(python\S*\)", holder(str(program.history)) or "")
    assert holder(str(program.history)) is None


@pytest.mark.promise(8)
@pytest.mark.parametrize("how", ["newer", "forbidden"])
def test_a_history_that_is_whole_is_not_to_be_set_aside(program: Program, how: str) -> None:
    """A newer program's history, and one that this user may not read, are nobody's to move away."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    if how == "newer":
        sql(program.history, "PRAGMA user_version = 99")
    else:
        program.history.chmod(0)
    result = as_an_ordinary_user(program, "--doctor", "--format", "json")
    assert result.code == 3
    [history] = [one for one in json.loads(result.out) if one["topic"] == "History"]
    assert history["text"].startswith(
        "The history was written by a newer" if how == "newer" else "The history cannot be read: Permission denied"
    )
    assert history["commands"] == []
    assert "backup" not in history["advice"]
