"""Records: named tuples whose classes are made quickly.

They are what ``typing.NamedTuple`` makes, which compiles code for each class: 90 µs a class, 4 ms of every
start. Here a class takes 10 µs, and making one of its tuples a little longer. Type checkers see
``typing.NamedTuple``.
"""

__all__ = ["Record"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Record
else:
    try:
        from _collections import _tuplegetter  # what collections.namedtuple reads fields with
    except ImportError:
        from collections import _tuplegetter

    class _Fields(type):
        """Gives a class its fields, in the order of its annotations."""

        def __new__(mcs, name, bases, namespace):
            if not bases:
                return super().__new__(mcs, name, (tuple,), {**namespace, "__slots__": ()})
            cls = super().__new__(mcs, name, bases, {**namespace, "__slots__": ()})
            fields = tuple(cls.__annotations__)
            cls._fields = cls.__match_args__ = fields
            cls._size = len(fields)
            cls._field_defaults = {field: namespace[field] for field in fields if field in namespace}
            for at, field in enumerate(fields):
                setattr(cls, field, _tuplegetter(at, field))
            return cls

    class Record(metaclass=_Fields):
        """A tuple with named fields: one for each annotation, with a default where one is assigned."""

        def __new__(cls, *args, **given):  # noqa: D102
            if given or len(args) != cls._size:
                args = _completed(cls, args, given)
            return tuple.__new__(cls, args)

        @classmethod
        def _make(cls, values):
            """A record of an iterable of all its values."""
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"{cls.__name__} has {len(cls._fields)} fields, got {len(made)}")
            return made

        def _replace(self, **changed):
            """The same with some fields changed."""
            made = tuple.__new__(type(self), map(changed.pop, self._fields, self))
            if changed:
                raise ValueError(f"{type(self).__name__} has no field {', '.join(changed)}")
            return made

        def _asdict(self):
            """Its values by their fields."""
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            values = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({values})"

    def _completed(cls, args, given):
        """The values of all fields: those in their order, by name, and the defaults of the rest."""
        fields, defaults = cls._fields, cls._field_defaults
        values = list(args)
        for field in fields[len(args) :]:
            if field in given:
                values.append(given.pop(field))
            elif field in defaults:
                values.append(defaults[field])
            else:
                raise TypeError(f"{cls.__name__}() is missing {field}")
        if given or len(values) > len(fields):
            what = ", ".join(given) or f"{len(values)} values for {len(fields)} fields"
            raise TypeError(f"{cls.__name__}() got an unexpected {what}")
        return values
