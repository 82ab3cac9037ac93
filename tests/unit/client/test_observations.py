from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from raylift import Client
from tests.unit.cli.test_observation_commands import STATS

VERSION = "/mlops/models/churn/versions/3"
ANSWER = {"model_name": "churn", "model_version": "3", "predictions": [1], "inference_time_ms": 0.1}


def test_stats_are_read(client: Client, platform: Any):
    platform.on("GET", f"{VERSION}/stats", httpx.Response(200, json=STATS))
    stats = client.models.stats("churn", 3)
    assert (stats.requests, stats.error_rate, stats.latency_p95_ms, stats.errors_by_kind) == (
        200,
        0.025,
        2.0,
        {"wrong_inputs": 5},
    )


def test_series_are_asked_for_by_age(client: Client, platform: Any):
    point = {
        "start": "2026-01-02T03:00:00Z", "requests": 6.0, "requests_per_second": 0.1, "errors": 0.0, "error_rate": 0.0,
        "rows": 6.0, "latency_mean_ms": 1.0, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 3.0,
        "queued": 0.0, "replicas": 1, "warm_processes": 0,
    }  # fmt: skip
    span = {"since": "2026-01-02T03:00:00Z", "until": "2026-01-02T03:01:00Z", "step_seconds": 60}
    body = {"model_name": "churn", "model_version": "3", **span, "points": [point]}
    platform.on("GET", f"{VERSION}/series", httpx.Response(200, json=body), httpx.Response(200, json=body))
    end = datetime(2026, 1, 2, 4, tzinfo=UTC)
    series = client.models.series("churn", 3, since=timedelta(hours=1), until=end, step=60)
    assert (series.points[0].latency_p99_ms, series.step_seconds) == (3.0, 60)
    assert dict(platform.requests[0].url.params) == {
        "since": "2026-01-02T03:00:00+00:00",
        "until": "2026-01-02T04:00:00+00:00",
        "step": "60",
    }
    client.models.series("churn", 3)
    assert dict(platform.requests[1].url.params) == {}


def test_prediction_has_its_request_id(client: Client, platform: Any):
    platform.on("POST", "/mlops/inference", httpx.Response(200, json=ANSWER))
    first, second = client.predict("churn", [[1.0]]), client.predict("churn", [[1.0]], request_id="mine")
    assert [request.headers["x-request-id"] for request in platform.requests] == [first.request_id, "mine"]
    assert (len(first.request_id or ""), second.request_id) == (32, "mine")


def test_feedback_is_sent_by_request_id(client: Client, platform: Any):
    platform.on("POST", f"{VERSION}/feedback", httpx.Response(200, json={"accepted": 2}))
    assert client.models.send_feedback("churn", 3, {"r1": 1, "r2": [0, 1]}) == 2
    assert json.loads(platform.requests[0].content) == {
        "feedback": [{"request_id": "r1", "true_value": 1}, {"request_id": "r2", "true_value": [0, 1]}]
    }
    with pytest.warns(DeprecationWarning, match="send_feedback"):
        assert client.models.tell("churn", 3, {"r1": 1}) == 2


def test_feedback_is_read_page_by_page(client: Client, platform: Any):
    def page(*ids: str, more: str | None) -> httpx.Response:
        told = [{"request_id": one, "true_value": 1, "received_at": "2026-01-02T03:04:05Z"} for one in ids]
        return httpx.Response(200, json={"feedback": told, "next_cursor": more})

    platform.on("GET", f"{VERSION}/feedback", page("a", "b", more="next"), page("c", more=None))
    assert [told.request_id for told in client.models.feedback("churn", 3)] == ["a", "b", "c"]
    assert [request.url.params.get("cursor") for request in platform.requests] == [None, "next"]


def test_payload_log_is_started_and_ended(client: Client, platform: Any):
    view = {
        "model_name": "churn", "model_version": "3", "status": "ready", "replicas": 1, "message": None, "min_replicas": 0,
        "max_replicas": 2, "target_ongoing_requests": 8.0, "max_ongoing_requests": 64, "max_queued_requests": 1024,
        "upscale_delay_s": None, "downscale_delay_s": None, "cpus": 0.1, "memory": None, "batching": None,
        "payload_log": {"sample_rate": 0.5, "max_body_bytes": 65536}, "route": "/v2/models/churn/versions/3",
        "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:05Z", "ready_at": None,
    }  # fmt: skip
    platform.on("PUT", f"{VERSION}/deployment", httpx.Response(200, json=view))
    shown = client.deployments.put("churn", 3, payload_log={"sample_rate": 0.5})
    assert shown.payload_log
    assert shown.payload_log.sample_rate == 0.5
    client.deployments.put("churn", 3, payload_log=False)
    assert [json.loads(request.content) for request in platform.requests] == [
        {"payload_log": {"sample_rate": 0.5}},
        {"payload_log": None},
    ]
