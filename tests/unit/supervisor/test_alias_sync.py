"""Alias moves in MLflow are recorded once, and moves by the platform are not taken for MLflow's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from raylift.domain.traffic import Route, Target, TrafficAction, TrafficTable
from raylift.services.traffic.tables import TrafficService
from raylift.store import Store
from raylift.supervisor.deployments.alias_sync import AliasSync
from tests.migrated_store import open_migrated
from tests.unit.gateway.engine_fakes import FakeRegistry

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TABLE = TrafficTable((Route(Target(alias="champion"), 1.0),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_migrated(tmp_path / "store.db")
    yield store
    store.close()


@pytest.fixture
def registry() -> FakeRegistry:
    registry = FakeRegistry()
    for version in ("1", "2"):
        registry.register("m", version)
        registry.register("other", version)
    return registry


@pytest.fixture
def watch(store: Store, registry: FakeRegistry) -> AliasSync:
    return AliasSync(store, cast("Any", registry), lambda: NOW)


def moves(store: Store, name: str) -> list[tuple[str, str | None, str | None]]:
    return [(c.who, c.before_version, c.after_version) for c in store.traffic.history(name, limit=9) if c.alias]


def test_alias_move_is_recorded_once(store: Store, registry: FakeRegistry, watch: AliasSync) -> None:
    for version in ("1", "2"):
        registry.aliases["m", "champion"] = version
        watch.sync_all()
        watch.sync_all()
    del registry.aliases["m", "champion"]
    watch.sync_all()
    assert moves(store, "m") == [("mlflow", "2", None), ("mlflow", "1", "2"), ("mlflow", None, "1")]


def test_only_routed_models_are_read_between_two_full_syncs(store: Store, registry: FakeRegistry, watch: AliasSync) -> None:
    store.traffic.put("m", TABLE, who="ann", now=NOW)
    registry.aliases |= {("m", "champion"): "1", ("other", "champion"): "1"}
    watch.sync_routed()
    assert (len(moves(store, "m")), len(moves(store, "other")), registry.asked) == (1, 0, 1)


def test_deleted_model_loses_its_aliases_and_table(store: Store, registry: FakeRegistry, watch: AliasSync) -> None:
    store.traffic.put("m", TABLE, who="ann", now=NOW)
    registry.aliases["m", "champion"] = "1"
    watch.sync_routed()
    del registry.registered["m"]
    watch.sync_routed()
    watch.sync_all()
    assert moves(store, "m")[0] == ("mlflow", "1", None)
    assert store.traffic.list() == []
    newest = store.traffic.history("m", limit=1)[0]
    assert (newest.who, newest.action, newest.before) == ("mlflow", TrafficAction.DELETE, TABLE)


def test_alias_move_by_the_platform_is_not_credited_to_mlflow(store: Store, registry: FakeRegistry, watch: AliasSync) -> None:
    registry.aliases["m", "champion"] = "1"
    watch.sync_all()

    class Quick(FakeRegistry):
        """The supervisor reads between MLflow's move and the platform's own record of it."""

        def set_alias(self, name: str, alias: str, version: str) -> None:
            registry.set_alias(name, alias, version)
            watch.sync_all()

    service = TrafficService(store, Quick(registry.registered, registry.aliases), clock=lambda: NOW)
    service.set_alias("m", "champion", "2", who="ann")
    watch.sync_all()
    assert moves(store, "m") == [("ann", "1", "2"), ("mlflow", None, "1")]
    assert store.traffic.history("m", limit=1)[0].action is TrafficAction.ALIAS
