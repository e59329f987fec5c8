"""Command lines made by chance of all options that there are, right and wrong, upon a history of several runs."""

import itertools
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from faults_tools import Ended, assert_no_fault, glance, many
from harness import Program, Result

from executioner.parser import build_parser

pytestmark = pytest.mark.promise(7)

SEED = 20260524
MOST_SECONDS = 20.0
_MOST_TYPED = 500_000  # characters that the system surely takes
#: With one of these a command line runs nothing and changes nothing.
READING = (
    *("--list-runs", "--show-run", "--show-log", "--validate", "--dry-run", "--simple-config", "--sample-config"),
    *("--config-schema", "--help", "-h", "--version", "--doctor"),
)
RECORDING = ("--mark-success", "--import-spool")
RUNNING = ("-c", "--config", "--resume-from")
CONFIGS = ("flow.json", "fails.json", "dies.json", "broken.json", "./flow.json")
JOBS = ("a", "b", "c", "d", "e")
RUN_IDS = ("1", "2", "3", "4", "5", "last", "LAST", "0", "99", "007")
HOSTILE = (
    *(
        "",
        " ",
        "-",
        "--",
        "---",
        "-c",
        "-x",
        "--no-such",
        "--list",
        "--yes=1",
        "=",
        ",",
        "a,,b",
        ",a",
        "a=b",
        "a=",
        "=a",
    ),
    *(
        "-1",
        "0",
        "1",
        "1.5",
        "1e9",
        "99999999999999999999",
        "٣",
        "nan",
        "last",
        "latest",
        "*",
        "?",
        "[",
        "[a-",
        "%s",
        "{}",
    ),
    *("\x1b[2J", "\x1b]0;owned\x07", "a\nb", "\r", "\u202etxt", "\u2028", "\udcff", "a\udcc3", "é", "語", "🧨"),
    *("flow.json", "nope.json", ".", "..", "/", "/dev/null", "/dev/full", "/proc/self/mem", "sub", "flow.json/x"),
    *(
        "~",
        "~root",
        "$HOME",
        "`id`",
        "'",
        '"',
        "\\",
        "a b",
        "; touch ran",
        "today",
        "yesterday",
        "7d",
        "12h",
        "25:00",
    ),
    *(
        "2025-05-23",
        "2025-02-30",
        "9999-12-31",
        "0001-01-01",
        "00:00",
        "FAILED",
        "failed,success",
        "TIMEOUT",
        "json",
    ),
    *("x" * 200, "x" * 5_000, "x" * 130_000, "A=" + "v" * 100_000, "1" * 5_000, "EXECUTIONER_DB=x", "PATH=/nope"),
)
#: What fits the options that take something, most of it right.
FITTING: dict[str, Sequence[str]] = {
    "--config": CONFIGS,
    "--skip": (*JOBS, "a,b", "a,c", ""),
    "--env": ("A=1", "B=", "A=x=y", "API_KEY=s", "A", "1A=2"),
    "--workers": ("1", "2", "4", "100000", "0", "100001"),
    "--resume-from": RUN_IDS,
    "--from-job": JOBS,
    "--if-changed": ("stop", "keep", "rerun", "other"),
    "--import-spool": ("run-2.spool.json", "gone.spool.json", "cut.spool.json", "flow.json"),
    "--reason": ("mended", "", "\x1b[2J"),
    "--last": ("1", "2", "20", "1000000000", "0"),
    "--limit": ("1", "3"),
    "--status": ("failed", "SUCCESS,FAILED", "interrupted", "timeout", "skipped", "faild", ","),
    "--app": ("flow", "f*", "nope", "[a-f]*", "*"),
    "--since": ("today", "7d", "2025-05-23", "09:45", "soon"),
    "--until": ("today", "0s", "2025-05-23 09:45", "later"),
    "--user": ("root", "nobody"),
    "--show-run": RUN_IDS,
    "--tail": ("0", "1", "100", "-1"),
    "--db": ("new.db", "flow.json", "nope/new.db", "sub", "own.db", "foreign.db", "/dev/null"),
    "--format": ("json", "csv", "table", "xml"),
    "--color": ("auto", "always", "never", "red"),
}
#: What an error may end with beside a command: what was not done, or where to look.
STATEMENT = re.compile(
    r"Nothing was (run|marked|imported)\b|It was not changed\.|^To use another history, name it with "
    r"|^Is the path right\?|^Use --list-runs|^History: |^Add --dry-run to preview|cd to another one first"
)
COMMAND = re.compile(r"  (cd \S.* && )?executioner\.py( |$)")
#: Errors that end with neither, each reported: to be taken out when they are mended.
BARE = re.compile(r"^Error: (--env: |--from-job and --skip both name |The path of a history cannot be used)")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def options() -> list[tuple[tuple[str, ...], bool, bool]]:
    """Every option of the program: its names, whether it takes something, and whether several words."""
    return [
        (tuple(action.option_strings), action.nargs != 0, action.nargs == "+")
        for action in build_parser("executioner.py")._actions
    ]


