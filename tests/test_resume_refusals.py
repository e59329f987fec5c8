"""When a resume may not start: the run is on or was resumed, two come at once, jobs outlived their runner."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import MAIN, ROOT, Program, ended, is_running, wait_until
from history_tools import gate, kill, pid_in, sql, wait_for_end
from resume_tools import (
    commands,
    failed_pipeline,
    fails,
    job,
    next_id,
    pasted,
    pipeline,
    ran,
    refused,
    screen,
)
from screens import figures

pytestmark = pytest.mark.promise(4)

# screens.md, 6
LEFTOVERS = """\
Error: 1 job of run 253 is still running (etl01)
  load_dwh  pid 4711  since 2025-05-23 02:13:40 (01:02:11)
Its runner is gone, so its result will not be recorded. Nothing was run.

To wait for it, watch its log, then resume:
  executioner.py --show-log 253 load_dwh --follow
To end it and resume now:
  executioner.py -c dwh.json --resume-from 253 --kill-leftovers
To leave it running and go on:
  executioner.py -c dwh.json --resume-from 253 --ignore-leftovers
"""
# screens.md, 7
BEING_RESUMED = """\
Error: Run 249 is being resumed by run 250 (anna@etl01, pid 5120, since 03:02:11)
Nothing was run. To watch it:
  executioner.py --show-run 250
"""
ALREADY_RESUMED = """\
Error: Run 249 was already resumed by run 250 (FAILED, 4/8)
Nothing was run. To resume the newest:
  executioner.py -c data_pipeline.json --resume-from 250
To resume 249 all the same (runs 1 job again that succeeded in 250):
  executioner.py -c data_pipeline.json --resume-from 249 --yes
