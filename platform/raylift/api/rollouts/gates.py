"""Schemas of gates after training."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from raylift.api.figures import Figure
from raylift.api.rollouts.rollouts import RolloutSettings


class PromoteRequest(BaseModel):
    """Field ``promote`` of an upload."""

    model_config = ConfigDict(extra="forbid")

    alias: Annotated[str, Field(description="MLflow alias of the champion, which moves to a version that passes.")]
    when: Annotated[
        str | None,
        Field(description="Condition over metrics, e.g. auc >= champion.auc + 0.002 and slice.min_auc > 0.7. null: always."),
    ] = None
    first: Annotated[
        Literal["promote", "keep"],
        Field(description="What becomes of a version that is to be compared while the alias names none."),
    ] = "promote"
    rollout: Annotated[
        RolloutSettings | None, Field(description="Steps to the new version. null: the alias moves at once.")
    ] = None


class PromotionView(BaseModel):
    """A job's gate, and what became of it."""

    model_config = ConfigDict(protected_namespaces=())

    alias: str
    when: str | None
    outcome: Literal["pending", "promoted", "kept"]
    message: str
    champion: Annotated[str | None, Field(description="Version that the alias named before.")]
    values: Annotated[dict[str, Figure], Field(description="Compared metrics; champion.* are those of the champion's run.")]
    rollout_id: str | None
    decided_at: datetime | None
