"""``--resume-from``: the preview, the run that then happens, what is taken over, and what is refused."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from harness import Program, ended
from history_tools import gate, kill, pid_in, sql, wait_for_end
from past import make_past
from resume_tools import (
    PIPELINE,
    commands,
    failed_pipeline,
    fails,
    job,
    next_id,
    pasted,
    pipeline,
    ran,
    recorded,
    refused,
    screen,
)
from screens import FOUNDING_PREVIEW, assert_harmless, everything, figures, on_screen

RESUME_249 = ("-c", "data_pipeline.json", "--resume-from", "249")
DONE_BEFORE = ["download_data", "validate_data", "transform_part1"]
REMAINING = ["merge_results", "generate_report", "send_notification", "cleanup"]
#: Columns of a job's row that differ between the run that ran it and the one that reuses it.
_OF_THE_RUN = ("run_id", "source_run_id")


def failed_flow(program: Program, *jobs: dict[str, Any], failing: str = "b", flags: tuple[str, ...] = ()) -> None:
    """Run flow.json, by default a and then b, with a job failing; it is run 1."""
    program.config(list(jobs) or [job("a"), job("b", "a")])
    fails(program, *failing.split())
    result = program("-c", "flow.json", *flags)
    assert result.code == 1, result.err
    ran(program)


def results(program: Program, run_id: int) -> dict[str, dict[str, Any]]:
    """The rows of a run's jobs without what says which run it was."""
    return {
        name: {column: value for column, value in row.items() if column not in _OF_THE_RUN}
        for name, row in program.jobs(run_id).items()
    }


def sources(program: Program, run_id: int) -> dict[str, int | None]:
    """For each job the run that really ran it, as recorded."""
    return {name: row["source_run_id"] for name, row in program.jobs(run_id).items()}


# --- the preview ---------------------------------------------------------------------------------


def test_the_founding_preview(program: Program) -> None:
    """The founding document's sample, to the letter, is all of stdout; what to type next is on stderr."""
    failed_pipeline(program)
    shutil.copy(program.folder / "data_pipeline.json", program.folder / "config.json")
    for config in ("data_pipeline.json", "config.json"):
        result = screen(program, "-c", config, "--resume-from", "249", "--dry-run")
        following = f"\nNothing was run. To run it:\n  executioner.py -c {config} --resume-from 249\n"
        assert result == (0, FOUNDING_PREVIEW, following)
    piped = program(*RESUME_249, "--dry-run")
    away = f"cd {program.folder} && executioner.py -c data_pipeline.json --resume-from 249"
    assert piped == (0, FOUNDING_PREVIEW, f"\nNothing was run. To run it:\n  {away}\n")


def test_a_preview_starts_and_writes_nothing(program: Program) -> None:
    """Neither folder nor home changes by a file, a byte or a time, however the preview is asked for."""
    failed_pipeline(program)
    before = everything(program)
    for more in (
        [],
        ["--verbose"],
        ["--format", "json"],
        ["--resume-failed-only"],
        ["-j", "4"],
        ["--skip", "cleanup"],
    ):
        assert program(*RESUME_249, "--dry-run", *more).code == 0
    assert everything(program) == before


def test_the_preview_gives_the_reason_for_each_job(program: Program) -> None:
    """``--verbose``: how each job ended, and in which run."""
    failed_pipeline(program)
    result = screen(program, *RESUME_249, "--dry-run", "--verbose")
    lines = FOUNDING_PREVIEW.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("  ✓"):
            lines[at] += " - SUCCESS in run 249"
        elif line.startswith("  ✗"):
            lines[at] += " - FAILED in run 249: Exit code 1"
        elif line.startswith("  -"):
            lines[at] += " - SKIPPED in run 249: dependency failed"
    assert (result.code, result.out.splitlines()) == (0, lines)


def test_the_preview_names_the_run_that_a_result_comes_from(program: Program) -> None:
    """``--verbose`` of a resume of a resume: a reused result is of the run that really ran it."""
    failed_pipeline(program)
    fails(program, "merge_results")
    assert program(*RESUME_249).code == 1
    result = program("-c", "data_pipeline.json", "--resume-from", "250", "--dry-run", "--verbose")
    assert "  ✓ download_data - SUCCESS in run 249\n" in result.out
    assert "  ✓ transform_part2 - SUCCESS in run 250\n" in result.out
    assert "  ✗ merge_results - FAILED in run 250: Exit code 1\n" in result.out


def test_the_preview_as_json(program: Program) -> None:
    """``--format json``: one object with the plan, the actions and why; stderr is empty."""
    failed_pipeline(program)
    result = screen(program, *RESUME_249, "--dry-run", "--format", "json", "--skip", "cleanup", "-j", "2")
    plan = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert [plan[key] for key in ("application_name", "config_path", "workers", "continue_on_error")] == [
        "data_pipeline",
        str(program.folder / "data_pipeline.json"),
        2,
        False,
    ]
    assert (plan["resumes"], plan["root_run_id"], plan["options"]) == (
        249,
        249,
        {"skip": ["cleanup"], "workers": 2},
    )
    assert [(one["id"], one["action"], one["why"]) for one in plan["execute"]] == [
        ("transform_part2", "retry", "FAILED in run 249: Exit code 1"),
        *((name, "execute", "SKIPPED in run 249: dependency failed") for name in REMAINING[:-1]),
    ]
    assert plan["execute"][0]["command"] == program.jobs(249)["transform_part2"]["command"]
    assert plan["reuse"] == [
        {"id": name, "source_run_id": 249, "marked_by": None, "why": "SUCCESS in run 249"} for name in DONE_BEFORE
    ]
    [skipped] = plan["skip"]
    assert (skipped["id"], skipped["reason"]) == ("cleanup", "--skip")
    assert (plan["leave_out"], plan["added"], plan["removed"]) == ([], [], [])


def test_the_preview_of_an_interrupted_run(program: Program) -> None:
    """A job that was interrupted is retried under a heading of its own; what came after it remains."""
    program.config({"a": "true", "b": "echo $$ > up; read x < gate", "c": "true"})
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "up")
        runner.terminate()
        assert runner.wait() == 143
        wait_for_end(pid)
    assert screen(program, "-c", "flow.json", "--resume-from", "1", "--dry-run").out == (
        "RESUME DRY RUN - Run ID 1\n=========================\n"
        "Would skip successful job:\n  ✓ a\n\n"
        "Would retry interrupted job:\n  ✗ b\n\n"
        "Would execute remaining job:\n  - c\n\n"
        "Total: 2 jobs to execute, 1 job to skip\n"
    )


