"""``--mark-success``: a person lets jobs count as successful; asked, recorded, and always shown."""

import getpass
import json
import os
import re
import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from harness import Program, Result, ended
from history_tools import UTC_TEXT, gate, kill, pid_in, sql, wait_for_end
from resume_tools import (
    commands,
    failed_pipeline,
    fails,
    job,
    pasted,
    pipeline,
    ran,
    recorded,
    refused,
    screen,
)
from screens import assert_harmless, figures

USER = getpass.getuser()
MARKS = ("marked_by", "marked_at", "mark_reason")
PLAN = """\
1 job of run 249 to mark as successful (data_pipeline, FAILED 3/8):
  ✗ transform_part2 - FAILED (Exit code 1)

Its status stays as recorded. Resuming run 249 will count it as done.
What depends on it will then run: merge_results, generate_report, send_notification, cleanup
"""
MARKED = """\

Marked: transform_part2
To resume run 249:
  executioner.py -c data_pipeline.json --resume-from 249
"""
MARK = ("--mark-success", "249", "transform_part2")


def asked(program: Program, answer: bytes, *args: str) -> Result:
    """Run the program on a terminal and answer its question."""
    return program.on_terminal(*args, env={"NO_COLOR": "1"}, keys=[("[y/N] ", answer)])


def marks(program: Program, run_id: int = 249) -> dict[str, tuple[Any, ...]]:
    """The marked jobs of a run: who, when, why."""
    return {
        name: tuple(row[column] for column in MARKS)
        for name, row in program.jobs(run_id).items()
        if row["marked_by"] is not None
    }


@pytest.mark.parametrize("answer", ["y", "yes", "Y", " YES "])
def test_the_question_on_a_terminal(program: Program, answer: str) -> None:
    """It shows what it will do, asks, and marks after yes; then says how to resume."""
    failed_pipeline(program)
    result = asked(program, answer.encode() + b"\n", *MARK)
    assert (result.code, result.out) == (
        0,
        f"{PLAN}\nMark it as successful? [y/N] {answer}\n{MARKED}",
    )
    assert list(marks(program)) == ["transform_part2"]


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"no\n", b"yess\n", b"\x04"])
def test_anything_but_yes_declines(program: Program, answer: bytes) -> None:
    """No, Enter, anything else and the end of input: exit 2, nothing was marked."""
    failed_pipeline(program)
    before = recorded(program)
    result = asked(program, answer, *MARK)
    assert result.code == 2
    assert result.out.startswith(f"{PLAN}\nMark it as successful? [y/N] ")
    assert result.out.endswith("Error: Not confirmed\nNothing was marked.\n")
    assert recorded(program) == before


def test_ctrl_c_at_the_question(program: Program) -> None:
    """Ctrl-C at the question: nothing was marked, exit 130."""
    failed_pipeline(program)
    before = recorded(program)
    assert asked(program, b"\x03", *MARK).code == 130
    assert recorded(program) == before


def test_the_end_of_input_at_the_question_ends_its_line(program: Program) -> None:
    """After Ctrl-D the error begins on a line of its own."""
    failed_pipeline(program)
    assert "[y/N] \nError: Not confirmed\n" in asked(program, b"\x04", *MARK).out


def test_without_a_terminal_yes_is_needed(program: Program) -> None:
    """Nobody can be asked: exit 2, with the command that does it, the reason in it; nothing was marked."""
    failed_pipeline(program)
    result = refused(program, *MARK, "--reason", "loaded by hand")
    assert result == (
        2,
        PLAN,
        "Error: Marking 1 job needs --yes, for nobody can be asked here (no terminal)\n"
        "Nothing was marked. To mark it:\n"
        "  executioner.py --mark-success 249 transform_part2 --reason 'loaded by hand' --yes\n",
    )
    [line] = commands(result.err)
    assert program(*pasted(line)).code == 0
    [(_, _, reason)] = marks(program).values()
    assert reason == "loaded by hand"


def test_yes_does_not_ask(program: Program) -> None:
    """``--yes``: the whole of stdout; stderr is empty; exit 0."""
    failed_pipeline(program)
    assert screen(program, *MARK, "--yes") == (0, PLAN + MARKED, "")


