"""Successful jobs that have changed since: a resume stops and shows what changed, keeps them, or reruns them."""

import json
import shutil
from typing import Any

import pytest
from earlier_databases import VERSIONS, Version, make_earlier
from harness import Program
from resume_tools import (
    PIPELINE,
    commands,
    fails,
    job,
    next_id,
    pasted,
    pipeline,
    ran,
    refused,
    screen,
)

# screens.md, 5
CHANGED = """\
Error: 1 successful job of run 249 has changed since (data_pipeline.json)
  transform_part2
    command:
      - python transform.py --part 1
      + python transform.py --part 1 --strict
    env_variables: MODE

Nothing was run. To run it and everything after it again:
  executioner.py -c data_pipeline.json --resume-from 249 --if-changed rerun
To keep its result:
  executioner.py -c data_pipeline.json --resume-from 249 --if-changed keep
Add --dry-run to preview either.
"""
RESUME_249 = ("-c", "data_pipeline.json", "--resume-from", "249")
RESUME_1 = ("-c", "flow.json", "--resume-from", "1")


def a_changed_pipeline(program: Program) -> None:
    """Run 249, in which merge_results failed; since then transform_part2 is another job."""
    (program.folder / "transform.py").write_text("import sys; print('transform', *sys.argv[1:])\n")
    next_id(program, 249)
    before = {"command": "python transform.py --part 1", "env_variables": {"MODE": "fast"}}
    pipeline(program, transform_part2=before)
    fails(program, "merge_results")
    assert program("-c", "data_pipeline.json").code == 1
    after = {"command": "python transform.py --part 1 --strict", "env_variables": {"MODE": "safe"}}
    pipeline(program, transform_part2=after)
    fails(program)
    ran(program)


def failed_flow(program: Program, *jobs: dict[str, Any], flags: tuple[str, ...] = (), **keys: Any) -> None:
    """Run flow.json with its job ``last`` failing; it is run 1. All others succeed."""
    program.config([*jobs, job("last")], **keys)
    fails(program, "last")
    assert program("-c", "flow.json", *flags).code == 1
    assert [name for name, status in program.statuses().items() if status != "SUCCESS"] == ["last"]
    fails(program)
    ran(program)


def changes(text: str) -> list[str]:
    """The lines of an error that say what changed."""
    return text.partition("\n\n")[0].splitlines()[1:]


# --- stop ----------------------------------------------------------------------------------------


def test_a_successful_job_has_changed(program: Program) -> None:
    """Screen 5 to the letter; so with ``--if-changed stop`` and with ``--dry-run``."""
    a_changed_pipeline(program)
    for more in ([], ["--dry-run"], ["--if-changed", "stop"], ["--yes"]):
        result = refused(program, *RESUME_249, *more)
        shown = result.err.replace(" --yes", "")
        assert (result.code, result.out, shown) == (2, "", CHANGED)


def test_several_successful_jobs_have_changed(program: Program) -> None:
    """Two are named in config order, and the words are plural."""
    failed_flow(program, job("a"), job("b"), job("c"))
    program.config([{**job("a"), "command": "echo 1"}, job("b"), {**job("c"), "command": "echo 2"}, job("last")])
    result = refused(program, *RESUME_1)
    assert result == (
        2,
        "",
        "Error: 2 successful jobs of run 1 have changed since (flow.json)\n"
        "  a\n"
        "    command:\n"
        "      - echo a >> ran; test ! -e a.fails\n"
        "      + echo 1\n"
        "  c\n"
        "    command:\n"
        "      - echo c >> ran; test ! -e c.fails\n"
        "      + echo 2\n"
        "\n"
        "Nothing was run. To run them and everything after them again:\n"
        "  executioner.py -c flow.json --resume-from 1 --if-changed rerun\n"
        "To keep their results:\n"
        "  executioner.py -c flow.json --resume-from 1 --if-changed keep\n"
        "Add --dry-run to preview either.\n",
    )


