"""``/v2``: the server's own answers, the routes that name a model, and those of versions that Ray Serve does not have yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

import raylift
from raylift.domain.deployment import ANSWERING, Deployment, DeploymentStatus
from raylift.domain.errors import DeploymentNotReady
from raylift.services.container import Services
from raylift.services.inference_routing import RETRY_AFTER_SECONDS, Wanted
from serve_apps.gateway.bodies import parse_object, read_body
from serve_apps.gateway.dispatching import Dispatcher, Errand, hold_seconds
from serve_apps.gateway.errors import REQUEST_ID, error_response
from serve_apps.gateway.forwarding import FORWARDED, NO_ROUTE, onward_headers
from serve_apps.gateway.sticky_keys import sticky_key_of

_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]
_PROBES: Final = frozenset({"ready", "ping", "health"})
_REPEATABLE: Final = frozenset({"infer", "invocations", "predict", "explain"})
_MAX_INDEX_BODY: Final = 64 * 1024

_OIP_STATE: Final = {
    DeploymentStatus.PENDING: "LOADING",
    DeploymentStatus.STARTING: "LOADING",
    DeploymentStatus.READY: "READY",
    DeploymentStatus.SCALED_TO_ZERO: "READY",
    DeploymentStatus.UNHEALTHY: "UNAVAILABLE",
    DeploymentStatus.STOPPED: "UNAVAILABLE",
}
"""The model repository extension's words."""


def server_router(services: Services) -> APIRouter:
    """What the Open Inference Protocol asks of a server."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])

    @router.get("")
    def server() -> Response:
        """The server's metadata."""
        return _json({"name": "raylift", "version": raylift.__version__, "extensions": ["model_repository"]})

    @router.get("/health/live")
    async def live() -> Response:
        """The gateway answers."""
        return _json({"live": True, "ready": True})

    @router.get("/health/ready")
    async def ready() -> Response:
        """The store, and so the choice of versions, answers."""
        is_ready = (await services.health.parts())["store"].ok
        return _json({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    @router.get("/models")
    def models() -> Response:
        """The models that are deployed, with their versions."""
        versions: defaultdict[str, list[str]] = defaultdict(list)
        for row in services.deployments.list():
            if row.wanted and row.status in ANSWERING:
                versions[row.model_name].append(row.version)
        return _json({"models": [{"name": name, "versions": found} for name, found in versions.items()]})

    @router.post("/repository/index")
    async def index(request: Request) -> Response:
        """Every deployed version with its state; `{"ready": true}` asks for those that answer."""
        raw = await read_body(request, max_bytes=_MAX_INDEX_BODY)
        only_ready = bool(parse_object(raw).get("ready")) if raw.strip() else False
        rows = await run_in_threadpool(services.deployments.list)
        return _json(list(_index(rows, only_ready=only_ready)))

    return router


def model_routes_router(services: Services, dispatcher: Dispatcher) -> APIRouter:
    """Held and sent on: routes of a version that Ray Serve does not have yet, and routes that name only a model."""
    router = APIRouter(prefix="/v2/models", tags=["open inference protocol"], include_in_schema=False)
    relay = _Relay(services, dispatcher)

    @router.api_route("/{model}/versions/{version}", methods=_METHODS)
    @router.api_route("/{model}/versions/{version}/{beneath:path}", methods=_METHODS)
    async def version_route(request: Request, model: str, version: str, beneath: str = "") -> Response:
        return await relay.answer(request, Wanted(model, version), beneath)

    @router.api_route("/{model}", methods=_METHODS)
    @router.api_route("/{model}/{beneath:path}", methods=_METHODS)
    async def name_route(request: Request, model: str, beneath: str = "") -> Response:
        return await relay.answer(request, Wanted(model), beneath)

    return router


class _Relay:
    def __init__(self, services: Services, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._max_bytes = services.settings.gateway.max_body_bytes
        self._default_hold = services.settings.serving.scale_up_timeout_seconds

    async def answer(self, request: Request, wanted: Wanted, beneath: str) -> Response:
        if FORWARDED in request.headers:
            # We sent it to Ray Serve, and Ray Serve sent it back to us: it goes no further.
            return error_response(request.url.path, _no_route(wanted), {NO_ROUTE: "1"})
        body = await read_body(request, max_bytes=self._max_bytes)
        if wanted.by_traffic:
            wanted = replace(wanted, sticky_key=sticky_key_of(request, body))
        is_probe = request.method in {"GET", "HEAD"} and beneath in _PROBES
        query = request.url.query
        path = "/" + quote(beneath) if beneath else ""
        errand = Errand(
            wanted=wanted,
            method=request.method,
            beneath=f"{path}?{query}" if query else path,
            headers=onward_headers(request.headers.items(), request.scope[REQUEST_ID]),
            body=body,
            # Whoever asks whether a model is ready wants to know it now.
            hold_seconds=0.0 if is_probe else hold_seconds(request, self._default_hold),
            repeatable=request.method in {"GET", "HEAD"} or beneath in _REPEATABLE,
        )
        return await self._dispatcher.answer(errand)


def _no_route(wanted: Wanted) -> DeploymentNotReady:
    return DeploymentNotReady(
        f"Ray Serve has no route to version {wanted.version} of {wanted.model_name!r} now.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _index(rows: Iterable[Deployment], *, only_ready: bool) -> Iterable[dict[str, Any]]:
    for row in rows:
        state = _OIP_STATE[row.status] if row.wanted else "UNAVAILABLE"
        if state == "READY" or not only_ready:
            yield {"name": row.model_name, "version": row.version, "state": state, "reason": row.message or ""}


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
