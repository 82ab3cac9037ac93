from __future__ import annotations

from dataclasses import replace

import pytest

from raylift.domain.errors import StaleLease
from raylift.domain.lease import Lease
from raylift.store import Store
from tests.contract.samples import NOW, after


def test_only_one_holds_it(store: Store, lease: Lease) -> None:
    assert lease == Lease("supervisor", "first", 1, after(15))
    assert store.leases.acquire("supervisor", "second", now=after(14.9), seconds=15) is None


def test_the_holder_renews_and_keeps_its_token(store: Store, lease: Lease) -> None:
    again = store.leases.acquire("supervisor", "first", now=after(5), seconds=15)
    assert again == replace(lease, expires_at=after(20))
    assert store.leases.renew(lease, now=after(7), seconds=15) == replace(lease, expires_at=after(22))
    assert store.leases.acquire("supervisor", "second", now=after(21), seconds=15) is None


def test_one_that_expired_may_be_taken_and_the_token_grows(store: Store, lease: Lease) -> None:
    taken = store.leases.acquire("supervisor", "second", now=after(15), seconds=15)
    assert taken == Lease("supervisor", "second", 2, after(30))
    with pytest.raises(StaleLease):
        store.leases.renew(lease, now=after(16), seconds=15)


def test_one_of_before_the_clock_was_put_back_may_be_taken(store: Store, lease: Lease) -> None:
    """Whoever held it was killed: nobody waits the hour until the clock is there again."""
    taken = store.leases.acquire("supervisor", "second", now=after(-3600), seconds=15)
    assert taken == Lease("supervisor", "second", 2, after(-3585))


def test_clocks_that_differ_by_seconds_do_not_take_it_from_each_other(store: Store, lease: Lease) -> None:
    assert store.leases.acquire("supervisor", "second", now=after(-14), seconds=15) is None


def test_one_that_expired_but_that_nobody_took_is_renewed(store: Store, lease: Lease) -> None:
    assert store.leases.renew(lease, now=after(100), seconds=15).token == lease.token


def test_one_that_was_released_is_free_at_once_and_never_the_same_again(store: Store, lease: Lease) -> None:
    store.leases.release(lease)
    with pytest.raises(StaleLease):
        store.leases.renew(lease, now=NOW, seconds=15)
    taken = store.leases.acquire("supervisor", "first", now=NOW, seconds=15)
    assert taken is not None
    assert taken.token == lease.token + 1


def test_releasing_what_another_holds_changes_nothing(store: Store, lease: Lease) -> None:
    newer = store.leases.acquire("supervisor", "second", now=after(15), seconds=15)
    assert newer is not None
    store.leases.release(lease)
    assert store.leases.renew(newer, now=after(16), seconds=15).token == newer.token


def test_names_are_independent(store: Store, lease: Lease) -> None:
    other = store.leases.acquire("other", "second", now=NOW, seconds=15)
    assert other is not None
    assert other.token == 1
    assert store.leases.renew(lease, now=NOW, seconds=1).token == 1


def test_nobody_cannot_hold_it(store: Store) -> None:
    with pytest.raises(ValueError, match="holder"):
        store.leases.acquire("supervisor", "", now=NOW, seconds=15)
