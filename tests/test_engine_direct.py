"""How commands are started: as /bin/sh would, whether a shell is needed or not; and without any shell."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Result, attempts

_LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_STACK, (limit, limit))
os.execv(sys.argv[2], sys.argv[2:])
"""


def put(path: Path, text: str, mode: int = 0o755) -> Path:
    """Write a file with a mode; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


#: Commands that a runner may start without a shell, and their neighbours that need one.
COMMANDS = [
    *"""
tool
tool a b
tool -x --y=z +1 a,b c:d e@f ./g /h _i
tool a=b
tool *
tool 'a b'
bare
bare x
./bare x
./script x y
{folder}/script x
bin/tool x
noexec
./noexec
nosuch
nosuch a
./nosuch
/no/such/file
adir
./adir
bin/
/
badinterp
./badinterp
hidden
empty
./empty
true
true x
true --help
true --version
false
false --help
echo
echo hi
echo  a   b -n c
echo -n x
echo -e x
echo -- x
echo --help
echo --version
printf x
test -e bin
[ -e nosuch ]
pwd
exit 3
cd /
kill -0 nosuch
ulimit -n nosuch
type tool
command tool x
eval tool x
exec tool x
. ./script
FOO=1
FOO=1 tool x
FOO=1 sh -c env
-n
-
+
@
,
a:b
return 4
if
time
!
{
uname -s
sh -c pwd
env -u EXECUTIONER_JOB_ID -u EXECUTIONER_TRACE
basename /a/b
ls bin
tool $HOME
tool ~
tool a;tool b
tool a #b
tool a > /dev/null
tool é
kill -TERM $$
(exit 5)
false || exit 6
cat
readlink /proc/self/fd/0
""".strip().split("\n"),
    "  tool\ta   b ",
    "tool a\ntool b",
    "tool \\a",
]


def test_every_command_does_what_the_shell_makes_of_it(program: Program) -> None:
    """Output ($0, messages, environment) and exit code of plain and other commands are those of `sh -c`."""
    folder = program.folder
    put(folder / "bin/tool", '#!/bin/sh\necho "$0" "$#" "$@"\n')
    put(folder / "bin/bare", 'echo bare "$0" "$#" "$@"\n')
    put(folder / "bin/noexec", "echo wrong\n", 0o644)
    put(folder / "bin/hidden", "echo wrong\n", 0o644)
    put(folder / "bin2/hidden", '#!/bin/sh\necho "$0"\n')
    put(folder / "bin/badinterp", "#!/no/such/interpreter\n")
    put(folder / "bin/empty", "")
    (folder / "bin/adir").mkdir()
    put(folder / "bare", 'echo here "$0" "$#" "$@"\n')
    put(folder / "script", '#!/bin/sh\necho "$0" "$#" "$@"\n')
    put(folder / "noexec", "echo wrong\n", 0o644)
    put(folder / "badinterp", "#!/no/such/interpreter\n")
    put(folder / "empty", "")
    (folder / "adir").mkdir()
    path = {"PATH": f"{folder}/bin:{folder}/bin2:/usr/bin:/bin"}
    commands = [command.replace("{folder}", str(folder)) for command in COMMANDS]
    program.config(
        [{"id": f"j{at}", "command": command} for at, command in enumerate(commands)], env_variables=path
    )
    program("-c", "flow.json", "--continue-on-error", "-j", "2")
    jobs = program.jobs()
    own = {"EXECUTIONER_RUN_ID": "1", "EXECUTIONER_ATTEMPT": "1", "EXECUTIONER_DB": str(program.history)}
    expected, found = {}, {}
    for at, command in enumerate(commands):
        done = subprocess.run(
            ["sh", "-c", command],
            executable="/bin/sh",
            cwd=folder,
            env={**program.env, **path, **own, "PWD": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )
        expected[command] = (done.returncode, sorted(done.stdout.splitlines()))
        lines = program.output(f"j{at}").splitlines()
        names = (b"EXECUTIONER_JOB_ID=", b"EXECUTIONER_TRACE=")
        found[command] = (
            jobs[f"j{at}"]["exit_code"],
            sorted(line for line in lines if not line.startswith(names)),
        )
    assert found == expected


def test_the_shell_has_its_own_true_and_echo(program: Program) -> None:
    """A program of a builtin's name that is not the system's is not taken for it, wherever it stands on PATH."""
    for name in ("true", "false", "echo"):
        put(program.folder / "bin" / name, "#!/bin/sh\nprintf 'wrong\\n'; exit 7\n")
    program.config(
        {"true": "true", "false": "false", "echo": "echo hi"},
        env_variables={"PATH": f"{program.folder}/bin:/usr/bin:/bin"},
    )
    program("-c", "flow.json", "--continue-on-error")
    assert {job: row["exit_code"] for job, row in program.jobs().items()} == {"true": 0, "false": 1, "echo": 0}
    assert [program.output(job) for job in ("true", "false", "echo")] == [b"", b"", b"hi\n"]


def test_an_echo_of_more_words_than_a_program_can_be_given(program: Program) -> None:
    """To the shell's own echo no number of words is too many."""
    words = "a " * 60_000
    program.config({"a": f"echo {words}"})
    limit = 600 * 1024  # the kernel gives arguments a quarter of the stack's limit
    command = [sys.executable, "-c", _LIMITED, str(limit), *program.command("-c", "flow.json")]
    done = subprocess.run(
        command, cwd=program.folder, env=program.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert program.output("a").decode() == words.strip() + "\n"


def test_what_the_operating_system_says_of_a_direct_start(program: Program) -> None:
    """A command that is not found is FAILED with 127 and the PATH as reason; one that may not be run, with 126."""
    put(program.folder / "noexec", "echo wrong\n", 0o644)
    path = program.env["PATH"]
    program.config({"plain": "nosuch a", "shell": "nosuch; exit $?", "own": "exit 127", "mode": "./noexec"})
    result = program("-c", "flow.json", "--continue-on-error")
    assert result.code == 1
    found = {name: (row["status"], row["exit_code"], row["reason"]) for name, row in program.jobs().items()}
    hint = f"Exit code 127 (command not found? PATH is {path})"
    assert found == {
        "plain": ("FAILED", 127, hint),
        "shell": ("FAILED", 127, hint),
        "own": ("FAILED", 127, hint),
        "mode": ("FAILED", 126, "Exit code 126"),
    }
    assert program.output("plain") == b"sh: 1: nosuch: not found\n"
    assert f"      Reason: {hint}\n" in result.out


def test_the_hint_of_127_with_a_long_path(program: Program) -> None:
    """Of a PATH of thousands of characters the first 400 are told."""
    path = "/usr/bin:/bin:" + ":".join(f"/opt/tools/{at}/bin" for at in range(200))
    program.config({"a": "nosuch"})
    assert program("-c", "flow.json", env={"PATH": path}).code == 1
    assert program.jobs()["a"]["reason"] == f"Exit code 127 (command not found? PATH is {path[:400]}...)"


def test_the_hint_of_127_without_a_path(program: Program) -> None:
    """Where the job has no PATH the reason says that."""
    program.config({"a": "nosuch"}, inherit_shell_env=False)
    program("-c", "flow.json")
    assert program.jobs()["a"]["reason"] == "Exit code 127 (command not found? PATH is not set)"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("./missing.sh --now", "./missing.sh"),
        ("bin/missing; exit $?", "bin/missing"),
        ("A=/x nosuch", "PATH is /usr/bin:/bin"),
        ("$HOME/missing", "PATH is /usr/bin:/bin"),
    ],
)
def test_the_hint_of_127_of_a_program_that_is_named_by_its_path(program: Program, command: str, told: str) -> None:
    """It is not looked for on PATH: the hint names it instead, as it is written."""
    program.config({"a": command})
    assert program("-c", "flow.json", env={"PATH": "/usr/bin:/bin"}).code == 1
    assert program.jobs()["a"]["reason"] == f"Exit code 127 (command not found? {told})"


