"""The jobs of a config: from checked JSON values to ``Job`` records.

Made for 100,000 jobs: one pass, equal retry policies and empty mappings are shared, and
the messages' texts are made only where something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from executioner.config.keys import APPLICATION, CHECK, JOB
from executioner.config.objects import is_variable_comment, variable_problem, variable_text
from executioner.config.problems import BROKEN, Problems, child, is_comment, mismatch, one_edit_away, quoted
from executioner.environ import filled, find_circle
from executioner.errors import UsageError
from executioner.graph import find_cycles
from executioner.model import FAILURES, Check, Job, JobStatus, RetryPolicy
from executioner.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The checks that need no plugin, with their one parameter.
BUILT_IN_CHECKS: Mapping[str, str] = {
    "check_file_exists": "path",
    "check_no_ora_errors": "log_file",
    "check_no_ora_or_sp2_errors": "log_file",
}

_RETRY_KEYS = frozenset(
    {
        "max_retries",
        "retry_delay",
        "retry_backoff",
        "retry_jitter",
        "max_retry_time",
        "retry_on_status",
        "retry_on_exit_codes",
    }
)
#: More names of a cycle than this are cut out of its middle.
_MOST_NAMED = 8
_NO_VARIABLES: Mapping[str, str] = {}

#: Judges a command that runs without a shell: messages about what is wrong.
CommandJudge = Callable[[str], Sequence[str]]


class Defaults(Record):
    """What the application's keys say about all its jobs."""

    timeout_s: float | None
    retry: RetryPolicy
    working_dir: str
    env: Mapping[str, str]
    #: The check names of the plugins that could be read.
    plugin_checks: frozenset[str]
    #: False when a plugin is broken: what checks it adds is not known.
    are_checks_complete: bool
    #: None where commands are for a shell, which judges them itself.
    judge: CommandJudge | None


#: Finds the absolute path of a job's working_dir, given the place for problems.
FolderFinder = Callable[[str, str], str]


def default_retry(values: Mapping[str, Any]) -> RetryPolicy:
    """The policy of the application's ``default_*`` keys."""
    defaults = {key.name: key.default for key in APPLICATION.keys.values()}
    prefix = len("default_")
    named = {
        name[prefix:]: values.get(name, defaults[name])
        for name in defaults
        if name.startswith("default_") and name[prefix:] in _RETRY_KEYS
    }
    return _retry(named, RetryPolicy())


def _retry(values: Mapping[str, Any], base: RetryPolicy) -> RetryPolicy:
    """``base`` with what the keys of one job say."""
    max_retries = values.get("max_retries", base.max_retries)
    statuses = values.get("retry_on_status")
    codes = values.get("retry_on_exit_codes")
    return RetryPolicy(
        max_retries=int(max_retries),
        delay_s=float(values.get("retry_delay", base.delay_s)),
        backoff=float(values.get("retry_backoff", base.backoff)),
        jitter=float(values.get("retry_jitter", base.jitter)),
        max_time_s=seconds(values.get("max_retry_time", base.max_time_s)),
        on_status=base.on_status if statuses is None else _statuses(statuses),
        on_exit_codes=base.on_exit_codes if codes is None else (frozenset(int(code) for code in codes) or None),
    )


def seconds(value: Any) -> float | None:
    """A duration, or None for none."""
    return None if value is None else float(value)


def _statuses(names: list[str]) -> frozenset[JobStatus]:
    found = frozenset(JobStatus(name.upper()) for name in names)
    return FAILURES if found == FAILURES else found


def variables(values: Any) -> Mapping[str, str]:
    """Environment variables as text; ``values`` has been checked."""
    if not values:
        return _NO_VARIABLES
    items = values.items()
    return {name: variable_text(value) for name, value in items if not is_variable_comment(name)}


def sound_variables(written: object) -> Mapping[str, str]:
    """Variables that have not all been right: those with nothing wrong may still refer to each other.

    The others are empty: they stand for those of the application all the same.
    """
    items = written.items() if isinstance(written, dict) else ()
    return variables({name: value if variable_problem(name, value) is None else "" for name, value in items})