def test_the_preview_of_several_failures(program: Program) -> None:
    """Failed, timed out and not startable jobs are all failed ones: one plural heading."""
    program.config(
        [
            {"id": "a", "command": "false"},
            {"id": "b", "command": "sleep 60", "timeout": 0.05},
            {"id": "c", "command": "true"},
        ]
    )
    assert program("-c", "flow.json", "--continue-on-error").code == 1
    assert program.statuses() == {"a": "FAILED", "b": "TIMEOUT", "c": "SUCCESS"}
    assert screen(program, "-c", "flow.json", "--resume-from", "1", "--dry-run").out == (
        "RESUME DRY RUN - Run ID 1\n=========================\n"
        "Would skip successful job:\n  ✓ c\n\n"
        "Would retry failed jobs:\n  ✗ a\n  ✗ b\n\n"
        "Total: 2 jobs to execute, 1 job to skip\n"
    )


def test_the_preview_shows_what_the_config_has_more_and_less(program: Program) -> None:
    """Added jobs run, removed ones are named and left as they were; what runs anyway says that it changed."""
    failed_pipeline(program)
    config = json.loads((program.folder / "data_pipeline.json").read_text())
    jobs = {one["id"]: one for one in config["jobs"]}
    del jobs["cleanup"]
    jobs["transform_part2"]["command"] += "  # better"
    program.config([*jobs.values(), job("archive", "generate_report")], "data_pipeline.json")
    result = screen(program, *RESUME_249, "--dry-run")
    assert result.out == (
        FOUNDING_PREVIEW.replace("  ✗ transform_part2\n", "  ✗ transform_part2 (changed: command)\n").replace(
            "  - cleanup\n",
            "\nWould execute job added since:\n  - archive\n"
            "\nNo longer in the config (left as it was):\n  - cleanup\n",
        )
    )
    fails(program)
    assert program(*RESUME_249).code == 0
    assert ran(program) == ["transform_part2", *REMAINING[:-1], "archive"]
    assert "cleanup" not in program.jobs(250)


def test_what_several_removed_jobs_are_called(program: Program) -> None:
    """The heading over several jobs that are no longer in the config speaks of several."""
    failed_flow(program, job("a"), job("b"), job("c"), job("d"))
    program.config([job("a"), job("b")])
    preview = screen(program, "-c", "flow.json", "--resume-from", "1", "--dry-run").out
    assert "No longer in the config (left as they were):\n  - c\n  - d\n" in preview


def test_a_preview_is_harmless(program: Program) -> None:
    """Control characters that came from the config or the history reach no stream raw."""
    evil = "\x1b[2J\x07\u202e\u2028\x9b"
    failed_flow(program, job("a"), job("b"))
    program.config([{**job("a"), "command": f"echo '{evil}'"}, {**job("b"), "command": f"echo '{evil}'\n{evil}"}])
    sql(program.history, f"UPDATE job_history SET reason = 'x{evil}' WHERE id = 'b'")
    for more in (["--dry-run", "--if-changed", "keep"], ["--dry-run", "--if-changed", "rerun"], []):
        for form in ([], ["--verbose"], ["--format", "json"]):
            result = program("-c", "flow.json", "--resume-from", "1", *more, *form)
            assert result.code == (0 if more else 2)
            assert_harmless(result.out + result.err)


def test_the_preview_equals_what_then_happens(program: Program) -> None:
    """With one worker: the jobs of the preview, in its order, are the jobs that run."""
    failed_pipeline(program)
    fails(program)
    plan = json.loads(program(*RESUME_249, "--dry-run", "--format", "json").out)
    assert program(*RESUME_249).code == 0
    assert ran(program) == [one["id"] for one in plan["execute"]]


# --- the run -------------------------------------------------------------------------------------


def test_what_a_resume_prints(program: Program) -> None:
    """Everything that a resume prints: what is reused in one line, the jobs that ran, and the summary."""
    failed_pipeline(program)
    fails(program, "merge_results")
    result = screen(program, *RESUME_249)
    progress, _, summary = figures(result.out).partition("\n\n")
    assert (result.code, result.err) == (1, "Error: Run 250 FAILED: merge_results (data_pipeline)\n")
    assert progress == (
        "00:00:00 Run 250 started: data_pipeline, 8 jobs, 1 worker, resumes run 249\n"
        "00:00:00 [3/8] ✓ 3 jobs reused from run 249\n"
        "00:00:00 [4/8] ✓ transform_part2 00:00:00\n"
        "00:00:00 [5/8] ✗ merge_results 00:00:00 Exit code 1\n"
        "00:00:00 [8/8] - 3 jobs skipped (dependency failed)"
    )
    assert summary == (
        "========================================\n"
        "           EXECUTION SUMMARY\n"
        "========================================\n"
        "Application: data_pipeline\n"
        "Run ID: 250\n"
        "Status: FAILED\n"
        "Start Time: 0000-00-00 00:00:00\n"
        "End Time: 0000-00-00 00:00:00\n"
        "Duration: 00:00:00\n"
        f"History: {program.history}\n"
        "Resumes: run 249 (3 jobs reused)\n"
        "Jobs: 8 total, 4 completed, 1 failed, 3 skipped\n"
        "\n"
        "Failed Jobs:\n"
        "  - merge_results: failed\n"
        "      Reason: Exit code 1\n"
        "      Log: ./logs/executioner.data_pipeline.job-merge_results.run-250.log\n"
        "\n"
        "Skipped Jobs:\n"
        "  - generate_report (dependency failed)\n"
        "  - send_notification (dependency failed)\n"
        "  - cleanup (dependency failed)\n"
        "\n"
        "RESUME OPTIONS:\n"
        "===============\n"
        "To resume this run (all incomplete jobs):\n"
        "  executioner.py -c data_pipeline.json --resume-from 250\n"
        "\n"
        "To retry only failed jobs:\n"
        "  executioner.py -c data_pipeline.json --resume-from 250 --resume-failed-only\n"
        "\n"
        "To view this run details later:\n"
        "  executioner.py --show-run 250\n"
    )
    assert ran(program) == ["transform_part2", "merge_results"]


def test_a_resume_that_succeeds(program: Program) -> None:
    """What is missing runs, and nothing else; SUCCESS, exit 0, and all eight jobs count as completed."""
    failed_pipeline(program)
    fails(program)
    result = screen(program, *RESUME_249)
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["transform_part2", *REMAINING]
    row = program.run_row(250)
    assert (row["status"], row["exit_code"], row["parent_run_id"], row["root_run_id"]) == ("SUCCESS", 0, 249, 249)
    counts = [row[f"{name}_jobs"] for name in ("total", "completed", "failed", "skipped")]
    assert counts == [8, 8, 0, 0]
    assert program.statuses(250) == dict.fromkeys(PIPELINE, "SUCCESS")


