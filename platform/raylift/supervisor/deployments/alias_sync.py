"""Notices aliases that were moved in MLflow, and writes them to the audit of traffic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from raylift.domain.errors import ModelNotFound
from raylift.domain.traffic import AliasRecord, TrafficAction, TrafficRecord
from raylift.engines.mlflow_engine.registry import Registry
from raylift.store import Store
from raylift.store.repositories.traffic import MLFLOW

log = logging.getLogger(__name__)


class AliasSync:
    """Compares the aliases in MLflow with those that were last seen. Each move is written once, also by several supervisors."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def sync_routed(self) -> None:
        """Compare the aliases of models whose traffic tables name an alias.

        Raises:
            EngineUnavailable: MLflow does not answer.
        """
        for record in self._store.traffic.list():
            if record.table is not None and record.table.aliases:
                # Read before MLflow is asked: a move by the platform in between makes this reading outdated.
                known = self._store.traffic.aliases(record.model_name)
                self._compare(record.model_name, known, self._aliases_of(record.model_name))

    def sync_all(self) -> None:
        """Compare the aliases of all models. A deleted model loses its traffic table: a later one must not inherit it.

        Raises:
            EngineUnavailable: MLflow does not answer.
        """
        # The store is read first: a model that MLflow then lacks was deleted, and is not about to be registered.
        tables = self._store.traffic.list()
        known: dict[str, list[AliasRecord]] = {}
        for record in self._store.traffic.aliases():
            known.setdefault(record.model_name, []).append(record)
        found = {model.name: model.aliases for model in self._registry.models()}
        for name in sorted({*known, *found}):
            self._compare(name, known.get(name, []), found.get(name, {}))
        for record in tables:
            if record.model_name not in found:
                self._forget(record)

    def _forget(self, record: TrafficRecord) -> None:
        self._store.traffic.put(
            record.model_name,
            None,
            who=MLFLOW,
            now=self._clock(),
            action=TrafficAction.DELETE,
            expected_revision=record.revision,
        )
        log.info("%s is no longer registered; its traffic table was deleted", record.model_name)

    def _aliases_of(self, model_name: str) -> Mapping[str, str]:
        try:
            return self._registry.model(model_name).aliases
        except ModelNotFound:
            return {}  # Deleted, and its aliases with it.

    def _compare(self, model_name: str, known: Iterable[AliasRecord], found: Mapping[str, str]) -> None:
        by_alias = {record.alias: record for record in known}
        for alias in sorted({*by_alias, *found}):
            record, version = by_alias.get(alias), found.get(alias)
            if (record.version if record else None) == version:
                continue
            change = self._store.traffic.observe(model_name, alias, version, now=self._clock(), known=record)
            if change is not None:
                log.info("alias %s of %s went from %s to %s", alias, model_name, change.before_version, version)
