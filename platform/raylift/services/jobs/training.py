"""Submits, shows, cancels, reruns and deletes jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from raylift.api.headers import IDEMPOTENCY_KEY
from raylift.domain.errors import DeploymentNotFound, EngineUnavailable, FieldError, InvalidRequest, JobNotFinished, NotFound
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import Attempt, Event, Job, JobState
from raylift.domain.models.deployment import Deployment
from raylift.domain.rollouts.gate import Promotion
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.progress import LiveUsage
from raylift.engines.batches.directory import BatchDirectory
from raylift.engines.environments.overlays.build_record import BuildRecord
from raylift.services.cluster.capacity import Capacity
from raylift.services.datasets.job_data import JobData
from raylift.services.jobs.logs import JobLogs, LogFile, removal_note
from raylift.services.jobs.reruns import RerunChanges, check_rerun, rerun_spec
from raylift.services.jobs.wait_reasons import WaitReasons
from raylift.services.order.job_order import JobOrder, Neighbours
from raylift.services.ports import Clock, utc_now
from raylift.services.secrets import SecretService
from raylift.services.uploads.batch_paths import check_again, location_of
from raylift.services.uploads.checks import CheckedUpload
from raylift.services.uploads.resources import check_quota
from raylift.settings import GatewaySettings, JobSettings
from raylift.store import IdempotencyKey, JobFilter, JobPage, Store

MAX_KEY_LENGTH: Final = 255
MAX_PAGE: Final = 500
MAX_PLACES: Final = 1000


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job with the further facts that its resource shows."""

    job: Job
    log_tail: str
    queue_position: int | None
    deployment: Deployment | None
    """Deployment of the version that it registered."""
    build: BuildRecord | None = None
    """Record of the build of the environment that it waits for."""
    promotion: Promotion | None = None
    """Outcome of its gate; None for a job without one."""
    neighbours: Neighbours | None = None
    """Jobs directly before and after it."""
    live_usage: LiveUsage | None = None
    """Resources that a running script uses now."""

    @property
    def is_over(self) -> bool:
        """True where no phase goes on, that of its deployment included."""
        return self.job.is_final and (self.deployment is None or self.deployment.ready_at is not None)


@dataclass(frozen=True, slots=True)
class Submission:
    """A stored job. ``repeated``: an earlier request with the same key stored it."""

    job: Job
    repeated: bool