def test_reused_results_are_copied(program: Program) -> None:
    """A reused job's row has every column of the run that ran it, and names that run."""
    failed_pipeline(program, download_data={"command": "echo download_data >> ran; echo text"})
    fails(program)
    assert program(*RESUME_249).code == 0
    before, after = results(program, 249), results(program, 250)
    assert {name: after[name] for name in DONE_BEFORE} == {name: before[name] for name in DONE_BEFORE}
    assert before["download_data"]["log_path"].endswith("run-249.log")
    assert before["download_data"]["duration_seconds"] > 0
    assert sources(program, 250) == {**dict.fromkeys(PIPELINE), **dict.fromkeys(DONE_BEFORE, 249)}
    assert program.output("download_data", 250) == b"text\n"
    shown = program("--show-log", "250", "download_data")
    assert (shown.code, shown.out.splitlines().count("text")) == (0, 1)


@pytest.mark.parametrize(
    ("flags", "runs"),
    [("", "ef"), ("--resume-failed-only", "e"), ("--from-job b", "bdef"), ("--skip a,f", "e")],
)
def test_rows_do_not_depend_on_how_they_are_copied(program: Program, flags: str, runs: str) -> None:
    """From an unchanged config all that is done is copied at once, from one with a blank more job by job: equally.

    a was reused itself, c was marked as successful, b and d succeeded, e failed, and f was not reached.
    """
    jobs = [job("a", description="Ä", max_retries=2), job("b", "a"), job("c", "a"), job("d", "b"), job("e", "d")]
    failed_flow(program, *jobs)
    program.config([*jobs, job("f", "e", "c")])
    fails(program, "c", "e")
    assert program("-c", "flow.json", "--resume-from", "1", "--continue-on-error").code == 1
    assert program("--mark-success", "2", "c", "--yes").code == 0
    ran(program)
    fails(program)
    config = program.folder / "flow.json"
    history, text = program.history.read_bytes(), config.read_text()
    rows = []
    for written in (text, text + "\n"):
        program.history.write_bytes(history)
        config.write_text(written)
        result = program("-c", "flow.json", "--resume-from", "2", *flags.split())
        assert (result.code, ran(program)) == (0, list(runs)), result.err
        rows.append({name: row for name, row in program.jobs(3).items() if name not in "ef"})
    changing = ("start_time", "end_time", "last_run", "duration_seconds", "retry_history", "log_path")
    for found in rows:
        for name in set(runs) & set(found):
            found[name] = {
                key: value for key, value in found[name].items() if not key.startswith(("cpu_", "memory_"))
            }
            for column in changing:
                del found[name][column]
    assert rows[0] == rows[1]
    reused = {name: row["source_run_id"] for name, row in rows[0].items() if name not in runs}
    assert reused == {name: 1 if name == "a" else 2 for name in "abcd" if name not in runs}
    assert rows[0]["c"]["marked_by"] is not None


def test_an_unchanged_config_is_not_looked_at_job_by_job(program: Program) -> None:
    """Rows are copied as they are, text that somebody edited included; of a config under another name, too."""
    failed_flow(program, job("a", description="Text"), job("b", "a"), flags=("--quiet",))
    (program.folder / "flow.json").rename(program.folder / "other.json")
    fails(program)
    sql(program.history, "UPDATE job_history SET description = 'Edited' WHERE id = 'a'")
    assert program("-c", "other.json", "--resume-from", "1").code == 0
    assert [(row["description"], row["application_name"]) for row in program.jobs(2).values()] == [
        ("Edited", "other"),
        ("", "other"),
    ]


@pytest.mark.parametrize("change", ["the config", "the program", "a row", "what an earlier tool left out"])
def test_reused_rows_say_what_the_config_says_now(program: Program, change: str) -> None:
    """Position, description and allowed retries are of now; what the config does not have is not copied."""
    failed_flow(program, job("z"), job("a", description="Old"), job("b", "a"))
    expected = {"a": (1, "Old", 0), "b": (2, "", 0)}
    if change == "the config":
        program.config([job("b", "a"), job("a", description="New", max_retries=2), job("z")])
        expected = {"b": (0, "", 0), "a": (1, "New", 2), "z": (2, "", 0)}
    else:  # that its rows are not as this program makes them of this config
        edited = {
            "a row": "id = 'ghost'",
            "the program": "description = 'Newer', max_retries = 7, position = 9",
            "what an earlier tool left out": "definition = NULL, max_retries = NULL",
        }
        sql(program.history, f"UPDATE job_history SET {edited[change]} WHERE id = 'z'")
        expected = {"z": (0, "", 0), **expected}
        if change == "the program":
            sql(program.history, "UPDATE run_metadata SET executioner_version = '99'")
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "1").code == 0
    columns = ("position", "description", "max_retries")
    found = {name: tuple(row[column] for column in columns) for name, row in program.jobs(2).items()}
    assert found == expected
    assert set(program.statuses(2).values()) == {"SUCCESS"}


def test_resumes_of_resumes(program: Program) -> None:
    """At any depth: the parent is the run that was resumed, the root the first, the source the one that ran it."""
    names = ["a", "b", "c", "d"]
    failed_flow(program, *(job(one, *names[:at][-1:]) for at, one in enumerate(names)), failing="a")
    for run_id, failing in enumerate(["b", "c", "d", ""], start=2):
        fails(program, *failing.split())
        result = program("-c", "flow.json", "--resume-from", str(run_id - 1))
        assert result.code == (1 if failing else 0)
        assert ran(program) == names[run_id - 2 :][:2]
        row = program.run_row(run_id)
        assert (row["parent_run_id"], row["root_run_id"]) == (run_id - 1, 1)
    assert sources(program, 5) == {"a": 2, "b": 3, "c": 4, "d": None}
    shown = screen(program, "--show-run", "5").out
    assert [line.partition(") - ")[2] for line in shown.splitlines() if line.startswith("✓")] == [
        "reused from run 2",
        "reused from run 3",
        "reused from run 4",
        "",
    ]


def test_old_runs_can_be_pruned(program: Program) -> None:
    """A resume has a row for every job: with its parents' rows gone it can be resumed all the same."""
    failed_flow(program, job("a"), job("b", "a"), job("c", "b"))
    fails(program, "c")
    assert program("-c", "flow.json", "--resume-from", "1").code == 1
    ran(program)
    for table in ("run_metadata", "job_history"):
        sql(program.history, f"DELETE FROM {table} WHERE run_id = 1")
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "2").code == 0
    assert ran(program) == ["c"]
    assert sources(program, 3) == {"a": 1, "b": 2, "c": None}