def test_over_ten_successful_jobs_have_changed(program: Program) -> None:
    """Of twelve the first five are shown, the rest is counted by what changed."""
    names = [f"j{n:02}" for n in range(12)]
    failed_flow(program, *map(job, names))
    jobs = [{**job(name), "command": f"echo {name}"} for name in names]
    jobs[11]["command"] = job("j11")["command"]
    jobs[11]["env_variables"] = {"NEW": 1}
    program.config([*jobs, job("last")])
    result = refused(program, *RESUME_1)
    lines = result.err.splitlines()
    assert lines[0] == "Error: 12 successful jobs of run 1 have changed since (flow.json)"
    shown = [line for line in lines if line.startswith("  j")]
    assert shown == [f"  {name}" for name in names[:5]]
    assert lines[21] == "  ... and 7 more: 6 command, 1 env_variables"
    assert lines[22:24] == ["", "Nothing was run. To run them and everything after them again:"]


def test_ten_successful_jobs_have_changed(program: Program) -> None:
    """Ten are all shown."""
    names = [f"j{n}" for n in range(10)]
    failed_flow(program, *map(job, names))
    program.config([*({**job(name), "command": f"echo {name}"} for name in names), job("last")])
    result = refused(program, *RESUME_1)
    assert [line for line in result.err.splitlines() if line.startswith("  j")] == [f"  {name}" for name in names]
    assert "more:" not in result.err


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ({}, {"dependencies": ["b"]}, ["    dependencies: +b"]),
        ({"dependencies": ["b"]}, {"dependencies": []}, ["    dependencies: -b"]),
        ({"dependencies": ["b"]}, {"dependencies": ["c"]}, ["    dependencies: +c, -b"]),
        ({}, {"env_variables": {"MODE": "x"}}, ["    env_variables: +MODE"]),
        ({"env_variables": {"MODE": "x"}}, {}, ["    env_variables: -MODE"]),
        (
            {"env_variables": {"A": 1, "GONE": 1}},
            {"env_variables": {"A": 2, "NEW": 1}},
            ["    env_variables: A, +NEW, -GONE"],
        ),
        (
            {},
            {"pre_checks": [{"name": "check_file_exists", "params": {"path": "flow.json"}}]},
            ["    pre_checks: +check_file_exists"],
        ),
        (
            {"post_checks": [{"name": "check_file_exists", "params": {"path": "flow.json"}}]},
            {"post_checks": [{"name": "check_file_exists", "params": {"path": "ran"}}]},
            ["    post_checks: check_file_exists"],
        ),
        (
            {"post_checks": [{"name": "check_file_exists", "params": {"path": "flow.json"}}]},
            {},
            ["    post_checks: -check_file_exists"],
        ),
        (
            {"command": "echo one\necho two\necho three"},
            {"command": "echo one\necho 2\necho three"},
            ["    command:", "        echo one", "      - echo two", "      + echo 2", "        echo three"],
        ),
    ],
    ids=[
        *("a dependency more", "a dependency less", "another dependency"),
        *("a variable more", "a variable less", "variables"),
        *("a check more", "a check's parameters", "a check less", "a line of several"),
    ],
)
def test_what_has_changed(
    program: Program, before: dict[str, Any], after: dict[str, Any], shown: list[str]
) -> None:
    """Commands are shown as a diff, everything else by name: + what is new, - what is gone."""
    failed_flow(program, job("b"), job("c"), {"id": "a", "command": "true", **before})
    program.config([job("b"), job("c"), {"id": "a", "command": "true", **after}, job("last")])
    result = refused(program, *RESUME_1)
    assert (result.code, changes(result.err)) == (2, ["  a", *shown])


def test_another_working_dir(program: Program) -> None:
    """The folder of a job is part of its definition: both are shown."""
    for name in ("one", "two"):
        (program.folder / name).mkdir()
    failed_flow(program, {"id": "a", "command": "true", "working_dir": "one"})
    program.config([{"id": "a", "command": "true", "working_dir": "two"}, job("last")])
    assert changes(refused(program, *RESUME_1).err) == [
        "  a",
        "    working_dir:",
        f"      - {program.folder}/one",
        f"      + {program.folder}/two",
    ]


