"""Reading a config file and everything that its validation has to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence

from executioner.commands.configfile import config_content
from executioner.commands.context import Context, history_path, run_flags, run_words, stored_options
from executioner.config.parse import parse
from executioner.errors import ExecutionerError, UsageError
from executioner.model import NextStep, Plugin, Workflow
from executioner.render.command import Invocation, as_argument
from executioner.render.text import count, quoted, safe, shown_path, storable

_MOST_NAMED = 5


def load(context: Context, *, only_to_check: bool = False) -> Workflow:
    """The workflow of ``--config``; ``only_to_check`` says that nothing else is to be done with it.

    Raises:
        ConfigError: with all its problems.
        UsageError: it cannot be read.
    """
    name = context.options.config
    assert name is not None
    path = os.path.join(context.cwd, name)
    if storable(path) != path:
        raise _unreadable(name, "its path is not UTF-8, so that no history could name it")
    try:
        content = config_content(path)
    except OSError as exc:
        raise _not_read(context, name, path, exc, only_to_check=only_to_check) from exc
    return parse(
        content,
        path=_plain_path(path),
        shown=name,
        home=os.path.expanduser("~"),
        is_folder=os.path.isdir,
        plugin_checks=_plugin_checks,
        steps=[NextStep("To check again:", ("-c", as_argument(name), "--validate"))],
    )


def _plugin_checks(plugin: Plugin) -> frozenset[str] | str:
    from executioner.checks import plugin_checks

    return plugin_checks(plugin)


def _plain_path(path: str) -> str:
    """A path without ``.`` and ``..``; where links make that another file, without links."""
    plain = os.path.normpath(path)
    try:
        return plain if os.path.samefile(plain, path) else os.path.realpath(path)
    except OSError:
        return os.path.realpath(path)


def _not_read(context: Context, name: str, path: str, error: OSError, *, only_to_check: bool) -> UsageError:
    """Why there is no such config, and what to type instead."""
    why = error.strerror or str(error)
    inside: Sequence[str] = ()
    if isinstance(error, IsADirectoryError):
        inside = _inside(name, path)
        near = inside[0] if len(inside) == 1 else None
    elif isinstance(error, FileNotFoundError):
        near = _near(name, path)
    else:
        return _unreadable(name, why)
    if len(inside) > 1:
        some = [*map(quoted, inside[:_MOST_NAMED]), *(["..."] if len(inside) > _MOST_NAMED else [])]
        return _unreadable(name, why, details=[f"Name a file: {', '.join(some)}"])
    why += "" if near is None else f", did you mean {quoted(near)}?"
    return _unreadable(name, why, _instead(context, name, path, near, only_to_check=only_to_check))


def _inside(name: str, path: str) -> list[str]:
    """The files in a folder that may be configs, as they would be typed."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return []
    return [
        os.path.normpath(os.path.join(name, one))
        for one in names
        if one.endswith(".json") and os.path.isfile(os.path.join(path, one)) and storable(one) == one
    ]


def _near(name: str, path: str) -> str | None:
    """The file beside a missing one that was probably meant: its ending was left out, or letters differ."""
    folder, word = os.path.split(path)
    stem, ending = os.path.splitext(word)
    ending = ending or ".json"
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    same = [f"{stem}{ending}", f"{stem}.json"]
    lower = [other.lower() for other in same]
    guesses = [other for other in same if other in names] + [other for other in names if other.lower() in lower]
    if not guesses:
        from executioner.config.problems import nearest

        # the ending is the same, so it says nothing of how near a name is
        stems = [os.path.splitext(other)[0] for other in names if os.path.splitext(other)[1] == ending]
        near = nearest(stem, stems)
        guesses = [] if near is None else [near + ending]
    for guess in guesses:
        if os.path.isfile(os.path.join(folder, guess)) and storable(guess) == guess:
            return os.path.join(os.path.dirname(name), guess)
    return None


def _instead(
    context: Context, name: str, path: str, near: str | None, *, only_to_check: bool
) -> Sequence[NextStep]:
    """What to type where there is no such config, but perhaps one of nearly the same name."""
    options = context.options
    steps = []
    if near is not None:
        directory = None if context.terminal.anybody else context.cwd
        flags = run_flags(stored_options(options))
        typed = Invocation(context.program, directory, near, options.db, "" if only_to_check else flags)
        words = ["--validate"] if only_to_check else [*run_words(options), "--dry-run"]
        steps.append(NextStep(f"To {'check' if only_to_check else 'preview'} that one:", line=typed.run(*words)))
    if options.resume_from is None:
        if os.path.isdir(path):
            if near is not None:
                return steps
            into: str | None = os.path.normpath(os.path.join(name, "jobs.json"))
        else:
            into = name if os.path.isdir(os.path.dirname(path)) and not name.endswith("/") else None
        return [*steps, NextStep("To start with a small example:", ("--simple-config",), into=into)]
    db = () if options.db is None else ("--db", options.db)
    again = (*db, "--resume-from", options.resume_from, "--dry-run")
    if near is None:
        steps.append(NextStep("If it was moved, to preview it:", ("-c", "NEW_PATH", *again)))
    if _was_started_with(context, options.resume_from, name):
        steps.append(NextStep("To preview it with the config that the run was started with:", again))
    return steps


def _was_started_with(context: Context, wanted: str, name: str) -> bool:
    """Whether the history in use, which may be another one than the config's, has that run of such a config."""
    from executioner.history.query import RunFilter
    from executioner.history.reader import History

    try:
        history = History(history_path(context, None))
        run = next(history.find(RunFilter(), 1), None) if wanted == "last" else history.run(int(wanted)).run
    except ExecutionerError:
        return False
    if run is None or run.config_path is None or not os.path.isfile(run.config_path):
        return False
    typed = os.path.abspath(os.path.join(context.cwd, name)).split("/")
    parts = 1 if wanted != "last" else 2  # the newest run may be anybody's
    return typed[-parts:] == run.config_path.split("/")[-parts:]


def _unreadable(name: str, why: str, steps: Sequence[NextStep] = (), details: Sequence[str] = ()) -> UsageError:
    what = f"The config cannot be read: {why}"
    return UsageError(what, name, details=details, steps=steps, assurance="Nothing was run.")


def validate(context: Context) -> int:
    """``--validate``: say that the config is fine, or raise with all that is not."""
    workflow = load(context, only_to_check=True)
    terminal = context.terminal
    jobs = count(len(workflow.jobs), "job")
    shown = shown_path(workflow.config_path, context.cwd)
    if context.options.json:
        facts = {
            "config_path": workflow.config_path,
            "application_name": workflow.name,
            "jobs": len(workflow.jobs),
        }
        from executioner.jsontext import indented

        terminal.out.write(indented(facts) + "\n")
    elif not context.options.quiet:
        good = terminal.out.palette.good
        terminal.out.write(f"{good} {safe(shown)}: {safe(workflow.name)}, {jobs}, no problems\n")
    return 0
