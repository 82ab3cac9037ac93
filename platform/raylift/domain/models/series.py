"""Time series of a version: growth of its counters and its processes, by intervals of one or ten minutes (docs/adr/0035)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from raylift.domain.models import counters
from raylift.domain.models.counters import ProcessKind, VersionCounts

MINUTE: Final = 60
TEN_MINUTES: Final = 600
MINUTES_KEPT: Final = timedelta(days=1)
REQUESTS: Final = "requests"
ERRORS: Final = "errors"
_EPSILON: Final = 1e-6

Key = tuple[str, str]
"""Model name and version."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Activity of a version from ``start_at``, for ``step_seconds``."""

    model_name: str
    version: str
    step_seconds: int
    start_at: datetime
    counts: Mapping[str, float]
    """Growth of the counters. Buckets of the latency histogram are in it, so intervals can be added."""
    queued: float
    """The most requests that waited at once."""
    replicas: int
    """At the end of the interval, as are ``warm`` processes."""
    warm: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """Counters and processes of a version when they were last recorded."""

    model_name: str
    version: str
    counts: Mapping[str, float]
    replicas: int
    warm: int


def aligned(moment: datetime, seconds: int) -> datetime:
    """Return the start of the interval that ``moment`` lies in."""
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def figures(counts: VersionCounts) -> dict[str, float]:
    """Return the counters that a series keeps, without zeros."""
    kept = {
        REQUESTS: counts.requests,
        ERRORS: counts.errors,
        **{name: counts.of(name) for name in (counters.ROWS, counters.SECONDS_SUM, *counters.SECONDS)},
    }
    return {name: value for name, value in kept.items() if value}


def baseline_of(counts: VersionCounts) -> Baseline:
    replicas, warm = counts.processes(ProcessKind.REPLICA), counts.processes(ProcessKind.WARM)
    return Baseline(counts.model_name, counts.version, figures(counts), replicas, warm)


def growth(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return how much each counter grew. A counter that shrank began again at zero, and so did all of its version."""
    if any(now.get(name, 0.0) < value - _EPSILON for name, value in before.items()):
        before = {}
    return {name: grown for name, value in now.items() if (grown := value - before.get(name, 0.0)) > _EPSILON}


def spread(whole: Interval, until: datetime) -> Iterator[Interval]:
    """Divide growth evenly over the minutes from the start of ``whole``: no supervisor recorded in between."""
    minutes = max(1, round((until - whole.start_at).total_seconds() / MINUTE))
    share = {name: value / minutes for name, value in whole.counts.items()}
    for number in range(minutes):
        yield replace(whole, start_at=whole.start_at + timedelta(seconds=number * MINUTE), counts=share)


def merge(intervals: Iterable[Interval], step_seconds: int) -> list[Interval]:
    """Add the intervals of one version up to longer ones. They are in order of time."""
    groups = groupby(intervals, lambda interval: aligned(interval.start_at, step_seconds))
    return [_sum(start_at, step_seconds, list(group)) for start_at, group in groups]


def _sum(start_at: datetime, step_seconds: int, parts: Sequence[Interval]) -> Interval:
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.counts.items():
            total[name] = total.get(name, 0.0) + value
    queued = max(part.queued for part in parts)
    return replace(parts[-1], start_at=start_at, step_seconds=step_seconds, counts=total, queued=queued)
