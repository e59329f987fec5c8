"""Pre- and post-checks: what they decide, and that a bad one harms nobody but its own job."""

import time
from pathlib import Path
from typing import Any

import pytest
from faults_tools import failing
from harness import Program, attempts, is_running, pid_in

pytestmark = pytest.mark.promise(1)

PLUGIN = """
import ctypes, os, signal, sys, time

def fail(text="no reason"):
    raise ValueError(text)

def key_error():
    return {}["missing"]

def leave(code):
    os._exit(code)

def leave_politely(code):
    sys.exit(code)

def crash():
    os.kill(os.getpid(), signal.SIGSEGV)

def hang(file):
    with open(file, "w") as pid:
        pid.write(str(os.getpid()))
    while True:
        time.sleep(60)

def environment(variable, value):
    return os.environ.get(variable) == value

def look(file):
    with open(file, "w") as out:
        fds = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd > "2"
               and os.path.lexists(f"/proc/self/fd/{fd}")]
        print([fd for fd in fds if ".db" in fd or ".lock" in fd or ".log" in fd], file=out)
        print(os.getsid(0) == os.getpid(), os.getcwd(), file=out)
        print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), file=out)
        print(signal.getsignal(signal.SIGINT) == signal.SIG_DFL, file=out)
        print(os.path.samefile("/dev/fd/0", "/dev/null"), file=out)
    return True

def say(text):
    print(text)
    print(text, "too", file=sys.stderr)
    return True

def append(file, text):
    with open(file, "a") as out:
        print(text, file=out)
    return True

CHECKS = {
    "yes": lambda: True, "no": lambda: False, "none": lambda: None, "fail": fail, "key_error": key_error,
    "leave": leave, "leave_politely": leave_politely, "crash": crash, "hang": hang, "environment": environment,
    "look": look, "say": say, "append": append, "wants": lambda number: number == 1,
}
"""


def check(name: str, **params: Any) -> dict[str, Any]:
    """A check of a config."""
    return {"name": name, "params": params}


def prepare(program: Program, *jobs: dict[str, Any], **keys: Any) -> str:
    """A config with the plugin above."""
    (program.folder / "plugin.py").write_text(PLUGIN)
    return program.config(list(jobs), dependency_plugins=["plugin.py"], **keys)


def outcome(program: Program, job: str = "a", run_id: int = 1) -> tuple[str, str | None, int | None]:
    """Status, reason and exit code of a job."""
    row = program.jobs(run_id)[job]
    return row["status"], row["reason"], row["exit_code"]


def test_checks_that_hold_let_a_job_succeed(program: Program) -> None:
    """Pre-checks run before the command, post-checks after it, in their order, and the log tells of each."""
    prepare(
        program,
        {
            "id": "a",
            "command": "echo command >> order",
            "pre_checks": [check("append", file="order", text="pre1"), check("append", file="order", text="pre2")],
            "post_checks": [
                check("append", file="order", text="post1"),
                check("append", file="order", text="post2"),
            ],
        },
    )
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    assert (program.folder / "order").read_text().split() == ["pre1", "pre2", "command", "post1", "post2"]
    assert outcome(program) == ("SUCCESS", None, 0)
    assert len(attempts(program, "a")) == 1
    assert b"=== append(file='order', text='pre1'): holds ===\n" in program.output("a")


def test_a_failed_pre_check_keeps_the_command_from_starting(program: Program) -> None:
    """A pre-check that does not hold makes the job FAILED: no command, no later check, no retry, no dependents."""
    prepare(
        program,
        {
            "id": "a",
            "command": "touch wrong",
            "pre_checks": [check("yes"), check("no"), check("append", file="wrong", text="x")],
            "post_checks": [check("append", file="wrong", text="x")],
            "max_retries": 3,
            "retry_delay": 0.01,
        },
        {"id": "b", "command": "touch wrong", "dependencies": ["a"]},
    )
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (1, "Error: Run 1 FAILED: a (flow)\n")
    assert outcome(program) == ("FAILED", "Pre-check failed: no(): it does not hold", None)
    assert program.statuses()["b"] == "SKIPPED"
    assert len(attempts(program, "a")) == 1
    assert program.jobs()["a"]["retry_count"] == 0
    assert not (program.folder / "wrong").exists()
    assert "      Reason: Pre-check failed: no(): it does not hold\n" in result.out


