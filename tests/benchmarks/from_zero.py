"""The first request to a version without a process, and the cost of hundreds of idle versions.

    python tests/benchmarks/from_zero.py [--state-dir DIR] [--ray-too]

Starts a platform of its own and stops it afterwards. With --state-dir it uses the running one, which must be idle.
``--ray-too`` also measures Ray Serve alone: an application with ``min_replicas=0`` that unpickles the same model. Goals: at
most 1 s at the median, and the Serve controller below a tenth of a core with 300 registered versions.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import psutil
import xgboost
from own_platform import platform
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

COLUMNS = [f"f{number}" for number in range(20)]
ROWS = [dict.fromkeys(COLUMNS, 0.5)]
KINDS = ("lr", "forest", "xgboost", "lightgbm")
PROCESSES = {
    "Serve controller": "ServeController",
    "supervisor": "SupervisorActor",
    "gateway": "ServeReplica:gateway",
    "warm process": "serve_apps.warm_pool.fork_server",
    "HAProxy": "haproxy",
    "MLflow": "mlflow.server",
}


def models() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((500, 20)), columns=COLUMNS)
    target = (frame.sum(axis=1) > 10).astype(int)
    made = {
        "lr": LogisticRegression(),
        "forest": RandomForestClassifier(100, random_state=0),
        "xgboost": xgboost.XGBClassifier(n_estimators=50),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=50, verbose=-1),
    }
    for model in made.values():
        model.fit(frame, target)
    signature = mlflow.models.infer_signature(frame, target)
    for kind, model in made.items():
        flavor: Any = {"xgboost": mlflow.xgboost, "lightgbm": mlflow.lightgbm}.get(kind, mlflow.sklearn)
        options = {"serialization_format": "cloudpickle"} if kind in ("lr", "forest") else {}
        made[kind] = flavor.log_model(model, name=kind, signature=signature, pip_requirements=[], **options)
    return made


def register(prefix: str, versions: int) -> list[tuple[str, str]]:
    client, logged = mlflow.MlflowClient(), models()
    made: list[tuple[str, str]] = []
    for kind, info in logged.items():
        client.create_registered_model(f"{prefix}-{kind}")
        for _ in range(versions // len(logged)):
            version = client.create_model_version(f"{prefix}-{kind}", info.model_uri, model_id=info.model_id)
            made.append((f"{prefix}-{kind}", str(version.version)))
    return made


def wait_until_parked(http: httpx.Client, versions: list[tuple[str, str]], timeout: float = 900) -> float:
    began = time.monotonic()
    left = list(versions)
    while left and time.monotonic() - began < timeout:
        name, version = left[0]
        answer = http.get(f"/mlops/models/{name}/versions/{version}/deployment")
        if answer.status_code == 200 and answer.json()["status"] == "scaled_to_zero":
            left.pop(0)
        else:
            time.sleep(0.5)
    if left:
        raise SystemExit(f"{len(left)} versions are not parked after {timeout:.0f} s, the first is {left[0]}")
    return time.monotonic() - began


def first_requests(http: httpx.Client, versions: list[tuple[str, str]]) -> dict[str, list[float]]:
    """Seconds by kind of model. Every second request names only the model."""
    took: dict[str, list[float]] = {}
    for number, (name, version) in enumerate(versions):
        began = time.perf_counter()
        if number % 2:
            body = {"model_name": name, "model_version": version, "inputs": ROWS}
            answer = http.post("/mlops/inference", json=body)
        else:
            answer = http.post(f"/v2/models/{name}/versions/{version}/predict", json={"inputs": ROWS})
        seconds = time.perf_counter() - began
        if answer.status_code != 200:
            raise SystemExit(f"{name} {version}: {answer.status_code} {answer.text}")
        took.setdefault(name.rpartition("-")[2], []).append(seconds)
    return took


def ray_serve_first_request(address: str, model_uri: str, http: httpx.Client) -> float:
    """Ray Serve alone: seconds until an application at zero replicas answers."""
    import ray
    from ray import serve

    ray.init(address, logging_level=logging.ERROR, namespace="bench")

    @serve.deployment(
        autoscaling_config={"min_replicas": 0, "max_replicas": 1}, ray_actor_options={"num_cpus": 0.1, "runtime_env": {}}
    )
    class Idiom:
        def __init__(self, uri: str) -> None:
            import mlflow.sklearn

            self._model: Any = mlflow.sklearn.load_model(uri)

        async def __call__(self, request: Any) -> list[int]:
            return self._model.predict(pd.DataFrame((await request.json())["inputs"])).tolist()

    serve.run(Idiom.bind(model_uri), name="bench-idiom", route_prefix="/bench-idiom")
    time.sleep(3)  # Until HAProxy has the route.
    try:
        began = time.perf_counter()
        http.post("/bench-idiom", json={"inputs": ROWS}).raise_for_status()
        return time.perf_counter() - began
    finally:
        serve.delete("bench-idiom")
        ray.shutdown()


def cpu_seconds(instance: str) -> dict[str, float]:
    """CPU seconds of each part's processes so far."""
    used = dict.fromkeys(PROCESSES, 0.0)
    for process in processes_of(instance):
        with suppress(psutil.NoSuchProcess):
            line, times = " ".join(process.cmdline()), process.cpu_times()
            for part, mark in PROCESSES.items():
                used[part] += times.user + times.system if mark in line else 0.0
    return used


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--ray-too", action="store_true", help="compare with Ray Serve's own scale-up")
    parser.add_argument("--versions", type=int, default=300)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=20, help="versions whose first request is timed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with platform(options.state_dir) as running:
        measure(running, options)


def measure(running: LocalPlatform, options: argparse.Namespace) -> None:
    mlflow.set_tracking_uri(running.record.mlflow_url)
    http = httpx.Client(base_url=running.url, timeout=120, trust_env=False)
    instance = running.record.instance

    versions = register(f"zero{int(time.time())}", options.versions)
    print(f"{len(versions)} versions registered; proven and parked after {wait_until_parked(http, versions):.0f} s")
    before = cpu_seconds(instance)
    time.sleep(options.idle)
    after = cpu_seconds(instance)
    print(f"CPU over {options.idle:.0f} s without a request, % of a core:")
    for part in PROCESSES:
        print(f"  {part:17} {100 * (after[part] - before[part]) / options.idle:5.1f}")

    random.seed(1)
    chosen = [random.choice([v for v in versions if v[0].endswith(kind)]) for kind in KINDS for _ in range(options.first // 4)]
    chosen = list(dict.fromkeys(chosen))
    random.shuffle(chosen)
    took = first_requests(http, chosen)
    every = [seconds for one in took.values() for seconds in one]
    print(f"first request, {len(every)} versions: median {statistics.median(every):.2f} s, worst {max(every):.2f} s")
    for kind, seconds in took.items():
        print(f"  {kind:9} median {statistics.median(seconds):.2f} s")
    if options.ray_too:
        name, version = next(v for v in versions if v[0].endswith("lr"))
        theirs = ray_serve_first_request(running.record.ray_address, f"models:/{name}/{version}", http)
        print(f"Ray Serve's own first request from zero: {theirs:.2f} s, {theirs / statistics.median(every):.0f} times ours")


if __name__ == "__main__":
    main()