class JobReader:
    """Turns the items of ``jobs`` into records, and collects what is wrong with them."""

    __slots__ = ("_defaults", "_find_folder", "_known_checks", "_policies", "_positions", "_problems", "_typos")

    def __init__(self, defaults: Defaults, find_folder: FolderFinder, problems: Problems) -> None:
        self._defaults = defaults
        self._find_folder = find_folder
        self._problems = problems
        self._positions: dict[str, int] = {}
        self._policies: dict[RetryPolicy, RetryPolicy] = {defaults.retry: defaults.retry}
        self._known_checks = (*BUILT_IN_CHECKS, *sorted(defaults.plugin_checks))
        #: Names of checks that nobody knows, and whether they are surely misspelt.
        self._typos: dict[str, bool] = {}

    def read(self, items: list[object]) -> tuple[Job, ...]:
        """All jobs. The list is emptied on the way, which keeps the peak of memory low.

        Jobs that have problems may be missing or incomplete: use the result only if there
        are none.
        """
        positions = self._positions
        for at, item in enumerate(items):
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                positions.setdefault(item["id"], at)
        jobs: list[Job] = []
        dependencies: list[list[int]] = []
        for at, item in enumerate(items):
            items[at] = None
            place = f"jobs[{at}]"
            values = JOB.usable(item, place, self._problems)
            self._check_id(values, at)
            # What stands beside something wrong is looked at too, so that all is told at once.
            written = item if isinstance(item, dict) else values
            names = self._dependencies(written.get("dependencies"), place)
            dependencies.append([positions[name] for name in names])
            jobs.append(self._job(values, written, names, place))
        self._report_cycles(dependencies)
        return tuple(jobs)

    def _job(self, values: dict[str, Any], written: dict[str, object], names: tuple[str, ...], place: str) -> Job:
        """The job of the usable ``values`` of what is ``written``."""
        defaults = self._defaults
        command = values.get("command", "")
        if defaults.judge is not None and command:
            for message in defaults.judge(command):
                self._problems.add(f"{place}.command", message)
        working_dir = defaults.working_dir
        if "working_dir" in values:
            working_dir = self._find_folder(values["working_dir"], f"{place}.working_dir")
        timeout_s, env, retry = defaults.timeout_s, _NO_VARIABLES, defaults.retry
        if "timeout" in values:
            timeout_s = seconds(values["timeout"])
        if "env_variables" in values:
            env = self._variables(variables(values["env_variables"]), place)
        elif "env_variables" in written:
            self._variables(sound_variables(written["env_variables"]), place)
        if not _RETRY_KEYS.isdisjoint(values):
            retry = self._policy(values)
        before = self._checks(written["pre_checks"], f"{place}.pre_checks") if "pre_checks" in written else ()
        after = self._checks(written["post_checks"], f"{place}.post_checks") if "post_checks" in written else ()
        # by position: by name a record takes six times as long
        return Job(
            values.get("id", ""),
            command,
            values.get("description", ""),
            names,
            timeout_s,
            "timeout" not in values,
            env,
            working_dir,
            retry,
            before,
            after,
        )

    def _check_id(self, values: dict[str, object], at: int) -> None:
        name = values.get("id")
        if isinstance(name, str) and self._positions[name] != at:
            first = self._positions[name]
            self._problems.add(f"jobs[{at}].id", f"{quoted(name)} is already the id of jobs[{first}]")

    def _dependencies(self, items: object, place: str) -> tuple[str, ...]:
        """The known dependencies, each once; unknown ones are problems, items that are no names have been."""
        if not items or not isinstance(items, list):
            return ()
        positions = self._positions
        names: dict[str, None] = {}
        for at, name in enumerate(items):
            if not isinstance(name, str) or not name.strip():
                continue
            if name in positions:
                names[name] = None
            else:
                self._problems.add_misspelt(
                    f"{place}.dependencies[{at}]", f"no job {quoted(name)}", name, positions
                )
        return tuple(names)

    def _policy(self, values: dict[str, object]) -> RetryPolicy:
        policy = _retry(values, self._defaults.retry)
        return self._policies.setdefault(policy, policy)

    def _variables(self, found: Mapping[str, str], place: str) -> Mapping[str, str]:
        if any("${" in value for value in found.values()):
            report_circle(self._defaults.env, found, f"{place}.env_variables", self._problems)
        return found

    def _checks(self, items: object, place: str) -> tuple[Check, ...]:
        if not isinstance(items, list):
            return ()
        return tuple(self._check(item, f"{place}[{at}]") for at, item in enumerate(items))

    def _check(self, item: object, place: str) -> Check:
        """A check. What is wrong with its form has been reported, the rest is judged nevertheless."""
        values = CHECK.parts(item)
        name = values.get("name", "")
        written: dict[str, Any] = values.get("params", {})
        params = {key: value for key, value in written.items() if not is_comment(key)}
        if name in BUILT_IN_CHECKS:
            # Where params is missing and something is wrong, that may be its misspelt key.
            if values is item or "params" in values:
                self._check_params(name, params, f"{place}.params")
        elif name and name not in self._defaults.plugin_checks and self._is_unknown(name):
            self._problems.add_misspelt(f"{place}.name", f"no check {quoted(name)}", name, self._known_checks)
        return Check(name, params)

    def _is_unknown(self, name: str) -> bool:
        """Whether a check that nobody is known to add is wrong.

        A broken plugin might add it, but hardly one whose name is a typing error.
        """
        if self._defaults.are_checks_complete:
            return True
        if name not in self._typos:
            self._typos[name] = one_edit_away(name, self._known_checks) is not None
        return self._typos[name]

    def _check_params(self, name: str, params: dict[str, object], place: str) -> None:
        """A built-in check takes one parameter, a path."""
        wanted = BUILT_IN_CHECKS[name]
        if wanted not in params:
            self._problems.add(place, f'"{wanted}" is missing')
        for key, value in params.items():
            if key != wanted:
                self._problems.add_misspelt(child(place, key), f"unknown parameter of {name}", key, (wanted,))
            elif value is not BROKEN and (not isinstance(value, str) or not value.strip()):
                self._problems.add(
                    child(place, key), mismatch("a path" if isinstance(value, str) else "a string", value)
                )

    def _report_cycles(self, dependencies: list[list[int]]) -> None:
        cycles = find_cycles(dependencies)
        if not cycles:
            return
        # A job that waits for itself would hide a longer cycle that it is in, or be hidden by it.
        own = [[at] for at, needed in enumerate(dependencies) if at in needed]
        if own:
            others = [[other for other in needed if other != at] for at, needed in enumerate(dependencies)]
            cycles = sorted([*own, *find_cycles(others)])
        names = {at: name for name, at in self._positions.items()}
        for cycle in cycles:
            self._problems.add("jobs", f"dependency cycle: {_arrows([names[at] for at in cycle])}")


def _arrows(ids: list[str]) -> str:
    """``a -> b -> a``; the middle of a long cycle is only counted."""
    names = [name if name.isprintable() and len(name) <= 128 else quoted(name) for name in ids[:_MOST_NAMED]]
    if len(ids) <= _MOST_NAMED:
        return " -> ".join([*names, names[0]])
    return f"{names[0]} -> {names[1]} -> ... ({len(ids) - 2:,} more) ... -> {names[0]}"


def report_circle(application: Mapping[str, str], job: Mapping[str, str], place: str, problems: Problems) -> bool:
    """Add a problem if variables refer to each other, or grow too long by their references.

    With variables of a job, those of the application must be known to be fine. Returns
    whether all is well.
    """
    names = job or application
    circle = find_circle(application, job, {}, names)
    if circle is not None:
        listed = " and ".join(filter(None, [", ".join(circle[:-1]), circle[-1]]))
        problems.add(place, f"{listed} refer to each other")
        return False
    try:
        filled(names, ({}, job, application), {})
    except UsageError as error:
        problems.add(place, error.what)
        return False
    return True
