"""Configs that were bitten by chance: wrong values of every kind at every place, and bytes changed at random."""

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from every_key import every_key
from faults_tools import Ended, Many, assert_no_fault, glance, many
from harness import ROOT, Program, ended

from executioner.config.samples import SAMPLE_CONFIG, SIMPLE_CONFIG

pytestmark = pytest.mark.promise(7)

SEED = 20260523
#: One case takes milliseconds; what takes longer than this would be felt by whoever waits for it.
MOST_SECONDS = 10.0
MOST_MIB = 400.0
_MOST_RETRIES = 2

#: Every documented key, each with a value that is right where these files are.
EVERY_KEY = every_key(
    {
        "working_dir": ".",
        "log_dir": "./logs",
        "history_db": "own.db",
        "max_active_runs": 3,
        "env_variables": {"A": "x", "B": 1, "C": 1.5, "D": True, "E": "${A}${B}", "_comment": []},
        "command_whitelist": ["true", "echo"],
        "dependency_plugins": ["rows.py", {"name": "n", "path": "sub/more.py"}],
    },
    {
        "max_retries": 2,
        "retry_delay": 0,
        "pre_checks": [{"name": "check_file_exists", "params": {"path": "."}}],
        "post_checks": [{"name": "rows", "params": {"least": 1}}, {"name": "n"}],
    },
)
_PLUGIN = "CHECKS = {'rows': lambda **params: True}\n"
_MORE = "class PLUGIN_CLASS:\n    def __init__(self, params): pass\n    def check(self): return True\n"


# --- changing a tree -----------------------------------------------------------------------------


class Raw(str):
    """Stands in a tree for a value, written as it is."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object as a list of keys and values: keys may come twice."""


def tree_of(text: str) -> Any:
    """A config as a tree that can be changed."""
    return json.loads(text, object_pairs_hook=Pairs)


def text_of(node: Any) -> str:
    """A tree as text, which need not be right."""
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {text_of(value)}" for name, value in node) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(text_of, node)) + "]"
    return json.dumps(node)


def places(node: Any) -> Iterator[tuple[Any, int]]:
    """Every value of a tree, as what holds it and its position there."""
    work = [node]
    while work:
        holder = work.pop()
        for at, item in enumerate(holder):
            value = item[1] if isinstance(holder, Pairs) else item
            yield holder, at
            if isinstance(value, list):
                work.append(value)


def replaced(holder: Any, at: int, value: Any) -> None:
    """Put a value where another one stands."""
    holder[at] = (holder[at][0], value) if isinstance(holder, Pairs) else value


