"""What the tests of screens share: the golden texts, figures made alike, harmlessness, odd ways to call."""

import os
import pty
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import Program, Result

_TIMES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b\d\d+:\d\d:\d\d\b")
_OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_COLOUR = re.compile("\x1b\\[[0-9;]*m")

TITLE = """\
========================================
           EXECUTION SUMMARY
========================================
"""

# screens.md, 1
CONFIG_ERRORS = """\
Error: 4 problems in the config (nightly.json)
  jobs[1].dependancies: unknown key, did you mean "dependencies"?
  jobs[3].timeout: expected a positive number, got "x"
  jobs[4].dependencies[0]: no job "tranform", did you mean "transform"?
  jobs: dependency cycle: merge -> report -> merge

Nothing was run. To check again:
  executioner.py -c nightly.json --validate
"""

# screens.md, 2
MANY_FAILURES = """\
========================================
           EXECUTION SUMMARY
========================================
Application: regional_load
Run ID: 312
Status: FAILED
Start Time: 2025-05-23 02:00:01
End Time: 2025-05-23 02:41:17
Duration: 00:41:16
History: /srv/etl/history.db
Jobs: 200 total, 104 completed, 37 failed, 59 skipped

Failed Jobs:
  - load_at: Load Austria failed
      Reason: Exit code 1
      Log: ./logs/executioner.regional_load.job-load_at.run-312.log
  - load_be: Load Belgium timed out
      Reason: Timed out after 00:30:00 (default_timeout)
      Log: ./logs/executioner.regional_load.job-load_be.run-312.log
  - load_bg: Load Bulgaria failed
      Reason: Exit code 1
      Log: ./logs/executioner.regional_load.job-load_bg.run-312.log
  - load_ch: Load Switzerland failed
      Reason: Exit code 1
      Log: ./logs/executioner.regional_load.job-load_ch.run-312.log
  - load_cz: Load Czechia failed
      Reason: Killed by SIGKILL
      Log: ./logs/executioner.regional_load.job-load_cz.run-312.log
  ... and 32 more: 27 Exit code 1, 4 Timed out, 1 Killed by SIGKILL
      executioner.py --db /srv/etl/history.db --show-run 312 --status failed,timeout

Skipped Jobs:
  59 dependency failed: merge_at, merge_be, merge_bg, merge_ch, merge_cz, ...
      executioner.py --db /srv/etl/history.db --show-run 312 --status skipped

RESUME OPTIONS:
===============
To resume this run (all incomplete jobs):
  executioner.py -c regional_load.json --db /srv/etl/history.db --resume-from 312

To retry only failed jobs:
  executioner.py -c regional_load.json --db /srv/etl/history.db --resume-from 312 --resume-failed-only

To view this run details later:
  executioner.py --db /srv/etl/history.db --show-run 312
"""

# screens.md, 3
INTERRUPTED_LINE = "Interrupted: ending 1 running job, up to 00:00:10 (Ctrl-C again kills at once)\n"
INTERRUPTED = """\
========================================
           EXECUTION SUMMARY
========================================
Application: data_pipeline
Run ID: 251
Status: INTERRUPTED
Reason: Ctrl-C (SIGINT)
Start Time: 2025-05-23 11:00:00
End Time: 2025-05-23 11:01:47
Duration: 00:01:47
History: /home/etl/.local/state/executioner/history.db
Jobs: 8 total, 3 completed, 0 failed, 1 interrupted, 4 skipped

Interrupted Jobs:
  - transform_part2: Data transformation was interrupted
      Reason: Ended by the runner after 00:00:12
      Log: ./logs/executioner.data_pipeline.job-transform_part2.run-251.log

Skipped Jobs:
  - merge_results (run interrupted)
  - generate_report (run interrupted)
  - send_notification (run interrupted)
  - cleanup (run interrupted)

RESUME OPTIONS:
===============
To resume this run (all incomplete jobs):
  executioner.py -c data_pipeline.json --resume-from 251

To view this run details later:
  executioner.py --show-run 251
"""

# The founding document, improvement 3. Its "..." stands for the rest of the header; the
# list of skipped jobs between the two parts is screens.md's addition.
FOUNDING_HEAD = """\
========================================
           EXECUTION SUMMARY
========================================
Application: data_pipeline
Run ID: 249
Status: FAILED
"""
FOUNDING_FAILED = """\
Failed Jobs:
  - transform_part2: Data transformation failed
      Reason: Exit code 1
      Log: ./logs/executioner.data_pipeline.job-transform_part2.run-249.log
"""
FOUNDING_RESUME = """\
RESUME OPTIONS:
===============
To resume this run (all incomplete jobs):
  executioner.py -c data_pipeline.json --resume-from 249

To retry only failed jobs:
  executioner.py -c data_pipeline.json --resume-from 249 --resume-failed-only

To view this run details later:
  executioner.py --show-run 249
"""

