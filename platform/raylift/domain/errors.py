"""Errors that carry a stable code and facts. HTTP statuses are decided at the edge (serve_apps/gateway/http/errors.py).

PlatformError
├── InvalidRequest          something in the request is wrong; ``errors`` names each field
├── TooLarge                a body, script or file over its limit
├── NotFound                JobNotFound, ModelNotFound, VersionNotFound, DeploymentNotFound, ExperimentNotFound,
│                           SweepNotFound
├── LogRemoved              it was there, and is not kept any longer
├── Conflict                JobNotFinished, SweepNotFinished, IdempotencyMismatch
├── QuotaExceeded           the owner has as many jobs waiting as it may
├── Unavailable             DeploymentNotReady, DeploymentUnhealthy, DeploymentStopped, EngineUnavailable;
│                           may carry ``retry_after_seconds``
├── StaleLease              another supervisor has taken over; the result is dropped
├── StaleJob                the job has changed since it was read; the result is dropped
└── StaleSweep              so has the sweep

IllegalMove is none of them: it is a mistake in our own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field. ``line`` and ``column`` count from 1."""

    field: str
    detail: str
    line: int | None = None
    column: int | None = None


class PlatformError(Exception):
    """Base of all. ``detail`` is a sentence for people that says what to do; ``facts`` are for programs."""

    code: ClassVar[str] = "platform_error"

    def __init__(self, detail: str, **facts: Any) -> None:
        # Both in args: errors cross Ray processes by pickle.
        super().__init__(detail, facts)
        self.detail = detail
        self.facts: Mapping[str, Any] = facts

    def __str__(self) -> str:
        return self.detail

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.detail, dict(self.facts)))


def _rebuild(kind: type[PlatformError], detail: str, facts: dict[str, Any]) -> PlatformError:
    return kind(detail, **facts)


class InvalidRequest(PlatformError):
    code = "invalid_request"

    def __init__(self, detail: str, errors: Sequence[FieldError] = (), **facts: Any) -> None:
        super().__init__(detail, errors=tuple(errors), **facts)

    @classmethod
    def of(cls, first: FieldError, *others: FieldError) -> InvalidRequest:
        """Build the error for at least one wrong field. The detail is that of the first, and the number of the others."""
        rest = f", and {len(others)} more" if others else ""
        return cls(f"{first.field} {first.detail}{rest}", (first, *others))

    @property
    def errors(self) -> tuple[FieldError, ...]:
        return self.facts["errors"]


class TooLarge(PlatformError):
    code = "too_large"


class NotFound(PlatformError):
    code = "not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class SweepNotFound(NotFound):
    code = "sweep_not_found"


class LogRemoved(PlatformError):
    """The log was there; it is older than logs are kept."""

    code = "log_removed"


class ModelNotFound(NotFound):
    code = "model_not_found"


class VersionNotFound(NotFound):
    """Carries ``versions``: the ones there are."""

    code = "version_not_found"


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"


class Conflict(PlatformError):
    code = "conflict"


class JobNotFinished(Conflict):
    code = "job_not_finished"


class SubmissionIdTaken(Conflict):
    """One of Ray's clients chose a submission id that stands for another job."""

    code = "submission_id_taken"


class SweepNotFinished(Conflict):
    code = "sweep_not_finished"


class TrafficChanged(PlatformError):
    """The traffic table is no longer at the revision that If-Match names. Carries ``revision``, what it is at now."""

    code = "traffic_changed"


class IdempotencyMismatch(PlatformError):
    """The same Idempotency-Key came with another body."""

    code = "idempotency_mismatch"


class QuotaExceeded(PlatformError):
    """An owner has as many jobs waiting as its quota allows. Has ``owner``, ``max_queued_jobs``, ``retry_after_seconds``."""

    code = "quota_exceeded"


class Unavailable(PlatformError):
    """Carries ``retry_after_seconds``."""

    code = "unavailable"


class DeploymentNotReady(Unavailable):
    code = "deployment_not_ready"


class DeploymentUnhealthy(Unavailable):
    """The version does not load; the message says why. Trying again does not help until it is changed."""

    code = "deployment_unhealthy"


class DeploymentStopped(Unavailable):
    """The version is registered but not deployed: PUT its deployment to start it."""

    code = "deployment_stopped"


class EngineUnavailable(Unavailable):
    """Ray, MLflow or the database does not answer."""

    code = "engine_unavailable"


class StaleLease(PlatformError):
    code = "stale_lease"


class StaleJob(PlatformError):
    """The job is no longer what the caller saw: read it again. Carries ``state``, what it is in now."""

    code = "stale_job"


class StaleSweep(PlatformError):
    """The sweep is no longer what the caller saw: read it again."""

    code = "stale_sweep"


class IllegalMove(ValueError):
    """A move that JOB_MOVES or SWEEP_MOVES does not have: a mistake of the caller, not something that happens."""
