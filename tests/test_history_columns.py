"""What each column of the history holds."""

import hashlib
import json
import os
import platform
import pwd
import re
from pathlib import Path
from typing import Any

import pytest
from harness import Program, Result, ended, wait_until
from history_tools import UTC_TEXT, gate, pid_in, sql

import executioner

SECRETS = {
    "application": "zq-application-value-17",
    "job": "zq-job-value-23",
    "plain": "zq-plain-value-29",
    "mail": "zq-mail-password-31",
    "typed": "zq-typed-secret-37",
}


def attempts(program: Program, job: str, run_id: int = 1) -> list[dict[str, Any]]:
    """A job's retry history."""
    found: list[dict[str, Any]] = json.loads(program.jobs(run_id)[job]["retry_history"])
    return found


# --- the run ----------------------------------------------------------------------------------


def test_a_run_is_described(program: Program) -> None:
    """Config, hash, folder, application, user, host, version, ids, log and counts of a fresh run."""
    name = program.config({"a": "true", "b": "true"}, application_name="My app/1")
    program("-c", name)
    run = program.run_row()
    content = (program.folder / name).read_bytes()
    assert run["config_path"] == str(program.folder / name)
    assert run["config_hash"] == hashlib.sha256(content).hexdigest()
    assert (run["parent_run_id"], run["root_run_id"]) == (None, 1)
    assert (run["total_jobs"], run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]) == (2, 2, 0, 0)
    assert (run["status"], run["exit_code"], run["failure_summary"]) == ("SUCCESS", 0, None)
    assert run["application_name"] == "My app/1"
    assert (run["user"], run["host"]) == (pwd.getpwuid(os.getuid()).pw_name, platform.node())
    assert run["working_dir"] == str(program.folder)
    assert run["log_path"] == str(program.folder / "logs/executioner.My_app_1.run-1.log")
    assert Path(run["log_path"]).is_file()
    assert run["executioner_version"] == executioner.__version__
    assert json.loads(run["options"]) == {}


def test_every_fresh_run_is_its_own_root(program: Program) -> None:
    """root_run_id of run n is n, parent_run_id NULL."""
    program.config({"a": "true"})
    for run_id in (1, 2, 3):
        program("-c", "flow.json")
        run = program.run_row(run_id)
        assert (run["root_run_id"], run["parent_run_id"]) == (run_id, None)


def test_the_config_hash_is_that_of_the_bytes(program: Program) -> None:
    """Also with a byte order mark and other white space: not of what was understood, but of the file."""
    program.config({"a": "true"})
    text = (program.folder / "flow.json").read_bytes()
    for run_id, content in enumerate((text, b"\xef\xbb\xbf" + text, text + b"\n\n"), 1):
        (program.folder / "flow.json").write_bytes(content)
        assert program("-c", "flow.json").code == 0
        assert program.run_row(run_id)["config_hash"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("flags", "status", "code", "counts"),
    [
        ((), "FAILED", 1, (1, 1, 3)),
        (("--continue-on-error",), "FAILED", 1, (2, 1, 2)),
        (("--skip", "bad"), "PARTIAL", 0, (4, 0, 1)),
        (("--skip", "bad,child,other"), "PARTIAL", 0, (2, 0, 3)),
    ],
    ids=["fail fast", "go on", "skip one", "skip three"],
)
def test_status_exit_code_and_counts(
    program: Program, flags: tuple[str, ...], status: str, code: int, counts: tuple[int, int, int]
) -> None:
    """Completed, failed and skipped add up to the total and agree with the rows; the status follows from them."""
    program.config(
        [
            {"id": "good", "command": "true"},
            {"id": "bad", "command": "exit 7"},
            {"id": "child", "command": "true", "dependencies": ["bad"]},
            {"id": "grandchild", "command": "true", "dependencies": ["child"]},
            {"id": "other", "command": "true"},
        ]
    )
    assert program("-c", "flow.json", *flags).code == code
    run = program.run_row()
    assert (run["status"], run["exit_code"]) == (status, code)
    assert (run["completed_jobs"], run["failed_jobs"], run["skipped_jobs"]) == counts
    statuses = list(program.statuses().values())
    assert counts == (statuses.count("SUCCESS"), statuses.count("FAILED"), statuses.count("SKIPPED"))
    assert run["failure_summary"] == ("bad: Exit code 7" if code else None)