# The founding document, improvement 4
FOUNDING_PREVIEW = """\
RESUME DRY RUN - Run ID 249
===========================
Would skip successful jobs:
  ✓ download_data
  ✓ validate_data
  ✓ transform_part1

Would retry failed job:
  ✗ transform_part2

Would execute remaining jobs:
  - merge_results
  - generate_report
  - send_notification
  - cleanup

Total: 5 jobs to execute, 3 jobs to skip
"""

# screens.md, 10
PROGRESS = """\
09:45:00 Run 249 started: data_pipeline, 8 jobs, 2 workers
09:45:10 [0/8] > download_data running 00:00:10
09:45:30 [1/8] ✓ download_data 00:00:30
09:45:40 [1/8] > validate_data running 00:00:10
09:46:15 [2/8] ✓ validate_data 00:00:45
09:46:25 [2/8] > transform_part1 running 00:00:10
09:46:25 [2/8] > transform_part2 running 00:00:10
09:46:35 [3/8] ✓ transform_part1 00:00:20
09:46:45 [3/8] ✗ transform_part2 00:00:30 Exit code 1, attempt 1 of 2, next in 00:00:30
09:47:25 [3/8] > transform_part2 running 00:00:10, attempt 2 of 2
09:47:45 [4/8] ✗ transform_part2 00:01:30 Exit code 1
         | ERROR: Unable to process data file
         | FileNotFoundError: /data/part2_input.csv
09:47:45 [8/8] - 4 jobs skipped (dependency failed)
"""


def on_screen(program: Program, *args: str, **options: Any) -> Result:
    """Run the program on a terminal without colours."""
    return program.on_terminal(*args, **{"env": {"NO_COLOR": "1"}, **options})


def figures(text: str) -> str:
    """Text with the digits of times and durations as zeros, and nothing else changed."""
    return _TIMES.sub(lambda match: re.sub(r"\d", "0", match.group()), text)


def summary_of(text: str) -> str:
    """The summary at the end of what a run printed, from its title on."""
    _, title, rest = text.partition(TITLE)
    assert title, f"no summary in:\n{text}"
    return title + rest


def commands_of(text: str) -> list[str]:
    """The commands to type next that a screen ends with: the lines set in by two columns."""
    return [line[2:] for line in text.splitlines() if re.match(r"  (cd |\S*executioner|\S*python)", line)]


def plain(text: str) -> str:
    """Text without colours."""
    return _COLOUR.sub("", text)


def assert_harmless(text: str) -> None:
    """Fails if a terminal would obey anything in the text but line feeds."""
    found = _OBEYED.search(text)
    assert found is None, f"{found.group()!r} in {text[max(0, found.start() - 60) : found.end() + 20]!r}"


def tree(*folders: Path) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of folders: names, kinds, permissions, times and contents."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, content)
    return found


def everything(program: Program) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of the program's folder and home."""
    return tree(program.folder, program.home)


def split_terminal(
    program: Program, *args: str, stream: str, env: Mapping[str, str | None] | None = None
) -> Result:
    """Run the program with one of ``stdout`` and ``stderr`` on a terminal, the other a pipe."""
    master, slave = pty.openpty()
    other = "stderr" if stream == "stdout" else "stdout"
    with subprocess.Popen(
        program.command(*args),
        cwd=program.folder,
        env=program.environment({"TERM": "xterm", **(env or {})}),
        stdin=subprocess.DEVNULL,
        **{stream: slave, other: subprocess.PIPE},
    ) as process:
        os.close(slave)
        pipe = process.stderr if stream == "stdout" else process.stdout
        assert pipe is not None
        piped = pipe.read().decode()
        shown = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # Linux: the other side was closed
                break
            if not data:
                break
            shown += data
    os.close(master)
    screen = shown.decode().replace("\r\n", "\n")
    out, err = (screen, piped) if stream == "stdout" else (piped, screen)
    return Result(process.returncode, out, err)


def paste(
    program: Program,
    line: str,
    *,
    shell: str = "sh",
    folder: str | Path = "/",
    env: Mapping[str, str] | None = None,
) -> Result:
    """Type a printed command at a shell that stands in another folder."""
    done = subprocess.run(
        [shell, "-c", line],
        cwd=folder,
        env=program.environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
