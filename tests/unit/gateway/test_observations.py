"""Statistics, metrics and feedback with a real store and real counter files. The processes are simulated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from raylift.domain.job import JobState, Reason
from raylift.domain.models.counters import ProcessKind
from serve_apps.model_server.codecs.base import Response
from serve_apps.model_server.observability.exchange import Exchange
from serve_apps.model_server.observability.observer import Observer
from tests.unit.gateway.conftest import Platform

VERSION = "/mlops/models/m/versions/1"


@pytest.fixture(autouse=True)
def registered(platform: Platform) -> None:
    platform.registry.register("m", "1")


@pytest.fixture
def replica(platform: Platform) -> Iterator[Observer]:
    """A process of the version that answered two requests and refused one."""
    observer = Observer("m", "1", ProcessKind.REPLICA, str(platform.settings.counters_dir))
    observer.loading(lambda: None)
    for seconds, error in ((0.002, None), (0.002, None), (0.02, "wrong_inputs")):
        observer.began("/predict")
        rows = 0 if error else 2
        response = Response(422 if error else 200, b"{}", error=error)
        observer.ended(Exchange("/predict", (), b"", response, seconds, rows, rows * 2))
    yield observer
    observer.close()


async def samples(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = (await client.get("/metrics")).text
    found: list[Sample] = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in found}


def of(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset({"model": "m", "version": "1", **labels}.items())


@pytest.mark.usefixtures("replica")
async def test_metrics_show_the_counts_of_the_processes(client: httpx.AsyncClient) -> None:
    seen = await samples(client)
    assert seen[of("raylift_predictions_total", protocol="raylift")] == 3
    assert seen[of("raylift_predictions_total", protocol="mlflow")] == 0
    assert seen[of("raylift_prediction_errors_total", kind="wrong_inputs")] == 1
    assert seen[of("raylift_prediction_seconds_count")] == 3
    assert seen[of("raylift_prediction_seconds_bucket", le="0.001")] == 0
    assert seen[of("raylift_prediction_seconds_bucket", le="0.0025")] == 2
    assert seen[of("raylift_prediction_seconds_bucket", le="+Inf")] == 3
    # Two requests of two rows each, computed together, are one batch of four.
    assert seen[of("raylift_prediction_batch_rows_count")] == 1
    assert seen[of("raylift_prediction_batch_rows_sum")] == 4
    assert seen[of("raylift_prediction_batch_rows_bucket", le="2.0")] == 0
    assert seen[of("raylift_model_processes", process="replica")] == 1
    assert seen[of("raylift_model_ongoing_requests")] == 0
    assert seen[of("raylift_model_load_seconds_count")] == 1


async def test_statistics_summarise_the_counts(client: httpx.AsyncClient, replica: Observer) -> None:
    replica.began("/infer")
    stats = (await client.get(f"{VERSION}/stats")).json()
    assert stats["requests"] == 4
    assert stats["requests_by_protocol"] == {"raylift": 3, "open_inference": 1}
    assert (stats["errors"], stats["error_rate"], stats["errors_by_kind"]) == (1, 0.25, {"wrong_inputs": 1})
    assert (stats["rows"], stats["mean_batch_rows"]) == (4, 4.0)
    assert 1.0 <= stats["latency_p50_ms"] <= 2.5
    assert 10.0 <= stats["latency_p99_ms"] <= 25.0
    assert stats["latency_mean_ms"] == pytest.approx(8.0)
    assert (stats["replicas"], stats["warm_processes"], stats["ongoing_requests"]) == (1, 0, 1)
    assert datetime.fromisoformat(stats["since"]) <= datetime.now(UTC)


async def test_unused_version_has_empty_statistics(client: httpx.AsyncClient) -> None:
    stats = (await client.get(f"{VERSION}/stats")).json()
    assert (stats["requests"], stats["error_rate"], stats["since"], stats["latency_p50_ms"]) == (0, None, None, None)
    assert (await client.get("/mlops/models/m/versions/9/stats")).status_code == 404


async def test_feedback_is_stored_and_read(client: httpx.AsyncClient) -> None:
    one = await client.post(f"{VERSION}/feedback", json={"request_id": "r1", "true_value": 1})
    assert (one.status_code, one.json()) == (200, {"accepted": 1})
    entries = [{"request_id": "r1", "true_value": [0]}, {"request_id": "r2", "true_value": "yes"}]
    assert (await client.post(f"{VERSION}/feedback", json={"feedback": entries})).json() == {"accepted": 2}
    first = (await client.get(f"{VERSION}/feedback", params={"limit": 1})).json()
    second = (await client.get(f"{VERSION}/feedback", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    told = {one["request_id"]: one["true_value"] for one in (*first["feedback"], *second["feedback"])}
    assert told == {"r1": [0], "r2": "yes"}
    assert second["next_cursor"] is None
    assert (await client.get(f"{VERSION}/stats")).json()["feedback"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"request_id": "r1"}, "true_value"),
        ({"request_id": "r1", "true_value": None}, "true_value"),
        ({"request_id": "a b", "true_value": 1}, "request_id"),
        ({"request_id": "x" * 129, "true_value": 1}, "request_id"),
        ({"feedback": []}, "feedback"),
        (
            {"feedback": [{"request_id": "r1", "true_value": 1}, {"request_id": "r2", "true_value": None}]},
            "feedback[1].true_value",
        ),
        ({"feedback": [{"request_id": "r1", "true_value": 1, "unknown": 2}]}, "feedback[0].unknown"),
    ],
)
async def test_wrong_feedback_is_refused_whole(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    refused = await client.post(f"{VERSION}/feedback", json=body)
    assert refused.status_code == 422, refused.text
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert (await client.get(f"{VERSION}/feedback")).json()["feedback"] == []


async def test_feedback_to_an_unknown_version_is_404(client: httpx.AsyncClient) -> None:
    answer = await client.post("/mlops/models/m/versions/9/feedback", json={"request_id": "r1", "true_value": 1})
    assert answer.status_code == 404
    assert (
        await client.post(f"{VERSION}/feedback", content=b"{", headers={"Content-Type": "application/json"})
    ).status_code == 400
    assert (await client.post(f"{VERSION}/feedback", content=b"a=1")).status_code == 415


async def test_payload_log_is_started_and_ended(client: httpx.AsyncClient) -> None:
    path = f"{VERSION}/deployment"
    put = (await client.put(path, json={"payload_log": {"sample_rate": 0.5}})).json()
    assert put["payload_log"] == {"sample_rate": 0.5, "max_body_bytes": 65536}
    assert (await client.put(path, json={"max_replicas": 3})).json()["payload_log"] == put["payload_log"]
    assert (await client.put(path, json={"payload_log": None})).json()["payload_log"] is None
    refused = await client.put(path, json={"payload_log": {"sample_rate": 2}})
    assert [error["field"] for error in refused.json()["errors"]] == ["payload_log.sample_rate"]


async def test_failed_jobs_are_counted_by_reason(client: httpx.AsyncClient, platform: Platform) -> None:
    upload = {"script_content": "print(1)", "experiment_name": "e"}
    job_id = (await client.post("/mlops/training/upload", json=upload)).json()["job_id"]
    platform.start(job_id)
    platform.finish(job_id, JobState.FAILED, reason=Reason.SCRIPT_ERROR, message="ValueError: no", exit_code=1)
    assert (await samples(client))["raylift_failed_jobs", frozenset({("reason", "script_error")})] == 1
