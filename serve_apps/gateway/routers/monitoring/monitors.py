"""``/mlops/models/{name}/versions/{version}/monitor``: settings, windows and alerts of the watch over a version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import OWNER_HEADER
from raylift.api.monitoring.monitors import (
    AlertPage,
    DriftReportPage,
    DriftReportView,
    MonitorSettings,
    MonitorView,
    QualityWindowPage,
    ReportBody,
    WindowPage,
)
from raylift.api.paths import MLOPS
from raylift.domain.monitoring.report import ReportRequest
from raylift.services.container import Services
from raylift.services.jobs.training import Submission
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import principal_of, visit_of
from serve_apps.gateway.uploads.threads import run_in_project_thread
from serve_apps.gateway.views.monitors import (
    alert_view,
    monitor_view,
    quality_window_view,
    report_view,
    settings_of,
    window_view,
)

_MAX_BODY_BYTES: Final = 64 * 1024
_OWNER: Final = header(OWNER_HEADER, "Owner of a report's job. It does not authenticate. Absent: local.")
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

    @router.post(
        f"{_PATH}/reports",
        status_code=202,
        responses={202: {"model": DriftReportView}, **problems(400, 404, 413, 415, 422, 429, 503)},
        openapi_extra={"requestBody": json_body(ReportBody), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.DEPLOY, "monitor.report", of=Kind.MODEL)],
    )
    async def submit_report(request: Request, name: str, version: str) -> Response:
        """Compare logged requests with a reference by Evidently, as a job. Its run in MLflow gets the report."""
        asked = await read_model(request, ReportBody, max_bytes=_MAX_BODY_BYTES)
        taken = await run_in_project_thread(_submit_report, services, request, (name, version), asked)
        return json_response(report_view(taken.job), 202, {"Location": paths.job(taken.job.job_id)})

    @router.get(
        f"{_PATH}/reports",
        responses={200: {"model": DriftReportPage}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def reports(request: Request, name: str, version: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """List the reports of a version, newest first."""
        workspace = principal_of(request).visible_workspace
        page = services.drift_reports.page(name, version, workspace=workspace, limit=limit, cursor=cursor or None)
        return json_response(DriftReportPage(reports=list(map(report_view, page.jobs)), next_cursor=page.next_cursor))

    return router


def _submit_report(services: Services, request: Request, version: tuple[str, str], asked: ReportBody) -> Submission:
    caller = principal_of(request)
    owner = request.headers.get(OWNER_HEADER) if visit_of(request.scope).is_local else caller.name
    wanted = ReportRequest(_utc(asked.since), _utc(asked.until), asked.reference)
    return services.drift_reports.submit(*version, wanted, owner=owner, workspace=caller.workspace)


def _utc(moment: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
