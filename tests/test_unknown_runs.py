"""Runs that are not there: what is said of an id that nobody has, and of ``last`` where there is none."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Result
from past import make_past, untouched
from screens import assert_harmless, on_screen, paste, split_terminal

# The founding document, improvement 5; the last line is design.md's addition.
FOUNDING = """\
Error: Run ID 999 not found in history.

Recent runs for this config:
  Run 249 - FAILED  - 2025-05-23 09:45:00
  Run 248 - SUCCESS - 2025-05-23 09:00:00
  Run 247 - FAILED  - 2025-05-23 08:30:00

Use --list-runs to see all available runs.
History: {history}
"""
ENDING = "Use --list-runs to see all available runs.\nHistory: {history}\n"
HISTORY = ENDING.partition("\n")[2]


def past_run(run_id: int, status: str, start: str, **more: Any) -> dict[str, Any]:
    """A run that ended."""
    return {"run_id": run_id, "status": status, "start_time": f"2025-05-23T{start}.000000Z", **more}


def founding_past(program: Program) -> None:
    """Three runs of data_pipeline.json, and two newer ones of another config."""
    config = {"config_path": str(program.folder / "data_pipeline.json")}
    other = {"config_path": str(program.folder / "other.json"), "application_name": "other"}
    make_past(
        program.history,
        [
            past_run(247, "FAILED", "08:30:00", **config),
            past_run(248, "SUCCESS", "09:00:00", **config),
            past_run(249, "FAILED", "09:45:00", **config),
            past_run(250, "INTERRUPTED", "10:00:00", **other),
            past_run(251, "SUCCESS", "11:00:00", **other),
        ],
    )


def refused(result: Result) -> str:
    """What was said: nothing on stdout, exit code 2."""
    assert (result.code, result.out) == (2, "")
    return result.err


def said(text: str, program: Program) -> str:
    """A text with this program's history."""
    return text.replace("{history}", str(program.history))


# --- the message ----------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["--show-run", "999"], ["--show-log", "999"], ["--show-log", "999", "job"]])
@pytest.mark.parametrize("on_disk", [True, False])
def test_the_founding_documents_message(program: Program, command: Sequence[str], on_disk: bool) -> None:
    """With -c the recent runs of that config are listed, also where the file is gone; nothing is changed."""
    founding_past(program)
    if on_disk:
        program.config({"a": "true"}, name="data_pipeline.json")
    before = untouched(program.history.parent)
    assert refused(program("-c", "data_pipeline.json", *command)) == said(FOUNDING, program)
    assert untouched(program.history.parent) == before


ALL_RUNS = """\
Error: Run ID 999 not found in history.

Recent runs:
  Run 251 - SUCCESS     - 2025-05-23 11:00:00
  Run 250 - INTERRUPTED - 2025-05-23 10:00:00
  Run 249 - FAILED      - 2025-05-23 09:45:00
  Run 248 - SUCCESS     - 2025-05-23 09:00:00
  Run 247 - FAILED      - 2025-05-23 08:30:00

Use --list-runs to see all available runs.
History: {history}
"""


@pytest.mark.parametrize("config", [[], ["-c", "nobody.json"]])
def test_without_a_config_or_runs_of_it_those_of_all_are_listed(program: Program, config: list[str]) -> None:
    """Without -c, or where that config never ran, the recent runs of all configs are listed, statuses aligned."""
    founding_past(program)
    title = f"Recent runs, none of {config[1]}:" if config else "Recent runs:"
    assert refused(program(*config, "--show-run", "999")) == said(ALL_RUNS, program).replace("Recent runs:", title)


def test_on_a_terminal_the_message_is_the_same(program: Program) -> None:
    """A terminal gets the same lines."""
    founding_past(program)
    result = on_screen(program, "--show-run", "999")
    assert (result.code, result.out) == (2, said(ALL_RUNS, program))


def test_five_runs_are_enough(program: Program) -> None:
    """Of many runs the newest five are listed; their ids keep the columns."""
    make_past(program.history, [past_run(run_id, "SUCCESS", "08:30:00") for run_id in range(4, 104)])
    expected = "".join(f"  Run {run_id:3} - SUCCESS - 2025-05-23 08:30:00\n" for run_id in range(103, 98, -1))
    message = f"Error: Run ID 999 not found in history.\n\nRecent runs:\n{expected}\n{ENDING}"
    assert refused(program("--show-run", "999")) == said(message, program)


