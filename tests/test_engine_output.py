"""What jobs print and where it goes: logs, their frames and names; and what jobs are measured to use."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from harness import Program, attempts

pytestmark = pytest.mark.promise(6)


def log_of(program: Program, job: str = "a", run_id: int = 1) -> Path:
    """A job's log as the history names it."""
    return Path(program.jobs(run_id)[job]["log_path"])


def test_no_line_is_lost(program: Program) -> None:
    """All 200,000 lines of `seq 1 200000` are in the log, in order, between a header and a footer."""
    program.config({"a": "seq 1 200000"})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"".join(b"%d\n" % number for number in range(1, 200_001))


def test_bytes_arrive_unchanged(program: Program) -> None:
    """Bytes that are no UTF-8, NUL, lines of 100 kB and a missing last newline are in the log as printed."""
    blob = bytes(range(256)) * 10 + b"\n" + b"y" * 100_000 + b"\r\n" + b"\xff\xfe\x00" * 50_000 + b"\n\n" + b"\xc3"
    (program.folder / "blob").write_bytes(blob)
    program.config({"a": "cat blob", "b": "cat blob >&2"})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == blob
    assert program.output("b") == blob


def test_output_and_errors_keep_their_order(program: Program) -> None:
    """What a job prints to stdout and stderr stands in one log in the order of printing."""
    program.config({"a": "for i in 1 2 3; do echo out $i; echo err $i >&2; done"})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


@pytest.mark.parametrize(
    ("command", "printed", "in_log"),
    [
        ("printf abc", b"abc", b"abc\n"),
        ("echo abc", b"abc\n", b"abc\n"),
        ("true", b"", b""),
        ("printf '\\n\\n'", b"\n\n", b"\n\n"),
        ("printf ' '", b" ", b" \n"),
    ],
)
def test_header_and_footer_stand_on_lines_of_their_own(
    program: Program, command: str, printed: bytes, in_log: bytes
) -> None:
    """A log is a header line, the output, and a footer line, which begins on a new line whatever was printed."""
    program.config({"a": command})
    assert program("-c", "flow.json").code == 0
    log = log_of(program).read_bytes()
    stamp = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000"
    frame = rb"=== a, run 1, %b ===\n%b=== SUCCESS, 00:00:00, %b ===\n" % (stamp, re.escape(in_log), stamp)
    assert re.fullmatch(frame, log), log
    assert program.output("a") == printed


def test_a_gigabyte_of_output_costs_the_runner_nothing(program: Program) -> None:
    """While a job prints 1 GB the runner stays below 25 MiB and uses next to no processor time."""
    if shutil.disk_usage(program.folder).free < 4_000_000_000:
        pytest.skip("needs 4 GB of disk")
    # fields 14 and 15 of stat: the process's own time in ticks of 10 ms, without its children
    measure = "cut -d ' ' -f 14,15 /proc/$PPID/stat > %s; grep VmHWM /proc/$PPID/status >> %s"
    program.config(
        [
            {"id": "before", "command": measure.replace("%s", "before")},
            {"id": "a", "command": "head -c 1000000000 /dev/zero", "dependencies": ["before"]},
            {"id": "after", "command": measure.replace("%s", "after"), "dependencies": ["a"]},
        ]
    )
    try:
        result = program("-c", "flow.json")
        size = log_of(program).stat().st_size
    finally:
        for log in program.folder.glob("logs/*job-a*"):
            log.unlink()
    assert result.code == 0
    assert 1_000_000_000 < size < 1_000_001_000
    [one] = attempts(program, "a")
    assert one["log_end"] - one["log_start"] == 1_000_000_000
    before, after = ((program.folder / name).read_text().split() for name in ("before", "after"))
    assert sum(map(int, after[:2])) - sum(map(int, before[:2])) <= 10
    assert int(after[3]) < 25 * 1024


def test_jobs_have_no_input(program: Program) -> None:
    """A job that reads its stdin finds it at its end, even where the runner's stdin is open."""
    program.config({"a": "cat", "b": "cat; echo done", "c": "test -t 0 || echo no terminal"})
    read, write = os.pipe()
    try:
        process = program.start("-c", "flow.json", stdin=read)
        process.communicate(timeout=50)
    finally:
        os.close(read)
        os.close(write)
    assert process.returncode == 0
    assert [program.output(job) for job in "abc"] == [b"", b"done\n", b"no terminal\n"]


