"""RFC 9457 problem details: the error body of ``/mlops/*``."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

PROBLEM_JSON: Final = "application/problem+json"


class ProblemField(BaseModel):
    field: str
    detail: str
    line: int | None = None
    column: int | None = None


class Problem(BaseModel):
    """Body of type ``application/problem+json``. Facts of the error (e.g. ``versions``) are further members."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(description="`urn:raylift:error:` and the code.")]
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(description="Stable; see docs/errors.md.")]
    instance: str | None = None
    errors: list[ProblemField] | None = None


def problem(code: str, status: int, detail: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem document. ``members`` are its other fields, such as the facts of the error."""
    title = HTTPStatus(status).phrase
    own = {"type": f"urn:raylift:error:{code}", "title": title, "status": status, "detail": detail, "code": code}
    return {**own, **members, **own}
