"""Closes the windows of watched versions, and raises and ends their alerts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from raylift.domain.errors import EngineUnavailable, NotFound, PlatformError, StaleLease, StaleMonitor
from raylift.domain.identifiers import new_alert_id
from raylift.domain.lease import Lease
from raylift.domain.models.version import ModelVersion
from raylift.domain.monitoring.hysteresis import column_findings, judge
from raylift.domain.monitoring.monitor import Monitor, MonitorState, Window, is_hopeless, window_end
from raylift.domain.monitoring.reference import SEEN, Reference, counter_names, parse_reference, segments_of, sketched_name
from raylift.engines.metrics.counter_files import counters_directory, read_counts
from raylift.engines.metrics.sketch_settings import SketchSettings, write_sketch_settings
from raylift.services.monitoring.compare import Comparison, compare, grown
from raylift.store import Store
from raylift.store.repositories.monitoring.monitors import MonitorHead

log = logging.getLogger(__name__)

_ALL: Final = ""
_MOST_ROWS: Final = 1e15


class Profiles(Protocol):
    """MLflow's registry, as the watch needs it."""

    def version(self, name: str, version: str) -> ModelVersion: ...

    def reference_profile(self, version: ModelVersion) -> dict[str, object] | None: ...


class MonitorWatch:
    """Closes each window in one transaction with its alerts. Its memory only saves work."""

    def __init__(self, store: Store, registry: Profiles, sketches_dir: Path, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._registry = registry
        self._sketches_dir = sketches_dir
        self._clock = clock
        self._idle_until: dict[tuple[str, str], datetime] = {}
        """Boundaries at which versions had answered nothing since their last window."""
        self._told: dict[tuple[str, str], SketchSettings] = {}
        """Settings that the versions' processes have been told."""

    def read_references(self, lease: Lease) -> None:
        """Read the reference of each version that has processes and no monitor yet. Asks MLflow.

        Raises:
            EngineUnavailable: MLflow does not answer; the next run asks again.
        """
        known = {head.key for head in self._store.monitors.heads() if head.is_read}
        for row in self._store.deployments.list():
            key = (row.model_name, row.version)
            if key not in known and counters_directory(self._sketches_dir, *key).is_dir():
                self._store.monitors.begin(lease, *key, self._reference(*key), self._clock())

    def close_windows(self, lease: Lease) -> None:
        """Close the windows that are over.

        Raises:
            StaleLease: another supervisor has taken over.
        """
        now, failure = self._clock(), None
        for head in self._store.monitors.heads():
            self._tell(head)
            if not (head.has_reference and head.settings.enabled):
                continue
            end = window_end(max(head.since, self._idle_until.get(head.key, head.since)), head.settings, now)
            if end is None:
                continue
            try:
                self._close(lease, head, end, now)
            except StaleMonitor as error:
                log.debug("%s", error)  # A user changed it: the next look goes on from there.
            except (EngineUnavailable, StaleLease):
                raise
            except Exception as error:
                log.exception("the monitor of %s version %s", *head.key)
                failure = error
        if failure is not None:
            raise failure

    def _reference(self, model_name: str, version: str) -> Reference | None:
        try:
            profile = self._registry.reference_profile(self._registry.version(model_name, version))
            return None if profile is None else parse_reference(profile)
        except EngineUnavailable:
            raise
        except (NotFound, PlatformError, ValueError) as error:
            log.warning("%s version %s is not watched: %s", model_name, version, error)
            return None

    def _close(self, lease: Lease, head: MonitorHead, end: datetime, now: datetime) -> None:
        found = next(iter(read_counts(self._sketches_dir, head.key)), None)
        monitor = self._store.monitors.find(*head.key)
        if monitor is None or monitor.reference is None or monitor.since != head.since:
            return
        totals = {} if found is None else _readable(found.counts, monitor)
        counts = grown(totals, monitor.state.counts)
        sketched = counts.get(sketched_name(_ALL), 0.0)
        if not counts.get(SEEN):
            self._idle_until[head.key] = end
            return
        start = max(monitor.since, self._idle_until.get(head.key, monitor.since))
        is_compared = sketched >= monitor.settings.minimum_rows
        if not is_compared and not is_hopeless(start, end, monitor.settings):
            return
        comparison = Comparison([], monitor.state.first)
        if is_compared:
            comparison = compare(monitor.reference, counts, monitor.state.first, monitor.settings)
        rows = (int(counts[SEEN]), int(sketched))
        window = Window(*head.key, start, end, *rows, is_compared, comparison.figures)
        self._store_window(lease, monitor, window, MonitorState(totals, comparison.first, monitor.state.streaks), now)
        self._idle_until.pop(head.key, None)

    def _store_window(self, lease: Lease, monitor: Monitor, window: Window, state: MonitorState, now: datetime) -> None:
        verdict = judge(
            list(column_findings(window.figures, monitor.settings)),
            version=(window.model_name, window.version),
            window_at=window.start_at,
            consecutive_windows=monitor.settings.consecutive_windows,
            streaks=state.streaks,
            open_alerts=self._store.monitors.open_alerts(window.model_name, window.version),
            now=now,
            new_id=lambda: new_alert_id(now.timestamp()),
        )
        state = replace(state, streaks=verdict.streaks)
        self._store.monitors.close_window(lease, monitor, window, state, raised=verdict.raised, ended=verdict.ended, now=now)
        for alert in verdict.raised:
            log.warning("%s version %s: %s of %s", window.model_name, window.version, alert.check, alert.feature)

    def _tell(self, head: MonitorHead) -> None:
        """Tell the processes of a version what to sketch."""
        settings = SketchSettings(head.settings.enabled, head.settings.segment_column)
        directory = counters_directory(self._sketches_dir, *head.key)
        if self._told.get(head.key) != settings and directory.is_dir():
            self._told[head.key] = settings
            try:
                write_sketch_settings(directory, settings)
            except OSError as error:
                # The version's own code may write there, too.
                log.warning("%s version %s is not told what to sketch: %s", *head.key, error)


def _readable(counts: Mapping[str, float], monitor: Monitor) -> dict[str, float]:
    """Return the counters that belong to the sketch. The version's own code may write anything into its file."""
    assert monitor.reference is not None  # noqa: S101 - the caller has looked
    names = counter_names(monitor.reference, segments_of(monitor.reference, monitor.settings.segment_column))
    return {name: count for name in names if 0 < (count := counts.get(name, 0.0)) < _MOST_ROWS}
