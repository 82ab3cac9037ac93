"""RFC 9457 problem details: the error body of ``/mlops/*``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


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
    code: Annotated[str, Field(description="Stable; see docs/reference/errors.md.")]
    instance: str | None = None
    errors: list[ProblemField] | None = None
