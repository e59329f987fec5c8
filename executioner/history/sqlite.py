"""SQLite as the interpreter has it.

The package ``sqlite3`` also loads ``datetime``, to convert dates that we never hand to it: 1.4 ms of every start.
All that a start needs of it is its module ``_sqlite3``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import _sqlite3 as sqlite3
    except ImportError:  # an interpreter that is built in another way
        import sqlite3

__all__ = ["sqlite3"]
