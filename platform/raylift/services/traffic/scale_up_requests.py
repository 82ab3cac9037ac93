"""Requests that the supervisor starts replicas of a version, written to the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from raylift.domain.models.deployment import Deployment
from raylift.services.ports import Clock, utc_now
from raylift.store import Store

_LOG: Final = logging.getLogger(__name__)

_AT_MOST_EVERY: Final = 1.0
_FORGOTTEN_AFTER: Final = 60.0
"""Seconds without predictions after which a series of them begins anew."""
_MAX_KEYS: Final = 4096

Key = tuple[str, str]


@dataclass(slots=True)
class _Series:
    """Times of the predictions of one version, in monotonic seconds."""

    first: float
    last: float
    requested: float = float("-inf")


class ScaleUpRequests:
    """Requests replicas, at most once a second for each version. Belongs to one event loop.

    Args:
        store: the store.
        lasting_seconds: default ``upscale_delay_s``: time for which warm processes answer before replicas are requested.
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
        self._series: dict[Key, _Series] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def on_held_request(self, deployment: Deployment) -> None:
        """Request a replica for a prediction that waits: only a replica can answer it."""
        self._request(deployment, self._count(deployment))

    def on_warm_answer(self, deployment: Deployment, *, in_flight: int) -> None:
        """Count a prediction that a warm process answers. A burst, or a long series, requests a replica."""
        series = self._count(deployment)
        own = deployment.config.upscale_delay_s
        lasts = series.last - series.first >= (self._lasting_seconds if own is None else own)
        if lasts or in_flight > deployment.config.target_ongoing_requests:
            self._request(deployment, series)

    def _count(self, deployment: Deployment) -> _Series:
        key, now = (deployment.model_name, deployment.version), self._monotonic()
        series = self._series.get(key)
        if series is None or now - series.last > _FORGOTTEN_AFTER:
            if len(self._series) >= _MAX_KEYS:
                self._series.clear()
            series = self._series[key] = _Series(first=now, last=now)
        series.last = now
        return series

    def _request(self, deployment: Deployment, series: _Series) -> None:
        if series.last - series.requested < _AT_MOST_EVERY:
            return
        series.requested = series.last
        # In the background: the prediction need not wait for the store.
        write = asyncio.to_thread(
            self._store.deployments.request_scale_up, deployment.model_name, deployment.version, now=self._clock()
        )
        task = asyncio.create_task(write)
        self._writing.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The next prediction repeats the request.
            _LOG.warning("could not request a replica: %s", error)
