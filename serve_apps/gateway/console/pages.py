"""``/console/``, ``/docs`` and ``/``: the pages for a browser."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from raylift.api.paths import CONSOLE, DOCS_PAGE
from raylift.domain.errors import NotFound
from raylift.services.container import Services
from serve_apps.console.static_files import ASSETS, DOCS, HOW_TO_BUILD, INDEX, StaticFile, read_static_files
from serve_apps.gateway.access.permissions import Action, needs

_METHODS: Final = ["GET", "HEAD"]


def console_router(services: Services) -> APIRouter:
    """Build the routes of the pages. They need no key: they are the same on every platform, and ask for one themselves."""
    router = APIRouter(include_in_schema=False)
    files = read_static_files()
    public = [needs(services, Action.PUBLIC)]

    def answer(request: Request, name: str) -> Response:
        file = files.get(name)
        return PlainTextResponse(f"{HOW_TO_BUILD}\n", 503) if file is None else _answer(request, file)

    @router.api_route("/", methods=_METHODS, dependencies=public)
    async def root() -> Response:
        return RedirectResponse(CONSOLE)

    @router.api_route(CONSOLE.rstrip("/"), methods=_METHODS, dependencies=public)
    async def console_without_slash() -> Response:
        return RedirectResponse(CONSOLE)

    @router.api_route(CONSOLE + "{path:path}", methods=_METHODS, dependencies=public)
    async def console(request: Request, path: str) -> Response:
        """Return a built file. Every other path is a page of the console, which index.html draws."""
        if path in files and path != INDEX:
            return answer(request, path)
        if path.startswith(ASSETS):
            raise NotFound(f"The console has no file {path}. Reload the page: another version of the platform runs.")
        return answer(request, INDEX)

    @router.api_route(DOCS_PAGE, methods=_METHODS, dependencies=public)
    async def docs(request: Request) -> Response:
        """Return the API's pages, which load the OpenAPI document."""
        return answer(request, DOCS)

    return router


def _answer(request: Request, file: StaticFile) -> Response:
    headers = dict(file.headers)
    if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.compressed, headers=headers | {"Content-Encoding": "gzip"})
    return Response(file.content, headers=headers)
