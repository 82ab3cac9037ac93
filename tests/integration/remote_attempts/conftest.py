"""A real gateway process, and real wrappers in mount namespaces that do not see the state directory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.contract import GATEWAY_VARIABLE, NODE_DIRECTORY_VARIABLE, wrapper_command
from raylift.domain.identifiers import new_job_id, submission_id
from raylift.domain.job import Isolation, Job, JobSpec, JobState
from raylift.domain.lease import Lease
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.services.datasets.job_data import JobData
from raylift.settings import PlatformSettings
from raylift.store import Store

REPOSITORY = Path(__file__).parents[3]
TOKEN = "token-of-ray"


@dataclass
class Node:
    """A wrapper on a node that does not see the state directory."""

    directory: AttemptDirectory
    files: Path
    """Its local directory, which is there while it runs."""
    process: subprocess.Popen[bytes]
    stdout: Path

    def wait(self, seconds: float = 60) -> bytes:
        """Return the wrapper's output, once it has ended."""
        self.process.wait(seconds)
        return self.stdout.read_bytes()


@dataclass
class World:
    settings: PlatformSettings
    store: Store
    lease: Lease
    folder: Path
    port: int
    nodes: list[Node] = field(default_factory=list)
    gateway: subprocess.Popen[bytes] | None = None

    def start_gateway(self) -> None:
        path = self.folder / "settings.json"
        path.write_text(self.settings.model_dump_json())
        command = [sys.executable, str(Path(__file__).with_name("gateway_process.py")), str(path), str(self.port)]
        with (self.folder / "gateway.log").open("ab") as log:
            self.gateway = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log, start_new_session=True)
        self.until(self.answers, 60)

    def kill_gateway(self) -> None:
        assert self.gateway is not None
        self.gateway.kill()
        self.gateway.wait()

    def pause_gateway(self) -> None:
        """Pull the cable: connections hang, as those to a host that is gone."""
        assert self.gateway is not None
        self.gateway.send_signal(signal.SIGSTOP)

    def resume_gateway(self) -> None:
        assert self.gateway is not None
        self.gateway.send_signal(signal.SIGCONT)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def until(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if found := condition():
                return found
            time.sleep(0.05)
        logs = (self.folder / "gateway.log").read_text()[-2000:]
        raise TimeoutError(f"not within {seconds} s; the gateway said: {logs}")

    def job(
        self,
        source: str,
        *,
        project: bytes | None = None,
        secrets: dict[str, str] | None = None,
        contact_seconds: float = 45.0,
        **fields: Any,
    ) -> Job:
        """Make a job whose attempt is submitted, as the supervisor does."""
        script = textwrap.dedent(source).encode()
        given: dict[str, Any] = {"isolation": Isolation.CLUSTER, "autolog": False} | fields
        digest = hashlib.sha256(script).hexdigest()
        spec = JobSpec(script_name="train.py", script_sha256=digest, experiment_name="remote", **given)
        now = datetime.now(UTC)
        job = self.store.jobs.add(spec, script, job_id=new_job_id(), now=now)
        job = self.store.jobs.move(self.lease, job, JobState.STARTING, now=now, submission_id=submission_id(job.job_id, 1))
        self.directory(job).prepare(
            job,
            script,
            mlflow_url=self.settings.mlflow_url,
            settings=self.settings.jobs.model_copy(update={"contact_seconds": contact_seconds}),
            project=project,
            platform=self.settings,
            secrets=secrets,
            data=JobData(self.store, self.settings).for_attempt(job),
        )
        return job

    def directory(self, job: Job) -> AttemptDirectory:
        return AttemptDirectory(self.settings.attempts_dir, job.submission_id or "")

    def run(self, job: Job, *, token: str = TOKEN, gateway: str | None = None) -> Node:
        """Start the job's wrapper on a node without the state directory."""
        directory = self.directory(job)
        local = self.folder / "node"
        hidden = f"mount -t tmpfs tmpfs {self.settings.state_dir} && exec {wrapper_command(directory.path)}"
        environment = os.environ | {
            **({GATEWAY_VARIABLE: self.settings.gateway_url} if gateway is None else {}),
            NODE_DIRECTORY_VARIABLE: str(local),
            "RAY_AUTH_TOKEN": token,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        stdout = (self.folder / f"{directory.path.name}.stdout").open("wb")
        process = subprocess.Popen(
            ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", hidden],
            cwd=REPOSITORY,
            env=environment,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stdout.close()
        self.nodes.append(Node(directory, local / directory.path.name, process, Path(stdout.name)))
        return self.nodes[-1]

    def progress(self, node: Node) -> dict[str, Any]:
        path = node.directory.path / "progress.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def output(self, node: Node) -> bytes:
        path = node.directory.output()
        return path.read_bytes() if path.exists() else b""

    def ended(self, node: Node, seconds: float = 60) -> dict[str, Any]:
        """Return the record of the attempt's end, as the platform has it."""
        self.until(lambda: self.progress(node).get("state") == "finished", seconds)
        return self.progress(node)

    def close(self) -> None:
        for node in self.nodes:
            if node.process.poll() is None:
                os.killpg(node.process.pid, signal.SIGKILL)
                node.process.wait()
        if self.gateway is not None and self.gateway.poll() is None:
            self.resume_gateway()
            self.kill_gateway()
        self.store.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[World]:
    tmp_path = tmp_path_factory.mktemp("remote")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(migrated, tmp_path / "store.db")
    (tmp_path / "ray-token").write_text(f"{TOKEN}\n")
    settings = PlatformSettings(
        state_dir=state,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://127.0.0.1:9",
        ray_dashboard_url="http://ray.invalid",
        ray_token_file=tmp_path / "ray-token",
        gateway_url=f"http://127.0.0.1:{port}",
    )
    settings = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"max_log_bytes": 2**28})})
    store = Store.open(settings.database_url)
    lease = store.leases.acquire("supervisor", "test", now=datetime.now(UTC), seconds=3600)
    assert lease
    world = World(settings, store, lease, tmp_path, port)
    world.start_gateway()
    yield world
    world.close()
