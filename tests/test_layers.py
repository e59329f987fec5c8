"""The layers of the design's section 8: imports point down only, and each layer keeps to its means."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from executioner import lean

PACKAGE = Path(__file__).resolve().parent.parent / "executioner"

# Modules by layer, from below. A prefix ending in "." stands for a package.
RECORDS = ("lean", "jsontext", "record", "enumeration", "model", "events", "errors", "records")
PURE = (
    "config.",
    *(
        "graph",
        "plan",
        "retry",
        "environ",
        "estimate",
        "verdict",
        "definition",
        "resume",
        "suggest",
        "render.",
        "times",
        "when",
    ),
)
EFFECTS = (
    *("process", "family", "leftovers", "signals", "joblog", "checks", "terminal", "mounts"),
    "history.",
)
ENGINE = ("ending", "attempt", "scheduler")
LISTENERS = ("listeners",)
COMMANDS = ("commands.",)
TOP = ("arguments", "guess", "parser", "cli", "__main__")
FOLDERS = ("folders", "deferred")
LAYERS = (RECORDS, PURE, FOLDERS, EFFECTS, ENGINE, LISTENERS, COMMANDS, TOP)

# What records and pure modules may import of the standard library: nothing that reads a
# clock, the environment, a file or a stream by itself. ``os.path`` and ``time`` are looked
# at function by function below.
PURE_LIBRARY = {
    *("collections.abc", "typing", "types", "enum", "heapq", "math", "re", "shlex", "json", "signal"),
    *("difflib", "hashlib", "hmac", "os.path", "time", "string", "itertools", "functools", "operator"),
    *("contextlib", "datetime", "textwrap", "calendar", "csv", "fnmatch", "__future__"),
}
# config.parse computes SHA-256 with the interpreter's own module: hashlib loads OpenSSL.
# The list of runs is laid out by packages made for it, which compute only.
PURE_EXCEPTIONS = {
    ("config.parse", "_sha2"),
    ("config.parse", "_sha256"),
    ("jsontext", "_json"),
    ("jsontext", "sys"),
    ("lean", "_functools"),
    ("lean", "_heapq"),
    ("lean", "_signal"),
    ("record", "_collections"),
    ("record", "collections"),
    ("render.runs", "tabulate"),
    ("render.runs", "wcwidth"),
    ("render.text", "wcwidth"),
}
# Functions of os and os.path that look at nothing but their arguments, and those of time
# that turn an instant into text.
PURE_OS = {"fsencode", "fsdecode", "path", "sep", "pathsep"}
PURE_OS_PATH = {
    "join",
    "dirname",
    "basename",
    "splitext",
    "normpath",
    "isabs",
    "split",
    "commonpath",
    "commonprefix",
}
PURE_TIME = {"strftime", "strptime", "localtime", "gmtime"}
FORBIDDEN_CALLS = {"open", "print", "input", "exit", "quit", "exec", "eval", "compile", "__import__"}

# The effects that may know of each other: a check is a forked process.
EFFECTS_THAT_KNOW = {("checks", "process"), ("checks", "family"), ("leftovers", "family")}


class Import(NamedTuple):
    """One name that a module imports."""

    module: str  # executioner.model, os, ...
    name: str | None  # of ``from module import name``
    line: int
    for_types: bool


def module_name(path: Path) -> str:
    """A module's name inside the package: ``cli``, ``render.text``, ``history`` for its __init__."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


