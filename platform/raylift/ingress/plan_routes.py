"""Which models' requests the ingress may send straight to one version: a pure function of the store's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from raylift.domain.deployment import Deployment
from raylift.domain.identifiers import MODEL_NAME, version_number, version_route
from raylift.domain.traffic import AliasRecord, TrafficRecord


def by_name_routes(
    rows: Iterable[Deployment],
    *,
    tables: Iterable[TrafficRecord] = (),
    aliases: Iterable[AliasRecord] = (),
    leaving: Collection[tuple[str, str]] = (),
) -> dict[str, str]:
    """Model → the route of the one version that answers for it, as the gateway would choose it.

    A model is left out, and so left to the gateway, while what answers for it has no process, while its name could mean
    something else in a path, and while its traffic table divides or copies its requests.

    Args:
        rows: all deployments.
        tables: the traffic tables there are.
        aliases: where the aliases were last seen.
        leaving: (model, version) of applications that are about to be taken down.
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
    """The version that the table sends every request to; none is called "" where the gateway has to look at each."""
    target = record.table.sole_target if record.table else None
    if target is None:
        return ""
    return target.version or versions.get((record.model_name, str(target.alias))) or ""
