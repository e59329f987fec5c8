"""The options of the command line: what they are, and which of them go together."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence

from executioner.commands.context import Options, is_variable
from executioner.errors import SEE_OPTIONS, UsageError
from executioner.model import NextStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = "-c FILE [options]"
RESUME_USAGE = "--resume-from RUN_ID [options] | --mark-success RUN_ID JOB ..."
LOOK_USAGE = "--list-runs | --show-run RUN_ID | --show-log RUN_ID [JOB]"
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


# argparse looks up translations of its own words, which costs a millisecond at each start; ours are English
argparse.__dict__["_"] = str
_NOT_A_VALUE = "(--[a-z-]+=|-[cj]=?)--"
_SHORTEST = 5  # of the beginning of an option that is taken for one
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
        raise UsageError(what[:1].upper() + what[1:], "command line", steps=[SEE_OPTIONS])

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
    _add_run_options(parser)
    _add_resume_options(parser)
    _add_history_options(parser)
    _add_other_options(parser)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("-c", "--config", metavar="FILE", action=_Once, help="the workflow: a JSON file")
    run.add_argument("--dry-run", action="store_true", help="show what would be run, and run nothing")
    run.add_argument(
        "--skip", metavar="IDS", action="append", default=[], help="leave out these jobs (comma list, repeatable)"
    )
    run.add_argument(
        "--env", metavar="K=V", action="append", default=[], help="set a variable for all jobs (repeatable)"
    )
    run.add_argument(
        "--continue-on-error", action="store_true", help="after a failure go on with what does not depend on it"
    )
    run.add_argument(
        "--parallel",
        action="store_true",
        help="run jobs side by side: max_workers of the config, or one a processor",
    )
    run.add_argument(
        "-j", "--workers", metavar="N", type=_number(1, 100_000), help="run up to N jobs side by side"
    )
    run.add_argument("--sequential", action="store_true", help="run one job at a time")


def _add_resume_options(parser: argparse.ArgumentParser) -> None:
    resume = parser.add_argument_group("resume")
    resume.add_argument(
        "--resume-from",
        metavar="RUN_ID",
        type=_run_id,
        help="run what is missing of a run, by its id or: last; -c may be left out",
    )
    resume.add_argument(
        "--resume-failed-only", action="store_true", help="run only the jobs that failed or were interrupted"
    )
    resume.add_argument(
        "--from-job", metavar="JOB", help="run JOB and all that depends on it; what is before it counts as done"
    )
    resume.add_argument(
        "--if-changed",
        choices=("stop", "keep", "rerun"),
        default="stop",
        help="successful jobs that have changed since: stop (default), keep or rerun them",
    )
    resume.add_argument("--kill-leftovers", action="store_true", help="first end jobs that outlived their runner")
    resume.add_argument("--ignore-leftovers", action="store_true", help="leave such jobs running")
    resume.add_argument("--yes", action="store_true", help="do what would be refused without it, or asked")
    resume.add_argument(
        "--mark-success",
        metavar=("RUN_ID JOB", "JOB"),  # argparse puts the second into brackets
        nargs="+",
        help="let jobs of a run count as successful when it is resumed",
    )
    resume.add_argument("--reason", metavar="TEXT", help="why they are marked")
    resume.add_argument(
        "--import-spool",
        metavar="FILE",
        help="put back results that the history could not take; FILE lies beside the logs",
    )


def _add_other_options(parser: argparse.ArgumentParser) -> None:
    config = parser.add_argument_group("config help")
    config.add_argument("--validate", action="store_true", help="check the config, and run nothing")
    config.add_argument("--simple-config", action="store_true", help="print a small config to start from")
    config.add_argument("--sample-config", action="store_true", help="print a config that shows every feature")
    config.add_argument(
        "--config-schema", action="store_true", help="print the JSON Schema of configs, for editors"
    )
    general = parser.add_argument_group("general")
    general.add_argument("--db", metavar="PATH", help="the history database (default: in the state folder)")
    general.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        default="table",
        help="json, and csv of runs or jobs: for scripts, on stdout; the rest on stderr",
    )
    general.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    general.add_argument("--quiet", action="store_true", help="print nothing on success (for cron)")
    general.add_argument("--verbose", action="store_true", help="print every start with its command")
    general.add_argument(
        "--doctor", action="store_true", help="look at history, locks, space, logs and leftovers; say what to do"
    )
    general.add_argument("--debug", action="store_true", help="print tracebacks of errors")
    general.add_argument("--version", action="store_true", help="print the version")
    general.add_argument("-h", "--help", action="store_true", help="print this help")


def _add_history_options(parser: argparse.ArgumentParser) -> None:
    history = parser.add_argument_group("history")
    history.add_argument("--list-runs", action="store_true", help="list the newest runs; with -c those of FILE")
    history.add_argument("--last", metavar="N", type=_number(1), help="list N runs (default: 20)")
    history.add_argument("--limit", dest="last", type=_number(1), help=argparse.SUPPRESS)
    history.add_argument(
        "--status",
        metavar="S",
        action="append",
        default=[],
        help="only these statuses (comma list), of runs or jobs",
    )
    history.add_argument("--app", metavar="A", help="only this application; * and ? match as in a shell")
    history.add_argument(
        "--since", metavar="T", help='started at T or later: 2025-05-23, "2025-05-23 09:45", 7d, today, yesterday'
    )
    history.add_argument("--until", metavar="T", help="started at T or earlier; T as for --since")
    history.add_argument("--user", metavar="U", help="only runs of this user")
    history.add_argument(
        "--partly-completed", action="store_true", help="only runs with some but not all jobs done"
    )
    history.add_argument("--resumable", action="store_true", help="only runs that can be resumed")
    history.add_argument("--show-run", metavar="RUN_ID", type=_run_id, help="show a run, by its id or: last")
    history.add_argument(
        "--show-log",
        metavar=("RUN_ID", "JOB"),
        nargs="+",
        help="print a job's log; JOB may be left out if one failed",
    )
    history.add_argument("--follow", action="store_true", help="go on printing the log until the job ends")
    history.add_argument("--tail", metavar="N", type=_number(0), help="print only the last N lines of the log")


def _number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """A reader of numbers in a range."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f'expected a number from {least:,} to {most:,}, got "{text}"')
        return number

    return read


