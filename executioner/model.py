"""The records that every layer shares: what a config says, what a run is made of.

Frozen, without behaviour beyond small derived facts, and free of heavy imports:
``dataclasses`` alone would cost more start-up time than the rest of this module.
Times are seconds: ``*_s`` is a duration, ``*_at`` an instant of the wall clock
(Unix time).
"""

from __future__ import annotations

from collections.abc import Mapping

from executioner.enumeration import StrEnum
from executioner.record import Record


class JobStatus(StrEnum):
    """What became of one job in one run."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    ERROR = "ERROR"
    INTERRUPTED = "INTERRUPTED"
    SKIPPED = "SKIPPED"


class RunStatus(StrEnum):
    """What became of a run."""

    RUNNING = "RUNNING"
    INTERRUPTED = "INTERRUPTED"
    FAILED = "FAILED"
    PARTIAL = "PARTIAL"
    SUCCESS = "SUCCESS"


#: The statuses that a summary counts as failed, and that a retry may react to.
FAILURES = frozenset({JobStatus.FAILED, JobStatus.TIMEOUT, JobStatus.ERROR})


class RetryPolicy(Record):
    """When and how a failed attempt is followed by another.

    The wait before retry ``n`` (0 for the first) is
    ``delay_s * backoff**n * (1 ± jitter)``. ``on_exit_codes`` None means any code.
    ``max_time_s`` counts from the job's first start; None means no such limit.
    """

    max_retries: int = 0
    delay_s: float = 30.0
    backoff: float = 1.5
    jitter: float = 0.1
    max_time_s: float | None = 1800.0
    on_status: frozenset[JobStatus] = FAILURES
    on_exit_codes: frozenset[int] | None = None


class Check(Record):
    """A named condition that must hold before a command starts or after it ended."""

    name: str
    params: Mapping[str, object]


class Plugin(Record):
    """A Python file that adds checks. ``path`` is absolute."""

    name: str
    path: str


class Job(Record):
    """One job as the config describes it, defaults filled in, paths absolute."""

    id: str
    command: str
    description: str
    dependencies: tuple[str, ...]
    timeout_s: float | None
    timeout_is_default: bool
    env: Mapping[str, str]
    working_dir: str
    retry: RetryPolicy
    pre_checks: tuple[Check, ...]
    post_checks: tuple[Check, ...]


class Notification(Record):
    """Who is told by mail about a run's end, and through which server."""

    addresses: tuple[str, ...] = ()
    on_success: bool = False
    on_failure: bool = True
    server: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = None
    tls: str = "starttls"


class Workflow(Record):
    """What one config file describes. All paths are absolute."""

    name: str
    config_path: str
    config_hash: str
    working_dir: str
    log_dir: str
    history_db: str | None
    parallel: bool
    max_workers: int | None
    max_active_runs: int | None
    continue_on_error: bool
    kill_grace_s: float
    env: Mapping[str, str]
    inherit_shell_env: bool | str | tuple[str, ...]
    allow_shell: bool
    command_whitelist: frozenset[str] | None
    plugins: tuple[Plugin, ...]
    notification: Notification
    jobs: tuple[Job, ...]


class Attempt(Record):
    """One start of a job's command, as it ended. ``log_*`` are byte offsets."""

    number: int
    status: JobStatus
    reason: str | None
    exit_code: int | None
    started_at: float
    ended_at: float
    duration_s: float
    log_start: int | None
    log_end: int | None


class NextStep(Record):
    """A command to type next: why, the program's arguments or the whole line, and a file for its output."""

    why: str
    args: tuple[str, ...] = ()
    line: str | None = None
    into: str | None = None
