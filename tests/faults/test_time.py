"""Clocks that lie: a runner that was stopped, a clock that somebody sets, summer time."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from faults_tools import Instrumented, tool
from harness import Program, attempts, ended, is_running, stop, wait_until
from history_tools import UTC_TEXT, gate, pid_in, wait_for_end
from past import make_past
from screens import assert_harmless

HOUR_S = 3600
#: What somebody may do to the clock in mid-run, in seconds.
JUMPS = {
    "an hour forward": HOUR_S,
    "an hour back": -HOUR_S,
    "thirty hours back": -30 * HOUR_S,
    "a year forward": 365 * 24 * HOUR_S,
    "ten years back": -3652 * 24 * HOUR_S,
}
MORE_JUMPS = {f"{days} days": days * 24 * HOUR_S for days in (-18_000, -7000, -1, 1, 40, 7000, 30_000)}
_DURATION = re.compile(r"(?<![\d:T-])(?<!\d )(-?\d+):(\d\d):(\d\d)(?![:\d])")

# --- a runner that was stopped ----------------------------------------------------------------


@pytest.mark.promise(1, 5)
def test_a_runner_that_was_stopped_tells_in_time_from_too_late(
    program: Program, nightly: bool, cases: Callable[[int], None]
) -> None:
    """After SIGSTOP beyond the limit: who ended is SUCCESS or FAILED, who still runs is TIMEOUT, and gone."""
    limit_s = 1.0
    rounds = 10 if nightly else 1
    for number in range(rounds):
        one = Program(program.folder / str(number))
        in_time = {f"ok{at}": f"echo $$ > ok{at}.pid; read line < gate" for at in range(3)}
        failing = {"bad": "echo $$ > bad.pid; read line < gate; exit 3"}
        late = {"late": "echo $$ > late.pid; sleep 300", "deaf": "trap '' TERM; echo $$ > deaf.pid; sleep 300"}
        jobs = {**in_time, **failing, **late}
        one.config(jobs, default_timeout=limit_s, kill_grace=0.2, continue_on_error=True)
        with gate(one) as let_through, ended(one.start("-c", "flow.json", "-j", "9")) as runner:
            pids = {name: pid_in(one, f"{name}.pid") for name in jobs}
            stopped_at = time.monotonic()
            stop(runner.pid)
            for _ in (*in_time, *failing):
                let_through()
            for name in (*in_time, *failing):
                wait_for_end(pids[name])
            over = stopped_at + 2 * limit_s
            wait_until(lambda over=over: time.monotonic() > over, "the limit to pass")  # it is the matter
            runner.send_signal(signal.SIGCONT)
            out, err = runner.communicate(timeout=50)
        assert runner.returncode == 1, out + err
        assert one.statuses() == {
            **dict.fromkeys(in_time, "SUCCESS"),
            **dict.fromkeys(failing, "FAILED"),
            **dict.fromkeys(late, "TIMEOUT"),
        }
        assert one.jobs()["bad"]["reason"] == "Exit code 3"
        assert not any(is_running(pid) for pid in pids.values())
    cases(rounds * 6)


# --- a clock that somebody sets -----------------------------------------------------------------


def eventful(program: Program) -> None:
    """A config whose clock is set while ``wait`` runs: a retry, a limit and plain jobs come after that."""
    program.config(
        [
            {"id": "wait", "command": "echo $$ > wait.pid; read line < gate", "timeout": 40},
            {
                "id": "again",
                "command": "test $EXECUTIONER_ATTEMPT = 3",
                "dependencies": ["wait"],
                "max_retries": 2,
                "retry_delay": 0.5,
                "retry_backoff": 1,
                "retry_jitter": 0,
                "max_retry_time": 30,
            },
            {"id": "late", "command": "sleep 300", "dependencies": ["wait"], "timeout": 1},
            {"id": "last", "command": "true", "dependencies": ["again"]},
        ],
        kill_grace=0.2,
        continue_on_error=True,
    )


def assert_right(program: Program, took_s: float, code: int) -> None:
    """The run went as it would have gone with a good clock, and every duration is one that was measured."""
    assert code == 1
    jobs = program.jobs()
    found = {name: row["status"] for name, row in jobs.items()}
    assert found == {"wait": "SUCCESS", "again": "SUCCESS", "late": "TIMEOUT", "last": "SUCCESS"}
    assert 1.0 <= jobs["again"]["duration_seconds"] <= took_s
    assert len(attempts(program, "again")) == 3
    assert 1.0 <= jobs["late"]["duration_seconds"] <= took_s
    run = program.run_row()
    assert run["duration_seconds"] <= took_s
    durations = [row["duration_seconds"] for row in jobs.values()]
    durations += [one["duration_seconds"] for name in jobs for one in attempts(program, name)]
    assert all(0 <= seconds <= took_s for seconds in durations), durations
    times = [row[name] for row in jobs.values() for name in ("start_time", "end_time", "last_run")]
    assert all(UTC_TEXT.fullmatch(text) for text in (*times, run["start_time"], run["end_time"])), times


def assert_sane_screens(program: Program, took_s: float, env: Mapping[str, str] | None = None) -> None:
    """Every screen about the run works, and no duration on it is longer than the run was or below nothing."""
    most = f"00:00:{int(took_s) + 1:02d}"
    for args in (
        ["--list-runs"],
        ["--list-runs", "--status", "failed", "--user", program.run_row()["user"]],
        ["--list-runs", "--since", "1970-01-02", "--until", "2200-01-01"],
        ["--show-run", "1"],
        ["--show-run", "last", "--status", "timeout"],
    ):
        shown = program(*args, env=env)
        assert (shown.code, shown.err) == (0, ""), (args, shown)
        found = [match.group() for match in _DURATION.finditer(shown.out)]
        assert found, (args, shown.out)
        assert all("00:00:00" <= text <= most for text in found), (args, found, shown.out)
        assert "FAILED" in shown.out or "TIMEOUT" in shown.out, (args, shown.out)
    assert program("-c", "flow.json", "--resume-from", "1", "--dry-run", "--verbose", env=env).code == 0
    [listed] = json.loads(program("--list-runs", "--format", "json", env=env).out)
    [shown_json] = [json.loads(program("--show-run", "1", "--format", "json", env=env).out)]
    assert listed["duration_seconds"] == shown_json["duration_seconds"] == program.run_row()["duration_seconds"]
    assert program("--list-runs", "--format", "csv", env=env).out.count("\n") == 2


@pytest.mark.promise(5)
def test_a_clock_that_is_set_in_mid_run(
    instrumented: Instrumented, tmp_path: Path, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Hours forward or back in mid-run: limits, waits and durations stay right, and no screen shows nonsense."""
    jumps = {**JUMPS, **(MORE_JUMPS if nightly else {})}
    for name, seconds in jumps.items():
        program = Instrumented(tmp_path / name.replace(" ", "-"))
        eventful(program)
        clock = tmp_path / "clock"
        clock.write_text("0")
        env = {"EXECUTIONER_TEST_CLOCK": str(clock)}
        began = time.monotonic()
        with gate(program) as let_through, ended(program.start("-c", "flow.json", "-j", "2", env=env)) as runner:
            pid_in(program, "wait.pid")
            set_to(clock, str(seconds))
            listed = program("--list-runs", env=env)  # of a run that is on
            assert (listed.code, listed.err) == (0, ""), (name, listed)
            [duration] = [match.group() for match in _DURATION.finditer(listed.out)]
            assert "RUNNING" in listed.out and not duration.startswith("-"), (name, listed.out)
            assert program("--show-run", "1", env=env).code == 0
            let_through()
            out, err = runner.communicate(timeout=50)
        took_s = time.monotonic() - began
        assert "Traceback" not in out + err, name
        assert_right(program, took_s, runner.returncode)
        for reader in (env, None) if nightly else (None if seconds > 0 else env,):  # either clock may be right
            assert_sane_screens(program, took_s, reader)
    cases(len(jumps))


