"""The program many times over, each time in a fork of one process that has loaded it already.

Each case comes as a line of JSON on stdin: ``argv``, and ``stdin`` as text or null. Its answer is a line of
JSON on stdout: how it ended, what it printed, and what it took. It is the real ``main`` with real streams, in
a process of its own; only the start of the interpreter is shared.
"""

import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import time
from typing import Any

# bounded memory is part of what is tested: a case that needs more fails
_MOST_BYTES = 1 << 30


def _answer(argv: list[str]) -> dict[str, Any]:
    streams = [os.memfd_create(name) for name in ("out", "err")]
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _become(argv, streams)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    texts = [os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "surrogateescape") for fd in streams]
    for fd in streams:
        os.close(fd)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "out": texts[0], "err": texts[1], "s": seconds, "kib": usage.ru_maxrss}


def _become(argv: list[str], streams: list[int]) -> None:
    """Be the program with these arguments; never returns."""
    code = 70  # that of no exit of the program: something came out of ``main``
    try:
        from executioner.cli import main

        null = os.open(os.devnull, os.O_RDONLY)
        for fd, target in zip((null, *streams), (0, 1, 2), strict=True):
            os.dup2(fd, target)
        os.closerange(3, 64)
        sys.argv = ["executioner.py", *argv]
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
        code = main(argv, sys.argv)
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def serve() -> None:
    """Answer until there are no more cases."""
    import executioner

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # all that is otherwise imported only where it is needed, each time anew
    for module in pkgutil.walk_packages(executioner.__path__, "executioner."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("csv", "difflib", "glob", "hashlib", "psutil", "random", "select", "shlex", "shutil", "tempfile"):
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    serve()
