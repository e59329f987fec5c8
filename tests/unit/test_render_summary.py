"""The summary at a run's end, as a function of what happened."""

import time

from screens import FOUNDING_FAILED, FOUNDING_HEAD, FOUNDING_RESUME, INTERRUPTED, MANY_FAILURES, assert_harmless

from executioner.model import JobStatus, RunStatus
from executioner.render.command import Invocation
from executioner.render.summary import RunReport, reason_kind, summary_text
from executioner.render.text import Palette
from executioner.verdict import JobOutcome

PLAIN = Palette()
HOME_HISTORY = "/home/etl/.local/state/executioner/history.db"


def local(text: str) -> float:
    """The instant of a local time."""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def outcome(
    position: int,
    job: str,
    status: JobStatus,
    reason: str,
    *,
    description: str = "",
    log: str | None = None,
) -> JobOutcome:
    return JobOutcome(position, job, description, status, reason, log)


def failed(position: int, job: str, reason: str = "Exit code 1", description: str = "") -> JobOutcome:
    return outcome(position, job, JobStatus.FAILED, reason, description=description, log=f"/w/logs/{job}.log")


def skipped(position: int, job: str, reason: str = "dependency failed") -> JobOutcome:
    return outcome(position, job, JobStatus.SKIPPED, reason)


def report(outcomes: list[JobOutcome], **changes: object) -> RunReport:
    values: dict[str, object] = {
        "application_name": "flow",
        "run_id": 7,
        "status": RunStatus.FAILED,
        "cause": None,
        "started_at": local("2025-05-23 02:00:01"),
        "ended_at": local("2025-05-23 02:00:03"),
        "duration_s": 2.2,
        "history_path": HOME_HISTORY,
        "total": 10 + len(outcomes),
        "completed": 10,
        "outcomes": outcomes,
        **changes,
    }
    return RunReport(**values)  # type: ignore[arg-type]


def screen(outcomes: list[JobOutcome], *, width: int | None = None, **changes: object) -> str:
    invocation = Invocation(["executioner.py"], config="flow.json")
    return summary_text(report(outcomes, **changes), invocation, PLAIN, "/w", width)


def part(text: str, title: str) -> list[str]:
    """The lines of a screen from a title to the next empty line."""
    lines = text.splitlines()
    start = lines.index(title)
    return lines[start : lines.index("", start)]


# --- the golden screens -------------------------------------------------------------------


def _log(application: str, job: str, run_id: int) -> str:
    return f"/srv/etl/jobs/logs/executioner.{application}.job-{job}.run-{run_id}.log"


def test_many_failures_to_the_letter() -> None:
    """200 jobs of which 37 failed and 59 were skipped give screen 2 of screens.md, letter by letter."""
    told = [
        ("at", "Load Austria", JobStatus.FAILED, "Exit code 1"),
        ("be", "Load Belgium", JobStatus.TIMEOUT, "Timed out after 00:30:00 (default_timeout)"),
        ("bg", "Load Bulgaria", JobStatus.FAILED, "Exit code 1"),
        ("ch", "Load Switzerland", JobStatus.FAILED, "Exit code 1"),
        ("cz", "Load Czechia", JobStatus.FAILED, "Killed by SIGKILL"),
    ]
    grouped = [
        *[(JobStatus.FAILED, "Exit code 1")] * 27,
        *[(JobStatus.TIMEOUT, "Timed out after 00:30:00 (default_timeout)")] * 4,
        (JobStatus.FAILED, "Killed by SIGKILL"),
    ]
    outcomes = [
        JobOutcome(at, f"load_{land}", text, status, reason, _log("regional_load", f"load_{land}", 312))
        for at, (land, text, status, reason) in enumerate(told)
    ]
    outcomes += [
        JobOutcome(5 + at, f"load_{at}", "Load more", status, reason, _log("regional_load", f"load_{at}", 312))
        for at, (status, reason) in enumerate(grouped)
    ]
    lands = [land for land, *_ in told] + [str(number) for number in range(54)]
    outcomes += [skipped(100 + at, f"merge_{land}") for at, land in enumerate(lands)]
    text = summary_text(
        RunReport(
            "regional_load",
            312,
            RunStatus.FAILED,
            None,
            local("2025-05-23 02:00:01"),
            local("2025-05-23 02:41:17"),
            2476.0,
            "/srv/etl/history.db",
            200,
            104,
            outcomes,
        ),
        Invocation(["executioner.py"], config="regional_load.json", db="/srv/etl/history.db"),
        PLAIN,
        "/srv/etl/jobs",
        120,
    )
    assert text == MANY_FAILURES


