"""What is changed in MLflow, by its UI or its client, and concerns traffic: it is seen, and written to the audit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from raylift.domain.errors import ModelNotFound
from raylift.domain.traffic import AliasRecord, TrafficAction, TrafficRecord
from raylift.engines.mlflow.registry import Registry
from raylift.store import Store
from raylift.store.repositories.traffic import MLFLOW

log = logging.getLogger(__name__)


class AliasSync:
    """Compares the aliases in MLflow with those that were last seen. Any number may look: each move is written once."""

    def __init__(self, store: Store, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def look_at_routed(self) -> None:
        """Look at the models whose traffic tables name an alias.

        Raises:
            EngineUnavailable: MLflow does not answer.
        """
        for record in self._store.traffic.list():
            if record.table is not None and record.table.aliases:
                # Read before MLflow is asked: what the platform itself moves meanwhile makes this look out of date.
                known = self._store.traffic.aliases(record.model_name)
                self._compare(record.model_name, known, self._aliases_of(record.model_name))

    def look_at_all(self) -> None:
        """Look at all models. One that was deleted loses its traffic table, or a later one of its name would inherit it.

        Raises:
            EngineUnavailable: MLflow does not answer.
        """
        # What the store has is read first: whatever MLflow lacks after that was deleted, and not about to be registered.
        tables = self._store.traffic.list()
        known: dict[str, list[AliasRecord]] = {}
        for seen in self._store.traffic.aliases():
            known.setdefault(seen.model_name, []).append(seen)
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
        log.info("%s is gone from the registry, and its traffic table with it", record.model_name)

    def _aliases_of(self, model_name: str) -> Mapping[str, str]:
        try:
            return self._registry.model(model_name).aliases
        except ModelNotFound:
            return {}  # Deleted, and its aliases with it.

    def _compare(self, model_name: str, known: Iterable[AliasRecord], found: Mapping[str, str]) -> None:
        by_alias = {seen.alias: seen for seen in known}
        for alias in sorted({*by_alias, *found}):
            seen, version = by_alias.get(alias), found.get(alias)
            if (seen.version if seen else None) == version:
                continue
            change = self._store.traffic.observe(model_name, alias, version, now=self._clock(), known=seen)
            if change is not None:
                log.info("alias %s of %s went from %s to %s", alias, model_name, change.before_version, version)
