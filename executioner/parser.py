"""Reading the command line, and its help, by ``argparse``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

from executioner.arguments import (
    GROUPS,
    LOOK_USAGE,
    MODES,
    RESUME_USAGE,
    USAGE,
    Arguments,
    Option,
    check,
    is_option,
    masked,
    takers,
    wrong,
)
from executioner.arguments import options as read_options
from executioner.errors import UsageError
from executioner.model import NextStep
from executioner.render.text import quoted

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
    for value, taker in zip(argv, takers(argv), strict=True):
        looks_like_option = value[:1] == "-" and len(value) > 1 and " " not in value and not _is_number(value)
        if taker is not None and looks_like_option and not is_option(value):
            flag = taker.typed[-1]
            advice = "" if "=" in value else f": what begins so is written {flag}={quoted(value)}"
            parser.error(f'{flag}: expected a value, got "{value}"{advice}')
    arguments, rest = parser.parse_known_args(list(argv), Arguments())
    if rest:
        given = arguments.config is not None or arguments.resume_from is not None
        raise _unknown(parser, argv, rest, alone=not given)
    return arguments


def _unknown(
    parser: argparse.ArgumentParser, argv: Sequence[str], rest: Sequence[str], *, alone: bool
) -> UsageError:
    """The error for arguments that no option takes, with what was probably meant."""
    from executioner.guess import meant_line, meant_option

    word = rest[0]
    if not word.startswith("-"):
        alone_at = (at for at, taker in enumerate(takers(argv)) if taker is None and argv[at] == word)
        at = next(alone_at, argv.index(word))
        shown = masked(argv)
        meant = _understood(parser, meant_line(shown, at)) if alone else []
        guess = [NextStep("Did you mean:", tuple(meant))] if meant else []
        return wrong(f'Unexpected argument "{shown[at]}"', *guess)
    near = meant_option(word, argv)
    meant_flag = f', did you mean "{near}"?' if near else ""
    return wrong(f'Unknown option "{word.partition("=")[0]}"{meant_flag}')


def _is_number(word: str) -> bool:
    """Whether argparse takes it for a negative number."""
    return re.fullmatch(r"-\d+|-\d*\.\d+", word) is not None


def _understood(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """A command line that is right in itself, whatever there is of what it names; nothing if it is not."""
    try:
        arguments, rest = parser.parse_known_args(list(argv), Arguments())
        check(arguments, argv)
        read_options(arguments)
    except UsageError:
        return []
    if any(not word.startswith("-") for word in rest):  # an unknown option is told of when all else is right
        return []
    runs = arguments.config is not None or arguments.resume_from is not None
    looks = any(value for name, value in vars(arguments).items() if name in MODES or name in ("help", "version"))
    return [*argv, *(() if runs or (looks and not arguments.validate) else ("-c", "FILE"))] if argv else []
