"""Ends the MLflow runs of a job when the job ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Job, Reason
from raylift.domain.models.version import TrackedRun
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.engines.mlflow_engine.tracking import Tracking
from raylift.supervisor.jobs.choose_model import choose_run
from raylift.supervisor.jobs.registration import parameters

log = logging.getLogger(__name__)

FINISHED: Final = "FINISHED"
_FAILED: Final = "FAILED"
_KILLED: Final = "KILLED"
_OPEN: Final = frozenset({"RUNNING", "SCHEDULED"})
_ENDED_FROM_OUTSIDE: Final = frozenset(
    {Reason.CANCELLED_BY_USER, Reason.TIMEOUT, Reason.OUT_OF_MEMORY, Reason.PROCESS_LIMIT, Reason.DISK_LIMIT}
)
_PATIENCE: Final = timedelta(seconds=30)
"""Time that the end of a job waits for MLflow to end its runs."""


class RunEnder:
    """Ends runs. While MLflow does not answer, the job waits for a limited time."""

    def __init__(self, tracking: Tracking, clock: Callable[[], datetime]) -> None:
        self._tracking = tracking
        self._clock = clock
        self._waits_since: dict[str, datetime] = {}
        """Time of the first failure, by job."""

    def end(self, job: Job, status: str, stopped_at: datetime | None = None) -> dict[str, Any]:
        """End the job's runs. Returns facts of the run to show, so that a failed job has its metrics, too.

        Raises:
            EngineUnavailable: MLflow does not answer; call again.
        """
        if job.started_at is None:
            return {}
        try:
            tracking = self._tracking.of(job.spec.workspace)
            runs = tracking.runs_of_job(job.job_id)
            end_runs(tracking, runs, status, stopped_at=stopped_at)
            run, params = choose_run(runs, None), parameters(job)
            if run is not None and params:
                tracking.add_params(run.run_id, params)
        except (EngineUnavailable, MlflowRefused) as error:
            since = self._waits_since.setdefault(job.job_id, self._clock())
            if isinstance(error, EngineUnavailable) and self._clock() - since < _PATIENCE:
                raise
            log.warning("%s: its runs may stay open: %s", job.job_id, error.detail)
            run = None
        self._waits_since.pop(job.job_id, None)
        if run is None:
            return {}
        return {"mlflow_experiment_id": run.experiment_id, "mlflow_run_id": run.run_id, "metrics": dict(run.metrics)}


def status_of_runs(reason: Reason) -> str:
    """Return MLflow's status for the runs of a job that ended for this reason."""
    return _KILLED if reason in _ENDED_FROM_OUTSIDE else _FAILED


def end_runs(tracking: Tracking, runs: Sequence[TrackedRun], status: str, *, stopped_at: datetime | None = None) -> None:
    """End the open runs. May be repeated.

    The job's own run, and a run that the script ended because it was stopped, get the status of the job.

    Args:
        tracking: MLflow.
        runs: all runs of the job.
        status: FINISHED, FAILED or KILLED.
        stopped_at: time of the stop request to the script.
    """
    for run in runs:
        is_of_job = run.outside is not None and status != FINISHED
        by_stop = stopped_at is not None and run.ended_at is not None and run.ended_at >= stopped_at
        if run.status in _OPEN or (run.status != status and (is_of_job or by_stop)):
            tracking.end_run(run.run_id, status)
