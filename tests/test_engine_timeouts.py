"""Time limits, and the end of every process of a job that is beyond its own."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import Program, attempts, is_running, pid_in, stop, wait_until

pytestmark = pytest.mark.promise(5)

#: A limit that leaves a busy machine the time to start what the test is about.
ENOUGH_S = 1.0


@contextmanager
def no_survivor(*files: Path) -> Iterator[None]:
    """Kill what a failing test leaves behind."""
    try:
        yield
    finally:
        for file in files:
            if file.exists() and is_running(pid_in(file)):
                os.kill(pid_in(file), signal.SIGKILL)


def test_limits_come_from_the_job_or_the_default(program: Program) -> None:
    """A job's own limit, the default one and `null` apply; the reason says when the limit is the default."""
    program.config(
        [
            {"id": "own", "command": "sleep 60", "timeout": 0.6},
            {"id": "default", "command": "sleep 60"},
            {"id": "none", "command": "sleep 1.5", "timeout": None},
            {"id": "longer", "command": "sleep 1.5", "timeout": 50},
        ],
        default_timeout=1,
    )
    result = program("-c", "flow.json", "-j", "4", "--continue-on-error")
    assert result.code == 1
    jobs = program.jobs()
    found = {name: (row["status"], row["reason"], row["exit_code"]) for name, row in jobs.items()}
    assert found == {
        "own": ("TIMEOUT", "Timed out after 0.6 s", -15),
        "default": ("TIMEOUT", "Timed out after 00:00:01 (default_timeout)", -15),
        "none": ("SUCCESS", None, 0),
        "longer": ("SUCCESS", None, 0),
    }
    assert 0.6 <= jobs["own"]["duration_seconds"] < 20
    assert 1 <= jobs["default"]["duration_seconds"] < 20
    assert result.err == "Error: Run 1 FAILED: own, default (flow)\n"
    assert "  - own: timed out\n      Reason: Timed out after 0.6 s\n" in result.out
    assert program.run_row()["failed_jobs"] == 2


def test_no_default_limit(program: Program) -> None:
    """`default_timeout: null` means that no job without a limit of its own is ended."""
    program.config({"a": "sleep 0.3"}, default_timeout=None)
    assert program("-c", "flow.json").code == 0


def test_a_job_that_ends_on_term_is_not_waited_for(program: Program) -> None:
    """After TERM a job may clean up; once it is gone the run goes on, whatever the grace; it is TIMEOUT."""
    command = "trap 'echo cleaned; exit 0' TERM; echo up; sleep 60 & wait"
    program.config([{"id": "a", "command": command, "timeout": ENOUGH_S}], kill_grace=50)
    start = time.monotonic()
    assert program("-c", "flow.json").code == 1
    assert time.monotonic() - start < 30
    assert program.statuses() == {"a": "TIMEOUT"}
    assert program.output("a") == b"up\ncleaned\n"


def test_a_job_gets_one_term(program: Program) -> None:
    """Every process of a job gets TERM once: for many programs a second one means to give up cleaning up."""
    (program.folder / "count.py").write_text(
        "import os, signal, sys, time\n"
        "read, write = os.pipe()\n"
        "os.set_blocking(write, False)\n"
        "signal.set_wakeup_fd(write)\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "open('up' + sys.argv[1], 'w').close()\n"
        "os.read(read, 1)\n"
        "time.sleep(0.5)\n"
        "os.set_blocking(read, False)\n"
        "try: more = len(os.read(read, 100))\n"
        "except BlockingIOError: more = 0\n"
        "print('signals:', 1 + more)\n"
    )
    command = "for i in 1 2 3 4 5; do python -S count.py $i & done; wait"
    program.config([{"id": "a", "command": command, "timeout": 2}], kill_grace=40)
    program("-c", "flow.json")
    assert all((program.folder / f"up{number}").exists() for number in range(1, 6))
    assert program.output("a") == b"signals: 1\n" * 5


#: Says its pid, and does not end on TERM.
STAY = "trap '' TERM; echo $$ > pid; while :; do sleep 0.2; done\n"
#: Says its pid, and stops.
STOP = "echo $$ > pid; kill -STOP $$; sleep 60\n"
STUBBORN = {
    "ignores TERM": ". ./stay",
    "its child ignores TERM": "sh stay & sleep 60",
    "its child outlives it": "trap 'exit 1' TERM; sh stay & wait",
    "calls setsid": "setsid sh stay & sleep 60",
    "double-forked daemon": "(setsid sh stay &) ; sleep 60",
    "polite daemon": "(setsid sh -c 'echo $$ > pid; exec sleep 60' &) ; sleep 60",
    "daemon without environment": "sleep 0.3; (env -i setsid sh stay &) ; sleep 60",
    "daemon without environment at once": "(env -i setsid sh stay &) ; sleep 60",
    "stopped": ". ./stop",
    "its child is stopped": "sh stop & sleep 60",
    "stopped daemon that ignores TERM": "(setsid sh -c 'trap \"\" TERM; . ./stop' &) ; sleep 60",
}


