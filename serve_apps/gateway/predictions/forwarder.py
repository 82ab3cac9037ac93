"""Forwards raw requests to the route of a version, over one pool of kept-alive connections.

Only the replica parses the body.
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
    CHECKED,
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
from raylift.services.traffic.routing import Wanted

_CONNECT_SECONDS: Final = 5.0
# Shorter than the time-outs of Ray Serve and HAProxy, so that this side closes idle connections.
_KEEP_ALIVE_SECONDS: Final = 30.0
_READ_AT_ONCE: Final = 1024 * 1024
_LARGE_BODY: Final = 256 * 1024

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"}
)
# Clients must not change time-outs of Ray Serve with x-request-timeout-seconds.
_NOT_FORWARDED: Final = _HOP_BY_HOP | {
    "host",
    "content-length",
    "expect",
    # Replicas must not see keys. The gateway has checked this one.
    "authorization",
    "cookie",
    CHECKED.lower(),
    REQUEST_TIMEOUT.lower(),
    FORWARDED.lower(),
    SHADOW.lower(),
}
_NOT_RETURNED: Final = _HOP_BY_HOP | {
    "content-length", "date", "server", REQUEST_ID.lower(), "x-content-type-options", MODEL_VERSION.lower(),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForwardRequest:
    """A raw request for a model."""

    wanted: Wanted
    method: str
    beneath: str
    """Path and query below the version's route, e.g. ``/predict``; percent-encoded."""
    headers: Mapping[str, str]
    body: bytes
    hold_seconds: float
    """Seconds that the request may wait for a version that is not ready."""
    repeatable: bool
    """True if the request may be sent again after a replica may have started with it."""


class NotReached(Exception):
    """No connection. No process has the request, so it may be sent again."""


class BrokenOff(Exception):
    """The connection broke before the answer. The process may have started with the request."""


@dataclass(slots=True)
class Answer:
    """An answer whose body must be read (``respond``) or dropped (``discard``)."""

    _response: aiohttp.ClientResponse

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def is_absent_route(self) -> bool:
        """True if no process got the request."""
        if NO_ROUTE in self._response.headers:
            return True
        if self._failure is not None:
            return self._failure == NOT_REACHED
        # Ray Serve's proxy and HAProxy answer in plain text; replicas do not.
        return self.status == 503 and self._is_ingress_text and not self.is_queue_full

    @property
    def is_ingress_failure(self) -> bool:
        """True if the ingress reports a broken replica, or that it has none (the same 500 in HAProxy)."""
        if self._failure is not None:
            return self._failure == BROKEN_OFF
        return self.status in {500, 502} and self._is_ingress_text

    @property
    def is_queue_full(self) -> bool:
        """True if Ray Serve refused the request because too many are waiting."""
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
        """Failure reported by an ingress with our rules (ingress/haproxy_config.py)."""
        return self._response.headers.get(FAILURE)

    @property
    def _is_ingress_text(self) -> bool:
        return self._response.content_type in {"text/plain", "text/html"}

    async def respond(self, version: str) -> Response:
        """The unchanged answer, with the version in a header. Bodies over 1 MiB or of unknown length are streamed."""
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
    """Connections to the platform's ingress, or to one process at a socket. To be made inside the event loop."""

    def __init__(self, base_url: str, *, socket: Path | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request to ``path``, percent-encoded and with its query.

        Raises:
            NotReached: There was no connection.
            BrokenOff: The connection broke before the answer.
        """
        # A file-like body is sent in pieces: one large write would block the event loop.
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
    """Headers of the forwarded request."""
    onward = {name: value for name, value in headers if name.lower() not in _NOT_FORWARDED}
    return {**onward, FORWARDED: "1", CHECKED: "1", REQUEST_ID: request_id}


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