def test_interrupted_to_the_letter() -> None:
    """A run that Ctrl-C ended gives screen 3 of screens.md, letter by letter."""
    left = ("merge_results", "generate_report", "send_notification", "cleanup")
    outcomes = [
        outcome(
            3,
            "transform_part2",
            JobStatus.INTERRUPTED,
            "Ended by the runner after 00:00:12",
            description="Data transformation",
            log=_log("data_pipeline", "transform_part2", 251),
        ),
        *(skipped(4 + at, job, "run interrupted") for at, job in enumerate(left)),
    ]
    text = summary_text(
        RunReport(
            "data_pipeline",
            251,
            RunStatus.INTERRUPTED,
            "Ctrl-C (SIGINT)",
            local("2025-05-23 11:00:00"),
            local("2025-05-23 11:01:47"),
            107.0,
            HOME_HISTORY,
            8,
            3,
            outcomes,
        ),
        Invocation(["executioner.py"], config="data_pipeline.json"),
        PLAIN,
        "/srv/etl/jobs",
        120,
    )
    assert text == INTERRUPTED


def test_the_founding_document_to_the_letter() -> None:
    """The founding document's run 249 gives the lines of its improvement 3, the resume options last."""
    left = ("merge_results", "generate_report", "send_notification", "cleanup")
    outcomes = [
        outcome(
            3,
            "transform_part2",
            JobStatus.FAILED,
            "Exit code 1",
            description="Data transformation",
            log=_log("data_pipeline", "transform_part2", 249),
        ),
        *(skipped(4 + at, job) for at, job in enumerate(left)),
    ]
    text = summary_text(
        RunReport(
            "data_pipeline",
            249,
            RunStatus.FAILED,
            None,
            local("2025-05-23 09:45:00"),
            local("2025-05-23 09:47:15"),
            135.0,
            HOME_HISTORY,
            8,
            3,
            outcomes,
        ),
        Invocation(["executioner.py"], config="data_pipeline.json"),
        PLAIN,
        "/srv/etl/jobs",
        120,
    )
    rest = f"""\
Start Time: 2025-05-23 09:45:00
End Time: 2025-05-23 09:47:15
Duration: 00:02:15
History: {HOME_HISTORY}
Jobs: 8 total, 3 completed, 1 failed, 4 skipped
"""
    skips = """\
Skipped Jobs:
  - merge_results (dependency failed)
  - generate_report (dependency failed)
  - send_notification (dependency failed)
  - cleanup (dependency failed)
"""
    assert text == FOUNDING_HEAD + "\n".join([rest, FOUNDING_FAILED, skips, FOUNDING_RESUME])


# --- what follows from the jobs -----------------------------------------------------------


def test_success_has_no_resume_options() -> None:
    """Of a run in which all succeeded there is nothing to resume: only the way to see it later is told."""
    text = screen([], status=RunStatus.SUCCESS)
    assert (
        text
        == f"""\
========================================
           EXECUTION SUMMARY
========================================
Application: flow
Run ID: 7
Status: SUCCESS
Start Time: 2025-05-23 02:00:01
End Time: 2025-05-23 02:00:03
Duration: 00:00:02
History: {HOME_HISTORY}
Jobs: 10 total, 10 completed, 0 failed, 0 skipped

To view this run details later:
  executioner.py --show-run 7
"""
    )


def test_partial_has_no_resume_options() -> None:
    """Jobs that were left out on request are named, and not offered to be resumed."""
    text = screen([skipped(3, "c", "--skip")], status=RunStatus.PARTIAL)
    assert part(text, "Skipped Jobs:") == ["Skipped Jobs:", "  - c (--skip)"]
    assert text.endswith("  - c (--skip)\n\nTo view this run details later:\n  executioner.py --show-run 7\n")
    assert "RESUME" not in text


def test_no_retry_of_failed_jobs_is_offered_where_none_failed() -> None:
    """``--resume-failed-only`` is offered only if a job failed."""
    text = screen([skipped(3, "c", "run interrupted")], status=RunStatus.INTERRUPTED, cause="Ctrl-C (SIGINT)")
    assert "--resume-from 7\n" in text
    assert "--resume-failed-only" not in text


def test_ten_failures_are_listed_one_by_one() -> None:
    """Up to 10 failed jobs each have their own entry, nothing is grouped."""
    text = screen([failed(at, f"job{at}") for at in range(10)])
    lines = part(text, "Failed Jobs:")
    assert [line for line in lines if line.startswith("  - ")] == [f"  - job{at}: failed" for at in range(10)]
    assert "more:" not in text