def test_a_variable_of_the_application(program: Program) -> None:
    """A variable of all jobs that changed changes each of them; values stand nowhere."""
    failed_flow(program, job("a"), job("b"), env_variables={"MODE": "value-before", "SAME": "1"})
    program.config([job("a"), job("b"), job("last")], env_variables={"MODE": "value-after", "SAME": "1"})
    result = refused(program, *RESUME_1)
    assert changes(result.err) == ["  a", "    env_variables: MODE", "  b", "    env_variables: MODE"]
    assert "value-" not in result.err
    assert b"value-" not in program.history.read_bytes()
    assert "value-" not in program(*RESUME_1, "--dry-run", "--if-changed", "keep", "--format", "json").out


def test_a_variable_that_moved_to_the_job(program: Program) -> None:
    """The same value for the job, set in another place of the config, is no change."""
    failed_flow(program, job("a"), env_variables={"MODE": "x"})
    program.config([job("a", env_variables={"MODE": "x"}), job("last", env_variables={"MODE": "x"})])
    assert program(*RESUME_1).code == 0
    assert ran(program) == ["last"]


def test_what_is_no_change(program: Program) -> None:
    """Description, limits, retries, order, comments, workers: the job does the same, so its result is reused."""
    failed_flow(program, job("a"), job("b"), job("c", "a", "b"))
    program.config(
        [
            job("c", "b", "a", description="C", timeout=5, max_retries=3, retry_delay=1),
            {**job("a"), "_why": "comment"},
            job("last"),
            job("b"),
        ],
        parallel=True,
        max_workers=2,
        default_timeout=60,
        kill_grace=1,
        continue_on_error=True,
    )
    result = screen(program, *RESUME_1)
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["last"]


def test_another_caller_is_no_change(program: Program) -> None:
    """Values are compared as written: another HOME or USER of the caller changes no definition."""
    failed_flow(program, job("a"), env_variables={"WHERE": "${HOME}/${USER}"})
    result = program(
        *RESUME_1, env={"HOME": str(program.folder), "USER": "other", "EXECUTIONER_DB": str(program.history)}
    )
    assert result.code == 0, result.err
    assert ran(program) == ["last"]


def test_a_job_that_runs_anyway_may_change(program: Program) -> None:
    """The failed job was corrected: nothing stops, that is what a resume is for; the preview names the change."""
    failed_flow(program, job("a"))
    program.config([job("a"), {**job("last"), "command": "echo better >> ran"}])
    preview = screen(program, *RESUME_1, "--dry-run")
    assert "\nWould retry failed job:\n  ✗ last (changed: command)\n" in preview.out
    verbose = screen(program, *RESUME_1, "--dry-run", "--verbose")
    assert (
        "  ✗ last - FAILED in run 1: Exit code 1\n"
        "      command:\n"
        "        - echo last >> ran; test ! -e last.fails\n"
        "        + echo better >> ran\n"
    ) in verbose.out
    result = screen(program, *RESUME_1)
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["better"]


# --- keep ----------------------------------------------------------------------------------------


def test_the_result_of_a_changed_job_is_kept(program: Program) -> None:
    """``--if-changed keep``: a group of its own in the preview, a note, and the result is reused."""
    a_changed_pipeline(program)
    _, keep_line = commands(CHANGED)
    keep = pasted(keep_line)
    note = "Note: kept, though changed since: transform_part2\n"
    preview = screen(program, *keep, "--dry-run")
    assert preview == (
        0,
        "RESUME DRY RUN - Run ID 249\n===========================\n"
        "Would skip successful jobs:\n  ✓ download_data\n  ✓ validate_data\n  ✓ transform_part1\n\n"
        "Would keep the result of a job changed since:\n  ✓ transform_part2 (changed: command, env_variables)\n\n"
        "Would retry failed job:\n  ✗ merge_results\n\n"
        "Would execute remaining jobs:\n  - generate_report\n  - send_notification\n  - cleanup\n\n"
        "Total: 4 jobs to execute, 4 jobs to skip\n",
        f"{note}\nNothing was run. To run it:\n  {keep_line}\n",
    )
    result = screen(program, *keep)
    assert (result.code, result.err) == (0, note)
    assert ran(program) == ["merge_results", "generate_report", "send_notification", "cleanup"]
    assert program.jobs(250)["transform_part2"]["source_run_id"] == 249