MODULES = {module_name(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imports(name: str) -> Iterator[Import]:
    """Every import of a module, at its top and inside functions."""
    tree = MODULES[name]
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, id(node) in typed)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            for alias in node.names:
                yield Import(str(node.module), alias.name, node.lineno, id(node) in typed)


def own_imports(name: str) -> Iterator[tuple[str, int]]:
    """The modules of the package that a module imports, by their names inside it."""
    for one in imports(name):
        if one.for_types or one.module.split(".")[0] != "executioner":
            continue
        inner = one.module.partition(".")[2]
        as_module = f"{inner}.{one.name}".lstrip(".")
        yield (as_module if as_module in MODULES else inner), one.line


def belongs(name: str, group: tuple[str, ...]) -> bool:
    return any(name == one or (one.endswith(".") and f"{name}.".startswith(one)) for one in group)


def layer(name: str) -> int:
    """The number of a module's layer, from below."""
    [number] = [number for number, group in enumerate(LAYERS) if belongs(name, group)]
    return number


def parents(tree: ast.AST) -> dict[int, ast.AST]:
    return {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


PURE_MODULES = [name for name in MODULES if name and layer(name) <= 1]
EFFECT_MODULES = [name for name in MODULES if name and LAYERS[layer(name)] is EFFECTS]


def test_every_module_has_one_layer() -> None:
    """A new module is put into a layer here before anything else."""
    for name in MODULES:
        if name:
            assert sum(belongs(name, group) for group in LAYERS) == 1, name


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_point_down(name: str) -> None:
    """No module imports one of a higher layer, whether at its top or inside a function."""
    found = [f"line {line}: {other}" for other, line in own_imports(name) if other and layer(other) > layer(name)]
    assert found == []


@pytest.mark.parametrize("name", PURE_MODULES)
def test_pure_modules_import_pure_ones_only(name: str) -> None:
    """Records and pure modules import each other and those parts of the library that only compute."""
    for other, line in own_imports(name):
        assert other in PURE_MODULES, f"line {line}: {other}"
    for one in imports(name):
        if one.module.split(".")[0] == "executioner":
            continue
        if one.module == "os.path" and one.name is not None:
            assert one.name in PURE_OS_PATH, f"line {one.line}: {one.name}"
        if one.module == "time" and one.name is not None:
            assert one.name in PURE_TIME, f"line {one.line}: {one.name}"
        known = one.module in PURE_LIBRARY or (name, one.module) in PURE_EXCEPTIONS
        assert known, f"line {one.line}: {one.module}"


@pytest.mark.parametrize("name", PURE_MODULES)
def test_pure_modules_do_nothing_but_compute(name: str) -> None:
    """No clock, no environment, no file, no stream, no exit: not even by a builtin."""
    tree = MODULES[name]
    above = parents(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS, f"line {node.lineno}: {node.func.id}()"
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name | ast.Attribute):
            continue
        base = ast.unparse(node.value)
        where = f"line {node.lineno}: {base}.{node.attr}"
        if base == "os":
            assert node.attr in PURE_OS, where
        elif base == "os.path":
            assert node.attr in PURE_OS_PATH, where
        elif base == "time" and isinstance(above[id(node)], ast.Call):
            assert node.attr in PURE_TIME, where
        elif base == "signal":
            assert node.attr.isupper() or node.attr == "Signals", where
        elif base == "sys":
            raise AssertionError(where)


@pytest.mark.parametrize("name", EFFECT_MODULES)
def test_effects_are_of_one_kind_each(name: str) -> None:
    """Processes, history and terminal are unaware of each other, but for the few pairs that are named here."""
    family = name.split(".")[0]
    for other, line in own_imports(name):
        if layer(other) < LAYERS.index(EFFECTS) or other.split(".")[0] == family:
            continue
        assert (name, other) in EFFECTS_THAT_KNOW, f"line {line}: {other}"


def test_the_named_pairs_exist() -> None:
    """An exception that is no longer needed is taken off the list."""
    pairs = {(name, other) for name in EFFECT_MODULES for other, _ in own_imports(name)}
    assert pairs >= EFFECTS_THAT_KNOW


def test_sql_is_in_the_history_alone() -> None:
    """Only modules of the history import SQLite; others may name its types in a signature."""
    users = {
        name
        for name in MODULES
        for one in imports(name)
        if one.module in ("sqlite3", "_sqlite3", "executioner.history.sqlite")
        and (one.name is None or one.name != "Connection")
    }
    assert {name for name in users if not name.startswith("history.")} == set()


def test_the_lean_signal_has_all_that_is_used_of_it() -> None:
    """Type checkers see the package's module, which has more: its enumerations, say."""
    used = {
        (name, node.attr)
        for name, tree in MODULES.items()
        if any((one.module, one.name) == ("executioner.lean", "signal") for one in imports(name))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "signal"
    }
    assert ("family", "SIGKILL") in used
    assert {(name, what) for name, what in used if not hasattr(lean.signal, what)} == set()


def test_nothing_below_the_command_line_prints_or_exits() -> None:
    """``print`` is used nowhere, the process is ended at its entry, and by the forked child of the checks."""
    allowed = {("cli", "os._exit"), ("__main__", "os._exit"), ("process", "os._exit")}
    found = set()
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            what = ast.unparse(node.func)
            if what in {"print", "exit", "quit", "input", "sys.exit", "os._exit", "os.abort"}:
                found.add((name, what))
            if what in {"sys.stdout.write", "sys.stderr.write"} and name != "terminal":
                found.add((name, what))
    assert found <= allowed


def test_argv_is_read_once() -> None:
    """``main(argv)`` is given its arguments: only the entries read ``sys.argv`` and ``sys.orig_argv``."""
    found = set()
    for name, tree in MODULES.items():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.argv", "sys.orig_argv"}:
                        found.add((name, function.name))
    assert found == {("cli", "main_script"), ("__main__", "_begin_again_in_utf8")}


@pytest.mark.parametrize("name", list(MODULES))
def test_no_global_is_reassigned(name: str) -> None:
    """No function rebinds a name of its module: there is no state that hides between calls."""
    assert [node.lineno for node in ast.walk(MODULES[name]) if isinstance(node, ast.Global)] == []


@pytest.mark.parametrize("name", list(MODULES))
def test_every_module_function_and_class_says_what_it_is_for(name: str) -> None:
    """Modules, public classes and public functions have a docstring."""
    tree = MODULES[name]
    assert ast.get_docstring(tree), name
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            above = parents(tree)[id(node)]
            if isinstance(above, ast.Module | ast.ClassDef) and not getattr(above, "name", "").startswith("_"):
                assert ast.get_docstring(node), f"{name}:{node.lineno} {node.name}"
