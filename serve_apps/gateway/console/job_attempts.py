"""``/mlops/training/jobs/{job_id}/attempts``."""

from __future__ import annotations

from fastapi import APIRouter, Response

from raylift.api.paths import TRAINING
from raylift.api.training import AttemptList
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.views.jobs import attempt_view


def job_attempts_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=TRAINING, tags=["training"])

    @router.get(
        "/jobs/{job_id}/attempts",
        responses={200: {"model": AttemptList}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def attempts(job_id: str) -> Response:
        """List the job's attempts, oldest first, with the end and the usage of each."""
        found = services.training.attempts(job_id)
        return json_response(AttemptList(job_id=job_id, attempts=[attempt_view(item) for item in found]))

    return router
