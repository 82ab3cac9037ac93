"""Messages of events: the body of each format, and its signed headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from standardwebhooks.webhooks import Webhook as Signer

import raylift
from raylift.domain.webhooks.delivery import Delivery
from raylift.domain.webhooks.webhook import Webhook, WebhookFormat, WebhookTarget

_TYPES: Final = {
    WebhookFormat.STANDARD: "application/json",
    WebhookFormat.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8",
}


def body_of(delivery: Delivery, form: WebhookFormat) -> bytes:
    """Return the body: the same bytes in each attempt."""
    at, data = delivery.occurred_at.isoformat().replace("+00:00", "Z"), dict(delivery.data)
    message: Mapping[str, Any] = {"type": delivery.event_type, "timestamp": at, "data": data}
    if form is WebhookFormat.CLOUDEVENTS:
        message = {
            "specversion": "1.0",
            "id": delivery.delivery_id,
            "source": f"/raylift/{delivery.workspace}",
            "type": delivery.event_type,
            "subject": delivery.subject,
            "time": at,
            "datacontenttype": "application/json",
            "data": data,
        }
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode()


def headers_of(delivery: Delivery, body: bytes, webhook: Webhook, target: WebhookTarget, now: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks: signed anew for each attempt, with the former secret too while it holds."""
    holding = [target.secret]
    if webhook.former_secret_until is not None and now < webhook.former_secret_until:
        holding.append(target.former_secret)
    signatures = [Signer(secret).sign(delivery.delivery_id, now, body.decode()) for secret in holding if secret]
    return {
        "Content-Type": _TYPES[webhook.format],
        "User-Agent": f"raylift/{raylift.__version__}",
        "webhook-id": delivery.delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def text_of(delivery: Delivery) -> tuple[str, str]:
    """Return title and text of a message to people."""
    data, names = delivery.data, ("message", "reason", "model_name", "model_version", "experiment_name", "owner", "who")
    told = [f"{name.replace('_', ' ')}: {data[name]}" for name in names if data.get(name) is not None]
    return f"{delivery.event_type} {delivery.subject}", "\n".join(told) or delivery.event_type
