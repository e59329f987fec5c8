"""``--import-spool``: what the history could not take is put back, whole and once."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Result, ended
from history_tools import gate, integrity, pid_in, spool_content, sql
from test_history_failing import break_history, fail_in_mid_run, result

from executioner.history.spool import read, write

pytestmark = pytest.mark.promise(9)

SPOOL = "logs/executioner.flow.run-1.spool.json"


def rows(program: Program) -> list[dict[str, Any]]:
    """Every row of runs and jobs."""
    return [
        *program.rows("SELECT * FROM run_metadata ORDER BY run_id"),
        *program.rows("SELECT * FROM job_history ORDER BY run_id, position"),
    ]


def history_removed(program: Program, more: str = "") -> Result:
    """A run of a, b and c, of which c fails, whose history somebody removes while b runs."""
    program.config(
        [
            {"id": "a", "command": "true"},
            {"id": "b", "command": f"rm -f {program.history}*{more}", "dependencies": ["a"]},
            {"id": "c", "command": "false", "dependencies": ["b"]},
        ]
    )
    return program("-c", "flow.json")


def refused(program: Program, *args: str) -> Result:
    """An import that is refused: nothing is changed in the history, and the file stays as it was."""
    before, spool = rows(program), (program.folder / SPOOL).read_bytes()
    found = program("--import-spool", SPOOL, *args)
    assert rows(program) == before
    assert (program.folder / SPOOL).read_bytes() == spool
    assert found.out == ""
    return found


def test_results_are_put_back_and_the_run_can_be_resumed(program: Program) -> None:
    """Each job has the result that it had; the run ends INTERRUPTED with exit code 3; the resume does the rest."""
    fail_in_mid_run(program)
    assert program("-c", "flow.json", "--resume-from", "1").code == 3
    done = program("--import-spool", SPOOL)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(
        f"Imported results of run 1 (flow): 2 SUCCESS, 2 SKIPPED\nThe file is now {SPOOL}.imported\n\n"
        "Run Details for ID 1:\n"
    )
    assert "Reason: The history could not be written\n" in done.out
    assert "flow.json --workers 2 --resume-from 1\n" in done.out
    assert program.statuses() == {"a": "SUCCESS", "c": "SUCCESS", "b": "SKIPPED", "d": "SKIPPED"}
    run = program.run_row()
    assert (run["status"], run["exit_code"], run["completed_jobs"], run["skipped_jobs"]) == (
        "INTERRUPTED",
        3,
        2,
        2,
    )
    assert run["end_time"] is not None
    assert json.loads(program.jobs()["a"]["retry_history"])[0]["status"] == "SUCCESS"
    assert program.output("c") == b""
    assert not (program.folder / SPOOL).exists()
    assert program("-c", "flow.json", "--resume-from", "1").code == 0
    assert program.statuses(2) == dict.fromkeys("acbd", "SUCCESS")
    assert [program.jobs(2)[name]["source_run_id"] for name in "acbd"] == [1, 1, None, None]


def test_a_run_of_which_only_the_end_was_missing_becomes_a_success(program: Program) -> None:
    """All jobs succeeded, the end could not be written: imported, the run is what its jobs are."""
    program.config({"a": "echo $$ > a_pid; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "a_pid")
        break_history(runner, program)
        let_through()
        assert result(runner).code == 3
    assert program("--import-spool", SPOOL).code == 0
    run = program.run_row()
    assert (run["status"], run["exit_code"], run["completed_jobs"], run["failure_summary"]) == (
        "SUCCESS",
        3,
        1,
        None,
    )
    nothing = program("-c", "flow.json", "--resume-from", "1")
    assert nothing.code == 0
    assert "Nothing to resume" in nothing.err


def test_results_go_over_what_a_later_run_recorded_of_the_dead_one(program: Program) -> None:
    """Another run has recorded it as INTERRUPTED meanwhile; a mark that somebody made stays."""
    fail_in_mid_run(program)
    program.config({"z": "true"}, name="next.json")
    assert program("-c", "next.json").code == 0
    assert program.statuses()["a"] == "INTERRUPTED"
    refused_mark = program("--mark-success", "1", "b", "--yes")
    assert (refused_mark.code, "--import-spool" in refused_mark.err) == (3, True)
    away = program.folder / "away.json"
    (program.folder / SPOOL).rename(away)
    assert program("--mark-success", "1", "b", "--yes").code == 0
    assert program("--import-spool", "away.json").code == 0
    assert program.statuses() == {"a": "SUCCESS", "c": "SUCCESS", "b": "SKIPPED", "d": "SKIPPED"}
    assert program.jobs()["b"]["marked_by"] is not None


def test_importing_again_changes_nothing(program: Program) -> None:
    """A kill between the commit and the renaming leaves the file: importing it once more gives the same rows."""
    fail_in_mid_run(program)
    shutil.copy(program.folder / SPOOL, program.folder / "again.json")
    assert program("--import-spool", SPOOL).code == 0
    before = rows(program)
    assert program("--import-spool", "again.json").code == 0
    assert rows(program) == before


def test_a_preview_of_an_import_writes_nothing(program: Program) -> None:
    """--dry-run says what would be imported, and how to do it."""
    fail_in_mid_run(program)
    before = rows(program)
    preview = program("--import-spool", SPOOL, "--dry-run")
    assert (preview.code, preview.out) == (
        0,
        f"Would import results of run 1 (flow): 2 SUCCESS, 2 SKIPPED\nHistory: {program.history}\n",
    )
    assert preview.err == (
        "\nNothing was imported. To import them:\n"
        f"  cd {program.folder} && executioner.py --import-spool {SPOOL}\n"
    )
    assert rows(program) == before
    assert (program.folder / SPOOL).exists()


def test_the_screen_of_such_a_run_names_the_file(program: Program) -> None:
    """--show-run gives the command for the import, not that for a resume, which would be refused."""
    fail_in_mid_run(program)
    screen = program("--show-run", "1").out
    assert screen.endswith(
        "The history could not be written then: results of this run are in a file beside its logs.\n"
        "To put them into the history:\n"
        f"  cd {program.folder} && executioner.py --import-spool {SPOOL}\n"
    )
    assert "--resume-from" not in screen


def test_a_run_whose_history_is_gone_is_put_into_a_new_one(program: Program) -> None:
    """The database was removed in mid-run: the import makes a new one with the whole run in it."""
    assert history_removed(program).code == 3
    done = program("--import-spool", SPOOL)
    assert (done.code, done.err) == (0, "")
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS", "c": "FAILED"}
    run = program.run_row()
    assert (run["status"], run["exit_code"], run["completed_jobs"], run["failed_jobs"]) == ("FAILED", 3, 2, 1)
    assert program.output("c") == b""
    program.config(
        [
            {"id": "a", "command": "true"},
            {"id": "b", "command": f"rm -f {program.history}*", "dependencies": ["a"]},
            {"id": "c", "command": "true", "dependencies": ["b"]},
        ]
    )
    assert program("-c", "flow.json", "--resume-from", "1").code == 0
    assert [row["source_run_id"] for row in program.jobs(2).values()] == [1, 1, None]
    assert integrity(program.history) == ["ok"]


def test_a_run_whose_id_was_given_away_meanwhile_gets_a_new_one(program: Program) -> None:
    """A new history counts from 1 again: the imported run is told the number that it has now."""
    assert history_removed(program).code == 3
    program.config({"x": "true"}, name="other.json")
    assert program("-c", "other.json").code == 0
    done = program("--import-spool", SPOOL)
    assert done.code == 0
    assert "That id has been given to another run since: it is recorded as run 2.\n" in done.out
    assert program.run_row(1)["application_name"] == "other"
    run = program.run_row(2)
    assert (run["application_name"], run["root_run_id"], run["parent_run_id"]) == ("flow", 2, None)
    assert list(program.jobs(2)) == ["a", "b", "c"]


def test_a_history_that_was_moved_is_named(program: Program) -> None:
    """Where the history is no longer, the import says so and makes none; --db leads it to the right one."""
    fail_in_mid_run(program)
    moved = program.home / "moved.db"
    for ending in ("", "-wal"):
        Path(f"{program.history}{ending}").rename(f"{moved}{ending}")
    for path in program.history.parent.glob("history.db-*"):
        path.unlink()
    lost = program("--import-spool", SPOOL)
    assert (lost.code, lost.out) == (3, "")
    assert lost.err == (
        f"Error: There is no such history, and the file holds only what was missing from it ({program.history})\n"
        "Nothing was imported. If the history was moved, name it with --db PATH.\n"
    )
    assert not program.history.exists()
    assert program("--import-spool", SPOOL, "--db", str(moved)).code == 0
    assert program.jobs(1, moved)["a"]["status"] == "SUCCESS"


def test_results_of_another_history_are_refused(program: Program) -> None:
    """The number is that of another run here: exit 3, nothing is written over it."""
    program.config({"x": "true"}, name="other.json")
    other = program.home / "other.db"
    assert program("-c", "other.json", "--db", str(other)).code == 0
    fail_in_mid_run(program)
    start = program.run_row()["start_time"]
    found = refused(program, "--db", str(other))
    assert found.code == 3
    assert found.err == (
        "Error: The results belong to a history that is not this one: run 1 is another run there"
        f" ({program.folder / SPOOL})\n"
        f"  They are of run 1 of flow, started {start[:10]} {start[11:19]},\n"
        f"  in {program.history}.\n"
        "\n"
        "Nothing was imported. If that history was moved, name it with --db PATH.\n"
    )
    assert program.run_row(1, other)["application_name"] == "other"


def test_a_start_that_is_no_time_is_shown_as_it_stands(program: Program) -> None:
    """Of a file that somebody has edited: the results are refused as ever, and the run is named."""
    program.config({"x": "true"})
    assert program("-c", "flow.json").code == 0
    (program.folder / SPOOL).parent.mkdir(exist_ok=True)
    (program.folder / SPOOL).write_text(json.dumps(spool_content(start_time="soon")))
    assert "They are of run 1 of flow, started soon,\n" in refused(program, "--db", str(program.history)).err


def test_a_run_that_is_still_on_is_not_touched(program: Program) -> None:
    """Exit 3 while the runner lives."""
    program.config({"a": "echo $$ > a_pid; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "a_pid")
        run = program.run_row()
        content = spool_content(history=str(program.history), start_time=run["start_time"])
        (program.folder / SPOOL).write_text(json.dumps(content))
        found = refused(program)
        assert (found.code, found.err) == (
            3,
            "Error: Run 1 is still running\nNothing was imported. Wait until it has ended.\n",
        )
        let_through()
        assert runner.wait() == 0


def test_the_next_step_names_the_history_of_the_environment(program: Program) -> None:
    """As all that are printed: pasted where ``EXECUTIONER_DB`` is not set it looks at the same history."""
    err = program("--import-spool", "nope", env={"EXECUTIONER_DB": str(program.folder / "h.db")}).err
    assert err.endswith(f"  cd {program.folder} && executioner.py --db h.db --doctor\n")


def step(program: Program) -> str:
    """What errors of a file that is no spool end with."""
    return (
        "Nothing was imported. To see whether results wait to be imported:\n"
        f"  cd {program.folder} && executioner.py --doctor\n"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is not JSON, or was cut"),
        (json.dumps(spool_content())[:-5], "it is not JSON, or was cut"),
        ("[" * 100_000, "it is not JSON, or was cut"),
        ('{"jobs": []}', "it does not say that it is one"),
        ("[]", "it does not say that it is one"),
        ({"run_id": True}, '"run_id" is missing'),
        ({"history": None}, '"history" is missing'),
        ({"run": []}, '"run" or "jobs" is missing'),
        ({"jobs": [{"status": "FAILED"}]}, "a job has no id"),
        ({"jobs": ["a"]}, "a job has no id"),
        ({"run": {"x = 1; --": 1}}, 'run has an unknown column "x = 1; --"'),
        ({"jobs": [{"id": "a", "evil": 1}]}, 'job a has an unknown column "evil"'),
        ({"jobs": [{"id": "a", "reason": ["x"]}]}, '"reason" of job a is no value of a column'),
        ({"jobs": [{"id": "a", "reason": "\ud800"}]}, '"reason" of job a is no value of a column'),
        ({"jobs": [{"id": "a", "exit_code": 2**63}]}, '"exit_code" of job a is no value of a column'),
        ({"jobs": [{"id": "a", "exit_code": True}]}, '"exit_code" of job a is no value of a column'),
        ('{"executioner_spool": 1, "run": {"duration_seconds": NaN}}', "it has the number NaN"),
        ({"jobs": [{"id": "a", "status": "RUNNING"}]}, "job a has no status that a job ends with"),
        ({"jobs": [{"id": "a", "status": "FINE"}]}, "job a has no status that a job ends with"),
    ],
)
@pytest.mark.promise(7)
def test_a_file_that_is_no_spool_is_refused(program: Program, content: Any, why: str) -> None:
    """Exit 2, the reason, nothing written, no history made."""
    text = content if isinstance(content, str) else json.dumps(spool_content(**content))
    (program.folder / "s.json").write_text(text)
    found = program("--import-spool", "s.json")
    assert (found.code, found.out) == (2, "")
    assert found.err == f"Error: This is not a spool file: {why} (s.json)\n{step(program)}"
    assert not program.history.exists()
    assert (program.folder / "s.json").read_text() == text


def test_a_file_of_a_newer_program(program: Program) -> None:
    """Exit 2, and what to do."""
    (program.folder / "s.json").write_text(json.dumps(spool_content(executioner_spool=2)))
    assert program("--import-spool", "s.json") == (
        2,
        "",
        "Error: The file was written by a newer executioner (s.json)\n"
        "  This program knows form 1 of such files: upgrade executioner.\n\nNothing was imported.\n",
    )


def test_a_file_that_was_imported_before(program: Program) -> None:
    """Its old name says so; under its new one it can be imported again, and is not renamed once more."""
    fail_in_mid_run(program)
    assert program("--import-spool", SPOOL).code == 0
    again = program("--import-spool", SPOOL)
    assert (again.code, again.out) == (2, "")
    assert again.err == (
        f"Error: It was imported already: the file is now {SPOOL}.imported ({SPOOL})\n"
        f"To see the runs:\n  cd {program.folder} && executioner.py --list-runs\n"
    )
    assert program("--import-spool", f"{SPOOL}.imported").code == 0
    assert (program.folder / f"{SPOOL}.imported").exists()


def test_a_file_that_is_not_there(program: Program) -> None:
    """Exit 2; a FIFO is not waited for."""
    os.mkfifo(program.folder / "fifo")
    for name, why in (("nix.json", "No such file or directory"), ("fifo", "it is not a regular file")):
        found = program("--import-spool", name)
        assert (found.code, found.out) == (2, "")
        assert found.err == f"Error: The file cannot be read: {why} ({name})\n{step(program)}"


def test_the_run_as_json(program: Program) -> None:
    """--format json: stdout is the object of --show-run, what was done is told on stderr."""
    fail_in_mid_run(program)
    done = program("--import-spool", SPOOL, "--format", "json")
    assert done.code == 0
    assert json.loads(done.out) == json.loads(program("--show-run", "1", "--format", "json").out)
    assert done.err.startswith("Imported results of run 1 (flow): 2 SUCCESS, 2 SKIPPED\n")


def test_spools_of_two_histories_in_one_log_folder_are_kept_apart(program: Program) -> None:
    """A name that is taken is left alone; each run is held up by its own file only."""
    fail_in_mid_run(program)
    first = (program.folder / SPOOL).read_bytes()
    for path in program.history.parent.iterdir():
        path.unlink()
    for name in ("gate", "gate2", "a_pid", "c_pid", "c_done"):
        (program.folder / name).unlink()
    again = fail_in_mid_run_anew(program)
    assert "executioner.flow.run-1-2.spool.json" in again.err
    assert (program.folder / SPOOL).read_bytes() == first
    second = "logs/executioner.flow.run-1-2.spool.json"
    assert stat.S_IMODE((program.folder / second).stat().st_mode) == 0o600
    assert second in program("-c", "flow.json", "--resume-from", "1").err
    assert program("--import-spool", second).code == 0
    assert program("-c", "flow.json", "--resume-from", "1", "--dry-run").code == 0


def fail_in_mid_run_anew(program: Program) -> Result:
    """As in ``fail_in_mid_run``; the logs of the first run are named alike, so that it cannot be used twice."""
    with (
        gate(program) as let_a,
        gate(program, "gate2") as let_c,
        ended(program.start("-c", "flow.json", "-j", "2")) as runner,
    ):
        pid_in(program, "a_pid")
        pid_in(program, "c_pid")
        break_history(runner, program)
        let_a()
        let_c()
        return result(runner)


def test_a_planted_link_is_not_followed(program: Program) -> None:
    """A link at the name of the spool is left alone, and so is what it leads to; the results go beside it."""
    (program.folder / "logs").mkdir()
    victim = program.folder / "victim"
    victim.write_text("precious")
    (program.folder / SPOOL).symlink_to(victim)
    ending = fail_in_mid_run(program)
    assert victim.read_text() == "precious"
    assert "executioner.flow.run-1-2.spool.json" in ending.err


def test_an_import_into_a_history_that_cannot_be_written(program: Program) -> None:
    """A full disk still: exit 3, the file stays, and the import works when there is room again."""
    fail_in_mid_run(program)
    limited = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *program.command("--import-spool", SPOOL)],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 3, limited
    assert limited.stderr.startswith("Error: The history cannot be ")
    assert (program.folder / SPOOL).exists()
    assert program("--import-spool", SPOOL).code == 0


def test_a_job_that_is_not_in_the_run_is_refused(program: Program) -> None:
    """An edited file with a job that the run does not have changes nothing at all."""
    fail_in_mid_run(program)
    content = json.loads((program.folder / SPOOL).read_text())
    content["jobs"].append({"id": "stranger", "status": "SUCCESS"})
    (program.folder / SPOOL).write_text(json.dumps(content))
    found = refused(program)
    assert found.code == 3
    assert found.err.startswith(
        f"Error: Run 1 has no job stranger: the file was edited ({program.folder / SPOOL})\n"
    )
    assert sql(program.history, "SELECT count(*) FROM job_history WHERE id = 'stranger'") == [(0,)]


# --- a second look ----------------------------------------------------------------------------------


def test_a_whole_run_imported_again_is_not_there_twice(program: Program) -> None:
    """Under a new id: the file, a copy, and the renamed file give one run with one set of rows."""
    assert history_removed(program).code == 3
    program.config({"x": "true"}, name="other.json")
    assert program("-c", "other.json").code == 0
    shutil.copy(program.folder / SPOOL, program.folder / "copy.json")
    assert program("--import-spool", SPOOL).code == 0
    before = rows(program)
    for name in ("copy.json", f"{SPOOL}.imported"):
        again = program("--import-spool", name)
        assert (again.code, "it is recorded as run 2" in again.out) == (0, True)
        assert rows(program) == before


def test_a_whole_run_imported_again_joins_no_foreign_chain(program: Program) -> None:
    """The run resumed another one in its lost history: in the new one neither import links it to a stranger."""
    program.config([{"id": "a", "command": "true"}, {"id": "b", "command": "test -e ok", "dependencies": ["a"]}])
    assert program("-c", "flow.json").code == 1
    program.config(
        [
            {"id": "a", "command": "true"},
            {"id": "b", "command": f"rm -f {program.history}*", "dependencies": ["a"]},
        ]
    )
    assert program("-c", "flow.json", "--resume-from", "1").code == 3
    program.config({"a": "echo STRANGER"}, name="other.json")
    assert program("-c", "other.json").code == 0
    spool = "logs/executioner.flow.run-2.spool.json"
    for name in (spool, f"{spool}.imported"):
        assert program("--import-spool", name).code == 0
        run = program.run_row(2)
        assert (run["parent_run_id"], run["root_run_id"]) == (None, 2)
        assert [row["source_run_id"] for row in program.jobs(2).values()] == [None, None]
    assert "Resumed by" not in program("--show-run", "1").out
    assert "STRANGER" not in program("--show-log", "2", "a").out


def test_a_file_is_not_overlooked_where_another_was_imported(program: Program) -> None:
    """Two histories in one log folder: the second's file still holds its run up when the first's is gone."""
    fail_in_mid_run(program)
    shutil.copytree(program.history.parent, program.home / "first")
    for path in program.history.parent.iterdir():
        path.unlink()
    for name in ("gate", "gate2", "a_pid", "c_pid", "c_done"):
        (program.folder / name).unlink()
    fail_in_mid_run_anew(program)
    assert program("--import-spool", SPOOL, "--db", str(program.home / "first/history.db")).code == 0
    assert program("-c", "flow.json", "--resume-from", "1").code == 3
    assert "logs/executioner.flow.run-1-2.spool.json" in program("--show-run", "1").out


def test_a_preview_refuses_what_an_import_would_refuse(program: Program) -> None:
    """Another history, another run of that id: exit 3 either way; and a new id is foretold."""
    program.config({"x": "true"}, name="other.json")
    other = program.home / "other.db"
    assert program("-c", "other.json", "--db", str(other)).code == 0
    fail_in_mid_run(program)
    for flags in ((), ("--dry-run",)):
        assert refused(program, "--db", str(other), *flags).code == 3
    whole = Program(program.folder.parent / "second")
    assert history_removed(whole).code == 3
    whole.config({"x": "true"}, name="other.json")
    assert whole("-c", "other.json").code == 0
    assert "it would be recorded as run 2.\n" in whole("--import-spool", SPOOL, "--dry-run").out


def test_a_path_through_a_link_is_the_shells(program: Program) -> None:
    """``link/../s.json`` is what the kernel makes of it, not what the words look like."""
    (program.folder / "real/sub").mkdir(parents=True)
    (program.folder / "link").symlink_to("real/sub")
    (program.folder / "s.json").write_text("{}")
    (program.folder / "real/s.json").write_text("[]")
    (program.folder / "real/s.json").chmod(0o600)
    found = program("--import-spool", "link/../missing.json")
    assert "No such file" in found.err
    shutil.move(program.folder / "s.json", program.folder / "real/only-there.json")
    assert "it does not say that it is one" in program("--import-spool", "link/../only-there.json").err


def test_a_fresh_run_beside_waiting_results_says_so(program: Program) -> None:
    """Also without a terminal, where cron would do the work twice without a word; and in the preview."""
    fail_in_mid_run(program)
    program.config({"x": "true"})
    for words in (("--dry-run",), ()):
        fresh = program("-c", "flow.json", *words)
        assert fresh.code == 0
        assert fresh.err == (
            "Warning: results of run 1 are not in the history, but beside its logs; to put them in:"
            f" cd {program.folder} && executioner.py --import-spool {SPOOL}\n"
        )


def test_values_that_no_history_can_hold_are_kept_as_they_would_be_shown(tmp_path: Path) -> None:
    """What is written can be read again: no surrogates, no NaN, no bytes; a name that is taken is passed over."""
    jobs = [{"id": "a", "reason": "\udcff", "exit_code": None, "cpu_usage_percent": float("nan")}]
    content = spool_content(jobs=jobs)
    (tmp_path / "run.spool.json").touch()
    path = write(str(tmp_path / "run"), {**content, "reason": b"\xff?"})
    assert path == str(tmp_path / "run-2.spool.json")
    found = read(path)
    assert found.jobs["a"] == {"id": "a", "reason": "\\xff", "exit_code": None, "cpu_usage_percent": None}
    assert found.reason == "\\xff?"


def test_half_a_file_is_none(tmp_path: Path) -> None:
    """Whatever goes wrong in the writing, no half of a file is left to block resumes."""
    with pytest.raises(TypeError):
        write(str(tmp_path / "run"), {"run": {1, 2}})
    assert list(tmp_path.iterdir()) == []
