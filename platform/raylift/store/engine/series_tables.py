"""Tables of the time series of versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base


class IntervalRow(Base):
    """A minute or ten of a version in which something happened. No foreign key: it outlives the deployment."""

    __tablename__ = "version_intervals"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    step_seconds: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    start_at: Mapped[datetime] = mapped_column(primary_key=True)
    counts: Mapped[Mapping[str, float]]
    queued: Mapped[float]
    replicas: Mapped[int]
    warm: Mapped[int]

    __table_args__ = (Index(None, "step_seconds", "start_at"),)


class SeriesBaselineRow(Base):
    """A version's counters as the last interval left them."""

    __tablename__ = "series_baselines"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    counts: Mapped[Mapping[str, float]]
    replicas: Mapped[int]
    warm: Mapped[int]


class SeriesClockRow(Base):
    """The end of all series, in one row."""

    __tablename__ = "series_clock"

    name: Mapped[str] = mapped_column(Key, primary_key=True)
    recorded_until: Mapped[datetime]
