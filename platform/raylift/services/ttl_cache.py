"""Async TTL cache over a synchronous lookup."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from raylift.domain.errors import EngineUnavailable, PlatformError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_LOG: Final = logging.getLogger(__name__)
_MAX_KEYS: Final = 4096


@dataclass(frozen=True, slots=True)
class _Found(Generic[V]):
    at: float
    value: V | None
    error: PlatformError | None = None


class TtlCache(Generic[K, V]):
    """Async TTL cache: one lookup per key at a time, in a thread; serves stale values while the backend is down.

    Args:
        load: looks a key up. Its PlatformErrors (NotFound and the like) are cached as values are.
        seconds: maximum age of a value.
        stale_seconds: further time for which the last value serves while ``load`` raises EngineUnavailable.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        load: Callable[[K], V],
        *,
        seconds: float,
        stale_seconds: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._seconds = seconds
        self._stale_seconds = stale_seconds
        self._monotonic = monotonic
        self._found: dict[K, _Found[V]] = {}
        self._loading: dict[K, asyncio.Task[_Found[V]]] = {}

    async def get(self, key: K, *, max_age: float | None = None) -> V:
        """Return the value, at most ``max_age`` seconds old if given. Raises the error of ``load``."""
        found = self._found.get(key)
        if found is None or self._monotonic() - found.at > (self._seconds if max_age is None else max_age):
            # Shielded: the other callers still wait when one of them is cancelled.
            found = await asyncio.shield(self._refresh(key))
        if found.error is not None:
            raise found.error.with_traceback(None)
        return found.value  # pyright: ignore[reportReturnType] - a value that may be None is a value of type V

    def last(self, key: K) -> V | None:
        """Return the last value, of any age; None where there is none."""
        found = self._found.get(key)
        return None if found is None else found.value

    def forget(self, key: K) -> None:
        """Drop a key that was just changed. Results of lookups in progress are not cached."""
        self._found.pop(key, None)
        self._loading.pop(key, None)

    def _refresh(self, key: K) -> asyncio.Task[_Found[V]]:
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._look_up(key))
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    def _done(self, key: K, task: asyncio.Task[_Found[V]]) -> None:
        if self._loading.get(key) is task:
            del self._loading[key]

    async def _look_up(self, key: K) -> _Found[V]:
        asked_at = self._monotonic()
        found: _Found[V]
        try:
            found = _Found(asked_at, await asyncio.to_thread(self._load, key))
        except EngineUnavailable as error:
            last = self._found.get(key)
            if last is None or asked_at - last.at > self._stale_seconds:
                return _Found(asked_at, None, error)
            _LOG.warning("Serving a value that is %.0f s old: %s", asked_at - last.at, error)
            return last
        except PlatformError as error:
            found = _Found(asked_at, None, error)
        if self._loading.get(key) is asyncio.current_task():
            if len(self._found) >= _MAX_KEYS:
                self._found.clear()
            self._found[key] = found
        return found
