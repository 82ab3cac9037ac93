"""Reads and writes MLflow's model registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from mlflow import MlflowClient

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import EngineUnavailable, ModelNotFound, PlatformError, VersionNotFound
from raylift.domain.identifiers import DEFAULT_WORKSPACE, TAG_NOT_DEPLOYED
from raylift.domain.models.run_history import RunHistory
from raylift.domain.models.version import LoggedModel, ModelSignature, ModelVersion, RegisteredModel
from raylift.domain.models.workspaces import url_in_workspace
from raylift.engines.mlflow_engine.client import (
    ABSENT,
    DUPLICATE,
    MlflowRefused,
    connect,
    every_page,
    metrics_of,
    mlflow_errors,
    moment,
    quoted,
)
from raylift.engines.mlflow_engine.run_history import read_history
from raylift.engines.mlflow_engine.signatures import read_reference_profile, read_signature
from raylift.engines.model_files.digests import file_digests


class ModelWorkspaces(Protocol):
    """The store's record of the workspace of each model."""

    def of_model(self, model_name: str) -> str: ...

    def of_models(self) -> Mapping[str, str]:
        """Return the workspaces of models outside of the default one."""
        ...


class _OnlyDefault:
    def of_model(self, model_name: str) -> str:
        return DEFAULT_WORKSPACE

    def of_models(self) -> Mapping[str, str]:
        return {}


