"""Tables of keys, workspaces and the audit."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.access import Role
from raylift.domain.audit import Outcome
from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base


class AccessKeyRow(Base):
    """A key. Revoked ones are kept for the audit."""

    __tablename__ = "access_keys"

    key_id: Mapped[str] = mapped_column(Key, primary_key=True)
    sha256: Mapped[str] = mapped_column(Key, index=True, unique=True)
    name: Mapped[str] = mapped_column(Key)
    role: Mapped[Role]
    workspace: Mapped[str] = mapped_column(Key)
    models: Mapped[tuple[str, ...]]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    subject: Mapped[str | None] = mapped_column(Key, index=True)


class ModelWorkspaceRow(Base):
    """Workspace of a model that was first trained in it. Models without a row belong to the default workspace."""

    __tablename__ = "model_workspaces"

    model_name: Mapped[str] = mapped_column(Key, primary_key=True)
    workspace: Mapped[str] = mapped_column(Key)


class EnvironmentWorkspaceRow(Base):
    """A workspace whose jobs need an environment. Environments without a row belong to the default workspace."""

    __tablename__ = "environment_workspaces"

    environment: Mapped[str] = mapped_column(Key, primary_key=True)
    workspace: Mapped[str] = mapped_column(Key, primary_key=True)


class AuditRow(Base):
    """Entry of the audit. Rows are added, never changed, and deleted by age only."""

    __tablename__ = "audit_entries"

    entry_id: Mapped[str] = mapped_column(Key, primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(Key)
    key_id: Mapped[str | None] = mapped_column(Key)
    workspace: Mapped[str | None] = mapped_column(Key)
    address: Mapped[str | None]
    action: Mapped[str] = mapped_column(Key)
    target: Mapped[str | None] = mapped_column(Key)
    request_id: Mapped[str | None]
    outcome: Mapped[Outcome]
    detail: Mapped[str | None]

    __table_args__ = (
        Index(None, "at", "entry_id"),
        Index(None, "who", "at", "entry_id"),
        Index(None, "workspace", "at", "entry_id"),
        Index(None, "target", "at", "entry_id"),
    )
