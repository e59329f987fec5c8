"""One attempt at a job: its log, its environment, and its phases.

An attempt has up to three phases, each a process of its own: pre-checks, command,
post-checks. The timeout covers all three.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from resource import RUSAGE_SELF, getrusage
from time import monotonic, time

from executioner import joblog
from executioner.enumeration import StrEnum
from executioner.errors import ExecutionerError
from executioner.family import Family, Solitude
from executioner.folders import file_id, open_regular
from executioner.model import Attempt, Check, Job, JobStatus
from executioner.process import Launcher, is_plain
from executioner.record import Record
from executioner.render.text import storable
from executioner.verdict import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.checks import CheckRunner
    from executioner.ending import Ending

_FIRST_SIGN_OF_LIFE_S = 10.0
_GONE = "its folder is gone"
_LONGEST_PATH = 400
_LONGEST_REASON = 1200  # bytes, in the JSON within the JSON of a spool file
_ESCAPED = 14  # of that, what a character takes at most: an emoji
_LONGEST_FIRST_LINE = 256  # that Linux looks at: BINPRM_BUF_SIZE


class Conditions(Record):
    """What all jobs of a run have in common."""

    run_id: int
    token: str  # marks the run's processes
    log_dir: str
    logs_only_in: str | None  # if that is gone the log folder is not made again: it would be made with it
    log_stem: str  # executioner.<app>
    environment: Callable[[Job], dict[bytes, bytes]]
    words: Callable[[Job, Mapping[bytes, bytes]], list[bytes]] | None  # None: a shell runs commands


class Progress:
    """What a job's earlier attempts leave to the later ones."""

    __slots__ = ("attempts", "cpu_percent", "ended_mono", "log_id", "log_path", "memory_mb", "started_mono")

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.started_mono: float | None = None  # the first start
        self.ended_mono = 0.0  # the last end
        self.log_path: str | None = None
        self.log_id: tuple[int, int] | None = None  # of a job that may be tried again
        self.memory_mb: float | None = None  # of the last attempt, as cpu_percent
        self.cpu_percent: float | None = None


class Phase(StrEnum):
    """What an attempt is at."""

    PRE_CHECKS = "pre-checks"
    COMMAND = "command"
    POST_CHECKS = "post-checks"


class Running:
    """One attempt on its way."""

    __slots__ = (
        "alone_since",
        "announce_at",
        "check_fd",
        "cpu_s",
        "deadline",
        "ending",
        "environment",
        "frame",
        "job",
        "number",
        "own_peak_kib",
        "peak_kib",
        "phase",
        "pid",
        "position",
        "started_at",
        "started_mono",
    )

    def __init__(self, position: int, job: Job, number: int, frame: joblog.Frame) -> None:
        self.position = position
        self.job = job
        self.number = number
        self.frame = frame
        self.phase = Phase.COMMAND
        self.pid = 0
        self.environment: dict[bytes, bytes] = {}
        self.check_fd = -1
        self.cpu_s = 0.0
        self.peak_kib = self.own_peak_kib = 0
        self.started_at = self.started_mono = 0.0
        self.deadline = self.announce_at = float("inf")
        self.alone_since: Solitude | None = None
        self.ending: Ending | None = None

    def wake_at(self) -> float:
        """When it next wants to be looked at."""
        return self.ending.wake_at() if self.ending else min(self.deadline, self.announce_at)

    def checks(self) -> Sequence[Check]:
        """The checks of its phase."""
        return self.job.pre_checks if self.phase is Phase.PRE_CHECKS else self.job.post_checks

    def memory_mb(self) -> float | None:
        """The peak of its largest process; None where it lies below what it inherited from us."""
        return self.peak_kib / 1024 if self.peak_kib else None


def _own_peak_kib() -> int:
    return getrusage(RUSAGE_SELF).ru_maxrss


