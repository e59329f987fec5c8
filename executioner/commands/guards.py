"""What is looked at before a run, or its preview, begins; each refuses by raising."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

from executioner.commands.context import Context, run_words
from executioner.errors import RunRefusedError, UsageError
from executioner.folders import check_can_hold
from executioner.history.liveness import UnfinishedRun
from executioner.jsontext import dumps
from executioner.model import JobStatus, NextStep, Workflow
from executioner.mounts import network_file_system
from executioner.plan import Preferences
from executioner.records import PastJob
from executioner.render.command import Invocation
from executioner.render.text import count, first_of, local_time, quoted, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from executioner.history.crashes import Crash
    from executioner.leftovers import Leftover

#: Jobs without a success on record, each with the run of its newest result, where there is one.
Unproven: TypeAlias = list[tuple[str, tuple[int, PastJob] | None]]
_MOST_NAMED = 10
_NEEDED = ("psutil", "tabulate", "wcwidth")


def preferences(context: Context, workflow: Workflow) -> Preferences:
    """What the command line asks of a run.

    Raises:
        UsageError: it names jobs that are not there.
    """
    options = context.options
    known = {job.id for job in workflow.jobs}
    first = () if options.from_job is None else (options.from_job,)
    for flag, names in (("--skip", options.skip), ("--from-job", first)):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UsageError(
                f"{flag}: no job {', '.join(map(dumps, unknown))}",
                str(options.config),
                details=near_misses(unknown, known),
                assurance="Nothing was run.",
                steps=[NextStep("To see its jobs:", ("-c", str(options.config), "--dry-run"))],
            )
    if options.from_job in options.skip:
        raise UsageError(
            f"--from-job and --skip both name {options.from_job}",
            str(options.config),
            assurance="Nothing was run. Name it in one of them only.",
        )
    return Preferences(
        frozenset(options.skip),
        options.workers,
        options.parallel,
        options.sequential,
        options.continue_on_error,
        options.from_job,
    )


def near_misses(unknown: Sequence[str], known: Collection[str]) -> list[str]:
    """What was probably meant by names that are not known; of several each is told with its own."""
    import difflib

    found = [(name, difflib.get_close_matches(name, known, 1)) for name in unknown]
    named = len(unknown) > 1
    return [f"{f'{dumps(name)}: ' if named else ''}did you mean {dumps(near[0])}?" for name, near in found if near]


def missing_packages(needed: Sequence[str] = _NEEDED) -> list[str]:
    """The packages that this program needs and this Python has not; a look at their folders, not an import."""
    return [name for name in needed if not any(finder.find_spec(name, None) for finder in sys.meta_path)]


def install_step(missing: Sequence[str]) -> NextStep:
    """How to get packages that are missing."""
    python = quoted(sys.executable or "python3")
    packages = " ".join(map(quoted, missing))
    marker = os.path.join(os.path.dirname(os.__file__), "EXTERNALLY-MANAGED")
    if sys.prefix == sys.base_prefix and os.path.exists(marker):  # pip would refuse (PEP 668)
        made = "executioner-venv"
        line = f"{python} -m venv {made} && {made}/bin/python -m pip install {packages}"
        return NextStep(f"To make an environment that has them, whose {made}/bin/python is to run it:", line=line)
    return NextStep("To install what is missing:", line=f"{python} -m pip install {packages}")


def check_installation(done: str = "run") -> None:
    """Refuse to begin what could not be ended: without psutil the processes of jobs are not found.

    ``done`` is what is not done then.

    Raises:
        RunRefusedError: it is not there.
    """
    if missing_packages(("psutil",)):
        raise lacks_packages(f"Nothing was {done}: jobs that run on could not be seen, nor ended whole.")


def lacks_packages(assurance: str) -> RunRefusedError:
    """The error where packages are missing that are needed."""
    missing = missing_packages()
    return RunRefusedError(
        "This Python lacks packages that executioner needs",
        ", ".join(missing),
        assurance=assurance,
        steps=[install_step(missing)],
    )


def check_log_dir(workflow: Workflow) -> None:
    """Refuse a log folder that cannot be written, without making it.

    Raises:
        UsageError: it cannot be used.
    """
    try:
        check_can_hold(workflow.log_dir)
    except OSError as exc:
        raise log_dir_error(workflow, f"{exc.filename} is {exc.strerror}") from exc


def log_dir_error(workflow: Workflow, why: str) -> UsageError:
    """The error for a log folder that cannot be used."""
    return UsageError(
        f"The logs cannot be written: {why}",
        workflow.config_path,
        steps=(),
        assurance='Nothing was run. Set "log_dir" in the config to a folder that can be written.',
    )


def active_warnings(workflow: Workflow, active: Sequence[UnfinishedRun], typed: Invocation) -> list[str]:
    """What to say of other live runs of the config.

    Raises:
        RunRefusedError: they are as many as may be at once.
    """
    limit = workflow.max_active_runs
    if active and limit is not None and len(active) >= limit:
        verb = "run of this config is" if len(active) == 1 else "runs of this config are"
        raise RunRefusedError(
            f"{len(active)} {verb} active, max_active_runs is {limit}",
            workflow.name,
            details=[_active_line(one) for one in active],
            steps=[NextStep("To watch:", (*typed.db_words, "--show-run", str(active[-1].run_id)))],
            assurance="Nothing was run.",
        )
    return [f"this config is already being run: {_active_line(one)}" for one in active]


def place_fault(history: str) -> tuple[str, str] | None:
    """What is wrong with the place where a history lies, and what to do; None if nothing is."""
    kind = network_file_system(history)
    if kind is None:
        return None
    return (
        f"the history is on a network file system ({kind}), where other machines can damage it",
        "keep it on a disk of this one (--db, $EXECUTIONER_DB, or history_db in the config)",
    )


def place_warnings(history: str) -> list[str]:
    """The same as what a run warns of."""
    fault = place_fault(history)
    return [] if fault is None else [": ".join(fault)]


def _active_line(run: UnfinishedRun) -> str:
    return safe(f"run {run.run_id} ({run.user}@{run.host}, pid {run.pid}, since {local_time(run.started_at)})")


def jobs_to_end(
    context: Context, typed: Invocation, crashes: Sequence[Crash], identity: Callable[[], Mapping[str, bytes]]
) -> Sequence[Leftover]:
    """The jobs of runs that died which are to be ended before the run begins.

    Raises:
        RunRefusedError: some still run, and nobody said what shall become of them.
    """
    if not crashes:
        return ()
    from executioner.commands.leftovers import check_leftovers, find_leftovers

    return check_leftovers(context, typed, find_leftovers(crashes, identity))


def record_text(result: tuple[int, PastJob]) -> str:
    """``FAILED in run 249: Exit code 1``."""
    run_id, job = result
    why = f": {job.reason}" if job.reason and job.status != JobStatus.SUCCESS else ""
    return f"{job.status} in run {run_id}{why}"


def refuse_unproven(context: Context, typed: Invocation, unproven: Unproven) -> None:
    """Refuse to count jobs as done that have no SUCCESS on record, unless that is accepted by ``--yes``.

    Raises:
        UsageError: it is not.
    """
    options = context.options
    if not unproven or options.yes:
        return
    width = max(len(name) for name, _ in unproven[:_MOST_NAMED])
    details = [
        f"{name:{width}}  {'never run' if result is None else record_text(result)}" for name, result in unproven
    ]
    them = "them" if len(unproven) > 1 else "it"
    have = "have" if len(unproven) > 1 else "has"
    raise UsageError(
        f"{count(len(unproven), 'job')} before {options.from_job} {have} no SUCCESS on record",
        str(options.config),
        details=first_of(details, _MOST_NAMED),
        assurance="Nothing was run.",
        steps=[
            NextStep(
                f"To count {them} as done and start with {options.from_job}:",
                line=typed.run(*run_words(options._replace(yes=True))),
            )
        ],
        ending="" if options.dry_run else "Add --dry-run to preview it.",
    )
