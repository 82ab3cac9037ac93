"""Cost of keys: predictions of a platform in keys mode and of one in local mode, side by side in one run.

    python tests/benchmarks/keyed_predictions.py [--rounds 20] [--requests 400] [--connections 4]

Both platforms serve the same model with one replica that stays. The rounds alternate, so that both see the same machine.
Printed are requests per second, the median latency, and the ratio of keys to local: the goal is at most 1.05.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from raylift import Client
from tests.benchmarks.own_platform import platform

ROOT = Path(__file__).parents[2]
SCRIPT = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
"""
ROWS = [[5.1, 3.5, 1.4, 0.2]]
V2 = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": ROWS}]}
KINDS = {
    "by version": ("/v2/models/iris/versions/1/infer", V2),
    "by name": ("/v2/models/iris/infer", V2),
    "inference": ("/mlops/inference", {"model_name": "iris", "inputs": ROWS}),
}


@dataclass
class Side:
    name: str
    url: str
    headers: dict[str, str]
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """Latencies by kind of request."""
    rates: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=400, help="requests of a round, on each connection")
    parser.add_argument("--connections", type=int, default=4)
    chosen = parser.parse_args()
    here = {"environment": {"set": {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"}}}
    with ExitStack() as stack:
        sides = [_side(stack, mode, {**here, "auth": mode}) for mode in ("local", "keys")]
        for number in range(-1, chosen.rounds):
            for side in sides if number % 2 else sides[::-1]:
                for kind in KINDS:
                    _round(side, kind, chosen.requests, chosen.connections, counts=number >= 0)
    for kind in KINDS:
        local, keys = ((statistics.median(s.seconds[kind]), statistics.median(s.rates[kind])) for s in sides)
        print(
            f"{kind:10}  local {local[1]:7.0f}/s {local[0] * 1e3:6.3f} ms   keys {keys[1]:7.0f}/s {keys[0] * 1e3:6.3f} ms"
            f"   latency {keys[0] / local[0]:.3f}   time per request {local[1] / keys[1]:.3f}"
        )


def _side(stack: ExitStack, mode: str, overrides: dict[str, object]) -> Side:
    running = stack.enter_context(platform(None, overrides))
    headers = {"Content-Type": "application/json"}
    key = None
    if mode == "keys":
        admin_key = json.loads((running.record.state_dir / "admin-key.json").read_text(encoding="utf-8"))["key"]
        with Client(running.url, admin_key) as admin:
            key = admin.keys.create("bench", role="deployer").key
        headers["Authorization"] = f"Bearer {key}"
    with Client(running.url, key) as client:
        client.train(script_content=SCRIPT, model="iris", experiment="bench").wait(timeout=400)
        client.deployments.put("iris", "1", min_replicas=1, max_replicas=1)
        client.deployments.wait("iris", "1", timeout=200)
        client.predict("iris", ROWS)
    time.sleep(3)
    return Side(mode, running.url, headers)


def _round(side: Side, kind: str, requests: int, connections: int, *, counts: bool) -> None:
    path, body = KINDS[kind]
    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as threads:
        jobs = [threads.submit(_ask, side, path, json.dumps(body), requests) for _ in range(connections)]
        found = [seconds for job in jobs for seconds in job.result()]
    if counts:
        side.rates[kind].append(len(found) / (time.perf_counter() - started))
        side.seconds[kind].append(statistics.median(found))


def _ask(side: Side, path: str, body: str, requests: int) -> list[float]:
    connection = http.client.HTTPConnection(urlsplit(side.url).netloc)
    seconds: list[float] = []
    for _ in range(requests):
        before = time.perf_counter()
        connection.request("POST", path, body, side.headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{side.name} {path}: {answer.status} {content[:300]!r}")
        seconds.append(time.perf_counter() - before)
    connection.close()
    return seconds


if __name__ == "__main__":
    main()
