"""Reading a config: what it becomes, and every way in which it can be wrong."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executioner.config import parse as config
from executioner.config import samples
from executioner.errors import ConfigError
from executioner.model import FAILURES, Check, JobStatus, NextStep, Notification, Plugin, RetryPolicy, Workflow

pytestmark = pytest.mark.promise(7)

PATH = "/srv/etl/nightly.json"
JOBS = [{"id": "a", "command": "true"}]


def parse_bytes(
    data: bytes,
    *,
    path: str = PATH,
    is_folder: Callable[[str], bool] = lambda path: True,
    plugin_checks: config.PluginChecks = lambda plugin: frozenset(),
) -> Workflow:
    return config.parse(
        data,
        path=path,
        shown="nightly.json",
        home="/home/etl",
        is_folder=is_folder,
        plugin_checks=plugin_checks,
    )


def parse(values: object, **effects: Any) -> Workflow:
    return parse_bytes(json.dumps(values).encode(), **effects)


def app(**values: Any) -> Workflow:
    """A config of one job and these keys of the application."""
    return parse({"jobs": JOBS, **values})


def problems_of_text(text: str | bytes, **effects: Any) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError) as caught:
        parse_bytes(data, **effects)
    return list(caught.value.details)


def problems(values: object, **effects: Any) -> list[str]:
    return problems_of_text(json.dumps(values), **effects)


def app_problems(**values: Any) -> list[str]:
    return problems({"jobs": JOBS, **values})


def job_problems(**values: Any) -> list[str]:
    return problems({"jobs": [{"id": "a", "command": "true", **values}]})


# What a config becomes


def test_defaults_of_the_application() -> None:
    """A config of jobs only gets all the documented defaults."""
    workflow = parse({"jobs": JOBS})
    assert workflow._replace(jobs=()) == Workflow(
        name="nightly",
        config_path=PATH,
        config_hash=sha256(json.dumps({"jobs": JOBS}).encode()).hexdigest(),
        working_dir="/srv/etl",
        log_dir="/srv/etl/logs",
        history_db=None,
        parallel=False,
        max_workers=None,
        max_active_runs=None,
        continue_on_error=False,
        kill_grace_s=10.0,
        env={},
        inherit_shell_env=True,
        allow_shell=True,
        command_whitelist=None,
        plugins=(),
        notification=Notification(),
        jobs=(),
    )


def test_defaults_of_a_job() -> None:
    """A job of id and command gets the documented limits and no retries."""
    (job,) = parse({"jobs": JOBS}).jobs
    assert job.timeout_s == 10800
    assert job.timeout_is_default
    assert job.retry == RetryPolicy()
    assert (job.description, job.dependencies, job.env, job.working_dir) == ("", (), {}, "/srv/etl")
    assert (job.pre_checks, job.post_checks) == ((), ())


def test_a_job_overrides_the_defaults() -> None:
    """Each retry key falls back to the application's, key by key."""
    workflow = parse(
        {
            "default_timeout": 5,
            "default_max_retries": 2,
            "default_retry_delay": 1,
            "default_retry_on_exit_codes": [1, -9],
            "jobs": [
                {"id": "a", "command": "true", "timeout": 7.5, "retry_delay": 3},
                {"id": "b", "command": "true", "retry_on_status": ["timeout"], "retry_on_exit_codes": []},
            ],
        }
    )
    first, second = workflow.jobs
    assert (first.timeout_s, first.timeout_is_default) == (7.5, False)
    assert first.retry == RetryPolicy(2, 3.0, on_exit_codes=frozenset({1, -9}))
    assert (second.timeout_s, second.timeout_is_default) == (5.0, True)
    assert second.retry == RetryPolicy(2, 1.0, on_status=frozenset({JobStatus.TIMEOUT}))


def test_null_timeouts_are_no_limit() -> None:
    """Null switches a limit off, for one job or for all."""
    workflow = parse({"jobs": [*JOBS, {"id": "b", "command": "true", "timeout": None}]})
    assert [job.timeout_s for job in workflow.jobs] == [10800, None]
    assert app(default_timeout=None).jobs[0].timeout_s is None


def test_equal_retry_policies_are_one_object() -> None:
    """A hundred thousand jobs with the same retries do not keep as many policies."""
    jobs = [{"id": f"j{at}", "command": "true", "max_retries": 2} for at in range(3)]
    assert len({id(job.retry) for job in parse({"jobs": jobs}).jobs}) == 1


def test_statuses_in_any_case() -> None:
    """Statuses may be written in lower case; all of them are all failures."""
    (job,) = app(default_retry_on_status=["failed", "Timeout", "ERROR"]).jobs
    assert job.retry.on_status is FAILURES


def test_comment_keys_are_skipped_everywhere() -> None:
    """Keys that begin with _ or $ may hold anything, even twice."""
    text = """{"_": {"x": [1e999, {"a": 1, "a": 2}]}, "$schema": "s", "_c": 1, "_c": 2,
        "env_variables": {"_comment": [], "$x": null, "_JAVA_OPTIONS": "-Xmx1g"},
        "jobs": [{"id": "a", "command": "true", "_c": "\\ud800",
            "pre_checks": [{"name": "check_file_exists", "_c": 0, "params": {"path": "x", "_c": 0}}]}]}"""
    workflow = parse_bytes(text.encode())
    assert workflow.env == {"_JAVA_OPTIONS": "-Xmx1g"}
    assert workflow.jobs[0].pre_checks == (Check("check_file_exists", {"path": "x"}),)