def test_what_was_kept_stays_what_really_ran(program: Program) -> None:
    """A kept result is recorded with the command that gave it, so that the next resume asks again."""
    failed_flow(program, job("a"))
    program.config([{**job("a"), "command": "echo new"}, job("last")])
    fails(program, "last")
    assert program(*RESUME_1, "--if-changed", "keep").code == 1
    ran(program)
    fails(program)
    kept, original = program.jobs(2)["a"], program.jobs(1)["a"]
    assert (kept["command"], kept["definition"]) == (original["command"], original["definition"])
    result = screen(program, "-c", "flow.json", "--resume-from", "2")
    assert result.code == 2
    assert result.err.startswith(
        "Error: 1 successful job of run 2 has changed since (flow.json)\n  a\n    command:\n"
    )
    assert screen(program, "-c", "flow.json", "--resume-from", "2", "--if-changed", "keep").code == 0
    assert ran(program) == ["last"]


# --- rerun ---------------------------------------------------------------------------------------


def test_a_changed_job_runs_again(program: Program) -> None:
    """``--if-changed rerun``: it runs again and everything downstream; what does not depend on it is reused."""
    failed_flow(program, job("a"), job("b"), job("c", "a"), job("d", "c"), job("e", "b"))
    changed = [
        {**job("a"), "command": "echo a >> ran; true"},
        job("b"),
        job("c", "a"),
        job("d", "c"),
        job("e", "b"),
    ]
    program.config([*changed, job("last")])
    preview = screen(program, *RESUME_1, "--if-changed", "rerun", "--dry-run")
    assert preview == (
        0,
        "RESUME DRY RUN - Run ID 1\n=========================\n"
        "Would skip successful jobs:\n  ✓ b\n  ✓ e\n\n"
        "Would retry failed job:\n  ✗ last\n\n"
        "Would run again, changed since or after such a job:\n  - a (changed: command)\n  - c\n  - d\n\n"
        "Total: 4 jobs to execute, 2 jobs to skip\n",
        "\nNothing was run. To run it:\n  executioner.py -c flow.json --resume-from 1 --if-changed rerun\n",
    )
    verbose = screen(program, *RESUME_1, "--if-changed", "rerun", "--dry-run", "--verbose").out
    assert "  - a - changed since (command); SUCCESS in run 1\n" in verbose
    assert "  - c - depends on what has changed; SUCCESS in run 1\n" in verbose
    assert program(*RESUME_1, "--if-changed", "rerun").code == 0
    assert ran(program) == ["a", "c", "d", "last"]
    assert {name: row["source_run_id"] for name, row in program.jobs(2).items()} == {
        "a": None,
        "b": 1,
        "c": None,
        "d": None,
        "e": 1,
        "last": None,
    }


def test_a_changed_job_that_fails_now(program: Program) -> None:
    """A job that runs again and fails holds back what depends on it, though that had succeeded before."""
    failed_flow(program, job("a"), job("b", "a"))
    program.config([{**job("a"), "command": "echo a >> ran; false"}, job("b", "a"), job("last")])
    assert program(*RESUME_1, "--if-changed", "rerun").code == 1
    assert ran(program) == ["a"]
    assert program.statuses(2) == {"a": "FAILED", "b": "SKIPPED", "last": "SKIPPED"}


