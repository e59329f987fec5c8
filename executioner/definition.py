"""A job's definition as the history keeps it, to tell later whether and how the job has changed.

Canonical JSON of what decides what the job does. Of environment values only an HMAC
under the database's own random key is kept: that a value changed can be seen, the value
cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from executioner.jsontext import canonical, in_quotes, loads
from executioner.model import Check, Job
from executioner.record import Record
from executioner.records import PastJob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What may change in a definition, in the order in which it is shown; and the environment of ``--env``.
TEXTS = ("command", "working_dir")
NAMES = ("dependencies", "pre_checks", "post_checks", "env_variables", "--env")


class Change(Record):
    """What differs between two definitions of a job.

    Attributes:
        texts: old and new text, by ``command`` and ``working_dir``.
        names: by ``dependencies``, ``pre_checks``, ``post_checks``, ``env_variables`` and ``--env`` the names
            that differ: ``+new``, ``-gone``, or the name alone where its value or parameters changed.
    """

    texts: Mapping[str, tuple[str, str]]
    names: Mapping[str, Sequence[str]]

    def parts(self) -> list[str]:
        """What has changed, in a word each."""
        return [part for part in (*TEXTS, *NAMES) if part in self.texts or part in self.names]


def definer(application_env: Mapping[str, str], key: bytes) -> Callable[[Job], str]:
    """A function from a job to its definition.

    Values are those of the config as written, before ``${NAME}`` is filled in: another
    caller's HOME is no change of the job.
    """
    shared = _digests(application_env, key)
    shared_text = canonical(shared)

    def definition(job: Job) -> str:
        # canonical JSON put together by hand: 2 µs for a plain job instead of 8
        dependencies = ",".join(map(in_quotes, sorted(job.dependencies)))
        env = canonical(shared | _digests(job.env, key)) if job.env else shared_text
        return (
            f'{{"command":{in_quotes(job.command)},"dependencies":[{dependencies}],"env_variables":{env},'
            f'"post_checks":{_checks(job.post_checks)},"pre_checks":{_checks(job.pre_checks)},'
            f'"working_dir":{in_quotes(job.working_dir)}}}'
        )

    return definition


def _checks(checks: Sequence[Check]) -> str:
    return canonical([[check.name, check.params] for check in checks]) if checks else "[]"


def _digests(env: Mapping[str, str], key: bytes) -> dict[str, str]:
    if not env:
        return {}
    import hmac  # with hashlib: 4 ms

    return {
        name: hmac.digest(key, value.encode("utf-8", "surrogateescape"), "sha256").hex()
        for name, value in env.items()
    }


def change(past: PastJob, now: str, variables: Sequence[str] = ()) -> Change | None:
    """What has changed since in a job's definition; None if nothing has.

    Args:
        past: the job as it is recorded. Where that has no definition its command is compared.
        now: its definition of now.
        variables: the names that differ in ``--env``: they concern every job.
    """
    if past.definition == now and not variables:
        return None
    texts: dict[str, tuple[str, str]] = {}
    names: dict[str, Sequence[str]] = {"--env": variables} if variables else {}
    if past.definition != now:
        newer = loads(now)
        older = _older(past)
        for part in TEXTS:
            if part in older and older[part] != newer[part]:
                texts[part] = (str(older[part]), newer[part])
        for part in NAMES[:-1]:
            found = list(_names_changed(older.get(part), newer[part]))
            if found:
                names[part] = found
    return Change(texts, names) if texts or names else None


def _older(past: PastJob) -> dict[str, Any]:
    """The recorded definition, as far as there is one."""
    try:
        older = loads(past.definition or "null")
    except (ValueError, RecursionError):  # somebody has edited it
        older = None
    if isinstance(older, dict) and older:
        return older
    return {"command": past.command} if past.command else {}


def recorded_dependencies(past: PastJob) -> list[str]:
    """What a job depended on, as far as that is recorded."""
    found = _older(past).get("dependencies")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _names_changed(older: object, newer: Mapping[str, str] | Sequence[Any]) -> Iterator[str]:
    before, after = _named(older), _named(newer)
    if before is None or after is None:
        return
    for name in (*after, *(name for name in before if name not in after)):
        if name not in before:
            yield f"+{name}"
        elif name not in after:
            yield f"-{name}"
        elif before[name] != after[name]:
            yield name


def _named(part: object) -> dict[str, object] | None:
    """A part of a definition as values by name: dependencies, checks (of one name in their order), variables."""
    if isinstance(part, dict):
        return {str(name): value for name, value in part.items()}
    if not isinstance(part, list):
        return None
    found: dict[str, object] = {}
    for entry in part:
        name, params = (entry[0], entry[1:]) if isinstance(entry, list) and entry else (entry, None)
        found[str(name)] = [*found.get(str(name), []), params]  # type: ignore[misc]
    return found
