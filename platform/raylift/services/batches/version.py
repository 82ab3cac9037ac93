"""The version of a batch, with its environment."""

from __future__ import annotations

from dataclasses import replace

from raylift.domain.job import JobSpec
from raylift.domain.models.deployment import Deployment


def with_version(spec: JobSpec, row: Deployment) -> JobSpec:
    """Return the spec of a batch that predicts with this version, in its environment."""
    assert spec.batch is not None  # noqa: S101 - of a batch
    return replace(
        spec,
        batch=replace(spec.batch, version=row.version),
        environment=row.config.environment,
        environment_lock=row.environment_lock,
    )
