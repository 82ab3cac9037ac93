"""``/mlops/overview``: the platform at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

import raylift
from raylift.api.cluster.overview import Overview, PartView, UploadLimits
from raylift.api.paths import OVERVIEW
from raylift.ingress.engine_pages import MLFLOW
from raylift.services.container import Services
from raylift.settings import AuthMode
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.http.visit import principal_of

Name = TypeVar("Name", bound=str)


def overview_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["platform"])
    jobs = services.settings.jobs
    limits = UploadLimits(
        max_script_bytes=jobs.max_script_bytes,
        min_timeout_seconds=jobs.min_timeout_seconds,
        max_timeout_seconds=jobs.max_timeout_seconds,
    )
    is_local = services.settings.auth is AuthMode.LOCAL
    mlflow_pages = services.settings.mlflow_url if is_local else MLFLOW

    @router.get(OVERVIEW, responses={200: {"model": Overview}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    async def overview(request: Request) -> Response:
        """Count the caller's jobs and deployments by status, and check each part of the platform."""
        states = await services.health.parts()
        counts = await run_in_threadpool(services.shown_counts, principal_of(request))
        return json_response(
            Overview(
                version=raylift.__version__,
                parts={name: PartView(ok=part.ok, detail=part.detail) for name, part in states.items()},
                jobs=_by_name(counts.jobs),
                deployments=_by_name(counts.deployments),
                failures=_by_name(counts.failed_jobs),
                limits=limits,
                mlflow_pages=mlflow_pages,
            )
        )

    return router


def _by_name(counts: Mapping[Name, int]) -> dict[str, int]:
    return {str(name): count for name, count in counts.items()}
