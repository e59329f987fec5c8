"""Jobs that outlived their runner: before a run starts they are named, ended or left, as is asked."""

from collections.abc import Callable, Mapping, Sequence
from time import time

from executioner import leftovers
from executioner.commands.context import Context, run_words
from executioner.errors import RunRefusedError
from executioner.history.lineage import Crash
from executioner.leftovers import Leftover
from executioner.model import NextStep
from executioner.render.command import Invocation
from executioner.render.error import note_text
from executioner.render.text import count, duration, local_time

_MOST_FOLLOWED = 3


def find_leftovers(crashes: Sequence[Crash], identity: Callable[[], Mapping[str, bytes]]) -> list[Leftover]:
    """What is left of some dead runs, those of the newest first."""
    if not crashes:
        return []
    database = identity()["id"]
    return [
        one
        for crash in crashes
        for one in leftovers.find(
            crash.run_id, leftovers.token(database, crash.run_id, crash.pid, crash.start_ticks), crash.jobs
        )
    ]


def clear_leftovers(
    context: Context,
    typed: Invocation,
    host: str,
    grace_s: float,
    find: Callable[[], Sequence[Leftover]],
) -> None:
    """See to it that no job of an earlier run is still running, unless that is to be ignored.

    A dry run ends nothing, but says what would be ended.

    Raises:
        RunRefusedError: some are, and nobody asked to end them; or they could not be ended.
    """
    options = context.options
    if options.ignore_leftovers:
        return
    found = find()
    if not found:
        return
    if not options.kill_leftovers:
        raise _refusal(context, typed, host, found)
    named = ", ".join(f"{one.job} of run {one.run_id} (pid {one.pid})" for one in found)
    err = context.terminal.err
    if options.dry_run:
        err.write(note_text(f"the run would first end what is left of earlier runs: {named}"))
        return
    err.write(note_text(f"ending what is left of earlier runs: {named}"))
    err.drain()
    left = leftovers.end(found, grace_s)
    if left:
        raise RunRefusedError(
            f"{count(len(left), 'job')} of an earlier run could not be ended",
            host,
            details=[_line(one, left, time()) for one in left],
            assurance="Nothing was run. Their processes may belong to another user, or wait for a device.",
        )


def _refusal(context: Context, typed: Invocation, host: str, found: Sequence[Leftover]) -> RunRefusedError:
    options = context.options
    runs = sorted({one.run_id for one in found})
    of = f"run {runs[0]}" if len(runs) == 1 else f"runs {', '.join(map(str, runs))}"
    many = len(found) > 1
    resuming = options.resume_from is not None
    follow = [
        NextStep(
            f"To wait for {one.job}, watch its log:" if many else _why_follow(resuming),
            line=typed.look("--show-log", str(one.run_id), one.job, "--follow"),
        )
        for one in found[:_MOST_FOLLOWED]
    ]
    them = "them" if many else "it"
    kill = typed.run(*run_words(options._replace(kill_leftovers=True)))
    ignore = typed.run(*run_words(options._replace(ignore_leftovers=True)))
    return RunRefusedError(
        f"{count(len(found), 'job')} of {of} {'are' if many else 'is'} still running",
        host,
        details=[_line(one, found, time()) for one in found],
        remark=(
            f"{'Their' if many else 'Its'} runner is gone, so {'their results' if many else 'its result'}"
            " will not be recorded. Nothing was run."
        ),
        steps=[
            *follow,
            NextStep(f"To end {them} and {'resume' if resuming else 'run'} now:", line=kill),
            NextStep(f"To leave {them} running and go on:", line=ignore),
        ],
    )


def _why_follow(resuming: bool) -> str:
    return f"To wait for it, watch its log, then {'resume' if resuming else 'run again'}:"


def _line(one: Leftover, shown: Sequence[Leftover], now: float) -> str:
    """``load_dwh  pid 4711  since 2025-05-23 02:13:40 (01:02:11)``, columns aligned."""
    job = max(len(other.job) for other in shown)
    pid = max(len(str(other.pid)) for other in shown)
    since = f"since {local_time(one.since)} ({duration(now - one.since)})"
    return f"{one.job:{job}}  pid {one.pid:<{pid}}  {since}"
