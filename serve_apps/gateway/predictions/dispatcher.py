"""Brings a request to the version that answers it: waits until there is one, sends it on, and again where that is safe."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from fastapi import Request, Response

from raylift.api.headers import SCALE_UP_TIMEOUT
from raylift.domain.deployment import Deployment, DeploymentConfig
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.traffic.routing import HOLD_POLL_SECONDS, InferenceRouting, Starting, Wanted, not_ready
from serve_apps.gateway.http.errors import QueueFull, ReplicaFailed
from serve_apps.gateway.http.paths import route_path
from serve_apps.gateway.predictions.forwarder import Answer, BrokenOff, Forwarder, NotReached
from serve_apps.gateway.predictions.warm_fallback import WarmFallback

MAX_SCALE_UP_SECONDS: Final = 600.0

_RETRY_AFTER_SECONDS: Final = 1
# A replica that just went away: its neighbours answer at once, its successor after seconds.
_PAUSES_AFTER_BREAK: Final = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ForwardRequest:
    """A raw request for a model."""

    wanted: Wanted
    method: str
    beneath: str
    """What follows the version's route: ``/predict``, or a path and query of the client's; percent-encoded."""
    headers: Mapping[str, str]
    body: bytes
    hold_seconds: float
    """How long it may wait for a version that is not ready."""
    repeatable: bool
    """Whether it may be sent again although a replica may have begun with it."""


class Mirror(Protocol):
    """Sends copies of requests to shadow versions (``shadowing.py``)."""

    def follow(self, errand: ForwardRequest, version: str, response: Response) -> Response:
        """``response``, and a copy of the errand when it has been sent."""
        ...


class Dispatcher:
    """Answers requests. Those that a traffic table routes are shown to ``mirror``, if there is one.

    ``standby`` answers for versions without a replica; without it they are waited for.
    """

    def __init__(
        self, routing: InferenceRouting, forwarder: Forwarder, mirror: Mirror | None = None, standby: WarmFallback | None = None
    ) -> None:
        self._routing = routing
        self._forwarder = forwarder
        self._mirror = mirror
        self._standby = standby
        self._in_hand: Counter[tuple[str, str]] = Counter()

    async def answer(self, errand: ForwardRequest) -> Response:
        """The answer of a replica, or of a warm process, as it is.

        Raises:
            PlatformError: as ``InferenceRouting.choose``; DeploymentNotReady; QueueFull; ReplicaFailed.
        """
        until = time.monotonic() + errand.hold_seconds
        choice = await self._routing.choose(errand.wanted)
        key = (choice.model_name, choice.version)
        if self._in_hand[key] >= _most_requests(choice):
            raise _queue_full(choice, None)
        self._in_hand[key] += 1
        try:
            return await self._answered(errand, choice, until)
        finally:
            self._in_hand[key] -= 1
            if not self._in_hand[key]:
                del self._in_hand[key]

    async def _answered(self, errand: ForwardRequest, choice: Deployment | Starting, until: float) -> Response:
        breaks = 0
        while True:
            try:
                answer = await self._ask(errand, choice, until)
                if answer is None:
                    await _pause(choice, until)
                    # Those that wait for one model look together.
                    choice = await self._routing.choose(errand.wanted, max_age=HOLD_POLL_SECONDS)
                    continue
                if not (answer.is_ingress_failure and errand.repeatable):
                    return self._mirrored(errand, choice.version, await answer.respond(choice.version))
                answer.discard()
            except BrokenOff as error:
                if not errand.repeatable:
                    raise _failed(choice) from error
            breaks += 1
            if breaks > len(_PAUSES_AFTER_BREAK):
                raise _failed(choice)
            await asyncio.sleep(_PAUSES_AFTER_BREAK[breaks - 1])
            choice = await self._routing.choose(errand.wanted)

    def _mirrored(self, errand: ForwardRequest, version: str, response: Response) -> Response:
        if self._mirror is None or not errand.wanted.by_traffic:
            return response
        return self._mirror.follow(errand, version, response)

    async def _ask(self, errand: ForwardRequest, choice: Deployment | Starting, until: float) -> Answer | None:
        """None: there is nobody to answer now, and nobody has begun with it."""
        if isinstance(choice, Deployment) and choice.replicas:
            answer = await self._ask_replicas(errand, choice)
            if answer is not None:
                return answer
        deployment = choice if isinstance(choice, Deployment) else choice.deployment
        if deployment is None or self._standby is None:
            return None
        return await self._standby.answer(errand, deployment, until)

    async def _ask_replicas(self, errand: ForwardRequest, deployment: Deployment) -> Answer | None:
        path = route_path(deployment.model_name, deployment.version) + errand.beneath
        try:
            answer = await self._forwarder.send(errand.method, path, errand.headers, errand.body)
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
    """How long the client lets its request wait: ``X-Scale-Up-Timeout``, else the default."""
    text = request.headers.get(SCALE_UP_TIMEOUT)
    if text is None:
        return default
    try:
        # Python's float() also takes 1_0.
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
