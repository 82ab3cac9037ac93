"""Registered models and their versions, with lineage and deployments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from raylift.domain.errors import DeploymentNotFound
from raylift.domain.identifiers import version_number
from raylift.domain.models.deployment import Deployment
from raylift.domain.models.run_history import RunHistory
from raylift.domain.models.version import ModelSignature, ModelVersion, RegisteredModel
from raylift.services.models.lineage import Origins, origins_of
from raylift.services.ports import Registry
from raylift.store import Store

_MAX_SIGNATURES: Final = 1000


@dataclass(frozen=True, slots=True)
class VersionRecord:
    version: ModelVersion
    origins: Origins
    deployment: Deployment | None


@dataclass(frozen=True, slots=True)
class ModelRecord:
    model: RegisteredModel
    versions: list[VersionRecord]
    """Newest first."""


@dataclass(frozen=True, slots=True)
class ModelOutline:
    model: RegisteredModel
    ready_versions: list[str]
    """Newest first."""


class ModelService:
    """Reads the registry and the store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        # The files of a version never change.
        self._signatures: dict[tuple[str, str, datetime], ModelSignature] = {}

    def list(self) -> list[ModelOutline]:
        ready: dict[str, list[str]] = defaultdict(list)
        for deployment in self._store.deployments.list():
            if deployment.answers:
                ready[deployment.model_name].append(deployment.version)
        return [
            ModelOutline(model, sorted(ready.get(model.name, ()), key=version_number, reverse=True))
            for model in self._registry.models()
        ]

    def get(self, name: str) -> ModelRecord:
        """Raises ModelNotFound."""
        model = self._registry.model(name)
        workspace = self._store.workspaces.of_model(name)
        deployments = {deployment.version: deployment for deployment in self._store.deployments.list(name)}
        return ModelRecord(
            model,
            [
                VersionRecord(
                    replace(version, aliases=model.aliases_of(version.version)),
                    origins_of(self._store, version, workspace),
                    deployments.get(version.version),
                )
                for version in self._registry.versions(name)
            ],
        )

    def version(self, name: str, version: str) -> VersionRecord:
        """Raises ModelNotFound or VersionNotFound."""
        registered = self._registry.version(name, version)
        try:
            deployment = self._store.deployments.get(name, registered.version)
        except DeploymentNotFound:
            deployment = None
        return VersionRecord(registered, origins_of(self._store, registered), deployment)

    def run_history(self, job_id: str, *, names: Sequence[str] = (), points: int) -> RunHistory | None:
        """Return parameters and metric curves of a job's run, also while it runs. Raises JobNotFound."""
        job = self._store.jobs.get(job_id)
        return self._registry.run_history(
            job_id,
            workspace=job.spec.workspace,
            run_id=job.mlflow_run_id,
            experiment=job.spec.experiment_name,
            names=names,
            points=points,
        )

    def signature(self, name: str, version: str) -> tuple[ModelVersion, ModelSignature]:
        """Return a version with its inputs. Starts no process. Raises ModelNotFound or VersionNotFound."""
        registered = self._registry.version(name, version)
        key = (name, registered.version, registered.created_at)
        signature = self._signatures.get(key)
        if signature is None:
            signature = self._registry.signature(registered)
            while len(self._signatures) >= _MAX_SIGNATURES:
                self._signatures.pop(next(iter(self._signatures)))
            self._signatures[key] = signature
        return registered, signature
