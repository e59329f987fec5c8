"""What a run will do, decided before anything is done; and what is ready while it does it.

``Plan`` is what ``--dry-run`` shows and what the scheduler executes: they cannot
disagree. ``Agenda`` follows a plan's progress; it starts nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from executioner import graph
from executioner.enumeration import StrEnum
from executioner.graph import Graph
from executioner.lean import heapify, heappop, heappush
from executioner.model import Job, Workflow
from executioner.record import Record
from executioner.verdict import BY_FROM_JOB, BY_SKIP, COUNT_AS_DONE, NOT_AFTER


class Action(StrEnum):
    """What a plan does with a job."""

    EXECUTE = "execute"
    RETRY = "retry"  # it failed in the run that is resumed
    REUSE = "reuse"  # its success in the run that is resumed is taken over
    SKIP = "skip"  # on request; counts as done for what depends on it
    LEAVE_OUT = "leave_out"  # on request; it is still to be run


#: What is started.
RUNS = frozenset({Action.EXECUTE, Action.RETRY})
#: What counts as done for dependents.
DONE = frozenset({Action.REUSE, Action.SKIP})


class Plan(Record):
    """One action a job, by position in the config.

    ``reasons``: by position why a job is skipped or left out, as the history keeps it.
    ``parent_run_id``: the run that is resumed, from which results are taken over.
    """

    workflow: Workflow
    graph: Graph
    actions: Sequence[Action]
    workers: int
    continue_on_error: bool
    reasons: Mapping[int, str] = {}
    parent_run_id: int | None = None

    def positions(self, *actions: Action) -> list[int]:
        """Where the jobs with some actions stand, in config order."""
        return [position for position, one in enumerate(self.actions) if one in actions]

    def jobs(self, *actions: Action) -> list[Job]:
        """The jobs with some actions, in config order."""
        return [self.workflow.jobs[position] for position in self.positions(*actions)]

    def passed_over(self) -> dict[str, list[int]]:
        """The positions of the jobs that are skipped or left out, by the reason."""
        groups: dict[str, list[int]] = {}
        for position in sorted(self.reasons):
            groups.setdefault(self.reasons[position], []).append(position)
        return groups

    def chooses(self) -> bool:
        """Whether jobs may have to wait for a worker, so that the order in which ready ones start matters."""
        return 1 < self.workers < sum(action in RUNS for action in self.actions)


class Preferences(Record):
    """What the command line asks of a run."""

    skip: Collection[str] = frozenset()
    workers: int | None = None
    parallel: bool = False
    sequential: bool = False
    continue_on_error: bool = False
    from_job: str | None = None


def make_plan(workflow: Workflow, preferences: Preferences, cpu_count: int) -> Plan:
    """Decide what a fresh run of a workflow does. Names in ``skip`` that no job has are not looked for."""
    links = graph.build(workflow.jobs)
    reasons = {at: BY_SKIP for at, job in enumerate(workflow.jobs) if job.id in preferences.skip}
    if preferences.from_job is not None:
        after = graph.reach(links.dependents, [links.index[preferences.from_job]])
        before = graph.reach(links.dependencies, after)
        for position in range(len(workflow.jobs)):
            if position not in after:
                reasons.setdefault(position, BY_FROM_JOB if position in before else NOT_AFTER)
    return Plan(
        workflow,
        links,
        [action_for(reasons.get(at)) for at in range(len(workflow.jobs))],
        workers(workflow, preferences, cpu_count),
        preferences.continue_on_error or workflow.continue_on_error,
        reasons,
    )


def action_for(reason: str | None) -> Action:
    """The action for a job that is passed over for a reason; without a reason it is executed."""
    if reason is None:
        return Action.EXECUTE
    return Action.SKIP if reason in COUNT_AS_DONE else Action.LEAVE_OUT


def workers(workflow: Workflow, preferences: Preferences, cpu_count: int) -> int:
    """How many jobs run side by side: by the command line, else by the config."""
    if preferences.sequential:
        return 1
    if preferences.workers is not None:
        return preferences.workers
    if preferences.parallel or workflow.parallel:
        return workflow.max_workers or cpu_count
    return 1


class Agenda:
    """Which jobs of a plan can be started now, the most urgent first.

    With one worker, or as many as there are jobs, that is config order; else the job with the longest remaining
    path, weighted by ``durations_s`` (past durations a job id) where there are any.
    Every call takes time proportional to what it changes, never to the number of jobs.
    """

    def __init__(self, plan: Plan, durations_s: Mapping[str, Sequence[float]] | None = None) -> None:
        links = plan.graph
        self._dependents = links.dependents
        self._missing = [len(names) for names in links.dependencies]
        self._open = [action in RUNS for action in plan.actions]  # neither taken nor dropped
        if not plan.chooses():
            self._priority: Sequence[float] | None = None
        else:
            from executioner.estimate import weights

            expected = weights(links.ids, durations_s or {})
            self._priority = [-path for path in graph.remaining_path(links, expected)]
        for position, action in enumerate(plan.actions):
            if action in DONE:
                for dependent in self._dependents[position]:
                    self._missing[dependent] -= 1
        self._ready = [
            self._entry(position)
            for position, missing in enumerate(self._missing)
            if not missing and self._open[position]
        ]
        heapify(self._ready)
        self._remaining = sum(self._open)

    def _entry(self, position: int) -> tuple[float, int]:
        return (self._priority[position] if self._priority else 0.0), position

    def take(self) -> int | None:
        """The most urgent job that is ready, which is then no longer on the agenda."""
        while self._ready:
            _, position = heappop(self._ready)
            if self._open[position]:
                self._open[position] = False
                self._remaining -= 1
                return position
        return None

    def succeeded(self, position: int) -> None:
        """A job is done: its dependents may have become ready."""
        for dependent in self._dependents[position]:
            self._missing[dependent] -= 1
            if not self._missing[dependent] and self._open[dependent]:
                heappush(self._ready, self._entry(dependent))

    def failed(self, position: int) -> list[int]:
        """A job will never be done: drop and return all that depends on it, in config order."""
        dropped: list[int] = []
        queue = [position]
        while queue:
            for dependent in self._dependents[queue.pop()]:
                if self._open[dependent]:
                    self._open[dependent] = False
                    dropped.append(dependent)
                    queue.append(dependent)
        self._remaining -= len(dropped)
        return sorted(dropped)

    def drop_rest(self) -> list[int]:
        """Drop and return everything that was not taken, in config order."""
        rest = [position for position, is_open in enumerate(self._open) if is_open] if self._remaining else []
        for position in rest:
            self._open[position] = False
        self._ready.clear()
        self._remaining = 0
        return rest

    def __len__(self) -> int:
        """How many jobs are neither taken nor dropped."""
        return self._remaining


def starting_order(plan: Plan, durations_s: Mapping[str, Sequence[float]] | None = None) -> Iterator[Job]:
    """The jobs in the order in which they start if each succeeds and takes as long as usual.

    With one worker that order is exact.
    """
    from executioner.estimate import weights

    agenda = Agenda(plan, durations_s)
    expected_s = weights(plan.graph.ids, durations_s or {})
    running: list[tuple[float, int]] = []  # when it ends, which
    now = 0.0
    while agenda or running:
        while len(running) < plan.workers and (position := agenda.take()) is not None:
            yield plan.workflow.jobs[position]
            heappush(running, (now + expected_s[position], position))
        now, ended = heappop(running)
        agenda.succeeded(ended)
