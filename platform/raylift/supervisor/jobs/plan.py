"""What to do about one admitted job: a pure function of (the job, what is seen of its attempt, now)."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from raylift.domain.job import Job, JobState, Origin, Reason, Usage
from raylift.engines.attempts.progress import Outcome, Progress
from raylift.engines.environments import build_failure_in
from raylift.engines.ray.jobs import RAY_JOB_ENDED, RayJob, RayJobStatus
from raylift.settings import JobSettings

_PATIENCE: Final = timedelta(seconds=3)
"""How long Ray and the attempt directory may disagree before the attempt counts as lost: they are read one after the other."""

_LAST_WORD: Final = timedelta(seconds=15)
"""How long after the grace period the wrapper, or Ray, may take to say that a stopped attempt has ended."""

_OVER_A_LIMIT: Final = {
    Outcome.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    Outcome.PROCESS_LIMIT: Reason.PROCESS_LIMIT,
    Outcome.DISK_LIMIT: Reason.DISK_LIMIT,
}
"""What a script did to itself, whatever else was under way: trying again would only do it again."""

_HINT_STOPPED_ELSEWHERE: Final = "The attempt was stopped through Ray, not through Raylift."


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """What is seen of the present attempt."""

    progress: Progress | None = None
    ray: RayJob | None = None
    ray_answers: bool = True
    """False when Ray could not be asked; then ``ray`` says nothing."""
    stop_sent_at: datetime | None = None
    """When the wrapper was last told to stop."""
    wrapper_lives: bool | None = None
    """False: it started the script and is no more, without a last word. None: it cannot be known from here."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the environment, then hand the job to Ray."""


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
    lost: bool = False
    """The wrapper has not said how the attempt ended; it may have left processes behind."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Give up this attempt and queue the job again."""

    reason: Reason
    message: str
    exit_code: int | None = None
    usage: Usage | None = None
    lost: bool = False
    """The attempt was lost to the infrastructure; it may have left processes behind."""


CANCELLED_BEFORE_ITS_SCRIPT: Final = Finish(
    JobState.CANCELLED, Reason.CANCELLED_BY_USER, "Cancelled before its script started."
)

JobAction = Prepare | Submit | ScriptStarted | Stop | Register | ScriptSucceeded | Finish | Retry


