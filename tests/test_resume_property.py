"""Resumes of random workflows with failures, kills and edited configs, against a model that is made of sets."""

import argparse
import itertools
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import Program, Result, wait_until
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

pytestmark = pytest.mark.promise(2)

EXAMPLES = int(os.environ.get("EXECUTIONER_EXAMPLES", "12"))
STEPS = 8
MOST_JOBS = 7
MOST_ADVICE = 4
CONFIG = "flow.json"
COUNTED = {"--skip", "--from-job"}  # why jobs are SKIPPED that what depends on them need not wait for
EDITS = [(), (), ("command",), ("dependencies",), ("add",), ("remove",), ("add", "remove"), ("command", "command")]
ON_REQUEST = COUNTED | {"--resume-failed-only", "left out by --from-job"}

# a job says when it starts and when it has succeeded; files decide how it ends, so that
# the same command, and so the same definition, can fail today and succeed tomorrow
COMMAND = (
    ": v{version}; echo start {id} >> ran; [ ! -e kill_{id} ] || kill -9 $PPID; "
    "[ ! -e fail_{id} ] && echo end {id} >> ran"
)


# --- the model: what a person who read the documentation would expect -------------------------


class Definition(NamedTuple):
    """What a job is."""

    version: int
    dependencies: frozenset[str]


class Ask(NamedTuple):
    """A command line. ``resume`` is the run to be resumed; ``skip`` None: not given."""

    resume: int | None = None
    failed_only: bool = False
    from_job: str | None = None
    if_changed: str = "stop"
    skip: tuple[str, ...] | None = None
    env: str | None = None
    yes: bool = False
    continue_on_error: bool = False
    workers: int = 1

    def words(self) -> list[str]:
        """The command line as typed."""
        words = ["-c", CONFIG]
        if self.resume is not None:
            words += ["--resume-from", str(self.resume)]
        if self.failed_only:
            words.append("--resume-failed-only")
        if self.from_job is not None:
            words += ["--from-job", self.from_job]
        if self.if_changed != "stop":
            words += ["--if-changed", self.if_changed]
        if self.skip is not None:
            words += ["--skip", ",".join(self.skip)]
        if self.env is not None:
            words += ["--env", f"MODE={self.env}"]
        if self.workers != 1:
            words += ["-j", str(self.workers)]
        if self.continue_on_error:
            words.append("--continue-on-error")
        return words + ["--yes"] * self.yes


