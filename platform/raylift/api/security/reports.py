"""Wire models of reports of scanners."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class FindingView(BaseModel):
    severity: Annotated[str, Field(description="`low`, `medium` or `high`.")]
    what: str
    where: str | None


class ReportView(BaseModel):
    subject: Annotated[str, Field(description="`script`, `packages` or `model`.")]
    tool: str
    state: Annotated[str, Field(description="`clean`, `findings`, or `not_run`: `detail` says why.")]
    findings: Annotated[list[FindingView], Field(description="The worst first, at most 200.")]
    detail: str | None


class ReportList(BaseModel):
    reports: list[ReportView]
