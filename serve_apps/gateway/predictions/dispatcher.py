"""Dispatches a request to a version: waits until one is ready, forwards the request, and retries where that is safe."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Final, Protocol

from fastapi import Request, Response

from raylift.api.headers import SCALE_UP_TIMEOUT
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.models.deployment import Deployment, DeploymentConfig
from raylift.services.traffic.routing import HOLD_POLL_SECONDS, InferenceRouting, Starting, not_ready
from serve_apps.gateway.http.errors import QueueFull, ReplicaFailed
from serve_apps.gateway.http.paths import route_path
from serve_apps.gateway.predictions.forwarder import Answer, BrokenOff, Forwarder, ForwardRequest, NotReached
from serve_apps.gateway.predictions.warm_fallback import WarmFallback

MAX_SCALE_UP_SECONDS: Final = 600.0

_RETRY_AFTER_SECONDS: Final = 1
# After the loss of a replica others answer at once, its successor after seconds.
_PAUSES_AFTER_BREAK: Final = (0.0, 0.5, 1.0)


class Mirror(Protocol):
    """Sends copies of requests to shadow versions (shadowing.py)."""

    def follow(self, request: ForwardRequest, version: str, response: Response) -> Response:
        """``response``, which sends the copies after itself."""
        ...


class Dispatcher:
    """Answers requests for models.

    Args:
        routing: Chooses the version.
        forwarder: Sends requests to replicas.
        mirror: Copies requests that a traffic table routes.
        warm_fallback: Answers for versions without a replica. None: requests wait for the replica.
    """

    def __init__(
        self,
        routing: InferenceRouting,
        forwarder: Forwarder,
        mirror: Mirror | None = None,
        warm_fallback: WarmFallback | None = None,
    ) -> None:
        self._routing = routing
        self._forwarder = forwarder
        self._mirror = mirror
        self._warm_fallback = warm_fallback
        self._ongoing: Counter[tuple[str, str]] = Counter()

    async def answer(self, request: ForwardRequest) -> Response:
        """The unchanged answer of a replica or of a warm process.

        Raises:
            PlatformError: Of ``InferenceRouting.choose``; DeploymentNotReady; QueueFull; ReplicaFailed.
        """
        until = time.monotonic() + request.hold_seconds
        choice = await self._routing.choose(request.wanted)
        key = (choice.model_name, choice.version)
        if self._ongoing[key] >= _most_requests(choice):
            raise _queue_full(choice, None)
        self._ongoing[key] += 1
        try:
            return await self._answered(request, choice, until)
        finally:
            self._ongoing[key] -= 1
            if not self._ongoing[key]:
                del self._ongoing[key]

    async def _answered(self, request: ForwardRequest, choice: Deployment | Starting, until: float) -> Response:
        breaks = 0
        while True:
            try:
                answer = await self._ask(request, choice, until)
                if answer is None:
                    await _pause(choice, until)
                    # Waiting requests for one model share the lookups.
                    choice = await self._routing.choose(request.wanted, max_age=HOLD_POLL_SECONDS)
                    continue
                if not (answer.is_ingress_failure and request.repeatable):
                    return self._mirrored(request, choice.version, await answer.respond(choice.version))
                answer.discard()
            except BrokenOff as error:
                if not request.repeatable:
                    raise _failed(choice) from error
            breaks += 1
            if breaks > len(_PAUSES_AFTER_BREAK):
                raise _failed(choice)
            await asyncio.sleep(_PAUSES_AFTER_BREAK[breaks - 1])
            choice = await self._routing.choose(request.wanted)

    def _mirrored(self, request: ForwardRequest, version: str, response: Response) -> Response:
        if self._mirror is None or not request.wanted.by_traffic:
            return response
        return self._mirror.follow(request, version, response)

    async def _ask(self, request: ForwardRequest, choice: Deployment | Starting, until: float) -> Answer | None:
        """None if no process can answer now and none has started with the request."""
        if isinstance(choice, Deployment) and choice.replicas:
            answer = await self._ask_replicas(request, choice)
            if answer is not None:
                return answer
        deployment = choice if isinstance(choice, Deployment) else choice.deployment
        if deployment is None or self._warm_fallback is None:
            return None
        return await self._warm_fallback.answer(request, deployment, until)

    async def _ask_replicas(self, request: ForwardRequest, deployment: Deployment) -> Answer | None:
        path = route_path(deployment.model_name, deployment.version) + request.beneath
        try:
            answer = await self._forwarder.send(request.method, path, request.headers, request.body)
        except NotReached:
            return None
        if answer.is_queue_full:
            answer.discard()
            raise _queue_full(deployment, answer.retry_after)
        if answer.is_absent_route:
            answer.discard()
            return None
        return answer


async def _pause(choice: Deployment | Starting, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise not_ready(choice.model_name, choice.version)
    await asyncio.sleep(min(HOLD_POLL_SECONDS, left))


def hold_seconds(request: Request, default: float) -> float:
    """Seconds that the request may wait for a version: ``X-Scale-Up-Timeout``, else ``default``."""
    text = request.headers.get(SCALE_UP_TIMEOUT)
    if text is None:
        return default
    try:
        # float() also accepts 1_0.
        seconds = -1.0 if "_" in text else float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        problem = FieldError(SCALE_UP_TIMEOUT, "must be a number of seconds, 0 or more")
        raise InvalidRequest(f"{problem.field} {problem.detail}.", [problem])
    return min(seconds, MAX_SCALE_UP_SECONDS)


def _most_requests(choice: Deployment | Starting) -> int:
    deployment = choice if isinstance(choice, Deployment) else choice.deployment
    return (deployment.config if deployment else DeploymentConfig()).most_requests


def _queue_full(deployment: Deployment | Starting, retry_after: float | None) -> QueueFull:
    return QueueFull(
        f"Too many requests wait for version {deployment.version} of {deployment.model_name!r} already.",
        retry_after_seconds=retry_after or _RETRY_AFTER_SECONDS,
    )


def _failed(deployment: Deployment | Starting) -> ReplicaFailed:
    return ReplicaFailed(
        f"A replica of version {deployment.version} of {deployment.model_name!r} broke off while it worked on the request.",
        model_name=deployment.model_name,
        model_version=deployment.version,
    )
