"""Next step of one job: a pure function of the job, its observed attempt and the time."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from job_entrypoints.contract import EXIT_NODE_NOT_PREPARED, NODE_NOT_PREPARED
from raylift.domain.job import Job, JobState, Origin, Reason, Usage
from raylift.engines.attempts.mirror import Contact
from raylift.engines.attempts.progress import Outcome, Progress
from raylift.engines.environments import build_failure_in
from raylift.engines.ray_engine.jobs import RAY_JOB_ENDED, RayJob, RayJobStatus
from raylift.settings import JobSettings

_PATIENCE: Final = timedelta(seconds=3)
"""Time for which Ray and the attempt directory may disagree: they are read one after the other."""

_REPORT_TIME: Final = timedelta(seconds=15)
"""Time after the grace period for the wrapper, or Ray, to report the end of a stopped attempt."""

_OVER_A_LIMIT: Final = {
    Outcome.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    Outcome.PROCESS_LIMIT: Reason.PROCESS_LIMIT,
    Outcome.DISK_LIMIT: Reason.DISK_LIMIT,
}
"""Limits that the script exceeded. A retry would exceed them again."""

_HINT_STOPPED_ELSEWHERE: Final = "The attempt was stopped through Ray, not through Raylift."


@dataclass(frozen=True, slots=True)
class ObservedAttempt:
    """Observation of the present attempt."""

    progress: Progress | None = None
    ray: RayJob | None = None
    ray_answers: bool = True
    """False when Ray did not answer; then ``ray`` is unknown."""
    stop_sent_at: datetime | None = None
    """Time of the last stop request to the wrapper."""
    wrapper_lives: bool | None = None
    """False: the wrapper is gone and has reported no end. None: unknown on this node."""
    contact: Contact | None = None
    """Contact with the attempt, if it is on a node that does not see its directory."""

    def may_run_elsewhere(self, now: datetime) -> bool:
        """Return True while a script on another node may go on: its wrapper has not been silent for long enough to end it."""
        return self.contact is not None and now < self.contact.ended_by

    def was_fenced(self, now: datetime) -> bool:
        """Return True where the wrapper on another node has ended the script for want of contact."""
        return self.contact is not None and now >= self.contact.ended_by


@dataclass(frozen=True, slots=True)
class Prepare:
    """Take the steps of ``plan_start`` as far as they go now."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit the present attempt to Ray. An existing submission is adopted."""


@dataclass(frozen=True, slots=True)
class ScriptStarted:
    """Record the start of the script."""

    at: datetime
    deadline_at: datetime | None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the attempt: store the reason, then request the stop from the wrapper and Ray. May be repeated."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Register:
    """Read the runs of a script that succeeded, register its model, complete the job."""


@dataclass(frozen=True, slots=True)
class ScriptSucceeded:
    """Record the end of the script, and go on with the registration."""

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
    """True where the wrapper has reported no end: it may have left processes behind."""


@dataclass(frozen=True, slots=True)
class Retry:
    """End this attempt and queue the job again."""

    reason: Reason
    message: str
    exit_code: int | None = None
    usage: Usage | None = None
    lost: bool = False
    """True where the infrastructure lost the attempt: it may have left processes behind."""
    avoid_node: str | None = None
    """Ray's id of a node that cannot run jobs now."""


CANCELLED_BEFORE_ITS_SCRIPT: Final = Finish(
    JobState.CANCELLED, Reason.CANCELLED_BY_USER, "Cancelled before its script started."
)

JobAction = Prepare | Submit | ScriptStarted | Stop | Register | ScriptSucceeded | Finish | Retry


def plan_job(job: Job, observed: ObservedAttempt, now: datetime, settings: JobSettings) -> JobAction | None:
    """Return the next step of a job that has left the queue; None when there is nothing to do."""
    match job.state:
        case JobState.ENVIRONMENT:
            return CANCELLED_BEFORE_ITS_SCRIPT if job.cancel_requested_at else Prepare()
        case JobState.STARTING:
            return _plan_starting(job, observed, now, settings)
        case JobState.SCRIPT:
            return _plan_script(job, observed, now, settings)
        case JobState.REGISTRATION:
            return Register()
        case JobState.QUEUED | JobState.COMPLETED | JobState.FAILED | JobState.CANCELLED:
            return None


