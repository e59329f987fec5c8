"""What a run stands on is taken away while it is on: each job has the right end and nothing hangs."""

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_tools import Stranger, failing, needs_root, public_folder, tool
from harness import Program, Result, ended, gate
from history_tools import integrity, names

NO_SUCH = "No such file or directory"


def in_mid_run(program: Program, change: Callable[[], object], *args: str, **keys: object) -> Result:
    """Run ``a``, then ``b`` and ``c`` after it; do something while ``a`` is running."""
    program.config(
        [
            {"id": "a", "command": f"echo x > {program.home}/up; read x < {program.home}/gate; echo a"},
            {"id": "b", "command": f"pwd; echo x > {program.home}/b_ran", "dependencies": ["a"]},
            {"id": "c", "command": "echo c", "working_dir": "/", "dependencies": ["a"]},
        ],
        continue_on_error=True,
        **keys,
    )
    with gate(program.home / "gate") as let_on, ended(program.start("-c", "flow.json", *args)) as runner:
        program.wait_for(f"{program.home}/up")
        change()
        let_on()
        out, err = runner.communicate(timeout=60)
    assert "Traceback" not in err and "Internal error" not in err, err
    return Result(runner.returncode, out, err)


def ends(program: Program, result: Result, a: str = "SUCCESS", b: str = "SUCCESS", c: str = "SUCCESS") -> None:
    """See that the three jobs ended so, that the run's end is on record, and that the exit code is right."""
    assert program.statuses() == {"a": a, "b": b, "c": c}, result
    good = {a, b, c} == {"SUCCESS"}
    assert (result.code, program.run_row()["status"]) == ((0, "SUCCESS") if good else (1, "FAILED")), result
    assert program.run_row()["exit_code"] == result.code
    assert integrity(program.history) == ["ok"]


# --- too little of something ----------------------------------------------------------------------


@pytest.mark.promise(1)
@pytest.mark.parametrize("checks", [False, True], ids=["plain", "with checks"])
@pytest.mark.parametrize("limit", [20, 32, 48])
def test_few_descriptors_and_many_workers(program: Program, limit: int, checks: bool) -> None:
    """With 16 workers, 60 jobs and so few open files all jobs succeed, fewer at a time, and a warning says so."""
    post = [{"name": "check_no_ORA_do_not_exist", "params": {"log_file": "/dev/null"}}] if False else []
    jobs = [{"id": f"j{at}", "command": "sleep 0.01"} for at in range(60)]
    if checks:
        post = [{"name": "check_file_exists", "params": {"path": "/bin/sh"}}]
        jobs = [{**job, "post_checks": post} for job in jobs[:20]]
    program.config(jobs)
    result = program(
        "-c",
        "flow.json",
        "-j",
        "16",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )
    assert result.code == 0, result
    assert set(program.statuses().values()) == {"SUCCESS"}
    if limit <= 32:
        [line] = result.err.splitlines()
        assert line.startswith("Warning: ") and "open files" in line and " at a time" in line


@contextlib.contextmanager
def user_of_few_processes(uid: int, most: int) -> Iterator[Stranger]:
    """The program as run by a user of whom no other process is, and who can have only so many."""
    needs_root("be a user of whom no other process is")
    prlimit = tool("prlimit", "the limit cannot be set for another user alone")
    with public_folder() as folder:
        stranger = Stranger(folder / "work")
        stranger.prefix = [*Stranger.becoming(uid), prlimit, f"--nproc={most}:{most}"]
        stranger.folder.chmod(0o777)
        os.chown(stranger.home, uid, -1)
        yield stranger


@pytest.mark.promise(1)
def test_few_processes_and_many_workers() -> None:
    """Where the system lets its user start only a few processes jobs wait for each other: all succeed, and a
    warning says how many run at a time.
    """
    with user_of_few_processes(64321, 6) as stranger:
        stranger.config({f"j{at}": "sleep 0.05" for at in range(24)})  # each is one process
        result = stranger("-c", "flow.json", "-j", "12")
        assert result.code == 0, result
        assert set(stranger.statuses().values()) == {"SUCCESS"}
        lines = result.err.splitlines()
        why = r"Resource temporarily unavailable: /\S+/sleep"
        warning = rf"Warning: no more jobs can be started now \({why}\): going on with \d at a time"
        assert lines and all(re.fullmatch(warning, line) for line in lines), lines


