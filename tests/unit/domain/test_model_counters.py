"""Sums of counters, and quantiles of histograms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylift.domain.models.counters import NAMES, SECONDS_BOUNDS, ProcessCounts, ProcessKind, counts_of, quantile

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BOUNDS = (1.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, (0, 0, 0, 0), None),
        (0.5, (), None),
        (0.5, (4, 0, 0, 0), 0.5),
        (0.5, (0, 4, 0, 0), 1.5),
        (1.0, (1, 1, 2, 0), 4.0),
        (0.75, (0, 0, 4, 0), 3.5),
        (0.0, (0, 0, 4, 0), 0.0),
        (0.99, (1, 0, 0, 99), 4.0),
    ],
)
def test_quantiles_equal_prometheus_estimates(share: float, counts: tuple[int, ...], expected: float | None) -> None:
    assert quantile(share, list(accumulate(counts)), BOUNDS) == expected


@given(st.lists(st.floats(0.00001, 59.0), min_size=1), st.floats(0.0, 1.0))
def test_quantile_lies_in_the_bucket_of_the_value(values: list[float], share: float) -> None:
    cumulative = [float(sum(value <= bound for value in values)) for bound in SECONDS_BOUNDS] + [float(len(values))]
    estimate = quantile(share, cumulative, SECONDS_BOUNDS)
    assert estimate is not None
    rank = min(max(1, -int(-share * len(values) // 1)), len(values))
    exact = sorted(values)[rank - 1]
    above = next(bound for bound in SECONDS_BOUNDS if bound >= exact)
    assert 0 <= estimate <= above * (1 + 1e-9)


def test_counters_of_another_release_are_added_by_name() -> None:
    old = ProcessCounts("m", "1", ProcessKind.REPLICA, NOW, {"rows": 2.0, "of.another.release": 1.0}, is_alive=False)
    new = ProcessCounts("m", "1", ProcessKind.WARM, NOW - timedelta(days=1), dict.fromkeys(NAMES, 1.0))
    both = counts_of([old, new])
    assert (both.of("rows"), both.of("of.another.release")) == (3.0, 1.0)
    assert both.since == NOW - timedelta(days=1)
    assert not [name for name in both.counts if name.startswith("now.")]
    assert (both.processes(ProcessKind.WARM), both.processes(ProcessKind.REPLICA)) == (1, 0)


def test_parts_of_a_batch_add_up_to_one_batch() -> None:
    thirds = ProcessCounts("m", "1", ProcessKind.REPLICA, NOW, {"batch_rows.le.4.0": 1 / 3 + 1 / 3 + 1 / 3})
    assert counts_of([thirds]).buckets(["batch_rows.le.2.0", "batch_rows.le.4.0"]) == [0.0, 1.0]
