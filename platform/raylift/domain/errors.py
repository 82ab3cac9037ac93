"""Errors with a stable code and facts. HTTP statuses are mapped at the edge (serve_apps/gateway/http/errors.py).

All are PlatformErrors, except IllegalMove, which is a bug in the caller. Errors that say "stale" mean that the
row or lease changed since it was read, so the caller drops its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One problem with one field. ``line`` and ``column`` count from 1."""

    field: str
    detail: str
    line: int | None = None
    column: int | None = None


class PlatformError(Exception):
    """Base of all. ``detail`` is a sentence for people that says what to do; ``facts`` are values for programs."""

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
    """The request has invalid fields; ``errors`` names each."""

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
    """A body, script or file is over its limit."""

    code = "too_large"


class NotFound(PlatformError):
    code = "not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class SweepNotFound(NotFound):
    code = "sweep_not_found"


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"


class RolloutNotFound(NotFound):
    code = "rollout_not_found"


class WebhookNotFound(NotFound):
    code = "webhook_not_found"


class DatasetNotFound(NotFound):
    code = "dataset_not_found"


class DeliveryNotFound(NotFound):
    """A webhook has no such delivery, or it was deleted after its retention."""

    code = "delivery_not_found"


class SecretNotFound(NotFound):
    code = "secret_not_found"


class SecretUnreadable(PlatformError):
    """A stored value cannot be decrypted: its key is missing."""

    code = "secret_unreadable"


class LogRemoved(PlatformError):
    """The log is older than the retention and was deleted."""

    code = "log_removed"


class ModelNotFound(NotFound):
    code = "model_not_found"


class VersionNotFound(NotFound):
    """Carries ``versions``: the existing ones."""

    code = "version_not_found"


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"


class KeyNotFound(NotFound):
    code = "key_not_found"


class NodeNotFound(NotFound):
    code = "node_not_found"


class Conflict(PlatformError):
    code = "conflict"


class NodesNotAccepted(Conflict):
    """The platform was started for one machine."""

    code = "nodes_not_accepted"


class ModelTaken(Conflict):
    """A model of this name belongs to another workspace."""

    code = "model_taken"


class DatasetInUse(Conflict):
    """A job that has not ended gets the dataset."""

    code = "dataset_in_use"


class UploadConflict(Conflict):
    """The part of a file does not follow those before; ``have`` is the number of bytes that the platform has."""

    code = "upload_conflict"


class RolloutExists(Conflict):
    """The model has a rollout that has not ended. Carries its ``rollout_id``."""

    code = "rollout_exists"


class StaleRollout(Conflict):
    """The rollout has changed since the caller read it."""

    code = "stale_rollout"


class ScheduleExists(Conflict):
    """The workspace has a schedule of this name."""

    code = "schedule_exists"


class WebhookExists(Conflict):
    """The workspace has a webhook of this name."""

    code = "webhook_exists"


class StaleWebhook(Conflict):
    """The webhook has changed since the caller read it."""

    code = "stale_webhook"


class StaleSchedule(Conflict):
    """The schedule has changed since the caller read it."""

    code = "stale_schedule"


class StaleMonitor(Conflict):
    """The monitor has changed since the caller read it."""

    code = "stale_monitor"


class Unauthenticated(PlatformError):
    """The request has no valid key."""

    code = "unauthenticated"


class Forbidden(PlatformError):
    """The caller's role, or the limits of its key, do not allow this. Carries ``action`` and ``role``, the least one."""

    code = "forbidden"


class JobNotFinished(Conflict):
    code = "job_not_finished"


class SubmissionIdTaken(Conflict):
    """A Ray client chose a submission id that already belongs to another job."""

    code = "submission_id_taken"


class SweepNotFinished(Conflict):
    code = "sweep_not_finished"


class TrafficChanged(PlatformError):
    """The traffic table is no longer at the revision in If-Match. Carries the present ``revision``."""

    code = "traffic_changed"


class IdempotencyMismatch(PlatformError):
    """An Idempotency-Key was reused with a different body."""

    code = "idempotency_mismatch"


class QuotaExceeded(PlatformError):
    """The owner's queue is full. Carries ``owner``, ``max_queued_jobs`` and ``retry_after_seconds``."""

    code = "quota_exceeded"


class Unavailable(PlatformError):
    """May carry ``retry_after_seconds``."""

    code = "unavailable"


class DeploymentNotReady(Unavailable):
    code = "deployment_not_ready"


class DeploymentUnhealthy(Unavailable):
    """The version does not load; the message says why. A retry fails until the version is changed."""

    code = "deployment_unhealthy"


class DeploymentStopped(Unavailable):
    """The version is registered but not deployed: PUT its deployment to start it."""

    code = "deployment_stopped"


class EngineUnavailable(Unavailable):
    """Ray, MLflow or the database does not answer."""

    code = "engine_unavailable"


class StaleLease(PlatformError):
    """Another supervisor has taken over the lease."""

    code = "stale_lease"


class StaleJob(PlatformError):
    """The job has changed since the caller read it. Carries its present ``state``."""

    code = "stale_job"


class StaleSweep(PlatformError):
    """The sweep has changed since the caller read it."""

    code = "stale_sweep"


class IllegalMove(ValueError):
    """A move that JOB_MOVES or SWEEP_MOVES does not allow: a bug in the caller."""
