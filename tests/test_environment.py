"""The environment that jobs get: its layers, what is inherited, and what the runner adds."""

import re
from typing import Any

import pytest
from harness import Program, Result

#: Added to the environment of every job.
OWN = {
    "EXECUTIONER_RUN_ID",
    "EXECUTIONER_JOB_ID",
    "EXECUTIONER_ATTEMPT",
    "EXECUTIONER_DB",
    "EXECUTIONER_TRACE",
    "PWD",
}


def seen(program: Program, job: str = "a", run_id: int = 1) -> dict[str, str]:
    """The variables that a job which is `/usr/bin/env -0` had."""
    entries = program.output(job, run_id).decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def run_env(program: Program, *args: str, env: dict[str, str | None] | None = None, **keys: Any) -> Result:
    """Run a job `a` that prints its environment."""
    job = {"id": "a", "command": "/usr/bin/env -0", **keys.pop("job", {})}
    program.config([job], **keys)
    return program("-c", "flow.json", *args, env=env)


def test_the_layers_of_the_environment(program: Program) -> None:
    """The command line wins over the job, the job over the application, the application over the shell."""
    layers = {"A": "shell", "B": "shell", "C": "shell", "D": "shell"}
    result = run_env(
        program,
        *("--env", "D=line", "--env", "E=line", "--env", "D=line again", "--env", "EMPTY=", "--env", "EQ=a=b"),
        env=dict(layers),
        env_variables={"B": "app", "C": "app", "D": "app", "F": "app"},
        job={"env_variables": {"C": "job", "D": "job", "G": "job"}},
    )
    assert result.code == 0
    found = seen(program)
    names = ("A", "B", "C", "D", "E", "F", "G", "EMPTY", "EQ")
    assert [found[name] for name in names] == [
        *("shell", "app", "job", "line again", "line", "app", "job", "", "a=b"),
    ]


def test_variables_of_one_job_are_not_those_of_another(program: Program) -> None:
    """What a job sets in its config stays its own."""
    program.config(
        [
            {"id": "a", "command": "echo $X", "env_variables": {"X": "a"}},
            {"id": "b", "command": "echo $X"},
            {"id": "c", "command": "echo $X", "env_variables": {"X": "c"}},
        ],
        env_variables={"X": "app"},
    )
    assert program("-c", "flow.json").code == 0
    assert [program.output(job) for job in "abc"] == [b"a\n", b"app\n", b"c\n"]


def test_values_that_are_no_strings(program: Program) -> None:
    """Numbers arrive as they are written, true and false in lower case."""
    values = {"INT": 5, "FLOAT": 1.50, "YES": True, "NO": False, "ZERO": 0, "NEG": -1}
    (program.folder / "flow.json").write_text(
        '{"env_variables": {"INT": 5, "FLOAT": 1.50, "BIG": 12345678901234567890123, "YES": true, "NO": false},'
        ' "jobs": [{"id": "a", "command": "/usr/bin/env -0"}]}'
    )
    assert program("-c", "flow.json").code == 0
    found = seen(program)
    assert {name: found[name] for name in ("INT", "FLOAT", "BIG", "YES", "NO")} == {
        "INT": "5",
        "FLOAT": "1.50",
        "BIG": "12345678901234567890123",
        "YES": "true",
        "NO": "false",
    }
    assert run_env(program, env_variables=values).code == 0
    assert seen(program, "a", 2)["NEG"] == "-1"


def test_references_between_variables(program: Program) -> None:
    """`${NAME}` in configured values is the final value of NAME, and its own name the one below."""
    result = run_env(
        program,
        *("--env", "TOP=line", "--env", "LITERAL=${BASE}"),
        env={"BELOW": "shell", "LIST": "/shell"},
        env_variables={
            "BASE": "/srv/${TOP}",
            "TOP": "app",
            "FULL": "${BASE}/x-${BELOW}",
            "LIST": "/app:${LIST}",
            "UNKNOWN": "${NOPE} $BASE ${} ${1}",
        },
        job={"env_variables": {"LIST": "/job:${LIST}", "OWN": "${FULL}!"}},
    )
    assert result.code == 0, result.err
    found = seen(program)
    names = ("BASE", "FULL", "LIST", "OWN", "UNKNOWN", "LITERAL")
    assert {name: found[name] for name in names} == {
        "BASE": "/srv/line",
        "FULL": "/srv/line/x-shell",
        "LIST": "/job:/app:/shell",
        "OWN": "/srv/line/x-shell!",
        "UNKNOWN": "${NOPE} $BASE ${} ${1}",
        "LITERAL": "${BASE}",
    }


def test_a_command_leaves_references_to_the_shell(program: Program) -> None:
    """In a command `${NAME}` is the shell's: it sees what the script itself sets, and splits words."""
    program.config({"a": "X=mine; printf '%s,' ${X} ${Y} \"${Y}\""}, env_variables={"X": "app", "Y": "p q"})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"mine,p,q,p q,"


