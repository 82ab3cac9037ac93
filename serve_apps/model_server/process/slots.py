"""Slots of the requests that a process works on, and the queue for them (``max_ongoing_requests``, ``max_queued_requests``)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

UNLIMITED: Final = -1
RETRY_AFTER_SECONDS: Final = 1
"""For a client whose request found the queue full."""


class Slots:
    """Lives in one event loop. First come, first served."""

    def __init__(self, limit: int, queue_limit: int = UNLIMITED) -> None:
        self._limit, self._queue_limit = limit, queue_limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def set_limits(self, limit: int, queue_limit: int) -> None:
        self._limit, self._queue_limit = limit, queue_limit
        self._hand_out()

    @property
    def held(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def is_queue_full(self) -> bool:
        return self._queue_limit != UNLIMITED and len(self._waiting) >= self._queue_limit

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self._waiting or self._used >= self._limit:
            return False
        self._used += 1
        return True

    def join(self) -> asyncio.Future[None]:
        """Take a place in the queue, at once. It is done when it has a slot. End it with ``leave``."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        return place

    def leave(self, place: asyncio.Future[None]) -> None:
        """Give back the place, or the slot that it has by now."""
        if place.done():
            self.release()
        else:
            self._waiting.remove(place)

    def release(self) -> None:
        self._used -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._used < self._limit:
            self._used += 1
            self._waiting.popleft().set_result(None)
