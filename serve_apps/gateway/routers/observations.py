"""``/mlops/models/{name}/versions/{version}/stats``, ``…/series`` and ``…/feedback``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.observations import (
    FeedbackAccepted,
    FeedbackBody,
    FeedbackEntry,
    FeedbackPage,
    FeedbackView,
    QualityView,
    SeriesView,
    StatsView,
)
from raylift.api.paths import MLOPS
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import parse_model, parse_object, read_body, require_json
from serve_apps.gateway.http.responses import json_response, problems
from serve_apps.gateway.views.metrics import quality_view, series_view, stats_view

_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_VERSION: Final = "/models/{name}/versions/{version}"
_SEVERAL: Final = "feedback"


def observations_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["observations"])
    service = services.observations

    @router.get(
        _VERSION + "/stats",
        responses={200: {"model": StatsView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def stats(name: str, version: str) -> Response:
        """Show requests, errors, latency, batches, replicas and memory of one version. ``/metrics`` has the same."""
        return json_response(stats_view(service.statistics(name, version)))

    @router.get(
        _VERSION + "/series",
        responses={200: {"model": SeriesView}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def series(
        name: str,
        version: str,
        since: Annotated[datetime | None, Query(description="Default: an hour before until.")] = None,
        until: Annotated[datetime | None, Query(description="Default: the end of the last recorded minute.")] = None,
        step: Annotated[int | None, Query(description="Seconds of an interval, a multiple of 60.", ge=60, le=86_400)] = None,
    ) -> Response:
        """Show requests, errors, latency, queue and replicas of one version over time."""
        found = service.series(name, version, since=_utc(since), until=_utc(until), step_seconds=step)
        return json_response(series_view(found))

    @router.get(
        _VERSION + "/quality",
        responses={200: {"model": QualityView}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def quality(
        name: str,
        version: str,
        since: Annotated[datetime | None, Query(description="Default: a day ago.")] = None,
        step: Annotated[int | None, Query(description="Seconds of an interval, a multiple of 60.", ge=60, le=86_400)] = None,
    ) -> Response:
        """Show the accuracy, or the error, of one version over time, from feedback and its payload log."""
        return json_response(quality_view(services.quality.over_time(name, version, since=_utc(since), step_seconds=step)))

    @router.post(
        _VERSION + "/feedback",
        responses={200: {"model": FeedbackAccepted}, **problems(400, 404, 413, 415, 422, 503)},
        openapi_extra={"requestBody": _feedback_body()},
        dependencies=[needs(services, Action.PREDICT, of=Kind.MODEL)],
    )
    async def send_feedback(request: Request, name: str, version: str) -> Response:
        """Send the true values of predictions by request id: one, or a list. A later value replaces an earlier one."""
        raw = await read_body(request, max_bytes=_MAX_BODY_BYTES)
        require_json(request)
        values = _values(raw)
        return json_response(FeedbackAccepted(accepted=await run_in_threadpool(service.put_feedback, name, version, values)))

    @router.get(
        _VERSION + "/feedback",
        responses={200: {"model": FeedbackPage}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def feedback(
        name: str,
        version: str,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List feedback, newest first."""
        page = service.feedback(name, version, limit=limit, cursor=cursor or None)
        shown = [
            FeedbackView(request_id=one.request_id, true_value=one.true_value, received_at=one.received_at)
            for one in page.feedback
        ]
        return json_response(FeedbackPage(feedback=shown, next_cursor=page.next_cursor))

    return router


def _utc(moment: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _values(raw: bytes) -> list[tuple[str, Any]]:
    if _SEVERAL in parse_object(raw):
        entries = parse_model(FeedbackBody, raw).feedback
        fields = [f"feedback[{place}].true_value" for place in range(len(entries))]
    else:
        entries, fields = [parse_model(FeedbackEntry, raw)], ["true_value"]
    unknown = [field for field, entry in zip(fields, entries, strict=True) if entry.true_value is None]
    if unknown:
        raise InvalidRequest.of(*(FieldError(field, "is null: send the value, or leave the entry out") for field in unknown))
    return [(entry.request_id, entry.true_value) for entry in entries]


def _feedback_body() -> dict[str, Any]:
    names = [model.__name__ for model in (FeedbackEntry, FeedbackBody)]
    schema = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    return {"required": True, "content": {"application/json": {"schema": schema}}}
