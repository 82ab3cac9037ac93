"""ASGI application at a replica's port, in the process of its model. Does what Ray Serve would do there, for one version.

Requests take one of ``max_ongoing_requests`` slots, wait for one, or are refused. What Serve alone knows, such as its health
page, it answers itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from raylift.api.headers import PREDICTION_ID, REQUEST_ID, raw
from raylift.ingress.access_token import App, Receive, Scope, Send, only_from_ingress
from serve_apps.model_server.process.page import CountPage
from serve_apps.model_server.process.slots import RETRY_AFTER_SECONDS, Slots

SERVES_PAGES: Final = "/-/"

_REQUEST_ID: Final = raw(REQUEST_ID)
_PREDICTION_ID: Final = raw(PREDICTION_ID)
_FULL: Final = b"Request dropped due to backpressure"
_FULL_HEADERS: Final = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_FULL)).encode()),
    (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
)
"""As Serve answers. The gateway and HAProxy's rules recognize it (ingress/haproxy_config.py)."""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Answer of Serve's to a request for one of its own pages."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Ingress:
    """Requests from HAProxy.

    Args:
        app: Answers for the version.
        predictions: Paths of predictions.
        slots: Slots of the version's requests in this process.
        page: Counts for the replica.
        ask_serve: Gets the answer of one of Serve's own pages.
        token: Token that requests need; None: they need none.
    """

    def __init__(
        self,
        app: App,
        predictions: Iterable[str],
        slots: Slots,
        page: CountPage,
        ask_serve: Callable[[str], Awaitable[PageAnswer]],
        token: str | None,
    ) -> None:
        self._app = app
        self._predictions = frozenset(predictions)
        self._slots, self._page, self._ask_serve = slots, page, ask_serve
        self._guarded = only_from_ingress(self._answer, token)
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(SERVES_PAGES):
            await self._answer_page(scope["path"], send)
            return
        await self._guarded(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_request_id(scope, send)
        page = self._page
        if scope["path"] in self._predictions and scope["method"] == "POST":
            page.note_prediction()
        if not self._slots.take():
            await answer_when_free(self._counted, self._slots, scope, receive, send)
            return
        page.change_ongoing(1)
        try:
            await _until_gone(self._app, scope, receive, send)
        finally:
            # In the loop's next turn, so that the replica's sampling sees how many quick requests came together.
            self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        self._page.change_ongoing(-1)
        self._slots.release()

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._page.change_ongoing(1)
        try:
            await self._app(scope, receive, send)
        finally:
            self._page.change_ongoing(-1)

    async def _answer_page(self, path: str, send: Send) -> None:
        answer = await self._ask_serve(path)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})


class ForwardedRequests:
    """ASGI application for requests that Serve itself forwards, and counts: they share the slots of all others."""

    def __init__(self, app: App, slots: Slots, token: str | None) -> None:
        self._app, self._slots = only_from_ingress(app, token), slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._slots.take():
            # Serve has accepted it: the queue's limit was checked there.
            await answer_when_free(self._app, self._slots, scope, receive, send, refuse=False)
            return
        try:
            await _until_gone(self._app, scope, receive, send)
        finally:
            self._slots.release()


async def answer_when_free(app: App, slots: Slots, scope: Scope, receive: Receive, send: Send, *, refuse: bool = True) -> None:
    """Answer once a slot is free; with 429 if too many requests wait already; not at all if the client leaves before."""
    if refuse and slots.is_queue_full:
        await send({"type": "http.response.start", "status": 429, "headers": list(_FULL_HEADERS)})
        await send({"type": "http.response.body", "body": _FULL})
        return
    # Before anything is awaited: requests that come together see each other in the queue.
    place, watched = slots.join(), _WatchedReceive(receive)
    try:
        await watched.while_connected(place)
        if place.done():
            await _until_gone(app, scope, watched.receive, send)
    finally:
        slots.leave(place)
        watched.close()


async def _until_gone(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer. The application cancels its own work if the client leaves: then there is no answer."""
    try:
        await app(scope, receive, send)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise


class _WatchedReceive:
    """Reads what the client sends while its request waits, and so notices that it leaves."""

    def __init__(self, receive: Receive) -> None:
        self._messages: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._reader = asyncio.ensure_future(self._read(receive))

    async def while_connected(self, work: asyncio.Future[None]) -> None:
        """Return when ``work`` is done, or the client has left."""
        await asyncio.wait((work, self._reader), return_when=asyncio.FIRST_COMPLETED)

    async def receive(self) -> Any:
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        return self._messages[0] if self._messages[0]["type"] == "http.disconnect" else self._messages.popleft()

    async def _read(self, receive: Receive) -> None:
        while True:
            message = await receive()
            self._messages.append(message)
            self._arrived.set()
            if message["type"] == "http.disconnect":
                return

    def close(self) -> None:
        self._reader.cancel()


def _with_request_id(scope: Scope, send: Send) -> Send:
    """Return a ``send`` that adds the request's id to the response, as Serve does: its own, the ingress's, or a new one."""
    own = given = None
    for name, value in scope["headers"]:
        if name == _REQUEST_ID:
            own = value
        elif name == _PREDICTION_ID:
            given = value
    header = (_REQUEST_ID, own or given or str(uuid4()).encode("ascii"))
    if own is None:
        scope["headers"].append(header)

    def answering(message: Any) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"].append(header)
        return send(message)

    return answering