@pytest.mark.parametrize("kind", STUBBORN)
def test_a_stubborn_job_is_gone_after_limit_and_grace(program: Program, kind: str) -> None:
    """A job whose processes ignore TERM, leave its group and session, or are stopped is gone with its TIMEOUT."""
    (program.folder / "stay").write_text(STAY)
    (program.folder / "stop").write_text(STOP)
    program.config([{"id": "a", "command": STUBBORN[kind], "timeout": ENOUGH_S}], kill_grace=0.3)
    file = program.folder / "pid"
    with no_survivor(file):
        start = time.monotonic()
        result = program("-c", "flow.json")
        took = time.monotonic() - start
        assert program.statuses() == {"a": "TIMEOUT"}
        assert not is_running(pid_in(file))
    assert took < 20
    assert result.code == 1
    assert program.jobs()["a"]["reason"] == "Timed out after 00:00:01"


def test_ending_one_job_leaves_the_others_alone(program: Program) -> None:
    """When a job is ended with all its processes, those of the job beside it and of earlier jobs go on."""
    program.config(
        [
            {"id": "earlier", "command": "sleep 300 & echo $! > earlier.pid; exit 0"},
            {
                "id": "late",
                "command": "(setsid sleep 300 &); touch up; sleep 60",
                "timeout": ENOUGH_S,
                "dependencies": ["earlier"],
            },
            {
                "id": "beside",
                "command": "(setsid sh -c 'echo $$ > beside.pid; exec sleep 300' &); read line < go",
                "dependencies": ["earlier"],
            },
            {"id": "last", "command": "kill -0 $(cat beside.pid) && echo > go", "dependencies": ["earlier"]},
        ],
        default_timeout=50,
        kill_grace=0.3,
    )
    os.mkfifo(program.folder / "go")
    # `last` gets the worker that `late` had
    with no_survivor(program.folder / "earlier.pid", program.folder / "beside.pid"):
        result = program("-c", "flow.json", "-j", "2", "--continue-on-error")
        assert program.statuses() == {
            "earlier": "SUCCESS",
            "late": "TIMEOUT",
            "beside": "SUCCESS",
            "last": "SUCCESS",
        }, result.out
        assert is_running(pid_in(program.folder / "earlier.pid"))
        assert is_running(pid_in(program.folder / "beside.pid"))


def test_after_a_normal_end_nothing_is_killed_or_waited_for(program: Program) -> None:
    """`sleep 300 & exit 0` is SUCCESS at once, and the sleep is left alone."""
    program.config({"a": "sleep 300 & echo $! > pid; exit 0", "b": "true"})
    file = program.folder / "pid"
    with no_survivor(file):
        start = time.monotonic()
        result = program("-c", "flow.json")
        assert time.monotonic() - start < 30
        assert result.code == 0
        assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS"}
        assert program.jobs()["a"]["duration_seconds"] < 30
        assert is_running(pid_in(file))


def test_a_limit_holds_for_each_attempt(program: Program) -> None:
    """A timed out attempt is retried with the full limit again."""
    program.config(
        [
            {
                "id": "a",
                "command": "mkdir first 2>&- && sleep 60; sleep 0.2",
                "timeout": ENOUGH_S,
                "max_retries": 2,
                "retry_delay": 0.01,
            }
        ]
    )
    assert program("-c", "flow.json").code == 0
    found = [(one["status"], one["reason"], one["exit_code"]) for one in attempts(program, "a")]
    assert found == [("TIMEOUT", "Timed out after 00:00:01", -15), ("SUCCESS", None, 0)]
    assert program.statuses() == {"a": "SUCCESS"}


def test_a_job_that_ended_in_time_is_a_success_though_the_runner_was_stopped(program: Program) -> None:
    """A job's end and its limit seen in the same moment, after the runner was stopped, count as an end in time."""
    limit = 2.0
    os.mkfifo(program.folder / "go")
    fd = os.open(program.folder / "go", os.O_RDWR)
    program.config([{"id": "a", "command": "echo $$ > pid; touch up; read line < go", "timeout": limit}])
    process = program.start("-c", "flow.json")
    try:
        program.wait_for("up")
        begun = time.monotonic()
        stop(process.pid)
        os.write(fd, b"\n")
        wait_until(lambda: not is_running(pid_in(program.folder / "pid")), "the job to end")
        time.sleep(max(0.0, begun + limit + 0.2 - time.monotonic()))  # the limit itself is the matter
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=50)
    finally:
        process.kill()
        os.close(fd)
    assert (process.returncode, err) == (0, "")
    assert program.statuses() == {"a": "SUCCESS"}
    assert program.jobs()["a"]["duration_seconds"] >= limit