def _run_id(text: str) -> str:
    if text.lower() == "last":
        return "last"
    if not (text.isascii() and text.isdigit() and len(text) < 1000):
        raise argparse.ArgumentTypeError(f'expected a run id or "last", got "{text}"')
    return text


class Arguments(argparse.Namespace):
    """What argparse leaves behind, typed."""

    config: str | None
    dry_run: bool
    skip: list[str]
    env: list[str]
    continue_on_error: bool
    parallel: bool
    workers: int | None
    sequential: bool
    resume_from: str | None
    resume_failed_only: bool
    from_job: str | None
    if_changed: str
    kill_leftovers: bool
    ignore_leftovers: bool
    yes: bool
    mark_success: list[str] | None
    reason: str | None
    import_spool: str | None
    list_runs: bool
    last: int | None
    status: list[str]
    app: str | None
    since: str | None
    until: str | None
    user: str | None
    partly_completed: bool
    resumable: bool
    show_run: str | None
    show_log: list[str] | None
    follow: bool
    tail: int | None
    doctor: bool
    validate: bool
    simple_config: bool
    sample_config: bool
    config_schema: bool
    db: str | None
    format: str
    color: str
    quiet: bool
    verbose: bool
    debug: bool
    version: bool
    help: bool


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> Arguments:
    """The command line's options, checked in themselves and together.

    Raises:
        UsageError: what they ask for cannot be done.
    """
    for word in argv:
        if word.endswith("--") and re.fullmatch(_NOT_A_VALUE, word):  # argparse would take it for no value at all
            parser.error(f'{word[:-2].rstrip("=")}: expected a value, got "--"')
    arguments, rest = parser.parse_known_args(list(argv), Arguments())
    if rest:
        given = arguments.config is not None or arguments.resume_from is not None
        raise _unknown(parser, rest[0], alone=not given)
    if arguments.sequential and (arguments.parallel or arguments.workers is not None):
        other = "--parallel" if arguments.workers is None else "--workers"
        parser.error(f"--sequential does not go with {other}")
    for name, kind in _NEVER_EMPTY.items():
        if getattr(arguments, name) == "":
            parser.error(f"{_flag(name)}: expected {kind}, got nothing")
    _check_together(parser, arguments, argv)
    return arguments


