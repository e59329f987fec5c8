"""Order, cycles and longest paths of dependency graphs."""

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executioner.graph import (
    Graph,
    build,
    dependents,
    find_cycles,
    remaining_path,
)
from executioner.model import Job, RetryPolicy

CHAIN = 100_000


def job(name: str, *dependencies: str) -> Job:
    return Job(name, "true", "", dependencies, None, True, {}, "/", RetryPolicy(), (), ())


def graph(*dependencies: tuple[int, ...]) -> Graph:
    ids = tuple(f"j{at}" for at in range(len(dependencies)))
    return Graph(ids, {name: at for at, name in enumerate(ids)}, list(dependencies), dependents(dependencies))


def test_build_translates_ids_to_positions() -> None:
    """A graph knows ids, their positions, and dependencies and dependents by position."""
    built = build([job("a"), job("b", "a"), job("c", "a", "b")])
    assert built == Graph(("a", "b", "c"), {"a": 0, "b": 1, "c": 2}, [(), (0,), (0, 1)], [[1, 2], [2], []])


def test_build_refuses_unknown_ids() -> None:
    """A dependency that no job has is a KeyError, never a wrong edge."""
    with pytest.raises(KeyError):
        build([job("a", "nobody")])


def test_remaining_path_counts_the_job_and_its_heaviest_followers() -> None:
    """The path of a job is its own weight and the heaviest way to an end."""
    diamond = graph((), (0,), (0,), (1, 2))
    assert remaining_path(diamond, [1, 10, 2, 3]) == [14, 13, 5, 3]


def test_remaining_path_of_a_cycle_is_an_error() -> None:
    """A cycle has no longest path."""
    with pytest.raises(ValueError, match="cycle"):
        remaining_path(graph((1,), (0,)), [1, 1])


@pytest.mark.parametrize("step", [1, -1])
def test_long_chains_need_no_recursion(step: int) -> None:
    """A chain of 100,000 jobs is measured, in either direction of the config."""
    order = list(range(CHAIN))[::step]
    needed: list[tuple[int, ...]] = [()] * CHAIN
    for before, after in pairwise(order):
        needed[after] = (before,)
    chain = graph(*needed)
    assert remaining_path(chain, [1.0] * CHAIN)[order[0]] == CHAIN


def test_acyclic_graphs_have_no_cycles() -> None:
    """A diamond is no cycle."""
    assert find_cycles([(), (0,), (0,), (1, 2)]) == []


def test_a_job_that_depends_on_itself_is_a_cycle() -> None:
    """The shortest cycle has one job."""
    assert find_cycles([(), (1,)]) == [[1]]


def test_jobs_behind_a_cycle_are_not_in_it() -> None:
    """Neither what a cycle needs nor what needs it is named."""
    assert find_cycles([(), (0, 2), (1,), (2,)]) == [[1, 2]]


def test_independent_cycles_are_all_found() -> None:
    """Each group of jobs that depend on each other gives one cycle, in config order."""
    assert find_cycles([(1,), (0,), (4,), (2,), (3,)]) == [[0, 1], [2, 4, 3]]


def test_the_shortest_cycle_of_a_group_is_chosen() -> None:
    """Of two cycles through a job the one that is easier to read is named."""
    assert find_cycles([(1, 2), (0,), (3,), (0,)]) == [[0, 1]]


def test_a_cycle_of_a_hundred_thousand_jobs_is_found() -> None:
    """Finding cycles needs no recursion either."""
    (cycle,) = find_cycles([((at + 1) % CHAIN,) for at in range(CHAIN)])
    assert cycle == list(range(CHAIN))


@given(st.integers(1, 30), st.integers(0, 60), st.integers())
def test_cycles_are_found_exactly_where_there_is_no_order(size: int, edges: int, seed: int) -> None:
    """Either the jobs have an order that respects all dependencies, or true cycles are named."""
    random = Random(seed)
    needed: list[set[int]] = [set() for _ in range(size)]
    for _ in range(edges):
        needed[random.randrange(size)].add(random.randrange(size))
    dependencies = [tuple(sorted(others)) for others in needed]
    cycles = find_cycles(dependencies)
    for cycle in cycles:
        assert all(after in needed[at] for at, after in pairwise([*cycle, cycle[0]]))
    sorter = TopologicalSorter(dict(enumerate(needed)))
    if cycles:
        with pytest.raises(CycleError):
            sorter.prepare()
    else:
        sorter.prepare()