def _plan_starting(job: Job, observed: ObservedAttempt, now: datetime, settings: JobSettings) -> JobAction | None:
    progress, ray = observed.progress, observed.ray
    if progress is not None and progress.script_started_at is not None:
        return _started(job, progress.script_started_at)
    if progress is not None and progress.outcome is not None:
        return _ended(job, progress, settings)
    if not observed.ray_answers:
        return None
    if ray is None and observed.may_run_elsewhere(now):
        return _stop(job, observed, None, now, settings)
    if ray is None and job.spec.origin is Origin.PLATFORM and job.stop_reason is None:
        return CANCELLED_BEFORE_ITS_SCRIPT if job.cancel_requested_at else Submit()
    if ray is None or ray.status in RAY_JOB_ENDED:
        return _ended_without_report(job, observed, now, settings)
    is_held_back = ray.status is RayJobStatus.PENDING and not observed.may_run_elsewhere(now)
    if job.stop_reason and is_held_back and _stop_was_ignored(observed, now, settings):
        # Ray does not stop a pending submission (ray#58353). Should it start later, it finds the stop file.
        return _stopped(job, job.stop_reason, None, None, settings)
    # After a restart the platform submits it again: the wait for Ray begins then.
    waits_since = max(job.entered_at, ray.submitted_at or job.entered_at)
    overdue = now - waits_since > timedelta(seconds=settings.start_timeout_seconds)
    return _stop(job, observed, Reason.NODE_LOST if overdue else None, now, settings)


def _plan_script(job: Job, observed: ObservedAttempt, now: datetime, settings: JobSettings) -> JobAction | None:
    if observed.progress is not None and observed.progress.outcome is not None:
        return _ended(job, observed.progress, settings)
    if observed.ray_answers and (observed.ray is None or observed.ray.status in RAY_JOB_ENDED):
        return _ended_without_report(job, observed, now, settings)
    if observed.was_fenced(now):
        return _ended_without_report(job, observed, now, settings)
    if observed.wrapper_lives is False:
        # Ray has not noticed yet, or does not answer. The deadline, even if past, is not what ended it.
        if _stop_was_ignored(observed, now, settings):
            return _ended_without_report(job, observed, now, settings)
        return _stop(job, observed, Reason.NODE_LOST, now, settings)
    overdue = job.deadline_at is not None and now >= job.deadline_at
    return _stop(job, observed, Reason.TIMEOUT if overdue else None, now, settings)


def _stop(job: Job, observed: ObservedAttempt, overdue: Reason | None, now: datetime, settings: JobSettings) -> Stop | None:
    """Return the stop that is due and was not sent yet, or was sent long ago without effect."""
    cancelled = Reason.CANCELLED_BY_USER if job.cancel_requested_at else None
    reason = job.stop_reason or cancelled or overdue
    due = observed.stop_sent_at is None or job.stop_reason is None or _stop_was_ignored(observed, now, settings)
    return Stop(reason) if reason is not None and due else None


def _stop_was_ignored(observed: ObservedAttempt, now: datetime, settings: JobSettings) -> bool:
    """Return True where the attempt should have ended since the last stop request."""
    patience = timedelta(seconds=settings.stop_grace_seconds) + _REPORT_TIME
    # A stop in the future was sent before the clock was set back.
    return observed.stop_sent_at is not None and abs(now - observed.stop_sent_at) > patience


def _started(job: Job, at: datetime) -> ScriptStarted:
    # A job that a user submitted directly to Ray has no time limit.
    limited = job.spec.origin is Origin.PLATFORM
    return ScriptStarted(at, at + timedelta(seconds=job.spec.timeout_seconds) if limited else None)


def _ended(job: Job, progress: Progress, settings: JobSettings) -> JobAction:
    """Plan by the end that the wrapper reported. It counts more than Ray's status."""
    code, usage = progress.exit_code, progress.usage
    # It was believed lost, but ended by itself.
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
        case Outcome.DATA_ERROR:
            message = f"Its data cannot be used: {progress.message or 'see the logs'}."
            return Finish(JobState.FAILED, Reason.DATA_ERROR, message, code, usage)
        case Outcome.WRAPPER_ERROR:
            return lost(job, progress.message or "The wrapper failed.", settings)
        case _:
            return _script_failed(job, progress)


