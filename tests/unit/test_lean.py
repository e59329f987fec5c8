"""What stands for parts of ``contextlib`` and ``functools`` does as they do."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from executioner import lean

BOTH = pytest.mark.parametrize("library", [lean, contextlib], ids=["ours", "theirs"])


class Thing:
    """Something to close."""

    closed = False

    def close(self) -> None:
        """Close it."""
        self.closed = True


@BOTH
def test_errors_of_some_kinds_end_quietly(library: Any) -> None:
    """Those, and what is derived from them, no others; without one nothing happens."""
    with library.suppress(OSError, KeyError):
        raise FileNotFoundError
    with library.suppress(OSError):
        pass
    with pytest.raises(ValueError, match="other"), library.suppress(OSError):
        raise ValueError("other")
    with pytest.raises(KeyboardInterrupt), library.suppress():
        raise KeyboardInterrupt


@BOTH
def test_a_thing_is_closed_in_any_case(library: Any) -> None:
    """After an error as well, which goes on."""
    thing, broken = Thing(), Thing()
    with library.closing(thing) as given:
        assert given is thing
        assert not thing.closed
    with pytest.raises(ZeroDivisionError), library.closing(broken):
        raise ZeroDivisionError
    assert thing.closed
    assert broken.closed


@BOTH
@pytest.mark.parametrize("raised", [None, ValueError, KeyError, OSError, KeyboardInterrupt, StopIteration])
def test_a_generator_makes_a_context(library: Any, raised: type[BaseException] | None) -> None:
    """What precedes its yield, its value, what follows; it may take an error, change it, or let it pass."""
    told: list[str] = []

    @library.contextmanager
    def context(word: str, *, end: str) -> Iterator[str]:
        told.append("begins")
        try:
            yield word
        except ValueError:
            told.append("took it")
        except KeyError as error:
            raise LookupError("changed") from error
        finally:
            told.append(end)

    outcome: object = "quiet"
    try:
        with context("value", end="ends") as value:
            told.append(value)
            if raised is not None:
                raise raised("reason")
    except BaseException as error:
        outcome = (type(error), str(error))
    expected: dict[object, object] = {
        KeyError: (LookupError, "changed"),
        OSError: (OSError, "reason"),
        KeyboardInterrupt: (KeyboardInterrupt, "reason"),
        StopIteration: (StopIteration, "reason"),
    }
    assert outcome == expected.get(raised, "quiet")
    assert told == ["begins", "value", *(["took it"] if raised is ValueError else []), "ends"]


@BOTH
@pytest.mark.parametrize("yields", [0, 2])
@pytest.mark.parametrize("raised", [None, OSError])
def test_a_generator_that_does_not_yield_once_is_refused(
    library: Any, yields: int, raised: type[BaseException] | None
) -> None:
    """Without a yield, with a second one, and where one follows an error."""

    @library.contextmanager
    def context() -> Iterator[int]:
        for number in range(yields):
            with contextlib.suppress(OSError):
                yield number

    with pytest.raises(RuntimeError), context():
        if raised is not None:
            raise raised


@BOTH
def test_an_error_keeps_the_place_where_it_was_raised(library: Any) -> None:
    """The lines of the generator, which it passed through, are not in its traceback."""

    @library.contextmanager
    def context() -> Iterator[None]:
        yield

    with pytest.raises(ValueError, match="reason") as caught, context():
        raise ValueError("reason")
    assert [entry.name for entry in caught.traceback] == ["test_an_error_keeps_the_place_where_it_was_raised"]


@pytest.mark.parametrize("cache", [lean.lru_cache, functools.lru_cache], ids=["ours", "theirs"])
def test_what_was_returned_last_is_kept(cache: Callable[..., Any]) -> None:
    """For as many arguments as it has room for."""
    asked = []

    @cache(maxsize=2)
    def double(number: int) -> int:
        asked.append(number)
        return 2 * number

    assert [double(number) for number in (1, 2, 1, 3, 2)] == [2, 4, 2, 6, 4]
    assert asked == [1, 2, 3, 2]
    assert tuple(double.cache_info()) == (1, 4, 2, 2)
