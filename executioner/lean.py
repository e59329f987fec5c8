"""Parts of the standard library without what its modules load.

As the interpreter has them: signals (``signal`` makes enumerations of its numbers, 0.3 ms of every start), heaps
(``heapq`` brings functions written in Python, 0.2 ms) and caches (``functools`` makes a named tuple, 0.5 ms).
Written anew: three of ``contextlib``, which loads ``collections`` as well, together 1.3 ms. Type checkers see the
standard library's own.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from contextlib import closing, contextmanager, suppress
    from functools import lru_cache
    from heapq import heapify, heappop, heappush
else:
    try:
        import _signal as signal
        from _functools import _lru_cache_wrapper
        from _heapq import heapify, heappop, heappush

        def lru_cache(maxsize):
            """A decorator: what a function returned for the last arguments is kept."""
            return lambda function: _lru_cache_wrapper(function, maxsize, False, lambda *figures: figures)

    except ImportError:  # an interpreter that is built in another way
        import signal
        from functools import lru_cache
        from heapq import heapify, heappop, heappush

    class suppress:  # noqa: N801
        """A context in which exceptions of some kinds end quietly."""

        __slots__ = ("_kinds",)

        def __init__(self, *kinds):
            self._kinds = kinds

        def __enter__(self):
            return None

        def __exit__(self, kind, exc, trace):
            return kind is not None and issubclass(kind, self._kinds)

    class closing:  # noqa: N801
        """A context at whose end something is closed."""

        __slots__ = ("_thing",)

        def __init__(self, thing):
            self._thing = thing

        def __enter__(self):
            return self._thing

        def __exit__(self, kind, exc, trace):
            self._thing.close()

    class _Context:
        """A context that a generator makes: what stands before its yield, and what stands after it."""

        __slots__ = ("_steps",)

        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            for given in self._steps:
                return given
            raise RuntimeError("a context did not begin")

        def __exit__(self, kind, exc, trace):
            if exc is None:
                if next(self._steps, self) is self:
                    return False
                raise RuntimeError("a context went on after its end")
            try:
                self._steps.throw(exc)
            except StopIteration:
                return True  # the generator took it
            except BaseException as raised:
                # a StopIteration that passes through a generator comes out as the cause of another error (PEP 479)
                if raised is not exc and not (isinstance(exc, StopIteration) and raised.__cause__ is exc):
                    raise
                exc.__traceback__ = trace  # without the generator's lines
                return False
            raise RuntimeError("a context went on after an exception")

    def contextmanager(function):
        """A decorator: a function that yields once makes contexts."""

        def make(*args, **named):
            return _Context(function(*args, **named))

        make.__wrapped__ = function
        return make


__all__ = ["closing", "contextmanager", "heapify", "heappop", "heappush", "lru_cache", "signal", "suppress"]
