from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.access import AccessKey, Role
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.models.version import ModelVersion
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.deployments.registry_sync import RegistrySync
from tests.contract.samples import add
from tests.migrated_store import open_migrated

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class ManyVersions:
    """A registry with one model of many versions, which counts its calls."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def newest_versions(self, limit: int, workspace: str) -> list[ModelVersion]:
        self.asked.append(limit)
        return self._versions()[-limit:] if workspace == "default" else []

    def versions(self, name: str) -> list[ModelVersion]:
        return self._versions()

    def _versions(self) -> list[ModelVersion]:
        made = SimpleNamespace(name="m", status="READY", tags={}, run_id=None)
        return [
            cast("ModelVersion", SimpleNamespace(**vars(made), version=str(n), uri=f"models:/m/{n}"))
            for n in range(1, self.count + 1)
        ]


def _tracking(requirements: list[str]) -> Any:
    of_any = SimpleNamespace(requirements_of=lambda _: requirements, job_of_run=lambda _: None)
    return SimpleNamespace(of=lambda _: of_any)


@pytest.fixture
def settings(tmp_path: Path) -> PlatformSettings:
    return PlatformSettings(
        state_dir=tmp_path, database_url="", mlflow_url="", ray_dashboard_url="", gateway_url="http://gateway.invalid"
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_migrated(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def lease(store: Store) -> Lease:
    held = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert held is not None
    return held


def test_sync_finds_all_versions_then_reads_only_new_ones(settings: PlatformSettings, store: Store, lease: Lease) -> None:
    registry: Any = ManyVersions(45)
    tracking: Any = _tracking([])
    sync = RegistrySync(settings, store, registry, tracking, lambda: NOW)
    sync.sync(lease)
    rows = store.deployments.list()
    assert len(rows) == 45
    # No client waits for them: they are checked and scaled to zero, not started.
    assert {(row.status, row.demanded_at) for row in rows} == {(DeploymentStatus.PENDING, None)}
    registry.asked.clear()
    registry.count = 46
    sync.sync(lease)
    assert (len(store.deployments.list()), registry.asked) == (46, [20])


def test_requirements_of_a_foreign_model_are_checked_as_a_job_s_are(
    settings: PlatformSettings, store: Store, lease: Lease
) -> None:
    tracking: Any = _tracking(["mlflow==3", "x @ file:///etc"])
    registry: Any = ManyVersions(1)
    RegistrySync(settings, store, registry, tracking, lambda: NOW).sync(lease)
    [row] = store.deployments.list()
    assert row.status is DeploymentStatus.UNHEALTHY
    assert "requirements.txt: 'x @ file:///etc' names a file" in str(row.message)


class TwoWorkspaces:
    """A registry in which ``default`` and ``red`` have a model of the same name each."""

    def __init__(self, tags: dict[str, str]) -> None:
        self.tags = tags
        self.taken: list[tuple[str, str]] = []

    def newest_versions(self, _: int, workspace: str) -> list[ModelVersion]:
        return [ModelVersion("m", "1", NOW, tags=self.tags, source="models:/m-1")] if workspace in ("default", "red") else []

    def versions(self, name: str) -> list[ModelVersion]:
        return [ModelVersion(name, "1", NOW)]

    def tag_taken(self, version: ModelVersion, workspace: str, why: str) -> None:
        assert "Register it by another name" in why
        self.taken.append((workspace, version.name))


@pytest.mark.parametrize(("first", "second"), [("default", "red"), ("red", "default")])
def test_name_of_another_workspace_is_not_deployed_and_says_why(
    settings: PlatformSettings, store: Store, lease: Lease, first: str, second: str
) -> None:
    store.keys.add(AccessKey("abcdefgh", "00", "ann", Role.SUBMITTER, "red", (), NOW, "admin"))
    registry: Any = TwoWorkspaces({})
    if first == "red":
        store.workspaces.claim_model("m", "red")
    RegistrySync(settings, store, registry, _tracking([]), lambda: NOW).sync(lease)
    assert [row.model_name for row in store.deployments.list()] == ["m"]
    assert store.workspaces.of_model("m") == first
    assert registry.taken == [(second, "m")]


def test_tag_names_no_job_of_another_workspace(settings: PlatformSettings, store: Store, lease: Lease) -> None:
    job = add(store, workspace="red", environment={"SECRET": "of red"})
    registry: Any = TwoWorkspaces({TAG_JOB_ID: job.job_id})
    RegistrySync(settings, store, registry, _tracking([]), lambda: NOW).sync(lease)
    [row] = store.deployments.list()
    assert (row.job_id, row.config.environment) == (None, {})
