"""``/mlops/cluster`` and ``/mlops/queue``: what the nodes have, who holds it, and who waits for what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from raylift.api.cluster.nodes import ClusterView, QueueView
from raylift.api.paths import CLUSTER, QUEUE
from raylift.domain.access import sees
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.views.cluster import holder_view, node_view, owner_views, replica_views, reservation_view
from serve_apps.gateway.views.jobs import job_summary

_MAX_WAITING: Final = 500


def cluster_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["platform"])

    @router.get(CLUSTER, responses={200: {"model": ClusterView}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def cluster(request: Request) -> Response:
        """Show the nodes, and what is held by which jobs and replicas. Jobs of other workspaces have no names."""
        caller = principal_of(request)
        holdings = services.holdings.now()
        return json_response(
            ClusterView(
                nodes=[node_view(node, holdings) for node in holdings.nodes],
                holders=[holder_view(holding, caller) for holding in holdings.jobs],
                replicas=replica_views(services.shown_deployments(caller)),
                queued=sum(services.training.queued_by_account().values()),
                reservation=reservation_view(holdings.set_aside, caller),
            )
        )

    @router.get(QUEUE, responses={200: {"model": QueueView}, **problems(422, 503)}, dependencies=[needs(services, Action.READ)])
    def queue(
        request: Request, limit: Annotated[int, Query(ge=1, le=_MAX_WAITING, description="Number of waiting jobs.")] = 100
    ) -> Response:
        """Show the waiting jobs with their places, what each waits for, who holds it, and the owners with their quotas."""
        caller, now = principal_of(request), datetime.now(UTC)
        holdings, queued = services.holdings.now(), services.training.queued_by_account()
        waiting = enumerate(services.training.queue(limit), 1)
        return json_response(
            QueueView(
                total=sum(queued.values()),
                waiting=[job_summary(job, now, place) for place, job in waiting if sees(caller, job.spec.workspace)],
                holders=[holder_view(holding, caller) for holding in holdings.jobs],
                owners=owner_views(holdings, queued, services.settings.jobs.quotas, caller),
                reservation=reservation_view(holdings.set_aside, caller),
            )
        )

    return router
