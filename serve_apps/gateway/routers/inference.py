"""``POST /mlops/inference``: chooses the version, and forwards the body unchanged.

A JSON body names its target in fields, a CSV body in the query.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.inference import InferenceRequest, InferenceResponse
from raylift.api.paths import INFERENCE
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.container import Services
from raylift.services.traffic.routing import StickyKey, Wanted
from serve_apps.gateway.access.permissions import Action, Permission, needs, require_model
from serve_apps.gateway.http.bodies import media_type, read_body
from serve_apps.gateway.http.errors import REQUEST_ID, MalformedBody, UnsupportedMediaType
from serve_apps.gateway.http.responses import SCALE_UP, json_body, problems
from serve_apps.gateway.predictions.dispatcher import Dispatcher, ForwardRequest, hold_seconds
from serve_apps.gateway.predictions.forwarder import onward_headers
from serve_apps.gateway.predictions.inference_fast_route import Endpoint
from serve_apps.gateway.predictions.sticky_key import sticky_key_of
from serve_apps.model_server.repeated_keys import repeated_key

_PARSED_IN_LOOP: Final = 256 * 1024
"""Bytes of a body that is parsed in the event loop, in one or two milliseconds. More would block other requests."""

_CHOOSING: Final = ("model_name", "model_version", "alias")
_CSV: Final = "text/csv"


_BODY: Final = json_body(InferenceRequest)
_BODY["content"][_CSV] = {"schema": {"type": "string"}, "example": "age,city\n34,Oslo\n51,Rome\n"}
_QUERY: Final[list[dict[str, Any]]] = [
    {"name": name, "in": "query", "required": False, "description": f"Of a CSV body: {description}", "schema": schema}
    for name, description, schema in (
        ("model_name", "the model. Required there; a JSON body names it itself.", {"type": "string"}),
        ("model_version", "a version's number.", {"type": "string"}),
        ("alias", "an MLflow alias.", {"type": "string"}),
        ("return_probabilities", "adds probabilities and classes.", {"type": "boolean", "default": False}),
    )
]


def inference_endpoint(services: Services, dispatcher: Dispatcher) -> Endpoint:
    max_bytes = services.settings.gateway.max_body_bytes
    default_hold = services.settings.serving.scale_up_timeout_seconds

    permission = Permission(services, Action.PREDICT, None, None)

    async def infer(request: Request) -> Response:
        """Predict with a version, an alias, or by the model's traffic table; without a table, with the newest ready version."""
        # Requests come by the fast route, which knows no dependencies.
        await permission.decide(request, {})
        body = await read_body(request, max_bytes=max_bytes)
        encoding = request.headers.get("content-encoding", "")
        if encoding.lower() not in ("", "identity"):
            # The same error as from a replica, to which HAProxy may route directly.
            raise UnsupportedMediaType(f"Send the body as it is, not {encoding}-encoded.")
        headers = onward_headers(request.headers.items(), request.scope[REQUEST_ID])
        if media_type(request) == _CSV:
            fields = _fields_of_query(request)
            headers["content-type"] = _CSV
        else:
            fields = _fields(body) if len(body) <= _PARSED_IN_LOOP else await run_in_threadpool(_fields, body)
            # Other content types are read as JSON, too.
            headers["content-type"] = "application/json"
        wanted = _wanted(fields, sticky_key_of(request, body, fields))
        await require_model(services, request, wanted.model_name)
        forward_request = ForwardRequest(
            wanted=wanted,
            method="POST",
            beneath=f"/predict?{request.url.query}" if headers["content-type"] == _CSV else "/predict",
            headers=headers,
            body=body,
            hold_seconds=hold_seconds(request, default_hold),
            repeatable=True,
        )
        return await dispatcher.answer(forward_request)

    return infer


def inference_router(services: Services, infer: Endpoint) -> APIRouter:
    """Document the route in FastAPI. Requests take the fast route before it."""
    router = APIRouter(tags=["inference"])
    router.add_api_route(
        INFERENCE,
        infer,
        methods=["POST"],
        dependencies=[needs(services, Action.PREDICT)],
        response_model=None,
        responses={200: {"model": InferenceResponse}, **problems(400, 404, 413, 422, 429, 502, 503)},
        openapi_extra={"requestBody": _BODY, "parameters": [SCALE_UP, *_QUERY]},
    )
    return router


def _fields(body: bytes) -> Any:
    fields = _parse(body)
    twice = repeated_key(body, _CHOOSING)
    if twice is not None:
        raise InvalidRequest.of(FieldError(twice, "is given twice"))
    return fields


def _fields_of_query(request: Request) -> dict[str, Any]:
    """Return the fields that choose the version for a CSV body. The replica checks the others."""
    query = request.query_params
    twice = next((name for name in _CHOOSING if len(query.getlist(name)) > 1), None)
    if twice is not None:
        raise InvalidRequest.of(FieldError(twice, "is given twice in the query"))
    if not query.get("model_name"):
        detail = "is required in the query of a CSV's address: /mlops/inference?model_name=…"
        raise InvalidRequest.of(FieldError("model_name", detail))
    return {name: query[name] for name in _CHOOSING if name in query}


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body or b"Infinity" in body:
            return _parse_leniently(body)
        raise MalformedBody(f"The body is not JSON: {error}") from error


def _parse_leniently(body: bytes) -> Any:
    # As replicas do: NaN and Infinity are not JSON, but Python's json module writes them.
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"The body is not JSON: {error}") from error


def _wanted(fields: Any, sticky_key: StickyKey) -> Wanted:
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.", [FieldError("body", "is not an object")])
    name, version, alias = fields.get("model_name"), fields.get("model_version"), fields.get("alias")
    errors: list[FieldError] = []
    if not isinstance(name, str) or not name:
        errors.append(FieldError("model_name", "is required, as a string"))
    if not _is_version(version):
        errors.append(FieldError("model_version", "must be a version's number, as a string or an integer"))
    if not (alias is None or (isinstance(alias, str) and alias)):
        errors.append(FieldError("alias", "must be the name of an alias"))
    if version is not None and alias is not None:
        errors.append(FieldError("alias", "and model_version cannot both be given"))
    if errors:
        raise InvalidRequest.of(*errors)
    return Wanted(str(name), None if version is None else str(version), alias, sticky_key)


def _is_version(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value != "")
