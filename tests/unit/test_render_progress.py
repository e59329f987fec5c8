"""The lines that tell how a run gets on."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from screens import INTERRUPTED_LINE, PROGRESS, assert_harmless

from executioner import joblog
from executioner.events import (
    AttemptFailed,
    AttemptStarting,
    Event,
    JobEnded,
    JobsSkipped,
    JobStillRunning,
    RunInterrupted,
    Warned,
)
from executioner.listeners import Reporter, RunLog, Tally
from executioner.model import Attempt, Job, JobStatus, RetryPolicy
from executioner.render.progress import event_line, interrupted_line, output_lines, started_line
from executioner.render.text import Palette, clock_time
from executioner.terminal import Stream

PLAIN = Palette()
NAMES = (
    *("download_data", "validate_data", "transform_part1", "transform_part2"),
    *("merge_results", "generate_report", "send_notification", "cleanup"),
)


def a_job(name: str, command: str = "true") -> Job:
    return Job(name, command, "", (), 10800.0, True, {}, "/w", RetryPolicy(), (), ())


JOBS = {name: a_job(name) for name in NAMES}


def at(text: str) -> float:
    """An instant of the golden day, by its local time."""
    return time.mktime(time.strptime(f"2025-05-23 {text}", "%Y-%m-%d %H:%M:%S"))


def attempt(number: int, start: int = 0, end: int = 0, reason: str = "Exit code 1") -> Attempt:
    return Attempt(number, JobStatus.FAILED, reason, 1, 0.0, 0.0, 30.0, start, end)


def ended(
    name: str,
    when: str = "09:45:00",
    elapsed: float | None = 30.0,
    status: JobStatus = JobStatus.SUCCESS,
    reason: str | None = None,
    attempts: tuple[Attempt, ...] = (),
    log: str | None = None,
) -> JobEnded:
    job = JOBS.get(name) or a_job(name)
    return JobEnded(
        at=at(when),
        job=job,
        status=status,
        reason=reason,
        exit_code=None,
        duration_s=elapsed,
        attempts=attempts,
        memory_mb=None,
        cpu_percent=None,
        log_path=log,
    )


class Screen:
    """A reporter whose streams are files, to be read when it is done."""

    def __init__(self, folder: Path, *, verbose: bool = False, palette: Palette = PLAIN) -> None:
        self._folder = folder
        self._files = {name: (folder / name).open("w+b", buffering=0) for name in ("out", "err", "log")}
        out, err = (Stream(self._files[name].fileno(), "utf-8", palette, False) for name in ("out", "err"))
        self.out = out
        self.tally = Tally({name: position for position, name in enumerate(NAMES)})
        log = RunLog(os.dup(self._files["log"].fileno()))
        self._log = log
        self.reporter = Reporter(self.tally, len(NAMES), log, out, err, verbose=verbose)

    def text(self, name: str) -> str:
        return (self._folder / name).read_text()

    def close(self) -> None:
        self._log.close()
        for file in self._files.values():
            file.close()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    with contextlib.closing(Screen(tmp_path)) as one:
        yield one


def test_plain_progress_to_the_letter(tmp_path: Path, screen: Screen) -> None:
    """The founding document's run, event by event, gives screen 10 of screens.md, letter by letter."""
    log = tmp_path / "part2.log"
    output = b"ERROR: Unable to process data file\nFileNotFoundError: /data/part2_input.csv\n"
    log.write_bytes(b"=== first attempt ===\nold news\n" + output)
    part2 = JOBS["transform_part2"]
    last = attempt(2, len(log.read_bytes()) - len(output), len(log.read_bytes()))
    screen.out.write(f"{clock_time(at('09:45:00'))} {started_line(249, 'data_pipeline', 8, 2)}\n")
    events: list[Event] = [
        AttemptStarting(at("09:45:00"), JOBS["download_data"], 1, 1, "/l"),
        JobStillRunning(at("09:45:10"), JOBS["download_data"], 1, 1, 10.0),
        ended("download_data", "09:45:30", 30.0),
        JobStillRunning(at("09:45:40"), JOBS["validate_data"], 1, 1, 10.0),
        ended("validate_data", "09:46:15", 45.0),
        JobStillRunning(at("09:46:25"), JOBS["transform_part1"], 1, 1, 10.0),
        JobStillRunning(at("09:46:25"), part2, 1, 2, 10.0),
        ended("transform_part1", "09:46:35", 20.0),
        AttemptFailed(at("09:46:45"), part2, (attempt(1),), 2, 30.0, 30.0),
        JobStillRunning(at("09:47:25"), part2, 2, 2, 10.0),
        ended("transform_part2", "09:47:45", 90.0, JobStatus.FAILED, "Exit code 1", (attempt(1), last), str(log)),
        JobsSkipped(at("09:47:45"), [JOBS[name] for name in NAMES[4:]], "dependency failed"),
    ]
    for event in events:
        screen.reporter.hear([event])
    assert screen.text("out") == PROGRESS
    assert screen.text("err") == ""


