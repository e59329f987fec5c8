"""Spool files that somebody has edited: imported or refused, and never an internal error."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_tools import assert_no_fault, many
from harness import Program
from history_tools import as_an_ordinary_user, spool_content

from executioner.records import JOB_COLUMNS, RUN_COLUMNS

pytestmark = pytest.mark.promise(7)

#: What is a value of a column, though perhaps not of that one.
VALUES: tuple[object, ...] = (None, "", "x", "\x1b[2J", "[", "{}", "[1]", "2025", 0, -1, 2**62, 0.5, 1e308)


def finished_run(program: Program, **content: Any) -> dict[str, Any]:
    """A run of ``a`` and ``b``, and a spool file of it with some content; written to ``s.json``."""
    program.config({"a": "true", "b": "false"})
    assert program("-c", "flow.json").code == 1
    run = program.run_row()
    usual = {"run": {"status": "FAILED", "total_jobs": 2}, "jobs": [{"id": "a", "status": "SUCCESS"}]}
    where = {"history": str(program.history), "start_time": run["start_time"]}
    spool = spool_content(**where, **{**usual, **content})
    (program.folder / "s.json").write_text(json.dumps(spool))
    return spool


def refused_or_imported(program: Program, *args: str) -> None:
    """Fails unless the file is taken, or refused in words about the file."""
    result = program("--import-spool", "s.json", *args)
    assert result.code in (0, 2), result
    for word in ("Internal error", "syntax error", "Traceback"):
        assert word not in result.err, result


@pytest.mark.parametrize("flags", [(), ("--dry-run",)], ids=["import", "preview"])
@pytest.mark.parametrize("run", [{"status": "FAILED"}, {"total_jobs": "x"}, {"total_jobs": None}], ids=str)
def test_no_job_and_no_number_of_jobs(program: Program, run: dict[str, Any], flags: tuple[str, ...]) -> None:
    """Where a file has no job's result, how many jobs there are may be missing or be no number."""
    finished_run(program, run=run, jobs=[])
    refused_or_imported(program, *flags)


@pytest.mark.parametrize(
    "content",
    [{"run": {}}, {"run": {"run_id": 1}}, {"jobs": [{"id": "a"}]}, {"jobs": [{"id": "a", "run_id": 1}]}],
    ids=str,
)
def test_a_row_of_which_nothing_is_to_be_changed(program: Program, content: dict[str, Any]) -> None:
    """A run or a job without any column to write is no error of the database's language."""
    finished_run(program, **content)
    refused_or_imported(program)


def test_any_value_in_any_column(program: Program, cases: Callable[[int], None], nightly: bool) -> None:
    """Whatever value stands in a column: afterwards every screen can still be shown, with its own exit codes."""
    spool = finished_run(program)
    kept = program.home / "kept.db"
    shutil.copy(program.history, kept)
    number = 0
    with many(program) as run:
        for part, columns in (("run", RUN_COLUMNS), ("jobs", JOB_COLUMNS)):
            for column in columns:
                for value in VALUES if nightly else VALUES[number % 13 :: 13]:
                    for ending in ("-wal", "-shm"):
                        Path(f"{program.history}{ending}").unlink(missing_ok=True)
                    shutil.copy(kept, program.history)
                    row = {**(spool["run"] if part == "run" else spool["jobs"][0]), column: value}
                    changed = {**spool, part: row if part == "run" else [row]}
                    (program.folder / "s.json").write_text(json.dumps(changed))
                    case = f"{part}.{column} = {value!r}"
                    assert_no_fault(run("--import-spool", "s.json"), (0, 2, 3), case)
                    for look in (["--show-run", "1"], ["--list-runs"], ["--doctor"], ["--show-log", "1", "a"]):
                        assert_no_fault(run(*look), (0, 2, 3), f"{case}, then {look}")
                    assert_no_fault(run("--resume-from", "1", "--dry-run"), (0, 2, 3), f"{case}, then a resume")
                    number += 1
    cases(number)


@pytest.mark.promise(9)
def test_a_file_that_was_imported_but_could_not_be_renamed(program: Program) -> None:
    """Its results are in the history: nothing says any more that they are not, or to import them once more."""
    finished_run(program, run={"status": "FAILED", "end_time": "2026-01-01T00:00:00.000000Z"})
    spool = "logs/executioner.flow.run-1.spool.json"
    (program.folder / "s.json").rename(program.folder / spool)
    logs = program.folder / "logs"
    logs.chmod(0o555)
    done = as_an_ordinary_user(program, "--import-spool", spool)
    logs.chmod(0o755)
    assert done.code == 0
    assert "cannot be renamed (Permission denied): it is needed no longer, move it away" in done.err
    for text in (done.out, program("--show-run", "1").out, program("--doctor").out):
        assert "--import-spool" not in text, text
