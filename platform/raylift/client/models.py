"""Registered models and the deployments of their versions."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Literal

from raylift.api.models import (
    BatchingConfig,
    DeploymentList,
    DeploymentView,
    ModelList,
    ModelSummary,
    ModelView,
    VersionView,
)
from raylift.api.traffic import AliasView
from raylift.client import paths
from raylift.client.connection import Connection


class Models:
    """``client.models``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> builtins.list[ModelSummary]:
        return self._connection.view(ModelList, "GET", paths.MODELS).models

    def get(self, name: str) -> ModelView:
        """A model with all its versions, newest first."""
        return self._connection.view(ModelView, "GET", paths.model(name))

    def version(self, name: str, version: str | int) -> VersionView:
        """One version with its lineage (job, script, requirements, run), metrics and deployment."""
        return self._connection.view(VersionView, "GET", paths.version(name, version))

    def set_alias(self, model: str, alias: str, version: str | int) -> AliasView:
        """Let an alias of MLflow's registry stand for a version."""
        path = paths.alias(model, alias)
        return self._connection.view(AliasView, "PUT", path, json={"version": str(version)}, resend=True)

    def delete_alias(self, model: str, alias: str) -> AliasView:
        """Take an alias away."""
        return self._connection.view(AliasView, "DELETE", paths.alias(model, alias))


class Deployments:
    """``client.deployments``: one per model version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, model: str | None = None) -> builtins.list[DeploymentView]:
        params = {"model_name": model}
        return self._connection.view(DeploymentList, "GET", paths.DEPLOYMENTS, params=params).deployments

    def get(self, name: str, version: str | int) -> DeploymentView:
        return self._connection.view(DeploymentView, "GET", paths.deployment(name, version))

    def put(
        self,
        name: str,
        version: str | int,
        *,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
        target_ongoing_requests: float | None = None,
        max_ongoing_requests: int | None = None,
        max_queued_requests: int | None = None,
        upscale_delay_s: float | None = None,
        downscale_delay_s: float | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        batching: BatchingConfig | Mapping[str, float] | Literal[False] | None = None,
    ) -> DeploymentView:
        """Deploy a version, or change its deployment. What is None keeps its value; ``batching=False`` ends batching."""
        body: dict[str, Any] = {
            "min_replicas": min_replicas,
            "max_replicas": max_replicas,
            "target_ongoing_requests": target_ongoing_requests,
            "max_ongoing_requests": max_ongoing_requests,
            "max_queued_requests": max_queued_requests,
            "upscale_delay_s": upscale_delay_s,
            "downscale_delay_s": downscale_delay_s,
            "cpus": cpus,
            "memory": memory,
            "batching": batching.model_dump() if isinstance(batching, BatchingConfig) else batching,
        }
        body = {field: value for field, value in body.items() if value is not None}
        if batching is False:
            body["batching"] = None
        return self._connection.view(DeploymentView, "PUT", paths.deployment(name, version), json=body, resend=True)

    def delete(self, name: str, version: str | int) -> None:
        """Take a version out of service. The version itself stays in the registry; ``put`` deploys it again."""
        self._connection.send("DELETE", paths.deployment(name, version))
