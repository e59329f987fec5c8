"""The summaries of real runs, compared with the golden screens letter by letter but for the figures."""

import signal
from typing import Any

from harness import Program, ended
from screens import (
    FOUNDING_FAILED,
    FOUNDING_HEAD,
    FOUNDING_RESUME,
    INTERRUPTED,
    INTERRUPTED_LINE,
    MANY_FAILURES,
    figures,
    on_screen,
    summary_of,
)

STATE_HISTORY = "/home/etl/.local/state/executioner/history.db"


def pipeline(program: Program, part2: str) -> str:
    """The founding document's eight jobs; ``part2`` is the command of transform_part2."""
    needs: dict[str, list[str]] = {
        "download_data": [],
        "validate_data": ["download_data"],
        "transform_part1": ["validate_data"],
        "transform_part2": ["validate_data"],
        "merge_results": ["transform_part1", "transform_part2"],
        "generate_report": ["merge_results"],
        "send_notification": ["generate_report"],
        "cleanup": ["send_notification"],
    }
    jobs: list[dict[str, Any]] = [
        {"id": job, "command": "true", "dependencies": dependencies} for job, dependencies in needs.items()
    ]
    jobs[3] |= {"command": part2, "description": "Data transformation"}
    return program.config(jobs, name="data_pipeline.json")


def golden(text: str, program: Program, run_id: int) -> str:
    """A golden screen with this run's id and history, its figures as zeros."""
    text = text.replace(STATE_HISTORY, str(program.history))
    for marked in ("Run ID: ", "run-", "--show-run ", "--resume-from "):
        text = text.replace(f"{marked}{run_id}", f"{marked}1")
    return figures(text)


def test_many_failures_on_a_terminal(program: Program) -> None:
    """200 jobs, 37 failed for several reasons and 59 skipped: screen 2 of screens.md."""
    names = {"at": "Austria", "be": "Belgium", "bg": "Bulgaria", "ch": "Switzerland", "cz": "Czechia"}
    fail = {"command": "exit 1", "timeout": 600}
    hang = {"command": "exec sleep 60"}
    killed = {"command": "kill -9 $$", "timeout": 600}
    loads: list[dict[str, Any]] = [
        {"id": f"load_{land}", "description": f"Load {names[land]}", **what}
        for land, what in zip(names, (fail, hang, fail, fail, killed), strict=True)
    ]
    loads += [{"id": f"load_x{n}", **what} for n, what in enumerate([fail] * 27 + [hang] * 4 + [killed])]
    lands = [*names, *(f"x{n}" for n in range(32))]
    merges = [
        {"id": f"merge_{lands[n] if n < 37 else n}", "command": "true", "dependencies": [loads[n % 37]["id"]]}
        for n in range(59)
    ]
    fine = [{"id": f"ok{n}", "command": "true", "timeout": 600} for n in range(104)]
    program.config(
        [*loads, *merges, *fine],
        name="regional_load.json",
        continue_on_error=True,
        parallel=True,
        max_workers=12,
        default_timeout=1,
    )
    history = program.home / "history.db"
    screen = on_screen(program, "-c", "regional_load.json", "--db", str(history))
    expected = golden(MANY_FAILURES, program, 312).replace("/srv/etl/history.db", str(history))
    assert figures(summary_of(screen.out)) == expected
    assert screen.code == 1


def test_interrupted_on_a_terminal(program: Program) -> None:
    """Ctrl-C in the fourth job: the line that tells what is done about it, then screen 3 of screens.md."""
    config = pipeline(program, "exec sleep 60")
    screen = on_screen(program, "-c", config, keys=[("[3/8]", b"\x03")])
    assert screen.code == 130
    assert figures(INTERRUPTED_LINE) in figures(screen.out.replace("up to 00:00:10", "up to 00:00:00"))
    assert "up to 00:00:10 (Ctrl-C again kills at once)\n" in screen.out
    assert figures(summary_of(screen.out)) == golden(INTERRUPTED, program, 251)


