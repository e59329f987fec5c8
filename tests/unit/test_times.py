"""Instants as text: fixed width, sortable, exact to the microsecond."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executioner.times import from_utc_text, utc_text

#: 1970 to 2100: a float holds their microseconds.
INSTANTS = st.integers(min_value=0, max_value=4_102_444_800_000_000).map(lambda micros: micros / 1e6)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (1747993500.0, "2025-05-23T09:45:00.000000Z"),
        (1747993500.000001, "2025-05-23T09:45:00.000001Z"),
        (1747993499.9999999, "2025-05-23T09:45:00.000000Z"),
        (1709164800.5, "2024-02-29T00:00:00.500000Z"),
        (1735689599.999999, "2024-12-31T23:59:59.999999Z"),
    ],
)
def test_known_instants(at: float, text: str) -> None:
    """The epoch, the example of the document, rounding into the next second, a leap day, a year's end."""
    assert utc_text(at) == text


@given(INSTANTS)
def test_the_width_is_fixed(at: float) -> None:
    """27 characters, always the same form."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", utc_text(at))


@given(INSTANTS)
def test_text_and_instant_are_inverse(at: float) -> None:
    """No microsecond is lost on the way to text and back."""
    assert round(from_utc_text(utc_text(at)) * 1e6) == round(at * 1e6)


@given(INSTANTS)
def test_it_is_what_the_standard_library_says(at: float) -> None:
    """The same instant as datetime's, in UTC."""
    micros = round(at * 1e6)
    expected = datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)
    assert utc_text(at) == expected.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@given(INSTANTS, INSTANTS)
def test_the_order_of_text_is_that_of_time(one: float, other: float) -> None:
    """Sorting the column sorts by time, also across the cache of the last second."""
    assert (utc_text(one) < utc_text(other)) == (round(one * 1e6) < round(other * 1e6))


@given(st.datetimes())
def test_every_day_of_the_calendar_is_read(moment: datetime) -> None:
    """From the year 1 to 9999, leap days included, an instant is the one that datetime says."""
    expected = moment.replace(microsecond=0, tzinfo=UTC).timestamp()
    assert from_utc_text(f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}.000000Z") == expected


def test_a_leap_second_is_the_next_one() -> None:
    """Another program may have written it."""
    assert from_utc_text("2016-12-31T23:59:60.500000Z") == from_utc_text("2017-01-01T00:00:00.500000Z")


@pytest.mark.parametrize(
    "text",
    [
        "2016-12-31T23:59:62.000000Z",
        *(
            "",
            "now",
            "2025-05-23",
            "2025-13-01T00:00:00.000000Z",
            "2025-02-29T00:00:00.000000Z",
            "23.05.2025 09:45",
        ),
        *(
            "2025-01-01T24:00:00.000000Z",
            "2025-01-01 00:00:00.000000Z",
            "2025-1-001T00:00:00.0Z",
            f"{'9' * 400}-01",
        ),
        *(
            f"2025-05-23T09:45:00.{end}"
            for end in ("9" * 400 + "Z", "000000", "-00005Z", " 1_05 Z", "٣٣٣٣٣٣Z", "")
        ),
        *("٢٠٢٥-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.xZ", "--------------------------Z"),
    ],
)
def test_other_text_is_refused(text: str) -> None:
    """What is not of the stored form raises ValueError instead of giving a wrong time."""
    with pytest.raises(ValueError, match=r"."):
        from_utc_text(text)