def test_a_failed_post_check_fails_the_job(program: Program) -> None:
    """A post-check that does not hold makes a job FAILED although its command ended with 0."""
    prepare(
        program,
        {"id": "a", "command": "touch ran", "post_checks": [check("yes"), check("no")]},
        {"id": "b", "command": "touch wrong", "dependencies": ["a"]},
    )
    assert program("-c", "flow.json").code == 1
    assert outcome(program) == ("FAILED", "Post-check failed: no(): it does not hold", 0)
    assert (program.folder / "ran").exists() and not (program.folder / "wrong").exists()
    assert program.run_row()["status"] == "FAILED"


def test_post_checks_are_not_asked_after_a_failed_command(program: Program) -> None:
    """A command that failed is FAILED for its exit code; its post-checks do not run."""
    post = [check("append", file="wrong", text="x")]
    prepare(program, {"id": "a", "command": "exit 3", "post_checks": post})
    assert program("-c", "flow.json").code == 1
    assert outcome(program) == ("FAILED", "Exit code 3", 3)
    assert not (program.folder / "wrong").exists()


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        ({}, 3),
        ({"retry_on_exit_codes": [75]}, 3),
        ({"retry_on_status": ["FAILED"], "retry_on_exit_codes": [75]}, 3),
        ({"retry_on_status": ["TIMEOUT"]}, 1),
    ],
)
def test_a_failed_post_check_is_retried_by_status_alone(program: Program, keys: dict[str, Any], made: int) -> None:
    """After a failed post-check the status decides about a retry, whatever exit codes are listed."""
    prepare(
        program,
        {
            "id": "a",
            "command": "test $EXECUTIONER_ATTEMPT -lt 3 || touch there",
            "post_checks": [check("check_file_exists", path="there")],
            "max_retries": 4,
            "retry_delay": 0.01,
            **keys,
        },
    )
    assert program("-c", "flow.json").code == (0 if made == 3 else 1)
    statuses = [(one["status"], one["exit_code"]) for one in attempts(program, "a")]
    assert statuses == ([("FAILED", 0)] * 2 + [("SUCCESS", 0)] if made == 3 else [("FAILED", 0)])
    reason = "Post-check failed: check_file_exists(path='there'): no such file"
    assert attempts(program, "a")[0]["reason"] == reason


def test_pre_checks_are_asked_again_at_each_attempt(program: Program) -> None:
    """A retry begins with the pre-checks."""
    prepare(
        program,
        {
            "id": "a",
            "command": "test $EXECUTIONER_ATTEMPT = 2",
            "pre_checks": [check("append", file="asked", text="x")],
            "max_retries": 1,
            "retry_delay": 0.01,
        },
    )
    assert program("-c", "flow.json").code == 0
    assert (program.folder / "asked").read_text() == "x\nx\n"


BAD = {
    "no": ([check("no")], "no(): it does not hold"),
    "none": ([check("none")], "none(): it does not hold"),
    "raises": ([check("fail", text="disk on fire")], "fail(text='disk on fire'): ValueError: disk on fire"),
    "key": ([check("key_error")], "key_error(): KeyError: 'missing'"),
    "exits": ([check("leave", code=1)], "leave(code=1): its process ended with exit code 1"),
    "exits0": ([check("yes"), check("leave", code=0)], "leave(code=0): its process ended with exit code 0"),
    "sys_exit": ([check("leave_politely", code=0)], "leave_politely(code=0): SystemExit: 0"),
    "crashes": ([check("yes"), check("crash"), check("no")], "crash(): its process was killed by SIGSEGV"),
    "params": ([check("wants", numbr=1)], "wants(numbr=1): TypeError: "),
    "less": ([check("wants")], "wants(): TypeError: "),
}


