"""``--dry-run``: the plan is shown, nothing is started or written, and the exit code is a run's."""

import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
from harness import Program
from screens import assert_harmless, everything, on_screen

PLAN = """\
DRY RUN - nightly
=================
Would skip on request (counts as done for what depends on it):
  - validate

Would execute, in this order, one at a time:
  - extract
  - load (after extract, validate (skipped); limit 00:01:30)
  - archive (no time limit)
  - report (after load)

Time limit 03:00:00 (default_timeout) where none is named.

Total: 4 jobs to execute, 1 left out

Nothing was run. To run it:
  {cd}executioner.py -c flow.json --skip validate
"""


def a_plan(program: Program) -> None:
    program.config(
        [
            {"id": "report", "command": "touch ran", "dependencies": ["load"]},
            {"id": "extract", "command": "touch ran"},
            {"id": "validate", "command": "touch ran", "dependencies": ["extract"]},
            {"id": "load", "command": "touch ran", "dependencies": ["extract", "validate"], "timeout": 90},
            {"id": "archive", "command": "touch ran", "timeout": None},
        ],
        application_name="nightly",
    )


def shown_order(text: str) -> list[str]:
    lines = text.partition("Would execute")[2].splitlines()
    return [line.split()[1] for line in lines if line.startswith("  - ")]


def test_the_whole_preview(program: Program) -> None:
    """The plan stands in order with dependencies, skipped jobs with their reason, and where limits come from."""
    a_plan(program)
    screen = on_screen(program, "-c", "flow.json", "--dry-run", "--skip", "validate")
    piped = program("-c", "flow.json", "--dry-run", "--skip", "validate")
    order = shown_order(piped.out)
    assert sorted(order) == ["archive", "extract", "load", "report"]
    assert order.index("extract") < order.index("load") < order.index("report")
    expected = PLAN.splitlines(keepends=True)
    actual = screen.out.splitlines(keepends=True)
    assert sorted(actual) == sorted(PLAN.format(cd="").splitlines(keepends=True))
    assert (screen.code, actual[:6], actual[10:]) == (0, expected[:6], PLAN.format(cd="").splitlines(True)[10:])
    assert piped == (0, screen.out.replace("  executioner.py", f"  cd {program.folder} && executioner.py"), "")


def test_the_order_is_that_of_the_run(program: Program) -> None:
    """The jobs run in the order that the preview shows."""
    jobs = [{"id": f"j{n}", "command": f"echo j{n} >> order", "dependencies": []} for n in range(12)]
    for low, high in ((11, 0), (7, 1), (3, 2), (10, 3), (9, 4), (0, 5)):
        jobs[high]["dependencies"] = [f"j{low}"]
    program.config(jobs)
    preview = program("-c", "flow.json", "--dry-run")
    assert program("-c", "flow.json").code == 0
    assert shown_order(preview.out) == (program.folder / "order").read_text().split()


def test_a_preview_starts_and_writes_nothing(program: Program) -> None:
    """Neither folder nor home changes by a file, a byte or a time; no history or log folder appears."""
    a_plan(program)
    before = everything(program)
    for more in ([], ["--format", "json"], ["--verbose"], ["-j", "4"], ["--quiet"], ["--skip", "load"]):
        assert program("-c", "flow.json", "--dry-run", *more).code == 0
    assert everything(program) == before


def test_a_preview_leaves_an_existing_history_alone(program: Program) -> None:
    """With a history and logs of earlier runs it is the same: nothing changes, no journal appears."""
    a_plan(program)
    assert program("-c", "flow.json").code == 0
    (program.folder / "ran").unlink()
    before = everything(program)
    for more in ([], ["-j", "4"], ["--format", "json", "-j", "2"]):
        assert program("-c", "flow.json", "--dry-run", *more).code == 0
    assert everything(program) == before


def test_verbose_shows_the_commands(program: Program) -> None:
    """``--verbose`` adds commands, folders and the number of attempts."""
    program.config([{"id": "a", "command": "touch ran | cat", "max_retries": 2}])
    result = program("-c", "flow.json", "--dry-run", "--verbose")
    assert result.out.splitlines()[3:6] == ["  - a", "      touch ran | cat", "      in ., up to 3 attempts"]


def test_the_preview_as_json(program: Program) -> None:
    """``--format json`` gives the same plan as one object on stdout."""
    a_plan(program)
    result = program("-c", "flow.json", "--dry-run", "--format", "json", "--skip", "validate", "-j", "3")
    plan = json.loads(result.out)
    folder = str(program.folder)
    executed = {job["id"]: job for job in plan["execute"]}
    assert (result.code, result.err) == (0, "")
    assert [plan["application_name"], plan["config_path"], plan["workers"]] == [
        "nightly",
        f"{folder}/flow.json",
        3,
    ]
    assert plan["continue_on_error"] is False
    assert plan["skip"] == [{"id": "validate", "reason": "--skip"}]
    assert executed["load"] == {
        "id": "load",
        "command": "touch ran",
        "dependencies": ["extract", "validate"],
        "working_dir": folder,
        "timeout_seconds": 90,
        "max_retries": 0,
    }
    assert executed["archive"]["timeout_seconds"] is None
    assert executed["extract"]["timeout_seconds"] == 10800
    text = program("-c", "flow.json", "--dry-run", "--skip", "validate", "-j", "3").out
    assert [job["id"] for job in plan["execute"]] == shown_order(text)


