"""Reads a version's signature, input example and reference profile from its files, without loading the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.models import Model

from job_entrypoints.contract import REFERENCE_PROFILE_FILE
from raylift.domain.models.version import InputColumn, InputTensor, ModelParameter, ModelSignature, ModelVersion
from raylift.engines.mlflow_engine.client import mlflow_errors

_MODEL_URI: Final = "models:/"
_MAX_EXAMPLE_BYTES: Final = 256 * 1024
_MAX_PROFILE_BYTES: Final = 8 * 1024 * 1024


def read_signature(client: MlflowClient, mlflow_url: str, version: ModelVersion) -> ModelSignature:
    """Download and parse the MLmodel file. Returns an empty signature where the model has none.

    Raises:
        EngineUnavailable: MLflow does not answer.
        MlflowRefused: the files of the version are gone.
    """
    with mlflow_errors(), TemporaryDirectory(prefix="raylift-signature-") as folder:
        place = _location(client, version)
        described = Model.load(download_artifacts(artifact_uri=f"{place}/MLmodel", dst_path=folder, tracking_uri=mlflow_url))
        signature: Any = described.signature
        if signature is None:
            return ModelSignature()
        columns, tensors = _inputs(signature.inputs)
        example = (described.saved_input_example_info or {}).get("artifact_path")
        return ModelSignature(
            columns=columns,
            tensors=tensors,
            params=tuple(_parameters(signature.params)),
            example=_example(f"{place}/{example}", folder, mlflow_url) if example else None,
        )


def read_reference_profile(client: MlflowClient, mlflow_url: str, version: ModelVersion) -> dict[str, Any] | None:
    """Download and parse the reference profile. None where the version has none that is readable.

    Raises:
        EngineUnavailable: MLflow does not answer.
        MlflowRefused: the files of the version are gone.
    """
    with mlflow_errors(), TemporaryDirectory(prefix="raylift-profile-") as folder:
        place = _location(client, version)
        files: Any = list_artifacts(artifact_uri=place, tracking_uri=mlflow_url)
        found = next((file for file in files if PurePosixPath(file.path).name == REFERENCE_PROFILE_FILE), None)
        if found is None or (found.file_size or 0) > _MAX_PROFILE_BYTES:
            return None
        uri = f"{place}/{REFERENCE_PROFILE_FILE}"
        path = Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=mlflow_url))
        try:
            profile: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return None
    return profile if isinstance(profile, dict) else None


def _location(client: MlflowClient, version: ModelVersion) -> str:
    """Return the URI of the folder that holds the version's files."""
    source = version.source or version.uri
    if source.startswith(f"{_MODEL_URI}m-"):
        return str(client.get_logged_model(source.removeprefix(_MODEL_URI)).artifact_location).rstrip("/")
    return source.rstrip("/")


def _inputs(schema: Any) -> tuple[tuple[InputColumn, ...], tuple[InputTensor, ...]]:
    if schema is None:
        return (), ()
    items: list[dict[str, Any]] = schema.to_dict()
    if schema.is_tensor_spec():
        return (), tuple(
            InputTensor(item.get("name"), str(item["tensor-spec"]["dtype"]), tuple(item["tensor-spec"]["shape"]))
            for item in items
        )
    if not schema.has_input_names():
        return (), ()
    return tuple(InputColumn(str(item["name"]), str(item["type"]), bool(item.get("required", True))) for item in items), ()


def _parameters(schema: Any) -> Iterator[ModelParameter]:
    for item in [] if schema is None else schema.to_dict():
        yield ModelParameter(str(item["name"]), str(item.get("type", "object")), item.get("default"))


def _example(uri: str, folder: str, mlflow_url: str) -> Any:
    """Return the input example, if it is JSON of a moderate size."""
    path = Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=mlflow_url))
    if path.suffix != ".json" or path.stat().st_size > _MAX_EXAMPLE_BYTES:
        return None
    return json.loads(path.read_text(encoding="utf-8"))
