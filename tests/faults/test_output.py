"""Every byte that a job prints is in its log, unchanged and in its order, whoever prints it and however much."""

import hashlib
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Program, attempts, ended, gate, is_running, wait_until
from history_tools import pid_in

pytestmark = pytest.mark.promise(6)

MIB = 1024 * 1024
#: Prints so many bytes of one seed, in pieces of odd sizes, and says their SHA-256 in a file.
BLOB = """
import hashlib, os, random, sys
size, seed, kind, where = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
chance, digest, left = random.Random(seed), hashlib.sha256(), size
while left:
    n = min(left, chance.choice((1, 7, 4095, 4096, 4097, 65536, 1 << 20)))
    data = {"random": chance.randbytes, "nul": bytes, "line": lambda n: b"x" * n}[kind](n)
    fd = chance.choice((1, 2))
    done = 0
    while done < n:
        done += os.write(fd, data[done:])
    digest.update(data)
    left -= n
with open(where, "w") as file:
    file.write(digest.hexdigest())
"""


def python(program: Program, name: str, text: str) -> str:
    """Write a script; the command that runs it."""
    (program.folder / name).write_text(text)
    return f"{sys.executable} -I -S {program.folder}/{name}"


def digest_of(program: Program, job: str) -> tuple[int, str]:
    """How many bytes the history says that a job has printed, and the SHA-256 of those in its log."""
    [one] = attempts(program, job)
    left = one["log_end"] - one["log_start"]
    digest = hashlib.sha256()
    with Path(program.jobs()[job]["log_path"]).open("rb") as log:
        log.seek(one["log_start"])
        while left and (data := log.read(min(left, MIB))):
            digest.update(data)
            left -= len(data)
        # behind it there is the footer alone, on a line of its own
        assert re.fullmatch(rb"\n?=== [^\n]+ ===\n", log.read())
    return one["log_end"] - one["log_start"], digest.hexdigest()


@pytest.mark.parametrize("kind", ["random", "nul", "line"])
def test_any_number_of_any_bytes(program: Program, nightly: bool, cases: Callable[[int], None], kind: str) -> None:
    """From none to 64 MiB (2 GiB) of random bytes, of NULs or of one line without an end, in pieces of odd sizes
    from both streams in turn: the log has them all, and the history says from where to where.
    """
    sizes = [0, 1, 4095, 4096, 4097, MIB, MIB + 1, 64 * MIB if kind == "random" or nightly else 8 * MIB]
    if nightly and kind == "random":
        if shutil.disk_usage(program.folder).free < 6 * 1024 * MIB:
            pytest.skip("needs 6 GiB of disk")
        sizes.append(2048 * MIB)
    blob = python(program, "blob.py", BLOB)
    program.config({f"j{at}": f"{blob} {size} {at} {kind} sum{at}" for at, size in enumerate(sizes)})
    result = program("-c", "flow.json", "-j", "2", timeout=3000)
    assert (result.code, result.err) == (0, "")
    for at, size in enumerate(sizes):
        printed = (program.folder / f"sum{at}").read_text()
        assert digest_of(program, f"j{at}") == (size, printed), f"{size} bytes, seed {at}"
    for path in program.folder.glob("logs/*"):
        path.unlink()  # they are large
    cases(len(sizes))


def test_a_log_is_shown_as_it_was_printed(program: Program) -> None:
    """``--show-log`` into a file gives the log's own bytes, whatever they are."""
    blob = python(program, "blob.py", BLOB)
    program.config({"a": f"{blob} {3 * MIB + 17} 5 random sum"})
    assert program("-c", "flow.json").code == 0
    with (program.folder / "shown").open("wb") as shown:
        process = program.start("--show-log", "1", "a", stdout=shown)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert (program.folder / "shown").read_bytes() == Path(program.jobs()["a"]["log_path"]).read_bytes()


CROWD = """
import os, sys
many, lines = int(sys.argv[1]), int(sys.argv[2])
children = []
for who in range(many):
    pid = os.fork()
    if not pid:
        for at in range(lines):
            text = f"{who} {at} {'x' * ((who * 31 + at * 17) % 300)}.\\n".encode()
            if os.write(1 + at % 2, text) != len(text):
                os._exit(1)
        os._exit(0)
    children.append(pid)
sys.exit(any(os.waitpid(pid, 0)[1] for pid in children))
"""


