"""GPUs of replicas on real Ray Serve. On a machine without one Ray counts a logical one: the ids are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.integration.model_server.replicas import Registry, log_function
from tests.integration.model_server.serve_cluster import ServeCluster

pytestmark = [pytest.mark.ray, pytest.mark.gpu, pytest.mark.slow, pytest.mark.timeout(400)]


def _sees() -> Callable[[list[str]], list[str]]:
    def sees(model_input: list[str]) -> list[str]:
        """Answers with the GPUs that the model's process may use."""
        import os

        return [os.environ["CUDA_VISIBLE_DEVICES"] for _ in model_input]

    return sees


def _spec(registry: Registry, name: str, gpus: float, *, least: int = 1) -> dict[str, Any]:
    registry.register(name, log_function, python_model=_sees())
    return {
        "model_name": name,
        "version": "1",
        "model_uri": f"models:/{name}/1",
        "mlflow_url": registry.url,
        "config": {"min_replicas": least, "max_replicas": 1, "gpus": gpus},
        "initial_replicas": 1,
        "downscale_delay_seconds": 1.0,
    }


def test_replicas_share_a_gpu_and_give_it_back(registry: Registry, serving: ServeCluster) -> None:
    serving.deploy([_spec(registry, "half", 0.5), _spec(registry, "other-half", 0.5, least=0), _spec(registry, "blind", 0)])
    seen: dict[str, str] = {}
    for name in ("half", "other-half", "blind"):
        serving.wait_for(f"{name}:1", lambda application: application.get("status") == "RUNNING")
        answer = httpx.post(f"{serving.url}/v2/models/{name}/versions/1/predict", json={"inputs": ["?"]}, timeout=120)
        assert answer.status_code == 200, answer.text
        (seen[name],) = answer.json()["predictions"]
    assert seen["blind"] == ""
    assert seen["half"] == seen["other-half"] != ""
    # Scaled to zero it has no process, so the whole of a GPU's other half is free for the next version.
    serving.wait_for("other-half:1", lambda application: not application["deployments"]["model"]["replicas"])
    serving.deploy([_spec(registry, "third", 0.5)])
    serving.wait_for("third:1", lambda application: application.get("status") == "RUNNING")
    for name in ("half", "other-half", "blind", "third"):
        serving.delete(f"{name}:1")
