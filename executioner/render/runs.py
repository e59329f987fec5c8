"""The list of runs: as a table, and what is said where none is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from executioner.model import RunStatus
from executioner.record import Record
from executioner.records import Run
from executioner.render.command import Invocation
from executioner.render.text import Palette, columns, duration, local_time, quoted, safe
from executioner.times import instant

_TITLE = "Recent Execution History:"
_HEADERS = ("Run ID", "Application", "Status", "Start Time", "Duration", "Completed/Total")
_WIDTHS = (6, 16, 9, 19, 8, 15)
_APPLICATION, _STATUS, _START, _COMPLETED = 1, 2, 3, 5
_DAY_AND_MINUTE = slice(5, 16)  # of a start time, where a terminal is narrow
_LEAST_NAME = 6
_BETWEEN = 3  # columns of " | "


def runs_text(
    runs: Sequence[Run],
    *,
    more: Sequence[str],
    invocation: Invocation,
    now: float,
    width: int | None,
    palette: Palette,
) -> str:
    """The whole screen, ended by a newline.

    Args:
        runs: newest first; not empty.
        more: the words of a command that lists more of them; empty where no more match.
        invocation: how to print commands.
        now: Unix time, for runs that are on.
        width: of the terminal; None where names are not to be shortened.
        palette: colours.
    """
    hints = []
    if more:
        hints.append(f"To see more runs: {invocation.look(*more)}")
    # as the founding document's sample: also where a newer run of the config has succeeded since
    if any(run.resumable or run.status in (RunStatus.FAILED, RunStatus.INTERRUPTED) for run in runs):
        config = " ".join(map(quoted, invocation.config_words)) or "-c <config>"
        hints.append(f"To resume a failed run: {invocation.template(config)} --resume-from <RUN_ID>")
    hints.append(f"To see details: {invocation.template()} --show-run <RUN_ID>")
    table = _table([_row(run, now) for run in runs], width, palette)
    return "\n".join([_TITLE, "=" * 23, *table, "", *hints]) + "\n"


def status_words(run: Run) -> str:
    """A run's status, and whether that is sure."""
    return f"{safe(str(run.status))} (unverified)" if run.unverified else safe(str(run.status))


def _row(run: Run, now: float) -> list[str]:
    start = instant(run.start_time)
    elapsed = run.duration_seconds
    if run.status == RunStatus.RUNNING and start is not None:
        elapsed = now - start
    return [
        str(run.run_id),
        safe(run.application_name),
        status_words(run),
        "-" if start is None else local_time(start),
        "-" if elapsed is None else duration(elapsed),
        safe(f"{run.completed_jobs}/{run.total_jobs}"),
    ]


class _Layout(Record):
    """The columns of a table: titles, least widths, and the most that a name may take."""

    headers: list[str]
    widths: list[int]
    room: int | None


def _layout(rows: list[list[str]], width: int | None) -> _Layout:
    """The columns that fit a terminal: where it is narrow one after the other is shortened, in the rows too."""
    headers = list(_HEADERS)
    widths = [max(least, *(len(row[column]) for row in rows)) for column, least in enumerate(_WIDTHS)]
    widths[_APPLICATION] = _WIDTHS[_APPLICATION]
    if width is None:
        return _Layout(headers, widths, None)

    def spare() -> int:
        return width - sum(widths) - _BETWEEN * (len(widths) - 1)

    least = len(headers[_APPLICATION])
    if spare() < 0:  # 80 columns are too few for the whole title of the last one
        headers[_COMPLETED] = "Done"
        widths[_COMPLETED] = max(len(row[_COMPLETED]) for row in [headers, *rows])
    if widths[_APPLICATION] + spare() < least:
        for row in rows:
            row[_START] = row[_START][_DAY_AND_MINUTE] or row[_START]
        widths[_START] = max(len(row[_START]) for row in [headers, *rows])
    if widths[_APPLICATION] + spare() < least:
        headers[_APPLICATION] = "App"
        least = _LEAST_NAME
    room = max(least, widths[_APPLICATION] + spare())
    widths[_APPLICATION] = min(widths[_APPLICATION], room)
    return _Layout(headers, widths, room)


def _table(rows: list[list[str]], width: int | None, palette: Palette) -> list[str]:
    """Rows under their header, columns aligned also where a name has wide characters."""
    from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

    headers, widths, room = _layout(rows, width)
    for row in rows:
        row[0] = _centred(row[0], widths[0])
        row[_APPLICATION] = _shortened(row[_APPLICATION], room)
        row[_STATUS] = palette.status(row[_STATUS].partition(" ")[0], row[_STATUS])
    # the header is the first row: tabulate would widen the columns by two for a real one
    header = [name.ljust(least) for name, least in zip(headers, widths, strict=True)]
    line = DataRow("", " | ", "")
    style = TableFormat(None, Line("", "-", "-|-", ""), None, None, line, line, 0, None)
    table = tabulate(
        [header, SEPARATING_LINE, *rows], tablefmt=style, disable_numparse=True, preserve_whitespace=True
    )
    return [text.rstrip() for text in table.split("\n")]


def _centred(text: str, width: int) -> str:
    """Text in the middle of a column, rather to the right of it than to the left."""
    spare = width - len(text)
    return " " * (spare - spare // 2) + text + " " * (spare // 2)


def _shortened(name: str, room: int | None) -> str:
    """A name cut to some columns of a terminal, where wide characters take two."""
    if room is None or columns(name) <= room:
        return name
    from wcwidth import clip

    return f"{clip(name, 0, room - 3).rstrip()}..."


def none_found_text(filters: Sequence[str], misses: Sequence[str], history: str) -> str:
    """What is said where no run matches: the filters, and what each of them left out."""
    what = f": {', '.join(map(safe, filters))}" if filters else ""
    return "\n".join([f"No runs found{what}", *map(safe, misses), f"History: {safe(history)}"]) + "\n"


def no_runs_text(history: str, invocation: Invocation) -> str:
    """What is said of a history without runs, or of none at all."""
    run = invocation.template("-c", "FILE")
    return f"No runs yet\nHistory: {safe(history)}\nTo run a workflow: {run}\n"


def status_counts(numbers: Mapping[str, int], most: int) -> str:
    """``11 SUCCESS, 1 INTERRUPTED``; of more than ``most`` it is only said that they are more."""
    words = [
        f"{number:,} {status}" if number <= most else f"over {most:,} {status}"
        for status, number in numbers.items()
    ]
    return ", ".join(words)


def newest_text(run: Run) -> str:
    """``newest is run 247, 2025-05-16 02:00:04``."""
    start = instant(run.start_time)
    return f"newest is run {run.run_id}" + ("" if start is None else f", {local_time(start)}")


def recent_lines(runs: Sequence[Run]) -> list[str]:
    """``  Run 249 - FAILED  - 2025-05-23 09:45:00`` for each run."""
    words = [status_words(run) for run in runs]
    starts = [instant(run.start_time) for run in runs]
    width = max(map(len, words), default=0)
    digits = max((len(str(run.run_id)) for run in runs), default=0)
    return [
        f"  Run {run.run_id:>{digits}} - {status:{width}} - {'unknown' if start is None else local_time(start)}"
        for run, status, start in zip(runs, words, starts, strict=True)
    ]
