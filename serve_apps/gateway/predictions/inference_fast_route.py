"""A way past the framework for the one route that must be fast.

Matching routes, injecting dependencies and unwinding exit stacks cost as much as choosing a version and sending the body
on. So ``POST /mlops/inference`` is answered before FastAPI sees it; FastAPI keeps the same function, for the document.
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
class HotRoute:
    """What metrics see of it, as they see a route of the framework."""

    path: str
    method: str
    endpoint: Endpoint


class HotPath:
    def __init__(self, app: ASGIApp, *, route: HotRoute) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route
        if scope["type"] != "http" or scope["method"] != route.method:
            await self._app(scope, receive, send)
            return
        if scope["path"] != route.path:
            if not _lost_its_way(scope):
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


def _lost_its_way(scope: Scope) -> bool:
    """Whether the ingress took the short way to a version with it, which Ray Serve has no route to any more, or not yet."""
    return scope["path"].endswith("/predict") and _NAMED in scope["headers"]
