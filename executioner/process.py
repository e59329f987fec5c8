"""Starting the processes of jobs.

``posix_spawn`` into a session of its own, output straight to the log's descriptor: no
pipe, no reader thread, nothing to lose. A command without shell syntax is executed
directly, as make does: that halves the cost of every small program.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping

from executioner.lean import signal

SHELL = "/bin/sh"
#: Python ignores these; a job must find them as a shell would give them.
_RESET = [signal.SIGPIPE, signal.SIGXFSZ]
#: Where programs are looked for if the environment has no PATH.
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
#: Faults of starting a program directly that the shell is to explain in its own words.
_SHELL_DECIDES = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC})

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:+@=- \t")
#: Builtins of every shell whose programs of the same name do the same with plain words: these save the shell.
_TWINS = frozenset({"true", "false", "echo"})
# Builtins and reserved words of dash and bash: what a shell would not look for on PATH.
_SHELL_WORDS = frozenset(
    (
        ". : [ alias bg bind break builtin caller case cd chdir command compgen complete compopt"
        " continue coproc declare dirs disown do done echo elif else enable esac eval exec exit"
        " export false fc fg fi for function getopts hash help history if in jobs kill let local"
        " logout mapfile popd printf pushd pwd read readarray readonly return select set shift"
        " shopt source suspend test then time times trap true type typeset ulimit umask unalias"
        " unset until wait while"
    ).split()
)


class Launcher:
    """Turns a command and an environment into a running process.

    Args:
        null_fd: ``/dev/null``, which jobs read from.
        functions: whether environments hold functions that a bash exported, which would win over programs.
    """

    def __init__(self, null_fd: int, *, functions: bool) -> None:
        self._null_fd = null_fd
        self._functions = functions
        self._folders: dict[bytes | None, list[str] | None] = {}  # by PATH; None: some are relative
        self._default = _defaults()

    def spawn_shell(self, command: str, environment: Mapping[bytes, bytes], log_fd: int) -> int:
        """Start a command as a shell would run it; returns its pid, which leads its own session.

        The current folder is the job's.

        Raises:
            OSError: not even the shell could be started.
        """
        if is_plain(command):
            words = command.split()
            program = self._plain_program(words, environment)
            if program is not None:
                try:
                    return self._spawn(program, words, environment, log_fd)
                except OSError as exc:
                    is_long = exc.errno == errno.E2BIG and words[0] in _TWINS  # for a builtin nothing is
                    if exc.errno not in _SHELL_DECIDES and not is_long:
                        raise
        return self._spawn(SHELL, ["sh", "-c", command], environment, log_fd)

    def spawn_words(self, words: list[bytes], environment: Mapping[bytes, bytes], log_fd: int) -> int:
        """Start a program without any shell.

        Raises:
            OSError: it is not found or cannot be executed.
        """
        name = os.fsdecode(words[0])
        program = (
            name
            if "/" in name
            else _in_folders(name, os.fsdecode(environment.get(b"PATH", _DEFAULT_PATH)).split(":"))
        )
        if program is None:
            raise FileNotFoundError(errno.ENOENT, "command not found", name)
        return self._spawn(program, words, environment, log_fd)

    def _plain_program(self, words: list[str], environment: Mapping[bytes, bytes]) -> str | None:
        """The program that a shell would execute for plain words, or its like; None: leave it to the shell.

        Looked up at every start: an earlier job may have installed it, or a better one.
        """
        name = words[0]
        if "/" in name and "=" not in name:
            return name
        if self._functions or "=" in name:
            return None
        if name in _SHELL_WORDS:
            return f"/bin/{name}" if name in _TWINS and _is_twin(words) else None
        path = environment.get(b"PATH")
        if path not in self._folders:
            # no PATH, or a relative or empty entry, which means the job's own folder
            absolute = path is not None and all(folder[:1] == b"/" for folder in path.split(b":"))
            self._folders[path] = os.fsdecode(path or b"").split(":") if absolute else None
        folders = self._folders[path]
        return None if folders is None else _in_folders(name, folders)

    def _spawn(
        self, path: str, words: list[str] | list[bytes], environment: Mapping[bytes, bytes], log_fd: int
    ) -> int:
        return os.posix_spawn(
            path,
            words,
            environment,
            setsid=True,
            setsigmask=(),
            setsigdef=self._default,
            file_actions=(
                (os.POSIX_SPAWN_DUP2, self._null_fd, 0),
                (os.POSIX_SPAWN_DUP2, log_fd, 1),
                (os.POSIX_SPAWN_DUP2, log_fd, 2),
            ),
        )


def is_plain(command: str) -> bool:
    """Whether a command has nothing in it that means more to a shell than its words."""
    return _PLAIN.issuperset(command)


def _defaults() -> tuple[int, ...]:
    """The signals with which a job does the default; those that we ignore, as our caller did, it ignores as well.

    With most they would do so anyhow. But of a signal that it was not told of, glibc's child asks the kernel what
    becomes of it: 7 of some 500 µs that starting ``true`` and waiting for it takes.
    """
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}  # with these nothing else can be done
    return tuple(number for number in every if number in _RESET or signal.getsignal(number) == signal.SIG_DFL)


def _is_twin(words: list[str]) -> bool:
    """Whether a builtin with these words does as its program: both differ in options only."""
    return len(words) == 1 or (words[0] == "echo" and not words[1].startswith("-"))


def _in_folders(name: str, folders: Iterable[str]) -> str | None:
    for folder in folders:
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    return None


def fork_checks(work: Callable[[int], None], environment: Mapping[bytes, bytes], log_fd: int, keep_fd: int) -> int:
    """Run Python code in a child with a job's session, environment and log; returns its pid.

    ``work`` is given ``keep_fd``, the one descriptor besides 0, 1 and 2 that stays open:
    the locks and the database are closed before anything else happens.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(keep_fd, 3, inheritable=False)  # what a check starts must not hold it open
        os.set_inheritable(3, False)  # dup2 does nothing where it is 3 already
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, *_RESET):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.environb.clear()
        os.environb.update(environment)
        # ours may be closed, or hold text that is not the child's
        sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = sys.stdout
        work(3)
        sys.stdout.flush()
    except BaseException:
        os._exit(70)
    os._exit(0)
