"""Traffic on a real platform: tables and aliases change under load, and no request fails."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.dummy import DummyRegressor

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.protocol_models import PICKLED, Logged, is_found, register

CLIENTS = 4
FLIPS = 20
"""The gateway alone is asked during 50, in tests/integration/gateway/test_traffic_under_load.py."""


@dataclass
class Load:
    """Clients that send requests all the time, and their answers."""

    url: str
    model: str
    failures: list[str] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        paths = itertools.cycle(["/mlops/inference", f"/v2/models/{self.model}/invocations"])
        self._threads = [threading.Thread(target=self._ask, args=(next(paths),)) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str) -> None:
        body = (
            {"model_name": self.model, "inputs": [{"age": 0.1}]} if path == "/mlops/inference" else {"inputs": [{"age": 0.1}]}
        )
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(path, json=body)
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                version = answer.headers.get("x-raylift-model-version", "")
                # Each version predicts its own number: the header must name the version that answered.
                if answer.status_code != 200 or answer.json()["predictions"] != [float(version or "nan")]:
                    self.failures.append(f"{answer.status_code} version {version}: {answer.text[:300]}")
                self.answered[version] = self.answered.get(version, 0) + 1
                # Some hundred requests a second. Without a pause, the clients take the processor from what they test.
                self._stop.wait(0.02)


@pytest.fixture(scope="module")
def model(platform: LocalPlatform) -> str:
    """A model whose versions 1, 2 and 3 predict 1, 2 and 3, with one process each."""
    prefix, example = f"traffic-{uuid.uuid4().hex[:6]}", pd.DataFrame({"age": [0.1, 0.2]})
    for answer in (1.0, 2.0, 3.0):
        constant = DummyRegressor(strategy="constant", constant=answer).fit(example, [0.0, 0.0])
        register({"model": Logged(mlflow.sklearn.log_model, constant, example, PICKLED)}, prefix, platform.record.mlflow_url)
    name = f"{prefix}-model"
    with Client(platform.url, timeout=300) as client:
        for version in ("1", "2", "3"):
            until(lambda version=version: is_found(client, name, version))
            client.deployments.put(name, version, min_replicas=1)
        until(lambda: all(client.deployments.get(name, version).replicas for version in ("1", "2", "3")))
    return name


@pytest.fixture
def load(platform: LocalPlatform, model: str) -> Iterator[Load]:
    load = Load(platform.url, model)
    load.start()
    yield load
    load.stop()


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def version_of(client: Client, model: str) -> str | None:
    return client.predict(model, [{"age": 0.1}]).model_version


def by_alias(client: Client, model: str) -> str | None:
    return client.predict(model, [{"age": 0.1}], alias="champion").model_version


def test_change_of_traffic_fails_no_request(platform: LocalPlatform, client: Client, model: str, load: Load) -> None:
    for version in itertools.islice(itertools.cycle(["1", "2"]), FLIPS):
        client.traffic.set(model, {version: 1})
        until(lambda version=version: version_of(client, model) == version, seconds=30)
    client.traffic.set(model, {"1": 50, "2": 50}, sticky_header="X-User")
    assert load.failures == []
    assert load.answered["1"] > FLIPS
    assert load.answered["2"] > FLIPS
    changes = client.traffic.history(model, limit=500).changes
    assert [change.revision for change in changes] == list(range(FLIPS + 1, 0, -1))


def test_alias_move_in_mlflow_moves_the_traffic(platform: LocalPlatform, client: Client, model: str, load: Load) -> None:
    registry = MlflowClient(platform.record.mlflow_url, platform.record.mlflow_url)
    registry.set_registered_model_alias(model, "champion", "1")
    client.traffic.set(model, {"champion": 1})
    for version in ("2", "1", "3"):
        registry.set_registered_model_alias(model, "champion", version)
        until(lambda version=version: version_of(client, model) == version, seconds=30)
        until(lambda version=version: by_alias(client, model) == version, seconds=30)
    until(lambda: client.traffic.history(model, limit=1).changes[0].after_version == "3", seconds=30)
    seen = client.traffic.history(model, limit=1).changes[0]
    assert (seen.who, seen.action, seen.alias) == ("mlflow", "alias", "champion")

    moved = client.models.set_alias(model, "champion", 2)
    assert (moved.previous_version, moved.version) == ("3", "2")
    assert registry.get_model_version_by_alias(model, "champion").version == "2"
    until(lambda: version_of(client, model) == "2", seconds=30)
    assert client.traffic.history(model, limit=1).changes[0].who == "local"

    client.traffic.rollback(model)
    assert registry.get_model_version_by_alias(model, "champion").version == "3"
    until(lambda: version_of(client, model) == "3", seconds=30)
    assert load.failures == []


def test_split_is_sticky_and_rolled_back_in_one_call(client: Client, platform: LocalPlatform, model: str) -> None:
    client.traffic.set(model, {"3": 1})
    client.traffic.set(model, {"1": 50, "2": 50}, sticky_header="X-User")
    body = {"model_name": model, "inputs": [{"age": 0.1}]}
    with httpx.Client(base_url=platform.url, timeout=60) as http:

        def home(user: int) -> str:
            return http.post("/mlops/inference", json=body, headers={"X-User": str(user)}).json()["model_version"]

        until(lambda: {home(user) for user in range(20)} == {"1", "2"})
        homes = {user: {home(user) for _ in range(3)} for user in range(20)}
    assert all(len(versions) == 1 for versions in homes.values())
    assert set.union(*homes.values()) == {"1", "2"}
    assert [route.version for route in client.traffic.rollback(model).routes] == ["3"]
    until(lambda: version_of(client, model) == "3")


def test_shadow_version_gets_copies_of_requests(client: Client, platform: LocalPlatform, model: str) -> None:
    client.traffic.set(model, {"1": 1}, shadow=["2"])
    with httpx.Client(base_url=platform.url, timeout=60) as http:

        def copied() -> bool:
            assert version_of(client, model) == "1"
            line = f'raylift_shadow_requests_total{{model="{model}",outcome="answered",version="2"}}'
            return line in http.get("/metrics").text

        until(lambda: version_of(client, model) == "1")
        until(copied)
