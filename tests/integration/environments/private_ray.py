"""A private Ray cluster for the tests of the plugin and for the benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raylift.engines.environments import PLUGINS_VALUE, PLUGINS_VARIABLE

_MARKER = "RAYLIFT_TEST_CLUSTER"


@dataclass(frozen=True)
class Cluster:
    gcs: str
    dashboard: str
    environment: dict[str, str]
    folder: Path

    def submit(self, entrypoint: str, runtime_env: dict[str, Any]) -> str:
        submission = f"test-{uuid.uuid4().hex[:8]}"
        # A variable of its own makes the text unique: Ray caches the environment of each runtime_env text.
        runtime_env = {"env_vars": {"TEST_JOB": submission}, **runtime_env}
        self._call("/api/jobs/", {"submission_id": submission, "entrypoint": entrypoint, "runtime_env": runtime_env})
        return submission

    def run(self, entrypoint: str, runtime_env: dict[str, Any], *, seconds: float = 300) -> tuple[dict[str, Any], str]:
        """Submit a job and wait for its end. Returns Ray's status and the job's output."""
        submission = self.submit(entrypoint, runtime_env)
        deadline = time.monotonic() + seconds
        job: dict[str, Any] = {}
        while time.monotonic() < deadline:
            job = self._call(f"/api/jobs/{submission}")
            if job["status"] in {"SUCCEEDED", "FAILED", "STOPPED"}:
                return job, self._call(f"/api/jobs/{submission}/logs")["logs"]
            time.sleep(0.1)
        raise AssertionError(f"{submission} did not end: {job}")

    def drive(self, script: str) -> str:
        """Run a driver script against the cluster and return its standard output."""
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environment | {"RAY_ADDRESS": self.gcs},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            self.dashboard + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)


@contextlib.contextmanager
def private_ray() -> Iterator[Cluster]:
    """Start a Ray head with the plugin, on free ports."""
    marker = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="rl-env-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        gcs, dashboard, *others = _free_ports(9)
        environment = _head_environment(marker)
        names = ("ray-client-server-port", "dashboard-agent-listen-port", "metrics-export-port", "runtime-env-agent-port")
        names += ("node-manager-port", "object-manager-port", "dashboard-agent-grpc-port")
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
        command += [
            "--node-ip-address=127.0.0.1",
            f"--temp-dir={folder / 'ray'}",
            "--num-cpus=4",
            "--object-store-memory=100000000",
        ]
        command += [f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        command += [f"--{option}={port}" for option, port in zip(names, others, strict=True)]
        with (folder / "head.log").open("wb") as log:
            head = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            found = Cluster(f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}", environment, folder)
            _wait_until_up(found, head)
            yield found
        finally:
            _end(marker)
            head.wait(30)


def _head_environment(marker: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST_"))}
    repository = Path(__file__).parents[3]
    return environment | {
        _MARKER: marker,
        PLUGINS_VARIABLE: PLUGINS_VALUE,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{repository / 'platform'}{os.pathsep}{repository}",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RUNTIME_ENV_RETRY_TIMES": "1",
        "BAD_RUNTIME_ENV_CACHE_TTL_SECONDS": "1",
        "RAY_memory_monitor_refresh_ms": "0",
    }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_up(cluster: Cluster, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert head.poll() is None, (cluster.folder / "head.log").read_text()
        try:
            # The dashboard answers before the node's agent does. Only a job shows that both are ready.
            job, _ = cluster.run("true", {})
        except OSError:
            time.sleep(0.2)
        else:
            if job["status"] == "SUCCEEDED":
                return
    raise AssertionError((cluster.folder / "head.log").read_text())


def _end(marker: str) -> None:
    """Kill every process that inherited the marker. Some of Ray's processes leave the head's process group."""
    wanted = f"{_MARKER}={marker}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
