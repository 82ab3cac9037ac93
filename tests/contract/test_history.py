"""Queries of retention: jobs that are too old, jobs beyond a number, and jobs that exist."""

from __future__ import annotations

from raylift.domain.job import JobState
from raylift.domain.lease import Lease
from raylift.store import IdempotencyKey, Store
from tests.contract.samples import NOW, add, after, finish, start
from tests.contract.test_query_plans import check

DAY = 86400.0


def test_only_finished_jobs_are_listed_oldest_first(store: Store, lease: Lease) -> None:
    old = [finish(store, lease, add(store, now=after(n)), now=after(n + 10)) for n in range(3)]
    failed = add(store, now=after(1.5))
    store.jobs.move(lease, start(store, lease, failed), JobState.FAILED, now=after(20))
    add(store, now=after(0.1))  # queued
    start(store, lease, add(store, now=after(0.2)))  # running
    late = add(store, now=after(0.3))
    finish(store, lease, late, now=after(DAY))  # ended long after its upload
    found = store.history.finished_before(after(100), limit=10)
    assert found == [old[0].job_id, old[1].job_id, failed.job_id, old[2].job_id]
    assert store.history.finished_before(after(100), limit=2) == found[:2]
    assert store.history.finished_before(NOW, limit=10) == []


def test_oldest_jobs_beyond_a_number_are_listed(store: Store, lease: Lease) -> None:
    jobs = [finish(store, lease, add(store, now=after(n))) for n in range(5)]
    add(store)
    assert store.history.beyond(5, limit=10) == []
    assert store.history.beyond(3, limit=10) == [job.job_id for job in jobs[:2]]
    assert store.history.beyond(0, limit=3) == [job.job_id for job in jobs[:3]]


def test_end_times_of_jobs_are_listed(store: Store, lease: Lease) -> None:
    finished = finish(store, lease, add(store), now=after(5))
    waiting = add(store)
    assert store.history.ends_of([finished.job_id, waiting.job_id, "job_unknown"]) == {
        finished.job_id: after(5),
        waiting.job_id: None,
    }


def test_expired_keys_are_deleted_in_batches(store: Store) -> None:
    for n in range(3):
        add(store, idempotency=IdempotencyKey(f"old-{n}", "x", after(10)))
    add(store, idempotency=IdempotencyKey("young", "x", after(1000)))
    assert not store.history.forget_keys(after(100))
    again = add(store, now=after(100), idempotency=IdempotencyKey("old-1", "other body", after(1000)))
    assert again.created_at == after(100)


def test_queries_of_retention_read_index_ranges(store: Store, lease: Lease) -> None:
    finish(store, lease, add(store))
    check(store, lambda: store.history.finished_before(after(DAY), limit=10))
    check(store, lambda: store.history.ends_of(["job_1", "job_2"]))
    check(store, lambda: store.history.beyond(0, limit=10))
