"""What a second look at resuming found, each as a test that failed before."""

import json
import os
import re
import shutil
import subprocess

import pytest
from earlier_databases import make_earlier
from harness import Program, ended, is_running, wait_until
from history_tools import gate, kill, pid_in, sql, wait_for_end
from resume_tools import fails, job, ran, refused, screen
from screens import assert_harmless


def chain(program: Program, *args: str, failing: str = "c") -> None:
    """Run a, b and c, each after the one before; one fails."""
    program.config([job("a"), job("b", "a"), job("c", "b")])
    fails(program, failing)
    assert program("-c", "flow.json", *args).code == 1
    ran(program)


def test_a_job_that_is_to_be_skipped_is_not_rerun(program: Program) -> None:
    """``--skip`` holds also for a job after one that changed, with ``--if-changed rerun``."""
    chain(program)
    fails(program)
    program.config([{**job("a"), "command": "echo a >> ran; true"}, job("b", "a"), job("c", "b")])
    assert program("-c", "flow.json", "--resume-from", "1", "--skip", "b", "--if-changed", "rerun").code == 0
    assert ran(program) == ["a", "c"]
    assert program.statuses(2)["b"] == "SKIPPED"


def test_another_skip_does_not_run_what_counted_as_done(program: Program) -> None:
    """What came before ``--from-job`` still counts as done when other jobs are skipped in the resume."""
    program.config([job("a"), job("b", "a"), job("c", "b"), job("d", "b")])
    fails(program, "c")
    assert program("-c", "flow.json", "--from-job", "c", "--yes").code == 1
    ran(program)
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "1", "--skip", "d").code == 0
    assert ran(program) == ["c"]


def test_a_taken_over_run_is_resumed_twice(program: Program) -> None:
    """Definitions of a run that was resumed from an earlier tool's database are those of the real history."""
    make_earlier(program.history)
    [run, *_] = program.rows("SELECT run_id, application_name, id FROM job_history WHERE status = 'SUCCESS'")
    program.config(
        [{**job("a"), "env_variables": {"MODE": "1"}}, job("b", "a")],
        application_name=run["application_name"],
    )
    fails(program, "b")
    args = ("-c", "flow.json", "--resume-from")
    assert program(*args, str(run["run_id"]), "--if-changed", "keep").code == 1
    newest = program.rows("SELECT max(run_id) AS id FROM run_metadata")[0]["id"]
    fails(program)
    result = screen(program, *args, str(newest))
    assert (result.code, result.err) == (0, "")


def outlived(program: Program, command: str) -> int:
    """Kill the runner of a job that waits at the gate; returns the job's pid."""
    program.config([{"id": "b", "command": command}, job("c", "b")])
    with ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "up")
        kill(runner)
    assert is_running(pid)
    return pid


def test_a_leftover_without_its_mark(program: Program) -> None:
    """A job that dropped its environment is known by the log that it writes to, and is ended."""
    inner = "echo $$ > up; read x < gate"
    with gate(program):
        pid = outlived(program, f"exec env -i /bin/sh -c '{inner}'")
        assert refused(program, "-c", "flow.json", "--resume-from", "1").err.startswith(
            "Error: 1 job of run 1 is still running "
        )
        (program.folder / "flow.json").write_text(json.dumps({"jobs": [job("b"), job("c", "b")]}))
        assert program("-c", "flow.json", "--resume-from", "1", "--kill-leftovers").code == 0
        assert not is_running(pid)


def test_a_config_under_another_name_looks_for_leftovers_too(program: Program) -> None:
    """A copy or a moved config of the same application does not start beside what still runs."""
    with gate(program):
        program.config([{"id": "b", "command": "echo $$ > up; read x < gate"}], application_name="nightly")
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up")
            kill(runner)
        shutil.move(program.folder / "flow.json", program.folder / "moved.json")
        assert refused(program, "-c", "moved.json").code == 3
        assert refused(program, "-c", "moved.json", "--dry-run").code == 3
    wait_for_end(pid)


