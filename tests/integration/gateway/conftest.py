from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from raylift.services.container import Services
from raylift.settings import PlatformSettings, ServingSettings
from raylift.store import Store
from serve_apps.gateway.rest_api import create_app
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry

Behaviour = Callable[[Request, bytes], Awaitable[Response]]


@contextlib.asynccontextmanager
async def served(app: Any, sock: socket.socket) -> AsyncIterator[str]:
    """Run ``app`` under uvicorn on the socket, in this event loop."""
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has nothing to wait for
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@dataclass
class Replica:
    """Fake of Ray Serve's ingress and of a version's replicas. Keeps its requests. Its behaviour can be changed."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    behaviours: list[Behaviour] = field(default_factory=list)
    """Behaviour for the next requests, one each. Afterwards it echoes."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await _lifespan(receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        path = scope["raw_path"].decode() + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        self.seen.append((request.method, path, dict(request.headers), body))
        behaviour = self.behaviours.pop(0) if self.behaviours else _echo
        await (await behaviour(request, body))(scope, receive, send)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]


async def _echo(_: Request, body: bytes) -> Response:
    return Response(body, 200, {"x-replica": "1"}, "application/json")


def answers(status: int, body: str, kind: str = "text/plain", **headers: str) -> Behaviour:
    async def behaviour(_: Request, __: bytes) -> Response:
        return Response(body, status, headers, kind)

    return behaviour


def dies() -> Behaviour:
    """Close the connection before the answer, as a killed process does."""

    async def behaviour(request: Request, _: bytes) -> Response:
        class Cut(Response):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                # uvicorn hides its transport. An answer shorter than its Content-Length makes it close the connection.
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})

        return Cut()

    return behaviour


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@dataclass
class World:
    platform: Platform
    replica: Replica
    client: httpx.AsyncClient
    url: str


@pytest.fixture
def upstream_socket() -> Iterator[socket.socket]:
    with listening() as sock:
        yield sock


@pytest.fixture
def platform(tmp_path: Path, migrated: Path, upstream_socket: socket.socket) -> Iterator[Platform]:
    settings = PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        gateway_url=f"http://127.0.0.1:{upstream_socket.getsockname()[1]}",
        serving=ServingSettings(scale_up_timeout_seconds=20),
    )
    shutil.copy(migrated, tmp_path / "store.db")
    store = Store.open(settings.database_url)
    registry, cluster = FakeRegistry(), FakeCluster()
    services = Services.assemble(settings, store=store, registry=registry, cluster=cluster)
    lease = store.leases.acquire("supervisor", "test", now=datetime.now(UTC), seconds=3600)
    assert lease
    yield Platform(settings, store, registry, cluster, services, lease)
    services.health.close()
    store.close()


@pytest.fixture
async def world(platform: Platform, upstream_socket: socket.socket) -> AsyncIterator[World]:
    """The gateway and a replica behind it, each a server of its own."""
    replica = Replica()
    with listening() as sock:
        async with (
            served(replica, upstream_socket),
            served(create_app(platform.services), sock) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            yield World(platform, replica, client, url)
