"""Delivers events to webhooks, in threads of their own: a receiver that hangs stops nothing else.

A delivery is sent first and recorded then. A killed supervisor leaves those under way pending, and its successor sends them
again with the same ``webhook-id``: at least once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from raylift.access_settings import WebhookSettings
from raylift.domain.backoff import backoff
from raylift.domain.errors import EngineUnavailable, SecretUnreadable, StaleLease, WebhookNotFound
from raylift.domain.lease import Lease
from raylift.domain.webhooks.delivery import Answer, Delivery
from raylift.domain.webhooks.webhook import Webhook, WebhookTarget
from raylift.store import Store
from raylift.supervisor.serial_tasks import Submit
from raylift.supervisor.webhooks.plan import after_attempt

log = logging.getLogger(__name__)

LANES: Final = 4
"""Deliveries of one webhook that are under way at a time."""
_FIRST_REST: Final = 1.0
_LONGEST_REST: Final = 60.0

Send = Callable[[Webhook, WebhookTarget, Delivery, datetime], Answer]
"""Makes one attempt. Failures are part of the answer."""


@dataclass(slots=True)
class _Receiver:
    """A webhook as this process has met its receiver."""

    lanes: int = 0
    subjects: set[str] = field(default_factory=set)
    """Objects of which a delivery is under way."""
    silences: int = 0
    """Attempts in a row that got no answer. Then there is one lane, with growing pauses."""
    rests_until: float = float("-inf")


class WebhookDeliverer:
    """Starts lanes for webhooks with due deliveries. A lane sends one delivery after another until none is due.

    Args:
        store: the outbox.
        settings: time of the retries.
        send: makes one attempt.
        submit: starts a lane in a thread.
        clock: the time.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        store: Store,
        settings: WebhookSettings,
        send: Send,
        *,
        submit: Submit,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._retry = timedelta(days=settings.retry_days)
        self._send = send
        self._submit = submit
        self._clock = clock
        self._monotonic = monotonic
        self._receivers: dict[str, _Receiver] = {}
        self._guard = threading.Lock()

    def attend(self, lease: Lease) -> None:
        """Start a further lane for each webhook that has due deliveries, as far as it may have one. Returns at once.

        Raises:
            EngineUnavailable: the database does not answer.
        """
        due = self._store.webhooks.with_due(self._clock())
        with self._guard:
            # Others are forgotten: they have nothing to send, or were deleted.
            self._receivers = {key: each for key, each in self._receivers.items() if each.lanes or key in due}
        for webhook_id in due:
            if self._opens_lane(webhook_id):
                self._submit(lambda webhook_id=webhook_id: self._work(lease, webhook_id))

    def _opens_lane(self, webhook_id: str) -> bool:
        with self._guard:
            receiver = self._receivers.setdefault(webhook_id, _Receiver())
            if receiver.lanes >= (1 if receiver.silences else LANES) or self._monotonic() < receiver.rests_until:
                return False
            receiver.lanes += 1
            return True

    def _work(self, lease: Lease, webhook_id: str) -> None:
        receiver = self._receivers[webhook_id]
        try:
            while (delivery := self._take(receiver, webhook_id)) is not None:
                try:
                    self._deliver(lease, receiver, delivery)
                finally:
                    with self._guard:
                        receiver.subjects.discard(delivery.subject)
        except (EngineUnavailable, StaleLease, WebhookNotFound) as error:
            log.warning("webhook %s: %s", webhook_id, error)
        except Exception:
            # A defect: what it left pending is tried again.
            log.exception("webhook %s", webhook_id)
        finally:
            with self._guard:
                receiver.lanes -= 1

    def _take(self, receiver: _Receiver, webhook_id: str) -> Delivery | None:
        with self._guard:
            if self._monotonic() < receiver.rests_until or (receiver.silences and receiver.subjects):
                return None
            # The read is within the lock, so that two lanes never take deliveries about one object.
            found = self._store.webhooks.next_due(webhook_id, self._clock(), except_for=tuple(receiver.subjects))
            if found is not None:
                receiver.subjects.add(found.subject)
            return found

    def _deliver(self, lease: Lease, receiver: _Receiver, delivery: Delivery) -> None:
        answer = self._attempt(delivery)
        now = self._clock()
        after = after_attempt(delivery, answer, now, retry=self._retry)
        self._store.webhooks.record_attempt(lease, delivery, answer, after, now=now)
        self._note(receiver, answer)
        if answer.error is not None:
            told = (delivery.event_type, delivery.delivery_id, delivery.webhook_id, delivery.attempts + 1, answer.error)
            log.info("%s %s to %s, attempt %d: %s", *told)

    def _attempt(self, delivery: Delivery) -> Answer:
        webhook = self._store.webhooks.get(delivery.webhook_id)
        try:
            target = self._store.webhooks.target(delivery.webhook_id)
            return self._send(webhook, target, delivery, self._clock())
        except (EngineUnavailable, WebhookNotFound):
            raise
        except SecretUnreadable as error:
            return Answer(error=error.detail)
        except Exception as error:
            # A defect, or an answer that no library expects. It must not be tried again at once.
            log.exception("webhook %s, delivery %s", delivery.webhook_id, delivery.delivery_id)
            return Answer(error=f"The attempt failed: {type(error).__name__}")

    def _note(self, receiver: _Receiver, answer: Answer) -> None:
        with self._guard:
            if answer.error is None or answer.status_code is not None:
                receiver.silences, receiver.rests_until = 0, float("-inf")
                return
            receiver.silences += 1
            rest = backoff(receiver.silences, first=_FIRST_REST, longest=_LONGEST_REST)
            receiver.rests_until = self._monotonic() + rest
