"""Parses request bodies. One answer reports all errors in the platform's form, unlike FastAPI's own parsing."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from raylift.domain.errors import FieldError, InvalidRequest, TooLarge
from raylift.domain.quantities import format_bytes
from serve_apps.gateway.http.errors import MalformedBody, UnsupportedMediaType

M = TypeVar("M", bound=BaseModel)

JSON: Final = "application/json"

# Pydantic reports each member of a union. For the caller they are one field.
_UNION_MEMBERS: Final = {"int", "str", "float"}
_UNION_FIELDS: Final = {"memory"}


def media_type(request: Request) -> str:
    """The Content-Type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The whole body. Raises TooLarge as soon as more than ``max_bytes`` have come."""
    chunks = [chunk async for chunk in bounded_stream(request, max_bytes)]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def bounded_stream(request: Request, max_bytes: int) -> AsyncGenerator[bytes]:
    """The chunks of the body. Raises TooLarge as soon as more than ``max_bytes`` have come."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise body_too_large(max_bytes)
        yield chunk


def body_too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {format_bytes(limit)}, the most that is taken.", limit_bytes=limit)


def require_json(request: Request) -> None:
    """Raise UnsupportedMediaType if the Content-Type is not JSON."""
    kind = media_type(request)
    if kind != JSON and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"Send {JSON}, not {kind or 'a body without Content-Type'}.")


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``.

    Raises:
        MalformedBody: The body is not JSON.
        InvalidRequest: The JSON is not an object.
    """
    try:
        fields: Any = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedBody(f"The body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.", [FieldError("body", "is not an object")])
    return fields


def parse_model(model: type[M], raw: bytes) -> M:
    """``raw`` as a ``model``, strictly: "1" is not a number."""
    parse_object(raw)
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        errors = field_errors(model, error)
        raise InvalidRequest(f"{errors[0].field}: {errors[0].detail}", errors) from error


async def read_model(request: Request, model: type[M], *, max_bytes: int, optional: bool = False) -> M:
    """Read the body as a ``model``. An ``optional`` body may be missing: then all fields have their defaults.

    Raises:
        UnsupportedMediaType, MalformedBody, InvalidRequest, TooLarge.
    """
    raw = await read_body(request, max_bytes=max_bytes)
    if optional and not raw:
        return parse_model(model, b"{}")
    require_json(request)
    return parse_model(model, raw)


def field_errors(model: type[BaseModel], error: ValidationError) -> list[FieldError]:
    """Pydantic's errors, at most one for each field, without values: some are secret."""
    found: dict[str, FieldError] = {}
    for item in error.errors(include_url=False, include_input=False):
        name = _field_name(item["loc"])
        found.setdefault(name, FieldError(name, _detail(model, item)))
    return list(found.values())


def _field_name(location: Sequence[int | str]) -> str:
    parts = list(location)
    if len(parts) > 1 and parts[-1] in _UNION_MEMBERS and parts[-2] in _UNION_FIELDS:
        parts.pop()
    name = ""
    for part in parts:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name or "body"


def _detail(model: type[BaseModel], item: ErrorDetails) -> str:
    match item["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(str(item["loc"][-1]), list(model.model_fields), n=1)
            return "is not a field of this request" + (f"; did you mean {close[0]}?" if close else "")
        case "missing":
            return "is required"
        case "value_error":
            context: Mapping[str, Any] = item.get("ctx", {})
            return str(context.get("error", item["msg"]))
        case _:
            return item["msg"][:1].lower() + item["msg"][1:]
