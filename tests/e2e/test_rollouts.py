"""Rollouts on a real platform, with requests all the time: a good candidate takes over, a bad one goes back by itself."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import httpx
import mlflow
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from raylift import Client, Conflict
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.protocol_models import PICKLED, Logged, is_found, register

CITIES = pd.DataFrame({"city": ["rome", "paris"]})


@pytest.fixture(scope="module")
def model(platform: LocalPlatform) -> str:
    """A model whose versions 1 and 2 know what to do with a new city, and whose version 3 fails."""
    prefix = f"rollout-{uuid.uuid4().hex[:6]}"
    for unknown in ("ignore", "ignore", "error"):
        fitted = make_pipeline(OneHotEncoder(handle_unknown=unknown), LinearRegression()).fit(CITIES, [0.0, 1.0])
        register({"model": Logged(mlflow.sklearn.log_model, fitted, CITIES, PICKLED)}, prefix, platform.record.mlflow_url)
    name = f"{prefix}-model"
    with Client(platform.url, timeout=300) as client:
        for version in ("1", "2", "3"):
            until(lambda version=version: is_found(client, name, version))
            client.deployments.wait(name, version, timeout=240)
        client.models.set_alias(name, "champion", 1)
        client.traffic.set(name, {"champion": 1})
    return name


@pytest.fixture
def asked(platform: LocalPlatform, model: str) -> Iterator[list[int]]:
    """The statuses of the answers to a client that asks all the time, with a city that no version was trained with."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=platform.url, timeout=60) as client:
            while not over.is_set():
                answer = client.post("/mlops/inference", json={"model_name": model, "inputs": [{"city": "oslo"}]})
                statuses.append(answer.status_code)
                over.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    yield statuses
    over.set()
    thread.join()


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_good_candidate_takes_over_and_a_bad_one_goes_back(client: Client, model: str, asked: list[int]) -> None:
    # Latency on a busy machine is not what is tested.
    guards = {"p95_ratio": None}
    steps = [{"shadow": True, "min_requests": 5}, {"weight": 50, "min_requests": 20}, {"approval": True}, 100]
    good = client.rollouts.start(model, 2, steps=steps, guards=guards)
    assert (good.champion, good.candidate, good.alias) == ("1", "2", "champion")
    with pytest.raises(Conflict, match="has a rollout that has not ended"):
        client.rollouts.start(model, 3)
    until(lambda: client.rollouts.get(model).status == "awaiting_approval")
    assert {route.version: route.weight for route in client.traffic.get(model).routes} == {"1": 50.0, "2": 50.0}
    client.rollouts.approve(model)
    done = client.rollouts.wait(good.rollout_id, timeout=120)
    assert (done.status, [step.state for step in done.steps]) == ("completed", ["done"] * 4)
    assert client.models.get(model).aliases == {"champion": "2"}
    assert [route.alias for route in client.traffic.get(model).routes] == ["champion"]
    assert set(asked) == {200}

    bad = client.rollouts.start(model, 3, steps=[{"weight": 50, "pause_seconds": 3600}, 100], guards=guards)
    ended = client.rollouts.wait(bad.rollout_id, timeout=120)
    assert (ended.status, ended.step) == ("rolled_back", 1)
    assert "Version 3 failed" in ended.message
    assert client.models.get(model).aliases == {"champion": "2"}
    assert [route.alias for route in client.traffic.get(model).routes] == ["champion"]
    assert [change.action for change in client.traffic.history(model, limit=2).changes] == ["rollout", "rollout"]


GATED = """
import mlflow
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
with mlflow.start_run():
    mlflow.log_metric("r2", {r2})
    mlflow.sklearn.log_model(model, name="model", input_example=[[0.5]])
"""


def test_gate_keeps_a_worse_version_and_promotes_the_first(client: Client) -> None:
    name = f"gated-{uuid.uuid4().hex[:6]}"
    gate = {"alias": "champion", "when": "r2 > champion.r2"}
    first = client.train(script_content=GATED.format(r2=0.8), model=name, autolog=False, cpus=0.5, promote=gate)
    first.wait(240)
    until(lambda: client.models.get(name).aliases == {"champion": "1"})
    assert [route.alias for route in client.traffic.get(name).routes] == ["champion"]
    worse = client.train(script_content=GATED.format(r2=0.7), model=name, autolog=False, cpus=0.5, promote=gate)
    worse.wait(240)
    until(lambda: _outcome(client, worse.job_id) == "kept")
    promotion = client.jobs.get(worse.job_id).view.promotion
    assert promotion is not None
    assert promotion.message == "`r2 > champion.r2` does not hold: r2 = 0.7, champion.r2 = 0.8."
    assert client.models.get(name).aliases == {"champion": "1"}


def _outcome(client: Client, job_id: str) -> str | None:
    promotion = client.jobs.get(job_id).view.promotion
    return None if promotion is None else promotion.outcome
