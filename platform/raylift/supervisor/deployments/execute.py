"""Executes planned actions on deployments."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from raylift.domain.errors import VersionNotFound
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import ANSWERING, Deployment, DeploymentStatus
from raylift.engines.gateway_client import GatewayClient
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.ray_engine.serve import RayServe
from raylift.store import Store
from raylift.supervisor.deployments.plan import Delete, Deploy, DeploymentAction, Observe
from raylift.supervisor.deployments.schema_tag import SchemaTag
from raylift.supervisor.deployments.version_digest import read_and_tag

log = logging.getLogger(__name__)

_LOAD_CHECK_SECONDS: Final = 20.0
"""Most models load in one second. A slower one is checked in a replica."""


class DeploymentExecutor:
    """Executes planned deployment actions against Ray Serve, the gateway and the store."""

    def __init__(
        self,
        store: Store,
        serve: RayServe,
        gateway_client: GatewayClient,
        registry: Registry,
        schema_tag: SchemaTag,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._gateway = gateway_client
        self._schema_tag = schema_tag
        self._store = store
        self._serve = serve
        self._clock = clock

    def execute(self, lease: Lease, actions: Sequence[DeploymentAction]) -> None:
        """Carry out all actions: first the observations, then the changes in Ray Serve.

        Raises:
            EngineUnavailable: Ray Serve, the gateway or MLflow did not answer; the other actions are planned again.
            StaleLease: another supervisor has taken over.
        """
        for action in actions:
            if isinstance(action, Observe):
                self._observe(lease, action)
        deletes = [action.key for action in actions if isinstance(action, Delete)]
        if deletes:
            self._serve.delete(deletes)
        deploys = [action for action in actions if isinstance(action, Deploy)]
        if deploys:
            self._deploy(lease, deploys)

    def load_check(self, lease: Lease, row: Deployment) -> None:
        """Load a version in a warm process. One that does not load there gets a replica, which reports the reason.

        Raises:
            EngineUnavailable: the gateway or MLflow did not answer.
            StaleLease: another supervisor has taken over.
        """
        now = self._clock
        metadata = self._gateway.metadata(row.model_name, row.version, seconds=_LOAD_CHECK_SECONDS)
        if metadata is None:
            self._store.deployments.request_scale_up(row.model_name, row.version, now=now())
            return
        self._schema_tag.write(row.model_name, row.version, metadata)
        self._store.deployments.observe(
            lease,
            row,
            now=now(),
            status=DeploymentStatus.SCALED_TO_ZERO,
            replicas=0,
            message=None,
            applied_generation=row.generation,
            ready_at=now(),
        )
        log.info("%s version %s loads; it is scaled to zero", row.model_name, row.version)

    def record_files(self, lease: Lease, row: Deployment) -> None:
        """Record the digests of a version that was registered elsewhere or by an older release.

        Files that cannot be read make it unhealthy.

        Raises:
            EngineUnavailable: MLflow did not answer.
            StaleLease: another supervisor has taken over.
        """
        try:
            files = read_and_tag(self._registry.version(row.model_name, row.version), self._registry)
        except (MlflowRefused, VersionNotFound) as error:
            self._store.deployments.observe(
                lease,
                row,
                now=self._clock(),
                status=DeploymentStatus.UNHEALTHY,
                message=error.detail,
                applied_generation=row.generation,
            )
            return
        self._store.deployments.record_files(lease, row, files, now=self._clock())
        log.info("%s version %s: the digests of its %d files are recorded", row.model_name, row.version, len(files))

    def _observe(self, lease: Lease, action: Observe) -> None:
        row, now = action.deployment, self._clock()
        if action.status is DeploymentStatus.READY and row.ready_at is None:
            self._schema_tag.ask_and_write(row.model_name, row.version)
        ready_at = now if action.status in ANSWERING and row.ready_at is None else row.ready_at
        self._store.deployments.observe(
            lease, row, now=now, status=action.status, replicas=action.replicas, message=action.message, ready_at=ready_at
        )
        log.info("%s version %s: %s -> %s", row.model_name, row.version, row.status, action.status)

    def _deploy(self, lease: Lease, deploys: Sequence[Deploy]) -> None:
        for action in deploys:
            if action.leave_environment_to_ray:
                row = action.deployment
                log.warning("%s version %s: a node has no plugin, Ray's own uv field is used", row.model_name, row.version)
                self._serve.leave_environment_to_ray(row.model_name, row.version)
        refused = self._serve.deploy([(action.deployment, action.load_check) for action in deploys])
        for action in deploys:
            row = action.deployment
            error = refused.get((row.model_name, row.version))
            self._store.deployments.observe(
                lease,
                row,
                now=self._clock(),
                status=DeploymentStatus.UNHEALTHY if error else action.next_status,
                message=error,
                applied_generation=row.generation,
            )
