"""``/mlops/training/sweeps``: list, show, cancel and delete sweeps. An upload creates one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from raylift.api.paths import SWEEPS
from raylift.api.sweeps import SweepPage, SweepView
from raylift.services.container import Services
from raylift.services.jobs.training import MAX_PAGE
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.views.sweeps import sweep_summary, sweep_view


def sweeps_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=SWEEPS, tags=["sweeps"])
    sweeps = services.sweeps

    @router.get("", responses={200: {"model": SweepPage}, **problems(422, 503)}, dependencies=[needs(services, Action.READ)])
    def listed(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List sweeps, newest first, a page at a time."""
        page = sweeps.page(limit=limit, cursor=cursor or None, workspace=principal_of(request).visible_workspace)
        return json_response(SweepPage(sweeps=[sweep_summary(item) for item in page.sweeps], next_cursor=page.next_cursor))

    @router.get(
        "/{sweep_id}",
        responses={200: {"model": SweepView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.SWEEP)],
    )
    def sweep(sweep_id: str) -> Response:
        """Show one sweep with its table: parameters, status and metrics of every job, and the best so far."""
        return json_response(sweep_view(sweeps.details(sweep_id), datetime.now(UTC)))

    @router.post(
        "/{sweep_id}/cancel",
        status_code=202,
        responses={202: {"model": SweepView}, 200: {"model": SweepView, "description": "It had ended."}, **problems(404, 503)},
        dependencies=[needs(services, Action.SUBMIT, "sweep.cancel", of=Kind.SWEEP)],
    )
    def cancel(sweep_id: str) -> Response:
        """Request that all jobs of a sweep stop; then no model is registered. Idempotent; an ended sweep stays as it is."""
        details = sweeps.cancel(sweep_id)
        return json_response(sweep_view(details, datetime.now(UTC)), 200 if details.sweep.is_final else 202)

    @router.delete(
        "/{sweep_id}",
        status_code=204,
        responses=problems(404, 409, 503),
        dependencies=[needs(services, Action.SUBMIT, "sweep.delete", of=Kind.SWEEP)],
    )
    def delete(sweep_id: str) -> Response:
        """Delete a finished sweep with its jobs, their events and logs. MLflow runs and model versions stay."""
        sweeps.delete(sweep_id)
        return Response(status_code=204)

    return router
