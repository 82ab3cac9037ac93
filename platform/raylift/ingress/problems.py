"""RFC 9457 problem documents: error bodies of the gateway, of replicas and of HAProxy. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final

from raylift.domain.errors import InvalidRequest, PlatformError

PROBLEM_JSON: Final = "application/problem+json"


def problem_document(code: str, status: int, detail: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """The standard members and further ``members``, which cannot replace them."""
    standard = {
        "type": f"urn:raylift:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return {**standard, **members, **standard}


def problem_of(error: PlatformError, status: int, path: str) -> dict[str, Any]:
    """The document of an error at ``path``. Its facts are further members; ``errors`` lists the wrong fields of a request."""
    members: dict[str, Any] = {**error.facts, "instance": path}
    fields = members.pop("errors", ())
    if isinstance(error, InvalidRequest):
        members["errors"] = [{name: value for name, value in asdict(field).items() if value is not None} for field in fields]
    return problem_document(error.code, status, error.detail, members)
