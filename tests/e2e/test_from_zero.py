"""Versions scale to zero and back while requests arrive: none fails, and all answers are equal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

REGISTER = """
import sys, mlflow, numpy as np
from sklearn.linear_model import LinearRegression

url, chosen, count = sys.argv[1:]
mlflow.set_tracking_uri(url)

class Fragile(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import os
        if (model_input["x"] < 0).any():
            os._exit(7)
        return model_input["x"]

import pandas as pd
frame = pd.DataFrame({"x": [1.0, 2.0]})
if chosen == "line":
    info = mlflow.sklearn.log_model(
        LinearRegression().fit(frame, [2.0, 4.0]), name="line", input_example=frame, pip_requirements=[]
    )
else:
    info = mlflow.pyfunc.log_model(name="fragile", python_model=Fragile(), input_example=frame, pip_requirements=[])
client = mlflow.MlflowClient()
client.create_registered_model(chosen)
for _ in range(int(count)):
    client.create_model_version(chosen, info.model_uri, model_id=info.model_id)
"""
VERSIONS = 2
"""Each starts a process for its first health check."""


SOON = {"downscale_delay_s": 4.0, "upscale_delay_s": 1.0}
"""So that replicas come and go within seconds."""


@pytest.fixture(scope="module")
def registered(platform: LocalPlatform) -> None:
    register(platform, "line", VERSIONS)


@pytest.fixture(scope="module")
def fragile(platform: LocalPlatform) -> None:
    register(platform, "fragile", 1)


def register(platform: LocalPlatform, name: str, versions: int) -> None:
    """Register a model, and let its replicas come and go within seconds."""
    command = [sys.executable, "-c", REGISTER, platform.record.mlflow_url, name, str(versions)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with httpx.Client(base_url=platform.url, timeout=60, trust_env=False) as client:
        for path in (f"/mlops/models/{name}/versions/{number + 1}/deployment" for number in range(versions)):
            wait(lambda path=path: client.get(path).status_code == 200)
            client.put(path, json=SOON).raise_for_status()


@pytest.fixture
def http(platform: LocalPlatform, registered: None) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, timeout=60, trust_env=False) as client:
        yield client


def deployment(http: httpx.Client, name: str, version: int) -> dict[str, Any]:
    return http.get(f"/mlops/models/{name}/versions/{version}/deployment").json()


def wait(condition: Callable[[], bool], *, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():
        meanwhile()
        time.sleep(0.2)  # Each look asks the gateway, and some read the list of all processes.


def ask(http: httpx.Client, name: str, version: int, x: float = 3.0) -> httpx.Response:
    return http.post(f"/v2/models/{name}/versions/{version}/predict", json={"inputs": [{"x": x}]})


def replicas(platform: LocalPlatform, name: str) -> list[int]:
    """Replica processes of the model's versions, those that are about to end included."""
    ours = {process.pid for process in processes_of(platform.record.instance)}
    found = ((process.pid, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return [pid for pid, command in found if pid in ours and f"ServeReplica:{name}:" in " ".join(command)]


def is_parked(http: httpx.Client, name: str, version: int) -> bool:
    return deployment(http, name, version).get("status") == "scaled_to_zero"


def test_registered_versions_are_checked_and_scaled_to_zero(http: httpx.Client, platform: LocalPlatform) -> None:
    wait(lambda: all(is_parked(http, "line", version + 1) for version in range(VERSIONS)))
    wait(lambda: not replicas(platform, "line"))
    answers = [ask(http, "line", version + 1) for version in range(VERSIONS)]
    assert [answer.status_code for answer in answers] == [200] * VERSIONS
    assert {round(answer.json()["predictions"][0], 9) for answer in answers} == {6.0}
    by_name = {"model_name": "line", "inputs": [{"x": 3.0}]}
    # The gateway's view of a model may be a second old.
    wait(lambda: http.post("/mlops/inference", json=by_name).json()["model_version"] == str(VERSIONS))


def test_scaling_from_zero_and_back_fails_no_request(http: httpx.Client) -> None:
    wait(lambda: is_parked(http, "line", 1))
    answers: set[tuple[int, str]] = set()

    def note() -> None:
        answer = ask(http, "line", 1)
        answers.add((answer.status_code, str(answer.json().get("predictions", answer.text))))

    wait(lambda: deployment(http, "line", 1)["replicas"] > 0, meanwhile=note)
    for _ in range(100):
        note()
    # Rarely enough for the autoscaler to remove the replica.
    wait(lambda: is_parked(http, "line", 1), meanwhile=lambda: time.sleep(0.5))
    # Requests meanwhile may bring the replica back before its route is gone.
    wait(lambda: "line:1" not in http.get("/-/routes").text or not is_parked(http, "line", 1), meanwhile=note)
    note()
    assert {status for status, _ in answers} == {200}
    assert len(answers) == 1


@pytest.mark.nightly
def test_model_that_crashes_its_process_stops_no_other_version(http: httpx.Client, fragile: None) -> None:
    wait(lambda: is_parked(http, "fragile", 1))
    assert ask(http, "fragile", 1).json()["predictions"] == [3.0]
    assert ask(http, "line", 2).status_code == 200
    crashed = ask(http, "fragile", 1, x=-1.0)
    assert crashed.status_code == 502, crashed.text
    assert ask(http, "line", 2).status_code == 200
    assert ask(http, "fragile", 1).status_code == 200


@pytest.mark.nightly
def test_killed_warm_process_costs_no_request(http: httpx.Client, platform: LocalPlatform) -> None:
    wait(lambda: is_parked(http, "line", 2))
    assert ask(http, "line", 2).status_code == 200
    warm = [p for p in processes_of(platform.record.instance) if "serve_apps.warm_pool.fork_server" in p.cmdline()]
    assert warm
    for process in warm:
        process.send_signal(signal.SIGKILL)
    assert ask(http, "line", 2).status_code == 200
