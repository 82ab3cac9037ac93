"""Nodes, holders, owners and quotas in the REST API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raylift.api.cluster.nodes import (
    HeldView,
    HolderView,
    NodeView,
    OwnerView,
    QuotaView,
    ReplicaHolderView,
    ReservationView,
)
from raylift.domain.access import Principal, sees
from raylift.domain.job import account_of
from raylift.domain.models.deployment import Deployment
from raylift.domain.quota import Held, Quota
from raylift.services.cluster.holdings import Holding, Holdings, SetAside
from raylift.services.ports import Node
from raylift.settings import QuotaSettings


def node_view(node: Node, holdings: Holdings) -> NodeView:
    return NodeView(
        node_id=node.node_id,
        name=node.name,
        is_head=node.is_head,
        cpus=node.cpus,
        memory=node.memory_bytes,
        gpus=node.gpus,
        reserved_cpus=node.reserved_cpus,
        held=_held(holdings.on(node)),
    )


def holder_view(holding: Holding, caller: Principal) -> HolderView:
    """Show an admitted job. Of those of other workspaces, only what they hold."""
    job, wanted = holding.job, holding.job.spec.resources.whole
    is_visible = sees(caller, job.spec.workspace)
    return HolderView(
        job_id=job.job_id if is_visible else None,
        owner=job.spec.owner if is_visible else None,
        model_name=job.spec.model_name if is_visible else None,
        phase=job.state.value,
        node=holding.node,
        cpus=wanted.cpus,
        memory=wanted.memory_bytes,
        gpus=wanted.gpus,
        since=job.entered_at,
        ends_by=job.deadline_at,
    )


def reservation_view(kept: SetAside | None, caller: Principal) -> ReservationView | None:
    """Show the node that is set aside. A job of another workspace has no name."""
    if kept is None:
        return None
    job, is_visible = kept.job, sees(caller, kept.job.spec.workspace)
    return ReservationView(
        node=kept.node.name,
        node_id=kept.node.node_id,
        job_id=job.job_id if is_visible else None,
        owner=job.spec.owner if is_visible else None,
        model_name=job.spec.model_name if is_visible else None,
    )


def replica_views(deployments: Iterable[Deployment]) -> list[ReplicaHolderView]:
    """Show the deployments that have processes."""
    return [
        ReplicaHolderView(
            model_name=row.model_name,
            model_version=row.version,
            replicas=row.replicas,
            cpus=round(row.config.cpus * row.replicas, 3),
            memory=None if row.config.memory_bytes is None else row.config.memory_bytes * row.replicas,
            gpus=round(row.config.gpus * row.replicas, 3),
        )
        for row in deployments
        if row.replicas
    ]


def owner_views(holdings: Holdings, queued: Mapping[str, int], quotas: QuotaSettings, caller: Principal) -> list[OwnerView]:
    """Show the accounts with jobs or quotas. A caller that does not see all workspaces sees those of the jobs of its own."""
    seen = {holding.job.spec.account for holding in holdings.jobs if sees(caller, holding.job.spec.workspace)}
    seen.add(account_of(caller.workspace, caller.name))
    if caller.visible_workspace is None:
        seen |= {*queued, *quotas.owners}
    names = sorted(name for name in seen if name in queued or name in quotas.owners or holdings.of(name).jobs)
    return [
        OwnerView(owner=name, held=_held(holdings.of(name)), queued=queued.get(name, 0), quota=_quota(quotas.of(name)))
        for name in names
    ]


def _held(held: Held) -> HeldView:
    return HeldView(jobs=held.jobs, cpus=round(held.cpus, 3), memory=held.memory_bytes, gpus=round(held.gpus, 3))


def _quota(quota: Quota) -> QuotaView:
    return QuotaView(
        max_running_jobs=quota.max_running_jobs,
        max_queued_jobs=quota.max_queued_jobs,
        max_cpus=quota.max_cpus,
        max_memory=quota.max_memory_bytes,
    )
