"""What the tests of resuming share: workflows that fail as they are told, and looks at what ran."""

import shlex
from typing import Any

from harness import Program, Result
from history_tools import sql
from screens import split_terminal

#: The founding document's workflow: what each job depends on.
PIPELINE: dict[str, tuple[str, ...]] = {
    "download_data": (),
    "validate_data": ("download_data",),
    "transform_part1": ("validate_data",),
    "transform_part2": ("validate_data",),
    "merge_results": ("transform_part1", "transform_part2"),
    "generate_report": ("merge_results",),
    "send_notification": ("generate_report",),
    "cleanup": ("send_notification",),
}


def command(job: str) -> str:
    """A command that notes that it ran, and fails while there is a file ``JOB.fails``."""
    return f"echo {job} >> ran; test ! -e {job}.fails"


def job(name: str, *dependencies: str, **keys: Any) -> dict[str, Any]:
    """A job of such a command."""
    return {"id": name, "command": command(name), "dependencies": list(dependencies), **keys}


def pipeline(program: Program, name: str = "data_pipeline.json", **changes: dict[str, Any]) -> str:
    """Write the founding document's workflow, some of its jobs changed; returns the config's name."""
    return program.config([{**job(one, *needs), **changes.get(one, {})} for one, needs in PIPELINE.items()], name)


def fails(program: Program, *jobs: str) -> None:
    """Let these jobs fail from now on, and no others."""
    for path in program.folder.glob("*.fails"):
        path.unlink()
    for one in jobs:
        (program.folder / f"{one}.fails").touch()


def ran(program: Program) -> list[str]:
    """The jobs that ran since this was last asked, in their order."""
    path = program.folder / "ran"
    if not path.exists():
        return []
    found = path.read_text().split()
    path.unlink()
    return found


def next_id(program: Program, run_id: int) -> None:
    """Let the next run have an id; there is a run of another config before it."""
    program.config({"z": "true"}, name="other.json")
    if not program.history.exists() or not program.rows("SELECT run_id FROM run_metadata"):
        assert program("-c", "other.json").code == 0
    sql(program.history, f"UPDATE sqlite_sequence SET seq = {run_id - 1} WHERE name = 'run_metadata'")


def failed_pipeline(
    program: Program, *flags: str, run_id: int = 249, name: str = "data_pipeline.json", **changes: dict[str, Any]
) -> str:
    """Run that workflow with transform_part2 failing, as in the founding document; returns the config's name."""
    next_id(program, run_id)
    config = pipeline(program, name, **changes)
    fails(program, "transform_part2")
    assert program("-c", config, *flags).code == 1
    assert ran(program) == ["download_data", "validate_data", "transform_part1", "transform_part2"]
    return config


def screen(program: Program, *args: str, **options: Any) -> Result:
    """Run the program with stderr on a terminal without colours, so that commands have their short form."""
    return split_terminal(program, *args, stream="stderr", env={"NO_COLOR": "1", **options.pop("env", {})})


def recorded(program: Program) -> list[dict[str, Any]]:
    """All rows of all runs and jobs."""
    return [
        *program.rows("SELECT * FROM run_metadata ORDER BY run_id"),
        *program.rows("SELECT * FROM job_history ORDER BY run_id, position"),
    ]


def refused(program: Program, *args: str, **options: Any) -> Result:
    """What the program says when it refuses; fails if that made a run, changed a row, or started a job."""
    before, names = recorded(program), sorted(program.folder.rglob("*"))
    result = screen(program, *args, **options)
    assert recorded(program) == before, result
    assert sorted(program.folder.rglob("*")) == names, result
    assert not (program.folder / "ran").exists(), result
    return result


def pasted(line: str) -> list[str]:
    """The arguments of a printed command, without the program."""
    program, *arguments = shlex.split(line)
    assert program == "executioner.py", line
    return arguments


def commands(text: str) -> list[str]:
    """The commands that a screen names."""
    return [line.strip() for line in text.splitlines() if line.startswith("  executioner.py ")]
