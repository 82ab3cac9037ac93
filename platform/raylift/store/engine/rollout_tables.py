"""Table of rollouts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.rollouts.rollout import RolloutEntry, RolloutPlan, RolloutStatus, Watch
from raylift.domain.traffic import TrafficTable
from raylift.store.engine.columns import JsonOf, Key
from raylift.store.engine.tables import Base

_IS_ACTIVE = text("finished_at IS NULL")


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
