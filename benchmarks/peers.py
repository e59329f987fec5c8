"""Who runs the jobs: each runner found on this machine, what it reads, and how it is called."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from workloads import Job, Workload

EXECUTIONER = (
    sys.executable,
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "executioner.py"),
)


class Peer(NamedTuple):
    """A runner: the text it reads, the file that holds it, and its command lines.

    ``command`` and ``again`` (a resume) take the number of workers. One with ``orders`` false
    knows no dependencies, and is left out where they matter.
    """

    name: str
    file: str
    text: Callable[[Workload], str]
    command: Callable[[int], Sequence[str]]
    again: Callable[[int], Sequence[str]]
    orders: bool = True


def found() -> Iterator[Peer]:
    """Ours first, then those of the others that are installed."""
    run = (*EXECUTIONER, "-c", "jobs.json", "--db", "history.db")
    yield Peer(
        "executioner",
        "jobs.json",
        _config,
        lambda workers: (*run, "-j", str(workers)),
        lambda workers: (*run, "-j", str(workers), "--resume-from", "last"),
    )
    for name, file, text, arguments, again, orders in (
        ("ninja", "build.ninja", _ninja, ("-j",), (), True),
        ("make", "Makefile", _makefile, ("-s", "-j"), (), True),
        ("doit", "dodo.py", _dodo, ("run", "-v", "0", "-n"), (), True),
        (
            "parallel",
            "jobs.txt",
            _lines,
            ("--joblog", "joblog", "-a", "jobs.txt", "-j"),
            ("--resume-failed",),
            False,
        ),
    ):
        beside = os.path.join(os.path.dirname(sys.executable), name)
        program = shutil.which(name) or (beside if os.access(beside, os.X_OK) else None)
        if program:
            yield Peer(
                name,
                file,
                text,
                _call(program, arguments),
                _call(program, (*again, *arguments)),
                orders,
            )


def _call(program: str, arguments: Sequence[str]) -> Callable[[int], Sequence[str]]:
    return lambda workers: (program, *arguments, str(workers))


def _stamped(job: Job, workload: Workload) -> str:
    """The command; for runners that remember success by files, with the file, if there is a resume."""
    return f"{job.command} && touch {job.name}" if workload.before == "a failure" else job.command


def _config(workload: Workload) -> str:
    jobs = [
        {"id": job.name, "command": job.command, **({"dependencies": list(job.after)} if job.after else {})}
        for job in workload.jobs
    ]
    return json.dumps({"application_name": "benchmark", "jobs": jobs})


def _ninja(workload: Workload) -> str:
    edges = [
        f"build {job.name}: run {'|| ' if job.after else ''}{' '.join(job.after)}\n"
        f"  cmd = {_stamped(job, workload).replace('$', '$$')}\n"
        for job in workload.jobs
    ]
    return "rule run\n  command = $cmd\n" + "".join(edges)


def _makefile(workload: Workload) -> str:
    names = " ".join(job.name for job in workload.jobs)
    phony = "" if workload.before == "a failure" else f".PHONY: all {names}\n"
    rules = [
        f"{job.name}:{' | ' if job.after else ''}{' '.join(job.after)}\n"
        f"\t@{_stamped(job, workload).replace('$', '$$')}\n"
        for job in workload.jobs
    ]
    return f"all: {names}\n{phony}" + "".join(rules)


def _dodo(workload: Workload) -> str:
    tasks = [(job.name, job.command, job.after) for job in workload.jobs]
    once = workload.before == "a failure"
    return (
        f"from doit.tools import run_once\nJOBS = {tasks!r}\n\n\n"
        "def task_job():\n    for name, command, after in JOBS:\n"
        "        yield {'name': name, 'actions': [command], 'task_dep': ['job:' + one for one in after],"
        f" 'uptodate': [{'run_once' if once else 'False'}]}}\n"
    )


def _lines(workload: Workload) -> str:
    return "".join(job.command + "\n" for job in workload.jobs)
