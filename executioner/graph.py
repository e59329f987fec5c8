"""Dependencies as a graph of positions: cycles, longest remaining path.

Jobs are known by their position in the config. Nothing here recurses, so a chain of
100,000 jobs is fine; all functions are linear in jobs and dependencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from executioner.model import Job
from executioner.record import Record


class Graph(Record):
    """Who depends on whom, by position."""

    ids: tuple[str, ...]
    index: dict[str, int]  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    dependencies: list[tuple[int, ...]]
    dependents: list[list[int]]


def build(jobs: Sequence[Job]) -> Graph:
    """The graph of jobs. Raises KeyError for a dependency on an id that no job has."""
    ids = tuple(job.id for job in jobs)
    index = {name: at for at, name in enumerate(ids)}
    dependencies = [tuple(map(index.__getitem__, job.dependencies)) for job in jobs]
    return Graph(ids, index, dependencies, dependents(dependencies))


def dependents(dependencies: Sequence[Sequence[int]]) -> list[list[int]]:
    """For each position the positions that depend on it, in config order."""
    found: list[list[int]] = [[] for _ in dependencies]
    for at, needed in enumerate(dependencies):
        for other in needed:
            found[other].append(at)
    return found


def reach(links: Sequence[Sequence[int]], starts: Iterable[int]) -> set[int]:
    """The starts and all that can be reached from them.

    Over ``dependents`` that is what comes after them, over ``dependencies`` what comes before.
    """
    found = set(starts)
    queue = list(found)
    while queue:
        for other in links[queue.pop()]:
            if other not in found:
                found.add(other)
                queue.append(other)
    return found


def remaining_path(graph: Graph, weights: Sequence[float]) -> list[float]:
    """For each position the heaviest path from it to the end, its own weight included.

    ``weights`` are seconds, or any other unit of work. Raises ValueError if there is a
    cycle.
    """
    path = [float(weight) for weight in weights]
    heaviest = [0.0] * len(path)
    waiting = [len(others) for others in graph.dependents]
    done = [at for at, count in enumerate(waiting) if not count]
    for at in done:  # grows while it is walked
        path[at] += heaviest[at]
        for needed in graph.dependencies[at]:
            heaviest[needed] = max(heaviest[needed], path[at])
            waiting[needed] -= 1
            if not waiting[needed]:
                done.append(needed)
    if len(done) != len(path):
        raise ValueError("the dependencies have a cycle")
    return path


def find_cycles(dependencies: Sequence[Sequence[int]]) -> list[list[int]]:
    """One shortest cycle of each group of jobs that depend on each other.

    A cycle begins with its lowest position in the group; each position depends on the
    next, the last on the first. Two cycles that share a job are one group: breaking one
    shows the other.
    """
    if all(needed < at for at, others in enumerate(dependencies) for needed in others):
        return []  # each job stands below those it depends on, as in most configs
    left = _in_or_before_cycles(dependencies)
    if not left:
        return []
    groups = _groups(dependencies, left)
    return sorted(_shortest_cycle(dependencies, group) for group in groups)


def _in_or_before_cycles(dependencies: Sequence[Sequence[int]]) -> list[int]:
    """The positions that can never start: those in a cycle, and what depends on them."""
    waiting = [len(needed) for needed in dependencies]
    followers = dependents(dependencies)
    done = [at for at, count in enumerate(waiting) if not count]
    for at in done:  # grows while it is walked
        for other in followers[at]:
            waiting[other] -= 1
            if not waiting[other]:
                done.append(other)
    return [at for at, count in enumerate(waiting) if count] if len(done) != len(waiting) else []


def _groups(dependencies: Sequence[Sequence[int]], starts: Sequence[int]) -> list[list[int]]:
    """The strongly connected components with a cycle (Tarjan's algorithm, without recursion)."""
    number: dict[int, int] = {}
    lowest: dict[int, int] = {}
    open_nodes: list[int] = []
    is_open: set[int] = set()
    groups: list[list[int]] = []
    for start in starts:
        work = [] if start in number else [(start, iter(dependencies[start]))]
        while work:
            at, rest = work[-1]
            if at not in number:
                number[at] = lowest[at] = len(number)
                open_nodes.append(at)
                is_open.add(at)
            for needed in rest:
                if needed not in number:
                    work.append((needed, iter(dependencies[needed])))
                    break
                if needed in is_open:
                    lowest[at] = min(lowest[at], number[needed])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[at])
                if lowest[at] == number[at]:
                    groups.append(_close(at, open_nodes, is_open))
    return [group for group in groups if len(group) > 1 or group[0] in dependencies[group[0]]]


def _close(root: int, open_nodes: list[int], is_open: set[int]) -> list[int]:
    """Take the component that ends at ``root`` off the stack."""
    group: list[int] = []
    while not group or group[-1] != root:
        group.append(open_nodes.pop())
    is_open.difference_update(group)
    return group


def _shortest_cycle(dependencies: Sequence[Sequence[int]], group: Sequence[int]) -> list[int]:
    """The shortest cycle through the group's lowest position, found by breadth."""
    start = min(group)
    inside = set(group)
    came_from: dict[int, int] = {}
    layer = [start]
    for at in layer:  # grows while it is walked
        for needed in dependencies[at]:
            if needed == start:
                cycle = [at]
                while cycle[-1] != start:
                    cycle.append(came_from[cycle[-1]])
                return cycle[::-1]
            if needed in inside and needed not in came_from:
                came_from[needed] = at
                layer.append(needed)
    raise ValueError("the group has no cycle")
