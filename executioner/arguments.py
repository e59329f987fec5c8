"""The options of the command line: what they are, and which of them go together.

``GROUPS`` says it all once; ``executioner.parser`` tells ``argparse``. To load that takes a tenth of the time of a
small run, so a command line of options in full with their values apart is read here, to the same end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from executioner.commands.context import Options, hidden, is_variable
from executioner.errors import SEE_OPTIONS, UsageError
from executioner.model import NextStep
from executioner.record import Record

USAGE = "-c FILE [options]"
RESUME_USAGE = "--resume-from RUN_ID [options] | --mark-success RUN_ID JOB ..."
LOOK_USAGE = "--list-runs | --show-run RUN_ID | --show-log RUN_ID [JOB]"


def _number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """A reader of numbers in a range."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        if not least <= number <= most:
            raise ValueError(f'expected a number from {least:,} to {most:,}, got "{text}"')
        return number

    return read


def _run_id(text: str) -> str:
    if text.lower() == "last":
        return "last"
    if not (text.isascii() and text.isdigit() and len(text) < 1000):
        raise ValueError(f'expected a run id or "last", got "{text}"')
    return text


class Option(Record):
    """One option: what it takes, and how ``--help`` shows it.

    Args:
        name: as Python has it.
        help: None where it is not shown.
        value: what stands for its value in the help; two words where it takes that many or more.
        flags: how it is typed, where that is not its name alone.
        read: makes a value of a word. Raises ValueError, with the reason, where it is none.
        choices: all that it takes; the first is the default.
        repeatable: all that are given count.
        once: a second one is refused, rather than that one is silently left out.
    """

    name: str
    help: str | None
    value: str | tuple[str, str] | None = None
    flags: tuple[str, ...] = ()
    read: Callable[[str], object] = str
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    once: bool = False

    @property
    def typed(self) -> tuple[str, ...]:
        """How it is typed."""
        return self.flags or (flag_of(self.name),)

    @property
    def is_switch(self) -> bool:
        """Whether it takes nothing."""
        return self.value is None and not self.choices

    @property
    def default(self) -> object:
        """What it is where it is not given once."""
        if self.choices:
            return self.choices[0]
        return False if self.is_switch else None


def flag_of(name: str) -> str:
    """An option as it is typed."""
    return "-c" if name == "config" else f"--{name.replace('_', '-')}"


#: All options, under the headings of ``--help``.
GROUPS: Mapping[str, Sequence[Option]] = {
    "run": (
        Option("config", "the workflow: a JSON file", "FILE", flags=("-c", "--config"), once=True),
        Option("dry_run", "show what would be run, and run nothing"),
        Option("skip", "leave out these jobs (comma list, repeatable)", "IDS", repeatable=True),
        Option("env", "set a variable for all jobs (repeatable)", "K=V", repeatable=True),
        Option("continue_on_error", "after a failure go on with what does not depend on it"),
        Option("parallel", "run jobs side by side: max_workers of the config, or one a processor"),
        Option(
            "workers", "run up to N jobs side by side", "N", flags=("-j", "--workers"), read=_number(1, 100_000)
        ),
        Option("sequential", "run one job at a time"),
    ),
    "resume": (
        Option(
            "resume_from",
            "run what is missing of a run, by its id or: last; -c may be left out",
            "RUN_ID",
            read=_run_id,
            once=True,
        ),
        Option("resume_failed_only", "run only the jobs that failed or were interrupted"),
        Option(
            "from_job", "run JOB and all that depends on it; what is before it counts as done", "JOB", once=True
        ),
        Option(
            "if_changed",
            "successful jobs that have changed since: stop (default), keep or rerun them",
            choices=("stop", "keep", "rerun"),
        ),
        Option("kill_leftovers", "first end jobs that outlived their runner"),
        Option("ignore_leftovers", "leave such jobs running"),
        Option("yes", "do what would be refused without it, or asked"),
        # argparse puts the second word into brackets
        Option(
            "mark_success",
            "let jobs of a run count as successful when it is resumed",
            ("RUN_ID JOB", "JOB"),
        ),
        Option("reason", "why they are marked", "TEXT"),
        Option(
            "import_spool",
            "put back results that the history could not take; FILE lies beside the logs",
            "FILE",
        ),
    ),
    "history": (
        Option("list_runs", "list the newest runs; with -c those of FILE"),
        Option("last", "list N runs (default: 20)", "N", read=_number(1)),
        Option("last", None, "N", flags=("--limit",), read=_number(1)),
        Option("status", "only these statuses (comma list), of runs or jobs", "S", repeatable=True),
        Option("app", "only this application; * and ? match as in a shell", "A"),
        Option("since", 'started at T or later: 2025-05-23, "2025-05-23 09:45", 7d, today, yesterday', "T"),
        Option("until", "started at T or earlier; T as for --since", "T"),
        Option("user", "only runs of this user", "U"),
        Option("partly_completed", "only runs with some but not all jobs done"),
        Option("resumable", "only runs that can be resumed"),
        Option("show_run", "show a run, by its id or: last", "RUN_ID", read=_run_id, once=True),
        Option("show_log", "print a job's log; JOB may be left out if one failed", ("RUN_ID", "JOB")),
        Option("follow", "go on printing the log until the job ends"),
        Option("tail", "print only the last N lines of the log", "N", read=_number(0)),
    ),
    "config help": (
        Option("validate", "check the config, and run nothing"),
        Option("simple_config", "print a small config to start from"),
        Option("sample_config", "print a config that shows every feature"),
        Option("config_schema", "print the JSON Schema of configs, for editors"),
    ),
    "general": (
        Option("db", "the history database (default: in the state folder)", "PATH"),
        Option(
            "format",
            "json, and csv of runs or jobs: for scripts, on stdout; the rest on stderr",
            choices=("table", "json", "csv"),
        ),
        Option("color", "default: auto", choices=("auto", "always", "never")),
        Option("quiet", "print nothing on success (for cron)"),
        Option("verbose", "print every start with its command"),
        Option("doctor", "look at history, locks, space, logs and leftovers; say what to do"),
        Option("debug", "print tracebacks of errors"),
        Option("version", "print the version"),
        Option("help", "print this help", flags=("-h", "--help")),
    ),
}
OPTIONS = tuple(option for group in GROUPS.values() for option in group)
BY_FLAG = {flag: option for option in OPTIONS for flag in option.typed}


