"""Sources of a job: its script, its project, and its differences from another job."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, Response

from raylift.api.jobs.diff import JobDiff
from raylift.api.paths import TRAINING
from raylift.services.container import Services
from raylift.services.uploads.scripts import encoding_of
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.views import job_diff

GZIP: Final = "application/gzip"


def job_sources_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=TRAINING, tags=["training"])
    training = services.training

    @router.get(
        "/jobs/{job_id}/script",
        responses={200: {"content": {"text/x-python": {"schema": {"type": "string"}}}}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def script(job_id: str) -> Response:
        """Return the uploaded script, or the entrypoint of a project."""
        found, source = training.script(job_id)
        disposition = f"inline; filename*=utf-8''{quote(found.spec.script_name, safe='')}"
        return Response(source, 200, {"Content-Disposition": disposition}, f"text/x-python; charset={encoding_of(source)}")

    @router.get(
        "/jobs/{job_id}/project",
        responses={200: {"content": {GZIP: {"schema": {"type": "string", "format": "binary"}}}}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def project(job_id: str) -> Response:
        """Return the job's project as a .tar.gz. Its SHA-256 is that of the tar in it."""
        sha256, archive = training.project(job_id)
        return Response(archive, 200, {"Content-Disposition": f'attachment; filename="{sha256[:12]}.tar.gz"'}, GZIP)

    @router.get(
        "/jobs/{job_id}/diff/{other_id}",
        responses={200: {"model": JobDiff}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def diff(job_id: str, other_id: str) -> Response:
        """Compare the second job with the first. Values of variables are compared, and never shown."""
        return json_response(job_diff.job_diff(services.comparison.compare(job_id, other_id)))

    return router
