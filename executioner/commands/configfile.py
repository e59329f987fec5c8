"""The bytes of a config, for those who read it whole and those who only look at it."""

from __future__ import annotations

import errno
import os

from executioner.folders import open_regular

MOST_BYTES = 64 * 1024 * 1024


def config_content(path: str) -> bytes:
    """The bytes of a config.

    Raises:
        OSError: it cannot be read, or is too large to be one.
    """
    with open(open_regular(path), "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES // 1024 // 1024} MiB", path)
        return file.readall()
