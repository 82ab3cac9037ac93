from __future__ import annotations

import gc
import re
from collections.abc import Callable
from typing import Any

import httpx
import pandas as pd
import pytest
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from raylift import Client
from raylift.client import mlflow_deployments
from tests.unit.client.conftest import FakeClock, ScriptedPlatform, problem
from tests.unit.client.test_models import DEPLOYMENT, VERSION

PATH = "/mlops/models/churn/versions/3/deployment"


@pytest.fixture
def deployments(platform: ScriptedPlatform) -> Any:
    client: Any = get_deploy_client("raylift://platform:8000")
    client._client = Client("http://platform:8000", transport=httpx.MockTransport(platform), clock=FakeClock())
    model = {"model_name": "churn", "description": None, "created_at": VERSION["created_at"], "aliases": {"champion": "3"}}
    platform.on("GET", "/mlops/models/churn", httpx.Response(200, json={**model, "versions": [VERSION]}))
    platform.on("GET", PATH, httpx.Response(200, json=DEPLOYMENT))
    platform.on("PUT", PATH, httpx.Response(200, json=DEPLOYMENT))
    platform.on("DELETE", PATH, httpx.Response(204))
    platform.on("GET", "/mlops/deployments", httpx.Response(200, json={"deployments": [DEPLOYMENT]}))
    return client


@pytest.mark.parametrize("uri", ["models:/churn/3", "models:/churn@champion", "models:/churn/latest"])
@pytest.mark.parametrize("name", ["churn", "churn/3"])
def test_registered_version_is_deployed(deployments: Any, platform: ScriptedPlatform, uri: str, name: str) -> None:
    config = {"min_replicas": "1", "cpus": "0.5", "memory": "1GiB", "batch_max_rows": "32", "batch_wait_ms": "2"}
    made = deployments.create_deployment(name, uri, config=config)
    assert (made["name"], made["flavor"], made["status"]) == ("churn/3", "python_function", "ready")
    batching = {"max_rows": 32, "wait_ms": 2.0}
    assert platform.bodies() == [{"min_replicas": 1, "cpus": 0.5, "memory": "1GiB", "batching": batching}]


def test_one_batching_option_leaves_the_other_unchanged(deployments: Any, platform: ScriptedPlatform) -> None:
    deployments.update_deployment("churn/3", config={"batch_wait_ms": "1"})
    deployments.update_deployment("churn/3", config={"batch_max_rows": "8"})
    assert platform.bodies() == [{"batching": {"wait_ms": 1.0}}, {"batching": {"max_rows": 8}}]


def test_batch_max_rows_1_ends_batching(deployments: Any, platform: ScriptedPlatform) -> None:
    deployments.update_deployment("churn/3", config={"batch_max_rows": 1})
    assert platform.bodies() == [{"batching": None}]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.create_deployment("other", "models:/churn/3"), "here --name churn/3"),
        (lambda c: c.create_deployment("churn", "runs:/1/model"), 'mlflow.register_model("runs:/1/model", NAME)'),
        (lambda c: c.create_deployment("churn", "models:/churn@prod"), "churn has no alias prod; it has champion"),
        (
            lambda c: c.create_deployment("churn", "models:/churn/3", config={"replicas": "1"}),
            "no config replicas; there are min",
        ),
        (lambda c: c.create_deployment("churn", "models:/churn/3", config={"cpus": "many"}), "cpus='many' is no number"),
        (lambda c: c.create_deployment("churn", "models:/churn/3", endpoint="e"), "has no endpoints"),
        (lambda c: c.update_deployment("churn/3", "models:/churn/4"), "create a deployment of models:/churn/4"),
        (lambda c: c.get_deployment("churn"), "MODEL/VERSION; there are churn/3"),
        (lambda c: c.predict(None, [[1]]), "name it MODEL/VERSION"),
        (lambda c: c.predict("churn", [1.0, float("inf")]), "inf"),
        (lambda _: get_deploy_client("raylift://h:1/path"), "write raylift://HOST:PORT"),
        (lambda _: mlflow_deployments.run_local("churn", "models:/churn/3"), "raylift up"),
    ],
)
def test_wrong_arguments_are_explained(deployments: Any, call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(MlflowException, match=re.escape(said)):
        call(deployments)


@pytest.mark.parametrize("target", ["raylift", "raylift://"])
def test_environment_variable_names_the_platform(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setenv("RAYLIFT_URL", "https://models.example")
    client: Any = get_deploy_client(target)
    assert client._client.base_url == "https://models.example"


def test_update_needs_a_deployment(deployments: Any, platform: ScriptedPlatform) -> None:
    platform.on("GET", PATH, problem(404, "deployment_not_found", "churn/3 is not deployed"))
    with pytest.raises(MlflowException, match="not deployed") as absent:
        deployments.update_deployment("churn/3", config={"min_replicas": 1})
    assert absent.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert platform.bodies() == []


def test_delete_may_be_repeated(deployments: Any, platform: ScriptedPlatform) -> None:
    deployments.delete_deployment("churn/3")
    platform.on("DELETE", PATH, problem(404, "deployment_not_found", "it is none"))
    deployments.delete_deployment("churn/3")
    platform.on("DELETE", PATH, problem(404, "model_not_found", "no such model"))
    with pytest.raises(MlflowException, match="no such model"):
        deployments.delete_deployment("churn/3")


def test_stopped_deployment_is_not_listed(deployments: Any, platform: ScriptedPlatform) -> None:
    stopped = {**DEPLOYMENT, "model_version": "2", "status": "stopped"}
    platform.on("GET", "/mlops/deployments", httpx.Response(200, json={"deployments": [stopped, DEPLOYMENT]}))
    assert [entry["name"] for entry in deployments.list_deployments()] == ["churn/3"]


@pytest.mark.parametrize(("name", "asked"), [("churn", {}), ("churn/3", {"model_version": "3"})])
def test_predict_returns_predictions(deployments: Any, platform: ScriptedPlatform, name: str, asked: dict[str, str]) -> None:
    answer = {"model_name": "churn", "model_version": "3", "predictions": [1, 0], "inference_time_ms": 0.5}
    platform.on("POST", "/mlops/inference", httpx.Response(200, json=answer))
    predicted = deployments.predict(name, pd.DataFrame({"age": [1, 2]}))
    assert predicted.get_predictions("ndarray").tolist() == [1, 0]
    assert platform.bodies() == [{"model_name": "churn", "inputs": {"age": [1, 2]}, **asked}]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "RESOURCE_DOES_NOT_EXIST"),
        (422, "INVALID_PARAMETER_VALUE"),
        (503, "TEMPORARILY_UNAVAILABLE"),
        (500, "INTERNAL_ERROR"),
    ],
)
def test_errors_become_mlflow_exceptions(deployments: Any, platform: ScriptedPlatform, status: int, code: str) -> None:
    platform.on("GET", PATH, problem(status, "some_code", "what it says"))
    with pytest.raises(MlflowException, match="what it says") as refused:
        deployments.get_deployment("churn/3")
    assert refused.value.error_code == code


def test_connections_are_closed_with_the_client() -> None:
    client: Any = get_deploy_client("raylift://platform:8000")
    http = client._client._connection._http
    del client
    gc.collect()
    assert http.is_closed
