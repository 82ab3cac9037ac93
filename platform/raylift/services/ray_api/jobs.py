"""Ray's Jobs API on the durable queue, for ``ray job`` and ``JobSubmissionClient``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from job_entrypoints.contract import adopted_job_id
from raylift.domain.errors import FieldError, InvalidRequest, JobNotFinished, JobNotFound
from raylift.domain.job import Job, JobStatus, Origin, RayRequest
from raylift.engines.ray_engine.jobs import RayJobStatus
from raylift.services.jobs.logs import JobLogs
from raylift.services.jobs.training import JobDetails, TrainingService
from raylift.services.ray_api.field_names import refusal
from raylift.services.ray_api.packages import RayPackages
from raylift.services.uploads.checks import UploadChecks
from raylift.services.uploads.request import UploadRequest
from raylift.store import JobFilter, Store

RAY_STATUS: Final[Mapping[JobStatus, RayJobStatus]] = {
    JobStatus.QUEUED: RayJobStatus.PENDING,
    JobStatus.RUNNING: RayJobStatus.RUNNING,
    JobStatus.COMPLETED: RayJobStatus.SUCCEEDED,
    JobStatus.FAILED: RayJobStatus.FAILED,
    JobStatus.CANCELLED: RayJobStatus.STOPPED,
}
MAX_LISTED: Final = 1000
"""Ray's API has no pages."""
_MAX_ID_LENGTH: Final = 255
_UNSAFE: Final = frozenset("/?#%")
"""Ray's clients put the id unescaped into the path of a URL."""


@dataclass(frozen=True, slots=True)
class RaySubmission:
    """A submission of one of Ray's clients."""

    upload: UploadRequest
    request: RayRequest
    """Words of the client, given back to it. ``runtime_env`` names the packages of the project."""


class RayJobsService:
    """Finds jobs by the submission id of the client, and by the platform's own id."""

    def __init__(
        self,
        store: Store,
        uploads: UploadChecks,
        training: TrainingService,
        packages: RayPackages,
        logs: JobLogs,
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._training = training
        self._packages = packages
        self._logs = logs

    def submit(self, submission: RaySubmission) -> str:
        """Commit the job to the store. Returns its submission id: the client's, else the job's own.

        Raises:
            QuotaExceeded: the owner has as many waiting jobs as its quota allows.
            InvalidRequest: the detail has a line for each wrong field, with Ray's name of it.
            NotFound: its working_dir was not uploaded.
            SubmissionIdTaken: another job has the client's submission id.
        """
        chosen = submission.request.submission_id
        if chosen is not None:
            _check_submission_id(chosen)
        upload = submission.upload
        project = self._packages.project(submission.request.runtime_env)
        if project is None and upload.command is None:
            detail = f"runs {upload.entrypoint}, and there is no working_dir that it could be in (--working-dir .)"
            raise refusal([FieldError("entrypoint", detail)])
        try:
            checked = self._uploads.check(replace(upload, project=project.archive if project else None))
        except InvalidRequest as error:
            raise refusal(error.errors) from error
        spec = replace(checked.spec, ray=submission.request, python_path=project.python_path if project else ())
        return submission_id_of(self._training.submit(replace(checked, spec=spec)).job)

    def find(self, job_or_submission_id: str) -> Job:
        """Return the job of that id. Raises JobNotFound."""
        job = self._store.jobs.of_submission(job_or_submission_id)
        if job is not None:
            return job
        # The platform's own id, or the id of a submission that a user made directly to Ray.
        for job_id in (job_or_submission_id, adopted_job_id(job_or_submission_id)):
            try:
                return self._store.jobs.get(job_id)
            except JobNotFound:
                continue
        raise JobNotFound(f"Job {job_or_submission_id} does not exist", job_id=job_or_submission_id)

    def details(self, job_or_submission_id: str) -> JobDetails:
        """Return the job and its place in the queue. Raises JobNotFound."""
        return self._training.details(self.find(job_or_submission_id).job_id)

    def newest(self, workspace: str | None = None) -> Sequence[Job]:
        """Return the newest 1000 jobs of every origin, of one workspace or of all, newest first."""
        return self._training.page(JobFilter(workspace=workspace), limit=MAX_LISTED, cursor=None).jobs

    def stop(self, job_or_submission_id: str) -> bool:
        """Request that the job stops. A waiting job never starts. Returns False when it had ended already."""
        job = self.find(job_or_submission_id)
        return not job.is_final and not self._training.cancel(job.job_id).is_final

    def delete(self, job_or_submission_id: str) -> None:
        """Delete a job that has ended, with its log.

        Raises:
            JobNotFinished: it has not ended.
        """
        job = self.find(job_or_submission_id)
        if not job.is_final:
            status = RAY_STATUS[job.status]
            raise JobNotFinished(
                f"Attempted to delete job '{job_or_submission_id}', but it is in a non-terminal state {status}: stop it first."
            )
        self._training.delete(job.job_id)

    def logs(self, job_or_submission_id: str) -> str:
        """Return the output of the newest attempt; empty where it was removed."""
        log = self._logs.of_job(self.find(job_or_submission_id))
        return log.tail(log.size()) if log else ""


def submission_id_of(job: Job) -> str:
    """Return the id by which Ray's clients know the job."""
    if job.spec.ray is not None and job.spec.ray.submission_id is not None:
        return job.spec.ray.submission_id
    if job.spec.origin is Origin.RAY and job.submission_id is not None:
        return job.submission_id
    return job.job_id


def _check_submission_id(chosen: str) -> None:
    if not 1 <= len(chosen) <= _MAX_ID_LENGTH or not chosen.isprintable() or chosen in {".", ".."} or _UNSAFE & set(chosen):
        detail = f"must have 1 to {_MAX_ID_LENGTH} printable characters, none of {' '.join(sorted(_UNSAFE))}, and be no . or .."
        raise refusal([FieldError("submission_id", detail)])
