"""Latency of the API while jobs train. Goals at the median: 50 ms for an upload, 10 ms for a status query.

    python tests/benchmarks/api_latency.py [--url http://127.0.0.1:8000] [--uploads 100]

Needs a running platform. Submits four jobs that each keep a core busy, waits until they run, then measures uploads and
queries in turns. The same run measures both without jobs, and prints the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import httpx

TRAINING = """
import time
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
X, y = make_classification(20000, 20, random_state=0)
end = time.time() + {seconds}
while time.time() < end:
    RandomForestClassifier(50).fit(X, y)
"""

QUEUED = "print('never runs: cancelled while it waits')"


def timed(call: Callable[[], httpx.Response]) -> float:
    """Milliseconds of one call that must succeed."""
    start = time.perf_counter()
    answer = call()
    took = (time.perf_counter() - start) * 1000
    answer.raise_for_status()
    return took


def upload(http: httpx.Client, script: str, cpus: float, **fields: object) -> httpx.Response:
    body = {"script_content": script, "experiment_name": "api-latency", "autolog": False, **fields}
    return http.post("/mlops/training/upload", json={**body, "resources": {"cpus": cpus, "memory": "512MiB"}})


def measure(http: httpx.Client, uploads: int) -> tuple[list[float], list[float]]:
    """Milliseconds of uploads and of status queries, in turns. Each uploaded job is cancelled at once."""
    taken: list[float] = []
    asked: list[float] = []
    for _ in range(uploads):
        answers: list[httpx.Response] = []
        taken.append(timed(lambda answers=answers: answers.append(upload(http, QUEUED, 2, priority=0)) or answers[0]))
        link = answers[0].json()["links"]["self"]
        asked += [timed(lambda link=link: http.get(link)) for _ in range(5)]
        http.post(f"{link}/cancel").raise_for_status()
    return taken, asked


def wait_for_training(http: httpx.Client, links: list[str]) -> None:
    end = time.monotonic() + 120
    while any(http.get(link).json()["status"] != "running" for link in links):
        if time.monotonic() > end:
            raise SystemExit("the training jobs did not start within 120 s; are other jobs running?")
        time.sleep(0.5)


def report(name: str, idle: list[float], busy: list[float], goal: float) -> None:
    at_rest, at_work = statistics.median(idle), statistics.median(busy)
    p95 = statistics.quantiles(busy, n=20)[18]
    print(f"{name:14} {at_rest:9.1f} {at_work:9.1f} {p95:9.1f} {at_work / at_rest:7.2f} {goal:9.0f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--url", default="http://127.0.0.1:8000")
    options.add_argument("--uploads", type=int, default=60)
    chosen = options.parse_args()
    with httpx.Client(base_url=chosen.url, timeout=60, trust_env=False) as http:
        idle = measure(http, chosen.uploads)
        script = TRAINING.format(seconds=30 + chosen.uploads)
        links = [upload(http, script, 0.5).json()["links"]["self"] for _ in range(4)]
        try:
            wait_for_training(http, links)
            busy = measure(http, chosen.uploads)
        finally:
            for link in links:
                http.post(f"{link}/cancel")
    print(f"{'median ms':14} {'idle':>9} {'4 jobs':>9} {'p95':>9} {'ratio':>7} {'goal':>9}")
    report("upload", idle[0], busy[0], 50)
    report("status query", idle[1], busy[1], 10)


if __name__ == "__main__":
    main()
