"""What starts when: dependencies, workers, and the order among jobs that are ready."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from harness import Program, gate
from history_tools import sql


def appended(program: Program, name: str = "order") -> list[str]:
    """The lines that jobs appended to a file."""
    return (program.folder / name).read_text().split()


def noting(job: str, *dependencies: str) -> dict[str, Any]:
    """A job that appends its id to the file ``order``."""
    return {"id": job, "command": f"echo {job} >> order", "dependencies": list(dependencies)}


def started(program: Program, run_id: int = 1) -> list[str]:
    """The jobs of a run by their recorded start."""
    query = "SELECT id FROM job_history WHERE run_id = ? ORDER BY start_time"
    return [row["id"] for row in program.rows(query, run_id)]


#: Takes three jobs for many, and says how long the scheduler waits for a signal before it starts anything.
_FIRST_WAIT = """
import os, signal
from executioner import scheduler
from executioner.signals import SignalQueue
scheduler._MANY_STARTS = 3
said = []
def wait_for_end(self, timeout_s, real=SignalQueue.wait_for_end):
    if not said:
        said.append(print(f"waits {timeout_s} s", file=sys.stderr))
        if interrupted:
            os.kill(os.getpid(), signal.SIGINT)
    return real(self, timeout_s)
SignalQueue.wait_for_end = wait_for_end
"""


@pytest.mark.parametrize(
    ("flags", "jobs", "rest"), [(("-j", "2"), 3, "0.025"), (("-j", "2"), 2, "0"), ((), 3, "0")]
)
def test_before_many_starts_side_by_side_the_runner_rests(
    program: Program, flags: tuple[str, ...], jobs: int, rest: str
) -> None:
    """25 ms, so that Linux spreads what is started; not for few jobs, nor where one runs at a time."""
    program.config([noting(f"j{at}") for at in range(jobs)])
    result = program.changed(f"interrupted = False\n{_FIRST_WAIT}", "-c", "flow.json", *flags)
    assert (result.code, result.err) == (0, f"waits {rest} s\n")
    assert len(appended(program)) == jobs


def test_a_signal_during_that_rest_starts_nothing(program: Program) -> None:
    """Ctrl-C before the first start: exit 130, and no job has run."""
    program.config([noting(f"j{at}") for at in range(3)])
    result = program.changed(f"interrupted = True\n{_FIRST_WAIT}", "-c", "flow.json", "-j", "2")
    assert (result.code, result.err.splitlines()[0]) == (130, "waits 0.025 s")
    assert not (program.folder / "order").exists()
    assert set(program.statuses().values()) == {"SKIPPED"}


@pytest.mark.parametrize("flags", [(), ("-j", "4")])
def test_a_diamond_runs_each_job_once_after_its_dependencies(program: Program, flags: tuple[str, ...]) -> None:
    """The top of a diamond runs first, both sides then, the bottom once and last."""
    program.config(
        [noting("bottom", "left", "right"), noting("left", "top"), noting("right", "top"), noting("top")]
    )
    result = program("-c", "flow.json", *flags)
    assert (result.code, result.err) == (0, "")
    order = appended(program)
    assert sorted(order) == ["bottom", "left", "right", "top"]
    assert (order[0], order[-1]) == ("top", "bottom")
    assert set(program.statuses().values()) == {"SUCCESS"}
    run = program.run_row()
    assert (run["status"], run["total_jobs"], run["completed_jobs"], run["exit_code"]) == ("SUCCESS", 4, 4, 0)


def test_ten_thousand_layered_jobs_each_run_once_after_their_dependencies(program: Program) -> None:
    """Of 10,000 jobs in 100 layers and 8 workers each runs exactly once and after all it depends on."""
    width, depth = 100, 100
    jobs = [
        noting(
            f"j{layer}.{at}",
            *(f"j{layer - 1}.{other}" for other in {at, (at * 7 + 3) % width, (at + 50) % width} if layer),
        )
        for layer in range(depth)
        for at in range(width)
    ]
    random.Random(4).shuffle(jobs)
    program.config(jobs)
    result = program("-c", "flow.json", "-j", "8", "--quiet", timeout=300)
    assert result == (0, "", "")
    place = {job: at for at, job in enumerate(appended(program))}
    assert len(appended(program)) == len(place) == width * depth
    early = [
        (job["id"], needed) for job in jobs for needed in job["dependencies"] if place[needed] > place[job["id"]]
    ]
    assert early == []
    counts = program.rows("SELECT status, count(*) AS n FROM job_history GROUP BY status")
    assert counts == [{"status": "SUCCESS", "n": width * depth}]
    assert program.run_row()["completed_jobs"] == width * depth


def test_one_worker_takes_the_first_ready_job_of_the_config(program: Program) -> None:
    """Sequential order is topological, and among ready jobs always the one that stands first."""
    chance = random.Random(11)
    names = [f"j{at}" for at in range(30)]
    rank = chance.sample(names, len(names))
    jobs = [noting(name, *chance.sample(rank[: rank.index(name)], min(2, rank.index(name)))) for name in names]
    expected: list[str] = []
    while len(expected) < len(jobs):
        left = [job for job in jobs if job["id"] not in expected]
        expected.append(next(job["id"] for job in left if set(job["dependencies"]) <= set(expected)))
    program.config(jobs)
    assert program("-c", "flow.json").code == 0
    assert appended(program) == expected != names


def test_parallel_jobs_run_at_the_same_time(program: Program) -> None:
    """Three jobs that can only end together do end with three workers."""
    for name in ("ab", "bc", "ca"):
        os.mkfifo(program.folder / name)
    program.config(
        {
            "a": "echo x > ab && read line < ca",
            "b": "read line < ab && echo x > bc",
            "c": "read line < bc && echo x > ca",
        },
        default_timeout=40,
    )
    result = program("-c", "flow.json", "-j", "3")
    assert result.code == 0, result.out
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}


@pytest.mark.parametrize(
    ("keys", "flags", "workers"),
    [
        ({}, (), 1),
        ({"parallel": True, "max_workers": 3}, (), 3),
        ({"parallel": False, "max_workers": 3}, (), 1),
        ({"parallel": True, "max_workers": 3}, ("--sequential",), 1),
        ({"parallel": True, "max_workers": 3}, ("-j", "2"), 2),
        ({"parallel": True, "max_workers": 3}, ("--workers", "4"), 4),
        ({}, ("-j", "2"), 2),
        ({"max_workers": 3}, ("--parallel",), 3),
        ({"parallel": True}, (), os.cpu_count()),
        ({}, ("--parallel",), os.cpu_count()),
    ],
)
def test_no_more_jobs_run_than_there_are_workers(
    program: Program, keys: dict[str, Any], flags: tuple[str, ...], workers: int
) -> None:
    """The number of workers comes from the flags, else from the config; never do more jobs run at once."""
    program.config({f"j{at}": "echo + >> count; sleep 0.02; echo - >> count" for at in range(8)}, **keys)
    result = program("-c", "flow.json", *flags)
    assert result.code == 0
    plural = "" if workers == 1 else "s"
    assert result.out.splitlines()[0].endswith(f" Run 1 started: flow, 8 jobs, {workers} worker{plural}")
    running = most = 0
    for mark in appended(program, "count"):
        running += 1 if mark == "+" else -1
        most = max(most, running)
    assert 1 <= most <= workers


def test_the_longest_path_starts_first(program: Program) -> None:
    """Without history the job with most jobs behind it starts first, and then config order decides."""
    program.config([noting("x"), noting("y"), noting("head"), noting("mid", "head"), noting("tail", "mid")])
    assert program("-c", "flow.json", "-j", "2").code == 0
    assert started(program)[:2] == ["head", "x"]


def test_durations_from_history_decide_what_starts_first(program: Program) -> None:
    """A job that took long in the last run starts first in the next one with several workers, not with one."""
    program.config({"quick1": "true", "quick2": "true", "long": "sleep 0.4"})
    assert program("-c", "flow.json", "-j", "2").code == 0
    assert started(program, 1) == ["quick1", "quick2", "long"]
    assert program("-c", "flow.json", "-j", "2").code == 0
    assert started(program, 2)[0] == "long"
    assert program("-c", "flow.json").code == 0
    assert started(program, 3) == ["quick1", "quick2", "long"]


def test_a_job_that_is_slow_to_end_does_not_delay_a_ready_job(program: Program) -> None:
    """While a job that was told to end is still ending, another becomes ready and runs on the free worker."""
    for name in ("told", "ran"):
        os.mkfifo(program.folder / name)
    program.config(
        [
            {
                "id": "slow",
                "command": "trap 'echo > told; read line < ran; touch seen; exit 1' TERM; sleep 300 & wait",
                "timeout": 0.5,
            },
            {"id": "first", "command": "read line < told"},
            {"id": "second", "command": "echo > ran", "dependencies": ["first"]},
        ],
        default_timeout=40,
        kill_grace=40,
    )
    result = program("-c", "flow.json", "-j", "2", "--continue-on-error")
    assert program.statuses() == {"slow": "TIMEOUT", "first": "SUCCESS", "second": "SUCCESS"}
    assert (program.folder / "seen").exists()
    assert result.code == 1


def test_a_result_is_committed_before_a_dependent_starts(program: Program) -> None:
    """A job that looks into the history finds itself RUNNING and its dependency SUCCESS there."""
    look = "sqlite3.connect('file:'+os.environ['EXECUTIONER_DB']+'?mode=ro',uri=True)"
    query = "SELECT id, status FROM job_history ORDER BY position"
    code = f"import os,sqlite3; print(*{look}.execute('{query}'))"
    program.config(
        [
            {"id": "a", "command": "true"},
            {"id": "b", "command": f'python -c "{code}"', "dependencies": ["a"]},
            {"id": "c", "command": "true", "dependencies": ["b"]},
        ]
    )
    assert program("-c", "flow.json").code == 0
    assert program.output("b") == b"('a', 'SUCCESS') ('b', 'RUNNING') ('c', 'PENDING')\n"


def test_too_few_descriptors_mean_fewer_workers_not_failures(program: Program) -> None:
    """With a limit of open files below the number of workers the run goes on with fewer, and says so; then, too,
    the job that took long before starts first.
    """
    import resource

    program.config({**{f"j{at}": "sleep 0.05" for at in range(60)}, "long": "true"})
    assert program("-c", "flow.json", "-j", "61").code == 0
    sql(program.history, "UPDATE job_history SET duration_seconds = iif(id = 'long', 60, 1)")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    result = program("-c", "flow.json", "-j", "61", preexec_fn=limit)
    assert result.code == 0, result.err
    assert set(program.statuses(2).values()) == {"SUCCESS"}
    assert min(row["start_time"] for row in program.jobs(2).values()) == program.jobs(2)["long"]["start_time"]
    [line] = result.err.splitlines()
    assert line.startswith("Warning: ") and "open files" in line and " at a time" in line


def test_max_active_runs_refuses_another_run(program: Program) -> None:
    """While as many runs of a config are active as it allows, another exits 3 and records nothing."""
    program.config({"a": "touch up; read line < go"}, max_active_runs=1, default_timeout=50)
    with gate(program.folder / "go") as go:
        process = program.start("-c", "flow.json")
        try:
            program.wait_for("up")
            refused = program("-c", "flow.json")
        finally:
            go()
            process.communicate(timeout=50)
    assert (refused.code, refused.out) == (3, "")
    assert "1 run of this config is active, max_active_runs is 1" in refused.err
    assert f"pid {process.pid}" in refused.err
    assert "Nothing was run" in refused.err
    assert process.returncode == 0
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [1]
    logs = sorted(path.name for path in Path(program.folder / "logs").iterdir())
    assert logs == ["executioner.flow.job-a.run-1.log", "executioner.flow.run-1.log"]
    assert program("-c", "flow.json", "--skip", "a").code == 0


def test_without_max_active_runs_another_run_is_a_warning(program: Program) -> None:
    """By default a second run of a config goes ahead at the same time, after a warning that names the first."""
    program.config({"a": "mkdir first || exit 0; touch up; read line < go"}, default_timeout=50)
    with gate(program.folder / "go") as go:
        process = program.start("-c", "flow.json")
        try:
            program.wait_for("up")
            second = program("-c", "flow.json")
        finally:
            go()
            process.communicate(timeout=50)
    assert second.err.startswith("Warning: this config is already being run: run 1 (")
    assert f"pid {process.pid}" in second.err
    assert second.code == 0 and process.returncode == 0
    assert program.statuses(1) == program.statuses(2) == {"a": "SUCCESS"}
