"""Removes old metrics of versions: counts of versions without deployment, payloads, feedback."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from raylift.engines.metrics.counter_files import fold_dead, forget_versions
from raylift.engines.metrics.payload_files import remove_payloads
from raylift.settings import PlatformSettings
from raylift.store import Store

log = logging.getLogger(__name__)

_COUNTS_AGE: Final = timedelta(days=1)
"""Age at which counts of a version without deployment are removed: it may be about to be registered again."""


def remove_old_metrics(settings: PlatformSettings, store: Store, now: datetime) -> None:
    """Remove metrics past their time. May be repeated, and interrupted anywhere."""
    retention = settings.retention
    fold_dead(settings.counters_dir)
    versions = [(row.model_name, row.version) for row in store.deployments.list()]
    forget_versions(settings.counters_dir, versions, unchanged_since=now - _COUNTS_AGE)
    before = None if retention.payload_days is None else now - timedelta(days=retention.payload_days)
    removed = remove_payloads(settings.payloads_dir, before=before, max_bytes=retention.payload_max_bytes)
    if removed:
        log.info("removed %d files of payloads", removed)
    if retention.feedback_days is not None:
        while store.feedback.forget_before(now - timedelta(days=retention.feedback_days)):
            pass
