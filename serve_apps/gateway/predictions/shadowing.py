"""Sends copies of requests to shadow versions, after the answer and with limits of number, memory and time.

A shadow version can neither slow nor fail an answer: copies have their own queues and connections, and their answers are
discarded. Copies are not retried. A copy without room in the queue is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from fastapi import Response
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

from raylift.api.headers import SHADOW
from raylift.domain.errors import PlatformError
from raylift.domain.traffic import Target
from raylift.services.traffic.routing import InferenceRouting, Wanted
from serve_apps.gateway.predictions.dispatcher import Dispatcher, ForwardRequest
from serve_apps.gateway.predictions.forwarder import BrokenOff

_LOG: Final = logging.getLogger(__name__)

MAX_CONCURRENT: Final = 4
"""Copies sent to one shadow version at a time."""
MAX_WAITING: Final = 64
"""Copies that wait for one shadow version."""
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""Bytes of their bodies."""
MAX_SHADOWS: Final = 50
"""Shadow versions with waiting or sent copies in this process."""
TIMEOUT_SECONDS: Final = 30.0
"""Time-out of one copy, with the start of a replica."""


class ShadowOutcome(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    """The version answered with a status of 400 or more."""
    FAILED = "failed"
    """The version is not deployed, does not load, or broke off."""
    TIMED_OUT = "timed_out"
    DROPPED = "dropped"
    """No room in the queue: the version is slower than the requests."""


Count = Callable[[str, str, ShadowOutcome], None]
"""Called for each copy with the model, the shadow version or alias, and the outcome."""


@dataclass(slots=True)
class _Queue:
    """Copies for one target."""

    waiting: deque[tuple[ForwardRequest, str]] = field(default_factory=deque[tuple[ForwardRequest, str]])
    """Copies, each with the version that answered the original."""
    waiting_bytes: int = 0
    workers: int = 0


class Shadowing:
    """Copies requests of one gateway process, in its event loop."""

    def __init__(self, routing: InferenceRouting, dispatcher: Dispatcher, count: Count) -> None:
        # This dispatcher sends only copies, over its own connections.
        self._routing = routing
        self._dispatcher = dispatcher
        self._count = count
        self._queues: dict[tuple[str, Target], _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, request: ForwardRequest, version: str, response: Response) -> Response:
        """``response``, which sends copies of ``request`` after itself if the model's traffic table has shadow versions."""
        if request.repeatable and request.method == "POST" and self._routing.shadows(request.wanted.model_name):
            response.background = BackgroundTask(self._enqueue, request, version)
        return response

    async def close(self) -> None:
        """Cancel all copies."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enqueue(self, request: ForwardRequest, version: str) -> None:
        model_name = request.wanted.model_name
        for target in self._routing.shadows(model_name):
            if target.version != version:
                self._add(model_name, target, request, version)

    def _add(self, model_name: str, target: Target, request: ForwardRequest, answered: str) -> None:
        queue = self._queues.get((model_name, target))
        if queue is None and len(self._queues) < MAX_SHADOWS:
            queue = self._queues[model_name, target] = _Queue()
        has_room = queue is not None and (
            len(queue.waiting) < MAX_WAITING and queue.waiting_bytes + len(request.body) <= MAX_WAITING_BYTES
        )
        if queue is None or not has_room:
            self._count(model_name, _name(target), ShadowOutcome.DROPPED)
            return
        queue.waiting.append((_copy(request, target), answered))
        queue.waiting_bytes += len(request.body)
        if queue.workers < MAX_CONCURRENT:
            queue.workers += 1
            task = asyncio.create_task(self._work(model_name, target, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, model_name: str, target: Target, queue: _Queue) -> None:
        try:
            while queue.waiting:
                request, answered = queue.waiting.popleft()
                queue.waiting_bytes -= len(request.body)
                outcome = await self._send(request, answered)
                if outcome is not None:
                    self._count(model_name, _name(target), outcome)
        finally:
            queue.workers -= 1
            if not queue.workers:
                self._queues.pop((model_name, target), None)

    async def _send(self, request: ForwardRequest, answered: str) -> ShadowOutcome | None:
        """Outcome of a copy; None if the alias meanwhile points to the version that answered."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                if request.wanted.alias is not None and (await self._routing.choose(request.wanted)).version == answered:
                    return None
                response = await self._dispatcher.answer(request)
                await _drain(response)
        except TimeoutError:
            return ShadowOutcome.TIMED_OUT
        except (PlatformError, BrokenOff) as error:
            _LOG.debug("Copy for %s: %s", request.wanted, error)
            return ShadowOutcome.FAILED
        except Exception:  # noqa: BLE001 - an unexpected error must not end the worker and the other copies
            _LOG.exception("Copy for %s failed", request.wanted)
            return ShadowOutcome.FAILED
        return ShadowOutcome.REFUSED if response.status_code >= 400 else ShadowOutcome.ANSWERED


def _name(target: Target) -> str:
    return target.version or str(target.alias)


def _copy(request: ForwardRequest, target: Target) -> ForwardRequest:
    return replace(
        request,
        wanted=Wanted(request.wanted.model_name, target.version, target.alias),
        headers={**request.headers, SHADOW: "1"},
        hold_seconds=TIMEOUT_SECONDS,
        repeatable=False,
    )


async def _drain(response: Response) -> None:
    if isinstance(response, StreamingResponse):
        async for _ in response.body_iterator:
            pass
