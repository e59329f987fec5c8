"""Commands to type next."""

from executioner.model import NextStep
from executioner.render.command import Invocation, steps_text


def test_a_run_command_has_config_history_and_flags() -> None:
    """The parts stand in a fixed order: program, config, history, flags, what is asked for."""
    invocation = Invocation(["executioner.py"], config="f.json", db="h.db", flags="--workers 2")
    assert invocation.run("--dry-run") == "executioner.py -c f.json --db h.db --workers 2 --dry-run"


def test_a_looking_command_has_the_history_alone() -> None:
    """A command that only reads the history needs neither config nor flags."""
    invocation = Invocation(["executioner.py"], config="f.json", db="h.db", flags="--workers 2")
    assert invocation.look("--show-run", "3") == "executioner.py --db h.db --show-run 3"


def test_what_is_not_needed_is_not_printed() -> None:
    """Without a history of its own and flags, a command is short."""
    assert Invocation(["executioner.py"], config="f.json").run() == "executioner.py -c f.json"


def test_every_word_is_quoted() -> None:
    """Spaces and quotes in the program, the folder, the config and the history stay within their words."""
    invocation = Invocation(["/opt/my tools/x.py"], "/a b", "it's.json", "h $x.db", "--env 'A=1 2'")
    assert invocation.run() == (
        "cd '/a b' && '/opt/my tools/x.py' -c 'it'\"'\"'s.json' --db 'h $x.db' --env 'A=1 2'"
    )


def test_a_program_of_several_words() -> None:
    """``python -m executioner`` is printed as its words."""
    assert Invocation(["python", "-m", "executioner"]).plain(["--help"]) == "python -m executioner --help"


def test_steps_are_a_reason_and_a_command_each() -> None:
    """The assurance that nothing was run stands before the first reason, or alone."""
    invocation = Invocation(["executioner.py"])
    steps = [NextStep("To check:", ("-c", "f", "--validate")), NextStep("Help:", ("--help",))]
    assert steps_text(steps, invocation, "Nothing was run.") == [
        "Nothing was run. To check:",
        "  executioner.py -c f --validate",
        "Help:",
        "  executioner.py --help",
    ]
    assert steps_text([], invocation, "Nothing was run.") == ["Nothing was run."]
    assert steps_text([], invocation) == []
