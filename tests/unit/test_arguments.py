"""A command line that is read without ``argparse`` means what ``argparse`` makes of it."""

import string
from typing import get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executioner.arguments import OPTIONS, Arguments, check, read_plain
from executioner.errors import UsageError
from executioner.parser import read_all

FLAGS = [flag for option in OPTIONS for flag in option.typed]
WORDS = st.one_of(
    st.sampled_from(["flow.json", "1", "0", "249", "last", "LAST", "json", "csv", "always", "keep", "A=1", "a b"]),
    st.sampled_from(
        ["", "-", "--", "-1", "-x", "--db=x", "-j4", "-cflow", "--list", "100001", "٢", "@file", "a,b"]
    ),
    st.text(string.printable, max_size=4),
)
TYPED = st.lists(st.one_of(st.sampled_from(FLAGS), st.sampled_from(FLAGS), WORDS), max_size=8)
#: Each option once, with what it takes.
GIVEN = st.lists(st.sampled_from(OPTIONS), max_size=6, unique=True).flatmap(
    lambda options: st.tuples(
        *(
            st.sampled_from(option.typed).flatmap(
                lambda flag, option=option: (
                    st.just([flag]) if option.is_switch else WORDS.map(lambda word: [flag, word])
                )
            )
            for option in options
        )
    ).map(lambda parts: [word for part in parts for word in part])
)


def by_argparse(argv: list[str]) -> dict[str, object] | None:
    """What argparse reads; None where it refuses."""
    try:
        return vars(read_all(argv))
    except UsageError:
        return None


@given(st.one_of(TYPED, GIVEN))
@example(["-c", "flow.json", "--db", "h.db", "-j", "4", "--env", "A=1", "--env", "B=2", "--dry-run", "--dry-run"])
@example(["--list-runs", "--limit", "5", "--last", "6"])
@example(["-c", "a.json", "--config", "b.json"])
@example(["--skip", "a", "--", "b"])
def test_what_is_read_plainly_is_what_argparse_reads(argv: list[str]) -> None:
    """The same values for all options, or it is left to argparse."""
    plain = read_plain(argv)
    assert plain is None or vars(plain) == by_argparse(argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["-c", "flow.json"],
        ["--config", "flow.json", "--db", "h.db", "-j", "4", "--env", "A=1", "--skip", "a,b", "--verbose"],
        ["--resume-from", "249", "--resume-failed-only", "--dry-run"],
        ["--list-runs", "--last", "10", "--status", "failed", "--format", "json"],
        ["--show-run", "last"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_what_is_typed_most_is_read_plainly(argv: list[str]) -> None:
    """Without argparse, and to the same end."""
    plain = read_plain(argv)
    assert plain is not None
    assert vars(plain) == by_argparse(argv)
    check(plain, argv)


def test_the_options_are_those_of_the_typed_record() -> None:
    """Each option has a field of its name, and each field an option."""
    assert list(get_type_hints(Arguments)) != []
    assert set(get_type_hints(Arguments)) == {option.name for option in OPTIONS} == set(vars(Arguments()))


def test_two_command_lines_share_nothing() -> None:
    """A list of one is not that of the next."""
    first = read_plain(["--env", "A=1"])
    assert first is not None
    assert (first.env, Arguments().env) == (["A=1"], [])