"""
RESUME_249 = ("-c", "data_pipeline.json", "--resume-from", "249")


def holder(program: Program, run_id: int) -> str:
    """Who holds a run, as the screens name them: ``anna@etl01, pid 5120, since 03:02:11``."""
    run = program.run_row(run_id)
    return f"{run['user']}@{run['host']}, pid {run['pid']}, since {run['start_time'][11:19]}"


# --- the run is held, or was resumed -------------------------------------------------------------


def test_a_run_that_is_being_resumed(program: Program) -> None:
    """Screen 7 to the letter: exit 3, and who resumes it."""
    failed_pipeline(program)
    fails(program)
    with gate(program) as let_through:
        pipeline(program, transform_part2={"command": "echo $$ > up; read x < gate"})
        with ended(program.start(*RESUME_249)) as first:
            pid_in(program, "up")
            result = refused(program, *RESUME_249)
            expected = BEING_RESUMED.replace("anna@etl01, pid 5120, since 03:02:11", holder(program, 250))
            assert result == (3, "", expected)
            assert holder(program, 250).split(", ")[1] == f"pid {first.pid}"
            assert refused(program, *RESUME_249, "--dry-run") == result
            assert refused(program, *RESUME_249, "--yes") == result
            let_through()
            assert first.wait() == 0


def test_a_run_that_was_already_resumed(program: Program) -> None:
    """Screen 7's second half to the letter: the newest's command, and what going back would run twice."""
    failed_pipeline(program)
    fails(program, "merge_results")
    assert program(*RESUME_249).code == 1
    assert ran(program) == ["transform_part2", "merge_results"]
    assert refused(program, *RESUME_249) == (3, "", ALREADY_RESUMED)
    assert refused(program, *RESUME_249, "--dry-run").code == 3


def test_both_ways_on_from_a_run_that_was_already_resumed(program: Program) -> None:
    """``--yes`` goes back: what failed runs again, though it has succeeded since; then that run is the newest."""
    failed_pipeline(program)
    fails(program, "merge_results")
    assert program(*RESUME_249).code == 1
    ran(program)
    forward, back = commands(screen(program, *RESUME_249).err)
    assert screen(program, *pasted(forward), "--dry-run").code == 0
    assert program(*pasted(back)).code == 1
    assert ran(program) == ["transform_part2", "merge_results"]
    row = program.run_row(251)
    assert (row["parent_run_id"], row["root_run_id"]) == (249, 249)
    result = refused(program, *pasted(forward))
    assert result.code == 3
    assert result.err.startswith("Error: Run 250 was already resumed by run 251 (FAILED, 4/8)\n")


def test_the_commands_on_a_resumed_run_ask_for_its_secrets(program: Program) -> None:
    """Both ways on are complete: a secret that was not kept comes from a variable of the shell."""
    program.config([job("a"), job("b", "a")])
    fails(program, "b")
    secret = ("--env", "DB_PASSWORD=hunter2", "--env", "STAGE=prod")
    assert program("-c", "flow.json", *secret).code == 1
    assert program("-c", "flow.json", *secret, "--resume-from", "1").code == 1
    ran(program)
    found = commands(refused(program, "-c", "flow.json", "--resume-from", "1").err)
    given = '-c flow.json --env STAGE=prod --env DB_PASSWORD="${DB_PASSWORD:?}"'
    assert found == [
        f"executioner.py {given} --resume-from 2",
        f"executioner.py {given} --resume-from 1 --yes",
    ]


def test_a_run_whose_resumption_succeeded(program: Program) -> None:
    """Then the newest cannot be resumed: it is shown instead of a command that would do nothing."""
    failed_pipeline(program)
    fails(program)
    assert program(*RESUME_249).code == 0
    ran(program)
    assert refused(program, *RESUME_249) == (
        3,
        "",
        "Error: Run 249 was already resumed by run 250 (SUCCESS, 8/8)\n"
        "Nothing was run. To view the newest:\n"
        "  executioner.py --show-run 250\n"
        "To resume 249 all the same (runs 5 jobs again that succeeded in 250):\n"
        "  executioner.py -c data_pipeline.json --resume-from 249 --yes\n",
    )


def test_a_run_that_is_on(program: Program) -> None:
    """A run that is resumed while it lives: exit 3, who runs it; ``last`` and --yes make no difference."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        expected = (
            f"Error: Run 1 is still running ({holder(program, 1)})\n"
            "Nothing was run. To watch it:\n"
            "  executioner.py --show-run 1\n"
        )
        for more in ([], ["--yes"], ["--dry-run"], ["--resume-failed-only"], ["--from-job", "a"]):
            assert refused(program, "-c", "flow.json", "--resume-from", "1", *more) == (3, "", expected)
        assert refused(program, "-c", "flow.json", "--resume-from", "last") == (3, "", expected)
        let_through()
        assert runner.wait() == 0


# --- two at once ---------------------------------------------------------------------------------


def has_open_to_write(process: "subprocess.Popen[str]", path: Path) -> bool:
    """Whether a process has opened a file to write it."""
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if link.readlink() == path:
                info = Path(f"/proc/{process.pid}/fdinfo/{link.name}").read_text()
                [flags] = [line.split()[1] for line in info.splitlines() if line.startswith("flags:")]
                if int(flags, 8) & os.O_ACCMODE == os.O_RDWR:
                    return True
    return False


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A write transaction: whoever wants to write waits until it is over; reading goes on."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def rest(history: Path, seconds_ago: int = 60) -> None:
    """Date the last write back: what is written later shows in the file's time."""
    past = time.time_ns() - seconds_ago * 10**9
    os.utime(history, ns=(past, past))