def test_a_killed_run_is_resumed(program: Program) -> None:
    """After kill -9: what was recorded as SUCCESS is reused, what was running runs again, the rest follows."""
    program.config(
        {
            "a": "echo a >> ran",
            "b": "echo b >> ran; [ $EXECUTIONER_RUN_ID != 1 ] || { echo $$ > up; read x < gate; }",
        }
    )
    with gate(program), ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "up")
        kill(runner)
    wait_for_end(pid)
    ran(program)
    assert program("-c", "flow.json", "--resume-from", "last").code == 0
    assert ran(program) == ["b"]
    assert [program.run_row(one)["status"] for one in (1, 2)] == ["INTERRUPTED", "SUCCESS"]


def test_a_resume_with_flags_of_a_run(program: Program) -> None:
    """``--continue-on-error`` and ``--workers`` hold for the resume; they are not taken over from the parent."""
    failed_flow(program, job("a"), job("b"), job("c"), failing="a b", flags=("-j", "2", "--continue-on-error"))
    assert program.statuses() == {"a": "FAILED", "b": "FAILED", "c": "SUCCESS"}
    assert program("-c", "flow.json", "--resume-from", "1").code == 1
    assert ran(program) == ["a"]
    result = program("-c", "flow.json", "--resume-from", "2", "--continue-on-error", "-j", "2")
    assert ", 3 jobs, 2 workers, resumes run 2\n" in result.out
    assert sorted(ran(program)) == ["a", "b"]


def test_a_quiet_resume(program: Program) -> None:
    """``--quiet``: nothing at all when it succeeds."""
    failed_flow(program)
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "1", "--quiet") == (0, "", "")


def test_a_resume_as_json(program: Program) -> None:
    """``--format json`` of a resume: the run's object on stdout, with parent and sources."""
    failed_flow(program)
    fails(program)
    result = program("-c", "flow.json", "--resume-from", "1", "--format", "json")
    run = json.loads(result.out)
    assert (run["run_id"], run["parent_run_id"], run["root_run_id"], run["status"]) == (2, 1, 1, "SUCCESS")
    assert [(one["id"], one["source_run_id"]) for one in run["jobs"]] == [("a", 1), ("b", None)]


# --- only what failed ----------------------------------------------------------------------------


def test_only_what_failed(program: Program) -> None:
    """``--resume-failed-only``: PARTIAL, exit 0; the summary ends with what was left out and how to run that."""
    failed_pipeline(program)
    fails(program)
    result = screen(program, *RESUME_249, "--resume-failed-only")
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["transform_part2"]
    assert result.out.endswith(
        "Skipped Jobs:\n"
        "  - merge_results (--resume-failed-only)\n"
        "  - generate_report (--resume-failed-only)\n"
        "  - send_notification (--resume-failed-only)\n"
        "  - cleanup (--resume-failed-only)\n"
        "\n"
        "RESUME OPTIONS:\n"
        "===============\n"
        "To view this run details later:\n"
        "  executioner.py --show-run 250\n"
        "\n"
        "Not complete: 4 jobs were left out.\n"
        "To run them:\n"
        "  executioner.py -c data_pipeline.json --resume-from 250\n"
    )
    row = program.run_row(250)
    counts = [row[f"{name}_jobs"] for name in ("total", "completed", "failed", "skipped")]
    assert (row["status"], counts) == ("PARTIAL", [8, 4, 0, 4])
    assert program(*pasted(commands(result.out)[-1])).code == 0
    assert ran(program) == REMAINING
    assert program.run_row(251)["status"] == "SUCCESS"


def test_the_preview_of_only_what_failed(program: Program) -> None:
    """What is left out stands under a heading of its own, and is counted."""
    failed_pipeline(program)
    result = screen(program, *RESUME_249, "--resume-failed-only", "--dry-run")
    assert result.out == FOUNDING_PREVIEW.replace(
        "Would execute remaining jobs:", "Would leave out (--resume-failed-only):"
    ).replace("Total: 5 jobs to execute, 3 jobs to skip", "Total: 1 job to execute, 3 jobs to skip, 4 left out")


def test_only_what_failed_when_it_fails_again(program: Program) -> None:
    """The retried job fails again: FAILED, exit 1, and the summary still says what was left out."""
    failed_pipeline(program)
    result = screen(program, *RESUME_249, "--resume-failed-only")
    assert (result.code, program.run_row(250)["status"]) == (1, "FAILED")
    assert "\nNot complete: 4 jobs were left out.\nTo run all that is missing:\n" in result.out


def test_a_job_that_cannot_be_retried_alone(program: Program) -> None:
    """A retried job that needs one which is neither done nor part of the run: exit 2, both are named."""
    failed_flow(program)
    program.config([job("a"), job("new"), job("b", "a", "new")])
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--resume-failed-only")
    assert result == (
        2,
        "",
        "Error: 1 job cannot be retried without a job that --resume-failed-only leaves out (flow.json)\n"
        "  b needs new (added since)\n"
        "\n"
        "Nothing was run. To resume all remaining jobs:\n"
        "  executioner.py -c flow.json --resume-from 1\n",
    )
    assert refused(program, "-c", "flow.json", "--resume-from", "1", "--resume-failed-only", "--dry-run") == result
    fails(program)
    assert program(*pasted(commands(result.err)[0])).code == 0
    assert ran(program) == ["new", "b"]


def test_nothing_failed_that_could_be_retried_alone(program: Program) -> None:
    """Jobs are missing, but none failed: said with the command that runs them, exit 0, no run."""
    failed_pipeline(program)
    fails(program)
    assert program(*RESUME_249, "--resume-failed-only").code == 0
    ran(program)
    result = refused(program, "-c", "data_pipeline.json", "--resume-from", "250", "--resume-failed-only")
    assert result == (
        0,
        "",
        "Nothing to retry: no job of run 250 failed or was interrupted (data_pipeline)\n"
        "To resume all remaining jobs:\n"
        "  executioner.py -c data_pipeline.json --resume-from 250\n",
    )


# --- what is taken over --------------------------------------------------------------------------


