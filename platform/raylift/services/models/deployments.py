"""Changes to the wanted state of deployments. The supervisor carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import DeploymentNotFound, FieldError, InvalidRequest
from raylift.domain.identifiers import unservable_name
from raylift.domain.job import Resources
from raylift.domain.models.deployment import Batching, Deployment, DeploymentConfig, PayloadLog
from raylift.services.cluster.capacity import Capacity
from raylift.services.models.lineage import environment_lock_of, job_of
from raylift.services.models.replica_environment import changed, check_environment, job_variables
from raylift.services.ports import Clock, Registry, utc_now
from raylift.services.uploads.resources import check_gpus
from raylift.settings import ServingSettings
from raylift.store import Store

_SAMPLE_ALL = 1.0


@dataclass(frozen=True, slots=True)
class DeploymentChanges:
    """Changes of a deployment's configuration. What is left out keeps its value."""

    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """New values of fields of ``DeploymentConfig``."""
    batching: Mapping[str, Any] | None = None
    """New values of fields of ``Batching``."""
    payload_log: Mapping[str, Any] | None = None
    """New values of fields of ``PayloadLog``."""
    environment: Mapping[str, str | None] = field(default_factory=dict[str, str | None], repr=False)
    """Variables to set; None removes one."""


@dataclass(frozen=True, slots=True)
class Change:
    deployment: Deployment
    created: bool


class DeploymentService:
    """Reads and changes deployments."""

    def __init__(
        self, store: Store, registry: Registry, capacity: Capacity, settings: ServingSettings, *, clock: Clock = utc_now
    ) -> None:
        self._store = store
        self._registry = registry
        self._capacity = capacity
        self._settings = settings
        self._clock = clock

    def list(self, model_name: str | None = None) -> list[Deployment]:
        return self._store.deployments.list(model_name)

    def get(self, model_name: str, version: str) -> Deployment:
        """Raises ModelNotFound, VersionNotFound, or DeploymentNotFound for a version that was never deployed."""
        try:
            return self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            self._registry.version(model_name, version)  # Raises the better error for a name that is not registered.
            raise

    def wanted_among(self, versions: Sequence[tuple[str, str]]) -> list[Deployment]:
        """Return the deployments of these (model name, version) pairs that are to run."""
        found: list[Deployment] = []
        for model_name, version in versions:
            with suppress(DeploymentNotFound):
                found.append(self._store.deployments.get(model_name, version))
        return [row for row in found if row.wanted]

    def put(self, model_name: str, version: str, changes: DeploymentChanges) -> Change:
        """Deploy a version, change its deployment, start it again, or retry one that failed."""
        problem = unservable_name(model_name)
        if problem is not None:
            self._registry.version(model_name, version)  # Raises the better error for a name that is not registered.
            raise InvalidRequest(problem, [FieldError("model_name", problem)])
        try:
            present = self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            return Change(self._create(model_name, version, changes), created=True)
        config = self._merged(present.config, changes)
        return Change(self._store.deployments.want(model_name, version, now=self._clock(), config=config), created=False)

    def stop(self, model_name: str, version: str) -> Deployment:
        """Take a deployment down. Idempotent; the version stays registered and can be deployed again."""
        present = self.get(model_name, version)
        if not present.wanted:
            return present
        return self._store.deployments.want(model_name, version, now=self._clock(), wanted=False)

    def _create(self, model_name: str, version: str, changes: DeploymentChanges) -> Deployment:
        registered = self._registry.version(model_name, version)
        job = job_of(self._store, registered)
        config = replace(self._settings.default_deployment(), environment=job_variables(job.spec) if job is not None else {})
        return self._store.deployments.ensure(
            model_name,
            registered.version,
            model_uri=registered.uri,
            config=self._merged(config, changes),
            now=self._clock(),
            job_id=registered.tags.get(TAG_JOB_ID),
            environment_lock=environment_lock_of(self._store, registered),
            scale_up=True,
        )

    def _merged(self, config: DeploymentConfig, changes: DeploymentChanges) -> DeploymentConfig:
        merged = replace(config, **changes.values)
        if changes.batching is not None:
            batching = config.batching or Batching(self._settings.batch_max_rows, self._settings.batch_wait_ms)
            merged = replace(merged, batching=replace(batching, **changes.batching))
        if changes.payload_log is not None:
            payload_log = config.payload_log or PayloadLog(_SAMPLE_ALL)
            merged = replace(merged, payload_log=replace(payload_log, **changes.payload_log))
        merged = replace(merged, environment=changed(merged.environment, changes.environment))
        errors = [
            *check_environment(changes.environment, merged.environment),
            *_contradictions(merged),
            *self._unplaceable(merged),
        ]
        if errors:
            raise InvalidRequest.of(*errors)
        return merged

    def _unplaceable(self, config: DeploymentConfig) -> list[FieldError]:
        shortfall = self._capacity.refusal(Resources(config.cpus, config.memory_bytes or 0, config.gpus))
        return [FieldError(shortfall.resource, shortfall.detail)] if shortfall else []


def _contradictions(config: DeploymentConfig) -> list[FieldError]:
    errors: list[FieldError] = []
    least, most = config.min_replicas, config.max_replicas
    if most < least:
        errors.append(FieldError("max_replicas", f"is {most}, less than min_replicas, which is {least}"))
    target, limit = config.target_ongoing_requests, config.max_ongoing_requests
    if target > limit:
        detail = f"is {target:g}, more than max_ongoing_requests, which is {limit}: no replica would ever be added"
        errors.append(FieldError("target_ongoing_requests", detail))
    errors += check_gpus(config.gpus, "gpus")
    return errors
