"""Scenes in which the program refuses, warns or notes something: every such text, each in a scene of its own.

A scene is a few calls of the real program in a folder of its own. What was typed and all that was printed is
written down, with whatever differs from machine to machine and from time to time made alike.
"""

import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from earlier_databases import job as earlier_job
from earlier_databases import make_earlier, version_6
from faults_tools import Ended, Many
from harness import DEADLINE_S, MAIN, ROOT, Program, ended, wait_until
from history_tools import gate, kill, ordinary_user, pid_in, spool_content, sql, wait_for_end
from screens import figures

_PIDS = re.compile(r"\bpid \d+ *(?=  since)|\bpid \d+|(?<=kill -- -)\d+")
_HOLDER = re.compile(r"\bprocess \d+ \([^)]*\)")  # who holds a database
_FILES = re.compile(r"(?<=\(ulimit -n\) allows )\d+|(?<=1 job, )\d{2,}(?= workers)")
_CHOICES = re.compile(r"(?<=\(choose from )[^)]+")  # quoted by some versions of Python
_BY = re.compile(r"(?<=\(by )\S+(?=, )")
_SEARCH_PATH = re.compile(r"PATH is /[^)]*")
_LONG = re.compile(r"(\w)\1{200,}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_SIZES = re.compile(r"(?<=, )\d[\d.]* (bytes|KiB|MiB)")
#: A machine that is always the same: the program is the real one, what it is told of the machine is not.
_MACHINE = f"""
import os, platform, resource, sqlite3, sys
from types import SimpleNamespace
sys.path[0] = {str(ROOT)!r}
import executioner
from executioner import mounts
executioner.__version__ = "2.0.0"
platform.python_version = lambda: "3.13.5"
platform.release = lambda: "6.12.48"
sqlite3.sqlite_version_info = (3, 51, 3)
os.statvfs = lambda path: SimpleNamespace(f_blocks=1, f_bavail=30_000_000, f_frsize=4096, f_flag=0)
mounts.network_file_system.__defaults__ = (os.devnull,)
resource.getrlimit = lambda limit: (1024, 4096)
"""
#: Some blocks of 4 KiB are free; of no blocks it cannot be told.
_SPACE = "os.statvfs = lambda path: SimpleNamespace(f_blocks={}, f_bavail={}, f_frsize=4096, f_flag=0)\n"
#: No file of any size can be written.
_NO_FILES = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
#: Each folder is on a disk of its own.
_MANY_DISKS = "from executioner.commands import surroundings\nsurroundings.disk_of = hash\n"
_READ_ONLY = """
os.access = lambda path, rights: not rights & os.W_OK
os.statvfs = lambda path: SimpleNamespace(f_blocks=1, f_bavail=30_000_000, f_frsize=4096, f_flag=os.ST_RDONLY)
"""
#: The history lies on a network file system.
_NETWORK = """
def elsewhere(path, mounts=""):
    return "nfs4"
mounts.network_file_system = elsewhere
"""


class Stage:
    """A folder in which scenes are played, and what was seen of them."""

    def __init__(self, program: Program, run: Many) -> None:
        self.program = program
        self.run = run
        self.folder = program.folder
        self.seen: list[str] = []

    def plain(self, text: str) -> str:
        """Text with whatever differs between machines and moments made alike."""
        program, host = self.program, os.uname().nodename
        text = _LONG.sub(r"\1\1\1[...]", text)
        for real, shown in (
            (str(program.home), "/home/etl"),
            (str(program.folder), "/work"),
            (sys.executable, "/usr/bin/python3"),
            (str(ROOT), "/opt/executioner"),
        ):
            text = text.replace(real, shown)
        text = re.sub(rf"[^\s(]+@{re.escape(host)}(?![\w-])", "etl@etl01", text)
        text = re.sub(rf"(?<=\(){re.escape(host)}(?=\))", "etl01", text)
        text = _SEARCH_PATH.sub(
            "PATH is ...", _PIDS.sub(lambda it: "pid 4711" if it.group().startswith("pid") else "4711", text)
        )
        text = _HOLDER.sub("process 4711 (python3)", text)
        text = _UTC.sub("0000-00-00T00:00:00.000000Z", text)
        text = _BY.sub("etl", _FILES.sub("200", text))
        text = _CHOICES.sub(lambda match: match.group().replace("'", ""), text)
        return figures(text)

    def note(self, title: str, typed: str, code: int, out: str, err: str) -> None:
        """Write a scene down."""
        parts = [f"## {title}\n\n$ {self.plain(typed)}\n"]
        for name, text in (("stdout", out), ("stderr", err)):
            if text:
                shown = self.plain(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                parts.append(f"--- {name}\n{shown}" + ("" if shown.endswith("\n") else "\n"))
        self.seen.append("".join(parts) + f"--- exit code {code}\n\n")

    def __call__(self, title: str, *args: str, keep_out: bool = True) -> Ended:
        """Play a scene: call the program once."""
        result = self.run(*args)
        typed = " ".join(
            ["executioner.py", *(word if re.fullmatch(r"[\w./=,:-]+", word) else repr(word)[:90] for word in args)]
        )
        self.note(title, typed, result.code, result.out if keep_out else "", result.err)
        return result

    def in_shell(self, title: str, before: str, *args: str) -> None:
        """Play a scene after a few commands of a shell."""
        done = subprocess.run(
            ["sh", "-c", f'{before}; exec "$0" "$@"', *self.program.command(*args)],
            cwd=self.folder,
            env=self.program.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        typed = " ".join([f"{before}; executioner.py", *args])
        self.note(title, typed, done.returncode, done.stdout, done.stderr)

    def elsewhere(
        self,
        title: str,
        *args: str,
        machine: str = "",
        is_ordinary: bool = False,
        env: dict[str, str] | None = None,
    ) -> None:
        """Play a scene on a machine that is always the same but for what is said of it in Python."""
        command = self.command_elsewhere(machine, *args)
        if is_ordinary:
            code, out, err = ordinary_user(command, self.program)
        else:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=self.program.environment(env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            code, out, err = done.returncode, done.stdout, done.stderr
        before = "".join(f"{name}={value} " for name, value in (env or {}).items())
        typed = " ".join([f"{before}executioner.py", *args])
        self.note(title, typed, code, _SIZES.sub("40 KiB", out), err)

    @staticmethod
    def command_elsewhere(machine: str, *args: str) -> list[str]:
        """The command line of the program on a machine of which more is said in Python."""
        return [sys.executable, "-c", _MACHINE + machine + MAIN, *args]

    def quietly(self, *args: str) -> Ended:
        """Prepare a scene."""
        return self.run(*args)

    def config(self, title: str, values: Any, name: str = "flow.json") -> Ended:
        """Let the program judge a config: values, or a text, or bytes."""
        text = values if isinstance(values, (str, bytes)) else json.dumps(values)
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (self.folder / name).write_bytes(data)
        return self(title, "-c", name, "--validate")

    def jobs(self, *jobs: Mapping[str, Any], name: str = "flow.json", **keys: Any) -> str:
        """Write a config that is right."""
        (self.folder / name).write_text(json.dumps({**keys, "jobs": list(jobs)}))
        return name


def job(name: str, command: str = "true", *needs: str, **keys: Any) -> dict[str, Any]:
    """A job."""
    return {"id": name, "command": command, "dependencies": list(needs), **keys}


GROUPS: dict[str, Callable[[Stage], None]] = {}


def group(title: str) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Put scenes under a heading."""

    def add(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
        GROUPS[title] = play
        return play

    return add


# --- the command line ----------------------------------------------------------------------------


def followed(stage: Stage, title: str, let_on: Callable[[], object], run: str, job: str) -> None:
    """Follow a log; once it is said what is waited for, the job goes on."""
    args = ("--show-log", run, job, "--follow")
    with ended(stage.program.start(*args)) as follower:
        assert follower.stderr is not None
        told = follower.stderr.readline()
        let_on()
        out, err = follower.communicate()
    stage.note(title, f"executioner.py {' '.join(args)}", follower.returncode, out, told + err)


@group("Command line")
def command_line(stage: Stage) -> None:
    """Wrong usage."""
    stage.jobs(job("a"))
    (stage.folder / "history.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    for title, words in {
        "nothing at all": [],
        "no config": ["--dry-run"],
        "no config to check": ["--validate"],
        "two configs": ["-c", "flow.json", "-c", "other.json"],
        "no config to begin in the middle of": ["--from-job", "a", "--yes"],
        "an unknown option": ["--xyzzy"],
        "a misspelt option": ["-c", "flow.json", "--dryrun"],
        "a bare file": ["flow.json"],
        "a bare number": ["12"],
        "a bare word": ["list"],
        "an option without its dashes": ["list-runs"],
        "no name of a variable": ["-c", "flow.json", "--env", "1A=x"],
        "a word too many": ["-c", "flow.json", "more"],
        "an option without its argument": ["-c"],
        "an option without its value": ["--list-runs", "--user"],
        "a value with a hyphen": ["--list-runs", "--app", "-etl*"],
        "an option of make": ["-c", "flow.json", "-k"],
        "a job behind a run": ["--show-run", "12", "load"],
        "two hyphens for a value": ["-c", "flow.json", "--from-job=--"],
        "results from no file": ["--import-spool="],
        "results, and a run": ["-c", "flow.json", "--import-spool", "x.spool.json"],
        "two commands, one of them the doctor": ["--doctor", "--list-runs"],
        "an option that the doctor does not take": ["--doctor", "--dry-run"],
        "CSV of the doctor": ["--doctor", "--format", "csv"],
        "a run id without its argument": ["--resume-from"],
        "a flag with an argument": ["--quiet=1"],
        "a choice that is none": ["-c", "flow.json", "--color", "red"],
        "no number of workers": ["-c", "flow.json", "-j", "0"],
        "no run id": ["--show-run", "first"],
        "no run id of a log": ["--show-log", "first"],
        "no run id to mark": ["--mark-success", "first", "a"],
        "no job to mark": ["--mark-success", "1"],
        "two jobs of a log": ["--show-log", "1", "a", "b"],
        "an empty path": ["-c", ""],
        "a history for a config": ["-c", "history.db"],
        "a history in a folder that is not there": ["-c", "flow.json", "--db", "fodler/h.db"],
        "an empty history": ["-c", "flow.json", "--db", ""],
        "an empty application": ["--list-runs", "--app", ""],
        "an empty user": ["--list-runs", "--user="],
        "an empty time": ["--list-runs", "--since="],
        "an empty job": ["-c", "flow.json", "--from-job="],
        "sequential and parallel": ["-c", "flow.json", "--sequential", "-j", "2"],
        "two commands": ["--list-runs", "--validate"],
        "an option of another command": ["--list-runs", "--skip", "a"],
        "a filter without the list": ["--last", "3"],
        "an option of logs": ["-c", "flow.json", "--follow"],
        "CSV of a run": ["-c", "flow.json", "--format", "csv"],
        "JSON of a log": ["--show-log", "1", "--format", "json"],
        "failed-only without a resume": ["-c", "flow.json", "--resume-failed-only"],
        "failed-only and from-job": ["--resume-from", "1", "--resume-failed-only", "--from-job", "a"],
        "both ways with leftovers": ["-c", "flow.json", "--kill-leftovers", "--ignore-leftovers"],
        "an empty status": ["--list-runs", "--status", ","],
        "a misspelt status": ["--list-runs", "--status", "faild"],
        "a status of jobs": ["--list-runs", "--status", "timeout"],
        "no time": ["--list-runs", "--since", "soon"],
        "a variable without a value": ["-c", "flow.json", "--env", "STAGE"],
        "a variable's name that is none": ["-c", "flow.json", "--env", "1A=secret"],
        "a variable of ours": ["-c", "flow.json", "--env", "EXECUTIONER_DB=x"],
        "a variable that is too long": ["-c", "flow.json", "--env", "A=" + "v" * 131_070],
        "a job to skip that is not there": ["-c", "flow.json", "--skip", "aa,z"],
        "a job to begin with that is not there": ["-c", "flow.json", "--from-job", "b"],
        "a job to begin with, and to skip": ["-c", "flow.json", "--from-job", "a", "--skip", "a"],
    }.items():
        stage(title, *words)


# --- configs -------------------------------------------------------------------------------------


def _of(wrong: Any) -> dict[str, Any]:
    """A config in which every key but the jobs has the same wrong value."""
    from executioner.config.keys import APPLICATION, JOB

    app = {name: wrong for name in APPLICATION.keys if name != "jobs"}
    return {**app, "jobs": [dict.fromkeys(JOB.keys, wrong), wrong]}


@group("Config: values")
def config_values(stage: Stage) -> None:
    """Keys and values that are wrong."""
    stage.config("every key is an object", _of({"a": 1}))
    stage.config("every key is a text that means nothing", _of("~odd, text="))
    stage.config("every key is an empty text", _of(""))
    stage.config("every key is a number above all ranges", _of(1e18))
    stage.config("every key is a list", _of([1, "x"]))
    stage.config("no object", [1])
    stage.config("no jobs", {})
    stage.config("jobs that are no list", {"jobs": {}})
    stage.config(
        "names",
        {
            "application_name": "one",
            "name": "two",
            "aplication_name": "x",
            "odd key": 1,
            "security_policy": "strict",
            "command_whitelist": ["ls"],
            "inherit_shell_env": ["A=B"],
            "default_retry_on_status": [],
            "env_variables": {"1A": "x", "EXECUTIONER_DB": "x", "A": None, "B": "x" * 131_072},
            "jobs": [
                {"command": "true"},
                {"id": "a"},
                {"id": "a", "command": "ls " + "x" * 131_072},
                {"id": "b", "command": "true", "dependencies": ["bb", "c", "nothing like it"]},
                {"id": "-b/", "command": "true", "timeout": 1e10, "max_retry_time": 1e10, "retry_delay": 1e10},
                {"id": "w", "command": "true", "working_dir": "nope"},
                {"id": "deep", "command": "true", "pre_checks": [{"name": "x", "params": _deep(120)}]},
            ],
        },
    )
    stage.config("a folder that is not there", {"working_dir": "nope", "jobs": [job("a")]})
    stage.config(
        "circles of jobs", {"jobs": [job("a", "true", "b"), job("b", "true", "a"), job("c", "true", "c")]}
    )
    ring = [job(f"j{at}", "true", f"j{(at + 1) % 12}") for at in range(12)]
    stage.config("a long circle of jobs", {"jobs": ring})
    stage.config("variables in a circle", {"env_variables": {"A": "${B}", "B": "${A}"}, "jobs": [job("a")]})
    bombs = {f"V{at}": f"${{V{at - 1}}}" * 10 if at else "x" * 100 for at in range(6)}
    stage.config("variables that grow", {"env_variables": bombs, "jobs": [job("a")]})
    stage.config("more problems than are shown", {"jobs": [{"id": f"j{at}"} for at in range(103)]})


def _deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@group("Config: checks and plugins")
def config_checks(stage: Stage) -> None:
    """Checks that are not there, and plugins that cannot be loaded."""
    texts = {
        "raises.py": "raise RuntimeError('no licence')",
        "empty.py": "x = 1",
        "ends.py": "import os\nos._exit(0)",
        "taken.py": "CHECKS = {'check_file_exists': len, 'rows': len}",
        "again.py": "CHECKS = {'rows': len}",
    }
    for name, text in texts.items():
        (stage.folder / name).write_text(text)
    check = "check_file_exists"
    stage.config(
        "plugins",
        {
            "dependency_plugins": ["nope.py", *texts, {"name": "x"}, {"path": "again.py", "nme": "x"}],
            "jobs": [job("a")],
        },
    )
    wrong = [
        {"name": "check_file_exist"},
        {"name": "zzz"},
        {"name": check},
        {"name": check, "params": {"path": 1}},
    ]
    wrong += [{"name": check, "params": 1}]
    wrong += [{"name": check, "params": {"pth": "x", "path": " "}}, {"params": {}}, "check_file_exists"]
    stage.config("checks", {"jobs": [job("a", pre_checks=wrong)]})


@group("Config: commands without a shell")
def config_commands(stage: Stage) -> None:
    """What needs a shell where there is none."""
    commands = [
        *("ls | wc", "ls *.csv", 'echo "$HOME"', "ls\npwd", "ls \r", "A=1 ls", "echo 'a", "ls \\", "'' x"),
        *("echo # no", "ls ~", "lss", "zzz", "echo $(date) `id`"),
    ]
    jobs = [job(f"j{at}", text) for at, text in enumerate(commands)]
    stage.config("shell syntax", {"allow_shell": False, "command_whitelist": ["ls", "echo"], "jobs": jobs})


@group("Config: text")
def config_text(stage: Stage) -> None:
    """Files that are no JSON, or not quite."""
    good = '{"jobs": [{"id": "a", "command": "true"}]'
    for title, text in {
        "empty": "",
        "spaces": " \n",
        "YAML": "jobs:\n  - id: a\n",
        "INI": "[app]\nx = 1\n",
        "not closed": good,
        "a string that is not closed": '{"jobs',
        "a line break in a string": '{"jobs": "a\nb"}',
        "a backslash": '{"jobs": "C:\\new\\xdir"}',
        "an invisible character": '{"jobs":\u200b 1}',
        "a comment": '{"jobs": 1 // all\n}',
        "a comma too many at the end": '{"jobs": [1,]}',
        "a comma too many in an object": good + ",}",
        "two commas": '{"a": 1,, "b": 2}',
        "a value is missing": '{"a": , "b": 2}',
        "a comma is missing": '{"a": 1 "b": 2}',
        "a colon is missing": '{"a" 1}',
        "text behind the end": good + "} x",
        "a bracket of another kind": '{"a": [1}',
        "a quote inside a string": '{"a": "say "yes""}',
        "no comma and no bracket": '{"a": 1 2}',
        "single quotes": "{'a': 1}",
        "a word of Python": '{"a": True}',
        "a key without quotes": "{a: 1}",
        "a text without quotes": '{"a": hello}',
        "a sign of nothing": '{"a": %}',
        "a sign where a key stands": "{%: 1}",
        "nested too deeply": "[" * 100_000,
        "numbers that are none": good
        + ', "kill_grace": NaN, "max_workers": 1e999, "smtp_port": '
        + "9" * 5000
        + "}",
        "keys that come twice": good + ', "parallel": true, "parallel": false}',
        "characters that have no place": good + ', "name": "a\\u0000", "log_dir": "\\ud800", "x\\udc00": 1}',
    }.items():
        stage.config(title, text)
    stage.config("Latin 1", '{"name": "Köln"}'.encode("latin-1"))
    stage.config("UTF-16", '{"name": "x"}'.encode("utf-16"))


@group("Config: files")
def config_files(stage: Stage) -> None:
    """Configs that cannot be read, and folders that cannot be used."""
    stage("no such file", "-c", "nope.json")
    stage("no such file to resume with", "-c", "nope.json", "--resume-from", "1")
    stage("a folder", "-c", ".")
    for name in ("one/flow.json", *(f"many/{letter}.json" for letter in "fedc b")):
        (stage.folder / name).parent.mkdir(exist_ok=True)
        (stage.folder / name).touch()
    stage("a folder with one that may be meant", "-c", "one/", "--skip", "load")
    stage("a folder with many", "-c", "many", "--validate")
    os.mkfifo(stage.folder / "pipe")
    stage("a pipe", "-c", "pipe")
    stage("a path below a file", "-c", "pipe/flow.json")
    with (stage.folder / "large.json").open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    stage("a file that is too large", "-c", "large.json")
    stage("a path that is not UTF-8", "-c", "\udcff.json")
    stage("a path that is too long", "-c", "x" * 300)
    stage.jobs(job("a"), log_dir="pipe")
    stage("logs in no folder", "-c", "flow.json")
    stage("no such file, but one of nearly that name", "-c", "flwo.json", "--skip", "load")
    stage("no such file to check, but one of nearly that name", "-c", "flwo.json", "--validate")
    stage.jobs(job("a"), log_dir="/proc/logs")
    stage("logs where nobody may write", "-c", "flow.json")
    stage.jobs(job("a"))
    stage("fine", "-c", "flow.json", "--validate")


# --- runs ----------------------------------------------------------------------------------------


@group("Runs: why jobs fail")
def reasons(stage: Stage) -> None:
    """The reasons of jobs that failed."""
    check = "check_file_exists"
    (stage.folder / "checks.py").write_text(
        "import os, signal\ndef raises(): raise ValueError('bad row')\n"
        "CHECKS = {'no': lambda: False, 'raises': raises, 'exits': lambda: os._exit(3),\n"
        "          'killed': lambda: os.kill(os.getpid(), signal.SIGKILL)}\n"
    )
    (stage.folder / "ora.txt").write_text("fine\nORA-00942: table or view does not exist\n")
    (stage.folder / "gone").mkdir()
    (stage.folder / "swapped").mkdir()
    ora = {"name": "check_no_ora_errors", "params": {"log_file": "ora.txt"}}
    none = {"name": "check_no_ora_errors", "params": {"log_file": "none*"}}
    checks = [{"name": name} for name in ("no", "raises", "exits", "killed")]
    (stage.folder / "windows.sh").write_text("#!/bin/sh\r\necho\r\n")
    (stage.folder / "windows.sh").chmod(0o700)
    stage.jobs(
        job("exit", "exit 3"),
        job("unknown", "nosuchcommand"),
        job("script", "./windows.sh"),
        job("pathless", "nosuchcommand", env_variables={"PATH": ""}),
        job("killed", "kill -9 $$"),
        job("slow", "exec sleep 60", timeout=0.1),
        job("retried", "exit 4", max_retries=1, retry_delay=0),
        job("not_retried", "exit 5", max_retries=1, retry_delay=0, retry_on_exit_codes=[6]),
        job("pre", pre_checks=[{"name": check, "params": {"path": "none"}}]),
        job("post", post_checks=[ora]),
        job("post_none", post_checks=[none]),
        *(job(f"check_{one['name']}", post_checks=[one]) for one in checks),
        job("remove", "rmdir gone"),
        job("folderless", "true", "remove", working_dir="gone"),
        job("swap", "rmdir swapped; touch swapped"),
        job("in_a_file", "true", "swap", working_dir="swapped"),
        job("after", "true", "exit"),
        dependency_plugins=["checks.py"],
        continue_on_error=True,
        kill_grace=0,
    )
    stage("reasons", "-c", "flow.json")
    stage("the same on one line each, for a person who comes later", "--show-run", "1", keep_out=True)
    stage.jobs(
        job("unknown", "nosuchcommand --flag"),
        job("long", "echo " + "${V}" * 20),
        job("missing", "./nothing"),
        allow_shell=False,
        continue_on_error=True,
        env_variables={"V": "x" * 10_000},
    )
    stage("without a shell", "-c", "flow.json")
    stage.jobs(job("fails", "exit 1"), job("next", "true"), job("more", "true"))
    stage("the first failure ends the run", "-c", "flow.json")
    stage.jobs(job("cut", "sh -c ': > /dev/stdout; echo x > /dev/stderr'"))
    stage("a job that cuts its own log", "-c", "flow.json")
    stage.jobs(job("a"), email_address="ops@example.com", smtp_server="mail", parallel=True, max_workers=90000)
    stage.in_shell("mail, and more workers than files", "ulimit -n 256", "-c", "flow.json", "--skip", "a")
    stage.in_shell("a folder that is gone", "mkdir gone; cd gone; rmdir ../gone", "-c", "flow.json")
    plugin = stage.folder / "checks.py"
    plugin.write_text("CHECKS = {'no': lambda: True}\n")
    change = "echo \"CHECKS = {'yes': len}\" > checks.py"
    checked = job("checked", "true", "change", post_checks=[{"name": "no"}])
    stage.jobs(job("change", change), checked, dependency_plugins=["checks.py"])
    stage("a plugin that changed in mid-run", "-c", "flow.json")
    stage.jobs(job("move", "mv logs old; touch logs"), job("logless", "true", "move"))
    stage("logs that cannot be written in mid-run", "-c", "flow.json")
    (stage.folder / "logs").unlink()
    stage("quiet", "-c", "flow.json", "--quiet", "--env", "A=1")
    stage.jobs(job("a"), env_variables={"A": "${OUTER}" * 2000})
    stage.note("variables that grow by what is inherited", "OUTER=xxx... executioner.py -c flow.json",
               *stage.program("-c", "flow.json", env={"OUTER": "x" * 100}))  # fmt: skip
    (stage.folder / "out").mkdir()
    with open("/dev/full", "wb") as full:
        done = stage.program.start("--sample-config", stdout=full)
        _, err = done.communicate()
    stage.note("a disk that is full", "executioner.py --sample-config > /dev/full", done.returncode, "", err)


@group("Runs: interrupted")
def interrupted(stage: Stage) -> None:
    """Signals."""
    program = stage.program
    stubborn = job("a", "trap '' TERM; echo $$ > up; sleep 60 & wait; wait")
    gentle = job("a", "echo $$ > up; exec sleep 60")
    for title, first, numbers in (
        ("Ctrl-C", gentle, [2]),
        ("TERM", gentle, [15]),
        ("HUP", gentle, [1]),
        ("QUIT", gentle, [3]),
        ("Ctrl-C twice", stubborn, [2, 2]),
    ):
        stage.jobs(first, job("b", "true", "a"), kill_grace=60)
        (stage.folder / "up").unlink(missing_ok=True)
        with ended(program.start("-c", "flow.json")) as runner:
            pid_in(program, "up")
            assert runner.stderr is not None
            runner.send_signal(numbers[0])
            before = runner.stderr.readline() if len(numbers) > 1 else ""
            for number in numbers[1:]:
                runner.send_signal(number)
            out, err = runner.communicate()
        stage.note(title, "executioner.py -c flow.json", runner.returncode, out, before + err)
    stage.jobs(job("a", "exit 1", max_retries=1, retry_delay=60))
    with ended(program.start("-c", "flow.json")) as runner:
        assert runner.stdout is not None
        lines = [runner.stdout.readline(), runner.stdout.readline()]
        assert "next in" in lines[1]
        runner.send_signal(2)
        out, err = runner.communicate()
    stage.note(
        "Ctrl-C before a retry", "executioner.py -c flow.json", runner.returncode, "".join(lines) + out, err
    )


@group("Runs: a history that fails in mid-run")
def failing(stage: Stage) -> None:
    """A disk that is full under the history, and under the logs too."""
    program = stage.program
    for title, is_full in (("the history alone", False), ("the logs too", True)):
        stage.jobs(job("a", "echo $$ > up; read x < gate"), job("r", "exit 1", max_retries=1, retry_delay=60))
        (stage.folder / "up").unlink(missing_ok=True)
        (stage.folder / "gate").unlink(missing_ok=True)
        with gate(program) as let_through, ended(program.start("-c", "flow.json", "-j", "2")) as runner:
            pid_in(program, "up")
            run_id = program.rows("SELECT max(run_id) AS it FROM run_metadata")[0]["it"]
            wait_until(lambda run=run_id: program.jobs(run)["r"]["retry_history"], "a failed attempt")
            size = Path(f"{program.history}-wal").stat().st_size
            resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))
            if is_full:  # every name that the file may have is taken
                for at in range(1, 1001):
                    (stage.folder / f"logs/executioner.flow.run-{run_id}{f'-{at}' * (at > 1)}.spool.json").mkdir()
            let_through()
            out, err = runner.communicate()
        stage.note(title, "executioner.py -c flow.json -j 2", runner.returncode, out, err)


@group("Runs: started in midstream, or beside others")
def midstream(stage: Stage) -> None:
    """--from-job without a record, and limits of active runs."""
    program = stage.program
    stage.jobs(job("a", "exit 1"), job("b", "true", "a"), job("c", "true", "b"))
    stage("never run", "-c", "flow.json", "--from-job", "b")
    stage.quietly("-c", "flow.json")
    stage("failed before", "-c", "flow.json", "--from-job", "c")
    stage("failed before, a preview", "-c", "flow.json", "--from-job", "c", "--dry-run")
    many_jobs = [job(f"j{at:02}") for at in range(12)]
    stage.jobs(*many_jobs, job("z", "true", *(one["id"] for one in many_jobs)), name="wide.json")
    stage("more than are named", "-c", "wide.json", "--from-job", "z")
    screen = program.on_terminal("-c", "flow.json", "--dry-run", env={"NO_COLOR": "1"})
    stage.note("on a terminal, a run that could be resumed", "executioner.py -c flow.json --dry-run", *screen)
    stage.jobs(job("a", "exit 1"), job("b", "true", "a"), job("beside"))
    stage("as if they had succeeded", "-c", "flow.json", "--from-job", "b", "--yes")
    for title, limit in (("warned of", None), ("refused", 1)):
        stage.jobs(job("a", "echo $$ > up; read x < gate"), name="live.json", max_active_runs=limit)
        (stage.folder / "up").unlink(missing_ok=True)
        (stage.folder / "gate").unlink(missing_ok=True)
        with gate(program) as let_through, ended(program.start("-c", "live.json")) as runner:
            pid_in(program, "up")
            run_id = str(program.rows("SELECT max(run_id) AS it FROM run_metadata")[0]["it"])
            stage(f"another run of the config is on: {title}", "-c", "live.json", "--dry-run")
            if limit:
                stage("a run that is on, resumed", "-c", "live.json", "--resume-from", run_id)
                stage("a run that is on, marked", "--mark-success", run_id, "a", "--yes")
            let_through()
            runner.communicate()
    stage.jobs(job("a", "echo $$ > up; read x < gate; exit 1"), job("b", "true", "a"), name="live.json")
    for path in (stage.folder / "up", stage.folder / "gate"):
        path.unlink(missing_ok=True)
    with gate(program) as let_through:
        with ended(program.start("-c", "live.json")) as runner:
            pid_in(program, "up")
            stage("a log that is yet to come", "--show-log", "last", "b")
            followed(stage, "a log that is yet to come, followed", let_through, "last", "b")
            runner.communicate()
        first = str(program.rows("SELECT max(run_id) AS it FROM run_metadata")[0]["it"])
        (stage.folder / "up").unlink()
        with ended(program.start("-c", "live.json", "--resume-from", first)) as one:
            pid_in(program, "up")
            stage("a run that is being resumed", "-c", "live.json", "--resume-from", first)
            (stage.folder / "up").unlink()
            with ended(program.start("-c", "live.json")) as two:
                pid_in(program, "up")
                values = json.loads((stage.folder / "live.json").read_text())
                (stage.folder / "live.json").write_text(json.dumps({**values, "max_active_runs": 2}))
                stage("two runs that are on", "-c", "live.json")
                let_through()
                let_through()
                two.communicate()
            one.communicate()


# --- looking back --------------------------------------------------------------------------------


@group("Looking back")
def looking_back(stage: Stage) -> None:
    """Runs, jobs and logs that are not there."""
    nothing = [["--resume-from", "last"], ["--mark-success", "last", "a"], ["--list-runs"], ["--show-run", "last"]]
    nothing += [["--show-run", "7"], ["--resume-from", "7"], ["-c", "flow.json", "--resume-from", "last"]]
    stage.jobs(job("a", "exit 1"), job("b", "echo b"), job("c", "exit 2"), job("d", "true", "a"))
    for asked in nothing:
        stage("nothing was ever run", *asked)
    stage("no history at a path", "--list-runs", "--db", "nope.db")
    stage.quietly("-c", "flow.json", "--continue-on-error")
    stage.jobs(job("a"), name="other.json")
    stage.jobs(job("a"), name="never.json")
    stage.quietly("-c", "other.json")
    stage("no such run", "--show-run", "7")
    stage("no such run of a config", "-c", "flow.json", "--show-run", "7")
    stage("a config that was moved", "-c", "never.json", "--resume-from", "last")
    stage("a config in another folder", "-c", "repo/flow.json", "--resume-from", "1")
    stage("no run of a config", "-c", "never.json", "--show-run", "last")
    stage("no such run, of a config without any", "-c", "never.json", "--show-run", "7")
    (stage.folder / "bad.json").write_text("{")
    stage("a config that is none", "-c", "bad.json", "--list-runs")
    stage("a config that is a folder", "-c", ".", "--list-runs")
    stage("no such job", "--show-log", "1", "aa")
    stage("several failed", "--show-log", "1")
    stage("skipped", "--show-log", "1", "d")
    for path in (stage.folder / "logs").glob("*job-b*"):
        path.unlink()
    stage("a log that is gone", "--show-log", "1", "b")
    stage.quietly("-c", "flow.json")
    stage.jobs(*(job(f"j{at}", "exit 1") for at in range(7)), name="wide.json", continue_on_error=True)
    stage.quietly("-c", "wide.json")
    stage("many failed", "--show-log", "4", "--follow")
    stage.jobs(job("x"), job("y"), name="two.json")
    stage.quietly("-c", "two.json")
    stage("which one", "--show-log", "5")
    for title, words in {
        "a misspelt application": ["--app", "flwo"],
        "a status that no run has": ["--status", "interrupted"],
        "a config that is not there": ["-c", "nope.json"],
        "a user who never ran anything": ["--user", "zoe", "--app", "flow", "--resumable"],
        "times in the wrong order": ["--since", "today", "--until", "yesterday"],
        "a day": ["--since", "2025-05-23", "--until", "2025-05-23"],
        "the last days": ["--since", "7d", "--user", "zoe"],
        "days ago": ["--until", "7d"],
        "all filters": [
            "--app",
            "x",
            "--status",
            "success",
            "--user",
            "u",
            "--partly-completed",
            "-c",
            "never.json",
        ],
    }.items():
        stage(title, "--list-runs", *words)
    (stage.folder / "flow.json").unlink()
    for path in (stage.folder / "logs").glob("*job-a.run-1.log"):
        path.write_text("")
    for path in (stage.folder / "logs").glob("*job-c.run-1.log"):
        path.unlink()
    stage("a run whose config and logs are gone", "--show-run", "1")


# --- resuming ------------------------------------------------------------------------------------


@group("Resuming")
def resuming(stage: Stage) -> None:
    """What stands in the way of a resume, and what is said beside it."""
    program = stage.program
    two = (job("a"), job("b", "test -e ok", "a"), job("c", "true", "b"))
    stage.jobs(*two)
    stage.quietly("-c", "flow.json", "--env", "TOKEN=x", "--env", "API_KEY=y")
    stage("secrets that were not kept", "-c", "flow.json", "--resume-from", "1")
    stage("a secret that was not kept", "-c", "flow.json", "--resume-from", "1", "--env", "TOKEN=x")
    stage.quietly("-c", "flow.json")
    stage.jobs(job("a", "true changed"), *two[1:])
    stage("a success that has changed", "-c", "flow.json", "--resume-from", "2")
    stage("kept", "-c", "flow.json", "--resume-from", "2", "--if-changed", "keep", "--dry-run", keep_out=False)
    stage.jobs(job("a", "true changed"), job("b", "true", "a", env_variables={"X": "1"}), *two[2:])
    (stage.folder / "ok").touch()
    stage.quietly("-c", "flow.json", "--resume-from", "2", "--if-changed", "rerun")
    stage("was resumed already, and that succeeded", "-c", "flow.json", "--resume-from", "2")
    stage("nothing is left", "-c", "flow.json", "--resume-from", "3")
    stage.jobs(job("a", "true changed"), job("b", "true", "a", env_variables={"X": "1"}), *two[2:], job("new"))
    stage("nothing is left, but a job was added", "-c", "flow.json", "--resume-from", "3")
    stage("succeeded since", "-c", "flow.json", "--resume-from", "1", "--env", "TOKEN=x", "--env", "API_KEY=y",
          "--if-changed", "keep", "--dry-run", keep_out=False)  # fmt: skip
    (stage.folder / "ok").unlink()
    stage.jobs(*two)
    stage.quietly("-c", "flow.json", "--skip", "c")  # 4
    stage("nothing failed but what was skipped", "-c", "flow.json", "--resume-from", "4", "--skip", "b,c")
    stage(
        "skipped before, not now", "-c", "flow.json", "--resume-from", "4", "--skip=", "--dry-run", keep_out=False
    )
    stage.jobs(two[0], job("z"), two[1] | {"dependencies": ["a", "z"]}, two[2])
    stage(
        "failed-only without a job that was added", "-c", "flow.json", "--resume-from", "4", "--resume-failed-only"
    )
    stage.jobs(*two)
    stage.quietly("-c", "flow.json", "--resume-from", "4")  # 5
    stage("was resumed already, and that failed", "-c", "flow.json", "--resume-from", "4")
    stage("nothing to retry", "-c", "flow.json", "--resume-from", "5", "--resume-failed-only", "--from-job=")
    stage.jobs(*two, application_name="other")
    stage("another application", "-c", "flow.json", "--resume-from", "5")
    stage.jobs(*two)
    stage("the newest run, named", "--resume-from", "last", "--dry-run")
    stage("from a job without its record", "-c", "flow.json", "--resume-from", "5", "--from-job", "c")
    sql(program.history, "UPDATE run_metadata SET config_path = NULL WHERE run_id = 5")
    stage("a config that is not recorded", "--resume-from", "5")
    gone = str(stage.folder / "gone.json")
    sql(program.history, f"UPDATE run_metadata SET config_path = '{gone}' WHERE run_id = 5")
    stage("a config that is gone", "--resume-from", "5")
    flow = str(stage.folder / "flow.json")
    sql(program.history, f"UPDATE run_metadata SET config_path = '{flow}' WHERE run_id = 5")
    [log] = program.rows("SELECT log_path FROM run_metadata WHERE run_id = 5")
    spool = Path(log["log_path"]).parent / "executioner.flow.run-5.spool.json"
    spool.write_text("{}")
    stage("results in a spool file", "-c", "flow.json", "--resume-from", "5")
    spool.unlink()
    stage.jobs(job("a"), job("b", "true", "a"), name="two.json")
    stage.quietly("-c", "two.json", "--skip", "a")  # 6: PARTIAL
    stage("all others succeeded, one is skipped", "-c", "two.json", "--resume-from", "6")
    stage.jobs(job("a"), job("b", "true changed", "a"), name="two.json")
    stage("one is skipped, the other has changed", "-c", "two.json", "--resume-from", "6")
    stage.jobs(job("b"), name="two.json")
    stage("all others succeeded, one is no more", "-c", "two.json", "--resume-from", "6")
    stage.jobs(job("only"), name="one.json")
    stage.quietly("-c", "one.json")  # 7
    stage("the only job succeeded", "-c", "one.json", "--resume-from", "7")
    stage.jobs(job("first", "exit 1"), job("second"), name="stop.json")
    stage.quietly("-c", "stop.json")  # 8
    sql(program.history, "UPDATE job_history SET status = 'SKIPPED', reason = 'run stopped' WHERE run_id = 8")
    stage("no job failed", "-c", "stop.json", "--resume-from", "8", "--resume-failed-only")
    stage.jobs(job("first"), job("second"), name="stop.json")
    stage.quietly("-c", "stop.json")  # 9
    stage.jobs(job("first", "true changed"), job("second"), name="stop.json")
    stage("both jobs succeeded, and one has changed", "-c", "stop.json", "--resume-from", "9")
    stage("both succeeded, one has changed, one is skipped", "-c", "stop.json", "--resume-from", "9",
          "--skip", "second")  # fmt: skip
    stage.jobs(job("first", "exit 1"), job("second"), name="stop.json")
    stage.quietly("-c", "stop.json")  # 10
    stage("what failed is skipped now", "-c", "stop.json", "--resume-from", "10", "--resume-failed-only",
          "--skip", "first")  # fmt: skip


@group("Marking")
def marking(stage: Stage) -> None:
    """--mark-success."""
    stage.jobs(job("a", "exit 1"), job("b", "exit 1"), job("c", "true", "a"), continue_on_error=True)
    stage.quietly("-c", "flow.json")
    stage("no such job", "--mark-success", "1", "aa", "zzz", "aa")
    stage("jobs with commas", "--mark-success", "1", "a,b")
    stage("a preview", "--mark-success", "1", "a", "--dry-run")
    stage("nobody to ask", "--mark-success", "1", "a", "b", "--reason", "mended")
    screen = stage.program.on_terminal("--mark-success", "1", "a", env={"NO_COLOR": "1"}, keys=[("[y/N]", b"n\n")])
    stage.note("asked, and no", "executioner.py --mark-success 1 a", *screen)
    stage("marked", "--mark-success", "1", "a", "b", "--yes")
    stage("marked already", "--mark-success", "1", "a")
    stage.jobs(job("a", "exit 2"), job("b", "exit 1"), job("c", "true", "a"), continue_on_error=True)
    stage("one of them has changed since", "-c", "flow.json", "--resume-from", "1")
    stage("it would run again", "-c", "flow.json", "--resume-from", "1", "--if-changed", "rerun", "--dry-run")
    stage.jobs(job("a", "exit 1"), job("b", "exit 1"), job("c", "true", "a"), continue_on_error=True)
    stage("the log of a marked job", "--show-log", "1", "a", keep_out=False)
    stage.quietly("-c", "flow.json", "--resume-from", "1")
    stage("nothing is left", "-c", "flow.json", "--resume-from", "2")
    stage.jobs(job("a", "exit 1"), name="one.json")
    stage.quietly("-c", "one.json")
    stage.quietly("-c", "one.json", "--resume-from", "3")
    stage("a run that was resumed since", "--mark-success", "3", "a", "--yes")
    after = [job("b", "exit 1", "a"), job("c", "exit 1")]
    stage.jobs(job("a"), *after, name="two.json", continue_on_error=True)
    stage.quietly("-c", "two.json")  # 5
    stage.quietly("--mark-success", "5", "b", "--yes")
    stage.jobs(job("a", "true changed"), *after, name="two.json", continue_on_error=True)
    stage("what it depends on has changed since", "-c", "two.json", "--resume-from", "5")


@group("Leftovers")
def left_behind(stage: Stage) -> None:
    """Jobs that outlived their runner."""
    program = stage.program
    stage.jobs(job("a", "echo $$ > up1; read x < gate"), job("b", "echo $$ > up2; read x < gate0"))
    with gate(program, "gate0"), gate(program) as let_through:
        with ended(program.start("-c", "flow.json", "-j", "2")) as runner:
            pids = [pid_in(program, "up1"), pid_in(program, "up2")]
            kill(runner)
        stage("a fresh run", "-c", "flow.json")
        stage("a resume", "-c", "flow.json", "--resume-from", "1")
        stage("a preview that would end them", "-c", "flow.json", "--kill-leftovers", "--dry-run", keep_out=False)
        stage(
            "a preview that would leave them", "-c", "flow.json", "--ignore-leftovers", "--dry-run", keep_out=False
        )
        stage("marking one", "--mark-success", "1", "a", "--yes")
        stage("a run that shows them", "--show-run", "1")
        followed(stage, "following one to its end", let_through, "1", "a")
        stage.jobs(job("a"), job("b"))
        stage(
            "ending the other", "-c", "flow.json", "--resume-from", "1", "--kill-leftovers", "--if-changed", "keep"
        )
    for pid in pids:
        wait_for_end(pid)
    stage("a log of one that ended too", "--show-log", "1", "a", "--follow")
    inner = "executioner.py -c flow.json --kill-leftovers > in 2>&1; echo $? > code"
    stage.jobs(job("a", f"echo $$ > up3; read x < gate2; {inner}"), name="flow.json")
    (stage.folder / "gate").unlink(missing_ok=True)
    with gate(program, "gate2") as let_through:
        with ended(program.start("-c", "flow.json")) as runner:
            pid_in(program, "up3")
            kill(runner)
        let_through()
        wait_until(
            lambda: (stage.folder / "code").exists() and (stage.folder / "code").read_text(), "the inner run"
        )
        code = int((stage.folder / "code").read_text())
        text = (stage.folder / "in").read_text()
    stage.note(
        "a run inside a job that is to be ended", "executioner.py -c flow.json --kill-leftovers", code, "", text
    )


# --- histories -----------------------------------------------------------------------------------


@group("Histories")
def histories(stage: Stage) -> None:
    """Databases that cannot serve, and what is said of those that were brought up."""
    stage.jobs(job("a"))
    stage.quietly("-c", "flow.json", "--db", "good.db")
    good = (stage.folder / "good.db").read_bytes()

    def place(name: str, data: bytes, *statements: str) -> str:
        (stage.folder / name).write_bytes(data)
        if statements:
            sql(stage.folder / name, *statements)
        return name

    os.mkfifo(stage.folder / "pipe")
    with closing(sqlite3.connect(stage.folder / "foreign.db")) as connection, connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    for title, name in {
        "text": place("text.db", b"not a database\n" * 10),
        "a folder": ".",
        "a pipe": "pipe",
        "below a file": "flow.json/x.db",
        "another program's": "foreign.db",
        "newer": place("newer.db", good, "PRAGMA user_version = 99"),
        "cut": place("cut.db", good[: len(good) // 2]),
        # its counts of changes differ, so that it does not say how long it is
        "too short": place("short.db", b"SQLite format 3\0" + bytes(8) + b"\1" + bytes(100)),
        "rubbish": place("rubbish.db", good[:4096] + b"\xff" * (len(good) - 4096)),
        "without tables": place("tables.db", good, "DROP TABLE job_history"),
        "tables that no text describes": place(
            "words.db",
            good,
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET name = CAST(x'ff' AS TEXT) WHERE name = 'job_history'",
        ),
        "without identity": place("identity.db", good, "DELETE FROM database_identity"),
        "a name that is too long": "x" * 300,
        "a loop of links": "loop.db",
    }.items():
        if name == "loop.db":
            (stage.folder / name).symlink_to("loop.db")
        stage(title, "-c", "flow.json", "--db", name)
        if title in ("text", "newer", "rubbish"):
            stage(f"{title}, only looked at", "--list-runs", "--db", name)
    stage.elsewhere("on a network file system", "-c", "flow.json", "--db", "good.db", machine=_NETWORK)
    stage.elsewhere("the same, a preview", "-c", "flow.json", "--db", "good.db", "--dry-run", machine=_NETWORK)
    full = _SPACE.format(1, 3) + _NO_FILES
    stage.elsewhere("on a full disk", "-c", "flow.json", "--db", "full.db", machine=full)
    stage.elsewhere("on a read-only file system", "-c", "flow.json", "--db", "good.db", machine=_READ_ONLY)
    (stage.folder / "link.db.lock").symlink_to("elsewhere")
    stage("a lock file that is a link", "-c", "flow.json", "--db", "link.db")
    schema = (ROOT / "tests/data/schema-version-1.sql").read_text()
    with closing(sqlite3.connect(stage.folder / "old.db")) as connection, connection:
        connection.executescript(schema)
    identity = "INSERT INTO database_identity SELECT * FROM good.database_identity"
    sql(stage.folder / "old.db", f"ATTACH '{stage.folder / 'good.db'}' AS good", identity)
    shutil.copy(stage.folder / "old.db", stage.folder / "backups.db")
    for at in range(1, 1000):
        (stage.folder / f"backups.db.version-1{f'-{at}' if at > 1 else ''}.bak").touch()
    stage("an older history with too many backups", "-c", "flow.json", "--db", "backups.db")
    stage("an older history, a preview", "-c", "flow.json", "--db", "old.db", "--dry-run", keep_out=False)
    stage("an older history", "-c", "flow.json", "--db", "old.db", keep_out=False)
    rows = [
        earlier_job(run, name, status, "2025-05-23 09:45:00")
        for run in ("5", "nightly")
        for name, status in (("a", "PRECHECK_FAILED"), ("b", "POSTCHECK_FAILED"), ("c", None), ("d", "ODD"))
    ]
    more = "CREATE TABLE database_identity (x)"
    make_earlier(stage.folder / "earlier.db", version_6, more, ids="TEXT", jobs=rows, summaries=[])
    stage(
        "the earlier tool's history, a preview",
        "-c",
        "flow.json",
        "--db",
        "earlier.db",
        "--dry-run",
        keep_out=False,
    )
    stage("the earlier tool's history", "-c", "flow.json", "--db", "earlier.db", keep_out=False)
    stage("a run that was taken over", "--show-run", "5", "--db", "earlier.db")
    stage("a log that the earlier tool had", "--show-log", "5", "a", "--db", "earlier.db")
    (stage.folder / "fresh.db-wal").write_bytes(b"left")
    stage("what is left of a history that is gone", "-c", "flow.json", "--db", "fresh.db", keep_out=False)
    shutil.copy(stage.folder / "good.db", stage.folder / "lost.db")
    stage.jobs(job("a", "rm lost.db"), job("b", "true", "a"))
    stage("a history that is removed during a run", "-c", "flow.json", "--db", "lost.db")


@group("Histories that may not be written")
def forbidden(stage: Stage) -> None:
    """Permissions, as an ordinary user."""
    program = stage.program
    stage.jobs(job("a"))
    stage.quietly("-c", "flow.json", "--db", "good.db")
    folder = stage.folder / "ro"
    folder.mkdir()
    shutil.copy(stage.folder / "good.db", folder / "h.db")

    def play(title: str, *args: str) -> None:
        stage.note(title, " ".join(["executioner.py", *args]), *ordinary_user(program.command(*args), program))

    (folder / "h.db").chmod(0o444)
    play("a file that may not be written", "-c", "flow.json", "--db", "ro/h.db")
    (folder / "h.db").chmod(0o000)
    play("a file that may not be read", "--list-runs", "--db", "ro/h.db")
    (folder / "h.db").chmod(0o644)
    folder.chmod(0o555)
    play("a folder that may not be written", "-c", "flow.json", "--db", "ro/h.db")
    play("a folder in which none can be made", "-c", "flow.json", "--db", "ro/new.db")
    stage.jobs(job("a"), log_dir="ro/logs")
    play("logs in a folder that may not be written", "-c", "flow.json")
    (stage.folder / "flow.json").chmod(0)
    play("a config that may not be read", "-c", "flow.json")
    folder.chmod(0o755)


# --- results that wait ----------------------------------------------------------------------------


def _fail(stage: Stage, *more: Mapping[str, Any], history: Path | None = None) -> Path:
    """A run of ``a`` (and more) whose history cannot be written any more while ``a`` runs; its spool file."""
    program = stage.program
    path = program.history if history is None else history
    stage.jobs(job("a", "echo $$ > up; read x < gate"), *more)
    for name in ("up", "gate"):
        (stage.folder / name).unlink(missing_ok=True)
    typed = ("-c", "flow.json", "--db", str(path))
    with gate(program) as let_through, ended(program.start(*typed)) as runner:
        pid_in(program, "up")
        size = Path(f"{path}-wal").stat().st_size
        resource.prlimit(runner.pid, resource.RLIMIT_FSIZE, (size, size))
        let_through()
        runner.communicate()
    assert runner.returncode == 3
    [[run_id]] = sql(path, "SELECT max(run_id) FROM run_metadata")
    return stage.folder / f"logs/executioner.flow.run-{run_id}.spool.json"


@group("Importing results")
def importing(stage: Stage) -> None:
    """--import-spool: what is no such file, which history and run are meant, and what was done."""
    program = stage.program
    good = spool_content()
    os.mkfifo(stage.folder / "pipe")
    stage("no such file", "--import-spool", "nope.spool.json")
    stage("a folder", "--import-spool", ".")
    stage("a pipe", "--import-spool", "pipe")
    wrongs: dict[str, Any] = {
        "a file that was cut": json.dumps(good)[:-5],
        "a config": '{"jobs": []}',
        "a newer form": {"executioner_spool": 2},
        "no run id": {"run_id": True},
        "no run": {"run": []},
        "a job without an id": {"jobs": [{"status": "FAILED"}]},
        "a column of the run that there is not": {"run": {"x": 1}},
        "a column of a job that there is not": {"jobs": [{"id": "a", "x": 1}]},
        "a value that is none": {"jobs": [{"id": "a", "reason": ["x"]}]},
        "a number that is none": json.dumps({**good, "run": {"duration_seconds": float("nan")}}),
        "a job that runs": {"jobs": [{"id": "a", "status": "RUNNING"}]},
    }
    for title, wrong in wrongs.items():
        text = wrong if isinstance(wrong, str) else json.dumps({**good, **wrong})
        (stage.folder / "wrong.json").write_text(text)
        stage(title, "--import-spool", "wrong.json")
    (stage.folder / "lost.json").write_text(json.dumps(good))
    stage("a history that is gone", "--import-spool", "lost.json")
    stage("a history that is at no path", "--import-spool", "lost.json", "--db", "nope.db")

    spool = _fail(stage, job("b", "true", "a"))
    shown = str(spool.relative_to(stage.folder))
    stage("a run whose results wait", "--show-run", "1")
    stage("such a run, resumed", "-c", "flow.json", "--resume-from", "1")
    stage("such a run, marked", "--mark-success", "1", "a", "--yes")
    stage("a preview", "--import-spool", shown, "--dry-run")
    stage("imported", "--import-spool", shown)
    stage("imported already", "--import-spool", shown)
    stage("its other name", "--import-spool", f"{shown}.imported", keep_out=False)
    content = json.loads(Path(f"{spool}.imported").read_text())
    other = {**content, "jobs": [*content["jobs"], {"id": "stranger", "status": "SUCCESS"}]}
    (stage.folder / "stranger.json").write_text(json.dumps(other))
    stage("a job that the run does not have", "--import-spool", "stranger.json")
    stage.jobs(job("x"), name="other.json")
    stage.quietly("-c", "other.json", "--db", "other.db")
    (stage.folder / "again.json").write_text(json.dumps(content))
    stage("another history, with another run of that id", "--import-spool", "again.json", "--db", "other.db")
    (stage.folder / "again.json").write_text(json.dumps({**content, "run_id": 7}))
    stage("another history, without a run of that id", "--import-spool", "again.json", "--db", "other.db")
    only_end = {**content, "run": {**content["run"], "total_jobs": 2}, "jobs": []}
    (stage.folder / "end.json").write_text(json.dumps(only_end))
    stage("the end of a run, a preview", "--import-spool", "end.json", "--dry-run")

    stage.jobs(job("a", "echo $$ > up; read x < gate"), name="live.json")
    for name in ("up", "gate"):
        (stage.folder / name).unlink(missing_ok=True)
    with gate(program) as let_through, ended(program.start("-c", "live.json")) as runner:
        pid_in(program, "up")
        [row] = program.rows(
            "SELECT run_id, application_name, start_time FROM run_metadata WHERE status = 'RUNNING'"
        )
        live = {**good, **row, "history": str(program.history)}
        (stage.folder / "live.spool.json").write_text(json.dumps(live))
        stage("a run that is still on", "--import-spool", "live.spool.json")
        let_through()
        runner.communicate()

    stage.jobs(job("a"), job("b", f"rm -f {program.history}*", "a"), job("c", "exit 1", "b"))
    stage("a history that is removed", "-c", "flow.json", "--quiet")
    [gone] = (stage.folder / "logs").glob("executioner.flow.run-*.spool.json")
    shutil.copy(gone, stage.folder / "whole.json")
    stage("into a new history", "--import-spool", str(gone.relative_to(stage.folder)), keep_out=False)
    for path in program.history.parent.iterdir():
        path.unlink()
    for _ in range(int(json.loads((stage.folder / "whole.json").read_text())["run_id"])):
        stage.quietly("-c", "other.json")
    stage("under another id, a preview", "--import-spool", "whole.json", "--dry-run")
    stage("under another id", "--import-spool", "whole.json")


# --- the doctor -----------------------------------------------------------------------------------


@group("Doctor")
def doctor(stage: Stage) -> None:
    """--doctor: the whole screen, in each state that it tells of."""
    program = stage.program
    look = stage.elsewhere
    look("nothing yet", "--doctor")
    look("nothing yet, quiet", "--doctor", "--quiet")
    (stage.folder / "file").touch()
    look("a history below a file", "--doctor", "--db", "file/x.db")
    look("a history that cannot be made", "--doctor", "--db", "/proc/history.db")
    look("no such config", "--doctor", "-c", "nope.json")
    (stage.folder / "broken.json").write_text('{"jobs": [}')
    look("a config that is no JSON", "--doctor", "-c", "broken.json")
    look("a config that is no JSON, with a history", "--doctor", "-c", "broken.json", "--db", "x.db")
    (stage.folder / "flow.json").write_text('{"jobs": [{"id": "a"}], "log_dirr": "x"}')
    look("a config that is wrong", "--doctor", "-c", "flow.json")
    stage.jobs(job("a"))
    stage.quietly("-c", "flow.json")
    look("in order", "--doctor", "-c", "flow.json")
    look("in order, without a config", "--doctor")
    look("in order, as JSON", "--doctor", "--format", "json")
    look("an older SQLite", "--doctor", machine="sqlite3.sqlite_version_info = (3, 46, 1)\n")
    look("few open files", "--doctor", machine="resource.getrlimit = lambda limit: (64, 4096)\n")
    look("little space", "--doctor", machine=_SPACE.format(1, 100_000))
    look("no space", "--doctor", machine=_SPACE.format(1, 3))
    look("little space on two disks", "--doctor", machine=_SPACE.format(1, 100_000) + _MANY_DISKS)
    look("a file system that is read-only", "--doctor", machine=_READ_ONLY)
    look("space that cannot be told", "--doctor", machine=_SPACE.format(0, 0))
    look("on a network file system", "--doctor", machine=_NETWORK)
    no_locks = "from executioner.history import lock\nlock._SETLK = lock._GETLK = None\n"
    look("a system without such locks", "--doctor", machine=no_locks)
    stage.jobs(job("a"), log_dir="other/logs")
    look("a log folder that is still to be made", "--doctor", "-c", "flow.json")
    (stage.folder / "logs").rename(stage.folder / "logs.away")
    look("a log folder that is gone", "--doctor")
    (stage.folder / "logs").touch()
    look("a file where the logs were", "--doctor")
    (stage.folder / "logs").unlink()
    (stage.folder / "logs.away").rename(stage.folder / "logs")
    stage.jobs(job("a"), log_dir="file/logs")
    look("a log folder that cannot be made", "--doctor", "-c", "flow.json")
    stage.jobs(job("a"), history_db="own.db")
    look("the config's history", "--doctor", "-c", "flow.json")
    look("that of the environment", "--doctor", env={"EXECUTIONER_DB": "e.db"})
    program.history.chmod(0o644)
    look("a history that everybody may read", "--doctor")
    program.history.chmod(0o600)
    lock = Path(f"{program.history}.lock")
    lock.unlink()
    lock.mkdir()
    look("a lock that is no file", "--doctor")
    lock.rmdir()

    shutil.copy(program.history, stage.folder / "good.db")
    good = (stage.folder / "good.db").read_bytes()
    shutil.copy(stage.folder / "good.db", stage.folder / "odd.db")
    sql(stage.folder / "odd.db", "UPDATE job_history SET status = 'RUNNING'")
    look("rows that contradict each other", "--doctor", "--db", "odd.db")
    shutil.copy(stage.folder / "good.db", stage.folder / "index.db")
    sql(
        stage.folder / "index.db",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, '(user,', '(host,') WHERE name = 'run_by_user'",
    )
    look("an index that lacks a row", "--doctor", "--db", "index.db")
    (stage.folder / "rubbish.db").write_bytes(good[:4096] + b"\xff" * (len(good) - 4096))
    (stage.folder / "rubbish.db.version-1.bak").touch()
    look("damaged", "--doctor", "--db", "rubbish.db")
    (stage.folder / "cut.db").write_bytes(good[: len(good) // 2])
    look("cut", "--doctor", "--db", "cut.db")
    (stage.folder / "newer.db").write_bytes(good)
    sql(stage.folder / "newer.db", "PRAGMA user_version = 99")
    look("newer", "--doctor", "--db", "newer.db")
    sql(stage.folder / "foreign.db", "CREATE TABLE bookmarks (url TEXT)")
    look("another program's", "--doctor", "--db", "foreign.db")
    look("another program's, quiet", "--doctor", "--db", "foreign.db", "--quiet")
    look("a folder", "--doctor", "--db", ".")
    with closing(sqlite3.connect(stage.folder / "old.db")) as connection, connection:
        connection.executescript((ROOT / "tests/data/schema-version-1.sql").read_text())
    (stage.folder / "old.db").chmod(0o600)
    look("older", "--doctor", "--db", "old.db")
    rows = [earlier_job("5", "a", "SUCCESS", "2025-05-23 09:45:00")]
    make_earlier(stage.folder / "earlier.db", version_6, "CREATE TABLE x (x)", ids="TEXT", jobs=rows, summaries=[])
    (stage.folder / "earlier.db").chmod(0o600)
    look("the earlier tool's", "--doctor", "--db", "earlier.db")


@group("Doctor: runs")
def doctor_of_runs(stage: Stage) -> None:
    """--doctor: runs that are on, were killed, left something running, or could not be recorded."""
    program = stage.program
    look = stage.elsewhere
    spool = _fail(stage, job("b", "true", "a"))
    look("results that wait", "--doctor", "-c", "flow.json")
    program.history.rename(stage.folder / "away.db")
    look("results that wait for a history that is gone", "--doctor", "-c", "flow.json")
    (stage.folder / "away.db").rename(program.history)
    stage.quietly("--import-spool", str(spool))
    stage.jobs(job("a", "echo $$ > up; read x < gate"))
    for name in ("up", "gate"):
        (stage.folder / name).unlink(missing_ok=True)
    with gate(program) as let_through:
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up")
            look("a run that is on", "--doctor")
            kill(runner)
        look("a run that was killed, and what it left", "--doctor")
        let_through()
    wait_for_end(pid)
    look("a run that was killed", "--doctor")
    lock = Path(f"{program.history}.lock")
    lock.unlink()
    lock.mkdir()
    look("a run of which nobody can tell", "--doctor")


@group("Doctor: what is left, and what is gone")
def doctor_of_the_gone(stage: Stage) -> None:
    """--doctor: jobs that still run, results that were cut, a history that is no more, a lock that is gone."""
    program = stage.program
    look = stage.elsewhere
    stage.jobs(job("a", "echo $$ > up1; read x < gate"), job("b", "echo $$ > up2; read x < gate"))
    with gate(program) as let_through:
        with ended(program.start("-c", "flow.json", "-j", "2")) as runner:
            pids = [pid_in(program, name) for name in ("up1", "up2")]
            kill(runner)
        look("two jobs that were left", "--doctor")
        (stage.folder / "logs/executioner.flow.run-1.spool.json").write_text("{")
        let_through()
        let_through()
    for pid in pids:
        wait_for_end(pid)
    look("a file of results that was cut", "--doctor")
    for name in ("up1", "gate"):
        (stage.folder / name).unlink()
    (stage.folder / "logs/executioner.flow.run-1.spool.json").unlink()
    stage.jobs(job("a", "echo $$ > up1; read x < gate"))
    with gate(program) as let_through:
        with ended(program.start("-c", "flow.json")) as runner:
            pid = pid_in(program, "up1")
            kill(runner)
        program.history.write_bytes(b"rubbish!" * 1000)
        look("a history that was overwritten", "--doctor")
        program.history.write_bytes(b"")
        look("a history that was emptied", "--doctor")
        for path in program.history.parent.glob("history.db*"):
            if path.suffix != ".lock":
                path.unlink()
        look("a history that was removed", "--doctor")
        let_through()
    wait_for_end(pid)
    for name in ("up1", "gate"):
        (stage.folder / name).unlink()
    with gate(program) as let_through, ended(program.start("-c", "flow.json")) as runner:
        pid_in(program, "up1")
        Path(f"{program.history}.lock").unlink()
        look("a run that is on, whose lock somebody removed", "--doctor")
        let_through()
        runner.communicate()


@group("Doctor and imports without rights")
def without_rights(stage: Stage) -> None:
    """The same, as an ordinary user."""
    program = stage.program
    spool = _fail(stage, job("b", "true", "a"))
    logs = spool.parent
    logs.chmod(0o555)
    shown = str(spool.relative_to(stage.folder))
    stage.elsewhere("results in a folder that may not be written", "--import-spool", shown, is_ordinary=True)
    stage.elsewhere("logs in a folder that may not be written", "--doctor", is_ordinary=True)
    logs.chmod(0o755)
    lock = Path(f"{program.history}.lock")
    program.history.chmod(0o444)
    lock.chmod(0o444)
    stage.elsewhere("a history and a lock that may not be written", "--doctor", is_ordinary=True)
    lock.chmod(0)
    program.history.chmod(0o600)
    stage.elsewhere("a lock that may not be read", "--doctor", is_ordinary=True)
    program.history.chmod(0)
    stage.elsewhere("a history that may not be read", "--doctor", is_ordinary=True)
    program.history.chmod(0o600)
    lock.chmod(0o600)
    program.history.parent.chmod(0o555)
    stage.elsewhere("a folder that may not be written", "--doctor", is_ordinary=True)
    stage.elsewhere("results for a history that may not be written", "--import-spool", shown, is_ordinary=True)
    program.history.parent.chmod(0o700)
