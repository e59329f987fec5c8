"""Enumerations of words, whose classes are made quickly.

They are what ``enum.StrEnum`` makes, as far as it is used here: no aliases, no ``auto``, no look-up by name.
To load ``enum`` takes a millisecond, each of its classes a tenth of one. Type checkers see ``enum.StrEnum``.
"""

__all__ = ["StrEnum"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import StrEnum
else:

    class _Words(type):
        """Makes a member of each word that a class names."""

        def __new__(mcs, name, bases, namespace):
            words = {key: word for key, word in namespace.items() if key[:1] != "_" and type(word) is str}
            rest = {key: value for key, value in namespace.items() if key not in words}
            cls = super().__new__(mcs, name, bases, {"__slots__": (), **rest})
            cls.__members__ = {}
            cls._of_words = {}
            for key, word in words.items():
                member = str.__new__(cls, word)
                member.name, member.value = key, word
                cls.__members__[key] = cls._of_words[word] = member
                setattr(cls, key, member)
            return cls

        def __call__(cls, word):
            """The member of a word."""
            member = cls._of_words.get(word)
            if member is None:
                raise ValueError(f"{word!r} is not a valid {cls.__qualname__}")
            return member

        def __iter__(cls):
            return iter(cls.__members__.values())

        def __len__(cls):
            return len(cls.__members__)

    class StrEnum(str, metaclass=_Words):
        """A word, one of a few that have names."""

        __slots__ = ("name", "value")

        def __repr__(self):
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __reduce_ex__(self, protocol):
            return type(self), (self.value,)
