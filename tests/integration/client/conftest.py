"""Fixtures: the real gateway on a real port, a thread that plays the supervisor, and a proxy whose connections can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from raylift import Client
from raylift.settings import PlatformSettings
from raylift.store import Store
from serve_apps.gateway.rest_api import create_app
from tests.unit.gateway.conftest import Platform, assembled


@contextlib.contextmanager
def served(app: Any, sock: socket.socket) -> Iterator[str]:
    """Run ``app`` under uvicorn on the socket, in a thread of its own."""
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


class Wire(threading.Thread):
    """A proxy between a port of its own and the platform's. The test can cut its connections."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.connections = 0
        self._closed = False

    def run(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self.connections += 1
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def cut(self) -> None:
        """Break every open connection. New ones are accepted."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._open.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        self.join(5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


async def _predict(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse(
        {
            "model_name": request.path_params["name"],
            "model_version": request.path_params["version"],
            "predictions": [1] * 2,
            "inference_time_ms": 0.5,
            "asked": body,
        }
    )


async def _metadata(request: Request) -> JSONResponse:
    column = {"name": "age", "datatype": "FP64", "shape": [-1]}
    return JSONResponse({"name": request.path_params["name"], "inputs": [column], "outputs": []})


REPLICA = Starlette(
    routes=[
        Route("/v2/models/{name}/versions/{version}/predict", _predict, methods=["POST"]),
        Route("/v2/models/{name}/versions/{version}", _metadata),
    ]
)
"""Fake of Ray Serve's ingress and of the versions' replicas."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with listening() as sock, served(REPLICA, sock) as url:
        yield url


@pytest.fixture
def platform(tmp_path: Path, upstream: str) -> Iterator[Platform]:
    settings = PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        gateway_url=upstream,
    )
    store = Store.open(settings.database_url)
    store.migrate()
    with assembled(settings, store) as made:
        yield made


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    with listening() as sock, served(create_app(platform.services), sock) as url:
        yield url


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    wire = Wire(("127.0.0.1", int(url.rpartition(":")[2])))
    wire.start()
    yield wire
    wire.close()


@pytest.fixture
def client(wire: Wire) -> Iterator[Client]:
    with Client(wire.url) as client:
        yield client


@pytest.fixture
def patiently() -> Callable[..., None]:
    return until
