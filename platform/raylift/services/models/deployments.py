"""What is wanted of the deployments of model versions. The supervisor makes it so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from raylift.api.models import BatchingUpdate, DeploymentUpdate, PayloadLogConfig
from raylift.domain.deployment import Batching, Deployment, DeploymentConfig, PayloadLog
from raylift.domain.errors import DeploymentNotFound, FieldError, InvalidRequest
from raylift.domain.identifiers import TAG_JOB_ID, unservable_name
from raylift.domain.quantities import parse_bytes
from raylift.services.clock import Clock, utc_now
from raylift.services.cluster.capacity import Capacity
from raylift.services.models.lineage import environment_lock_of, job_of
from raylift.services.models.replica_environment import changed, check_environment, job_variables
from raylift.services.ports import Registry
from raylift.settings import ServingSettings
from raylift.store import Store


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
            self._registry.version(model_name, version)  # A name that nobody registered deserves the better answer.
            raise

    def wanted_among(self, versions: Sequence[tuple[str, str]]) -> list[Deployment]:
        """Deployments of ``versions``, each a model's name and a number, that are wanted."""
        found: list[Deployment] = []
        for model_name, version in versions:
            with suppress(DeploymentNotFound):
                found.append(self._store.deployments.get(model_name, version))
        return [row for row in found if row.wanted]

    def put(self, model_name: str, version: str, update: DeploymentUpdate) -> Change:
        """Deploy a version, change how it is deployed, start it again, or try it again: whichever applies."""
        problem = unservable_name(model_name)
        if problem is not None:
            self._registry.version(model_name, version)  # A name that nobody registered deserves the better answer.
            raise InvalidRequest(problem, [FieldError("model_name", problem)])
        try:
            present = self._store.deployments.get(model_name, version)
        except DeploymentNotFound:
            return Change(self._create(model_name, version, update), created=True)
        config = self._merged(present.config, update)
        return Change(self._store.deployments.want(model_name, version, now=self._clock(), config=config), created=False)

    def stop(self, model_name: str, version: str) -> Deployment:
        """Take a deployment down. Idempotent; the version stays registered and can be deployed again."""
        present = self.get(model_name, version)
        if not present.wanted:
            return present
        return self._store.deployments.want(model_name, version, now=self._clock(), wanted=False)

    def _create(self, model_name: str, version: str, update: DeploymentUpdate) -> Deployment:
        registered = self._registry.version(model_name, version)
        job = job_of(self._store, registered)
        config = replace(self._settings.default_deployment(), environment=job_variables(job.spec) if job is not None else {})
        return self._store.deployments.ensure(
            model_name,
            registered.version,
            model_uri=registered.uri,
            config=self._merged(config, update),
            now=self._clock(),
            job_id=registered.tags.get(TAG_JOB_ID),
            environment_lock=environment_lock_of(self._store, registered),
            scale_up=True,
        )

    def _merged(self, config: DeploymentConfig, update: DeploymentUpdate) -> DeploymentConfig:
        merged = replace(config, **_changes(update))
        if update.batching is not None:
            merged = replace(merged, batching=self._batching(config, update.batching))
        if update.payload_log is not None:
            merged = replace(merged, payload_log=_payload_log(config, update.payload_log))
        if update.environment is not None:
            merged = replace(merged, environment=changed(config.environment, update.environment))
        errors = [
            *check_environment(update.environment or {}, merged.environment),
            *_contradictions(merged),
            *self._unplaceable(merged),
        ]
        if errors:
            raise InvalidRequest(f"{errors[0].field} {errors[0].detail}", errors)
        return merged

    def _batching(self, config: DeploymentConfig, update: BatchingUpdate) -> Batching:
        present = config.batching or Batching(self._settings.batch_max_rows, self._settings.batch_wait_ms)
        return Batching(
            present.max_rows if update.max_rows is None else update.max_rows,
            present.wait_ms if update.wait_ms is None else update.wait_ms,
        )

    def _unplaceable(self, config: DeploymentConfig) -> list[FieldError]:
        shortfall = self._capacity.shortfall(cpus=config.cpus, memory_bytes=config.memory_bytes or 0)
        return [FieldError(shortfall.resource, shortfall.detail)] if shortfall else []


_PLAIN: Final = (
    "min_replicas",
    "max_replicas",
    "target_ongoing_requests",
    "max_ongoing_requests",
    "max_queued_requests",
    "upscale_delay_s",
    "downscale_delay_s",
    "cpus",
    "take_traffic",
)


def _changes(update: DeploymentUpdate) -> dict[str, Any]:
    """Plain fields of ``update``. null takes memory, batching, payload log and environment away; all else stays."""
    changes: dict[str, Any] = {name: getattr(update, name) for name in _PLAIN if getattr(update, name) is not None}
    if "memory" in update.model_fields_set:
        changes["memory_bytes"] = None if update.memory is None else parse_bytes(update.memory)
    if "environment" in update.model_fields_set and update.environment is None:
        changes["environment"] = {}
    return changes | {name: None for name in ("batching", "payload_log") if name in update.model_fields_set}


def _payload_log(config: DeploymentConfig, update: PayloadLogConfig) -> PayloadLog:
    given = {name: getattr(update, name) for name in update.model_fields_set}
    return replace(config.payload_log, **given) if config.payload_log else PayloadLog(update.sample_rate, update.max_body_bytes)


def _contradictions(config: DeploymentConfig) -> list[FieldError]:
    errors: list[FieldError] = []
    least, most = config.min_replicas, config.max_replicas
    if most < least:
        errors.append(FieldError("max_replicas", f"is {most}, less than min_replicas, which is {least}"))
    target, limit = config.target_ongoing_requests, config.max_ongoing_requests
    if target > limit:
        detail = f"is {target:g}, more than max_ongoing_requests, which is {limit}: no replica would ever be added"
        errors.append(FieldError("target_ongoing_requests", detail))
    return errors
