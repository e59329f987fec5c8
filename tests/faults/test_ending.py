"""No process is left behind: many shapes of process trees, each ended in every way that there is."""

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from faults_tools import living_in, nobody_left
from harness import Program, attempts, ended, wait_until

pytestmark = pytest.mark.promise(5)

#: A limit that leaves a busy machine the time to put up every process of a job.
LIMIT_S = 3.0
GRACE_S = 0.2
#: What a busy machine may need beyond limit and grace to look at processes and to kill them.
MARGIN_S = 6.0
LONG_S = 50.0

#: Says that it is up, and does not end on TERM.
STAY = "trap '' TERM INT HUP; touch $1; while :; do sleep 0.2; done\n"
#: Says that it is up, and stops.
STOP = "touch $1; kill -STOP $$; sleep 300\n"
#: Never the same process for long: each starts the next one and ends.
HOP = "touch $1; sleep 0.3; setsid sh hop $1 & exit 0\n"

#: The same at a pace at which a look at all processes may miss both the one that ends and the next.
#: Whoever of them lives holds the lock on ``held``, which looks at processes could not tell for certain.
RELAY = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
fcntl.flock(os.open("held", os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)
open(sys.argv[1], "w").close()
for _ in range(1000):  # in case that nobody ends it
    time.sleep(0.02)
    if os.path.exists("enough") or os.fork():
        os._exit(0)
"""

#: Dead processes whose parent does not care, until its stdin is closed.
CROWD = """
import os, sys
for _ in range(1500):
    if not os.fork():
        os._exit(0)
print(flush=True)
sys.stdin.read()
"""

#: What jobs may look like. Each says ``touch up.NAME`` when all of it is there.
SHAPES = {
    "plain": "touch {up}; sleep 300; exit 0",
    "program": "touch {up}; exec sleep 300",
    "child": "sleep 300 & touch {up}; wait",
    "thirty-children": "for i in $(seq 30); do sleep 300 & done; touch {up}; wait",
    "pipeline": "tail -f /dev/null | sleep 300 | {{ touch {up}; sleep 300; }}",
    "own-groups": "set -m; sleep 300 & sleep 300 & touch {up}; wait",
    "ignores-term": "exec sh stay {up}",
    "ends-well-on-term": "trap 'exit 0' TERM; sleep 300 & touch {up}; wait",
    "ends-before-its-daemon": "trap 'exit 0' TERM; (setsid sh stay {up} &); sleep 300 & wait",
    "session": "setsid sh -c 'touch {up}; exec sleep 300' & sleep 300",
    "sessions-in-sessions": "setsid sh -c 'setsid sh -c \"setsid sh stay {up} & wait\" & wait' & sleep 300",
    "daemon": "(setsid sh stay {up} &); sleep 300",
    "polite-daemon": "(setsid sh -c 'touch {up}; exec sleep 300' &); sleep 300",
    "daemon-elsewhere": "(cd /; setsid sh {folder}/stay {folder}/{up} &); sleep 300",
    "daemon-without-output": "(setsid sh stay {up} <&- >&- 2>&- &); sleep 300",
    "forks-on-term": "trap '(setsid sh stay {up} &)' TERM; touch {up}; while :; do sleep 0.05; done",
    "hopping": "setsid sh hop {up} & sleep 300",
    "stopped": ". ./stop-leader",
    "child-stopped": "sh stop {up} & sleep 300",
    "daemon-stopped": "(setsid sh -c 'trap \"\" TERM; . ./stop-daemon' &); sleep 300",
    "holds-its-log": "(sleep 300 &); touch {up}; sleep 300",
    "waits-at-a-fifo": "mkfifo {up}.fifo; touch {up}; read line < {up}.fifo",
    "nested-run": "executioner.py -c inner.json --db inner.db",
}
#: These are known by their parents and by their time alone, so only a job that runs alone has them.
UNMARKED = {
    "without-environment": "(env -i setsid sh stay {up} &); sleep 300",
    "without-mark": "(env -u EXECUTIONER_TRACE setsid sh stay {up} &); sleep 300",
    "without-anything": "(cd /; env -i setsid sh {folder}/stay {folder}/{up} <&- >&- 2>&- &); sleep 300",
}


class End(NamedTuple):
    """A way in which jobs are ended."""

    signals: tuple[signal.Signals, ...]  # to the runner; none: the time limit
    grace_s: float
    status: str
    code: int


ENDS = {
    "timeout": End((), GRACE_S, "TIMEOUT", 1),
    "INT": End((signal.SIGINT,), GRACE_S, "INTERRUPTED", 130),
    "TERM": End((signal.SIGTERM,), GRACE_S, "INTERRUPTED", 143),
    "HUP": End((signal.SIGHUP,), GRACE_S, "INTERRUPTED", 129),
    "INT twice": End((signal.SIGINT, signal.SIGINT), LONG_S, "INTERRUPTED", 130),
    "TERM twice": End((signal.SIGTERM, signal.SIGTERM), LONG_S, "INTERRUPTED", 143),
    "HUP, then INT": End((signal.SIGHUP, signal.SIGINT), LONG_S, "INTERRUPTED", 129),
    "QUIT": End((signal.SIGQUIT,), LONG_S, "INTERRUPTED", 131),
}


def write_config(program: Program, shapes: Mapping[str, str], end: End) -> None:
    """A config with a job of each shape, and what their commands need."""
    folder = program.folder
    for name, text in {"stay": STAY, "stop": STOP, "hop": HOP, "relay.py": RELAY}.items():
        (folder / name).write_text(text)
    (folder / "stop-leader").write_text(STOP.replace("$1", "up.stopped"))
    (folder / "stop-daemon").write_text(STOP.replace("$1", "up.daemon-stopped"))
    program.config({"inner": "(setsid sh stay up.nested-run &); sleep 300"}, "inner.json", kill_grace=0.1)
    jobs = [
        {"id": name, "command": command.format(up=f"up.{name}", folder=folder)} for name, command in shapes.items()
    ]
    limit_s = None if end.signals else LIMIT_S
    program.config(jobs, default_timeout=limit_s, kill_grace=end.grace_s, continue_on_error=True)


@contextmanager
def under_way(program: Program, shapes: Mapping[str, str], end: End) -> Iterator["subprocess.Popen[str]"]:
    """The program at work on jobs of these shapes, its output in a file."""
    write_config(program, shapes, end)
    with (
        nobody_left(program.folder),
        (program.folder / "err").open("w") as err,
        ended(
            program.start("-c", "flow.json", "-j", str(len(shapes)), stdout=subprocess.DEVNULL, stderr=err)
        ) as runner,
    ):
        yield runner


def send(program: Program, runner: "subprocess.Popen[str]", end: End) -> None:
    """Send the signals to the runner, a second one when the first was taken."""
    for number in end.signals:
        runner.send_signal(number)
        wait_until(lambda: "Interrupted: " in (program.folder / "err").read_text(), "the signal to be taken")


def assert_ended(program: Program, shapes: Mapping[str, str], end: End, code: int) -> None:
    """Nothing lives any more, all was put up before, and the history says of each job what happened."""
    left = living_in(program.folder)
    assert left == {}, f"{list(shapes)}: these live on"
    missing = [name for name in shapes if not (program.folder / f"up.{name}").exists()]
    assert missing == [], "these were not up in time"
    assert code == end.code
    jobs = program.jobs()
    assert {name: row["status"] for name, row in jobs.items()} == dict.fromkeys(shapes, end.status)
    if not end.signals:
        late = {name: row["duration_seconds"] for name, row in jobs.items()}
        assert all(LIMIT_S <= seconds < LIMIT_S + GRACE_S + MARGIN_S for seconds in late.values()), late
        reason = "Timed out after 00:00:03 (default_timeout)"
        assert {name: row["reason"] for name, row in jobs.items()} == dict.fromkeys(shapes, reason)


@pytest.mark.parametrize("name", ENDS)
def test_many_jobs_at_once_leave_nothing(program: Program, name: str, cases: Callable[[int], None]) -> None:
    """One run with a job of every shape side by side: ended in each way, none leaves a process."""
    end = ENDS[name]
    with under_way(program, SHAPES, end) as runner:
        program.wait_for(*(f"up.{shape}" for shape in SHAPES))
        asked = time.monotonic()
        send(program, runner, end)
        code = runner.wait(timeout=40)
        took = time.monotonic() - asked
        assert_ended(program, SHAPES, end, code)
    if end.signals:
        assert took < GRACE_S + MARGIN_S, f"{took:.1f} s from the signal to the end"
    cases(len(SHAPES))


def alone(tmp_path: Path, shapes: Sequence[tuple[str, str, End]]) -> None:
    """A run for each shape, with no other job beside it; the runs are on at the same time."""
    with ExitStack() as stack:
        runs = []
        for number, (name, command, end) in enumerate(shapes):
            program = Program(tmp_path / f"alone-{number}")
            runs.append(
                (program, {name: command}, end, stack.enter_context(under_way(program, {name: command}, end)))
            )
        for program, (name,), _, _ in runs:
            program.wait_for(f"up.{name}")
        for program, _, end, runner in runs:
            send(program, runner, end)
        for program, shape, end, runner in runs:
            assert_ended(program, shape, end, runner.wait(timeout=40))


def test_a_job_alone_leaves_nothing(tmp_path: Path, nightly: bool, cases: Callable[[int], None]) -> None:
    """Jobs of every shape in runs of their own, those without any mark of their job too: no process is left."""
    shapes, ends = {**SHAPES, **UNMARKED}, list(ENDS.values())
    if nightly:
        table = [(name, command, end) for name, command in shapes.items() for end in ends]
    else:  # each shape in one way, those that are hardest to find in two
        table = [(name, command, ends[at % len(ends)]) for at, (name, command) in enumerate(SHAPES.items())]
        table += [(name, UNMARKED[name], ENDS[how]) for name in UNMARKED for how in ("timeout", "TERM")]
    for start in range(0, len(table), 16):  # as many runs at once as a small machine bears
        alone(tmp_path / str(start), table[start : start + 16])
    cases(len(table))


@pytest.mark.parametrize("name", ["timeout", "TERM"])
def test_unmarked_daemons_of_jobs_side_by_side_are_ended(
    program: Program, name: str, cases: Callable[[int], None]
) -> None:
    """Daemons that cleared their environment are found beside other jobs, too: by the log that they hold."""
    shapes = {key: UNMARKED[key] for key in ("without-environment", "without-mark")}
    with under_way(program, shapes, ENDS[name]) as runner:
        program.wait_for(*(f"up.{shape}" for shape in shapes))
        send(program, runner, ENDS[name])
        assert_ended(program, shapes, ENDS[name], runner.wait(timeout=40))
    cases(len(shapes))


def test_a_daemon_with_another_mark_is_ended(program: Program) -> None:
    """A daemon of a job that runs alone is that job's, whatever mark its environment has."""
    shapes = {"other-mark": "(EXECUTIONER_TRACE=x/y/1 setsid sh stay {up} &); sleep 300"}
    with under_way(program, shapes, ENDS["TERM"]) as runner:
        program.wait_for("up.other-mark")
        send(program, runner, ENDS["TERM"])
        assert_ended(program, shapes, ENDS["TERM"], runner.wait(timeout=40))


def test_each_attempt_is_ended_whole(program: Program, cases: Callable[[int], None]) -> None:
    """A retry after a time limit begins when nothing of the attempt before lives any more."""
    (program.folder / "stay").write_text(STAY)
    command = (
        "for pid in $(cat pids); do if kill -0 $pid; then touch overlap; fi; done;"
        "(setsid sh -c 'echo $$ >> pids; exec sh stay up.$EXECUTIONER_ATTEMPT' &); sleep 300"
    )
    job = {"id": "a", "command": command, "timeout": 1, "max_retries": 2, "retry_delay": 0.01}
    program.config([job], kill_grace=0.1)
    with nobody_left(program.folder):
        assert program("-c", "flow.json").code == 1
        assert living_in(program.folder) == {}
    found = [(one["status"], one["reason"]) for one in attempts(program, "a")]
    assert found == [("TIMEOUT", "Timed out after 00:00:01")] * 3
    assert len((program.folder / "pids").read_text().split()) == 3
    assert not (program.folder / "overlap").exists()
    cases(3)


def test_processes_that_hand_over_to_others_are_caught(
    tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """A process that again and again starts the next one and ends is caught at the limit and by a signal.

    With 1,500 more processes on the machine, so that a look at all of them takes its time.
    """
    number = 20 if nightly else 4
    free = []
    with subprocess.Popen(
        [sys.executable, "-S", "-c", CROWD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as crowd:
        assert crowd.stdout is not None
        crowd.stdout.readline()
        for at in range(number):
            program = Program(tmp_path / f"relay-{at}")
            free.append(relay_ended(program, ENDS["timeout" if at % 4 == 3 else "TERM"]._replace(grace_s=0.5)))
        crowd.communicate()
    assert all(free), f"processes of {free.count(False)} of {number} jobs lived on"
    cases(number)


def relay_ended(program: Program, end: End) -> bool:
    """Whether a job that is a relay of processes was ended with the last of them."""
    shape = {"relay": "setsid python -S relay.py {up} & sleep 300"}
    with under_way(program, shape, end) as runner, (program.folder / "held").open("w") as held:
        program.wait_for("up.relay")
        send(program, runner, end)
        assert runner.wait(timeout=40) == end.code
        fd = held.fileno()
        free = is_free(fd)
        (program.folder / "enough").touch()  # one that escaped would escape our own looks, too
        wait_until(lambda: is_free(fd), "the processes to end")
    return free


def is_free(fd: int) -> bool:
    """Whether nobody else holds the lock on a file."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True