class Arguments:
    """What was typed, by the names of the options."""

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

    def __init__(self) -> None:
        for option in OPTIONS:
            setattr(self, option.name, [] if option.repeatable else option.default)


def read_plain(argv: Sequence[str]) -> Arguments | None:
    """What ``argparse`` makes of options that are written in full, with their values apart.

    None for all else, be it right or wrong: that is for ``argparse`` itself.
    """
    arguments = Arguments()
    given = set()
    words = iter(argv)
    for word in words:
        option = BY_FLAG.get(word)
        if option is None or isinstance(option.value, tuple):
            return None
        if option.is_switch:
            setattr(arguments, option.name, True)
            continue
        text = next(words, "")
        if text[:1] in ("", "-") or (option.choices and text not in option.choices):
            return None
        try:
            value = option.read(text)
        except ValueError:
            return None
        if option.repeatable:
            getattr(arguments, option.name).append(value)
        elif option.name in given:
            return None
        else:
            given.add(option.name)
            setattr(arguments, option.name, value)
    return arguments


def check(arguments: Arguments, argv: Sequence[str]) -> None:
    """Refuse what cannot be done, and options that do not go together, rather than leave one of them unheard.

    Raises:
        UsageError: what they ask for cannot be done.
    """
    if arguments.sequential and (arguments.parallel or arguments.workers is not None):
        other = "--parallel" if arguments.workers is None else "--workers"
        raise wrong(f"--sequential does not go with {other}")
    for name, kind in _NEVER_EMPTY.items():
        if getattr(arguments, name) == "":
            raise wrong(f"{flag_of(name)}: expected {kind}, got nothing")
    _check_together(arguments, argv)


def wrong(what: str, *steps: NextStep, details: Sequence[str] = ()) -> UsageError:
    """The error for what cannot be typed so; ``steps`` come before the look at all options."""
    before, got, value = what.partition('got "')
    if got and value.endswith('"'):  # a variable in the wrong place may be a secret
        what = f'{before}{got}{hidden(value[:-1])}"'
    return UsageError(what[:1].upper() + what[1:], "command line", details=details, steps=[*steps, SEE_OPTIONS])


def takers(argv: Sequence[str]) -> list[Option | None]:
    """For each word the option that it is the value of; None where it is an option, or stands alone."""
    found: list[Option | None] = []
    taker: Option | None = None
    for word in argv:
        found.append(taker)
        option = BY_FLAG.get(word) if taker is None else None
        taker = None if option is None or option.is_switch else option
    return found


