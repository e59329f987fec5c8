"""What every command needs to know of its caller: folder, environment, streams, program."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping, Sequence

from executioner.errors import UsageError
from executioner.folders import default_history
from executioner.record import Record
from executioner.render.command import Invocation
from executioner.render.text import quoted, shown_path
from executioner.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from executioner.records import Run


class Options(Record):
    """The command line, parsed and checked in itself."""

    config: str | None = None
    db: str | None = None
    dry_run: bool = False
    skip: tuple[str, ...] = ()
    skip_given: bool = False  # also as nothing, so that a resume takes none over
    env: Mapping[str, str] = {}
    continue_on_error: bool = False
    parallel: bool = False
    workers: int | None = None
    sequential: bool = False
    json: bool = False
    csv: bool = False
    quiet: bool = False
    verbose: bool = False
    resume_from: str | None = None
    failed_only: bool = False
    from_job: str | None = None
    if_changed: str = "stop"
    kill_leftovers: bool = False
    ignore_leftovers: bool = False
    yes: bool = False


class Context(Record):
    """The caller. ``environment`` is as given, before Python changed its own."""

    terminal: Terminal
    environment: Mapping[bytes, bytes]
    cwd: str
    program: Sequence[str]
    options: Options


def current_folder() -> str:
    """The current folder as the shell names it, so that printed paths look familiar.

    Raises:
        UsageError: it was removed.
    """
    try:
        actual = os.getcwd()
    except FileNotFoundError as exc:
        raise UsageError(
            "The current folder no longer exists", assurance="Nothing was run. Go to another one: cd"
        ) from exc
    named = os.environ.get("PWD", "")
    if os.path.isabs(named) and ".." not in named.split("/"):
        try:
            if os.path.samefile(named, actual):
                return os.path.normpath(named)
        except OSError:
            pass
    return actual


def program_words(orig_argv: Sequence[str], arguments: int, search_path: str) -> list[str]:
    """The program as it was called, for commands to be typed next.

    A script is shown by its bare name where the shell would find that very file, and
    without its interpreter where its first line names that very one.
    """
    words = list(orig_argv[: len(orig_argv) - arguments])
    if len(words) != 2 or words[1].startswith("-"):
        return words
    interpreter, script = words
    if not os.access(script, os.X_OK):
        return words
    name = os.path.basename(script)
    for folder in search_path.split(os.pathsep):
        candidate = os.path.join(folder, name)
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            if os.path.samefile(candidate, script):
                return [name]
            break
    try:
        with open(script, "rb") as file:
            first = file.readline(4096).rstrip()
    except OSError:
        return words
    interpreters = (b"#!" + os.fsencode(interpreter), b"#!/usr/bin/env " + os.fsencode(interpreter))
    return [script if "/" in script else f"./{script}"] if first in interpreters else words


def user_name() -> str:
    """Who runs the program."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return os.environ.get("USER") or str(os.getuid())


def history_place(context: Context, configured: Callable[[], str | None]) -> tuple[str, str]:
    """The history in use, and why it is that one: ``--db``, ``$EXECUTIONER_DB``, the config's, or the default."""
    given, variable = context.options.db, os.environ.get("EXECUTIONER_DB")
    if given:
        path, why = given, "--db"
    elif variable:
        path, why = variable, "$EXECUTIONER_DB"
    else:
        chosen = configured()
        path, why = (chosen, "history_db of the config") if chosen else (default_history(), "the default")
    return os.path.realpath(os.path.join(context.cwd, path)), why


def history_path(context: Context, configured: str | None) -> str:
    """The history in use."""
    return history_place(context, lambda: configured)[0]


def invocation(context: Context, config: str | None, history: str) -> Invocation:
    """How to print commands that go on from here."""
    options = context.options
    default = history == os.path.realpath(default_history())
    return Invocation(
        program=context.program,
        directory=None if context.terminal.anybody else context.cwd,
        config=config,
        db=None if default else shown_path(history, context.cwd),
        flags=run_flags(stored_options(options)),
    )


def going_on(typed: Invocation, run: Run, cwd: str) -> Invocation:
    """How to print commands that go on from a recorded run: with its config, and the flags that it was given."""
    config = None if run.config_path is None else shown_path(run.config_path, cwd)
    return typed._replace(config=config, flags=run_flags(run.options or {}))


def run_words(options: Options) -> list[str]:
    """The flags of a run, beside those that ``Invocation.flags`` holds: the same command with other options."""
    words = [] if options.resume_from is None else ["--resume-from", options.resume_from]
    if options.failed_only:
        words.append("--resume-failed-only")
    if options.from_job is not None:
        words += ["--from-job", options.from_job]
    if options.skip_given:
        words += [word for name in options.skip or ("",) for word in ("--skip", name)]
    if options.if_changed != "stop":
        words += ["--if-changed", options.if_changed]
    flags = ("kill_leftovers", "ignore_leftovers", "yes")
    return words + [f"--{name.replace('_', '-')}" for name in flags if getattr(options, name)]


def stored_options(options: Options) -> dict[str, object]:
    """The flags used, as the history keeps them; of secret-named variables only the names."""
    from executioner.environ import looks_secret

    secret = sorted(name for name in options.env if looks_secret(name))
    flags: dict[str, object] = {
        "skip": list(options.skip),
        "env": {name: value for name, value in options.env.items() if name not in secret},
        "env_secret": secret,
        "workers": options.workers,
        "parallel": options.parallel,
        "sequential": options.sequential,
        "continue_on_error": options.continue_on_error,
        "resume_failed_only": options.failed_only,
        "from_job": options.from_job,
        "if_changed": None if options.if_changed == "stop" else options.if_changed,
    }
    return {name: value for name, value in flags.items() if value}


def is_variable(name: str) -> bool:
    """Whether a name is one that a shell lets a variable have."""
    return name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()


def hidden(setting: str) -> str:
    """``NAME=...``: what was given for a variable, without its value, whatever the name."""
    name, sign, value = setting.partition("=")
    return f"{name}{sign}..." if value else setting


def recorded_env(stored: Mapping[str, Any]) -> dict[str, str]:
    """The ``--env`` of a run, without secrets; what cannot be one, because somebody has edited it, is none."""
    given = stored.get("env")
    if not isinstance(given, dict):
        return {}
    return {name: value for name, value in given.items() if is_variable(name) and _is_value(value)}


def _is_value(value: object) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def recorded_names(stored: Mapping[str, Any], option: str) -> list[str]:
    """The names that a run was given with an option."""
    given = stored.get(option)
    return [one for one in given if isinstance(one, str)] if isinstance(given, list) else []


def run_flags(stored: Mapping[str, Any]) -> str:
    """The flags of a run that its resumption needs again; a secret comes from the shell's variable."""
    flags: list[str] = []
    for name, value in recorded_env(stored).items():
        flags += ["--env", quoted(f"{name}={value}")]
    for name in recorded_names(stored, "env_secret"):
        if is_variable(name):  # it stands unquoted
            flags += ["--env", f'{name}="${{{name}:?}}"']
    if type(stored.get("workers")) is int:
        flags += ["--workers", str(stored["workers"])]
    elif stored.get("parallel"):
        flags.append("--parallel")
    elif stored.get("sequential"):
        flags.append("--sequential")
    if stored.get("continue_on_error"):
        flags.append("--continue-on-error")
    return " ".join(flags)
