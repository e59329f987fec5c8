"""``--from-job``: starting in midstream, afresh and in a resume; and what must be accepted for that."""

import json

import pytest
from harness import Program
from resume_tools import (
    commands,
    failed_pipeline,
    fails,
    job,
    pasted,
    pipeline,
    ran,
    refused,
    screen,
)
from screens import everything, figures

PREVIEW = """\
DRY RUN - data_pipeline
=======================
Would count as done, because they come before merge_results:
  - download_data
  - validate_data
  - transform_part1
  - transform_part2

Would execute, in this order, one at a time:
  - merge_results (after transform_part1 (counts as done), transform_part2 (counts as done))
  - generate_report (after merge_results)
  - send_notification (after generate_report)
  - cleanup (after send_notification)

Time limit 03:00:00 (default_timeout) where none is named.

Total: 4 jobs to execute, 4 left out

Nothing was run. To run it:
  executioner.py -c data_pipeline.json --from-job merge_results
"""
NEVER_RUN = """\
Error: 4 jobs before merge_results have no SUCCESS on record (data_pipeline.json)
  download_data    never run
  validate_data    never run
  transform_part1  never run
  transform_part2  never run

Nothing was run. To count them as done and start with merge_results:
  executioner.py -c data_pipeline.json --from-job merge_results --yes
"""
FROM_MERGE = ("-c", "data_pipeline.json", "--from-job", "merge_results")
AFTER_MERGE = ["merge_results", "generate_report", "send_notification", "cleanup"]
BEFORE_MERGE = ["download_data", "validate_data", "transform_part1", "transform_part2"]


def without_headings(text: str) -> list[str]:
    """The lines of a preview without what stands above the jobs that count as done."""
    return [line for line in text.splitlines() if not line.startswith("Would count as done")]


def succeeded(program: Program) -> None:
    """Run the whole pipeline with success; it is run 1."""
    pipeline(program)
    fails(program)
    assert program("-c", "data_pipeline.json").code == 0
    ran(program)


# --- a fresh run ---------------------------------------------------------------------------------


def test_a_fresh_run_from_a_job(program: Program) -> None:
    """The job and all that depends on it run; what is before counts as done: SKIPPED for that reason, PARTIAL."""
    succeeded(program)
    result = screen(program, *FROM_MERGE)
    assert (result.code, result.err) == (0, "")
    assert ran(program) == AFTER_MERGE
    jobs = program.jobs(2)
    assert {name: (jobs[name]["status"], jobs[name]["reason"]) for name in BEFORE_MERGE} == dict.fromkeys(
        BEFORE_MERGE, ("SKIPPED", "--from-job")
    )
    row = program.run_row(2)
    counts = [row[f"{name}_jobs"] for name in ("total", "completed", "failed", "skipped")]
    assert (row["status"], counts, row["parent_run_id"]) == ("PARTIAL", [8, 4, 0, 4], None)
    assert json.loads(row["options"]) == {"from_job": "merge_results"}
    assert figures(result.out).splitlines()[:2] == [
        "00:00:00 Run 2 started: data_pipeline, 8 jobs, 1 worker",
        "00:00:00 [4/8] - 4 jobs skipped (--from-job)",
    ]


def test_the_preview_of_a_fresh_run_from_a_job(program: Program) -> None:
    """The preview shows what counts as done and what runs, and writes nothing."""
    succeeded(program)
    before = everything(program)
    result = screen(program, *FROM_MERGE, "--dry-run")
    assert everything(program) == before
    assert (result.code, result.err) == (0, "")
    assert without_headings(result.out) == without_headings(PREVIEW)


def test_how_the_preview_calls_several_jobs_that_count_as_done(program: Program) -> None:
    """The heading over several jobs speaks of several."""
    succeeded(program)
    [heading] = [
        line
        for line in program(*FROM_MERGE, "--dry-run").out.splitlines()
        if line.startswith("Would count as done")
    ]
    assert "because it comes" not in heading


def test_a_job_without_dependents_or_dependencies(program: Program) -> None:
    """What is neither before nor after the job is left out; that is still to be run, and the summary says so."""
    fails(program)
    program.config([job("a"), job("b", "a"), job("c", "b"), job("x"), job("y", "x")])
    assert program("-c", "flow.json").code == 0
    ran(program)
    preview = screen(program, "-c", "flow.json", "--from-job", "b", "--dry-run")
    assert "\n  - x\n  - y\n" in preview.out.partition("Would leave out ")[2]
    assert preview.out.partition("Total: ")[2].splitlines()[0] == "2 jobs to execute, 3 left out"
    result = screen(program, "-c", "flow.json", "--from-job", "b")
    assert result.code == 0
    assert ran(program) == ["b", "c"]
    assert result.out.endswith(
        "Not complete: 2 jobs were left out.\nTo run them:\n  executioner.py -c flow.json --resume-from 2\n"
    )
    assert program.jobs(2)["x"]["reason"] != program.jobs(2)["a"]["reason"]
    assert program(*pasted(commands(result.out)[-1])).code == 0
    assert ran(program) == ["x", "y"]