def plan_job(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    """The next step for an admitted job, or None when there is nothing to do."""
    match job.state:
        case JobState.ENVIRONMENT:
            return CANCELLED_BEFORE_ITS_SCRIPT if job.cancel_requested_at else Prepare()
        case JobState.STARTING:
            return _plan_starting(job, seen, now, settings)
        case JobState.SCRIPT:
            return _plan_script(job, seen, now, settings)
        case JobState.REGISTRATION:
            return Register()
        case JobState.QUEUED | JobState.COMPLETED | JobState.FAILED | JobState.CANCELLED:
            return None


def _plan_starting(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    progress, ray = seen.progress, seen.ray
    if progress is not None and progress.script_started_at is not None:
        return _started(job, progress.script_started_at)
    if progress is not None and progress.outcome is not None:
        return _ended(job, progress, settings)
    if not seen.ray_answers:
        return None
    if ray is None and job.spec.origin is Origin.PLATFORM and job.stop_reason is None:
        return CANCELLED_BEFORE_ITS_SCRIPT if job.cancel_requested_at else Submit()
    if ray is None or ray.status in RAY_JOB_ENDED:
        return _ended_without_a_word(job, seen, now, settings)
    if job.stop_reason and ray.status is RayJobStatus.PENDING and _stop_was_ignored(seen, now, settings):
        # Ray does not stop what it holds back (ray#58353). Should it start it one day, the stop file is there.
        return _stopped(job, job.stop_reason, None, None, settings)
    # A platform that was down in between hands it to Ray anew: the wait for Ray begins then.
    waits_since = max(job.entered_at, ray.submitted_at or job.entered_at)
    overdue = now - waits_since > timedelta(seconds=settings.start_timeout_seconds)
    return _stop(job, seen, Reason.NODE_LOST if overdue else None, now, settings)


def _plan_script(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    if seen.progress is not None and seen.progress.outcome is not None:
        return _ended(job, seen.progress, settings)
    if seen.ray_answers and (seen.ray is None or seen.ray.status in RAY_JOB_ENDED):
        return _ended_without_a_word(job, seen, now, settings)
    if seen.wrapper_lives is False:
        # Ray has not noticed yet, or does not answer. Not its deadline ended it, even if that is past by now.
        if _stop_was_ignored(seen, now, settings):
            return _ended_without_a_word(job, seen, now, settings)
        return _stop(job, seen, Reason.NODE_LOST, now, settings)
    overdue = job.deadline_at is not None and now >= job.deadline_at
    return _stop(job, seen, Reason.TIMEOUT if overdue else None, now, settings)


def _stop(job: Job, seen: AttemptSeen, overdue: Reason | None, now: datetime, settings: JobSettings) -> Stop | None:
    """The stop to send, if one is due and has not been sent, or was sent long ago and nothing came of it."""
    cancelled = Reason.CANCELLED_BY_USER if job.cancel_requested_at else None
    reason = job.stop_reason or cancelled or overdue
    due = seen.stop_sent_at is None or job.stop_reason is None or _stop_was_ignored(seen, now, settings)
    return Stop(reason) if reason is not None and due else None


def _stop_was_ignored(seen: AttemptSeen, now: datetime, settings: JobSettings) -> bool:
    """Whether a stop was sent so long ago that the attempt should have ended."""
    patience = timedelta(seconds=settings.stop_grace_seconds) + _LAST_WORD
    # A stop of the future is one of before the clock was put back.
    return seen.stop_sent_at is not None and abs(now - seen.stop_sent_at) > patience


def _started(job: Job, at: datetime) -> ScriptStarted:
    # A job that was handed straight to Ray asked for no time limit.
    limited = job.spec.origin is Origin.PLATFORM
    return ScriptStarted(at, at + timedelta(seconds=job.spec.timeout_seconds) if limited else None)


def _ended(job: Job, progress: Progress, settings: JobSettings) -> JobAction:
    """The wrapper has said how it ended: that is the truth, whatever Ray thinks of it."""
    code, usage = progress.exit_code, progress.usage
    # One that was only believed lost, and ended by itself all the same, was not.
    by_itself = job.stop_reason is Reason.NODE_LOST and progress.outcome in {Outcome.EXITED, Outcome.SIGNALED}
    if job.stop_reason is not None and not by_itself and progress.outcome not in _OVER_A_LIMIT:
        return _stopped(job, job.stop_reason, code, usage, settings, held_by=progress.held_by)
    match progress.outcome:
        case Outcome.EXITED if code == 0:
            return ScriptSucceeded(usage)
        case Outcome.OUT_OF_MEMORY | Outcome.PROCESS_LIMIT | Outcome.DISK_LIMIT as outcome:
            reason = _OVER_A_LIMIT[outcome]
            return Finish(JobState.FAILED, reason, progress.message or f"Ended: {reason}.", code, usage)
        case Outcome.STOPPED:
            return Finish(JobState.CANCELLED, Reason.CANCELLED_BY_USER, _HINT_STOPPED_ELSEWHERE, code, usage)
        case Outcome.ENVIRONMENT_ERROR:
            return _without_plugin(job, progress.message or "It was started in another environment.", settings)
        case Outcome.WRAPPER_ERROR:
            return _lost(job, progress.message or "The wrapper failed.", settings)
        case _:
            return _script_failed(job, progress)


def _script_failed(job: Job, progress: Progress) -> JobAction:
    # A signal's number is negative, as Python and Ray have it.
    code = -progress.signal if progress.signal else progress.exit_code
    if progress.signal:
        message = f"The script was ended by {_signal_name(progress.signal)}. See the logs."
    else:
        message = f"The script exited with code {progress.exit_code}. {progress.message or 'See the logs.'}"
    failures = job.attempt - job.infrastructure_losses
    if failures <= job.spec.max_retries:
        return Retry(Reason.SCRIPT_ERROR, message, code, progress.usage)
    return Finish(JobState.FAILED, Reason.SCRIPT_ERROR, message, code, progress.usage)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # A real-time signal.
        return f"signal {number}"


def _stopped(
    job: Job, reason: Reason, code: int | None, usage: Usage | None, settings: JobSettings, *, held_by: str | None = None
) -> JobAction:
    # Without usage it is not the wrapper's word.
    silent = usage is None
    match reason:
        case Reason.CANCELLED_BY_USER:
            return Finish(JobState.CANCELLED, reason, "Cancelled on request.", code, usage, lost=silent)
        case Reason.TIMEOUT:
            message = f"Stopped after its time limit of {job.spec.timeout_seconds} s{_why_it_lasted(held_by)}"
            return Finish(JobState.FAILED, reason, message, code, usage, lost=silent)
        case _ if job.state is JobState.STARTING:
            return _lost(job, f"Ray did not start it within {settings.start_timeout_seconds:.0f} s.", settings)
        case _:
            return _lost(job, "Its wrapper or Ray went away while the script ran.", settings)


def _why_it_lasted(held_by: str | None) -> str:
    if held_by is None:
        return ". Raise timeout_seconds if it needs longer."
    return f": {held_by}. More time would not help: end what it starts, or make its threads daemons (daemon=True)."


def _ended_without_a_word(job: Job, seen: AttemptSeen, now: datetime, settings: JobSettings) -> JobAction | None:
    """Ray says that it is over, and the wrapper has said nothing: it could not start, was killed, or its node is gone."""
    if abs(now - job.entered_at) < _PATIENCE:
        return None
    may_run = job.state is JobState.SCRIPT and seen.wrapper_lives is not False
    if may_run and not _stop_was_ignored(seen, now, settings):
        # Ray can be wrong (ray#65025), or have lost sight of the node: the wrapper is told to end, and waited for.
        return _stop(job, seen, Reason.NODE_LOST, now, settings)
    if job.stop_reason is not None:
        return _stopped(job, job.stop_reason, None, None, settings)
    ray = seen.ray
    if ray is None:
        return _lost(job, "Ray no longer knows the attempt; its head was probably restarted.", settings)
    if ray.error_type == "RUNTIME_ENV_SETUP_FAILURE":
        said = ray.message or "The environment could not be built."
        return Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, build_failure_in(said) or said)
    # Ray puts the end of the log behind its sentence; the job has its own.
    said = (ray.message or ray.status).partition(", last available logs")[0].splitlines()[0]
    return _lost(job, f"The attempt ended without a report. Ray says: {said}", settings)


def _without_plugin(job: Job, message: str, settings: JobSettings) -> JobAction:
    """Its node started it without its overlay. From the next attempt on the executor leaves the environment to Ray."""
    if job.infrastructure_losses < settings.max_infrastructure_losses:
        message += " From the next attempt on Ray's own `uv` field builds its environment."
        return Retry(Reason.ENVIRONMENT_ERROR, message, lost=True)
    return Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, message)


def _lost(job: Job, message: str, settings: JobSettings) -> JobAction:
    if job.infrastructure_losses < settings.max_infrastructure_losses and job.spec.origin is Origin.PLATFORM:
        return Retry(Reason.NODE_LOST, message, lost=True)
    return Finish(JobState.FAILED, Reason.NODE_LOST, message, lost=True)
