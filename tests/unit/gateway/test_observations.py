"""Statistics, metrics and feedback with a real store and real counter files. The processes are simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from raylift.domain.job import JobState, Reason
from raylift.domain.models.counters import SECONDS, ProcessKind
from raylift.domain.models.series import MINUTE, Interval, aligned
from raylift.engines.metrics.payload_files import Payload, write_payloads
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


def record_minutes(platform: Platform, start: datetime, requests: Sequence[float]) -> datetime:
    """Let the supervisor have recorded minutes with so many requests each. Returns their end."""
    minutes = [
        Interval("m", "1", MINUTE, start + timedelta(minutes=number), {"requests": count, SECONDS[5]: count}, 0.0, 2, 0)
        for number, count in enumerate(requests)
        if count
    ]
    end = start + timedelta(minutes=len(requests))
    platform.store.series.record([], baselines=[], gone=(), since=None, until=start)
    platform.store.series.record(minutes, baselines=[], gone=(), since=start, until=end)
    return end


async def test_series_has_a_point_for_each_minute(client: httpx.AsyncClient, platform: Platform) -> None:
    start = aligned(datetime.now(UTC) - timedelta(minutes=5), MINUTE)
    end = record_minutes(platform, start, [60, 0, 0, 30, 0])
    seen = (await client.get(f"{VERSION}/series", params={"since": start.isoformat()})).json()
    assert (datetime.fromisoformat(seen["until"]), seen["step_seconds"]) == (end, 60)
    points = seen["points"]
    assert [point["requests"] for point in points] == [60, 0, 0, 30, 0]
    assert [point["requests_per_second"] for point in points] == [1.0, 0, 0, 0.5, 0]
    assert [point["replicas"] for point in points] == [2] * 5
    assert points[0]["latency_p99_ms"] == pytest.approx(4.975)
    assert (points[1]["latency_p99_ms"], points[1]["error_rate"]) == (None, None)


async def test_series_of_ten_minutes_ends_with_an_incomplete_one(client: httpx.AsyncClient, platform: Platform) -> None:
    start = aligned(datetime.now(UTC) - timedelta(minutes=15), 600)
    record_minutes(platform, start, [6] * 15)
    seen = (await client.get(f"{VERSION}/series", params={"since": start.isoformat(), "step": 600})).json()
    assert [(point["requests"], point["requests_per_second"]) for point in seen["points"]] == [(60, 0.1), (30, 0.1)]


async def test_series_of_a_version_without_processes_is_empty(client: httpx.AsyncClient) -> None:
    seen = (await client.get(f"{VERSION}/series")).json()
    assert {point["requests"] for point in seen["points"]} == {0}
    assert len(seen["points"]) == 60


@pytest.mark.parametrize(
    ("days", "step", "said"),
    [(2, 60, "multiple of 600"), (1, 90, "multiple of 60"), (30, 600, "at most 1500")],
)
async def test_series_with_a_wrong_step_is_refused(client: httpx.AsyncClient, days: int, step: int, said: str) -> None:
    since = datetime.now(UTC) - timedelta(days=days)
    answer = await client.get(f"{VERSION}/series", params={"since": since.isoformat(), "step": step})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


async def test_step_of_a_series_grows_with_its_length(client: httpx.AsyncClient) -> None:
    steps: list[int] = []
    for hours in (1, 12, 24, 24 * 7, 24 * 30):
        since = datetime.now(UTC) - timedelta(hours=hours)
        steps.append((await client.get(f"{VERSION}/series", params={"since": since.isoformat()})).json()["step_seconds"])
    assert steps == [60, 600, 600, 3600, 10_800]


async def test_series_of_an_unknown_version_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/mlops/models/m/versions/9/series")).status_code == 404


def log_answers(platform: Platform, answers: dict[str, str], at: datetime) -> None:
    rows = [
        Payload(request_id, at, "m", "1", "raylift", 200, None, 1.0, 1, "{}", body, 2, len(body), None)
        for request_id, body in answers.items()
    ]
    write_payloads(platform.settings.payloads_dir, rows)


async def test_quality_joins_true_values_with_logged_answers(client: httpx.AsyncClient, platform: Platform) -> None:
    now = datetime.now(UTC)
    log_answers(
        platform, {"r1": '{"predictions": [1, 0]}', "r2": '{"predictions": [1]}', "r3": "no JSON"}, now - timedelta(hours=20)
    )
    told = [{"request_id": f"r{number}", "true_value": value} for number, value in ((1, [1, 1]), (2, 1), (3, 1), (4, 1))]
    await client.post(f"{VERSION}/feedback", json={"feedback": told})
    seen = (await client.get(f"{VERSION}/quality", params={"since": (now - timedelta(hours=1)).isoformat()})).json()
    assert (seen["feedback"], seen["joined"], seen["overall"]["rows"]) == (4, 3, 3)
    assert seen["overall"]["accuracy"] == pytest.approx(2 / 3)
    assert [(point["rows"], point["rmse"]) for point in seen["points"]] == [(3, None)]


async def test_quality_counts_no_true_value_from_before_since(client: httpx.AsyncClient, platform: Platform) -> None:
    log_answers(platform, {"r1": '{"predictions": [1]}', "r2": '{"predictions": [1]}'}, datetime.now(UTC))
    await client.post(f"{VERSION}/feedback", json={"request_id": "r1", "true_value": 0})
    since = datetime.now(UTC)
    await client.post(f"{VERSION}/feedback", json={"request_id": "r2", "true_value": 1})
    # The points begin at whole minutes, the sum does not.
    seen = (await client.get(f"{VERSION}/quality", params={"since": since.isoformat()})).json()
    assert (seen["feedback"], seen["overall"]["rows"], seen["overall"]["accuracy"]) == (1, 1, 1.0)


async def test_quality_of_numbers_is_an_error(client: httpx.AsyncClient, platform: Platform) -> None:
    log_answers(platform, {"r1": '{"predictions": [1.5]}'}, datetime.now(UTC))
    await client.post(f"{VERSION}/feedback", json={"request_id": "r1", "true_value": 2})
    seen = (await client.get(f"{VERSION}/quality")).json()
    assert (seen["overall"]["rmse"], seen["overall"]["mae"], seen["overall"]["accuracy"]) == (0.5, 0.5, None)


async def test_quality_without_a_payload_log_says_what_came(client: httpx.AsyncClient) -> None:
    await client.post(f"{VERSION}/feedback", json={"request_id": "r1", "true_value": 2})
    seen = (await client.get(f"{VERSION}/quality")).json()
    assert (seen["feedback"], seen["joined"], seen["points"], seen["overall"]["accuracy"]) == (1, 0, [], None)
