"""ETags of JSON answers: a client that polls a resource gets 304 without a body where nothing has changed."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raylift.api.paths import MLOPS

_HASH_BYTES: Final = 12
_JSON: Final = "application/json"


class ConditionalGet:
    """Adds a weak ETag to whole JSON answers of ``GET /mlops/…`` and honours ``If-None-Match``.

    An answer that has an ETag of its own, a stream, and an error pass unchanged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(MLOPS):
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_taggable(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            first, start = start, None
            if message.get("more_body"):  # A stream: its hash is not known yet.
                await send(first)
                await send(message)
                return
            await _send_whole(first, message, Headers(scope=scope).get("if-none-match", ""), send)

        await self._app(scope, receive, send_tagged)


def _is_taggable(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    return message["status"] == 200 and headers.get("content-type") == _JSON and "etag" not in headers


async def _send_whole(start: Message, message: Message, known: str, send: Send) -> None:
    tag = f'W/"{hashlib.blake2b(message["body"], digest_size=_HASH_BYTES).hexdigest()}"'
    headers = MutableHeaders(scope=start)
    headers["ETag"] = tag
    headers["Cache-Control"] = "no-cache"
    if tag in (part.strip() for part in known.split(",")):
        del headers["Content-Length"]
        await send({**start, "status": 304})
        await send({"type": "http.response.body", "body": b""})
        return
    await send(start)
    await send(message)
