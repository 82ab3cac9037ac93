"""``/mlops/training/jobs/{job_id}/graph``: the jobs before and after one."""

from __future__ import annotations

from fastapi import APIRouter, Response

from raylift.api import paths
from raylift.api.order.jobs import JobGraph
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.views.job_order import job_graph


def order_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.JOBS, tags=["training"])

    @router.get(
        "/{job_id}/graph",
        responses={200: {"model": JobGraph}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def graph(job_id: str) -> Response:
        """Show the jobs before and after one, and what they have made: features, training, batches."""
        services.training.get(job_id)
        return json_response(job_graph(job_id, *services.order.graph(job_id)))

    return router