@pytest.mark.parametrize(
    "command", ["echo lost; echo first > /dev/stderr; echo more", "echo lost | tee /dev/stderr"]
)
def test_a_log_that_its_job_cut_off_is_warned_about(program: Program, command: str) -> None:
    """A job that opens /dev/stderr anew truncates its log: it succeeds, and a warning names it and the remedy."""
    program.config({"a": command, "b": "echo kept >&2"})
    result = program("-c", "flow.json")
    assert result.code == 0
    log = log_of(program)
    [line] = result.err.splitlines()
    assert line.startswith(f"Warning: a cut off its own log ({log})")
    assert "tee -a /dev/stderr" in line
    text = log.read_bytes()
    assert b"=== a, run 1" not in text and b"=== SUCCESS, " in text
    assert program.output("a") in (b"first\nmore\n", b"lost\n", b"lost\nlost\n")
    assert program.output("b") == b"kept\n"
    main_log = Path(program.run_row()["log_path"]).read_text()
    assert "Warning: a cut off its own log" in main_log


def test_names_of_logs(program: Program) -> None:
    """Logs are named after application, job and run; unsafe bytes become `_`, and 64 are kept."""
    program.config({"a.b-c": "true"}, application_name="Äb c/d" + "x" * 100)
    assert program("-c", "flow.json").code == 0
    word = ("__b_c_d" + "x" * 100)[:64]
    names = sorted(path.name for path in (program.folder / "logs").iterdir())
    assert names == [f"executioner.{word}.job-a.b-c.run-1.log", f"executioner.{word}.run-1.log"]
    assert (program.folder / "logs").stat().st_mode & 0o777 == 0o700
    assert log_of(program, "a.b-c").stat().st_mode & 0o777 == 0o600
    assert Path(program.run_row()["log_path"]).stat().st_mode & 0o777 == 0o600


def test_a_log_folder_elsewhere(program: Program) -> None:
    """`log_dir` is relative to the working folder and is made with its parents."""
    (program.folder / "work").mkdir()
    program.config({"a": "true"}, working_dir="work", log_dir="deep/er")
    assert program("-c", "flow.json").code == 0
    assert log_of(program) == program.folder / "work/deep/er/executioner.flow.job-a.run-1.log"
    assert log_of(program).exists()


def test_log_names_that_are_taken_are_left_alone(program: Program, tmp_path: Path) -> None:
    """Files, folders and links, dangling ones too, under a log's name stay as they are; the log gets a suffix."""
    logs = program.folder / "logs"
    logs.mkdir()
    outside = tmp_path / "outside"
    outside.write_text("precious\n")
    stem = "executioner.flow.job-"
    (logs / f"{stem}a.run-1.log").write_text("another history's\n")
    (logs / f"{stem}a.run-1-2.log").mkdir()
    (logs / f"{stem}b.run-1.log").symlink_to(outside)
    (logs / f"{stem}c.run-1.log").symlink_to(tmp_path / "nowhere")
    os.mkfifo(logs / f"{stem}d.run-1.log")
    (logs / "executioner.flow.run-1.log").symlink_to(outside)
    program.config({name: f"echo {name}" for name in "abcd"})
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    found = {name: Path(row["log_path"]).name for name, row in program.jobs().items()}
    assert found == {
        "a": f"{stem}a.run-1-3.log",
        "b": f"{stem}b.run-1-2.log",
        "c": f"{stem}c.run-1-2.log",
        "d": f"{stem}d.run-1-2.log",
    }
    assert [program.output(name) for name in "abcd"] == [b"a\n", b"b\n", b"c\n", b"d\n"]
    assert Path(program.run_row()["log_path"]).name == "executioner.flow.run-1-2.log"
    assert outside.read_text() == "precious\n"
    assert not (tmp_path / "nowhere").exists()
    assert (logs / f"{stem}a.run-1.log").read_text() == "another history's\n"


def test_a_link_put_in_place_of_a_log_between_attempts_is_not_followed(program: Program, tmp_path: Path) -> None:
    """A job that replaces its log by a link does not make the runner write through it at the next attempt."""
    outside = tmp_path / "outside"
    outside.write_text("precious\n")
    log = "logs/executioner.flow.job-a.run-1.log"
    command = f"echo $EXECUTIONER_ATTEMPT; test $EXECUTIONER_ATTEMPT = 2 || {{ ln -sf {outside} {log}; exit 1; }}"
    program.config([{"id": "a", "command": command, "max_retries": 1, "retry_delay": 0.01}])
    assert program("-c", "flow.json").code == 0
    assert outside.read_text() == "precious\n"
    assert log_of(program).name == "executioner.flow.job-a.run-1-2.log"
    assert program.output("a") == b"2\n"


