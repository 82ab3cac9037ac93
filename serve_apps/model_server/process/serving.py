"""Serves a loaded version in the process of a replica's model, as the replica tells it to."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Self

import uvicorn
import uvloop
from uvicorn.server import ServerState

from raylift.domain.models.counters import ProcessKind
from serve_apps.model_server.process.channel import Channel
from serve_apps.model_server.process.ingress import ForwardedRequests, Ingress, PageAnswer
from serve_apps.model_server.process.page import CountPage
from serve_apps.model_server.process.slots import Slots
from serve_apps.model_server.process.spec import VersionSpec
from serve_apps.model_server.process.version import LoadedVersion

_START_POLL_SECONDS: Final = 0.005
_FIRST_SLOTS: Final = 1
"""Until the replica sends the settings, which it does before HAProxy knows it."""


class ModelServer:
    """Answers at the replica's port, and requests that the replica forwards."""

    def __init__(self, channel: Channel, page: CountPage, version: LoadedVersion, slots: Slots, token: str | None) -> None:
        self._channel, self._page, self._version, self._slots, self._token = channel, page, version, slots, token
        self._pages: dict[int, asyncio.Future[PageAnswer]] = {}
        self._page_numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_port: uvicorn.Server | None = None
        self._until_drained: asyncio.Task[None] | None = None
        self._handed: Callable[[], asyncio.Protocol] | None = None

    @classmethod
    def load(cls, channel: Channel, page: int, order: Mapping[str, Any]) -> Self:
        """Load the version of an order of the replica. Runs the model's own code, which may raise anything."""
        slots = Slots(_FIRST_SLOTS)
        version = LoadedVersion.load(VersionSpec(**order["version"]), ProcessKind.REPLICA, lambda: slots.held)
        return cls(channel, CountPage(page), version, slots, order["token"])

    def run(self) -> None:
        """Answer until the replica closes it or ends."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._read, closed)
        self._handed = self._protocol_of_handed()
        await closed.wait()

    def _read(self, closed: asyncio.Event) -> None:
        try:
            received = self._channel.receive(wait=False)
        except BlockingIOError:
            return
        if received is None:
            os._exit(0)  # The replica has ended.
        message, descriptors = received
        if "page" in message:
            self._take_page(message)
            return
        work = self._orders[message["do"]](self, descriptors, **message["with"])
        task = asyncio.ensure_future(self._obey(message["id"], work, closed if message["do"] == "close" else None))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _obey(self, number: int, work: Coroutine[Any, Any, None], closed: asyncio.Event | None) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - the replica raises it
            self._channel.send({"id": number, "error": f"{type(error).__name__}: {error}"})
        else:
            self._channel.send({"id": number, "result": None})
        if closed is not None:
            closed.set()

    async def _listen(self, descriptors: list[int], *, keep_alive_seconds: int) -> None:
        """Accept connections at the socket of the replica's port."""
        (listener,) = descriptors
        paths = self._version.replica_app.prediction_paths
        app = Ingress(self._version.app, paths, self._slots, self._page, self._ask_serve, self._token)
        self._at_port = server = uvicorn.Server(_config(app, keep_alive_seconds))
        self._until_drained = serving = asyncio.ensure_future(server.serve(sockets=[socket.socket(fileno=listener)]))
        while not server.started:
            if serving.done():
                raise RuntimeError("the HTTP server did not start") from serving.exception()
            await asyncio.sleep(_START_POLL_SECONDS)

    async def _stop_accepting(self, _: list[int]) -> None:
        """Accept no more connections, close idle ones, and return when all others have their answers."""
        if self._at_port is not None and self._until_drained is not None:
            self._at_port.should_exit = True
            await self._until_drained

    async def _take_connection(self, descriptors: list[int]) -> None:
        """Answer the request of a connection that the replica hands over."""
        (connection,) = descriptors
        assert self._handed is not None  # noqa: S101 - set before the first message is read
        await asyncio.get_running_loop().connect_accepted_socket(self._handed, socket.socket(fileno=connection))

    async def _configure(self, _: list[int], *, limits: list[int], **settings: Any) -> None:
        self._slots.set_limits(*limits)
        self._version.configure(**settings)

    async def _close(self, _: list[int]) -> None:
        """Write what is buffered."""
        await asyncio.to_thread(self._version.close)

    _orders: Final[Mapping[str, Callable[..., Coroutine[Any, Any, None]]]] = {
        "listen": _listen,
        "stop accepting": _stop_accepting,
        "connection": _take_connection,
        "configure": _configure,
        "close": _close,
    }

    async def _ask_serve(self, path: str) -> PageAnswer:
        number = next(self._page_numbers)
        answer = self._pages[number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send({"page": number, "path": path})
            return await answer
        finally:
            del self._pages[number]

    def _take_page(self, message: Mapping[str, Any]) -> None:
        answer = self._pages.get(message["page"])
        if answer is not None and not answer.done():
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in message["headers"]]
            answer.set_result(PageAnswer(message["status"], headers, message["body"].encode()))

    def _protocol_of_handed(self) -> Callable[[], asyncio.Protocol]:
        config = _config(ForwardedRequests(self._version.app, self._slots, self._token), 5)
        config.load()
        return functools.partial(config.http_protocol_class, config=config, server_state=ServerState(), app_state={})


def _config(app: Any, keep_alive_seconds: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_seconds,
    )