def test_variables_become_text() -> None:
    """Numbers keep the digits that were written, booleans are lower case."""
    text = '{"env_variables": {"A": "x", "B": 3.10, "C": 7, "D": true, "E": false}, "jobs": %s}'
    workflow = parse_bytes((text % json.dumps(JOBS)).encode())
    assert workflow.env == {"A": "x", "B": "3.10", "C": "7", "D": "true", "E": "false"}


def test_whole_numbers_with_a_fraction_of_zero_are_integers() -> None:
    """2.0 is an integer, as JSON Schema has it."""
    workflow = app(max_workers=2.0, default_max_retries=1.0)
    assert repr(workflow.max_workers) == "2"
    assert repr(workflow.jobs[0].retry.max_retries) == "1"


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("data", "/srv/etl/data"),
        ("../x/.", "/srv/x"),
        ("/abs/", "/abs"),
        ("~", "/home/etl"),
        ("~/x", "/home/etl/x"),
    ],
)
def test_working_dir(written: str, found: str) -> None:
    """The application's folder starts at the config's, the home folder is expanded."""
    workflow = app(working_dir=written)
    assert (workflow.working_dir, workflow.jobs[0].working_dir) == (found, found)
    assert workflow.log_dir == f"{found}/logs"


def test_other_paths() -> None:
    """Logs start at working_dir, the history and plugins at the config, jobs at working_dir."""
    workflow = parse(
        {
            "working_dir": "/data",
            "log_dir": "log",
            "history_db": "h.db",
            "dependency_plugins": ["p/rows.py", {"name": "n", "path": "~/q.py"}],
            "jobs": [{"id": "a", "command": "true", "working_dir": "in"}],
        }
    )
    assert (workflow.log_dir, workflow.history_db) == ("/data/log", "/srv/etl/h.db")
    assert workflow.plugins == (Plugin("rows", "/srv/etl/p/rows.py"), Plugin("n", "/home/etl/q.py"))
    assert workflow.jobs[0].working_dir == "/data/in"


def test_each_folder_is_looked_at_once() -> None:
    """A thousand jobs in one folder cost one look at it."""
    asked: list[str] = []
    jobs = [{"id": f"j{at}", "command": "true", "working_dir": "x"} for at in range(9)]
    parse({"jobs": jobs}, is_folder=lambda path: not asked.append(path))
    assert asked == ["/srv/etl/x"]


@pytest.mark.parametrize("value", ["a@x.org, b@y.org", ["a@x.org", "b@y.org"], "a@x.org,,b@y.org,a@x.org"])
def test_addresses(value: object) -> None:
    """A comma list and a list are the same, duplicates count once."""
    assert app(email_address=value).notification.addresses == ("a@x.org", "b@y.org")


def test_notification_keys() -> None:
    """All mail keys arrive in the notification."""
    keys = {"smtp_server": "m", "smtp_port": 25, "smtp_user": "u", "smtp_password": "", "smtp_tls": "none"}
    workflow = app(email_address="a@b", email_on_success=True, email_on_failure=False, **keys)
    assert workflow.notification == Notification(("a@b",), True, False, "m", 25, "u", "", "none")


@pytest.mark.parametrize(
    ("value", "found"), [(True, True), (False, False), ("default", "default"), (["A", "B"], ("A", "B"))]
)
def test_inherit_shell_env(value: object, found: object) -> None:
    """All, nothing, the usual names, or a list."""
    assert app(inherit_shell_env=value).inherit_shell_env == found


def test_the_alias_of_the_name() -> None:
    """`name` is `application_name`; both may be there if they agree."""
    assert app(name="x").name == "x"
    assert app(name="x", application_name="x").name == "x"
    assert app_problems(name="x", application_name="y") == ['name: differs from application_name, "y"']


def test_a_file_name_that_is_not_utf8_still_gives_a_name() -> None:
    """The default name can always be stored."""
    assert parse({"jobs": JOBS}, path="/srv/\udcff.json").name == "\ufffd"


def test_a_dependency_listed_twice_counts_once() -> None:
    """Duplicates within one list are merged."""
    jobs = [*JOBS, {"id": "b", "command": "true", "dependencies": ["a", "a"]}]
    assert parse({"jobs": jobs}).jobs[1].dependencies == ("a",)


def test_a_byte_order_mark_is_accepted() -> None:
    """Editors of another system put one in front; the hash is that of the file's bytes."""
    data = b"\xef\xbb\xbf" + json.dumps({"jobs": JOBS}).encode()
    assert parse_bytes(data).config_hash == sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 2_000_000])
def test_the_hash_of_small_and_large_files(size: int) -> None:
    """It is the SHA-256 of the file's bytes, whichever way it is computed."""
    data = json.dumps({"jobs": JOBS}).encode() + b" " * size
    assert parse_bytes(data).config_hash == sha256(data).hexdigest()


