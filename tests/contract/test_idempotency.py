from __future__ import annotations

import pytest

from raylift.domain.errors import IdempotencyMismatch
from raylift.domain.lease import Lease
from raylift.store import IdempotencyKey, JobFilter, Store
from tests.contract.samples import NOW, add, after, finish

HOUR = 3600.0


def key_of(body: str = "a", *, key: str = "k", expires: float = HOUR) -> IdempotencyKey:
    return IdempotencyKey(key, body, expires_at=after(expires))


def test_repeated_request_makes_one_job(store: Store) -> None:
    first = add(store, idempotency=key_of())
    again = add(store, idempotency=key_of(), now=after(1))
    assert again == first
    assert store.jobs.list(JobFilter(), limit=9).jobs == [first]


def test_repeated_request_gets_the_current_job(store: Store, lease: Lease) -> None:
    done = finish(store, lease, add(store, idempotency=key_of()))
    assert add(store, idempotency=key_of(), now=after(1)) == done


def test_another_body_with_the_same_key_is_refused(store: Store) -> None:
    first = add(store, idempotency=key_of())
    with pytest.raises(IdempotencyMismatch):
        add(store, idempotency=key_of("b"), now=after(1), script=b"other")
    assert store.jobs.list(JobFilter(), limit=9).jobs == [first]


def test_expired_key_can_be_used_for_a_new_job(store: Store) -> None:
    first = add(store, idempotency=key_of(expires=HOUR))
    second = add(store, idempotency=key_of("b", expires=3 * HOUR), now=after(HOUR))
    assert second.job_id != first.job_id
    assert add(store, idempotency=key_of("b"), now=after(2 * HOUR)) == second
    with pytest.raises(IdempotencyMismatch):
        add(store, idempotency=key_of("a"), now=after(2 * HOUR))


def test_other_key_or_no_key_makes_another_job(store: Store) -> None:
    for key in (key_of(key="k1"), key_of(key="k2"), None, None):
        add(store, idempotency=key)
    assert len(store.jobs.list(JobFilter(), limit=9).jobs) == 4


def test_failed_upload_leaves_its_key_unused(store: Store) -> None:
    taken = add(store)
    with pytest.raises(ValueError, match=taken.job_id):
        add(store, job_id=taken.job_id, idempotency=key_of())
    second = add(store, idempotency=key_of())
    assert second.job_id != taken.job_id


def test_key_is_deleted_with_its_job(store: Store, lease: Lease) -> None:
    done = finish(store, lease, add(store, idempotency=key_of()))
    store.jobs.delete(done.job_id)
    assert add(store, idempotency=key_of(), now=after(1)).job_id != done.job_id


def test_upload_deletes_expired_keys(store: Store) -> None:
    old = add(store, idempotency=key_of(key="old", expires=1))
    add(store, idempotency=key_of(key="new"), now=after(2))
    # With the clock set back, a key that still exists would return its job.
    assert add(store, idempotency=key_of(key="old"), now=NOW).job_id != old.job_id
