"""Submits and shows batches. A batch is a job, so all that jobs have is theirs: the queue, logs, cancel, retries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from raylift.domain.batches.batch import SCRIPT, BatchSpec, has_time
from raylift.domain.errors import FieldError, InvalidRequest, NotFound
from raylift.domain.identifiers import TAG_BATCH, new_job_id
from raylift.domain.job import Job, JobSpec, JobStatus
from raylift.domain.jobs_order import job_of_reference
from raylift.engines.batches.directory import BatchDirectory, BatchProgress, BatchResult, OpenFile
from raylift.services.batches.request import BatchRequest
from raylift.services.batches.specs import BatchSpecs
from raylift.services.cluster.capacity import Capacity
from raylift.services.jobs.training import Submission, TrainingService
from raylift.services.order.job_order import JobOrder
from raylift.services.ports import Clock, Registry, utc_now
from raylift.services.secrets import SecretService
from raylift.services.uploads.batch_paths import check_formats, check_input, check_output, check_upload_name
from raylift.services.uploads.checks import check_tags
from raylift.services.uploads.resources import check_fit, check_memory, check_owner
from raylift.settings import PlatformSettings
from raylift.store import JobFilter, Store

_SCRIPT: Final = SCRIPT.encode()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch with what its program reports."""

    job: Job
    spec: BatchSpec
    progress: BatchProgress | None
    result: BatchResult | None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Newest first."""

    batches: list[Batch]
    next_cursor: str | None


class BatchService:
    def __init__(
        self,
        store: Store,
        registry: Registry,
        training: TrainingService,
        settings: PlatformSettings,
        *,
        capacity: Capacity,
        secrets: SecretService,
        order: JobOrder,
        clock: Clock = utc_now,
    ) -> None:
        self._store, self._training, self._settings = store, training, settings
        self._capacity, self._secrets, self._order, self._clock = capacity, secrets, order, clock
        self._specs = BatchSpecs(store, registry, settings)

    def submit(self, request: BatchRequest, *, key: str | None = None, body_sha256: str = "") -> Submission:
        """Commit a batch to the store. When this returns, it will end in exactly one final state.

        Raises:
            InvalidRequest: a field is wrong; ``errors`` names each.
            JobNotFound: a job that it comes after does not exist in the workspace.
            ModelNotFound, VersionNotFound: there is no such model, version or alias.
            DeploymentNotReady: the platform has not read the version's files yet.
            IdempotencyMismatch: ``key`` came with another body before.
            QuotaExceeded: the owner has as many waiting jobs as its quota allows.
        """
        errors = list(self._errors(request))
        if errors:
            raise InvalidRequest.of(*errors)
        spec = self._with_order(request)
        now = self._clock()
        job_id = new_job_id(now.timestamp())
        directory = BatchDirectory(self._settings.batches_dir, job_id)
        stored = False
        try:
            # Before the job: the supervisor may start it at once.
            directory.make()
            for file in request.uploads:
                directory.add_input(file.name, file.content)
            job = self._store.jobs.add(
                spec,
                _SCRIPT,
                job_id=job_id,
                now=now,
                idempotency=self._training.idempotency(key, body_sha256),
                max_queued=self._settings.jobs.quotas.of(spec.account).max_queued_jobs,
            )
            stored = job.job_id == job_id
        finally:
            if not stored:
                directory.remove()
        return Submission(job, repeated=not stored)

    def template(self, request: BatchRequest) -> JobSpec:
        """Return the spec of a schedule's batches, whose paths may have ``{date}`` and ``{time}``.

        Raises:
            InvalidRequest: a field is wrong, files were uploaded, or all batches would have one output.
            ModelNotFound, VersionNotFound, DeploymentNotReady: as for one batch.
        """
        errors = list(self._errors(request, is_template=True))
        if request.output is not None and not has_time(request.output):
            detail = "names one place for all runs: put {date} or {time} into it, or leave it out for a download of each"
            errors.append(FieldError("output", detail))
        fields = {"after": bool(request.after), "model_version": job_of_reference(request.version or "") is not None}
        for field in (name for name, is_given in fields.items() if is_given):
            errors.append(FieldError(field, "cannot name a job in a schedule: each run would come after the same one"))
        if errors:
            raise InvalidRequest.of(*errors)
        return self._specs.spec(request)

    def get(self, job_id: str) -> Batch:
        """Raises JobNotFound, or NotFound for a job that is no batch."""
        return self._batch(self._training.details(job_id).job)

    def page(
        self, *, model_name: str | None, status: JobStatus | None, workspace: str | None, limit: int, cursor: str | None
    ) -> BatchPage:
        wanted = JobFilter(status, tag=(TAG_BATCH, model_name), workspace=workspace)
        page = self._training.page(wanted, limit=limit, cursor=cursor)
        return BatchPage([self._batch(job) for job in page.jobs], page.next_cursor)

    def output(self, job_id: str) -> OpenFile:
        """Open the output that the platform keeps for a batch.

        Raises:
            NotFound: there is none: the batch has not completed, writes elsewhere, or its files were removed.
        """
        batch = self.get(job_id)
        file = self._directory(job_id).open_output(batch.spec.output_format)
        return file if file is not None else _missing(batch)

    def rejected(self, job_id: str) -> OpenFile:
        """Open the rejected rows that the platform keeps for a batch. Raises NotFound."""
        batch = self.get(job_id)
        file = self._directory(job_id).open_rejected()
        if file is None and batch.spec.output is None and batch.result is not None and not batch.result.rejected:
            raise NotFound(f"The batch {job_id} has no rejected rows.", job_id=job_id)
        return file if file is not None else _missing(batch)

    def _directory(self, job_id: str) -> BatchDirectory:
        return BatchDirectory(self._settings.batches_dir, job_id)

    def _batch(self, job: Job) -> Batch:
        if job.spec.batch is None:
            raise NotFound(f"The job {job.job_id} is no batch.", job_id=job.job_id)
        directory = self._directory(job.job_id)
        result = directory.result() if job.status is JobStatus.COMPLETED else None
        return Batch(job, job.spec.batch, directory.progress() if not job.is_final or result is None else None, result)

    def _errors(self, request: BatchRequest, *, is_template: bool = False) -> Iterator[FieldError]:
        settings = self._settings.jobs
        yield from check_owner(request.owner, request.workspace, request.resources, settings.quotas)
        if request.version is not None and request.alias is not None:
            yield FieldError("alias", "cannot be given with model_version: one of them names the version")
        if (request.input is None) == (not request.uploads):
            yield FieldError("input", "is required: a path on the platform's machine, s3://, or uploaded files, one of them")
        if request.input is not None:
            yield from check_input(request.input, settings, exists=not is_template)
        yield from _check_uploads([file.name for file in request.uploads])
        if request.output is not None:
            yield from check_output(request.output, settings, exists=not is_template)
        yield from check_formats(request.output, request.output_format)
        yield from check_memory(request.resources.memory_bytes, settings.min_memory_bytes)
        yield from check_fit(request.resources, self._capacity)
        yield from self._secrets.check(request.workspace, request.secrets)
        yield from check_tags(request.tags)
        least, most = settings.min_timeout_seconds, self._settings.batches.max_timeout_seconds
        if not least <= request.timeout_seconds <= most:
            yield FieldError("timeout_seconds", f"is {request.timeout_seconds}; it must be from {least} to {most} seconds")

    def _with_order(self, request: BatchRequest) -> JobSpec:
        """Return the spec of a batch. Its version is left open where a job has yet to register it."""
        job_id = job_of_reference(request.version or "")
        before, errors = self._order.check(request.workspace, [*request.after, *([] if job_id is None else [job_id])])
        if job_id is not None and self._store.jobs.get(job_id).spec.model_name != request.model_name:
            errors.append(FieldError("model_version", f"names {job_id}, which registers no version of {request.model_name!r}"))
        if errors:
            raise InvalidRequest.of(*errors)
        return replace(self._specs.spec(request, version_of=job_id), after=before)


def _check_uploads(names: Sequence[str]) -> Iterator[FieldError]:
    for name in names:
        yield from check_upload_name(name)
    if len(set(names)) < len(names):
        yield FieldError("file", "is given twice under one name: give each file a name of its own")


def _missing(batch: Batch) -> OpenFile:
    job_id = batch.job.job_id
    if batch.spec.output is not None:
        raise NotFound(f"The batch {job_id} writes to {batch.spec.output}: read it there.", job_id=job_id)
    if batch.job.status is not JobStatus.COMPLETED:
        raise NotFound(f"The batch {job_id} is {batch.job.status}: it has no output.", job_id=job_id)
    raise NotFound(f"The files of the batch {job_id} were removed after their retention.", job_id=job_id)
