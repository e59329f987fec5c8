"""The founding document's story from end to end, on the real example: fail, find, understand, mend, resume."""

import json
import shutil
from pathlib import Path

import pytest
from harness import ROOT, Program
from history_tools import sql
from screens import FOUNDING_FAILED, FOUNDING_HEAD, FOUNDING_PREVIEW, FOUNDING_RESUME

EXAMPLE = ROOT / "examples/data_pipeline"
MADE = ("data", "work", "report", "outbox", "logs", "__pycache__")

SHOWN_NEXT = """\
To resume all remaining jobs:
  executioner.py -c data_pipeline.json --resume-from 249

To resume only failed jobs:
  executioner.py -c data_pipeline.json --resume-from 249 --resume-failed-only
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Program:
    """A fresh copy of the example; the next run of the history is 248."""
    shutil.copytree(EXAMPLE, tmp_path / "work", ignore=shutil.ignore_patterns(*MADE))
    program = Program(tmp_path / "work")
    program.config({"only": "true"}, "batch_processor.json")
    assert program("-c", "batch_processor.json").code == 0
    sql(program.history, "UPDATE run_metadata SET run_id = 248", "UPDATE job_history SET run_id = 248")
    sql(program.history, "UPDATE run_metadata SET root_run_id = 248", "UPDATE sqlite_sequence SET seq = 248")
    return program


def test_the_whole_story(pipeline: Program) -> None:
    """Every step that the founding document promises, by the commands that the screens name, to a report."""
    # it fails at night; the summary says what, why, and what to type
    failed = pipeline.on_terminal("-c", "data_pipeline.json", env={"NO_COLOR": "1"})
    assert failed.code == 1
    for part in (FOUNDING_HEAD, FOUNDING_FAILED):
        assert part in failed.out
    assert failed.out.endswith(FOUNDING_RESUME)

    # in the morning nobody remembers the id: it is listed, and a wrong one is answered with the right ones
    listed = pipeline("--list-runs", "--last", "10").out.splitlines()
    assert [line.split("|")[0].strip() for line in listed[4:6]] == ["249", "248"]
    assert [cell.strip() for cell in listed[4].split("|")][1:3] == ["data_pipeline", "FAILED"]
    assert listed[4].endswith("| 3/8")
    unknown = pipeline("-c", "data_pipeline.json", "--resume-from", "999")
    assert (unknown.code, unknown.out) == (2, "")
    assert unknown.err.startswith(
        "Error: Run ID 999 not found in history.\n\nRecent runs for this config:\n  Run 249 - FAILED"
    )
    assert "\nUse --list-runs to see all available runs.\n" in unknown.err

    # what happened, and why
    shown = pipeline.on_terminal("--show-run", "249", env={"NO_COLOR": "1"}).out
    assert shown.startswith(
        "Run Details for ID 249:\n======================\nApplication: data_pipeline\nStatus: FAILED\n"
    )
    assert "Failed Job Log Preview (transform_part2):\n-----------------------------------------\n" in shown
    assert "ERROR: Unable to process data file\nFileNotFoundError: " in shown
    assert shown.endswith(SHOWN_NEXT)

    # the preview, to the letter, which writes nothing
    before = pipeline.rows("SELECT count(*) AS n FROM run_metadata")
    preview = pipeline("-c", "data_pipeline.json", "--resume-from", "249", "--dry-run")
    assert (preview.code, preview.out) == (0, FOUNDING_PREVIEW)
    assert pipeline.rows("SELECT count(*) AS n FROM run_metadata") == before

    # resumed without a mend it fails in the same way, and the screens say that this will not help
    again = pipeline("-c", "data_pipeline.json", "--resume-from", "249", "--resume-failed-only")
    assert again.code == 1
    assert "Hint: transform_part2 ended with the same error in the last 2 runs (249," in again.out
    assert "Not complete: 4 jobs were left out.\nTo run all that is missing:\n" in again.out
    stale = pipeline("-c", "data_pipeline.json", "--resume-from", "249")
    assert stale.code == 3
    assert stale.err.startswith("Error: Run 249 was already resumed by run 250 (FAILED, 3/8)\n")

    # mended, and resumed: what had succeeded is not run again
    (pipeline.folder / "data").mkdir(exist_ok=True)
    shutil.copy(pipeline.folder / "archive/late/part2_input.csv", pipeline.folder / "data")
    resumed = pipeline("-c", "data_pipeline.json", "--resume-from", "last", "-j", "2")
    assert (resumed.code, resumed.err) == (0, "")
    assert "Status: SUCCESS" in resumed.out
    assert (pipeline.folder / "report/report.html").exists()
    jobs = pipeline.jobs(251)
    assert {name for name, row in jobs.items() if row["source_run_id"] is None} == {
        *("transform_part2", "merge_results", "generate_report", "send_notification", "cleanup")
    }
    assert {jobs[name]["source_run_id"] for name in ("download_data", "validate_data", "transform_part1")} == {249}
    run = pipeline.run_row(251)
    assert (run["parent_run_id"], run["root_run_id"], run["status"], run["completed_jobs"]) == (
        250,
        249,
        "SUCCESS",
        8,
    )

    # and that is the end of it
    done = pipeline("--resume-from", "last")
    assert (done.code, done.out) == (0, "")
    assert "Nothing to resume: all 8 jobs of run 251 succeeded (data_pipeline)\n" in done.err
    assert json.loads(pipeline("--list-runs", "--resumable", "--format", "json").out) == []