@pytest.mark.parametrize(
    ("first", "named"),
    [
        ("#!/bin/sh\r\n", "/bin/sh\\r"),
        ("#! /opt/none/python -u\n", "/opt/none/python"),
        ("#!\t/opt/none\t-u\n", "/opt/none"),
        ("#!/none", "/none"),
        ("#!bin/none\n", "bin/none"),
    ],
)
@pytest.mark.parametrize("command", ["./etl.sh", "./etl.sh --now; exit $?"])
def test_the_hint_of_127_of_a_script_without_interpreter(
    program: Program, first: str, named: str, command: str
) -> None:
    """The script is there, but what its first line names is not, as with a line end of Windows: that is said."""
    put(program.folder / "etl.sh", first)
    program.config({"a": command})
    result = program("-c", "flow.json")
    assert result.code == 1
    hint = f"Exit code 127 (the first line of ./etl.sh names a program that is not there: {named})"
    assert f"      Reason: {hint}\n" in result.out


@pytest.mark.parametrize("first", ["#!/bin/sh", "#!\t/bin/sh\t-e", "#!/bin/sh\0x", "#!", "#! ", "#!bin/sh", ""])
@pytest.mark.parametrize(
    "command", ["./etl.sh", "bin/../etl.sh --now", "/bin/true; nosuch", "/usr/bin/env nosuch"]
)
def test_the_hint_of_127_where_the_program_is_there(program: Program, command: str, first: str) -> None:
    """It is there, and what runs it, so it did not find another one: the hint is the PATH on which it looked."""
    put(program.folder / "etl.sh", f"{first}\nnosuch\n")
    (program.folder / "bin").mkdir()
    (program.folder / "bin/sh").symlink_to("/bin/sh")
    program.config({"a": command})
    assert program("-c", "flow.json", env={"PATH": "/usr/bin:/bin"}).code == 1
    assert program.jobs()["a"]["reason"] == "Exit code 127 (command not found? PATH is /usr/bin:/bin)"


