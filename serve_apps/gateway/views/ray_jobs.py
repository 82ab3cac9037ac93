"""Jobs as Ray's Jobs API shows them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from raylift.api.ray_jobs import JobDetails
from raylift.domain.job import Job, JobState, JobStatus, Reason
from raylift.services.ray_api.field_names import ENV_VARS
from raylift.services.ray_api.jobs import RAY_STATUS, submission_id_of

_MESSAGES: Final[Mapping[JobStatus, str]] = {
    JobStatus.QUEUED: "Job has not started yet",
    JobStatus.RUNNING: "Job is currently running.",
    JobStatus.COMPLETED: "Job finished successfully.",
    JobStatus.FAILED: "Job failed",
    JobStatus.CANCELLED: "Job was intentionally stopped.",
}

_COMMAND_ERROR: Final = "JOB_ENTRYPOINT_COMMAND_ERROR"
_ERROR_TYPES: Final[Mapping[Reason, str]] = {
    Reason.SCRIPT_ERROR: _COMMAND_ERROR,
    Reason.TIMEOUT: _COMMAND_ERROR,
    Reason.OUT_OF_MEMORY: _COMMAND_ERROR,
    Reason.ENVIRONMENT_ERROR: "RUNTIME_ENV_SETUP_FAILURE",
    Reason.SUBMISSION_ERROR: "JOB_SUPERVISOR_ACTOR_START_FAILURE",
    Reason.NODE_NOT_PREPARED: "JOB_SUPERVISOR_ACTOR_START_FAILURE",
    Reason.NODE_LOST: "JOB_SUPERVISOR_ACTOR_DIED",
}
"""Ray's ``JobErrorType``. There is none for steps after the end of the script."""

_MASK: Final = "***"


def ray_job_details(job: Job, queue_position: int | None = None) -> JobDetails:
    """Describe a job of any origin for ``ray job status`` and ``ray job list``."""
    request = job.spec.ray
    failed = job.status is JobStatus.FAILED
    return JobDetails(
        job_id=job.job_id,
        submission_id=submission_id_of(job),
        status=RAY_STATUS[job.status].value,
        entrypoint=request.entrypoint if request else _entrypoint(job),
        message=_message(job, queue_position),
        error_type=_ERROR_TYPES.get(job.reason) if failed and job.reason else None,
        start_time=_milliseconds(job.created_at),
        end_time=_milliseconds(job.finished_at) if job.finished_at else None,
        metadata=dict(request.metadata) if request else {},
        runtime_env=_runtime_env(job),
        driver_exit_code=job.exit_code,
    )


def _message(job: Job, queue_position: int | None) -> str:
    lead = _MESSAGES[job.status]
    match job.status:
        case JobStatus.QUEUED | JobStatus.FAILED:
            place = f"place {queue_position} in the queue" if queue_position and job.state is JobState.QUEUED else None
            why = ", ".join(part for part in (job.shown_reason, place) if part)
            sentence = f"{lead}: {why}." if why else f"{lead}."
            return f"{sentence} {job.message}" if job.message else sentence
        case _:
            return job.message or lead


def _entrypoint(job: Job) -> str:
    spec = job.spec
    return spec.command or shlex.join(["python", spec.entrypoint or spec.script_name, *spec.args])


def _runtime_env(job: Job) -> dict[str, Any]:
    spec = job.spec
    shown: dict[str, Any] = {"pip": list(spec.requirements)} if spec.requirements else {}
    if spec.ray is not None:
        shown = dict(spec.ray.runtime_env)
    if spec.environment:
        shown[ENV_VARS] = dict.fromkeys(spec.environment, _MASK)
    return shown


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
