from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from raylift import Client, InvalidRequest, Unavailable

INFERENCE = "/mlops/inference"
Problem = Callable[..., httpx.Response]
ANSWER = {"model_name": "churn", "model_version": "3", "predictions": [0, 1], "inference_time_ms": 0.8}


def test_predict_with_the_fewest_arguments(client: Client, platform: Any):
    platform.on("POST", INFERENCE, httpx.Response(200, json=ANSWER))
    answer = client.predict("churn", np.ones((2, 2)))
    assert platform.bodies() == [{"model_name": "churn", "inputs": [[1.0, 1.0], [1.0, 1.0]]}]
    assert (answer.predictions, list(answer), len(answer), answer.model_version) == ([0, 1], [0, 1], 2, "3")
    assert (answer.inference_time_ms, answer.probabilities, answer.classes, answer.raw) == (0.8, None, None, ANSWER)
    assert answer.to_numpy().tolist() == [0, 1]


def test_predict_with_all_arguments(client: Client, platform: Any):
    more = {"probabilities": [[0.9, 0.1], [0.2, 0.8]], "classes": ["no", "yes"]}
    platform.on("POST", INFERENCE, httpx.Response(200, json=ANSWER | more))
    answer = client.predict("churn", {"a": [1, 2]}, version=3, alias="champion", proba=True, params={"t": 1})
    assert platform.bodies() == [
        {
            "model_name": "churn",
            "model_version": "3",
            "alias": "champion",
            "inputs": {"a": [1, 2]},
            "return_probabilities": True,
            "params": {"t": 1},
        }
    ]
    assert (answer.probabilities, answer.classes) == ([[0.9, 0.1], [0.2, 0.8]], ["no", "yes"])


@pytest.mark.parametrize("is_file", [True, False])
def test_csv_is_sent_unchanged(client: Client, platform: Any, tmp_path: Path, is_file: bool):
    platform.on("POST", INFERENCE, httpx.Response(200, json=ANSWER))
    content = b"zip,country\n01234,NA\n"
    (tmp_path / "rows.csv").write_bytes(content)
    answer = client.predict_csv("churn", tmp_path / "rows.csv" if is_file else content, alias="champion", proba=True)
    assert answer.predictions == [0, 1]
    (request,) = platform.requests
    assert (request.content, request.headers["content-type"]) == (content, "text/csv")
    assert dict(request.url.params) == {"model_name": "churn", "alias": "champion", "return_probabilities": "true"}
    assert request.headers["x-scale-up-timeout"] == "60"


def test_retry_after_is_obeyed_within_the_timeout(client: Client, platform: Any, clock: Any, make_problem: Problem):
    later = make_problem(503, "deployment_not_ready", "starting", {"Retry-After": "7"})
    full = make_problem(429, "queue_full", "full", {"Retry-After": "1"})
    platform.on("POST", INFERENCE, later, later, later, later, later, full, httpx.Response(200, json=ANSWER))
    assert client.predict("churn", [[1]], timeout=60).predictions == [0, 1]
    assert clock.slept == [7.0] * 5 + [1.0]
    waits = [request.headers["X-Scale-Up-Timeout"] for request in platform.requests]
    assert waits == ["60", "53", "46", "39", "32", "25", "24"]


def test_retries_end_at_the_timeout(client: Client, platform: Any, clock: Any, make_problem: Problem):
    platform.on("POST", INFERENCE, make_problem(503, "deployment_not_ready", "starting", {"Retry-After": "7"}))
    with pytest.raises(Unavailable, match="starting") as caught:
        client.predict("churn", [[1]], timeout=20)
    assert caught.value.retry_after == 7
    assert clock.slept == [7.0, 7.0]


def test_unhealthy_version_is_not_retried(client: Client, platform: Any, clock: Any, make_problem: Problem):
    platform.on("POST", INFERENCE, make_problem(503, "deployment_unhealthy", "no module named x", {"Retry-After": "5"}))
    with pytest.raises(Unavailable, match="no module named x"):
        client.predict("churn", [[1]])
    assert clock.slept == []


def test_errors_in_the_inputs_come_from_the_platform(client: Client, platform: Any, make_problem: Problem):
    platform.on("POST", INFERENCE, make_problem(422, "invalid_request", "The model wants 20 features; 2 came."))
    with pytest.raises(InvalidRequest, match="wants 20 features"):
        client.predict("churn", [[1, 2]])


def test_prediction_is_retried_after_a_lost_connection(client: Client, platform: Any):
    platform.on("POST", INFERENCE, httpx.ReadError("reset"), httpx.Response(502), httpx.Response(200, json=ANSWER))
    assert client.predict("churn", [[1]]).predictions == [0, 1]


def test_only_arrays_need_numpy():
    code = """
import sys
sys.modules["numpy"] = None
from raylift import Prediction
p = Prediction("m", "1", [1], 0.1)
try:
    p.to_numpy()
except ImportError as error:
    print("no numpy")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "no numpy\n"
