"""Messages of webhooks, verified by the library of Standard Webhooks and by the example of its specification."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from raylift.domain.webhooks.delivery import Delivery, DeliveryStatus
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat, WebhookTarget, new_secret
from raylift.engines.webhooks.messages import body_of, headers_of, text_of

AT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
DATA = {"job_id": "job_1", "message": "Ünïcode \ud800", "metrics": {"auc": 0.9}, "model_name": "churn"}
DELIVERY = Delivery(
    7, "msg_1", "webhook_1", "job.failed", "red", "job_1", AT, DATA, DeliveryStatus.PENDING, due_at=AT, retried_since=AT
)  # fmt: skip
STANDARD = Webhook(
    "webhook_1", "hook", "red", WebhookFormat.STANDARD, "https://x", EventFilter(), AT, "anna", AT, "anna"
)  # fmt: skip


def test_message_is_signed_as_standard_webhooks() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    body = body_of(DELIVERY, WebhookFormat.STANDARD)
    headers = headers_of(DELIVERY, body, STANDARD, WebhookTarget("https://x", secret), now)
    read = Verifier(secret).verify(body, headers)
    assert read == {"type": "job.failed", "timestamp": "2026-03-01T12:00:00.000005Z", "data": DATA}
    assert headers["webhook-id"] == "msg_1"
    with pytest.raises(WebhookVerificationError):
        Verifier(new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace(b"job_1", b"job_2"), headers)


def test_signature_is_that_of_the_specification() -> None:
    body, now = b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC)
    target = WebhookTarget("https://x", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = headers_of(replace(DELIVERY, delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek"), body, STANDARD, target, now)
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_both_secrets_sign_while_the_former_one_holds() -> None:
    secret, former, now = new_secret(), new_secret(), datetime.now(UTC)
    body = body_of(DELIVERY, WebhookFormat.STANDARD)
    rotated = replace(STANDARD, former_secret_until=now + timedelta(hours=1))
    target = WebhookTarget("https://x", secret, former)
    headers = headers_of(DELIVERY, body, rotated, target, now)
    assert Verifier(secret).verify(body, headers) == Verifier(former).verify(body, headers)
    later = headers_of(DELIVERY, body, replace(rotated, former_secret_until=now), target, now)
    assert Verifier(secret).verify(body, later)
    with pytest.raises(WebhookVerificationError):
        Verifier(former).verify(body, later)


def test_cloudevent_has_its_attributes_and_a_signature() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    body = body_of(DELIVERY, WebhookFormat.CLOUDEVENTS)
    form = replace(STANDARD, format=WebhookFormat.CLOUDEVENTS)
    headers = headers_of(DELIVERY, body, form, WebhookTarget("https://x", secret), now)
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert Verifier(secret).verify(body, headers) == {
        "specversion": "1.0",
        "id": "msg_1",
        "source": "/raylift/red",
        "type": "job.failed",
        "subject": "job_1",
        "time": "2026-03-01T12:00:00.000005Z",
        "datacontenttype": "application/json",
        "data": DATA,
    }


def test_each_attempt_has_the_same_body() -> None:
    tried = replace(DELIVERY, attempts=5, last_error="x", due_at=AT + timedelta(days=1))
    assert body_of(tried, WebhookFormat.STANDARD) == body_of(DELIVERY, WebhookFormat.STANDARD)
    assert json.loads(body_of(DELIVERY, WebhookFormat.STANDARD))["data"] == DATA


def test_message_to_people_names_the_object_and_the_reason() -> None:
    title, text = text_of(replace(DELIVERY, data={"message": "It broke.", "model_name": "churn", "owner": None}))
    assert title == "job.failed job_1"
    assert text == "message: It broke.\nmodel name: churn"
