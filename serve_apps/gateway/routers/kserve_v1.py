"""``/v1/models``: KServe's V1 protocol, for models by name."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.paths import V1_MODELS
from raylift.domain.errors import EngineUnavailable, Unavailable
from raylift.services.container import Services
from raylift.services.traffic.routing import Wanted
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import SCALE_UP, plain_json
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.predictions.dispatcher import Dispatcher
from serve_apps.gateway.predictions.relay import V1_PREDICT, Relay, version_that_answers

_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": description,
        "content": {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}},
    }
    for status, description in ((400, "Not what the model wants."), (404, "No such model."), (503, "No version answers now."))
}
_BODY: Final = {
    "type": "object",
    "required": ["instances"],
    "properties": {
        "instances": {"type": "array", "description": "A list a row, or an object a row."},
        "signature_name": {"type": "string"},
    },
}


def kserve_v1_router(services: Services, dispatcher: Dispatcher) -> APIRouter:
    """Build the routes. V1 names no version: the traffic table or the newest ready version decides."""
    router = APIRouter(prefix=V1_MODELS, tags=["kserve v1"])
    relay = Relay(services, dispatcher)

    @router.get("", dependencies=[needs(services, Action.PREDICT)])
    async def models(request: Request) -> Response:
        """List the models with a version that answers."""
        rows = await run_in_threadpool(services.shown_deployments, principal_of(request))
        return plain_json({"models": sorted({row.model_name for row in rows if row.answers})})

    @router.post(
        "/{model}:predict",
        responses=_ERRORS,
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
            "parameters": [SCALE_UP],
        },
        dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)],
    )
    async def predict(request: Request, model: str) -> Response:
        """Predict: `{"instances": […]}` to `{"predictions": […]}`."""
        return await relay.answer(request, Wanted(model), V1_PREDICT)

    @router.get("/{model}", responses={404: _ERRORS[404]}, dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)])
    async def model_state(model: str) -> Response:
        """Show whether a version answers now. One that is scaled to zero does: the call starts it."""
        return plain_json({"name": model, "ready": await _is_ready(services, model)})

    return router


async def _is_ready(services: Services, model: str) -> bool:
    try:
        await version_that_answers(services.routing, Wanted(model))
    except EngineUnavailable:
        raise
    except Unavailable:
        return False
    return True
