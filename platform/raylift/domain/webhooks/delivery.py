"""A delivery: one event on its way to one webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

MAX_ANSWER: Final = 2000
"""Characters of a receiver's last answer that are kept."""


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    """To be sent, or to be sent again."""
    DELIVERED = "delivered"
    """The receiver answered with 2xx."""
    DEAD = "dead"
    """Given up. It can be delivered again by hand."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as stored, written in the transaction of its event. Times are UTC and timezone-aware."""

    sequence: int
    """Grows with each delivery; those about one object go out in this order."""
    delivery_id: str
    """``webhook-id`` of every attempt."""
    webhook_id: str
    event_type: str
    workspace: str
    subject: str
    occurred_at: datetime
    data: Mapping[str, Any]
    status: DeliveryStatus
    due_at: datetime
    """Time of the next attempt."""
    retried_since: datetime
    """Begin of the retries: the event, or the last request to deliver it again."""
    attempts: int = 0
    last_attempt_at: datetime | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    last_answer: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of one attempt."""

    status_code: int | None = None
    """None: the receiver did not answer."""
    error: str | None = None
    """None: it is delivered."""
    text: str | None = None
    """Begin of the answer's body."""
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AfterAttempt:
    """State of a delivery after an attempt, and of its webhook."""

    status: DeliveryStatus
    due_at: datetime
    pauses_webhook: str | None = None
    """Reason to send nothing more to the webhook."""
