"""How long jobs are likely to take, from what they took before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. ``values`` must not be empty."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def weights(ids: Sequence[str], durations_s: Mapping[str, Sequence[float]]) -> list[float]:
    """An expected duration a job: its own median, else the median of the known ones, else 1."""
    known = {job: median(durations_s[job]) for job in ids if durations_s.get(job)}
    usual = median(list(known.values())) if known else 1.0
    return [known.get(job, usual) for job in ids]
