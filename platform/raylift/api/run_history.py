"""Schemas of a job's parameters and metric curves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from raylift.api.figures import Figure


class MetricValue(BaseModel):
    step: int
    at: datetime
    value: Figure


class MetricCurve(BaseModel):
    name: str
    points: Annotated[list[MetricValue], Field(description="In order of their steps; sampled where there are too many.")]


class JobMetrics(BaseModel):
    """Content of the job's run in MLflow, also while it runs."""

    job_id: str
    mlflow_run_id: Annotated[str | None, Field(description="null: there is no run yet.")]
    params: dict[str, str]
    metrics: list[MetricCurve]
    left_out: Annotated[list[str], Field(description="Metrics beyond the first 24: ask for them by name.")]
