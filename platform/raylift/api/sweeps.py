"""Schemas of ``/mlops/training/sweeps`` and of an upload's ``sweep`` field."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Value = bool | int | float | str


class SweepRequest(BaseModel):
    """Turns an upload into a sweep: a job for each combination of the parameters."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)

    parameters: Annotated[
        dict[str, list[Value]],
        Field(
            description="Values by name. A job gets one of each, as text: 0.1, 3, true, adam. The last name changes fastest.",
            examples=[{"lr": [0.01, 0.1], "depth": [3, 5, 7]}],
        ),
    ]
    passed_as: Annotated[
        Literal["environment", "arguments"],
        Field(alias="as", description="environment: variables of the script. arguments: --NAME VALUE after its args."),
    ] = "environment"
    metric: Annotated[
        str | None, Field(min_length=1, max_length=250, description="Metric of the jobs' runs that decides the best job.")
    ] = None
    mode: Annotated[Literal["max", "min"], Field(description="Direction in which the metric improves.")] = "max"
    registration: Annotated[
        Literal["all", "best"],
        Field(
            alias="register", description="best: only the best job's model, after all have ended; needs metric and model_name."
        ),
    ] = "all"
    max_parallel: Annotated[
        int | None,
        Field(ge=1, description="Admitted jobs of the sweep at a time; null: only the cluster's capacity limits them."),
    ] = None


class SweepJob(BaseModel):
    """A new job of the sweep."""

    job_id: str
    parameters: dict[str, str]


class SweepAccepted(BaseModel):
    """Answer to an upload with ``sweep``: the sweep and all its jobs are committed to the store."""

    sweep_id: str
    status: str
    created_at: datetime
    message: str
    notes: Annotated[list[str], Field(description="Deviations from the upload's own values.")] = []
    jobs: list[SweepJob]
    links: dict[str, str]


class SweepRow(BaseModel):
    """A job in the sweep's table."""

    job_id: str
    parameters: dict[str, str]
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    reason: str | None
    message: str | None
    metrics: dict[str, Any]
    mlflow_run_id: str | None
    model_version: str | None
    duration_seconds: float | None


class SweepSummary(BaseModel):
    """A sweep in a list."""

    sweep_id: str
    status: Annotated[
        Literal["queued", "running", "completed", "failed", "cancelled"],
        Field(description="completed: all jobs have ended, some have completed, and the best is registered if requested."),
    ]
    message: str | None
    experiment_name: str
    model_name: str | None
    script_name: str
    parameters: dict[str, list[str]]
    metric: str | None
    mode: Literal["max", "min"]
    created_at: datetime
    finished_at: datetime | None
    counts: Annotated[dict[str, int], Field(description="Number of its jobs by status.")]
    links: dict[str, str]


class SweepView(SweepSummary):
    """``GET /mlops/training/sweeps/{sweep_id}``."""

    passed_as: Annotated[Literal["environment", "arguments"], Field(alias="as")]
    registration: Annotated[Literal["all", "best"], Field(alias="register")]
    max_parallel: int | None
    tags: dict[str, str]
    mlflow_experiment_id: str | None
    mlflow_run_id: Annotated[str | None, Field(description="The parent run, which contains those of the jobs.")]
    best: Annotated[SweepRow | None, Field(description="Best completed job so far, by the metric.")]
    jobs: Annotated[list[SweepRow], Field(description="In the order of the parameters, without deleted jobs.")]


class SweepPage(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    sweeps: list[SweepSummary]
    next_cursor: str | None
