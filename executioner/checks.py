"""Pre- and post-checks: conditions in Python, run in a child of their own.

A check that is slow, crashes or exits harms its own job only: it runs in a forked child
with the job's session, environment, folder and log. Its verdict comes back through a pipe.
"""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

from executioner.deferred import load_deferred
from executioner.family import end_with, kill_group
from executioner.folders import open_regular
from executioner.model import Check, Plugin
from executioner.process import fork_checks
from executioner.render.text import safe
from executioner.verdict import signal_name

_LOADING_S = 60.0
_MOST_PLUGIN_BYTES = 16 << 20
_VERDICT_BYTES = 4000  # less than a pipe holds: the writer never waits for a reader
_BEGUN = b"\0"  # stands before the verdict for each check that was begun
_MOST_COUNTED = 4000
_ORA = rb"\bORA-\d{4,5}\b"
_ORA_OR_SP2 = rb"\b(?:ORA-\d{4,5}|SP2-\d{4})\b"


class CheckFailedError(Exception):
    """A check does not hold, for a reason worth telling."""


def _check_file_exists(path: str) -> bool:
    if not os.path.exists(path):
        raise CheckFailedError("no such file")
    return True


def _check_no_match(pattern: bytes, log_file: str) -> bool:
    import glob

    expression = re.compile(pattern)
    names = sorted(name for name in glob.glob(log_file, recursive=True) if os.path.isfile(name))
    if not names:
        raise CheckFailedError("no file matches")
    for name in names:
        with open(name, "rb") as file:
            for number, line in enumerate(file, 1):
                if expression.search(line):
                    text = line.strip()[:200].decode("utf-8", "replace")
                    raise CheckFailedError(f"{name} line {number}: {text}")
    return True


def _check_no_ora_errors(log_file: str) -> bool:
    return _check_no_match(_ORA, log_file)


def _check_no_ora_or_sp2_errors(log_file: str) -> bool:
    return _check_no_match(_ORA_OR_SP2, log_file)


BUILT_IN: Mapping[str, Callable[..., object]] = {
    "check_file_exists": _check_file_exists,
    "check_no_ora_errors": _check_no_ora_errors,
    "check_no_ora_or_sp2_errors": _check_no_ora_or_sp2_errors,
}


def _load(plugin: Plugin) -> dict[str, Callable[..., object]]:
    """The checks that a plugin file adds. Runs its code: call it in a child only."""
    load_deferred()
    module = ModuleType(f"executioner_plugin_{plugin.name}")
    module.__file__ = plugin.path
    sys.modules[module.__name__] = module  # as pickling and dataclasses expect
    with open(open_regular(plugin.path), "rb") as file:
        text = file.read(_MOST_PLUGIN_BYTES + 1)
    if len(text) > _MOST_PLUGIN_BYTES:
        raise CheckFailedError(f"it is larger than {_MOST_PLUGIN_BYTES >> 20} MiB")
    code = compile(text, plugin.path, "exec")
    exec(code, module.__dict__)
    checks: dict[str, Callable[..., object]] = dict(getattr(module, "CHECKS", {}))
    plugin_class = getattr(module, "PLUGIN_CLASS", None)
    if plugin_class is not None:
        checks[plugin.name] = lambda **params: plugin_class(params).check()
    if not checks:
        raise CheckFailedError("defines neither CHECKS nor PLUGIN_CLASS")
    return checks


def plugin_checks(plugin: Plugin) -> frozenset[str] | str:
    """The names of a plugin's checks, or what is wrong with it. Its code runs in a child, and is not kept."""
    read_fd, write_fd = os.pipe()
    parent = os.getpid()

    def work(fd: int) -> None:
        end_with(parent)
        sys.dont_write_bytecode = True
        try:
            report = "ok\n" + "\n".join(str(name) for name in _load(plugin))
        except BaseException as exc:
            is_missing = isinstance(exc, FileNotFoundError) and exc.filename == plugin.path
            report = f'no file "{plugin.path}"' if is_missing else f"cannot be loaded: {_said(exc)}"
        os.write(fd, report.encode("utf-8", "replace")[:_VERDICT_BYTES])

    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        pid = fork_checks(work, os.environb, null, write_fd)
    finally:
        os.close(null)
        os.close(write_fd)
    try:
        if not select.select([read_fd], [], [], _LOADING_S)[0]:
            return f"cannot be loaded: it takes longer than {_LOADING_S:.0f} s"
        report = os.read(read_fd, _VERDICT_BYTES + 1).decode("utf-8", "replace")
    finally:
        os.close(read_fd)  # Ctrl-C while it hangs, too
        kill_group(pid)
        os.waitpid(pid, 0)
    if report.startswith("ok\n"):
        return frozenset(report.split("\n")[1:])
    return report or "cannot be loaded: it ended the process"