def _resident_peak_kib() -> int:
    """Our own peak without what we inherited from a larger parent: that is what a child inherits from us.

    proc(5), VmHWM. 40 times slower than getrusage(2), so used only where the two differ.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            status = file.read()
    except OSError:
        return _own_peak_kib()
    return int(status.partition(b"VmHWM:")[2].split(None, 1)[0])


class CannotStartError(Exception):
    """An attempt's process could not be started; the text says why, ``errno`` in the system's terms."""

    def __init__(self, why: str, errno: int | None = None) -> None:
        super().__init__(why)
        self.errno = errno


class Starter:
    """Opens logs and starts the processes of attempts."""

    def __init__(self, conditions: Conditions, launcher: Launcher, checks: CheckRunner | None) -> None:
        self._conditions = conditions
        self._launcher = launcher
        self._checks = checks
        self._own_peak_kib = _own_peak_kib if _own_peak_kib() <= _resident_peak_kib() else _resident_peak_kib

    def open(self, position: int, job: Job, progress: Progress) -> Running:
        """Make the next attempt ready: its log is open and has its header.

        Raises:
            OSError: the log cannot be written.
        """
        conditions = self._conditions
        number, of = len(progress.attempts) + 1, job.retry.max_retries + 1
        stem = f"{conditions.log_stem}.job-{job.id}.run-{conditions.run_id}"
        try:
            if progress.log_path is None:
                fd, path = joblog.create(conditions.log_dir, stem, conditions.logs_only_in)
            else:
                known = progress.log_path, progress.log_id
                fd, path = joblog.reopen(conditions.log_dir, stem, *known, conditions.logs_only_in)
        except FileNotFoundError as exc:
            if conditions.logs_only_in == job.working_dir and not os.path.isdir(job.working_dir):
                raise FileNotFoundError(exc.errno, _GONE, job.working_dir) from exc
            raise
        anew = path != progress.log_path
        if of > 1 and anew:
            progress.log_id = file_id(fd)
        attempt = f", attempt {number} of {of}" if of > 1 else ""
        try:
            frame = joblog.begin(fd, path, f"{job.id}, run {conditions.run_id}{attempt}", anew=anew)
        except OSError:
            os.close(fd)
            raise
        progress.log_path = path
        return Running(position, job, number, frame)

    def start(self, running: Running, progress: Progress) -> None:
        """Start an attempt's first phase. RUNNING is committed.

        Raises:
            CannotStartError: no process could be started.
        """
        job = running.job
        running.started_at, running.started_mono = time(), monotonic()
        if not progress.attempts:
            progress.started_mono = running.started_mono
        if job.timeout_s is not None:
            running.deadline = running.started_mono + job.timeout_s
        running.announce_at = running.started_mono + _FIRST_SIGN_OF_LIFE_S
        try:
            running.environment = self._environment(running)
        except ExecutionerError as exc:
            raise CannotStartError(exc.what) from exc
        self.enter(running, Phase.PRE_CHECKS if job.pre_checks else Phase.COMMAND)

    def enter(self, running: Running, phase: Phase) -> None:
        """Start a phase; ``running.pid`` is then its process.

        Raises:
            CannotStartError: no process could be started.
        """
        running.phase = phase
        job = running.job
        try:
            os.chdir(job.working_dir)
        except OSError as exc:
            why = f"{_GONE}: {job.working_dir}"
            if not isinstance(exc, FileNotFoundError):
                why = f"its folder {job.working_dir} cannot be used: {exc.strerror}"
            raise CannotStartError(why, exc.errno) from exc
        try:
            if phase is Phase.COMMAND:
                running.pid = self._spawn(running)
            else:
                assert self._checks is not None
                running.pid, running.check_fd = self._checks.start(
                    running.checks(), running.environment, running.frame.fd
                )
        except OSError as exc:
            why = f"{exc.strerror}: {exc.filename}" if exc.filename else str(exc.strerror)
            raise CannotStartError(why, exc.errno) from exc
        running.own_peak_kib = self._own_peak_kib()  # what it began with may be a page more than ours before

    def _spawn(self, running: Running) -> int:
        words, fd = self._conditions.words, running.frame.fd
        if words is None:
            return self._launcher.spawn_shell(running.job.command, running.environment, fd)
        try:
            program = words(running.job, running.environment)
        except ExecutionerError as exc:
            raise CannotStartError(exc.what) from exc
        try:
            return self._launcher.spawn_words(program, running.environment, fd)
        except OSError as exc:
            # the word as written: what was filled in may be a secret
            raise CannotStartError(f"{exc.strerror}: {running.job.command.split()[0]}", exc.errno) from exc

    def verdict(self, running: Running, exit_code: int) -> str | None:
        """What the end of a phase of checks means: None if all hold."""
        assert self._checks is not None
        fd, running.check_fd = running.check_fd, -1
        return self._checks.verdict(running.checks(), fd, exit_code)

    def under_way(self, running: Running) -> str:
        """The check that an attempt is at, ``post-check rows(at_least=1)``; nothing for its command."""
        if running.phase is Phase.COMMAND or self._checks is None:
            return ""
        kind = "pre-check" if running.phase is Phase.PRE_CHECKS else "post-check"
        return f"{kind} {self._checks.under_way(running.checks(), running.check_fd)}".rstrip()

    def _environment(self, running: Running) -> dict[bytes, bytes]:
        job = running.job
        environment = self._conditions.environment(job)
        environment[b"EXECUTIONER_JOB_ID"] = job.id.encode()
        environment[b"EXECUTIONER_ATTEMPT"] = b"%d" % running.number
        outer = environment.get(b"EXECUTIONER_TRACE")
        mark = self._mark(running).encode()
        environment[b"EXECUTIONER_TRACE"] = outer + b" " + mark if outer else mark
        environment[b"PWD"] = os.fsencode(job.working_dir)
        return environment

    def _mark(self, running: Running) -> str:
        return f"{self._conditions.token}/{running.job.id}/{running.number}"

    def family(self, running: Running) -> Family:
        """All processes of an attempt."""
        log = file_id(running.frame.fd)
        return Family(running.pid, self._mark(running), running.alone_since, log)


def log_fault(exc: OSError, job: Job) -> str:
    """Why a job's log cannot be opened, in words."""
    if exc.filename == job.working_dir:
        return f"{exc.strerror}: {job.working_dir}"
    place = f": {exc.filename}" if exc.filename else ""
    return f"its log cannot be written: {exc.strerror}{place}"


