"""Answers of the platform's own endpoints, and how they are described."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import Response
from pydantic import BaseModel

from raylift.api.headers import SCALE_UP_TIMEOUT
from raylift.api.problems import PROBLEM_JSON

_WHEN: Final = {
    400: "The body is not what its Content-Type says.",
    404: "There is no such thing.",
    409: "Not in its present state.",
    412: "It is not what If-Match says any more.",
    410: "It was there, and is not kept any longer.",
    413: "The body or the script is over its limit.",
    415: "The body is of another media type.",
    416: "There is no such range of bytes.",
    422: "Something in the request is wrong; `errors` names each field.",
    429: "Too many requests, or jobs of the owner, wait already.",
    500: "Not in its present state, in the way Ray says it; or something broke.",
    502: "A replica broke off.",
    503: "A part of the platform, or the version, does not answer now.",
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
    """``view`` as JSON, without FastAPI validating and encoding it once more."""
    return Response(view.model_dump_json(by_alias=True), status, headers, "application/json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of error answers."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": _WHEN[status], "content": {PROBLEM_JSON: {"schema": schema}}} for status in statuses}


def plain_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of error answers in plain text, as those of Ray's Jobs API are."""
    schema = {"type": "string"}
    return {status: {"description": _WHEN[status], "content": {"text/plain": {"schema": schema}}} for status in statuses}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI description of a body that is read by hand; ``openapi.document`` adds the schema."""
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}}
