"""``--list-runs``: which runs there were."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import time

from executioner.commands.context import Context, hidden
from executioner.commands.past import Past, open_past, say_no_runs
from executioner.errors import SEE_OPTIONS, UsageError
from executioner.history.query import RunFilter
from executioner.model import RunStatus
from executioner.record import Record
from executioner.records import Run
from executioner.render.data import csv_lines, json_list_lines
from executioner.render.runs import newest_text, none_found_text, runs_text, status_counts
from executioner.render.text import shown_path
from executioner.times import utc_text

_MOST_COUNTED = 1000


class Listing(Record):
    """Which runs are to be listed, as it was typed."""

    last: int = 20
    statuses: tuple[str, ...] = ()
    application: str | None = None
    since: str | None = None
    until: str | None = None
    user: str | None = None
    partly_completed: bool = False
    resumable: bool = False


def list_runs(context: Context, listing: Listing) -> int:
    """List the runs that match; returns the exit code.

    Raises:
        UsageError: a time that is none.
        HistoryError: the history cannot be used.
    """
    now = time()
    wanted = _filter(listing, now)
    past = open_past(context)
    if past:
        wanted = wanted._replace(config_paths=past.config_paths)
    options, out = context.options, context.terminal.out
    if options.csv or options.json:
        found = past.history.find(wanted, listing.last) if past else iter(())
        if options.json:
            out.write_lines(json_list_lines(run._asdict() for run in found))
        else:
            out.write_lines(csv_lines(Run._fields, found, escape=out.is_terminal))
    elif past:
        _check_tables()
        runs = list(past.history.find(wanted, listing.last + 1))
        has_more = len(runs) > listing.last
        if not runs:
            _say_none(context, past, listing, wanted)
            return 0
        text = runs_text(
            runs[: listing.last],
            more=_words(listing._replace(last=2 * listing.last), past) if has_more else (),
            invocation=past.typed,
            now=now,
            width=context.terminal.width(),
            palette=out.palette,
        )
        out.write(text)
    return 0


def _filter(listing: Listing, now: float) -> RunFilter:
    return RunFilter(
        statuses=listing.statuses,
        application=listing.application,
        user=listing.user,
        since=_bound("--since", listing.since, now),
        before=_bound("--until", listing.until, now),
        partly_completed=listing.partly_completed,
        resumable=listing.resumable,
    )


def _bound(flag: str, text: str | None, now: float) -> str | None:
    """A bound of start times as the history stores them."""
    if text is None:
        return None
    from executioner.when import instant

    try:
        return utc_text(instant(text, now, end=flag == "--until"))
    except ValueError as exc:
        why = str(exc).replace(text, hidden(text))  # a variable here may be a secret
        raise UsageError(f"{flag}: {why}", "command line", steps=[SEE_OPTIONS]) from exc


def _words(listing: Listing, past: Past) -> list[str]:
    """A listing as it is typed."""
    words = ["--list-runs", *past.typed.config_words, "--last", str(listing.last)]
    for flag, value in (
        ("--status", ",".join(listing.statuses) or None),
        ("--app", listing.application),
        ("--since", listing.since),
        ("--until", listing.until),
        ("--user", listing.user),
    ):
        if value is not None:
            words += [f"{flag}={value}"] if value.startswith("-") else [flag, value]
    flags = (("--partly-completed", listing.partly_completed), ("--resumable", listing.resumable))
    return [*words, *(flag for flag, is_set in flags if is_set)]


def _check_tables() -> None:
    """Refuse to draw a table without what draws it.

    Raises:
        RunRefusedError: it is not there.
    """
    from executioner.commands.guards import lacks_packages, missing_packages

    if missing_packages(("tabulate",)):
        raise lacks_packages("Nothing was listed. With --format json it is, without them.")


# --- nothing found ---------------------------------------------------------------------------


def _say_none(context: Context, past: Past, listing: Listing, wanted: RunFilter) -> None:
    """Say that nothing matches, and which filters are in the way."""
    err = context.terminal.err
    if next(past.history.find(RunFilter(), 1), None) is None:
        say_no_runs(context, past.history.path, past.typed)
        return
    misses = list(_near_misses(past, listing, wanted))
    if past.config_paths and not any(map(os.path.exists, past.config_paths)):
        misses.append(f"There is no file {shown_path(past.config_paths[0], context.cwd)}")
    err.write(none_found_text(_filters(context, past, listing), misses, past.shown_path))


def _filters(context: Context, past: Past, listing: Listing) -> list[str]:
    """The filters in words."""
    from executioner.when import span

    words = []
    if listing.application is not None:
        words.append(f"app {listing.application}")
    if listing.statuses:
        words.append(f"status {', '.join(listing.statuses)}")
    if listing.user is not None:
        words.append(f"user {listing.user}")
    if past.config_paths:
        words.append(f"config {shown_path(past.config_paths[0], context.cwd)}")
    if listing.partly_completed:
        words.append("partly completed")
    if listing.resumable:
        words.append("resumable")
    return [*words, *span(listing.since, listing.until)]


def _near_misses(past: Past, listing: Listing, wanted: RunFilter) -> Iterator[str]:
    """For each filter what would be found without it, where that is something."""
    found = [line for line in (_without_status(past, wanted), *_without_others(past, listing, wanted)) if line]
    if wanted.since is not None and wanted.before is not None and wanted.before <= wanted.since:
        yield "--until is not after --since: no run can match"
    yield from found
    yield from _similar_names(past, listing.application)
    if not found:
        newest = next(past.history.find(RunFilter(), 1))
        yield f"Without any of this: {newest_text(newest)}"


def _without_status(past: Past, wanted: RunFilter) -> str | None:
    if not wanted.statuses:
        return None
    numbers = {one.value: _count(past, wanted._replace(statuses=(one.value,))) for one in RunStatus}
    found = sorted(((number, status) for status, number in numbers.items() if number), reverse=True)
    if not found:
        return None
    return f"Without --status: {status_counts({status: number for number, status in found}, _MOST_COUNTED)}"


def _without_others(past: Past, listing: Listing, wanted: RunFilter) -> Iterator[str]:
    times = [flag for flag, value in (("--since", listing.since), ("--until", listing.until)) if value is not None]
    for flag, given, rest in (
        ("--app", wanted.application is not None, wanted._replace(application=None)),
        ("--user", wanted.user is not None, wanted._replace(user=None)),
        ("-c", bool(wanted.config_paths), wanted._replace(config_paths=())),
        ("--partly-completed", wanted.partly_completed, wanted._replace(partly_completed=False)),
        ("--resumable", wanted.resumable, wanted._replace(resumable=False)),
        ("/".join(times), bool(times), wanted._replace(since=None, before=None)),
    ):
        newest = next(past.history.find(rest, 1), None) if given else None
        if newest is not None:
            yield f"Without {flag}: {newest_text(newest)}"


def _similar_names(past: Past, application: str | None) -> Iterator[str]:
    """Applications whose names are like one that is not there."""
    if application is None or past.history.applications(application):
        return
    from difflib import get_close_matches

    names = {name.casefold(): name for name in past.history.applications()}
    near = get_close_matches(application.casefold(), names, 3)
    if near:
        yield f"No application {application}, did you mean {' or '.join(names[name] for name in near)}?"


def _count(past: Past, wanted: RunFilter) -> int:
    """How many runs match, as far as that is worth counting."""
    return sum(1 for _ in past.history.find(wanted, _MOST_COUNTED + 1))
