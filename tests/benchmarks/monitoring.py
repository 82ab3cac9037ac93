"""Measures what watching a version costs: CPU time of its process a request, with the sketch and without it, in turns.

    python tests/benchmarks/monitoring.py [--only lr,pipeline-lr,…] [--rounds 7] [--seconds 4]

Both processes have the same model and the server of a replica; wrk asks one at a time. CPU time counts, because other load of
the machine hardly changes it. The median of the ratios within a round counts; the goal is at least 0.97.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import serving_models
import uvicorn
import uvloop

from job_entrypoints.tracking.reference_profile import profile_of
from raylift.api.paths import version_route
from raylift.domain.models.counters import ProcessKind
from raylift.domain.monitoring.reference import parse_reference
from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.observability.observer import Observer
from serve_apps.model_server.observability.sketch import Sketcher
from serve_apps.model_server.server.asgi import ReplicaApp

_LUA = 'wrk.method="POST" wrk.headers["Content-Type"]="application/json" wrk.body=[==[{body}]==]'
_MODELS = ("lr", "lr-frame", "rf", "lightgbm", "pipeline", "pipeline-lr")


def serve(name: str, directory: Path, state: Path, profile: Path | None) -> None:
    """Serve the model at a free port, which is printed, until the process is ended."""
    model = load_directory("m", "1", directory)
    sketcher = None
    if profile is not None:
        reference = parse_reference(json.loads(profile.read_text()))
        sketcher = Sketcher(model, reference, ProcessKind.REPLICA, state / "sketches")
    observer = Observer("m", "1", ProcessKind.REPLICA, str(state / "counters"))
    app: Any = ReplicaApp(model, observer=observer, sketcher=sketcher)
    config = uvicorn.Config(app, http="httptools", lifespan="off", log_level="error", access_log=False)

    with socket.socket() as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        listener.bind(("127.0.0.1", 0))
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


@contextmanager
def serving(name: str, directory: Path, state: Path, profile: Path | None) -> Iterator[tuple[psutil.Process, str]]:
    arguments = [sys.executable, __file__, "--serve", name, str(directory), str(state), *([str(profile)] if profile else [])]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}{version_route('m', '1')}/predict"
        finally:
            process.kill()


def cost(process: psutil.Process, url: str, script: Path, seconds: float) -> float:
    """CPU microseconds of the process a request."""
    before = process.cpu_times()
    command = ["wrk", "-t1", "-c4", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = process.cpu_times()
    requests = re.search(r"(\d+) requests in", said)
    if requests is None or "Non-2xx" in said:
        raise SystemExit(f"wrk said: {said}")
    return 1e6 * (after.user + after.system - before.user - before.system) / int(requests[1])


def main(models: list[str], rounds: int, seconds: float) -> None:
    print(f"{'model':<14}{'rows':>6}{'off µs':>10}{'on µs':>10}{'off/on':>9}")
    with tempfile.TemporaryDirectory(prefix="raylift-monitoring-") as folder:
        for name in models:
            directory = serving_models.make(name, Path(folder)) / "mlflow"
            frame, target = serving_models.training(name)
            profile = Path(folder) / f"{name}.json"
            profile.write_text(json.dumps(profile_of(frame, target)))
            records = serving_models.sample(name, 100, seed=1)
            for rows in (1, 100):
                script = Path(folder) / f"{name}-{rows}.lua"
                script.write_text(_LUA.format(body=json.dumps({"inputs": records[:rows]})))
                with (
                    serving(name, directory, Path(folder) / "off", None) as off,
                    serving(name, directory, Path(folder) / "on", profile) as on,
                ):
                    pairs = [(cost(*off, script, seconds), cost(*on, script, seconds)) for _ in range(rounds + 1)][1:]
                middle = [statistics.median(values) for values in zip(*pairs, strict=True)]
                ratio = statistics.median(before / after for before, after in pairs)
                print(f"{name:<14}{rows:>6}{middle[0]:>10.1f}{middle[1]:>10.1f}{ratio:>9.3f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        name, *paths = sys.argv[2:]
        serve(name, *map(Path, paths), *([None] if len(paths) < 3 else []))  # pyright: ignore[reportArgumentType]
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--only", default=",".join(_MODELS))
        parser.add_argument("--rounds", type=int, default=7)
        parser.add_argument("--seconds", type=float, default=4)
        arguments = parser.parse_args()
        main(arguments.only.split(","), arguments.rounds, arguments.seconds)