@pytest.mark.promise(1)
def test_no_process_at_all() -> None:
    """Where not one process can be started each job is ERROR and says why, and the run FAILED."""
    with user_of_few_processes(64322, 1) as stranger:
        stranger.config({"a": "true", "b": "true"}, continue_on_error=True)
        result = stranger("-c", "flow.json", "-j", "2")
        assert result.code == 1, result
        assert stranger.statuses() == {"a": "ERROR", "b": "ERROR"}
        reasons = {row["reason"] for row in stranger.jobs().values()}
        assert reasons == {"Could not be started: Resource temporarily unavailable: /bin/true"}
        assert stranger.run_row()["status"] == "FAILED"


# --- folders that are removed ---------------------------------------------------------------------


@pytest.mark.promise(1)
def test_the_working_folder_is_removed(program: Program) -> None:
    """A job whose folder is gone is ERROR and names it; one that works elsewhere runs."""
    work = program.folder / "work"
    work.mkdir()
    result = in_mid_run(
        program, lambda: shutil.rmtree(work), working_dir="work", log_dir=str(program.home / "logs")
    )
    ends(program, result, b="ERROR")
    assert program.jobs()["b"]["reason"] == f"Could not be started: its folder is gone: {work}"
    assert not work.exists() and not (program.home / "b_ran").exists()


@pytest.mark.promise(1)
def test_the_working_folder_is_removed_with_the_logs_in_it(program: Program) -> None:
    """By default the logs lie in the working folder: that they are made again does not make jobs run in an empty
    folder of the old name, as if all were well.
    """
    work = program.folder / "work"
    work.mkdir()
    result = in_mid_run(program, lambda: shutil.rmtree(work), working_dir="work")
    ends(program, result, b="ERROR", c="ERROR")  # c would run elsewhere, but its log would bring the folder back


@pytest.mark.promise(1)
def test_the_working_folder_is_replaced_by_a_file(program: Program) -> None:
    """Not a folder any more: ERROR with that reason."""
    work = program.folder / "work"
    work.mkdir()

    def replace() -> None:
        work.rmdir()
        work.touch()

    result = in_mid_run(program, replace, working_dir="work", log_dir=str(program.home / "logs"))
    ends(program, result, b="ERROR")
    reason = program.jobs()["b"]["reason"]
    assert reason == f"Could not be started: its folder {work} cannot be used: Not a directory"


@pytest.mark.promise(6)
def test_the_log_folder_is_removed(program: Program) -> None:
    """It is made again, private: later output is where the history says, and the summary names what is there."""
    logs = program.folder / "logs"
    result = in_mid_run(program, lambda: shutil.rmtree(logs))
    ends(program, result)
    assert logs.stat().st_mode & 0o777 == 0o700
    assert program.output("c") == b"c\n"
    shown = program("--show-log", "1", "a")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"Error: The log of a cannot be read: {NO_SUCH}")


@pytest.mark.promise(6)
def test_the_log_folder_is_replaced_by_a_file(program: Program) -> None:
    """No log can be made: the jobs are ERROR and are not started; the file is as it was."""
    logs = program.folder / "logs"

    def replace() -> None:
        shutil.rmtree(logs)
        logs.write_text("mine\n")

    result = in_mid_run(program, replace)
    ends(program, result, b="ERROR", c="ERROR")
    for name in "bc":
        reason = program.jobs()[name]["reason"]
        assert reason.startswith("Could not be started: its log cannot be written: Not a directory: ")
    assert logs.read_text() == "mine\n" and not (program.home / "b_ran").exists()