def test_a_leftover_does_not_end_itself(program: Program) -> None:
    """``--kill-leftovers`` typed inside the very job is refused: it would kill the command that was typed."""
    call = " ".join(program.command("-c", "flow.json", "--resume-from", "1", "--kill-leftovers"))
    with gate(program) as let_on:
        pid = outlived(program, f"echo $$ > up; read x < gate; {call} 2> said; echo $? > code; read x < gate")
        let_on()
        wait_until(lambda: (program.folder / "code").exists() and (program.folder / "code").read_text(), "a code")
        assert (program.folder / "code").read_text() == "3\n"
        assert (program.folder / "said").read_text().startswith("Error: This command runs inside a job")
        assert is_running(pid)
    wait_for_end(pid)


def test_nothing_is_ended_for_a_run_that_may_not_start(program: Program) -> None:
    """With as many active runs as there may be, leftovers are left alone."""
    commands = {"id": "b", "command": "test -e second && { echo $$ > up2; } || echo $$ > up; read x < gate"}
    with gate(program):
        program.config([commands], max_active_runs=1)
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up")
            kill(runner)
        (program.folder / "second").touch()
        with ended(program.start("-c", "flow.json", "--ignore-leftovers")):
            pid_in(program, "up2")
            result = screen(program, "-c", "flow.json", "--kill-leftovers")
            assert (result.code, "max_active_runs is 1" in result.err) == (3, True)
            assert is_running(pid)
    wait_for_end(pid)


def test_a_run_and_its_preview_refuse_for_the_same_reason(program: Program) -> None:
    """With a leftover and an unaccepted ``--from-job`` both exit with 3."""
    with gate(program):
        pid = outlived(program, "echo $$ > up; read x < gate")
        for args in (["--from-job", "c"], ["--from-job", "c", "--resume-from", "1"]):
            codes = [refused(program, "-c", "flow.json", *args, *more).code for more in ([], ["--dry-run"])]
            assert codes == [3, 3]
    wait_for_end(pid)


def test_no_plan_as_data_where_the_run_is_refused(program: Program) -> None:
    """On an error stdout stays empty: a script that reads a plan has one that can be run."""
    chain(program, failing="b")
    for args in (["--from-job", "c"], ["--from-job", "c", "--resume-from", "1"]):
        result = refused(program, "-c", "flow.json", *args, "--dry-run", "--format", "json")
        assert (result.code, result.out) == (2, "")


def test_quiet_is_quiet(program: Program) -> None:
    """Cron gets no mail when a resume succeeds, keeps something, or has nothing to do."""
    chain(program)
    fails(program)
    program.config([{**job("a"), "command": "true"}, job("b", "a"), job("c", "b")])
    assert program("--resume-from", "last", "--if-changed", "keep", "--quiet") == (0, "", "")
    assert program("--resume-from", "last", "--quiet") == (0, "", "")