def test_eleven_failures_are_grouped_after_five() -> None:
    """Of 11 failed jobs the first 5 in config order are listed, 6 are counted by their kind of reason."""
    reasons = ["Exit code 1"] * 6 + [
        "Exit code 2",
        "Exit code 2",
        "Exit code 2",
        "Killed by SIGSEGV",
        "Exit code 1",
    ]
    text = screen([failed(at, f"job{at}", reason) for at, reason in enumerate(reasons)])
    lines = part(text, "Failed Jobs:")
    assert [line for line in lines if line.startswith("  - ")] == [f"  - job{at}: failed" for at in range(5)]
    assert lines[-2:] == [
        "  ... and 6 more: 3 Exit code 2, 2 Exit code 1, 1 Killed by SIGSEGV",
        "      executioner.py --show-run 7 --status failed",
    ]


def test_the_group_command_names_the_statuses_that_there_are() -> None:
    """The command that lists all failed jobs names each status that one of them has."""
    kinds = [JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR]
    text = screen([outcome(at, f"j{at}", kinds[at % 3], "x") for at in range(12)])
    assert "      executioner.py --show-run 7 --status failed,timeout,error\n" in text


def test_reasons_are_grouped_without_their_particulars() -> None:
    """Durations, names and remarks do not keep like reasons apart."""
    kinds = {
        "Exit code 1": "Exit code 1",
        "Exit code 127 (command not found? PATH is /bin)": "Exit code 127",
        "Timed out after 00:30:00 (default_timeout)": "Timed out",
        "Timed out after 00:00:05": "Timed out",
        "Post-check failed: check_file_exists: no such file": "Post-check failed",
        "Could not be started: No such file or directory: nope": "Could not be started",
        "Killed by SIGKILL": "Killed by SIGKILL",
    }
    assert {reason: reason_kind(reason) for reason in kinds} == kinds


def test_ten_skipped_jobs_are_listed_one_by_one() -> None:
    """Up to 10 skipped jobs each have a line with the reason."""
    jobs = [skipped(at, f"job{at}", "dependency failed" if at % 2 else "--skip") for at in range(10)]
    lines = part(screen([failed(99, "x"), *jobs]), "Skipped Jobs:")
    assert lines[1:] == [f"  - job{at} ({'dependency failed' if at % 2 else '--skip'})" for at in range(10)]


def test_more_skipped_jobs_are_grouped_by_reason() -> None:
    """Over 10 skipped jobs: a line a reason with up to 5 names, in config order, then the command."""
    jobs = [
        *[skipped(at, f"a{at}", "--skip") for at in range(2)],
        *[skipped(10 + at, f"b{at}", "dependency failed") for at in range(5)],
        *[skipped(20 + at, f"c{at}", "run stopped after x failed") for at in range(6)],
    ]
    lines = part(screen([failed(99, "x"), *jobs]), "Skipped Jobs:")
    assert lines == [
        "Skipped Jobs:",
        "  2 --skip: a0, a1",
        "  5 dependency failed: b0, b1, b2, b3, b4",
        "  6 run stopped after x failed: c0, c1, c2, c3, c4, ...",
        "      executioner.py --show-run 7 --status skipped",
    ]


def test_many_interrupted_jobs_are_grouped_too() -> None:
    """Over 10 interrupted jobs: 5, then the rest counted and the command that lists them."""
    jobs = [outcome(at, f"j{at}", JobStatus.INTERRUPTED, "Ended by the runner after 00:00:12") for at in range(11)]
    lines = part(screen(jobs, status=RunStatus.INTERRUPTED, cause="Ctrl-C (SIGINT)"), "Interrupted Jobs:")
    assert lines[-2:] == [
        "  ... and 6 more: 6 Ended by the runner",
        "      executioner.py --show-run 7 --status interrupted",
    ]


