"""The database's own random values."""

import sqlite3
from collections.abc import Mapping

from executioner.errors import HistoryError


def identity(connection: sqlite3.Connection, path: str) -> Mapping[str, bytes]:
    """``id``, which marks the processes of this history's runs, and ``key``, the HMAC key of definitions.

    Raises:
        HistoryError: somebody has removed or edited them.
    """
    found = dict(connection.execute("SELECT name, value FROM database_identity"))
    if not all(isinstance(found.get(name), bytes) for name in ("id", "key")):
        raise HistoryError("The history is damaged: its identity is gone (table database_identity)", path)
    return found
