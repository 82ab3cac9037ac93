"""MLflow's server as `raylift up` starts it, without the rest of the platform."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from raylift.launcher.parts.mlflow_server import MlflowFiles, prepare_mlflow, start_mlflow
from raylift.launcher.run.access_files import mlflow_secret, mlflow_secret_file

_PATIENCE_SECONDS: Final = 240.0


@dataclass(frozen=True)
class MlflowServer:
    url: str
    state_dir: Path
    """The platform's directory."""
    session_dir: Path
    files: MlflowFiles
    secret: str = ""
    """Signs credentials; empty: the server needs none."""

    def get(self, path: str, /, **query: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", params=query, timeout=120, trust_env=False)


@contextmanager
def mlflow_server(state_dir: Path, *, keys: bool = False) -> Iterator[MlflowServer]:
    """Start a server for the platform of ``state_dir``, confined, and end it. With ``keys`` it is as in keys mode."""
    with tempfile.TemporaryDirectory(prefix="rl-m-") as session:
        temp = Path(session) / "t"
        temp.mkdir()
        environment = {**os.environ, "TMPDIR": str(temp), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment["MLFLOW_DISABLE_TELEMETRY"] = "true"
        files, port = MlflowFiles(state_dir), _free_port()
        prepare_mlflow(files, environment)
        protected = [state_dir, Path(session)]
        how: dict[str, Any] = {"secret_file": mlflow_secret_file(state_dir)} if keys else {}
        secret, workspaces = mlflow_secret(state_dir) if keys else "", keys or files.has_workspaces()
        started = start_mlflow(files, environment, port=port, workers=1, protected=protected, workspaces=workspaces, **how)
        process = psutil.Process(started.pid)
        try:
            made = MlflowServer(f"http://127.0.0.1:{port}", state_dir, Path(session), files, secret)
            _wait_for(made, process)
            files.mark_created()
            yield made
        finally:
            # The one that would start it again first.
            servers = process.children(recursive=True)
            for each in (process, *servers):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs([process, *servers], timeout=10)


def _wait_for(server: MlflowServer, process: psutil.Process) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with suppress(httpx.HTTPError):
            if server.get("/health").status_code == 200:
                return
        assert process.is_running(), server.files.log.read_text()
        assert process.status() != psutil.STATUS_ZOMBIE, server.files.log.read_text()
        assert time.monotonic() < deadline, server.files.log.read_text()
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