def test_events_of_one_tick_are_told_as_one_by_one(tmp_path: Path) -> None:
    """How the scheduler bundles events makes no difference to the lines and their counts."""
    events = [ended(name) for name in NAMES]
    shown = []
    for bundles in ([events], [[event] for event in events]):
        folder = tmp_path / str(len(bundles))
        folder.mkdir()
        with contextlib.closing(Screen(folder)) as screen:
            for bundle in bundles:
                screen.reporter.hear(bundle)
            shown.append(screen.text("out").splitlines())
    assert shown[0] == shown[1] == [f"09:45:00 [{n}/8] ✓ {name} 00:00:30" for n, name in enumerate(NAMES, 1)]


def test_the_main_log_has_every_line_with_its_date(screen: Screen) -> None:
    """The run's log holds date and time, every start with its command, warnings and interruptions."""
    job = JOBS["download_data"]
    for event in (
        AttemptStarting(at("09:45:00"), job, 1, 2, "/l"),
        AttemptFailed(at("09:45:01"), job, (attempt(1),), 2, 1.0, 30.0),
        AttemptStarting(at("09:45:31"), job, 2, 2, "/l"),
        Warned(at("09:45:32"), "odd"),
        RunInterrupted(at("09:45:33"), "Terminated (SIGTERM)", 1, 10.0, "SIGTERM"),
        ended("download_data", "09:45:34"),
    ):
        screen.reporter.hear([event])
    assert screen.text("log") == (
        "2025-05-23 09:45:00 [0/8] > download_data started: true\n"
        "2025-05-23 09:45:01 [0/8] ✗ download_data 00:00:01 Exit code 1, attempt 1 of 2, next in 00:00:30\n"
        "2025-05-23 09:45:31 [0/8] > download_data started, attempt 2 of 2: true\n"
        "2025-05-23 09:45:32 Warning: odd\n"
        "2025-05-23 09:45:33 Interrupted: ending 1 running job, up to 00:00:10 (SIGTERM again kills at once)"
        " [Terminated (SIGTERM)]\n"
        "2025-05-23 09:45:34 [1/8] ✓ download_data 00:00:30\n"
    )


def test_lines_of_one_tick_keep_their_own_times_in_the_main_log(screen: Screen) -> None:
    """Events told together (the history was busy, say) are logged with the time of each, as on the screen."""
    events = [ended("download_data", "09:45:34"), ended("validate_data", "09:45:50")]
    screen.reporter.hear(events)
    assert screen.text("out") == (
        "09:45:34 [1/8] ✓ download_data 00:00:30\n09:45:50 [2/8] ✓ validate_data 00:00:30\n"
    )
    assert screen.text("log") == (
        "2025-05-23 09:45:34 [1/8] ✓ download_data 00:00:30\n2025-05-23 09:45:50 [2/8] ✓ validate_data 00:00:30\n"
    )


def test_warnings_and_interruptions_go_to_the_error_stream(screen: Screen) -> None:
    """What the user should know stands in stderr, progress in stdout."""
    screen.reporter.hear(
        [Warned(at("09:45:32"), "odd"), RunInterrupted(at("09:45:33"), "Ctrl-C (SIGINT)", 1, 10.0, "Ctrl-C")]
    )
    assert screen.text("err") == "Warning: odd\n" + INTERRUPTED_LINE
    assert screen.text("out") == ""