def test_another_dependency_of_what_comes_after(program: Program) -> None:
    """What a later job needs beside the first one counts as done too: else that job could never run."""
    fails(program)
    program.config([job("a"), job("b"), job("c", "a", "b"), job("d", "c")])
    assert program("-c", "flow.json").code == 0
    ran(program)
    assert program("-c", "flow.json", "--from-job", "a").code == 0
    assert ran(program) == ["a", "c", "d"]
    assert program.jobs(2)["b"]["reason"] == "--from-job"


def test_jobs_without_success_on_record(program: Program) -> None:
    """Nothing was ever run: exit 2, each such job is named; ``--yes`` accepts that."""
    pipeline(program)
    fails(program)
    result = screen(program, *FROM_MERGE)
    assert result == (2, "", f"{NEVER_RUN}Add --dry-run to preview it.\n")
    assert ran(program) == []
    assert not program.history.exists() or program.rows("SELECT * FROM run_metadata") == []
    [accept] = commands(result.err)
    assert program(*pasted(accept)).code == 0
    assert ran(program) == AFTER_MERGE


def test_the_preview_of_jobs_without_success(program: Program) -> None:
    """The preview marks each such job, and exits with 2 as the run would; with ``--yes`` it exits with 0."""
    pipeline(program)
    result = screen(program, *FROM_MERGE, "--dry-run")
    assert (result.code, result.err) == (2, NEVER_RUN)
    for name in BEFORE_MERGE:
        assert f"  - {name} (no SUCCESS on record: never run)\n" in result.out
    accepted = screen(program, *FROM_MERGE, "--dry-run", "--yes")
    assert (accepted.code, accepted.err) == (0, "")
    assert "  - transform_part2 (no SUCCESS on record: never run)\n" in accepted.out
    assert commands(accepted.out) == ["executioner.py -c data_pipeline.json --from-job merge_results --yes"]
    assert not program.history.exists()


def test_the_preview_of_jobs_without_success_offers_no_command_that_is_refused(program: Program) -> None:
    """Every command that the refused preview names can be run."""
    pipeline(program)
    fails(program)
    result = screen(program, *FROM_MERGE, "--dry-run")
    for line in commands(result.out + result.err):
        assert program(*pasted(line)).code == 0, line


def test_the_newest_result_counts(program: Program) -> None:
    """A success that a later failure followed is no success on record; jobs left out on request do not count."""
    succeeded(program)
    fails(program, "transform_part2")
    assert program("-c", "data_pipeline.json").code == 1
    ran(program)
    assert refused(program, *FROM_MERGE).err == (
        "Error: 1 job before merge_results has no SUCCESS on record (data_pipeline.json)\n"
        "  transform_part2  FAILED in run 2: Exit code 1\n"
        "\n"
        "Nothing was run. To count it as done and start with merge_results:\n"
        "  executioner.py -c data_pipeline.json --from-job merge_results --yes\n"
        "Add --dry-run to preview it.\n"
    )
    fails(program)
    assert program("-c", "data_pipeline.json").code == 0
    assert program("-c", "data_pipeline.json", "--skip", "transform_part2").code == 0
    assert program(*FROM_MERGE).code == 0
    ran(program)
    assert program(*FROM_MERGE).code == 0
    assert ran(program) == AFTER_MERGE


def test_over_ten_jobs_without_success(program: Program) -> None:
    """Ten are named, the rest is counted."""
    names = [f"j{n:02}" for n in range(12)]
    program.config([*map(job, names), job("last", *names)])
    result = screen(program, "-c", "flow.json", "--from-job", "last")
    assert result.err.splitlines()[0] == "Error: 12 jobs before last have no SUCCESS on record (flow.json)"
    assert result.err.splitlines()[10:12] == ["  j09  never run", "  ... and 2 more"]


def test_a_first_job_needs_nothing(program: Program) -> None:
    """A job without dependencies has nothing before it to accept."""
    fails(program)
    program.config([job("a"), job("b", "a"), job("c")])
    assert program("-c", "flow.json", "--from-job", "a").code == 0
    assert ran(program) == ["a", "b"]


