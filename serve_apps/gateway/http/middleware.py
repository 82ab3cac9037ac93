"""Middleware of all requests: request id, limit of the body, check of host and origin, metrics. Plain ASGI for speed."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raylift.api.headers import CONSOLE
from raylift.api.headers import REQUEST_ID as REQUEST_ID_HEADER
from raylift.domain.errors import InvalidRequest, PlatformError
from serve_apps.gateway.http.bodies import body_too_large
from serve_apps.gateway.http.errors import REQUEST_ID, error_response
from serve_apps.gateway.http.hosts import Hosts

_ACCEPTABLE_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_POLICY_VIOLATION: Final = 1008

Observe = Callable[[Scope, int, float], None]
"""Called once per request with its scope, the answer's status and the duration in seconds."""


class Edge:
    """Wraps the application. Calls ``observe`` when an answer is complete."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, hosts: Hosts, observe: Observe, echo_request_id: bool) -> None:
        self._app = app
        self._hosts = hosts
        self._echo_request_id = echo_request_id
        self._max_body_bytes = max_body_bytes
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._hosts.refusal(scope, Headers(scope=scope)):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = scope[REQUEST_ID] = _request_id(headers)
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                if self._echo_request_id:
                    answer[REQUEST_ID_HEADER] = request_id
                answer["X-Content-Type-Options"] = "nosniff"
                if CONSOLE in headers and "WWW-Authenticate" in answer:
                    answer["WWW-Authenticate"] = "Bearer"  # Else the browser asks for a password itself.
            await send(message)

        try:
            refusal = self._refusal(scope, headers)
            if refusal:
                await error_response(scope["path"], refusal)(scope, receive, send_with_headers)
            else:
                await self._app(scope, self._bounded(receive, headers), send_with_headers)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers) -> PlatformError | None:
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return InvalidRequest("The address holds a null byte.")
        if refusal := self._hosts.refusal(scope, headers):
            return refusal
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            return body_too_large(self._max_body_bytes)
        return None

    def _bounded(self, receive: Receive, headers: Headers) -> Receive:
        if "content-length" in headers:
            return receive  # The server reads no more than that.
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise body_too_large(self._max_body_bytes)
            return message

        return receive_bounded


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID_HEADER)
    return given if given and _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
