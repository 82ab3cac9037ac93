"""Digests of versions that were registered elsewhere, and of those from before digests were kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from raylift.domain.errors import VersionNotFound
from raylift.domain.identifiers import TAG_DIGEST
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.models.files import digest_of
from raylift.engines.mlflow_engine.client import MlflowRefused
from raylift.store import Store
from raylift.supervisor.deployments.execute import DeploymentExecutor

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FILES = {"MLmodel": "5e", "model.pkl": "a1"}


class Registry:
    """A registry of one version, whose files are as ``files``."""

    def __init__(self, files: dict[str, str] | Exception) -> None:
        self.files = files
        self.tags: dict[str, str] = {}

    def version(self, name: str, version: str) -> Any:
        if isinstance(self.files, VersionNotFound):
            raise self.files
        return type("Version", (), {"uri": f"models:/{name}/{version}"})

    def file_digests(self, version: Any) -> dict[str, str]:
        assert version.uri == "models:/churn/1"
        if isinstance(self.files, Exception):
            raise self.files
        return self.files

    def tag_version(self, _: object, tags: dict[str, str]) -> None:
        self.tags |= tags


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/store.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def lease(store: Store) -> Lease:
    held = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert held is not None
    return held


def record(store: Store, lease: Lease, registry: Registry) -> None:
    unused = cast("Any", None)
    row = store.deployments.ensure("churn", "1", model_uri="models:/churn/1", config=DeploymentConfig(), now=NOW)
    DeploymentExecutor(store, unused, unused, cast("Any", registry), unused, lambda: NOW).record_files(lease, row)


def test_files_are_recorded_at_first_sight_and_never_again(store: Store, lease: Lease) -> None:
    first = Registry(FILES)
    record(store, lease, first)
    assert store.deployments.get("churn", "1").files == FILES
    assert first.tags == {TAG_DIGEST: digest_of(FILES)}
    record(store, lease, Registry({**FILES, "model.pkl": "other"}))
    assert store.deployments.get("churn", "1").files == FILES


@pytest.mark.parametrize(
    "error", [MlflowRefused("The files of x cannot be read.", error_code="INTERNAL_ERROR"), VersionNotFound("It is gone.")]
)
def test_version_whose_files_cannot_be_read_is_unhealthy(store: Store, lease: Lease, error: Any) -> None:
    record(store, lease, Registry(error))
    row = store.deployments.get("churn", "1")
    assert (row.files, row.status, row.message) == (None, DeploymentStatus.UNHEALTHY, error.detail)
    assert row.applied_generation == row.generation