@pytest.mark.parametrize("text", [samples.SIMPLE_CONFIG, samples.SAMPLE_CONFIG])
def test_the_samples_load_as_they_are(text: str) -> None:
    """What --simple-config and --sample-config print is valid in any folder."""
    assert len(parse_bytes(text.encode(), path="/empty/x.json").jobs) >= 3


# How problems are told


def test_the_screen_of_several_problems() -> None:
    """All problems come together, in the order of the file, the cycle last (screen 1)."""
    jobs = [
        {"id": "load", "command": "true"},
        {"id": "merge", "command": "true", "dependancies": [], "dependencies": ["report"]},
        {"id": "report", "command": "true", "dependencies": ["merge"]},
        {"id": "transform", "command": "true", "timeout": "x"},
        {"id": "ship", "command": "true", "dependencies": ["tranform"]},
    ]
    steps = (NextStep("To check again", ("-c", "nightly.json", "--validate")),)
    with pytest.raises(ConfigError) as caught:
        config.parse(
            json.dumps({"jobs": jobs}).encode(),
            path=PATH,
            shown="nightly.json",
            home="/",
            is_folder=lambda path: True,
            plugin_checks=lambda plugin: frozenset(),
            steps=steps,
        )
    error = caught.value
    assert (error.what, error.where, error.steps) == ("4 problems in the config", "nightly.json", steps)
    assert error.details == (
        'jobs[1].dependancies: unknown key, did you mean "dependencies"?',
        'jobs[3].timeout: expected a positive number, got "x"',
        'jobs[4].dependencies[0]: no job "tranform", did you mean "transform"?',
        "jobs: dependency cycle: merge -> report -> merge",
    )


def test_only_the_first_hundred_problems_are_told() -> None:
    """The others are counted, and the count is that of all of them."""
    with pytest.raises(ConfigError) as caught:
        parse({"jobs": [{"id": "a", "command": "true"}] * 1235})
    assert caught.value.what == str(caught.value) == "1,234 problems in the config"
    assert len(caught.value.details) == 101
    assert caught.value.details[-1] == "... and 1,134 more problems"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_workers": True}, "max_workers: expected an integer from 1 to 100,000, got true"),
        ({"max_workers": 0}, "max_workers: expected an integer from 1 to 100,000, got 0"),
        ({"max_workers": None}, "max_workers: expected an integer from 1 to 100,000, got null"),
        ({"kill_grace": -1}, "kill_grace: expected a number of at least 0, got -1"),
        (
            {"kill_grace": 10**400},
            f"kill_grace: expected a number of at least 0, at most 1,000,000,000, got 1{'0' * 56}...",
        ),
        (
            {"default_timeout": 1e10},
            "default_timeout: expected a number above 0, at most 1,000,000,000, got 10000000000.0",
        ),
        (
            {"default_retry_backoff": 1_000_000_001},
            "default_retry_backoff: expected a number of at least 0, at most 1,000,000,000, got 1000000001",
        ),
        ({"parallel": "yes"}, 'parallel: expected true or false, got "yes"'),
        ({"paralel": True}, 'paralel: unknown key, did you mean "parallel"?'),
        ({"zzz": 1}, "zzz: unknown key"),
        ({"workers": 4}, 'workers: unknown key, did you mean "max_workers"?'),
        (
            {"jobs": [{"id": "a", "command": "a", "needs": []}]},
            'jobs[0].needs: unknown key, did you mean "dependencies"?',
        ),
        (
            {"jobs": [{"id": "a", "command": "a", "cwd": "/"}]},
            'jobs[0].cwd: unknown key, did you mean "working_dir"?',
        ),
        ({"a\x1b[31m b": 1}, '["a\\u001b[31m b"]: unknown key'),
        ({"application_name": " "}, 'application_name: expected a string, got " "'),
        ({"working_dir": "~bob/x"}, None),
        ({"jobs": []}, "jobs: expected a list with at least one job, got an empty list"),
        ({"jobs": {}}, "jobs: expected a list with at least one job, got an object"),
        ({"jobs": [1]}, "jobs[0]: expected a job such as {...}, got 1"),
        ({"default_timeout": 0}, "default_timeout: expected a positive number, got 0"),
        ({"default_retry_jitter": 1.5}, "default_retry_jitter: expected a number from 0 to 1, got 1.5"),
        ({"smtp_port": 65536}, "smtp_port: expected a port from 1 to 65,535, got 65536"),
        ({"smtp_tls": "tls"}, 'smtp_tls: expected "starttls", "ssl" or "none", got "tls"'),
        ({"email_address": ""}, 'email_address: expected an e-mail address, got ""'),
        ({"email_address": ["a@b", "a b@c"]}, 'email_address[1]: expected an e-mail address, got "a b@c"'),
        ({"email_address": "a@b, c"}, 'email_address: expected an e-mail address, got "c"'),
        ({"email_address": 1}, "email_address: expected an e-mail address or a list of them, got 1"),
        (
            {"inherit_shell_env": "all"},
            'inherit_shell_env: expected true, false, "default" or a list of names, got "all"',
        ),
        ({"working_dir": ["x"]}, "working_dir: expected a string, got a list"),
        ({"working_dir": ""}, 'working_dir: expected a path, got ""'),
        ({"command_whitelist": ["ls"]}, "command_whitelist: works only with allow_shell: false"),
        (
            {"security_policy": "strict"},
            'security_policy: "strict" is not offered: use allow_shell: false and command_whitelist',
        ),
    ],
)
def test_problems_of_the_application(keys: dict[str, Any], message: str | None) -> None:
    """Each wrong key gives one problem that names the place, the wish and the value."""
    found = app_problems(**keys)
    assert len(found) == 1
    assert message is None or found == [message]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"timeout": "x"}, 'timeout: expected a positive number, got "x"'),
        ({"timeout": False}, "timeout: expected a positive number, got false"),
        ({"timeout": 1_000_000_001}, "timeout: expected a number above 0, at most 1,000,000,000, got 1000000001"),
        ({"command": ["ls"]}, "command: expected a string, got a list"),
        ({"command": " \n"}, 'command: expected a command, got " \\n"'),
        ({"command": "é" * 65536}, "command: is 131,072 bytes long, at most 131,071 are possible"),
        (
            {"id": "-x"},
            'id: expected up to 128 letters a-z A-Z, digits, _, - and . (no - or . first), got "-x"',
        ),
        ({"id": 7}, "id: expected a string, got 7"),
        ({"max_retries": 1.5}, "max_retries: expected an integer from 0 to 1,000,000, got 1.5"),
        ({"retry_on_status": ["LOST"]}, None),
        ({"retry_on_status": []}, None),
        ({"retry_on_exit_codes": [256]}, None),
        ({"env_variables": []}, "env_variables: expected an object of environment variables, got an empty list"),
        ({"env_variables": {"A": None}}, None),
        ({"env_variables": {"1A": 1}}, None),
        ({"env_variables": {"": 1}}, None),
        ({"env_variables": {"EXECUTIONER_DB": "x"}}, None),
        ({"env_variables": {"A": "x" * 131_070}}, None),
        ({"pre_checks": [{"params": {}}]}, 'pre_checks[0]: "name" is missing'),
        ({"post_checks": [7]}, None),
    ],
)
def test_problems_of_a_job(keys: dict[str, Any], message: str | None) -> None:
    """Each wrong key of a job gives one problem at its place."""
    found = job_problems(**keys)
    assert len(found) == 1
    assert found[0].startswith("jobs[0].")
    assert message is None or found == [f"jobs[0].{message}"]


