"""The entry of all forms of the program: ``python -m executioner``, ``executioner``, ``executioner.py``."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: How many objects are made before cycles are looked for: what is loaded has none, and a run makes few.
_GARBAGE = 50_000


def run() -> NoReturn:
    """Run the program. A Ctrl-C while it is still being loaded ends it without a traceback."""
    gc.set_threshold(_GARBAGE)
    try:
        if sys.getfilesystemencoding() != "utf-8":
            _begin_again_in_utf8()
        from executioner.deferred import defer_modules

        defer_modules()
        from executioner.cli import main_script
    except KeyboardInterrupt:
        os._exit(130)
    main_script()


def _begin_again_in_utf8() -> None:
    """Replace this process by one in Python's UTF-8 mode (PEP 540).

    In a locale such as de_DE.ISO-8859-1 Python would hand commands and file names to the
    system in that encoding, or not at all; configs and the history are UTF-8. What this
    changes in the environment is kept from the jobs.
    """
    if "EXECUTIONER_PYTHONUTF8" not in os.environ:
        os.environ["EXECUTIONER_PYTHONUTF8"] = os.environ.get("PYTHONUTF8", "")
        os.environ["PYTHONUTF8"] = "1"
        # by its path: Python looks for its own environment beside that
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # with -m the current folder: what lies there must not stand in for a module that is loaded later
        del sys.path[0]
    run()
