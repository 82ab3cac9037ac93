"""ASGI's messages: reads bodies, sends responses, and notices clients that disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

from raylift.api.headers import MODEL_VERSION, TRACEPARENT, raw
from raylift.ingress.access_token import Receive, Send
from serve_apps.model_server.codecs.base import Response
from serve_apps.model_server.errors import BodyTooLarge

_T = TypeVar("_T")

Header = tuple[bytes, bytes]

_CONTENT_TYPES: Final = {
    media_type: (b"content-type", media_type.encode("latin-1"))
    for media_type in ("application/json", "application/problem+json", "text/plain")
}
_TRACE: Final = raw(TRACEPARENT)
"""W3C's header, returned unchanged. Ray Serve returns X-Request-ID."""


def version_header(version: str) -> Header:
    """Header that names the version: the client may have named only the model."""
    return raw(MODEL_VERSION), version.encode("latin-1")


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """Read the body of a request.

    Raises:
        BodyTooLarge: It has more than ``max_bytes``.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        _check_size(len(body), max_bytes)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        _check_size(size, max_bytes)
    return b"".join(chunks)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")


async def send_response(send: Send, response: Response, version: Header, request_headers: Iterable[Header] = ()) -> None:
    media_type = response.media_type
    headers = [
        _CONTENT_TYPES.get(media_type) or (b"content-type", media_type.encode("latin-1")),
        (b"content-length", b"%d" % len(response.body)),
        version,
    ]
    for header in request_headers:
        if header[0] == _TRACE:
            headers.append(header)
    if response.headers:
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def while_connected(receive: Receive, answer: Coroutine[Any, Any, _T]) -> _T:
    """Await an answer while the client is connected.

    Raises:
        asyncio.CancelledError: The client has disconnected. Work that waits for a thread is dropped; work in a thread runs on.
    """
    work, disconnect = asyncio.ensure_future(answer), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((work, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and disconnect.result()["type"] != "http.disconnect":
            return await work
        if not work.done():
            raise asyncio.CancelledError
        return work.result()
    finally:
        work.cancel()
        disconnect.cancel()


async def answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