def _script_failed(job: Job, progress: Progress) -> JobAction:
    # The exit code of a signal is negative, as in Python and Ray.
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
    # The wrapper always reports usage.
    silent = usage is None
    match reason:
        case Reason.CANCELLED_BY_USER:
            return Finish(JobState.CANCELLED, reason, "Cancelled on request.", code, usage, lost=silent)
        case Reason.TIMEOUT:
            message = f"Stopped after its time limit of {job.spec.timeout_seconds} s{_why_it_lasted(held_by)}"
            return Finish(JobState.FAILED, reason, message, code, usage, lost=silent)
        case _ if job.state is JobState.STARTING:
            return lost(job, f"Ray did not start it within {settings.start_timeout_seconds:.0f} s.", settings)
        case _:
            return lost(job, "Its wrapper or Ray went away while the script ran.", settings)


def _why_it_lasted(held_by: str | None) -> str:
    if held_by is None:
        return ". Raise timeout_seconds if it needs longer."
    return f": {held_by}. More time would not help: end what it starts, or make its threads daemons (daemon=True)."


def _ended_without_report(job: Job, observed: ObservedAttempt, now: datetime, settings: JobSettings) -> JobAction | None:
    """Plan for an attempt that Ray reports ended and the wrapper does not: not started, killed, or on a lost node."""
    if abs(now - job.entered_at) < _PATIENCE:
        return None
    if observed.may_run_elsewhere(now):
        # Out of sight, not out of the world: it ends by itself for want of contact, and only then may it run again.
        return _stop(job, observed, Reason.NODE_LOST, now, settings)
    may_run = job.state is JobState.SCRIPT and observed.wrapper_lives is not False and observed.contact is None
    if may_run and not _stop_was_ignored(observed, now, settings):
        # Ray can be wrong (ray#65025), or have lost the node: request the stop, and wait for the wrapper.
        return _stop(job, observed, Reason.NODE_LOST, now, settings)
    if job.stop_reason is not None:
        return _stopped(job, job.stop_reason, None, None, settings)
    ray = observed.ray
    if observed.contact is not None:
        seconds = (observed.contact.ended_by - observed.contact.heard_at).total_seconds()
        return lost(job, f"Its node {observed.contact.host} was out of contact for {seconds:.0f} s.", settings)
    if ray is None:
        return lost(job, "Ray no longer knows the attempt; its head was probably restarted.", settings)
    if ray.error_type == "RUNTIME_ENV_SETUP_FAILURE":
        said = ray.message or "The environment could not be built."
        return Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, build_failure_in(said) or said)
    if ray.exit_code == EXIT_NODE_NOT_PREPARED:
        return _not_prepared(job, ray, settings)
    # Ray appends the end of the log to its sentence; the job shows that elsewhere.
    said = (ray.message or ray.status).partition(", last available logs")[0].splitlines()[0]
    return lost(job, f"The attempt ended without a report. Ray says: {said}", settings)


def _not_prepared(job: Job, ray: RayJob, settings: JobSettings) -> JobAction:
    """Plan for an attempt whose node could not read it. Nothing of it ran."""
    cause = (ray.message or "").rpartition(NODE_NOT_PREPARED)[2].strip().partition("\n")[0]
    message = f"Its node is not prepared: {cause or ray.node_id}."
    if job.infrastructure_losses < settings.max_infrastructure_losses:
        return Retry(Reason.NODE_NOT_PREPARED, message, lost=True, avoid_node=ray.node_id)
    return Finish(JobState.FAILED, Reason.NODE_NOT_PREPARED, message, lost=True)


def _without_plugin(job: Job, message: str, settings: JobSettings) -> JobAction:
    """Plan for an attempt whose node started it without its overlay. In the next ones Ray builds the environment."""
    if job.infrastructure_losses < settings.max_infrastructure_losses:
        message += " From the next attempt on Ray's own `uv` field builds its environment."
        return Retry(Reason.ENVIRONMENT_ERROR, message, lost=True)
    return Finish(JobState.FAILED, Reason.ENVIRONMENT_ERROR, message)


def lost(job: Job, message: str, settings: JobSettings) -> JobAction:
    """Plan for an attempt that the infrastructure lost."""
    if job.infrastructure_losses < settings.max_infrastructure_losses and job.spec.origin is Origin.PLATFORM:
        return Retry(Reason.NODE_LOST, message, lost=True)
    return Finish(JobState.FAILED, Reason.NODE_LOST, message, lost=True)