_NEVER_EMPTY = {
    "config": "a path",
    "db": "a path",
    "app": "a name or pattern",
    "user": "a name",
    "since": "a time",
    "until": "a time",
    "from_job": "a job",
    "import_spool": "a path",
}
_FAILURES_OF_JOBS = ("TIMEOUT", "ERROR")
#: What the program can be asked to do beside running a config, and which options each of it takes.
_MODES = {
    "list_runs": {"config", "last", "status", "app", "since", "until", "user", "partly_completed", "resumable"},
    "show_run": {"config", "status"},
    "show_log": {"config", "follow", "tail"},
    "mark_success": {"config", "dry_run", "reason", "yes"},
    "import_spool": {"dry_run"},
    "doctor": {"config"},
    "validate": {"config"},
    "simple_config": set[str](),
    "sample_config": set[str](),
    "config_schema": set[str](),
}
_RUN_OPTIONS = {
    *("config", "dry_run", "skip", "env", "continue_on_error", "parallel", "workers", "sequential"),
    *("resume_from", "resume_failed_only", "from_job", "if_changed"),
    *("kill_leftovers", "ignore_leftovers", "yes"),
}
_GENERAL_OPTIONS = {"db", "format", "color", "quiet", "verbose", "debug", "version", "help"}


def _check_together(parser: argparse.ArgumentParser, arguments: Arguments, argv: Sequence[str]) -> None:
    """Refuse options that do not go together, rather than leave one of them unheard."""
    if arguments.help or arguments.version:
        return
    given = [name for name, value in vars(arguments).items() if value != parser.get_default(name)]
    modes = [name for name in given if name in _MODES]
    if len(modes) > 1:
        parser.error(f"{_flag(modes[0])} does not go with {_flag(modes[1])}")
    taken = _MODES[modes[0]] if modes else _RUN_OPTIONS
    for name in given:
        if name in taken or name in modes or name in _GENERAL_OPTIONS:
            continue
        if modes:
            parser.error(f"{_flag(name)} does not go with {_flag(modes[0])}")
        wanted = [mode for mode, takes in _MODES.items() if name in takes]
        steps = [NextStep("Did you mean:", (_flag(wanted[0]), *argv))] if wanted[0] == "list_runs" else []
        what = f"{_flag(name)} goes with {' or '.join(map(_flag, wanted))}"
        raise UsageError(what, "command line", steps=[*steps, SEE_OPTIONS])
    if arguments.format == "csv" and modes not in (["list_runs"], ["show_run"]):
        parser.error("--format csv goes with --list-runs or --show-run")
    if arguments.format == "json" and modes in (["show_log"], ["mark_success"]):
        parser.error(f"--format json does not go with {_flag(modes[0])}")
    if not modes:
        _check_resume(parser, arguments)
    if arguments.mark_success is not None and len(arguments.mark_success) < 2:
        parser.error("--mark-success: expected a run id and at least one job")
    if arguments.show_log is not None and len(arguments.show_log) > 2:
        parser.error(f'--show-log takes a run id and one job, got "{arguments.show_log[2]}" as well')
    for name in ("mark_success", "show_log"):
        words = getattr(arguments, name)
        if words is not None:
            try:
                words[0] = _run_id(words[0])
            except argparse.ArgumentTypeError as exc:
                parser.error(f"{_flag(name)}: {exc}")


def _check_resume(parser: argparse.ArgumentParser, arguments: Arguments) -> None:
    """What only goes with a resume, and what contradicts itself."""
    if arguments.resume_from is None:
        for name in ("resume_failed_only", "if_changed"):
            if getattr(arguments, name) != parser.get_default(name):
                parser.error(f"{_flag(name)} goes with --resume-from")
    if arguments.resume_failed_only and arguments.from_job is not None:
        parser.error("--resume-failed-only does not go with --from-job")
    if arguments.kill_leftovers and arguments.ignore_leftovers:
        parser.error("--kill-leftovers does not go with --ignore-leftovers")


