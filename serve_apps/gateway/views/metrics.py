"""Statistics and time series of a version in the REST API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

from raylift.api.observations import QualityPoint, QualityView, SeriesPoint, SeriesView, StatsView
from raylift.domain.models import counters
from raylift.domain.models.counters import ErrorKind, ProcessKind, ProtocolName, VersionCounts, quantile
from raylift.domain.models.series import ERRORS, REQUESTS, Interval
from raylift.services.models.metrics import Series, Statistics
from raylift.services.models.quality import QualityOverTime

_MS: Final = 1000.0
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def stats_view(statistics: Statistics) -> StatsView:
    counts = statistics.counts or VersionCounts(statistics.model_name, statistics.version, _NEVER, {})
    answered = counts.buckets(counters.SECONDS)
    batches = counts.buckets(counters.BATCH_ROWS)[-1]
    loads = counts.of(counters.LOADS)
    return StatsView(
        model_name=statistics.model_name,
        model_version=statistics.version,
        since=statistics.counts and statistics.counts.since,
        requests=round(counts.requests),
        requests_by_protocol={
            protocol.value: round(count) for protocol in ProtocolName if (count := counts.of(counters.requests_of(protocol)))
        },
        errors=round(counts.errors),
        error_rate=counts.errors / counts.requests if counts.requests else None,
        errors_by_kind={kind.value: round(count) for kind in ErrorKind if (count := counts.of(counters.errors_of(kind)))},
        rows=round(counts.of(counters.ROWS)),
        mean_batch_rows=counts.of(counters.ROWS) / batches if batches else None,
        latency_mean_ms=counts.of(counters.SECONDS_SUM) / answered[-1] * _MS if answered[-1] else None,
        latency_p50_ms=_quantile_ms(0.5, answered),
        latency_p95_ms=_quantile_ms(0.95, answered),
        latency_p99_ms=_quantile_ms(0.99, answered),
        ongoing_requests=round(counts.ongoing),
        queued_requests=round(counts.now(counters.NOW_QUEUED)),
        replicas=counts.processes(ProcessKind.REPLICA),
        warm_processes=counts.processes(ProcessKind.WARM),
        memory_bytes=round(counts.now(counters.NOW_MEMORY_BYTES)),
        loads=round(loads),
        load_failures=round(counts.of(counters.LOAD_FAILURES)),
        load_mean_seconds=counts.of(counters.LOAD_SECONDS) / loads if loads else None,
        payloads_written=round(counts.of(counters.PAYLOADS_WRITTEN)),
        payloads_dropped=round(counts.of(counters.PAYLOADS_DROPPED)),
        feedback=statistics.feedback,
    )


def series_view(series: Series) -> SeriesView:
    return SeriesView(
        model_name=series.model_name,
        model_version=series.version,
        since=series.since,
        until=series.until,
        step_seconds=series.step_seconds,
        points=[_point(interval, series.until) for interval in series.intervals],
    )


def _point(interval: Interval, until: datetime) -> SeriesPoint:
    counts = interval.counts
    requests, errors = counts.get(REQUESTS, 0.0), counts.get(ERRORS, 0.0)
    answered = list(accumulate(counts.get(name, 0.0) for name in counters.SECONDS))
    # The last interval may end before its time.
    seconds = min(interval.step_seconds, (until - interval.start_at).total_seconds())
    return SeriesPoint(
        start=interval.start_at,
        requests=round(requests, 2),
        requests_per_second=round(requests / seconds, 6),
        errors=round(errors, 2),
        error_rate=errors / requests if requests else None,
        rows=round(counts.get(counters.ROWS, 0.0), 2),
        latency_mean_ms=counts.get(counters.SECONDS_SUM, 0.0) / answered[-1] * _MS if answered[-1] else None,
        latency_p50_ms=_quantile_ms(0.5, answered),
        latency_p95_ms=_quantile_ms(0.95, answered),
        latency_p99_ms=_quantile_ms(0.99, answered),
        queued=interval.queued,
        replicas=interval.replicas,
        warm_processes=interval.warm,
    )


def quality_view(found: QualityOverTime) -> QualityView:
    return QualityView(
        model_name=found.model_name,
        model_version=found.version,
        since=found.since,
        until=found.until,
        step_seconds=found.step_seconds,
        feedback=found.feedback,
        joined=found.joined,
        overall=QualityPoint(start=found.since, **asdict(found.overall)),
        points=[QualityPoint(start=start, **asdict(quality)) for start, quality in found.points],
    )


def _quantile_ms(share: float, answered: list[float]) -> float | None:
    seconds = quantile(share, answered, counters.SECONDS_BOUNDS)
    return None if seconds is None else seconds * _MS
