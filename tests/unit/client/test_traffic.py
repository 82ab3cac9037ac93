from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from raylift import APIError, Client

PATH = "/mlops/models/churn/traffic"
VIEW: dict[str, Any] = {
    "model_name": "churn",
    "revision": 2,
    "updated_at": "2026-01-02T03:04:05Z",
    "updated_by": "ann",
    "routes": [{"version": "3", "alias": None, "weight": 90.0}, {"version": None, "alias": "next", "weight": 10.0}],
    "shadow": ["5"],
    "sticky": {"header": "X-User", "field": None},
    "versions": [
        {"model_version": "3", "alias": None, "share": 0.9, "shadow": False, "status": "ready", "replicas": 1},
        {"model_version": "4", "alias": "next", "share": 0.1, "shadow": False, "status": "ready", "replicas": 1},
        {"model_version": "5", "alias": None, "share": 0.0, "shadow": True, "status": "ready", "replicas": 1},
    ],
}
ALIAS = {"model_name": "churn", "alias": "champion", "version": "4", "previous_version": "3"}


def sent(platform: Any, method: str) -> list[Any]:
    return [json.loads(request.content) for request in platform.requests if request.method == method]


def test_traffic_table_is_read_put_and_deleted(client: Client, platform: Any):
    for method in ("GET", "PUT", "DELETE"):
        platform.on(method, PATH, httpx.Response(200, json=VIEW))
    assert client.traffic.get("churn").versions[1].model_version == "4"
    client.traffic.set("churn", {3: 90, "next": 10}, shadow=[5], sticky_header="X-User", revision=1)
    client.traffic.delete("churn")
    _, put, _ = platform.requests
    assert sent(platform, "PUT") == [
        {
            "routes": [{"version": "3", "weight": 90}, {"version": "next", "weight": 10}],
            "shadow": ["5"],
            "sticky": {"header": "X-User", "field": None},
        }
    ]
    assert put.headers["if-match"] == '"1"'


def test_put_over_a_changed_table_is_a_conflict(client: Client, platform: Any):
    problem = {"title": "Precondition Failed", "status": 412, "detail": "It is at revision 2.", "code": "traffic_changed"}
    platform.on("PUT", PATH, httpx.Response(412, json=problem))
    with pytest.raises(APIError) as refused:
        client.traffic.set("churn", {"3": 1}, revision=1)
    assert refused.value.code == "traffic_changed"


def test_history_is_read_and_rolled_back(client: Client, platform: Any):
    change = {
        "sequence": 1, "at": "2026-01-02T03:04:05Z", "who": "mlflow", "action": "alias", "revision": None, "before": None,
        "after": None, "alias": "champion", "before_version": "3", "after_version": "4",
    }  # fmt: skip
    page = {"model_name": "churn", "changes": [change], "next_before": None}
    platform.on("GET", f"{PATH}/history", httpx.Response(200, json=page))
    platform.on("POST", "/mlops/models/churn/rollback", httpx.Response(200, json=VIEW))
    assert client.traffic.history("churn").changes[0].who == "mlflow"
    client.traffic.rollback("churn")
    client.traffic.rollback("churn", revision=1)
    assert sent(platform, "POST") == [{}, {"revision": 1}]


def test_aliases_are_read_set_and_deleted(client: Client, platform: Any):
    path = "/mlops/models/churn/aliases/champion"
    platform.on("PUT", path, httpx.Response(200, json=ALIAS))
    platform.on("DELETE", path, httpx.Response(200, json=ALIAS | {"version": None}))
    assert client.models.set_alias("churn", "champion", 4).previous_version == "3"
    assert client.models.delete_alias("churn", "champion").version is None
    assert sent(platform, "PUT") == [{"version": "4"}]
