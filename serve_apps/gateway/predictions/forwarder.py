"""Sends raw requests on to the version's own route, over one pool of kept-alive connections.

Nothing of the body is understood here: parsing happens once, in the replica.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from fastapi import Response
from starlette.responses import StreamingResponse
from yarl import URL

from raylift.api.headers import (
    BROKEN_OFF,
    FAILURE,
    FORWARDED,
    MODEL_VERSION,
    NO_ROUTE,
    NOT_REACHED,
    QUEUE_FULL,
    REQUEST_ID,
    REQUEST_TIMEOUT,
    SHADOW,
)

_CONNECT_SECONDS: Final = 5.0
# Shorter than Ray Serve's and HAProxy's own, so that it is we who close idle connections.
_KEEP_ALIVE_SECONDS: Final = 30.0
_READ_AT_ONCE: Final = 1024 * 1024
_LARGE_BODY: Final = 256 * 1024

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)
# Ray Serve lets clients change its time-outs by header; that is not theirs.
_NOT_FORWARDED: Final = _HOP_BY_HOP | {
    "host",
    "content-length",
    "expect",
    REQUEST_TIMEOUT.lower(),
    FORWARDED.lower(),
    SHADOW.lower(),
}
_NOT_RETURNED: Final = _HOP_BY_HOP | {
    "content-length", "date", "server", REQUEST_ID.lower(), "x-content-type-options", MODEL_VERSION.lower(),
}  # fmt: skip


class NotReached(Exception):
    """No connection: nothing was processed, so it may be sent again."""


class BrokenOff(Exception):
    """The connection ended before the answer: a replica went away. Whether it had begun is not known."""


@dataclass(slots=True)
class Answer:
    """The beginning of an answer; its body is still to be read (``respond``) or let go (``discard``)."""

    _response: aiohttp.ClientResponse

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def is_absent_route(self) -> bool:
        """Whether nobody was there to process the request."""
        if NO_ROUTE in self._response.headers:
            return True
        if self._failure is not None:
            return self._failure == NOT_REACHED
        # Ray Serve's proxy and HAProxy speak plain text, replicas do not.
        return self.status == 503 and self._is_ingress_text and not self.is_queue_full

    @property
    def is_ingress_failure(self) -> bool:
        """Whether the ingress itself says that a replica broke off, or that it has none (both are the same 500 to HAProxy)."""
        if self._failure is not None:
            return self._failure == BROKEN_OFF
        return self.status in {500, 502} and self._is_ingress_text

    @property
    def is_queue_full(self) -> bool:
        """Whether Ray Serve refuses, because too many requests wait already."""
        if self._failure is not None:
            return self._failure == QUEUE_FULL
        return self._is_ingress_text and (
            self.status == 429 or (self.status == 503 and "Retry-After" in self._response.headers)
        )

    @property
    def retry_after(self) -> float | None:
        text = self._response.headers.get("Retry-After", "")
        return float(text) if text.isdecimal() else None

    @property
    def _failure(self) -> str | None:
        """What an ingress with our rules (ingress/haproxy_config.py) says of itself."""
        return self._response.headers.get(FAILURE)

    @property
    def _is_ingress_text(self) -> bool:
        return self._response.content_type in {"text/plain", "text/html"}

    async def respond(self, version: str) -> Response:
        """Status, headers and body as they are, and the version that answered; large or unmeasured bodies are streamed."""
        response = self._response
        headers = {name: value for name, value in response.headers.items() if name.lower() not in _NOT_RETURNED}
        headers[MODEL_VERSION] = version
        length = response.content_length
        if length is not None and length <= _READ_AT_ONCE:
            return Response(await _read(response), response.status, headers)
        if length is not None:
            headers["Content-Length"] = str(length)
        return StreamingResponse(_chunks(response), response.status, headers)

    def discard(self) -> None:
        self._response.close()


class Forwarder:
    """One pool of connections to the platform's own ingress, or to one process at a socket. Made inside the event loop."""

    def __init__(self, base_url: str, *, socket: Path | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send to ``path``, which is percent-encoded and may have a query.

        Raises:
            NotReached: there was no connection.
            BrokenOff: the connection was lost before the answer.
        """
        # A file-like body is sent in pieces: one large write would hold up the loop.
        data = io.BytesIO(body) if len(body) > _LARGE_BODY else body
        try:
            response = await self._open().request(
                method, URL(self._base_url + path, encoded=True), data=data or None, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReached(str(error)) from error
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise BrokenOff(str(error)) from error
        return Answer(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        if self._socket is not None:
            return aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)


def onward_headers(headers: Iterable[tuple[str, str]], request_id: str) -> dict[str, str]:
    """The headers of a request as they go on."""
    onward = {name: value for name, value in headers if name.lower() not in _NOT_FORWARDED}
    return {**onward, FORWARDED: "1", REQUEST_ID: request_id}


async def _read(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.read()
    except aiohttp.ClientError as error:
        raise BrokenOff(str(error)) from error


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    finally:
        response.close()
