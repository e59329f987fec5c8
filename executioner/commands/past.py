"""What all commands that look back share: opening the history, and finding the run that is meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from executioner import joblog
from executioner.commands.configfile import config_content
from executioner.commands.context import Context, history_path, invocation, run_words
from executioner.errors import NoHistoryError, UnknownRunError
from executioner.folders import config_paths
from executioner.history.files import resting_state
from executioner.history.lineage import Lineage
from executioner.history.liveness import NO_RESULT
from executioner.history.query import RunFilter
from executioner.history.reader import History
from executioner.jsontext import loads
from executioner.model import NextStep, Workflow
from executioner.record import Record
from executioner.records import Run, RunDetails
from executioner.render.command import Invocation
from executioner.render.error import warning_text
from executioner.render.text import shown_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from executioner.history.files import State

    _T = TypeVar("_T")
_MOST_RECENT = 5


class Past(Record):
    """A history that is looked at, and how to print commands that go on from there."""

    history: History
    typed: Invocation
    shown_path: str
    config_paths: tuple[str, ...]  # of ``-c``; empty without it
    state: State | None  # of the history before anything was read; None if not at rest or not of this version


def open_past(
    context: Context, run: str = "last", nothing: str = "", workflow: Workflow | None = None
) -> Past | None:
    """Open the history that is meant for reading; None if nothing was ever run, which is then said.

    ``run`` is the one that is wanted; of an id it is an error that there is none, and of ``last`` where
    ``nothing`` says what that means. ``workflow`` is that of ``-c`` where it was loaded already.

    Raises:
        HistoryError: it cannot be used, or ``--db`` names none.
        UnknownRunError: an id is wanted, but nothing was ever run.
    """
    options = context.options
    if workflow is not None:
        configured = workflow.history_db
    else:
        configured = None if options.config is None else configured_history(context, options.config)
    path = history_path(context, configured)
    typed = invocation(context, options.config, path)
    state = resting_state(path)
    try:
        history = History(path, keep_open=True)
    except NoHistoryError as exc:
        if options.db is not None and not os.path.exists(path):
            default = history_path(context._replace(options=options._replace(db=None)), configured)
            exc.assurance = f"Is the path right? Without --db it is {shown_path(default, context.cwd)}"
            raise
        if run != "last":
            raise _unknown_run(_not_found(run), [], shown_path(path, context.cwd)) from None
        if nothing:
            raise _nothing(nothing, context, path, typed) from None
        say_no_runs(context, path, typed)
        return None
    paths = () if options.config is None else config_paths(os.path.join(context.cwd, options.config))
    return Past(
        history, typed, shown_path(history.path, context.cwd), paths, state if history.is_current else None
    )


def waiting_spool(run: Run, log_dir: str | None = None) -> str | None:
    """The file with those results of a run that the history could not take and that were not imported yet.

    It lies beside the run's log; ``log_dir`` is where to look if that is not recorded.
    """
    folder = os.path.dirname(run.log_path) if run.log_path else log_dir
    if folder is None:
        return None
    base = f"{folder}/{joblog.run_name(run.application_name, run.run_id)}"
    # the folder is looked through where it is likely: another history's file may have the first name
    if run.failure_summary != NO_RESULT and not os.path.lexists(joblog.spool_path(base)):
        return None
    from executioner.history.spool import waiting

    return waiting(base, run.run_id, run.start_time, run.end_time)


def find_lineage(
    context: Context, wanted: str, nothing: str, workflow: Workflow | None = None
) -> tuple[Past, Lineage]:
    """The run that is to be gone on with, with what became of it since; ``workflow`` is that of ``-c``, if loaded.

    Raises:
        UnknownRunError: there is no such run; ``nothing`` says so where nothing was ever run.
    """
    past = open_past(context, wanted, nothing, workflow)
    lineage = find(context, past, wanted, past.history.lineage, nothing) if past else None
    assert past is not None
    assert lineage is not None
    return past, lineage


def _nothing(what: str, context: Context, path: str, typed: Invocation) -> UnknownRunError:
    line = typed.template("-c", "FILE") if typed.config is None else typed.run()
    body = [f"History: {shown_path(path, context.cwd)}"]
    return UnknownRunError(what, body=body, steps=[NextStep("To run a workflow:", line=line)])


def say_no_runs(context: Context, path: str, typed: Invocation) -> None:
    """Say that nothing was ever run."""
    from executioner.render.runs import no_runs_text

    context.terminal.err.write(no_runs_text(shown_path(path, context.cwd), typed._replace(config=None, flags="")))


def configured_history(context: Context, config: str, *, warn: bool = True) -> str | None:
    """The ``history_db`` of a config, which need not be there nor be right in all else."""
    path = os.path.join(context.cwd, config)
    try:
        content = loads(config_content(path).decode("utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not JSON"
        err = context.terminal.err
        if warn:
            err.write(warning_text(f"{config} cannot be read ({why}): its history_db is not known", err.palette))
        return None
    chosen = content.get("history_db") if isinstance(content, dict) else None
    if not isinstance(chosen, str) or any(one == "\0" or "\ud800" <= one <= "\udfff" for one in chosen):
        return None  # no config that runs has such a one
    return os.path.join(os.path.dirname(os.path.abspath(path)), os.path.expanduser(chosen))


def find_run(context: Context, past: Past, wanted: str) -> RunDetails | None:
    """The run of an id, or of ``last``; None if nothing was ever run, which is then said.

    Raises:
        UnknownRunError: there is none, with the recent ones that there are.
    """
    return find(context, past, wanted, past.history.run)


def find(context: Context, past: Past, wanted: str, read: Callable[[int], _T], nothing: str = "") -> _T | None:
    """What ``read`` makes of a run, which is named by its id or is the newest, of ``-c`` where that is given.

    None if nothing was ever run, which is then said; an error where ``nothing`` says what that means.

    Raises:
        UnknownRunError: there is no such run, with the recent ones that there are.
    """
    history = past.history
    if wanted != "last":
        try:
            return read(int(wanted))
        except UnknownRunError as exc:
            raise _unknown(context, past, exc.what) from None
    newest = history.newest_run(past.config_paths)
    if newest is not None:
        return read(newest)
    if past.config_paths and history.newest_run() is not None:
        error = _unknown(context, past, f"No run of {context.options.config} in history.")
        if context.options.resume_from is not None:
            words = run_words(context.options._replace(resume_from="RUN_ID"))
            line = past.typed.run(*words, "--dry-run")
            error.steps = (NextStep("If the config was moved, to preview a resume of one of them:", line=line),)
        raise error
    if nothing:
        raise _nothing(nothing, context, history.path, past.typed)
    say_no_runs(context, history.path, past.typed)
    return None


def _not_found(run_id: str) -> str:
    return f"Run ID {run_id} not found in history."


def _unknown(context: Context, past: Past, what: str) -> UnknownRunError:
    """The error for a run that is not there: the recent runs of the config, else of all."""
    title = "Recent runs for this config:"
    recent = list(past.history.find(RunFilter(config_paths=past.config_paths), _MOST_RECENT))
    if not past.config_paths:
        title = "Recent runs:"
    elif not recent:
        title = f"Recent runs, none of {context.options.config}:"
        recent = list(past.history.find(RunFilter(), _MOST_RECENT))
    from executioner.render.runs import recent_lines

    return _unknown_run(what, [title, *recent_lines(recent)] if recent else [], past.shown_path)


def _unknown_run(what: str, listed: Sequence[str], history: str) -> UnknownRunError:
    if not listed:
        return UnknownRunError(what, body=["No runs yet.", "", f"History: {history}"])
    ending = ["Use --list-runs to see all available runs.", f"History: {history}"]
    return UnknownRunError(what, body=[*listed, "", *ending])