@pytest.mark.parametrize("together", ["both have planned", "as they come"])
def test_two_resumes_at_once(program: Program, together: str) -> None:
    """Of two resumes of one run, started at once, one runs and the other exits 3 and says who holds the run.

    Ten rounds, every other one with a history that was written long ago; "both have planned": both are held after
    their plan, before the transaction that creates the run.
    """
    program.config({"a": "echo a >> ran", "b": "echo b >> ran; test -e go && echo $$ > up && read x < gate"})
    with gate(program) as let_through:
        for round_ in range(10):
            (program.folder / "go").unlink(missing_ok=True)
            (program.folder / "up").unlink(missing_ok=True)
            assert program("-c", "flow.json").code == 1
            first = 2 * round_ + 1
            ran(program)
            (program.folder / "go").touch()
            if round_ % 2:
                rest(program.history)
            args = ("-c", "flow.json", "--resume-from", str(first))
            held = writing(program.history) if together == "both have planned" else contextlib.nullcontext()
            with ended(program.start(*args)) as one, ended(program.start(*args)) as two:
                with held:
                    if together == "both have planned":
                        wait_until(
                            lambda: all(has_open_to_write(each, program.history) for each in (one, two)),
                            "both at the transaction that creates the run",
                        )
                wait_until(lambda: one.poll() is not None or two.poll() is not None, "the end of one")
                loser, winner = (one, two) if one.poll() is not None else (two, one)
                who = holder(program, first + 1)
                pid_in(program, "up")
                let_through()
                out, err = loser.communicate()
                assert (loser.returncode, out) == (3, "")
                assert err.splitlines()[0] == f"Error: Run {first} is being resumed by run {first + 1} ({who})"
                assert f"pid {winner.pid}," in who
                assert winner.wait() == 0
            assert ran(program) == ["b"]
            rows = program.rows("SELECT run_id FROM run_metadata WHERE parent_run_id = ?", first)
            assert rows == [{"run_id": first + 1}]
            assert program.statuses(first + 1) == {"a": "SUCCESS", "b": "SUCCESS"}


def test_a_resume_that_waited_for_one_that_ended(program: Program) -> None:
    """One that had planned before another resume began and ended sees that: exit 3, nothing runs twice."""
    program.config({"a": "true", "b": "echo b >> ran; test -e go"})
    assert program("-c", "flow.json").code == 1
    ran(program)
    (program.folder / "go").touch()
    with ended(program.start("-c", "flow.json", "--resume-from", "1")) as late:
        with writing(program.history) as connection:
            wait_until(lambda: has_open_to_write(late, program.history) or late.poll() is not None, "it waits")
            if late.poll() is None:
                # what another one would have left, in the one transaction that it waits for
                connection.execute(
                    "INSERT INTO run_metadata (run_id, parent_run_id, root_run_id, status, application_name,"
                    " total_jobs, completed_jobs, start_time) VALUES (2, 1, 1, 'SUCCESS', 'flow', 2, 2,"
                    " '2025-05-23T09:45:00.000000Z')"
                )
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
        out, err = late.communicate()
    assert (late.returncode, out) == (3, "")
    assert err.startswith("Error: Run 1 was already resumed by run 2 (SUCCESS, 2/2)\n")
    assert ran(program) == []
    assert len(program.rows("SELECT run_id FROM run_metadata")) == 2


#: Marks job b when the resume has just read the run; "fold": and folds the log into the file, a minute ago.
_MARK_WHEN_READ = """
import os, sqlite3, time
from executioner.history.reader import History
how, history, *sys.argv[1:] = sys.argv[1:]
kept = []
def lineage(self, run_id, real=History.lineage):
    found = real(self, run_id)
    if not kept:
        kept.append(sqlite3.connect(history, isolation_level=None))
        kept[0].execute("UPDATE job_history SET marked_by = 'anna' WHERE run_id = 1 AND id = 'b'")
        if how == "fold":
            kept[0].close()
            os.utime(history, (time.time() - 60, time.time() - 60))
    return found
History.lineage = lineage
"""
#: Says how often a resume reads the run again in the transaction that creates its own.
_COUNT_READINGS = """
from executioner.history.store import HistoryWriter
def lineage(self, run_id, real=HistoryWriter.lineage):
    print("read again", file=sys.stderr)
    return real(self, run_id)
HistoryWriter.lineage = lineage
"""


