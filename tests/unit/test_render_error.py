"""How errors look."""

from screens import CONFIG_ERRORS, assert_harmless

from executioner.errors import ConfigError, ExecutionerError, Problem, UsageError
from executioner.model import NextStep
from executioner.render.command import Invocation
from executioner.render.error import error_text
from executioner.render.text import Palette

TYPED = Invocation(["executioner.py"])


def test_config_errors_to_the_letter() -> None:
    """Four problems of a config give screen 1 of screens.md, letter by letter."""
    error = ConfigError(
        "nightly.json",
        [
            Problem("jobs[1].dependancies", 'unknown key, did you mean "dependencies"?'),
            Problem("jobs[3].timeout", 'expected a positive number, got "x"'),
            Problem("jobs[4].dependencies[0]", 'no job "tranform", did you mean "transform"?'),
            Problem("jobs", "dependency cycle: merge -> report -> merge"),
        ],
        [NextStep("To check again:", ("-c", "nightly.json", "--validate"))],
    )
    assert error_text(error, TYPED, Palette()) == CONFIG_ERRORS


def test_the_least_error_is_one_line() -> None:
    """What alone, or what and where."""
    assert error_text(ExecutionerError("It broke"), TYPED, Palette()) == "Error: It broke\n"
    assert error_text(ExecutionerError("It broke", "here"), TYPED, Palette()) == "Error: It broke (here)\n"


def test_one_problem_is_not_problems() -> None:
    """The singular is used for one."""
    text = error_text(ConfigError("f", [Problem("", "no JSON")]), TYPED, Palette())
    assert text == "Error: 1 problem in the config (f)\n  no JSON\n\nNothing was run.\n"


def test_steps_follow_at_once_without_details() -> None:
    """Only details are set off by an empty line from what to type next."""
    error = UsageError("No config given", "command line", steps=[NextStep("To see:", ("--help",))])
    text = error_text(error, TYPED, Palette())
    assert text == "Error: No config given (command line)\nTo see:\n  executioner.py --help\n"


def test_nothing_in_an_error_is_obeyed_by_a_terminal() -> None:
    """Control characters in any part are escaped."""
    evil = "\x1b]0;x\x07\u202e\x9b\r"
    error = ExecutionerError(evil, evil, details=[evil], steps=[NextStep("To:", ("-c", evil))], assurance="No.")
    assert_harmless(error_text(error, TYPED, Palette()))


def test_only_the_word_error_is_coloured() -> None:
    """With colours the first word is red, the rest is as without."""
    text = error_text(ExecutionerError("It broke"), TYPED, Palette(colour=True))
    assert text == "\x1b[31mError:\x1b[0m It broke\n"
