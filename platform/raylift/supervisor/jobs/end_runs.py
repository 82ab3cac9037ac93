"""The MLflow runs of a job end with it: no run of a job that is over says that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from raylift.domain.job import Reason
from raylift.domain.model_version import TrackedRun
from raylift.engines.mlflow.tracking import Tracking

FINISHED: Final = "FINISHED"
_FAILED: Final = "FAILED"
_KILLED: Final = "KILLED"
_OPEN: Final = frozenset({"RUNNING", "SCHEDULED"})
_ENDED_FROM_OUTSIDE: Final = frozenset(
    {Reason.CANCELLED_BY_USER, Reason.TIMEOUT, Reason.OUT_OF_MEMORY, Reason.PROCESS_LIMIT, Reason.DISK_LIMIT}
)


def status_of_runs(reason: Reason) -> str:
    """MLflow's status for the runs of a job that ended for this reason."""
    return _KILLED if reason in _ENDED_FROM_OUTSIDE else _FAILED


def end_runs(tracking: Tracking, runs: Sequence[TrackedRun], status: str, *, stopped_at: datetime | None = None) -> None:
    """End the runs that are open. May be repeated.

    The job's own run ends as the job does; so does a run that its script ended because it was stopped.

    Args:
        tracking: MLflow.
        runs: all runs of the job.
        status: how its runs end: FINISHED, FAILED or KILLED.
        stopped_at: when the script was told to stop.
    """
    for run in runs:
        is_of_job = run.outside is not None and status != FINISHED
        by_stop = stopped_at is not None and run.ended_at is not None and run.ended_at >= stopped_at
        if run.status in _OPEN or (run.status != status and (is_of_job or by_stop)):
            tracking.end_run(run.run_id, status)