@pytest.mark.parametrize("at_rest", [False, True])
@pytest.mark.parametrize("how", ["fold", "leave the log"])
def test_a_mark_that_comes_while_a_resume_is_planned(program: Program, how: str, at_rest: bool) -> None:
    """A job that is marked just after the resume has read the run is not run; the mark may be in log or file."""
    program.config({"a": "true", "b": "echo b >> ran; false", "c": "echo c >> ran; test -e go"})
    assert program("-c", "flow.json", "--continue-on-error").code == 1
    assert ran(program) == ["b", "c"]
    (program.folder / "go").touch()
    if at_rest:
        rest(program.history)
    args = ("-c", "flow.json", "--resume-from", "1")
    done = program.changed(_MARK_WHEN_READ, how, str(program.history), *args)
    assert done.code == 0, done.err
    assert ran(program) == ["c"]
    assert program.statuses(2) == dict.fromkeys("abc", "SUCCESS")


@pytest.mark.parametrize("state", ["at rest", "just written", "with a log"])
def test_a_run_is_read_again_only_if_it_may_have_changed(program: Program, state: str) -> None:
    """Within the transaction that creates the resume: not where the file's time says that nothing was written."""
    program.config({"a": "true", "b": "test -e go"})
    assert program("-c", "flow.json").code == 1
    (program.folder / "go").touch()
    with contextlib.closing(sqlite3.connect(program.history, isolation_level=None)) as other:
        if state == "with a log":
            other.execute("UPDATE run_metadata SET user = user")
        # a time ahead of the clock is too young for sure, however slow this machine is
        rest(program.history, -60 if state == "just written" else 60)
        done = program.changed(_COUNT_READINGS, "-c", "flow.json", "--resume-from", "1")
    assert (done.code, done.err) == (0, "" if state == "at rest" else "read again\n")
    assert program.statuses(2) == {"a": "SUCCESS", "b": "SUCCESS"}


# --- limits and what lies beside the history -----------------------------------------------------


def test_no_more_runs_of_a_config_than_may_be(program: Program) -> None:
    """``max_active_runs`` holds for resumes: exit 3, the active run is named; so says the preview."""
    program.config({"a": "echo $$ > up$EXECUTIONER_RUN_ID; test -e go && read x < gate"}, max_active_runs=1)
    assert program("-c", "flow.json").code == 1
    (program.folder / "go").touch()
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up2")
        run = program.run_row(2)
        since = run["start_time"][:19].replace("T", " ")
        expected = (
            "Error: 1 run of this config is active, max_active_runs is 1 (flow)\n"
            f"  run 2 ({run['user']}@{run['host']}, pid {runner.pid}, since {since})\n"
            "\n"
            "Nothing was run. To watch:\n"
            "  executioner.py --show-run 2\n"
        )
        assert refused(program, "-c", "flow.json", "--resume-from", "1") == (3, "", expected)
        assert refused(program, "-c", "flow.json", "--resume-from", "1", "--dry-run") == (3, "", expected)
        let_through()
        assert runner.wait() == 0


def test_another_run_of_the_config_is_a_warning(program: Program) -> None:
    """Without ``max_active_runs`` a resume beside a fresh run of the config warns, and runs."""
    program.config({"a": "echo $$ > up$EXECUTIONER_RUN_ID; test -e go && read x < gate"})
    assert program("-c", "flow.json").code == 1
    (program.folder / "go").touch()
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up2")
        with ended(program.start("-c", "flow.json", "--resume-from", "1")) as resuming:
            pid_in(program, "up3")
            let_through()
            let_through()
            _, err = resuming.communicate()
        assert resuming.returncode == 0
        assert err.startswith(f"Warning: this config is already being run: run 2 ({program.run_row(2)['user']}@")
        assert runner.wait() == 0


def test_results_that_wait_beside_the_logs(program: Program) -> None:
    """A spool file of the run: exit 3, the file is named; moved away, the run can be resumed."""
    program.config([job("a"), job("b", "a")])
    fails(program, "b")
    assert program("-c", "flow.json").code == 1
    ran(program)
    spool = Path(program.run_row()["log_path"]).with_suffix(".spool.json")
    spool.write_text("{}")
    for more in ([], ["--dry-run"], ["--yes"]):
        result = refused(program, "-c", "flow.json", "--resume-from", "1", *more)
        assert (result.code, result.out) == (3, "")
        assert result.err == (
            f"Error: Results of run 1 are not in the history, but in a file beside its logs ({spool})\n"
            "Nothing was run: jobs that succeeded could be run again. To put them into the history:\n"
            "  executioner.py --import-spool logs/executioner.flow.run-1.spool.json\n"
            "To go on without them, move that file away.\n"
        )
    spool.rename(program.folder / "away.json")
    fails(program)
    assert program("-c", "flow.json", "--resume-from", "1").code == 0
    assert ran(program) == ["b"]