def parsed(words: Sequence[str]) -> Ask:
    """A command that the program printed, understood."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-c", dest="config")
    parser.add_argument("--resume-from", dest="resume", type=int)
    parser.add_argument("--resume-failed-only", dest="failed_only", action="store_true")
    parser.add_argument("--from-job")
    parser.add_argument("--if-changed", default="stop")
    parser.add_argument("--skip", action="append")
    parser.add_argument("--env")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--continue-on-error", action="store_true")
    parser.add_argument("--yes", action="store_true")
    found = vars(parser.parse_args(words))
    assert found.pop("config") == CONFIG, words
    if found["skip"] is not None:
        found["skip"] = tuple(filter(None, ",".join(found["skip"]).split(",")))
    if found["env"] is not None:
        found["env"] = found["env"].removeprefix("MODE=")
    return Ask(**found)


@dataclass
class Run:
    """What is known of a run when it has ended. ``sources``: by job, the run in which it really ran."""

    run_id: int
    root: int
    definitions: Mapping[str, Definition]
    statuses: Mapping[str, str]
    reasons: Mapping[str, str | None]
    sources: Mapping[str, int]
    skip: tuple[str, ...]
    env: str | None
    marked: set[str] = field(default_factory=set)

    @property
    def done(self) -> set[str]:
        """The jobs that need not run again."""
        return {job for job, status in self.statuses.items() if status == "SUCCESS"} | self.marked

    @property
    def broken(self) -> set[str]:
        """The jobs that were tried in vain."""
        return {job for job, status in self.statuses.items() if status in ("FAILED", "INTERRUPTED")} - self.done

    @property
    def counted(self) -> set[str]:
        """The jobs that somebody wanted to count as done by ``--from-job``."""
        return {job for job, why in self.reasons.items() if why == "--from-job"} - self.done

    @property
    def has_succeeded(self) -> bool:
        return set(self.statuses.values()) == {"SUCCESS"}


class Expected(NamedTuple):
    """What should come of a command: ``code`` is None if it runs; ``again`` are jobs that were asked for again."""

    code: int | None
    execute: frozenset[str] = frozenset()
    reuse: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()


def closure(links: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """All that can be reached, the starts included."""
    found: set[str] = set()
    waiting = list(starts)
    while waiting:
        job = waiting.pop()
        if job not in found:
            found.add(job)
            waiting += links[job]
    return found


class Graph:
    """The workflow of now."""

    def __init__(self, jobs: Mapping[str, Definition]) -> None:
        self.before = {job: one.dependencies for job, one in jobs.items()}
        self.after = {job: {other for other in jobs if job in jobs[other].dependencies} for job in jobs}


def expected_of_fresh(ask: Ask, jobs: Mapping[str, Definition], runs: Mapping[int, Run]) -> Expected:
    """What a fresh run should do."""
    links, skip = Graph(jobs), set(ask.skip or ())
    if ask.from_job is None:
        return Expected(None, frozenset(set(jobs) - skip))
    if ask.from_job in skip:
        return Expected(2)
    after = closure(links.after, {ask.from_job})
    before = closure(links.before, after) - after - skip
    if not ask.yes and any(not has_succeeded_lately(job, runs) for job in before):
        return Expected(2)
    return Expected(None, frozenset(after - skip))


def has_succeeded_lately(job: str, runs: Mapping[int, Run]) -> bool:
    """Whether a job was done in the newest run that was not asked to leave it out."""
    for run in sorted(runs.values(), key=lambda one: -one.run_id):
        if job in run.statuses and not (run.statuses[job] == "SKIPPED" and run.reasons[job] in ON_REQUEST):
            return job in run.done
    return False


def expected_of_resume(ask: Ask, jobs: Mapping[str, Definition], runs: Mapping[int, Run]) -> Expected:
    """What a resume should do."""
    assert ask.resume is not None
    links, parent = Graph(jobs), runs[ask.resume]
    skip = skip_of(ask, jobs, parent)
    if ask.from_job in skip:
        return Expected(2)
    if not ask.yes and any(run.root == parent.root and run.run_id > parent.run_id for run in runs.values()):
        return Expected(3)
    done = parent.done & set(jobs)
    counted = set() if ask.skip == () else parent.counted
    env_differs = env_of(ask, parent) != parent.env
    changed = {job for job in done if env_differs or jobs[job] != parent.definitions[job]}
    from_here = closure(links.after, {ask.from_job} if ask.from_job else ())
    outdated = closure(links.after, changed - skip) if ask.if_changed == "rerun" else set()
    again = from_here | outdated
    if ask.failed_only:
        execute = parent.broken | (again & done)
    elif ask.from_job is not None:
        execute = again
    else:
        execute = again | (set(jobs) - done - counted)
    execute = execute & set(jobs) - skip
    # a skip that is asked for now goes before a result that is out of date; one that is taken over does not
    forgets = ask.if_changed == "rerun" or (ask.if_changed == "stop" and ask.skip is not None)
    reuse = done - again - (skip & changed if forgets else set())
    if not execute or (parent.has_succeeded and ask.from_job is None and ask.if_changed != "rerun"):
        return Expected(0)
    if ask.if_changed == "stop" and reuse & changed:
        return Expected(2)
    satisfied = execute | done | skip
    if ask.failed_only and any(not jobs[job].dependencies <= satisfied | counted for job in execute):
        return Expected(2)
    if ask.from_job is not None and not ask.yes and closure(links.before, again) - satisfied - parent.counted:
        return Expected(2)
    return Expected(None, frozenset(execute), frozenset(reuse), frozenset(again))


def skip_of(ask: Ask, jobs: Mapping[str, Definition], parent: Run | None) -> set[str]:
    """What is skipped: as asked now, else as asked of the run that is resumed, but for what is asked for now."""
    if ask.skip is not None or parent is None:
        return set(ask.skip or ())
    return set(parent.skip) & set(jobs) - {ask.from_job}


def env_of(ask: Ask, parent: Run | None) -> str | None:
    """The value of ``--env MODE=``, which is taken over too."""
    return parent.env if ask.env is None and parent is not None else ask.env


# --- the machine ------------------------------------------------------------------------------

common = {
    "continue_on_error": st.booleans(),
    "workers": st.sampled_from([1, 1, 2]),
    "env": st.sampled_from([None, None, None, None, "a", "b"]),
}
choices = st.sampled_from(["stop", "keep", "keep", "rerun", "rerun"])
mostly = st.sampled_from([True, True, True, False])


class Resumes(RuleBasedStateMachine):
    """Drives the program, one command or one edit a step, and checks each by the model."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.program = Program(folder)
        self.jobs: dict[str, Definition] = {}  # in config order
        self.rank: list[str] = []  # each job may depend on those before it
        self.runs: dict[int, Run] = {}
        self.names = itertools.count()

    # --- the workflow, and how it is edited ---------------------------------------------------

    @initialize(data=st.data(), number=st.integers(2, MOST_JOBS))
    def begin(self, data: st.DataObject, number: int) -> None:
        for _ in range(number):
            self._add(data)
        self._go(data, Ask(continue_on_error=data.draw(st.booleans())))

    def _some(self, data: st.DataObject, names: Iterable[str], most: int = 3) -> frozenset[str]:
        names = sorted(names)
        return data.draw(st.frozensets(st.sampled_from(names), max_size=most)) if names else frozenset()

    def _one(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(list(self.jobs)))

    def _edit(self, data: st.DataObject) -> None:
        """Edit the config, or leave it; part of each step, so that few steps get far."""
        for edit in data.draw(st.sampled_from(EDITS)):
            if edit == "command":
                name = self._one(data)
                self.jobs[name] = self.jobs[name]._replace(version=self.jobs[name].version + 1)
            elif edit == "dependencies":
                name = self._one(data)
                needed = self._some(data, self.rank[: self.rank.index(name)])
                self.jobs[name] = self.jobs[name]._replace(dependencies=needed)
            elif edit == "remove" and len(self.jobs) > 1:
                self._remove(self._one(data))
            elif edit == "add" and len(self.jobs) < MOST_JOBS:
                self._add(data)

    def _add(self, data: st.DataObject) -> None:
        name = f"j{next(self.names)}"
        rank = data.draw(st.integers(0, len(self.rank)))
        needed, dependents = self._some(data, self.rank[:rank]), self._some(data, self.rank[rank:])
        self.rank.insert(rank, name)
        for other in dependents:  # what may have succeeded already comes to depend on it
            self.jobs[other] = self.jobs[other]._replace(dependencies=self.jobs[other].dependencies | {name})
        jobs = list(self.jobs.items())
        jobs.insert(data.draw(st.integers(0, len(jobs))), (name, Definition(0, needed)))
        self.jobs = dict(jobs)

    def _remove(self, name: str) -> None:
        del self.jobs[name]
        self.rank.remove(name)
        for other, job in self.jobs.items():
            self.jobs[other] = job._replace(dependencies=job.dependencies - {name})

    def _write(self) -> None:
        self.program.config(
            [
                {
                    "id": name,
                    "command": COMMAND.format(id=name, version=job.version),
                    "dependencies": sorted(job.dependencies),
                }
                for name, job in self.jobs.items()
            ],
            CONFIG,
        )

    # --- the steps ----------------------------------------------------------------------------

    @rule(data=st.data(), options=st.fixed_dictionaries(common), midstream=st.booleans(), yes=st.booleans())
    def run_afresh(self, data: st.DataObject, options: dict[str, Any], midstream: bool, yes: bool) -> None:
        self._edit(data)
        if midstream:
            self._go(data, Ask(**options, from_job=self._one(data), yes=yes))
        else:
            self._go(data, Ask(**options, skip=self._skip(data)))

    def _skip(self, data: st.DataObject) -> tuple[str, ...]:
        return tuple(sorted(self._some(data, self.jobs, 2)))

    @rule(data=st.data(), options=st.fixed_dictionaries({**common, "if_changed": choices}))
    def resume(self, data: st.DataObject, options: dict[str, Any]) -> None:
        self._edit(data)
        self._go(data, Ask(**options, resume=max(self.runs)))

    @rule(data=st.data(), options=st.fixed_dictionaries({**common, "if_changed": choices}))
    def resume_skipping(self, data: st.DataObject, options: dict[str, Any]) -> None:
        self._edit(data)
        self._go(data, Ask(**options, resume=max(self.runs), skip=self._skip(data)))

    @rule(data=st.data(), options=st.fixed_dictionaries({**common, "if_changed": choices}), skips=st.booleans())
    def resume_failed_only(self, data: st.DataObject, options: dict[str, Any], skips: bool) -> None:
        self._edit(data)
        skip = self._skip(data) if skips else None
        self._go(data, Ask(**options, resume=max(self.runs), failed_only=True, skip=skip))

    @rule(
        data=st.data(),
        options=st.fixed_dictionaries({**common, "if_changed": choices, "yes": mostly}),
        skips=st.booleans(),
    )
    def resume_in_midstream(self, data: st.DataObject, options: dict[str, Any], skips: bool) -> None:
        self._edit(data)
        skip = self._skip(data) if skips else None
        self._go(data, Ask(**options, resume=max(self.runs), from_job=self._one(data), skip=skip))

    @rule(
        data=st.data(),
        options=st.fixed_dictionaries(
            {**common, "if_changed": choices, "yes": mostly, "failed_only": st.booleans()}
        ),
    )
    def go_back(self, data: st.DataObject, options: dict[str, Any]) -> None:
        self._edit(data)
        self._go(data, Ask(**options, resume=data.draw(st.sampled_from(sorted(self.runs)))))

    @rule(
        data=st.data(),
        options=st.fixed_dictionaries({**common, "if_changed": choices, "failed_only": st.booleans()}),
        newest=mostly,
    )
    def mark_and_resume(self, data: st.DataObject, options: dict[str, Any], newest: bool) -> None:
        run_id = max(self.runs) if newest else data.draw(st.sampled_from(sorted(self.runs)))
        run = self.runs[run_id]
        missing = sorted(set(run.statuses) - run.done) or sorted(run.statuses)
        names = sorted(data.draw(st.frozensets(st.sampled_from(missing), min_size=1, max_size=2)))
        result = self._call(["--mark-success", str(run_id), *names, "--reason", "checked", "--yes"])
        assert result.code == 0, result
        run.marked |= set(names) - run.done
        rows = self.program.jobs(run_id)
        assert {job for job, row in rows.items() if row["marked_by"]} == run.marked
        assert ended(rows) == run.statuses, "a mark changes no status"
        self._edit(data)
        self._go(data, Ask(**options, resume=run_id))

    @rule(data=st.data())
    def follow_the_advice(self, data: st.DataObject) -> None:
        """From any run, and when no job fails any more, the first command that is printed leads on to the end."""
        self._edit(data)
        ask = Ask(resume=data.draw(st.sampled_from(sorted(self.runs))))
        for _ in range(MOST_ADVICE):
            known = set(self.runs)
            result = self._go(None, ask)
            if result.code == 0:
                assert ask.resume is not None
                run = self.runs[max(self.runs) if set(self.runs) > known else ask.resume]
                if not run.has_succeeded:
                    left = set(self.jobs) - run.done - {job for job, why in run.reasons.items() if why in COUNTED}
                    assert not left, f"nothing more to resume, but {left} is left"
                return
            commands = [line for line in result.err.splitlines() if line.startswith("  cd ")]
            assert commands, f"a refusal that does not say how to go on: {result.err}"
            words = shlex.split(commands[0].partition("executioner.py ")[2])
            if "--show-run" in words:
                assert self.runs[int(words[-1])].has_succeeded
                return
            ask = parsed(words)
        raise AssertionError(f"no end after {MOST_ADVICE} commands that the program recommended")

    # --- one command, previewed, carried out and checked --------------------------------------

    def _call(self, words: Sequence[str]) -> Result:
        (self.program.folder / "ran").unlink(missing_ok=True)
        result = self.program(*words)
        note(f"$ executioner.py {shlex.join(words)}  -> {result.code}")
        return result

    def _ran(self) -> list[tuple[str, str]]:
        """What jobs said: (start or end, id)."""
        path = self.program.folder / "ran"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]

    def _go(self, data: st.DataObject | None, ask: Ask) -> Result:
        """Preview a command and carry it out. Jobs fail, or one kills the runner, as is drawn."""
        self._write()
        note(f"jobs: { {name: (job.version, *sorted(job.dependencies)) for name, job in self.jobs.items()} }")
        known = len(self.runs)
        preview = self._call([*ask.words(), "--dry-run", "--format", "json"])
        assert not self._ran(), "a preview runs nothing"
        assert self._number_of_runs() == known, "a preview records nothing"
        fate = data.draw(st.sampled_from(["well", "fail", "fail", "kill"])) if data else "well"
        fails = self._some(data, self.jobs, 2) if data and fate != "well" else frozenset()
        # one at most: a second one could find that its parent is no longer the runner
        killer = self._one(data) if data and fate == "kill" else None
        note(f"fail: {sorted(fails)}, kills the runner: {killer}")
        marks = [self.program.folder / f"fail_{job}" for job in fails]
        marks += [self.program.folder / f"kill_{job}" for job in {killer} - {None}]
        for path in marks:
            path.touch()
        result = self._call(ask.words())
        if result.code == -9:
            self._wait_for_orphans()
        for path in marks:
            path.unlink()
        ran = self._ran()
        note(f"ran: {', '.join(' '.join(one) for one in ran)}")
        expect = expected_of_fresh if ask.resume is None else expected_of_resume
        expected = expect(ask, self.jobs, self.runs)
        if expected.code is not None:
            assert (preview.code, result.code) == (expected.code, expected.code), (preview, result)
            assert not ran
            assert self._number_of_runs() == known, "a refusal records nothing"
            if expected.code == 0:
                assert json.loads(preview.out) is None
            return result
        assert preview.code == 0, preview
        plan = json.loads(preview.out)
        self._check_plan(ask, plan, expected)
        self._check_ran(ask, plan, ran, fails, killer, result)
        self._check_record(ask, expected, ran, result)
        return result

    def _number_of_runs(self) -> int:
        if not self.program.history.exists():
            return 0
        [row] = self.program.rows("SELECT count(*) AS number FROM run_metadata")
        return int(row["number"])

    def _wait_for_orphans(self) -> None:
        """Wait until the jobs of a killed runner have ended: each stands in the folder from its fork on."""
        folder = os.path.realpath(self.program.folder)

        def alone() -> bool:
            for entry in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if os.readlink(f"/proc/{entry}/cwd") == folder:
                        return False
                except OSError:  # it ended, or is not ours
                    continue
            return True

        wait_until(alone, "the jobs of a killed runner")

    def _check_plan(self, ask: Ask, plan: dict[str, Any], expected: Expected) -> None:
        groups = {
            name: [job["id"] for job in plan.get(name, ())] for name in ("execute", "reuse", "skip", "leave_out")
        }
        assert sorted(itertools.chain(*groups.values())) == sorted(self.jobs), "each job is in one group"
        assert set(groups["execute"]) == expected.execute, plan
        assert set(groups["reuse"]) == expected.reuse, plan
        if ask.resume is not None:
            parent = self.runs[ask.resume]
            retried = {job["id"] for job in plan["execute"] if job["action"] == "retry"} - parent.marked
            assert retried == expected.execute & parent.broken, plan

    def _check_ran(
        self,
        ask: Ask,
        plan: dict[str, Any],
        ran: Sequence[tuple[str, str]],
        fails: frozenset[str],
        killer: str | None,
        result: Result,
    ) -> None:
        """What ran is what the preview says, as far as failures let it; and nothing ran too early or twice."""
        order = [job["id"] for job in plan["execute"]]
        satisfied = {job["id"] for name in ("reuse", "skip") for job in plan.get(name, ())}
        started = [job for what, job in ran if what == "start"]
        assert len(started) == len(set(started)), "no job runs twice"
        assert set(started) <= set(order)
        for at, (what, job) in enumerate(ran):
            if what == "start":
                over = satisfied | {other for said, other in ran[:at] if said == "end"}
                assert self.jobs[job].dependencies <= over, f"{job} started too early"
        assert (result.code == -9) == (killer in started), result
        if ask.workers == 1:
            assert started == self._in_turn(order, fails, killer, ask.continue_on_error)
        elif result.code != -9 and (ask.continue_on_error or not fails & set(started)):
            assert set(started) == set(self._in_turn(order, fails, None, True))

    def _in_turn(
        self, order: Sequence[str], fails: frozenset[str], killer: str | None, continue_on_error: bool
    ) -> list[str]:
        """What one worker starts of a plan."""
        started: list[str] = []
        hopeless: set[str] = set()
        for job in order:
            if self.jobs[job].dependencies & hopeless:
                hopeless.add(job)
                continue
            started.append(job)
            if job == killer or (job in fails and not continue_on_error):
                break
            if job in fails:
                hopeless.add(job)
        return started

    def _check_record(self, ask: Ask, expected: Expected, ran: Sequence[tuple[str, str]], result: Result) -> None:
        """The history has the run, each job as it really ended; the model then knows of it too."""
        parent = None if ask.resume is None else self.runs[ask.resume]
        assert self._number_of_runs() == len(self.runs) + 1
        run_id = max(self.runs, default=0) + 1
        rows = self.program.jobs(run_id)
        assert list(rows) == list(self.jobs)
        row = self.program.run_row(run_id)
        assert row["parent_run_id"] == ask.resume
        assert row["root_run_id"] == (parent.root if parent else run_id)
        killed = result.code == -9
        started = {job for what, job in ran if what == "start"}
        succeeded = {job for what, job in ran if what == "end"}
        if parent is not None:
            assert started & parent.done <= expected.again, "a job that was done ran again unasked"
        for job, found in rows.items():
            status, reason = found["status"], found["reason"]
            if job in expected.reuse:
                assert parent is not None
                assert status == "SUCCESS"
                assert found["source_run_id"] == parent.sources.get(job, parent.run_id)
                assert bool(found["marked_by"]) == (job in parent.marked)
            elif job not in expected.execute:
                assert status == "SKIPPED" if not killed else status in ("SKIPPED", "PENDING")
                assert reason in ON_REQUEST, found
            elif killed and status in ("RUNNING", "PENDING"):
                assert status == "RUNNING" or job not in started, "a job is recorded before it starts"
            elif job in started:
                assert status == ("SUCCESS" if job in succeeded else "FAILED")
            else:
                assert status == "SKIPPED"
                assert reason not in ON_REQUEST
        statuses = ended(rows)
        if not killed:
            assert result.code == (1 if "FAILED" in statuses.values() else 0), result
            assert row["exit_code"] == result.code
            assert (row["status"] == "SUCCESS") == (set(statuses.values()) == {"SUCCESS"})
        self.runs[run_id] = Run(
            run_id=run_id,
            root=row["root_run_id"],
            # what is kept stays what it was, so that the next resume asks again
            definitions=self.jobs | {job: parent.definitions[job] for job in expected.reuse if parent},
            statuses=statuses,
            reasons={job: found["reason"] for job, found in rows.items()},
            sources={job: found["source_run_id"] for job, found in rows.items() if found["source_run_id"]},
            skip=tuple(skip_of(ask, self.jobs, parent)),
            env=env_of(ask, parent),
            marked={job for job in expected.reuse if parent and job in parent.marked},
        )


def ended(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The statuses of a run's jobs, of a dead run as they will be recorded."""
    dead = {"RUNNING": "INTERRUPTED", "PENDING": "SKIPPED"}
    return {job: dead.get(row["status"], row["status"]) for job, row in rows.items()}


def test_resumes_run_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    """Whatever failed, was killed or was edited, resumes are predictable and lead to the end.

    After each command: a job that was done did not run again unless that was asked for; no
    job started before what it depends on was done; the preview named exactly what then ran,
    or refused what the run refused, which left no trace; the history says of each job how
    it ended. And from any run the commands that the program recommends lead to its end.
    """
    number = itertools.count()
    run_state_machine_as_test(
        lambda: Resumes(tmp_path / f"example-{next(number)}"),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
            print_blob=True,
        ),
    )
