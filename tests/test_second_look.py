"""Faults that a second look at the whole program found: each stays mended."""

import json
import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
from harness import ROOT, Program, ended, gate, is_running, pid_in, wait_until


def cpu_s(pid: int) -> float:
    """The processor time that a process has used itself, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_retry_that_finds_no_worker_waits_without_work(program: Program) -> None:
    """While a retry is due but every worker is busy the runner sleeps."""
    program.config(
        [
            {"id": "a", "command": "exit 3", "max_retries": 1, "retry_delay": 0.1, "retry_jitter": 0},
            {"id": "b", "command": "touch started; sleep 2; read x < gate"},
        ],
        continue_on_error=True,
    )
    with gate(program.folder / "gate") as open_gate, ended(program.start("-c", "flow.json")) as process:
        program.wait_for("started")
        before = cpu_s(process.pid)
        open_gate()  # returns when the job has come to its gate: two seconds later
        used = cpu_s(process.pid) - before
        process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(json.loads(program.jobs()["a"]["retry_history"])) == 2
    assert used < 0.7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_reader_that_does_not_read_can_be_left_alone(program: Program, number: signal.Signals) -> None:
    """After a run whose stdout nobody reads, a signal ends the program; the run is recorded."""
    program.config({f"{n:03d}{'x' * 100}": "true" for n in range(800)})
    with ended(program.start("-c", "flow.json", "-j", "4")) as process:
        wait_until(lambda: program.history.exists() and program.rows("SELECT * FROM run_metadata"), "the run")
        wait_until(lambda: program.run_row()["status"] == "SUCCESS", "its end")
        process.send_signal(number)
        assert process.wait(timeout=60) == 0


def test_a_daemon_of_an_earlier_job_is_left_alone(program: Program) -> None:
    """A daemon that a job left behind on purpose survives the ending of the next job, though it has no mark."""
    program.config(
        [
            {"id": "a", "command": "env -i /usr/bin/setsid -f /bin/sh -c 'echo $$ > pid; exec sleep 60'"},
            {"id": "b", "command": "sleep 60", "dependencies": ["a"], "timeout": 1},
        ],
        kill_grace=0.3,
    )
    assert program("-c", "flow.json").code == 1
    daemon = pid_in(program.folder / "pid")
    assert program.statuses() == {"a": "SUCCESS", "b": "TIMEOUT"}
    assert is_running(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_plugin_that_starts_a_process_does_not_hold_up_anything(program: Program) -> None:
    """What a plugin starts when it is loaded may live on; the program does not wait for it."""
    (program.folder / "plugin.py").write_text(
        "import os\nos.system('sleep 61.5 &')\nCHECKS = {'fine': lambda: True}\n"
    )
    jobs = [{"id": "a", "command": "true", "pre_checks": [{"name": "fine"}]}]
    program.config(jobs, dependency_plugins=["plugin.py"])
    assert program("-c", "flow.json", "--validate", timeout=30).code == 0
    assert program("-c", "flow.json", timeout=30).code == 0
    subprocess.run(["pkill", "-f", "^sleep 61.5$"], check=False)


def test_the_permissions_of_a_lock_file_are_its_owners_business(program: Program) -> None:
    """A lock file that was opened for colleagues stays so."""
    program.config({"a": "true"})
    assert program("-c", "flow.json").code == 0
    lock = program.history.with_name("history.db.lock")
    lock.chmod(0o660)
    assert program("-c", "flow.json").code == 0
    assert lock.stat().st_mode & 0o777 == 0o660


def test_a_path_through_a_link_is_the_file_that_is_read(program: Program) -> None:
    """``link/../flow.json`` is the file that the system finds there, and jobs run in its folder."""
    real = program.folder / "real" / "inner"
    real.mkdir(parents=True)
    (program.folder / "link").symlink_to("real/inner")
    program.config({"a": "touch here"}, name="real/flow.json")
    assert program("-c", "link/../flow.json").code == 0
    assert (program.folder / "real/here").exists()
    assert program.run_row()["config_path"] == str((program.folder / "real/flow.json").resolve())


def test_a_link_to_a_config_is_the_same_config(program: Program) -> None:
    """``max_active_runs`` counts the runs of a file, by whatever name it is reached."""
    program.config({"a": "touch started; read x < gate"}, max_active_runs=1)
    (program.folder / "other.json").symlink_to("flow.json")
    with gate(program.folder / "gate") as open_gate, ended(program.start("-c", "flow.json")) as process:
        program.wait_for("started")
        second = program("-c", "other.json")
        open_gate()
        process.communicate(timeout=60)
    assert (second.code, second.out) == (3, "")
    assert "max_active_runs is 1" in second.err


def test_quiet_keeps_warnings_in_the_log(program: Program) -> None:
    """With ``--quiet`` a success prints nothing, warnings included; the run's log has them."""
    program.config({"a": "echo x; echo y | tee /dev/stderr > /dev/null"})
    assert program("-c", "flow.json", "--quiet") == (0, "", "")
    assert "cut off its own log" in Path(program.run_row()["log_path"]).read_text()


