"""docs/history.md is true: it names every column and field, and no other, and its queries run."""

import contextlib
import inspect
import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import ROOT, Program, ended
from history_tools import gate, pid_in

DOCUMENT = (ROOT / "docs/history.md").read_text(encoding="utf-8")
SCHEMA = (ROOT / "schema.sql").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found, heading
    rows = [line.strip("| ").split(" | ") for line in found[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def fields(heading: str) -> dict[str, str]:
    """Name and type of each field that a table documents; a row may name several."""
    return {name: row[1] for row in table(heading) for name in re.findall(r"`(\w+)`", row[0])}


def empty_history() -> sqlite3.Connection:
    """A database with the real schema."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    return connection


def tables() -> list[str]:
    """The tables of the real schema."""
    with contextlib.closing(empty_history()) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        return [name for (name,) in connection.execute(query)]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A history in which every query of the document finds something."""
    program = Program(tmp_path_factory.mktemp("past") / "work")
    flaky = {"id": "flaky", "command": "[ $EXECUTIONER_ATTEMPT = 2 ]", "max_retries": 1, "retry_delay": 0}
    program.config([flaky, {"id": "last", "command": "true"}], env_variables={"DAY": "1"})
    flags = ("--env", "A=1", "--env", "TOKEN=x", "--skip", "last", "--continue-on-error", "-j", "2")
    assert program("-c", "flow.json", *flags).code == 0
    program.config([flaky, {"id": "last", "command": "false", "dependencies": ["flaky"]}])
    assert program("-c", "flow.json").code == 1
    return program


def test_the_tables_of_the_document_are_those_of_the_schema() -> None:
    """No table is missing from the document."""
    for name in tables():
        assert f"\n### {name}\n" in DOCUMENT


@pytest.mark.parametrize("name", tables())
def test_the_columns_of_the_document_are_those_of_the_schema(name: str) -> None:
    """Each column with its type and a meaning, in the schema's order, and no other."""
    with contextlib.closing(empty_history()) as connection:
        columns = [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({name})")]
    rows = table(name)
    assert [(row[0].strip("`"), row[1]) for row in rows] == columns
    assert all(len(row) == 3 and row[2] for row in rows)


def test_the_views_of_the_document_are_those_of_the_schema() -> None:
    """Each view with its columns in their order, and no other."""
    with contextlib.closing(empty_history()) as connection:
        views = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")]
        columns = {view: [row[1] for row in connection.execute(f"PRAGMA table_info({view})")] for view in views}
    assert {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in table("Views")} == columns


@pytest.mark.parametrize("view", ["run_overview", "failed_jobs"])
def test_the_views_show_something(past: Program, view: str) -> None:
    """Each view gives rows on a history with a failed run."""
    [first, *_] = past.rows(f"SELECT * FROM {view} ORDER BY run_id DESC")
    assert (first["run_id"], first["application_name"], first["status"]) == (2, "flow", "FAILED")


def test_the_python_example_runs(past: Program) -> None:
    """The document's script, beside a history of that name, prints what went wrong and the newest run's jobs."""
    [example] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    here = past.folder / "history.db"
    here.symlink_to(past.history)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=past.folder,
        env=past.environment({"PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *jobs = done.stdout.splitlines()
    assert first.startswith("2 flow 20")
    assert first.endswith(" last: Exit code 1")
    assert [line.split()[:2] for line in jobs] == [["flaky", "SUCCESS"], ["last", "FAILED"]]


def test_the_python_calls_of_the_document_are_the_real_ones() -> None:
    """Names, parameters and defaults of History's calls stand in the document as they are."""
    from executioner import History

    for call, *_ in table("From Python"):
        [(name, parameters)] = re.findall(r"`\.?(\w+)\((.*)\)`", call)
        function = History.__init__ if name == "History" else getattr(History, name)
        real = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
        words = [one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in real]
        assert ", ".join(words) == parameters


def test_the_document_names_the_real_versions() -> None:
    """Application id and schema version are those of schema.sql."""
    with contextlib.closing(empty_history()) as connection:
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
    assert f"`EXEC` ({application})" in DOCUMENT
    assert f"`user_version` {version}" in DOCUMENT


KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "list": (list,),
    "object": (dict,),
    "true": (bool,),
    "null": (type(None),),
}


def fits(value: object, kind: str) -> bool:
    """Whether a value is of one of the kinds that a documented type names."""
    if isinstance(value, bool):
        return "true" in kind
    return any(isinstance(value, KINDS[word]) for word in re.findall(r"\w+", kind) if word in KINDS)


def check(value: dict[str, Any], heading: str, *, complete: bool = True) -> None:
    """An object has the documented fields and no other, and their values the documented types."""
    documented = fields(heading)
    if complete:
        assert sorted(value) == sorted(documented)
    for name, item in value.items():
        assert name in documented, name
        assert fits(item, documented[name]), f"{name}: {item!r} is no {documented[name]}"
        if isinstance(item, str) and "a time" in documented[name]:
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", item)


@pytest.mark.parametrize(
    ("jobs", "flags"),
    [
        ([{"id": "a", "command": "true"}], ()),
        (
            [
                {"id": "a", "command": "exit 3", "max_retries": 1, "retry_delay": 0, "env_variables": {"X": "1"}},
                {"id": "b", "command": "true", "dependencies": ["a"]},
                {"id": "c", "command": "true"},
            ],
            ("--continue-on-error", "--env", "DAY=1", "--env", "TOKEN=x", "--skip", "c", "-j", "2"),
        ),
        ([{"id": "a", "command": "true"}], ("--parallel",)),
        ([{"id": "a", "command": "true"}], ("--sequential",)),
    ],
    ids=["success", "failure", "parallel", "sequential"],
)
def test_the_json_object_is_as_documented(program: Program, jobs: list[Any], flags: tuple[str, ...]) -> None:
    """Every field of run, jobs, attempts, definition and options is documented with its type, and no other."""
    program.config(jobs)
    result = program("-c", "flow.json", "--format", "json", *flags)
    run = json.loads(result.out)
    check(run, "The run")
    check(run["options"], "Options", complete=False)
    assert [job["id"] for job in run["jobs"]] == [job["id"] for job in jobs]
    for job in run["jobs"]:
        check(job, "A job")
        check(job["definition"], "Definition")
        for attempt in job["retry_history"] or ():
            check(attempt, "Attempts")


def test_the_documented_options_are_those_that_can_be_recorded(program: Program) -> None:
    """Each field of the table of options appears when its flag is used."""
    program.config({"a": "true", "b": "true"})
    found: set[str] = set()
    common = ("--format", "json", "--skip", "a", "--env", "A=1", "--env", "KEY=1", "--continue-on-error")
    for flags in (("--parallel",), ("--sequential",), ("-j", "2")):
        found |= set(json.loads(program("-c", "flow.json", *common, *flags).out)["options"])
    program.config({"a": "true", "b": "false"})
    assert program("-c", "flow.json").code == 1
    for more in (["--resume-failed-only", "--if-changed", "keep"], ["--from-job", "b", "--if-changed", "rerun"]):
        resumed = program("-c", "flow.json", "--resume-from", "last", *more, "--format", "json")
        found |= set(json.loads(resumed.out)["options"])
    assert found == set(fields("Options"))


def test_the_json_object_says_what_the_database_says(program: Program) -> None:
    """Its values are those of the rows, JSON columns decoded."""
    program.config({"a": "true", "b": "exit 1"})
    run = json.loads(program("-c", "flow.json", "--format", "json").out)
    jobs = run.pop("jobs")
    row = program.run_row()
    derived = {"resumed_by": None, "resumable": True, "unverified": False}
    assert run == {**row, **derived, "options": json.loads(row["options"])}
    for job, stored in zip(jobs, program.jobs().values(), strict=True):
        for name in ("definition", "retry_history"):
            stored[name] = json.loads(stored[name]) if stored[name] else None
        del stored["run_id"], stored["application_name"]
        assert job == stored


def test_there_are_queries() -> None:
    """The document has examples for those who read the history with SQL."""
    assert len(QUERIES) >= 6


@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_of_the_document_finds_something(past: Program, number: int) -> None:
    """Each example runs as it stands, read-only, and gives rows on a history where there is something to find."""
    assert past.rows(QUERIES[number])


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 program is not there")
def test_the_queries_run_in_the_sqlite3_program(past: Program) -> None:
    """All of them pasted one after another into ``sqlite3 -readonly``."""
    done = subprocess.run(
        ["sqlite3", "-readonly", str(past.history)],
        input="\n".join(QUERIES),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAILED" in done.stdout


def test_the_queries_find_the_right_things(past: Program) -> None:
    """What failed in the newest run, what needed luck, every attempt, and what changed."""
    failed, lucky, tried, changed = (QUERIES[number] for number in (1, 4, 5, 6))
    assert [row["id"] for row in past.rows(failed)] == ["last"]
    assert [(row["run_id"], row["id"], row["retry_count"]) for row in past.rows(lucky)] == [
        (1, "flaky", 1),
        (2, "flaky", 1),
    ]
    assert [(row["attempt"], row["status"]) for row in past.rows(tried)] == [(1, "FAILED"), (2, "SUCCESS")] * 2
    assert [row["id"] for row in past.rows(changed)] == ["flaky", "last"]


def test_the_fields_of_the_spool_file_are_documented(program: Program) -> None:
    """A run whose history broke leaves a spool file with the documented fields and types, and no other."""
    program.config({"a": "echo $$ > up; read x < gate"})
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up")
        size = Path(f"{program.history}-wal").stat().st_size
        resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))
        let_through()
        runner.communicate()
    spool = json.loads((program.folder / "logs/executioner.flow.run-1.spool.json").read_text())
    check(spool, "When the history cannot be written")
    [described] = [row[2] for row in table("When the history cannot be written") if row[0] == "`run`"]
    assert sorted(spool["run"]) == sorted(re.findall(r"`(\w+)`", described.partition("If the database")[0]))
    for job in spool["jobs"]:
        assert set(job) <= {row[0].strip("`") for row in table("job_history")}