def test_skip_and_env_are_taken_over(program: Program) -> None:
    """The parent's ``--env`` and ``--skip`` hold again without being given; the preview lists them."""
    jobs = [job("a"), job("s"), {**job("b", "s"), "command": 'echo "b=$MODE" >> ran; test ! -e b.fails'}]
    failed_flow(program, *jobs, flags=("--env", "MODE=nightly run", "--skip", "s"))
    preview = screen(program, "-c", "flow.json", "--resume-from", "1", "--dry-run")
    assert preview.out == (
        "RESUME DRY RUN - Run ID 1\n=========================\n"
        "Taken over from run 1: --env 'MODE=nightly run' --skip s\n\n"
        "Would skip successful job:\n  ✓ a\n\n"
        "Would retry failed job:\n  ✗ b\n\n"
        "Would skip on request (counts as done for what depends on it):\n  - s\n\n"
        "Total: 1 job to execute, 1 job to skip, 1 left out\n"
    )
    assert preview.err == (
        "\nNothing was run. To run it:\n  executioner.py -c flow.json --env 'MODE=nightly run' --resume-from 1\n"
    )
    assert program("-c", "flow.json", "--resume-from", "1").code == 1
    assert ran(program) == ["b=nightly", "run"]
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "2").code == 0
    assert ran(program) == ["b=nightly", "run"]
    assert program.run_row(3)["status"] == "PARTIAL"
    options = json.loads(program.run_row(3)["options"])
    assert (options["env"], options["skip"]) == ({"MODE": "nightly run"}, ["s"])


def test_skip_given_again_wins(program: Program) -> None:
    """``--skip`` that is given again replaces the parent's, as does an empty one; a note says which run now."""
    failed_flow(program, job("a"), job("s"), job("b", "s"), job("t"), flags=("--skip", "s,t"))
    note = "Note: s was skipped in run 1, but not now: --skip was given again\n"
    preview = screen(program, "-c", "flow.json", "--resume-from", "1", "--skip", "t", "--dry-run")
    assert preview.err.startswith(note)
    fails(program)
    result = screen(program, "-c", "flow.json", "--resume-from", "1", "--skip", "")
    assert result.err == "Note: s, t were skipped in run 1, but not now: --skip was given again\n"
    assert ran(program) == ["s", "b", "t"]
    assert program.run_row(2)["status"] == "SUCCESS"


def test_a_job_that_is_skipped_now(program: Program) -> None:
    """``--skip`` at a resume: the job counts as done for what depends on it."""
    failed_flow(program, job("a"), job("b", "a"), job("c", "b"))
    assert program("-c", "flow.json", "--resume-from", "1", "--skip", "b").code == 0
    assert ran(program) == ["c"]
    assert program.statuses(2) == {"a": "SUCCESS", "b": "SKIPPED", "c": "SUCCESS"}


def test_env_given_again_wins(program: Program) -> None:
    """``--env`` that is given again wins over the parent's, the others are still taken over."""
    failed_flow(
        program,
        {**job("b"), "command": 'echo "$ONE$TWO" >> ran; false'},
        flags=("--env", "ONE=1", "--env", "TWO=2"),
    )
    preview = screen(program, "-c", "flow.json", "--resume-from", "1", "--env", "TWO=3", "--dry-run")
    assert "\nTaken over from run 1: --env ONE=1\n" in preview.out
    assert program("-c", "flow.json", "--resume-from", "1", "--env", "TWO=3").code == 1
    assert ran(program) == ["13"]


def test_another_env_is_a_changed_definition(program: Program) -> None:
    """A differing ``--env`` changes all reused jobs: exit 2, the variable is named, never its value."""
    failed_flow(program, job("a"), job("b"), flags=("--env", "MODE=before"))
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--env", "MODE=after")
    assert result == (
        2,
        "",
        "Error: 1 successful job of run 1 has changed since (flow.json)\n"
        "  a\n"
        "    --env: MODE\n"
        "\n"
        "Nothing was run. To run it and everything after it again:\n"
        "  executioner.py -c flow.json --env MODE=after --resume-from 1 --if-changed rerun\n"
        "To keep its result:\n"
        "  executioner.py -c flow.json --env MODE=after --resume-from 1 --if-changed keep\n"
        "Add --dry-run to preview either.\n",
    )
    assert "--env: +MORE\n" in refused(program, "-c", "flow.json", "--resume-from", "1", "--env", "MORE=1").err
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "1", "--env", "MODE=before").code == 0
    assert ran(program) == ["b"]


def test_a_secret_must_be_given_again(program: Program) -> None:
    """The value of a variable with a secret name was not kept: exit 2, with a command that asks for it."""
    failed_flow(
        program,
        job("a"),
        {**job("b"), "command": 'echo "$API_TOKEN" >> ran; test ! -e b.fails'},
        flags=("--env", "API_TOKEN=hunter2"),
    )
    expected = (
        "Error: Run 1 had --env API_TOKEN, whose value was not kept (its name looks secret)\n"
        "Nothing was run. To give it again, from a variable of the shell:\n"
        '  executioner.py -c flow.json --env API_TOKEN="${API_TOKEN:?}" --resume-from 1'
    )
    ending = "\nAdd --dry-run to preview it.\n"
    assert refused(program, "-c", "flow.json", "--resume-from", "1") == (2, "", expected + ending)
    preview = refused(program, "-c", "flow.json", "--resume-from", "1", "--dry-run")
    assert preview == (2, "", f"{expected} --dry-run\n")
    fails(program)
    result = program("-c", "flow.json", "--resume-from", "1", "--env", "API_TOKEN=hunter3")
    assert result.code == 0, result.err
    assert ran(program) == ["hunter3"]
    assert b"hunter" not in program.history.read_bytes()


def test_two_secrets_must_be_given_again(program: Program) -> None:
    """Of several the missing ones are named, those that are given are not."""
    failed_flow(program, flags=("--env", "API_TOKEN=x", "--env", "DB_PASSWORD=y", "--env", "OTHER_SECRET=z"))
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--env", "OTHER_SECRET=z")
    assert (result.code, result.err.splitlines()[:2]) == (
        2,
        [
            "Error: Run 1 had --env API_TOKEN, DB_PASSWORD, whose values were not kept (their names look secret)",
            "Nothing was run. To give them again, from variables of the shell:",
        ],
    )


# --- which run, which config ---------------------------------------------------------------------


def test_last_of_a_config(program: Program) -> None:
    """``last`` with ``-c`` is the newest run of that config, though another config ran since."""
    failed_flow(program)
    program.config({"z": "false"}, "other.json")
    assert program("-c", "other.json").code == 1
    fails(program)
    result = screen(program, "-c", "flow.json", "--resume-from", "last")
    assert (result.code, result.err) == (0, "")
    assert program.run_row(3)["parent_run_id"] == 1


