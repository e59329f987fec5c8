"""What resuming a run would do: the one planner, of which ``--dry-run`` shows and a run executes the result.

Pure: from the workflow as it is now, what the history holds of the run that is resumed, and
what the command line asks, to an action for each job, with the reason.

The rules:
- SUCCESS and marked jobs are reused; FAILED, TIMEOUT, ERROR and INTERRUPTED ones are
  retried; the rest, and jobs that are new, are executed.
- ``--skip``, and what counted as done when the run was started in midstream, is taken over.
- ``--resume-failed-only`` runs the retried jobs alone.
- ``--from-job JOB`` runs JOB and all that depends on it. What comes before counts as done.
- A reused job whose definition has changed stops the resume, is kept, or is run again
  with everything that depends on it, as ``if_changed`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from executioner import graph
from executioner.definition import Change, change
from executioner.enumeration import StrEnum
from executioner.graph import Graph
from executioner.model import FAILURES, Job, JobStatus, Workflow
from executioner.plan import RUNS, Action, Plan, Preferences, action_for, workers
from executioner.record import Record
from executioner.records import PastJob, mark_words
from executioner.verdict import BY_FAILED_ONLY, BY_FROM_JOB, BY_SKIP, NOT_AFTER

#: The statuses of jobs that ``--resume-failed-only`` runs again.
RETRIED = FAILURES | {JobStatus.INTERRUPTED}


class IfChanged(StrEnum):
    """What becomes of a reused job whose definition has changed."""

    STOP = "stop"
    KEEP = "keep"
    RERUN = "rerun"


class Wanted(Record):
    """What the command line asks of a resume, beside what it asks of any run."""

    failed_only: bool = False
    if_changed: IfChanged = IfChanged.STOP
    take_over: bool = True  # that jobs before the one that was started with count as done
    skip_is_taken_over: bool = False  # it was not asked of this run


class Parent(Record):
    """The run that is resumed. ``env`` is its ``--env`` without secrets, ``jobs`` are in config order."""

    run_id: int
    jobs: Sequence[PastJob]
    env: Mapping[str, str] = {}


class ResumePlan(Record):
    """A plan, and how it came about. Positions are those of the jobs in the config of now.

    Attributes:
        plan: what is done.
        past: by position, the jobs as they ended in the run that is resumed.
        definitions: of the same jobs as they are now.
        why: says for a position why the plan does that with the job.
        changed: by position, what changed in the jobs' definitions.
        rerun: what is done, and runs again because of changes.
        marked_again: jobs that somebody marked as successful and that run again; where the plan is stopped, those
            that would if what has changed ran again.
        added: jobs that the resumed run did not have.
        removed: ids of jobs that the workflow no longer has.
        stopped_by: reused jobs that changed, if that is to stop the resume.
        blocked: retried jobs, each with a dependency that is neither done nor part of the run.
        unproven: jobs that count as done though they have no SUCCESS on record.
    """

    plan: Plan
    past: Mapping[int, PastJob]
    definitions: Mapping[int, str]
    why: Callable[[int], str]
    changed: Mapping[int, Change]
    rerun: frozenset[int]
    marked_again: Sequence[int]
    added: Sequence[int]
    removed: Sequence[str]
    stopped_by: Sequence[int]
    blocked: Sequence[tuple[int, int]]
    unproven: Sequence[int]

    @property
    def is_empty(self) -> bool:
        """Whether it runs nothing."""
        return RUNS.isdisjoint(self.plan.actions)


def make_resume_plan(
    workflow: Workflow,
    parent: Parent,
    definition: Callable[[Job], str],
    env: Mapping[str, str],
    preferences: Preferences,
    wanted: Wanted,
    cpu_count: int,
) -> ResumePlan:
    """Decide what a resume does.

    Args:
        workflow: as it is now.
        parent: the run that is resumed.
        definition: what ``definer`` gives for this workflow and database.
        env: ``--env`` of the new run, without secrets, what is taken over included.
        preferences: of the command line; ``skip`` with what is taken over.
        wanted: of the command line.
        cpu_count: how many processors there are.
    """
    links = graph.build(workflow.jobs)
    by_id = {job.id: job for job in parent.jobs}
    past = {at: by_id[name] for at, name in enumerate(links.ids) if name in by_id}
    variables = [
        name if name in parent.env else f"+{name}" for name, value in env.items() if parent.env.get(name) != value
    ]
    definitions = {at: definition(workflow.jobs[at]) for at in past}
    compared = ((at, change(one, definitions[at], variables)) for at, one in past.items())
    changed = {at: found for at, found in compared if found is not None}
    choice = _Choice(workflow, links, parent.run_id, past, changed, preferences, wanted)
    actions, reasons = choice.actions, choice.reasons
    plan = Plan(
        workflow,
        links,
        actions,
        workers(workflow, preferences, cpu_count),
        preferences.continue_on_error or workflow.continue_on_error,
        reasons,
        parent.run_id,
    )
    running = plan.positions(*RUNS)
    stopped_by = [
        at for at in plan.positions(Action.REUSE) if at in changed and wanted.if_changed is IfChanged.STOP
    ]
    skipped = choice.skip.difference(stopped_by)  # to run those again is to skip them no longer
    at_stake = graph.reach(links.dependents, stopped_by).union(running) - skipped
    return ResumePlan(
        plan=plan,
        past=past,
        definitions=definitions,
        why=choice.why,
        changed=changed,
        rerun=frozenset(at for at in running if at in choice.rerun and at in past and past[at].is_done),
        marked_again=[at for at, one in past.items() if at in at_stake and one.marked_by is not None],
        added=[at for at in range(len(links.ids)) if at not in past],
        removed=[job.id for job in parent.jobs if job.id not in links.index],
        stopped_by=stopped_by,
        blocked=[
            (at, needed)
            for at in running
            for needed in links.dependencies[at]
            if actions[needed] is Action.LEAVE_OUT
        ],
        unproven=[
            at
            for at in plan.positions(Action.SKIP)
            if reasons[at] == BY_FROM_JOB and not (at in past and past[at].reason == BY_FROM_JOB)
        ],
    )


class _Choice:
    """What is decided for each job, and why.

    Attributes:
        actions: by position.
        reasons: by position why jobs are passed over, as the history keeps it.
        rerun: the positions of jobs that run again because of changes.
        skip: those of jobs that are to be skipped.
    """

    def __init__(
        self,
        workflow: Workflow,
        links: Graph,
        run_id: int,
        past: Mapping[int, PastJob],
        changed: Mapping[int, Change],
        preferences: Preferences,
        wanted: Wanted,
    ) -> None:
        self._links = links
        self._run_id = run_id
        self._past = past
        self._changed = changed
        self._wanted = wanted
        self._from_job = preferences.from_job
        self.skip = {at for at, name in enumerate(links.ids) if name in preferences.skip}
        self._done = {at for at, job in past.items() if job.is_done}
        self._seeds: set[int] = set()  # changed jobs that run again
        if wanted.if_changed is IfChanged.RERUN:
            self._seeds = self._done.intersection(changed) - self.skip
        self.rerun = graph.reach(links.dependents, self._seeds)
        self._after: set[int] = set()
        self._before: set[int] = set()
        if self._from_job is not None:
            self._after = graph.reach(links.dependents, [links.index[self._from_job]])
            self._before = graph.reach(links.dependencies, self._after | self.rerun)
        self.actions: list[Action] = []
        self.reasons: dict[int, str] = {}
        self._decide()

    def _decide(self) -> None:
        for position in range(len(self._links.ids)):
            reason = self._passed_over(position)
            if reason is not None:
                self.reasons[position] = reason
                action = action_for(reason)
            elif position in self._done and position not in self._after and position not in self.rerun:
                action = Action.REUSE
            elif position in self._past and self._past[position].status in RETRIED:
                action = Action.RETRY
            else:
                action = Action.EXECUTE
            self.actions.append(action)

    def _passed_over(self, position: int) -> str | None:
        """Why a job neither runs nor is reused; None if it does."""
        past = self._past.get(position)
        done = position in self._done
        if position in self.skip:
            again = position in self._after or position in self.rerun
            stops = self._wanted.if_changed is IfChanged.STOP and not self._wanted.skip_is_taken_over
            outdated = position in self._changed and (stops or self._wanted.if_changed is IfChanged.RERUN)
            return None if done and not again and not outdated else BY_SKIP
        if position in self._after or (position in self.rerun and (done or not self._wanted.failed_only)):
            return None
        if done:
            return None
        counted = past is not None and past.reason == BY_FROM_JOB and past.status == JobStatus.SKIPPED
        if counted and self._wanted.take_over:
            return BY_FROM_JOB
        if self._from_job is not None:
            return BY_FROM_JOB if position in self._before else NOT_AFTER
        if self._wanted.failed_only and (past is None or past.status not in RETRIED):
            return BY_FAILED_ONLY
        return None

    def why(self, position: int) -> str:
        """Why that was decided for a job."""
        past, action = self._past.get(position), self.actions[position]
        before = f"not in run {self._run_id}" if past is None else _ended(past, self._run_id)
        if action in RUNS:
            if position in self._seeds:
                return f"changed since ({', '.join(self._changed[position].parts())}); {before}"
            if position in self.rerun and position in self._done:
                return f"depends on what has changed; {before}"
            if position in self._after and position in self._done:
                return f"--from-job {self._from_job}; {before}"
            return before
        if action is Action.REUSE:
            kept = self._changed.get(position)
            return before if kept is None else f"kept, though changed since ({', '.join(kept.parts())}); {before}"
        return f"{self.reasons[position]}; {before}"


def _ended(job: PastJob, run_id: int) -> str:
    """``FAILED in run 249: Exit code 1``."""
    if job.marked_by is not None:
        return mark_words(job)
    why = f": {job.reason}" if job.reason else ""
    return f"{job.status} in run {job.source_run_id or run_id}{why}"