def masked(argv: Sequence[str]) -> list[str]:
    """Arguments, to be printed in a command, without the values of variables, which may be secrets."""
    shown = []
    for word, taker in zip(argv, takers(argv), strict=True):
        flag, equals, value = word.partition("=")
        if taker is not None:
            shown.append(hidden(word) if taker.name == "env" else word)
        elif flag == "--env":
            shown.append(f"{flag}{equals}{hidden(value)}")
        elif is_option(word):
            shown.append(word)
        else:
            shown.append(hidden(word))
    return shown


def is_option(word: str) -> bool:
    """Whether a word is an option, perhaps with its value: ``-cFILE``, ``--last=3``."""
    return word.partition("=")[0] in BY_FLAG or word[:2] in BY_FLAG


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
MODES = {
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
RUN_OPTIONS = {
    *("config", "dry_run", "skip", "env", "continue_on_error", "parallel", "workers", "sequential"),
    *("resume_from", "resume_failed_only", "from_job", "if_changed"),
    *("kill_leftovers", "ignore_leftovers", "yes"),
}
GENERAL_OPTIONS = {"db", "format", "color", "quiet", "verbose", "debug", "version", "help"}


def _check_together(arguments: Arguments, argv: Sequence[str]) -> None:
    """Refuse options that do not go together, rather than leave one of them unheard."""
    if arguments.help or arguments.version:
        return
    defaults = vars(Arguments())
    given = [name for name, value in vars(arguments).items() if value != defaults[name]]
    modes = [name for name in given if name in MODES]
    if len(modes) > 1:
        raise wrong(f"{flag_of(modes[0])} does not go with {flag_of(modes[1])}")
    taken = MODES[modes[0]] if modes else RUN_OPTIONS
    for name in given:
        if name in taken or name in modes or name in GENERAL_OPTIONS:
            continue
        if modes:
            raise wrong(f"{flag_of(name)} does not go with {flag_of(modes[0])}")
        wanted = [mode for mode, takes in MODES.items() if name in takes]
        fits = MODES["list_runs"].union(GENERAL_OPTIONS).issuperset(given)
        steps = [NextStep("Did you mean:", (flag_of("list_runs"), *masked(argv)))] if fits else []
        what = f"{flag_of(name)} goes with {' or '.join(map(flag_of, wanted))}"
        raise wrong(what, *steps)
    if arguments.format == "csv" and modes not in (["list_runs"], ["show_run"]):
        raise wrong("--format csv goes with --list-runs or --show-run")
    if arguments.format == "json" and modes in (["show_log"], ["mark_success"]):
        raise wrong(f"--format json does not go with {flag_of(modes[0])}")
    if not modes:
        _check_resume(arguments, given, argv)
    if arguments.mark_success is not None and len(arguments.mark_success) < 2:
        raise wrong("--mark-success: expected a run id and at least one job")
    if arguments.show_log is not None and len(arguments.show_log) > 2:
        raise wrong(f'--show-log takes a run id and one job, got "{arguments.show_log[2]}" as well')
    for name in ("mark_success", "show_log"):
        words = getattr(arguments, name)
        if words is not None:
            try:
                words[0] = _run_id(words[0])
            except ValueError as exc:
                raise wrong(f"{flag_of(name)}: {exc}") from exc


def _check_resume(arguments: Arguments, given: Sequence[str], argv: Sequence[str]) -> None:
    """What only goes with a resume, and what contradicts itself."""
    if arguments.resume_failed_only and arguments.from_job is not None:
        raise wrong("--resume-failed-only does not go with --from-job")
    if arguments.kill_leftovers and arguments.ignore_leftovers:
        raise wrong("--kill-leftovers does not go with --ignore-leftovers")
    if arguments.resume_from is None:
        for name in ("resume_failed_only", "if_changed"):
            if name in given:
                meant = NextStep("Did you mean:", (*masked(argv), "--resume-from", "last"))
                raise wrong(f"{flag_of(name)} goes with --resume-from", meant)


def statuses(texts: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The statuses of comma lists, upper case."""
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    expected = [f"one of: {', '.join(one.lower() for one in known)}"]
    if texts and not words:
        raise wrong("--status: expected a status, got nothing", details=expected)
    for word in words:
        if word.upper() not in known:
            import difflib

            near = difflib.get_close_matches(word.upper(), known, 1)
            meant = f', did you mean "{near[0].lower()}"?' if near else ""
            what = f'--status: no status "{hidden(word)}"{meant}'
            if word.upper() in _FAILURES_OF_JOBS:
                what = f"--status: {word.upper()} is a status of jobs; such runs are FAILED: --status failed"
            raise wrong(what, details=expected)
    return tuple(dict.fromkeys(word.upper() for word in words))


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
    return wrong(f"--env: {what}")


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