@pytest.mark.parametrize("path", ["bin:/usr/bin:/bin", ":/usr/bin:/bin", "/usr/bin::/bin", "/usr/bin:/bin:."])
def test_relative_entries_of_path_mean_the_folder_of_the_job(program: Program, path: str) -> None:
    """Relative and empty entries of PATH are looked up in the job's working folder, not in the runner's."""
    sub = program.folder / "sub"
    for name in ("tool", "bin/tool"):
        put(sub / name, "#!/bin/sh\necho right\n")
        put(program.folder / name, "#!/bin/sh\necho wrong\n")
    program.config([{"id": "a", "command": "tool", "working_dir": "sub"}], env_variables={"PATH": path})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"right\n"


def test_a_program_that_an_earlier_job_installed_is_found(program: Program) -> None:
    """Each job looks its program up anew: one put before another on PATH wins, one removed is not missed."""
    (program.folder / "bin").mkdir()
    put(program.folder / "new", "#!/bin/sh\necho mine\n")
    program.config(
        {
            "before": "basename /a/b",
            "install": "cp new bin/basename",
            "after": "basename /a/b",
            "remove": "rm bin/basename",
            "again": "basename /a/b",
        },
        env_variables={"PATH": f"{program.folder}/bin:/usr/bin:/bin"},
    )
    assert program("-c", "flow.json").code == 0
    assert [program.output(job) for job in ("before", "after", "again")] == [b"b\n", b"mine\n", b"b\n"]


def test_functions_that_a_bash_exported_are_left_to_the_shell(program: Program) -> None:
    """With exported shell functions in the environment a command does what `sh -c` makes of it there."""
    commands = {"a": "uname", "b": "bash -c uname", "c": "sh -c uname"}
    functions = {"BASH_FUNC_uname%%": "() { echo function; }"}
    program.config(commands)
    assert program("-c", "flow.json", env=functions).code == 0
    for job, command in commands.items():
        shell = ["/bin/sh", "-c", command]
        done = subprocess.run(shell, env={**program.env, **functions}, stdout=subprocess.PIPE, check=True)
        assert program.output(job) == done.stdout


