"""Closes the windows of volume and quality of watched versions, and raises and ends their alerts.

They have boundaries of their own: a version that answers nothing has a volume, too, and true values come after the answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

from raylift.domain.errors import StaleLease, StaleMonitor
from raylift.domain.identifiers import new_alert_id
from raylift.domain.lease import Lease
from raylift.domain.models import counters
from raylift.domain.models.quality import Quality
from raylift.domain.models.series import aligned
from raylift.domain.monitoring.hysteresis import Finding, judge
from raylift.domain.monitoring.monitor import Check, Monitor, MonitorSettings, is_hopeless, window_end
from raylift.domain.monitoring.quality_checks import has_limit, quality_findings, volume_finding
from raylift.domain.monitoring.quality_window import QualityWindow, Score, ScoreState
from raylift.domain.monitoring.reference import segments_of
from raylift.engines.metrics.counter_files import read_counts
from raylift.services.models.quality import Measured, QualityService
from raylift.services.traffic.by_name import gets_requests_by_name
from raylift.store import Store
from raylift.store.repositories.monitoring.monitors import MonitorHead

log = logging.getLogger(__name__)

_GRACE_SECONDS: Final = 5.0
_DAYS: Final = 7
_LEAST_DAYS: Final = 3
"""Days that an expectation needs."""
_LEAST_COUNTED: Final = 0.9
"""Part of a window whose rows must have been counted, to be compared."""
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Scored:
    measured: Measured
    baseline: str | None
    by_segment: Mapping[str, Quality]
    """Baseline by segment."""


class QualityWatch:
    """Closes each window in one transaction with its alerts. Its memory only saves work."""

    def __init__(
        self,
        store: Store,
        quality: QualityService,
        counters_dir: Path,
        clock: Callable[[], datetime],
        payload_file_seconds: float,
    ) -> None:
        """``payload_file_seconds``: longest time until a process writes what it collects for its payload log."""
        self._store = store
        self._quality = quality
        self._counters_dir = counters_dir
        self._clock = clock
        # Answers before a window's end are in the log by then.
        self._delay = timedelta(seconds=payload_file_seconds + _GRACE_SECONDS)
        self._idle_until: dict[tuple[str, str], datetime] = {}
        """Boundaries at which nothing had come since the last window."""

    def close_windows(self, lease: Lease) -> None:
        """Close the windows that are over.

        Raises:
            StaleLease: another supervisor has taken over.
        """
        now, failure = self._clock(), None
        for head, end in list(self._due(now)):
            try:
                self._close(lease, head, end, now)
            except StaleMonitor as error:
                log.debug("%s", error)  # A user or a window of drift changed it: the next look goes on from there.
            except StaleLease:
                raise
            except Exception as error:
                log.exception("the quality of %s version %s", *head.key)
                failure = error
        if failure is not None:
            raise failure

    def _due(self, now: datetime) -> Iterator[tuple[MonitorHead, datetime]]:
        known = now - self._delay
        for head in self._store.monitors.heads():
            if not head.settings.enabled:
                continue
            if head.scored_until is None:
                yield head, aligned(known, head.settings.window_seconds)
                continue
            since = max(head.scored_until, self._idle_until.get(head.key, head.scored_until))
            end = window_end(since, head.settings, known)
            if end is not None:
                yield head, end

    def _close(self, lease: Lease, head: MonitorHead, end: datetime, now: datetime) -> None:
        monitor = self._store.monitors.find(*head.key)
        if monitor is None or monitor.scored_until != head.scored_until or not monitor.settings.enabled:
            return
        answered = self._answered(head.key)
        if monitor.scored_until is None or monitor.scores is None:
            self._store.monitors.begin_scores(lease, monitor, ScoreState(answered, end, counted_at=now), end)
            return
        before, settings = monitor.scores, monitor.settings
        start = max(monitor.scored_until, self._idle_until.get(head.key, monitor.scored_until))
        # A counter that shrank began again at zero.
        rows = answered - before.rows if answered >= before.rows else answered
        scored = self._score(monitor, before.feedback_since, end)
        watches_volume = has_limit(Check.VOLUME, settings)
        if not rows and not scored.measured.feedback and not watches_volume:
            self._idle_until[head.key] = end
            return
        expected = self._expected(monitor, start, end)
        counted = (now - (before.counted_at or start)).total_seconds() / settings.window_seconds
        volume = self._volume(monitor, rows / counted, expected) if counted >= _LEAST_COUNTED else None
        findings = [*([] if volume is None else [volume]), *_quality_findings(settings, scored)]
        window = _window(monitor, (start, end), int(rows), expected, scored, before, findings)
        verdict = judge(
            findings,
            version=head.key,
            window_at=start,
            consecutive_windows=settings.consecutive_windows,
            streaks=before.streaks,
            open_alerts=self._store.monitors.open_alerts(*head.key),
            now=now,
            new_id=lambda: new_alert_id(now.timestamp()),
        )
        first_at = scored.measured.first_at
        goes_on = not window.scores and first_at is not None and not is_hopeless(first_at, end, settings)
        state = ScoreState(
            rows=answered,
            feedback_since=before.feedback_since if goes_on else end,
            first={**scored.measured.by_segment, **before.first},
            streaks=verdict.streaks,
            counted_at=now,
        )
        raised, ended = verdict.raised, verdict.ended
        self._store.monitors.close_quality(lease, monitor, window, state, raised=raised, ended=ended, now=now)
        self._idle_until.pop(head.key, None)
        for alert in raised:
            log.warning("%s version %s: %s is %.4g, limit %.4g", *head.key, alert.check, alert.value, alert.limit)

    def _answered(self, key: tuple[str, str]) -> float:
        found = next(iter(read_counts(self._counters_dir, key)), None)
        return 0.0 if found is None else found.of(counters.ROWS)

    def _score(self, monitor: Monitor, since: datetime, end: datetime) -> _Scored:
        measured = self._measure(monitor, monitor.version, since, end)
        first = {} if monitor.scores is None else monitor.scores.first
        named = self._baseline(monitor)
        if monitor.settings.quality_baseline is None or not measured.by_segment:
            return _Scored(measured, None, first if monitor.settings.quality_baseline is None else {})
        if named is None or named == monitor.version:
            return _Scored(measured, None, {})
        return _Scored(measured, named, self._measure(monitor, named, since, end).by_segment)

    def _measure(self, monitor: Monitor, version: str, since: datetime, end: datetime) -> Measured:
        reference, column = monitor.reference, monitor.settings.segment_column
        return self._quality.measure(
            monitor.model_name,
            version,
            since=since,
            until=end,
            column=column if reference is not None else None,
            segments=() if reference is None else segments_of(reference, column),
            names=() if reference is None else [each.name for each in reference.columns],
            minimum_rows=monitor.settings.minimum_feedback,
        )

    def _baseline(self, monitor: Monitor) -> str | None:
        """Return the version that the settings name, or that their alias names now; None for an alias of no version."""
        wanted = monitor.settings.quality_baseline
        if wanted is None or wanted.isdecimal():
            return wanted
        aliases = self._store.traffic.aliases(monitor.model_name)
        return next((each.version for each in aliases if each.alias == wanted), None)

    def _expected(self, monitor: Monitor, start: datetime, end: datetime) -> float | None:
        """Return the median of the rows in the same window of the last seven days; None where too few days are known."""
        is_whole = (end - start).total_seconds() == monitor.settings.window_seconds  # Not after a pause of the supervisor.
        if monitor.settings.volume_drop is None or not is_whole:
            return None
        spans = [(start - day * _DAY, end - day * _DAY) for day in range(1, _DAYS + 1)]
        found = self._store.monitors.rows_of_windows(monitor.model_name, monitor.version, spans)
        return float(median(found)) if len(found) >= _LEAST_DAYS else None

    def _volume(self, monitor: Monitor, rows: float, expected: float | None) -> Finding | None:
        """Compare the rows of a window. A version that gets no requests by name expects none: its alert ends."""
        finding = volume_finding(rows, expected, monitor.settings)
        if finding is None or gets_requests_by_name(self._store, monitor.model_name, monitor.version):
            return finding
        return replace(finding, raises=False, ends=True)


def _quality_findings(settings: MonitorSettings, scored: _Scored) -> Iterator[Finding]:
    for segment, quality in scored.measured.by_segment.items():
        yield from quality_findings(quality, segment or None, scored.by_segment.get(segment), settings)


def _window(
    monitor: Monitor,
    span: tuple[datetime, datetime],
    rows: int,
    expected: float | None,
    scored: _Scored,
    before: ScoreState,
    findings: Sequence[Finding],
) -> QualityWindow:
    beyond = [each for each in findings if each.raises]
    scores = [
        Score(segment or None, quality, tuple(each.check.value for each in beyond if (each.segment or "") == segment))
        for segment, quality in scored.measured.by_segment.items()
    ]
    return QualityWindow(
        model_name=monitor.model_name,
        version=monitor.version,
        start_at=span[0],
        end_at=span[1],
        rows=rows,
        expected_rows=expected,
        feedback=scored.measured.feedback,
        joined=scored.measured.joined,
        feedback_since=before.feedback_since,
        scores=scores,
        baseline=scored.baseline,
    )
