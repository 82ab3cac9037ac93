"""Answers of the platform's own endpoints, and their OpenAPI descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson
from fastapi import Response
from pydantic import BaseModel

from raylift.api.headers import SCALE_UP_TIMEOUT
from raylift.ingress.problems import PROBLEM_JSON

_DESCRIPTIONS: Final = {
    400: "The body contradicts its Content-Type.",
    401: "The request has no valid key, or the sign-in failed.",
    403: "The person or the key may not do this.",
    404: "The resource does not exist.",
    409: "The state of the resource does not allow this.",
    412: "The resource has changed since the revision in If-Match.",
    410: "The resource has been removed after its retention time.",
    413: "The body or the script exceeds its limit.",
    415: "The media type of the body is not supported.",
    416: "The range of bytes does not exist.",
    422: "The request is wrong; `errors` names each field.",
    429: "Too many requests, or jobs of the owner, are waiting.",
    500: "The state does not allow this (as Ray reports it), or the platform has a defect.",
    502: "A replica broke off.",
    503: "A part of the platform, or the version, is unavailable.",
}


def header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """OpenAPI description of an optional header; a string unless ``schema`` says otherwise."""
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"} | schema}


SCALE_UP: Final = header(
    SCALE_UP_TIMEOUT,
    "Seconds to wait for a version that has no ready replica yet; 60 if absent, at most 600.",
    type="number",
    minimum=0,
)
"""OpenAPI description of the header."""


def plain_json(content: Any, status: int = 200) -> Response:
    """Answer with JSON of a protocol that is not the platform's own."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def json_response(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``view`` as JSON, without a second validation by FastAPI."""
    return Response(view.model_dump_json(by_alias=True), status, headers, "application/json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of error answers."""
    return _errors(statuses, PROBLEM_JSON, {"$ref": "#/components/schemas/Problem"})


def plain_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of error answers in plain text, as in Ray's Jobs API."""
    return _errors(statuses, "text/plain", {"type": "string"})


def _errors(statuses: Iterable[int], media_type: str, schema: dict[str, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": _DESCRIPTIONS[status], "content": {media_type: {"schema": schema}}} for status in statuses}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI description of a body that FastAPI does not parse; ``openapi.document`` adds the schema."""
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}}
