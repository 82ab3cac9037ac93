"""Hands the HTTP server of a replica, which HAProxy asks, to the process of its model.

Serve starts an HTTP server in the replica's own process. Its ASGI application makes tasks, contexts and ids for each request,
which takes longer than a quick prediction. And it runs where Ray's connection and token are, so the model would have to be
there, too. Here the replica only opens the port. The model's process accepts the connections, and Serve goes on deciding
about health, draining and scaling: it stops the server as its own, and counts its requests.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol

from raylift.domain.nodes.labels import NODE_ADDRESS_VARIABLE
from raylift.ingress.access_token import App

_START_SERVER = "start_asgi_http_server"
_ONGOING = "_num_ongoing_requests"


class ServingProcess(Protocol):
    """Process that answers at a replica's port."""

    def ongoing(self) -> float: ...
    async def listen(self, listener: socket.socket, keep_alive_seconds: int, serves: App) -> None: ...
    async def stop_accepting(self) -> None: ...


class HandedServer:
    """The process's HTTP server, in the form of the ``uvicorn.Server`` that Serve expects."""

    def __init__(self, process: ServingProcess) -> None:
        self._process = process
        self._stop = asyncio.Event()

    @property
    def should_exit(self) -> bool:
        return self._stop.is_set()

    @should_exit.setter
    def should_exit(self, wanted: bool) -> None:
        if wanted:
            self._stop.set()

    async def serve(self) -> None:
        """Return when the process has stopped accepting and has answered every request."""
        await self._stop.wait()
        await self._process.stop_accepting()


def hand_http_server_to(process: ServingProcess) -> None:
    """Let ``process`` answer at this replica's port. Call this in a deployment's constructor, before Serve opens the port."""
    # Imported here, because only a replica's process needs it.
    from ray.serve._private import replica

    async def start(
        app: Any, options: Any, *, event_loop: asyncio.AbstractEventLoop, enable_so_reuseport: bool = False
    ) -> tuple[asyncio.Task[None], HandedServer]:
        with _bound(_host(options.host), options.port) as listener:
            await process.listen(listener, options.keep_alive_timeout_s, app)
        count_requests_of(app.__self__._metrics_manager, process.ongoing)
        server = HandedServer(process)
        return event_loop.create_task(server.serve()), server

    getattr(replica, _START_SERVER)  # Fails at once with a release of Ray that has it elsewhere.
    setattr(replica, _START_SERVER, start)


def open_http_server_at_node_address() -> None:
    """Let this replica's own HTTP server listen where HAProxy of other nodes reaches it. For a deployment's constructor."""
    from ray.serve._private import replica

    start = getattr(replica, _START_SERVER)

    async def start_there(app: Any, options: Any, **others: Any) -> Any:
        return await start(app, options.model_copy(update={"host": _host(options.host)}), **others)

    setattr(replica, _START_SERVER, start_there)


def count_requests_of(manager: Any, ongoing: Callable[[], float]) -> None:
    """Add ``ongoing`` to what a ``ReplicaMetricsManager`` of Serve's has counted, whenever Serve reads it."""
    last = 0.0

    def read(self: Any) -> float:
        nonlocal last
        last = ongoing()
        return vars(self)[_ONGOING] + last

    def write(self: Any, value: float) -> None:
        # Serve adds to what it has just read.
        vars(self)[_ONGOING] = value - last

    kind = type(manager)
    manager.__class__ = type(kind.__name__, (kind,), {_ONGOING: property(read, write)})


def _host(of_serve: str) -> str:
    """Return the address at which HAProxy asks this replica: the node's where machines may join, else loopback."""
    return os.environ.get(NODE_ADDRESS_VARIABLE) or of_serve


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket at the port. Raises RuntimeError as Serve's function does: it then tries another port."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise RuntimeError(f"Failed to bind to address '{host}:{port}'.") from error
    return listener