def test_interrupted_without_a_terminal(program: Program) -> None:
    """The line about the interruption goes to stderr, the rest to stdout, the error line ends stderr."""
    config = pipeline(program, "touch started; exec sleep 60")
    with ended(program.start("-c", config)) as process:
        program.wait_for("started")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == INTERRUPTED_LINE + "Error: Run 1 INTERRUPTED: Ctrl-C (SIGINT) (data_pipeline)\n"
    expected = golden(INTERRUPTED, program, 251).replace(
        "  executioner.py", f"  cd {program.folder} && executioner.py"
    )
    expected = expected.replace("History:", f"Directory: {program.folder}\nHistory:")
    assert figures(summary_of(out)) == expected


def test_a_second_signal_kills_at_once(program: Program) -> None:
    """Who does not want to wait for a job that ignores TERM sends the signal again; both lines are on stderr."""
    program.config({"a": "trap '' TERM; touch started; while :; do sleep 60; done"})
    with ended(program.start("-c", "flow.json", "--quiet")) as process:
        program.wait_for("started")
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        process.wait(60)
    assert first == INTERRUPTED_LINE
    assert rest.splitlines()[:2] == [
        "Interrupted: killing 1 running job",
        "Error: Run 1 INTERRUPTED: Ctrl-C (SIGINT) (flow)",
    ]
    assert process.returncode == 130


def test_the_founding_documents_failure_on_a_terminal(program: Program) -> None:
    """transform_part2 fails: improvement 3 of the founding document with the skipped jobs of screens.md."""
    config = pipeline(program, "echo ERROR: Unable to process data file; exit 1")
    screen = on_screen(program, "-c", config)
    rest = f"""\
Start Time: 0000-00-00 00:00:00
End Time: 0000-00-00 00:00:00
Duration: 00:00:00
History: {program.history}
Jobs: 8 total, 3 completed, 1 failed, 4 skipped
"""
    skipped = """\
Skipped Jobs:
  - merge_results (dependency failed)
  - generate_report (dependency failed)
  - send_notification (dependency failed)
  - cleanup (dependency failed)
"""
    parts = [golden(FOUNDING_HEAD, program, 249) + rest]
    parts += [golden(FOUNDING_FAILED, program, 249), skipped, golden(FOUNDING_RESUME, program, 249)]
    assert figures(summary_of(screen.out)) == "\n".join(parts)
    assert screen.code == 1


def test_success_in_full(program: Program) -> None:
    """All that a successful run prints, on both streams, without a terminal."""
    program.config({"a": "true", "b": "true"}, application_name="nightly")
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    assert (
        figures(result.out)
        == f"""\
00:00:00 Run 1 started: nightly, 2 jobs, 1 worker
00:00:00 [1/2] ✓ a 00:00:00
00:00:00 [2/2] ✓ b 00:00:00

========================================
           EXECUTION SUMMARY
========================================
Application: nightly
Run ID: 1
Status: SUCCESS
Start Time: 0000-00-00 00:00:00
End Time: 0000-00-00 00:00:00
Duration: 00:00:00
Directory: {program.folder}
History: {program.history}
Jobs: 2 total, 2 completed, 0 failed, 0 skipped

To view this run details later:
  cd {program.folder} && executioner.py --show-run 1
"""
    )


def test_partial_in_full(program: Program) -> None:
    """A run with a job left out on request: PARTIAL, exit 0, nothing on stderr, nothing to resume."""
    program.config([{"id": "a", "command": "true"}, {"id": "b", "command": "true", "dependencies": ["a"]}])
    screen = on_screen(program, "-c", "flow.json", "--skip", "a")
    assert screen.code == 0
    assert (
        figures(screen.out)
        == f"""\
00:00:00 Run 1 started: flow, 2 jobs, 1 worker
00:00:00 [1/2] - 1 job skipped (--skip)
00:00:00 [2/2] ✓ b 00:00:00

========================================
           EXECUTION SUMMARY
========================================
Application: flow
Run ID: 1
Status: PARTIAL
Start Time: 0000-00-00 00:00:00
End Time: 0000-00-00 00:00:00
Duration: 00:00:00
History: {program.history}
Jobs: 2 total, 1 completed, 0 failed, 1 skipped

Skipped Jobs:
  - a (--skip)

To view this run details later:
  executioner.py --show-run 1
"""
    )