def test_the_failure_summary_names_what_failed_and_counts_the_rest(program: Program) -> None:
    """Seven failures: five with their reasons, and two more."""
    program.config({f"f{n}": f"exit {n}" for n in range(1, 8)})
    assert program("-c", "flow.json", "--continue-on-error").code == 1
    summary = program.run_row()["failure_summary"]
    assert summary == "; ".join(f"f{n}: Exit code {n}" for n in range(1, 6)) + "; and 2 more"


def test_an_interrupted_run_tells_why(program: Program) -> None:
    """TERM: INTERRUPTED, exit code 143, the signal in the summary, end and duration set."""
    program.config({"ok": "true", "a": "echo $$ > up; exec sleep 1000", "b": "true"})
    with ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        runner.terminate()
        runner.communicate()
    run = program.run_row()
    assert (runner.returncode, run["exit_code"], run["status"]) == (143, 143, "INTERRUPTED")
    assert "SIGTERM" in run["failure_summary"]
    assert UTC_TEXT.fullmatch(run["end_time"])
    assert run["duration_seconds"] > 0
    jobs = program.jobs()
    assert {name: row["status"] for name, row in jobs.items()} == {
        "ok": "SUCCESS",
        "a": "INTERRUPTED",
        "b": "SKIPPED",
    }
    assert jobs["b"]["reason"] == "run interrupted"


