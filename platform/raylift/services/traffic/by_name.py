"""Versions that get requests by the name of their model."""

from __future__ import annotations

from raylift.domain.traffic import TrafficTable
from raylift.services.traffic.routing import newest_answering
from raylift.store import Store


def gets_requests_by_name(store: Store, model_name: str, version: str) -> bool:
    """Return True for a version with a share in the model's traffic table; without a table, for the one that answers."""
    record = store.traffic.get(model_name)
    if record is None or record.table is None:
        answering = newest_answering({row.version: row for row in store.deployments.list(model_name)})
        return answering is not None and answering.version == version
    return any(weight > 0 and named == version for weight, named in shares_of(store, model_name, record.table))


def shares_of(store: Store, model_name: str, table: TrafficTable) -> list[tuple[float, str | None]]:
    """Return the weight and the version of each route of a table; None for an alias of no version."""
    aliases = {known.alias: known.version for known in store.traffic.aliases(model_name)}
    return [(route.weight, route.target.version or aliases.get(route.target.alias or "")) for route in table.routes]