def test_rerun_without_a_change_is_a_plain_resume(program: Program) -> None:
    """Nothing changed: ``rerun`` runs what is missing."""
    failed_flow(program, job("a"))
    assert program(*RESUME_1, "--if-changed", "rerun").code == 0
    assert ran(program) == ["last"]


def test_rerun_of_a_run_that_succeeded(program: Program) -> None:
    """With a changed job ``rerun`` works on a run of which all succeeded, too; without it nothing is to do."""
    program.config([job("a"), job("b", "a"), job("c")])
    assert program("-c", "flow.json").code == 0
    ran(program)
    assert refused(program, *RESUME_1, "--if-changed", "rerun").err.startswith("Nothing to resume: ")
    program.config([job("a"), {**job("b", "a"), "command": "echo b >> ran; true"}, job("c")])
    assert program(*RESUME_1, "--if-changed", "rerun").code == 0
    assert ran(program) == ["b"]


def test_rerun_with_only_what_failed(program: Program) -> None:
    """With ``--resume-failed-only`` the changed job and what had succeeded after it run again, the rest not."""
    failed_flow(program, job("a"), job("b", "a"), job("c"))
    program.config(
        [{**job("a"), "command": "echo a >> ran; true"}, job("b", "a"), job("c"), job("new"), job("last")]
    )
    assert program(*RESUME_1, "--if-changed", "rerun", "--resume-failed-only").code == 0
    assert ran(program) == ["a", "b", "last"]


def test_another_env_with_rerun(program: Program) -> None:
    """A differing ``--env`` with ``rerun`` runs everything again, for it concerns every job."""
    failed_flow(program, job("a"), job("b"), flags=("--env", "MODE=one"))
    assert program(*RESUME_1, "--env", "MODE=two", "--if-changed", "rerun").code == 0
    assert ran(program) == ["a", "b", "last"]


def test_a_skipped_job_that_changed(program: Program) -> None:
    """A successful job that is skipped now stops nothing, though it changed: its result is not used."""
    failed_flow(program, job("a"), job("b", "a"))
    program.config([{**job("a"), "command": "echo new"}, job("b", "a"), job("last")])
    result = screen(program, *RESUME_1, "--skip", "a")
    assert (result.code, result.err) == (0, "")
    assert ran(program) == ["last"]


def test_a_job_skipped_before_that_changed(program: Program) -> None:
    """Where a job was skipped in the resumed run and has changed, the command to run it again does run it."""
    failed_flow(program, job("a"), job("b"))
    fails(program, "last")
    assert program(*RESUME_1, "--skip", "a,b").code == 1
    fails(program)
    assert ran(program) == ["last"]
    program.config([{**job("a"), "command": "echo a >> ran; true"}, job("b"), job("last")])
    rerun, keep = commands(refused(program, "-c", "flow.json", "--resume-from", "2").err)
    assert keep == "executioner.py -c flow.json --resume-from 2 --if-changed keep"
    assert rerun == "executioner.py -c flow.json --resume-from 2 --skip b --if-changed rerun"
    assert program(*pasted(rerun)).code == 0
    assert ran(program) == ["a", "last"]


@pytest.mark.parametrize("choice", ["ask", "", "Keep"])
def test_no_such_choice(program: Program, choice: str) -> None:
    """Anything but stop, keep and rerun is a usage error."""
    failed_flow(program, job("a"))
    result = refused(program, *RESUME_1, "--if-changed", choice)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: ")
    assert all(word in result.err for word in ("--if-changed", "stop", "keep", "rerun"))


def test_changes_as_json(program: Program) -> None:
    """The plan as JSON has, for each job that changed, old and new texts and the names of all else."""
    failed_flow(program, job("a", env_variables={"MODE": "x"}))
    program.config([{**job("a", env_variables={"MODE": "y"}), "command": "echo new"}, job("last")])
    plan = json.loads(program(*RESUME_1, "--if-changed", "keep", "--dry-run", "--format", "json").out)
    [kept] = plan["reuse"]
    assert kept["changed"] == {
        "command": {"before": job("a")["command"], "now": "echo new"},
        "env_variables": ["MODE"],
    }
    assert "changed" not in plan["execute"][0]


