"""Traffic tables in the REST API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raylift.api.traffic import (
    RouteBody,
    RouteView,
    StickyBody,
    TrafficChangeView,
    TrafficHistory,
    TrafficTableView,
    TrafficUpdate,
    TrafficView,
    VersionShare,
)
from raylift.domain.models.deployment import Deployment
from raylift.domain.traffic import Route, Sticky, Target, TrafficChange, TrafficTable, target_of, weights_of
from raylift.services.traffic.routing import newest_answering, takes_requests
from raylift.services.traffic.tables import TrafficState
from serve_apps.gateway.views.models import shown_status


def table_of(update: TrafficUpdate) -> TrafficTable:
    """Translate a body into a table. The domain validates it."""
    return TrafficTable(
        routes=tuple(Route(_target(route), float(route.weight)) for route in update.routes),
        shadow=tuple(target_of(str(name)) for name in update.shadow),
        sticky=Sticky(update.sticky.header, update.sticky.field) if update.sticky else None,
    )


def table_view(table: TrafficTable) -> TrafficTableView:
    return TrafficTableView(
        routes=[RouteView(version=r.target.version, alias=r.target.alias, weight=r.weight) for r in table.routes],
        shadow=[str(target.version or target.alias) for target in table.shadow],
        sticky=StickyBody(header=table.sticky.header, field=table.sticky.field) if table.sticky else None,
    )


def traffic_view(state: TrafficState) -> TrafficView:
    record, table = state.record, state.record.table
    shown = table_view(table) if table else TrafficTableView(routes=[], shadow=[], sticky=None)
    return TrafficView(
        **dict(shown),
        model_name=record.model_name,
        revision=record.revision,
        updated_at=record.updated_at if record.revision else None,
        updated_by=record.updated_by if record.revision else None,
        versions=list(_shares(state, table) if table else _newest(state)),
    )


def traffic_history(model_name: str, changes: Sequence[TrafficChange], limit: int) -> TrafficHistory:
    return TrafficHistory(
        model_name=model_name,
        changes=[_change_view(change) for change in changes],
        next_before=changes[-1].sequence if len(changes) == limit and changes[-1].sequence > 1 else None,
    )


def _target(route: RouteBody) -> Target:
    if route.version is None:
        return Target(alias=route.alias)
    named = target_of(str(route.version))
    return named if route.alias is None else Target(str(route.version), route.alias)


def _shares(state: TrafficState, table: TrafficTable) -> Iterator[VersionShare]:
    routes = [(route.target, _version(state, route.target), route.weight) for route in table.routes]
    weights = weights_of((version, weight) for _, version, weight in routes if version is not None)
    able = {version for version in weights if takes_requests(state.deployments.get(version))} or set(weights)
    whole = sum(weight for version, weight in weights.items() if version in able) or 1.0
    for target, version, weight in routes:
        yield _share(state, target, weight / whole if version in able else 0.0, is_shadow=False)
    for target in table.shadow:
        yield _share(state, target, 0.0, is_shadow=True)


def _newest(state: TrafficState) -> Iterator[VersionShare]:
    newest = newest_answering(state.deployments)
    if newest is not None:
        yield _share(state, Target(newest.version), 1.0, is_shadow=False)


def _share(state: TrafficState, target: Target, share: float, *, is_shadow: bool) -> VersionShare:
    version = _version(state, target)
    row: Deployment | None = state.deployments.get(version or "")
    return VersionShare(
        model_version=version,
        alias=target.alias,
        share=round(share, 6),
        shadow=is_shadow,
        status=shown_status(row).value if row else None,
        replicas=row.replicas if row else 0,
    )


def _version(state: TrafficState, target: Target) -> str | None:
    return target.version or state.aliases.get(target.alias or "")


def _change_view(change: TrafficChange) -> TrafficChangeView:
    return TrafficChangeView(
        sequence=change.sequence,
        at=change.at,
        who=change.who,
        action=change.action.value,
        revision=change.revision,
        before=table_view(change.before) if change.before else None,
        after=table_view(change.after) if change.after else None,
        alias=change.alias,
        before_version=change.before_version,
        after_version=change.after_version,
    )
