"""Answers ``POST /mlops/inference`` without FastAPI.

FastAPI's route matching, dependency injection and exit stacks cost as much as choosing a version and forwarding the body.
FastAPI keeps the same function for the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from raylift.api.headers import NAMED, raw
from raylift.domain.errors import PlatformError
from serve_apps.gateway.http.errors import on_platform_error

_NAMED: Final = (raw(NAMED), b"1")

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class FastRoute:
    """The route. Metrics read its ``path``, as with routes of FastAPI."""

    path: str
    method: str
    endpoint: Endpoint


class InferenceFastRoute:
    """ASGI middleware in front of FastAPI."""

    def __init__(self, app: ASGIApp, *, route: FastRoute) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route
        if scope["type"] != "http" or scope["method"] != route.method:
            await self._app(scope, receive, send)
            return
        if scope["path"] != route.path:
            if not _lacks_route(scope):
                await self._app(scope, receive, send)
                return
            scope = {**scope, "path": route.path, "raw_path": route.path.encode()}
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await route.endpoint(request)
        except PlatformError as error:
            response = on_platform_error(request, error)
        await response(scope, receive, send)


def _lacks_route(scope: Scope) -> bool:
    """True for a by-name request that the ingress sent to a version whose route Ray Serve does not have."""
    return scope["path"].endswith("/predict") and _NAMED in scope["headers"]
