"""Webhooks and their deliveries in the REST API."""

from __future__ import annotations

from typing import Any

from raylift.api import paths
from raylift.api.webhooks.webhooks import DeliveryView, NewWebhookView, WebhookView
from raylift.domain.webhooks.delivery import Delivery, DeliveryStatus
from raylift.domain.webhooks.webhook import Webhook
from raylift.services.webhooks.webhooks import CreatedWebhook


def webhook_view(webhook: Webhook, *, pending: int, dead: int) -> WebhookView:
    return WebhookView.model_validate(_fields(webhook, pending, dead))


def new_webhook_view(made: CreatedWebhook, *, pending: int, dead: int) -> NewWebhookView:
    return NewWebhookView.model_validate({**_fields(made.webhook, pending, dead), "secret": made.secret})


def delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        delivery_id=delivery.delivery_id,
        event_type=delivery.event_type,
        subject=delivery.subject,
        occurred_at=delivery.occurred_at,
        status=delivery.status.value,
        attempts=delivery.attempts,
        due_at=delivery.due_at if delivery.status is DeliveryStatus.PENDING else None,
        last_attempt_at=delivery.last_attempt_at,
        last_status_code=delivery.last_status_code,
        last_error=delivery.last_error,
        last_answer=delivery.last_answer,
        data=dict(delivery.data),
    )


def _fields(webhook: Webhook, pending: int, dead: int) -> dict[str, Any]:
    of_it = webhook.webhook_id
    return {
        "webhook_id": webhook.webhook_id,
        "name": webhook.name,
        "workspace": webhook.workspace,
        "url": webhook.shown_url,
        "format": webhook.format.value,
        "events": list(webhook.filter.events),
        "models": list(webhook.filter.models),
        "experiments": list(webhook.filter.experiments),
        "owners": list(webhook.filter.owners),
        "paused": webhook.paused_at is not None,
        "paused_at": webhook.paused_at,
        "message": webhook.message,
        "pending": pending,
        "dead": dead,
        "former_secret_until": webhook.former_secret_until,
        "created_at": webhook.created_at,
        "created_by": webhook.created_by,
        "updated_at": webhook.updated_at,
        "updated_by": webhook.updated_by,
        "links": {
            "self": paths.webhook(of_it),
            **{name: paths.webhook(of_it, name) for name in ("deliveries", "test", "rotate", "redeliver")},
        },
    }