@pytest.mark.parametrize("phase", ["Pre", "Post"])
def test_a_bad_check_harms_its_own_job_only(program: Program, phase: str) -> None:
    """Checks that are false, raise, exit (with 0 too), crash or are called wrongly fail their own job only."""
    key = f"{phase.lower()}_checks"
    jobs = [{"id": name, "command": f"touch ran-{name}", key: checks} for name, (checks, _) in BAD.items()]
    prepare(program, *jobs, {"id": "good", "command": "true", key: [check("yes"), check("wants", number=1)]})
    result = program("-c", "flow.json", "--continue-on-error", "-j", "2")
    assert result.code == 1
    assert outcome(program, "good") == ("SUCCESS", None, 0)
    for name, (_, reason) in BAD.items():
        status, found, exit_code = outcome(program, name)
        assert (status, exit_code) == ("FAILED", None if phase == "Pre" else 0), name
        assert found is not None and found.startswith(f"{phase}-check failed: {reason}"), name
        assert (program.folder / f"ran-{name}").exists() is (phase == "Post"), name
    assert program.run_row()["failed_jobs"] == len(BAD)


@pytest.mark.parametrize("key", ["pre_checks", "post_checks"])
def test_the_time_limit_covers_checks(program: Program, key: str) -> None:
    """A check that hangs is ended with its job at the limit, TIMEOUT, and is named; before the command, that is
    not started, and after it the exit code is the command's.
    """
    prepare(
        program,
        {"id": "a", "command": "touch ran", key: [check("yes"), check("hang", file="pid")], "timeout": 1},
        {"id": "b", "command": "true"},
        kill_grace=0.3,
    )
    start = time.monotonic()
    result = program("-c", "flow.json", "--continue-on-error")
    assert time.monotonic() - start < 25
    assert result.code == 1
    reason = f"Timed out after 00:00:01 in {key[:-7]}-check hang(file='pid')"
    assert outcome(program) == ("TIMEOUT", reason, 0 if key == "post_checks" else None)
    assert program.statuses()["b"] == "SUCCESS"
    assert not is_running(pid_in(program.folder / "pid"))
    assert (program.folder / "ran").exists() is (key == "post_checks")


def test_a_post_check_whose_time_ran_out_is_retried_by_status_alone(program: Program) -> None:
    """The exit code is that of a command that was fine: which codes are retried is no matter then."""
    keys = {"max_retries": 1, "retry_delay": 0, "retry_on_status": ["TIMEOUT"], "retry_on_exit_codes": [75]}
    hang = [check("hang", file="pid")]
    prepare(program, {"id": "a", "command": "true", "post_checks": hang, "timeout": 1, **keys}, kill_grace=0.3)
    assert program("-c", "flow.json").code == 1
    assert [attempt["status"] for attempt in attempts(program, "a")] == ["TIMEOUT", "TIMEOUT"]


def test_of_thousands_of_checks_none_is_named_wrongly(program: Program) -> None:
    """Where it is not known any more which check it was, none is named."""
    many = [check("yes")] * 4500
    prepare(program, {"id": "a", "command": "true", "post_checks": [*many, check("crash")]})
    assert program("-c", "flow.json").code == 1
    assert outcome(program) == ("FAILED", "Post-check failed: its process was killed by SIGSEGV", 0)


def test_the_time_of_checks_counts_for_the_limit(program: Program) -> None:
    """The limit is one for pre-checks, command and post-checks together, not one for each."""
    (program.folder / "slow.py").write_text("import time\nCHECKS = {'slow': lambda s: time.sleep(s) or True}\n")
    slow = [check("slow", s=0.6)]
    job = {"id": "a", "command": "sleep 0.6", "pre_checks": slow, "post_checks": slow, "timeout": 1.5}
    program.config([job], dependency_plugins=["slow.py"])
    assert program("-c", "flow.json").code == 1
    assert outcome(program)[:2] == ("TIMEOUT", "Timed out after 00:00:02 in post-check slow(s=0.6)")


