"""The tables of the tool before this one, run by run: whichever columns, keys and types of ids there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from executioner.history.sqlite import sqlite3


class Row:
    """A row of which only the columns that the database has are known; the others are None."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Any]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, column: str) -> Any:
        place = self._places.get(column)
        return None if place is None else self._values[place]


NOTHING = Row({}, ())


class Table:
    """A table of the earlier tool, whichever of its columns there are."""

    def __init__(self, source: sqlite3.Connection, name: str, columns: Sequence[str]) -> None:
        self._source = source
        self._name = name
        there = {column for (column,) in source.execute("SELECT name FROM pragma_table_info(?)", (name,))}
        self._exists = "run_id" in there
        chosen = [column for column in columns if column in there]
        self._places = {column: place for place, column in enumerate(chosen)}
        attempt = ["CAST(attempt_id AS INTEGER)"] if "attempt_id" in there else []
        order = ", ".join([*attempt, *self._inserted()]) or "1"
        columns_read = f"SELECT {', '.join(chosen)} FROM {name}"
        self._select = f"{columns_read} WHERE run_id IS ? ORDER BY {order}"
        self._all: dict[object, list[Row]] | None = None
        if self._exists and not self._is_quick():
            self._all = {}
            for values in source.execute(f"{columns_read} ORDER BY {order}"):
                self._all.setdefault(values[self._places["run_id"]], []).append(Row(self._places, values))

    def _is_quick(self) -> bool:
        """Whether an index finds the rows of a run; else they are read once and kept."""
        plan = self._source.execute(f"EXPLAIN QUERY PLAN {self._select}", (1,)).fetchall()
        return any(step[-1].startswith("SEARCH") for step in plan)

    def _inserted(self) -> list[str]:
        """The order of insertion, where the table keeps it."""
        try:
            self._source.execute(f"SELECT rowid FROM {self._name} LIMIT 1")
        except sqlite3.OperationalError:
            return []
        return ["rowid"]

    def rows(self, run_id: object) -> Iterator[Row]:
        """The rows of one run, attempts in their order."""
        if self._all is not None:
            yield from self._all.get(run_id, ())
        elif self._exists:
            for values in self._source.execute(self._select, (run_id,)):
                yield Row(self._places, values)

    def ids(self) -> Iterator[object]:
        """The ids of all runs, as they are stored."""
        if self._exists:
            for (run_id,) in self._source.execute(f"SELECT DISTINCT run_id FROM {self._name}"):
                yield run_id


class Numbers:
    """The runs by number: their ids, and where those are no numbers, new ones above all others.

    Where a column takes values of any type, the number 5 and the text 5 are one run.
    """

    def __init__(self, stored: Sequence[object]) -> None:
        self.ids: dict[int, tuple[object, ...]] = {}
        self.odd: dict[object, int] = {}
        for run_id in stored:
            number = run_number(run_id)
            if number is None:
                self.odd[run_id] = 0
            else:
                self._add(number, run_id)

    def number_the_odd(self, started_at: Callable[[object], float]) -> None:
        """Give new numbers to the runs whose ids are none, in the order in which they started."""
        newest = max(self.ids, default=0)
        for number, run_id in enumerate(sorted(self.odd, key=started_at), newest + 1):
            self.odd[run_id] = number
            self._add(number, run_id)

    def _add(self, number: int, run_id: object) -> None:
        known = self.ids.get(number, ())
        if not any(type(one) is type(run_id) and one == run_id for one in known):
            self.ids[number] = (*known, run_id)


def run_number(run_id: object) -> int | None:
    """An id as a number; None if it is none that a run can have."""
    try:
        number = int(run_id) if isinstance(run_id, int | float | str) else 0
    except (ValueError, OverflowError):
        return None
    plain = str(number) == run_id if isinstance(run_id, str) else number == run_id
    return number if plain and 0 < number < 2**62 else None
