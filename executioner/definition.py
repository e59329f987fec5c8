"""A job's definition as the history keeps it, to tell later whether the job has changed.

Canonical JSON of what decides what the job does. Of environment values only an HMAC
under the database's own random key is kept: that a value changed can be seen, the value
cannot.
"""

import json
from collections.abc import Callable, Mapping

from executioner.model import Job


def definer(application_env: Mapping[str, str], key: bytes) -> Callable[[Job], str]:
    """A function from a job to its definition.

    Values are those of the config as written, before ``${NAME}`` is filled in: another
    caller's HOME is no change of the job.
    """
    encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
    shared = _digests(application_env, key)

    def definition(job: Job) -> str:
        return encode(
            {
                "command": job.command,
                "dependencies": sorted(job.dependencies),
                "working_dir": job.working_dir,
                "pre_checks": [[check.name, check.params] for check in job.pre_checks],
                "post_checks": [[check.name, check.params] for check in job.post_checks],
                "env_variables": shared | _digests(job.env, key),
            }
        )

    return definition


def _digests(env: Mapping[str, str], key: bytes) -> dict[str, str]:
    if not env:
        return {}
    import hmac  # with hashlib: 4 ms

    return {
        name: hmac.digest(key, value.encode("utf-8", "surrogateescape"), "sha256").hex()
        for name, value in env.items()
    }