# --- jobs that outlived their runner -------------------------------------------------------------

#: A job that in its first run waits at the gate, with a child in a session of its own if it is to have one.
OUTLIVES = 'if [ "$EXECUTIONER_RUN_ID" = {run} ]; then {child}echo $$ > up; read x < gate; fi; echo {job} >> ran'
SETSID = "setsid sh -c 'echo $$ > child; read x < gate' & while [ ! -s child ]; do :; done; "
#: The same, and no longer a child of the job.
DAEMON = "(setsid sh -c 'echo $$ > child; read x < gate' &); while [ ! -s child ]; do :; done; "


def outliving(job_id: str = "load_dwh", run: int = 253, child: str = "") -> str:
    return OUTLIVES.format(run=run, child=child, job=job_id)


@contextlib.contextmanager
def killed_run(program: Program, config: str, *args: str, ups: tuple[str, ...] = ("up",)) -> Iterator[list[int]]:
    """A run whose runner was killed while its jobs wait at the gate; yields the pids that they told."""
    with gate(program):
        with ended(program.start("-c", config, *args)) as runner:
            pids = [pid_in(program, name) for name in ups]
            kill(runner)
        assert all(map(is_running, pids))
        yield pids
    for pid in pids:
        wait_for_end(pid)


def dwh(program: Program, child: str = "", **keys: Any) -> str:
    """Write a workflow whose second job will outlive its runner in run 253; returns the config's name."""
    next_id(program, 253)
    jobs = [{"id": "extract", "command": "true"}, {"id": "load_dwh", "command": outliving(child=child)}]
    return program.config(
        [*jobs, {"id": "report", "command": "true", "dependencies": ["load_dwh"]}], "dwh.json", **keys
    )


def leftovers_screen(pid: int) -> str:
    """Screen 6 with this machine's figures."""
    return LEFTOVERS.replace("etl01", os.uname().nodename).replace("4711", str(pid))


def test_a_job_that_outlived_its_runner(program: Program) -> None:
    """Screen 6 to the letter after kill -9: exit 3, job, pid, since when, and the three ways on."""
    with killed_run(program, dwh(program)) as [pid]:
        expected = figures(leftovers_screen(pid))
        for more in ([], ["--dry-run"], ["--yes"]):
            result = refused(program, "-c", "dwh.json", "--resume-from", "253", *more)
            shown = figures(result.err).replace(" --yes", "")
            assert (result.code, result.out, shown) == (3, "", expected)
        assert is_running(pid)


def test_since_when_a_leftover_runs(program: Program) -> None:
    """The time is that of the job's start: no more than a few seconds from what the history has."""
    with killed_run(program, dwh(program)) as [pid]:
        line = refused(program, "-c", "dwh.json", "--resume-from", "253").err.splitlines()[1]
        started = program.jobs(253)["load_dwh"]["start_time"][:19].replace("T", " ")
        shown = line.partition("since ")[2].rpartition(" (")[0]
        assert line.startswith(f"  load_dwh  pid {pid}  since ")
        assert shown[:15] == started[:15]
        assert abs(seconds(shown) - seconds(started)) <= 2


def seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("child", [SETSID, DAEMON], ids=["setsid", "daemon"])
def test_a_leftover_is_ended_on_request(program: Program, child: str) -> None:
    """``--kill-leftovers``: it is gone, a child that went into a session of its own too, and the resume runs."""
    with killed_run(program, dwh(program, child), ups=("up", "child")) as pids:
        result = screen(program, "-c", "dwh.json", "--resume-from", "253", "--kill-leftovers")
        assert not any(map(is_running, pids))
        note = f"Note: ending what is left of earlier runs: load_dwh of run 253 (pid {pids[0]})\n"
        assert (result.code, result.err) == (0, note)
        assert ran(program) == ["load_dwh"]
        assert program.statuses(254) == dict.fromkeys(("extract", "load_dwh", "report"), "SUCCESS")
        assert program.run_row(253)["status"] == "INTERRUPTED"