def test_several_reasons_of_skipped_jobs(program: Program) -> None:
    """Left out, dependent on the failed job, or cut off by the stop: each skipped job has its own reason."""
    program.config(
        [
            {"id": "asked", "command": "true"},
            {"id": "bad", "command": "exit 3", "description": "Bad thing"},
            {"id": "after_bad", "command": "true", "dependencies": ["bad"]},
            {"id": "other", "command": "true"},
        ]
    )
    result = program("-c", "flow.json", "--skip", "asked")
    assert "Jobs: 4 total, 0 completed, 1 failed, 3 skipped\n" in result.out
    assert (
        """\
Failed Jobs:
  - bad: Bad thing failed
      Reason: Exit code 3
      Log: ./logs/executioner.flow.job-bad.run-1.log

Skipped Jobs:
  - asked (--skip)
  - after_bad (dependency failed)
  - other (run stopped after bad failed)

RESUME OPTIONS:
"""
        in result.out
    )
    assert result.err == "Error: Run 1 FAILED: bad (flow)\n"


def test_many_skipped_jobs_are_grouped_by_reason(program: Program) -> None:
    """More than 10 skipped jobs: a line a reason, the first five names, and the command that lists them."""
    jobs: list[dict[str, Any]] = [{"id": "bad", "command": "exit 3"}]
    jobs += [{"id": f"dep{n}", "command": "true", "dependencies": ["bad"]} for n in range(6)]
    jobs += [{"id": f"other{n}", "command": "true"} for n in range(5)]
    jobs += [{"id": "left", "command": "true"}]
    program.config(jobs)
    screen = on_screen(program, "-c", "flow.json", "--skip", "left")
    groups = screen.out.partition("Skipped Jobs:\n")[2].partition("\n\n")[0].splitlines()
    assert sorted(groups) == sorted(
        [
            "  6 dependency failed: dep0, dep1, dep2, dep3, dep4, ...",
            "  5 run stopped after bad failed: other0, other1, other2, other3, other4",
            "  1 --skip: left",
            "      executioner.py --show-run 1 --status skipped",
        ]
    )
    assert groups[-1] == "      executioner.py --show-run 1 --status skipped"


def test_failures_of_every_kind(program: Program) -> None:
    """Exit codes, signals, time limits, checks and commands that are not there each have their reason."""
    program.config(
        [
            {"id": "code", "command": "exit 42"},
            {"id": "signal", "command": "kill -SEGV $$"},
            {"id": "limit", "command": "exec sleep 60", "timeout": 0.1},
            {"id": "missing", "command": "no-such-program-here"},
            {
                "id": "pre",
                "command": "touch ran",
                "pre_checks": [{"name": "check_file_exists", "params": {"path": "nope"}}],
            },
            {
                "id": "post",
                "command": "true",
                "post_checks": [{"name": "check_file_exists", "params": {"path": "nope"}}],
            },
        ],
        continue_on_error=True,
    )
    result = program("-c", "flow.json", env={"PATH": "/usr/bin:/bin"})
    reasons = [line.strip() for line in result.out.splitlines() if line.startswith("      Reason: ")]
    assert reasons[0] == "Reason: Exit code 42"
    assert reasons[1] == "Reason: Killed by SIGSEGV"
    assert reasons[2] == "Reason: Timed out after 0.1 s"
    assert reasons[3] == "Reason: Exit code 127 (command not found? PATH is /usr/bin:/bin)"
    assert reasons[4].startswith("Reason: Pre-check failed: check_file_exists")
    assert reasons[5].startswith("Reason: Post-check failed: check_file_exists")
    assert not (program.folder / "ran").exists()
    assert "\nJobs: 6 total, 0 completed, 6 failed, 0 skipped\n" in result.out
    assert result.err == "Error: Run 1 FAILED: code, signal, limit, missing, pre and 1 more (flow)\n"


def test_descriptions_are_cut_at_the_edge_of_a_terminal_only(program: Program) -> None:
    """A long description does not wrap on a terminal, and is whole in a file."""
    long = "An extraordinarily long description " * 5 + "END"
    program.config([{"id": "a", "command": "exit 3", "description": long}])
    screen = on_screen(program, "-c", "flow.json", width=80)
    [line] = [line for line in screen.out.splitlines() if line.startswith("  - a: ")]
    assert len(line) <= 80
    assert line.endswith("... failed")
    assert f"  - a: {long} failed\n" in program("-c", "flow.json").out
