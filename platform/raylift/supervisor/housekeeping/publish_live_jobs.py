"""Publishes the live jobs to MLflow's processes: the credential of a job is good while the job lives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from raylift.domain.job import ACTIVE_STATES
from raylift.engines.mlflow_engine.live_jobs import LiveJobs
from raylift.store import Store


class LiveJobsPublisher:
    """Writes the file of the MLflow server on this machine."""

    def __init__(self, store: Store, jobs: LiveJobs, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock

    def publish(self) -> None:
        """Bring the file up to date."""
        # The time first: a job that starts meanwhile has a newer credential.
        looked_at = self._clock().timestamp()
        self._jobs.publish((job.job_id for job in self._store.jobs.in_states(ACTIVE_STATES)), looked_at=looked_at)
