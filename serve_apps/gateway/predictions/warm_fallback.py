"""Who answers for a version that has no replica: a warm process where one can, and its own replicas when they are up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, Protocol

from raylift.domain.deployment import Deployment
from raylift.services.traffic.scale_up_requests import ScaleUpRequests
from serve_apps.gateway.http.paths import route_path
from serve_apps.gateway.predictions.forwarder import Answer, Forwarder, NotReached
from serve_apps.warm_pool.pool import NoWarmProcess, StillLoading, WarmPool

_LOOK_AGAIN: Final = 2.0
"""Seconds after which it is looked whether the version's own replicas are up sooner than the warm process."""
_READS: Final = frozenset({"GET", "HEAD"})


class Request(Protocol):
    """What of a request concerns this module."""

    @property
    def method(self) -> str: ...
    @property
    def beneath(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def hold_seconds(self) -> float: ...


class WarmFallback:
    def __init__(self, scale_up_requests: ScaleUpRequests, pool: WarmPool[Forwarder] | None) -> None:
        self._scale_up_requests = scale_up_requests
        self._pool = pool

    async def answer(self, request: Request, deployment: Deployment, until: float) -> Answer | None:
        """A warm process's answer; None when there is nobody to answer now.

        The supervisor is told where the request calls for replicas.

        Raises:
            BrokenOff: the process died over it.
        """
        if self._pool is None or not self._pool.can_answer(deployment):
            self._nobody(request, deployment)
            return None
        try:
            async with self._pool.process_of(deployment, min(until, time.monotonic() + _LOOK_AGAIN)) as process:
                if request.method not in _READS:
                    self._scale_up_requests.on_warm_answer(deployment, in_flight=process.in_flight)
                path = route_path(deployment.model_name, deployment.version) + request.beneath
                return await process.connection.send(request.method, path, request.headers, request.body)
        except StillLoading:
            # Whoever only reads waits for it: were replicas started beside it, then for each version that is new and slow
            # to load, of which the supervisor finds out this way whether it loads at all.
            if request.method not in _READS:
                self._scale_up_requests.on_held_request(deployment)
            return None
        except (NoWarmProcess, NotReached):
            self._nobody(request, deployment)
            return None

    def _nobody(self, request: Request, deployment: Deployment) -> None:
        # Whoever only looks whether a version is ready calls for nothing.
        if request.hold_seconds > 0 or request.method not in _READS:
            self._scale_up_requests.on_held_request(deployment)
