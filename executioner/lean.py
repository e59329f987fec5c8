"""Signals and heaps as the interpreter has them, without what the standard library's modules load.

``signal`` makes enumerations of its numbers, 0.3 ms of every start; ``heapq`` brings functions written in Python,
0.2 ms. Type checkers see those modules.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from heapq import heapify, heappop, heappush
else:
    try:
        import _signal as signal
        from _heapq import heapify, heappop, heappush
    except ImportError:  # an interpreter that is built in another way
        import signal
        from heapq import heapify, heappop, heappush

__all__ = ["heapify", "heappop", "heappush", "signal"]
