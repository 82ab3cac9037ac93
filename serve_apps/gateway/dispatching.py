"""Brings a request to the version that answers it: waits until there is one, sends it on, and again where that is safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from raylift.domain.deployment import Deployment
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.inference_routing import HOLD_POLL_SECONDS, InferenceRouting, Starting, Wanted, not_ready
from serve_apps.gateway.errors import QueueFull, ReplicaFailed
from serve_apps.gateway.forwarding import Answer, BrokenOff, Forwarder, NotReached
from serve_apps.gateway.links import route_path

SCALE_UP_TIMEOUT: Final = "X-Scale-Up-Timeout"
MAX_SCALE_UP_SECONDS: Final = 600.0

_RETRY_AFTER_SECONDS: Final = 1
# A replica that just went away: its neighbours answer at once, its successor after seconds.
_PAUSES_AFTER_BREAK: Final = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Errand:
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


class Dispatcher:
    def __init__(self, routing: InferenceRouting, forwarder: Forwarder) -> None:
        self._routing = routing
        self._forwarder = forwarder

    async def answer(self, errand: Errand) -> Response:
        """The replica's answer as it is.

        Raises:
            PlatformError: as ``InferenceRouting.hold``; QueueFull; ReplicaFailed.
        """
        until = time.monotonic() + errand.hold_seconds
        breaks = 0
        while True:
            deployment = await self._routing.hold(errand.wanted, until)
            try:
                answer = await self._send(errand, deployment, until)
                if answer.is_queue_full:
                    answer.discard()
                    raise _queue_full(deployment, answer.retry_after)
                if answer.is_absent_route:
                    answer.discard()
                    await self._pause(deployment, until)
                    continue
                if not (answer.is_ingress_failure and errand.repeatable):
                    return await answer.respond()
                answer.discard()
            except NotReached:
                await self._pause(deployment, until)
                continue
            except BrokenOff as error:
                if not errand.repeatable:
                    raise _failed(deployment) from error
            breaks += 1
            if breaks > len(_PAUSES_AFTER_BREAK):
                raise _failed(deployment)
            await asyncio.sleep(_PAUSES_AFTER_BREAK[breaks - 1])

    async def _send(self, errand: Errand, deployment: Deployment, until: float) -> Answer:
        path = route_path(deployment.model_name, deployment.version) + errand.beneath
        sending = self._forwarder.send(errand.method, path, errand.headers, errand.body)
        if deployment.replicas:
            return await sending
        # Ray Serve starts a replica for it and holds it meanwhile, without end: the bound is ours.
        task = asyncio.ensure_future(sending)
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
            if not done and await self._still_without_replica(errand.wanted):
                raise not_ready(deployment.model_name, deployment.version)
            return await task
        finally:
            task.cancel()

    async def _still_without_replica(self, wanted: Wanted) -> bool:
        choice = await self._routing.choose(wanted, max_age=HOLD_POLL_SECONDS)
        return isinstance(choice, Starting) or not choice.replicas

    async def _pause(self, deployment: Deployment, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise not_ready(deployment.model_name, deployment.version)
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


def _queue_full(deployment: Deployment, retry_after: float | None) -> QueueFull:
    return QueueFull(
        f"Too many requests wait for version {deployment.version} of {deployment.model_name!r} already.",
        retry_after_seconds=retry_after or _RETRY_AFTER_SECONDS,
    )


def _failed(deployment: Deployment) -> ReplicaFailed:
    return ReplicaFailed(
        f"A replica of version {deployment.version} of {deployment.model_name!r} broke off while it worked on the request.",
        model_name=deployment.model_name,
        model_version=deployment.version,
    )
