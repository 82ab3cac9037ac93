"""Tables of schedules and of their moments."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.job import JobSpec
from raylift.domain.schedules.schedule import RunOutcome, TemplateKind, Timetable
from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base


class ScheduleRow(Base):
    """A schedule. It keeps its script and project, also when all of its jobs have been deleted."""

    __tablename__ = "schedules"

    schedule_id: Mapped[str] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Key)
    workspace: Mapped[str] = mapped_column(Key)
    owner: Mapped[str] = mapped_column(Key)
    kind: Mapped[TemplateKind]
    timetable: Mapped[Timetable]
    template: Mapped[JobSpec]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    considered_until: Mapped[datetime]
    wakes_at: Mapped[datetime | None] = mapped_column(index=True)
    waiting_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    revision: Mapped[int]

    script_sha256: Mapped[str] = mapped_column(Key, ForeignKey("scripts.sha256"), index=True)
    project_sha256: Mapped[str | None] = mapped_column(Key, ForeignKey("projects.sha256"), index=True)

    __table_args__ = (Index(None, "workspace", "name", unique=True),)


class ScheduleRunRow(Base):
    """A moment of a schedule: its primary key lets no moment make two jobs."""

    __tablename__ = "schedule_runs"

    schedule_id: Mapped[str] = mapped_column(Key, ForeignKey("schedules.schedule_id", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    recorded_at: Mapped[datetime]
    outcome: Mapped[RunOutcome]
    manual: Mapped[bool]
    message: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(Key, index=True)
    """No foreign key: the history outlives the job's row."""
