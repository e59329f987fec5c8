"""Where the time of a run goes: ``steps.py chain200 > /dev/null``, or ``layers1000``, ``layers10000``.

Runs the program in this process, in a new folder, with a clock around each step of the scheduler's loop; the
table goes to stderr.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from peers import found
from workloads import Workload, chain, layers

from executioner import cli
from executioner.listeners import Reporter
from executioner.scheduler import Scheduler

WORKLOADS = {
    "chain200": Workload(chain(200), 1),
    "layers1000": Workload(layers(1000), 8),
    "layers10000": Workload(layers(10_000), 8),
}
#: The steps of a turn, and what is part of another (indented).
STEPS: tuple[tuple[str, Any, str], ...] = (
    ("take in what ended, close its log", Scheduler, "_reap"),
    ("serve deadlines", Scheduler, "_serve_deadlines"),
    ("choose what starts, make its log", Scheduler, "_choose"),
    ("commit", Scheduler, "_commit"),
    ("start", Scheduler, "_launch"),
    ("  of it posix_spawn", os, "posix_spawn"),
    ("tell the screen and the run's log", Reporter, "hear"),
    ("wait for a job to end", Scheduler, "_wait"),
    ("all of the loop", Scheduler, "run"),
)


def main(name: str) -> int:
    """Run a workload and print the table."""
    begun, ended = alone()
    print(f"{'/bin/true alone: posix_spawn':36}{begun * 1e6:8.1f} µs a job", file=sys.stderr)
    print(f"{'/bin/true alone: start to end':36}{ended * 1e6:8.1f} µs a job", file=sys.stderr)
    spent = {title: clocked(owner, step) for title, owner, step in STEPS}
    ours, *_ = found()
    workload = WORKLOADS[name]
    os.chdir(tempfile.mkdtemp(prefix="steps-"))
    with open(ours.file, "w", encoding="utf-8") as file:
        file.write(ours.text(workload))
    words = ["-c", ours.file, "--db", "history.db", "-j", str(workload.workers)]
    start = time.perf_counter()
    code = cli.main(words)
    whole = time.perf_counter() - start
    jobs = len(workload.jobs)
    for title, seconds in spent.items():
        line = f"{title:36}{sum(seconds) / jobs * 1e6:8.1f} µs a job, {len(seconds):5} times"
        print(line, file=sys.stderr)
    print(f"{'the run, with what it loads':36}{whole / jobs * 1e6:8.1f} µs a job", file=sys.stderr)
    print(f"The files made are in {os.getcwd()}; remove the folder when done.", file=sys.stderr)
    return code


def alone(times: int = 200) -> tuple[float, float]:
    """The median seconds of starting ``/bin/true``, and of that and waiting for it, when nothing else runs."""
    begun, ended = [], []
    environment = dict(os.environb)  # os.environ would be encoded anew each time
    for _ in range(times):
        start = time.perf_counter()
        pid = os.posix_spawn("/bin/true", ["true"], environment, setsid=True)
        begun.append(time.perf_counter() - start)
        os.waitpid(pid, 0)
        ended.append(time.perf_counter() - start)
    return statistics.median(begun), statistics.median(ended)


def clocked(owner: Any, name: str) -> list[float]:
    """Put a clock around a function; returns the list of the seconds that each call took."""
    inner: Callable[..., Any] = getattr(owner, name)
    seconds: list[float] = []

    def outer(*args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return inner(*args, **named)
        finally:
            seconds.append(time.perf_counter() - start)

    setattr(owner, name, outer)
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show where the time of a run goes.")
    parser.add_argument("workload", choices=WORKLOADS)
    sys.exit(main(parser.parse_args().workload))
