"""Table of the reservation: what admission has decided beyond the states of jobs."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base


class ReservationRow(Base):
    """The reservation of the last decision: one row or none. No foreign key: a row may outlive its job by a decision."""

    __tablename__ = "reservations"

    job_id: Mapped[str] = mapped_column(Key, primary_key=True)
    node_id: Mapped[str]
