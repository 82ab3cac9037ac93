from __future__ import annotations

import pytest

from raylift.domain.errors import IdempotencyMismatch
from raylift.domain.lease import Lease
from raylift.store import IdempotencyKey, JobFilter, Store
from tests.contract.samples import NOW, add, after, finish

HOUR = 3600.0


def key_of(body: str = "a", *, key: str = "k", expires: float = HOUR) -> IdempotencyKey:
    return IdempotencyKey(key, body, expires_at=after(expires))


def test_the_same_request_makes_one_job(store: Store) -> None:
    first = add(store, idempotency=key_of())
    again = add(store, idempotency=key_of(), now=after(1))
    assert again == first
    assert store.jobs.list(JobFilter(), limit=9).jobs == [first]


def test_a_repeated_request_gets_the_job_as_it_is_now(store: Store, lease: Lease) -> None:
    done = finish(store, lease, add(store, idempotency=key_of()))
    assert add(store, idempotency=key_of(), now=after(1)) == done


def test_another_body_is_refused_and_stores_nothing(store: Store) -> None:
    first = add(store, idempotency=key_of())
    with pytest.raises(IdempotencyMismatch):
        add(store, idempotency=key_of("b"), now=after(1), script=b"other")
    assert store.jobs.list(JobFilter(), limit=9).jobs == [first]


def test_an_expired_key_is_free_again_and_stands_for_its_new_job(store: Store) -> None:
    first = add(store, idempotency=key_of(expires=HOUR))
    second = add(store, idempotency=key_of("b", expires=3 * HOUR), now=after(HOUR))
    assert second.job_id != first.job_id
    assert add(store, idempotency=key_of("b"), now=after(2 * HOUR)) == second
    with pytest.raises(IdempotencyMismatch):
        add(store, idempotency=key_of("a"), now=after(2 * HOUR))


def test_other_keys_and_no_key_make_jobs_of_their_own(store: Store) -> None:
    for key in (key_of(key="k1"), key_of(key="k2"), None, None):
        add(store, idempotency=key)
    assert len(store.jobs.list(JobFilter(), limit=9).jobs) == 4


def test_a_failed_upload_does_not_use_its_key_up(store: Store) -> None:
    taken = add(store)
    with pytest.raises(ValueError, match=taken.job_id):
        add(store, job_id=taken.job_id, idempotency=key_of())
    second = add(store, idempotency=key_of())
    assert second.job_id != taken.job_id


def test_the_key_goes_with_its_job(store: Store, lease: Lease) -> None:
    done = finish(store, lease, add(store, idempotency=key_of()))
    store.jobs.delete(done.job_id)
    assert add(store, idempotency=key_of(), now=after(1)).job_id != done.job_id


def test_expired_keys_are_forgotten_in_passing(store: Store) -> None:
    old = add(store, idempotency=key_of(key="old", expires=1))
    add(store, idempotency=key_of(key="new"), now=after(2))
    # With the clock set back, a key that were still there would answer.
    assert add(store, idempotency=key_of(key="old"), now=NOW).job_id != old.job_id