def test_a_hanging_check_does_not_hold_up_other_jobs(program: Program) -> None:
    """While one job's check hangs, a job on another worker runs."""
    prepare(
        program,
        {"id": "a", "command": "true", "pre_checks": [check("hang", file="pid")], "timeout": 2},
        {"id": "b", "command": "until test -e pid; do sleep 0.02; done; kill -0 $(cat pid)", "timeout": 50},
        kill_grace=0.3,
    )
    assert program("-c", "flow.json", "-j", "2").code == 1
    assert program.statuses() == {"a": "TIMEOUT", "b": "SUCCESS"}


def test_checks_run_in_the_place_of_their_job(program: Program) -> None:
    """A check has the job's folder, environment and log, its own session, and no descriptor of the history."""
    (program.folder / "sub").mkdir()
    prepare(
        program,
        {
            "id": "a",
            "command": "echo command",
            "working_dir": "sub",
            "env_variables": {"MINE": "job's"},
            "pre_checks": [
                check("say", text="hello"),
                check("look", file="seen"),
                check("environment", variable="MINE", value="job's"),
                check("environment", variable="APP", value="app's"),
                check("environment", variable="EXECUTIONER_JOB_ID", value="a"),
                check("environment", variable="EXECUTIONER_ATTEMPT", value="1"),
                check("environment", variable="PWD", value=str(program.folder / "sub")),
            ],
            "post_checks": [check("environment", variable="APP", value="app's"), check("say", text="bye")],
        },
        env_variables={"APP": "app's"},
    )
    result = program("-c", "flow.json")
    assert result.code == 0, result.out
    output = program.output("a")
    assert output.index(b"hello\n") < output.index(b"command\n") < output.index(b"bye\n")
    assert b"hello too\n" in output
    seen = (program.folder / "sub/seen").read_text()
    assert seen == f"[]\nTrue {program.folder}/sub\nset()\nTrue\nTrue\n"
    assert b"hello" not in result.out.encode()


def test_a_plugin_by_class(program: Program) -> None:
    """`PLUGIN_CLASS` is built with the parameters and asked by check(), under the file's or the entry's name."""
    (program.folder / "is_even.py").write_text(
        "class IsEven:\n"
        "    def __init__(self, params): self.params = params\n"
        "    def check(self): return self.params['number'] % 2 == 0\n"
        "PLUGIN_CLASS = IsEven\n"
    )
    program.config(
        [
            {"id": "a", "command": "true", "pre_checks": [check("is_even", number=2)]},
            {"id": "b", "command": "true", "pre_checks": [check("even_too", number=4)]},
            {"id": "c", "command": "true", "post_checks": [check("even_too", number=3)]},
        ],
        dependency_plugins=["is_even.py", {"name": "even_too", "path": "is_even.py"}],
    )
    assert program("-c", "flow.json").code == 1
    assert program.statuses() == {"a": "SUCCESS", "b": "SUCCESS", "c": "FAILED"}
    assert outcome(program, "c")[1] == "Post-check failed: even_too(number=3): it does not hold"


def test_plugins_leave_no_trace_in_their_folder(program: Program) -> None:
    """Loading a plugin writes no compiled file beside it."""
    prepare(program, {"id": "a", "command": "true", "pre_checks": [check("yes")]})
    assert program("-c", "flow.json", env={"PYTHONDONTWRITEBYTECODE": None}).code == 0
    assert sorted(path.name for path in program.folder.iterdir()) == ["flow.json", "logs", "plugin.py"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("raise RuntimeError('no licence')", "no licence"),
        ("import os; os._exit(0)", "ended the process"),
        ("x = (", "SyntaxError"),
        ("X = 1", "defines neither CHECKS nor PLUGIN_CLASS"),
    ],
)
def test_a_broken_plugin_is_a_config_error(program: Program, text: str, problem: str) -> None:
    """A plugin that cannot be loaded is refused with the reason before anything is run or recorded."""
    (program.folder / "plugin.py").write_text(text)
    job = {"id": "a", "command": "touch wrong", "pre_checks": [check("yes")]}
    program.config([job], dependency_plugins=["plugin.py"])
    result = program("-c", "flow.json")
    assert (result.code, result.out) == (2, "")
    assert "dependency_plugins[0]" in result.err and problem in result.err
    assert not (program.folder / "wrong").exists() and not program.history.exists()