def test_a_leftover_of_which_only_a_detached_child_lives(program: Program) -> None:
    """The job's own shell is gone, its child in another session lives: found, named by the child's pid, ended."""
    with killed_run(program, dwh(program, SETSID), ups=("up", "child")) as [shell, pid]:
        os.kill(shell, 9)
        wait_for_end(shell)
        result = refused(program, "-c", "dwh.json", "--resume-from", "253")
        assert (result.code, figures(result.err)) == (3, figures(leftovers_screen(pid)))
        assert program("-c", "dwh.json", "--resume-from", "253", "--kill-leftovers").code == 0
        assert not is_running(pid)


def test_a_leftover_that_ignores_term(program: Program) -> None:
    """It is killed after ``kill_grace``."""
    with killed_run(program, dwh(program, "trap '' TERM; ", kill_grace=0.1)) as [pid]:
        assert program("-c", "dwh.json", "--resume-from", "253", "--kill-leftovers").code == 0
        assert not is_running(pid)


def test_a_leftover_is_left_on_request(program: Program) -> None:
    """``--ignore-leftovers``: it lives on, and the resume runs the job beside it."""
    with killed_run(program, dwh(program)) as [pid]:
        result = screen(program, "-c", "dwh.json", "--resume-from", "253", "--ignore-leftovers")
        warning = f"Warning: still running, and left so: load_dwh of run 253 (pid {pid})\n"
        assert (result.code, result.err) == (0, warning)
        assert is_running(pid)
        assert ran(program) == ["load_dwh"]


def test_a_leftover_of_a_run_that_was_resumed(program: Program) -> None:
    """Nothing of that run is to be resumed any more: the doctor has a command that ends the job alone."""
    with killed_run(program, dwh(program, DAEMON)) as [pid]:
        child = pid_in(program, "child")
        assert program("-c", "dwh.json", "--resume-from", "253", "--ignore-leftovers").code == 0
        ran(program)
        shown = screen(program, "--doctor").out
        command = shown.partition("To end it:\n")[2].splitlines()[0].strip()
        assert command.startswith("kill -- -"), shown
        assert "--kill-leftovers" not in shown
        assert "or end it as --doctor says." in " ".join(screen(program, "--show-run", "253").out.split())
        subprocess.run(["sh", "-c", command], check=True)
        wait_for_end(pid)
        wait_for_end(child)
        assert ran(program) == []


#: The program as another user would see it: root alone could look into each process.
_AS_ANOTHER = """
import os, sys
sys.path[0] = {root!r}
os.geteuid = os.getuid = lambda: 12345
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the processes of two users")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
def test_a_job_of_another_user_that_may_still_run(program: Program) -> None:
    """Whose processes may not be looked at is named by the doctor, by a resume's preview and where the job is
    marked: nobody claims that nothing runs.
    """
    hidden = "setpriv --reuid=65534 --clear-groups env -i sleep 60 > /dev/null 2>&1 < /dev/null & echo $! > up"
    program.config([{"id": "load", "command": f"{hidden}; wait"}, {"id": "b", "command": "true"}])
    with ended(program.start("-c", "flow.json")) as runner:
        pid = pid_in(program, "up")
        try:
            comm = Path(f"/proc/{pid}/comm")
            wait_until(lambda: comm.read_text() == "sleep\n", "the process to be the other user's")
            kill(runner)
            for one in leftover_shells(program):
                os.kill(one, signal.SIGKILL)
                wait_for_end(one)
            sql(program.history, "UPDATE run_metadata SET user = 'nobody'")
            says = "whether load of run 1 still runs cannot be seen by this user, only by nobody or root"
            command = [sys.executable, "-c", _AS_ANOTHER.format(root=str(ROOT)) + MAIN]
            doctor = program.run([*command, "--doctor"])
            assert f"! Leftovers    {says}\n" in doctor.out, doctor
            preview = program.run([*command, "-c", "flow.json", "--resume-from", "1", "--dry-run"])
            assert f"Note: {says}\n" in preview.err, preview
            marked = program.run([*command, "--mark-success", "1", "load", "--dry-run"])
            assert f"Note: {says}\n" in marked.err, marked
            assert (
                "Leftovers    no job outlived its runner" in program("--doctor").out
            )  # root sees that it is not one
        finally:
            os.kill(pid, signal.SIGKILL)


def leftover_shells(program: Program) -> list[int]:
    """The shells of jobs whose runner was killed: processes in the program's folder, but for what they started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{name}/cmdline").read_bytes()
            if os.readlink(f"/proc/{name}/cwd") == str(program.folder) and b"setpriv" in command:
                found.append(int(name))
    return found


