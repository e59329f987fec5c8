"""Records are what ``typing.NamedTuple`` makes, but for how quickly their classes are made."""

import copy
import pickle
from typing import NamedTuple

import pytest

from executioner.record import Record


class Point(Record):
    """A record."""

    x: int
    y: int = 2
    name: str = ""

    @property
    def total(self) -> int:
        """Derived."""
        return self.x + self.y


class Model(NamedTuple):
    """The same as the standard library makes it."""

    x: int
    y: int = 2
    name: str = ""


@pytest.mark.parametrize(
    ("args", "given"),
    [((1,), {}), ((1, 5), {"name": "n"}), ((), {"x": 3}), ((), {"name": "n", "x": 1}), ((1, 2, "n"), {})],
)
def test_a_record_equals_the_named_tuple_of_the_same_values(
    args: tuple[int, ...], given: dict[str, object]
) -> None:
    """Values by position and by name, defaults, fields, dict, comparison, unpacking."""
    ours, theirs = Point(*args, **given), Model(*args, **given)  # type: ignore[arg-type]
    assert ours == theirs == tuple(theirs)
    assert ours._fields == theirs._fields
    assert ours._asdict() == theirs._asdict()
    assert ours._replace(y=9) == theirs._replace(y=9)
    assert Point._make(theirs) == ours
    assert repr(ours).partition("(")[2] == repr(theirs).partition("(")[2]
    assert hash(ours) == hash(theirs)
    assert ours.total == theirs.x + theirs.y
    assert isinstance(ours._replace(y=9), Point)


def test_a_record_survives_copying_and_pickling() -> None:
    """It comes back as the same kind with the same values."""
    for twin in (copy.copy(Point(1)), copy.deepcopy(Point(1)), pickle.loads(pickle.dumps(Point(1)))):
        assert twin == Point(1)
        assert type(twin) is Point


def test_records_match_patterns() -> None:
    """By position and by name."""
    match Point(1, 5):
        case Point(x, name=name):
            assert (x, name) == (1, "")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Point(), TypeError),  # type: ignore[call-arg]
        (lambda: Point(1, 2, "", 4), TypeError),  # type: ignore[call-arg]
        (lambda: Point(1, z=2), TypeError),  # type: ignore[call-arg]
        (lambda: Point(1, x=2), TypeError),  # type: ignore[misc]
        (lambda: Point._make([1]), TypeError),
        (lambda: Point(1)._replace(z=2), ValueError),  # type: ignore[call-arg]
        (lambda: setattr(Point(1), "x", 2), AttributeError),
        (lambda: setattr(Point(1), "new", 2), AttributeError),
    ],
    ids=["missing", "too many", "unknown", "twice", "make", "replace", "frozen", "no further attributes"],
)
def test_what_a_record_refuses(make: object, error: type[Exception]) -> None:
    """As the standard library's named tuples do."""
    with pytest.raises(error):
        make()  # type: ignore[operator]
