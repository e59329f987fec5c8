"""Reading a config file and everything that its validation has to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence

from executioner.commands.configfile import config_content
from executioner.commands.context import Context, Options
from executioner.config.parse import parse
from executioner.errors import UsageError
from executioner.model import NextStep, Plugin, Workflow
from executioner.render.text import count, safe, shown_path, storable


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
        missing = isinstance(exc, FileNotFoundError)
        raise _unreadable(
            name, exc.strerror or str(exc), _instead(context.options, name, path) if missing else ()
        ) from exc
    return parse(
        content,
        path=_plain_path(path),
        shown=name,
        home=os.path.expanduser("~"),
        is_folder=os.path.isdir,
        plugin_checks=_plugin_checks,
        steps=[NextStep("To check again:", ("-c", f"./{name}" if name.startswith("-") else name, "--validate"))],
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


def _instead(options: Options, name: str, path: str) -> Sequence[NextStep]:
    """What to type where there is no such config."""
    if options.resume_from is None:
        into = name if os.path.isdir(os.path.dirname(path)) and not name.endswith("/") else None
        return [NextStep("To start with a small example:", ("--simple-config",), into=into)]
    db = () if options.db is None else ("--db", options.db)
    again = (*db, "--resume-from", options.resume_from, "--dry-run")
    return [
        NextStep("If it was moved, to preview it:", ("-c", "NEW_PATH", *again)),
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