def test_a_preview_ends_no_leftover(program: Program) -> None:
    """``--dry-run --kill-leftovers`` says what would be ended, and ends and writes nothing."""
    with killed_run(program, dwh(program)) as [pid]:
        result = refused(program, "-c", "dwh.json", "--resume-from", "253", "--kill-leftovers", "--dry-run")
        note = f"Note: the run would first end what is left of earlier runs: load_dwh of run 253 (pid {pid})\n"
        assert result.code == 0
        assert result.err == (
            f"{note}\nNothing was run. To run it:\n"
            "  executioner.py -c dwh.json --resume-from 253 --kill-leftovers\n"
        )
        assert result.out == (
            "RESUME DRY RUN - Run ID 253\n===========================\n"
            "Would skip successful job:\n  ✓ extract\n\n"
            "Would retry interrupted job:\n  ✗ load_dwh\n\n"
            "Would execute remaining job:\n  - report\n\n"
            "Total: 2 jobs to execute, 1 job to skip\n"
        )
        assert is_running(pid)
        fresh = refused(program, "-c", "dwh.json", "--kill-leftovers", "--dry-run")
        newest = (
            "Note: run 253 INTERRUPTED at 1/3 and can be resumed: executioner.py -c dwh.json --resume-from 253\n"
        )
        assert (fresh.code, fresh.err) == (0, note + newest)
        assert is_running(pid)