def test_many_grandchildren_write_at_once(program: Program, nightly: bool, cases: Callable[[int], None]) -> None:
    """Fifty processes write lines to both streams at once, and shells open the log again with ``>>``: no line
    is lost, cut or mixed with another, and each process's lines are in its order.
    """
    many, lines = (50, 4000) if nightly else (50, 100)
    crowd = python(program, "crowd.py", CROWD)
    again = (
        "for i in 1 2 3 4 5 6 7 8; do (echo again $i >> /dev/stdout; echo again $i >> /dev/stderr) & done; wait"
    )
    program.config({"a": f"{crowd} {many} {lines} & {again}; wait", "b": f"{crowd} {many} {lines}"})
    result = program("-c", "flow.json", "-j", "2")
    assert (result.code, result.err) == (0, "")
    for job in "ab":
        found = program.output(job).decode().splitlines()
        assert Counter(line for line in found if line.startswith("again")) == (
            Counter({f"again {at}": 2 for at in range(1, 9)}) if job == "a" else Counter()
        )
        for who in range(many):
            mine = [line for line in found if line.startswith(f"{who} ")]
            assert mine == [f"{who} {at} {'x' * ((who * 31 + at * 17) % 300)}." for at in range(lines)]
        assert len(found) == many * lines + (16 if job == "a" else 0)
    cases(2 * many)


def test_what_is_printed_after_the_parent_ended(program: Program) -> None:
    """A job ends and leaves a process that goes on printing: the job's end does not wait for it, what it printed
    before is in the job's range, and what it prints afterwards is in the log too, behind the footer.
    """
    late = "(echo early; echo x > up; read x < gate; echo late; echo x > said) & while [ ! -e up ]; do :; done"
    program.config({"a": f"{late}; echo mine", "b": "echo b"})
    with gate(program.folder / "gate") as let_on:
        result = program("-c", "flow.json")
        assert (result.code, result.err) == (0, "")
        assert program.output("a") == b"early\nmine\n"
        let_on()
        program.wait_for("said")
    log = Path(program.jobs()["a"]["log_path"]).read_bytes()
    assert re.fullmatch(rb"=== a, [^\n]+ ===\nearly\nmine\n=== SUCCESS, [^\n]+ ===\nlate\n", log)
    assert program.output("b") == b"b\n"
    assert program("--show-log", "1", "a").out.endswith("late\n")


def test_a_second_attempt_while_the_first_ones_child_still_prints(program: Program) -> None:
    """What a child of the first attempt prints during the second is not lost: it is in the log once, and the
    second attempt's own output is in the second's range, in its order.
    """
    child = "(echo x > up; read x < gate; echo late; echo x > said) & while [ ! -e up ]; do :; done; exit 1"
    command = (
        f"if [ $EXECUTIONER_ATTEMPT = 1 ]; then echo one; {child}; fi;"
        " echo two; echo x > again; while [ ! -e said ]; do :; done; echo three"
    )
    program.config([{"id": "a", "command": command, "max_retries": 1, "retry_delay": 0}])
    with gate(program.folder / "gate") as let_on, ended(program.start("-c", "flow.json")) as runner:
        program.wait_for("again")
        let_on()
        _, err = runner.communicate(timeout=60)
    assert (runner.returncode, err) == (0, "")
    first, second = attempts(program, "a")
    log = Path(program.jobs()["a"]["log_path"]).read_bytes()
    assert log[first["log_start"] : first["log_end"]] == b"one\n"
    assert log[second["log_start"] : second["log_end"]] == b"two\nlate\nthree\n"
    assert log.count(b"late") == 1


def test_what_a_job_prints_while_it_is_ended(program: Program) -> None:
    """What a job prints when its time is up, from the moment of TERM to its own end, is in its log."""
    command = (
        "trap 'seq 1 20000; echo last; exit 0' TERM; echo x > up; echo first; while :; do read x < gate; done"
    )
    program.config([{"id": "a", "command": command, "timeout": 0.5}])
    with gate(program.folder / "gate"):
        result = program("-c", "flow.json")
    assert result.code == 1 and program.statuses() == {"a": "TIMEOUT"}
    lines = program.output("a").decode().splitlines()
    assert lines == ["first", *(str(at) for at in range(1, 20001)), "last"]


def test_what_a_job_printed_whose_runner_was_killed(program: Program) -> None:
    """Output does not go through the runner: a job that outlives it, by kill -9, prints on into its log."""
    program.config({"a": "echo one; echo $$ > up; read x < gate; echo two; seq 1 5000; echo x > said"})
    with gate(program.folder / "gate") as let_on:
        with ended(program.start("-c", "flow.json")) as runner:
            job = pid_in(program, "up")
            runner.kill()
            runner.communicate()
        let_on()
        program.wait_for("said")
        wait_until(lambda: not is_running(job), "the end of the job")
    log = Path(program.jobs()["a"]["log_path"]).read_bytes()
    expected = b"one\ntwo\n" + b"".join(b"%d\n" % at for at in range(1, 5001))
    assert log.partition(b" ===\n")[2] == expected