def test_required_keys() -> None:
    """A job needs an id and a command, a config needs jobs."""
    assert problems({"jobs": [{}]}) == ['jobs[0]: "id" is missing', 'jobs[0]: "command" is missing']
    assert problems({}) == ['"jobs" is missing']


def test_the_longest_variable_fits() -> None:
    """NAME=value may have 131,071 bytes, not one more."""
    assert app(env_variables={"A": "x" * 131_069})
    assert app_problems(env_variables={"A": "x" * 131_070})


# Ids, dependencies, folders, variables


def test_duplicate_ids_name_both_places() -> None:
    """The second job is the wrong one, the first is named."""
    assert problems({"jobs": JOBS * 2}) == ['jobs[1].id: "a" is already the id of jobs[0]']


def test_self_dependency_is_a_cycle() -> None:
    """A job that waits for itself would wait for ever."""
    assert job_problems(dependencies=["a"]) == ["jobs: dependency cycle: a -> a"]


def test_self_dependency_hides_no_other_cycle() -> None:
    """A job that waits for itself and stands in a longer cycle is told both ways, whichever is first."""
    jobs = [
        {"id": "a", "command": "true", "dependencies": ["a", "b"]},
        {"id": "b", "command": "true", "dependencies": ["a", "b"]},
    ]
    cycles = ["a -> a", "a -> b -> a", "b -> b"]
    assert problems({"jobs": jobs}) == [f"jobs: dependency cycle: {cycle}" for cycle in cycles]


def test_long_cycles_are_shortened() -> None:
    """A cycle of a hundred thousand jobs fits on a line."""
    size = 100_000
    jobs = [{"id": f"j{at}", "command": "true", "dependencies": [f"j{(at + 1) % size}"]} for at in range(size)]
    assert problems({"jobs": jobs}) == ["jobs: dependency cycle: j0 -> j1 -> ... (99,998 more) ... -> j0"]


def test_a_chain_of_a_hundred_thousand_jobs() -> None:
    """Depth is no problem."""
    jobs = [
        {"id": f"j{at}", "command": "true", "dependencies": [f"j{at - 1}"] * bool(at)} for at in range(100_000)
    ]
    assert len(parse({"jobs": jobs}).jobs) == 100_000


def test_near_ids_are_found_among_many() -> None:
    """The hint for a misspelt dependency works, and stays quick, among thousands of jobs."""
    jobs: list[dict[str, Any]] = [{"id": f"load_{at}", "command": "true"} for at in range(5000)]
    jobs[0]["dependencies"] = ["laod_4321"]
    (found,) = problems({"jobs": jobs})
    assert found.endswith('no job "laod_4321", did you mean "load_4321"?')