def test_a_fresh_run_looks_for_leftovers_too(program: Program) -> None:
    """A fresh run of the config, and its preview, refuse in the same way, with commands that start afresh."""
    expected = (
        LEFTOVERS.replace("then resume:", "then run again:")
        .replace("and resume now:", "and run now:")
        .replace(" --resume-from 253", "")
    )
    with killed_run(program, dwh(program)) as [pid]:
        machine = figures(expected.replace("etl01", os.uname().nodename).replace("4711", str(pid)))
        preview = refused(program, "-c", "dwh.json", "--dry-run")
        assert (preview.code, preview.out, figures(preview.err)) == (3, "", machine)
        result = screen(program, "-c", "dwh.json")
        assert (result.code, result.out, figures(result.err)) == (3, "", machine)
        assert ran(program) == []
        assert max(row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")) == 253
        assert is_running(pid)
        _, ending, _ = commands(result.err)
        assert program(*pasted(ending)).code == 0
        assert not is_running(pid)


def test_leftovers_are_found_after_the_dead_run_was_recorded(program: Program) -> None:
    """That a run of another config, which is not refused, has recorded the dead run changes nothing."""
    with killed_run(program, dwh(program)) as [pid]:
        assert program("-c", "other.json").code == 0
        assert program.run_row(253)["status"] == "INTERRUPTED"
        for args in (["--resume-from", "253"], []):
            result = refused(program, "-c", "dwh.json", *args)
            assert (result.code, result.err.splitlines()[1].split(" since")[0]) == (3, f"  load_dwh  pid {pid} ")


def test_a_leftover_of_an_earlier_run_of_the_chain(program: Program) -> None:
    """A leftover that was ignored once is named again by the next resume: it still runs."""
    with killed_run(program, dwh(program)) as [pid]:
        program.config({"extract": "true", "load_dwh": "false"}, "dwh.json")
        assert program("-c", "dwh.json", "--resume-from", "253", "--ignore-leftovers").code == 1
        result = refused(program, "-c", "dwh.json", "--resume-from", "254")
        assert (result.code, figures(result.err)) == (
            3,
            figures(leftovers_screen(pid)).replace("--resume-from 253", "--resume-from 254"),
        )


def test_two_leftovers(program: Program) -> None:
    """Several are named in columns, the words are plural, and each has its log to watch."""
    program.config({"a": "echo $$ > up1; read x < gate", "long_one": "echo $$ > up2; read x < gate"})
    with killed_run(program, "flow.json", "-j", "2", ups=("up1", "up2")) as [one, two]:
        result = refused(program, "-c", "flow.json", "--resume-from", "1")
        width = max(len(str(one)), len(str(two)))
        assert (result.code, figures(result.err)) == (
            3,
            f"Error: 2 jobs of run 1 are still running ({os.uname().nodename})\n"
            f"  a         pid {one:<{width}}  since 0000-00-00 00:00:00 (00:00:00)\n"
            f"  long_one  pid {two:<{width}}  since 0000-00-00 00:00:00 (00:00:00)\n"
            "Their runner is gone, so their results will not be recorded. Nothing was run.\n"
            "\n"
            "To wait for a, watch its log:\n"
            "  executioner.py --show-log 1 a --follow\n"
            "To wait for long_one, watch its log:\n"
            "  executioner.py --show-log 1 long_one --follow\n"
            "To end them and resume now:\n"
            "  executioner.py -c flow.json --resume-from 1 --kill-leftovers\n"
            "To leave them running and go on:\n"
            "  executioner.py -c flow.json --resume-from 1 --ignore-leftovers\n",
        )


def test_the_log_of_a_leftover_can_be_watched_to_its_end(program: Program) -> None:
    """The first way on works: it follows the log until the job has ended, and then the resume runs."""
    program.config({"a": 'echo $$ > up; if [ "$EXECUTIONER_RUN_ID" = 1 ]; then read x < gate; fi; echo the end'})
    with gate(program) as let_through:
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up")
            kill(runner)
        follow, _, _ = commands(refused(program, "-c", "flow.json", "--resume-from", "1").err)
        let_through()
        wait_for_end(pid)
        shown = program(*pasted(follow))
        assert shown.code == 0
        assert "the end\n" in shown.out
        assert screen(program, "-c", "flow.json", "--resume-from", "1").err == ""


def test_a_dead_run_without_leftovers_is_resumed_at_once(program: Program) -> None:
    """A killed runner whose job has ended since: its result is not known, so the job runs again."""
    with killed_run(program, dwh(program)) as [pid]:
        os.kill(pid, 9)
        wait_for_end(pid)
        result = screen(program, "-c", "dwh.json", "--resume-from", "253")
        assert (result.code, result.err) == (0, "")
        assert ran(program) == ["load_dwh"]
        assert program.jobs(254)["extract"]["source_run_id"] == 253


def test_a_process_that_only_looks_like_a_leftover(program: Program) -> None:
    """Another database's run of the same number and job is told apart: it is neither named nor ended."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with killed_run(program, "flow.json", "--db", "one.db") as [pid]:
        program.config({"a": "test -e up2 || { touch up2; kill -9 $PPID; }"}, "two.json")
        assert program("-c", "two.json", "--db", "two.db").code == -9
        result = screen(program, "-c", "two.json", "--db", "two.db", "--resume-from", "1", "--kill-leftovers")
        assert (result.code, result.err) == (0, "")
        assert is_running(pid)


def test_options_that_contradict_each_other(program: Program) -> None:
    """``--kill-leftovers`` with ``--ignore-leftovers`` is a usage error."""
    pipeline(program)
    result = program("-c", "data_pipeline.json", "--kill-leftovers", "--ignore-leftovers")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: --kill-leftovers does not go with --ignore-leftovers (command line)\n")
