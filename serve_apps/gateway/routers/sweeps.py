"""``/mlops/training/sweeps``: look at, cancel, delete as one. They are handed in as uploads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from raylift.api.paths import SWEEPS
from raylift.api.sweeps import SweepPage, SweepView
from raylift.services.container import Services
from raylift.services.jobs.training import MAX_PAGE
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.views.sweeps import sweep_summary, sweep_view


def sweeps_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=SWEEPS, tags=["sweeps"])
    sweeps = services.sweeps

    @router.get("", responses={200: {"model": SweepPage}, **problems(422, 503)})
    def listed(
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """Sweeps, newest first, a page at a time."""
        page = sweeps.page(limit=limit, cursor=cursor or None)
        return json_response(SweepPage(sweeps=[sweep_summary(item) for item in page.sweeps], next_cursor=page.next_cursor))

    @router.get("/{sweep_id}", responses={200: {"model": SweepView}, **problems(404, 503)})
    def sweep(sweep_id: str) -> Response:
        """One sweep with its table: every job's parameters, status and metrics, and the best so far."""
        return json_response(sweep_view(sweeps.details(sweep_id), datetime.now(UTC)))

    @router.post(
        "/{sweep_id}/cancel",
        status_code=202,
        responses={202: {"model": SweepView}, 200: {"model": SweepView, "description": "It had ended."}, **problems(404, 503)},
    )
    def cancel(sweep_id: str) -> Response:
        """Ask all jobs of a sweep to stop. Idempotent; one that has ended is answered as it is. Nothing is registered then."""
        details = sweeps.cancel(sweep_id)
        return json_response(sweep_view(details, datetime.now(UTC)), 200 if details.sweep.is_final else 202)

    @router.delete("/{sweep_id}", status_code=204, responses=problems(404, 409, 503))
    def delete(sweep_id: str) -> Response:
        """Delete a finished sweep with its jobs, their events and logs. MLflow runs and model versions stay."""
        sweeps.delete(sweep_id)
        return Response(status_code=204)

    return router
