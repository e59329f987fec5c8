"""What was probably meant by a command line that is not understood."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from itertools import takewhile

from executioner.arguments import BY_FLAG, GENERAL_OPTIONS, MODES, OPTIONS, RUN_OPTIONS, Option, flag_of, takers
from executioner.model import RunStatus

#: Commands that other programs have, and the option that does the same here.
_COMMANDS = {
    **dict.fromkeys(("list", "ls", "runs", "history"), "list-runs"),
    **dict.fromkeys(("log", "logs", "tail", "cat"), "show-log"),
    **dict.fromkeys(("show", "status", "info", "why"), "show-run"),
    **dict.fromkeys(("resume", "retry", "rerun", "restart"), "resume-from"),
    **dict.fromkeys(("preview", "plan"), "dry-run"),
    **dict.fromkeys(("check", "lint"), "validate"),
    "run": "config",
    "mark": "mark-success",
    "init": "simple-config",
}
#: Options that other programs have, and ours for the same: the first one that goes with what is asked for.
_OPTIONS = {
    "-n": ("--tail", "--last", "--dry-run"),
    **dict.fromkeys(("--dry", "--just-print"), ("--dry-run",)),
    **dict.fromkeys(("-k", "--keep-going"), ("--continue-on-error",)),
    "-s": ("--status", "--quiet"),
    **dict.fromkeys(("-q", "--silent"), ("--quiet",)),
    **dict.fromkeys(
        ("--failed-only", "--only-failed", "--retry-failed", "--rerun-failed"), ("--resume-failed-only",)
    ),
    **dict.fromkeys(("--log", "--logs"), ("--show-log",)),
    **dict.fromkeys(("--json", "--csv"), ("--format",)),
    "-f": ("--follow", "-c"),
    "--file": ("-c",),
    **dict.fromkeys(("--retry", "--restart"), ("--resume-from",)),
    "--details": ("--show-run",),
    "--jobs": ("-j",),
    "-v": ("--verbose",),
    "-V": ("--version",),
    "-y": ("--yes",),
}
#: A value of its kind, where an option was given none.
_EXAMPLES = {"RUN_ID": "last", "N": "10", "S": "failed", "T": "today"}
_NEAR = 0.8  # as difflib measures it: --dryrun is near --dry-run, --show-run is not
_SHORTEST = 5  # of the beginning of an option that is taken for one


def meant_option(word: str, argv: Sequence[str]) -> str | None:
    """The option that was probably meant by one of a command line that is none; it may have a value behind it."""
    flag = word.partition("=")[0]
    ours = _OPTIONS.get(flag if flag.startswith("--") else flag[:2])
    if ours is not None:
        flags = {word.partition("=")[0] for word in argv}
        asked = [takes for mode, takes in MODES.items() if flag_of(mode) in flags]
        taken = asked[0] | GENERAL_OPTIONS if asked else RUN_OPTIONS | GENERAL_OPTIONS | MODES.keys()
        return next((one for one in ours if BY_FLAG[one].name in taken), None)
    known = [flag for option in OPTIONS for flag in option.typed if flag.startswith("--")]
    longer = [name for name in known if len(flag) > _SHORTEST and name.startswith(flag)]
    near = longer or difflib.get_close_matches(flag, known, 1, _NEAR)
    return near[0] if near else None


def meant_line(argv: Sequence[str], at: int) -> list[str]:
    """The arguments that were probably meant by some of which one stands alone; none where nobody knows."""
    return _with_env(_instead(argv, at))


def _instead(argv: Sequence[str], at: int) -> list[str]:
    before, word, rest = argv[:at], argv[at], argv[at + 1 :]
    last = before[-2] if len(before) > 1 else None
    if last == "--show-run" and not _is_run(word) and not os.path.isfile(word):  # a job of it
        return [*before[:-2], "--show-log", before[-1], word, *rest]
    if last in ("--since", "--until") and re.fullmatch(r"\d\d?:\d\d(:\d\d)?", word):  # a time that was not quoted
        when = f"{before[-1]} {word.rjust(5, '0')}"
        return [*before[:-1], when, *rest] if re.match(r"\d{4}-", when) else []
    asked = {"--show-run", "--since", "--until", "--tail", "--follow"}.intersection(argv)
    if _is_run(word) and asked and asked <= {"--tail", "--follow"}:
        return [*before, "--show-log", word, *rest]
    return [*before, *_meant(word, rest, listed=flag_of("list_runs") in argv)]


def _meant(word: str, rest: Sequence[str], *, listed: bool) -> tuple[str, ...]:
    """What was probably meant by a word that stands alone, with what stands behind it.

    ``listed`` says that a list of runs is asked for.
    """
    value = rest[0] if rest and not rest[0].startswith("-") else None
    config = () if value is None else ("-c",)  # what else could it be
    listing = () if listed else (flag_of("list_runs"),)
    if os.path.isfile(word):
        return "-c", word, *rest
    if "=" in word:
        return "--env", word, *config, *rest
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
        near = difflib.get_close_matches(word, _COMMANDS, 1, _NEAR)
        if near:
            return _meant(near[0], rest, listed=listed)
        return ("--app", word, *config, *rest) if listed and not _may_be_file(word) else ("-c", word, *rest)
    if option.name == "list_runs" and value is not None:
        return flag, *_meant(value, rest[1:], listed=True)
    before = listing if option.name in MODES["list_runs"] - {"config"} else ()
    if option.is_switch:
        return *before, flag, *config, *rest
    example = _example(option)
    if value is None:
        return *before, flag, example, *rest
    if option.value not in ("RUN_ID", ("RUN_ID", "JOB")):
        return *before, flag, *rest
    run, others = (value, rest[1:]) if _is_run(value) else (example, rest)
    plain = list(takewhile(lambda one: not one.startswith("-"), others))
    files = [one for one in plain if os.path.isfile(one) or one.endswith(".json")]
    jobs = [one for one in plain if one not in files]
    if jobs and option.name == "show_run":
        flag = flag_of("show_log")
    if jobs and option.name == "resume_from" and not files:
        files, jobs = jobs, []  # what else could it be
    named = [word for file in files for word in ("-c", file)]
    return flag, run, *jobs, *others[len(plain) :], *named


def _may_be_file(word: str) -> bool:
    return "/" in word or "." in word


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
