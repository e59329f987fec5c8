"""``--import-spool``: put results into the history that it could not take when they came in."""

from __future__ import annotations

import os
from itertools import count

from executioner.commands.context import Context, history_path, invocation
from executioner.commands.show_run import show_run
from executioner.errors import HistoryError, NoHistoryError, RunRefusedError, UsageError
from executioner.folders import sync_folder
from executioner.history import spool
from executioner.history.reader import History
from executioner.history.spool import Spool
from executioner.history.store import HistoryWriter
from executioner.model import NextStep
from executioner.render.error import note_text, warning_text
from executioner.render.text import safe, shown_path

_DONE = ".imported"


def import_spool(context: Context, file: str) -> int:
    """Import a spool file, and show the run as it is recorded then; returns the exit code.

    Afterwards the file is renamed, so that the run can be resumed. A kill at any moment leaves the file or
    the results in the history, or both; importing it again changes nothing.

    Raises:
        UsageError: it is none.
        RunRefusedError: it is not of this history, or its run is still on.
        HistoryError: the history cannot be used.
    """
    path = os.path.join(context.cwd, file)
    if not os.path.lexists(path) and os.path.exists(path + _DONE):
        raise UsageError(f"It was imported already: the file is now {file}{_DONE}", file, steps=[_runs(context)])
    chosen = context.options.db
    try:
        found = spool.read(path, file)
    except UsageError as exc:
        if not exc.details:  # which say what to do
            line = invocation(context, None, history_path(context, None)).look("--doctor")
            exc.steps = (NextStep("To see whether results wait to be imported:", line=line),)
        raise
    history = os.path.realpath(found.history if chosen is None else os.path.join(context.cwd, chosen))
    expected = _place(context, found, history)
    if context.options.dry_run:
        _preview(context, found, history, file, expected)
        return 0
    run_id = _record(context, found, history)
    _say(context, f"Imported results of run {found.run_id} ({found.application_name}): {_what(found)}", "")
    if run_id != found.run_id:
        _say(context, f"That id has been given to another run since: it is recorded as run {run_id}.")
    _rename(context, path, file)
    _say(context, "")
    return show_run(context._replace(options=context.options._replace(db=history)), str(run_id), ())


def _runs(context: Context) -> NextStep:
    line = invocation(context, None, history_path(context, None)).look("--list-runs")
    return NextStep("To see the runs:", line=line)


def _say(context: Context, *lines: str) -> None:
    """Tell people: stdout is the run's object where that is wanted."""
    terminal = context.terminal
    stream = terminal.err if context.options.json else terminal.out
    stream.write("".join(f"{safe(line)}\n" for line in lines if line or len(lines) == 1))
    stream.drain()


def _what(found: Spool) -> str:
    """``3 SUCCESS, 1 FAILED``."""
    return ", ".join(f"{number:,} {status}" for status, number in found.counts().items()) or "its end"


def _place(context: Context, found: Spool, history: str) -> int:
    """The id that the run will have in a history. Nothing is written.

    Raises:
        RunRefusedError: it cannot be imported there.
    """
    try:
        return History(history).place(found).run_id
    except NoHistoryError:
        if found.is_whole:
            return found.run_id
        moved = "If the history was moved, name it with --db PATH."
        raise RunRefusedError(
            "There is no such history, and the file holds only what was missing from it",
            shown_path(history, context.cwd),
            assurance=f"{spool.NOTHING} {moved if context.options.db is None else 'Is the path right?'}",
        ) from None


def _preview(context: Context, found: Spool, history: str, file: str, run_id: int) -> None:
    _say(context, f"Would import results of run {found.run_id} ({found.application_name}): {_what(found)}", "")
    if run_id != found.run_id:
        _say(context, f"That id has been given to another run since: it would be recorded as run {run_id}.")
    _say(context, f"History: {shown_path(history, context.cwd)}")
    line = invocation(context, None, history).look("--import-spool", file)
    context.terminal.err.write(f"\nNothing was imported. To import them:\n  {line}\n")


def _record(context: Context, found: Spool, history: str) -> int:
    """Record the results; returns the run's id.

    Raises:
        HistoryError: they cannot be recorded now.
    """
    writer: HistoryWriter | None = None
    try:
        writer = HistoryWriter(history)
        for note in writer.notes:
            context.terminal.err.write(note_text(note))
        writer.begin()
        return writer.put_back(found)
    except HistoryError as exc:  # another one is no way out: the results belong to this
        exc.assurance = f"{spool.NOTHING} Import it again when the history can be written."
        raise
    finally:
        if writer is not None:
            writer.abandon()  # what was not committed
            writer.close()


def _rename(context: Context, path: str, file: str) -> None:
    """Give a file that was imported another name, so that it is in nobody's way."""
    if path.endswith(_DONE):
        return
    numbers = (f"{path}{_DONE}{f'-{number}' if number > 1 else ''}" for number in count(1))
    target = next(name for name in numbers if not os.path.lexists(name))
    try:
        os.rename(path, target)
        sync_folder(os.path.dirname(path))
    except OSError as exc:
        text = f"{file} cannot be renamed ({exc.strerror}): it is needed no longer, move it away"
        context.terminal.err.write(warning_text(text, context.terminal.err.palette))
    else:
        _say(context, f"The file is now {shown_path(target, context.cwd)}")