def test_a_reason_of_any_bytes(program: Program) -> None:
    """``--reason`` with bytes that are no UTF-8 is recorded escaped."""
    chain(program)
    command = [*map(os.fsencode, program.command("--mark-success", "1", "c", "--yes", "--reason")), b"x\xff"]
    done = subprocess.run(command, cwd=program.folder, env=program.environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert program.jobs()["c"]["mark_reason"] == "x\\xff"


def test_commands_for_a_config_that_is_gone_are_quoted(program: Program) -> None:
    """What is printed can be pasted: an empty ``--skip`` and odd names stand quoted."""
    chain(program)
    (program.folder / "flow.json").unlink()
    text = screen(program, "--resume-from", "1", "--skip", "", "--if-changed", "keep").err
    assert "--resume-from 1 --skip '' --if-changed keep" in text
    text = screen(program, "--resume-from", "1", "--from-job", "a; rm x").err
    assert "--from-job 'a; rm x'" in text


def test_a_failed_job_that_is_skipped_is_not_said_to_have_succeeded(program: Program) -> None:
    """``--resume-failed-only --skip`` of the only failed job: nothing to run, and the reason is right."""
    chain(program)
    text = refused(program, "-c", "flow.json", "--resume-from", "1", "--resume-failed-only", "--skip", "c").err
    assert text.startswith(
        "Nothing to resume: all other jobs of run 1 succeeded, c is skipped on request (flow)\n"
    )


@pytest.mark.parametrize(
    "change",
    [
        "marked_by = x'ff', marked_at = 5, mark_reason = x'00'",
        "reason = x'ff'",
        "marked_by = 'm', marked_at = 5",
        "id = x'ff'",
        "definition = '{', command = 7",
        "source_run_id = 'x'",
    ],
)
def test_edited_rows_break_no_screen(program: Program, change: str) -> None:
    """Values of another kind in the rows of the run that is resumed stop nothing but that job's reuse."""
    chain(program)
    sql(program.history, f"UPDATE job_history SET {change} WHERE id = 'a'")
    for args in (
        ["--resume-from", "1", "--dry-run"],
        ["--resume-from", "1", "--dry-run", "--format", "json"],
        ["--resume-from", "1", "--dry-run", "--verbose"],
        ["--mark-success", "1", "c", "--dry-run"],
        ["--show-run", "1"],
    ):
        result = program(*args)
        assert "Internal error" not in result.err
        assert_harmless(result.out + result.err)


@pytest.mark.parametrize("text", ["2025-13-01T00:00:00.000000Z", "2025-02-30T10:00:00.000000Z", "soon"])
@pytest.mark.parametrize("status", ["FAILED", "RUNNING"])
def test_times_that_are_none_are_unknown(program: Program, text: str, status: str) -> None:
    """A 13th month, the 30th of February or a word, in each column of times: screens say "unknown" or nothing."""
    chain(program)
    program.config({"a": "true"}, application_name="other")
    assert program("-c", "flow.json").code == 0
    columns = "start_time = :t, end_time = :t"
    sql(program.history, f"UPDATE run_metadata SET {columns}".replace(":t", f"'{text}'"))
    sql(
        program.history,
        f"UPDATE job_history SET {columns}, last_run = :t, marked_at = :t".replace(":t", f"'{text}'"),
    )
    sql(program.history, "UPDATE job_history SET marked_by = 'eve' WHERE id = 'a'")
    sql(program.history, f"UPDATE job_history SET status = '{status}' WHERE id = 'c'")
    shown = program("--show-run", "1")
    assert re.search(r"\nStart Time: unknown\nEnd Time: unknown( \(last recorded [\d :-]+\))?\n", shown.out)
    listed = program("--list-runs")
    assert [line.split(" | ")[3].strip() for line in listed.out.splitlines()[4:6]] == ["-", "-"]
    missing = program("--show-run", "99")
    assert "\n  Run 2 - SUCCESS - unknown\n" in missing.err
    marked = program("--mark-success", "1", "a", "--dry-run")
    assert "is marked already (by eve)" in marked.out + marked.err
    for args in (
        ["--resume-from", "1", "--dry-run"],
        ["--list-runs", "--app", "nothing"],
        ["--list-runs", "-c", "flow.json"],
    ):
        result = program(*args)
        assert "Internal error" not in result.err
        assert text not in result.out + result.err


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 7, None, ["x"]])
def test_edited_variables_are_none(program: Program, value: object) -> None:
    """A recorded ``--env`` that no process can be given is not taken over, and leaves no run behind."""
    chain(program)
    options = json.dumps({"env": {"ODD": value, "GOOD": "1"}})
    sql(program.history, f"UPDATE run_metadata SET options = '{options}'")
    fails(program)
    assert "Internal error" not in program("--show-run", "1").err
    result = program("--resume-from", "1")
    assert (result.code, program.run_row(2)["status"]) == (0, "SUCCESS")
    assert json.loads(program.run_row(2)["options"])["env"] == {"GOOD": "1"}


@pytest.mark.parametrize(
    "change", ["DELETE FROM database_identity", "UPDATE database_identity SET value = 'text'"]
)
def test_a_history_without_identity_is_refused(program: Program, change: str) -> None:
    """Without its random values nothing is resumed or run: exit 3, and no run is created."""
    chain(program)
    sql(program.history, change)
    for args in (["--resume-from", "1"], ["-c", "flow.json"]):
        result = refused(program, *args)
        assert (result.code, "its table database_identity lacks what it held" in result.err) == (3, True)