def kept(reason: str) -> str:
    """A reason as it is kept: what no history can hold is shown, and of a long one how it begins and ends."""
    reason = storable(reason)
    if len(reason) * _ESCAPED <= _LONGEST_REASON or sum(map(_size, reason)) <= _LONGEST_REASON:
        return reason
    begins, ends = _beginning(reason, _LONGEST_REASON * 2 // 3), _beginning(reason[::-1], _LONGEST_REASON // 3)
    return f"{begins}...{ends[::-1]}"


def _beginning(text: str, size: int) -> str:
    """As much of a text as has no more than so many bytes."""
    for at, character in enumerate(text):
        size -= _size(character)
        if size < 0:
            return text[:at]
    return text


def _size(character: str) -> int:
    """The bytes of a character in the JSON within the JSON of a spool file, or more."""
    if character.isascii() and character.isprintable() and character not in '"\\':
        return 1
    return _ESCAPED // 2 if character < "\U00010000" else _ESCAPED


def exit_reason(exit_code: int, job: Job, environment: Mapping[bytes, bytes]) -> str:
    """Why a job's command with this exit code, which is not 0, has failed; negative: by a signal."""
    if exit_code < 0:
        return f"Killed by {signal_name(-exit_code)}"
    if exit_code == 127:
        name = job.command.split()[0].rstrip(";")  # as written: what is filled in may be a secret
        if "/" in name and "=" not in name and is_plain(name):
            if not os.path.exists(os.path.join(job.working_dir, name)):
                return f"Exit code 127 (command not found? {name})"
            missing = _missing_interpreter(name, job.working_dir)
            if missing is not None:
                return f"Exit code 127 (the first line of {name} names a program that is not there: {missing})"
        path = os.fsdecode(environment.get(b"PATH", b"")) or "not set"
        shown = path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..."
        return f"Exit code 127 (command not found? PATH is {shown})"
    return f"Exit code {exit_code}"


def _missing_interpreter(name: str, working_dir: str) -> str | None:
    """What a script is to be run by, if that is not there: the line end of Windows is part of the name."""
    try:
        with open(open_regular(os.path.join(working_dir, name)), "rb") as file:
            first = file.readline(_LONGEST_FIRST_LINE)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].partition(b"\n")[0].partition(b"\0")[0].replace(b"\t", b" ").split(b" ")
    interpreter = next(filter(None, words), None)
    if interpreter is None or os.path.exists(os.path.join(os.fsencode(working_dir), interpreter)):
        return None
    return os.fsdecode(interpreter)


def close(
    running: Running, status: JobStatus, reason: str | None, exit_code: int | None
) -> tuple[Attempt, str | None]:
    """Write an attempt's footer; returns what is kept of it, and what is wrong with its log."""
    if running.check_fd >= 0:
        os.close(running.check_fd)
        running.check_fd = -1
    elapsed = monotonic() - running.started_mono
    section = joblog.end(running.frame, f"{status}: {reason}" if reason else status, elapsed)
    if reason and section.fault is not None:  # whoever looks for the cause must know that it may not be there
        reason += f" (the end of its output may be missing: {section.fault})"
    attempt = Attempt(
        running.number,
        status,
        reason,
        exit_code,
        running.started_at,
        time(),
        elapsed,
        section.start,
        section.end,
    )
    if not section.intact:
        return attempt, (
            f"{running.job.id} cut off its own log ({running.frame.path}): it opened /dev/stdout or /dev/stderr"
            " anew, as `tee /dev/stderr` does. Use `tee -a /dev/stderr` or `>&2`."
        )
    if section.fault is None:
        return attempt, None
    return attempt, f"the end of {running.job.id}'s output may be missing: {section.fault} ({running.frame.path})"
