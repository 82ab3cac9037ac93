from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pytest
import pytest_asyncio

from raylift.api.paths import version_route
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.engines.model_files.digests import file_digests
from raylift.settings import PlatformSettings, ServingSettings
from serve_apps.gateway.predictions.forwarder import Answer, Forwarder, NotReached
from serve_apps.warm_pool.pool import WarmPool
from tests.integration.model_server.conftest import registry
from tests.integration.model_server.replicas import Registry

__all__ = ["registry"]

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PATIENCE = 110.0


@dataclass
class Warm:
    """A pool with a real warm process, and requests to versions."""

    state_dir: Path
    pool: WarmPool[Forwarder] = field(init=False)
    asked: list[Deployment] = field(default_factory=list[Deployment])
    deployed: list[Deployment] | None = None
    """Existing deployments. None: all versions that were requested."""

    async def ask(self, deployment: Deployment, body: bytes) -> Answer:
        """Sends a request again if it reached no process, as the gateway does."""
        self.asked.append(deployment)
        limit = asyncio.get_running_loop().time() + PATIENCE
        route = version_route(deployment.model_name, deployment.version) + "/predict"
        while True:
            try:
                async with self.pool.process_of(deployment, limit) as process:
                    return await process.connection.send("POST", route, {"content-type": "application/json"}, body)
            except NotReached:
                await asyncio.sleep(0.02)

    async def answer(self, deployment: Deployment, body: bytes) -> tuple[int, bytes]:
        response = await (await self.ask(deployment, body)).respond(deployment.version)
        return response.status_code, bytes(response.body)

    async def pid(self, deployment: Deployment) -> int:
        self.asked.append(deployment)
        async with self.pool.process_of(deployment, asyncio.get_running_loop().time() + PATIENCE) as process:
            return process.pid


def deployment_of(name: str, **changes: Any) -> Deployment:
    config = changes.pop("config", DeploymentConfig())
    if "files" not in changes:
        changes["files"] = file_digests(f"models:/{name}/1", mlflow.get_tracking_uri())
    return Deployment(name, "1", f"models:/{name}/1", config, DeploymentStatus.SCALED_TO_ZERO, NOW, NOW, **changes)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


PoolMaker = Callable[..., Any]


@asynccontextmanager
async def running_pool(
    state_dir: Path, mlflow_url: str, *, session_dir: Path | None = None, **serving: Any
) -> AsyncIterator[Warm]:
    # Not confined by default: these models are in SQLite and folders of the tests.
    serving.setdefault("isolation", "none")
    settings = PlatformSettings(
        state_dir=state_dir,
        database_url="sqlite://",
        mlflow_url=mlflow_url,
        ray_dashboard_url="http://ray.invalid",
        gateway_url="http://gateway.invalid",
        session_dir=session_dir,
        serving=ServingSettings(**serving),
    )
    warm = Warm(state_dir)
    pool = warm.pool = WarmPool(
        settings,
        lambda socket: Forwarder("http://warm", socket=socket),
        lambda _: warm.asked if warm.deployed is None else warm.deployed,
        lambda _: DEFAULT_WORKSPACE,
    )
    try:
        yield warm
    finally:
        await pool.close()


@pytest.fixture
def warm_pool(registry: Registry, tmp_path: Path) -> PoolMaker:
    """Makes pools with chosen settings, each with a warm process of its own."""
    return lambda **serving: running_pool(tmp_path, registry.url, **serving)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_pool(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Warm]:
    """One pool with the default settings: a warm process takes seconds to start."""
    async with running_pool(tmp_path_factory.mktemp("warm"), registry.url) as warm:
        yield warm


@pytest.fixture
def warm(shared_pool: Warm) -> Warm:
    """The shared pool, with every requested version deployed."""
    shared_pool.deployed = None
    return shared_pool
