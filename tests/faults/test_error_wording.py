"""Every error, refusal, warning and note of the program in one file, to be read as a whole: errors.golden.txt.

``pytest tests/faults/test_error_wording.py --update-golden`` writes the file anew; read the difference.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rare_scenes  # noqa: F401  (adds its scenes to GROUPS)
from error_scenes import GROUPS, Stage
from faults_tools import many
from harness import ROOT, Program

pytestmark = pytest.mark.promise(7)

GOLDEN = Path(__file__).with_name("errors.golden.txt")
_HEAD = """\
Everything that the program says when something is wrong, as it says it. Written by
`pytest tests/faults/test_error_wording.py --update-golden`: change the program, not this file.

"""


def sections() -> dict[str, str]:
    """The scenes of each group as the file has them."""
    if not GOLDEN.exists():
        return {}
    _, *parts = re.split(r"^# (.+)\n\n", GOLDEN.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("title", GROUPS)
def test_what_the_program_says(
    title: str, program: Program, request: pytest.FixtureRequest, cases: Callable[[int], None]
) -> None:
    """Each scene prints, letter by letter, what the golden file has for it, and exits with that code."""
    with many(program) as run:
        stage = Stage(program, run)
        GROUPS[title](stage)
    said = "".join(stage.seen)
    assert "Traceback" not in said
    if request.config.getoption("--update-golden"):
        known = {**sections(), title: said}
        text = "".join(f"# {name}\n\n{known[name]}" for name in GROUPS if name in known)
        GOLDEN.write_text(_HEAD + text, encoding="utf-8")
    expected = sections().get(title, "")
    assert said.split("\n## ") == expected.split("\n## ")
    assert said == expected
    cases(len(stage.seen))


# --- that none is forgotten ----------------------------------------------------------------------

#: What is no message: help, samples, screens of their own, SQL, regular expressions.
_ELSEWHERE = {
    "__init__.py": "Python's own error of a name that is not there",
    "config/samples.py": "configs",
    "enumeration.py": "errors that only a fault of the program could raise",
    "graph.py": "errors that only a fault of the program could raise",
    "history/query.py": "SQL",
    "jsontext.py": "errors that only a fault of the program could raise",
    "lean.py": "errors that only a fault of the program could raise",
    "mounts.py": "names of file systems",
    "record.py": "errors that only a fault of the program could raise",
    "resume.py": "reasons in previews (tests/test_resume_changed.py)",
    "suggest.py": "hints of --show-run and of the summary (tests/unit/test_suggest.py)",
    "times.py": "an error that says to its callers that a time is unknown",
}
_QUIET_FUNCTIONS = {"json_schema", "markdown_tables", "_table", "words"}
#: Calls that take a text of the help or the documentation, or a type in quotes, and as which argument.
_TOLD_IN_HELP = {"Key": 2, "Option": 1, "cast": 0}
_SILENT = {"help", "metavar", "description", "usage", "default_words", "epilog"}
_SQL = re.compile(
    r"\b(SELECT|UPDATE|PRAGMA|INSERT|ALTER|DROP|ORDER BY|WHERE|FROM|RENAME TO|INDEXED BY|IF EXISTS|BEGIN IMMEDIATE"
    r"|AND|CASE|typeof|UNION ALL|EXPLAIN|CAST|IS NULL|VALUES|ATTACH|DETACH)\b|\w+, \w+_\w+, |\?,|\w+_\w+, \w+,"
)
_WORDS = re.compile(r"[A-Za-z]{2,}[ ,:]+[^\sA-Za-z]*[A-Za-z]{2,}")
#: Text in the source that is no message to anybody: file, and the text.
NO_MESSAGE = {
    ("parser.py", "(--show-\\w+|--resume-from|--mark-success): expected (at least )?one argument"),
    ("parser.py", ": expected (at least )?one argument$"),
    ("parser.py", ": ignored explicit argument (['\"])(.*)\\1$"),
    ("parser.py", ': takes no value, got "\\2"'),
    ("parser.py", "invalid choice: (['\"])(.*)\\1 \\(choose from (.*)\\)$"),
    ("parser.py", "--show-log RUN_ID [JOB ...]"),
    ("config/syntax.py", "Unterminated string"),
    ("config/syntax.py", "Invalid control character"),
    ("config/syntax.py", "Extra data"),
    ("config/syntax.py", "trailing comma"),
    ("config/syntax.py", "property name"),
    ("arguments.py", "config help"),
    ("parser.py", '\\1: expected a run id or "last"'),  # a replacement
    (
        "history/store.py",
        "coalesce(job.definition, taken.definition), taken.max_retries, coalesce(source_run_id, run_id),",
    ),
    ("history/health.py", "{lock} is not a regular file"),  # {lock} is filled in by doctor.py
    ("history/health.py", "{lock} cannot be read, or its file system has no locks"),
    ("history/health.py", "{lock} cannot be written by this user"),
    (
        "history/putback.py",  # columns
        "status reason exit_code start_time end_time last_run duration_seconds retry_count retry_history"
        " last_error memory_usage_mb cpu_usage_percent log_path",
    ),
}
#: Messages that no scene provokes: file, the text, and why.
NOT_PROVOKED: dict[tuple[str, str], str] = {
    ("attempt.py", "(the end of its output may be missing:"): "takes a full disk: tests/test_engine_output.py",
    (
        "commands/finish.py",
        "The run has ended, and is recorded.",
    ): "takes a history that fails after the last commit",
    ("commands/obstacles.py", "counted as done"): "the job of --from-job always runs, so that something is left",
    (
        "commands/leftovers.py",
        "cannot be seen by this user, only by",
    ): "takes two users: tests/test_resume_refusals.py",
    ("config/keys.py", "a list of e-mail addresses"): "what is no list is judged as one address",
    ("history/read.py", "Its runner ended before attempt"): "takes a kill: tests/test_second_look_history.py",
    ("history/reader.py", "The path of a history cannot be used:"): "of Python alone: no argument has a NUL",
    ("scheduler.py", "could not be started:"): "takes a system without descriptors: tests/test_checks.py",
}


def fragments() -> Iterator[tuple[str, int, str]]:
    """Each literal text of two words or more that the program can say: its file, its line, and the text."""
    package = ROOT / "executioner"
    for path in sorted(package.rglob("*.py")):
        name = str(path.relative_to(package))
        if name.startswith("render/") and name != "render/error.py":
            continue  # screens, which have golden texts of their own
        if name in _ELSEWHERE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        silent = set(_silent(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
                for line in node.value.split("\n"):
                    if _WORDS.search(line) and not _SQL.search(line):
                        yield name, node.lineno, line.strip()


def _silent(tree: ast.Module) -> Iterator[int]:
    """Texts that are never a message: docstrings, help, documentation of keys, annotations in quotes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            yield from _inside(node.body[0].value if isinstance(node.body[0], ast.Expr) else None)
            if isinstance(node, ast.FunctionDef) and node.name in _QUIET_FUNCTIONS:
                yield from _inside(node)
        elif isinstance(node, ast.keyword) and node.arg in _SILENT:
            yield from _inside(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _TOLD_IN_HELP:
            yield from _inside(node.args[_TOLD_IN_HELP[node.func.id]])
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in ("_EPILOG", "_SHELL_WORDS", "_STEPS", "_NO_MAIL"):
                yield from _inside(node.value)


def _inside(node: ast.AST | None) -> Iterator[int]:
    return (id(one) for one in ast.walk(node)) if node is not None else iter(())


def test_every_message_is_in_the_golden_file() -> None:
    """Each text in the source that a message is made of is in the golden file, or stands above with a reason."""
    golden = " ".join(GOLDEN.read_text(encoding="utf-8").split())
    missing = {}
    for name, line, text in fragments():
        words = " ".join(text.split())
        # an error that is told in the middle of a sentence begins with a small letter
        is_said = words in golden or words[:1].lower() + words[1:] in golden
        if not is_said:
            missing[name, text] = line
    forgotten = {key: line for key, line in missing.items() if key not in NOT_PROVOKED and key not in NO_MESSAGE}
    assert forgotten == {}
    assert [key for key in NOT_PROVOKED if key not in missing] == [], "these are provoked now, or gone"
    assert sorted(NO_MESSAGE - missing.keys()) == [], "these are said now, or gone"
    assert [name for name in _ELSEWHERE if not (ROOT / "executioner" / name).exists()] == []
    assert sorted(NO_MESSAGE & NOT_PROVOKED.keys()) == []
