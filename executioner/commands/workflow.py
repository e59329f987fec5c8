"""Reading a config file and everything that its validation has to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence

from executioner.commands.configfile import config_content
from executioner.commands.context import Context, Options
from executioner.config.parse import parse
from executioner.errors import UsageError
from executioner.model import NextStep, Plugin, Workflow
from executioner.render.text import count, quoted, safe, shown_path, storable


def load(context: Context) -> Workflow:
    """The workflow of ``--config``.

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
        why = exc.strerror or str(exc)
        steps: Sequence[NextStep] = ()
        if isinstance(exc, FileNotFoundError):
            near = _near(name, path)
            why += "" if near is None else f", did you mean {quoted(near)}?"
            steps = _instead(context.options, name, path, near)
        raise _unreadable(name, why, steps) from exc
    return parse(
        content,
        path=_plain_path(path),
        shown=name,
        home=os.path.expanduser("~"),
        is_folder=os.path.isdir,
        plugin_checks=_plugin_checks,
        steps=[NextStep("To check again:", ("-c", _as_argument(name), "--validate"))],
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


def _near(name: str, path: str) -> str | None:
    """The file beside a missing one that was probably meant: its ending was left out, or letters differ."""
    from executioner.config.problems import nearest

    folder, word = os.path.split(path)
    stem, ending = os.path.splitext(word)
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file() and storable(entry.name) == entry.name]
    except OSError:
        return None
    # the ending is the same, so it says nothing of how near a name is
    stems = [os.path.splitext(other)[0] for other in names if os.path.splitext(other)[1] == (ending or ".json")]
    near = nearest(stem, stems)
    return None if near is None else _as_argument(os.path.join(os.path.dirname(name), near + (ending or ".json")))


def _as_argument(name: str) -> str:
    """A file name as an option's value: one that begins with a hyphen would be taken for an option."""
    return f"./{name}" if name.startswith("-") else name


def _instead(options: Options, name: str, path: str, near: str | None) -> Sequence[NextStep]:
    """What to type where there is no such config, but perhaps one of nearly the same name."""
    if options.resume_from is None and near is not None:
        return [NextStep("To preview it:", ("-c", near, "--dry-run"))]
    if options.resume_from is None:
        into = name if os.path.isdir(os.path.dirname(path)) and not name.endswith("/") else None
        return [NextStep("To start with a small example:", ("--simple-config",), into=into)]
    db = () if options.db is None else ("--db", options.db)
    again = (*db, "--resume-from", options.resume_from, "--dry-run")
    return [
        NextStep("If it was moved, to preview it:", ("-c", near or "NEW_PATH", *again)),
        NextStep("To preview it with the config that the run was started with:", again),
    ]


def _unreadable(name: str, why: str, steps: Sequence[NextStep] = ()) -> UsageError:
    return UsageError(f"The config cannot be read: {why}", name, steps=steps, assurance="Nothing was run.")


def validate(context: Context) -> int:
    """``--validate``: say that the config is fine, or raise with all that is not."""
    workflow = load(context)
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