def test_the_preview_as_json(program: Program) -> None:
    """What counts as done without a success says so to scripts, in a field of its own."""
    failed_pipeline(program)
    result = screen(program, *FROM_MERGE, "--dry-run", "--format", "json", "--yes")
    plan = json.loads(result.out)
    assert (result.code, result.err) == (0, "")
    assert [one["id"] for one in plan["execute"]] == AFTER_MERGE
    assert plan["skip"] == [
        *({"id": name, "reason": "--from-job"} for name in BEFORE_MERGE[:3]),
        {"id": "transform_part2", "reason": "--from-job", "no_success": "FAILED in run 249: Exit code 1"},
    ]


def test_what_is_wrong_with_a_from_job(program: Program) -> None:
    """An unknown job, one that is skipped as well, an empty name, ``--resume-failed-only``: exit 2, no run."""
    succeeded(program)
    assert refused(program, "-c", "data_pipeline.json", "--from-job", "merge_result") == (
        2,
        "",
        'Error: --from-job: no job "merge_result" (data_pipeline.json)\n'
        '  did you mean "merge_results"?\n\nNothing was run. To see its jobs:\n'
        "  executioner.py -c data_pipeline.json --dry-run\n",
    )
    both = refused(program, *FROM_MERGE, "--skip", "merge_results")
    assert (both.code, both.err.splitlines()[0]) == (
        2,
        "Error: --from-job and --skip both name merge_results (data_pipeline.json)",
    )
    empty = refused(program, "-c", "data_pipeline.json", "--from-job", "")
    assert (empty.code, empty.err.splitlines()[0]) == (
        2,
        "Error: --from-job: expected a job, got nothing (command line)",
    )
    alone = refused(program, *FROM_MERGE, "--resume-from", "1", "--resume-failed-only")
    assert (alone.code, alone.err.splitlines()[0]) == (
        2,
        "Error: --resume-failed-only does not go with --from-job (command line)",
    )


def test_a_skipped_job_after_the_first(program: Program) -> None:
    """``--skip`` combines with it: that job counts as done for what depends on it."""
    succeeded(program)
    assert program(*FROM_MERGE, "--skip", "send_notification").code == 0
    assert ran(program) == ["merge_results", "generate_report", "cleanup"]
    assert program.jobs(2)["send_notification"]["reason"] == "--skip"


def test_a_run_from_a_job_that_failed_is_resumed(program: Program) -> None:
    """The resume of such a run takes over what counted as done, without asking again."""
    pipeline(program)
    fails(program, "generate_report")
    assert program(*FROM_MERGE, "--yes").code == 1
    assert ran(program) == ["merge_results", "generate_report"]
    fails(program)
    preview = screen(program, "-c", "data_pipeline.json", "--resume-from", "1", "--dry-run")
    assert (preview.code, preview.out.splitlines()[-1]) == (
        0,
        "Total: 3 jobs to execute, 1 job to skip, 4 left out",
    )
    result = screen(program, "-c", "data_pipeline.json", "--resume-from", "1")
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["generate_report", "send_notification", "cleanup"]


def test_what_counted_as_done_can_be_run_after_all(program: Program) -> None:
    """When only that is missing there is nothing to resume; the command that is named for it runs it."""
    pipeline(program)
    fails(program)
    assert program(*FROM_MERGE, "--yes").code == 0
    ran(program)
    result = refused(program, "-c", "data_pipeline.json", "--resume-from", "1")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("Nothing to resume: all other jobs of run 1 succeeded, ")
    assert program(*pasted(commands(result.err)[0])).code == 0
    assert sorted(set(ran(program)) & set(BEFORE_MERGE)) == sorted(BEFORE_MERGE)


# --- in a resume ---------------------------------------------------------------------------------


def test_a_resume_from_a_job(program: Program) -> None:
    """Successes are reused, the job and all that depends on it run again though they had succeeded."""
    failed_pipeline(program)
    fails(program, "cleanup")
    assert program("-c", "data_pipeline.json", "--resume-from", "249").code == 1
    ran(program)
    args = ("-c", "data_pipeline.json", "--resume-from", "250", "--from-job", "generate_report")
    preview = screen(program, *args, "--dry-run")
    assert preview == (
        0,
        "RESUME DRY RUN - Run ID 250\n===========================\n"
        "Would skip successful jobs:\n"
        "  ✓ download_data\n  ✓ validate_data\n  ✓ transform_part1\n  ✓ transform_part2\n  ✓ merge_results\n\n"
        "Would retry failed job:\n  ✗ cleanup\n\n"
        "Would run successful jobs again, as asked:\n  - generate_report\n  - send_notification\n\n"
        "Total: 3 jobs to execute, 5 jobs to skip\n",
        "\nNothing was run. To run it:\n"
        "  executioner.py -c data_pipeline.json --resume-from 250 --from-job generate_report\n",
    )
    fails(program)
    result = screen(program, *args)
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["generate_report", "send_notification", "cleanup"]
    row = program.run_row(251)
    assert (row["status"], row["parent_run_id"], row["root_run_id"]) == ("SUCCESS", 250, 249)
    assert program.jobs(251)["transform_part2"]["source_run_id"] == 250
    assert program.jobs(251)["download_data"]["source_run_id"] == 249


