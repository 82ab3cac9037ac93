"""Answers for versions without a replica, from warm processes."""

from __future__ import annotations

import time
from typing import Final

from raylift.domain.models.deployment import Deployment
from raylift.services.traffic.scale_up_requests import ScaleUpRequests
from serve_apps.gateway.http.paths import route_path
from serve_apps.gateway.predictions.forwarder import Answer, Forwarder, ForwardRequest, NotReached
from serve_apps.warm_pool.pool import NoWarmProcess, StillLoading, WarmPool

_RETRY_SECONDS: Final = 2.0
"""Seconds to wait for a warm process before the version's own replicas are tried again."""
_READS: Final = frozenset({"GET", "HEAD"})


class WarmFallback:
    """Warm processes, and the requests for replicas that go with them."""

    def __init__(self, scale_up_requests: ScaleUpRequests, pool: WarmPool[Forwarder] | None) -> None:
        self._scale_up_requests = scale_up_requests
        self._pool = pool

    async def answer(self, request: ForwardRequest, deployment: Deployment, until: float) -> Answer | None:
        """The answer of a warm process; None if none can answer now. Asks the supervisor for replicas if necessary.

        Raises:
            BrokenOff: The process died while it worked on the request.
        """
        if self._pool is None or not self._pool.can_answer(deployment):
            self._ask_for_replica(request, deployment)
            return None
        try:
            async with self._pool.process_of(deployment, min(until, time.monotonic() + _RETRY_SECONDS)) as process:
                if request.method not in _READS:
                    self._scale_up_requests.on_warm_answer(deployment, in_flight=process.in_flight)
                path = route_path(deployment.model_name, deployment.version) + request.beneath
                return await process.connection.send(request.method, path, request.headers, request.body)
        except StillLoading:
            # GET and HEAD only wait. The supervisor's load checks are such requests: they must not start a replica of
            # each new version that loads slowly.
            if request.method not in _READS:
                self._scale_up_requests.on_held_request(deployment)
            return None
        except (NoWarmProcess, NotReached):
            self._ask_for_replica(request, deployment)
            return None

    def _ask_for_replica(self, request: ForwardRequest, deployment: Deployment) -> None:
        # Readiness probes start nothing.
        if request.hold_seconds > 0 or request.method not in _READS:
            self._scale_up_requests.on_held_request(deployment)
