"""Keeps in bounds what versions' processes leave behind: counts of those that are gone, payloads, feedback."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from raylift.engines.metrics.counter_files import merge_dead, remove_totals
from raylift.engines.metrics.payload_files import remove_payloads
from raylift.settings import PlatformSettings
from raylift.store import Store

log = logging.getLogger(__name__)

_COUNTS_AGE: Final = timedelta(days=1)
"""How long the counts of a version are kept that has no deployment any more: it may be about to be registered anew."""


class ObservationUpkeep:
    def __init__(self, settings: PlatformSettings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def look(self, now: datetime) -> None:
        """One look. May be repeated, and broken off anywhere."""
        kept = self._settings.retention
        merge_dead(self._settings.counters_dir)
        versions = [(row.model_name, row.version) for row in self._store.deployments.list()]
        remove_totals(self._settings.counters_dir, versions, unchanged_since=now - _COUNTS_AGE)
        before = None if kept.payload_days is None else now - timedelta(days=kept.payload_days)
        removed = remove_payloads(self._settings.payloads_dir, before=before, max_bytes=kept.payload_max_bytes)
        if removed:
            log.info("removed %d files of payloads", removed)
        if kept.feedback_days is not None:
            while self._store.feedback.forget_before(now - timedelta(days=kept.feedback_days)):
                pass
