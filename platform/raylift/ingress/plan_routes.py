"""Planner of the ingress's map: the models whose requests go directly to one version. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from raylift.api.paths import version_route
from raylift.domain.identifiers import MODEL_NAME, version_number
from raylift.domain.models.deployment import Deployment
from raylift.domain.traffic import AliasRecord, TrafficRecord


def by_name_routes(
    rows: Iterable[Deployment],
    *,
    tables: Iterable[TrafficRecord] = (),
    aliases: Iterable[AliasRecord] = (),
    leaving: Collection[tuple[str, str]] = (),
) -> dict[str, str]:
    """Return the route of the one version that answers for each model, as the gateway would choose it.

    A model is left to the gateway while its version has no replica, while its name is not safe in a path, and while its
    traffic table divides or copies requests.

    Args:
        rows: all deployments.
        tables: all traffic tables.
        aliases: aliases as last read from MLflow.
        leaving: (model, version) of applications that will be taken down.
    """
    answering: dict[str, dict[str, Deployment]] = defaultdict(dict)
    for row in rows:
        if row.answers:
            answering[row.model_name][row.version] = row
    chosen: dict[str, str] = {}
    for name, found in answering.items():
        takers = [version for version, row in found.items() if row.config.take_traffic]
        chosen[name] = max(takers, key=version_number, default="")
    versions = {(seen.model_name, seen.alias): seen.version for seen in aliases}
    chosen |= {record.model_name: _sole_version(record, versions) for record in tables if record.table is not None}
    return {
        name: version_route(name, version)
        for name, version in sorted(chosen.items())
        if version in answering.get(name, ())
        and answering[name][version].replicas > 0
        and MODEL_NAME.fullmatch(name)
        and (name, version) not in leaving
    }


def _sole_version(record: TrafficRecord, versions: Mapping[tuple[str, str], str | None]) -> str:
    """Return the version that gets all requests by the table; "" where there is more than one."""
    target = record.table.sole_target if record.table else None
    if target is None:
        return ""
    return target.version or versions.get((record.model_name, str(target.alias))) or ""
