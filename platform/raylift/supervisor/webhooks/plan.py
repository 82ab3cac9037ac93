"""Plans what follows an attempt to deliver an event. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from raylift.domain.backoff import backoff
from raylift.domain.webhooks.delivery import AfterAttempt, Answer, Delivery, DeliveryStatus

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 6 * 3600.0
GONE: Final = 410
"""The receiver wants no more events: so Standard Webhooks has it."""


def after_attempt(delivery: Delivery, answer: Answer, now: datetime, *, retry: timedelta) -> AfterAttempt:
    """Return the delivery's state after an attempt.

    Args:
        delivery: as it was before the attempt.
        answer: result of the attempt.
        now: time of the answer.
        retry: time from the event, or from the last request to deliver it again, until it is given up.
    """
    if answer.error is None:
        return AfterAttempt(DeliveryStatus.DELIVERED, now)
    if answer.status_code == GONE:
        return AfterAttempt(DeliveryStatus.DEAD, now, "The receiver answered with 410 Gone: it wants no more events.")
    pause = backoff(delivery.attempts + 1, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
    if answer.retry_after_seconds is not None:
        pause = max(pause, min(answer.retry_after_seconds, LONGEST_PAUSE_SECONDS))
    due_at = now + timedelta(seconds=pause)
    if due_at > delivery.retried_since + retry:
        return AfterAttempt(DeliveryStatus.DEAD, now)
    return AfterAttempt(DeliveryStatus.PENDING, due_at)
