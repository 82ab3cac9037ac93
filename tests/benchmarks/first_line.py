"""From the upload to the script's first line, beside `ray job submit` of the same script, in turns in one run.

    python tests/benchmarks/first_line.py [--url http://127.0.0.1:8000] [--ray http://127.0.0.1:8265] [--rounds 10]

Against a running platform with nothing else to do. Goal: at most 1.1 times the raw submission, at the median.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import time
import uuid

import httpx

SCRIPT = "import time; print('first line at', time.time(), flush=True)"


def first_line_at(log: str) -> float | None:
    _, found, rest = log.partition("first line at ")
    return float(rest.split()[0]) if found and rest.endswith("\n") else None


def wait_for_line(http: httpx.Client, path: str) -> float:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        answer = http.get(path)
        log = answer.json().get("logs") or "" if answer.is_success else ""
        if (at := first_line_at(log)) is not None:
            return at
        time.sleep(0.2)
    raise SystemExit(f"no first line within 60 s at {path}")


def settle(http: httpx.Client, path: str) -> None:
    """Wait until the job is over, so that its end does not slow the next one's start."""
    while http.get(path).json()["status"].lower() in {"pending", "queued", "running"}:
        time.sleep(0.2)


def by_raylift(http: httpx.Client) -> float:
    body = {"script_content": SCRIPT, "experiment_name": "first-line", "resources": {"cpus": 1, "memory": "512MiB"}}
    start = time.time()
    link = http.post("/mlops/training/upload", json=body).raise_for_status().json()["links"]["self"]
    took = wait_for_line(http, link) - start
    settle(http, link)
    return took


def by_ray(http: httpx.Client) -> float:
    submission = f"bench-{uuid.uuid4().hex[:8]}"
    body = {
        "submission_id": submission,
        "entrypoint": shlex.join(["python", "-u", "-c", SCRIPT]),
        "entrypoint_num_cpus": 1,
        "entrypoint_memory": 512 * 2**20,
        # As Raylift's are, and as a user's usually are: a process of its own, not one that is left over.
        "runtime_env": {"env_vars": {"BENCH": submission}},
    }
    start = time.time()
    http.post("/api/jobs/", json=body).raise_for_status()
    took = wait_for_line(http, f"/api/jobs/{submission}/logs") - start
    settle(http, f"/api/jobs/{submission}")
    return took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--url", default="http://127.0.0.1:8000")
    options.add_argument("--ray", default="http://127.0.0.1:8265")
    options.add_argument("--rounds", type=int, default=10)
    chosen = options.parse_args()
    raylift, ray = list[float](), list[float]()
    with (
        httpx.Client(base_url=chosen.url, timeout=60, trust_env=False) as platform,
        httpx.Client(base_url=chosen.ray, timeout=60, trust_env=False) as dashboard,
    ):
        for _ in range(chosen.rounds + 1):
            ray.append(by_ray(dashboard))
            raylift.append(by_raylift(platform))
    # The first round warms both up.
    ours, theirs = statistics.median(raylift[1:]), statistics.median(ray[1:])
    print(f"{'submit to first line, median s':32} {'ray job submit':>15} {'raylift':>9} {'ratio':>7} {'goal':>6}")
    print(f"{f'{chosen.rounds} rounds in turns':32} {theirs:15.2f} {ours:9.2f} {ours / theirs:7.2f} {1.1:6.1f}")


if __name__ == "__main__":
    main()