def test_who_when_and_why_are_recorded(program: Program) -> None:
    """The user, the time in UTC and the reason; nothing else of any row changes, no run is made."""
    failed_pipeline(program)
    before = recorded(program)
    begun = datetime.now(UTC)
    assert program(*MARK, "--yes", "--reason", "loaded by hand").code == 0
    after = recorded(program)
    [(who, when, why)] = marks(program).values()
    assert (who, why) == (USER, "loaded by hand")
    assert UTC_TEXT.fullmatch(when)
    assert begun <= datetime.fromisoformat(when) <= datetime.now(UTC)
    for row in after:
        if row.get("marked_by"):
            row.update(dict.fromkeys(MARKS))
    assert after == before
    assert program.statuses(249)["transform_part2"] == "FAILED"
    assert program.run_row(249)["status"] == "FAILED"


def test_without_a_reason(program: Program) -> None:
    """The reason may be left out: then none is recorded, and none is shown."""
    failed_pipeline(program)
    assert program(*MARK, "--yes").code == 0
    [(who, _, why)] = marks(program).values()
    assert (who, why) == (USER, None)
    shown = screen(program, "--show-run", "249").out
    assert f"✗ transform_part2   - FAILED  (00:00:00) - Exit code: 1, marked by {USER}\n" in figures(shown)


def test_a_marked_job_is_reused(program: Program) -> None:
    """A resume counts it as done, runs what depends on it, and shows it as marked, now and in every later run."""
    failed_pipeline(program)
    assert program(*MARK, "--yes", "--reason", "by hand").code == 0
    [line] = commands(MARKED)
    preview = screen(program, *pasted(line), "--dry-run")
    assert preview.out == (
        "RESUME DRY RUN - Run ID 249\n===========================\n"
        "Would skip successful jobs:\n"
        "  ✓ download_data\n  ✓ validate_data\n  ✓ transform_part1\n"
        f"  ✓ transform_part2 (marked by {USER}: by hand)\n\n"
        "Would execute remaining jobs:\n"
        "  - merge_results\n  - generate_report\n  - send_notification\n  - cleanup\n\n"
        "Total: 4 jobs to execute, 4 jobs to skip\n"
    )
    fails(program, "cleanup")
    assert program(*pasted(line)).code == 1
    assert ran(program) == ["merge_results", "generate_report", "send_notification", "cleanup"]
    fails(program)
    assert program("-c", "data_pipeline.json", "--resume-from", "250").code == 0
    assert ran(program) == ["cleanup"]
    for run_id in (250, 251):
        row = program.jobs(run_id)["transform_part2"]
        assert (row["status"], row["source_run_id"]) == ("SUCCESS", 249)
        assert marks(program, run_id) == marks(program)
        shown = figures(screen(program, "--show-run", str(run_id)).out)
        assert (
            f"✓ transform_part2   - SUCCESS (00:00:00) - reused from run 249, marked by {USER}: by hand\n" in shown
        )


def test_a_marked_job_to_scripts(program: Program) -> None:
    """Plan and run as JSON have the mark."""
    failed_pipeline(program)
    assert program(*MARK, "--yes", "--reason", "by hand").code == 0
    plan = json.loads(
        program("-c", "data_pipeline.json", "--resume-from", "249", "--dry-run", "--format", "json").out
    )
    assert plan["reuse"][3]["id"] == "transform_part2"
    assert plan["reuse"][3]["marked_by"] == USER
    run = json.loads(program("--show-run", "249", "--format", "json").out)
    assert [(one["id"], one["mark_reason"]) for one in run["jobs"] if one["marked_by"]] == [
        ("transform_part2", "by hand")
    ]


def test_the_original_output_of_a_marked_job_can_be_read(program: Program) -> None:
    """In the run that reuses it, its log is still that of the run in which it failed; the mark is told, too."""
    failed_pipeline(program, transform_part2={"command": "echo transform_part2 >> ran; echo why; false"})
    assert program("--show-log", "249", "transform_part2").err == ""
    assert program(*MARK, "--yes", "--reason", "by hand").code == 0
    fails(program)
    assert program("-c", "data_pipeline.json", "--resume-from", "249").code == 0
    for run_id in ("249", "250"):
        log = program("--show-log", run_id, "transform_part2")
        assert "why\n" in log.out
        assert log.err == f"Note: transform_part2 was marked as successful by {getpass.getuser()}: by hand\n"


