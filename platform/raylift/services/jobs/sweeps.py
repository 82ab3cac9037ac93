"""Submits, shows, cancels and deletes sweeps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from raylift.domain.errors import SweepNotFinished
from raylift.domain.identifiers import new_job_id, new_sweep_id
from raylift.domain.job import Job, JobStatus
from raylift.domain.sweep import Sweep, SweepSpec, choose_best, missing_metric
from raylift.services.jobs.training import TrainingService
from raylift.services.jobs.wait_reasons import WaitReasons
from raylift.services.ports import Clock, utc_now
from raylift.services.uploads.checks import CheckedUpload
from raylift.services.uploads.sweeps import job_specs
from raylift.settings import QuotaSettings
from raylift.store import AddedSweep, Store, SweepPage


@dataclass(frozen=True, slots=True)
class SweepDetails:
    """A sweep with its table."""

    sweep: Sweep
    jobs: list[Job]
    best: Job | None
    """Best of the completed jobs; final once the sweep has ended."""


class SweepService:
    """Writes requests of users to the store. The supervisor carries them out."""

    def __init__(
        self,
        store: Store,
        training: TrainingService,
        *,
        quotas: QuotaSettings,
        reasons: WaitReasons,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._training = training
        self._quotas = quotas
        self._reasons = reasons
        self._clock = clock

    def submit(
        self,
        sweep: SweepSpec,
        upload: CheckedUpload,
        *,
        key: str | None = None,
        body_sha256: str = "",
    ) -> AddedSweep:
        """Commit a sweep and all its jobs to the store, in one transaction.

        Raises:
            QuotaExceeded: the owner would have more waiting jobs than its quota allows.
            IdempotencyMismatch: ``key`` came with another body before.
        """
        now = self._clock()
        sweep_id = new_sweep_id(now.timestamp())
        specs = job_specs(sweep, sweep_id, upload.spec)
        # Sorted: jobs of the same time and priority are admitted by id, and so run in the order of the table.
        ids = sorted(new_job_id(now.timestamp()) for _ in specs)
        return self._store.sweeps.add(
            sweep,
            list(zip(ids, specs, strict=True)),
            upload.script,
            sweep_id=sweep_id,
            now=now,
            idempotency=self._training.idempotency(key, body_sha256),
            project=upload.project,
            max_queued=self._quotas.of(upload.spec.account).max_queued_jobs,
        )

    def details(self, sweep_id: str) -> SweepDetails:
        """Raises SweepNotFound."""
        sweep = self._store.sweeps.get(sweep_id)
        jobs = self._reasons.explained(self._store.sweeps.jobs(sweep_id))
        best = _best(sweep, jobs)
        return SweepDetails(_warned(sweep, jobs, best), jobs, best)

    def page(self, *, limit: int, cursor: str | None, workspace: str | None = None) -> SweepPage:
        return self._store.sweeps.list(limit=limit, cursor=cursor, workspace=workspace)

    def cancel(self, sweep_id: str) -> SweepDetails:
        """Request that all jobs of a sweep stop. Returns at once; idempotent; a finished sweep stays as it is."""
        self._store.sweeps.request_cancel(sweep_id, now=self._clock())
        return self.details(sweep_id)

    def delete(self, sweep_id: str) -> None:
        """Delete a finished sweep with its jobs, their events, logs and files. Runs and model versions stay.

        Raises:
            SweepNotFinished: it has not ended; cancel it first.
        """
        sweep = self._store.sweeps.get(sweep_id)
        if not sweep.is_final:
            raise SweepNotFinished(f"Sweep {sweep_id} has not ended yet. Cancel it first.", sweep_id=sweep_id)
        for job in self._store.sweeps.jobs(sweep_id):
            self._training.delete(job.job_id)
        self._store.sweeps.delete(sweep_id)


def _warned(sweep: Sweep, jobs: list[Job], best: Job | None) -> Sweep:
    """Add a warning where the first completed jobs lack the metric: the user may cancel the sweep in time."""
    metric = sweep.spec.metric
    some_completed = any(job.status is JobStatus.COMPLETED for job in jobs)
    if metric is None or best is not None or sweep.is_final or not some_completed:
        return sweep
    return replace(sweep, message=f"{missing_metric(jobs, metric)} Cancel the sweep if the others cannot have it either.")


def _best(sweep: Sweep, jobs: list[Job]) -> Job | None:
    if sweep.best_job_id is not None:
        return next((job for job in jobs if job.job_id == sweep.best_job_id), None)
    if sweep.spec.metric is None or sweep.is_final:
        return None
    return choose_best(jobs, sweep.spec.metric, sweep.spec.mode)
