"""Tells the supervisor, through the store, of versions whose own processes are called for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from raylift.domain.deployment import Deployment
from raylift.services.clock import Clock, utc_now
from raylift.store import Store

_LOG: Final = logging.getLogger(__name__)

_AT_MOST_EVERY: Final = 1.0
_FORGOTTEN_AFTER: Final = 60.0
"""Seconds without a request after which the next is the first again."""
_MAX_KEYS: Final = 4096

Key = tuple[str, str]


@dataclass(slots=True)
class _Asked:
    first: float
    last: float
    told: float = float("-inf")


class Demand:
    """Lives in one event loop.

    Args:
        store: where it is noted.
        lasting_seconds: how long requests must go on before a version that warm processes answer for gets its own, where its
            deployment does not say.
        clock: the time.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        store: Store,
        *,
        lasting_seconds: float,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._lasting_seconds = lasting_seconds
        self._clock = clock
        self._monotonic = monotonic
        self._asked: dict[Key, _Asked] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def unanswered(self, deployment: Deployment) -> None:
        """A request waits, and nobody but processes of the version's own can answer it."""
        self._tell(deployment, self._note(deployment))

    def answered_warm(self, deployment: Deployment, *, in_flight: int) -> None:
        """A warm process answers. One request now and then may stay there; a burst, or many in a row, may not."""
        asked = self._note(deployment)
        own = deployment.config.upscale_delay_s
        lasts = asked.last - asked.first >= (self._lasting_seconds if own is None else own)
        if lasts or in_flight > deployment.config.target_ongoing_requests:
            self._tell(deployment, asked)

    def _note(self, deployment: Deployment) -> _Asked:
        key, now = (deployment.model_name, deployment.version), self._monotonic()
        asked = self._asked.get(key)
        if asked is None or now - asked.last > _FORGOTTEN_AFTER:
            if len(self._asked) >= _MAX_KEYS:
                self._asked.clear()
            asked = self._asked[key] = _Asked(first=now, last=now)
        asked.last = now
        return asked

    def _tell(self, deployment: Deployment, asked: _Asked) -> None:
        if asked.last - asked.told < _AT_MOST_EVERY:
            return
        asked.told = asked.last
        # Beside the request, which need not wait for the store.
        task = asyncio.create_task(
            asyncio.to_thread(
                self._store.deployments.request_scale_up, deployment.model_name, deployment.version, now=self._clock()
            )
        )
        self._telling.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever goes on asking is noted again a second later.
            _LOG.warning("could not note what is asked for: %s", error)