def test_last_of_all(program: Program) -> None:
    """``last`` without ``-c`` is the newest run of all, which is named first; its config is used."""
    failed_flow(program)
    assert screen(program, "--resume-from", "last", "--dry-run").err == (
        "Note: the newest run is 1 (flow, FAILED, 1/2)\n"
        "\nNothing was run. To run it:\n  executioner.py -c flow.json --resume-from 1\n"
    )
    fails(program)
    result = screen(program, "--resume-from", "last")
    assert (result.code, result.err) == (0, "Note: the newest run is 1 (flow, FAILED, 1/2)\n")
    assert ran(program) == ["b"]


def test_last_that_cannot_be_resumed(program: Program) -> None:
    """When the newest run succeeded nothing is resumed, though an older one failed: said so, exit 0."""
    failed_flow(program)
    program.config({"z": "true"}, "other.json")
    assert program("-c", "other.json").code == 0
    result = refused(program, "--resume-from", "last")
    assert (result.code, result.out) == (0, "")
    assert "run 2" in result.err
    assert "Nothing to resume: the only job of run 2 succeeded (other)\n" in result.err


@pytest.mark.parametrize("wanted", ["last", "7"])
def test_a_resume_where_nothing_was_ever_run(program: Program, wanted: str) -> None:
    """Without a history: exit 2, the error comes first, the history is named, and none is made."""
    pipeline(program)
    for more in ([], ["--dry-run"]):
        result = screen(program, "-c", "data_pipeline.json", "--resume-from", wanted, *more)
        assert (result.code, result.out) == (2, "")
        assert f"History: {program.history}\n" in result.err
        assert not program.history.exists()
        assert result.err.startswith("Error: ")


def test_the_config_may_be_left_out(program: Program) -> None:
    """Without ``-c`` the recorded path is used, from any folder; printed commands name it."""
    failed_flow(program)
    elsewhere = program.home
    result = program.on_terminal("--resume-from", "1", "--dry-run", folder=elsewhere, env={"NO_COLOR": "1"})
    assert result.code == 0
    assert result.out.endswith(f"\n  executioner.py -c {program.folder}/flow.json --resume-from 1\n")
    fails(program)
    result = program.on_terminal("--resume-from", "1", folder=elsewhere)
    assert result.code == 0
    assert ran(program) == ["b"]


def test_the_config_is_gone(program: Program) -> None:
    """The recorded config is gone: exit 2, and the command to complete with its new path, which then works."""
    failed_flow(program)
    (program.folder / "flow.json").rename(program.folder / "moved.json")
    result = refused(program, "--resume-from", "1")
    assert result == (
        2,
        "",
        "Error: The config of run 1 is gone (flow.json)\n"
        "Nothing was run. If it was moved:\n"
        "  executioner.py -c NEW_PATH --resume-from 1\n",
    )
    [line] = commands(result.err)
    fails(program)
    assert program(*pasted(line.replace("NEW_PATH", "moved.json"))).code == 0
    assert ran(program) == ["b"]


def test_the_config_that_is_named_is_not_there(program: Program) -> None:
    """``-c`` of a file that does not exist: exit 2, nothing run."""
    failed_flow(program)
    result = refused(program, "-c", "missing.json", "--resume-from", "1")
    assert (result.code, result.out) == (2, "")
    assert "missing.json" in result.err


def test_the_config_has_become_wrong(program: Program) -> None:
    """A config with problems: exit 2 with the problems, as a fresh run has them."""
    failed_flow(program)
    program.config([{**job("a"), "timeout": "x"}])
    result = refused(program, "-c", "flow.json", "--resume-from", "1")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: 1 problem in the config (flow.json)\n")


def test_a_run_of_another_application(program: Program) -> None:
    """Exit 2, both names, the key that makes it the same one, and how to see the runs of this config."""
    failed_flow(program)
    program.config([job("a")], "other.json")
    expected = (
        2,
        "",
        "Error: Run 1 is of application flow, not of other (other.json)\n"
        'Nothing was run. If it is the same workflow under another name, set "application_name" to "flow".'
        " To see the runs of this config:\n"
        "  executioner.py --list-runs -c other.json\n",
    )
    assert refused(program, "-c", "other.json", "--resume-from", "1") == expected
    assert refused(program, "-c", "other.json", "--resume-from", "1", "--dry-run") == expected
    assert refused(program, "-c", "other.json", "--resume-from", "1", "--yes") == expected
    program.config([job("a"), job("b", "a")], "other.json", application_name="flow")
    fails(program)
    assert program("-c", "other.json", "--resume-from", "1").code == 0
    assert ran(program) == ["b"]


def test_the_same_file_under_another_name(program: Program) -> None:
    """A copy of the very config is accepted, though without ``application_name`` it is named otherwise."""
    failed_flow(program)
    shutil.copy(program.folder / "flow.json", program.folder / "copy.json")
    fails(program)
    result = program("-c", "copy.json", "--resume-from", "1")
    assert result.code == 0, result.err
    assert ran(program) == ["b"]
    assert program.run_row(2)["application_name"] == "copy"


def test_an_unknown_run(program: Program) -> None:
    """The founding document's error: the recent runs of this config, and how to see all; exit 2."""
    next_id(program, 247)
    pipeline(program)
    fails(program, "download_data")
    assert program("-c", "data_pipeline.json").code == 1
    fails(program)
    assert program("-c", "data_pipeline.json").code == 0
    fails(program, "download_data")
    assert program("-c", "data_pipeline.json").code == 1
    ran(program)
    for more in ([], ["--dry-run"], ["--yes"]):
        result = refused(program, "-c", "data_pipeline.json", "--resume-from", "999", *more)
        assert (result.code, result.out, figures(result.err)) == (
            2,
            "",
            "Error: Run ID 999 not found in history.\n"
            "\n"
            "Recent runs for this config:\n"
            "  Run 249 - FAILED  - 0000-00-00 00:00:00\n"
            "  Run 248 - SUCCESS - 0000-00-00 00:00:00\n"
            "  Run 247 - FAILED  - 0000-00-00 00:00:00\n"
            "\n"
            "Use --list-runs to see all available runs.\n"
            f"History: {program.history}\n",
        )


@pytest.mark.parametrize("wanted", ["x", "", "-1", "1.5", "latest"])
def test_what_is_no_run_id(program: Program, wanted: str) -> None:
    """Anything but a number or ``last`` is a usage error."""
    failed_flow(program)
    result = refused(program, "-c", "flow.json", f"--resume-from={wanted}")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: ")
    assert "--resume-from" in result.err


