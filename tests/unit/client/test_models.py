from __future__ import annotations

from typing import Any

import httpx

from raylift import Client
from raylift.api.models import BatchingConfig

DEPLOYMENT = {
    "model_name": "churn",
    "model_version": "3",
    "status": "ready",
    "replicas": 1,
    "message": None,
    "min_replicas": 0,
    "max_replicas": 2,
    "target_ongoing_requests": 8,
    "max_ongoing_requests": 64,
    "max_queued_requests": 128,
    "upscale_delay_s": 3.0,
    "downscale_delay_s": None,
    "cpus": 0.1,
    "memory": None,
    "batching": None,
    "route": "/v2/models/churn/versions/3",
    "created_at": "2026-01-02T03:04:05Z",
    "updated_at": "2026-01-02T03:04:05Z",
    "ready_at": None,
}
LINEAGE = dict.fromkeys(("job_id", "script_sha256", "requirements", "environment_lock", "mlflow_run_id", "source"))
VERSION = {
    "model_name": "churn",
    "model_version": "3",
    "created_at": "2026-01-02T03:04:05Z",
    "aliases": ["champion"],
    "tags": {},
    "metrics": {"accuracy": 0.9},
    "lineage": LINEAGE | {"job_id": "job_1"},
    "deployment": DEPLOYMENT,
}
PATH = "/mlops/models/churn/versions/3"


def test_models_and_versions_are_read(client: Client, platform: Any):
    model = {"model_name": "churn", "created_at": "2026-01-02T03:04:05Z", "aliases": {"champion": "3"}}
    summary = model | {"latest_version": "3", "updated_at": None, "ready_versions": ["3"]}
    platform.on("GET", "/mlops/models", httpx.Response(200, json={"models": [summary]}))
    platform.on("GET", "/mlops/models/churn", httpx.Response(200, json=model | {"description": None, "versions": [VERSION]}))
    platform.on("GET", PATH, httpx.Response(200, json=VERSION))
    assert [seen.latest_version for seen in client.models.list()] == ["3"]
    assert client.models.get("churn").versions[0].metrics == {"accuracy": 0.9}
    assert client.models.version("churn", 3).lineage.job_id == "job_1"


def test_reports_of_a_version_are_read(client: Client, platform: Any):
    finding = {"severity": "high", "what": "loads os.system", "where": "model.pkl"}
    report = {"subject": "model", "tool": "picklescan", "state": "findings", "findings": [finding], "detail": None}
    platform.on("GET", PATH + "/reports", httpx.Response(200, json={"reports": [report]}))
    assert [found.findings[0].where for found in client.models.reports("churn", 3)] == ["model.pkl"]


def test_deployments_are_read_changed_and_deleted(client: Client, platform: Any):
    path = PATH + "/deployment"
    platform.on("GET", "/mlops/deployments", httpx.Response(200, json={"deployments": [DEPLOYMENT]}))
    platform.on("GET", path, httpx.Response(200, json=DEPLOYMENT))
    platform.on("PUT", path, httpx.Response(200, json=DEPLOYMENT))
    platform.on("DELETE", path, httpx.Response(202, json=DEPLOYMENT))
    assert client.deployments.list("churn")[0].status == "ready"
    assert client.deployments.get("churn", "3").replicas == 1
    client.deployments.put("churn", 3)
    client.deployments.put("churn", 3, min_replicas=0, memory="1GiB", batching=BatchingConfig(max_rows=8, wait_ms=2))
    client.deployments.put("churn", 3, gpus=0.5)
    client.deployments.put("churn", 3, max_replicas=4, batching=False)
    client.deployments.put("churn", 3, environment={"KERAS_BACKEND": "torch", "OLD": None})
    client.deployments.put("churn", 3, environment=False)
    client.deployments.delete("churn", 3)
    assert platform.bodies() == [
        {},
        {"min_replicas": 0, "memory": "1GiB", "batching": {"max_rows": 8, "wait_ms": 2.0}},
        {"gpus": 0.5},
        {"max_replicas": 4, "batching": None},
        {"environment": {"KERAS_BACKEND": "torch", "OLD": None}},
        {"environment": None},
    ]
    assert dict(platform.requests[0].url.params) == {"model_name": "churn"}


def test_signature_has_the_inputs_of_a_version(client: Client, platform: Any):
    column = {"name": "months", "type": "long", "required": True}
    answer = {"model_name": "churn", "model_version": "3", "inputs": [column], "tensors": [], "params": [], "example": None}
    platform.on("GET", "/mlops/models/churn/versions/3/signature", httpx.Response(200, json=answer))
    signature = client.models.signature("churn", 3)
    assert [(column.name, column.type) for column in signature.inputs] == [("months", "long")]
