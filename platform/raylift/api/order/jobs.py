"""Schemas of the order of jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

After = Annotated[
    list[str],
    Field(
        max_length=50,
        description="Ids of jobs that have to complete before it starts. If one fails, it ends without a start.",
        examples=[["job_01J9ZK3V5T8W2Q4X6Y7A0B1C2D"]],
    ),
]
OrderedStatus = Literal["queued", "running", "completed", "failed", "cancelled", "deleted"]


class OrderedJob(BaseModel):
    """A job before or after another one."""

    job_id: str
    status: OrderedStatus
    links: dict[str, str]


class DatasetReferenceView(BaseModel):
    """A version of a dataset that a job has made."""

    name: str
    version: int
    links: dict[str, str]


class GraphJob(OrderedJob):
    """A job of a graph."""

    kind: Annotated[Literal["train", "batch"] | None, Field(description="null: it was deleted.")]
    script_name: str | None
    model_name: str | None
    model_version: Annotated[str | None, Field(description="The version that it has registered, or predicts with.")]
    output: Annotated[DatasetReferenceView | None, Field(description="The version of a dataset that it has made.")]
    message: str | None


class GraphEdge(BaseModel):
    """Two jobs of which the second comes after the first."""

    before: str
    after: str


class JobGraph(BaseModel):
    """Jobs before and after one, in any number of steps."""

    job_id: str
    jobs: Annotated[list[GraphJob], Field(description="In an order in which they can run, itself included.")]
    edges: list[GraphEdge]
    is_cut: Annotated[bool, Field(description="There are more jobs than are shown.")]
