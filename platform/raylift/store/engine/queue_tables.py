"""Tables of the queue beyond the states of jobs: the reservation of admission, and the order of jobs."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base


class ReservationRow(Base):
    """The reservation of the last decision: one row or none. No foreign key: a row may outlive its job by a decision."""

    __tablename__ = "reservations"

    job_id: Mapped[str] = mapped_column(Key, primary_key=True)
    node_id: Mapped[str]


class JobAfterRow(Base):
    """A job and one that has to complete before it. No foreign key to that: the pair outlives its row, for the graph."""

    __tablename__ = "job_after"

    job_id: Mapped[str] = mapped_column(Key, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True)
    after: Mapped[str] = mapped_column(Key, primary_key=True)
    is_waiting: Mapped[bool]
    """False once the job may start, or has ended."""

    __table_args__ = (
        Index(None, "after", "job_id"),
        Index(None, "is_waiting", "job_id"),
    )
