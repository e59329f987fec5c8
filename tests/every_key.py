"""A config with every documented key, for the tests of all keys."""

from collections.abc import Mapping
from typing import Any

#: A config with every key; all values differ from the defaults where that is possible.
EVERY_KEY: dict[str, Any] = {
    "application_name": "all",
    "name": "all",
    "working_dir": "~/work",
    "log_dir": "log",
    "history_db": "history.db",
    "parallel": True,
    "max_workers": 4,
    "max_active_runs": 1,
    "continue_on_error": True,
    "default_timeout": 60,
    "default_max_retries": 1,
    "default_retry_delay": 0,
    "default_retry_backoff": 2,
    "default_retry_jitter": 0,
    "default_max_retry_time": 90.5,
    "default_retry_on_exit_codes": [1, -9],
    "default_retry_on_status": ["failed"],
    "kill_grace": 1,
    "env_variables": {"A": "x", "B": 1, "C": 1.5, "D": True, "_comment": []},
    "inherit_shell_env": ["PATH"],
    "allow_shell": False,
    "command_whitelist": ["echo"],
    "dependency_plugins": ["rows.py", {"name": "n", "path": "p.py"}],
    "email_address": ["ops@example.com"],
    "email_on_success": True,
    "email_on_failure": False,
    "smtp_server": "mail",
    "smtp_port": 25,
    "smtp_user": "u",
    "smtp_password": "p",
    "smtp_tls": "ssl",
    "security_policy": "warn",
    "jobs": [
        {"id": "first", "command": "echo 1"},
        {
            "id": "a",
            "command": "echo ${A}",
            "description": "A",
            "dependencies": ["first"],
            "timeout": 5,
            "env_variables": {"X": "${A}"},
            "working_dir": "sub",
            "max_retries": 3,
            "retry_delay": 1,
            "retry_backoff": 1,
            "retry_jitter": 0.5,
            "max_retry_time": 10,
            "retry_on_status": ["ERROR"],
            "retry_on_exit_codes": [2],
            "pre_checks": [{"name": "check_file_exists", "params": {"path": "x"}}],
            "post_checks": [{"name": "check_no_ora_errors", "params": {"log_file": "*.log"}}],
        },
    ],
}


def every_key(application: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """The same with other values of some keys of the application, and of its second job."""
    first, second = EVERY_KEY["jobs"]
    return {**EVERY_KEY, **application, "jobs": [first, {**second, **job}]}
