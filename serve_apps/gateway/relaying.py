"""Takes requests beneath a model's route to the version that answers, as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import quote

import orjson
from fastapi import Request, Response

from raylift.domain.deployment import Deployment
from raylift.domain.errors import DeploymentNotReady
from raylift.domain.ingress_headers import FORWARDED
from raylift.services.container import Services
from raylift.services.inference_routing import RETRY_AFTER_SECONDS, Wanted
from serve_apps.gateway.bodies import read_body
from serve_apps.gateway.dispatching import Dispatcher, Errand, hold_seconds
from serve_apps.gateway.errors import REQUEST_ID, error_response
from serve_apps.gateway.forwarding import MODEL_VERSION, NO_ROUTE, onward_headers
from serve_apps.gateway.sticky_keys import sticky_key_of

V1_PREDICT: Final = "v1:predict"
"""Where a replica answers KServe's V1."""

_PROBES: Final = frozenset({"ready", "ping", "health"})
_REPEATABLE: Final = frozenset({"infer", "invocations", "predict", "explain", V1_PREDICT})


class Relay:
    def __init__(self, services: Services, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._routing = services.routing
        self._max_bytes = services.settings.gateway.max_body_bytes
        self._default_hold = services.settings.serving.scale_up_timeout_seconds

    async def answer(self, request: Request, wanted: Wanted, beneath: str) -> Response:
        """What the wanted version answers to the request at ``beneath``, a path below its route that is not percent-encoded.

        Raises:
            PlatformError: as ``Dispatcher.answer``; TooLarge.
        """
        if FORWARDED in request.headers:
            # We sent it to Ray Serve, and Ray Serve sent it back to us: it goes no further.
            return error_response(request.url.path, _no_route(wanted), {NO_ROUTE: "1"})
        body = await read_body(request, max_bytes=self._max_bytes)
        if wanted.by_traffic:
            wanted = replace(wanted, sticky_key=sticky_key_of(request, body))
        is_probe = request.method in {"GET", "HEAD"} and beneath in _PROBES
        if is_probe:
            choice = await self._routing.choose(wanted)
            if isinstance(choice, Deployment) and not choice.replicas:
                return _parked(choice, beneath)
        query = request.url.query
        path = "/" + quote(beneath, safe="/:") if beneath else ""
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


def _parked(deployment: Deployment, probe: str) -> Response:
    """It answers whoever calls it, so it is ready; a look starts nothing."""
    ready = orjson.dumps({"name": deployment.model_name, "ready": True}) if probe == "ready" else b"\n"
    return Response(ready, headers={MODEL_VERSION: deployment.version}, media_type="application/json")


def _no_route(wanted: Wanted) -> DeploymentNotReady:
    return DeploymentNotReady(
        f"Ray Serve has no route to version {wanted.version} of {wanted.model_name!r} now.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