def test_inheriting_everything(program: Program) -> None:
    """By default a job gets the runner's whole environment, byte for byte, and the runner's own variables."""
    odd = {"ODD": "tab\tnew\nline ünï \udcff", "lower": "1", "LC_TIME": "C", "EMPTY": ""}
    assert run_env(program, env=dict(odd)).code == 0
    text = program.output("a")
    for name, value in odd.items():
        assert f"{name}={value}".encode(errors="surrogateescape") in text.split(b"\0")
    given = set(program.environment(odd))
    names = {entry.split(b"=")[0].decode() for entry in text.split(b"\0") if entry}
    assert names == given | OWN


@pytest.mark.parametrize(
    ("inherit", "kept"),
    [
        (True, {"PATH", "HOME", "LANG", "TZ", "PYTHONDONTWRITEBYTECODE", "SECRET", "LC_TIME", "USER", "TERM"}),
        (False, set()),
        ("default", {"PATH", "HOME", "LANG", "TZ", "LC_TIME", "USER", "TERM"}),
        (["SECRET", "HOME", "ABSENT"], {"SECRET", "HOME"}),
        ([], set()),
    ],
)
def test_how_much_is_inherited(program: Program, inherit: Any, kept: set[str]) -> None:
    """`inherit_shell_env` keeps all, nothing, the usual names or those listed; configured ones come on top."""
    extra = {"SECRET": "s", "LC_TIME": "C", "USER": "me", "TERM": "xterm"}
    result = run_env(
        program, "--env", "L=1", env=dict(extra), inherit_shell_env=inherit, env_variables={"MINE": "1"}
    )
    assert result.code == 0, result.out
    assert set(seen(program)) == kept | OWN | {"MINE", "L"}


def test_what_the_runner_tells_a_job(program: Program) -> None:
    """A job knows its run, its id, its attempt, the history and its mark, and PWD is its own folder."""
    (program.folder / "sub").mkdir()
    (program.folder / "link").symlink_to("sub")
    program.config(
        [
            {"id": "a", "command": "/usr/bin/env -0", "working_dir": "sub"},
            {
                "id": "b",
                "command": "/usr/bin/env -0; printf 'SAYS=%s' \"$(pwd)\"; test $EXECUTIONER_ATTEMPT = 2",
                "working_dir": "link",
                "max_retries": 1,
                "retry_delay": 0.01,
            },
        ],
        env_variables={"PWD": "/wrong"},
    )
    assert program("-c", "flow.json", env={"PWD": "/nowhere", "OLDPWD": "/old"}).code == 0
    found = seen(program)
    assert found["PWD"] == f"{program.folder}/sub"
    assert [found[f"EXECUTIONER_{name}"] for name in ("RUN_ID", "JOB_ID", "ATTEMPT")] == ["1", "a", "1"]
    assert found["EXECUTIONER_DB"] == str(program.history)
    assert re.fullmatch(r"[^/ ]+/a/1", found["EXECUTIONER_TRACE"])
    later = seen(program, "b")
    assert later["PWD"] == later["SAYS"] == f"{program.folder}/link"
    assert later["EXECUTIONER_ATTEMPT"] == "2"
    assert later["EXECUTIONER_TRACE"] == found["EXECUTIONER_TRACE"].replace("/a/1", "/b/2")


def test_two_runs_have_different_marks(program: Program) -> None:
    """The mark of a process names one run of one database: no other run's processes are taken for its own."""
    assert run_env(program).code == 0
    assert run_env(program).code == 0
    assert run_env(program, "--db", "other.db").code == 0
    marks = {seen(program)["EXECUTIONER_TRACE"], seen(program, "a", 2)["EXECUTIONER_TRACE"]}
    log = next(path for path in (program.folder / "logs").glob("*job-a.run-1-2.log"))
    [other] = re.findall(rb"EXECUTIONER_TRACE=([^\0]*)", log.read_bytes())
    assert len({*marks, other.decode()}) == 3


def test_a_nested_run_uses_the_same_history(program: Program) -> None:
    """A run inside a job is recorded in the outer one's history, not its config's, and adds its mark."""
    program.config(
        {"inner": "/usr/bin/env -0"}, name="inner.json", history_db="elsewhere.db", inherit_shell_env=["PATH"]
    )
    outer = {"outer": "executioner.py -c inner.json", "look": "/usr/bin/env -0"}
    program.config(outer, history_db="mine.db")
    assert program("-c", "flow.json").code == 0
    assert not (program.folder / "elsewhere.db").exists() and not program.history.exists()
    db = program.folder / "mine.db"
    names = [row["application_name"] for row in program.rows("SELECT * FROM run_metadata ORDER BY run_id", db=db)]
    assert names == ["flow", "inner"]
    inner = program.jobs(2, db=db)["inner"]
    assert inner["status"] == "SUCCESS"
    with open(inner["log_path"], "rb") as log:
        text = log.read()
    [trace] = re.findall(rb"EXECUTIONER_TRACE=([^\0]*)", text)
    first, second = trace.decode().split(" ")
    assert first.endswith("/outer/1") and second.endswith("/inner/1")
    assert first.split("/")[0] != second.split("/")[0]
    assert b"EXECUTIONER_RUN_ID=2\0" in text and f"EXECUTIONER_DB={db}\0".encode() in text


