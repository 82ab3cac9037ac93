"""Overload and dying replicas of versions on a real platform, over HTTP."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow import MlflowClient

from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

pytestmark = pytest.mark.timeout(900)

LOG = """
import sys, mlflow, pandas as pd

mlflow.set_tracking_uri(sys.argv[1])

class Obedient(mlflow.pyfunc.PythonModel):
    def __init__(self, directory):
        self.directory = directory

    def predict(self, context, model_input, params=None):
        import os, time
        x = float(model_input["x"].iloc[0])
        if x < 0:
            with open(os.path.join(self.directory, "died"), "a") as died:
                died.write(f"{os.getpid()} {x}\\n")
            os._exit(7)
        while x > 100 and not os.path.exists(os.path.join(self.directory, "go on")):
            time.sleep(0.01)
        time.sleep(min(x, 1.0) if x <= 100 else 0)
        return model_input["x"]

frame = pd.DataFrame({"x": [0.0]})
info = mlflow.pyfunc.log_model(name="m", python_model=Obedient(sys.argv[2]), input_example=frame, pip_requirements=[])
print(info.model_id)
"""
WAITS = 1000.0
"""Input that makes the model wait for the file ``go on``."""
DIES = -1.0


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    # Models may write there: their processes are confined.
    made = Path(tempfile.mkdtemp(prefix="raylift-e2e-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def register(platform: LocalPlatform, directory: Path) -> Callable[[str], None]:
    """Register one model under a name, once. Not under all at first: each starts a process for its first health check."""
    command = [sys.executable, "-c", LOG, platform.record.mlflow_url, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    model_id = done.stdout.split()[-1]
    client = MlflowClient(platform.record.mlflow_url, platform.record.mlflow_url)
    known: set[str] = set()

    def under(name: str) -> None:
        if name not in known:
            known.add(name)
            client.create_registered_model(name)
            client.create_model_version(name, f"models:/{model_id}", model_id=model_id)
            client.set_registered_model_alias(name, "champion", "1")

    return under


@pytest.fixture
def http(platform: LocalPlatform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, timeout=120, trust_env=False) as client:
        yield client


def wait(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():
        time.sleep(0.1)


def deploy(http: httpx.Client, name: str, **config: Any) -> None:
    """Change the deployment of version 1, and wait until it has the required number of replicas."""
    path = f"/mlops/models/{name}/versions/1/deployment"
    wait(lambda: http.get(path).status_code == 200)
    assert http.put(path, json=config).status_code == 200
    wait(lambda: (seen := http.get(path).json())["status"] == "ready" and seen["replicas"] == config["min_replicas"])


def body(name: str, x: float, **more: Any) -> dict[str, Any]:
    return {"model_name": name, "inputs": [{"x": x}], **more}


def tensor(x: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}]}


def pids(platform: LocalPlatform, name: str) -> list[int]:
    ours = {process.pid for process in processes_of(platform.record.instance)}
    found = ((process.pid, " ".join(process.info["cmdline"] or [])) for process in psutil.process_iter(["cmdline"]))
    return [pid for pid, command in found if pid in ours and f"ServeReplica:{name}:" in command]


def deaths(directory: Path, x: float) -> int:
    file = directory / "died"
    return sum(1 for line in file.read_text().splitlines() if line.endswith(f" {x}")) if file.exists() else 0


@contextmanager
def asked_all_the_time(platform: LocalPlatform, name: str, *, clients: int, x: float = 0.0) -> Iterator[Counter[str]]:
    """Send predictions from several clients. Yields their statuses, with the text of each answer other than 200."""
    over = threading.Event()
    answers: Counter[str] = Counter()

    def ask() -> None:
        with httpx.Client(base_url=platform.url, timeout=120, trust_env=False) as client:
            while not over.is_set():
                answer = client.post(f"/v2/models/{name}/versions/1/predict", json=body(name, x))
                answers["200" if answer.status_code == 200 else f"{answer.status_code} {answer.text}"] += 1
                over.wait(0.02)  # Without a pause, the clients take the processor from the processes that start.

    with ThreadPoolExecutor(clients) as executor:
        asking = [executor.submit(ask) for _ in range(clients)]
        try:
            wait(lambda: answers.total() > 0 or asking[0].done())
            yield answers
        finally:
            over.set()
        for one in asking:
            one.result()


ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "a version's route": ("/v2/models/busy/versions/1/predict", body("busy", WAITS)),
    "V2 by name": ("/v2/models/busy/infer", tensor(WAITS)),
    "by name in the body": ("/mlops/inference", body("busy", WAITS)),
    "through the gateway": ("/mlops/inference", body("busy", WAITS, alias="champion")),
    "V2 by a version's route": ("/v2/models/busy/versions/1/infer", tensor(WAITS)),
}


@pytest.mark.parametrize(("path", "asked"), ROUTES.values(), ids=ROUTES)
def test_requests_beyond_the_queue_are_refused_while_others_wait(
    http: httpx.Client,
    platform: LocalPlatform,
    directory: Path,
    register: Callable[[str], None],
    path: str,
    asked: dict[str, Any],
) -> None:
    register("busy")
    (directory / "go on").unlink(missing_ok=True)
    deploy(
        http, "busy", min_replicas=1, max_replicas=1, max_ongoing_requests=2, target_ongoing_requests=2, max_queued_requests=4
    )
    refused: list[httpx.Response] = []
    answered: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=platform.url, timeout=120, trust_env=False) as client:
            answer = client.post(path, json=asked)
            (answered if answer.status_code == 200 else refused).append(answer)

    with ThreadPoolExecutor(30) as executor:
        asking = [executor.submit(ask) for _ in range(30)]
        # Refusals arrive before any of the other requests is answered.
        wait(lambda: len(refused) >= 20)
        assert not answered
        (directory / "go on").touch()
        for one in asking:
            one.result()
    assert {answer.status_code for answer in refused} == {429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert 2 <= len(answered) <= 10
    if path.endswith("/infer"):
        assert {answer.headers["content-type"] for answer in refused} == {"application/json"}
        assert all(list(answer.json()) == ["error"] for answer in refused)
    else:
        assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}
        assert {answer.json()["code"] for answer in refused} == {"queue_full"}


@pytest.mark.nightly
def test_burst_adds_replicas_that_are_removed_afterwards(
    http: httpx.Client, platform: LocalPlatform, register: Callable[[str], None]
) -> None:
    register("burst")
    config = {"max_replicas": 2, "target_ongoing_requests": 1, "upscale_delay_s": 0, "downscale_delay_s": 3}
    deploy(http, "burst", min_replicas=1, **config)
    path = "/mlops/models/burst/versions/1/deployment"
    with asked_all_the_time(platform, "burst", clients=6, x=0.05) as answers:
        wait(lambda: http.get(path).json()["replicas"] == 2)
    with asked_all_the_time(platform, "burst", clients=1) as later:
        wait(lambda: http.get(path).json()["replicas"] == 1)
    assert set(answers + later) == {"200"}


@pytest.mark.parametrize(
    ("name", "replicas", "x"),
    [
        # In CI, tests of the ingress retry once, and those of a replica count its deaths.
        pytest.param("alone", 1, -1.0, marks=pytest.mark.nightly),
        pytest.param("twins", 2, -2.0, marks=pytest.mark.nightly),
        pytest.param("parked", 0, -3.0, marks=pytest.mark.nightly),
    ],
)
def test_request_that_kills_processes_kills_two_and_is_refused(
    http: httpx.Client,
    platform: LocalPlatform,
    directory: Path,
    register: Callable[[str], None],
    name: str,
    replicas: int,
    x: float,
) -> None:
    for model in (name, "bystander"):
        register(model)
    wait(lambda: http.post("/mlops/inference", json=body("bystander", 0.0)).status_code == 200)
    if replicas:
        deploy(http, name, min_replicas=replicas, max_replicas=2)
    wait(lambda: http.post("/mlops/inference", json=body(name, 0.0)).status_code == 200)
    with asked_all_the_time(platform, "bystander", clients=1) as bystander:
        by_route = http.post(f"/v2/models/{name}/versions/1/predict", json=body(name, x))
        wait(lambda: bystander.total() > 20)
    assert deaths(directory, x) <= 2
    assert (by_route.status_code, by_route.json()["code"]) == (502, "replica_failed")
    assert "died" in by_route.json()["detail"]
    assert set(bystander) == {"200"}
    assert http.post("/mlops/inference", json=body(name, 0.0)).status_code == 200
    by_name = http.post("/mlops/inference", json=body(name, x - 10))
    assert (by_name.status_code, by_name.json()["code"]) == (502, "replica_failed")
    assert deaths(directory, x - 10) <= 2
    assert http.post(f"/v2/models/{name}/infer", json=tensor(0.0)).status_code == 200


def test_killed_replicas_fail_no_request(http: httpx.Client, platform: LocalPlatform, register: Callable[[str], None]) -> None:
    register("killed")
    deploy(http, "killed", min_replicas=2, max_replicas=2)
    with asked_all_the_time(platform, "killed", clients=4, x=0.01) as answers:
        for _ in range(2):
            before = set(pids(platform, "killed"))
            psutil.Process(next(iter(before))).send_signal(signal.SIGKILL)
            wait(lambda before=before: len(set(pids(platform, "killed")) - before) == 1)
    assert set(answers) == {"200"}, json.dumps(answers)


@pytest.mark.nightly
def test_version_answers_while_its_only_replica_is_killed(
    http: httpx.Client, platform: LocalPlatform, register: Callable[[str], None]
) -> None:
    register("alone")
    deploy(http, "alone", min_replicas=1, max_replicas=1)
    with asked_all_the_time(platform, "alone", clients=3) as answers:
        (pid,) = pids(platform, "alone")
        psutil.Process(pid).send_signal(signal.SIGKILL)
        wait(lambda: bool(now := pids(platform, "alone")) and pid not in now)
    assert set(answers) == {"200"}, json.dumps(answers)


@pytest.mark.nightly
def test_crash_looping_version_is_taken_down_and_others_answer(
    http: httpx.Client, platform: LocalPlatform, register: Callable[[str], None]
) -> None:
    for model in ("loop", "bystander"):
        register(model)
    wait(lambda: http.post("/mlops/inference", json=body("bystander", 0.0)).status_code == 200)
    deploy(http, "loop", min_replicas=1, max_replicas=1)
    path = "/mlops/models/loop/versions/1/deployment"
    answers: set[tuple[int, str]] = set()

    def ask_for_death() -> bool:
        refused = http.post("/mlops/inference", json=body("loop", -4.0))
        answers.add((refused.status_code, refused.json()["code"]))
        return http.get(path).json()["status"] == "unhealthy"

    with asked_all_the_time(platform, "bystander", clients=1) as bystander:
        wait(ask_for_death)
    assert set(bystander) == {"200"}
    assert (502, "replica_failed") in answers
    refused = http.post("/mlops/inference", json=body("loop", 0.0))
    assert (refused.status_code, refused.json()["code"]) == (503, "deployment_unhealthy")
    assert "its processes died 5 times" in refused.json()["detail"]
    deploy(http, "loop", min_replicas=1)
    assert http.post("/mlops/inference", json=body("loop", 0.0)).status_code == 200
