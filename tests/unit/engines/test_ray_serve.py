"""The door to Ray Serve, as far as it needs no cluster."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ray import serve

from raylift.domain.deployment import Deployment, DeploymentStatus
from raylift.engines.ray_serve import RayServe
from raylift.settings import PlatformSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_one_that_cannot_be_built_does_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/raylift.db",
        gateway_url="http://gateway.test",
        ray_dashboard_url="http://ray.test",
        mlflow_url="http://mlflow.test",
    )
    config = settings.serving.default_deployment()
    good = Deployment("good", "1", "models:/good/1", config, status=DeploymentStatus.PENDING, created_at=NOW, updated_at=NOW)
    finer_than_ray_counts = replace(good, model_name="bad", config=replace(config, cpus=0.00001))
    handed_over: list[str] = []

    def run_many(targets: list[Any], **_: Any) -> None:
        handed_over.extend(target.name for target in targets)

    monkeypatch.setattr(serve, "run_many", run_many)
    refused = RayServe(settings).deploy([(finer_than_ray_counts, True), (good, True)])

    assert handed_over == ["good:1"]
    assert list(refused) == [("bad", "1")]
    assert "precision" in refused["bad", "1"]