def test_a_log_folder_that_vanishes_in_mid_run_is_made_again(program: Program) -> None:
    """If the log folder is removed while jobs run, the run goes on and later logs are where the history says."""
    program.config({"a": "echo lost; rm -r logs", "b": "echo kept", "c": "false"}, continue_on_error=True)
    result = program("-c", "flow.json")
    assert result.code == 1
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS", "c": "FAILED"}
    assert program.output("b") == b"kept\n"


def test_a_log_that_cannot_be_created_is_an_error_of_its_job(program: Program) -> None:
    """If a job's log cannot be written the job is ERROR and not started; its dependents are skipped."""
    program.config(
        [
            {"id": "a", "command": "rm -r logs && touch logs"},
            {"id": "b", "command": "touch wrong", "dependencies": ["a"]},
            {"id": "c", "command": "touch wrong", "dependencies": ["b"]},
        ]
    )
    result = program("-c", "flow.json")
    assert result.code == 1
    assert program.statuses() == {"a": "SUCCESS", "b": "ERROR", "c": "SKIPPED"}
    row = program.jobs()["b"]
    assert row["reason"].startswith("Could not be started: its log cannot be written: ")
    assert (row["start_time"], row["log_path"], row["exit_code"]) == (None, None, None)
    assert not (program.folder / "wrong").exists()


def test_a_full_disk_under_the_logs_harms_nobody_else(program: Program) -> None:
    """A job that fills its log up to the file size limit gets the signal that a shell would give it."""
    import resource

    program.config({"a": "head -c 3000000 /dev/zero", "b": "true"}, continue_on_error=True)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    result = program("-c", "flow.json", preexec_fn=limit)
    assert result.code == 1
    assert {name: row["reason"] for name, row in program.jobs().items()} == {
        "a": "Killed by SIGXFSZ (the end of its output may be missing: File too large)",
        "b": None,
    }


# --- what is measured -----------------------------------------------------------------------


def test_memory_of_a_large_job_is_recorded(program: Program) -> None:
    """A job that allocates 100 MB is recorded with about that."""
    program.config({"a": 'python -S -c "b = bytearray(100_000_000); b[::4096] = bytes([1]) * len(b[::4096])"'})
    assert program("-c", "flow.json").code == 0
    assert 95 < program.jobs()["a"]["memory_usage_mb"] < 150


@pytest.mark.parametrize("command", ["true", "/bin/true", "sleep 0"])
def test_memory_of_a_small_job_is_not_guessed(program: Program, command: str) -> None:
    """Of a job smaller than the runner, whose peak a child inherits, no memory is recorded."""
    program.config({"a": command})
    assert program("-c", "flow.json").code == 0
    assert program.jobs()["a"]["memory_usage_mb"] is None


def test_processor_time_is_recorded(program: Program) -> None:
    """A busy job and one that sleeps are told apart by their share of a processor."""
    busy = "import time\nwhile time.process_time() < 0.4: pass"
    (program.folder / "busy.py").write_text(busy)
    program.config({"busy": "python -S busy.py", "shell": "python -S busy.py; exit 0", "idle": "sleep 0.4"})
    assert program("-c", "flow.json").code == 0
    jobs = program.jobs()
    for name in ("busy", "shell"):
        row = jobs[name]
        used_s = row["cpu_usage_percent"] / 100 * row["duration_seconds"]
        assert 0.35 < used_s < 2
        assert row["cpu_usage_percent"] < 120
    assert jobs["idle"]["cpu_usage_percent"] < 20


def test_durations_and_times_are_recorded(program: Program) -> None:
    """Start, end and duration of job and run agree with each other."""
    from datetime import datetime

    program.config({"a": "sleep 0.2"})
    assert program("-c", "flow.json").code == 0

    def span(row: dict[str, Any]) -> float:
        start, end = (datetime.fromisoformat(row[name]) for name in ("start_time", "end_time"))
        assert row["start_time"].endswith("Z") and len(row["start_time"]) == 27
        return (end - start).total_seconds()

    job, run = program.jobs()["a"], program.run_row()
    assert 0.2 <= job["duration_seconds"] <= run["duration_seconds"] < 30
    assert abs(span(job) - job["duration_seconds"]) < 1
    assert abs(span(run) - run["duration_seconds"]) < 1
    assert run["start_time"] <= job["start_time"] <= job["end_time"] <= run["end_time"]


def test_a_job_may_stop_and_go_on(program: Program) -> None:
    """A job that is stopped and continued by somebody is waited for as if nothing had been."""
    program.config({"a": "(sleep 0.1; kill -CONT $$) & kill -STOP $$; wait; echo back"})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"back\n"
