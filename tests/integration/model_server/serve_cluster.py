"""A private Ray cluster with Serve behind HAProxy, on free ports. Its own processes are ended by their ids."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

_REPOSITORY = Path(__file__).resolve().parents[3]
_MARK = "RAYLIFT_TEST_CLUSTER"
LOGICAL_GPUS = {} if Path("/proc/driver/nvidia").exists() else {"num-gpus": 1}
"""Without a GPU on this machine Ray counts one that is not there."""


@dataclass(frozen=True)
class ServeCluster:
    http_port: int
    dashboard_port: int
    address: str
    environment: dict[str, str]
    logs: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def deploy(self, specs: list[dict[str, Any]]) -> None:
        """Run applications from a short driver that does not wait for them."""
        self._order(specs=specs)

    def delete(self, name: str) -> None:
        """End an application, as the platform does."""
        self._order(specs=[], delete=[name])

    def _order(self, **what: Any) -> None:
        driver = Path(__file__).with_name("serve_driver.py")
        order = json.dumps({"address": self.address, "port": self.http_port, **what})
        done = subprocess.run(
            [sys.executable, str(driver)],
            input=order,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def application(self, name: str) -> dict[str, Any]:
        answer = httpx.get(f"http://127.0.0.1:{self.dashboard_port}/api/serve/applications/", timeout=30)
        return answer.json()["applications"].get(name, {})

    def wait_for(self, name: str, condition: Callable[[dict[str, Any]], bool], seconds: float = 240) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not condition(seen := self.application(name)):
            assert time.monotonic() < deadline, seen
            time.sleep(0.3)
        return seen


@contextmanager
def serve_cluster() -> Iterator[ServeCluster]:
    directory = Path(tempfile.mkdtemp(prefix="rl-", dir="/tmp"))
    (directory / "h").mkdir()
    base = _free_block(160)
    cluster = ServeCluster(
        base, base + 1, f"127.0.0.1:{base + 2}", _environment(directory, base), directory / "r/session_latest/logs"
    )
    try:
        started = subprocess.run(
            _command(directory, base), env=cluster.environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert started.returncode == 0, started.stdout + started.stderr
        yield cluster
    finally:
        _end(str(directory))
        shutil.rmtree(directory, ignore_errors=True)


def _command(directory: Path, base: int) -> list[str]:
    options = {
        "node-ip-address": "127.0.0.1",
        "dashboard-host": "127.0.0.1",
        "dashboard-port": base + 1,
        "port": base + 2,
        "object-manager-port": base + 3,
        "node-manager-port": base + 4,
        "ray-client-server-port": base + 5,
        "dashboard-agent-listen-port": base + 6,
        "dashboard-agent-grpc-port": base + 7,
        "runtime-env-agent-port": base + 8,
        "metrics-export-port": base + 9,
        "min-worker-port": base + 100,
        "max-worker-port": base + 159,
        "temp-dir": directory / "r",
        "num-cpus": 4,
        **LOGICAL_GPUS,
        "object-store-memory": 100_000_000,
        "include-log-monitor": "false",
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats", *flags]


def _environment(directory: Path, base: int) -> dict[str, str]:
    haproxy = directory / "h"
    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "PYTHONPATH": f"{_REPOSITORY / 'platform'}{os.pathsep}{_REPOSITORY}",
        _MARK: str(directory),
        "SPT_NOENV": "1",  # otherwise Ray writes its processes' titles over their environment, which has the mark
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "AUTOSCALER_METRIC_PORT": str(base + 10),
        "DASHBOARD_METRIC_PORT": str(base + 11),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "c.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a.sock"),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "state"),
        "RAY_SERVE_HAPROXY_LOG_TARGET": "/dev/null",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(base + 12),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(base + 13),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(base + 14),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(base + 15),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(base + 20),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(base + 50),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(base + 60),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(base + 90),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }


def _free_block(size: int) -> int:
    """The first of ``size`` consecutive free ports."""
    for base in range(21000 + (os.getpid() * 37) % 6000, 32000, size):
        if all(_is_free(port) for port in range(base, base + size)):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _end(mark: str) -> None:
    """Kill the processes with this cluster's mark in their environment, and no others."""
    for _ in range(3):
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == mark:
                    process.send_signal(signal.SIGKILL)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        time.sleep(0.2)
