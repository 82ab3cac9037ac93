"""HTTP statuses of all error codes, and error bodies in the form of each family of endpoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from raylift.api.paths import RAY_API
from raylift.domain.errors import FieldError, InvalidRequest, NotFound, PlatformError
from raylift.ingress.allowed_hosts import HOST_REFUSED
from raylift.ingress.problems import PROBLEM_JSON, problem_of
from serve_apps.gateway.http.visit import note_error

_LOG: Final = logging.getLogger(__name__)

REQUEST_ID: Final = "raylift.request_id"
"""Key of the request's id in the ASGI scope."""

CHALLENGE: Final = 'Basic realm="raylift", charset="UTF-8"'
"""WWW-Authenticate: programs send a bearer token all the same; browsers ask for a password, which is the key."""

HTTP_STATUS: Final[Mapping[str, int]] = {
    "malformed_body": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "cross_origin_refused": 403,
    "host_refused": 403,
    "not_found": 404,
    "job_not_found": 404,
    "sweep_not_found": 404,
    "model_not_found": 404,
    "version_not_found": 404,
    "deployment_not_found": 404,
    "environment_not_found": 404,
    "secret_not_found": 404,
    "schedule_not_found": 404,
    "rollout_not_found": 404,
    "webhook_not_found": 404,
    "delivery_not_found": 404,
    "dataset_not_found": 404,
    "node_not_found": 404,
    "method_not_allowed": 405,
    "body_late": 408,
    "key_not_found": 404,
    "conflict": 409,
    "attempt_over": 409,
    "model_taken": 409,
    "nodes_not_accepted": 409,
    "job_not_finished": 409,
    "sweep_not_finished": 409,
    "submission_id_taken": 409,
    "environment_in_use": 409,
    "stale_job": 409,
    "stale_sweep": 409,
    "schedule_exists": 409,
    "stale_monitor": 409,
    "stale_schedule": 409,
    "rollout_exists": 409,
    "stale_rollout": 409,
    "webhook_exists": 409,
    "dataset_in_use": 409,
    "upload_conflict": 409,
    "stale_webhook": 409,
    "traffic_changed": 412,
    "log_removed": 410,
    "too_large": 413,
    "unsupported_media_type": 415,
    "range_not_satisfiable": 416,
    "invalid_request": 422,
    "idempotency_mismatch": 422,
    "environment_error": 422,
    "queue_full": 429,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "platform_error": 500,
    "internal_error": 500,
    "no_model_logged": 500,
    "mlflow_refused": 502,
    "submission_error": 502,
    "replica_failed": 502,
    "unavailable": 503,
    "deployment_not_ready": 503,
    "deployment_unhealthy": 503,
    "deployment_stopped": 503,
    "engine_unavailable": 503,
    "secret_unreadable": 503,
    "stale_lease": 503,
}
"""All error codes of the platform. docs/reference/errors.md has advice for each."""


class MalformedBody(PlatformError):
    """The body contradicts its Content-Type."""

    code = "malformed_body"


class UnsupportedMediaType(PlatformError):
    code = "unsupported_media_type"


class RangeNotSatisfiable(PlatformError):
    code = "range_not_satisfiable"


class CrossOriginRefused(PlatformError):
    """A browser sent the request for a page of another site."""

    code = "cross_origin_refused"


class HostRefused(PlatformError):
    """The request names a host that the platform does not answer for."""

    code = HOST_REFUSED


class QueueFull(PlatformError):
    """Carries ``retry_after_seconds``."""

    code = "queue_full"


class ReplicaFailed(PlatformError):
    """Replicas repeatedly broke off while they worked on the request."""

    code = "replica_failed"


class MethodNotAllowed(PlatformError):
    code = "method_not_allowed"


class InternalError(PlatformError):
    code = "internal_error"


KSERVE_V1: Final = "/v1/"
_RAY_STATUS: Final[Mapping[int, int]] = {409: 500, 415: 400, 422: 400}
"""Statuses of Ray's Jobs API that are coarser than ours."""
_PROTOCOLS: Final = (KSERVE_V1, "/v2/")
"""Prefixes of the standard inference protocols: KServe V1 and Open Inference Protocol."""
_OWN_PREDICT: Final = "/predict"
"""Route of the platform's own protocol below a version, with problem documents."""


def error_response(path: str, error: PlatformError, headers: Mapping[str, str] | None = None) -> Response:
    """``error`` in the form of the endpoints that ``path`` belongs to."""
    status = HTTP_STATUS.get(error.code, 500)
    sent = dict(headers or {})
    retry_after = error.facts.get("retry_after_seconds")
    if retry_after is not None:
        sent["Retry-After"] = f"{retry_after:g}"
    if status == 401:
        sent["WWW-Authenticate"] = CHALLENGE
    if path.startswith(RAY_API):
        return Response(error.detail, _RAY_STATUS.get(status, status), sent, "text/plain")
    if path == "/v2" or (path.startswith(_PROTOCOLS) and not path.endswith(_OWN_PREDICT)):
        # These protocols know only 400 for a wrong request.
        return Response(orjson.dumps({"error": error.detail}), 400 if status == 422 else status, sent, "application/json")
    return Response(orjson.dumps(problem_of(error, status, path), default=str), status, sent, PROBLEM_JSON)


def install_error_handlers(app: FastAPI) -> None:
    """Answer all errors with a body of the endpoint's family, without a stack trace."""
    app.add_exception_handler(PlatformError, on_platform_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_defect)


def on_platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)  # noqa: S101 - registered for this class
    note_error(request.scope, error.code)
    if HTTP_STATUS.get(error.code, 500) >= 500:
        method = request.scope.get("method", "WEBSOCKET")
        _LOG.warning("%s %s: %s: %s", method, request.url.path, error.code, error.detail)
    return error_response(request.url.path, error)


def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    note_error(request.scope, InvalidRequest.code)
    errors = [FieldError(str(item["loc"][-1]), item["msg"]) for item in error.errors()]
    return error_response(request.url.path, InvalidRequest(f"{errors[0].field}: {errors[0].detail}", errors))


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    path = request.url.path
    answer: PlatformError
    match error.status_code:
        case 404:
            answer = NotFound(f"There is nothing at {path}; /docs lists what there is.")
        case 405:
            answer = MethodNotAllowed(f"{path} does not take {request.method}.")
        case status if status < 500:
            answer = MalformedBody(error.detail)
        case _:
            answer = InternalError(error.detail)
    return error_response(path, answer, error.headers)


def _on_defect(request: Request, error: Exception) -> Response:
    # The server logs the traceback. The caller gets the request id.
    note_error(request.scope, InternalError.code)
    request_id = str(request.scope.get(REQUEST_ID, ""))
    _LOG.error("Request %s, %s %s: %r", request_id, request.method, request.url.path, error)
    return error_response(request.url.path, InternalError("Something broke in the platform.", request_id=request_id))