def test_the_longest_command_runs(program: Program) -> None:
    """A command of 131,071 bytes, the most that can be handed to a shell, runs whole."""
    command = "printf %s " + "x" * (131_071 - 15) + ";true"
    assert len(command) == 131_071
    program.config({"a": command})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"x" * (131_071 - 15)


def test_what_a_job_inherits_of_its_process(program: Program) -> None:
    """A job has three descriptors, leads its own session, blocks no signal and ignores none."""
    (program.folder / "look.py").write_text(
        "import os, signal\n"
        "fds = []\n"
        "for fd in range(64):\n"
        "    try: os.fstat(fd); fds.append(fd)\n"
        "    except OSError: pass\n"
        "print(fds, os.getsid(0) == os.getpid() == os.getpgrp())\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(int(status['SigBlk'], 16), os.path.samefile('/dev/fd/0', '/dev/null'), os.isatty(1))\n"
        "print(os.readlink('/proc/self/fd/1') == os.readlink('/proc/self/fd/2'))\n"
    )
    (program.folder / "ignored.sh").write_text("grep SigIgn /proc/$$/status\n")
    program.config({"direct": "python -S look.py", "shell": "python -S look.py;", "ignored": "sh ignored.sh"})
    result = program("-c", "flow.json")
    assert result.code == 0, result.out
    assert program.output("direct").decode() == "[0, 1, 2] True\n0 True False\nTrue\n"
    assert program.output("shell").decode() == "[0, 1, 2] False\n0 True False\nTrue\n"
    name, ignored = program.output("ignored").split()
    assert name == b"SigIgn:" and int(ignored, 16) & 0x7FFFFFFF == 0


def test_a_job_ignores_what_the_caller_of_the_runner_ignored(program: Program) -> None:
    """Under `nohup` or `trap '' USR1` jobs ignore just these signals, as commands of a shell would."""
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGRTMIN + 3)

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    program.config({"direct": "grep SigIgn /proc/self/status", "shell": "grep SigIgn /proc/self/status; true"})
    assert program("-c", "flow.json", preexec_fn=ignore).code == 0
    internal = 0b11 << 31  # of the C library: 32 and 33
    for job in ("direct", "shell"):
        ignored = int(program.output(job).split()[1], 16) & ~internal
        assert ignored == sum(1 << (number - 1) for number in numbers), job


# --- without a shell ----------------------------------------------------------------------


def shell_free(
    program: Program, command: str, *args: str, env: dict[str, str | None] | None = None, **keys: Any
) -> Result:
    """Run one job `a` with `allow_shell: false`."""
    program.config({"a": command}, allow_shell=False, **keys)
    return program("-c", "flow.json", *args, env=env)


def test_without_a_shell_words_are_handed_over_as_they_are(program: Program) -> None:
    """With `allow_shell: false` quotes group words and nothing expands; no shell is between runner and program."""
    (program.folder / "args.py").write_text("import os, sys; print(sys.argv[1:], os.environ['PYTHON_IS'] )")
    (program.folder / "parent.sh").write_text("cat /proc/$PPID/comm\n")
    result = shell_free(program, """python -S args.py a 'b c' "d  e" f\\ g -h""", env_variables={"PYTHON_IS": "x"})
    assert result.code == 0
    assert program.output("a") == b"['a', 'b c', 'd  e', 'f g', '-h'] x\n"
    assert shell_free(program, "sh parent.sh").code == 0
    assert b"python" in program.output("a", 2)


def test_without_a_shell_variables_stay_within_their_word(program: Program) -> None:
    """`${NAME}` in a word is replaced by the job's value, spaces and all; an unknown name is left alone."""
    (program.folder / "args.py").write_text("import sys; print(sys.argv[1:])")
    variables = {"TWO": "one two", "STAR": "*", "NESTED": "<${TWO}>"}
    result = shell_free(program, "python -S args.py ${TWO} a${STAR}b ${NESTED} ${NOPE}", env_variables=variables)
    assert result.code == 0, result.err
    assert program.output("a") == b"['one two', 'a*b', '<one two>', '${NOPE}']\n"


