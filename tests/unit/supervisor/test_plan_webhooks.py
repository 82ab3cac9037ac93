from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from raylift.domain.webhooks.delivery import Answer, Delivery, DeliveryStatus
from raylift.supervisor.webhooks.plan import LONGEST_PAUSE_SECONDS, after_attempt

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RETRY = timedelta(days=3)
FAILED = Answer(500, "The receiver answered with 500.")
PENDING = Delivery(
    1, "msg_1", "webhook_1", "job.failed", "default", "job_1", NOW, {}, DeliveryStatus.PENDING, due_at=NOW, retried_since=NOW
)  # fmt: skip


def test_2xx_is_delivered() -> None:
    assert after_attempt(PENDING, Answer(204), NOW, retry=RETRY).status is DeliveryStatus.DELIVERED


def test_pauses_double_until_six_hours_and_end_after_three_days() -> None:
    now, delivery, pauses = NOW, PENDING, list[float]()
    while True:
        after = after_attempt(delivery, FAILED, now, retry=RETRY)
        if after.status is DeliveryStatus.DEAD:
            break
        pauses.append((after.due_at - now).total_seconds())
        now, delivery = after.due_at, replace(delivery, attempts=delivery.attempts + 1)
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    # The last attempt is in the last pause before the end of three days.
    assert RETRY - timedelta(seconds=LONGEST_PAUSE_SECONDS) < now - NOW <= RETRY
    assert 15 < len(pauses) < 30


def test_redelivery_begins_the_three_days_anew() -> None:
    later = NOW + timedelta(days=10)
    assert after_attempt(PENDING, FAILED, later, retry=RETRY).status is DeliveryStatus.DEAD
    again = replace(PENDING, retried_since=later)
    assert after_attempt(again, FAILED, later, retry=RETRY).status is DeliveryStatus.PENDING


def test_retry_after_is_honoured_within_six_hours() -> None:
    asked = replace(FAILED, retry_after_seconds=120.0)
    assert after_attempt(PENDING, asked, NOW, retry=RETRY).due_at == NOW + timedelta(seconds=120)
    ages = replace(FAILED, retry_after_seconds=1e9)
    assert after_attempt(PENDING, ages, NOW, retry=RETRY).due_at == NOW + timedelta(seconds=LONGEST_PAUSE_SECONDS)
    less = replace(FAILED, retry_after_seconds=1.0)
    assert after_attempt(PENDING, less, NOW, retry=RETRY).due_at == NOW + timedelta(seconds=5)


def test_gone_ends_the_delivery_and_pauses_the_webhook() -> None:
    after = after_attempt(PENDING, Answer(410, "The receiver answered with 410."), NOW, retry=RETRY)
    assert after.status is DeliveryStatus.DEAD
    assert after.pauses_webhook is not None
    assert after_attempt(PENDING, FAILED, NOW, retry=RETRY).pauses_webhook is None
