"""The configs that ``--simple-config`` and ``--sample-config`` print. Both run anywhere."""

from __future__ import annotations

SIMPLE_CONFIG = """\
{
  "jobs": [
    {
      "id": "extract",
      "description": "Extract the data",
      "command": "echo extracting"
    },
    {
      "id": "transform",
      "description": "Transform the data",
      "command": "echo transforming",
      "dependencies": ["extract"]
    },
    {
      "id": "load",
      "description": "Load the result",
      "command": "echo loading",
      "dependencies": ["transform"]
    }
  ]
}
"""

SAMPLE_CONFIG = """\
{
  "_comment": "Keys that begin with _ or $ are comments: remove the _ to use such a key.",

  "application_name": "sample_pipeline",
  "working_dir": ".",
  "log_dir": "./logs",
  "_history_db": "history.db",

  "_comment_parallel": "Jobs that do not depend on each other run at the same time.",
  "parallel": true,
  "max_workers": 4,
  "max_active_runs": 1,
  "continue_on_error": false,

  "_comment_limits": "All times are seconds. A timeout of null means: no limit.",
  "default_timeout": 10800,
  "kill_grace": 10,

  "_comment_retries": "Waits 1 s, 2 s, 4 s, each varied by up to 10 percent.",
  "default_max_retries": 0,
  "default_retry_delay": 1,
  "default_retry_backoff": 2,
  "default_retry_jitter": 0.1,
  "default_max_retry_time": 600,
  "default_retry_on_status": ["FAILED", "TIMEOUT", "ERROR"],
  "_default_retry_on_exit_codes": [1, 75],

  "_comment_environment": "Stronger first: --env, a job's variables, these, the shell's.",
  "env_variables": {
    "STAGE": "test",
    "GREETING": "hello from ${STAGE}"
  },
  "inherit_shell_env": true,

  "_comment_shell": "With allow_shell false, commands are words and run without a shell.",
  "allow_shell": true,
  "_command_whitelist": ["echo", "sleep"],

  "_comment_plugins": "Python files that add checks, see docs/configuration.md.",
  "_dependency_plugins": ["checks.py", {"name": "row_count", "path": "row_count.py"}],

  "_email_address": "ops@example.com, data@example.com",
  "_email_on_success": false,
  "_email_on_failure": true,
  "_smtp_server": "mail.example.com",
  "_smtp_port": 587,
  "_smtp_user": "ops",
  "_smtp_password": "",
  "_smtp_tls": "starttls",

  "jobs": [
    {
      "id": "extract",
      "description": "Extract the data",
      "command": "echo \\"$GREETING\\" > extracted.txt",
      "post_checks": [
        {"name": "check_file_exists", "params": {"path": "extracted.txt"}},
        {"name": "check_no_ora_errors", "params": {"log_file": "extracted*.txt"}}
      ]
    },
    {
      "id": "transform_part1",
      "description": "Transform the first half",
      "command": "sleep 0.1 && echo part 1",
      "dependencies": ["extract"],
      "timeout": 60
    },
    {
      "id": "transform_part2",
      "description": "Transform the second half",
      "command": "echo part $PART",
      "dependencies": ["extract"],
      "working_dir": ".",
      "env_variables": {"PART": 2},
      "max_retries": 3,
      "retry_delay": 1,
      "retry_backoff": 2,
      "retry_jitter": 0.1,
      "max_retry_time": 60,
      "retry_on_status": ["FAILED", "TIMEOUT"],
      "retry_on_exit_codes": [1]
    },
    {
      "id": "report",
      "description": "Write the report",
      "command": "echo finished",
      "dependencies": ["transform_part1", "transform_part2"],
      "pre_checks": [
        {"name": "check_file_exists", "params": {"path": "extracted.txt"}}
      ]
    }
  ]
}
"""
