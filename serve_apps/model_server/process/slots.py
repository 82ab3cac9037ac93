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

    async def wait(self) -> None:
        """Wait for a slot and take it."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self.release()
            elif mine in self._waiting:
                self._waiting.remove(mine)
            raise

    def release(self) -> None:
        self._used -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._used < self._limit:
            waiting = self._waiting.popleft()
            if not waiting.done():
                self._used += 1
                waiting.set_result(None)