class TrainingService:
    """Writes requests of users to the store. The supervisor carries them out."""

    def __init__(
        self,
        store: Store,
        logs: JobLogs,
        settings: GatewaySettings,
        *,
        jobs: JobSettings,
        capacity: Capacity,
        secrets: SecretService,
        data: JobData,
        order: JobOrder,
        reasons: WaitReasons,
        attempts_dir: Path,
        batches_dir: Path,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._attempts_dir = attempts_dir
        self._batches_dir = batches_dir
        self._logs = logs
        self._settings = settings
        self._quotas = jobs.quotas
        self._jobs = jobs
        self._min_memory_bytes = jobs.min_memory_bytes
        self._capacity = capacity
        self._secrets = secrets
        self._data = data
        self._order = order
        self._reasons = reasons
        self._clock = clock

    def submit(self, upload: CheckedUpload, *, key: str | None = None, body_sha256: str = "") -> Submission:
        """Commit a job to the store. When this returns, the job will end in exactly one final state.

        Raises:
            IdempotencyMismatch: ``key`` came with another body before.
            QuotaExceeded: the owner has as many waiting jobs as its quota allows.
        """
        now = self._clock()
        idempotency = self.idempotency(key, body_sha256)
        job_id = new_job_id(now.timestamp())
        job = self._store.jobs.add(
            upload.spec,
            upload.script,
            job_id=job_id,
            now=now,
            idempotency=idempotency,
            project=upload.project,
            max_queued=self._quotas.of(upload.spec.account).max_queued_jobs,
        )
        return Submission(job, repeated=job.job_id != job_id)

    def idempotency(self, key: str | None, body_sha256: str) -> IdempotencyKey | None:
        """Return the record of a request's Idempotency-Key; None without one. Raises InvalidRequest."""
        if key is None:
            return None
        return IdempotencyKey(_checked_key(key), body_sha256, self._clock() + timedelta(hours=self._settings.idempotency_hours))

    def details(self, job_id: str) -> JobDetails:
        (job,) = self._reasons.explained([self._store.jobs.get(job_id)])
        log = self._logs.of_job(job)
        return JobDetails(
            job,
            log_tail=_shown(job, log),
            queue_position=self._store.jobs.queue_position(job) if job.state is JobState.QUEUED else None,
            deployment=self._deployment_of(job),
            build=self._reasons.build_of(job),
            promotion=self._store.gates.get(job_id) if job.spec.promote is not None else None,
            neighbours=self._order.neighbours(job_id),
            live_usage=self._live_usage(job),
        )

    def get(self, job_id: str) -> Job:
        return self._store.jobs.get(job_id)

    def page(self, wanted: JobFilter, *, limit: int, cursor: str | None) -> JobPage:
        page = self._store.jobs.list(wanted, limit=limit, cursor=cursor)
        return replace(page, jobs=self._reasons.explained(page.jobs))

    def queue(self, limit: int) -> list[Job]:
        """Return the first waiting jobs by priority and age, with what they wait for."""
        return self._reasons.explained(self._store.jobs.queued(limit))

    def queued_by_account(self) -> dict[str, int]:
        return self._store.jobs.queued_by_account()

    def places(self, jobs: Sequence[Job]) -> dict[str, int]:
        """Return the places in the queue of those that wait there, by job id, from 1. Places beyond 1000 are left out."""
        if not any(job.state is JobState.QUEUED for job in jobs):
            return {}
        return {job_id: place for place, job_id in enumerate(self._store.jobs.first_in_queue(MAX_PLACES), 1)}

    def script(self, job_id: str) -> tuple[Job, bytes]:
        job = self._store.jobs.get(job_id)
        return job, self._store.jobs.script(job.spec.script_sha256)

    def project(self, job_id: str) -> tuple[str, bytes]:
        """Return the SHA-256 and the archive of the job's project. Raises NotFound for a single script."""
        sha256 = self._store.jobs.get(job_id).spec.project_sha256
        if sha256 is None:
            raise NotFound(f"Job {job_id} has no project: it is a single script.", job_id=job_id)
        return sha256, self._store.jobs.project(sha256)

    def events(self, job_id: str) -> list[Event]:
        self._store.jobs.get(job_id)
        return self._store.jobs.events(job_id)

    def attempts(self, job_id: str) -> list[Attempt]:
        self._store.jobs.get(job_id)
        return self._store.jobs.attempts(job_id)

    def cancel(self, job_id: str) -> Job:
        """Request that a job stops. Returns at once; idempotent; a finished job stays as it is."""
        return self._store.jobs.request_cancel(job_id, now=self._clock())

    def rerun(self, job_id: str, changes: RerunChanges | None = None, *, owner: str | None = None) -> Job:
        """Add a job with the same script, command or project and the same locked requirements.

        Raises:
            JobNotFound: a job that it is to come after does not exist in the workspace.
            InvalidRequest: a change is invalid, or the job alone exceeds the present quota of its owner.
            QuotaExceeded: the owner has as many waiting jobs as its quota allows.
        """
        first, changes = self._store.jobs.get(job_id), changes or RerunChanges()
        spec = rerun_spec(first, changes, owner)
        data, wrong = self._data.changed(spec, changes.data)
        makers = [each.of_job for each in data if each.alias in changes.data and each.of_job is not None]
        after, unknown = self._order.check(spec.workspace, [*spec.after, *makers])
        spec = replace(spec, data=data, after=after)
        errors = [*unknown, *check_rerun(first.spec, changes, spec, self._capacity, self._min_memory_bytes)]
        errors += [*self._secrets.check(spec.workspace, spec.secrets), *wrong]
        errors += check_quota(spec.account, spec.resources, self._quotas)
        if spec.batch is not None:
            batch = spec.batch if changes.output is None else replace(spec.batch, output=location_of(changes.output))
            spec = replace(spec, batch=batch)
            errors += check_again(batch, self._jobs)
            if not batch.version:
                detail = f"is to come from {batch.version_of}, and the batch never started: start it with another job's"
                errors.append(FieldError("model_version", detail))
        if errors:
            raise InvalidRequest.of(*errors)
        script = self._store.jobs.script(first.spec.script_sha256)
        now, max_queued = self._clock(), self._quotas.of(spec.account).max_queued_jobs
        again = new_job_id(now.timestamp())
        directory = None if spec.batch is None else self._copied_uploads(first, again)
        try:
            return self._store.jobs.add(spec, script, job_id=again, now=now, max_queued=max_queued)
        except EngineUnavailable:
            raise  # It may be stored all the same. Retention removes the files of one that is not.
        except BaseException:
            if directory is not None:
                directory.remove()
            raise

    def _copied_uploads(self, first: Job, again: str) -> BatchDirectory:
        """Make the directory of a batch that is run again, with the uploads of the first one. Raises InvalidRequest."""
        directory, former = BatchDirectory(self._batches_dir, again), BatchDirectory(self._batches_dir, first.job_id)
        directory.make()
        for name in first.spec.batch.uploads if first.spec.batch else ():
            file = former.open_input(name)
            if file is None:
                directory.remove()
                detail = f"had the upload {name}, which was removed after its retention: start a new batch"
                raise InvalidRequest.of(FieldError("job_id", detail))
            with file:
                directory.add_input(name, file)
        return directory

    def delete(self, job_id: str) -> None:
        """Delete a finished job, its events and all files of its attempts.

        Raises:
            JobNotFinished: the job or its sweep has not ended, or another job waits for it.
        """
        job = self._store.jobs.get(job_id)
        if not job.is_final:
            raise JobNotFinished(f"Job {job_id} has not ended yet. Cancel it first.", job_id=job_id)
        if job.spec.sweep is not None and not self._store.sweeps.get(job.spec.sweep.sweep_id).is_final:
            # It may become the best.
            detail = f"Job {job_id} belongs to {job.spec.sweep.sweep_id}, which has not ended yet. Cancel that first."
            raise JobNotFinished(detail, job_id=job_id)
        submission_ids = [attempt.submission_id for attempt in self._store.jobs.attempts(job_id)]
        self._store.jobs.delete(job_id)
        self._logs.remove(submission_ids)
        if job.spec.batch is not None:
            BatchDirectory(self._batches_dir, job_id).remove()

    def _live_usage(self, job: Job) -> LiveUsage | None:
        if job.state is not JobState.SCRIPT or job.submission_id is None:
            return None
        return AttemptDirectory(self._attempts_dir, job.submission_id).live_usage()

    def _deployment_of(self, job: Job) -> Deployment | None:
        if job.spec.model_name is None or job.model_version is None:
            return None
        try:
            return self._store.deployments.get(job.spec.model_name, job.model_version)
        except DeploymentNotFound:
            return None


def _shown(job: Job, log: LogFile | None) -> str:
    """Return the end of the log for the job's resource."""
    if log is None:
        return ""
    return f"[raylift] {removal_note(job)}\n" if job.is_final and log.was_removed else log.tail()


def _checked_key(key: str) -> str:
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidRequest.of(FieldError(IDEMPOTENCY_KEY, f"must have 1 to {MAX_KEY_LENGTH} printable characters"))
    return key