HOSTILE_TEXTS = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "x\udfffy",
        "\u202e\u2066evil",
        "\x1b[2J\x1b]0;owned\x07",
        "\r\n",
        "\u2028",
    ),
    *("~", "~root", "~/x", "..", "../../../..", "/", "/dev/null", "/dev/null/x", "/proc/self/mem", "sub", "nope"),
    *("rows.py", "flow.json", "first", "a", "extract", "load", "true", "False", "null", "default", "NaN", "1e999"),
    *("${A}", "${A}${A}", "${E}", "${", "${}", "${X}", "$(id)", "`id`", "a'b", 'a"b', "a\\", "a=b", "=", "a b"),
    *("a,b", "ops@example.com", "@", "a@b@c", "check_file_exists", "check_no_ora_errors", "rows", "n", "warn"),
    *("strict", "starttls", "FAILED", "failed", "timeout", "SUCCESS", "-", "--", "-c", "%s%n", "{0}", "'; true #"),
    *("é" * 40, "語" * 300, "x" * 70_000, "x" * 131_071, "x" * 140_000, "🧨", "e\u0301", "\ufeff", "\u200b"),
)
HOSTILE_TOKENS = (
    *("null", "true", "false", "0", "-0", "-0.0", "1", "-1", "2", "3.5", "0.1", "1e-320", "1e400", "-1e400"),
    *("1e308", "99999999999999999999", "9" * 400, "9" * 5000, "1.0000000000000000000000001", "255", "256", "-64"),
    *(
        "-65",
        "65535",
        "65536",
        "100000",
        "100001",
        "1000000000",
        "1000000001",
        "2147483648",
        "18446744073709551616",
    ),
    *("NaN", "Infinity", "-Infinity", "[]", "{}", "[[]]", "[null]", '[""]', '["a", "a"]', '{"": ""}', '{"a": 1}'),
    *(
        '{"a": {"b": {}}}',
        '{"__proto__": {}}',
        "01",
        "+1",
        "1.",
        ".5",
        "0x10",
        "1_000",
        "'a'",
        "True",
        "undefined",
    ),
    *("// no\nnull", "/* */ 1", "", ",", ":", "[1,]", '{"a" 1}', '{"a": 1, "a": 2}', '"\\x"', '"\\ud800"', '"\t"'),
    "[" * 90 + "]" * 90,
    "[" * 101 + "]" * 101,
    "[" * 5000 + "]" * 5000,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 5000 + "1" + "}" * 5000,
    "[" + ",".join(["1"] * 20_000) + "]",
    "[" + ",".join(['"a"'] * 5_000) + "]",
)
NUMBERS = tuple(token for token in HOSTILE_TOKENS if re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?|NaN|-?Infinity", token))
KEYS = (
    *EVERY_KEY,
    *EVERY_KEY["jobs"][1],
    *(
        "params",
        "path",
        "log_file",
        "least",
        "PATH",
        "HOME",
        "LD_PRELOAD",
        "IFS",
        "EXECUTIONER_DB",
        "_x",
        "$x",
        "1a",
    ),
)


def _value(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(HOSTILE_TEXTS)
    if kind < 0.85:
        return Raw(rng.choice(HOSTILE_TOKENS))
    if kind < 0.95:
        return Raw(str(rng.randint(-(10 ** rng.randint(0, 20)), 10 ** rng.randint(0, 20))))
    return "".join(
        chr(rng.choice((rng.randint(0, 127), rng.randint(0, 0xFFFF)))) for _ in range(rng.randint(1, 9))
    )


def _put_value(rng: random.Random, holder: Any, at: int) -> None:
    inner = holder[at][1] if isinstance(holder, Pairs) else holder[at]
    if isinstance(inner, (int, float)) and rng.random() < 0.7:  # the edges of ranges, rather than any nonsense
        replaced(holder, at, Raw(rng.choice(NUMBERS)))
    else:
        replaced(holder, at, _value(rng))


def _remove(rng: random.Random, holder: Any, at: int) -> None:
    del holder[at]


def _repeat(rng: random.Random, holder: Any, at: int) -> None:
    holder.insert(rng.randint(0, len(holder)), holder[at])


def _rename(rng: random.Random, holder: Any, at: int) -> None:
    if isinstance(holder, Pairs):
        name, value = holder[at]
        odd = rng.choice((*KEYS, *HOSTILE_TEXTS, name.upper(), f"_{name}", f"${name}", name[:-1], name + "s"))
        holder[at] = (odd, value)


def _add_key(rng: random.Random, holder: Any, at: int) -> None:
    if isinstance(holder, Pairs):
        name = rng.choice(KEYS)
        right = EVERY_KEY.get(name, EVERY_KEY["jobs"][1].get(name))
        holder.append((name, Raw(json.dumps(right)) if rng.random() < 0.6 else _value(rng)))


def _swap(rng: random.Random, holder: Any, at: int) -> None:
    other = rng.randrange(len(holder))
    holder[at], holder[other] = holder[other], holder[at]


def _wrap(rng: random.Random, holder: Any, at: int) -> None:
    inner = holder[at][1] if isinstance(holder, Pairs) else holder[at]
    replaced(holder, at, [inner] if rng.random() < 0.5 else Pairs([(rng.choice(KEYS), inner)]))


def _depend(rng: random.Random, holder: Any, at: int) -> None:
    """Let a job need any other, itself too: circles come about."""
    if isinstance(holder, Pairs) and any(name == "command" for name, _ in holder):
        names = ["first", "a", "extract", "transform", "load", "report", "cleanup", "merge_results"]
        needs = [rng.choice(names) for _ in range(rng.randint(1, 4))]
        holder[:] = [(name, value) for name, value in holder if name != "dependencies"]
        holder.append(("dependencies", needs))


CHANGES: tuple[Callable[[random.Random, Any, int], None], ...] = (
    *(_put_value, _put_value, _put_value, _put_value, _remove, _repeat, _rename, _add_key, _add_key, _swap),
    *(_wrap, _depend),
)


def structural(rng: random.Random, config: str) -> bytes:
    """A config with a few values, keys and items changed."""
    tree = [tree_of(config)]  # in a list, so that the whole is a value too
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        holder, at = rng.choice(list(places(tree)))
        rng.choice(CHANGES)(rng, holder, at)
        if not tree:
            return b""
    return text_of(tree[0]).encode("utf-8", "surrogatepass")


def bytewise(rng: random.Random, config: str) -> bytes:
    """The bytes of a config, some flipped, cut out, repeated or put in, or in another encoding."""
    data = bytearray(config.encode())
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randint(0, len(data))
        match rng.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + rng.choice((1, 1, 5, 100))]
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 1, 4)))
            case 3:
                data[at:at] = rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5", b"\0", b"\xef\xbb\xbf"))
            case 4:
                data[at:at] = rng.choice(b'{ } [ ] " , : \\ / # - e . \t \n'.split(b" "))
            case 5:
                data = data[:at]
            case 6:
                start = rng.randint(0, len(data))
                data[at:at] = data[start : start + 50]
            case _ if at < len(data):
                data[at] = rng.randrange(32, 127)
    whole = rng.random()
    if whole < 0.05:
        return (
            bytes(data).decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-7")))
        )
    if whole < 0.1:
        return b"\xef\xbb\xbf" + data
    return bytes(data)


