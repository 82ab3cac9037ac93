"""Schemas of ``/mlops/rollouts``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from raylift.api.figures import Figure

RolloutStatusName = Literal[
    "running", "paused", "awaiting_approval", "completing", "completed", "rolled_back", "superseded"
]  # fmt: skip


class StepBody(BaseModel):
    """One step: exactly one of ``shadow``, ``weight`` and ``approval``."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    shadow: Annotated[bool, Field(description="The candidate gets copies of requests; its answers are discarded.")] = False
    weight: Annotated[float | None, Field(description="Share of the requests that the candidate answers, in percent.")] = None
    approval: Annotated[bool, Field(description="The traffic stays until somebody approves or rejects.")] = False
    pause_seconds: Annotated[float, Field(description="The step lasts at least so long.")] = 0.0
    min_requests: Annotated[int, Field(description="The step lasts until the candidate has ended so many requests.")] = 0

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.weight is not None) + self.shadow + self.approval != 1:
            raise ValueError("a step has exactly one of shadow, weight and approval")
        return self


class GuardsBody(BaseModel):
    """Limits of the candidate. null: not watched."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    false_alarm: Annotated[
        float, Field(description="Probability that a candidate as good as the champion is rolled back by a sequential test.")
    ] = 0.01
    error_increase: Annotated[
        float | None, Field(description="Increase of the share of failed requests that is never a reason.")
    ] = 0.001
    p95_ratio: Annotated[float | None, Field(description="Limit of the p95 latency, in times of the champion's.")] = 2.0
    quality_drop: Annotated[float | None, Field(description="Drop of the accuracy, from feedback, that is never a reason.")] = (
        0.0
    )
    rmse_ratio: Annotated[float | None, Field(description="Limit of the RMSE, in times of the champion's.")] = 1.2


class RolloutSettings(BaseModel):
    """Steps and guards of a rollout."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    steps: Annotated[
        list[StepBody] | None, Field(description="The last one is the weight 100. null: shadow, 5, 25 and 100 percent.")
    ] = None
    guards: GuardsBody = GuardsBody()


class RolloutRequest(RolloutSettings):
    """Body of ``POST /mlops/rollouts``."""

    model_name: Annotated[str, Field(min_length=1, max_length=256)]
    version: Annotated[str | int, Field(description="The candidate: a version's number, or an alias of it.")]
    alias: Annotated[
        str | None, Field(description="Alias that moves to the candidate at the end. null: the one in the traffic table.")
    ] = None


class RolloutDecision(BaseModel):
    """Body of ``POST …/abort`` and ``POST …/reject``. Optional."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str | None, Field(max_length=1000, description="Shown in the history, the audit and the event.")] = None


class StepView(BaseModel):
    kind: Literal["shadow", "weight", "approval"]
    weight: Annotated[Figure, Field(description="In percent; 0 for shadow and approval.")]
    pause_seconds: Figure
    min_requests: int
    state: Literal["done", "active", "pending"]


class VersionFigures(BaseModel):
    """Observations of one version since the rollout began; the latency is that of the present step."""

    version: str
    requests: int
    failures: int
    p95_seconds: Figure | None
    rows_with_feedback: int
    wrong_rows: int
    rmse: Figure | None


class RolloutEntryView(BaseModel):
    at: datetime
    kind: str
    step: Annotated[int | None, Field(description="Counts from 1.")]
    message: str
    who: Annotated[str | None, Field(description="null: the platform.")]


class RolloutView(BaseModel):
    """A rollout, with what it has observed."""

    model_config = ConfigDict(protected_namespaces=())

    rollout_id: str
    model_name: str
    workspace: str
    champion: str
    candidate: str
    alias: str | None
    status: RolloutStatusName
    active: bool
    step: Annotated[int | None, Field(description="Present step, from 1; null before the first.")]
    steps: list[StepView]
    step_started_at: datetime | None
    step_requests: Annotated[int, Field(description="Requests that the candidate has ended in this step.")]
    message: Annotated[str, Field(description="State in words; the reason of its end.")]
    guards: GuardsBody
    versions: Annotated[list[VersionFigures], Field(description="Champion and candidate.")]
    error_p_value: Annotated[Figure, Field(description="Always-valid: it may be read at any time.")]
    quality_p_value: Figure
    history: list[RolloutEntryView]
    paused_at: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    finished_at: datetime | None
    job_id: Annotated[str | None, Field(description="Job whose gate began it.")]
    links: dict[str, str]


class RolloutPageView(BaseModel):
    """Newest first. ``next_cursor`` is null on the last page."""

    rollouts: list[RolloutView]
    next_cursor: str | None