def test_missing_folders() -> None:
    """Jobs below a missing working_dir are not reported again."""
    jobs = [
        {"id": "a", "command": "true", "working_dir": "x"},
        {"id": "b", "command": "true", "working_dir": "/y"},
    ]
    found = problems({"working_dir": "w", "jobs": jobs}, is_folder=lambda path: False)
    assert found == ['working_dir: no folder "/srv/etl/w"', 'jobs[1].working_dir: no folder "/y"']


def test_missing_folders_are_shown_whole() -> None:
    """The end of a long path is what tells it from others."""
    long = "/" + "x" * 200
    found = problems({"jobs": JOBS, "working_dir": long}, is_folder=lambda path: False)
    assert found == [f'working_dir: no folder "{long}"']


def test_folders_below_one_that_is_told_wrongly() -> None:
    """Where the application's folder is not known, relative ones of jobs cannot be looked for."""
    jobs = [
        {"id": "a", "command": "true", "working_dir": "x"},
        {"id": "b", "command": "true", "working_dir": "/y"},
    ]
    found = problems({"working_dir": 1, "jobs": jobs}, is_folder=lambda path: False)
    assert found == ["working_dir: expected a string, got 1", 'jobs[1].working_dir: no folder "/y"']


def test_problems_beside_others_in_one_job() -> None:
    """A wrong key of a job, a check or a list hides nothing that is wrong beside it."""
    misspelt = {"name": "check_file_exist", "parms": {}}
    checks = [misspelt, 7, {"name": "check_file_exists", "params": {"pth": "x"}, "x": 1}, {"name": "nope"}]
    checks.append({"name": "check_file_exists", "parms": {"path": "x"}})
    job = {"id": "b b", "command": ["ls"], "working_dir": "/y", "dependencies": [1, "z"], "pre_checks": checks}
    found = problems(
        {"working_dir": "/w", "allow_shell": False, "jobs": [job, {"id": 1, "command": "'x"}]},
        is_folder=lambda path: False,
    )
    assert sorted(found) == sorted(
        [
            'working_dir: no folder "/w"',
            'jobs[0].id: expected up to 128 letters a-z A-Z, digits, _, - and . (no - or . first), got "b b"',
            "jobs[0].command: expected a string, got a list",
            'jobs[0].working_dir: no folder "/y"',
            "jobs[0].dependencies[0]: expected a string, got 1",
            'jobs[0].dependencies[1]: no job "z"',
            'jobs[0].pre_checks[0].name: no check "check_file_exist", did you mean "check_file_exists"?',
            'jobs[0].pre_checks[0].parms: unknown key, did you mean "params"?',
            'jobs[0].pre_checks[1]: expected a check such as {"name": "check_file_exists", '
            '"params": {"path": "in.csv"}}, got 7',
            "jobs[0].pre_checks[2].x: unknown key",
            'jobs[0].pre_checks[2].params: "path" is missing',
            'jobs[0].pre_checks[2].params.pth: unknown parameter of check_file_exists, did you mean "path"?',
            'jobs[0].pre_checks[3].name: no check "nope"',
            'jobs[0].pre_checks[4].parms: unknown key, did you mean "params"?',
            "jobs[1].id: expected a string, got 1",
            "jobs[1].command: the quote ' is not closed (allow_shell: false)",
        ]
    )


def test_a_whitelist_beside_a_wrong_allow_shell() -> None:
    """Whether the list may be there is not known, so nothing is said about it."""
    found = app_problems(allow_shell="false", command_whitelist=["ls"])
    assert found == ['allow_shell: expected true or false, got "false"']


def test_circles_of_variables() -> None:
    """Variables that refer to each other are named in order, once."""
    circle: dict[str, object] = {"A": "${B}", "B": "${A}"}
    assert app_problems(env_variables=circle) == ["env_variables: A and B refer to each other"]
    assert app_problems(env_variables={**circle, "N": None, "EXECUTIONER_A": "${A}"}) == [
        "env_variables.N: expected a string, a number, true or false, got null",
        "env_variables.EXECUTIONER_A: names that begin with EXECUTIONER_ are reserved",
        "env_variables: A and B refer to each other",
    ]
    job = {"id": "a", "command": "true", "env_variables": {**circle, "N": []}}
    assert problems({"jobs": [job]}) == [
        "jobs[0].env_variables.N: expected a string, a number, true or false, got an empty list",
        "jobs[0].env_variables: A and B refer to each other",
    ]
    jobs = [{"id": "a", "command": "true", "env_variables": {"A": "${B}", "C": "${A}"}}]
    assert problems({"env_variables": {"B": "${C}"}, "jobs": jobs}) == [
        "jobs[0].env_variables: A, B and C refer to each other"
    ]
    jobs = [{"id": "a", "command": "true", "env_variables": {"A": None, "B": "${A}"}}]
    assert problems({"env_variables": {"A": "${B}"}, "jobs": jobs}) == [  # the job's A hides the application's
        "jobs[0].env_variables.A: expected a string, a number, true or false, got null"
    ]


def test_variables_that_multiply() -> None:
    """A value that would double itself beyond all bounds is refused before any job runs."""
    values = {f"V{at}": f"${{V{at + 1}}}" * 2 for at in range(60)} | {"V60": "x"}
    (found,) = app_problems(env_variables=values)
    assert "131,071" in found


