"""Growth of counters, and sums of intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest

from raylift.domain.models import counters
from raylift.domain.models.counters import quantile
from raylift.domain.models.series import MINUTE, TEN_MINUTES, Interval, aligned, growth, merge, spread

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST, SLOW = counters.SECONDS[3], counters.SECONDS[12]


def interval(minute: int, counts: dict[str, float] | None = None, *, queued: float = 0.0, replicas: int = 1) -> Interval:
    return Interval("m", "1", MINUTE, NOON + timedelta(minutes=minute), counts or {}, queued, replicas, 0)


def test_growth_has_only_what_grew():
    assert growth({"a": 5.0, "b": 2.0}, {"a": 3.0, "b": 2.0}) == {"a": 2.0}


def test_counters_that_shrank_began_again_at_zero():
    assert growth({"a": 5.0, "b": 1.0}, {"a": 3.0, "b": 2.0}) == {"a": 5.0, "b": 1.0}
    assert growth({"a": 5.0}, {"a": 3.0, "b": 2.0}) == {"a": 5.0}


def test_quantile_of_a_merged_interval_is_that_of_all_requests():
    # 990 fast requests in one minute and 10 slow ones in the next: the mean of both p99 would be far above the true one.
    minutes = [interval(0, {FAST: 990.0}), interval(1, {SLOW: 10.0})]
    (merged,) = merge(minutes, TEN_MINUTES)
    p99 = quantile(0.99, list(accumulate(merged.counts.get(name, 0.0) for name in counters.SECONDS)), counters.SECONDS_BOUNDS)
    assert p99 == counters.SECONDS_BOUNDS[3]


def test_merged_interval_has_the_longest_queue_and_the_last_processes():
    (merged,) = merge([interval(0, queued=7, replicas=3), interval(4, queued=2, replicas=0)], TEN_MINUTES)
    assert (merged.start_at, merged.step_seconds, merged.queued, merged.replicas) == (NOON, TEN_MINUTES, 7, 0)


def test_intervals_are_merged_by_their_own_ten_minutes():
    merged = merge(
        [interval(9, {"requests": 1.0}), interval(10, {"requests": 2.0}), interval(19, {"requests": 3.0})], TEN_MINUTES
    )
    assert [(one.start_at.minute, one.counts["requests"]) for one in merged] == [(0, 1.0), (10, 5.0)]


def test_growth_of_a_gap_is_spread_evenly_and_nothing_is_lost():
    minutes = list(spread(interval(0, {"requests": 10.0}), NOON + timedelta(minutes=4)))
    assert [one.start_at.minute for one in minutes] == [0, 1, 2, 3]
    assert sum(one.counts["requests"] for one in minutes) == pytest.approx(10.0)


def test_moments_are_aligned_to_the_clock():
    assert aligned(NOON + timedelta(minutes=17, seconds=5), TEN_MINUTES) == NOON + timedelta(minutes=10)