@pytest.mark.promise(6)
@pytest.mark.parametrize("there", [True, False], ids=["to a folder", "to nowhere"])
def test_the_log_folder_is_replaced_by_a_link(program: Program, there: bool) -> None:
    """Moved to another disk and linked, the logs go on there; a link to nowhere makes the jobs ERROR."""
    logs, elsewhere = program.folder / "logs", program.folder / "elsewhere"

    def replace() -> None:
        logs.rename(elsewhere) if there else shutil.rmtree(logs)
        logs.symlink_to(elsewhere)

    result = in_mid_run(program, replace)
    if there:
        ends(program, result)
        assert [program.output(name) for name in "ac"] == [b"a\n", b"c\n"]
        assert (elsewhere / "executioner.flow.job-c.run-1.log").exists()
    else:
        ends(program, result, b="ERROR", c="ERROR")
        assert "Could not be started: its log cannot be written: " in program.jobs()["b"]["reason"]
        assert not elsewhere.exists()


# --- the shell ------------------------------------------------------------------------------------


@pytest.mark.promise(1)
def test_the_shell_is_gone(program: Program) -> None:
    """From mid-run on there is no /bin/sh: jobs for the shell are ERROR and say so, what needs none runs on."""
    needs_root("hide the shell from a run alone")
    unshare = tool("unshare", "the shell would be hidden from everybody")
    shell = os.path.realpath("/bin/sh")
    # a is executed without a shell: it hides the shell, within the name space of this run
    (program.folder / "hide.py").write_text(
        "import subprocess\n"
        f"subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', 'empty'], check=True)\n"
        "open('empty/not-a-program', 'w').close()\n"
        f"subprocess.run(['mount', '--bind', 'empty/not-a-program', {shell!r}], check=True)\n"
    )
    (program.folder / "empty").mkdir()
    program.config(
        [
            {"id": "a", "command": "python hide.py"},
            {"id": "b", "command": "echo b; echo b", "dependencies": ["a"]},
            {"id": "c", "command": "/bin/true", "dependencies": ["a"]},
        ],
        continue_on_error=True,
    )
    done = subprocess.run(
        [unshare, "-m", *program.command("-c", "flow.json")],
        cwd=program.folder,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare failed" in done.stderr or program.statuses()["a"] == "FAILED":
        pytest.skip("no name space of one's own is permitted here")
    ends(program, Result(done.returncode, done.stdout, done.stderr), b="ERROR")
    assert program.jobs()["b"]["reason"] == "Could not be started: Permission denied: /bin/sh"
    assert "Traceback" not in done.stderr


# --- the config and the history -------------------------------------------------------------------


@pytest.mark.promise(1)
@pytest.mark.parametrize("how", ["removed", "changed", "broken"])
def test_the_config_is_taken_away(program: Program, how: str) -> None:
    """A run goes on with the config that it began with, and the history has that one's definitions and hash."""
    config = program.folder / "flow.json"
    before: list[bytes] = []

    def change() -> None:
        before.append(config.read_bytes())
        if how == "removed":
            config.unlink()
        else:
            text = {"changed": '{"jobs": [{"id": "z", "command": "false"}]}', "broken": "{"}[how]
            config.write_text(text)

    result = in_mid_run(program, change)
    ends(program, result)
    assert result.err == ""
    commands = {job["id"]: job["command"] for job in json.loads(before[0])["jobs"]}
    assert {name: row["command"] for name, row in program.jobs().items()} == commands
    shown = program("--show-run", "1")
    assert (shown.code, shown.err) == (0, "")


@pytest.mark.promise(9)
@pytest.mark.parametrize("how", ["removed", "replaced by a copy", "replaced by another", "moved", "folder moved"])
def test_the_history_is_taken_away(program: Program, how: str) -> None:
    """Whatever takes the place of a running run's history: exit 3, all results are kept beside the logs, no word
    of SUCCESS, and what stands in its place is not written to.
    """
    db, folder = program.history, program.history.parent
    program.config({"z": "true"}, "first.json")
    assert program("-c", "first.json", "--db", "spare.db").code == 0
    content: list[bytes] = []

    def take() -> None:
        if how == "removed":
            for path in folder.iterdir():
                path.unlink()
        elif how == "moved":
            db.rename(folder / "old.db")
        elif how == "folder moved":
            folder.rename(folder.with_name("old"))
        else:
            source = db if how.endswith("copy") else program.folder / "spare.db"
            shutil.copyfile(source, folder / "new")
            os.replace(folder / "new", db)
            content.append(db.read_bytes())

    result = in_mid_run(program, take)
    assert result.code == 3
    assert "the history was removed or replaced during the run" in result.err
    assert "SUCCESS" not in result.out + result.err
    spool = program.folder / "logs/executioner.flow.run-1.spool.json"
    assert str(spool) in result.err
    found: dict[str, str] = {}
    for entry in json.loads(spool.read_text())["jobs"]:
        found[entry["id"]] = entry.get("status", found.get(entry["id"], ""))
    assert found == dict.fromkeys("abc", "SUCCESS")
    if content:
        assert db.read_bytes() == content[0]
    else:
        assert not db.exists()


@pytest.mark.promise(9, 10)
def test_two_runs_of_two_histories_at_one_path(program: Program) -> None:
    """The history is removed while run 1 is on, and run 2 makes a new one in its place: the end of run 1 takes
    nothing of it away, neither its write-ahead log nor its rows; run 2 succeeds.
    """
    program.config({"a": "echo x > up$EXECUTIONER_RUN_ID; read x < gate$EXECUTIONER_RUN_ID"})
    with contextlib.ExitStack() as stack:
        let_on = [stack.enter_context(gate(program.folder / f"gate{n}")) for n in (1, 2)]
        first = stack.enter_context(ended(program.start("-c", "flow.json")))
        program.wait_for("up1")
        for path in program.history.parent.iterdir():
            if not path.name.endswith(".lock"):
                path.unlink()
        second = stack.enter_context(ended(program.start("-c", "flow.json")))
        program.wait_for("up2")
        before = names(program.history.parent)
        let_on[0]()
        out, err = first.communicate(timeout=60)
        assert first.returncode == 3 and "removed or replaced" in err, (out, err)
        assert names(program.history.parent) == before
        assert program.statuses(2) == {"a": "RUNNING"}
        let_on[1]()
        out, err = second.communicate(timeout=60)
        assert (second.returncode, program.statuses(2)) == (0, {"a": "SUCCESS"}), (out, err)
    assert [row["run_id"] for row in program.rows("SELECT run_id FROM run_metadata")] == [2]
    assert integrity(program.history) == ["ok"]


@pytest.mark.promise(4, 9)
def test_the_lock_file_is_removed(program: Program) -> None:
    """A tidy-up removes the lock file in mid-run: the run is on record to its end, and is never called dead."""
    result = in_mid_run(
        program,
        lambda: (
            Path(f"{program.history}.lock").unlink(),
            # another run, which records dead ones, leaves it alone
            program("-c", program.config({"z": "true"}, "other.json")),
        ),
    )
    ends(program, result)
    assert program.run_row(2)["status"] == "SUCCESS"


# --- homes and temporary folders ------------------------------------------------------------------


@contextlib.contextmanager
def shut_home() -> Iterator[Stranger]:
    """The program of a user whose home cannot be written."""
    with public_folder() as folder:
        stranger = Stranger(folder / "work")
        stranger.folder.chmod(0o777)
        stranger.config({"a": "echo x > ran"})
        stranger.home.chmod(0o555)
        try:
            yield stranger
        finally:
            stranger.home.chmod(0o755)


@pytest.mark.promise(9)
def test_a_home_that_cannot_be_written() -> None:
    """There is no place for the history: exit 3, the place and --db are named, nothing is run; with --db it is."""
    with shut_home() as stranger:
        result = stranger("-c", "flow.json")
        assert (result.code, result.out) == (3, "")
        assert result.err.startswith("Error: The history cannot be used: Permission denied (")
        assert str(stranger.home) in result.err and "--db FILE" in result.err
        assert not (stranger.folder / "ran").exists() and names(stranger.home) == []
        assert stranger("-c", "flow.json", "--db", "own.db").code == 0
        assert names(stranger.home) == []


@pytest.mark.promise(9)
@pytest.mark.parametrize("home", [None, "", "/nonexistent", "/dev/null"])
def test_no_home_at_all(program: Program, home: str | None) -> None:
    """With HOME unset, empty or wrong a run either has its history elsewhere or exits 3: never a traceback."""
    program.config({"a": "echo x > ran"})
    for more, code in (((), None), (("--db", "own.db"), 0)):
        (program.folder / "ran").unlink(missing_ok=True)
        state = str(program.folder / "state")
        env = {"HOME": home} if home in ("/dev/null",) or more else {"HOME": home, "XDG_STATE_HOME": state}
        result = program("-c", "flow.json", *more, env=env)
        assert "Traceback" not in result.err
        wanted = code if code is not None else 3 if home == "/dev/null" else 0
        assert result.code == wanted, (more, result)
        assert (program.folder / "ran").exists() == (wanted == 0)


@pytest.mark.promise(9)
def test_no_temporary_folder(program: Program) -> None:
    """TMPDIR names nothing that is there: running, resuming and looking back never mind."""
    program.config({"a": "true", "b": "test -e go"})
    env = {"TMPDIR": str(program.folder / "nowhere")}
    assert program("-c", "flow.json", env=env).code == 1
    (program.folder / "go").touch()
    for args in (("-c", "flow.json", "--resume-from", "1"), ("--list-runs",), ("--show-run", "1")):
        result = program(*args, env=env)
        assert (result.code, result.err) == (0, ""), args
    assert not (program.folder / "nowhere").exists()


@pytest.mark.promise(1)
@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ("vfork,clone,clone3:error=EAGAIN:when=1", "Resource temporarily unavailable: /bin/sh"),
        ("vfork,clone,clone3:error=ENOMEM:when=1", "Cannot allocate memory: /bin/sh"),
        ("chdir:error=EIO:when=1", "its folder {folder} cannot be used: Input/output error"),
    ],
)
def test_a_process_that_cannot_be_started(program: Program, calls: str, reason: str) -> None:
    """The system refuses one start: that job is ERROR with the system's reason, the next one runs."""
    program.config({"a": "echo x; echo a_ran > a_ran", "b": "echo x; echo b_ran > b_ran"}, continue_on_error=True)
    result = failing(program, calls, [], "-c", "flow.json")
    assert result.code == 1, result
    assert program.statuses() == {"a": "ERROR", "b": "SUCCESS"}, result
    words = reason.format(folder=program.folder)
    assert program.jobs()["a"]["reason"] == f"Could not be started: {words}"
    assert not (program.folder / "a_ran").exists() and (program.folder / "b_ran").exists()
    assert "Traceback" not in result.err


