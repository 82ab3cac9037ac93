"""Forwards requests that come through Serve's own proxy to the model's process: the first ones of a version at rest."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from urllib.parse import quote

from raylift.ingress.access_token import App, Receive, Scope, Send

_END_OF_HEAD: Final = b"\r\n\r\n"
_CHUNK: Final = 256 * 1024
_NOT_FORWARDED: Final = frozenset(
    {b"connection", b"content-length", b"expect", b"keep-alive", b"transfer-encoding", b"upgrade"}
)


def forward_to(connect: Callable[[], socket.socket]) -> App:
    """Return an ASGI application that sends each request over a connection of its own.

    The connection ends when this side does: a cancelled request is cancelled there.
    """

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await _forward(connect, scope, receive, send)

    return forward


async def _forward(connect: Callable[[], socket.socket], scope: Scope, receive: Receive, send: Send) -> None:
    body = await _read_body(receive)
    if body is None:
        return
    reader, writer = await asyncio.open_connection(sock=connect())
    try:
        writer.write(_head(scope, len(body)))
        writer.write(body)
        await writer.drain()
        status, headers = _read_head(await reader.readuntil(_END_OF_HEAD))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        async for chunk in _chunks(reader):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        writer.close()


async def _read_body(receive: Receive) -> bytes | None:
    """Read a request's body; None if the client has left."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _head(scope: Scope, length: int) -> bytes:
    target: bytes = scope.get("raw_path") or quote(scope["path"]).encode("ascii")
    if scope.get("query_string"):
        target += b"?" + scope["query_string"]
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in _NOT_FORWARDED]
    lines = [b"%s %s HTTP/1.1" % (scope["method"].encode("ascii"), target)]
    lines += [b"%s: %s" % header for header in (*kept, (b"content-length", b"%d" % length), (b"connection", b"close"))]
    return b"\r\n".join(lines) + _END_OF_HEAD


def _read_head(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    status, *lines = head.removesuffix(_END_OF_HEAD).split(b"\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    # Serve's own server adds these.
    return int(status.split(b" ", 2)[1]), [header for header in headers if header[0] not in {b"connection", b"date", b"server"}]


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the body: it ends with the connection, and the application gives its length."""
    while chunk := await reader.read(_CHUNK):
        yield chunk


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Any = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
