"""``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from typing import Final, Literal

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.http.responses import json_response
from serve_apps.gateway.metrics.platform import Metrics

_UP: Final = "up"
_DOWN: Final = "down"


class Liveness(BaseModel):
    live: bool


class PartReadiness(BaseModel):
    state: Literal["up", "down"]
    detail: str | None = None


class Readiness(BaseModel):
    """State of each part of the platform, by name."""

    ready: bool
    parts: dict[str, PartReadiness]


def health_router(services: Services, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/healthz", responses={200: {"model": Liveness}}, dependencies=[needs(services, Action.PUBLIC)])
    async def healthz() -> Response:
        """Show that the gateway answers."""
        return json_response(Liveness(live=True))

    @router.get(
        "/readyz",
        responses={200: {"model": Readiness}, 503: {"model": Readiness, "description": "A part is down."}},
        dependencies=[needs(services, Action.PUBLIC)],
    )
    async def readyz() -> Response:
        """Check the store, Ray, MLflow and the supervisor, each within two seconds."""
        states = await services.health.parts()
        parts = {name: PartReadiness(state=_UP if part.ok else _DOWN, detail=part.detail) for name, part in states.items()}
        ready = all(part.ok for part in states.values())
        return json_response(Readiness(ready=ready, parts=parts), 200 if ready else 503)

    @router.get(
        "/metrics",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        dependencies=[needs(services, Action.MONITOR)],
    )
    async def prometheus() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(await run_in_threadpool(metrics.exposition), headers={"Content-Type": metrics.content_type})

    return router