# --- runs of the earlier tool --------------------------------------------------------------------


def etl(program: Program, **changes: dict[str, Any]) -> None:
    """The config of the earlier tool's run 1, in which extract succeeded and load failed."""
    jobs: list[dict[str, Any]] = [
        {"id": "extract", "command": "run extract"},
        {"id": "load", "command": "echo load >> ran", "dependencies": ["extract"]},
        {"id": "report", "command": "echo report >> ran", "dependencies": ["load"]},
    ]
    program.config([{**one, **changes.get(one["id"], {})} for one in jobs], "etl.json", application_name="etl")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.__name__)
def test_a_run_of_the_earlier_tool(program: Program, version: Version) -> None:
    """A run that was taken over has no definitions: the command text is compared, nothing else."""
    make_earlier(program.history, version)
    etl(program, extract={"env_variables": {"NEW": "1"}, "working_dir": "/"})
    preview = screen(program, "-c", "etl.json", "--resume-from", "1", "--dry-run")
    assert (preview.code, preview.out) == (
        0,
        "RESUME DRY RUN - Run ID 1\n=========================\n"
        "Would skip successful job:\n  ✓ extract\n\n"
        "Would retry failed job:\n  ✗ load (changed: command)\n\n"
        "Would execute remaining job:\n  - report (changed: command)\n\n"
        "Total: 2 jobs to execute, 1 job to skip\n",
    )
    result = screen(program, "-c", "etl.json", "--resume-from", "1")
    assert result.code == 0, result.err
    assert ran(program) == ["load", "report"]
    [row] = program.rows("SELECT * FROM run_metadata WHERE parent_run_id = 1")
    assert row["run_id"] > 12
    assert program.jobs(row["run_id"])["extract"]["source_run_id"] == 1


def test_a_changed_command_of_the_earlier_tool(program: Program) -> None:
    """A command that is another one than the taken-over run had stops the resume, with the diff."""
    make_earlier(program.history)
    etl(program, extract={"command": "run extract --all"})
    result = screen(program, "-c", "etl.json", "--resume-from", "1")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith(
        "Error: 1 successful job of run 1 has changed since (etl.json)\n"
        "  extract\n"
        "    command:\n"
        "      - run extract\n"
        "      + run extract --all\n"
        "\n"
        "Nothing was run. To run it and everything after it again:\n"
        "  executioner.py -c etl.json --resume-from 1 --if-changed rerun\n"
        "To keep its result:\n"
        "  executioner.py -c etl.json --resume-from 1 --if-changed keep\n"
        "Add --dry-run to preview either.\n"
    )
    assert ran(program) == []


def test_a_killed_run_of_the_earlier_tool(program: Program) -> None:
    """Its running job is interrupted, and retried; that run had no config recorded either."""
    make_earlier(program.history)
    etl(program)
    preview = screen(program, "-c", "etl.json", "--resume-from", "7", "--dry-run")
    assert "Would retry interrupted job:\n  ✗ load (changed: command)\n" in preview.out
    assert program("-c", "etl.json", "--resume-from", "7").code == 0
    assert ran(program) == ["load", "report"]


# --- the same definitions ------------------------------------------------------------------------


def test_the_whole_pipeline_is_unchanged_after_a_copy_of_its_history(program: Program) -> None:
    """The history goes with its key: in a copy of it definitions compare as before."""
    a_changed_pipeline(program)
    copy = program.folder / "copy.db"
    shutil.copy(program.history, copy)
    names = {name: {} for name in PIPELINE}
    pipeline(
        program,
        **{
            **names,
            "transform_part2": {"command": "python transform.py --part 1", "env_variables": {"MODE": "fast"}},
        },
    )
    result = program(*RESUME_249, "--db", "copy.db")
    assert result.code == 0, result.err
    assert ran(program) == ["merge_results", "generate_report", "send_notification", "cleanup"]