def test_runs_of_different_lengths_and_without_a_start(program: Program) -> None:
    """A start that was not recorded is unknown; a RUNNING run whose runner is gone is INTERRUPTED here too."""
    make_past(
        program.history,
        [past_run(9, "SUCCESS", "08:30:00", start_time=None), past_run(10, "RUNNING", "08:31:00")],
    )
    Path(f"{program.history}.lock").touch()
    message = (
        "Error: Run ID 999 not found in history.\n\nRecent runs:\n"
        "  Run 10 - INTERRUPTED - 2025-05-23 08:31:00\n"
        "  Run  9 - SUCCESS     - unknown\n\n" + ENDING
    )
    assert refused(program("--show-run", "999")) == said(message, program)


def test_local_time(program: Program) -> None:
    """Start times are local."""
    make_past(program.history, [past_run(1, "SUCCESS", "23:30:00")])
    err = refused(program("--show-run", "999", env={"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}))
    assert "  Run 1 - SUCCESS - 2025-05-24 01:30:00\n" in err


def test_an_empty_history(program: Program) -> None:
    """A history without any run says so instead of a list."""
    make_past(program.history, [])
    message = f"Error: Run ID 999 not found in history.\n\nNo runs yet.\n\n{HISTORY}"
    assert refused(program("--show-run", "999")) == said(message, program)


def test_the_history_of_db_is_named(program: Program) -> None:
    """With --db the history that was looked through is that one."""
    make_past(program.folder / "own.db", [past_run(1, "SUCCESS", "08:30:00")])
    message = (
        "Error: Run ID 2 not found in history.\n\nRecent runs:\n  Run 1 - SUCCESS - 2025-05-23 08:30:00\n\n"
        "Use --list-runs to see all available runs.\nHistory: own.db\n"
    )
    assert refused(program("--db", "own.db", "--show-run", "2")) == message


def test_a_config_behind_a_link_has_the_runs_of_its_file(program: Program) -> None:
    """-c of a link finds the runs that were recorded under the file's own path."""
    founding_past(program)
    program.config({"a": "true"}, name="data_pipeline.json")
    (program.folder / "link.json").symlink_to("data_pipeline.json")
    assert refused(program("-c", "link.json", "--show-run", "999")) == said(FOUNDING, program)


@pytest.mark.parametrize(
    ("content", "why"), [("{", "it is not JSON"), (None, "it is a folder"), ("[" * 100_000, "it is not JSON")]
)
def test_a_config_that_cannot_be_read(program: Program, content: str | None, why: str) -> None:
    """Its runs are found by its path; that its own history could not be looked up is said."""
    founding_past(program)
    path = program.folder / "data_pipeline.json"
    path.mkdir() if content is None else path.write_text(content)
    warning = f"Warning: data_pipeline.json cannot be read ({why}): its history_db is not known\n"
    assert refused(program("-c", "data_pipeline.json", "--show-run", "999")) == warning + said(FOUNDING, program)


def test_a_config_that_is_a_pipe(program: Program) -> None:
    """A FIFO that nobody writes to does not hang the command."""
    founding_past(program)
    os.mkfifo(program.folder / "data_pipeline.json")
    err = refused(program("-c", "data_pipeline.json", "--show-run", "999", timeout=4))
    assert err.endswith(said(FOUNDING, program))


def test_hostile_names_stay_harmless(program: Program) -> None:
    """The history's path is shown escaped."""
    folder = program.folder / "a\x1b[2J\nb"
    make_past(folder / "own.db", [past_run(1, "SUCCESS", "08:30:00")])
    result = on_screen(program, "--db", str(folder / "own.db"), "--show-run", "2")
    assert result.code == 2
    assert_harmless(result.out)
    assert result.out.endswith("History: a\\e[2J\\nb/own.db\n")


@pytest.mark.parametrize("form", ["json", "csv"])
def test_scripts_get_an_empty_stdout(program: Program, form: str) -> None:
    """With a format for scripts the error is the same, on stderr."""
    founding_past(program)
    assert refused(program("--show-run", "999", "--format", form)) == said(ALL_RUNS, program)


def test_only_the_error_goes_to_stderr(program: Program) -> None:
    """Where stdout is a terminal and stderr is not, the terminal stays empty."""
    founding_past(program)
    result = split_terminal(program, "--show-run", "999", stream="stdout")
    assert refused(result) == said(ALL_RUNS, program)


# --- ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["0", "9223372036854775807", "9223372036854775808", "1" + "0" * 200])
def test_numbers_that_no_run_can_have(program: Program, number: str) -> None:
    """Zero and numbers that no database can hold are just not found."""
    make_past(program.history, [past_run(1, "SUCCESS", "08:30:00")])
    message = (
        f"Error: Run ID {number} not found in history.\n\n"
        f"Recent runs:\n  Run 1 - SUCCESS - 2025-05-23 08:30:00\n\n{ENDING}"
    )
    assert refused(program("--show-run", number)) == said(message, program)


@pytest.mark.parametrize(
    "word", ["-1", "abc", "", " ", "1.0", "1e3", "0x1", "+1", "1_0", "²", "١", "9" * 5000, "lasts"]
)
@pytest.mark.parametrize("flag", ["--show-run", "--show-log"])
def test_words_that_are_no_ids(program: Program, flag: str, word: str) -> None:
    """What is no id is an error of the command line, before any history is looked for."""
    err = refused(program(flag, word))
    step = f"To see all options:\n  cd {program.folder} && executioner.py --help\n"
    assert err == f'Error: {flag}: expected a run id or "last", got "{word}" (command line)\n{step}'


def test_an_id_with_leading_zeros(program: Program) -> None:
    """007 is run 7."""
    make_past(program.history, [past_run(7, "SUCCESS", "08:30:00")])
    assert program("--show-run", "007").out.startswith("Run Details for ID 7:\n")


@pytest.mark.parametrize("flag", ["--show-run", "--show-log"])
def test_a_missing_id(program: Program, flag: str) -> None:
    """Without an id the command line is wrong, and the screen names what is missing."""
    err = refused(program(flag))
    assert err.startswith(f"Error: {flag}: expected ")
    assert "Traceback" not in err


# --- last -----------------------------------------------------------------------------------


def newest_id(result: Result) -> str:
    """The title of the screen of a run."""
    assert (result.code, result.err) == (0, "")
    return result.out.partition("\n")[0]


@pytest.mark.parametrize(
    ("arguments", "run_id"),
    [
        (["--show-run", "last"], 251),
        (["--show-run", "LAST"], 251),
        (["-c", "data_pipeline.json", "--show-run", "last"], 249),
    ],
)
def test_last_is_the_newest_run(program: Program, arguments: list[str], run_id: int) -> None:
    """``last``, in any case, is the newest run of all, with -c the newest one of that config."""
    founding_past(program)
    assert newest_id(program(*arguments)) == f"Run Details for ID {run_id}:"


NO_RUNS = """\
No runs yet
History: {history}
To run a workflow: cd {folder} && executioner.py -c FILE
"""


@pytest.mark.parametrize("history", ["absent", "empty"])
@pytest.mark.parametrize("config", [[], ["-c", "flow.json"]])
@pytest.mark.parametrize("flag", ["--show-run", "--show-log"])
def test_last_without_any_run(program: Program, history: str, config: list[str], flag: str) -> None:
    """Where nothing was ever run that is said, on stderr, and is no error; nothing is made on disk."""
    if history == "empty":
        make_past(program.history, [])
    before = sorted(program.folder.parent.rglob("*"))
    result = program(*config, flag, "last")
    expected = said(NO_RUNS, program).replace("{folder}", str(program.folder))
    assert result == (0, "", expected)
    assert sorted(program.folder.parent.rglob("*")) == before


def test_last_of_a_config_that_never_ran(program: Program) -> None:
    """``last`` with -c of another config is an error that lists what did run."""
    founding_past(program)
    err = refused(program("-c", "nobody.json", "--show-run", "last"))
    assert err == said(ALL_RUNS, program).replace(
        "Error: Run ID 999 not found in history.", "Error: No run of nobody.json in history."
    ).replace("Recent runs:", "Recent runs, none of nobody.json:")


def test_last_of_a_config_that_was_moved(program: Program) -> None:
    """A resume of ``last`` finds no run of the new path; how to name one of the former path's is said."""
    program.config({"a": "false"})
    assert program("-c", "flow.json").code == 1
    (program.folder / "new").mkdir()
    (program.folder / "flow.json").rename(program.folder / "new/flow.json")
    result = program("-c", "new/flow.json", "--resume-from", "last")
    line = f"cd {program.folder} && executioner.py -c new/flow.json --resume-from RUN_ID --dry-run"
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith(f"\n\nIf the config was moved, to preview a resume of one of them:\n  {line}\n")
    assert paste(program, line.replace("RUN_ID", "1")).code == 0


def test_an_id_without_any_history(program: Program) -> None:
    """Where there is no history at all, an id is as unknown as elsewhere."""
    expected = f"Error: Run ID 999 not found in history.\n\nNo runs yet.\n\n{HISTORY}"
    assert refused(program("--show-run", "999")) == said(expected, program)


@pytest.mark.parametrize("wanted", ["last", "1"])
def test_a_history_that_was_named_but_is_not_there(program: Program, wanted: str) -> None:
    """An explicit --db that does not exist is an error, and is not made."""
    result = program("--db", "typo.db", "--show-run", wanted)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("Error: There is no history (")
    assert sorted(Path(program.folder).iterdir()) == []