def test_a_resume_from_a_job_after_one_that_failed(program: Program) -> None:
    """The failed job before it needs ``--yes``: exit 2, it is named; the preview marks it and exits with 2."""
    failed_pipeline(program)
    fails(program)
    args = ("-c", "data_pipeline.json", "--resume-from", "249", "--from-job", "merge_results")
    expected = (
        "Error: 1 job before merge_results has no SUCCESS on record (data_pipeline.json)\n"
        "  transform_part2  FAILED in run 249: Exit code 1\n"
        "\n"
        "Nothing was run. To count it as done and start with merge_results:\n"
        "  executioner.py -c data_pipeline.json --resume-from 249 --from-job merge_results --yes\n"
    )
    assert refused(program, *args) == (2, "", f"{expected}Add --dry-run to preview it.\n")
    preview = refused(program, *args, "--dry-run")
    assert (preview.code, preview.err) == (2, expected)
    assert without_headings(preview.out) == [
        "RESUME DRY RUN - Run ID 249",
        "===========================",
        "Would skip successful jobs:",
        *("  ✓ download_data", "  ✓ validate_data", "  ✓ transform_part1", ""),
        "Would execute remaining jobs:",
        *("  - merge_results", "  - generate_report", "  - send_notification", "  - cleanup", ""),
        *("  - transform_part2 (no SUCCESS on record)", ""),
        "Total: 4 jobs to execute, 3 jobs to skip, 1 left out",
    ]
    result = screen(program, *args, "--yes")
    assert (result.code, result.err) == (0, "")
    assert ran(program) == AFTER_MERGE
    assert (program.run_row(250)["status"], program.statuses(250)["transform_part2"]) == ("PARTIAL", "SKIPPED")


def test_a_marked_job_before_it_is_proven(program: Program) -> None:
    """A job that a person marked as successful needs no ``--yes``."""
    failed_pipeline(program)
    fails(program)
    assert program("--mark-success", "249", "transform_part2", "--yes").code == 0
    assert program(*FROM_MERGE, "--resume-from", "249").code == 0
    assert ran(program) == AFTER_MERGE


def test_a_marked_job_before_a_fresh_run_is_proven(program: Program) -> None:
    """So it is for a fresh run."""
    failed_pipeline(program)
    fails(program)
    assert program("--mark-success", "249", "transform_part2", "--yes").code == 0
    assert program(*FROM_MERGE).code == 0
    assert ran(program) == AFTER_MERGE


def test_a_resume_from_a_job_of_a_run_that_succeeded(program: Program) -> None:
    """A run of which all succeeded can be run again from a job."""
    succeeded(program)
    assert program(*FROM_MERGE, "--resume-from", "1").code == 0
    assert ran(program) == AFTER_MERGE
    assert program.run_row(2)["status"] == "SUCCESS"


def test_a_resume_from_a_job_that_the_parent_skipped(program: Program) -> None:
    """The job is asked for by name: the parent's ``--skip``, which nobody gave now, does not count against it."""
    fails(program, "b")
    program.config([job("a"), job("s", "a"), job("b", "s")])
    assert program("-c", "flow.json", "--skip", "s").code == 1
    ran(program)
    fails(program)
    result = program("-c", "flow.json", "--resume-from", "1", "--from-job", "s")
    assert result.code == 0, result.err
    assert ran(program) == ["s", "b"]


@pytest.mark.parametrize("choice", ["stop", "keep", "rerun"])
def test_a_resume_from_a_job_with_a_changed_one_before(program: Program, choice: str) -> None:
    """A changed success before the job stops the resume as any; ``rerun`` takes it and what follows along."""
    failed_pipeline(program)
    fails(program)
    pipeline(program, transform_part1={"command": "echo new_part1 >> ran"})
    args = (*FROM_MERGE, "--resume-from", "249", "--yes", "--if-changed", choice)
    result = screen(program, *args)
    assert result.code == (2 if choice == "stop" else 0), result.err
    expected = {"stop": [], "keep": AFTER_MERGE, "rerun": ["new_part1", *AFTER_MERGE]}
    assert ran(program) == expected[choice]