def test_no_hint_speaks_of_a_marked_job(program: Program) -> None:
    """That it will fail again no longer matters: it does not run again."""
    failed_pipeline(program, transform_part2={"command": "echo transform_part2 >> ran; echo broken; false"})
    assert program("-c", "data_pipeline.json", "--resume-from", "249").code == 1
    hint = "transform_part2 ended with the same error"
    assert hint in program("--show-run", "250").out
    assert program("--mark-success", "250", "transform_part2", "--yes").code == 0
    shown = program("--show-run", "250").out
    assert (hint in shown, "marked by" in shown) == (False, True)


def test_the_config_of_a_marked_run_is_gone(program: Program) -> None:
    """The command that goes on asks for its new place, also where the old one is then named."""
    failed_pipeline(program)
    (program.folder / "data_pipeline.json").rename(program.folder / "moved.json")
    result = screen(program, *MARK, "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith("To resume run 249:\n  executioner.py -c NEW_PATH --resume-from 249\n")
    assert screen(program, "-c", "data_pipeline.json", "--resume-from", "249") == (
        2,
        "",
        "Error: The config cannot be read: No such file or directory (data_pipeline.json)\n"
        "Nothing was run. If it was moved, to preview it:\n"
        "  executioner.py -c NEW_PATH --resume-from 249 --dry-run\n",
    )
    assert screen(program, "-c", "moved.json", "--resume-from", "249", "--dry-run").code == 0


def test_several_jobs(program: Program) -> None:
    """Several are marked at once, named twice is once; what is between them will run."""
    failed_pipeline(program)
    result = screen(program, "--mark-success", "249", "cleanup", "transform_part2", "cleanup", "--yes")
    assert (result.code, result.err) == (0, "")
    assert result.out == (
        "2 jobs of run 249 to mark as successful (data_pipeline, FAILED 3/8):\n"
        "  - cleanup         - SKIPPED (dependency failed)\n"
        "  ✗ transform_part2 - FAILED (Exit code 1)\n"
        "\n"
        "Their statuses stay as recorded. Resuming run 249 will count them as done.\n"
        "What depends on them will then run: merge_results, generate_report, send_notification\n"
        "\n"
        "Marked: cleanup, transform_part2\n"
        "To resume run 249:\n"
        "  executioner.py -c data_pipeline.json --resume-from 249\n"
    )
    fails(program)
    assert program("-c", "data_pipeline.json", "--resume-from", "249").code == 0
    assert ran(program) == ["merge_results", "generate_report", "send_notification"]
    assert program.run_row(250)["status"] == "SUCCESS"


def test_all_that_was_missing_is_marked(program: Program) -> None:
    """Then nothing is to resume, and that says why."""
    program.config([job("a"), job("b")])
    fails(program, "b")
    assert program("-c", "flow.json").code == 1
    ran(program)
    assert program("--mark-success", "last", "b", "--yes").code == 0
    assert refused(program, "-c", "flow.json", "--resume-from", "1") == (
        0,
        "",
        "Nothing to resume: both jobs of run 1 have succeeded or are marked as successful (flow)\n"
        "To run all of it again:\n  executioner.py -c flow.json\n",
    )


def test_what_is_skipped_as_before_is_not_said_to_run(program: Program) -> None:
    """Of what depends on a marked job that alone is named which a resume then runs."""
    fails(program, "a")
    program.config([job("a"), job("b", "a"), job("c", "a")])
    assert program("-c", "flow.json", "--skip", "b").code == 1
    ran(program)
    assert "What depends on it will then run: c\n" in program("--mark-success", "1", "a", "--yes").out
    assert program("-c", "flow.json", "--resume-from", "1").code == 0
    assert ran(program) == ["c"]


def test_no_command_is_named_that_has_nothing_to_do(program: Program) -> None:
    """When all that was missing is marked, the screen does not send the reader to a resume that does nothing."""
    program.config([job("a"), job("b")])
    fails(program, "b")
    assert program("-c", "flow.json").code == 1
    result = screen(program, "--mark-success", "1", "b", "--yes")
    assert result.code == 0
    assert "--resume-from" not in result.out


def test_last_marks_the_newest_run(program: Program) -> None:
    """``last`` is the newest run, of the config that ``-c`` names; the plan names it."""
    failed_pipeline(program)
    program.config([job("z")], "other.json")
    fails(program)
    assert program("-c", "other.json").code == 0
    result = screen(program, "-c", "data_pipeline.json", "--mark-success", "last", "transform_part2", "--yes")
    assert (result.code, result.out.splitlines()[0]) == (0, PLAN.splitlines()[0])
    assert list(marks(program)) == ["transform_part2"]


def test_a_preview_marks_nothing(program: Program) -> None:
    """``--dry-run``: what would be marked, the command that does it, exit 0, nothing changed."""
    failed_pipeline(program)
    assert refused(program, *MARK, "--dry-run") == (
        0,
        PLAN,
        "\nNothing was marked. To mark it:\n  executioner.py --mark-success 249 transform_part2 --yes\n",
    )


def test_an_unknown_job(program: Program) -> None:
    """Exit 2, a guess at what was meant, how to see the jobs; the known one beside it is not marked either."""
    failed_pipeline(program)
    expected = (
        2,
        "",
        f'Error: Run 249 has no job "transform_part" ({program.history})\n'
        '  did you mean "transform_part1"?\n'
        "\n"
        "Nothing was marked. To see its jobs:\n"
        "  executioner.py --show-run 249\n",
    )
    result = refused(program, *MARK, "transform_part", "--yes")
    assert re.sub("transform_part[12]", "transform_part1", result.err) == expected[2]
    assert (result.code, result.out) == expected[:2]
    assert marks(program) == {}


def test_an_unknown_run(program: Program) -> None:
    """Exit 2, with the recent runs."""
    failed_pipeline(program)
    result = refused(program, "--mark-success", "999", "a", "--yes")
    assert (result.code, result.out) == (2, "")
    assert figures(result.err) == (
        "Error: Run ID 999 not found in history.\n\n"
        "Recent runs:\n"
        "  Run 249 - FAILED  - 0000-00-00 00:00:00\n"
        "  Run   1 - SUCCESS - 0000-00-00 00:00:00\n\n"
        "Use --list-runs to see all available runs.\n"
        f"History: {program.history}\n"
    )


def test_a_run_that_is_on(program: Program) -> None:
    """Jobs of a run that lives are not marked: exit 3, how to watch it."""
    program.config({"a": "echo $$ > up; read x < gate", "b": "true"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        assert refused(program, "--mark-success", "1", "b", "--yes") == (
            3,
            "",
            f"Error: Run 1 is still running: jobs are marked when it has ended ({program.history})\n"
            "Nothing was marked. To watch it:\n"
            "  executioner.py --show-run 1\n",
        )
        let_through()
        assert runner.wait() == 0


def test_a_dead_run(program: Program) -> None:
    """Of a run whose runner was killed jobs can be marked, but not while they still run.

    It is recorded as INTERRUPTED, the mark beside it.
    """
    program.config({"a": "true", "b": "echo $$ > up; read x < gate", "c": "echo c >> ran"})
    with gate(program):
        with ended(program.start("-c", "flow.json")) as runner:
            pid_in(program, "up")
            pid = pid_in(program, "up")
            kill(runner)
        running = refused(program, "--mark-success", "1", "b", "--yes")
        assert running == (
            3,
            "",
            f"Error: b of run 1 still runs (pid {pid}) ({program.history})\n"
            "Nothing was marked. To wait for it, watch its log, then mark it:\n"
            "  executioner.py --show-log 1 b --follow\n",
        )
        os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        result = screen(program, "--mark-success", "1", "b", "--yes")
        assert (result.code, result.out.splitlines()[:2]) == (
            0,
            [
                "1 job of run 1 to mark as successful (flow, INTERRUPTED 1/3):",
                "  ✗ b - INTERRUPTED (Its runner ended without recording a result)",
            ],
        )
        assert program.run_row()["status"] == "INTERRUPTED"
        assert (program.jobs()["b"]["status"], program.jobs()["b"]["marked_by"]) == ("INTERRUPTED", USER)
        assert program("-c", "flow.json", "--resume-from", "1").code == 0
    assert ran(program) == ["c"]


def test_a_job_that_has_succeeded(program: Program) -> None:
    """Nothing to mark: said so, exit 0, nothing changed, and nobody is asked."""
    failed_pipeline(program)
    assert refused(program, "--mark-success", "249", "download_data") == (
        0,
        "download_data has succeeded already.\nNothing to mark.\n",
        "",
    )


def test_a_job_that_is_marked_already(program: Program) -> None:
    """The first mark stays, with who and when; another reason does not replace it."""
    failed_pipeline(program)
    assert program(*MARK, "--yes", "--reason", "first").code == 0
    before = marks(program)
    result = refused(program, *MARK, "--yes", "--reason", "second")
    assert (result.code, figures(result.out), result.err) == (
        0,
        f"transform_part2 is marked already (by {USER}, 0000-00-00 00:00:00).\nNothing to mark.\n",
        "",
    )
    assert marks(program) == before


def test_one_done_and_one_to_mark(program: Program) -> None:
    """What is done already is said before the plan, which is about the other."""
    failed_pipeline(program)
    result = screen(program, "--mark-success", "249", "download_data", "transform_part2", "--yes")
    assert result == (0, f"download_data has succeeded already.\n{PLAN}{MARKED}", "")


def test_a_run_that_was_resumed_already(program: Program) -> None:
    """The mark is made, a note says that only going back heeds it, and the printed command does go back."""
    failed_pipeline(program)
    assert program("-c", "data_pipeline.json", "--resume-from", "249").code == 1
    ran(program)
    result = screen(program, *MARK, "--yes")
    assert (result.code, result.err) == (
        0,
        "Note: run 249 was already resumed by run 250: only resuming run 249 again will heed this mark\n",
    )
    fails(program)
    [line] = commands(result.out)
    assert program(*pasted(line)).code == 0, line
    assert ran(program) == ["merge_results", "generate_report", "send_notification", "cleanup"]


def test_marks_are_harmless(program: Program) -> None:
    """Control characters of a reason and of the history reach no screen raw."""
    evil = "\x1b[2J\x07\u202e\u2028"
    failed_pipeline(program)
    sql(program.history, f"UPDATE job_history SET reason = 'x{evil}' WHERE id = 'transform_part2'")
    result = screen(program, *MARK, "--yes", "--reason", f"why{evil}")
    assert result.code == 0
    assert_harmless(result.out + result.err)
    for args in (["--show-run", "249"], ["-c", "data_pipeline.json", "--resume-from", "249", "--dry-run"]):
        for more in ([], ["--format", "json"], ["--verbose"]):
            shown = program(*args, *more)
            assert shown.code == 0
            assert_harmless(shown.out + shown.err)


def test_a_changed_job_that_was_marked(program: Program) -> None:
    """A marked job that has changed since stops the resume as a successful one does."""
    failed_pipeline(program)
    assert program(*MARK, "--yes").code == 0
    pipeline(program, transform_part2={"command": "echo better"})
    result = refused(program, "-c", "data_pipeline.json", "--resume-from", "249")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[1:4] == [
        "  transform_part2",
        "    command:",
        "      - echo transform_part2 >> ran; test ! -e transform_part2.fails",
    ]


@pytest.mark.parametrize(
    ("more", "again"),
    [([], "bc"), (["--skip", "b"], "c"), (["--skip", "b,c"], ""), (["--from-job", "z"], "bce")],
)
def test_marked_jobs_that_run_again_are_named(program: Program, more: list[str], again: str) -> None:
    """A changed job runs again with what depends on it: the refusal, the preview and the run each name the marked
    jobs among that, with who marked them and why; those that are skipped are none of them.
    """
    chain = [job("b", "a"), job("c", "b"), job("d", "c"), job("z"), job("e", "z")]
    program.config([job("a"), *({**one, "command": "false"} if one["id"] in "bc" else one for one in chain)])
    assert program("-c", "flow.json", "--continue-on-error").code == 1
    assert program("--mark-success", "1", "b", "c", "--reason", "by hand", "--yes").code == 0
    sql(program.history, "UPDATE job_history SET status = 'FAILED', marked_by = 'etl' WHERE id = 'e'")
    sql(program.history, f"UPDATE job_history SET mark_reason = 'by hand', marked_by = '{USER}' WHERE id = 'e'")
    program.config([{**job("a"), "command": "echo changed"}, *chain])

    def told(text: str, verb: str) -> str:
        found = re.findall(rf"(\w) {verb} marked as successful by {USER}: by hand", text)
        return "".join(sorted(found))

    resume = ("-c", "flow.json", "--resume-from", "1", *more)
    refusal = program(*resume)
    assert (refusal.code, told(refusal.err, "(?:would run again, too, though|was)")) == (2, again)
    preview = program(*resume, "--if-changed", "rerun", "--dry-run", "--yes")
    assert (preview.code, told(preview.err, "runs again, though")) == (0, again)
    assert all(f" {name} (marked by {USER}: by hand" in preview.out for name in again), preview.out
    run = program(*resume, "--if-changed", "rerun", "--yes")
    assert told(run.err, "runs again, though") == again
    statuses = program.statuses(2)
    assert all(statuses[name] == "SUCCESS" for name in again), run


def test_marked_jobs_behind_one_that_stays_skipped(program: Program) -> None:
    """A changed job that is skipped as in the run before does not run again, and so nothing behind it does; what
    the refusal offers runs both, and says so.
    """
    program.config([job("a"), {**job("b", "a"), "command": "false"}, {**job("c"), "command": "false"}])
    assert program("-c", "flow.json", "--continue-on-error").code == 1
    assert program("--mark-success", "1", "b", "--yes").code == 0
    assert program("-c", "flow.json", "--resume-from", "1", "--skip", "a").code == 1
    program.config([{**job("a"), "command": "echo changed"}, {**job("b", "a"), "command": "false"}, job("c")])
    again = ("-c", "flow.json", "--resume-from", "2", "--dry-run")
    assert "runs again" not in program(*again, "--if-changed", "rerun").err
    ran(program)
    refusal = refused(program, *again).err
    assert "b would run again, too, though marked as successful by " in refusal
    rerun, _ = commands(refusal)
    assert "b runs again, though marked as successful by " in program(*pasted(rerun)).err
    assert (program.statuses(3)["a"], program.statuses(3)["b"]) == ("SUCCESS", "FAILED")


def test_the_commands_of_the_resume_have_its_history(program: Program) -> None:
    """With ``--db`` every printed command names that history, and works."""
    program.config([job("a"), job("b", "a")])
    fails(program, "a")
    assert program("-c", "flow.json", "--db", "own.db").code == 1
    ran(program)
    result = screen(program, "--db", "own.db", "--mark-success", "1", "a", "--yes")
    [line] = commands(result.out)
    assert line == "executioner.py -c flow.json --db own.db --resume-from 1"
    assert program(*pasted(line)).code == 0
    assert ran(program) == ["b"]


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["--mark-success", "1"], "--mark-success: expected a run id and at least one job"),
        (["--mark-success"], '--mark-success: expected a run id or "last"'),
        (["--mark-success", "x", "a"], "--mark-success: "),
        (["--reason", "x", "-c", "flow.json"], "--reason goes with --mark-success"),
        (["--mark-success", "1", "a", "--resume-from", "1"], "--resume-from does not go with --mark-success"),
        (["--mark-success", "1", "a", "--list-runs"], "does not go with"),
    ],
)
def test_wrong_usage(program: Program, args: list[str], what: str) -> None:
    """What is missing or contradicts itself is a usage error, exit 2, and no history is made."""
    program.config([job("a")])
    result = screen(program, *args)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: ")
    assert what in result.err.splitlines()[0]
    assert not program.history.exists()
