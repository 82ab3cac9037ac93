"""Compares Raylift with other model servers: requests a second and the median latency, in turns in one run, with wrk.

    make bench-serving [BENCH="--only lr,rf --quick"]
    python tests/benchmarks/serving.py [--only lr,lr-frame,rf,lightgbm,xgboost,pipeline,pipeline-lr,bodies,bits]
                                       [--peers floor,…] [--clients 1,8] [--quick]

Requests are single rows of 20 features. Every server has the same model file and one worker process in an environment of its
own (--cache). Absolute figures vary by a factor of two from hour to hour: the medians of the ratios within a round count.

- ``bodies``: 100 rows and 1 MB against the floor.
- ``bits``: 10,000 random rows a model, one by one and in batches. Compares each answer with the library's own, bit by bit.
- ``lr-frame``: the logistic regression with named columns, beside MLflow only.
- ``pipeline``: nine columns of numbers and text, imputed, scaled and one-hot encoded, before histogram gradient boosting.
- ``pipeline-lr``: the same before a logistic regression.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import serving_bits
import serving_models
from serving_peers import KEYS, Peer, body_of, install, running, servers, start_all

from raylift.launcher import LocalPlatform

_LUA = 'wrk.method="POST" wrk.headers["Content-Type"]="application/json" wrk.body=[==[{body}]==]'
_MODELS = tuple(serving_models.MODELS)
_OVERRIDES: dict[str, Any] = {"ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0}, "startup": {"timeout_seconds": 300}}
_ROUTE = "Raylift, version route"
_NAME_ROUTE = "Raylift, POST /mlops/inference"


def measure(peer: Peer, clients: int, seconds: int, scratch: Path) -> tuple[float, float]:
    """Requests a second and the median latency in milliseconds. Any answer but 200 ends the benchmark."""
    script = scratch / "body.lua"
    script.write_text(_LUA.format(body=peer.body.decode()))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "--timeout", "30s", "-s", str(script), peer.url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{peer.name}: {said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)", said)
    if rate is None or median is None:
        raise SystemExit(f"wrk said: {said}")
    return float(rate[1]), float(median[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[median[2]]


def in_turns(peers: Sequence[Peer], clients: int, rounds: int, seconds: int, scratch: Path) -> None:
    """Measure all peers round after round, and print the medians."""
    rates, medians = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for peer in peers:
        measure(peer, clients, 1, scratch)  # warms it up
    for _ in range(rounds):
        for peer in peers:
            rate, median = measure(peer, clients, seconds, scratch)
            rates[peer.name].append(rate)
            medians[peer.name].append(median)
    print(f"\n| {clients} client{'s' if clients > 1 else ''} | requests/s | p50 ms | ours ÷ this | our p50 ÷ this |")
    print("|---|---|---|---|---|")
    ours = peers[0].name
    for peer in peers:
        faster = statistics.median(mine / its for mine, its in zip(rates[ours], rates[peer.name], strict=True))
        slower = statistics.median(mine / its for mine, its in zip(medians[ours], medians[peer.name], strict=True))
        rate, median = statistics.median(rates[peer.name]), statistics.median(medians[peer.name])
        print(f"| {peer.name} | {rate:.0f} | {median:.2f} | {faster:.2f} | {slower:.2f} |", flush=True)


@contextmanager
def platform(names: Sequence[str], cache: Path) -> Iterator[str]:
    """Start a platform that serves the models. Yields the gateway's address."""
    state_dir = Path(tempfile.mkdtemp(prefix="rl-bench-", dir="/tmp"))
    started = LocalPlatform.start(state_dir, overrides=_OVERRIDES)
    try:
        for name in names:
            serving_models.register(name, serving_models.make(name, cache), started.record.mlflow_url)
            deployment = f"{started.url}/mlops/models/{name}/versions/1/deployment"
            httpx.put(deployment, json={"min_replicas": 1, "max_replicas": 1}, timeout=60).raise_for_status()
        for name in names:
            body = body_of("inputs", serving_models.sample(name, 1, 0))
            url = f"{started.url}/v2/models/{name}/versions/1/predict"
            httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=120).raise_for_status()
        yield started.url
    finally:
        started.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


def ours(url: str, model: str, rows: list[Any]) -> list[Peer]:
    named = json.dumps({"model_name": model, "inputs": rows}).encode()
    return [
        Peer(_ROUTE, f"{url}/v2/models/{model}/versions/1/predict", body_of("inputs", rows)),
        Peer(_NAME_ROUTE, f"{url}/mlops/inference", named),
    ]


def compare(url: str, model: str, chosen: argparse.Namespace, scratch: Path) -> None:
    directory = serving_models.make(model, chosen.cache)
    row = serving_models.sample(model, 1, 7)
    every = servers(model, directory, chosen.cache)
    wanted = [server for key, server in every.items() if key in chosen.peers]
    print(f"\n## {model}", flush=True)
    mine = ours(url, model, row)
    with ExitStack() as stack:
        addresses = start_all([server for server in wanted if not server.alone], model, directory, scratch, stack)
        peers = mine + [Peer(one.name, addresses[one.name], body_of(one.shape, row)) for one in wanted if not one.alone]
        for clients in chosen.clients:
            in_turns(peers, clients, chosen.rounds, chosen.seconds, scratch)
    for server in wanted:
        if server.alone:
            with running(server, model, directory, scratch) as address:
                for clients in chosen.clients:
                    in_turns(
                        [*mine, Peer(server.name, address, body_of(server.shape, row))], clients, 2, chosen.seconds, scratch
                    )


def bodies(url: str, chosen: argparse.Namespace, scratch: Path) -> None:
    for model in chosen.models:
        directory = serving_models.make(model, chosen.cache)
        floor = servers(model, directory, chosen.cache).get("floor")
        if floor is None:
            continue
        with running(floor, model, directory, scratch) as address:
            for rows in (100, 2500):  # 2500 rows are 1 MB
                many = serving_models.sample(model, rows, 7)
                peers = [ours(url, model, many)[0], Peer(floor.name, address, body_of("inputs", many))]
                print(f"\n## {model}, {rows} rows, {len(peers[0].body) / 1e6:.2f} MB", flush=True)
                in_turns(peers, 4, chosen.rounds, chosen.seconds, scratch)


def main() -> None:
    chosen = _options()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    install(chosen.cache)
    chosen.models = [name for name in _MODELS if name in chosen.only] or list(_MODELS)
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    with platform(chosen.models, chosen.cache) as url:
        if "bits" in chosen.only:
            for model in chosen.models:
                print(serving_bits.check(url, model, serving_models.make(model, chosen.cache), chosen.rows), flush=True)
        if "bodies" in chosen.only:
            bodies(url, chosen, scratch)
        if not {"bits", "bodies"} & set(chosen.only):
            for model in chosen.models:
                compare(url, model, chosen, scratch)
    shutil.rmtree(scratch)


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache/raylift-bench")
    options.add_argument("--only", type=_words, default=[])
    options.add_argument("--peers", type=_words, default=list(KEYS))
    options.add_argument("--clients", type=lambda text: [int(word) for word in _words(text)], default=[1, 8, 32])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.rows = 3, 2, 1000
    return chosen


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    main()