def test_how_a_job_ended_is_told_after_its_description() -> None:
    """``failed``, ``timed out`` and ``was interrupted`` follow the description, or the id alone."""
    text = screen(
        [
            outcome(0, "a", JobStatus.FAILED, "Exit code 1", description="Load"),
            outcome(1, "b", JobStatus.TIMEOUT, "Timed out after 00:00:05", description="Load"),
            outcome(2, "c", JobStatus.ERROR, "Could not be started: x", description="Load"),
            outcome(3, "d", JobStatus.FAILED, "Exit code 1"),
            outcome(4, "e", JobStatus.TIMEOUT, "Timed out after 00:00:05"),
            outcome(5, "f", JobStatus.INTERRUPTED, "Ended", description="Load"),
            outcome(6, "g", JobStatus.INTERRUPTED, "Ended"),
        ],
        status=RunStatus.INTERRUPTED,
        cause="x",
    )
    assert [line[4:] for line in text.splitlines() if line.startswith("  - ")] == [
        "a: Load failed",
        "b: Load timed out",
        "c: Load failed",
        "d: failed",
        "e: timed out",
        "f: Load was interrupted",
        "g: was interrupted",
    ]


def test_a_job_without_a_log_has_no_log_line() -> None:
    """A job that never had a log is not said to have one."""
    text = screen([outcome(0, "a", JobStatus.ERROR, "Could not be started: its log cannot be written: full")])
    assert "Log:" not in text


def test_logs_elsewhere_are_shown_with_their_whole_path() -> None:
    """A log that does not lie below the current folder is named by its absolute path."""
    text = screen([outcome(0, "a", JobStatus.FAILED, "Exit code 1", log="/var/log/flow/a.log")])
    assert "      Log: /var/log/flow/a.log\n" in text


def test_descriptions_are_cut_on_terminals_only() -> None:
    """A long description ends in ``...`` at a terminal's edge; in a file it is whole."""
    long = "word " * 40 + "end"
    narrow = screen([failed(0, "a", description=long)], width=60)
    [line] = [line for line in narrow.splitlines() if line.startswith("  - a")]
    assert len(line) <= 60
    assert line.startswith("  - a: word word")
    assert line.endswith("... failed")
    assert f"  - a: {long} failed\n" in screen([failed(0, "a", description=long)], width=None)


def test_ids_are_never_shortened() -> None:
    """However narrow the terminal, an id is whole: it is what one types next."""
    job = "x" * 128
    assert f"  - {job}: " in screen([failed(0, job, description="Something long to tell")], width=40)


def test_the_directory_stands_in_the_header_where_it_is_unknown() -> None:
    """With a directory given, the header names it and every command begins with ``cd``."""
    invocation = Invocation(["executioner.py"], directory="/srv/my jobs", config="flow.json")
    text = summary_text(report([failed(0, "a")]), invocation, PLAIN, "/srv/my jobs", None)
    assert "Duration: 00:00:02\nDirectory: /srv/my jobs\nHistory: " in text
    commands = [line for line in text.splitlines() if "executioner.py" in line]
    assert commands == [
        "  cd '/srv/my jobs' && executioner.py -c flow.json --resume-from 7",
        "  cd '/srv/my jobs' && executioner.py -c flow.json --resume-from 7 --resume-failed-only",
        "  cd '/srv/my jobs' && executioner.py --show-run 7",
    ]


def test_the_flags_of_the_run_stand_in_the_commands_that_repeat_it() -> None:
    """``--env`` and ``--workers`` are in the commands that resume, not in those that look."""
    invocation = Invocation(["executioner.py"], config="f.json", flags="--env 'A=1 2' --workers 3")
    text = summary_text(report([failed(0, "a")]), invocation, PLAIN, "/w", None)
    assert "  executioner.py -c f.json --env 'A=1 2' --workers 3 --resume-from 7\n" in text
    assert "  executioner.py --show-run 7\n" in text


def test_nothing_on_the_screen_is_obeyed_by_a_terminal() -> None:
    """Control and bidi characters of names, descriptions, reasons and paths are shown escaped."""
    evil = "a\x1b[31m\x07\x9b\u202e\u2028\u2066\x85\r\n\udcff\ufeff\x7fb"
    text = summary_text(
        report(
            [
                outcome(0, "a", JobStatus.FAILED, evil, description=evil, log=f"/w/{evil}"),
                skipped(1, "b", f"run stopped after {evil}"),
            ],
            application_name=evil,
            history_path=f"/{evil}",
        ),
        Invocation([f"/opt/{evil}"], directory=f"/{evil}", config=evil, db=evil),
        PLAIN,
        "/w",
        None,
    )
    assert_harmless(text)


def test_colours_change_nothing_but_colours() -> None:
    """The coloured screen is the plain one plus colour codes, and the status has one."""
    invocation = Invocation(["executioner.py"], config="flow.json")
    coloured = summary_text(report([failed(0, "a")]), invocation, Palette(colour=True), "/w", None)
    assert "Status: \x1b[31mFAILED\x1b[0m\n" in coloured
    assert coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == screen([failed(0, "a")])
