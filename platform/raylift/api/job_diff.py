"""Wire schema of ``GET /mlops/training/jobs/{job_id}/diff/{other_id}``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Change = Literal["added", "removed", "changed"]


class ValueDifference(BaseModel):
    """Something that is not the same in both. null: the job does not have it; NaN and infinities are text."""

    name: str
    first: Any
    second: Any


class NameDifference(BaseModel):
    """A file or a variable, by name only."""

    name: str
    change: Change


class ListDifference(BaseModel):
    """What only one of two lists has."""

    removed: Annotated[list[str], Field(description="Only the first job has them.")]
    added: Annotated[list[str], Field(description="Only the second job has them.")]


class JobDiff(BaseModel):
    """What the second job does differently from the first; what is the same is left out."""

    first: str
    second: str
    same: Annotated[bool, Field(description="Whether both ask for the same: all but the metrics, which are what came of it.")]
    script: Annotated[str | None, Field(description="Unified diff; null for the same script.")]
    project: Annotated[list[NameDifference], Field(description="Files of the project.")]
    requirements: ListDifference
    environment_lock: Annotated[ListDifference, Field(description="Pinned packages beyond the base environment.")]
    args: Annotated[ValueDifference | None, Field(description="null for the same arguments.")]
    params: Annotated[list[ValueDifference], Field(description="Parameters, which are no secrets.")] = []
    environment: Annotated[list[NameDifference], Field(description="Variables; their values are never shown.")]
    resources: list[ValueDifference]
    settings: list[ValueDifference]
    metrics: list[ValueDifference]
