"""Cost of a platform that has nothing to do: start, memory and CPU, beside Ray, Ray Serve and MLflow started by hand.

    python tests/benchmarks/at_rest.py [--seconds 120] [--settle 30] [--only raylift,engines]

The engines are ``ray start --head``, ``serve.start()`` and ``mlflow server``, started one after the other. Memory is PSS: a
page that processes share counts once. CPU is in percent of one core, by process, over ``--seconds``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from raylift.launcher import LocalPlatform

_MARK = "RAYLIFT_AT_REST"
"""Environment variable that marks the processes of the engines."""
_OVERRIDES = {"ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0}, "startup": {"timeout_seconds": 300}}


Processes = Callable[[], list[psutil.Process]]
"""Lists the running processes of one side."""


@dataclass(frozen=True)
class Cost:
    start_seconds: float
    pss_bytes: int
    cpu_percent: Mapping[str, float]
    """CPU seconds by process."""


def cpu_seconds(processes: Processes) -> dict[str, float]:
    seconds = defaultdict[str, float](float)
    for process in processes():
        try:
            times = process.cpu_times()
            seconds[name_of(process)] += times.user + times.system + times.children_user + times.children_system
        except psutil.NoSuchProcess:
            continue
    return seconds


def name_of(process: psutil.Process) -> str:
    """A short name of a process, the same for the same part on both sides."""
    words = process.cmdline()
    if len(words) == 1 or words[0].startswith("ray-dashboard-"):  # They set their own titles.
        return words[0].split(" (")[0].rstrip("\0 ")
    for known in ("gcs_server", "raylet", "dashboard.py", "monitor.py", "mlflow", "haproxy", "warm_pool", "ray.util.client"):
        if any(known in word for word in words[:6]):
            return known
    return " ".join(Path(word).name for word in words[:4])[:60]


def measured(processes: Processes, started: float, chosen: argparse.Namespace) -> Cost:
    start_seconds = time.monotonic() - started
    time.sleep(chosen.settle)
    before, at = cpu_seconds(processes), time.monotonic()
    time.sleep(chosen.seconds)
    after, took = cpu_seconds(processes), time.monotonic() - at
    used = {name: 100 * (seconds - before.get(name, 0)) / took for name, seconds in after.items()}
    memory = sum(process.memory_full_info().pss for process in processes())
    return Cost(start_seconds, memory, used)


@contextmanager
def raylift() -> Iterator[Processes]:
    state_dir = Path(tempfile.mkdtemp(prefix="rl-rest-"))
    platform = LocalPlatform.start(state_dir, overrides=_OVERRIDES)
    try:
        yield platform.processes
    finally:
        platform.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


@contextmanager
def engines() -> Iterator[Processes]:
    directory = Path(tempfile.mkdtemp(prefix="rl-raw-"))
    os.environ[_MARK] = str(directory)
    gcs, dashboard, client, mlflow_port, serve_port = free_ports(5)
    programs = Path(sys.executable).parent
    address = f"127.0.0.1:{gcs}"
    ports = [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    head = [programs / "ray", "start", "--head", *ports, f"--temp-dir={directory / 'ray'}", "--disable-usage-stats"]
    subprocess.run(head, check=True, capture_output=True)
    serving = (
        "import sys, ray; from ray import serve; ray.init(sys.argv[1]); serve.start(http_options={'port': int(sys.argv[2])})"
    )
    subprocess.run([sys.executable, "-c", serving, address, str(serve_port)], check=True, capture_output=True)
    command = [
        programs / "mlflow",
        "server",
        "--port",
        str(mlflow_port),
        "--backend-store-uri",
        f"sqlite:///{directory}/mlflow.db",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory)
    try:
        while not _answers(f"http://127.0.0.1:{mlflow_port}/health"):
            time.sleep(0.1)
        yield _marked
    finally:
        for process in _marked():
            process.kill()
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _marked() -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == os.environ[_MARK]:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=120)
    options.add_argument("--settle", type=float, default=30)
    options.add_argument("--only", default="raylift,engines")
    chosen = options.parse_args()
    costs: dict[str, Cost] = {}
    for name, side in (("raylift", raylift), ("engines", engines)):
        if name in chosen.only.split(","):
            started = time.monotonic()
            with side() as processes:
                costs[name] = measured(processes, started, chosen)
    print("| | start s | memory MB (PSS) | CPU, % of a core |\n|---|---|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost.start_seconds:.1f} | {cost.pss_bytes / 1e6:.0f} | {sum(cost.cpu_percent.values()):.1f} |")
    for name, cost in costs.items():
        print(f"\n{name}:")
        for part, percent in sorted(cost.cpu_percent.items(), key=lambda item: -item[1]):
            if percent >= 0.05:
                print(f"  {percent:5.1f} %  {part}")


if __name__ == "__main__":
    main()
