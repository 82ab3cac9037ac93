"""Table of gates after training."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.rollouts.gate import GateOutcome
from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base

_IS_PENDING = text("outcome = 'pending'")


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
