"""Lets a waiting job start once the jobs before it have completed, or ends it where one has not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from raylift.domain.errors import DatasetNotFound, DeploymentNotReady, FieldError, InvalidRequest, JobNotFound
from raylift.domain.job import Job, JobSpec, JobState, JobStatus, Reason
from raylift.domain.job_data import DataInput
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentStatus
from raylift.services.batches.version import require_scanned, with_version
from raylift.services.datasets.job_data import JobData
from raylift.settings import PlatformSettings
from raylift.store import Store

log = logging.getLogger(__name__)

_HOW_IT_ENDED: Final = {JobStatus.FAILED: "failed", JobStatus.CANCELLED: "was cancelled"}


class NeverStarts(Exception):
    """The job cannot start any more. The text is a sentence for its user."""


class JobReleases:
    """Every step may be repeated: a job is released, or ended, in one transaction that only one supervisor completes."""

    def __init__(self, store: Store, settings: PlatformSettings, clock: Callable[[], datetime]) -> None:
        self._store, self._settings = store, settings
        self._data = JobData(store, settings)
        self._clock = clock

    def attend(self, lease: Lease, job_id: str) -> None:
        """Release a waiting job, or end it, where the jobs before it have ended.

        Raises:
            StaleLease, StaleJob, JobNotFound: it has moved on, or another supervisor has taken over.
        """
        job = self._store.jobs.get(job_id)
        if job.state is not JobState.QUEUED or job.cancel_requested_at is not None:
            return
        try:
            spec = self._with_results(job)
            if spec is not None:
                self._store.order.release(lease, job, spec)
                log.info("%s may start: %s completed", job_id, ", ".join(job.spec.after))
        except (NeverStarts, DatasetNotFound) as error:
            detail = error.detail if isinstance(error, DatasetNotFound) else str(error)
            now, reason = self._clock(), Reason.UPSTREAM_FAILED
            self._store.jobs.move(lease, job, JobState.CANCELLED, now=now, reason=reason, message=f"It never started: {detail}")

    def _with_results(self, job: Job) -> JobSpec | None:
        """Return the spec with what the jobs before it have made; None while one goes on.

        Raises:
            NeverStarts: one failed, or what it made is gone.
        """
        before = {job_id: self._ended(job_id) for job_id in job.spec.after}
        if None in before.values():
            return None
        done = {job_id: found for job_id, found in before.items() if found is not None}
        spec = replace(job.spec, data=tuple(self._made(each, done) for each in job.spec.data))
        if spec.batch is None or spec.batch.version or spec.batch.version_of is None:
            return spec
        return self._with_version(spec, done[spec.batch.version_of])

    def _ended(self, job_id: str) -> Job | None:
        """Return a job that has completed; None while it goes on. Raises NeverStarts."""
        try:
            job = self._store.jobs.get(job_id)
        except JobNotFound as error:
            raise NeverStarts(f"{job_id}, which comes before it, was deleted.") from error
        if job.status in _HOW_IT_ENDED:
            raise NeverStarts(f"{job_id}, which comes before it, {_HOW_IT_ENDED[job.status]}.")
        return job if job.is_final else None

    def _made(self, data: DataInput, done: dict[str, Job]) -> DataInput:
        if data.version or data.of_job is None:
            return data
        found = self._data.made_by(data, done[data.of_job])
        if isinstance(found, FieldError):
            raise NeverStarts(f"{found.field} {found.detail}.")
        return found

    def _with_version(self, spec: JobSpec, trained: Job) -> JobSpec | None:
        """Return the spec with the version that a job has registered; None while the version's files are read."""
        name, version = trained.spec.model_name, trained.model_version
        row = next((row for row in self._store.deployments.list(name) if row.version == version), None)
        if row is None:
            raise NeverStarts(f"{trained.job_id} has registered no version of {name}, or it was deleted.")
        if row.files is not None:
            try:
                require_scanned(row, self._settings)
            except DeploymentNotReady as error:
                if not row.wanted:
                    raise NeverStarts(f"{name} version {version} is not deployed, so it is not scanned: deploy it.") from error
                return None
            except InvalidRequest as error:
                raise NeverStarts(error.detail) from error
            return with_version(spec, row)
        if not row.wanted:
            raise NeverStarts(f"{name} version {version} is not deployed, so its files are unknown: deploy it.")
        if row.status is DeploymentStatus.UNHEALTHY:
            raise NeverStarts(
                f"the files of {name} version {version} cannot be read: {row.message or 'MLflow does not say why'}"
            )
        return None
