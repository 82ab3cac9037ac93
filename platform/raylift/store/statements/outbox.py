"""Outbox of events: deliveries to webhooks, written in the transaction of what they report.

Without a webhook in the workspace an event costs one read of an index, and its record is not made.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, literal, select
from sqlalchemy.orm import Session

from raylift.domain.identifiers import DEFAULT_WORKSPACE, new_delivery_id
from raylift.domain.webhooks.delivery import DeliveryStatus
from raylift.domain.webhooks.event import PlatformEvent
from raylift.store.engine.access_tables import ModelWorkspaceRow
from raylift.store.engine.columns import Key
from raylift.store.engine.transactions import insert_into
from raylift.store.engine.webhook_tables import DeliveryRow, WebhookRow

_WEBHOOKS: Final = WebhookRow.__table__.c
"""Columns of the table: the mapper would take longer than the database."""
_ACTIVE: Final = select(_WEBHOOKS.webhook_id, _WEBHOOKS.workspace, _WEBHOOKS.filter).where(_WEBHOOKS.paused_at.is_(None))
_OF_WORKSPACE: Final = _ACTIVE.where(_WEBHOOKS.workspace == bindparam("of", type_=Key()))
_MODELS: Final = ModelWorkspaceRow.__table__.c
_MODELS_WORKSPACE: Final = (
    select(_MODELS.workspace).where(_MODELS.model_name == bindparam("of", type_=Key())).correlate(None).scalar_subquery()
)
_OF_MODEL: Final = _ACTIVE.where(_WEBHOOKS.workspace == func.coalesce(_MODELS_WORKSPACE, literal(DEFAULT_WORKSPACE, Key())))


def record(session: Session, workspace: str, make: Callable[[], PlatformEvent]) -> None:
    """Record an event for each webhook of the workspace that selects it.

    Call it after the change of the event's object, whose lock then gives the deliveries the order of the changes.
    """
    _record(session, _OF_WORKSPACE, workspace, lambda _: make())


def record_of_model(session: Session, model_name: str, make: Callable[[str], PlatformEvent]) -> None:
    """Record an event for the workspace of a model, which ``make`` gets."""
    _record(session, _OF_MODEL, model_name, make)


def insert(session: Session, webhook_id: str, workspace: str, event: PlatformEvent) -> str:
    """Insert the delivery of an event to one webhook, and return its id."""
    row = _row(webhook_id, workspace, event)
    session.execute(insert_into(session, DeliveryRow), row)
    return row["delivery_id"]


def _record(session: Session, query: Select[Any, Any, Any], of: str, make: Callable[[str], PlatformEvent]) -> None:
    webhooks = session.execute(query, {"of": of}).all()
    if not webhooks:
        return
    event = make(webhooks[0].workspace)
    rows = [_row(each.webhook_id, each.workspace, event) for each in webhooks if each.filter.selects(event)]
    if rows:
        session.execute(insert_into(session, DeliveryRow), rows)


def _row(webhook_id: str, workspace: str, event: PlatformEvent) -> dict[str, Any]:
    at: datetime = event.at
    return {
        "delivery_id": new_delivery_id(at.timestamp()),
        "webhook_id": webhook_id,
        "event_type": event.type,
        "workspace": workspace,
        "subject": event.subject,
        "occurred_at": at,
        "data": dict(event.data),
        "status": DeliveryStatus.PENDING,
        "due_at": at,
        "retried_since": at,
        "attempts": 0,
    }
