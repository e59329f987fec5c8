"""The screens of errors in configs."""

import pytest
from harness import Program
from screens import CONFIG_ERRORS, assert_harmless, everything, on_screen

pytestmark = pytest.mark.promise(7)


def golden_config(program: Program) -> None:
    """A config with the four problems of screen 1."""
    program.config(
        [
            {"id": "transform", "command": "touch ran"},
            {"id": "extract", "command": "touch ran", "dependancies": ["transform"]},
            {"id": "merge", "command": "touch ran", "dependencies": ["report"]},
            {"id": "report", "command": "touch ran", "dependencies": ["merge"], "timeout": "x"},
            {"id": "load", "command": "touch ran", "dependencies": ["tranform"]},
        ],
        name="nightly.json",
    )


@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--validate"], ["--quiet"], ["--format", "json"]])
def test_config_errors_to_the_letter(program: Program, flags: list[str]) -> None:
    """All problems at once as in screen 1 of screens.md, on stderr alone; 2; nothing run, nothing written."""
    golden_config(program)
    before = everything(program)
    result = program("-c", "nightly.json", *flags)
    expected = CONFIG_ERRORS.replace("  executioner.py", f"  cd {program.folder} && executioner.py")
    assert result == (2, "", expected)
    assert everything(program) == before


def test_config_errors_on_a_terminal(program: Program) -> None:
    """On a terminal it is screen 1 of screens.md, letter by letter."""
    golden_config(program)
    assert on_screen(program, "-c", "nightly.json") == (2, CONFIG_ERRORS, "")


def test_broken_json(program: Program) -> None:
    """A file that is no JSON: the place, 2, and nothing written."""
    (program.folder / "flow.json").write_text('{"jobs": [\n  {"id": "a" "command": "true"}\n]}')
    before = everything(program)
    result = program("-c", "flow.json")
    assert (result.code, result.out) == (2, "")
    lines = result.err.splitlines()
    assert lines[0] == "Error: 1 problem in the config (flow.json)"
    assert "line 2" in lines[1]
    assert everything(program) == before


def test_yaml(program: Program) -> None:
    """A file of another format is told as such, at its first character."""
    (program.folder / "flow.yaml").write_text("jobs:\n  - id: a\n    command: ls\n")
    result = program("-c", "flow.yaml")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[1] == "  line 1, column 1: this is not JSON: it must begin with {"


def test_missing_plugins_folders_and_checks_are_told_together(program: Program) -> None:
    """What is looked up outside the config is told beside everything else."""
    (program.folder / "broken.py").write_text("open('x')")  # the plugin is there, a file of its own is not
    check = {"name": "check_file_exist", "params": {"path": "x"}}
    program.config(
        [{"id": "a", "command": ["ls"], "pre_checks": [check]}],
        working_dir="nope",
        dependency_plugins=["nope.py", "broken.py"],
    )
    result = program("-c", "flow.json")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[:6] == [
        "Error: 5 problems in the config (flow.json)",
        f'  working_dir: no folder "{program.folder}/nope"',
        f'  dependency_plugins[0]: no file "{program.folder}/nope.py"',
        "  dependency_plugins[1]: cannot be loaded: FileNotFoundError: [Errno 2] No such file or directory: 'x'",
        "  jobs[0].command: expected a string, got a list",
        '  jobs[0].pre_checks[0].name: no check "check_file_exist", did you mean "check_file_exists"?',
    ]


def test_the_path_is_shown_as_it_was_typed(program: Program) -> None:
    """The error names the config as the user did, and the command to check again too."""
    (program.folder / "sub").mkdir()
    program.config([{"id": "a"}], name="sub/flow.json")
    result = on_screen(program, "-c", "./sub/flow.json")
    assert result.out.startswith("Error: 1 problem in the config (./sub/flow.json)\n")
    assert result.out.endswith("  executioner.py -c ./sub/flow.json --validate\n")


def test_errors_are_harmless(program: Program) -> None:
    """Keys, values and names with control or bidi characters are repeated escaped."""
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\u2028\x9b\r"
    program.config(
        [
            {"id": f"a{evil}", "command": "true"},
            {"id": "b", "command": "true", f"key{evil}": 1, "dependencies": [f"x{evil}"], "timeout": evil},
            {"id": "c", "command": "true", "working_dir": f"/{evil}", "retry_on_status": [evil]},
        ],
        name=f"f{evil}.json",
        **{f"top{evil}": evil},
    )
    for arguments in (["-c", f"f{evil}.json"], ["-c", f"nope{evil}"], [f"--op{evil}"], [evil], ["--color", evil]):
        result = program(*arguments)
        assert (result.code, result.out) == (2, "")
        assert_harmless(result.err)