@pytest.mark.parametrize(
    "command",
    [
        "echo lost; : > /dev/stderr",
        "echo lost; : > /dev/stdout; echo kept",
        "echo lost; seq 1 3 | tee /dev/stderr > /dev/null",
        "echo lost; truncate -s 0 /proc/self/fd/1; seq 1 1000",
        "echo lost; echo kept > /dev/fd/2; exit 3",
        # as long as before or longer: the size alone does not show it
        "echo lost; head -c 100000 /dev/zero > /dev/stderr",
    ],
)
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_job_that_cuts_off_its_own_log(program: Program, command: str, attempt: int) -> None:
    """It is reported with the remedy, on the screen and in the run's log, in whichever attempt it happens; the
    job ends as it would have, what is left is shown from its beginning, and nobody else's log suffers.
    """
    if attempt == 2:
        command = f"if [ $EXECUTIONER_ATTEMPT = 1 ]; then echo first; exit 1; fi; {command}"
    job = {"id": "a", "command": command, "max_retries": 1 if attempt == 2 else 0, "retry_delay": 0}
    program.config([job, {"id": "b", "command": "echo b"}], continue_on_error=True)
    result = program("-c", "flow.json")
    code = 1 if command.endswith("exit 3") else 0
    assert result.code == code, result
    log = Path(program.jobs()["a"]["log_path"])
    warnings = [line for line in result.err.splitlines() if line.startswith("Warning: ")]
    assert warnings == [
        f"Warning: a cut off its own log ({log}): it opened /dev/stdout or /dev/stderr anew,"
        " as `tee /dev/stderr` does. Use `tee -a /dev/stderr` or `>&2`."
    ]
    assert warnings[0] in Path(program.run_row()["log_path"]).read_text()
    last = attempts(program, "a")[-1]
    data = log.read_bytes()
    assert last["log_start"] == 0 and last["log_end"] <= len(data)
    assert b"lost\n" not in data
    assert (b"kept\n" in data) == ("kept" in command)
    assert b"=== a, run 1" not in data and re.search(rb"(^|\n)=== (SUCCESS|FAILED)[^\n]*===\n$", data)
    assert program.output("b") == b"b\n"
    for args in (("--show-run", "1"), ("--show-log", "1", "a")):
        shown = program(*args)
        assert (shown.code, shown.err) == (0, "")


@pytest.mark.parametrize("command", ["echo {} | tee -a /dev/stderr", "echo {} >&2", "echo {} >> /dev/stderr"])
def test_the_remedy_works(program: Program, command: str) -> None:
    """What the warning recommends, and appending, loses nothing and brings no warning."""
    program.config({"a": f"echo before; {command.format('x')}; echo after"})
    result = program("-c", "flow.json")
    assert (result.code, result.err) == (0, "")
    wanted = [b"before", *[b"x"] * (2 if "tee" in command else 1), b"after"]
    assert program.output("a").splitlines() == wanted


def test_a_job_that_removes_or_renames_its_own_log(program: Program) -> None:
    """A job that rotates its log away keeps what it has printed there; the run does not mind."""
    log = "logs/executioner.flow.job-{}.run-1.log"
    program.config({"a": f"echo one; mv {log.format('a')} kept; echo two", "b": f"echo x; rm {log.format('b')}"})
    result = program("-c", "flow.json")
    assert result.code == 0 and "Traceback" not in result.err
    text = (program.folder / "kept").read_bytes()
    assert re.fullmatch(rb"=== a, [^\n]+ ===\none\ntwo\n=== SUCCESS, [^\n]+ ===\n", text)
    shown = program("--show-log", "1", "a")
    assert shown.code == 2 and "cannot be read" in shown.err


ORDER = """
import os, random, sys
chance = random.Random(int(sys.argv[1]))
for at in range(int(sys.argv[2])):
    os.write(chance.choice((1, 2)), b"%d\\n" % at)
"""


def test_both_streams_in_their_order(program: Program, nightly: bool, cases: Callable[[int], None]) -> None:
    """Lines of one process on both streams, at random, of many jobs at once: each log has its job's in order."""
    jobs, lines = (200, 20_000) if nightly else (10, 2000)
    order = python(program, "order.py", ORDER)
    program.config({f"j{seed}": f"{order} {seed} {lines}" for seed in range(jobs)})
    assert program("-c", "flow.json", "-j", "4", timeout=600).code == 0
    wanted = b"".join(b"%d\n" % at for at in range(lines))
    for seed in range(jobs):
        assert program.output(f"j{seed}") == wanted, f"seed {seed}"
    cases(jobs)


@pytest.mark.parametrize("tail", ["", "\\n", "\\r\\n", "\\0"])
def test_attempts_of_one_log_are_told_apart(program: Program, tail: str) -> None:
    """Each of five attempts has exactly its own bytes, with and without an end of the last line."""
    command = f"printf '=== SUCCESS, fake ===\\n%s{tail}' $EXECUTIONER_ATTEMPT; test $EXECUTIONER_ATTEMPT = 5"
    program.config([{"id": "a", "command": command, "max_retries": 4, "retry_delay": 0}])
    assert program("-c", "flow.json").code == 0
    log = Path(program.jobs()["a"]["log_path"]).read_bytes()
    end = json.loads(f'"{tail}"'.replace("\\0", "\\u0000")).encode()
    for one in attempts(program, "a"):
        wanted = b"=== SUCCESS, fake ===\n%d" % one["attempt"] + end
        assert log[one["log_start"] : one["log_end"]] == wanted
