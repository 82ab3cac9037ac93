"""``/mlops/training/jobs/{job_id}/metrics``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from raylift.api.paths import TRAINING
from raylift.api.run_history import JobMetrics, MetricCurve, MetricValue
from raylift.domain.models.run_history import RunHistory
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems


def run_history_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=TRAINING, tags=["training"])

    @router.get(
        "/jobs/{job_id}/metrics",
        responses={200: {"model": JobMetrics}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def metrics(
        job_id: str,
        metric: Annotated[list[str] | None, Query(description="Names of metrics; all without it.")] = None,
        points: Annotated[int, Query(description="Most points of a curve.", ge=1, le=2500)] = 500,
    ) -> Response:
        """Show the parameters and the metric curves of the job's run in MLflow."""
        found = services.models.run_history(job_id, names=metric or (), points=points)
        return json_response(_view(job_id, found))

    return router


def _view(job_id: str, found: RunHistory | None) -> JobMetrics:
    if found is None:
        return JobMetrics(job_id=job_id, mlflow_run_id=None, params={}, metrics=[], left_out=[])
    curves = [
        MetricCurve(name=name, points=[MetricValue(**asdict(point)) for point in points])
        for name, points in found.metrics.items()
    ]
    return JobMetrics(
        job_id=job_id, mlflow_run_id=found.run_id, params=dict(found.params), metrics=curves, left_out=list(found.left_out)
    )