# Checks and plugins


def test_checks_of_plugins_take_any_parameters() -> None:
    """A plugin's checks are known by name; their parameters are the plugin's business."""
    checks = [{"name": "rows", "params": {"least": 1, "tables": ["a"]}}]
    workflow = parse(
        {"dependency_plugins": ["p.py"], "jobs": [{"id": "a", "command": "true", "post_checks": checks}]},
        plugin_checks=lambda plugin: frozenset({"rows"}),
    )
    assert workflow.jobs[0].post_checks == (Check("rows", {"least": 1, "tables": ["a"]}),)


def test_broken_plugins() -> None:
    """What is wrong with a plugin stands at its place; its checks are not called unknown."""
    found = problems(
        {"dependency_plugins": ["p.py"], "jobs": [{"id": "a", "command": "true", "pre_checks": [{"name": "x"}]}]},
        plugin_checks=lambda plugin: f"cannot read {plugin.path}",
    )
    assert found == ["dependency_plugins[0]: cannot read /srv/etl/p.py"]


@pytest.mark.parametrize("plugins", [["p.py"], [1, "q.py"], "p.py"])
def test_misspelt_checks_beside_broken_plugins(plugins: object) -> None:
    """A broken plugin may add any check, but a typing error in the name of a known one is told."""
    names = ["check_file_exist", "rowz", "check_fresh_file"]
    checks = [{"name": name} for name in names]
    found = problems(
        {"dependency_plugins": plugins, "jobs": [{"id": "a", "command": "true", "pre_checks": checks * 2}]},
        plugin_checks=lambda plugin: "no\tfile" if plugin.name == "p" else frozenset({"rows"}),
    )
    hints = ["check_file_exists"] if plugins != [1, "q.py"] else ["check_file_exists", "rows"]
    assert len(found) == 1 + 2 * len(hints)
    assert found[1:] == [
        f'jobs[0].pre_checks[{at}].name: no check "{names[at % 3]}", did you mean "{hints[at % 3]}"?'
        for at in range(6)
        if at % 3 < len(hints)
    ]
    assert all(line.isprintable() for line in found)


def test_two_plugins_cannot_add_the_same_check() -> None:
    """Nor can a plugin replace a built-in check."""
    found = problems(
        {"dependency_plugins": ["p.py", "q.py"], "jobs": JOBS},
        plugin_checks=lambda plugin: frozenset({"rows"} if plugin.name == "p" else {"rows", "check_file_exists"}),
    )
    assert found == [
        'dependency_plugins[1]: check "check_file_exists" is already built in',
        'dependency_plugins[1]: check "rows" is already added by dependency_plugins[0]',
    ]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"name": "check_file_exist"}, 'name: no check "check_file_exist", did you mean "check_file_exists"?'),
        ({"name": "check_file_exists"}, 'params: "path" is missing'),
        ({"name": "check_file_exists", "params": {"path": 1}}, "params.path: expected a string, got 1"),
        ({"name": "check_file_exists", "params": {"path": " "}}, 'params.path: expected a path, got " "'),
        (
            {"name": "check_no_ora_errors", "params": {"log_file": "x", "logfile": "y"}},
            'params.logfile: unknown parameter of check_no_ora_errors, did you mean "log_file"?',
        ),
    ],
)
def test_problems_of_checks(check: dict[str, Any], message: str) -> None:
    """Built-in checks have known parameters."""
    assert job_problems(pre_checks=[check]) == [f"jobs[0].pre_checks[0].{message}"]


def test_parameters_nested_without_end_are_refused() -> None:
    """Whoever stores the parameters need not fear recursion."""
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    found = problems(
        {
            "dependency_plugins": ["p.py"],
            "jobs": [{"id": "a", "command": "x", "pre_checks": [{"name": "x", "params": {"deep": deep}}]}],
        },
        plugin_checks=lambda plugin: frozenset({"x"}),
    )
    assert found == ["jobs[0].pre_checks[0].params: nested too deeply"]


# Commands without a shell


def strict(command: str, *names: str) -> list[str]:
    values: dict[str, Any] = {"allow_shell": False, "jobs": [{"id": "a", "command": command}]}
    if names:
        values["command_whitelist"] = list(names)
    try:
        parse(values)
    except ConfigError as error:
        return list(error.details)
    return []


@pytest.mark.parametrize(
    "command",
    [
        "ls -l /tmp",
        "echo 'a | b; $(c) `d` * \\ '",
        'echo "a | b; * # ~ ! it\'s \\" quoted"',
        "echo a\\|b \\$HOME \\*",
        "cp ${SRC}/x '${DST}' \"${DST} y\"",
        "git show HEAD~1 a#b",
        "'my program' x",
        "echo é",
    ],
)
def test_commands_that_need_no_shell(command: str) -> None:
    """Words, quotes and ${NAME} work without a shell."""
    assert strict(command) == []


