"""Schemas of ``/mlops/training/jobs/{job_id}/attempts``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from raylift.api.training import UsageView


class AttemptView(BaseModel):
    """One submission of a job to Ray."""

    number: Annotated[int, Field(description="From 1.")]
    ray_submission_id: str
    created_at: datetime
    started_at: Annotated[datetime | None, Field(description="Start of the script.")]
    finished_at: datetime | None
    exit_code: int | None
    reason: Annotated[str | None, Field(description="Reason of its failure.")]
    message: str | None
    usage: UsageView | None


class AttemptList(BaseModel):
    job_id: str
    attempts: Annotated[list[AttemptView], Field(description="Oldest first.")]
