"""Copies of requests for shadow versions: sent after the answer, bounded in number, memory and time, and never repeated.

Nothing that a shadow version does can slow or fail an answer: copies wait in queues of their own, travel over connections of
their own, and what comes back is thrown away. A copy for which there is no room is dropped and counted.
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

AT_A_TIME: Final = 4
"""Copies that are on their way to one shadow version."""
MAX_WAITING: Final = 64
"""Copies that wait for one shadow version …"""
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""… and their bodies together."""
MAX_SHADOWS: Final = 50
"""Shadow versions of all models that have copies under way in this process."""
TIMEOUT_SECONDS: Final = 30.0
"""For one copy, the start of the shadow version's replica included."""


class ShadowOutcome(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    """It answered with a status of 400 or more."""
    FAILED = "failed"
    """It did not answer: not deployed, does not load, broke off."""
    TIMED_OUT = "timed_out"
    DROPPED = "dropped"
    """There was no room: it is slower than the requests come."""


Count = Callable[[str, str, ShadowOutcome], None]
"""Told of each copy: the model, the shadow version or alias, what became of it."""


@dataclass(slots=True)
class _Shadow:
    """What is under way for one target."""

    waiting: deque[tuple[ForwardRequest, str]] = field(default_factory=deque[tuple[ForwardRequest, str]])
    """Copies, and the version that answered the original."""
    waiting_bytes: int = 0
    workers: int = 0


class Shadowing:
    """Follows the answers of one gateway process. Lives in its event loop."""

    def __init__(self, routing: InferenceRouting, dispatcher: Dispatcher, count: Count) -> None:
        # The dispatcher that sends the copies is one of their own, with connections of its own.
        self._routing = routing
        self._dispatcher = dispatcher
        self._count = count
        self._shadows: dict[tuple[str, Target], _Shadow] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, errand: ForwardRequest, version: str, response: Response) -> Response:
        """``response``, after which copies of ``errand`` are sent where the model's traffic table wants them."""
        if errand.repeatable and errand.method == "POST" and self._routing.shadows(errand.wanted.model_name):
            response.background = BackgroundTask(self._enqueue, errand, version)
        return response

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enqueue(self, errand: ForwardRequest, version: str) -> None:
        model_name = errand.wanted.model_name
        for target in self._routing.shadows(model_name):
            if target.version != version:
                self._add(model_name, target, errand, version)

    def _add(self, model_name: str, target: Target, errand: ForwardRequest, answered: str) -> None:
        shadow = self._shadows.get((model_name, target))
        if shadow is None and len(self._shadows) < MAX_SHADOWS:
            shadow = self._shadows[model_name, target] = _Shadow()
        has_room = shadow is not None and (
            len(shadow.waiting) < MAX_WAITING and shadow.waiting_bytes + len(errand.body) <= MAX_WAITING_BYTES
        )
        if shadow is None or not has_room:
            self._count(model_name, _name(target), ShadowOutcome.DROPPED)
            return
        shadow.waiting.append((_copy(errand, target), answered))
        shadow.waiting_bytes += len(errand.body)
        if shadow.workers < AT_A_TIME:
            shadow.workers += 1
            task = asyncio.create_task(self._work(model_name, target, shadow))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, model_name: str, target: Target, shadow: _Shadow) -> None:
        try:
            while shadow.waiting:
                errand, answered = shadow.waiting.popleft()
                shadow.waiting_bytes -= len(errand.body)
                outcome = await self._send(errand, answered)
                if outcome is not None:
                    self._count(model_name, _name(target), outcome)
        finally:
            shadow.workers -= 1
            if not shadow.workers:
                self._shadows.pop((model_name, target), None)

    async def _send(self, errand: ForwardRequest, answered: str) -> ShadowOutcome | None:
        """What became of the copy; None where there was no need of one."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                if errand.wanted.alias is not None and (await self._routing.choose(errand.wanted)).version == answered:
                    return None
                response = await self._dispatcher.answer(errand)
                await _drain(response)
        except TimeoutError:
            return ShadowOutcome.TIMED_OUT
        except (PlatformError, BrokenOff) as error:
            _LOG.debug("a copy for %s: %s", errand.wanted, error)
            return ShadowOutcome.FAILED
        except Exception:  # noqa: BLE001 - what nobody foresaw must not end the worker, and with it the other copies
            _LOG.exception("a copy for %s failed", errand.wanted)
            return ShadowOutcome.FAILED
        return ShadowOutcome.REFUSED if response.status_code >= 400 else ShadowOutcome.ANSWERED


def _name(target: Target) -> str:
    return target.version or str(target.alias)


def _copy(errand: ForwardRequest, target: Target) -> ForwardRequest:
    return replace(
        errand,
        wanted=Wanted(errand.wanted.model_name, target.version, target.alias),
        headers={**errand.headers, SHADOW: "1"},
        hold_seconds=TIMEOUT_SECONDS,
        repeatable=False,
    )


async def _drain(response: Response) -> None:
    if isinstance(response, StreamingResponse):
        async for _ in response.body_iterator:
            pass
