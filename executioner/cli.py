"""The command line: arguments in, exit code out. The one place where errors are printed."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from executioner import __version__
from executioner.arguments import (
    LOOK_USAGE,
    RESUME_USAGE,
    USAGE,
    Arguments,
    check,
    options,
    read_plain,
    statuses,
    wrong,
)
from executioner.commands.context import Context, current_folder, program_words, run_words
from executioner.errors import ExecutionerError, HistoryError, UsageError
from executioner.lean import signal
from executioner.model import JobStatus, NextStep, RunStatus
from executioner.render.command import Invocation
from executioner.render.error import error_text
from executioner.terminal import Terminal, open_missing_streams, original_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def _dispatch(arguments: Arguments, context: Context) -> int:
    out = context.terminal.out
    if arguments.help:
        from executioner.parser import build_parser

        out.write(build_parser(Invocation(context.program).plain(())).format_help())
    elif arguments.version:
        out.write(f"executioner {__version__}\n")
    elif arguments.simple_config or arguments.sample_config:
        from executioner.config.samples import SAMPLE_CONFIG, SIMPLE_CONFIG

        out.write(SIMPLE_CONFIG if arguments.simple_config else SAMPLE_CONFIG)
    elif arguments.config_schema:
        import json

        from executioner.config.keys import json_schema

        out.write(json.dumps(json_schema(), indent=2) + "\n")
    elif _looks_back(arguments):
        return _look_back(arguments, context)
    elif arguments.doctor:
        from executioner.commands.doctor import doctor

        return doctor(context)
    elif arguments.mark_success is not None:
        from executioner.commands.mark import mark_success

        wanted, *jobs = arguments.mark_success
        return mark_success(context, wanted, jobs, arguments.reason)
    elif arguments.import_spool is not None:
        from executioner.commands.import_spool import import_spool

        return import_spool(context, arguments.import_spool)
    elif arguments.resume_from is not None:
        from executioner.commands.resume import resume

        return resume(context)
    elif arguments.config is None:
        raise _no_config(arguments, run_words(context.options))
    elif arguments.validate:
        from executioner.commands.workflow import validate

        return validate(context)
    else:
        from executioner.commands.run import run

        return run(context)
    return 0


def _no_config(arguments: Arguments, words: Sequence[str]) -> UsageError:
    """The error where a config is needed: with the command that was meant, which need not be a run."""
    why = "To run a workflow:"
    if arguments.validate:
        why, words = "To check a workflow:", ["--validate"]
    elif arguments.dry_run:
        why, words = "To preview a workflow:", [*words, "--dry-run"]
    return wrong("No config given", NextStep(why, ("-c", "FILE", *words)))


def _looks_back(arguments: Arguments) -> bool:
    """Whether a command only reads the history."""
    return arguments.list_runs or arguments.show_run is not None or arguments.show_log is not None


def _look_back(arguments: Arguments, context: Context) -> int:
    """The commands that read the history."""
    if arguments.list_runs:
        from executioner.commands.list_runs import Listing, list_runs

        listing = Listing(
            last=arguments.last or Listing().last,
            statuses=statuses(arguments.status, list(RunStatus)),
            application=arguments.app,
            since=arguments.since,
            until=arguments.until,
            user=arguments.user,
            partly_completed=arguments.partly_completed,
            resumable=arguments.resumable,
        )
        return list_runs(context, listing)
    if arguments.show_run is not None:
        from executioner.commands.show_run import show_run

        return show_run(context, arguments.show_run, statuses(arguments.status, list(JobStatus)))
    from executioner.commands.show_log import LogRequest, show_log

    run, *job = arguments.show_log or []
    return show_log(context, LogRequest(run, job[0] if job else None, arguments.follow, arguments.tail))


def main(argv: Sequence[str], orig_argv: Sequence[str] | None = None) -> int:
    """Run the program with arguments; returns its exit code.

    Args:
        argv: the arguments, without the program.
        orig_argv: the interpreter's own (``sys.orig_argv``), to print commands as this one was typed.
    """
    environment = original_environment()
    terminal = Terminal("auto", environment)
    program = program_words(
        orig_argv or ["executioner"], len(argv) if orig_argv else 0, os.environ.get("PATH", "")
    )
    typed = Invocation(program)
    runs = True  # that something may run, as far as is known
    try:
        cwd = current_folder()
        if not terminal.anybody:
            typed = typed._replace(directory=cwd)
        if not argv:
            return _short_help(terminal, typed)
        arguments = _arguments(argv)
        terminal = Terminal(arguments.color, environment)
        runs = not (_looks_back(arguments) or arguments.mark_success or arguments.import_spool or arguments.doctor)
        code = _dispatch(arguments, Context(terminal, environment, cwd, program, options(arguments)))
    except (KeyboardInterrupt, Exception) as exc:
        if "--debug" in argv:
            import traceback

            terminal.err.write(traceback.format_exc())
        code = _failed(exc, terminal, typed, runs=runs)
    return _delivered(terminal, code)


def _arguments(argv: Sequence[str]) -> Arguments:
    """What the command line asks for.

    Raises:
        UsageError: it cannot be done.
    """
    arguments = read_plain(argv)
    if arguments is None:
        from executioner.parser import read_all

        arguments = read_all(argv)
    check(arguments, argv)
    return arguments


def _short_help(terminal: Terminal, typed: Invocation) -> int:
    program = Invocation(typed.program).plain(())
    terminal.err.write(
        f"Usage: {program} {USAGE}\n       {program} {RESUME_USAGE}\n       {program} {LOOK_USAGE}\n\n"
    )
    terminal.err.write("Runs a JSON file of shell jobs with dependencies, and remembers every run.\n")
    terminal.err.write(f"To see all options:\n  {typed.plain(['--help'])}\n")
    return 2


def _failed(exc: BaseException, terminal: Terminal, typed: Invocation, *, runs: bool) -> int:
    """Print an error; returns its exit code."""
    if isinstance(exc, KeyboardInterrupt):
        terminal.out.drop()  # whoever stops it does not want the rest
        terminal.err.write("\nInterrupted: nothing was run\n" if runs else "\nInterrupted\n")
        return 130
    if isinstance(exc, HistoryError):
        if not runs:  # nobody wanted to run anything
            exc.assurance = exc.assurance.replace("Nothing was run.", "").strip()
        else:  # one in mid-run is told with the run's end
            exc.assurance = exc.assurance or "Nothing was run."
    if not isinstance(exc, ExecutionerError):
        internal = HistoryError(f"Internal error: {type(exc).__name__}: {exc}", "executioner")
        ended = "Jobs that were running were ended. " if runs else ""
        internal.details = (f"{ended}Please report this with the output of --debug.",)
        exc = internal
    terminal.err.write(error_text(exc, typed, terminal.err.palette))
    return exc.exit_code


def _delivered(terminal: Terminal, code: int) -> int:
    """The exit code, or 3 where what was asked for could not be printed (a full disk, say)."""
    try:
        terminal.out.drain()
        terminal.err.drain()
    except KeyboardInterrupt:  # whoever does not read does not want the rest
        return code or 130
    failure = terminal.out.failure
    # a reader that went away, be it a pipe's or a terminal that was closed, is no fault of ours
    if failure is None or failure.errno in (errno.EPIPE, errno.EIO):
        return code
    terminal.err.write(f"Error: The output cannot be written: {failure.strerror} (stdout)\n")
    terminal.err.drain()
    return code or 3


def main_script() -> NoReturn:
    """The program as a process: prepares what it inherited, and ends it without further ado."""
    open_missing_streams()
    # a parent that ignores SIGCHLD would hide from us how jobs end
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = main(sys.argv[1:], sys.orig_argv)
    os._exit(code)
