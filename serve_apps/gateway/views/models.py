"""Registered models, their versions and their deployments in the REST API."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

from raylift.api.models import (
    BatchingConfig,
    DeploymentUpdate,
    DeploymentView,
    Lineage,
    ModelSummary,
    ModelView,
    PayloadLogConfig,
    SchemaView,
    VersionView,
)
from raylift.domain.datasets.dataset import references
from raylift.domain.identifiers import TAG_SCHEMA
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.models.files import digest_of
from raylift.domain.quantities import parse_bytes
from raylift.services.models.deployments import DeploymentChanges
from raylift.services.models.lineage import Origins
from raylift.services.models.registry import ModelOutline, ModelRecord, VersionRecord
from serve_apps.gateway.http.paths import route_path
from serve_apps.gateway.views.jobs import MASK

_NULL_REMOVES: Final = {"memory": "memory_bytes", "batching": "batching", "payload_log": "payload_log"}
"""Fields of an update that may be null, and the fields of ``DeploymentConfig`` that become None."""
_WITH_PARTS: Final = frozenset({"batching", "payload_log", "environment"})


def deployment_changes(update: DeploymentUpdate) -> DeploymentChanges:
    """Translate an update. null removes memory, batching, the payload log and all variables; other nulls change nothing."""
    values: dict[str, Any] = {}
    for name in update.model_fields_set:
        value = getattr(update, name)
        if value is None and name in _NULL_REMOVES:
            values[_NULL_REMOVES[name]] = None
        elif value is None and name == "environment":
            values["environment"] = {}
        elif value is not None and name == "memory":
            values["memory_bytes"] = parse_bytes(value)
        elif value is not None and name not in _WITH_PARTS:
            values[name] = value
    return DeploymentChanges(
        values,
        batching=update.batching.model_dump(exclude_none=True) if update.batching else None,
        payload_log=update.payload_log.model_dump(exclude_unset=True) if update.payload_log else None,
        environment=update.environment or {},
    )


def shown_status(deployment: Deployment) -> DeploymentStatus:
    # The application takes a while to stop, but no request is let in any more.
    return deployment.status if deployment.wanted else DeploymentStatus.STOPPED


def deployment_view(deployment: Deployment) -> DeploymentView:
    config = deployment.config
    batching, payloads = config.batching, config.payload_log
    return DeploymentView(
        model_name=deployment.model_name,
        model_version=deployment.version,
        status=shown_status(deployment).value,
        replicas=deployment.replicas,
        message=deployment.message,
        min_replicas=config.min_replicas,
        max_replicas=config.max_replicas,
        target_ongoing_requests=config.target_ongoing_requests,
        max_ongoing_requests=config.max_ongoing_requests,
        max_queued_requests=config.max_queued_requests,
        upscale_delay_s=config.upscale_delay_s,
        downscale_delay_s=config.downscale_delay_s,
        cpus=config.cpus,
        memory=config.memory_bytes,
        gpus=config.gpus,
        batching=BatchingConfig(max_rows=batching.max_rows, wait_ms=batching.wait_ms) if batching else None,
        payload_log=PayloadLogConfig(sample_rate=payloads.sample_rate, max_body_bytes=payloads.max_body_bytes)
        if payloads
        else None,
        take_traffic=config.take_traffic,
        environment=dict.fromkeys(config.environment, MASK),
        route=route_path(deployment.model_name, deployment.version),
        digest=None if deployment.files is None else digest_of(deployment.files),
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
        ready_at=deployment.ready_at,
    )


def version_view(record: VersionRecord) -> VersionView:
    version = record.version
    return VersionView(
        model_name=version.name,
        model_version=version.version,
        created_at=version.created_at,
        aliases=list(version.aliases),
        tags=dict(version.tags),
        metrics=dict(record.origins.metrics),
        lineage=_lineage(record.origins, version.run_id, version.source),
        schema_origin=_schema(version.tags.get(TAG_SCHEMA)),
        deployment=deployment_view(record.deployment) if record.deployment else None,
    )


def model_view(record: ModelRecord) -> ModelView:
    model = record.model
    return ModelView(
        model_name=model.name,
        description=model.description,
        created_at=model.created_at,
        aliases=dict(model.aliases),
        versions=[version_view(item) for item in record.versions],
    )


def model_summary(outline: ModelOutline) -> ModelSummary:
    model = outline.model
    return ModelSummary(
        model_name=model.name,
        latest_version=model.latest_version,
        aliases=dict(model.aliases),
        created_at=model.created_at,
        updated_at=model.updated_at,
        ready_versions=outline.ready_versions,
    )


def _lineage(origins: Origins, run_id: str | None, source: str | None) -> Lineage:
    return Lineage(
        job_id=origins.job_id,
        script_sha256=origins.script_sha256,
        requirements=None if origins.requirements is None else list(origins.requirements),
        environment_lock=None if origins.environment_lock is None else list(origins.environment_lock),
        data=references(origins.data),
        mlflow_run_id=run_id,
        source=source,
    )


def _schema(tag: str | None) -> SchemaView | None:
    """Parse the tag. Any client of MLflow may have written another value."""
    try:
        return None if tag is None else SchemaView.model_validate_json(tag)
    except ValidationError:
        return None
