"""``/mlops/models/{name}/versions/{version}/monitor``: settings, windows and alerts of the watch over a version."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.monitoring.monitors import AlertPage, MonitorSettings, MonitorView, QualityWindowPage, WindowPage
from raylift.api.paths import MLOPS
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.views.monitors import alert_view, monitor_view, quality_window_view, settings_of, window_view

_MAX_BODY_BYTES: Final = 64 * 1024
_PATH: Final = "/models/{name}/versions/{version}/monitor"

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before.")]


def monitors_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["observations"])
    monitors = services.monitors

    @router.get(
        _PATH,
        responses={200: {"model": MonitorView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def monitor(name: str, version: str) -> Response:
        """Show the watch over a version: settings, open alerts and its newest windows."""
        return json_response(monitor_view(monitors.get(name, version)))

    @router.put(
        _PATH,
        responses={200: {"model": MonitorView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(MonitorSettings)},
        dependencies=[needs(services, Action.DEPLOY, "monitor.put", of=Kind.MODEL)],
    )
    async def put(request: Request, name: str, version: str) -> Response:
        """Set the window, thresholds and segments of the watch over a version, or switch it off."""
        asked = await read_model(request, MonitorSettings, max_bytes=_MAX_BODY_BYTES)
        return json_response(monitor_view(await run_in_threadpool(monitors.put, name, version, settings_of(asked))))

    @router.get(
        f"{_PATH}/windows",
        responses={200: {"model": WindowPage}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def windows(name: str, version: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """List windows with the figures of each column, newest first."""
        page = monitors.windows(name, version, limit=limit, cursor=cursor or None)
        return json_response(WindowPage(windows=list(map(window_view, page.windows)), next_cursor=page.next_cursor))

    @router.get(
        f"{_PATH}/quality",
        responses={200: {"model": QualityWindowPage}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def quality(name: str, version: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """List windows of volume and of quality from feedback, newest first."""
        page = monitors.quality_windows(name, version, limit=limit, cursor=cursor or None)
        shown = list(map(quality_window_view, page.windows))
        return json_response(QualityWindowPage(windows=shown, next_cursor=page.next_cursor))

    @router.get(
        f"{_PATH}/alerts",
        responses={200: {"model": AlertPage}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def alerts(name: str, version: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """List alerts, newest first."""
        page = monitors.alerts(name, version, limit=limit, cursor=cursor or None)
        return json_response(AlertPage(alerts=list(map(alert_view, page.alerts)), next_cursor=page.next_cursor))

    return router