def word(rng: random.Random, name: str) -> str:
    """Something for an option: what fits it, or what fits nothing."""
    return rng.choice(FITTING.get(name, HOSTILE)) if rng.random() < 0.93 else rng.choice(HOSTILE)


def option(rng: random.Random, names: tuple[str, ...], *, takes: bool, several: bool) -> list[str]:
    """An option as it might be typed."""
    name = rng.choice(names)
    if several:
        words = [rng.choice(RUN_IDS), *rng.choices(JOBS, k=rng.choice((0, 1, 1, 1, 2)))]
        return [name, *(one if rng.random() < 0.95 else rng.choice(HOSTILE) for one in words)]
    if not takes:
        return [name if rng.random() < 0.98 else f"{name}=1"]
    value = word(rng, max(names, key=len))
    if rng.random() < 0.03:
        return [name]
    if rng.random() < 0.2 and value != "--":  # see the last test
        return [f"{name}={value}" if name.startswith("--") else f"{name}{value}"]
    return [name, value]


def command_line(number: int) -> list[str]:
    """The command line of a number."""
    rng = random.Random(f"{SEED} {number}")
    known = options()
    by_name = {name: one for one in known for name in one[0]}
    parts: list[list[str]] = []
    if rng.random() < 0.85:  # a beginning that makes sense
        first = rng.choice(
            [
                *(["-c"], ["-c"], ["--resume-from"], ["-c", "--resume-from"], ["--list-runs"], ["--show-run"]),
                *(["--show-log"], ["--mark-success"], ["-c", "--validate"], ["-c", "--dry-run"], ["--help"]),
                *(["--import-spool"], ["--doctor"], ["-c", "--doctor"]),
            ]
        )
        for name in first:
            names, takes, several = by_name[name]
            parts.append(option(rng, names, takes=takes, several=several))
        fitting = {
            "-c": (
                "--skip",
                "--env",
                "-j",
                "--sequential",
                "--parallel",
                "--from-job",
                "--yes",
                "--dry-run",
                "--quiet",
            ),
            "--resume-from": (
                "--resume-failed-only",
                "--if-changed",
                "--yes",
                "--skip",
                "--from-job",
                "--dry-run",
            ),
            "--list-runs": (
                "--last",
                "--status",
                "--app",
                "--since",
                "--until",
                "--user",
                "--resumable",
                "--format",
            ),
            "--show-run": ("--status", "--format", "-c", "--color"),
            "--show-log": ("--follow", "--tail", "-c"),
            "--mark-success": ("--yes", "--reason", "--dry-run", "-c"),
            "--import-spool": ("--dry-run", "--db", "--format", "--quiet"),
            "--doctor": ("-c", "--db", "--format", "--quiet"),
        }.get(first[0], ("--debug",))
        for name in rng.choices(fitting, k=rng.choice((0, 0, 1, 1, 2, 3))):
            names, takes, several = by_name[name]
            parts.append(option(rng, names, takes=takes, several=several))
    for names, takes, several in rng.choices(known, k=rng.choice((0, 0, 0, 0, 1, 2) if parts else (1, 2, 5, 40))):
        parts.append(option(rng, names, takes=takes, several=several))
    if rng.random() < 0.06:
        parts.append([rng.choice(HOSTILE)])
    if rng.random() < 0.3:
        rng.shuffle(parts)
    if rng.random() < 0.05:
        parts += parts * 20
    words = [one for part in parts for one in part]
    if words and rng.random() < 0.06:
        del words[rng.randrange(len(words))]
    return words


