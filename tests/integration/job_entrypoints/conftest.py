"""Real processes: an attempt's directory as the supervisor makes it, the wrapper in it, and a real MLflow server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Result:
    """Result of a finished wrapper."""

    directory: Path
    exit_code: int
    stdout: bytes

    @property
    def progress(self) -> dict[str, Any]:
        return json.loads((self.directory / "progress.json").read_text())

    @property
    def output(self) -> str:
        return (self.directory / "output.log").read_bytes().decode(errors="replace")


@dataclass(frozen=True)
class Running:
    """A running wrapper."""

    directory: Path
    process: subprocess.Popen[bytes]

    def wait(self, timeout: float = 180) -> Result:
        stdout, _ = self.process.communicate(timeout=timeout)
        return Result(self.directory, self.process.returncode, stdout)

    def wait_until(self, condition: Callable[[], Any], seconds: float = 90) -> Any:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if found := condition():
                return found
            time.sleep(0.02)
        raise TimeoutError(f"not within {seconds} s; output so far: {(self.directory / 'output.log').read_bytes()[-500:]!r}")

    def wait_for_output(self, text: str, seconds: float = 90) -> str:
        log = self.directory / "output.log"
        self.wait_until(lambda: log.exists() and text in log.read_text(), seconds)
        return log.read_text()


@pytest.fixture
def make_attempt(tmp_path: Path) -> Callable[..., Path]:
    def make(source: str, **overrides: Any) -> Path:
        directory = tmp_path / f"job_{uuid.uuid4().hex}-a1"
        (directory / "source").mkdir(parents=True)
        (directory / "source" / "my_model.py").write_text(textwrap.dedent(source))
        record: dict[str, Any] = {
            "job_id": directory.name.removesuffix("-a1"),
            "submission_id": directory.name,
            "attempt": 1,
            "script": "my_model.py",
            "args": [],
            "environment": {},
            "experiment_name": "wrapper",
            "model_name": None,
            "mlflow_url": "http://127.0.0.1:9",
            "autolog": False,
            "tags": {},
            "cpus": 1.0,
            "memory_bytes": 1024 * MEBIBYTE,
            "gpus": 0.0,
            "stop_grace_seconds": 5.0,
            "max_log_bytes": MEBIBYTE,
            "nice": 0,
            "environment_lock": [],
            "script_sha256": "",
        }
        (directory / "attempt.json").write_text(json.dumps(record | overrides))
        return directory

    return make


@pytest.fixture
def start(make_attempt: Callable[..., Path]) -> Iterator[Callable[..., Running]]:
    """Start the wrapper on a script. Processes that remain are killed at the end of the test."""
    started: list[Running] = []

    def begin(source: str, **overrides: Any) -> Running:
        directory = make_attempt(source, **overrides)
        command = [sys.executable, "-m", "job_entrypoints.train", "--attempt-dir", str(directory)]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        started.append(Running(directory, process))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        if running.process.stdout is not None:
            # A failed test may not have read the pipe. Unread, it would fail the next test.
            running.process.stdout.close()


@pytest.fixture
def run(start: Callable[..., Running]) -> Callable[..., Result]:
    """Run a script under the wrapper to its end."""
    return lambda source, **overrides: start(source, **overrides).wait()


@pytest.fixture
def pids_with() -> Callable[[str], list[int]]:
    """All processes with a marker in their environment, in any process tree."""

    def find(marker: str) -> list[int]:
        found: list[int] = []
        for directory in Path("/proc").iterdir():
            if not directory.name.isdigit():
                continue
            try:
                environment = (directory / "environ").read_bytes()
                dead = "\nState:\tZ" in (directory / "status").read_text()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if marker.encode() in environment and not dead:
                found.append(int(directory.name))
        return found

    return find


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real tracking server on SQLite."""
    directory = tmp_path_factory.mktemp("mlflow")
    database = f"sqlite:///{directory}/mlflow.db"
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    mlflow = [sys.executable, "-m", "mlflow"]
    # Once, before any server: two processes on an empty database race.
    subprocess.run([*mlflow, "db", "upgrade", database], env=environment, check=True, capture_output=True)
    port = _free_port()
    command = [*mlflow, "server", "--backend-store-uri", database, "--artifacts-destination", f"{directory}/artifacts"]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    with (directory / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server)
        yield url
    finally:
        # A process group of its own, so that no other server is killed.
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if server.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(url)
