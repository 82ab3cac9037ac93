"""ETags of JSON answers: a client that polls a resource gets 304 without a body where nothing has changed."""

from __future__ import annotations

import hashlib
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raylift.api.paths import MLOPS
from serve_apps.gateway.http.tag_memory import TagMemory

_HASH_BYTES: Final = 12
_JSON: Final = "application/json"
TAG_PART: Final = "-"
"""Between the ETag of a route and the digest of its answer."""


class ConditionalGet:
    """Adds a weak ETag to whole JSON answers of ``GET /mlops/…`` and honours ``If-None-Match``.

    A strong ETag that the route sets, such as a revision for ``If-Match``, becomes the first part of the answer's own. A stream
    and an error pass unchanged.
    """

    def __init__(self, app: ASGIApp, *, memory: TagMemory) -> None:
        self._app = app
        self._memory = memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(MLOPS):
            await self._app(scope, receive, send)
            return
        wanted = _tags(Headers(scope=scope).get("if-none-match", ""))
        mark = await self._memory.mark() if wanted else None
        if (tag := self._memory.tag(scope, mark)) in wanted:
            await _send_unchanged(tag, send)
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
            tag = _tag(message["body"], Headers(raw=first["headers"]).get("etag"))
            self._memory.remember(scope, mark, tag)
            await (_send_unchanged(tag, send) if tag in wanted else _send_whole(first, message, tag, send))

        await self._app(scope, receive, send_tagged)


def _is_taggable(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    # What clients may not keep has no tag.
    may_be_kept = headers.get("cache-control") != "no-store"
    return message["status"] == 200 and headers.get("content-type") == _JSON and may_be_kept


def _tags(header: str) -> frozenset[str | None]:
    return frozenset(part.strip() for part in header.split(",")) if header else frozenset()


def _tag(body: bytes, of_route: str | None) -> str:
    digest = hashlib.blake2b(body, digest_size=_HASH_BYTES).hexdigest()
    return f'W/"{digest}"' if of_route is None else f'{of_route[:-1]}{TAG_PART}{digest}"'


async def _send_unchanged(tag: str | None, send: Send) -> None:
    headers = [(b"etag", str(tag).encode()), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _send_whole(start: Message, message: Message, tag: str, send: Send) -> None:
    headers = MutableHeaders(scope=start)
    headers["ETag"] = tag
    headers["Cache-Control"] = "no-cache"
    await send(start)
    await send(message)