class Registry:
    """Registered models and their versions. A model's name leads to its workspace: the platform has one model of a name.

    Raises:
        EngineUnavailable: from every method, when MLflow does not answer.
    """

    def __init__(self, mlflow_url: str, workspaces: ModelWorkspaces | None = None) -> None:
        self._mlflow_url = mlflow_url
        self._workspaces: ModelWorkspaces = workspaces or _OnlyDefault()
        self._clients: dict[str, MlflowClient] = {}

    def models(self) -> list[RegisteredModel]:
        """All registered models, by name. Models of a name that another workspace has are left out."""
        owners = self._workspaces.of_models()
        found: list[RegisteredModel] = []
        for workspace in sorted({DEFAULT_WORKSPACE, *owners.values()}):
            client = self._client_in(workspace)
            with mlflow_errors():
                pages = every_page(partial(_page_of_models, client))
                found += [_registered_model(item) for item in pages if owners.get(item.name, DEFAULT_WORKSPACE) == workspace]
        return sorted(found, key=lambda model: model.name)

    def model(self, name: str) -> RegisteredModel:
        """One registered model. Raises ModelNotFound if there is none of that name."""
        try:
            with mlflow_errors():
                return _registered_model(self._client(name).get_registered_model(name))
        except MlflowRefused as error:
            if error.is_absence or error.is_invalid:
                raise ModelNotFound(f"No model is registered as {name!r}.", model_name=name) from error
            raise

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, newest first, without their metrics and aliases."""
        client = self._client(name)
        with mlflow_errors():
            pages = every_page(
                lambda token: client.search_model_versions(f"name={quoted(name)}", max_results=1000, page_token=token)
            )
            found = [_model_version(item) for item in pages]
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def newest_versions(self, limit: int, workspace: str = DEFAULT_WORKSPACE) -> list[ModelVersion]:
        """The ``limit`` versions of all models in a workspace that were created or changed last."""
        with mlflow_errors():
            page: Any = self._client_in(workspace).search_model_versions(
                max_results=limit, order_by=["last_updated_timestamp DESC"]
            )
            return [_model_version(item) for item in page]

    def version(self, name: str, version: str) -> ModelVersion:
        """One version with the metrics of its run. Raises VersionNotFound, which lists the model's versions."""
        client = self._client(name)
        try:
            with mlflow_errors():
                found: Any = client.get_model_version(name, version)
        except MlflowRefused as error:
            if error.is_absence or error.is_invalid:
                raise self._no_such_version(name, f"version {version}") from error
            raise
        if str(found.version) != version:
            # MLflow takes "01", "+1" and digits of other scripts as 1. Here a version has one name.
            raise self._no_such_version(name, f"version {version}")
        return _model_version(found, _metrics(client, found.run_id))

    def signature(self, version: ModelVersion) -> ModelSignature:
        """Inputs of a version, read from its files."""
        return read_signature(self._client(version.name), self._url(version.name), version)

    def reference_profile(self, version: ModelVersion) -> dict[str, Any] | None:
        """Profile of the training data of a version, as its job recorded it; None where it has none.

        Raises:
            MlflowRefused: the files of the version are gone.
        """
        return read_reference_profile(self._client(version.name), self._url(version.name), version)

    def run_history(
        self, job_id: str, *, workspace: str, run_id: str | None, experiment: str, names: Sequence[str], points: int
    ) -> RunHistory | None:
        """Parameters and metric curves of a job's run, each sampled to ``points``. None where it has no run yet."""
        url = url_in_workspace(self._mlflow_url, workspace)
        return read_history(
            self._client_in(workspace), url, job_id=job_id, run_id=run_id, experiment=experiment, names=names, points=points
        )

    def version_of_alias(self, name: str, alias: str) -> str:
        """The version of an alias. Raises VersionNotFound if the model has no such alias."""
        try:
            with mlflow_errors():
                return str(self._client(name).get_model_version_by_alias(name, alias).version)
        except MlflowRefused as error:
            if error.is_absence or error.is_invalid:
                raise self._no_such_version(name, f"alias {alias!r}") from error
            raise

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point ``alias`` at a version. Raises ModelNotFound or VersionNotFound."""
        try:
            with mlflow_errors():
                self._client(name).set_registered_model_alias(name, alias, version)
        except MlflowRefused as error:
            if error.is_absence:
                raise self._no_such_version(name, f"version {version}") from error
            raise

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias. A missing one is no error."""
        with mlflow_errors(ignore=ABSENT):
            self._client(name).delete_registered_model_alias(name, alias)

    def versions_of_job(self, name: str, job_id: str, run_ids: frozenset[str]) -> list[ModelVersion]:
        """Versions of ``name`` that a job made: those with its tag, and those that its script registered from its runs."""
        found = [
            version
            for version in self.versions(name)
            if version.tags.get(TAG_JOB_ID) == job_id or (version.run_id is not None and version.run_id in run_ids)
        ]
        if not found:
            return []
        model = self.model(name)
        return [replace(version, aliases=model.aliases_of(version.version)) for version in found]

    def register(self, name: str, model: LoggedModel, tags: Mapping[str, str]) -> ModelVersion:
        """Register a logged model as a new version. Callers look for an existing one first."""
        client = self._client(name)
        with mlflow_errors(ignore=DUPLICATE):
            client.create_registered_model(name)
        with mlflow_errors():
            made = client.create_model_version(
                name, source=model.uri, run_id=model.run_id, tags=dict(tags), model_id=model.model_id
            )
        return _model_version(made)

    def delete_version(self, version: ModelVersion) -> None:
        """Delete a version. A missing one is no error."""
        with mlflow_errors(ignore=ABSENT):
            self._client(version.name).delete_model_version(version.name, version.version)

    def tag_version(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set tags on a version. Tags that it has with the same value cost no call."""
        client = self._client(version.name)
        with mlflow_errors():
            for key, value in tags.items():
                if version.tags.get(key) != value:
                    client.set_model_version_tag(version.name, version.version, key, value)

    def tag_taken(self, version: ModelVersion, workspace: str, why: str) -> None:
        """Say on a version that the platform does not deploy it. Its name leads to another workspace."""
        with mlflow_errors(ignore=ABSENT):
            self._client_in(workspace).set_model_version_tag(version.name, version.version, TAG_NOT_DEPLOYED, why)

    def file_digests(self, version: ModelVersion) -> dict[str, str]:
        """Return path → SHA-256 of a version's files, in hexadecimal. Reads all of them.

        Raises:
            MlflowRefused: they cannot be read; the message says why.
        """
        try:
            with mlflow_errors():
                return file_digests(version.uri, self._url(version.name))
        except PlatformError:
            raise
        except Exception as error:  # Artifact stores have errors of their own libraries.
            raise MlflowRefused(
                f"The files of {version.uri} cannot be read. {type(error).__name__}: {error}", error_code="INTERNAL_ERROR"
            ) from error

    def ping(self) -> None:
        """Raise EngineUnavailable if the registry does not answer."""
        try:
            with mlflow_errors():
                self._client_in(DEFAULT_WORKSPACE).search_registered_models(max_results=1)
        except MlflowRefused as error:
            raise EngineUnavailable(error.detail) from error

    def _url(self, name: str) -> str:
        return url_in_workspace(self._mlflow_url, self._workspaces.of_model(name))

    def _client(self, name: str) -> MlflowClient:
        return self._client_in(self._workspaces.of_model(name))

    def _client_in(self, workspace: str) -> MlflowClient:
        if workspace not in self._clients:
            self._clients[workspace] = connect(url_in_workspace(self._mlflow_url, workspace))
        return self._clients[workspace]

    def _no_such_version(self, name: str, asked: str) -> VersionNotFound:
        self.model(name)  # Raises ModelNotFound, the better answer if it applies.
        versions = [version.version for version in self.versions(name)]
        return VersionNotFound(
            f"Model {name!r} has no {asked}; it has {', '.join(versions) or 'no versions yet'}.",
            model_name=name,
            versions=versions,
        )


def _page_of_models(client: MlflowClient, token: str | None) -> Any:
    return client.search_registered_models(max_results=1000, page_token=token)


def _metrics(client: MlflowClient, run_id: str | None) -> Mapping[str, float]:
    metrics: Mapping[str, float] = {}
    if run_id:
        with mlflow_errors(ignore=ABSENT):  # The run may have been deleted.
            metrics = metrics_of(client.get_run(run_id))
    return metrics


def _registered_model(item: Any) -> RegisteredModel:
    newest = [int(version.version) for version in item.latest_versions or ()]
    return RegisteredModel(
        name=item.name,
        created_at=moment(item.creation_timestamp),
        updated_at=moment(item.last_updated_timestamp) if item.last_updated_timestamp else None,
        description=item.description or None,
        aliases={alias: str(version) for alias, version in (item.aliases or {}).items()},
        latest_version=str(max(newest)) if newest else None,
        tags=dict(item.tags or {}),
    )


def _model_version(item: Any, metrics: Mapping[str, float] | None = None) -> ModelVersion:
    return ModelVersion(
        name=item.name,
        version=str(item.version),
        created_at=moment(item.creation_timestamp),
        aliases=tuple(item.aliases or ()),
        tags=dict(item.tags or {}),
        run_id=item.run_id or None,
        source=item.source,
        metrics=metrics or {},
        status=str(item.status),
    )
