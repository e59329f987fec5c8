"""Times as people type them, and what they mean where clocks are set forward and back."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from executioner.times import utc_text
from executioner.when import EXPECTED, instant, span

NOW = 1_748_000_000.25  # 2025-05-23T11:33:20.25Z
DAY_S = 86_400
Zone = Callable[[str], None]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """Sets the local time zone of this process for one test."""

    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


def bounds(text: str, now: float = NOW) -> tuple[str, str]:
    """The stored texts that a time means as ``--since`` and as ``--until``."""
    return utc_text(instant(text, now, end=False)), utc_text(instant(text, now, end=True))


# --- what is understood -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2025-05-20", "2025-05-20T00:00:00.000000Z", "2025-05-21T00:00:00.000000Z"),
        ("20250520", "2025-05-20T00:00:00.000000Z", "2025-05-21T00:00:00.000000Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000000Z", "2024-03-01T00:00:00.000000Z"),
        ("2024-12-31", "2024-12-31T00:00:00.000000Z", "2025-01-01T00:00:00.000000Z"),
        ("2025-05-20 09:45", "2025-05-20T09:45:00.000000Z", "2025-05-20T09:46:00.000000Z"),
        ("2025-05-20T09:45", "2025-05-20T09:45:00.000000Z", "2025-05-20T09:46:00.000000Z"),
        ("2025-05-20 23:59", "2025-05-20T23:59:00.000000Z", "2025-05-21T00:00:00.000000Z"),
        ("2025-05-20 09:45:07", "2025-05-20T09:45:07.000000Z", "2025-05-20T09:45:08.000000Z"),
        ("2025-05-20T09:45:07", "2025-05-20T09:45:07.000000Z", "2025-05-20T09:45:08.000000Z"),
        (" 2025-05-20 ", "2025-05-20T00:00:00.000000Z", "2025-05-21T00:00:00.000000Z"),
        ("09:45", "2025-05-23T09:45:00.000000Z", "2025-05-23T09:46:00.000000Z"),
        ("09:45:07", "2025-05-23T09:45:07.000000Z", "2025-05-23T09:45:08.000000Z"),
        ("23:00", "2025-05-23T23:00:00.000000Z", "2025-05-23T23:01:00.000000Z"),
        ("today", "2025-05-23T00:00:00.000000Z", "2025-05-24T00:00:00.000000Z"),
        ("Yesterday", "2025-05-22T00:00:00.000000Z", "2025-05-23T00:00:00.000000Z"),
    ],
)
def test_a_stretch_of_time_is_meant_whole(zone: Zone, text: str, since: str, until: str) -> None:
    """A day, a minute or a second: from its first moment on, and up to the first moment after it."""
    zone("UTC")
    assert bounds(text) == (since, until)


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("7d", 7 * DAY_S),
        ("12h", 43_200),
        ("90m", 5_400),
        ("30s", 30),
        ("2w", 14 * DAY_S),
        ("0d", 0),
        ("7D", 7 * DAY_S),
    ],
)
@pytest.mark.parametrize("end", [False, True])
def test_so_long_ago_is_one_moment(zone: Zone, text: str, ago_s: int, end: bool) -> None:
    """``7d`` is seven times 24 hours before now, to the fraction, on either side and whatever the clocks did."""
    zone("Europe/Berlin")
    assert instant(text, NOW, end=end) == NOW - ago_s


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2025-05-20T09:45:00Z", "2025-05-20T09:45:00.000000Z", "2025-05-20T09:45:01.000000Z"),
        ("2025-05-20t09:45z", "2025-05-20T09:45:00.000000Z", "2025-05-20T09:46:00.000000Z"),
        ("2025-05-20 09:45+02:00", "2025-05-20T07:45:00.000000Z", "2025-05-20T07:46:00.000000Z"),
        ("2025-05-20 09:45:30-04:30", "2025-05-20T14:15:30.000000Z", "2025-05-20T14:15:31.000000Z"),
    ],
)
def test_a_time_with_its_own_zone(zone: Zone, text: str, since: str, until: str) -> None:
    """A time that names its offset from UTC means that, not the local zone."""
    zone("Asia/Tokyo")
    assert bounds(text) == (since, until)


@pytest.mark.parametrize("start", ["2025-05-20T09:45:00.123456Z", "2025-05-20T09:45:00.000000Z"])
def test_the_start_time_of_a_run_as_json_prints_it(zone: Zone, start: str) -> None:
    """Pasted back, it takes in that very run on both sides: ``--until T`` is "at T or earlier"."""
    zone("Europe/Berlin")
    since, until = bounds(start)
    assert since <= start < until


def test_the_local_zone_decides_which_day_it_is(zone: Zone) -> None:
    """At 23:30 in London it is tomorrow in Berlin: ``today`` and ``09:45`` are those of the local calendar."""
    now = 1_748_039_400.0  # 2025-05-23T22:30:00Z
    zone("Europe/Berlin")
    assert bounds("today", now) == ("2025-05-23T22:00:00.000000Z", "2025-05-24T22:00:00.000000Z")
    assert bounds("09:45", now) == ("2025-05-24T07:45:00.000000Z", "2025-05-24T07:46:00.000000Z")
    zone("America/New_York")
    assert bounds("today", now) == ("2025-05-23T04:00:00.000000Z", "2025-05-24T04:00:00.000000Z")


@pytest.mark.parametrize("text", ["9999-12-31", "0800-01-01"])
def test_dates_that_stand_for_always(zone: Zone, text: str) -> None:
    """The last day of the calendar, and one long before any computer, are dates like any other.

    As stored texts they sort where they belong.
    """
    zone("UTC")
    moment = instant(text, NOW, end=text.startswith("9"))
    assert (utc_text(moment) > utc_text(NOW)) == text.startswith("9")


# --- clocks that are set forward and back ---------------------------------------------------

MINUTE = "%Y-%m-%d %H:%M"
CHANGES = [
    pytest.param("Europe/Berlin", "2025-03-30 01:00", id="berlin-forward"),
    pytest.param("Europe/Berlin", "2025-10-26 01:00", id="berlin-back"),
    pytest.param("Australia/Lord_Howe", "2025-04-05 15:00", id="half-an-hour-back"),
    pytest.param("Australia/Lord_Howe", "2025-10-04 15:30", id="half-an-hour-forward"),
    pytest.param("America/Havana", "2025-11-02 05:00", id="midnight-twice"),
    pytest.param("Africa/Cairo", "2025-04-24 22:00", id="no-midnight"),
    pytest.param("Africa/Cairo", "2025-10-30 21:00", id="the-hour-before-midnight-twice"),
    pytest.param("Pacific/Apia", "2011-12-30 10:00", id="a-day-left-out"),
    pytest.param("Asia/Kathmandu", "2025-10-26 01:00", id="no-change"),
]


def around(change: str, form: str) -> list[tuple[float, str]]:
    """Each minute of two days before and after a change (in UTC), and what a local clock then shows."""
    middle = int(datetime.fromisoformat(f"{change}+00:00").timestamp())
    minutes = range(middle - 2 * DAY_S, middle + 2 * DAY_S, 60)
    return [(at, time.strftime(form, time.localtime(at))) for at in minutes]


@pytest.mark.parametrize(("name", "change"), CHANGES)
@pytest.mark.parametrize("form", [MINUTE, "%Y-%m-%d"], ids=["times", "dates"])
def test_since_begins_with_the_first_moment_that_shows_it(zone: Zone, name: str, change: str, form: str) -> None:
    """``--since T`` begins at the first moment at which a local clock shows T or more.

    Of an hour that occurs twice that is the first one; of one that is left out, the moment
    at which the clock is set forward.
    """
    zone(name)
    shown = around(change, form)
    wrong = []
    for text in asked(shown, change, form):
        first = min(at for at, label in shown if label >= text)
        if instant(text, NOW, end=False) != first:
            wrong.append((text, utc_text(instant(text, NOW, end=False)), utc_text(first)))
    assert not wrong


@pytest.mark.parametrize(("name", "change"), CHANGES)
@pytest.mark.parametrize("form", [MINUTE, "%Y-%m-%d"], ids=["times", "dates"])
def test_until_ends_with_the_last_moment_that_shows_it(zone: Zone, name: str, change: str, form: str) -> None:
    """``--until T`` ends with the last moment at which a local clock shows T or less.

    Of an hour that occurs twice that is in the second one; of one that is left out, the
    moment before the clock is set forward. The minute before a doubled hour ends before it.
    """
    zone(name)
    shown = around(change, form)
    wrong = []
    for text in asked(shown, change, form):
        last = max(at for at, label in shown if label <= text)
        if instant(text, NOW, end=True) != last + 60:
            wrong.append((text, utc_text(instant(text, NOW, end=True)), utc_text(last + 60)))
    assert not wrong


def asked(shown: list[tuple[float, str]], change: str, form: str) -> list[str]:
    """What is asked for: each quarter of an hour and the minute before it, or each day; left-out ones, too."""
    first, last = shown[0][1], shown[-1][1]
    begin = int(datetime.fromisoformat(f"{change}+00:00").timestamp()) - 3 * DAY_S
    minutes = range(begin, begin + 6 * DAY_S, 60)
    labels = [time.strftime(form, time.gmtime(at)) for at in minutes if at % 900 in (0, 840)]
    return [label for label in dict.fromkeys(labels) if first < label < last]


# --- what is not understood -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "7",
        "d",
        "-7d",
        "7y",
        "7 d",
        "1234567d",
        "tomorrow",
        "last week",
        "2025",
        "2025-05",
        "2025-13-01",
        "2025-02-29",
        "2025-05-23 25:00",
        "2025-05-23 09:60",
        "2025-05-23 09:45:61",
        "25:00",
        "23.05.2025",
        "05/23/2025",
        "2025-05-23 09:45 Europe/Berlin",
        "1748000000",
        "٧",
        "nan",
        "2025-05-23_09:45",
        "2025-05-23x09:45",
    ],
)
@pytest.mark.parametrize("end", [False, True])
def test_what_is_no_time_is_refused(text: str, end: bool) -> None:
    """The error tells the forms that are understood, and what was typed instead."""
    with pytest.raises(ValueError) as caught:
        instant(text, NOW, end=end)
    assert str(caught.value) == f'{EXPECTED}, got "{text}"'
    assert EXPECTED == 'expected 2025-05-23, "2025-05-23 09:45", 09:45, 7d, 12h, today or yesterday'


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (None, None, []),
        ("2025-05-20", "2025-05-20", ["started on 2025-05-20"]),
        (
            "2025-05-20 09:45",
            "2025-05-20 09:45",
            ["started since 2025-05-20 09:45", "started until 2025-05-20 09:45"],
        ),
        ("yesterday", "Yesterday", ["started since yesterday", "started until Yesterday"]),
        ("Yesterday", "Yesterday", ["started yesterday"]),
        ("today", None, ["started since today"]),
        ("7d", "12h", ["started in the last 7d", "started before 12h ago"]),
        (None, "2025-05-20", ["started until 2025-05-20"]),
    ],
)
def test_bounds_in_words(since: str | None, until: str | None, words: list[str]) -> None:
    """A day that is both bounds is said once; a time ago is said as such; the rest as it was typed."""
    assert span(since, until) == words
