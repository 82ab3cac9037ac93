"""Schema of ``GET /mlops/training/jobs/{job_id}/diff/{other_id}``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

Change = Literal["added", "removed", "changed"]


class ValueDifference(BaseModel):
    """A different value. null: the job does not have it. NaN and infinities are text."""

    name: str
    first: Any
    second: Any


class NameDifference(BaseModel):
    """A different file or variable, without its content."""

    name: str
    change: Change


class ListDifference(BaseModel):
    """Items of only one of two lists."""

    removed: Annotated[list[str], Field(description="Items of the first job only.")]
    added: Annotated[list[str], Field(description="Items of the second job only.")]


class JobDiff(BaseModel):
    """Differences of the second job from the first. Equal parts are left out."""

    first: str
    second: str
    same: Annotated[bool, Field(description="True where the requests are equal. Metrics, as results, do not count.")]
    script: Annotated[str | None, Field(description="Unified diff; null for the same script.")]
    project: Annotated[list[NameDifference], Field(description="Files of the project.")]
    data: Annotated[list[ValueDifference], Field(description="Datasets by alias, as name@version.")] = []
    requirements: ListDifference
    environment_lock: Annotated[ListDifference, Field(description="Pinned packages beyond the base environment.")]
    args: Annotated[ValueDifference | None, Field(description="null for the same arguments.")]
    params: Annotated[list[ValueDifference], Field(description="Parameters; they contain no secrets.")] = []
    environment: Annotated[list[NameDifference], Field(description="Variables; their values are never shown.")]
    resources: list[ValueDifference]
    settings: list[ValueDifference]
    metrics: list[ValueDifference]