def _flag(name: str) -> str:
    return "-c" if name == "config" else f"--{name.replace('_', '-')}"


def statuses(texts: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The statuses of comma lists, upper case."""
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    expected = [f"one of: {', '.join(one.lower() for one in known)}"]
    if texts and not words:
        raise UsageError(
            "--status: expected a status, got nothing", "command line", details=expected, steps=[SEE_OPTIONS]
        )
    for word in words:
        if word.upper() not in known:
            import difflib

            near = difflib.get_close_matches(word.upper(), known, 1)
            meant = f', did you mean "{near[0].lower()}"?' if near else ""
            what = f'--status: no status "{word}"{meant}'
            if word.upper() in _FAILURES_OF_JOBS:
                what = f"--status: {word.upper()} is a status of jobs; such runs are FAILED: --status failed"
            raise UsageError(what, "command line", details=expected, steps=[SEE_OPTIONS])
    return tuple(dict.fromkeys(word.upper() for word in words))


def _unknown(parser: argparse.ArgumentParser, word: str, *, alone: bool) -> UsageError:
    """The error for an argument that no option takes, with what was probably meant."""
    if not word.startswith("-"):
        guess = [NextStep("Did you mean:", _meant(parser, word))] if alone else []
        return UsageError(f'Unexpected argument "{word}"', "command line", steps=[*guess, SEE_OPTIONS])
    import difflib

    flag = word.partition("=")[0]
    known = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    longer = [name for name in known if len(flag) > _SHORTEST and name.startswith(flag)]
    near = longer or difflib.get_close_matches(flag, known, 1, _NEAR)
    meant = f', did you mean "{near[0]}"?' if near else ""
    return UsageError(f'Unknown option "{flag}"{meant}', "command line", steps=[SEE_OPTIONS])


def _meant(parser: argparse.ArgumentParser, word: str) -> tuple[str, ...]:
    """What was probably meant by a word alone."""
    if os.path.exists(word):
        return "-c", word
    if any(f"--{word}" in action.option_strings and action.nargs == 0 for action in parser._actions):
        return (f"--{word}",)
    if word.isdigit() or word == "last":
        return "--show-run", word
    return ("--list-runs",) if word in ("list", "runs", "history", "ls") else ("-c", word)


def options(arguments: Arguments) -> Options:
    """What commands are told of the command line."""
    skip = [name.strip() for text in arguments.skip for name in text.split(",")]
    return Options(
        config=arguments.config,
        db=arguments.db,
        dry_run=arguments.dry_run,
        skip=tuple(dict.fromkeys(name for name in skip if name)),
        skip_given=bool(arguments.skip),
        env=dict(map(_variable, arguments.env)),
        continue_on_error=arguments.continue_on_error,
        parallel=arguments.parallel,
        workers=arguments.workers,
        sequential=arguments.sequential,
        json=arguments.format == "json",
        csv=arguments.format == "csv",
        quiet=arguments.quiet,
        verbose=arguments.verbose,
        resume_from=arguments.resume_from,
        failed_only=arguments.resume_failed_only,
        from_job=arguments.from_job,
        if_changed=arguments.if_changed,
        kill_leftovers=arguments.kill_leftovers,
        ignore_leftovers=arguments.ignore_leftovers,
        yes=arguments.yes,
    )


def _env_error(what: str) -> UsageError:
    return UsageError(f"--env: {what}", "command line", steps=[SEE_OPTIONS])


def _variable(text: str) -> tuple[str, str]:
    """Split NAME=VALUE."""
    name, equals, value = text.partition("=")
    # never the value: it may be a secret
    if not equals or not name:
        raise _env_error(f'expected NAME=VALUE, got "{name}{equals}{"..." if value else ""}"')
    if not is_variable(name):
        raise _env_error(f'"{name}" cannot be a variable: a name has letters, digits and _, the first no digit')
    if name.startswith("EXECUTIONER_"):
        raise _env_error(f"{name} is set by executioner itself")
    if len(os.fsencode(text)) > 131_071:
        raise _env_error(
            f"the value of {name} is longer than a program can be given (131,071 bytes with its name)"
        )
    return name, value