def prepared(program: Program) -> None:
    """A history of runs that succeeded, failed, were resumed, marked and killed, and configs of all kinds."""
    note = "echo $EXECUTIONER_JOB_ID >> ran"
    chain = [
        {"id": name, "command": note, "dependencies": [JOBS[at - 1]] if at else []} for at, name in enumerate(JOBS)
    ]
    program.config(chain)
    chain[2] = {**chain[2], "command": f"{note}; echo no; exit 3"}
    program.config(chain, "fails.json")
    program.config({"a": note, "b": "test -e died || { touch died; kill -9 $PPID; }"}, "dies.json")
    (program.folder / "broken.json").write_text('{"jobs": [{"id": "a"}], "x": }')
    (program.folder / "sub").mkdir()
    (program.folder / "foreign.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    assert program("-c", "flow.json").code == 0
    assert program("-c", "fails.json", "--skip", "b").code == 1
    assert program("-c", "dies.json").code == -9
    assert program("-c", "fails.json", "--resume-from", "2", "--env", "TOKEN=x").code == 1
    assert program("--mark-success", "4", "c", "--yes").code == 0
    assert program("-c", "flow.json", "--skip", "e", "--db", "own.db").code == 0
    assert program("-c", "fails.json", "--parallel").code == 1
    (program.folder / "ran").unlink()
    run = program.run_row(2)
    spool = {
        "executioner_spool": 1,
        "history": str(program.history),
        "history_id": "x",
        "run_id": 2,
        "application_name": run["application_name"],
        "start_time": run["start_time"],
        "reason": "?",
        "run": {"status": "INTERRUPTED", "total_jobs": 5},
        "jobs": [{"id": "c", "status": "SUCCESS"}],
    }
    text = json.dumps(spool)
    (program.folder / "run-2.spool.json").write_text(text)
    (program.folder / "cut.spool.json").write_text(text[:-20])
    (program.folder / "gone.spool.json").write_text(json.dumps({**spool, "history": "/nope/history.db"}))


def restore(kept: Path, place: Path) -> None:
    """Make a folder what it was; it stays the same folder, for the program stands in it."""
    for path in place.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.copytree(kept, place, dirs_exist_ok=True)


def names_of(words: Sequence[str]) -> set[str]:
    """The options in a command line, without what is joined to them."""
    return {one.partition("=")[0] for one in words} | {one[:2] for one in words if re.match(r"-[cjh]", one)}


def assert_well_behaved(
    words: Sequence[str], ended: Ended | Result, case: str, *, changed: bool, ran: list[str]
) -> None:
    """Fails if the program did what was not asked for, or failed without saying how to go on."""
    given = names_of(words)
    err = _ESCAPES.sub("", ended.err)
    if "--debug" in words:  # that asks for tracebacks
        err = err[max(err.rfind("\nError: ") + 1, 0) :]
    if not given.isdisjoint(READING) or given.isdisjoint((*RUNNING, *RECORDING)):
        assert not changed, f"{case}: something was written"
    if given.isdisjoint(RUNNING) or not given.isdisjoint(READING) or ended.code in (2, 3):
        assert ran == [], f"{case}: jobs ran"
    if "--mark-success" in given and "--yes" not in given:
        assert not changed, f"{case}: marked without being asked to"
    if ended.code == 2 and "no SUCCESS on record" not in err:  # see the test below
        assert not changed, f"{case}: something was written"
    skipped = {name for flag, value in itertools.pairwise(words) if flag == "--skip" for name in value.split(",")}
    assert skipped.isdisjoint(ran), f"{case}: {ran} ran"
    if ended.code == 3 and "--doctor" in given and "Error: " not in err:  # what it found is what was asked for
        assert " problem" in ended.out or '"level": "problem"' in ended.out, case
    elif ended.code in (2, 3) and words:
        lines = [line for line in err.splitlines() if not line.startswith(("Note: ", "Warning: "))]
        assert lines, case
        assert lines[0].startswith("Error: "), f"{case}:\n{err[:3000]}"
        is_told = COMMAND.match(lines[-1]) or STATEMENT.search(lines[-1])
        assert is_told or BARE.match(lines[0]), f"{case}: how to go on?\n{err[:3000]}"


def test_command_lines_by_chance(
    program: Program, nightly: bool, cases: Callable[[int], None], tmp_path: Path
) -> None:
    """Whatever is typed: 0 to 3; an error says how to go on; nothing is run or written that was not asked for."""
    prepared(program)
    kept = tmp_path / "kept"
    places = (program.folder, program.home)
    for place in places:
        shutil.copytree(place, kept / place.name)
    number = 20_000 if nightly else 600
    codes: Counter[int] = Counter()
    with many(program) as run:
        before = glance(*places)
        for at in range(number):
            words = command_line(at)
            case = f"seed {SEED}, number {at}: {[one[:80] for one in words]!r}"
            ended = run(*words)
            codes[ended.code] += 1
            plain = ended if "--debug" not in words else ended._replace(err=ended.err.replace("Traceback", ""))
            assert_no_fault(plain, (0, 1, 2, 3), case)
            assert ended.seconds < MOST_SECONDS, f"{case}: {ended.seconds:.1f} s"
            notes = program.folder / "ran"
            ran = notes.read_text().split() if notes.exists() else []
            changed = glance(*places) != before
            assert_well_behaved(words, ended, case, changed=changed, ran=ran)
            if (
                not changed and at % 100 == 0 and sum(map(len, words)) < _MOST_TYPED
            ):  # the whole program from its start says the same
                real = program(*words)
                out, err = (
                    text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in ended[1:3]
                )
                assert (real.code, real.out) == (ended.code, out), case
                assert "--debug" in words or real.err == err, case  # other paths in a traceback
                assert glance(*places) == before, case
            if changed:
                for place in places:
                    restore(kept / place.name, place)
                before = glance(*places)
    assert min(codes[code] for code in (0, 1, 2, 3)) > number / 500, f"not all ends were tried: {codes}"
    cases(number)


@pytest.mark.parametrize(
    "words",
    [
        ["--config=--"],
        ["-c", "flow.json", "--dry-run", "--db=--"],
        ["-c", "flow.json", "--dry-run", "--skip=--"],
        ["-c", "flow.json", "--dry-run", "--env=--"],
        ["-c", "flow.json", "--dry-run", "--from-job=--"],
        ["-c", "flow.json", "--dry-run", "--workers=--"],
        ["-c", "flow.json", "--dry-run", "--format=--"],
        ["--list-runs", "--status=--"],
        ["--list-runs", "--last=--"],
        ["--show-run=--"],
        ["--show-log=--"],
        ["--import-spool=--"],
        ["--doctor", "--db=--"],
    ],
    ids=lambda words: words[-1],
)
def test_two_dashes_joined_to_an_option_are_refused(program: Program, words: list[str]) -> None:
    """``--db=--`` and the like: 2 with an error of the command line, neither a fault of ours nor unheard."""
    program.config({"a": "touch ran"})
    assert program("-c", "flow.json").code == 0
    result = program(*words)
    assert (result.code, result.out) == (2, "")
    assert "Internal error" not in result.err
    assert " in history" not in result.err


def test_a_refused_start_in_midstream_writes_nothing(program: Program) -> None:
    """``--from-job`` behind a job that never succeeded: exit 2, and no history is made for that."""
    program.config([{"id": "a", "command": "true"}, {"id": "b", "command": "true", "dependencies": ["a"]}])
    before = glance(program.folder, program.home)
    assert program("-c", "flow.json", "--from-job", "b").code == 2
    assert glance(program.folder, program.home) == before