def test_every_time_is_utc_text_of_fixed_width(program: Program) -> None:
    """All columns of times, and those inside retry_history, whatever the caller's time zone."""
    program.config(
        [{"id": "a", "command": "true"}, {"id": "b", "command": "false", "max_retries": 1, "retry_delay": 0}]
    )
    program("-c", "flow.json", env={"TZ": "Asia/Kathmandu"})
    program("-c", "flow.json", env={"TZ": "America/St_Johns"})
    columns = {
        "run_metadata": ("start_time", "end_time"),
        "job_history": ("start_time", "end_time", "last_run"),
    }
    found = [
        row[0]
        for table, names in columns.items()
        for name in names
        for row in sql(program.history, f"SELECT {name} FROM {table}")
    ]
    found += [
        entry[name] for job in "ab" for entry in attempts(program, job) for name in ("start_time", "end_time")
    ]
    assert len(found) == 4 + 12 + 6
    assert [text for text in found if not UTC_TEXT.fullmatch(text)] == []
    [[now]] = sql(program.history, "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
    [[before]] = sql(program.history, "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now', '-10 minutes')")
    assert before < min(found)
    assert max(found)[:23] <= now


def test_the_times_of_a_run_enclose_those_of_its_jobs(program: Program) -> None:
    """Run start <= job start <= attempt start <= attempt end <= job end <= run end, as text."""
    program.config([{"id": "a", "command": "true"}, {"id": "b", "command": "true", "dependencies": ["a"]}])
    program("-c", "flow.json")
    run = program.run_row()
    for name, row in program.jobs().items():
        [entry] = attempts(program, name)
        times = [
            run["start_time"],
            row["start_time"],
            entry["start_time"],
            entry["end_time"],
            row["end_time"],
            run["end_time"],
        ]
        assert times == sorted(times)
        assert row["last_run"] == row["start_time"]


# --- options ------------------------------------------------------------------------------------


def options(program: Program, *flags: str) -> dict[str, Any]:
    """What the newest run recorded of its flags."""
    result = program("-c", "flow.json", *flags)
    assert result.code == 0, result.err
    [row] = program.rows("SELECT options FROM run_metadata ORDER BY run_id DESC LIMIT 1")
    found: dict[str, Any] = json.loads(row["options"])
    return found


def test_the_flags_used_are_recorded(program: Program) -> None:
    """Each flag that changes what a run does has its entry, and only those that were given."""
    program.config({"a": "true", "b": "true", "c": "true"})
    assert options(program) == {}
    assert options(program, "--parallel") == {"parallel": True}
    assert options(program, "--sequential") == {"sequential": True}
    assert options(program, "--workers", "3") == {"workers": 3}
    assert options(program, "--continue-on-error") == {"continue_on_error": True}
    assert options(program, "--skip", "a,b", "--skip", "a") == {"skip": ["a", "b"]}
    assert options(program, "--env", "DAY=1", "--env", "X=") == {"env": {"DAY": "1", "X": ""}}


def test_a_variable_with_a_secret_name_is_recorded_by_name_only(program: Program) -> None:
    """--env API_TOKEN=...: the name, to be asked for at a resume; the plain one with its value."""
    program.config({"a": "true"})
    found = options(program, "--env", "DAY=2025-05-23", "--env", "API_TOKEN=abc", "--env", "DB_PASSWORD=def")
    assert found == {"env": {"DAY": "2025-05-23"}, "env_secret": ["API_TOKEN", "DB_PASSWORD"]}


# --- no values ------------------------------------------------------------------------------------


def secretive(program: Program) -> tuple[str, ...]:
    """A config full of values that are nobody's business, and the flags of its run."""
    program.config(
        [
            {
                "id": "a",
                "command": "echo $$ > up; read x < gate; exit 3",
                "env_variables": {"JOB_SECRET": SECRETS["job"], "MODE": SECRETS["plain"]},
                "max_retries": 1,
                "retry_delay": 0,
            }
        ],
        env_variables={"DB_PASSWORD": SECRETS["application"]},
        smtp_server="localhost",
        smtp_password=SECRETS["mail"],
        email_on_failure=False,
    )
    return ("-c", "flow.json", "--env", f"API_TOKEN={SECRETS['typed']}")


def test_no_value_of_the_environment_is_in_any_byte_of_the_history(program: Program) -> None:
    """In mid-run and at the end: nothing of env_variables, of a secret --env, or the mail password."""
    with gate(program) as let_through, ended(program.start(*secretive(program))) as runner:
        pid_in(program, "up")
        contents = [Path(f"{program.history}{suffix}").read_bytes() for suffix in ("", "-wal", "-shm")]
        let_through()
        let_through()
        runner.communicate()
    assert runner.returncode == 1
    contents.append(program.history.read_bytes())
    contents += [path.read_bytes() for path in (program.folder / "logs").iterdir()]
    for what, value in SECRETS.items():
        assert not [True for content in contents if value.encode() in content], what
    assert any(b"API_TOKEN" in content for content in contents)


@pytest.mark.parametrize("command", ["${API_KEY} x", "./${API_KEY}"])
def test_no_value_gets_into_the_history_by_a_reason(program: Program, command: str) -> None:
    """Without a shell ${NAME} is filled in by the runner; that such a program is not found does not publish it."""
    program.config({"a": command}, allow_shell=False, env_variables={"API_KEY": SECRETS["application"]})
    assert program("-c", "flow.json").code == 1
    assert program.jobs()["a"]["status"] in ("ERROR", "FAILED")
    assert SECRETS["application"].encode() not in program.history.read_bytes()


# --- definitions -----------------------------------------------------------------------------------


DEFINED = [
    {"id": "a", "command": "true"},
    {
        "id": "b",
        "command": "echo  ${NAME} ü",
        "dependencies": ["a"],
        "working_dir": "sub",
        "env_variables": {"NAME": "same", "OTHER": "different"},
        "post_checks": [{"name": "check_file_exists", "params": {"path": "../flow.json"}}],
    },
]


def definition(program: Program, job: str = "b", run_id: int = 1) -> dict[str, Any]:
    """A job's definition."""
    found: dict[str, Any] = json.loads(program.jobs(run_id)[job]["definition"])
    return found


def test_a_definition_is_canonical_json_of_what_the_job_does(program: Program) -> None:
    """Command as written, dependencies, folder, checks, environment names; sorted keys, no spaces."""
    (program.folder / "sub").mkdir()
    program.config(DEFINED, env_variables={"SHARED": "same"})
    assert program("-c", "flow.json").code == 0
    text = program.jobs()["b"]["definition"]
    found = json.loads(text)
    assert text == json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    environment = found.pop("env_variables")
    assert found == {
        "command": "echo  ${NAME} ü",
        "dependencies": ["a"],
        "working_dir": str(program.folder / "sub"),
        "pre_checks": [],
        "post_checks": [["check_file_exists", {"path": "../flow.json"}]],
    }
    assert sorted(environment) == ["NAME", "OTHER", "SHARED"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in environment.values())
    assert environment["NAME"] == environment["SHARED"] != environment["OTHER"]


def test_a_digest_is_no_plain_hash_of_the_value(program: Program) -> None:
    """Nobody can try out likely values without the database's key."""
    (program.folder / "sub").mkdir()
    program.config(DEFINED)
    program("-c", "flow.json")
    assert definition(program)["env_variables"]["NAME"] != hashlib.sha256(b"same").hexdigest()


def test_an_equal_value_has_an_equal_digest_in_every_run_of_a_history(program: Program) -> None:
    """So a change of a value can be told from no change, and only the changed one differs."""
    (program.folder / "sub").mkdir()
    program.config(DEFINED)
    program("-c", "flow.json")
    program("-c", "flow.json")
    program.config([DEFINED[0], {**DEFINED[1], "env_variables": {"NAME": "same", "OTHER": "new"}}])
    program("-c", "flow.json")
    assert program.jobs(1)["b"]["definition"] == program.jobs(2)["b"]["definition"]
    first, third = definition(program, run_id=1)["env_variables"], definition(program, run_id=3)["env_variables"]
    assert first["NAME"] == third["NAME"]
    assert first["OTHER"] != third["OTHER"]


def test_an_equal_value_has_another_digest_in_another_history(program: Program) -> None:
    """Each database has a random key of its own."""
    (program.folder / "sub").mkdir()
    program.config(DEFINED)
    for db in ("one.db", "two.db"):
        assert program("-c", "flow.json", "--db", db).code == 0
    query = "SELECT definition FROM job_history WHERE id = 'b'"
    one, two = (json.loads(sql(program.folder / db, query)[0][0])["env_variables"] for db in ("one.db", "two.db"))
    assert one["NAME"] != two["NAME"]
    identities = [dict(sql(program.folder / db, "SELECT * FROM database_identity")) for db in ("one.db", "two.db")]
    assert len(identities[0]["key"]) == 32
    assert identities[0] != identities[1]


def test_the_order_of_a_config_does_not_change_a_definition(program: Program) -> None:
    """Dependencies and variables in another order are the same definition; a description is no part of it."""
    jobs = [
        {"id": "a", "command": "true"},
        {"id": "b", "command": "true"},
        {"id": "c", "command": "true", "dependencies": ["a", "b"], "env_variables": {"X": "1", "Y": "2"}},
    ]
    program.config(jobs)
    program("-c", "flow.json")
    jobs[2] = {**jobs[2], "dependencies": ["b", "a"], "env_variables": {"Y": "2", "X": "1"}, "description": "new"}
    program.config(jobs)
    program("-c", "flow.json")
    assert program.jobs(1)["c"]["definition"] == program.jobs(2)["c"]["definition"]


def test_env_of_the_command_line_is_no_part_of_a_definition(program: Program) -> None:
    """--env is recorded with the run's options; a definition is what the config says."""
    program.config([{"id": "a", "command": "true", "env_variables": {"DAY": "1"}}])
    program("-c", "flow.json")
    program("-c", "flow.json", "--env", "DAY=2")
    assert program.jobs(1)["a"]["definition"] == program.jobs(2)["a"]["definition"]


# --- jobs --------------------------------------------------------------------------------------------


def test_a_job_is_described(program: Program) -> None:
    """Position, description, command as written, application, log, and NULL where nothing is to be said."""
    program.config(
        [{"id": "b", "command": "echo ${X}  y", "description": "Ä b"}, {"id": "a", "command": "true"}],
        application_name="app",
    )
    program("-c", "flow.json")
    rows = program.jobs()
    assert [(row["id"], row["position"]) for row in rows.values()] == [("b", 0), ("a", 1)]
    row = rows["b"]
    assert (row["description"], row["command"], row["application_name"]) == ("Ä b", "echo ${X}  y", "app")
    assert rows["a"]["description"] == ""
    assert row["log_path"] == str(program.folder / "logs/executioner.app.job-b.run-1.log")
    for name in ("reason", "last_error", "source_run_id", "marked_by", "marked_at", "mark_reason"):
        assert row[name] is None


def test_the_log_path_is_that_of_the_file_even_where_the_name_was_taken(program: Program) -> None:
    """A taken name is left alone; the history has the path of the file that was really written."""
    logs = program.folder / "logs"
    logs.mkdir()
    (logs / "executioner.flow.job-a.run-1.log").write_text("older")
    (logs / "executioner.flow.run-1.log").write_text("older")
    program.config({"a": "echo here"})
    assert program("-c", "flow.json").code == 0
    assert program.output("a") == b"here\n"
    assert Path(program.run_row()["log_path"]).read_text() != "older"
    assert (logs / "executioner.flow.job-a.run-1.log").read_text() == "older"


@pytest.mark.parametrize(
    ("command", "status", "code", "reason"),
    [
        ("exit 7", "FAILED", 7, "Exit code 7"),
        ("kill -KILL $$", "FAILED", -9, "Killed by SIGKILL"),
        ("exit 0", "SUCCESS", 0, None),
    ],
)
def test_how_a_job_ended(program: Program, command: str, status: str, code: int, reason: str | None) -> None:
    """Status, exit code (negative: the signal) and reason; last_error is the reason."""
    program.config({"a": command})
    program("-c", "flow.json")
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"], row["reason"], row["last_error"]) == (status, code, reason, reason)
    assert (row["retry_count"], len(attempts(program, "a"))) == (0, 1)


def test_a_job_that_timed_out(program: Program) -> None:
    """TIMEOUT with the limit in its reason."""
    program.config([{"id": "a", "command": "exec sleep 1000", "timeout": 0.2}])
    program("-c", "flow.json")
    row = program.jobs()["a"]
    assert row["status"] == "TIMEOUT"
    assert row["reason"].startswith("Timed out after")
    assert row["last_error"] == row["reason"]
    assert 0.2 <= row["duration_seconds"] < 30
    assert program.run_row()["failed_jobs"] == 1


ENTRY = {
    "attempt": int,
    "status": str,
    "reason": (str, type(None)),
    "exit_code": (int, type(None)),
    "start_time": str,
    "end_time": str,
    "duration_seconds": float,
    "log_start": int,
    "log_end": int,
}


def run_flaky(program: Program, succeeds_at: int) -> Result:
    """A job that prints its attempt's number and fails until a given one."""
    command = (
        f"echo try $EXECUTIONER_ATTEMPT; [ $EXECUTIONER_ATTEMPT -ge {succeeds_at} ] || exit $EXECUTIONER_ATTEMPT"
    )
    program.config([{"id": "a", "command": command, "max_retries": 2, "retry_delay": 0}])
    return program("-c", "flow.json")


def test_the_retry_history_of_a_success(program: Program) -> None:
    """An entry an attempt, the failed ones included, each with the byte range of its output in the log."""
    assert run_flaky(program, 3).code == 0
    row, entries = program.jobs()["a"], attempts(program, "a")
    assert (row["status"], row["exit_code"], row["retry_count"], row["reason"]) == ("SUCCESS", 0, 2, None)
    assert row["last_error"] == "Exit code 2"
    assert [(entry["attempt"], entry["status"], entry["exit_code"], entry["reason"]) for entry in entries] == [
        (1, "FAILED", 1, "Exit code 1"),
        (2, "FAILED", 2, "Exit code 2"),
        (3, "SUCCESS", 0, None),
    ]
    log = Path(row["log_path"]).read_bytes()
    assert [log[entry["log_start"] : entry["log_end"]] for entry in entries] == [
        b"try 1\n",
        b"try 2\n",
        b"try 3\n",
    ]
    for entry in entries:
        assert list(entry) == list(ENTRY)
        assert all(isinstance(entry[name], kind) for name, kind in ENTRY.items())


def test_the_retry_history_of_a_success_at_once(program: Program) -> None:
    """One entry: also what never failed tells of its only attempt."""
    assert run_flaky(program, 1).code == 0
    row, [entry] = program.jobs()["a"], attempts(program, "a")
    assert (row["retry_count"], row["last_error"]) == (0, None)
    assert (entry["attempt"], entry["status"]) == (1, "SUCCESS")


def test_the_retry_history_of_a_failure(program: Program) -> None:
    """All attempts failed: three entries, two retries, result and reason of the last."""
    assert run_flaky(program, 9).code == 1
    row, entries = program.jobs()["a"], attempts(program, "a")
    assert (row["status"], row["exit_code"], row["retry_count"]) == ("FAILED", 3, 2)
    assert row["reason"] == row["last_error"] == "Exit code 3"
    assert [entry["exit_code"] for entry in entries] == [1, 2, 3]
    assert row["last_run"] >= entries[1]["end_time"]
    assert row["start_time"] <= entries[0]["start_time"]


def test_a_retry_that_was_called_off_is_not_counted(program: Program) -> None:
    """Another job's failure stops the run while one waits for its next attempt: that one had one attempt and no
    retry, and it ended when that attempt ended, not when the run was stopped.
    """
    program.config(
        [
            {"id": "a", "command": "exit 4", "max_retries": 3, "retry_delay": 500},
            {"id": "b", "command": "echo $$ > up; read x < gate; exit 5"},
        ]
    )
    with gate(program) as let_through, ended(program.start("-c", "flow.json", "-j", "2")) as runner:
        pid_in(program, "up")
        wait_until(lambda: program.jobs()["a"]["retry_history"], "the first attempt's record")
        [[noted]] = sql(program.history, "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')")
        let_through()
        runner.communicate()
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"]) == ("FAILED", 4)
    assert len(attempts(program, "a")) == 1
    assert row["retry_count"] == 0
    assert row["end_time"] <= noted


def test_durations_are_measured(program: Program) -> None:
    """A job's duration covers its attempts and the wait between; the run's covers the job's."""
    program.config([{"id": "a", "command": "exit 3", "max_retries": 1, "retry_delay": 0.3, "retry_jitter": 0}])
    program("-c", "flow.json")
    row, entries = program.jobs()["a"], attempts(program, "a")
    assert row["duration_seconds"] >= 0.3 + sum(entry["duration_seconds"] for entry in entries)
    assert program.run_row()["duration_seconds"] >= row["duration_seconds"]
    assert row["duration_seconds"] < 30


def test_memory_is_the_peak_of_the_largest_process_in_mib(program: Program) -> None:
    """A job that touches 150 MiB shows them; one below the runner's own size shows NULL, not a wrong number."""
    program.config({"big": "python -c 'x = bytearray(b\"x\") * (150 * 1024 * 1024)'", "small": "/bin/true"})
    assert program("-c", "flow.json").code == 0
    jobs = program.jobs()
    assert 150 <= jobs["big"]["memory_usage_mb"] < 250
    assert jobs["small"]["memory_usage_mb"] is None


def test_cpu_is_the_share_of_one_core(program: Program) -> None:
    """Percent times duration is the CPU time that the job itself measured."""
    text = "import os, time\nwhile time.process_time() < 0.4: pass\nt = os.times()\nprint(t.user + t.system)\n"
    (program.folder / "burn.py").write_text(text)
    program.config({"burn": "python -S burn.py", "idle": "sleep 0.3"})
    assert program("-c", "flow.json").code == 0
    jobs = program.jobs()
    used = jobs["burn"]["cpu_usage_percent"] / 100 * jobs["burn"]["duration_seconds"]
    assert float(program.output("burn")) * 0.95 <= used <= float(program.output("burn")) + 0.1
    assert jobs["idle"]["cpu_usage_percent"] < 50


def test_what_never_started_has_no_result(program: Program) -> None:
    """A SKIPPED job has a reason and neither times, nor exit code, nor log, nor attempts."""
    program.config([{"id": "a", "command": "false"}, {"id": "b", "command": "true", "dependencies": ["a"]}])
    program("-c", "flow.json")
    row = program.jobs()["b"]
    assert (row["status"], row["reason"]) == ("SKIPPED", "dependency failed")
    empty = ("exit_code", "start_time", "end_time", "last_run", "duration_seconds", "retry_history", "log_path")
    assert {
        name: row[name] for name in (*empty, "memory_usage_mb", "cpu_usage_percent", "last_error")
    } == dict.fromkeys((*empty, "memory_usage_mb", "cpu_usage_percent", "last_error"))


def test_a_failed_pre_check_is_recorded_without_an_exit_code(program: Program) -> None:
    """The command was not started: FAILED, exit code NULL, one attempt, its reason begins ``Pre-check failed``."""
    checks = [{"name": "check_file_exists", "params": {"path": "missing"}}]
    program.config([{"id": "a", "command": "touch ran", "pre_checks": checks, "max_retries": 3, "retry_delay": 0}])
    assert program("-c", "flow.json").code == 1
    row = program.jobs()["a"]
    assert (row["status"], row["exit_code"], row["retry_count"]) == ("FAILED", None, 0)
    assert row["reason"].startswith("Pre-check failed")
    assert not (program.folder / "ran").exists()


def test_the_user_is_the_one_who_runs_it(program: Program) -> None:
    """Not what $USER or $LOGNAME pretend."""
    program.config({"a": "true"})
    program("-c", "flow.json", env={"USER": "mallory", "LOGNAME": "mallory"})
    assert program.run_row()["user"] == pwd.getpwuid(os.getuid()).pw_name
