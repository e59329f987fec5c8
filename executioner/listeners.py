"""Who hears what happens in a run: the reader's screen, the run's own log, and the tally."""

from __future__ import annotations

import os
from collections.abc import Sequence

from executioner import joblog
from executioner.events import (
    AttemptStarting,
    Event,
    JobEnded,
    JobsReused,
    JobsSkipped,
    RunInterrupted,
    Warned,
)
from executioner.lean import suppress
from executioner.model import FAILURES, JobStatus
from executioner.render.error import warning_text
from executioner.render.progress import event_line, interrupted_line, output_lines
from executioner.render.text import Palette, clock_time, local_time, safe
from executioner.terminal import Stream
from executioner.verdict import JobOutcome

_TAIL_LINES = 10
_MOST_BACKLOG = 4 * 1024 * 1024
_PLAIN = Palette()
_SAID_APART = (RunInterrupted, Warned)


class Tally:
    """Counts final statuses, and keeps those that the summary tells of."""

    def __init__(self, positions: dict[str, int]) -> None:
        self._positions = positions
        self.completed = 0
        self.ended = 0
        self.outcomes: list[JobOutcome] = []

    def hear(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case JobEnded(job=job, status=status, reason=reason, log_path=log_path):
                self.ended += 1
                if status is JobStatus.SUCCESS:
                    self.completed += 1
                    return
                position = self._positions[job.id]
                self.outcomes.append(JobOutcome(position, job.id, job.description, status, reason or "", log_path))
            case JobsSkipped(_, jobs, reason):
                self.ended += len(jobs)
                self.outcomes.extend(
                    JobOutcome(self._positions[job.id], job.id, job.description, JobStatus.SKIPPED, reason, None)
                    for job in jobs
                )
            case JobsReused(_, jobs):
                self.ended += len(jobs)
                self.completed += len(jobs)
            case _:
                pass

    def count(self, *statuses: JobStatus) -> int:
        """How many jobs ended with one of some statuses other than SUCCESS."""
        return sum(outcome.status in statuses for outcome in self.outcomes)


class RunLog:
    """The run's main log: every line of progress with its date, and every warning."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, at: float, text: str) -> None:
        """Add a line."""
        self.write_all([(at, text)])

    def write_all(self, lines: Sequence[tuple[float, str]]) -> None:
        """Add lines, each with its time. A full disk loses them, never the run."""
        text = "".join([f"{local_time(at)} {line}\n" for at, line in lines])
        with suppress(OSError):
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the file. On a network file system that may be where a full disk is told of."""
        with suppress(OSError):
            os.close(self._fd)


class Reporter:
    """Tells events to the screen and to the run's log, and keeps the tally."""

    def __init__(
        self, tally: Tally, total: int, log: RunLog, out: Stream | None, err: Stream, *, verbose: bool
    ) -> None:
        self._tally = tally
        self._total = total
        self._log = log
        self._out = out  # None: nobody wants to see progress
        self._err = err
        self._verbose = verbose

    def hear(self, events: Sequence[Event]) -> bool:
        """Take in what happened, in order; whether readers have yet to take what was said."""
        logged: list[tuple[float, str]] = []
        shown: list[str] = []
        for event in events:
            self._tally.hear(event)
            if isinstance(event, _SAID_APART):
                self._say(event)
                continue
            line = event_line(event, self._tally.ended, self._total, _PLAIN)
            if line is not None:
                logged.append((event.at, line))
                if self._out is not None and (self._verbose or not isinstance(event, AttemptStarting)):
                    shown += self._shown(event, line, self._out.palette)
        if logged:
            self._log.write_all(logged)
        # to a reader that takes nothing for long, lines are lost; the run's log has them all
        if self._out is not None and self._out.backlog < _MOST_BACKLOG:
            self._out.write("".join(line + "\n" for line in shown))
        streams = (self._err,) if self._out is None else (self._out, self._err)
        left = [stream.push() for stream in streams]
        return any(left)

    def _shown(self, event: Event, plain: str, palette: Palette) -> list[str]:
        line: str | None = plain
        if palette != _PLAIN:
            line = event_line(event, self._tally.ended, self._total, palette)
        lines = [f"{clock_time(event.at)} {line}"]
        if isinstance(event, JobEnded) and event.status in FAILURES and event.attempts:
            lines += self._tail(event)
        return lines

    def _tail(self, event: JobEnded) -> list[str]:
        """The output's last lines, of a job that has failed for good."""
        last = event.attempts[-1]
        if event.log_path is None:
            return []
        start, end = last.log_start or 0, last.log_end or 0
        try:
            return output_lines(joblog.tail(event.log_path, start, end, _TAIL_LINES))
        except (OSError, EOFError):
            return []

    def _say(self, event: RunInterrupted | Warned) -> None:
        if isinstance(event, Warned):
            self._log.write(event.at, f"Warning: {safe(event.text)}")
            if self._out is not None:  # --quiet has them in the log alone
                self._err.write(warning_text(event.text, self._err.palette))
            return
        line = interrupted_line(event)
        self._log.write(event.at, f"{line} [{event.cause}]")
        self._err.write(line + "\n")