@pytest.mark.parametrize(
    ("command", "mark"),
    [(f"echo a{char}b", char) for char in "|&;<>()$`*?[]{}!"]
    + [("echo ~/x", "~"), ("dd of=~/x", "~"), ("echo # x", "#"), ("a\nb", "a line break"), ("a\\\nb", "a line")]
    + [('echo "$HOME"', "$ inside"), ('echo "`id`"', "` inside"), ("echo ${a-b}", "$"), ('echo "\\$x"', "$")],
)
def test_commands_that_need_a_shell(command: str, mark: str) -> None:
    """Shell syntax outside quotes is refused; the message names the character and the key."""
    found = strict(command)[0]
    assert found.startswith(f"jobs[0].command: {mark}")
    assert "but allow_shell is false" in found
    assert found.endswith(" or set allow_shell to true")


NEEDS = "needs a shell, but allow_shell is false:"
NEED = "need a shell, but allow_shell is false:"


@pytest.mark.parametrize(
    ("command", "messages"),
    [
        ("ls *.txt", [f"* {NEEDS} quote it ('*') or set allow_shell to true"]),
        ("ls *.txt *.csv | wc", [f"* and | {NEED} quote them ('*', '|') or set allow_shell to true"]),
        ("ls $(pwd)", [f"$, ( and ) {NEED} quote them ('$', '(', ')') or set allow_shell to true"]),
        (
            'echo "$A `b`" > c\nd',
            [
                f"> {NEEDS} quote it ('>') or set allow_shell to true",
                f"$ and ` inside double quotes {NEED} use single quotes or set allow_shell to true",
                f"a line break {NEEDS} write one command or set allow_shell to true",
            ],
        ),
        (
            "echoo *'",
            [
                f"* {NEEDS} quote it ('*') or set allow_shell to true",
                "the quote ' is not closed (allow_shell: false)",
                '"echoo" is not in command_whitelist, did you mean "echo"?',
            ],
        ),
        ("l* x", [f"* {NEEDS} quote it ('*') or set allow_shell to true"]),
        ("A=1 ls", [f'"A=1" before a command {NEEDS} use env_variables or set allow_shell to true']),
    ],
)
def test_everything_that_needs_a_shell_is_told_once(command: str, messages: list[str]) -> None:
    """Each character once, with what to do about it; the list of programs is applied beside it."""
    assert strict(command, "ls", "echo") == [f"jobs[0].command: {message}" for message in messages]


@pytest.mark.parametrize("command", ["echo 'x", 'echo "x', "echo \\", "A=1 env", "'' x"])
def test_commands_that_cannot_be_split(command: str) -> None:
    """Open quotes, assignments and empty names are problems, not surprises at the start."""
    (found,) = strict(command)
    assert "allow_shell" in found


def test_the_whitelist() -> None:
    """The first word must be listed exactly."""
    assert strict("'ls' -l", "ls") == []
    assert strict("/bin/ls", "ls") != []
    assert strict("pythn", "echo", "python") == [
        'jobs[0].command: "pythn" is not in command_whitelist, did you mean "python"?'
    ]


# The text

NOT_JSON = "this is not JSON: it must begin with {"


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ('{\n  "a": 1,\n}', "line 2, column 9", "remove this comma"),
        ('{"a": [1, ]}', "line 1, column 9", "remove this comma"),
        ("{'a': 1}", "line 1, column 2", "double quotes"),
        ("{\"a\": 'x'}", "line 1, column 7", "double quotes"),
        ("{“a”: 1}", "line 1, column 2", "double quotes"),
        ("{a: 1}", "line 1, column 2", "keys need double quotes"),
        ('{"a": b}', "line 1, column 7", "strings need double quotes"),
        ('{"a": True}', "line 1, column 7", "write true"),
        ('{"a": None}', "line 1, column 7", "write null"),
        ('{"a": 1\n "b": 2}', "line 1, column 8", "a comma is missing"),
        ('{"a": "x" "b": 2}', "line 1, column 10", "a comma is missing"),
        ('{"a": [1 2]}', "line 1, column 10", "expected a comma"),
        ('{"a": 1;}', "line 1, column 8", "expected a comma"),
        ('{"a" 1}', "line 1, column 5", "a colon is missing"),
        ('{"a": 1,, "b": 2}', "line 1, column 9", "one comma too many"),
        ('{"a": , "b": 2}', "line 1, column 7", "a value is missing"),
        ('{"a": [1}', "line 1, column 9", "closes what another bracket opened"),
        ('{"a": .5}', "line 1, column 7", "expected a value"),
        ('// hi\n{"a": 1}', "line 1, column 1", "no comments"),
        ('{"a": 1, # hi\n"b": 2}', "line 1, column 10", "no comments"),
        ('{"a": 1 /* hi */}', "line 1, column 9", "no comments"),
        ('{"a": "x\ny"}', "line 1, column 9", "line break"),
        ('{"a": "x', "line 1, column 7", "no closing quote"),
        ('{"a": "b"c"}', "line 1, column 10", "quote inside"),
        (r'{"a": "C:\dir"}', "line 1, column 10", "backslash"),
        ('{"a": 1', "line 1, column 8", "ends too early"),
        ('{"a": 1} x', "line 1, column 10", "text behind the end"),
        ('{\u00a0"a": 1}', "line 1, column 2", "U+00A0"),
        ('\u200b{"a": 1}', "line 1, column 1", "U+200B"),
        ("/* hi */ {}", "line 1, column 1", "no comments"),
        ('# hi\n{"a": 1}', "line 1, column 1", "no comments"),
        ("# hi\njobs:\n  - id: a\n", "line 1, column 1", NOT_JSON),
        ("\n  jobs:\n", "line 2, column 3", NOT_JSON),
        ("---\njobs: []\n", "line 1, column 1", NOT_JSON),
        ("- id: a\n", "line 1, column 1", NOT_JSON),
        ("name = 'x'\n", "line 1, column 1", NOT_JSON),
        ("[section]\nname = x\n", "line 1, column 1", NOT_JSON),
        ('[[jobs]]\nid = "x"\n', "line 1, column 1", NOT_JSON),
        ('"jobs": []', "line 1, column 1", NOT_JSON),
        ("# nothing else", "line 1, column 1", NOT_JSON),
        ("[1, x]", "line 1, column 5", "strings need double quotes"),
    ],
)
def test_invalid_json(text: str, place: str, hint: str) -> None:
    """One problem, at the place to edit, that says what to do."""
    (found,) = problems_of_text(text)
    assert found.startswith(f"{place}: ")
    assert hint in found


