"""Observability of a version: counts, statistics, log lines, payloads and feedback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pandas as pd
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from raylift import Client
from raylift.engines.metrics.payload_files import version_directory
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

REGISTER = """
import sys, mlflow, pandas as pd
from sklearn.linear_model import LinearRegression

url, name = sys.argv[1:]
mlflow.set_tracking_uri(url)
frame = pd.DataFrame({"x": [1.0, 2.0]})
model = LinearRegression().fit(frame, [2.0, 4.0])
mlflow.sklearn.log_model(model, name="line", input_example=frame, pip_requirements=[], registered_model_name=name)
"""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def wait(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():
        time.sleep(0.1)


@pytest.fixture(scope="module")
def name(platform: LocalPlatform) -> str:
    """A version with one replica. The payloads of all its requests are kept."""
    model = f"seen-{uuid.uuid4().hex[:6]}"
    command = [sys.executable, "-c", REGISTER, platform.record.mlflow_url, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with Client(platform.url) as client:
        client.deployments.put(model, 1, min_replicas=1, payload_log={"sample_rate": 1.0})
        wait(lambda: client.deployments.get(model, 1).replicas > 0)
    return model


def samples(http: httpx.Client, model: str) -> dict[tuple[str, str], float]:
    """Values by metric name and by the labels other than model and version."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for sample in family.samples:
            if sample.labels.get("model") == model:
                other = [value for label, value in sample.labels.items() if label not in {"model", "version"}]
                found[sample.name, "".join(other)] = sample.value
    return found


def replica_of(platform: LocalPlatform, model: str) -> psutil.Process:
    (process,) = (p for p in processes_of(platform.record.instance) if f"ServeReplica:{model}:1" in " ".join(p.cmdline()))
    return process


def test_requests_show_in_metrics_statistics_logs_and_payloads(platform: LocalPlatform, client: Client, name: str) -> None:
    route = f"/v2/models/{name}/versions/1"
    ids = [uuid.uuid4().hex for _ in range(3)]
    with httpx.Client(base_url=platform.url, timeout=60) as http:
        for request_id in ids:
            headers = {"X-Request-ID": request_id, "traceparent": TRACE}
            answer = http.post(f"{route}/predict", json={"inputs": [{"x": 3.0}]}, headers=headers)
            assert (answer.status_code, answer.headers["x-request-id"], answer.headers["traceparent"]) == (
                200,
                request_id,
                TRACE,
            )
        by_name = client.predict(name, [{"x": 1.0}, {"x": 2.0}])
        assert len(http.post(f"{route}/predict", json={"inputs": [[5.0]]}).headers["x-request-id"]) > 8
        headers = {"X-Request-ID": f"wrong-{ids[0]}", "traceparent": TRACE}
        assert http.post(f"{route}/predict", json={"inputs": [{"y": 1.0}]}, headers=headers).status_code == 422
        scored = http.post(f"/v2/models/{name}/invocations", json={"dataframe_split": {"columns": ["x"], "data": [[1.0]]}})
        assert scored.status_code == 200, scored.text

        seen = samples(http, name)
        assert seen["raylift_predictions_total", "raylift"] == 6
        assert seen["raylift_predictions_total", "mlflow"] == 1
        assert seen["raylift_prediction_errors_total", "wrong_inputs"] == 1
        assert seen["raylift_prediction_seconds_count", ""] == 7
        assert seen["raylift_prediction_batch_rows_sum", ""] == 7
        assert seen["raylift_model_processes", "replica"] == 1
        assert seen["raylift_model_memory_bytes", "replica"] > 50_000_000
        assert seen["raylift_model_load_seconds_count", ""] >= 1
    stats = client.models.stats(name, 1)
    assert (stats.requests, stats.errors_by_kind, stats.replicas) == (7, {"wrong_inputs": 1}, 1)
    assert (stats.error_rate, stats.rows) == (1 / 7, 7)
    assert stats.latency_p50_ms is not None

    _is_in_the_replicas_log(platform, f"request_id={ids[0]} traceparent={TRACE} model={name} version=1")
    _is_in_the_replicas_log(platform, f"request_id=wrong-{ids[0]} traceparent={TRACE} model={name} version=1")
    _payloads_are_kept(platform, name, {*ids, by_name.request_id or ""})
    assert client.models.send_feedback(name, 1, dict.fromkeys(ids, 6.0)) == 3
    assert {told.request_id for told in client.models.feedback(name, 1)} == set(ids)
    assert client.models.stats(name, 1).feedback == 3


def _is_in_the_replicas_log(platform: LocalPlatform, line: str) -> None:
    logs = Path(platform.record.session_dir)
    wait(lambda: any(line in log.read_text(errors="replace") for log in logs.rglob("serve/*.log")))


def _payloads_are_kept(platform: LocalPlatform, name: str, ids: set[str]) -> None:
    directory = version_directory(platform.record.state_dir / "payloads", name, "1")

    def kept() -> pd.DataFrame:
        return pd.read_parquet(directory) if list(directory.rglob("*.parquet")) else pd.DataFrame({"request_id": []})

    wait(lambda: len(kept()) == 7)
    frame = kept().set_index("request_id")
    assert ids <= set(frame.index)
    one = frame.loc[min(ids)]
    assert (one["model_name"], one["model_version"], one["status"], one["protocol"]) == (name, "1", 200, "raylift")
    assert "predictions" in one["outputs"]
    assert set(frame["status"]) == {200, 422}


@pytest.mark.nightly
def test_counts_survive_the_process_that_made_them(platform: LocalPlatform, name: str) -> None:
    with httpx.Client(base_url=platform.url, timeout=60) as http:
        route = f"/v2/models/{name}/versions/1/infer"
        tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
        assert http.post(route, json={"inputs": [tensor]}).status_code == 200
        before = samples(http, name)
        killed = replica_of(platform, name)
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        after = samples(http, name)
        for metric in ("raylift_predictions_total", "raylift_prediction_errors_total"):
            counts = {key: value for key, value in before.items() if key[0] == metric}
            assert {key: after[key] for key in counts} == counts
        assert after["raylift_predictions_total", "open_inference"] == 1
        wait(lambda: samples(http, name)["raylift_model_processes", "replica"] == 1)
