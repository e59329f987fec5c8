"""``--import-spool``: put results into the history that it could not take when they came in."""

from __future__ import annotations

import os

from executioner.commands.context import Context, invocation
from executioner.commands.show_run import show_run
from executioner.errors import HistoryError, RunRefusedError, UsageError
from executioner.folders import sync_folder
from executioner.history import files, spool
from executioner.history.spool import Spool
from executioner.history.store import HistoryWriter
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
    path = os.path.normpath(os.path.join(context.cwd, file))
    if not os.path.lexists(path) and os.path.exists(path + _DONE):
        raise UsageError(f"It was imported already: the file is now {file}{_DONE}", file)
    found = spool.read(path, file)
    history = _history(context, found)
    terminal = context.terminal
    say = terminal.err if context.options.json else terminal.out
    if context.options.dry_run:
        line = invocation(context, None, history).look("--import-spool", file)
        say.write(f"Would import results of run {found.run_id} ({safe(found.application_name)}): {_what(found)}\n")
        say.write(f"History: {safe(shown_path(history, context.cwd))}\n")
        terminal.err.write(f"\nNothing was imported. To import them:\n  {line}\n")
        return 0
    run_id = _record(context, found, history)
    say.write(f"Imported results of run {found.run_id} ({safe(found.application_name)}): {_what(found)}\n")
    if run_id != found.run_id:
        say.write(f"That id has been given to another run since: it is recorded as run {run_id}.\n")
    if not path.endswith(_DONE):
        try:
            os.rename(path, path + _DONE)
            sync_folder(os.path.dirname(path))
        except OSError as exc:
            text = f"{file} cannot be renamed ({exc.strerror}): it is needed no longer, move it away"
            terminal.err.write(warning_text(text, terminal.err.palette))
        else:
            say.write(f"The file is now {safe(shown_path(path + _DONE, context.cwd))}\n")
    say.write("\n")
    say.drain()
    return show_run(context._replace(options=context.options._replace(db=history)), str(run_id), ())


def _what(found: Spool) -> str:
    """``3 SUCCESS, 1 FAILED``."""
    counts = [f"{number:,} {status}" for status, number in found.counts().items()]
    return ", ".join(counts) or "its end"


def _history(context: Context, found: Spool) -> str:
    """The history that is meant: ``--db``, else the one that could not be written.

    Raises:
        RunRefusedError: there is none, and the spool does not hold all of the run.
    """
    chosen = context.options.db
    path = os.path.realpath(found.history if chosen is None else os.path.join(context.cwd, chosen))
    if files.identify(path) is files.Kind.ABSENT and not found.is_whole:
        where = "Is the path right?" if chosen is not None else "If the history was moved, name it with --db PATH."
        raise RunRefusedError(
            "There is no such history, and the file holds only what was missing from it",
            shown_path(path, context.cwd),
            assurance=f"Nothing was imported. {where}",
        )
    return path


def _record(context: Context, found: Spool, history: str) -> int:
    try:
        return _put_back(context, found, history)
    except HistoryError as exc:  # another one is no way out: the results belong to this
        exc.assurance = "Nothing was imported. Import it again when the history can be written."
        raise


def _put_back(context: Context, found: Spool, history: str) -> int:
    writer = HistoryWriter(history)
    try:
        for note in writer.notes:
            context.terminal.err.write(note_text(note))
        writer.begin()
        return writer.put_back(found)
    finally:
        writer.abandon()  # what was not committed
        writer.close()
