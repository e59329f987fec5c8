"""Executioner: runs a JSON file of shell jobs, remembers every run, resumes what is missing.

For scripts: ``from executioner import History`` reads what was run (docs/history.md).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from executioner.errors import HistoryError as HistoryError
    from executioner.errors import UnknownRunError as UnknownRunError
    from executioner.history.reader import History as History
    from executioner.records import Job as Job
    from executioner.records import Run as Run
    from executioner.records import RunDetails as RunDetails

__version__ = "0.2.0.dev0"
__all__ = ["History", "HistoryError", "Job", "Run", "RunDetails", "UnknownRunError"]

_PLACES = {
    "History": "executioner.history.reader",
    "HistoryError": "executioner.errors",
    "Job": "executioner.records",
    "Run": "executioner.records",
    "RunDetails": "executioner.records",
    "UnknownRunError": "executioner.errors",
}


def __getattr__(name: str) -> object:
    """Import a public name where it is asked for: the command line must not wait for what it does not use."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
