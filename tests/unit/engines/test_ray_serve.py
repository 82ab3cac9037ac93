"""The adapter of Ray Serve, without a cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ray import serve
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview, ServeStatus

from raylift.domain.models.deployment import ApplicationState, Deployment, DeploymentStatus
from raylift.domain.models.replica import MODEL_PROCESS
from raylift.engines.ray_engine.serve import RayServe
from raylift.settings import PlatformSettings
from serve_apps.model_server.predictors.cannot_answer import lacks_method
from serve_apps.model_server.ray.app import build

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _settings(directory: Path) -> PlatformSettings:
    return PlatformSettings(
        state_dir=directory,
        database_url=f"sqlite:///{directory}/raylift.db",
        gateway_url="http://gateway.test",
        ray_dashboard_url="http://ray.test",
        mlflow_url="http://mlflow.test",
    )


def test_application_that_does_not_build_delays_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    config = settings.serving.default_deployment()
    good = Deployment("good", "1", "models:/good/1", config, status=DeploymentStatus.PENDING, created_at=NOW, updated_at=NOW)
    finer_than_ray_counts = replace(good, model_name="bad", config=replace(config, cpus=0.00001))
    handed_over: list[str] = []

    def run_many(targets: list[Any], **_: Any) -> None:
        handed_over.extend(target.name for target in targets)

    monkeypatch.setattr(serve, "run_many", run_many)
    refused = RayServe(settings, build).deploy([(finer_than_ray_counts, True), (good, True)])

    assert handed_over == ["good:1"]
    assert list(refused) == [("bad", "1")]
    assert "precision" in refused["bad", "1"]


def test_changed_variables_start_new_processes_and_are_not_shown(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    config = settings.serving.default_deployment()
    plain = Deployment("m", "1", "models:/m/1", config, status=DeploymentStatus.PENDING, created_at=NOW, updated_at=NOW)
    environment = {"SCALE": "a word", "OPENBLAS_CORETYPE": "Haswell"}
    door = RayServe(settings, build)
    without, with_them, changed = (
        door._replica_spec(replace(plain, config=replace(config, environment=variables)), load_check=False)
        for variables in ({}, environment, {**environment, "SCALE": "another"})
    )
    assert len({spec.code_version for spec in (without, with_them, changed)}) == 3
    assert "a word" not in with_them.code_version
    variables = with_them.runtime_env["env_vars"]
    # For the model's process alone: a variable of the version may make a process run other code.
    assert "OPENBLAS_CORETYPE" not in variables
    assert json.loads(variables[MODEL_PROCESS])["environment"] == {"OPENBLAS_CORETYPE": "Haswell"}
    assert not [name for name in variables if "SCALE" in variables[name] or "SCALE" in name]


@pytest.mark.parametrize(
    ("raised", "state"),
    [
        (str(lacks_method(object(), "predict")), ApplicationState.FAILED),
        ("churn version 1 does not load. TimeoutError: MLflow is away", ApplicationState.STARTING),
    ],
)
def test_model_that_can_answer_nothing_fails_at_its_first_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: str, state: ApplicationState
) -> None:
    said = f"A replica failed to start with exception. Retrying 2 more time(s). Error:\nTraceback …\nRuntimeError: {raised}"
    starting: dict[str, Any] = {
        "status": "UPDATING",
        "status_trigger": "CONFIG_UPDATE_STARTED",
        "replica_states": {"STARTING": 1},
    }
    deployment = DeploymentStatusOverview(**starting, message=said)
    deploying: dict[str, Any] = {"status": "DEPLOYING", "message": "", "last_deployed_time_s": 0.0}
    application = ApplicationStatusOverview(**deploying, deployments={"model": deployment})
    monkeypatch.setattr(serve, "status", lambda: ServeStatus(applications={"churn:1": application}))
    seen = RayServe(_settings(tmp_path), build).observe()["churn", "1"]
    assert seen.state is state
    assert seen.state is ApplicationState.STARTING or seen.message == raised