def set_to(path: Path, text: str) -> None:
    """Replace a file's content in one step."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.mark.promise(5)
@pytest.mark.parametrize("moved", ["+0 -2h", "+0 +2h"])
def test_a_clock_that_is_set_for_all_processes(program: Program, tmp_path: Path, moved: str) -> None:
    """The same with the clock of the whole process set, below Python."""
    faketime = tool("faketime", "sets the clock of a process")
    before, after = moved.split()
    shown = subprocess.run([faketime, "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    [preload] = [line.partition("=")[2] for line in shown.splitlines() if line.startswith("LD_PRELOAD=")]
    clock = tmp_path / "clock"
    clock.write_text(f"{before}\n")
    env = {
        "LD_PRELOAD": preload,
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    eventful(program)
    began = time.monotonic()
    with gate(program) as let_through, ended(program.start("-c", "flow.json", "-j", "2", env=env)) as runner:
        pid_in(program, "wait.pid")
        set_to(clock, f"{after}\n")
        let_through()
        runner.communicate(timeout=50)
    took_s = time.monotonic() - began
    run = program.run_row()
    assert (run["end_time"] < run["start_time"]) is (after == "-2h"), run  # the clock was set indeed
    assert_right(program, took_s, runner.returncode)
    assert_sane_screens(program, took_s)


# --- summer time ----------------------------------------------------------------------------------

#: The rules of Berlin without its name: machines may lack the tables of zones.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
#: Starts of runs around both changes of 2025, as stored, and what clocks in Berlin showed.
STARTS = {
    1: ("2025-03-30T00:59:59.000000Z", "2025-03-30 01:59:59"),
    2: ("2025-03-30T01:00:00.000000Z", "2025-03-30 03:00:00"),
    3: ("2025-03-30T01:30:00.000000Z", "2025-03-30 03:30:00"),
    4: ("2025-10-26T00:30:00.000000Z", "2025-10-26 02:30:00"),  # summer time
    5: ("2025-10-26T01:00:00.000000Z", "2025-10-26 02:00:00"),
    6: ("2025-10-26T01:30:00.000000Z", "2025-10-26 02:30:00"),  # winter time
    7: ("2025-10-26T02:00:00.000000Z", "2025-10-26 03:00:00"),
}
#: Filters, and which of these runs they let through.
FILTERS = [
    (["--since", "2025-03-30 02:00", "--until", "2025-03-31"], [2, 3]),  # an hour that never was
    (["--since", "2025-03-30 02:30", "--until", "2025-03-31"], [2, 3]),
    (["--since", "2025-03-30 03:00", "--until", "2025-03-31"], [2, 3]),
    (["--since", "2025-03-30 03:01", "--until", "2025-03-31"], [3]),
    (["--since", "2025-03-30", "--until", "2025-03-30 02:30"], [1]),
    (["--since", "2025-03-30", "--until", "2025-03-30 01:59"], [1]),
    (["--since", "2025-03-30", "--until", "2025-03-30 03:00"], [1, 2]),
    (["--since", "2025-03-30", "--until", "2025-03-30"], [1, 2, 3]),
    (["--since", "2025-10-26 02:00", "--until", "2025-10-27"], [4, 5, 6, 7]),  # an hour that was twice
    (["--since", "2025-10-26 02:30", "--until", "2025-10-27"], [4, 5, 6, 7]),
    (["--since", "2025-10-26 02:31", "--until", "2025-10-27"], [5, 6, 7]),
    (["--since", "2025-10-26", "--until", "2025-10-26 02:00"], [4, 5]),
    (["--since", "2025-10-26", "--until", "2025-10-26 02:30"], [4, 5, 6]),
    (["--since", "2025-10-26 02:30+02:00", "--until", "2025-10-26 02:30+02:00"], [4]),
    (["--since", "2025-10-26 02:30+01:00", "--until", "2025-10-26 02:30+01:00"], [6]),
    (["--since", "2025-10-26", "--until", "2025-10-26"], [4, 5, 6, 7]),
]


def test_times_around_the_changes_of_clocks(program: Program, cases: Callable[[int], None]) -> None:
    """Lists and runs show what clocks showed; --since and --until mean the first and the last such moment."""
    runs: list[dict[str, Any]] = [
        {"run_id": number, "start_time": start, "duration_seconds": 1800.0, "end_time": "", "jobs": [{"id": "a"}]}
        for number, (start, _) in STARTS.items()
    ]
    for run in runs:
        start = run["start_time"]
        minutes = int(start[11:13]) * 60 + int(start[14:16]) + 30
        run["end_time"] = f"{start[:11]}{minutes // 60:02d}:{minutes % 60:02d}{start[16:]}"
    make_past(program.history, runs)
    env = {"TZ": BERLIN}
    listed = program("--list-runs", env=env).out
    for number, (_, local) in STARTS.items():
        [line] = [line for line in listed.splitlines() if line.startswith(f"{number:^8}|"[:5])]
        assert f"| {local} | 00:30:00 |" in line, line
        shown = program("--show-run", str(number), env=env).out
        assert f"\nStart Time: {local}\n" in shown
        assert "\nDuration: 00:30:00\n" in shown
    assert "\nEnd Time: 2025-10-26 02:00:00\n" in program("--show-run", "4", env=env).out
    assert "\nEnd Time: 2025-10-26 02:30:00\n" in program("--show-run", "5", env=env).out
    for flags, expected in FILTERS:
        result = program("--list-runs", *flags, "--format", "json", env=env)
        found = sorted(run["run_id"] for run in json.loads(result.out))
        assert (found, result.code) == (expected, 0), flags
    cases(len(STARTS) + len(FILTERS))


def test_a_run_that_the_clock_ended_before_it_began(program: Program, cases: Callable[[int], None]) -> None:
    """Rows whose end lies before their start, or far off, break no screen; durations are those recorded."""
    ends = ["2025-05-23T08:00:00.000000Z", "1970-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"]
    for number, end in enumerate(ends, 1):
        job = {"id": "a", "start_time": "2025-05-23T09:45:00.000000Z", "end_time": end, "duration_seconds": 7.0}
        one = Program(program.folder / str(number))
        make_past(one.history, [{"end_time": end, "duration_seconds": 9.0, "jobs": [job]}])
        for args in (["--list-runs"], ["--show-run", "1"], ["--list-runs", "--since", "2025-05-23"]):
            shown = one(*args)
            assert (shown.code, shown.err) == (0, ""), (end, args)
            assert_harmless(shown.out)
            assert "00:00:09" in shown.out, (end, shown.out)
            assert "00:00:07" in shown.out or "--list-runs" in args
    cases(len(ends))


#: Both changes of 2025: the instant, in seconds, and what clocks in Berlin show before and after it.
CHANGES = {
    "to summer time": (1_743_296_400, ("2025-03-30 01:59:", "2025-03-30 03:00:")),
    "to winter time": (1_761_440_400, ("2025-10-26 02:59:", "2025-10-26 02:00:")),
}


@pytest.mark.promise(5)
@pytest.mark.parametrize("change", CHANGES)
def test_a_run_across_a_change_of_summer_time(instrumented: Instrumented, tmp_path: Path, change: str) -> None:
    """Clocks are changed between two jobs: stored instants rise, durations are those measured, screens show what
    clocks on the wall showed.
    """
    at, (before, after) = CHANGES[change]
    instrumented.config(
        [
            {"id": "a", "command": "true"},
            {"id": "wait", "command": "echo $$ > wait.pid; read line < gate", "dependencies": ["a"]},
            {"id": "b", "command": "true", "dependencies": ["wait"]},
        ]
    )
    clock = tmp_path / "clock"
    env = {"EXECUTIONER_TEST_CLOCK": str(clock), "TZ": BERLIN}
    began = time.monotonic()
    # what is before the change has the last minute before it, the rest the first one after it
    clock.write_text(str(at - 59 - time.time()))
    with gate(instrumented) as let_through, ended(instrumented.start("-c", "flow.json", env=env)) as runner:
        pid_in(instrumented, "wait.pid")
        set_to(clock, str(at - time.time()))
        let_through()
        out, err = runner.communicate(timeout=50)
    took_s = time.monotonic() - began
    assert (runner.returncode, err) == (0, ""), out
    assert took_s < 58, "the machine is too slow to tell before from after"
    jobs, run = instrumented.jobs(), instrumented.run_row()
    stored = [run["start_time"]]
    stored += [jobs[name][column] for name in ("a", "wait", "b") for column in ("start_time", "end_time")]
    stored.append(run["end_time"])
    assert stored == sorted(stored) and all(UTC_TEXT.fullmatch(text) for text in stored), stored
    edge = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.000000Z"
    assert stored.index(jobs["wait"]["end_time"]) == sum(text < edge for text in stored), (edge, stored)
    durations = [run["duration_seconds"], *(row["duration_seconds"] for row in jobs.values())]
    assert all(0 <= seconds <= took_s for seconds in durations), durations
    first, last = rf"{before}\d\d", rf"{after}\d\d"
    summary = out[out.index("EXECUTION SUMMARY") :]
    duration = r"00:00:\d\d"
    for screen in (summary, instrumented("--show-run", "1", env=env).out):
        assert re.search(rf"^Start Time: {first}\nEnd Time: {last}\nDuration: {duration}$", screen, re.MULTILINE)
    lines = [line for line in out.splitlines() if re.match(r"\d\d:\d\d:\d\d \[", line)]
    shown = [line.split()[0] for line in lines]
    assert [text[:6] for text in shown] == [before[11:], after[11:], after[11:]], out
    listed = instrumented("--list-runs", env=env).out
    assert re.search(rf"\| {first} \| {duration} \|", listed), listed
    log = instrumented("--show-log", "1", "wait", env=env).out
    assert before[11:] in log and after[11:] in log, log
    # each is found by what clocks showed when it began
    [found] = json.loads(instrumented("--list-runs", "--since", f"{before}00", "--format", "json", env=env).out)
    assert (found["run_id"], found["start_time"]) == (1, run["start_time"])