# --- trying it -----------------------------------------------------------------------------------


class Bench(NamedTuple):
    """A folder with all that the configs name, and how to run the program there."""

    program: Program
    run: Many

    def attempt(self, data: bytes, case: str, *args: str) -> Ended:
        """Let the program look at a config; fails if it is not well-behaved about it, or leaves a trace."""
        program = self.program
        (program.folder / "flow.json").write_bytes(data)
        before = glance(program.folder, program.home)
        ended = self.run("-c", "flow.json", *args)
        assert_no_fault(ended, (0, 2, 3) if "--validate" not in args else (0, 2), case)
        assert glance(program.folder, program.home) == before, f"{case}: something was written"
        assert not program.history.exists(), case
        if ended.code:
            assert ended.out == "", case
            assert ended.err.startswith("Error: "), f"{case}:\n{ended.err[:3000]}"
        assert ended.seconds < MOST_SECONDS, f"{case}: {ended.seconds:.1f} s"
        assert ended.peak_mib < MOST_MIB, f"{case}: {ended.peak_mib:.0f} MiB"
        return ended


def prepared(program: Program) -> list[str]:
    """Make what the configs name; returns the configs to begin with."""
    (program.folder / "rows.py").write_text(_PLUGIN)
    (program.folder / "sub").mkdir()
    (program.folder / "sub/more.py").write_text(_MORE)
    for name in ("extracted.txt", "data", "scripts"):
        (program.folder / name).mkdir()
    examples = [path.read_text() for path in sorted(ROOT.glob("examples/*/*.json"))]
    assert len(examples) == 2
    return [SIMPLE_CONFIG, SAMPLE_CONFIG, json.dumps(EVERY_KEY), *examples]


def mutated(configs: list[str], number: int) -> tuple[bytes, str]:
    """The config of a number, and words by which a failure can be repeated."""
    rng = random.Random(f"{SEED} {number}")
    # the config of all keys, and small configs, have more to offer than long ones
    config = rng.choice((*configs, configs[2], configs[2], configs[0]))
    data = bytewise(rng, config) if rng.random() < 0.35 else structural(rng, config)
    return data, f"seed {SEED}, number {number}, {data[:2000]!r}"