@pytest.mark.parametrize("flags", [["--resume-failed-only"], ["--if-changed", "keep"]])
def test_what_goes_with_a_resume_alone(program: Program, flags: list[str]) -> None:
    """Without ``--resume-from`` such a flag is a usage error, not silently ignored."""
    pipeline(program)
    result = program("-c", "data_pipeline.json", *flags)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"Error: {flags[0]} goes with --resume-from (command line)\n")
    assert not program.history.exists()


# --- nothing to resume ---------------------------------------------------------------------------


def test_a_run_of_which_all_succeeded(program: Program) -> None:
    """Nothing to resume: said so, exit 0, no run; so with ``--dry-run``; ``null`` where JSON is wanted."""
    pipeline(program)
    fails(program)
    assert program("-c", "data_pipeline.json").code == 0
    ran(program)
    said = (
        "Nothing to resume: all 8 jobs of run 1 succeeded (data_pipeline)\n"
        "To run all of it again:\n"
        "  executioner.py -c data_pipeline.json\n"
    )
    for more in ([], ["--dry-run"], ["--yes"]):
        assert refused(program, "-c", "data_pipeline.json", "--resume-from", "1", *more) == (0, "", said)
    result = refused(program, "-c", "data_pipeline.json", "--resume-from", "1", "--format", "json")
    assert result == (0, "null\n", said)


def test_a_run_of_which_all_but_the_skipped_succeeded(program: Program) -> None:
    """Only what was skipped on request is missing: nothing to resume, with the command that runs that."""
    fails(program)
    program.config([job("a"), job("s"), job("t", "s")])
    assert program("-c", "flow.json", "--skip", "s").code == 0
    ran(program)
    result = refused(program, "-c", "flow.json", "--resume-from", "1")
    assert result == (
        0,
        "",
        "Nothing to resume: all other jobs of run 1 succeeded, s is skipped on request (flow)\n"
        "To run what is skipped:\n"
        "  executioner.py -c flow.json --resume-from 1 --skip ''\n",
    )
    assert program(*pasted(commands(result.err)[0])).code == 0
    assert ran(program) == ["s"]


def test_a_run_of_which_all_succeeded_but_jobs_were_added(program: Program) -> None:
    """A run that succeeded is not resumed to run what is new: that is said, with the command for all of it."""
    fails(program)
    program.config([job("a")])
    assert program("-c", "flow.json").code == 0
    ran(program)
    program.config([job("a"), job("new")])
    assert refused(program, "-c", "flow.json", "--resume-from", "1") == (
        0,
        "",
        "Nothing to resume: the only job of run 1 succeeded (flow)\n"
        "Added to the config since: new. To run all of it:\n"
        "  executioner.py -c flow.json\n",
    )


def test_all_that_was_missing_is_skipped_now(program: Program) -> None:
    """With a failed job skipped nothing is left to run: no run, exit 0, and nobody claims that it succeeded."""
    failed_flow(program)
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--skip", "b")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("Nothing to resume: all other jobs of run 1 succeeded, b is skipped on request (")


def test_what_was_missing_is_no_longer_in_the_config(program: Program) -> None:
    """The failed job was removed from the config: no run, exit 0, and nobody claims that all jobs succeeded."""
    failed_flow(program)
    program.config([job("a")])
    result = refused(program, "-c", "flow.json", "--resume-from", "1")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("Nothing to resume: all other jobs of run 1 succeeded, b is no longer in the ")


def test_a_failed_job_that_is_skipped_now_beside_what_is_left_out(program: Program) -> None:
    """Nothing succeeded, and nobody claims that; the printed command runs what is left out."""
    fails(program, "a")
    program.config([job("a"), job("b", "a"), job("c")])
    assert program("-c", "flow.json").code == 1
    ran(program)
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--resume-failed-only", "--skip", "a")
    assert result == (
        0,
        "",
        "Nothing to retry of what failed in run 1: a is skipped on request (flow)\n"
        "To resume all remaining jobs:\n"
        "  executioner.py -c flow.json --resume-from 1 --skip a\n",
    )
    assert program(*pasted(commands(result.err)[0])).code == 0
    assert ran(program) == ["b", "c"]


@pytest.mark.parametrize(
    ("change", "why"), [("mark", "a is marked as successful"), ("remove", "a is no longer in the config")]
)
def test_a_failed_job_that_is_not_to_be_retried(program: Program, change: str, why: str) -> None:
    """Where jobs failed, nobody says that none did."""
    fails(program, "a")
    program.config([job("a"), job("b", "a"), job("c")])
    assert program("-c", "flow.json").code == 1
    ran(program)
    if change == "mark":
        assert program("--mark-success", "1", "a", "--yes").code == 0
    else:
        program.config([job("b"), job("c")])
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--resume-failed-only")
    assert result == (
        0,
        "",
        f"Nothing to retry of what failed in run 1: {why} (flow)\n"
        "To resume all remaining jobs:\n"
        "  executioner.py -c flow.json --resume-from 1\n",
    )


def test_a_job_that_was_skipped_and_did_not_fail_beside_failed_only(program: Program) -> None:
    """The command that is to run what is skipped does so."""
    fails(program)
    program.config([job("a"), job("b")])
    assert program("-c", "flow.json", "--skip", "a").code == 0
    ran(program)
    result = refused(program, "-c", "flow.json", "--resume-from", "1", "--resume-failed-only")
    assert result.err.startswith("Nothing to resume: all other jobs of run 1 succeeded, a is skipped on request")
    assert program(*pasted(commands(result.err)[0])).code == 0
    assert ran(program) == ["a"]


def test_a_run_of_which_all_succeeded_but_jobs_have_changed(program: Program) -> None:
    """That is said, with the command that runs those again, and what is new beside it."""
    fails(program)
    program.config([job("a"), job("b", "a")])
    assert program("-c", "flow.json").code == 0
    ran(program)
    program.config([{**job("a"), "command": "echo a >> ran; true"}, job("b", "a"), job("new")])
    result = refused(program, "-c", "flow.json", "--resume-from", "1")
    assert result == (
        0,
        "",
        "Nothing to resume: both jobs of run 1 succeeded (flow)\n"
        "Changed since: a. To run it and everything after it again:\n"
        "  executioner.py -c flow.json --resume-from 1 --if-changed rerun\n"
        "Added to the config since: new. To run all of it:\n"
        "  executioner.py -c flow.json\n",
    )
    assert program(*pasted(commands(result.err)[0])).code == 0
    assert ran(program) == ["a", "b", "new"]


#: Of the chain a, b, c and of d beside it: the job that fails, if any, the one that is skipped, and the one that
#: is marked, before the run is resumed.
_BEFORE: Sequence[tuple[str, str, str]] = [
    *[("", "", ""), ("", "b", ""), ("b", "", ""), ("b", "", "b")],
    *[("c", "", "c"), ("b", "a", ""), ("a", "d", "a")],
]
_CHANGED_A = {**job("a"), "command": "echo a >> ran; true"}
_CHANGES: Mapping[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "none": lambda jobs: jobs,
    "a changes": lambda jobs: [_CHANGED_A, *jobs[1:]],
    "one is added": lambda jobs: [*jobs, job("new")],
    "c is removed": lambda jobs: [jobs[0], jobs[1], jobs[3]],
    "a changes, one is added": lambda jobs: [_CHANGED_A, *jobs[1:], job("new")],
    "a changes, c is removed": lambda jobs: [_CHANGED_A, jobs[1], jobs[3]],
}


@pytest.mark.parametrize("change", _CHANGES)
@pytest.mark.parametrize(("failed", "skipped", "marked"), _BEFORE)
def test_what_is_offered_where_nothing_is_left_runs_something(
    program: Program, failed: str, skipped: str, marked: str, change: str
) -> None:
    """Whatever was skipped, marked, changed, added and removed, and whatever is asked for: no command that the
    screen offers is refused, or has nothing to do.
    """
    jobs = [job("a"), job("b", "a"), job("c", "b"), job("d")]
    program.config(jobs)
    fails(program, *failed)
    program("-c", "flow.json", *(["--skip", skipped] if skipped else []))
    if marked:
        assert program("--mark-success", "1", marked, "--yes").code == 0
    program.config(_CHANGES[change](jobs))
    for more in ([], ["--resume-failed-only"], ["--skip", "b"], ["--resume-failed-only", "--skip", "b"]):
        said = screen(program, "-c", "flow.json", "--resume-from", "1", *more, "--dry-run").err
        if said.startswith("Nothing to re"):
            assert commands(said), said
            for line in commands(said):
                offered = program(*pasted(line), "--dry-run")
                assert (offered.code, "Nothing to re" in offered.err) == (0, False), (said, offered)
                assert "\n\nTotal: 0 jobs to execute" not in offered.out, (said, offered)


# --- histories of all kinds ----------------------------------------------------------------------


def test_a_newer_success_of_the_config_is_noted(program: Program) -> None:
    """An old failure can be resumed though the config has succeeded since, but a note says so."""
    failed_flow(program)
    fails(program)
    assert program("-c", "flow.json").code == 0
    ran(program)
    result = screen(program, "-c", "flow.json", "--resume-from", "1")
    assert (result.code, result.err) == (0, "Note: run 2 of this config has succeeded since run 1\n")
    assert ran(program) == ["b"]


def test_a_resume_in_another_history(program: Program) -> None:
    """With ``--db`` run and resume are in that history, and printed commands name it."""
    program.config([job("a"), job("b", "a")])
    fails(program, "b")
    assert program("-c", "flow.json", "--db", "own.db").code == 1
    ran(program)
    preview = screen(program, "-c", "flow.json", "--db", "own.db", "--resume-from", "1", "--dry-run")
    assert preview.err.endswith("  executioner.py -c flow.json --db own.db --resume-from 1\n")
    fails(program)
    assert program(*pasted(commands(preview.err)[0])).code == 0
    assert ran(program) == ["b"]
    assert not program.history.exists()


def test_a_resume_in_the_history_that_the_config_names(program: Program) -> None:
    """``history_db`` of the config is found with ``-c``."""
    program.config([job("a"), job("b", "a")], history_db="own.db")
    fails(program, "b")
    assert program("-c", "flow.json").code == 1
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "last").code == 0
    assert len(program.rows("SELECT * FROM run_metadata", db=program.folder / "own.db")) == 2


