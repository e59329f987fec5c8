"""``--show-log``: what a job printed, also while it is still printing."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Iterator, Set

from executioner import leftovers
from executioner.commands.context import Context
from executioner.commands.guards import near_misses
from executioner.commands.leftovers import leftovers_of
from executioner.commands.past import Past, find_run, open_past
from executioner.errors import UsageError
from executioner.folders import open_regular
from executioner.history.crashes import Suspects
from executioner.history.liveness import NO_RESULT
from executioner.history.reader import History
from executioner.jsontext import dumps
from executioner.leftovers import Leftover
from executioner.model import FAILURES, JobStatus, NextStep
from executioner.record import Record
from executioner.records import Job, Run, RunDetails, mark_words
from executioner.render.command import steps_text
from executioner.render.error import note_text
from executioner.render.text import log_path, safe, safe_lines

_CHUNK = 1 << 18
_LOOK_AGAIN_S = 0.1  # for new output
_ASK_AGAIN_S = 0.5  # for the job's end
_MOST_NAMED = 5
_UNFINISHED = (JobStatus.PENDING, JobStatus.RUNNING)


class LogRequest(Record):
    """Which log is wanted: of a run, by id or ``last``, and a job, and how much of it."""

    run: str
    job: str | None = None
    follow: bool = False
    tail: int | None = None


def show_log(context: Context, request: LogRequest) -> int:
    """Write a job's log to stdout, as it is; escaped on a terminal. Returns the exit code.

    Raises:
        UsageError: there is no such job, or it has no log.
        HistoryError: the history cannot be used.
    """
    past = open_past(context, request.run)
    details = find_run(context, past, request.run) if past else None
    if past is None or details is None:
        return 0
    chosen = _chosen(past, details, request)
    run_id, job = _really_run(past.history, details.run.run_id, chosen)
    log = _Log(context, past, details.run, run_id, job)
    if request.follow and (job.status in _UNFINISHED or job.reason == NO_RESULT):
        try:
            log.follow(request.tail)
        except KeyboardInterrupt:  # the usual end of following
            context.terminal.out.drop()
            context.terminal.err.drop()
            return 130
    else:
        log.show(request.tail)
    if chosen.marked_by is not None:  # else its last line would be the last word
        context.terminal.err.write(note_text(f"{chosen.id} was {mark_words(chosen)}"))
    return 0


def _chosen(past: Past, details: RunDetails, request: LogRequest) -> Job:
    """The job that is meant: the one of that name, or without a name the one that is in question."""
    run_id = str(details.run.run_id)
    jobs = {job.id: job for job in details.jobs}
    to_see = NextStep("To see its jobs:", (*past.typed.db_words, "--show-run", run_id))
    name = request.job
    if name is not None:
        if name in jobs:
            return jobs[name]
        what = f"Run {run_id} has no job {dumps(name)}"
        raise UsageError(what, past.shown_path, details=near_misses([name], jobs), steps=[to_see])
    in_question: list[Set[JobStatus]] = [FAILURES, {JobStatus.INTERRUPTED}, {JobStatus.RUNNING}, set(JobStatus)]
    if request.follow:
        in_question.insert(0, {JobStatus.RUNNING})
    for statuses in in_question:
        found = [job for job in details.jobs if job.status in statuses]
        if len(found) == 1:
            return found[0]
        if found and statuses != set(JobStatus):
            kind = "failed" if statuses is FAILURES else found[0].status.lower()
            again = ("--follow",) if request.follow else ()
            steps = [
                NextStep(f"{job.id}:", (*past.typed.db_words, "--show-log", run_id, job.id, *again))
                for job in found[:_MOST_NAMED]
            ]
            words = ",".join(sorted({job.status.lower() for job in found}))
            all_of_them = (*past.typed.db_words, "--show-run", run_id, "--status", words)
            rest = [NextStep(f"All {len(found)}:", all_of_them)] if len(found) > _MOST_NAMED else []
            what = f"Run {run_id} has {len(found)} {kind} jobs: name one"
            raise UsageError(what, past.shown_path, steps=[*steps, *rest])
    raise UsageError(f"No job of run {run_id} failed: name the one to see", past.shown_path, steps=[to_see])


def _really_run(history: History, run_id: int, job: Job) -> tuple[int, Job]:
    """A reused job as it stands in the run in which it really ran, if that is still recorded."""
    if job.source_run_id is not None:
        source = history.job(job.source_run_id, job.id)
        if source is not None and source.log_path is not None:
            return job.source_run_id, source
    return run_id, job


class _Log:
    """The log of one job."""

    def __init__(self, context: Context, past: Past, run: Run, run_id: int, job: Job) -> None:
        self._context = context
        self._out = context.terminal.out
        self._history = past.history
        self._to_see = NextStep("To see its run:", (*past.typed.db_words, "--show-run", str(run_id)))
        self._is_taken_over = run.executioner_version is None
        self._run_id = run_id
        self._job = job
        self._typed = past.typed
        self._survivor: Leftover | None = None
        self._told = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def show(self, lines: int | None) -> None:
        """Write what is there, or its last lines."""
        fd = self._open()
        self._write(fd, lines)
        os.close(fd)
        self._finish()

    def follow(self, lines: int | None) -> None:
        """Write what is there, or its last lines, and then what comes, until the job has ended."""
        if self._job.log_path is None and self._job.status in _UNFINISHED:
            self._context.terminal.err.write(f"Waiting for {safe(self._job.id)} to start\n")
            lines = None  # all that it prints comes after this
        fd = -1
        asked_at, ask_again_s = time.monotonic(), _ASK_AGAIN_S
        while self._out.failure is None and not self._out.reader_is_gone():
            ended = self._job.status not in _UNFINISHED and not self._lives_on()  # known before the last look
            if fd < 0 and self._job.log_path is not None:
                fd = self._open()
                position = self._write(fd, lines)
            elif fd >= 0:
                position = self._copy(fd, position)
            if ended:
                if fd < 0:
                    self._open()  # to say why there is none
                self._finish()
                self._say_if_runner_is_gone()
                return
            time.sleep(_LOOK_AGAIN_S)
            if time.monotonic() - asked_at > ask_again_s:
                asked_at = time.monotonic()
                before = self._job.log_path
                self._history = self._history.renewed()
                self._job = self._history.job(self._run_id, self._job.id) or self._job
                if fd >= 0 and self._job.log_path != before:  # a retry had to begin another one
                    self._copy(fd, position)
                    os.close(fd)
                    fd, lines = -1, None
                # a large history that is older than this version takes its time
                ask_again_s = max(_ASK_AGAIN_S, 2 * (time.monotonic() - asked_at))

    def _lives_on(self) -> bool:
        """Whether the job outlived its runner, and still runs: then it is waited for, too."""
        job = self._job
        if job.status != JobStatus.INTERRUPTED or job.reason != NO_RESULT:
            return False
        if self._survivor is None:
            left = leftovers_of(self._history, Suspects(run_id=self._run_id))
            found = [one for one in left if one.job == job.id]
            self._survivor = found[0] if found else None
            if found and not self._told:
                self._told = True
                note = f"the runner of run {self._run_id} is gone, {job.id} still runs (pid {found[0].pid})"
                self._context.terminal.err.write(note_text(note))
        if self._survivor is None:
            return False
        if not leftovers.has_process(self._survivor):
            self._survivor = None  # another of its processes may still be there: looked at next time
            return self._lives_on()
        return True

    def _say_if_runner_is_gone(self) -> None:
        job = self._job
        if job.status == JobStatus.INTERRUPTED and job.reason == NO_RESULT and job.marked_by is None:
            state = f"{job.id} has ended too" if self._told else f"{job.id} does not run any more"
            note = f"the runner of run {self._run_id} is gone, {state}: its result is not known"
            err = self._context.terminal.err
            err.write(note_text(note))
            mark = self._typed.look("--mark-success", str(self._run_id), job.id)
            resume = "A resume runs it again. If its log shows that it did its work, let it count instead:"
            lines = [*steps_text([self._to_see], self._typed), resume, f"  {mark}"]
            err.write("".join(f"{line}\n" for line in lines))

    def _open(self) -> int:
        job, path = self._job, self._job.log_path
        if path is None:
            why = f": it was skipped ({job.reason})" if job.status == JobStatus.SKIPPED else ""
            if not why and self._is_taken_over:
                why = ": the earlier tool did not record where its logs are"
            elif not why and job.reason:
                why = f": {job.reason}"
            steps = [self._to_see]
            if job.status in _UNFINISHED:
                why = ": it has not started yet"
                follow = self._typed.look("--show-log", str(self._run_id), job.id, "--follow")
                steps = [NextStep("To wait for it:", line=follow)]
            raise UsageError(f"{job.id} has no log in run {self._run_id}{why}", steps=steps)
        try:
            return open_regular(path)
        except OSError as exc:
            shown = log_path(path, self._context.cwd)
            what = f"The log of {job.id} cannot be read: {exc.strerror}"
            raise UsageError(what, shown, steps=[self._to_see]) from exc

    def _write(self, fd: int, lines: int | None) -> int:
        """Write the log, or its last lines; returns the position behind that."""
        return self._copy(fd, 0 if lines is None else _start_of_last(fd, lines))

    def _finish(self) -> None:
        """Write what is left of a character that was cut."""
        self._out.write(safe_lines(self._decoder.decode(b"", final=True)))

    def _copy(self, fd: int, position: int) -> int:
        """Write what stands behind a position; returns the new one."""
        size = os.fstat(fd).st_size
        if size < position:  # the job has emptied its log
            position = 0
        while self._out.failure is None and (data := os.pread(fd, _CHUNK, position)):
            position += len(data)
            if self._out.is_terminal:
                self._out.write(safe_lines(self._decoder.decode(data)))
            else:
                self._out.write_bytes(data)
            self._out.drain()
        return position


def _start_of_last(fd: int, lines: int) -> int:
    """Where the last lines of a file begin."""
    size = end = os.fstat(fd).st_size
    if lines == 0 or size == 0:
        return size
    wanted = lines + (os.pread(fd, 1, size - 1) == b"\n")
    for start, data in _backwards(fd, end):
        at = len(data)
        while (at := data.rfind(b"\n", 0, at)) >= 0:
            wanted -= 1
            if wanted == 0:
                return start + at + 1
    return 0


def _backwards(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """A file's chunks from its end to its beginning, each with its position."""
    while end > 0:
        start = max(0, end - _CHUNK)
        yield start, os.pread(fd, end - start, start)
        end = start
