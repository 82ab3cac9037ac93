"""Watches admitted jobs: observes their attempts, plans the next steps, and hands them to the executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from raylift.domain.errors import JobNotFound, StaleJob
from raylift.domain.job import Job, JobState
from raylift.domain.lease import Lease
from raylift.settings import PlatformSettings
from raylift.supervisor.jobs.adopt_ray_jobs import Adoption
from raylift.supervisor.jobs.execute import JobExecutor
from raylift.supervisor.jobs.plan import JobAction, Register, plan_job
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot, RayView, observe_attempt
from raylift.supervisor.serial_tasks import SerialTaskRunner
from raylift.supervisor.store_view import StoreView

log = logging.getLogger(__name__)

STARTING_STATES: Final = frozenset({JobState.ENVIRONMENT, JobState.STARTING})
"""States of an admitted job whose script does not run yet."""
_RAY_RECORDS_TASK: Final = "Ray's records of ended jobs"


class JobTasks:
    """Runs steps of jobs in the background, one at a time for each job."""

    def __init__(self, tasks: SerialTaskRunner, ray_view: RayView) -> None:
        self._tasks = tasks
        self._ray_view = ray_view

    def busy(self, job_id: str) -> bool:
        return self._tasks.busy(job_id)

    def run(self, job_id: str, step: Callable[[], None], *, asks_mlflow: bool = False) -> None:
        self._tasks.run(job_id, lambda: self._step(job_id, step), asks_mlflow=asks_mlflow)

    def run_once(self, name: str, work: Callable[[], None]) -> None:
        """Run work that belongs to no job, unless it runs already."""
        self._tasks.run(name, work)

    def _step(self, job_id: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (StaleJob, JobNotFound) as error:
            log.debug("%s", error)  # It moved on in the meantime; the next tick plans from there.
        finally:
            # The present snapshot of Ray may be older than this step.
            self._ray_view.touch(job_id)


class JobWatcher:
    """Looks at every active job once a tick."""

    def __init__(
        self,
        settings: PlatformSettings,
        view: StoreView,
        ray_view: RayView,
        executor: JobExecutor,
        adoption: Adoption,
        tasks: JobTasks,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._view = view
        self._ray_view = ray_view
        self._executor = executor
        self._adoption = adoption
        self._tasks = tasks
        self._clock = clock
        self._adopted_from: RaySnapshot | None = None

    def watch(self, lease: Lease) -> None:
        """Start the next step of every job that has one, and adopt jobs that were submitted directly to Ray."""
        active = self._view.active
        snapshot = self._ray_view.snapshot(has_jobs=bool(active))
        now = self._clock()
        for job in active:
            if self._tasks.busy(job.job_id):
                continue
            action = self._next_step(job, snapshot, now)
            if action is not None:
                self._tasks.run(
                    job.job_id,
                    lambda job=job, action=action: self._executor.execute(lease, job, action),
                    asks_mlflow=isinstance(action, Register),
                )
        if snapshot is not self._adopted_from:
            self._adopt(snapshot)
            self._adopted_from = snapshot

    def _adopt(self, snapshot: RaySnapshot) -> None:
        if not snapshot.answers:
            return
        active = self._view.active
        self._adoption.scan(snapshot, {job.submission_id for job in active if job.submission_id})
        if self._adoption.has_much_to_forget(others_start=any(job.state in STARTING_STATES for job in active)):
            self._tasks.run_once(_RAY_RECORDS_TASK, self._adoption.forget)

    def _next_step(self, job: Job, snapshot: RaySnapshot, now: datetime) -> JobAction | None:
        try:
            return plan_job(job, observe_attempt(job, snapshot, self._settings), now, self._settings.jobs)
        except Exception:
            # Its script may have left anything in its directory. The other jobs must be watched all the same.
            log.exception("%s: its next step cannot be planned", job.job_id)
            return None
