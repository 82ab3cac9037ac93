"""An app whose routes FastAPI analysed for the first test of this process.

The analysis of all routes takes 0.1 s, most of a test's time. The routes are the same objects in every test; what they call is
the platform of the app that got the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.local import LocalProxy

from raylift.services.container import Services
from serve_apps.gateway.rest_api import create_app
from serve_apps.gateway.routes import Parts, api_routers

_parts: ContextVar[Parts] = ContextVar("parts")
_analysed: dict[str, Sequence[APIRouter]] = {}
"""By the settings: some routes read them when they are made."""


class _ServicesOfTheRequest:
    def __getattr__(self, name: str) -> Any:
        return LocalProxy(lambda: getattr(_parts.get().services, name))


def _routers(parts: Parts) -> Sequence[APIRouter]:
    settings = parts.services.settings
    key = settings.model_dump_json(exclude={"state_dir", "database_url"})
    if key not in _analysed:

        @wraps(parts.infer)
        async def infer(request: Request) -> Response:
            return await _parts.get().infer(request)

        late = Parts(
            cast("Services", _ServicesOfTheRequest()),
            cast("Any", LocalProxy(lambda: _parts.get().dispatcher)),
            cast("Any", LocalProxy(lambda: _parts.get().metrics)),
            infer,
        )
        made = _parts.set(parts)
        _analysed[key] = api_routers(late)
        _parts.reset(made)
    return _analysed[key]


class _Bind:
    """Let the routes of a request call the parts of its app."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = _parts.set(self._parts)
        try:
            await self._app(scope, receive, send)
        finally:
            _parts.reset(before)


def app_of(services: Services) -> FastAPI:
    own: list[Parts] = []

    def routers(parts: Parts) -> Sequence[APIRouter]:
        own.append(parts)
        return _routers(parts)

    app = create_app(services, routers=routers)
    app.add_middleware(_Bind, parts=own[0])
    return app
