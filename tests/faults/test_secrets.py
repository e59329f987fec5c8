"""Secret values are neither kept nor shown: every byte that the program writes is searched for them."""

from collections.abc import Callable

import pytest
from harness import Program, ended
from history_tools import gate, pid_in
from test_history_failing import break_history

pytestmark = pytest.mark.promise(12)

#: Values that stand nowhere by accident, by where they were given.
SECRETS = {
    "application's variable": "Xq7-application-9",
    "job's variable": "Xq7-job-9",
    "harmless name in the config": "Xq7-plain-config-9",
    "typed secret": "Xq7-typed-9",
    "typed secret in camel case": "Xq7-camel-9",
    "inherited": "Xq7-inherited-9",
    "inherited secret": "Xq7-inherited-secret-9",
    "mail": "Xq7-mail-9",
}
PLAIN = "Xq7-harmless-9"  # given with --env under a name that does not look secret
TYPED = [
    *("--env", f"API_TOKEN={SECRETS['typed secret']}"),
    *("--env", f"clientSecret={SECRETS['typed secret in camel case']}"),
    *("--env", f"DAY={PLAIN}"),
]
INHERITED = {"FROM_SHELL": SECRETS["inherited"], "SHELL_PASSWORD": SECRETS["inherited secret"]}


def secretive(program: Program) -> str:
    """A config with values in every place, jobs that use them and end in all ways; returns its name."""
    (program.folder / "checks.py").write_text("CHECKS = {'no': lambda **words: False}\n")
    uses = 'test -n "$DB_PASSWORD$JOB_KEY$API_TOKEN$FROM_SHELL"'
    keys = {"JOB_KEY": SECRETS["job's variable"], "MODE": SECRETS["harmless name in the config"]}
    return program.config(
        [
            {"id": "good", "command": uses, "env_variables": keys},
            {"id": "bad", "command": f"{uses}; exit 3", "env_variables": keys, "max_retries": 1, "retry_delay": 0},
            {"id": "late", "command": "sleep 60", "timeout": 0.3},
            {"id": "check", "command": "true", "post_checks": [{"name": "no", "params": {"word": "${MODE}"}}]},
            {"id": "gone", "command": "no-such-program-here"},
            {"id": "after", "command": "true", "dependencies": ["bad"], "env_variables": keys},
        ],
        env_variables={"DB_PASSWORD": SECRETS["application's variable"], "MODE": "${DB_PASSWORD}"},
        dependency_plugins=["checks.py"],
        continue_on_error=True,
        smtp_server="localhost",
        smtp_user="etl",
        smtp_password=SECRETS["mail"],
        email_on_failure=False,
    )


def written(program: Program) -> dict[str, bytes]:
    """Every file that the program wrote, jobs' own output left aside: there is none in these jobs."""
    own = {program.folder / name for name in ("flow.json", "checks.py", "gate", "up")}
    folders = (program.folder, program.home)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path not in own]
    return {str(path): path.read_bytes() for path in files}


def assert_secret(program: Program, what: object, *texts: str) -> None:
    """No secret value stands in any text or file; each is searched as bytes, as is."""
    places = {**written(program), **{f"stream {number}": text.encode() for number, text in enumerate(texts)}}
    found = {
        (name, place)
        for name, value in SECRETS.items()
        for place, content in places.items()
        if value.encode() in content
    }
    assert found == set(), what


COMMANDS: list[list[str]] = [
    ["-c", "flow.json", "--validate"],
    ["-c", "flow.json", "--dry-run"],
    ["-c", "flow.json", "--dry-run", "--verbose"],
    ["-c", "flow.json", "--dry-run", "--format", "json"],
    ["-c", "flow.json"],
    ["-c", "flow.json", "--verbose", "--debug"],
    ["-c", "flow.json", "--quiet"],
    ["-c", "flow.json", "--format", "json", "-j", "4"],
    ["--resume-from", "1", "--yes", "--dry-run"],
    ["--resume-from", "1", "--yes", "--dry-run", "--verbose"],
    ["--resume-from", "1", "--yes", "--dry-run", "--format", "json"],
    ["--resume-from", "1", "--yes", "--verbose"],
    ["--resume-from", "1", "--yes", "--from-job", "bad", "--dry-run"],
]
LOOKS: list[list[str]] = [
    ["--resume-from", "1", "--yes"],  # the secrets are missing: refused
    ["--list-runs"],
    ["--list-runs", "--format", "json"],
    ["--list-runs", "--format", "csv"],
    ["--show-run", "1"],
    ["--show-run", "1", "--verbose"],
    ["--show-run", "1", "--format", "json"],
    ["--show-run", "1", "--format", "csv"],
    ["--mark-success", "1", "bad", "--yes", "--reason", "mended"],
    ["--show-log", "1", "bad"],
    ["--show-run", "999"],
    ["-c", "flow.json", "--env", "API_TOKEN"],
]


