"""Relays requests below a model's route to a version, and answers readiness probes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import quote

import orjson
from fastapi import Request, Response

from raylift.api.headers import FORWARDED, MODEL_VERSION, NO_ROUTE
from raylift.domain.errors import DeploymentNotReady
from raylift.domain.models.deployment import Deployment
from raylift.services.container import Services
from raylift.services.traffic.routing import RETRY_AFTER_SECONDS, InferenceRouting, Starting, Wanted, not_ready
from serve_apps.gateway.http.bodies import read_body
from serve_apps.gateway.http.errors import REQUEST_ID, error_response
from serve_apps.gateway.predictions.dispatcher import Dispatcher, hold_seconds
from serve_apps.gateway.predictions.forwarder import ForwardRequest, onward_headers
from serve_apps.gateway.predictions.sticky_key import sticky_key_of

V1_PREDICT: Final = "v1:predict"
"""Path of KServe V1 below a version's route."""
_PROBES: Final = frozenset({"ready", "ping", "health"})
"""Readiness routes of the Open Inference Protocol and of MLflow."""

_REPEATABLE: Final = frozenset({"infer", "invocations", "predict", "explain", V1_PREDICT})


class Relay:
    """Relays requests of clients."""

    def __init__(self, services: Services, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._routing = services.routing
        self._max_bytes = services.settings.gateway.max_body_bytes
        self._default_hold = services.settings.serving.scale_up_timeout_seconds

    async def answer(self, request: Request, wanted: Wanted, beneath: str) -> Response:
        """The wanted version's answer to the request at ``beneath``, a decoded path below its route.

        Raises:
            PlatformError: Of ``Dispatcher.answer``; TooLarge.
        """
        if FORWARDED in request.headers:
            # A forwarded request has come back: Ray Serve has no route to the version.
            return error_response(request.url.path, _no_route(wanted), {NO_ROUTE: "1"})
        body = await read_body(request, max_bytes=self._max_bytes)
        if wanted.by_traffic:
            wanted = replace(wanted, sticky_key=sticky_key_of(request, body))
        if request.method in {"GET", "HEAD"} and beneath in _PROBES:
            return await _answer_probe(self._routing, wanted, beneath)
        query = request.url.query
        path = "/" + quote(beneath, safe="/:") if beneath else ""
        forward_request = ForwardRequest(
            wanted=wanted,
            method=request.method,
            beneath=f"{path}?{query}" if query else path,
            headers=onward_headers(request.headers.items(), request.scope[REQUEST_ID]),
            body=body,
            hold_seconds=hold_seconds(request, self._default_hold),
            repeatable=request.method in {"GET", "HEAD"} or beneath in _REPEATABLE,
        )
        return await self._dispatcher.answer(forward_request)


async def version_that_answers(routing: InferenceRouting, wanted: Wanted) -> Deployment:
    """The version that answers now, or after a start from zero. Does not start a replica.

    Raises:
        PlatformError: Of ``InferenceRouting.choose``; DeploymentNotReady.
    """
    # With a traffic table the choice is random; repeated probes must get the same answer.
    choice = await routing.choose(replace(wanted, chance=0.0))
    if isinstance(choice, Starting):
        raise not_ready(choice.model_name, choice.version)
    return choice


async def _answer_probe(routing: InferenceRouting, wanted: Wanted, probe: str) -> Response:
    """The answer of a replica to one of ``_PROBES``."""
    version = await version_that_answers(routing, wanted)
    body = orjson.dumps({"name": version.model_name, "ready": True}) if probe == "ready" else b"\n"
    return Response(body, headers={MODEL_VERSION: version.version}, media_type="application/json")


def _no_route(wanted: Wanted) -> DeploymentNotReady:
    return DeploymentNotReady(
        f"Ray Serve has no route to version {wanted.version} of {wanted.model_name!r} now.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