def test_nobody_who_wants_progress_gets_none(tmp_path: Path, screen: Screen) -> None:
    """Without an output stream the main log is still complete, and the tally is kept."""
    log = RunLog(os.open(tmp_path / "quiet", os.O_WRONLY | os.O_CREAT))
    reporter = Reporter(screen.tally, 8, log, None, screen.out, verbose=False)
    reporter.hear([ended("download_data")])
    log.close()
    assert screen.text("out") == ""
    assert (tmp_path / "quiet").read_text() == "2025-05-23 09:45:00 [1/8] ✓ download_data 00:00:30\n"
    assert screen.tally.completed == 1


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ended("download_data"), "[3/8] ✓ download_data 00:00:30"),
        (
            ended("download_data", status=JobStatus.TIMEOUT, reason="Timed out after 00:00:30"),
            "[3/8] ✗ download_data 00:00:30 Timed out after 00:00:30",
        ),
        (
            ended("download_data", status=JobStatus.ERROR, reason="Could not be started: x", elapsed=None),
            "[3/8] ✗ download_data Could not be started: x",
        ),
        (
            ended("download_data", status=JobStatus.INTERRUPTED, reason="Ended by the runner after 00:00:12"),
            "[3/8] ✗ download_data 00:00:30 Ended by the runner after 00:00:12",
        ),
        (JobsSkipped(0.0, [JOBS["cleanup"]], "--skip"), "[3/8] - 1 job skipped (--skip)"),
        (
            JobsSkipped(0.0, [JOBS["cleanup"]] * 2, "run stopped after x failed"),
            "[3/8] - 2 jobs skipped (run stopped after x failed)",
        ),
        (JobStillRunning(0.0, JOBS["cleanup"], 1, 3, 310.0), "[3/8] > cleanup running 00:05:10"),
        (
            JobStillRunning(0.0, JOBS["cleanup"], 2, 3, 10.0),
            "[3/8] > cleanup running 00:00:10, attempt 2 of 3",
        ),
        (Warned(0.0, "x"), None),
    ],
)
def test_the_line_of_an_event(event: Event, line: str | None) -> None:
    """Each kind of event has its line; a warning is told apart."""
    assert event_line(event, 3, 8, PLAIN) == line


def test_starts_are_told_with_their_commands() -> None:
    """A start has a line, with the command and, of a retry, its number."""
    job = a_job("x", "echo 'a b'")
    assert event_line(AttemptStarting(0.0, job, 1, 3, "/l"), 0, 8, PLAIN) == ("[0/8] > x started: echo 'a b'")
    assert event_line(AttemptStarting(0.0, job, 2, 3, "/l"), 0, 8, PLAIN) == (
        "[0/8] > x started, attempt 2 of 3: echo 'a b'"
    )


def test_what_the_runner_does_about_a_signal() -> None:
    """With jobs running, without any, and at once."""
    two = RunInterrupted(0.0, "Hung up (SIGHUP)", 2, 5.0, "SIGHUP")
    assert (
        interrupted_line(two) == "Interrupted: ending 2 running jobs, up to 00:00:05 (SIGHUP again kills at once)"
    )
    assert interrupted_line(two._replace(grace_s=0.0)) == "Interrupted: killing 2 running jobs"
    assert interrupted_line(two._replace(running=0)) == "Interrupted: no job was running"


def test_nothing_that_a_terminal_obeys_comes_from_a_job() -> None:
    """Commands, reasons, names and output lines are escaped."""
    evil = "\x1b[2J\x07\x9b\u202e\u2028\r"
    job = a_job("x", f"printf {evil}")
    assert_harmless(event_line(AttemptStarting(0.0, job, 1, 1, "/l"), 0, 1, PLAIN) or "")
    assert_harmless(event_line(ended("x", status=JobStatus.FAILED, reason=evil), 1, 1, PLAIN) or "")
    assert_harmless(started_line(1, evil, 1, 1))
    assert_harmless("\n".join(output_lines([evil, evil])))


def test_output_lines_are_set_off() -> None:
    """A job's own lines stand behind a bar below the column of names."""
    assert output_lines(["one", "", "two"]) == ["         | one", "         | ", "         | two"]


def test_the_tail_is_ten_lines_of_the_last_attempt(tmp_path: Path) -> None:
    """At most the last 10 lines of the last attempt are shown, however long the log."""
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(1000)))
    size = log.stat().st_size
    assert joblog.tail(str(log), 0, size, 10) == [f"line {number}" for number in range(990, 1000)]
    assert joblog.tail(str(log), size, size, 10) == []
    with pytest.raises(FileNotFoundError):
        joblog.tail(str(tmp_path / "gone"), 0, 10, 10)
    with pytest.raises(EOFError):
        joblog.tail(str(log), size + 1, size + 2, 10)
