"""``/v2``: routes about the server, routes by model name, and routes of versions without a Ray Serve application."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

import raylift
from raylift.api.paths import V2_MODELS
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.services.container import Services
from raylift.services.traffic.routing import Wanted
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import parse_object, read_body
from serve_apps.gateway.http.responses import plain_json
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.predictions.dispatcher import Dispatcher
from serve_apps.gateway.predictions.relay import Relay

_METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]
_MAX_INDEX_BODY: Final = 64 * 1024

_SILENT_STATE: Final = {
    DeploymentStatus.PENDING: "LOADING",
    DeploymentStatus.STARTING: "LOADING",
    DeploymentStatus.UNHEALTHY: "UNAVAILABLE",
    DeploymentStatus.STOPPED: "UNAVAILABLE",
}
"""States of the model repository extension for a version that does not answer."""


def server_router(services: Services) -> APIRouter:
    """Build the server routes of the Open Inference Protocol."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])

    @router.get("", dependencies=[needs(services, Action.PUBLIC)])
    def server() -> Response:
        """Return the server's metadata."""
        extensions = ["binary_tensor_data", "model_repository"]
        return plain_json({"name": "raylift", "version": raylift.__version__, "extensions": extensions})

    @router.get("/health/live", dependencies=[needs(services, Action.PUBLIC)])
    async def live() -> Response:
        """Show that the gateway answers."""
        return plain_json({"live": True, "ready": True})

    @router.get("/health/ready", dependencies=[needs(services, Action.PUBLIC)])
    async def ready() -> Response:
        """Show that the store answers: the choice of a version needs it."""
        is_ready = (await services.health.parts())["store"].ok
        return plain_json({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    @router.get("/models", dependencies=[needs(services, Action.PREDICT)])
    def models(request: Request) -> Response:
        """List the deployed models with their versions."""
        versions: defaultdict[str, list[str]] = defaultdict(list)
        for row in services.shown_deployments(principal_of(request)):
            if row.answers:
                versions[row.model_name].append(row.version)
        return plain_json({"models": [{"name": name, "versions": found} for name, found in versions.items()]})

    @router.post("/repository/index", dependencies=[needs(services, Action.PREDICT)])
    async def index(request: Request) -> Response:
        """List every deployed version with its state; `{"ready": true}` selects those that answer."""
        raw = await read_body(request, max_bytes=_MAX_INDEX_BODY)
        only_ready = bool(parse_object(raw).get("ready")) if raw.strip() else False
        rows = await run_in_threadpool(services.shown_deployments, principal_of(request))
        return plain_json(list(_index(rows, only_ready=only_ready)))

    return router


def by_name_router(services: Services, dispatcher: Dispatcher) -> APIRouter:
    """Build routes that hold and forward: by model name, and of versions without an application."""
    router = APIRouter(prefix=V2_MODELS, tags=["open inference protocol"], include_in_schema=False)
    relay = Relay(services, dispatcher)

    @router.api_route(
        "/{model}/versions/{version}", methods=_METHODS, dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)]
    )
    @router.api_route(
        "/{model}/versions/{version}/{beneath:path}",
        methods=_METHODS,
        dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)],
    )
    async def version_route(request: Request, model: str, version: str, beneath: str = "") -> Response:
        return await relay.answer(request, Wanted(model, version), beneath)

    @router.api_route("/{model}", methods=_METHODS, dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)])
    @router.api_route(
        "/{model}/{beneath:path}", methods=_METHODS, dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)]
    )
    async def by_name_route(request: Request, model: str, beneath: str = "") -> Response:
        return await relay.answer(request, Wanted(model), beneath)

    return router


def _index(rows: Iterable[Deployment], *, only_ready: bool) -> Iterable[dict[str, Any]]:
    for row in rows:
        state = "READY" if row.answers else _SILENT_STATE[row.status] if row.wanted else "UNAVAILABLE"
        if state == "READY" or not only_ready:
            yield {"name": row.model_name, "version": row.version, "state": state, "reason": row.message or ""}
