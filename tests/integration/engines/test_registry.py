"""The registry adapter against MLflow's real store."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.errors import ModelNotFound, VersionNotFound
from raylift.engines.environments import EnvironmentUnresolvable
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.mlflow_engine.tracking import Tracking
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.deployments.registry_sync import RegistrySync

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module")
def mlflow(url: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    client.create_registered_model("churn")
    client.create_model_version("churn", source="/nowhere", tags={"team": "growth"})
    client.set_registered_model_alias("churn", "champion", "1")
    return client


@pytest.fixture
def registry(url: str, mlflow: MlflowClient) -> Registry:
    return Registry(url)


def test_version_is_found_by_its_number_and_by_its_alias(registry: Registry) -> None:
    assert registry.version("churn", "1").tags == {"team": "growth"}
    assert registry.version_of_alias("churn", "champion") == "1"
    assert [model.name for model in registry.models()] == ["churn"]


@pytest.mark.parametrize("version", ["2", "01", "+1", " 1", "\u0661", "latest", "1.0", "", "../1"])
def test_other_spellings_of_a_version_number_are_not_found(registry: Registry, version: str) -> None:
    with pytest.raises(VersionNotFound) as refused:
        registry.version("churn", version)
    assert refused.value.facts["versions"] == ["1"]


@pytest.mark.parametrize("name", ["nobody", "a/b", "../../x", "churn:1", "", "it's", 'say "x"'])
def test_impossible_model_name_is_not_found(registry: Registry, name: str) -> None:
    with pytest.raises(ModelNotFound):
        registry.model(name)
    with pytest.raises(ModelNotFound):
        registry.version(name, "1")
    with pytest.raises(ModelNotFound):
        registry.version_of_alias(name, "champion")
    assert registry.versions(name) == []


def test_metrics_are_read_as_they_were_logged(url: str, mlflow: MlflowClient, registry: Registry) -> None:
    run = mlflow.create_run("0", tags={TAG_JOB_ID: "job_1"}).info.run_id
    logged = {"loss": math.inf, "gain": -math.inf, "score": 0.5, "zero": 0.0}
    for name, value in logged.items():
        mlflow.log_metric(run, name, value)
    (found,) = Tracking(url).runs_of_job("job_1")
    assert found.metrics == logged
    mlflow.create_registered_model("measured")
    mlflow.create_model_version("measured", source="/nowhere", run_id=run)
    assert registry.version("measured", "1").metrics == logged
    mlflow.delete_registered_model("measured")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/raylift.db")
    opened.migrate()
    yield opened
    opened.close()


def test_versions_follow_the_registry(
    url: str, mlflow: MlflowClient, registry: Registry, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PlatformSettings(
        state_dir=tmp_path, database_url="sqlite://", mlflow_url=url, ray_dashboard_url="http://x", gateway_url="http://x"
    )
    tracking = Tracking(url)
    # These versions have no artifacts.
    monkeypatch.setattr(tracking, "requirements_of", lambda version: [])
    sync = RegistrySync(settings, store, registry, tracking, lambda: NOW)
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert lease is not None
    mlflow.create_registered_model("brief")
    mlflow.create_model_version("brief", source="/nowhere")

    sync.sync(lease)
    assert {(row.model_name, row.version) for row in store.deployments.list()} == {("churn", "1"), ("brief", "1")}

    mlflow.delete_registered_model("brief")
    sync.sync(lease)
    assert {(row.model_name, row.version) for row in store.deployments.list()} == {("churn", "1")}

    mlflow.create_registered_model("brief")
    mlflow.create_model_version("brief", source="/nowhere")
    sync.sync(lease)
    assert {(row.model_name, row.version) for row in store.deployments.list()} == {("churn", "1"), ("brief", "1")}


def test_version_with_impossible_requirements_is_unhealthy(
    url: str, mlflow: MlflowClient, registry: Registry, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unresolvable(*_: object, **__: object) -> tuple[str, ...]:
        raise EnvironmentUnresolvable("no such package: zzz")

    settings = PlatformSettings(
        state_dir=tmp_path, database_url="sqlite://", mlflow_url=url, ray_dashboard_url="http://x", gateway_url="http://x"
    )
    tracking = Tracking(url)
    monkeypatch.setattr(tracking, "requirements_of", lambda version: ["zzz"])
    monkeypatch.setattr("raylift.supervisor.deployments.registry_sync.lock_of", unresolvable)
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert lease is not None
    RegistrySync(settings, store, registry, tracking, lambda: NOW).sync(lease)
    row = store.deployments.get("churn", "1")
    assert (row.status, row.message) == ("unhealthy", "no such package: zzz")


def test_model_of_an_older_mlflow_is_registered_from_its_run(url: str, mlflow: MlflowClient, registry: Registry) -> None:
    run = mlflow.create_run("0", tags={TAG_JOB_ID: "job_old"})
    tracking = Tracking(url)
    runs = tracking.runs_of_job("job_old")
    assert tracking.logged_models_of_job("job_old", runs) == []
    note = {"run_id": run.info.run_id, "artifact_path": "model", "utc_time_created": "2026-01-02 03:04:05.678901"}
    mlflow.set_tag(run.info.run_id, "mlflow.log-model.history", json.dumps([note]))
    [model] = tracking.logged_models_of_job("job_old", runs)
    assert (model.name, model.created_at) == ("model", datetime(2026, 1, 2, 3, 4, 5, 678901, UTC))
    version = registry.register("old", model, {TAG_JOB_ID: "job_old"})
    assert (version.run_id, version.source) == (run.info.run_id, f"{run.info.artifact_uri}/model")
