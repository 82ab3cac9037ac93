from __future__ import annotations

from dataclasses import replace

import pytest

from raylift.domain.errors import StaleLease
from raylift.domain.lease import Lease
from raylift.domain.nodes.reservation import Reservation
from raylift.store import Store
from tests.contract.samples import NOW, after


def test_lease_has_one_holder(store: Store, lease: Lease) -> None:
    assert lease == Lease("supervisor", "first", 1, after(15))
    assert store.leases.acquire("supervisor", "second", now=after(14.9), seconds=15) is None


def test_renewed_lease_keeps_its_token(store: Store, lease: Lease) -> None:
    again = store.leases.acquire("supervisor", "first", now=after(5), seconds=15)
    assert again == replace(lease, expires_at=after(20))
    assert store.leases.renew(lease, now=after(7), seconds=15) == replace(lease, expires_at=after(22))
    assert store.leases.acquire("supervisor", "second", now=after(21), seconds=15) is None


def test_expired_lease_can_be_taken_with_a_higher_token(store: Store, lease: Lease) -> None:
    taken = store.leases.acquire("supervisor", "second", now=after(15), seconds=15)
    assert taken == Lease("supervisor", "second", 2, after(30))
    with pytest.raises(StaleLease):
        store.leases.renew(lease, now=after(16), seconds=15)


def test_lease_from_the_future_can_be_taken(store: Store, lease: Lease) -> None:
    """The clock was set back by an hour and the holder was killed. The next supervisor need not wait that hour."""
    taken = store.leases.acquire("supervisor", "second", now=after(-3600), seconds=15)
    assert taken == Lease("supervisor", "second", 2, after(-3585))


def test_clocks_that_differ_by_seconds_keep_a_valid_lease(store: Store, lease: Lease) -> None:
    assert store.leases.acquire("supervisor", "second", now=after(-14), seconds=15) is None


def test_expired_lease_can_be_renewed_until_it_is_taken(store: Store, lease: Lease) -> None:
    assert store.leases.renew(lease, now=after(100), seconds=15).token == lease.token


def test_released_lease_is_free_at_once_and_gets_a_new_token(store: Store, lease: Lease) -> None:
    store.leases.release(lease)
    with pytest.raises(StaleLease):
        store.leases.renew(lease, now=NOW, seconds=15)
    taken = store.leases.acquire("supervisor", "first", now=NOW, seconds=15)
    assert taken is not None
    assert taken.token == lease.token + 1


def test_releasing_the_lease_of_another_changes_nothing(store: Store, lease: Lease) -> None:
    newer = store.leases.acquire("supervisor", "second", now=after(15), seconds=15)
    assert newer is not None
    store.leases.release(lease)
    assert store.leases.renew(newer, now=after(16), seconds=15).token == newer.token


def test_leases_with_different_names_are_independent(store: Store, lease: Lease) -> None:
    other = store.leases.acquire("other", "second", now=NOW, seconds=15)
    assert other is not None
    assert other.token == 1
    assert store.leases.renew(lease, now=NOW, seconds=1).token == 1


def test_empty_holder_name_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="holder"):
        store.leases.acquire("supervisor", "", now=NOW, seconds=15)


def test_reservation_is_replaced_under_the_lease_only(store: Store, lease: Lease) -> None:
    assert store.reservations.get() is None
    store.reservations.put(lease, Reservation("job_A", "node"))
    store.reservations.put(lease, Reservation("job_B", "node"))
    assert store.reservations.get() == Reservation("job_B", "node")
    store.leases.acquire("supervisor", "second", now=after(15), seconds=15)
    with pytest.raises(StaleLease):
        store.reservations.put(lease, None)
    assert store.reservations.get() == Reservation("job_B", "node")
