"""Takes requests beneath a model's route to the version that answers, as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from fastapi import Request, Response

from raylift.api.headers import FORWARDED, NO_ROUTE
from raylift.domain.errors import DeploymentNotReady
from raylift.services.container import Services
from raylift.services.traffic.routing import RETRY_AFTER_SECONDS, Wanted
from serve_apps.gateway.http.bodies import read_body
from serve_apps.gateway.http.errors import REQUEST_ID, error_response
from serve_apps.gateway.predictions.dispatcher import Dispatcher, ForwardRequest, hold_seconds
from serve_apps.gateway.predictions.forwarder import onward_headers
from serve_apps.gateway.predictions.readiness import PROBES, probed
from serve_apps.gateway.predictions.sticky_key import sticky_key_of

V1_PREDICT: Final = "v1:predict"
"""Where a replica answers KServe's V1."""

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
        if request.method in {"GET", "HEAD"} and beneath in PROBES:
            return await probed(self._routing, wanted, beneath)
        query = request.url.query
        path = "/" + quote(beneath, safe="/:") if beneath else ""
        errand = ForwardRequest(
            wanted=wanted,
            method=request.method,
            beneath=f"{path}?{query}" if query else path,
            headers=onward_headers(request.headers.items(), request.scope[REQUEST_ID]),
            body=body,
            hold_seconds=hold_seconds(request, self._default_hold),
            repeatable=request.method in {"GET", "HEAD"} or beneath in _REPEATABLE,
        )
        return await self._dispatcher.answer(errand)


def _no_route(wanted: Wanted) -> DeploymentNotReady:
    return DeploymentNotReady(
        f"Ray Serve has no route to version {wanted.version} of {wanted.model_name!r} now.",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