def test_without_a_shell_builtins_are_programs(program: Program) -> None:
    """With `allow_shell: false` `echo` is /usr/bin/echo, which knows --version."""
    assert shell_free(program, "echo --version").code == 0
    assert b"coreutils" in program.output("a")


def test_without_a_shell_a_missing_program_is_an_error(program: Program) -> None:
    """A program that is not found is ERROR: nothing was started, and no shell is asked."""
    result = shell_free(program, "nosuch a")
    assert result.code == 1
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"]) == ("ERROR", None)
    assert row["reason"] == "Could not be started: command not found: nosuch"
    assert [one["status"] for one in attempts(program, "a")] == ["ERROR"]
    put(program.folder / "noexec", "echo wrong\n", 0o644)
    assert shell_free(program, "./noexec").code == 1
    assert program.jobs(2)["a"]["status"] == "ERROR"
    assert program.jobs(2)["a"]["reason"] == "Could not be started: Permission denied: ./noexec"


@pytest.mark.parametrize("path", ["bin:/usr/bin:/bin", "/usr/bin:/bin:"])
def test_without_a_shell_relative_entries_of_path_are_no_obstacle(program: Program, path: str) -> None:
    """With a relative or empty entry in PATH programs of its other entries are found all the same."""
    result = shell_free(program, "uname -s", env_variables={"PATH": path})
    assert result.code == 0, result.out
    assert program.output("a").decode() == os.uname().sysname + "\n"


def test_without_a_shell_exported_functions_are_no_obstacle(program: Program) -> None:
    """With shell functions in the environment, which nothing here calls, programs are found all the same."""
    result = shell_free(program, "uname -s", env={"BASH_FUNC_module%%": "() { :; }"})
    assert result.code == 0, result.out
    assert program.output("a").decode() == os.uname().sysname + "\n"


@pytest.mark.parametrize(
    "command", ["true && touch wrong", "touch wrong; true", "echo $(touch wrong)", "touch wrong > x"]
)
def test_without_a_shell_its_syntax_is_refused(program: Program, command: str) -> None:
    """Shell syntax with `allow_shell: false` is a config error, and nothing is run."""
    result = shell_free(program, command)
    assert (result.code, result.out) == (2, "")
    assert "jobs[0].command: " in result.err and "Nothing was run" in result.err
    assert [path.name for path in program.folder.iterdir()] == ["flow.json"]


def test_only_listed_programs_run(program: Program) -> None:
    """With `command_whitelist` a job of another program is a config error that names it; listed ones run."""
    program.config({"a": "touch good"}, allow_shell=False, command_whitelist=["touch"])
    assert program("-c", "flow.json").code == 0
    assert (program.folder / "good").exists()
    for command in ("rm -f good", "./touch x", "/bin/rm good"):
        program.config({"a": command}, allow_shell=False, command_whitelist=["touch"])
        result = program("-c", "flow.json")
        assert (result.code, result.out) == (2, "")
        assert "jobs[0].command: " in result.err and command.split()[0] in result.err
    assert (program.folder / "good").exists()
    assert len(program.rows("SELECT run_id FROM run_metadata")) == 1


def test_a_word_that_grows_too_long_is_an_error_of_its_job(program: Program) -> None:
    """A command line that cannot be built for one job fails that job alone; the run ends and is recorded."""
    program.config(
        [
            {"id": "a", "command": "touch ${BIG}${BIG}", "env_variables": {"BIG": "x" * 100_000}},
            {"id": "b", "command": "touch good"},
        ],
        allow_shell=False,
        continue_on_error=True,
    )
    result = program("-c", "flow.json")
    assert result.code == 1, result.err
    assert program.statuses() == {"a": "ERROR", "b": "SUCCESS"}
    assert program.jobs()["a"]["reason"].startswith("Could not be started: ")
    assert program.run_row()["status"] == "FAILED"
