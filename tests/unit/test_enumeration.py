"""Enumerations of words are what ``enum.StrEnum`` makes, but for how quickly their classes are made."""

import copy
import enum
import json
import pickle

import pytest

from executioner.enumeration import StrEnum


class Colour(StrEnum):
    """Ours."""

    RED = "red"
    DARK_BLUE = "dark blue"


class Model(enum.StrEnum):
    """The standard library's."""

    RED = "red"
    DARK_BLUE = "dark blue"


def test_members_are_words_with_names() -> None:
    """Text, name, value, order, number, hash, formats and JSON are those of the standard library's."""
    for ours, theirs in zip(Colour, Model, strict=True):
        assert ours == theirs == ours.value
        assert (ours.name, ours.value, hash(ours)) == (theirs.name, theirs.value, hash(theirs))
        assert f"{ours}|{ours:>10}|{ours!s}|%s" % ours == f"{theirs}|{theirs:>10}|{theirs!s}|%s" % theirs
        assert repr(ours) == repr(theirs).replace("Model", "Colour")
        assert json.dumps({ours: ours}) == json.dumps({theirs: theirs})
        assert type(str(ours)) is type(ours.value) is str
    assert list(Colour.__members__) == list(Model.__members__)
    assert len(Colour) == len(Model)


def test_a_member_is_one_object() -> None:
    """However it is come by."""
    assert Colour("red") is Colour.RED
    assert isinstance(Colour.RED, Colour)
    for twin in (copy.copy(Colour.RED), copy.deepcopy(Colour.RED), pickle.loads(pickle.dumps(Colour.RED))):
        assert twin is Colour.RED


@pytest.mark.parametrize("word", ["RED", "", "blue", None])
def test_another_word_is_refused(word: str) -> None:
    """With the error of the standard library's."""
    errors = []
    for kind in (Colour, Model):
        with pytest.raises(ValueError, match=r"is not a valid") as caught:
            kind(word)
        errors.append(str(caught.value).replace("Model", "Colour"))
    assert errors[0] == errors[1]


def test_members_match_patterns() -> None:
    """By what they are."""
    match Colour("dark blue"):
        case Colour.RED:
            pytest.fail("the wrong one")
        case Colour.DARK_BLUE:
            pass