def test_no_command_shows_or_keeps_a_secret(program: Program, cases: Callable[[int], None]) -> None:
    """Runs, previews, resumes, lists, marks, errors: no secret in any byte of a stream, a log or the history."""
    secretive(program)
    shown = 0
    for args in COMMANDS:
        result = program(*args, *(() if "--validate" in args else TYPED), env=INHERITED)
        assert result.code in (0, 1), (args, result)
        assert_secret(program, args, result.out, result.err)
        shown += PLAIN in result.out + result.err
    assert shown >= 4  # the harmless value is in the commands to type next and in the options
    for args in LOOKS:
        result = program(*args, env=INHERITED)
        assert "Traceback" not in result.err
        assert_secret(program, args, result.out, result.err)
    kept = {path.rpartition("/")[2] for path, content in written(program).items() if PLAIN.encode() in content}
    assert "history.db" in kept and all(not name.startswith("executioner.flow.job-") for name in kept), kept
    assert {row["options"].count("Xq7") for row in program.rows("SELECT options FROM run_metadata")} == {1}
    cases(len(SECRETS) * (len(COMMANDS) + len(LOOKS)))


def test_no_secret_is_written_in_mid_run_or_when_the_history_fails(
    program: Program, cases: Callable[[int], None]
) -> None:
    """In the write-ahead log while the run is on, in the spool file, and after a kill."""
    secretive(program)
    config = program.folder / "flow.json"
    first = '"jobs": [{"id": "w", "command": "echo $$ > up; read x < gate"}, '
    config.write_text(config.read_text().replace('"jobs": [', first))
    with gate(program) as let_through, ended(program.start("-c", "flow.json", *TYPED, env=INHERITED)) as runner:
        pid_in(program, "up")
        assert any(path.endswith("-wal") for path in written(program))
        assert_secret(program, "in mid-run")
        break_history(runner, program)
        let_through()
        out, err = runner.communicate(timeout=50)
    assert runner.returncode == 3
    spools = [path for path in written(program) if path.endswith(".spool.json")]
    assert len(spools) == 1
    assert_secret(program, "after the history failed", out, err)
    result = program("--resume-from", "1", "--yes", *TYPED, env=INHERITED)
    assert result.code == 3
    assert_secret(program, "refused for the spool", result.out, result.err)
    cases(3 * len(SECRETS))


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_no_secret_in_the_reason_of_a_job_that_cannot_start(program: Program, debug: list[str]) -> None:
    """Without a shell values are filled in by the program: programs that do not exist do not publish them."""
    words = ["${API_KEY}", "./${API_KEY} x", "nothing-${API_KEY}", "cat ${API_KEY}-${TYPED_TOKEN}"]
    program.config(
        {f"j{number}": word for number, word in enumerate(words)},
        allow_shell=False,
        continue_on_error=True,
        env_variables={"API_KEY": SECRETS["application's variable"]},
    )
    typed = ("--env", f"TYPED_TOKEN={SECRETS['typed secret']}")
    result = program("-c", "flow.json", "--verbose", *debug, *typed)
    assert result.code == 1
    for text in (result.out, result.err):  # the last job's own words apart: cat names the file that it lacks
        ours = "\n".join(line for line in text.splitlines() if "| cat: " not in line)
        assert not [value for value in SECRETS.values() if value in ours], ours
    history = program.history.read_bytes()
    assert not [value for value in SECRETS.values() if value.encode() in history]


def test_no_secret_when_the_environment_is_too_large(program: Program) -> None:
    """A value that makes a start fail is named by its variable, never by itself."""
    large = "Xq7-huge-" + "x" * 200_000
    program.config([{"id": "a", "command": "true", "env_variables": {"BIG_SECRET": large}}])
    result = program("-c", "flow.json", "--verbose", "--debug")
    assert result.code in (1, 2)
    assert "Xq7-huge" not in result.out + result.err
    assert not [path for path, content in written(program).items() if b"Xq7-huge" in content]