@pytest.mark.promise(1)
def test_a_retry_does_not_make_its_folder_again(program: Program) -> None:
    """A job removes its folder, with the logs in it, and fails: its retry is ERROR, no empty folder is made."""
    work = program.folder / "work"
    work.mkdir()
    job = {"id": "a", "command": f"echo x >> {program.folder}/ran; test -e keep && rm -r {work}; exit $((1 - $?))"}
    (work / "keep").touch()
    program.config([{**job, "max_retries": 1, "retry_delay": 0.01}], working_dir="work")
    assert program("-c", "flow.json").code == 1
    assert program.jobs()["a"]["reason"] == f"Could not be started: its folder is gone: {work}"
    assert (program.folder / "ran").read_text() == "x\n"
    assert not work.exists()


@pytest.mark.promise(1)
def test_a_job_elsewhere_does_not_make_the_folder_again(program: Program) -> None:
    """``a`` removes the working folder; ``b``, which runs elsewhere, does not bring it back for ``c``."""
    work = program.folder / "work"
    work.mkdir()
    program.config(
        [
            {"id": "a", "command": f"rm -r {work}"},
            {"id": "b", "command": "true", "working_dir": str(program.home)},
            {"id": "c", "command": f"echo x > {program.folder}/wrong"},
        ],
        working_dir="work",
        continue_on_error=True,
    )
    assert program("-c", "flow.json").code == 1
    assert program.statuses()["c"] == "ERROR"
    assert not (program.folder / "wrong").exists()