def test_a_cancelled_retry_keeps_what_was_measured(program: Program) -> None:
    """A job whose retry is called off has the processor time of its attempt on record."""
    program.config(
        [
            {"id": "a", "command": "seq 1 300000 > out; exit 3", "max_retries": 1, "retry_delay": 300},
            {"id": "b", "command": "exit 4"},
        ]
    )
    assert program("-c", "flow.json").code == 1
    row = program.jobs()["a"]
    assert row["reason"].endswith("(not retried: run stopped after b failed)")
    assert row["cpu_usage_percent"] > 0


def test_a_parent_that_ignores_term_does_not_make_the_runner_deaf(program: Program) -> None:
    """TERM ends a run although the caller ignored it, and jobs get it as well."""
    program.config({"a": "touch started; exec sleep 60"})
    deaf = lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)  # noqa: E731
    with ended(program.start("-c", "flow.json", preexec_fn=deaf)) as process:
        program.wait_for("started")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert program.statuses() == {"a": "INTERRUPTED"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_preview_refuses_what_the_run_would_refuse(tmp_path: Path) -> None:
    """``--dry-run`` on a history that may be read but not written exits with 3, as the run does."""
    program = Program(tmp_path / "work")
    program.config({"a": "true"})
    assert program("-c", "flow.json", "--db", "h.db").code == 0
    for path in (*tmp_path.parents, tmp_path, program.folder):
        path.chmod(path.stat().st_mode | 0o055)
    (program.folder / "logs").chmod(0o777)
    (program.folder / "flow.json").chmod(0o644)
    (program.folder / "h.db").chmod(0o644)
    reach = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", "test", "-r", str(ROOT / "executioner.py")], check=False
    )
    if reach.returncode:
        pytest.skip("the checkout is not readable by others")
    for extra in ([], ["--dry-run"]):
        done = subprocess.run(
            [
                *(
                    "setpriv",
                    "--reuid",
                    "65534",
                    "--clear-groups",
                    "/usr/bin/python3",
                    str(ROOT / "executioner.py"),
                ),
                *("-c", "flow.json", "--db", "h.db", *extra),
            ],
            cwd=program.folder,
            env=program.environment({"HOME": "/nonexistent", "PYTHONPATH": sysconfig.get_path("platlib")}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("Error: The history cannot be written: no permission")


SHORT_OF_PROCESSES = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from executioner import attempt, cli
start = attempt.Starter.start
def refused(self, running, progress):
    if running.job.id == "b":
        raise attempt.CannotStartError("Resource temporarily unavailable", 11)
    start(self, running, progress)
attempt.Starter.start = refused
cli.main_script()
"""


@pytest.mark.parametrize(
    ("flags", "b"),
    [([], ("SKIPPED", "run stopped after a failed")), (["--continue-on-error"], ("ERROR", None))],
)
def test_a_job_put_off_for_lack_of_processes_is_dropped_or_tried_again(
    program: Program, flags: list[str], b: tuple[str, str | None]
) -> None:
    """A job that the system could not start yet has no attempt: a stop skips it, else it is tried again."""
    program.config({"a": "touch started; read x < gate; exit 3", "b": "true"})
    with gate(program.folder / "gate") as open_gate:
        command = [program.command()[0], "-c", SHORT_OF_PROCESSES, str(ROOT), "-c", "flow.json", "-j", "2", *flags]
        with ended(
            subprocess.Popen(
                command,
                cwd=program.folder,
                env=program.environment(),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        ) as process:
            program.wait_for("started")
            open_gate()
            _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    rows = program.jobs()
    assert (rows["a"]["status"], rows["b"]["status"]) == ("FAILED", b[0])
    assert rows["b"]["reason"] == (b[1] or "Could not be started: Resource temporarily unavailable")
    assert err.count("(Resource temporarily unavailable): going on with 1 at a time") == 1


def test_a_history_that_was_removed_is_kept_whole_in_the_spool(program: Program) -> None:
    """Results committed into a file that is gone by the run's end are in the spool with the rest; exit 3."""
    program.config({"a": "true", "b": "touch started; read x < gate"})
    with gate(program.folder / "gate") as open_gate, ended(program.start("-c", "flow.json")) as process:
        program.wait_for("started")
        for path in program.history.parent.iterdir():
            path.unlink()
        open_gate()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "removed or replaced during the run" in err
    assert "SUCCESS" not in out
    [spool] = (program.folder / "logs").glob("*.spool.json")
    found: dict[str, str] = {}
    for job in json.loads(spool.read_text())["jobs"]:
        found[job["id"]] = job.get("status", found.get(job["id"], ""))
    assert found == {"a": "SUCCESS", "b": "SUCCESS"}
