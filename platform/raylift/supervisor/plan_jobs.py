"""What to do about one admitted job: a pure function of (the job, what is seen of its attempt, now)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.job import Job, JobState, Origin, Reason, Usage
from raylift.engines.attempt_directory import Outcome, Progress
from raylift.engines.environments import build_failure_in
from raylift.engines.ray_jobs import RAY_JOB_ENDED, RayJob
from raylift.settings import JobSettings

_PATIENCE: Final = timedelta(seconds=3)
"""How long Ray and the attempt directory may disagree before the attempt counts as lost: they are read one after the other."""

_HINT_STOPPED_ELSEWHERE: Final = "The attempt was stopped through Ray, not through Raylift."


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """What is seen of the present attempt."""

    progress: Progress | None = None
    ray: RayJob | None = None
    ray_answers: bool = True
    """False when Ray could not be asked; then ``ray`` says nothing."""
    stop_sent: bool = False
    """The wrapper has been told to stop."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Resolve the requirements into a lock, then hand the job to Ray."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Hand the present attempt to Ray; adopts a submission that is there."""


@dataclass(frozen=True, slots=True)
class ScriptStarted:
    at: datetime
    deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the attempt: the reason is remembered first, then the wrapper and Ray are told. May be repeated."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Register:
    """The script succeeded: read its runs, register its model, complete."""


@dataclass(frozen=True, slots=True)
class ScriptSucceeded:
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Finish:
    """Enter a final state."""

    to: JobState
    reason: Reason
    message: str
    exit_code: int | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Give up this attempt and queue the job again."""

    reason: Reason
    message: str
    exit_code: int | None = None
    usage: Usage | None = None
    lost: bool = False
    """The attempt was lost to the infrastructure; it may have left processes behind."""


JobAction = Resolve | Submit | ScriptStarted | Stop | Register | ScriptSucceeded | Finish | Retry


def plan_job(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    """The next step for an admitted job, or None when there is nothing to do."""
    match job.state:
        case JobState.ENVIRONMENT:
            return _cancelled(job) if job.cancel_requested_at else Resolve()
        case JobState.STARTING:
            return _plan_starting(job, seen, now, settings)
        case JobState.SCRIPT:
            return _plan_script(job, seen, now, settings)
        case JobState.REGISTRATION:
            return Register()
        case JobState.QUEUED | JobState.COMPLETED | JobState.FAILED | JobState.CANCELLED:
            return None


def _plan_starting(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    progress = seen.progress
    if progress is not None and progress.script_started_at is not None:
        return _started(job, progress.script_started_at)
    if progress is not None and progress.outcome is not None:
        return _ended(job, progress, settings)
    if not seen.ray_answers:
        return None
    if seen.ray is None:
        return _cancelled(job) if job.cancel_requested_at else Submit()
    if seen.ray.status in RAY_JOB_ENDED:
        return _ended_without_a_word(job, seen.ray, now, settings)
    overdue = now - job.entered_at > timedelta(seconds=settings.start_timeout_seconds)
    return _stop(job, seen, Reason.NODE_LOST if overdue else None)


def _plan_script(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    if seen.progress is not None and seen.progress.outcome is not None:
        return _ended(job, seen.progress, settings)
    if seen.ray_answers and (seen.ray is None or seen.ray.status in RAY_JOB_ENDED):
        return _ended_without_a_word(job, seen.ray, now, settings)
    overdue = job.deadline_at is not None and now >= job.deadline_at
    return _stop(job, seen, Reason.TIMEOUT if overdue else None)


def _stop(job: Job, seen: AttemptSeen, overdue: Reason | None) -> Stop | None:
    """The stop to send, if one is due and has not been sent."""
    cancelled = Reason.CANCELLED_BY_USER if job.cancel_requested_at else None
    reason = job.stop_reason or cancelled or overdue
    return Stop(reason) if reason is not None and not seen.stop_sent else None


def _started(job: Job, at: datetime) -> ScriptStarted:
    # A job that was handed straight to Ray asked for no time limit.
    limited = job.spec.origin is Origin.PLATFORM
    return ScriptStarted(at, at + timedelta(seconds=job.spec.timeout_seconds) if limited else None)


def _ended(job: Job, progress: Progress, settings: JobSettings) -> JobAction:
    """The wrapper has said how it ended: that is the truth, whatever Ray thinks of it."""
    code, usage = progress.exit_code, progress.usage
    if job.stop_reason is not None and progress.outcome is not Outcome.OUT_OF_MEMORY:
        return _stopped(job, job.stop_reason, code, usage, settings)
    match progress.outcome:
        case Outcome.EXITED if code == 0:
            return ScriptSucceeded(usage)
        case Outcome.OUT_OF_MEMORY:
            return Finish(JobState.FAILED, Reason.OUT_OF_MEMORY, progress.message or "Out of memory.", code, usage)
        case Outcome.STOPPED:
            return Finish(JobState.CANCELLED, Reason.CANCELLED_BY_USER, _HINT_STOPPED_ELSEWHERE, code, usage)
        case Outcome.WRAPPER_ERROR:
            return _lost(job, progress.message or "The wrapper failed.", settings)
        case _:
            return _script_failed(job, progress)


def _script_failed(job: Job, progress: Progress) -> JobAction:
    how = f"was ended by signal {progress.signal}" if progress.signal else f"exited with code {progress.exit_code}"
    message = f"The script {how}. {progress.message or 'See the logs.'}"
    failures = job.attempt - job.infrastructure_losses
    if failures <= job.spec.max_retries:
        return Retry(Reason.SCRIPT_ERROR, message, progress.exit_code, progress.usage)
    return Finish(JobState.FAILED, Reason.SCRIPT_ERROR, message, progress.exit_code, progress.usage)


def _stopped(job: Job, reason: Reason, code: int | None, usage: Usage | None, settings: JobSettings) -> JobAction:
    match reason:
        case Reason.CANCELLED_BY_USER:
            return Finish(JobState.CANCELLED, reason, "Cancelled on request.", code, usage)
        case Reason.TIMEOUT:
            message = f"Stopped after its time limit of {job.spec.timeout_seconds} s. Raise timeout_seconds if it needs longer."
            return Finish(JobState.FAILED, reason, message, code, usage)
        case _:
            return _lost(job, f"Ray did not start it within {settings.start_timeout_seconds:.0f} s.", settings)


def _ended_without_a_word(job: Job, ray: RayJob | None, now: datetime, settings: JobSettings) -> JobAction | None:
    """Ray says that it is over, and the wrapper has said nothing: it could not start, was killed, or its node is gone."""
    if now - job.entered_at < _PATIENCE:
        return None
    if job.stop_reason is not None:
        return _stopped(job, job.stop_reason, None, None, settings)
    if ray is None:
        return _lost(job, "Ray no longer knows the attempt; its head was probably restarted.", settings)
    if ray.error_type == "RUNTIME_ENV_SETUP_FAILURE":
        said = ray.message or "The environment could not be built."
        return Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, build_failure_in(said) or said)
    return _lost(job, f"The attempt ended without a report. Ray says: {ray.message or ray.status}", settings)


def _lost(job: Job, message: str, settings: JobSettings) -> JobAction:
    if job.infrastructure_losses < settings.max_infrastructure_losses and job.spec.origin is Origin.PLATFORM:
        return Retry(Reason.NODE_LOST, message, lost=True)
    return Finish(JobState.FAILED, Reason.NODE_LOST, message)


def _cancelled(job: Job) -> Finish:
    return Finish(JobState.CANCELLED, Reason.CANCELLED_BY_USER, "Cancelled before its script started.")
