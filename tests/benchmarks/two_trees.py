"""Compares the predictions of two checkouts of Raylift, both up, with wrk in turns: what did a change cost?

    python tests/benchmarks/two_trees.py BEFORE AFTER [--rounds 8] [--clients 1,8,32]

Each checkout needs its own .venv (``make .venv/.server``). Printed are the medians of requests per second, and of the ratios
after : before within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from serving import measure
from serving_peers import Peer

from raylift import Client

SCRIPT = """
import numpy as np
from sklearn.linear_model import LogisticRegression
rows = np.random.default_rng(0).normal(size=(500, 20))
LogisticRegression(max_iter=200).fit(rows, (rows[:, 0] + rows[:, 1] > 0).astype(int))
"""
ROWS = [[0.1] * 20]
ROUTES = {
    "version's route": ("/v2/models/lr/versions/1/predict", {"inputs": ROWS}),
    "by name": ("/mlops/inference", {"model_name": "lr", "inputs": ROWS}),
}


@contextmanager
def platform_of(root: Path, port: int) -> Iterator[str]:
    """Run the platform of a checkout. Yields its URL."""
    raylift = str(root / ".venv" / "bin" / "raylift")
    path = f"{root / 'platform'}{os.pathsep}{root}"
    environment = {**os.environ, "PATH": f"{root / '.venv' / 'bin'}{os.pathsep}{os.defpath}", "PYTHONPATH": path}
    with tempfile.TemporaryDirectory(prefix="raylift-two-trees-") as state_dir:
        where = ["--state-dir", state_dir]
        ports = ["--port", str(port), "--dashboard-port", "0", "--mlflow-port", "0"]
        subprocess.run([raylift, "up", *where, *ports], env=environment, check=True, capture_output=True)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            subprocess.run([raylift, "down", *where], env=environment, check=True, capture_output=True)


def deploy(url: str) -> None:
    with Client(url) as client:
        client.train(script_content=SCRIPT, model="lr").wait(timeout=400, progress=False)
        client.deployments.put("lr", "1", min_replicas=1, max_replicas=1)
        client.deployments.wait("lr", "1", timeout=200)
        client.predict("lr", ROWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--clients", default="1,8,32")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trees = {"before": chosen.before.resolve(), "after": chosen.after.resolve()}
        urls = {name: stack.enter_context(platform_of(root, 9310 + at)) for at, (name, root) in enumerate(trees.items())}
        for url in urls.values():
            deploy(url)
        for route, (path, body) in ROUTES.items():
            peers = [Peer(name, url + path, json.dumps(body).encode()) for name, url in urls.items()]
            for clients in map(int, chosen.clients.split(",")):
                rounds = [[measure(peer, clients, 1, scratch)[0] for peer in peers] for _ in range(chosen.rounds + 1)][1:]
                before, after = (statistics.median(rates) for rates in zip(*rounds, strict=True))
                ratio = statistics.median(two / one for one, two in rounds)
                print(
                    f"{route:16} {clients:3} clients   before {before:6.0f}/s   after {after:6.0f}/s   ratio {ratio:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
