"""Steps of one job from the queue to Ray: a pure function of the job and its environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from raylift.domain.job import Job, JobState, Reason
from raylift.supervisor.jobs.plan import CANCELLED_BEFORE_ITS_SCRIPT, Finish


@dataclass(frozen=True, slots=True)
class ObservedEnvironment:
    """Environment of a job that is about to start."""

    lock: tuple[str, ...] | None
    """Pinned packages; None until the requirements are resolved."""
    is_ready: bool
    """True where nothing is left to build before the job goes to Ray."""


@dataclass(frozen=True, slots=True)
class EnterEnvironment:
    """Leave the queue, to wait for the environment."""


@dataclass(frozen=True, slots=True)
class Resolve:
    """Resolve the requirements in the background. Repeated until the lock is there."""


@dataclass(frozen=True, slots=True)
class Build:
    """Build the environment in the background. Repeated until it is there."""

    lock: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """Begin an attempt in this environment, and submit it to Ray."""

    lock: tuple[str, ...]


CANCELLED_IN_THE_QUEUE: Final = Finish(JobState.CANCELLED, Reason.CANCELLED_BY_USER, "Cancelled while it waited in the queue.")

StartAction = EnterEnvironment | Resolve | Build | Start | Finish


def plan_start(job: Job, environment: ObservedEnvironment) -> StartAction:
    """Return the next step of a job on its way from the queue to Ray.

    A queued job must have been admitted, or its cancellation requested.
    """
    is_queued = job.state is JobState.QUEUED
    if job.cancel_requested_at is not None:
        return CANCELLED_IN_THE_QUEUE if is_queued else CANCELLED_BEFORE_ITS_SCRIPT
    if environment.lock is not None and environment.is_ready:
        return Start(environment.lock)
    if is_queued:
        return EnterEnvironment()
    return Resolve() if job.environment_lock is None else Build(job.environment_lock)
