"""Observability of a replica under real Ray Serve: its queue, its log lines, and its files at a graceful end.

Each night. Every change sees the same on the platform of `tests/e2e/test_observability.py`, but for the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from raylift.domain.models import counters
from raylift.domain.models.counters import ProcessKind, ProtocolName, VersionCounts
from raylift.domain.models.deployment import PayloadLog
from raylift.domain.models.replica import ObserverConfig, PayloadFiles
from raylift.engines.metrics.counter_files import read_counts
from raylift.engines.metrics.payload_files import version_directory
from tests.integration.model_server.replicas import Registry, log_function
from tests.integration.model_server.serve_cluster import ServeCluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.nightly]

CONFIG = {"min_replicas": 1, "max_replicas": 1, "max_ongoing_requests": 1, "target_ongoing_requests": 1.0}


def _waiting_model() -> Callable[[list[str]], list[str]]:
    def waits(model_input: list[str]) -> list[str]:
        """Answers once the named file exists."""
        while not Path(model_input[0]).exists():
            time.sleep(0.05)
        return model_input

    return waits


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def cluster(registry: Registry, root: Path, serving: ServeCluster) -> ServeCluster:
    registry.register("waits", log_function, python_model=_waiting_model())
    # Written only when the replica ends: neither the byte limit nor the time limit is reached here.
    files = PayloadFiles(str(root / "payloads"), file_bytes=1 << 30, file_seconds=3600.0)
    observer = ObserverConfig(slow_seconds=0.0, payload_log=PayloadLog(1.0), payloads=files)
    spec: dict[str, Any] = {
        "model_name": "waits",
        "version": "1",
        "model_uri": "models:/waits/1",
        "mlflow_url": registry.url,
        "config": CONFIG,
        "counters_dir": str(root / "counters"),
        "observer": observer.as_json(),
    }
    serving.deploy([spec])
    serving.wait_for("waits:1", lambda application: application.get("status") == "RUNNING")
    # HAProxy gets the route a moment later.
    _wait(lambda: httpx.get(f"{serving.url}/v2/models/waits/versions/1/ready").status_code == 200)
    return serving


def _wait(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():
        time.sleep(0.1)


def _seen(root: Path) -> VersionCounts:
    (counts,) = read_counts(root / "counters")
    return counts


def test_requests_that_serve_holds_count_as_queued(cluster: ServeCluster, root: Path) -> None:
    go = root / "go"
    with (
        httpx.Client(base_url=f"{cluster.url}/v2/models/waits/versions/1", timeout=120) as client,
        ThreadPoolExecutor(100) as many,
    ):
        asked: list[Future[httpx.Response]] = []

        def one_more_is_held() -> bool:
            # Until HAProxy has the replica, Serve's own proxy takes requests and holds them elsewhere.
            asked.append(many.submit(client.post, "/predict", json={"inputs": [str(go)]}))
            return (_seen(root).ongoing, _seen(root).now(counters.NOW_QUEUED) > 0) == (1, True)

        _wait(one_more_is_held)
        go.touch()
        assert {one.result().status_code for one in asked} == {200}
    _wait(lambda: _seen(root).now(counters.NOW_QUEUED) == 0)
    seen = _seen(root)
    assert (seen.of(counters.requests_of(ProtocolName.RAYLIFT)), seen.errors, seen.ongoing) == (len(asked), 0, 0)
    assert (seen.processes(ProcessKind.REPLICA), seen.of(counters.LOADS)) == (1, 1)


def test_request_ids_are_logged_and_returned(cluster: ServeCluster, root: Path) -> None:
    (root / "go").touch()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    url = f"{cluster.url}/v2/models/waits/versions/1/predict"
    headers = {"X-Request-ID": "mine-1", "traceparent": trace}
    answer = httpx.post(url, json={"inputs": [str(root / "go")]}, headers=headers, timeout=60)
    assert (answer.headers["x-request-id"], answer.headers["traceparent"]) == ("mine-1", trace)
    made = httpx.post(url, json={"inputs": [str(root / "go")]}, timeout=60)
    assert "traceparent" not in made.headers
    lines = [f"request_id=mine-1 traceparent={trace} model=waits", f"request_id={made.headers['x-request-id']} traceparent=- "]
    _wait(lambda: all(any(line in log.read_text() for log in (cluster.logs / "serve").glob("replica_*")) for line in lines))


def test_gracefully_ended_replica_writes_its_pending_payloads(cluster: ServeCluster, root: Path) -> None:
    assert not (root / "payloads").exists()
    cluster.delete("waits:1")
    directory = version_directory(root / "payloads", "waits", "1")
    _wait(lambda: bool(list(directory.rglob("*.parquet"))))
    assert len(pd.read_parquet(directory)) == _seen(root).requests
    _wait(lambda: _seen(root).processes(ProcessKind.REPLICA) == 0)
    assert _seen(root).errors == 0