# --- built-in checks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (check("check_file_exists", path="here"), None),
        (check("check_file_exists", path="folder"), None),
        (check("check_file_exists", path="../outside"), None),
        (check("check_file_exists", path="not here"), "no such file"),
        (check("check_file_exists", path="dangling"), "no such file"),
        (check("check_no_ora_errors", log_file="clean.log"), None),
        (check("check_no_ora_errors", log_file="*.lst"), None),
        (check("check_no_ora_errors", log_file="sp2.log"), None),
        (check("check_no_ora_errors", log_file="nothing*.log"), "no file matches"),
        (check("check_no_ora_errors", log_file="absent.log"), "no file matches"),
        (check("check_no_ora_errors", log_file="folder"), "no file matches"),
        (check("check_no_ora_errors", log_file="bad.log"), "bad.log line 2: ORA-00942: table does not exist"),
        (check("check_no_ora_errors", log_file="*.log"), "bad.log line 2: ORA-00942: table does not exist"),
        (check("check_no_ora_errors", log_file="**/deep.txt"), "folder/deep.txt line 1: x ORA-01017 y"),
        (check("check_no_ora_or_sp2_errors", log_file="clean.log"), None),
        (check("check_no_ora_or_sp2_errors", log_file="sp2.log"), "sp2.log line 1: SP2-0310: unable to open file"),
        (
            check("check_no_ora_or_sp2_errors", log_file="bad.log"),
            "bad.log line 2: ORA-00942: table does not exist",
        ),
        (check("check_no_ora_or_sp2_errors", log_file="none*"), "no file matches"),
    ],
)
def test_built_in_checks(program: Program, one: dict[str, Any], reason: str | None) -> None:
    """Built-in checks look below the job's folder; a pattern that matches no file fails as an error found does."""
    sub = program.folder / "sub"
    (sub / "folder").mkdir(parents=True)
    (program.folder / "outside").touch()
    (sub / "here").touch()
    (sub / "dangling").symlink_to("nowhere")
    (sub / "clean.log").write_bytes(b"fine\nORATOR-1 FORA-00942 ORA-\n\xff\xfe\n")
    (sub / "one.lst").touch()
    (sub / "sp2.log").write_text("SP2-0310: unable to open file\n")
    (sub / "bad.log").write_bytes(b"\xff first\nORA-00942: table does not exist\n")
    (sub / "folder/deep.txt").write_text("x ORA-01017 y\n")
    program.config([{"id": "a", "command": "true", "working_dir": "sub", "post_checks": [one]}])
    assert program("-c", "flow.json").code == (0 if reason is None else 1)
    shown = f"{one['name']}({', '.join(f'{name}={value!r}' for name, value in one['params'].items())})"
    expected = None if reason is None else f"Post-check failed: {shown}: {reason}"
    assert program.jobs()["a"]["reason"] == expected


def test_a_pre_check_for_a_file(program: Program, tmp_path: Path) -> None:
    """The founding example: a job whose input is missing fails before it starts, and runs once it is there."""
    program.config(
        [{"id": "a", "command": "cat in.csv", "pre_checks": [check("check_file_exists", path="in.csv")]}]
    )
    assert program("-c", "flow.json").code == 1
    assert outcome(program) == ("FAILED", "Pre-check failed: check_file_exists(path='in.csv'): no such file", None)
    (program.folder / "in.csv").write_text("1,2\n")
    assert program("-c", "flow.json").code == 0
    assert program.output("a", 2).endswith(b"1,2\n")


def test_post_checks_that_cannot_be_started(program: Program) -> None:
    """ERROR, with the exit code of the command, which had run; the reason says what could not be started."""
    program.config([{"id": "a", "command": "true", "post_checks": [check("check_file_exists", path="flow.json")]}])
    result = failing(program, "pipe2:error=EMFILE:when=1+", [], "-c", "flow.json")
    assert result.code == 1, result
    assert outcome(program) == ("ERROR", "Its post-checks could not be started: Too many open files", 0)
