"""Run the command given and print its exit status, seconds of wall clock and of CPU, and its peak in bytes.

A program of its own that holds next to nothing: Linux counts the memory of the process that a program replaced
as the program's, so that no figure can be less than the 8 MiB of this one.
"""

import os
import signal
import sys
import time

ACTIONS = [
    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    (os.POSIX_SPAWN_OPEN, 1, "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    (os.POSIX_SPAWN_DUP2, 1, 2),
]

signal.signal(signal.SIGINT, signal.SIG_DFL)
start = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=ACTIONS)
_, status, usage = os.wait4(pid, 0)
wall = time.perf_counter() - start
print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
