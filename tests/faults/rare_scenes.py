"""Scenes of what hardly ever happens: it is made to happen by changing the program, or what it is told, in Python.

What the program says is its own. Waits are shortened, but shown as long as they are.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from error_scenes import Stage, group, job
from faults_tools import held_by_another
from harness import Program, ended
from history_tools import gate, kill, lock_path, pid_in, region, sql, wait_for_end

#: A number of seconds that is another one when it is printed.
_BRIEF = """
class Brief(float):
    def __new__(cls, real, shown):
        self = super().__new__(cls, real)
        self.shown = shown
        return self
    def __format__(self, spec):
        return format(self.shown, spec)
"""
#: A history that is held is not waited for for 30 seconds.
_HURRY = f"""{_BRIEF}
from executioner import scheduler
from executioner.history import files
files.BUSY_TIMEOUT_S = scheduler._BUSY_HISTORY_S = Brief(0.2, 30.0)
from executioner.commands import finish
"""
_TALKATIVE = """
files._LONG_S = 0.05
"""
_NO_PSUTIL = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.split(".")[0] == "psutil" else find_spec(name, *more)
"""
_MANAGED = """
import os, sys
sys.prefix, exists = sys.base_prefix, os.path.exists
os.path.exists = lambda path: str(path).endswith("/EXTERNALLY-MANAGED") or exists(path)
"""
_NOTHING_FREE = """
from executioner import mounts
mounts.free_bytes = lambda path: 0
"""
_NO_GUARD_S = """
from executioner.history.lock import LockFile
LockFile.guard.__wrapped__.__defaults__ = (0.2,)
"""
_ALWAYS_BUSY = """
from executioner.history.store import HistoryWriter
HistoryWriter.finish_run = lambda self, end: False
"""
_OTHER_VERSION = """
from executioner.history import files
files.identify = lambda path: files.Kind.CURRENT
"""
_REPLACED = """
import os, shutil
from executioner.history.store import HistoryWriter
begin = HistoryWriter.begin
def begin_and_replace(self, *args):
    begin(self, *args)
    shutil.copy(self.path, f"{self.path}.copy")
    os.replace(f"{self.path}.copy", self.path)
HistoryWriter.begin = begin_and_replace
"""
_NO_SCHEMA = """
import builtins
real_open = builtins.open
def without_schema(path, *args, **options):
    if str(path).endswith("schema.sql"):
        raise FileNotFoundError(2, "No such file or directory", path)
    return real_open(path, *args, **options)
builtins.open = without_schema
"""
_RESTLESS = """
import itertools
from executioner.history import files
files.file_state = lambda path, count=itertools.count(): (next(count), 0, 0, False)
"""
#: There is room for one process and no more.
_ONE_PROCESS = """
import errno
real_spawn = os.posix_spawn
children = []
def spawn(path, words, environment, **options):
    if any(os.path.exists(f"/proc/{pid}") for pid in children):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable", path)
    children.append(real_spawn(path, words, environment, **options))
    return children[-1]
os.posix_spawn = spawn
"""
#: The kernel buries children and tells nobody how they ended.
_NO_STATUS = """
def wait4(pid, options, real=os.wait4):
    real(pid, options)
    raise ChildProcessError(10, "No child processes")
os.wait4 = wait4
"""
_IMMORTAL = """
from executioner import ending, family
family._signal = lambda send, target, number: None
ending._LAST_RESORT_S = 0.05
"""
_LEFTOVERS_STAY = """
from executioner import leftovers
leftovers.end = lambda found, grace_s: found
"""
_A_FAULT = """
from executioner import scheduler
def fault(*args):
    raise RuntimeError("a fault of a test")
"""
_CTRL_C = """
import executioner.commands.run
def stopped(context):
    raise KeyboardInterrupt
executioner.commands.run.run = stopped
"""
_RACING = """
from executioner.commands import resume
def changed(prepared):
    raise resume.ChangedMeanwhileError
resume._execute = changed
"""
_CHANGED_MARK = """
from executioner.history.store import HistoryWriter
HistoryWriter.lineage = lambda self, run_id: None
"""


