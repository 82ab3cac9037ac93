"""Schemas of ``/mlops/overview``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class PartView(BaseModel):
    """State of a part of the platform: store, ray, mlflow or supervisor."""

    ok: bool
    detail: Annotated[str | None, Field(description="Why it is not.")] = None


class UploadLimits(BaseModel):
    """Limits of an upload, from the settings."""

    max_script_bytes: int
    min_timeout_seconds: int
    max_timeout_seconds: int


class Overview(BaseModel):
    """States of the platform's parts, and counts of what the caller sees."""

    version: Annotated[str, Field(description="Version of Raylift.")]
    parts: Annotated[dict[str, PartView], Field(description="By name; each is checked for two seconds at most.")]
    jobs: Annotated[dict[str, int], Field(description="Number of jobs by status, zeros included.")]
    deployments: Annotated[dict[str, int], Field(description="Number of deployments by status, zeros included.")]
    failures: Annotated[dict[str, int], Field(description="Number of failed jobs by reason.")]
    limits: UploadLimits
    mlflow_pages: Annotated[str, Field(description="Address of MLflow's pages; a path where the platform itself has them.")] = (
        ""
    )