def _said(exc: BaseException) -> str:
    if isinstance(exc, OSError) and exc.strerror == "it is not a regular file":
        return exc.strerror
    text = str(exc).strip()
    if isinstance(exc, CheckFailedError):
        return text
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _shown(check: Check) -> str:
    params = ", ".join(f"{name}={value!r}" for name, value in check.params.items())
    return f"{check.name}({params})"


class CheckRunner:
    """Runs checks in children. ``forking`` never happens where no job has any."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = plugins

    def start(self, checks: Sequence[Check], environment: Mapping[bytes, bytes], log_fd: int) -> tuple[int, int]:
        """Start a child that tries checks in turn; returns its pid and the descriptor of its report.

        Raises:
            OSError: no child can be started.
        """
        read_fd, write_fd = os.pipe()
        try:
            pid = fork_checks(lambda fd: self._work(checks, fd), environment, log_fd, write_fd)
        except OSError:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        os.set_blocking(read_fd, False)
        return pid, read_fd

    def _work(self, checks: Sequence[Check], report_fd: int) -> None:
        known = dict(BUILT_IN)
        sys.dont_write_bytecode = True
        report = "ok"
        try:
            for plugin in self._plugins:
                if any(check.name not in known for check in checks):
                    known.update(_load(plugin))
            for number, check in enumerate(checks):
                if number < _MOST_COUNTED:
                    os.write(report_fd, _BEGUN)
                problem = _try(known, check)
                self._log(check, problem)
                if problem is not None:
                    report = f"{_shown(check)}: {problem}"
                    break
        except BaseException as exc:
            report = f"{_said(exc)}"
        os.write(report_fd, report.encode("utf-8", "replace")[:_VERDICT_BYTES])

    def _log(self, check: Check, problem: str | None) -> None:
        sys.stdout.flush()
        said = safe(f"{_shown(check)}: {problem or 'holds'}")
        line = f"=== {said} ===\n"
        os.write(1, line.encode("utf-8", "replace"))

    def under_way(self, checks: Sequence[Check], report_fd: int) -> str:
        """The check that a child has begun last, as a message names it; nothing if it has begun none."""
        return _named(checks, _read(report_fd)[0])

    def verdict(self, checks: Sequence[Check], report_fd: int, exit_code: int) -> str | None:
        """What a child's end means: None if all its checks hold, else which does not and why.

        The descriptor is closed. Only an exit with 0 and a full report is a success.
        """
        try:
            begun, report = _read(report_fd)
        except OSError as exc:
            begun, report = 0, str(exc)
        finally:
            os.close(report_fd)
        if report == "ok" and exit_code == 0:
            return None
        if report and report != "ok":
            return report
        how = f"was killed by {signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
        name = _named(checks, begun)
        return f"{name}: its process {how}" if name else f"its process {how}"


def _named(checks: Sequence[Check], begun: int) -> str:
    """The last of some checks that were begun; nothing where that is not known."""
    is_known = 0 < begun <= len(checks) and (begun < _MOST_COUNTED or len(checks) == begun)
    return _shown(checks[begun - 1]) if is_known else ""


def _read(report_fd: int) -> tuple[int, str]:
    """How many checks a child has begun, and its verdict, if there is one yet."""
    try:
        data = os.read(report_fd, _MOST_COUNTED + _VERDICT_BYTES)
    except BlockingIOError:
        return 0, ""
    report = data.lstrip(_BEGUN)
    return len(data) - len(report), report.decode("utf-8", "replace")


def _try(known: Mapping[str, Callable[..., object]], check: Check) -> str | None:
    """Run one check; None if it holds, else why not."""
    function = known.get(check.name)
    if function is None:
        return "no such check"
    try:
        holds = function(**check.params)
    except BaseException as exc:
        return _said(exc)
    return None if holds else "it does not hold"
