"""Jobs that outlived their runner: before a run starts they are named, ended or left, as is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from time import time

from executioner import leftovers
from executioner.commands.context import Context, run_words, user_name
from executioner.errors import RunRefusedError
from executioner.family import process_table, token
from executioner.history.crashes import Crash, Suspects
from executioner.history.lock import this_process
from executioner.leftovers import Leftover
from executioner.model import NextStep
from executioner.render.command import Invocation
from executioner.render.error import note_text, warning_text
from executioner.render.text import count, duration, few, local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.history.reader import History

_MOST_FOLLOWED = 3


def find_leftovers(crashes: Sequence[Crash], identity: Callable[[], Mapping[str, bytes]]) -> list[Leftover]:
    """What is left of some dead runs, those of the newest first."""
    if not crashes:
        return []
    database, table = identity()["id"], process_table()
    outputs = leftovers.outputs_of(table)
    found: list[Leftover] = []
    for crash in crashes:
        run_token = token(database, crash.run_id, crash.pid, crash.start_ticks)
        found += leftovers.find(crash.run_id, run_token, crash.jobs, table, outputs)
    return found


def leftovers_of(history: History, suspects: Suspects) -> list[Leftover]:
    """What is left of those of some runs that died, those of the newest first."""
    return find_leftovers(history.crashes(suspects, this_process().boot_id), history.identity)


def unseen(crashes: Sequence[Crash]) -> list[str]:
    """What cannot be told of jobs of dead runs, because the processes of their user may not be looked at."""
    if os.geteuid() == 0:
        return []
    table = process_table() if any(crash.user not in (None, user_name()) for crash in crashes) else []
    return [
        f"whether {few([job for job, _ in crash.jobs], _MOST_FOLLOWED)} of run {crash.run_id} still"
        f" {'runs' if len(crash.jobs) == 1 else 'run'} cannot be seen by this user,"
        f" only by {'' if crash.user == 'root' else f'{crash.user} or '}root"
        for crash in crashes
        if crash.user not in (None, user_name()) and leftovers.hides(crash.user, crash.start_ticks or 0, table)
    ]


def check_leftovers(context: Context, typed: Invocation, found: Sequence[Leftover]) -> Sequence[Leftover]:
    """Of the jobs of earlier runs that still run: those that are to be ended before the run begins.

    Raises:
        RunRefusedError: nobody said what shall become of them.
    """
    options, err = context.options, context.terminal.err
    if not found:
        return ()
    if options.ignore_leftovers:
        if not options.quiet:
            err.write(warning_text(f"still running, and left so: {_named(found)}", err.palette))
        return ()
    if not options.kill_leftovers:
        raise _refusal(context, typed, found)
    if any(map(leftovers.holds_us, found)):
        raise RunRefusedError(
            "This command runs inside a job that is to be ended",
            _host(),
            details=_lines(found),
            assurance="Nothing was run. Type it in another terminal.",
        )
    if options.dry_run:
        err.write(note_text(f"the run would first end what is left of earlier runs: {_named(found)}"))
    return found


def end_leftovers(context: Context, found: Sequence[Leftover], grace_s: float) -> None:
    """End jobs of earlier runs, one or more.

    Raises:
        RunRefusedError: that could not be done.
    """
    if not context.options.quiet:
        context.terminal.err.write(note_text(f"ending what is left of earlier runs: {_named(found)}"))
        context.terminal.err.drain()
    left = leftovers.end(found, grace_s)
    if left:
        raise RunRefusedError(
            f"{count(len(left), 'job')} of an earlier run could not be ended",
            _host(),
            details=_lines(left),
            assurance="Nothing was run. Their processes may belong to another user, or wait for a device.",
        )


def _host() -> str:
    return os.uname().nodename


def _named(found: Sequence[Leftover]) -> str:
    return ", ".join(f"{one.job} of run {one.run_id} (pid {one.pid})" for one in found)


def _refusal(context: Context, typed: Invocation, found: Sequence[Leftover]) -> RunRefusedError:
    options = context.options
    runs = sorted({one.run_id for one in found})
    of = f"run {runs[0]}" if len(runs) == 1 else f"runs {', '.join(map(str, runs))}"
    many = len(found) > 1
    resuming = options.resume_from is not None
    follow = [
        NextStep(
            f"To wait for {one.job}{f' of run {one.run_id}' if len(runs) > 1 else ''}, watch its log:"
            if many
            else _why_follow(resuming),
            line=typed.look("--show-log", str(one.run_id), one.job, "--follow"),
        )
        for one in found[:_MOST_FOLLOWED]
    ]
    them = "them" if many else "it"
    kill = typed.run(*run_words(options._replace(kill_leftovers=True)))
    ignore = typed.run(*run_words(options._replace(ignore_leftovers=True)))
    return RunRefusedError(
        f"{count(len(found), 'job')} of {of} {'are' if many else 'is'} still running",
        _host(),
        details=_lines(found),
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


def _lines(found: Sequence[Leftover]) -> list[str]:
    """``load_dwh  pid 4711  since 2025-05-23 02:13:40 (01:02:11)`` each, columns aligned; with runs if several."""
    now = time()
    several = len({one.run_id for one in found}) > 1
    job = max(len(one.job) for one in found)
    pid = max(len(str(one.pid)) for one in found)
    return [
        f"{one.job:{job}}  {f'run {one.run_id}  ' if several else ''}pid {one.pid:<{pid}}"
        f"  since {local_time(one.since)} ({duration(now - one.since)})"
        for one in found
    ]
