"""Ray's Jobs API over the durable queue: what ``ray job`` and ``JobSubmissionClient`` do, done to the platform's jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from job_entrypoints.contract import adopted_job_id
from raylift.api.ray_jobs import JobDetails, JobSubmitRequest
from raylift.domain.errors import FieldError, InvalidRequest, JobNotFinished, JobNotFound
from raylift.domain.job import Job, RayRequest
from raylift.services.jobs.logs import JobLogs
from raylift.services.jobs.training import TrainingService
from raylift.services.ray_api.packages import RayPackages
from raylift.services.ray_api.requests import TranslatedRequest, refusal, translate
from raylift.services.ray_api.responses import RAY_STATUS, ray_job_details, submission_id_of
from raylift.services.uploads.checks import CheckedUpload, UploadChecks
from raylift.settings import JobSettings
from raylift.store import JobFilter, Store

LISTED: Final = 1000
"""Jobs in a list, the newest: Ray's API has no pages."""

_MAX_ID_LENGTH: Final = 255
_NO_PATH: Final = frozenset("/?#%")
"""Ray's clients put the id into the path of a URL as it is: with these they would ask for something else."""


class RayJobsService:
    """Finds jobs by the submission id that the client chose, and by the platform's own id."""

    def __init__(
        self,
        store: Store,
        uploads: UploadChecks,
        training: TrainingService,
        packages: RayPackages,
        logs: JobLogs,
        settings: JobSettings,
    ) -> None:
        self._store = store
        self._uploads = uploads
        self._training = training
        self._packages = packages
        self._logs = logs
        self._settings = settings

    def submit(self, request: JobSubmitRequest, *, owner: str | None = None) -> str:
        """Commit the job to the store. Returns its submission id: the client's, else the job's own.

        Raises:
            QuotaExceeded: as many jobs of the owner wait as may.
            InvalidRequest: it asks for what cannot be; the detail has a line for each field, in Ray's words.
            NotFound: its working_dir was not uploaded.
            SubmissionIdTaken: the client's submission id is another job's.
        """
        chosen = request.submission_id or request.job_id
        if chosen is not None:
            _check_submission_id(chosen)
        translated = translate(request, default_timeout_seconds=self._settings.max_timeout_seconds)
        checked = self._checked(translated, owner)
        ray = RayRequest(request.entrypoint, chosen, dict(request.metadata or {}), dict(translated.runtime_env))
        job = self._training.submit(replace(checked, spec=replace(checked.spec, ray=ray))).job
        return submission_id_of(job)

    def find(self, job_or_submission_id: str) -> Job:
        """The job.

        Raises:
            JobNotFound: there is none of that id.
        """
        job = self._store.jobs.of_submission(job_or_submission_id)
        if job is not None:
            return job
        # Then the platform's own id, and that of a job which was handed straight to Ray.
        for job_id in (job_or_submission_id, adopted_job_id(job_or_submission_id)):
            try:
                return self._store.jobs.get(job_id)
            except JobNotFound:
                continue
        raise JobNotFound(f"Job {job_or_submission_id} does not exist", job_id=job_or_submission_id)

    def details(self, job_or_submission_id: str) -> JobDetails:
        details = self._training.details(self.find(job_or_submission_id).job_id)
        return ray_job_details(details.job, details.queue_position)

    def newest(self) -> list[JobDetails]:
        """The newest jobs of every origin, newest first."""
        return [ray_job_details(job) for job in self._training.page(JobFilter(), limit=LISTED, cursor=None).jobs]

    def stop(self, job_or_submission_id: str) -> bool:
        """Ask the job to stop. A job that waits never starts. False when it had ended already."""
        job = self.find(job_or_submission_id)
        return not job.is_final and not self._training.cancel(job.job_id).is_final

    def delete(self, job_or_submission_id: str) -> None:
        """Delete a job that has ended, its log included.

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
        """All that the newest attempt has printed, as far as it is kept."""
        log = self._logs.of_job(self.find(job_or_submission_id))
        return log.tail(log.size()) if log else ""

    def _checked(self, translated: TranslatedRequest, owner: str | None) -> CheckedUpload:
        project = self._packages.project(translated.runtime_env)
        if project is None and translated.command is None:
            detail = f"runs {translated.upload.entrypoint}, and there is no working_dir that it could be in (--working-dir .)"
            raise refusal([FieldError("entrypoint", detail)])
        try:
            archive = project.archive if project else None
            checked = self._uploads.check(translated.upload, project=archive, command=translated.command, owner=owner)
        except InvalidRequest as error:
            raise refusal(error.errors) from error
        python_path = project.python_path if project else ()
        return replace(checked, spec=replace(checked.spec, python_path=python_path))


def _check_submission_id(chosen: str) -> None:
    if not 1 <= len(chosen) <= _MAX_ID_LENGTH or not chosen.isprintable() or chosen in {".", ".."} or _NO_PATH & set(chosen):
        detail = (
            f"must have 1 to {_MAX_ID_LENGTH} printable characters, none of {' '.join(sorted(_NO_PATH))}, and be no . or .."
        )
        raise refusal([FieldError("submission_id", detail)])