def test_not_utf8() -> None:
    """The line and the offset of the byte are named, behind a byte order mark too."""
    message = "is not UTF-8; save it as UTF-8"
    assert problems_of_text(b'{\n"a": "\xe9"}') == [f"line 2: byte 0xe9 at offset 8 {message}"]
    assert problems_of_text(b'\xef\xbb\xbf{\n"a": "\xe9"}') == [f"line 2: byte 0xe9 at offset 11 {message}"]
    assert "UTF-16" in problems_of_text('{"a": 1}'.encode("utf-16"))[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        ("[]", "expected an object, got an empty list"),
        ("null", "expected an object, got null"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_texts_that_are_no_config(text: str | bytes, message: str) -> None:
    """Empty files, other values and nesting bombs are each one problem."""
    assert problems_of_text(text) == [message]


def in_config(part: str) -> list[str]:
    return problems_of_text(f'{{"jobs": {json.dumps(JOBS)}, {part}}}')


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ('"kill_grace": NaN', "kill_grace: NaN is not a number that JSON has"),
        ('"kill_grace": -Infinity', "kill_grace: -Infinity is not a number that JSON has"),
        ('"kill_grace": 1e999', "kill_grace: 1e999 is too large a number"),
        (f'"kill_grace": {"9" * 5000}', "kill_grace: a number of 5,000 digits is too large"),
        ('"_c": [NaN]', "_c[0]: NaN is not a number that JSON has"),
        ('"parallel": true, "parallel": true', "parallel: this key is there more than once"),
        ('"env_variables": {"A": 1, "A": 2}', "env_variables.A: this key is there more than once"),
        ('"application_name": "a\\u0000"', 'application_name: "a\\u0000" contains a NUL character'),
        ('"log_dir": "\\udc80"', 'log_dir: "\\udc80" contains a lone surrogate, \\udc80'),
        ('"a\\u0000": 1', '["a\\u0000"]: the key contains a NUL character'),
        ('"env_variables": {"_X": "\\ud800"}', None),
    ],
)
def test_values_that_json_readers_let_pass(part: str, message: str | None) -> None:
    """Each gives exactly one problem, at its place."""
    found = in_config(part)
    assert len(found) == 1
    assert message is None or found == [message]


def test_a_pair_of_surrogates_is_a_character() -> None:
    """What other writers escape is fine."""
    assert app(application_name="\U0001f600").name == "\U0001f600"


def test_duplicates_in_a_value_that_is_a_duplicate_itself() -> None:
    """Objects that a duplicate key threw away do not lend their faults to others."""
    found = in_config('"_a": 1, "env_variables": {"A": 1, "A": 2}, "env_variables": {"B": 1}')
    assert found == ["env_variables: this key is there more than once"]


# Anything at all

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("${A}"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "path", "params", "A", "_x", "command"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a JSON value."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    for box in todo:
        keys = list(box) if isinstance(box, dict) else range(len(box))
        found += [(box, key) for key in keys]
        todo += [box[key] for key in keys if isinstance(box[key], (dict, list))]
    return found


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_configs_raise_nothing_else(data: st.DataObject) -> None:
    """Whatever stands in a config, it is a workflow or a ConfigError whose text is harmless."""
    values = json.loads(samples.SAMPLE_CONFIG.replace('"_', '"'))
    for _ in range(data.draw(st.integers(1, 3))):
        box, key = data.draw(st.sampled_from(places(values)))
        box[key] = data.draw(VALUES)
        if not values.get("jobs"):
            break
    try:
        parse(values)
    except ConfigError as error:
        assert error.details
        assert all(line.isprintable() for line in error.details)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutated_texts_raise_nothing_else(data: st.DataObject) -> None:
    """Neither does a file with any bytes put anywhere."""
    text = samples.SAMPLE_CONFIG.encode()
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 30))
    new = data.draw(st.binary(max_size=6) | st.sampled_from([b"NaN", b"{", b"]", b",", b'"', b"\\u0000"]))
    try:
        parse_bytes(text[:at] + new + text[at + cut :])
    except ConfigError as error:
        assert all(line.isprintable() for line in error.details)
