"""A real second node joins a platform and leaves it. The store is on PostgreSQL, which several nodes need."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from raylift import Client, InvalidRequest, Job
from raylift.engines.environments import PLUGINS_VARIABLE
from raylift.launcher import LocalPlatform
from tests.e2e.conftest import OVERRIDES
from tests.postgres_server import running_postgres

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(900), pytest.mark.nightly]

HOLD = """
import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.1)
"""

HUMANE = """
import humanize, mlflow

class Spoken(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import humanize
        return [f"{humanize.__version__}: {humanize.intword(number)}" for number in model_input["n"]]

import pandas as pd
mlflow.pyfunc.log_model(name="model", python_model=Spoken(), input_example=pd.DataFrame({"n": [1_000_000]}))
"""
"""A script whose training and predictions need a package that the base lacks."""


@pytest.fixture(scope="module")
def platform() -> Iterator[LocalPlatform]:
    """A platform with two CPUs, one of them for jobs."""
    state_dir = Path(tempfile.mkdtemp(prefix="rln-"))
    with running_postgres() as server, server.database() as name:
        own = {"database": server.url(name), "resources": {"cpus": 2}}
        running = LocalPlatform.start(state_dir, overrides={**OVERRIDES, **own})
        try:
            yield running
        finally:
            running.stop()
    shutil.rmtree(state_dir)


@contextmanager
def second_node(platform: LocalPlatform, *, with_plugin: bool = True) -> Generator[str]:
    """Add a node of four CPUs on the same machine. Yields its id, and removes the node afterwards."""
    (raylet,) = (process for process in platform.processes() if process.name() == "raylet")
    known, environment = nodes(platform), psutil.Process(raylet.pid).environ()
    gcs = f"127.0.0.1:{platform.record.platform_ports.internal['gcs']}"
    with (platform.record.state_dir / "second-node.log").open("ab") as log:
        starting = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("second_node.py")), gcs],
            env={name: value for name, value in environment.items() if with_plugin or name != PLUGINS_VARIABLE},
            cwd=platform.record.session_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        patiently(lambda: bool(nodes(platform) - known))
        (joined,) = nodes(platform) - known
        yield joined
    finally:
        starting.terminate()
        starting.wait(60)
    patiently(lambda: joined not in nodes(platform))


def of_ray(platform: LocalPlatform, path: str) -> httpx.Response:
    """Answer of Ray's dashboard."""
    headers = {"Authorization": f"Bearer {platform.record.ray_token_file.read_text(encoding='ascii')}"}
    return httpx.get(f"{platform.record.ray_dashboard_url}{path}", headers=headers, timeout=30, trust_env=False)


def nodes(platform: LocalPlatform) -> set[str]:
    """Ids of the live nodes, from Ray's dashboard."""
    answer = of_ray(platform, "/nodes?view=summary")
    summary: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["summary"]
    return {node["raylet"]["nodeId"] for node in summary if node["raylet"].get("state") == "ALIVE"}


def node_of(platform: LocalPlatform, job: Job) -> str:
    """The node of the job's current attempt."""
    submission = job.refresh().view.ray_submission_id
    answer = of_ray(platform, f"/api/jobs/{submission}")
    node: str = answer.raise_for_status().json()["driver_node_id"]
    return node


def patiently(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.2)


def is_running(job: Job) -> bool:
    return job.refresh().phase == "script"


def waits_because(job: Job, reason: str) -> Callable[[], bool]:
    return lambda: (job.refresh().view.status, job.view.reason) == ("queued", reason)


class Uploads:
    def __init__(self, client: Client, flag: Path) -> None:
        self.client = client
        self.flag = flag

    def hold(self, cpus: float) -> Job:
        """Submit a job that runs until the flag file exists."""
        return self._upload(cpus, script_content=HOLD, args=[str(self.flag)])

    def short(self, cpus: float) -> Job:
        return self._upload(cpus, script_content="print('done')")

    def is_taken(self, cpus: float) -> bool:
        try:
            self.short(cpus).cancel()
        except InvalidRequest as error:
            if "no node of the cluster could ever hold" not in str(error):
                raise
            return False
        return True

    def _upload(self, cpus: float, **what: Any) -> Job:
        return self.client.train(experiment="nodes", cpus=cpus, memory="64MiB", autolog=False, isolation="cluster", **what)


@pytest.fixture
def uploads(platform: LocalPlatform, tmp_path: Path) -> Iterator[Uploads]:
    with Client(platform.url) as client:
        yield Uploads(client, tmp_path / "flag")


def test_jobs_run_on_a_new_node_and_survive_its_loss(platform: LocalPlatform, uploads: Uploads) -> None:
    assert not uploads.is_taken(3)
    with second_node(platform) as worker:
        patiently(lambda: uploads.is_taken(3))
        runs = uploads.hold(3)
        patiently(lambda: is_running(runs))
        assert node_of(platform, runs) == worker
        waits = uploads.short(3)
        patiently(waits_because(waits, "waiting_for_capacity"))
    # The node has left. One attempt is lost, and no remaining node can hold either job.
    patiently(waits_because(waits, "waiting_for_node"))
    patiently(waits_because(runs, "waiting_for_node"))
    assert not uploads.is_taken(3)
    # Waiting jobs reserve nothing: jobs that fit the head go on.
    assert uploads.short(1).wait(timeout=120).status == "completed"
    uploads.flag.touch()
    with second_node(platform):
        assert {job.wait(timeout=240).status for job in (runs, waits)} == {"completed"}
    assert (runs.view.attempt, waits.view.attempt) == (2, 1)


def test_node_is_reserved_for_a_waiting_large_job(platform: LocalPlatform, uploads: Uploads) -> None:
    with second_node(platform) as worker:
        patiently(lambda: uploads.is_taken(4))
        before = uploads.hold(3)
        patiently(lambda: is_running(before))
        large = uploads.hold(4)
        patiently(waits_because(large, "waiting_for_capacity"))
        small = [uploads.hold(0.2) for _ in range(4)]
        patiently(lambda: all(is_running(job) for job in small))
        assert worker not in {node_of(platform, job) for job in small}
        assert large.refresh().view.status == "queued"
        uploads.flag.touch()
        assert {job.wait(timeout=240).status for job in (before, large, *small)} == {"completed"}


def test_ray_builds_environments_on_a_node_without_the_plugin(platform: LocalPlatform, uploads: Uploads) -> None:
    client = uploads.client
    with second_node(platform, with_plugin=False) as worker:
        # More than the head has for jobs.
        patiently(lambda: uploads.is_taken(3))
        wanted: dict[str, Any] = {"cpus": 3, "memory": "512MiB", "requirements": ["humanize==4.9.0"]}
        job = client.train(script_content=HUMANE, experiment="nodes", model="humane", deploy=False, autolog=False, **wanted)
        assert job.wait(timeout=400).status == "completed"
        assert (job.view.attempt, node_of(platform, job)) == (2, worker)
        again = next(event for event in job.events() if event.reason == "environment_error")
        assert "Ray on this node does not have Raylift's plugin" in (again.message or "")
        client.deployments.put("humane", 1, cpus=3, min_replicas=1)
        patiently(lambda: client.deployments.get("humane", 1).status == "ready")
        assert client.predict("humane", [{"n": 1_000_000}]).predictions == ["4.9.0: 1.0 million"]
