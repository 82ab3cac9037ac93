"""Time series of versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from raylift.domain.errors import StaleLease
from raylift.domain.models.series import MINUTE, TEN_MINUTES, Baseline, Interval
from raylift.store import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def interval(minute: int, requests: float = 1.0, *, version: str = "1", replicas: int = 1) -> Interval:
    return Interval("churn", version, MINUTE, at(minute), {"requests": requests}, 0.0, replicas, 0)


def record(store: Store, *intervals: Interval, since: float | None, until: float) -> None:
    begin = None if since is None else at(since)
    store.series.record(intervals, baselines=[], gone=(), since=begin, until=at(until))


def read(store: Store, since: float, until: float, step: int = MINUTE) -> list[tuple[float, int, float]]:
    found = store.series.intervals("churn", "1", at(since), at(until), step_seconds=step)
    return [((one.start_at - NOON).total_seconds() / 60, one.step_seconds, one.counts["requests"]) for one in found]


def test_minutes_are_read_as_they_were_recorded(store: Store) -> None:
    assert store.series.recorded_until() is None
    record(store, since=None, until=0)
    one = Interval("churn", "1", MINUTE, at(0), {"requests": 3.0, "seconds.le.0.005": 2.5}, 4.0, 2, 1)
    record(store, one, since=0, until=1)
    assert store.series.recorded_until() == at(1)
    assert store.series.intervals("churn", "1", at(0), at(1), step_seconds=MINUTE) == [one]
    assert store.series.intervals("churn", "2", at(0), at(1), step_seconds=MINUTE) == []


def test_ten_minutes_are_added_up_when_they_are_over(store: Store) -> None:
    record(store, since=None, until=0)
    record(store, interval(3), interval(3, version="2"), since=0, until=5)
    record(store, interval(8), since=5, until=9)
    assert read(store, 0, 9, TEN_MINUTES) == [(3, MINUTE, 1), (8, MINUTE, 1)]
    record(store, interval(9), interval(10), since=9, until=11)
    assert read(store, 0, 11, TEN_MINUTES) == [(0, TEN_MINUTES, 3), (10, MINUTE, 1)]
    assert read(store, 0, 11) == [(3, MINUTE, 1), (8, MINUTE, 1), (9, MINUTE, 1), (10, MINUTE, 1)]


def test_interval_before_the_first_one_tells_the_processes(store: Store) -> None:
    record(store, since=None, until=0)
    record(store, interval(2, replicas=3), since=0, until=40)
    (before,) = store.series.intervals("churn", "1", at(30), at(40), step_seconds=MINUTE)
    assert before.replicas == 3
    while store.series.forget_before(at(30), step_seconds=MINUTE):
        pass
    (before,) = store.series.intervals("churn", "1", at(30), at(40), step_seconds=MINUTE)
    assert (before.step_seconds, before.replicas) == (TEN_MINUTES, 3)


def test_of_two_that_record_the_same_minute_one_is_refused(store: Store) -> None:
    record(store, since=None, until=0)
    record(store, interval(0), since=0, until=1)
    for since, until in ((0, 1), (None, 1)):
        with pytest.raises(StaleLease):
            record(store, interval(0, 99.0), since=since, until=until)
    assert read(store, 0, 1) == [(0, MINUTE, 1)]


def test_baselines_are_replaced_and_go_with_their_counters(store: Store) -> None:
    first, second = Baseline("churn", "1", {"requests": 1.0}, 1, 0), Baseline("churn", "2", {}, 0, 1)
    store.series.record([], baselines=[first, second], gone=(), since=None, until=at(0))
    newer = Baseline("churn", "1", {"requests": 5.0}, 0, 0)
    store.series.record([], baselines=[newer], gone=[("churn", "2")], since=at(0), until=at(1))
    assert store.series.baselines() == {("churn", "1"): newer}
    assert store.series.baseline("churn", "1") == newer
    assert store.series.baseline("churn", "2") is None


def test_old_intervals_are_deleted_by_their_length(store: Store) -> None:
    record(store, since=None, until=0)
    record(store, interval(1), interval(11), since=0, until=20)
    assert not store.series.forget_before(at(5), step_seconds=MINUTE)
    assert read(store, 0, 20) == [(11, MINUTE, 1)]
    assert read(store, 0, 20, TEN_MINUTES) == [(0, TEN_MINUTES, 1), (10, TEN_MINUTES, 1)]
