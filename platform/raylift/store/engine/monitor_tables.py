"""Tables of the watch over versions: monitors, their windows and their alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.monitoring.monitor import Check, Figures, MonitorSettings, MonitorState
from raylift.domain.monitoring.quality_window import Score, ScoreState
from raylift.domain.monitoring.reference import Reference
from raylift.store.engine.columns import JsonOf, Key
from raylift.store.engine.tables import Base


class MonitorRow(Base):
    """A monitor. No foreign key: as a version's series, it outlives the deployment."""

    __tablename__ = "version_monitors"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    settings: Mapped[MonitorSettings] = mapped_column(JsonOf(MonitorSettings), nullable=False)
    reference: Mapped[Reference | None] = mapped_column(JsonOf(Reference))
    is_read: Mapped[bool]
    state: Mapped[MonitorState] = mapped_column(JsonOf(MonitorState), nullable=False)
    since: Mapped[datetime]
    updated_at: Mapped[datetime]
    revision: Mapped[int]
    scored_until: Mapped[datetime | None]
    scores: Mapped[ScoreState | None] = mapped_column(JsonOf(ScoreState))


class WindowRow(Base):
    """A closed window of a monitor."""

    __tablename__ = "monitor_windows"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    start_at: Mapped[datetime] = mapped_column(primary_key=True)
    end_at: Mapped[datetime] = mapped_column(index=True)
    rows_seen: Mapped[int] = mapped_column(BigInteger)
    rows_sketched: Mapped[int] = mapped_column(BigInteger)
    is_compared: Mapped[bool]
    figures: Mapped[Sequence[Figures]] = mapped_column(JsonOf(list[Figures]), nullable=False)


class QualityWindowRow(Base):
    """A closed window of a version's volume and quality."""

    __tablename__ = "monitor_quality"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    start_at: Mapped[datetime] = mapped_column(primary_key=True)
    end_at: Mapped[datetime] = mapped_column(index=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    expected_rows: Mapped[float | None]
    feedback: Mapped[int]
    joined: Mapped[int]
    feedback_since: Mapped[datetime]
    scores: Mapped[Sequence[Score]] = mapped_column(JsonOf(list[Score]), nullable=False)
    baseline: Mapped[str | None]


class AlertRow(Base):
    """An alert, open or ended."""

    __tablename__ = "monitor_alerts"

    alert_id: Mapped[str] = mapped_column(Key, primary_key=True)
    model_name: Mapped[str] = mapped_column(Key)
    version: Mapped[str] = mapped_column(Key)
    check: Mapped[Check]
    feature: Mapped[str]
    segment: Mapped[str | None]
    value: Mapped[float]
    limit: Mapped[float]
    window_at: Mapped[datetime]
    raised_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "model_name", "version", "raised_at", "alert_id"),)