def test_a_run_whose_config_is_not_recorded(program: Program) -> None:
    """A run without a recorded config needs ``-c``: exit 2, with the command to complete."""
    make_past(program.history, [{"run_id": 5, "status": "FAILED", "config_path": None, "jobs": [{"id": "a"}]}])
    assert refused(program, "--resume-from", "5") == (
        2,
        "",
        f"Error: The config of run 5 is not recorded ({program.history})\n"
        "Nothing was run. To name it:\n"
        "  executioner.py -c NEW_PATH --resume-from 5\n",
    )


def test_a_database_that_somebody_edited(program: Program) -> None:
    """Odd values in the columns that a resume reads lead to no traceback and start no more than they should."""
    failed_flow(program)
    sql(
        program.history,
        "UPDATE run_metadata SET options = '[1, {}]'",
        "UPDATE job_history SET definition = '[[[', reason = 7, source_run_id = 'x'",
    )
    result = screen(program, "-c", "flow.json", "--resume-from", "1", "--dry-run")
    assert "Internal error" not in result.err
    assert result.code in (0, 2)
    before = recorded(program)
    assert screen(program, "-c", "flow.json", "--resume-from", "1", "--dry-run", "--verbose").code == result.code
    assert recorded(program) == before


# --- screen 9 ------------------------------------------------------------------------------------


def test_a_fresh_start_although_the_last_run_can_be_resumed(program: Program) -> None:
    """Screen 9, to the letter, once, on a terminal only; run and preview say it, and run all the same."""
    failed_pipeline(program)
    fails(program)
    note = (
        "Note: run 249 FAILED at 3/8 and can be resumed: executioner.py -c data_pipeline.json --resume-from 249\n"
    )
    assert screen(program, "-c", "data_pipeline.json", "--dry-run").err == note
    assert "can be resumed" not in program("-c", "data_pipeline.json", "--dry-run").err
    assert "can be resumed" not in on_screen(program, "-c", "data_pipeline.json", "--dry-run", "--quiet").out
    assert screen(program, "-c", "data_pipeline.json").err == note
    assert ran(program) == list(PIPELINE)
    assert screen(program, "-c", "data_pipeline.json", "--dry-run").err == ""


def test_the_note_of_a_fresh_start_goes_on_with_the_old_run(program: Program) -> None:
    """Its command has the flags of the run that it resumes, not those of the fresh start; typed, it works."""
    program.config({"a": "true", "b": "test -f mended"})
    assert program("-c", "flow.json", "--env", "A=1", "--continue-on-error").code == 1
    note = "Note: run 1 FAILED at 1/2 and can be resumed: executioner.py -c flow.json"
    command = "-c flow.json --env A=1 --continue-on-error --resume-from 1"
    assert screen(program, "-c", "flow.json", "--env", "B=2", "-j", "3", "--dry-run").err == (
        f"{note.partition('-c')[0]}{command}\n"
    )
    (program.folder / "mended").touch()
    assert program(*command.split()).code == 0
