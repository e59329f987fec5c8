"""All keys of a config, declared once.

The validation, the tables of ``docs/configuration.md`` and the JSON Schema are made from
these declarations, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

from executioner.config.objects import NOTHING, Key, ObjectOf, Params, Variables, bytes_problem
from executioner.config.problems import mismatch, quoted
from executioner.config.types import AnyText, Either, Flag, ListOf, Number, OneOf, Text
from executioner.environ import MOST_BYTES, NAME_CHARS

#: The most seconds of any duration: 31 years; more would overflow clocks and waits.
MOST_SECONDS = 1_000_000_000

_NO_MAIL = "This version checks the value, but does not send mail yet."
_ID_CHARS = NAME_CHARS | frozenset(".-")
_ID_RULE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"
_ADDRESS = r"[^\s@,\u0000-\u001f\u007f]+@[^\s@,\u0000-\u001f\u007f]+"


def _id_fault(text: str) -> str | None:
    if len(text) <= 128 and text[0] not in ".-" and _ID_CHARS.issuperset(text):
        return None
    return mismatch("up to 128 letters a-z A-Z, digits, _, - and . (no - or . first)", text)


def _path_fault(text: str) -> str | None:
    if text[0] == "~" and text[1:2] not in ("", "/"):
        return f"{quoted(text)}: only ~ and ~/... are expanded; write the folder, or ./~... for that name"
    return None


def _inherited_fault(text: str) -> str | None:
    return mismatch("the name of an environment variable", text) if "=" in text else None


def split_addresses(text: str) -> list[str]:
    """The addresses in a comma list."""
    return [part.strip() for part in text.split(",") if not part.isspace() and part]


def _address_fault(text: str) -> str | None:
    user, _, host = text.partition("@")
    if user and host and "@" not in host and "," not in text and text.isprintable() and " " not in text:
        return None
    return mismatch("an e-mail address", text)


def _addresses_fault(text: str) -> str | None:
    faults = [_address_fault(part) for part in split_addresses(text)] or [mismatch("an e-mail address", text)]
    return next(filter(None, faults), None)


def _seconds(expected: str, *, over: bool = False, null: bool = False) -> Number:
    in_range = f"a number {'above' if over else 'of at least'} 0, at most {MOST_SECONDS:,}"
    return Number(expected, 0, MOST_SECONDS, over=over, null=null, in_range=in_range)


TEXT = Text()
PATH = Text("a path", _path_fault, {"pattern": r"^(?!~[^/])[\s\S]*\S"})
ADDRESS = Text("an e-mail address", _address_fault, {"pattern": f"^{_ADDRESS}$"})
DELAY_S = _seconds("a number of at least 0")
POSITIVE_S = _seconds("a positive number", over=True)
LIMIT_S = _seconds("a positive number", over=True, null=True)
RETRIES = Number("an integer from 0 to 1,000,000", 0, 1_000_000, whole=True)
BACKOFF = Number(
    "a number of at least 0", 0, 1_000_000_000, in_range="a number of at least 0, at most 1,000,000,000"
)
JITTER = Number("a number from 0 to 1", 0, 1)
EXIT_CODES = ListOf(
    "a list of exit codes",
    Number("an exit code from 0 to 255, or -1 to -64 for a signal", -64, 255, whole=True),
)
STATUSES = ListOf(
    "a list of FAILED, TIMEOUT, ERROR with at least one (for no retries: max_retries 0)",
    OneOf("FAILED", "TIMEOUT", "ERROR", any_case=True),
    least=1,
)
COMMAND = Text("a command", bytes_problem, {"pattern": r"\S", "maxLength": MOST_BYTES})
JOB_ID = Text("a job id", _id_fault, {"pattern": _ID_RULE})

CHECK = ObjectOf(
    'a check such as {"name": "check_file_exists", "params": {"path": "in.csv"}}',
    (
        Key("name", TEXT, "The check: a built-in one, or one that a plugin adds.", required=True),
        Key("params", Params(), "Its parameters.", {}),
    ),
)
CHECKS = ListOf("a list of checks", CHECK)

PLUGIN = ObjectOf(
    "an object with name and path",
    (
        Key(
            "name",
            TEXT,
            "The name of the check that a `PLUGIN_CLASS` adds.",
            default_words="the file's name without `.py`",
        ),
        Key(
            "path",
            PATH,
            "The Python file; a relative path starts at the config file's folder.",
            required=True,
        ),
    ),
)

PLUGIN_ENTRY = Either("a path, or an object with name and path", PATH, PLUGIN)

JOB = ObjectOf(
    "a job such as {...}",
    (
        Key(
            "id",
            JOB_ID,
            "The job's name: up to 128 letters a-z A-Z, digits, `_`, `.` and `-`, the first no `.` or `-`.",
            required=True,
        ),
        Key("command", COMMAND, "The command, for `/bin/sh`; at most 131,071 bytes.", required=True),
        Key("description", AnyText(), "What it does, for people.", ""),
        Key("dependencies", ListOf("a list of job ids", TEXT), "Ids of the jobs that must succeed first.", []),
        Key(
            "timeout",
            LIMIT_S,
            "Seconds that one attempt may take, checks included; null: no limit.",
            default_words="`default_timeout`",
        ),
        Key("env_variables", Variables(), "Environment variables of this job.", {}),
        Key(
            "working_dir",
            PATH,
            "Where it runs; a relative path starts at the application's `working_dir`. Must exist.",
            default_words="the application's `working_dir`",
        ),
        Key(
            "max_retries",
            RETRIES,
            "Further attempts after a failed one.",
            default_words="`default_max_retries`",
        ),
        Key(
            "retry_delay",
            DELAY_S,
            "Seconds to wait before the first retry.",
            default_words="`default_retry_delay`",
        ),
        Key(
            "retry_backoff",
            BACKOFF,
            "Each further wait is this many times the one before.",
            default_words="`default_retry_backoff`",
        ),
        Key(
            "retry_jitter",
            JITTER,
            "Waits vary at random by this fraction, up or down.",
            default_words="`default_retry_jitter`",
        ),
        Key(
            "max_retry_time",
            POSITIVE_S,
            "Seconds from the first start, after which no retry begins.",
            default_words="`default_max_retry_time`",
        ),
        Key(
            "retry_on_status",
            STATUSES,
            "Which failures are retried.",
            default_words="`default_retry_on_status`",
        ),
        Key(
            "retry_on_exit_codes",
            EXIT_CODES,
            "Which exit codes are retried; -9 is death by signal 9; `[]`: any.",
            default_words="`default_retry_on_exit_codes`",
        ),
        Key("pre_checks", CHECKS, "What must hold before the command starts.", []),
        Key("post_checks", CHECKS, "What must hold after the command succeeded.", []),
    ),
)

APPLICATION = ObjectOf(
    "an object",
    (
        Key(
            "application_name",
            TEXT,
            "Name in the history and in log files.",
            default_words="the config file's name without `.json`",
        ),
        Key("name", TEXT, "Another spelling of `application_name`.", default_words="-"),
        Key(
            "working_dir",
            PATH,
            "Where jobs run; a relative path starts at the config file's folder. Must exist.",
            default_words="the config file's folder",
        ),
        Key("log_dir", PATH, "Where logs are written; a relative path starts at `working_dir`.", "./logs"),
        Key(
            "history_db",
            PATH,
            "The history database; a relative path starts at the config file's folder.",
            default_words="see `--db` in `--help`",
        ),
        Key("parallel", Flag(), "Run jobs at the same time where their dependencies allow it.", False),
        Key(
            "max_workers",
            Number("an integer from 1 to 100,000", 1, 100_000, whole=True),
            "The most jobs at a time. Has no effect without `parallel: true` or `--parallel`.",
            default_words="number of CPUs",
        ),
        Key(
            "max_active_runs",
            Number("an integer from 1 to 1,000,000", 1, 1_000_000, whole=True, null=True),
            "When this many runs of this config are active, another is refused; null: a warning only.",
            None,
        ),
        Key("continue_on_error", Flag(), "After a failure, go on with jobs that do not depend on it.", False),
        Key("default_timeout", LIMIT_S, "`timeout` of jobs without one; null: no limit.", 10800),
        Key("default_max_retries", RETRIES, "`max_retries` of jobs without one.", 0),
        Key("default_retry_delay", DELAY_S, "`retry_delay` of jobs without one.", 30),
        Key("default_retry_backoff", BACKOFF, "`retry_backoff` of jobs without one.", 1.5),
        Key("default_retry_jitter", JITTER, "`retry_jitter` of jobs without one.", 0.1),
        Key("default_max_retry_time", POSITIVE_S, "`max_retry_time` of jobs without one.", 1800),
        Key("default_retry_on_exit_codes", EXIT_CODES, "`retry_on_exit_codes` of jobs without one.", []),
        Key(
            "default_retry_on_status",
            STATUSES,
            "`retry_on_status` of jobs without one.",
            ["FAILED", "TIMEOUT", "ERROR"],
        ),
        Key("kill_grace", DELAY_S, "Seconds between the polite end (TERM) and the forced one (KILL).", 10),
        Key("env_variables", Variables(), "Environment variables of all jobs.", {}),
        Key(
            "inherit_shell_env",
            Either(
                'true, false, "default" or a list of names',
                Flag(),
                OneOf("default", expected='true, false, "default" or a list of names'),
                ListOf(
                    "a list of names",
                    Text(
                        "the name of an environment variable",
                        _inherited_fault,
                        {"pattern": r"^[^=]*[^=\s][^=]*$"},
                    ),
                ),
            ),
            "What jobs get of the environment of the runner: all, nothing, the usual names, or those listed.",
            True,
        ),
        Key("allow_shell", Flag(), "false: commands are split into words and started without a shell.", True),
        Key(
            "command_whitelist",
            ListOf("a list of program names", TEXT, null=True),
            "With `allow_shell: false`: the only programs that jobs may start.",
            None,
        ),
        Key(
            "dependency_plugins",
            ListOf("a list of plugins", PLUGIN_ENTRY),
            "Python files that add checks.",
            [],
        ),
        Key(
            "email_address",
            Either(
                "an e-mail address or a list of them",
                Text(
                    "an e-mail address",
                    _addresses_fault,
                    {"pattern": rf"^[\s,]*{_ADDRESS}(?:\s*,[\s,]*{_ADDRESS})*[\s,]*$"},
                ),
                ListOf("a list of e-mail addresses", ADDRESS),
            ),
            f"Who is told about the end of a run; several with commas or as a list. {_NO_MAIL}",
            [],
        ),
        Key("email_on_success", Flag(), f"Tell about runs that succeeded. {_NO_MAIL}", False),
        Key("email_on_failure", Flag(), f"Tell about runs that did not. {_NO_MAIL}", True),
        Key("smtp_server", TEXT, f"The mail server. {_NO_MAIL}", default_words="none"),
        Key(
            "smtp_port",
            Number("a port from 1 to 65,535", 1, 65_535, whole=True),
            f"Its port. {_NO_MAIL}",
            default_words="by `smtp_tls`",
        ),
        Key("smtp_user", TEXT, f"The user name for it. {_NO_MAIL}", default_words="none"),
        Key("smtp_password", AnyText(), f"The password for it. {_NO_MAIL}", default_words="none"),
        Key(
            "smtp_tls",
            OneOf("starttls", "ssl", "none"),
            f"How the connection to it is encrypted. {_NO_MAIL}",
            "starttls",
        ),
        Key(
            "security_policy",
            OneOf(
                "warn",
                remedies={
                    "strict": '"strict" is not offered: use allow_shell: false and command_whitelist',
                },
            ),
            "Accepted for old configs, does nothing.",
            default_words="none",
        ),
        Key(
            "jobs",
            ListOf("a list with at least one job", JOB, least=1, shallow=True),
            "The jobs.",
            required=True,
        ),
    ),
)


def json_schema() -> dict[str, object]:
    """The JSON Schema (draft 2020-12) of a config."""
    about = "A workflow of shell jobs. Keys that begin with _ or $ are comments."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Executioner config",
        "description": about,
        **APPLICATION.schema(),
    }


def markdown_tables() -> str:
    """The tables of all keys for ``docs/configuration.md``, without a final line break."""
    sections: Mapping[str, ObjectOf] = {
        "Application (top level)": APPLICATION,
        "Job (an item of `jobs`)": JOB,
        "Check (an item of `pre_checks` or `post_checks`)": CHECK,
        "Plugin (an item of `dependency_plugins` that is not just a path)": PLUGIN,
    }
    return "\n\n".join(_table(title, kind) for title, kind in sections.items())


def _table(title: str, kind: ObjectOf) -> str:
    lines = [f"### {title}", "", "| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key in kind.keys.values():
        cells = (f"`{key.name}`", key.kind.words(), _default_words(key), key.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _default_words(key: Key) -> str:
    if key.required:
        return "required"
    if key.default is NOTHING:
        return key.default_words
    import json

    return f"`{json.dumps(key.default)}`"
