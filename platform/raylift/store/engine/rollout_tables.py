"""Tables of promotion: rollouts, and gates after training."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.rollouts.gate import GateOutcome
from raylift.domain.rollouts.rollout import RolloutEntry, RolloutPlan, RolloutStatus, Watch
from raylift.domain.traffic import TrafficTable
from raylift.store.engine.columns import JsonOf, Key
from raylift.store.engine.tables import Base

_IS_ACTIVE = text("finished_at IS NULL")
_IS_PENDING = text("outcome = 'pending'")


class RolloutRow(Base):
    """A rollout. A model has at most one that has not ended: a unique index over these says so."""

    __tablename__ = "rollouts"

    rollout_id: Mapped[str] = mapped_column(Key, primary_key=True)
    model_name: Mapped[str] = mapped_column(Key)
    workspace: Mapped[str] = mapped_column(Key)
    champion: Mapped[str] = mapped_column(Key)
    candidate: Mapped[str] = mapped_column(Key)
    plan: Mapped[RolloutPlan] = mapped_column(JsonOf(RolloutPlan))
    status: Mapped[RolloutStatus]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    restore: Mapped[TrafficTable | None]
    had_table: Mapped[bool]
    traffic_revision: Mapped[int]
    alias_before: Mapped[str | None] = mapped_column(Key)
    step: Mapped[int | None]
    step_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    approved_by: Mapped[str | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)
    message: Mapped[str]
    watch: Mapped[Watch] = mapped_column(JsonOf(Watch))
    history: Mapped[tuple[RolloutEntry, ...]] = mapped_column(JsonOf(tuple[RolloutEntry, ...]))
    job_id: Mapped[str | None] = mapped_column(Key)
    revision: Mapped[int]

    __table_args__ = (
        Index(None, "workspace", "rollout_id"),
        Index(None, "model_name", "rollout_id"),
        Index("ix_rollouts_active", "model_name", unique=True, sqlite_where=_IS_ACTIVE, postgresql_where=_IS_ACTIVE),
    )


class JobGateRow(Base):
    """The gate of a job, written with the job."""

    __tablename__ = "job_gates"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    outcome: Mapped[GateOutcome]
    message: Mapped[str]
    champion: Mapped[str | None] = mapped_column(Key)
    version: Mapped[str | None] = mapped_column(Key)
    values: Mapped[Mapping[str, float]]
    rollout_id: Mapped[str | None] = mapped_column(Key)
    decided_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_job_gates_pending", "job_id", sqlite_where=_IS_PENDING, postgresql_where=_IS_PENDING),)
