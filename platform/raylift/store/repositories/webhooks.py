"""Webhooks, and the deliveries of their outbox."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, delete, exists, func, literal, literal_column, or_, select, update
from sqlalchemy.orm import aliased

from raylift.domain.errors import DeliveryNotFound, FieldError, InvalidRequest, StaleWebhook, WebhookExists, WebhookNotFound
from raylift.domain.lease import Lease
from raylift.domain.webhooks.delivery import MAX_ANSWER, AfterAttempt, Answer, Delivery, DeliveryStatus
from raylift.domain.webhooks.event import PlatformEvent
from raylift.domain.webhooks.webhook import MAX_WEBHOOKS, Webhook, WebhookTarget
from raylift.store.engine import trail
from raylift.store.engine.columns import UtcDateTime
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.engine.webhook_tables import DeliveryRow, WebhookRow
from raylift.store.statements import outbox
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.records import changed, columns, execute, from_row

_REMOVED_AT_ONCE: Final = 5000
_PENDING: Final[ColumnElement[Any]] = literal_column("'pending'")
"""Literal: SQLite uses a partial index only where it can prove the condition."""
# Built once: SQLAlchemy takes longer to build the statement than the database to execute it.
_WITH_DUE: Final = select(WebhookRow.__table__.c.webhook_id).where(
    WebhookRow.paused_at.is_(None),
    exists().where(
        DeliveryRow.webhook_id == WebhookRow.webhook_id,
        DeliveryRow.status == _PENDING,
        DeliveryRow.due_at <= bindparam("now", type_=UtcDateTime()),
    ),
)


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Newest first. ``next_cursor`` is None on the last page."""

    deliveries: list[Delivery]
    next_cursor: str | None


class WebhookRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, webhook: Webhook, target: WebhookTarget) -> None:
        """Store a webhook; durable on return.

        Raises:
            WebhookExists: the workspace has one of this name.
            InvalidRequest: the workspace has too many.
            SecretUnreadable: the platform has no key.
        """
        row = columns(webhook) | {"variables": _variables(target)}
        with self._database.write() as session:
            of_workspace = select(func.count()).where(WebhookRow.workspace == webhook.workspace)
            if (session.scalar(of_workspace) or 0) >= MAX_WEBHOOKS:
                detail = f"is one too many: the workspace {webhook.workspace!r} has {MAX_WEBHOOKS} webhooks; delete one first"
                raise InvalidRequest.of(FieldError("name", detail))
            insert = insert_into(session, WebhookRow).on_conflict_do_nothing(index_elements=["workspace", "name"])
            if session.scalar(insert.returning(WebhookRow.webhook_id), row) is None:
                detail = f"There is a webhook {webhook.name!r} already: change it with PATCH, or choose another name."
                raise WebhookExists(detail, name=webhook.name)
            trail.name_target(session, webhook.name)

    def get(self, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound."""
        with self._database.read() as session:
            row = session.get(WebhookRow, webhook_id)
            if row is None:
                raise WebhookNotFound(f"There is no webhook {webhook_id}.", webhook_id=webhook_id)
            return from_row(Webhook, row)

    def find(self, workspace: str, name: str) -> Webhook:
        """Return the webhook of this name in the workspace. Raises WebhookNotFound."""
        with self._database.read() as session:
            row = session.scalar(select(WebhookRow).where(WebhookRow.workspace == workspace, WebhookRow.name == name))
            if row is None:
                raise WebhookNotFound(f"There is no webhook {name!r} in the workspace {workspace!r}.", name=name)
            return from_row(Webhook, row)

    def list(self, workspace: str | None = None) -> list[Webhook]:
        """Return the webhooks of one workspace, or of all, by name."""
        query = select(WebhookRow).order_by(WebhookRow.name, WebhookRow.workspace)
        if workspace is not None:
            query = query.where(WebhookRow.workspace == workspace)
        with self._database.read() as session:
            return [from_row(Webhook, row) for row in session.scalars(query)]

    def target(self, webhook_id: str) -> WebhookTarget:
        """Return the address and the secrets.

        Raises:
            WebhookNotFound: it was deleted.
            SecretUnreadable: the key of a value is missing.
        """
        with self._database.read() as session:
            row = session.get(WebhookRow, webhook_id)
            if row is None:
                raise WebhookNotFound(f"There is no webhook {webhook_id}.", webhook_id=webhook_id)
            return WebhookTarget(**row.variables)

    def update(self, webhook: Webhook, target: WebhookTarget | None = None) -> Webhook:
        """Replace a webhook that is unchanged since it was read; None keeps its address and secrets.

        Raises:
            StaleWebhook: it has changed in the meantime, or was deleted.
        """
        values = columns(webhook) | {"revision": webhook.revision + 1}
        if target is not None:
            values["variables"] = _variables(target)
        unchanged = WebhookRow.webhook_id == webhook.webhook_id, WebhookRow.revision == webhook.revision
        with self._database.write() as session:
            found = changed(session, update(WebhookRow).where(*unchanged).values(values), WebhookRow, Webhook)
        if found is None:
            detail = f"The webhook {webhook.name!r} was changed at the same time: read it, and try again."
            raise StaleWebhook(detail, name=webhook.name)
        return found

    def delete(self, webhook: Webhook) -> None:
        """Delete a webhook with its deliveries: what is pending is not sent any more."""
        with self._database.write() as session:
            execute(session, delete(WebhookRow).where(WebhookRow.webhook_id == webhook.webhook_id))

    def counts(self, webhook_ids: Collection[str], status: DeliveryStatus) -> dict[str, int]:
        """Count the deliveries of this status by webhook. Webhooks without one are missing."""
        wanted = DeliveryRow.webhook_id.in_(webhook_ids), DeliveryRow.status == status
        query = select(DeliveryRow.webhook_id, func.count()).where(*wanted)
        with self._database.read() as session:
            return dict(session.execute(query.group_by(DeliveryRow.webhook_id)).all())

    def deliveries(
        self, webhook_id: str, *, status: DeliveryStatus | None = None, limit: int, cursor: str | None = None
    ) -> DeliveryPage:
        """Return one page of deliveries. Raises InvalidRequest for an invalid cursor."""
        query = select(DeliveryRow).where(DeliveryRow.webhook_id == webhook_id)
        if status is not None:
            query = query.where(DeliveryRow.status == status)
        if cursor is not None:
            query = query.where(DeliveryRow.sequence < _sequence(cursor))
        with self._database.read() as session:
            rows = session.scalars(query.order_by(DeliveryRow.sequence.desc()).limit(limit + 1))
            found = [from_row(Delivery, row) for row in rows]
        shown = found[:limit]
        return DeliveryPage(shown, str(shown[-1].sequence) if len(found) > limit else None)

    def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Raises DeliveryNotFound."""
        with self._database.read() as session:
            row = session.scalar(select(DeliveryRow).where(_is(webhook_id, delivery_id)))
            if row is None:
                raise _no_delivery(delivery_id)
            return from_row(Delivery, row)

    def enqueue(self, webhook: Webhook, event: PlatformEvent) -> str:
        """Write the delivery of one event, past the filter, and return its id."""
        with self._database.write() as session:
            return outbox.insert(session, webhook.webhook_id, webhook.workspace, event)

    def redeliver(self, webhook_id: str, delivery_id: str, *, now: datetime) -> Delivery:
        """Make a delivery pending and due, with its id. Raises DeliveryNotFound."""
        with self._database.write() as session:
            statement = update(DeliveryRow).where(_is(webhook_id, delivery_id)).values(_again(now))
            found = changed(session, statement, DeliveryRow, Delivery)
            if found is None:
                raise _no_delivery(delivery_id)
            return found

    def redeliver_dead(self, webhook_id: str, *, now: datetime) -> int:
        """Make all dead deliveries pending and due. Returns their number."""
        dead = DeliveryRow.webhook_id == webhook_id, DeliveryRow.status == DeliveryStatus.DEAD
        with self._database.write() as session:
            count = session.scalar(select(func.count()).select_from(DeliveryRow).where(*dead)) or 0
            execute(session, update(DeliveryRow).where(*dead).values(_again(now)))
        return count

    def with_due(self, now: datetime) -> list[str]:
        """Return ids of webhooks that have a due delivery and are not paused."""
        with self._database.read() as session:
            return list(session.scalars(_WITH_DUE, {"now": now}))

    def next_due(self, webhook_id: str, now: datetime, *, except_for: Collection[str] = ()) -> Delivery | None:
        """Return the delivery to send next: the first of its object that is pending, and due.

        ``except_for``: objects of which a delivery is under way.
        """
        earlier = aliased(DeliveryRow)
        is_first = ~exists().where(
            earlier.webhook_id == DeliveryRow.webhook_id,
            earlier.subject == DeliveryRow.subject,
            earlier.status == _PENDING,
            earlier.sequence < DeliveryRow.sequence,
        )
        is_active = exists().where(WebhookRow.webhook_id == DeliveryRow.webhook_id, WebhookRow.paused_at.is_(None))
        query = select(DeliveryRow).where(
            DeliveryRow.webhook_id == webhook_id,
            DeliveryRow.status == _PENDING,
            DeliveryRow.due_at <= literal(now, UtcDateTime()),
            is_first,
            is_active,
        )
        if except_for:
            query = query.where(DeliveryRow.subject.not_in(except_for))
        with self._database.read() as session:
            row = session.scalar(query.order_by(DeliveryRow.due_at, DeliveryRow.sequence).limit(1))
            return None if row is None else from_row(Delivery, row)

    def record_attempt(
        self, lease: Lease, delivery: Delivery, answer: Answer, after: AfterAttempt, *, now: datetime
    ) -> Delivery | None:
        """Record an attempt. Returns None where the delivery was deleted, or is to be delivered again since it was read.

        Raises:
            StaleLease: another supervisor has taken over.
        """
        values = {
            "status": after.status,
            "due_at": after.due_at,
            "attempts": delivery.attempts + 1,
            "last_attempt_at": now,
            "last_status_code": answer.status_code,
            "last_error": answer.error,
            "last_answer": None if answer.text is None else answer.text[:MAX_ANSWER],
        }
        with self._database.write() as session:
            unchanged = and_(
                DeliveryRow.sequence == delivery.sequence,
                DeliveryRow.retried_since == literal(delivery.retried_since, UtcDateTime()),
                guard(session, lease),
            )
            if after.pauses_webhook is not None:
                paused = {"paused_at": now, "message": after.pauses_webhook, "revision": WebhookRow.revision + 1}
                statement = update(WebhookRow).where(WebhookRow.webhook_id == delivery.webhook_id, guard(session, lease))
                execute(session, statement.values(paused))
            return changed(session, update(DeliveryRow).where(unchanged).values(values), DeliveryRow, Delivery)

    def forget_before(self, moment: datetime) -> bool:
        """Delete a batch of old deliveries that are not pending. Returns True where more may be left."""
        is_old = and_(
            DeliveryRow.occurred_at < literal(moment, UtcDateTime()),
            or_(DeliveryRow.status == DeliveryStatus.DELIVERED, DeliveryRow.status == DeliveryStatus.DEAD),
        )
        with self._database.write() as session:
            due = list(session.scalars(select(DeliveryRow.sequence).where(is_old).limit(_REMOVED_AT_ONCE)))
            if due:
                execute(session, delete(DeliveryRow).where(DeliveryRow.sequence.in_(due)))
        return len(due) == _REMOVED_AT_ONCE


def _variables(target: WebhookTarget) -> dict[str, str]:
    values: Mapping[str, str | None] = columns(target)
    return {name: value for name, value in values.items() if value is not None}


def _is(webhook_id: str, delivery_id: str) -> ColumnElement[bool]:
    return and_(DeliveryRow.webhook_id == webhook_id, DeliveryRow.delivery_id == delivery_id)


def _again(now: datetime) -> dict[str, Any]:
    return {"status": DeliveryStatus.PENDING, "due_at": now, "retried_since": now, "attempts": 0}


def _no_delivery(delivery_id: str) -> DeliveryNotFound:
    return DeliveryNotFound(f"The webhook has no delivery {delivery_id}.", delivery_id=delivery_id)


def _sequence(cursor: str) -> int:
    if not cursor.isascii() or not cursor.isdigit():
        raise InvalidRequest.of(FieldError("cursor", "is none that a page has had; take next_cursor of the page before"))
    return int(cursor)
