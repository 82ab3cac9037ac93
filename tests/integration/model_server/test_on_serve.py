"""The replica under real Ray Serve behind HAProxy, as the platform runs it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from tests.integration.model_server.replicas import Registry, log_function, log_sklearn
from tests.integration.model_server.serve_cluster import ServeCluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

_FRAME: Any = load_iris(as_frame=True)
_MODEL = RandomForestClassifier(20, random_state=0).fit(_FRAME.data.to_numpy(), _FRAME.target)


def _busy_model() -> Callable[[list[float]], list[float]]:
    def busy(model_input: list[float]) -> list[float]:
        """Computes for the number of seconds in its input."""
        end = time.monotonic() + model_input[0]
        while time.monotonic() < end:
            sum(range(1000))
        return model_input

    return busy


@pytest.fixture(scope="module")
def cluster(registry: Registry, serving: ServeCluster) -> ServeCluster:
    for name in ("iris", "asleep"):
        registry.register(name, log_sklearn, _MODEL, serialization_format="cloudpickle")
    registry.register("broken", log_function, loader_module="no_such_module")
    registry.register("slow", log_function, python_model=_busy_model())
    serving.deploy(
        [
            _spec(registry, "iris", {"min_replicas": 1, "max_replicas": 1}),
            _spec(registry, "asleep", {"min_replicas": 0, "max_replicas": 1}),
            _spec(registry, "slow", {"min_replicas": 1, "max_replicas": 1}),
            _spec(registry, "broken", {"min_replicas": 0, "max_replicas": 1}, initial_replicas=1),
        ]
    )
    return serving


def _spec(registry: Registry, name: str, config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model_name": name,
        "version": "1",
        "model_uri": f"models:/{name}/1",
        "mlflow_url": registry.url,
        "config": config,
        **more,
    }


def _is_running(application: dict[str, Any]) -> bool:
    return application.get("status") == "RUNNING"


def _replicas(application: dict[str, Any]) -> list[dict[str, Any]]:
    return application["deployments"]["model"]["replicas"]


def _pids(application: dict[str, Any]) -> set[int]:
    """Process ids of the replicas that have a process."""
    return {replica["pid"] for replica in _replicas(application) if replica.get("pid")}


def test_replica_answers_through_haproxy(cluster: ServeCluster) -> None:
    cluster.wait_for("iris:1", _is_running)
    rows = _FRAME.data.to_numpy()[::10].tolist()
    with httpx.Client(base_url=f"{cluster.url}/v2/models/iris/versions/1", timeout=60) as client:
        answer = client.post("/predict", json={"inputs": rows, "return_probabilities": True})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["predictions"] == _MODEL.predict(rows).tolist()
        assert answer.json()["probabilities"] == _MODEL.predict_proba(rows).tolist()
        assert client.post("/predict", json={"inputs": [[1.0, 2.0]]}).status_code == 422
        tensor = {"name": "x", "shape": [len(rows), 4], "datatype": "FP64", "data": rows}
        assert client.post("/infer", json={"inputs": [tensor]}).json()["outputs"][0]["data"] == _MODEL.predict(rows).tolist()
        assert client.post("/invocations", json={"inputs": rows}).json() == {"predictions": _MODEL.predict(rows).tolist()}
        many = _FRAME.data.to_numpy().tolist() * 100  # a body of many chunks
        assert len(client.post("/predict", json={"inputs": many}).json()["predictions"]) == len(many)
        assert client.get("").json()["name"] == "iris"
        assert client.get("/ready").json() == {"name": "iris", "ready": True}
        assert client.get("/nothing-here").status_code == 404


def test_slow_prediction_delays_no_other_and_keeps_its_replica(cluster: ServeCluster) -> None:
    before = _replicas(cluster.wait_for("slow:1", _is_running))
    seconds = 12.0  # Longer than a question below waits: a replica that does not answer meanwhile fails the test.
    with (
        httpx.Client(base_url=f"{cluster.url}/v2/models/slow/versions/1", timeout=120) as client,
        ThreadPoolExecutor(1) as executor,
    ):
        slow = executor.submit(client.post, "/predict", json={"inputs": [seconds]})
        answered = 0
        while not slow.done():
            assert client.get("/ready", timeout=10).json() == {"name": "slow", "ready": True}
            answered += 1
            time.sleep(0.1)
        assert answered > 1
        assert slow.result().json()["predictions"] == [seconds]
    after = _replicas(cluster.application("slow:1"))
    assert [replica["pid"] for replica in after] == [replica["pid"] for replica in before]


def test_concurrent_requests_get_their_own_answers(cluster: ServeCluster, registry: Registry) -> None:
    cluster.deploy(
        [_spec(registry, "iris", {"min_replicas": 1, "max_replicas": 1, "batching": {"max_rows": 64, "wait_ms": 1}})]
    )

    def is_applied(application: dict[str, Any]) -> bool:
        wanted = application["deployments"]["model"]["deployment_config"]["user_config"]["batching"]
        return _is_running(application) and wanted == {"max_rows": 64, "wait_ms": 1}

    cluster.wait_for("iris:1", is_applied)
    rows = _FRAME.data.to_numpy() + 0.01
    bodies = [{"inputs": [row], "return_probabilities": True} for row in rows.tolist()]
    with (
        httpx.Client(base_url=f"{cluster.url}/v2/models/iris/versions/1", timeout=60) as client,
        ThreadPoolExecutor(16) as executor,
    ):
        answers = list(executor.map(lambda body: client.post("/predict", json=body), bodies))
    assert [answer.json()["predictions"][0] for answer in answers] == _MODEL.predict(rows).tolist()
    assert [answer.json()["probabilities"][0] for answer in answers] == _MODEL.predict_proba(rows).tolist()


def test_loading_is_logged_in_serve_s_log(cluster: ServeCluster) -> None:
    (replica,) = _replicas(cluster.wait_for("iris:1", _is_running))
    log = cluster.logs / replica["log_file_path"].lstrip("/")
    assert "Loaded iris version 1 with its sklearn flavour in" in log.read_text()


@pytest.mark.parametrize(("name", "row"), [("iris", [[5.1, 3.5, 1.4, 0.2]]), ("slow", [0.0])])
def test_each_answer_has_one_request_id_on_every_route(cluster: ServeCluster, name: str, row: Any) -> None:
    cluster.wait_for(f"{name}:1", _is_running)
    with httpx.Client(base_url=f"{cluster.url}/v2/models/{name}/versions/1", timeout=60) as client:
        given = client.post("/predict", json={"inputs": row}, headers={"x-request-id": "mine"})
        assert given.headers.get_list("x-request-id") == ["mine"]
        made = [client.post("/predict", json={"inputs": row}).headers.get_list("x-request-id") for _ in range(2)]
    assert [len(ids) for ids in made] == [1, 1]
    assert made[0] != made[1]


@pytest.mark.nightly
def test_first_request_scales_a_version_up_from_zero(cluster: ServeCluster) -> None:
    asleep = cluster.wait_for("asleep:1", _is_running)
    assert _replicas(asleep) == []
    answer = httpx.post(
        f"{cluster.url}/v2/models/asleep/versions/1/predict", json={"inputs": [[5.1, 3.5, 1.4, 0.2]]}, timeout=90
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == _MODEL.predict([[5.1, 3.5, 1.4, 0.2]]).tolist()
    assert len(_replicas(cluster.application("asleep:1"))) == 1


def test_model_that_does_not_load_says_why(cluster: ServeCluster) -> None:
    failed = cluster.wait_for("broken:1", lambda application: application.get("status") in ("DEPLOY_FAILED", "UNHEALTHY"), 240)
    said = failed["message"] + failed["deployments"]["model"]["message"]
    assert "broken version 1 does not load" in said
    assert "The module no_such_module is missing: add the package that holds it to the job's requirements." in said


def test_changed_scaling_keeps_the_process(cluster: ServeCluster, registry: Registry) -> None:
    before = _replicas(cluster.wait_for("iris:1", _is_running))
    cluster.deploy([_spec(registry, "iris", {"min_replicas": 1, "max_replicas": 3, "max_ongoing_requests": 10})])

    def is_applied(application: dict[str, Any]) -> bool:
        config = application["deployments"]["model"]["deployment_config"]
        return _is_running(application) and config["autoscaling_config"]["max_replicas"] == 3

    after = _replicas(cluster.wait_for("iris:1", is_applied))
    assert [replica["pid"] for replica in after] == [replica["pid"] for replica in before]


@pytest.mark.parametrize(
    ("config", "code_version"),
    [
        ({"min_replicas": 1, "max_replicas": 1, "batching": {"max_rows": 8, "wait_ms": 0}}, "1"),
        ({"min_replicas": 1, "max_replicas": 1, "cpus": 0.2}, "other cpus"),
    ],
    ids=["in place", "new processes"],
)
def test_replacement_of_the_only_replica_fails_no_request(
    cluster: ServeCluster, registry: Registry, config: dict[str, Any], code_version: str
) -> None:
    before = _pids(cluster.wait_for("iris:1", _is_running))
    stop = threading.Event()
    statuses: Counter[int] = Counter()

    def ask_all_the_time() -> None:
        with httpx.Client(base_url=f"{cluster.url}/v2/models/iris/versions/1", timeout=60) as client:
            while not stop.is_set():
                statuses[client.post("/predict", json={"inputs": [[5.1, 3.5, 1.4, 0.2]]}).status_code] += 1
                stop.wait(0.01)  # Without a pause, the clients take the processor from the replica that starts.

    def is_applied(application: dict[str, Any]) -> bool:
        wanted = application["deployments"]["model"]["deployment_config"]["user_config"]["batching"] == config.get("batching")
        settled = len(_replicas(application)) == 1 and (code_version == "1" or not _pids(application) & before)
        return _is_running(application) and wanted and settled

    with ThreadPoolExecutor(2) as executor:
        clients = [executor.submit(ask_all_the_time) for _ in range(2)]
        try:
            cluster.deploy([_spec(registry, "iris", config, code_version=code_version)])
            after = _pids(cluster.wait_for("iris:1", is_applied))
        finally:
            stop.set()
        for client in clients:
            client.result()
    assert set(statuses) == {200}, statuses
    assert len(after) == 1
    assert (after == before) == (code_version == "1")


@pytest.mark.nightly
def test_many_requests_to_a_quick_model_add_a_replica(cluster: ServeCluster, registry: Registry) -> None:
    """Serve's autoscaling counts requests that bypass it. Here they wait for company, as they would under load."""
    batching = {"max_rows": 64, "wait_ms": 50}
    cluster.deploy([_spec(registry, "iris", {"max_replicas": 2, "target_ongoing_requests": 2, "batching": batching})])
    stop = threading.Event()

    def ask_all_the_time() -> None:
        with httpx.Client(base_url=f"{cluster.url}/v2/models/iris/versions/1", timeout=60) as client:
            while not stop.is_set():
                assert client.post("/predict", json={"inputs": [[5.1, 3.5, 1.4, 0.2]]}).status_code == 200

    with ThreadPoolExecutor(8) as executor:
        clients = [executor.submit(ask_all_the_time) for _ in range(8)]
        try:
            cluster.wait_for("iris:1", lambda application: _is_running(application) and len(_pids(application)) == 2)
        finally:
            stop.set()
        for client in clients:
            client.result()
