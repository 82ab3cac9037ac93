"""Traffic tables, aliases and their audit."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from raylift.domain.errors import TrafficChanged
from raylift.domain.traffic import Route, Sticky, Target, TrafficAction, TrafficRecord, TrafficTable
from raylift.store import Store
from tests.contract.samples import NOW, after

FIRST = TrafficTable(
    (Route(Target("3"), 90.0), Route(Target(alias="challenger"), 0.5)), (Target("5"),), Sticky(header="X-User")
)
SECOND = TrafficTable((Route(Target("4"), 1.0),))


def moved(store: Store, alias: str, version: str | None, *, name: str = "churn") -> object:
    """Report the aliases of MLflow to the store, as the supervisor does."""
    known = next((record for record in store.traffic.aliases(name) if record.alias == alias), None)
    return store.traffic.observe(name, alias, version, now=after(9), known=known)


def test_traffic_table_is_read_as_it_was_put(store: Store) -> None:
    assert store.traffic.get("churn") is None
    put = store.traffic.put("churn", FIRST, who="ann", now=NOW)
    assert put == TrafficRecord("churn", 1, FIRST, NOW, "ann")
    assert store.traffic.get("churn") == put
    assert store.traffic.list() == [put]


def test_each_change_adds_a_revision_and_an_audit_row(store: Store) -> None:
    store.traffic.put("churn", FIRST, who="ann", now=NOW)
    store.traffic.put("churn", SECOND, who="bob", now=after(1))
    gone = store.traffic.put("churn", None, who="ann", now=after(2), action=TrafficAction.DELETE)
    assert (gone.revision, gone.table) == (3, None)
    assert store.traffic.list() == []
    history = store.traffic.history("churn", limit=10)
    assert [(c.sequence, c.revision, c.who, c.action, c.before, c.after) for c in history] == [
        (3, 3, "ann", TrafficAction.DELETE, SECOND, None),
        (2, 2, "bob", TrafficAction.PUT, FIRST, SECOND),
        (1, 1, "ann", TrafficAction.PUT, None, FIRST),
    ]
    assert [change.sequence for change in store.traffic.history("churn", limit=1, before=3)] == [2]
    assert store.traffic.history("other", limit=10) == []
    change = store.traffic.at_revision("churn", 2)
    assert change is not None
    assert change.after == SECOND
    assert store.traffic.at_revision("churn", 9) is None


def test_putting_the_same_table_again_changes_nothing(store: Store) -> None:
    first = store.traffic.put("churn", FIRST, who="ann", now=NOW)
    assert store.traffic.put("churn", FIRST, who="bob", now=after(1)) == first
    assert len(store.traffic.history("churn", limit=10)) == 1


def test_change_based_on_another_revision_is_refused(store: Store) -> None:
    store.traffic.put("churn", FIRST, who="ann", now=NOW, expected_revision=0)
    with pytest.raises(TrafficChanged) as refused:
        store.traffic.put("churn", SECOND, who="bob", now=after(1), expected_revision=0)
    assert refused.value.facts["revision"] == 1
    record = store.traffic.get("churn")
    assert record is not None
    assert record.table == FIRST


def test_alias_move_in_mlflow_is_audited_once(store: Store) -> None:
    assert moved(store, "champion", "3") is not None
    assert moved(store, "champion", "3") is None
    assert moved(store, "champion", None) is not None
    newest = store.traffic.history("churn", limit=1)[0]
    assert (newest.who, newest.action, newest.alias, newest.before_version, newest.after_version) == (
        "mlflow", TrafficAction.ALIAS, "champion", "3", None
    )  # fmt: skip
    assert [(a.alias, a.version) for a in store.traffic.aliases()] == [("champion", None)]


def test_announced_alias_move_is_credited_to_its_announcer(store: Store) -> None:
    known = store.traffic.announce("churn", "champion", "3", who="ann", action=TrafficAction.ROLLBACK, now=NOW)
    assert moved(store, "champion", "3") is not None
    assert store.traffic.observe("churn", "champion", "3", now=after(1), known=known) is None
    (change,) = store.traffic.history("churn", limit=10)
    assert (change.who, change.action, change.after_version) == ("ann", TrafficAction.ROLLBACK, "3")


def test_alias_move_that_differs_from_the_announced_one_is_mlflow_s(store: Store) -> None:
    store.traffic.announce("churn", "champion", "3", who="ann", action=TrafficAction.ALIAS, now=NOW)
    moved(store, "champion", "4")
    store.traffic.announce("churn", "champion", "5", who="ann", action=TrafficAction.ALIAS, now=after(-100))
    moved(store, "champion", "5")
    assert [change.who for change in store.traffic.history("churn", limit=10)] == ["mlflow", "mlflow"]


def test_alias_listing_older_than_a_move_changes_nothing(store: Store) -> None:
    moved(store, "champion", "3")
    (stale,) = store.traffic.aliases("churn")
    known = store.traffic.announce("churn", "champion", "4", who="ann", action=TrafficAction.ALIAS, now=NOW)
    store.traffic.observe("churn", "champion", "4", now=NOW, known=known)
    assert store.traffic.observe("churn", "champion", "3", now=NOW, known=stale) is None
    assert store.traffic.aliases("churn")[0].version == "4"


def test_last_change_of_the_table_or_a_listed_alias_is_found(store: Store) -> None:
    assert store.traffic.last_change("churn", aliases=["champion"]) is None
    store.traffic.put("churn", FIRST, who="ann", now=NOW)
    moved(store, "champion", "3")
    moved(store, "archived", "1")
    newest = store.traffic.last_change("churn", aliases=["champion"])
    assert newest is not None
    assert newest.alias == "champion"
    table = store.traffic.last_change("churn", aliases=[])
    assert table is not None
    assert table.revision == 1
    assert store.traffic.last_change("churn", aliases=["other"], table=False) is None


def test_concurrent_writers_lose_no_change(open_store: Callable[[], Store]) -> None:
    def write(store: Store, number: int) -> None:
        for round_ in range(5):
            weight = float(1 + number * 100 + round_)
            store.traffic.put("churn", TrafficTable((Route(Target("1"), weight),)), who=str(number), now=NOW)

    stores = [open_store() for _ in range(3)]
    threads = [threading.Thread(target=write, args=(store, number)) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = stores[0].traffic.history("churn", limit=100)
    assert [(c.sequence, c.revision) for c in history] == [(n, n) for n in range(15, 0, -1)]
    assert all(newer.before == older.after for newer, older in itertools.pairwise(history))