def harmless(data: bytes, folder: Path) -> bytes | None:
    """A valid config with harmless commands, no long waits, and nothing written outside; None: not to be run."""
    try:
        config = json.loads(data.decode("utf-8-sig"))
    except ValueError:  # a number that is only right in a comment
        return None
    logs = os.path.normpath(
        os.path.join(folder, os.path.expanduser(config.get("working_dir", ".")), config.get("log_dir", "logs"))
    )
    if not logs.startswith(f"{folder}/"):
        config.pop("log_dir", None)
        config.pop("working_dir", None)
    config["command_whitelist"] = None
    config.pop("history_db", None)
    for prefix, one in [("default_", config), *(("", job) for job in config["jobs"])]:
        if not prefix:
            one["command"] = "true"
        for name, most in (("max_retries", _MOST_RETRIES), ("retry_delay", 0), ("retry_backoff", 1)):
            if prefix or f"{name}" in one:
                one[prefix + name] = min(one.get(prefix + name, most), most)
    return json.dumps(config).encode("utf-8", "surrogatepass")


def test_mutated_configs_are_refused_or_right(
    program: Program, nightly: bool, cases: Callable[[int], None]
) -> None:
    """Whatever a config says: 0, or 2 with an error; no traceback, no trace on the disk, little time and memory.

    ``--validate`` and ``--dry-run`` agree about it, but for folders and histories that only a run looks at.
    """
    configs, number = prepared(program), 20_000 if nightly else 500
    valid = 0
    with many(program) as run:
        bench = Bench(program, run)
        for config in configs[:3]:  # what a failing comparison below would mean, else
            assert bench.attempt(config.encode(), "as it is", "--validate").code == 0
        for at in range(number):
            data, case = mutated(configs, at)
            checked = bench.attempt(data, case, "--validate")
            valid += checked.code == 0
            if checked.code == 0 or at % 4 == 0:
                previewed = bench.attempt(data, case, "--dry-run")
                assert checked.code == 0 or previewed.code == 2, f"{case}: --dry-run takes what --validate refuses"
                if checked.code:
                    assert previewed.err == checked.err, case
    assert number / 20 < valid < number, f"{valid} of {number} are valid: the configs are bitten too hard"
    cases(number)


def test_mutated_configs_that_are_valid_can_be_run(
    program: Program, nightly: bool, cases: Callable[[int], None]
) -> None:
    """What ``--validate`` takes is run to its end: 0 or 1, or refused with 2 or 3; the history says the same."""
    configs, number = prepared(program), 2_000 if nightly else 40
    db = program.home / "runs.db"
    tried = recorded = at = 0
    codes: set[int] = set()
    with many(program) as run:
        while tried < number:
            at += 1
            data, case = mutated(configs, 1_000_000 + at)
            flow = program.folder / "flow.json"
            flow.write_bytes(data)
            if run("-c", "flow.json", "--validate").code:
                continue
            safe = harmless(data, program.folder)
            if safe is None:
                continue
            tried += 1
            flow.write_bytes(safe)
            ended = run("-c", "flow.json", "--db", str(db))
            codes.add(ended.code)
            case = f"{case}\nrun as {safe[:2000]!r}"
            assert_no_fault(ended, (0, 1, 2, 3), case)
            runs = program.rows("SELECT run_id, status FROM run_metadata ORDER BY run_id", db=db)
            if ended.code in (0, 1):
                recorded += 1
                expected = ("SUCCESS", "PARTIAL") if ended.code == 0 else ("FAILED",)
                assert runs[-1]["status"] in expected, f"{case}\n{runs[-1]}"
            else:
                assert "Error: " in ended.err, f"{case}:\n{ended.err}"
            assert len(runs) == recorded, f"{case}: {ended}"
            shutil.rmtree(program.folder / "logs", ignore_errors=True)
    assert {0, 1} <= codes
    cases(number)


def test_a_plugin_that_is_a_pipe_is_refused_at_once(program: Program) -> None:
    """What is no regular file is no plugin: 2 with its name, and nobody waits for somebody to write into it."""
    pipe = program.folder / "pipe"
    os.mkfifo(pipe)
    program.config({"a": "true"}, dependency_plugins=["pipe"])
    with ended(program.start("-c", "flow.json", "--validate")) as process:
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            os.close(os.open(pipe, os.O_WRONLY))  # lets it end
            pytest.fail("it waits for the pipe")
        assert process.stderr is not None
        assert (process.returncode, "not a regular file" in process.stderr.read()) == (2, True)