def test_what_jobs_took_before_decides_the_parallel_order(program: Program) -> None:
    """With fewer workers than jobs the preview, as the run, puts the longest remaining path first."""
    program.config({"short": "true", "other": "true", "long": "sleep 0.4"})
    assert shown_order(program("-c", "flow.json", "--dry-run", "-j", "2").out) == ["short", "other", "long"]
    assert program("-c", "flow.json").code == 0
    assert shown_order(program("-c", "flow.json", "--dry-run", "-j", "2").out)[0] == "long"
    for workers in ("1", "3"):  # no choice
        shown = program("-c", "flow.json", "--dry-run", "-j", workers).out
        assert shown_order(shown) == ["short", "other", "long"]


def test_a_chain_of_100000_jobs(program: Program) -> None:
    """A chain of 100,000 jobs validates and dry-runs, in order from its first to its last."""
    jobs = [{"id": f"j{n}", "command": "true", "dependencies": [f"j{n + 1}"]} for n in range(99_999)]
    program.config([*jobs, {"id": "j99999", "command": "true"}])
    assert program("-c", "flow.json", "--validate") == (0, "✓ flow.json: flow, 100,000 jobs, no problems\n", "")
    result = program("-c", "flow.json", "--dry-run")
    assert (result.code, result.err) == (0, "")
    assert shown_order(result.out) == [f"j{n}" for n in reversed(range(100_000))]
    assert "\nTotal: 100,000 jobs to execute\n" in result.out


@pytest.mark.parametrize("kind", ["text", "foreign", "newer", "folder", "below a file"])
def test_a_history_that_a_run_would_refuse(program: Program, kind: str) -> None:
    """A preview refuses with 3 what a run refuses, with the same words, and changes nothing."""
    program.config({"a": "touch ran"})
    path = program.folder / "own.db"
    if kind == "text":
        path.write_text("This is not a database, it only looks like a file.\n" * 4)
    elif kind == "folder":
        path.mkdir()
    elif kind == "below a file":
        path.write_text("")
        path = path / "history.db"
    else:
        if kind == "newer":
            assert program("-c", "flow.json", "--db", "own.db").code == 0
            (program.folder / "ran").unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99" if kind == "newer" else "CREATE TABLE other (x)")
        connection.close()
    before = everything(program)
    preview = program("-c", "flow.json", "--db", str(path), "--dry-run")
    run = program("-c", "flow.json", "--db", str(path))
    assert (preview.code, preview.out) == (3, "")
    assert preview.err.startswith("Error: ")
    assert "Nothing was run." in preview.err
    assert run == preview
    assert everything(program) == before


def test_a_history_that_cannot_be_made(program: Program) -> None:
    """Where a run could not create the history, the preview exits with 3 as the run does."""
    program.config({"a": "touch ran"})
    path = "/proc/no-such-folder/history.db"
    run = program("-c", "flow.json", "--db", path)
    assert (run.code, run.out) == (3, "")
    assert program("-c", "flow.json", "--db", path, "--dry-run").code == 3
    assert not (program.folder / "ran").exists()


def test_a_log_folder_that_cannot_be_used(program: Program) -> None:
    """A log folder that is a file: 2 for the run and for the preview, nothing run, no history made."""
    (program.folder / "logs").write_text("a file")
    program.config({"a": "touch ran"})
    before = everything(program)
    preview = program("-c", "flow.json", "--dry-run")
    assert (preview.code, preview.out) == (2, "")
    assert preview.err.startswith("Error: The logs cannot be written: ")
    assert program("-c", "flow.json") == preview
    assert not (program.folder / "ran").exists()
    assert program.folder.joinpath("logs").read_text() == "a file"
    assert everything(program) == before


def test_nothing_to_execute(program: Program) -> None:
    """A plan of skipped jobs alone says that it would execute nothing."""
    program.config({"a": "touch ran"})
    result = on_screen(program, "-c", "flow.json", "--dry-run", "--skip", "a")
    assert result.code == 0
    assert "Would execute, in this order, one at a time:\n  (nothing)\n" in result.out
    assert "\nTotal: 0 jobs to execute, 1 left out\n" in result.out


def test_a_preview_is_harmless(program: Program) -> None:
    """Control and bidi characters of a config reach neither text nor JSON output raw."""
    evil = "\x1b[2J\x07\u202e\u2028\x9b"
    program.config([{"id": "a", "command": f"echo '{evil}'", "description": evil}], application_name=f"x{evil}")
    for more in (["--verbose"], ["--format", "json"]):
        result = program("-c", "flow.json", "--dry-run", *more)
        assert result.code == 0
        assert_harmless(result.out + result.err)


def test_a_full_disk_under_stdout(program: Program) -> None:
    """A preview that cannot be written is an error with exit code 3, not a silent success."""
    program.config({"a": "touch ran"})
    with Path("/dev/full").open("wb") as full:
        for arguments in (["-c", "flow.json", "--dry-run"], ["--simple-config"], ["--config-schema"], ["--help"]):
            done = subprocess.run(
                program.command(*arguments),
                cwd=program.folder,
                env=program.environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (
                3,
                "Error: The output cannot be written: No space left on device (stdout)\n",
            )
