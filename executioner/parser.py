"""Reading the command line, and its help, by ``argparse``."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence

from executioner.arguments import (
    GROUPS,
    LOOK_USAGE,
    MODES,
    OPTIONS,
    RESUME_USAGE,
    USAGE,
    Arguments,
    Option,
    flag_of,
    hidden,
    masked,
    takers,
    wrong,
)
from executioner.errors import UsageError
from executioner.model import NextStep, RunStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_EPILOG = """\
examples:
  {program} --simple-config > nightly.json     a first config to edit
  {program} -c nightly.json --validate         is it right?
  {program} -c nightly.json --dry-run          what would it do?
  {program} -c nightly.json                    run it
  {program} -c nightly.json -j 4               four jobs at a time
  {program} --list-runs --status failed        what went wrong lately?
  {program} --show-run last                    how did the newest run go, and what now?
  {program} --show-log last load --follow      what is the job load printing?
  {program} --resume-from last --dry-run       what would resuming the newest run do?
  {program} --resume-from last                 run what is missing of it

exit codes:
  0 all jobs succeeded   1 a job failed   2 wrong usage or config, nothing was run
  3 the history cannot be used, the run may not start now, or an internal error
  129/130/143 ended by HUP/INT/TERM
"""


# argparse looks up translations of its own words, which costs a millisecond; ours are English
argparse.__dict__["_"] = str
_NOT_A_VALUE = "(--[a-z-]+=|-[cj]=?)--"
_SHORTEST = 5  # of the beginning of an option that is taken for one
#: Commands that other programs have, and the option that does the same here.
_COMMANDS = {
    **dict.fromkeys(("list", "ls", "runs", "history"), "list-runs"),
    **dict.fromkeys(("log", "logs", "tail"), "show-log"),
    **dict.fromkeys(("show", "status"), "show-run"),
    "resume": "resume-from",
    "run": "config",
}
#: Options that other programs have, and ours for the same: of make and ninja most of all.
_OPTIONS = {
    **dict.fromkeys(("-n", "--dry", "--just-print"), "--dry-run"),
    **dict.fromkeys(("-k", "--keep-going"), "--continue-on-error"),
    **dict.fromkeys(("-q", "-s", "--silent"), "--quiet"),
    **dict.fromkeys(("-f", "--file"), "-c"),
    **dict.fromkeys(("--retry", "--restart"), "--resume-from"),
    "--retry-failed": "--resume-failed-only",
    "--jobs": "-j",
    "--logs": "--show-log",
    "-v": "--verbose",
    "-V": "--version",
    "-y": "--yes",
}
#: A value of its kind, where an option was given none.
_EXAMPLES = {"RUN_ID": "last", "N": "10", "S": "failed", "T": "today"}
_NEAR = 0.8  # as difflib measures it: --dryrun is near --dry-run, --show-run is not


#: What argparse says, and how we say it.
_IN_OUR_WORDS: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]] = (
    (r"^argument (?:-\w/)?(-[\w-]+): ", r"\1: "),
    (
        r"(--show-\w+|--resume-from|--mark-success): expected (at least )?one argument",
        r'\1: expected a run id or "last"',
    ),
    (r": expected (at least )?one argument$", ": expected a value, got nothing"),
    (r""": ignored explicit argument (['"])(.*)\1$""", r': takes no value, got "\2"'),
    (
        r"""invalid choice: (['"])(.*)\1 \(choose from (.*)\)$""",
        lambda said: f'expected {_one_of(said[3])}, got "{said[2]}"',
    ),
)


def _one_of(choices: str) -> str:
    """``a, b or c`` of argparse's list, which some versions of Python quote."""
    *first, last = choices.replace("'", "").split(", ")
    return f"{', '.join(first)} or {last}"


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are ours: one form, with a guess at what was meant."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and exiting."""
        what = message
        for pattern, ours in _IN_OUR_WORDS:
            what = re.sub(pattern, ours, what)
        raise wrong(what)

    def format_help(self) -> str:
        """The help; argparse cannot say that one word may be left out, but no more may follow."""
        text = super().format_help()
        return text.replace("--show-log RUN_ID [JOB ...]", "--show-log RUN_ID [JOB]")


class _Once(argparse.Action):
    """An option of which a second one is refused: neither is silently left out."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, self.dest)
        if given is not None:
            parser.error(f'{self.option_strings[-1]}: given twice, "{given}" and "{values}"')
        setattr(namespace, self.dest, values)


def build_parser(program: str) -> argparse.ArgumentParser:
    """The parser of all options, grouped as ``--help`` shows them; ``program`` is how it was called."""
    program = program.replace("%", "%%")
    parser = _Parser(
        prog=program,
        usage=f"{program} {USAGE}\n       {program} {RESUME_USAGE}\n       {program} {LOOK_USAGE}",
        description="Run a JSON file of shell jobs with dependencies; remember every run.",
        epilog=_EPILOG.replace("{program}", program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            _add(group, option)
    return parser


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    """Tell argparse of an option."""
    shown = argparse.SUPPRESS if option.help is None else option.help
    if option.is_switch:
        group.add_argument(*option.typed, action="store_true", help=shown)
        return
    group.add_argument(
        *option.typed,
        dest=option.name,
        metavar=option.value,
        nargs="+" if isinstance(option.value, tuple) else None,
        type=_reader(option.read),
        choices=option.choices or None,
        action="append" if option.repeatable else _Once if option.once else "store",
        default=option.default,
        help=shown,
    )


def _reader(read: Callable[[str], object]) -> Callable[[str], object]:
    """The same for argparse: what is wrong with a word is told in the reader's own words."""

    def read_or_explain(text: str) -> object:
        try:
            return read(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from exc

    return read_or_explain


def read_all(argv: Sequence[str]) -> Arguments:
    """The command line's options, each right in itself.

    Raises:
        UsageError: one of them is not.
    """
    parser = build_parser("executioner")  # errors do not say what it is called
    for word in argv:
        if word.endswith("--") and re.fullmatch(_NOT_A_VALUE, word):  # argparse would take it for no value at all
            parser.error(f'{word[:-2].rstrip("=")}: expected a value, got "--"')
    arguments, rest = parser.parse_known_args(list(argv), Arguments())
    if rest:
        given = arguments.config is not None or arguments.resume_from is not None
        raise _unknown(argv, rest, alone=not given)
    return arguments


def _unknown(argv: Sequence[str], rest: Sequence[str], *, alone: bool) -> UsageError:
    """The error for arguments that no option takes, with what was probably meant."""
    word = rest[0]
    if not word.startswith("-"):
        alone_at = (at for at, taker in enumerate(takers(argv)) if taker is None and argv[at] == word)
        at = next(alone_at, argv.index(word))
        shown = masked(argv)
        meant = _with_env([*shown[:at], *_meant(word, shown[at + 1 :], listed=flag_of("list_runs") in argv)])
        guess = [NextStep("Did you mean:", tuple(meant))] if alone else []
        return wrong(f'Unexpected argument "{shown[at]}"', *guess)
    import difflib

    flag = word.partition("=")[0]
    known = [flag for option in OPTIONS for flag in option.typed if flag.startswith("--")]
    longer = [name for name in known if len(flag) > _SHORTEST and name.startswith(flag)]
    ours = _OPTIONS.get(flag if flag.startswith("--") else flag[:2])
    near = [ours] if ours else longer or difflib.get_close_matches(flag, known, 1, _NEAR)
    meant_flag = f', did you mean "{near[0]}"?' if near else ""
    return wrong(f'Unknown option "{flag}"{meant_flag}')


def _meant(word: str, rest: Sequence[str], *, listed: bool) -> tuple[str, ...]:
    """What was probably meant by a word that stands alone, with what stands behind it.

    ``listed`` says that a list of runs is asked for.
    """
    value = rest[0] if rest and not rest[0].startswith("-") else None
    config = () if value is None else ("-c",)  # what else could it be
    listing = () if listed else (flag_of("list_runs"),)
    if os.path.isfile(word):
        return "-c", word, *rest
    if word != hidden(word):
        return "--env", hidden(word), *config, *rest
    if _is_status(word):
        return *listing, "--status", word, *config, *rest
    if listed and word.isdigit():
        return "--last", word, *config, *rest
    counted = word == "last" and value is not None and value.isdigit()
    if _is_run(word) and not listed and not counted:
        return "--show-run", word, *config, *rest
    is_filter = word == "status" and (listed or _is_status(value or ""))
    flag = flag_of(word if is_filter else _COMMANDS.get(word, word))
    option = next((option for option in OPTIONS if flag in option.typed), None)
    if option is None:
        import difflib

        near = difflib.get_close_matches(word, _COMMANDS, 1, _NEAR)
        return _meant(near[0], rest, listed=listed) if near else ("-c", word, *rest)
    if option.name == "list_runs" and value is not None:
        return flag, *_meant(value, rest[1:], listed=True)
    before = listing if option.name in MODES["list_runs"] - {"config"} else ()
    if option.is_switch:
        return *before, flag, *config, *rest
    example = _example(option)
    if value is None:
        return *before, flag, example, *rest
    if example == "last" and not _is_run(value) and (os.path.isfile(value) or value.endswith(".json")):
        return flag, example, *rest[1:], *config, value
    if option.name == "show_log" and not _is_run(value):  # a job
        return flag, example, *rest
    return *before, flag, *rest


def _is_status(word: str) -> bool:
    return word.upper() in list(RunStatus)


def _is_run(word: str) -> bool:
    return word.isdigit() or word == "last"


def _with_env(words: Sequence[str]) -> list[str]:
    """Words of a command line, with the option for settings that stand alone."""
    found: list[str] = []
    for word, taker in zip(words, takers(words), strict=True):
        is_setting = taker is None and not word.startswith("-") and "=" in word
        found += ["--env", word] if is_setting else [word]
    return found


def _example(option: Option) -> str:
    """A value for an option that was given none."""
    if option.choices:
        return option.choices[0]
    kind = option.value[0] if isinstance(option.value, tuple) else str(option.value)
    return _EXAMPLES.get(kind.split(" ")[0], kind)
