"""From the bytes of a config file to a ``Workflow``, or to all that is wrong with it.

``parse`` is pure: what it must know about the machine (the home folder, which folders
exist, what checks a plugin adds) comes in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os.path import basename, dirname, isabs, join, normpath, splitext

from executioner.config.jobs import (
    BUILT_IN_CHECKS,
    CommandJudge,
    Defaults,
    JobReader,
    default_retry,
    report_circle,
    seconds,
    sound_variables,
    variables,
)
from executioner.config.keys import APPLICATION, PLUGIN_ENTRY, split_addresses
from executioner.config.problems import MOST_OF_PATH, Problems, printable, quoted
from executioner.config.text import read
from executioner.errors import ConfigError, Problem
from executioner.lean import suppress
from executioner.model import NextStep, Notification, Plugin, Workflow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PluginChecks = Callable[[Plugin], frozenset[str] | str]


def parse(
    data: bytes,
    *,
    path: str,
    shown: str,
    home: str,
    is_folder: Callable[[str], bool],
    plugin_checks: PluginChecks,
    steps: Sequence[NextStep] = (),
) -> Workflow:
    """The workflow that ``data``, the content of the file ``path``, describes.

    ``path`` is absolute; ``shown`` is how the user wrote it. ``plugin_checks`` returns the
    names of the checks that a plugin adds, or why it cannot be used. Raises ConfigError
    with all problems, and with ``steps`` as what to type next.
    """
    problems = Problems()
    values = read(data, problems)
    if values is None:
        raise _error(shown, problems, steps)
    workflow = _Reader(path, home, is_folder, problems).workflow(values, plugin_checks, data)
    if problems.total:
        raise _error(shown, problems, steps)
    return workflow


def _error(shown: str, problems: Problems, steps: Sequence[NextStep]) -> ConfigError:
    """The error for all problems; those beyond the first hundred are only counted."""
    more = problems.total - len(problems.kept)
    if not more:
        return ConfigError(shown, problems.kept, steps)
    last = Problem("", f"... and {more:,} more problem{'' if more == 1 else 's'}")
    return ConfigError(shown, [*problems.kept, last], steps, problems.total)


class _Reader:
    """The application's keys, one after the other."""

    __slots__ = ("_config_dir", "_exists", "_home", "_is_folder", "_missing", "_path", "_problems")

    def __init__(self, path: str, home: str, is_folder: Callable[[str], bool], problems: Problems) -> None:
        self._path = path
        self._config_dir = dirname(path)
        self._home = home
        self._is_folder = is_folder
        self._problems = problems
        self._exists: dict[str, bool] = {}
        #: The application's working_dir, if it does not exist: jobs below it are not reported too.
        self._missing: str | None = None

    def workflow(self, written: dict[str, object], plugin_checks: PluginChecks, data: bytes) -> Workflow:
        """Everything that the config says; meaningless if problems were added."""
        values = APPLICATION.usable(written, "", self._problems)
        working_dir = self._application_folder(values)
        # What is relative to a folder that is not known cannot be looked for.
        is_start_known = "working_dir" in values or "working_dir" not in written
        is_usable = "env_variables" in values or "env_variables" not in written
        env = variables(values.get("env_variables")) if is_usable else sound_variables(written["env_variables"])
        is_sound = report_circle(env, {}, "env_variables", self._problems)
        plugins = self._plugins(written)
        known_checks, are_checks_complete = self._plugin_checks(plugins, plugin_checks)
        if "dependency_plugins" in written and "dependency_plugins" not in values:
            are_checks_complete = False
        whitelist = self._whitelist(values, written)
        allow_shell = values.get("allow_shell", True) is not False
        defaults = Defaults(
            timeout_s=seconds(values.get("default_timeout", APPLICATION.keys["default_timeout"].default)),
            retry=default_retry(values),
            working_dir=working_dir,
            env=env if is_sound else {},
            plugin_checks=known_checks,
            are_checks_complete=are_checks_complete,
            judge=None if allow_shell else _judge(whitelist),
        )
        log_dir = self._absolute(values.get("log_dir", "logs"), working_dir)
        history = values.get("history_db")
        inherit = values.get("inherit_shell_env", True)
        name = self._name(values)
        find_folder = self._job_folder_finder(working_dir, is_start_known=is_start_known)
        jobs = JobReader(defaults, find_folder, self._problems).read(values.get("jobs", []))
        return Workflow(
            name=name,
            config_path=self._path,
            config_hash=sha256_hex(data),
            working_dir=working_dir,
            log_dir=log_dir,
            history_db=None if history is None else self._absolute(history, self._config_dir),
            parallel=values.get("parallel") is True,
            max_workers=_integer(values.get("max_workers")),
            max_active_runs=_integer(values.get("max_active_runs")),
            continue_on_error=values.get("continue_on_error") is True,
            kill_grace_s=float(values.get("kill_grace", APPLICATION.keys["kill_grace"].default)),
            env=env,
            inherit_shell_env=tuple(inherit) if isinstance(inherit, list) else inherit,
            allow_shell=allow_shell,
            command_whitelist=whitelist,
            plugins=tuple(plugin for plugin, _ in plugins),
            notification=_notification(values),
            jobs=jobs,
        )

    def _name(self, values: Mapping[str, Any]) -> str:
        name = values.get("application_name")
        alias = values.get("name")
        if name is not None and alias is not None and name != alias:
            self._problems.add("name", f"differs from application_name, {quoted(str(name))}")
        stem = splitext(basename(self._path))[0]
        # A file name need not be UTF-8, a name in the history must be.
        return str(name or alias or stem.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))

    def _absolute(self, path: str, start: str) -> str:
        """A path of the config, ``~`` expanded and relative to ``start``, without ``..``."""
        if path == "~" or path.startswith("~/"):
            path = self._home + path[1:]
        return normpath(path if isabs(path) else join(start, path))

    def _application_folder(self, values: Mapping[str, Any]) -> str:
        if "working_dir" not in values:
            return self._config_dir
        folder = self._absolute(values["working_dir"], self._config_dir)
        if not self._check_folder(folder, "working_dir"):
            self._missing = folder
        return folder

    def _job_folder_finder(self, start: str, *, is_start_known: bool) -> Callable[[str, str], str]:
        def find(path: str, place: str) -> str:
            folder = self._absolute(path, start)
            if not is_start_known and not path.startswith(("/", "~")):
                return folder
            if self._missing is None or not f"{folder}/".startswith(f"{self._missing}/"):
                self._check_folder(folder, place)
            return folder

        return find

    def _check_folder(self, folder: str, place: str) -> bool:
        if folder not in self._exists:
            self._exists[folder] = self._is_folder(folder)
        if not self._exists[folder]:
            self._problems.add(place, f"no folder {quoted(folder, MOST_OF_PATH)}")
        return self._exists[folder]

    def _plugins(self, written: Mapping[str, object]) -> list[tuple[Plugin, str]]:
        """The plugins that are told correctly, each with its place."""
        found: list[tuple[Plugin, str]] = []
        items = written.get("dependency_plugins")
        for at, item in enumerate(items if isinstance(items, list) else ()):
            if PLUGIN_ENTRY.problem(item) is not None:
                continue
            entry = item if isinstance(item, dict) else {"path": item}
            path = self._absolute(str(entry["path"]), self._config_dir)
            name = str(entry.get("name") or splitext(basename(path))[0])
            found.append((Plugin(name, path), f"dependency_plugins[{at}]"))
        return found

    def _plugin_checks(
        self, plugins: list[tuple[Plugin, str]], plugin_checks: PluginChecks
    ) -> tuple[frozenset[str], bool]:
        """The names of all checks that plugins add, and whether all plugins could tell."""
        owners: dict[str, str] = dict.fromkeys(BUILT_IN_CHECKS, "built in")
        is_complete = True
        for plugin, place in plugins:
            names = plugin_checks(plugin)
            if isinstance(names, str):
                self._problems.add(place, printable(names))
                is_complete = False
                continue
            for name in sorted(names):
                if name in owners:
                    self._problems.add(place, f"check {quoted(name)} is already {owners[name]}")
                owners.setdefault(name, f"added by {place}")
        return frozenset(owners) - frozenset(BUILT_IN_CHECKS), is_complete

    def _whitelist(self, values: Mapping[str, Any], written: Mapping[str, object]) -> frozenset[str] | None:
        names = values.get("command_whitelist")
        if names is None:
            return None
        is_unclear = "allow_shell" in written and "allow_shell" not in values
        if not is_unclear and values.get("allow_shell", True) is not False:
            self._problems.add("command_whitelist", "works only with allow_shell: false")
        return frozenset(names)


def _judge(whitelist: frozenset[str] | None) -> CommandJudge:
    from executioner.config.commands import faults

    return lambda command: faults(command, whitelist)


def sha256_hex(data: bytes) -> str:
    """The digest in hexadecimal, for small files without ``hashlib``: OpenSSL takes 3 ms to load."""
    if len(data) < 1_000_000:
        with suppress(ImportError):
            return str(_own_sha256()(data).hexdigest())
    from hashlib import sha256

    return sha256(data).hexdigest()


def _own_sha256() -> Any:
    """The interpreter's own function."""
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]  # Python 3.11
    except ImportError:
        from _sha2 import sha256  # type: ignore[import-not-found]
    return sha256


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def _notification(values: Mapping[str, Any]) -> Notification:
    addresses = values.get("email_address", [])
    if isinstance(addresses, str):
        addresses = split_addresses(addresses)
    return Notification(
        addresses=tuple(dict.fromkeys(addresses)),
        on_success=values.get("email_on_success") is True,
        on_failure=values.get("email_on_failure", True) is True,
        server=values.get("smtp_server"),
        port=_integer(values.get("smtp_port")),
        user=values.get("smtp_user"),
        password=values.get("smtp_password"),
        tls=values.get("smtp_tls", "starttls"),
    )
