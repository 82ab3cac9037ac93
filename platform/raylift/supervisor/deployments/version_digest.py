"""Digests of a version's files: read at its registration, or when it is first seen, and kept in the store."""

from __future__ import annotations

from raylift.domain.identifiers import TAG_DIGEST
from raylift.domain.models.files import digest_of
from raylift.domain.models.version import ModelVersion
from raylift.engines.mlflow_engine.registry import Registry


def read_and_tag(version: ModelVersion, registry: Registry) -> dict[str, str]:
    """Return path → SHA-256 of a version's files, and tag the version with their digest. May be repeated.

    The tag is for people: everybody who may write to MLflow may change it. The store's copy decides what is loaded.

    Raises:
        EngineUnavailable: MLflow does not answer.
        MlflowRefused: the files cannot be read; the message says why.
    """
    files = registry.file_digests(version)
    registry.tag_version(version, {TAG_DIGEST: digest_of(files)})
    return files
