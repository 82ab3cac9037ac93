"""Records the time series of versions from the counters of their processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from raylift.domain.models import counters
from raylift.domain.models.counters import VersionCounts
from raylift.domain.models.series import MINUTE, Baseline, Interval, Key, aligned, baseline_of, growth, spread
from raylift.engines.metrics.counter_files import read_counts
from raylift.store import Store

_LONGEST_GAP: Final = timedelta(days=1)
"""Growth of a longer time without a supervisor is spread over so much of it."""


class SeriesRecorder:
    """Looks at the counters every few seconds, and writes once a minute. Only the peaks of queues are in memory."""

    def __init__(self, counters_dir: Path, store: Store, clock: Callable[[], datetime]) -> None:
        self._counters_dir = counters_dir
        self._store = store
        self._clock = clock
        self._queued: dict[Key, float] = {}

    def sample(self) -> None:
        """Note the length of the queues, and record the minutes that are over.

        Raises:
            StaleLease: another supervisor has recorded them.
        """
        until = aligned(self._clock(), MINUTE)
        since = self._store.series.recorded_until()
        found = read_counts(self._counters_dir)
        if since != until:
            peaks, self._queued = self._queued, {}
            self._record(found, peaks, since, until)
        for counts in found:
            key = (counts.model_name, counts.version)
            self._queued[key] = max(self._queued.get(key, 0.0), counts.now(counters.NOW_QUEUED))

    def _record(self, found: Iterable[VersionCounts], peaks: dict[Key, float], since: datetime | None, until: datetime) -> None:
        before = self._store.series.baselines()
        intervals: list[Interval] = []
        baselines: list[Baseline] = []
        seen: set[Key] = set()
        for counts in found:
            key = (counts.model_name, counts.version)
            seen.add(key)
            now = baseline_of(counts)
            if since is not None and since < until:
                intervals += _intervals(
                    counts, now, before.get(key), peaks.get(key, 0.0), max(since, until - _LONGEST_GAP), until
                )
            if now != before.get(key):
                baselines.append(now)
        self._store.series.record(intervals, baselines=baselines, gone=before.keys() - seen, since=since, until=until)


def _intervals(
    counts: VersionCounts, now: Baseline, before: Baseline | None, queued: float, since: datetime, until: datetime
) -> Iterator[Interval]:
    """Yield the minutes from ``since`` to ``until``; none for a version that did nothing and whose processes are the same."""
    # Without a baseline, counters that are older than the series would look like a peak.
    first = now.counts if counts.since >= since else {}
    grown = first if before is None else growth(now.counts, before.counts)
    same_processes = before is not None and (now.replicas, now.warm) == (before.replicas, before.warm)
    if same_processes and not grown and not queued:
        return
    start = max(since, aligned(counts.since, MINUTE)) if grown else until - timedelta(seconds=MINUTE)
    start = min(start, until - timedelta(seconds=MINUTE))
    whole = Interval(now.model_name, now.version, MINUTE, start, grown, queued, now.replicas, now.warm)
    yield from spread(whole, until)