def test_an_explicit_database_wins_in_a_nested_run(program: Program) -> None:
    """`--db` of a nested run is obeyed."""
    program.config({"inner": "true"}, name="inner.json")
    program.config({"outer": "executioner.py -c inner.json --db own.db"})
    assert program("-c", "flow.json").code == 0
    assert program.run_row(db=program.folder / "own.db")["application_name"] == "inner"
    assert len(program.rows("SELECT * FROM run_metadata")) == 1


@pytest.mark.parametrize("variables", [{"LANG": "C"}, {"LANG": None}, {"LANG": "C", "LC_MESSAGES": "C"}])
def test_jobs_do_not_get_what_python_added(program: Program, variables: dict[str, str | None]) -> None:
    """Where the locale is C Python sets LC_CTYPE for itself; jobs do not get that."""
    assert run_env(program, env={**variables, "LC_ALL": None}).code == 0
    assert set(seen(program)) == set(program.environment(variables)) | OWN


@pytest.mark.parametrize("value", ["C.UTF-8", "C.utf8", "C", "de_DE.ISO-8859-1"])
def test_jobs_get_the_callers_locale(program: Program, value: str) -> None:
    """An LC_CTYPE that the caller set is passed on as it is."""
    assert run_env(program, env={"LANG": "C", "LC_CTYPE": value}).code == 0
    assert seen(program)["LC_CTYPE"] == value


@pytest.mark.parametrize("text", ["X", "=x", "1X=y", "A-B=c", "EXECUTIONER_DB=x", "X Y=z"])
def test_what_is_no_variable_is_refused(program: Program, text: str) -> None:
    """An --env that is no NAME=VALUE, or a name that the runner sets itself, exits 2 and runs nothing."""
    result = run_env(program, "--env", text)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: --env: ")
    assert not program.history.exists()


def test_a_value_that_grows_too_long_for_the_application_is_refused(program: Program) -> None:
    """A variable of all jobs that grows beyond what a program can be given is found before the run is recorded."""
    result = run_env(program, "--env", "PART=" + "x" * 100_000, env_variables={"BIG": "${PART}${PART}"})
    assert (result.code, result.out) == (2, "")
    assert "BIG" in result.err
    assert not program.history.exists() or program.rows("SELECT * FROM run_metadata") == []


def test_a_value_that_grows_too_long_for_a_job_is_an_error_of_that_job(program: Program) -> None:
    """A variable of one job that grows too long makes that job ERROR, or the run refused; no run stays RUNNING."""
    program.config(
        [
            {"id": "a", "command": "true", "env_variables": {"BIG": "${PART}${PART}"}},
            {"id": "b", "command": "true"},
        ]
    )
    result = program("-c", "flow.json", "--continue-on-error", "--env", "PART=" + "x" * 100_000)
    if result.code == 2:
        assert not program.history.exists() or program.rows("SELECT * FROM run_metadata") == []
    else:
        assert result.code == 1
        assert program.statuses() == {"a": "ERROR", "b": "SUCCESS"}
        assert program.run_row()["status"] == "FAILED"


def test_an_environment_that_is_too_large_is_an_error_of_its_job(program: Program) -> None:
    """More environment than a program can be given makes the job ERROR with the system's reason; others run."""
    big = {f"V{at}": "x" * 100_000 for at in range(60)}
    program.config([{"id": "a", "command": "true", "env_variables": big}, {"id": "b", "command": "true"}])
    result = program("-c", "flow.json", "--continue-on-error")
    assert result.code == 1
    assert program.statuses() == {"a": "ERROR", "b": "SUCCESS"}
    assert program.jobs()["a"]["reason"].startswith("Could not be started: Argument list too long")


def test_a_locale_without_utf8_changes_nothing_for_jobs(program: Program) -> None:
    """Where Python would use another encoding, names, commands and environments are UTF-8 all the same."""
    jobs = [{"id": "a", "command": "echo größe $WORD ночь; env > seen", "env_variables": {"WORD": "žluť"}}]
    program.config(jobs, application_name="größe ночь")
    caller = {"LANG": None, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = program("-c", "flow.json", env=caller)
    assert (result.code, result.err) == (0, "")
    assert program.output("a").decode() == "größe žluť ночь\n"
    assert program.run_row()["application_name"] == "größe ночь"
    environment = dict(line.split("=", 1) for line in (program.folder / "seen").read_text().splitlines())
    assert environment["PYTHONUTF8"] == "0"
    assert "EXECUTIONER_PYTHONUTF8" not in environment
    assert "+ a" in result.out