#: The disk is full when a job's log gets its last line.
_FULL_LOGS = """
from executioner import joblog
def end(frame, verdict, seconds, real=joblog.end):
    return real(frame, verdict, seconds)._replace(fault="No space left on device")
joblog.end = end
"""


def _log(stage: Stage, title: str, name: str) -> None:
    """Show a log."""
    text = (stage.folder / "logs" / name).read_text()
    stage.note(title, f"cat logs/{name}", 0, text, "")


def _forget(stage: Stage, *names: str) -> None:
    for name in names:
        (stage.folder / name).unlink(missing_ok=True)


@group("Rare: a history that another process holds")
def held(stage: Stage) -> None:
    """For more than 30 seconds: at the start, in mid-run, at the end; and the guard of its lock."""
    program = stage.program
    look = stage.elsewhere
    stage.jobs(job("a", "exit 1"))
    stage.quietly("-c", "flow.json")
    with held_by_another(program.history):
        look("at the start", "-c", "flow.json", machine=_HURRY)
    with held_by_another(program.history):
        look(
            "at the start, and a reader is told for whom it waits", "-c", "flow.json", machine=_HURRY + _TALKATIVE
        )
    with held_by_another(program.history, "exclusive"):
        look("a mark", "--mark-success", "1", "a", "--yes", machine=_HURRY)
    stage.jobs(job("a", "echo $$ > up; read x < gate"), job("b", "true", "a"))
    with gate(program) as let_through:
        command = stage.command_elsewhere(_HURRY, "-c", "flow.json")
        with ended(program.launch(command)) as runner:
            pid_in(program, "up")
            with held_by_another(program.history):
                let_through()
                out, err = runner.communicate()
    stage.note("in mid-run", "executioner.py -c flow.json", runner.returncode, out, err)
    stage.jobs(job("a"), name="end.json")
    look("at the end", "-c", "end.json", machine=_HURRY + _ALWAYS_BUSY)
    _log(stage, "the log of such a run", "executioner.end.run-3.log")
    (stage.folder / "fresh").mkdir()
    other = Program(stage.folder / "fresh")
    other.history = stage.folder / "fresh/h.db"
    with _guarded(other):
        look("while one is made", "-c", "end.json", "--db", "fresh/h.db", machine=_NO_GUARD_S)


@contextlib.contextmanager
def _guarded(program: Program) -> Iterator[None]:
    """Hold the byte of a history's lock file that guards its making."""
    fd = os.open(lock_path(program), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, region(fcntl.F_WRLCK, 0))
        yield
    finally:
        os.close(fd)


@group("Rare: histories")
def histories(stage: Stage) -> None:
    """What changes under our eyes, an installation that is not whole, rows that somebody has edited."""
    program = stage.program
    look = stage.elsewhere
    stage.jobs(job("a", "exit 1"), job("b", "true", "a"))
    stage.jobs(job("a"), name="other.json")
    stage.quietly("-c", "flow.json")
    look("a mark of a run that is changed just now", "--mark-success", "1", "a", "--yes", machine=_CHANGED_MARK)
    look("a resume of a run that is changed all the time", "--resume-from", "1", machine=_RACING)
    look("a resume from a history that is replaced just now", "--resume-from", "1", machine=_REPLACED)
    look("it changes all the time", "--list-runs", machine=_RESTLESS)
    look("a part of the program is missing", "-c", "flow.json", "--db", "new.db", machine=_NO_SCHEMA)
    look("a package is missing", "-c", "flow.json", machine=_NO_PSUTIL)
    look("a package is missing, and pip would refuse", "-c", "flow.json", machine=_NO_PSUTIL + _MANAGED)
    look("no table can be drawn", "--list-runs", machine=_NO_PSUTIL.replace("psutil", "tabulate"))
    look("a preview where the disk is full", "-c", "flow.json", "--dry-run", machine=_NOTHING_FREE)
    sql(program.history, "UPDATE job_history SET log_path = NULL, retry_history = NULL")
    stage("no log on record", "--show-run", "1")
    sql(program.history, "UPDATE job_history SET status = 'SUCCESS', id = CAST(id AS BLOB) WHERE id = 'a'")
    look("a result under an id that is no text", "--resume-from", "1")
    sql(program.history, "UPDATE job_history SET status = 'FAILED', id = CAST(id AS TEXT) WHERE run_id = 1")
    sql(
        program.history,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'reason TEXT', 'reason TEXT NOT NULL')"
        " WHERE name = 'job_history'",
    )
    sql(program.history, "PRAGMA ignore_check_constraints = ON", "UPDATE job_history SET reason = reason")
    look("rows that break a rule of their table", "--doctor")
    sql(program.history, "PRAGMA user_version = 99")
    look("changed by a newer version just now", "-c", "other.json", machine=_OTHER_VERSION)


