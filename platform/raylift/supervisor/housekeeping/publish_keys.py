"""Publishes keys and workspaces to the ingress: it checks predictions that pass the gateway by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from raylift.domain.errors import EngineUnavailable
from raylift.ingress.keys import KeyMaps
from raylift.store import Store

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Pause between two looks at the keys."""


class KeyPublisher:
    """Writes the maps of HAProxy."""

    def __init__(self, store: Store, maps: KeyMaps, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._maps = maps
        self._clock = clock

    def publish(self) -> None:
        """Bring the maps up to date. One that HAProxy does not take now is tried again."""
        try:
            now = self._clock()
            self._maps.put(self._store.keys.unrevoked(now), self._store.workspaces.of_models(), now)
        except EngineUnavailable as error:
            log.warning("%s", error)
