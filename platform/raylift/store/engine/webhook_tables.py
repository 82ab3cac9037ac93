"""Tables of webhooks and of their deliveries, the outbox of events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from raylift.domain.webhooks.delivery import DeliveryStatus
from raylift.domain.webhooks.webhook import EventFilter, WebhookFormat
from raylift.store.engine.columns import JsonOf, Key
from raylift.store.engine.sealed import SealedVariablesColumn
from raylift.store.engine.tables import Base

_IS_PENDING = text("status = 'pending'")
"""SQLite uses a partial index only where it can prove the condition."""


class WebhookRow(Base):
    """A webhook. ``variables`` has its address and secrets, encrypted."""

    __tablename__ = "webhooks"

    webhook_id: Mapped[str] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(Key)
    workspace: Mapped[str] = mapped_column(Key)
    format: Mapped[WebhookFormat]
    shown_url: Mapped[str]
    filter: Mapped[EventFilter] = mapped_column(JsonOf(EventFilter), nullable=False)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    paused_at: Mapped[datetime | None]
    message: Mapped[str | None]
    former_secret_until: Mapped[datetime | None]
    revision: Mapped[int]

    variables: Mapped[Mapping[str, str]] = mapped_column(SealedVariablesColumn(), nullable=False)

    __table_args__ = (Index(None, "workspace", "name", unique=True),)


class DeliveryRow(Base):
    """A delivery of an event to a webhook, written in the transaction of the event."""

    __tablename__ = "webhook_deliveries"

    # SQLite counts up only a column of the type INTEGER.
    sequence: Mapped[int] = mapped_column(BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)
    delivery_id: Mapped[str] = mapped_column(Key)
    webhook_id: Mapped[str] = mapped_column(Key, ForeignKey("webhooks.webhook_id", ondelete="CASCADE"))
    event_type: Mapped[str] = mapped_column(Key)
    workspace: Mapped[str] = mapped_column(Key)
    subject: Mapped[str] = mapped_column(Key)
    occurred_at: Mapped[datetime] = mapped_column(index=True)
    data: Mapped[Mapping[str, Any]] = mapped_column(JsonOf(dict[str, Any]), nullable=False)
    status: Mapped[DeliveryStatus]
    due_at: Mapped[datetime]
    retried_since: Mapped[datetime]
    attempts: Mapped[int]
    last_attempt_at: Mapped[datetime | None]
    last_status_code: Mapped[int | None]
    last_error: Mapped[str | None]
    last_answer: Mapped[str | None]

    __table_args__ = (
        Index(None, "delivery_id", unique=True),
        Index(None, "webhook_id", "sequence"),
        Index(None, "webhook_id", "status", "sequence"),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "due_at",
            sqlite_where=_IS_PENDING,
            postgresql_where=_IS_PENDING,
        ),
        Index(
            "ix_webhook_deliveries_order",
            "webhook_id",
            "subject",
            "sequence",
            sqlite_where=_IS_PENDING,
            postgresql_where=_IS_PENDING,
        ),
        {"sqlite_autoincrement": True},
    )