@group("Rare: processes")
def processes(stage: Stage) -> None:
    """No room for another, none that can be ended, none of which it is known how it ended."""
    program = stage.program
    look = stage.elsewhere
    checks = stage.folder / "checks.py"
    checks.write_text("import time\ntime.sleep(1000)\n")
    brief = f"{_BRIEF}\nfrom executioner import checks\nchecks._LOADING_S = Brief(0.2, 60.0)\n"
    stage.jobs(job("a"), dependency_plugins=["checks.py"])
    look("a plugin that takes a minute", "-c", "flow.json", "--validate", machine=brief)
    waits = "until grep -qs 'not started' logs/executioner.flow.job-b.run-1.log; do sleep 0.01; done"
    stage.jobs(job("a", waits), job("b", "true"))
    look("no room for a second process", "-c", "flow.json", "-j", "2", machine=_ONE_PROCESS)
    _log(stage, "the log of a job that had to wait", "executioner.flow.job-b.run-1.log")
    stage.jobs(job("a"))
    look("a log that takes no last line", "-c", "flow.json", machine=_FULL_LOGS)
    look("an exit status that is lost", "-c", "flow.json", machine=_NO_STATUS)
    # of another name, so that no run before it says how long it usually takes
    stage.jobs(job("a", "echo $$ > up; read x < gate", timeout=0.2), kill_grace=0, name="immortal.json")
    with gate(program) as let_through:
        look("a job that cannot be ended", "-c", "immortal.json", machine=_IMMORTAL)
        let_through()
        wait_for_end(pid_in(program, "up"))
    _forget(stage, "up", "gate")
    stage.jobs(job("a", "echo $$ > up; read x < gate"))
    with gate(program) as let_through:
        with ended(program.start("-c", "flow.json")) as runner:
            pid_in(program, "up")
            kill(runner)
        look("leftovers that stay", "-c", "flow.json", "--kill-leftovers", machine=_LEFTOVERS_STAY)
        let_through()
        wait_for_end(pid_in(program, "up"))


@group("Rare: faults of the program, and Ctrl-C at once")
def faults(stage: Stage) -> None:
    """What nobody foresaw."""
    look = stage.elsewhere
    stage.jobs(job("a", "echo $$ > up; exec sleep 1000"), job("b", "until test -s up; do sleep 0.01; done"))
    look(
        "in a run",
        "-c",
        "flow.json",
        "-j",
        "2",
        machine=f"{_A_FAULT}\nscheduler.Scheduler._process_ended = fault\n",
    )
    wait_for_end(pid_in(stage.program, "up"))  # as the program says
    look("in a look back", "--list-runs", machine=f"{_A_FAULT}\nfrom executioner.commands import list_runs\n"
         "list_runs.list_runs = fault\n")  # fmt: skip
    look("Ctrl-C before a run", "-c", "flow.json", machine=_CTRL_C)
