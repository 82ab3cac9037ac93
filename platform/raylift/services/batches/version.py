"""The version of a batch: its environment, and whether it may be loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from raylift.domain.errors import DeploymentNotReady, FieldError, InvalidRequest
from raylift.domain.job import JobSpec
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.settings import PlatformSettings

RETRY_SECONDS: Final = 5


def with_version(spec: JobSpec, row: Deployment) -> JobSpec:
    """Return the spec of a batch that predicts with this version, in its environment."""
    assert spec.batch is not None  # noqa: S101 - of a batch
    return replace(
        spec,
        batch=replace(spec.batch, version=row.version),
        environment=row.config.environment,
        environment_lock=row.environment_lock,
    )


def require_scanned(row: Deployment, settings: PlatformSettings) -> None:
    """Raise for a version that ``reports.refuse_models`` refused, or that waits for its scan: a batch would load it.

    Raises:
        InvalidRequest: it was refused.
        DeploymentNotReady: it waits.
    """
    if settings.reports.refuse_models is None:
        return
    if row.status is DeploymentStatus.UNHEALTHY:
        why = row.message or "Ray Serve does not say why."
        raise InvalidRequest.of(FieldError("model_version", f"is {row.version}, which may not be loaded: {why}"))
    if row.ready_at is None:
        detail = f"{row.model_name} version {row.version} waits for its scan (reports.refuse_models), or has not answered yet."
        raise DeploymentNotReady(detail, retry_after_seconds=RETRY_SECONDS)
