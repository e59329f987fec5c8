"""What the screen of one run shows: its jobs, the ends of their logs, what the rules advise."""

from __future__ import annotations

from executioner.commands.context import Context
from executioner.commands.evidence import CHANGED, config_state, evidence, preview
from executioner.commands.past import Past, waiting_spool
from executioner.history.query import RunFilter
from executioner.model import FAILURES, RunStatus
from executioner.records import Run, RunDetails
from executioner.render.details import RunView
from executioner.render.summary import MOST_PREVIEWS
from executioner.render.text import shown_path
from executioner.suggest import hints


def run_view(context: Context, past: Past, details: RunDetails, statuses: frozenset[str]) -> RunView:
    """What the screen of a run shows; ``statuses``: of which jobs, all if it is empty.

    Raises:
        HistoryError: the history cannot be read.
    """
    run = details.run
    failed = [job for job in details.jobs if job.status in FAILURES and (not statuses or job.status in statuses)]
    previewed = [job for job in failed if job.log_path is not None or not job.retry_history][:MOST_PREVIEWS]
    state, exists = config_state(run)
    found = evidence(past.history, details, previewed, config_changed=state == CHANGED)
    spool = _spool(context, run)
    if spool is not None:
        found = found._replace(lost=())  # how they ended stands there
    return RunView(
        details=details,
        statuses=statuses,
        config_state=state,
        config_exists=exists,
        history_path=past.shown_path,
        previews=[preview(job, context.cwd) for job in previewed],
        hints=hints(found),
        succeeded_since=_succeeded_since(past, run),
        survivors=found.survivors,
        spool=spool,
    )


def _spool(context: Context, run: Run) -> str | None:
    """The file with those results that the history lacks, as it is shown."""
    if run.status == RunStatus.RUNNING:
        return None
    path = waiting_spool(run)
    return None if path is None else shown_path(path, context.cwd)


def _succeeded_since(past: Past, run: Run) -> int | None:
    """The newest run of the same config, if it is newer and succeeded."""
    if run.config_path is None or run.status in (RunStatus.SUCCESS, RunStatus.RUNNING) or run.resumable:
        return None
    wanted = RunFilter(config_paths=(run.config_path,), statuses=("SUCCESS",))
    newest = next(past.history.find(wanted, 1), None)
    return newest.run_id if newest is not None and newest.run_id > run.run_id else None
