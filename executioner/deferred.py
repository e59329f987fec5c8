"""Modules of the standard library that a start does without, loaded once something of them is asked for.

``_sqlite3`` takes a cache from ``functools``, and annotations name classes of ``collections.abc``: for that alone
both would be loaded, with all that they load: 1.5 ms of every start. Only where the process is ours alone.
"""

from __future__ import annotations

import _collections_abc
import sys

from executioner import lean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def defer_modules() -> None:
    """Let ``functools`` and ``collections`` be loaded when they are needed; whatever is loaded stays."""
    if "collections" in sys.modules or "functools" in sys.modules:
        return
    sys.modules["collections.abc"] = _collections_abc  # which holds all that the module of that name shows
    sys.modules["collections"] = _Deferred("collections")
    sys.modules["functools"] = _Functools("functools")


def load_deferred() -> None:
    """Load what was deferred and is not loaded yet: before code of others runs, which may look at the modules."""
    for name in ("collections", "functools"):
        module = sys.modules.get(name)
        if isinstance(module, _Deferred):
            module._module()


class _Deferred(type(sys)):  # type: ignore[misc]
    """Stands for a module until something of it is asked for, and for whoever imported it by then."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":
            raise AttributeError(name)  # every import asks for that
        return getattr(self._module(), name)

    def _module(self) -> Any:
        for name in (self.__name__, f"{self.__name__}.abc"):
            if sys.modules.get(name) in (self, _collections_abc):
                sys.modules.pop(name, None)
        if self.__name__ == "collections":
            __import__("collections.abc")
        return __import__(self.__name__)


class _Functools(_Deferred):
    """Has a cache itself, for ``_sqlite3``, which asks for one with each connection."""

    def lru_cache(self, *args: object, **named: object) -> Any:
        """A decorator; with a size alone ours, whose figures are a plain tuple and which copies no names."""
        if len(args) == 1 and type(args[0]) is int and not named:
            return lean.lru_cache(args[0])
        return self._module().lru_cache(*args, **named)
