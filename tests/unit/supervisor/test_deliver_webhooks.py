"""Deliveries on a real store, with receivers that the test plays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raylift.access_settings import WebhookSettings
from raylift.domain.errors import SecretUnreadable
from raylift.domain.identifiers import new_webhook_id
from raylift.domain.lease import Lease
from raylift.domain.webhooks.delivery import Answer, Delivery, DeliveryStatus
from raylift.domain.webhooks.event import EventType, PlatformEvent
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat, WebhookTarget
from raylift.store import Store
from raylift.supervisor.webhooks.deliver import LANES, WebhookDeliverer
from tests.migrated_store import open_migrated

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OK = Answer(200)
REFUSED = Answer(500, "The receiver answered with 500.")
SILENT = Answer(None, "No answer within 15 s.")


@dataclass
class World:
    store: Store
    lease: Lease
    pool: ThreadPoolExecutor
    answer: Callable[[Delivery], Answer] = lambda _: OK
    now: datetime = NOW
    sent: list[Delivery] = field(default_factory=list)
    started: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deliverer = WebhookDeliverer(
            self.store,
            WebhookSettings(),
            self._send,
            submit=lambda work: self.started.append(self.pool.submit(work)),
            clock=lambda: self.now,
            monotonic=lambda: (self.now - NOW).total_seconds(),
        )

    def _send(self, _: Webhook, __: WebhookTarget, delivery: Delivery, ___: datetime) -> Answer:
        self.sent.append(delivery)
        return self.answer(delivery)

    def hook(self, name: str) -> Webhook:
        form = WebhookFormat.STANDARD
        webhook = Webhook(new_webhook_id(), name, "default", form, "https://x", EventFilter(), NOW, "anna", NOW, "anna")
        self.store.webhooks.add(webhook, WebhookTarget("https://x", "whsec_c2VjcmV0"))
        return webhook

    def event(self, webhook: Webhook, subject: str) -> str:
        return self.store.webhooks.enqueue(webhook, PlatformEvent(EventType.JOB_FAILED, subject, NOW, {}))

    def look(self) -> None:
        """Attend, and wait until all lanes have ended."""
        self.deliverer.attend(self.lease)
        wait(self.started, timeout=20)

    def delivery(self, webhook: Webhook, delivery_id: str) -> Delivery:
        return self.store.webhooks.delivery(webhook.webhook_id, delivery_id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = open_migrated(tmp_path / "store.db")
    lease = store.leases.acquire("supervisor", "test", now=NOW, seconds=3600)
    assert lease is not None
    with ThreadPoolExecutor(16) as pool:
        yield World(store, lease, pool)
    store.close()


def test_due_deliveries_are_sent_once_each(world: World) -> None:
    webhook = world.hook("a")
    ids = [world.event(webhook, f"job_{number % 3}") for number in range(9)]
    world.look()
    world.look()
    assert [each.delivery_id for each in world.sent] == ids
    assert {world.delivery(webhook, each).status for each in ids} == {DeliveryStatus.DELIVERED}


def test_refused_delivery_holds_its_object_only(world: World) -> None:
    webhook = world.hook("a")
    first, second, other = (world.event(webhook, subject) for subject in ("job_1", "job_1", "job_2"))
    world.answer = lambda delivery: REFUSED if delivery.subject == "job_1" else OK
    world.look()
    assert [each.delivery_id for each in world.sent] == [first, other]
    tried = world.delivery(webhook, first)
    assert (tried.status, tried.attempts, tried.last_status_code) == (DeliveryStatus.PENDING, 1, 500)
    world.answer, world.now = (lambda _: OK), NOW + timedelta(seconds=6)
    world.look()
    assert [each.delivery_id for each in world.sent[2:]] == [first, second]


def test_receiver_that_hangs_does_not_keep_others(world: World) -> None:
    hanging, quick, ends = world.hook("hanging"), world.hook("quick"), threading.Event()
    for number in range(20):
        world.event(hanging, f"job_{number}")
    world.answer = lambda delivery: OK if delivery.webhook_id == quick.webhook_id or ends.wait(20) else SILENT
    for _ in range(10):
        world.deliverer.attend(world.lease)
    done = world.event(quick, "job_1")
    world.deliverer.attend(world.lease)
    wait(world.started[-1:], timeout=20)
    assert world.delivery(quick, done).status is DeliveryStatus.DELIVERED
    assert sum(each.webhook_id == hanging.webhook_id for each in world.sent) == LANES
    ends.set()
    wait(world.started, timeout=20)


def test_silent_receiver_is_asked_once_in_growing_pauses(world: World) -> None:
    webhook = world.hook("a")
    for number in range(30):
        world.event(webhook, f"job_{number}")
    world.answer = lambda _: SILENT
    asked: list[int] = []
    for second in range(8):
        world.now = NOW + timedelta(seconds=second)
        world.look()
        asked.append(len(world.sent))
    assert asked == [1, 2, 2, 3, 3, 3, 3, 4]
    world.answer, world.now = (lambda _: OK), NOW + timedelta(seconds=60)
    world.look()
    assert len(world.sent) == 34


def test_defect_of_an_attempt_is_a_failed_attempt(world: World) -> None:
    webhook = world.hook("a")
    broken = world.event(webhook, "job_1")

    def fail(_: Delivery) -> Answer:
        raise KeyError("x")

    world.answer = fail
    world.look()
    assert world.delivery(webhook, broken).last_error == "The attempt failed: KeyError"


def test_secret_without_a_key_is_a_failed_attempt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = world.hook("a")
    unreadable = world.event(webhook, "job_1")

    def refuse(_: str) -> WebhookTarget:
        raise SecretUnreadable("The key is missing.")

    monkeypatch.setattr(world.store.webhooks, "target", refuse)
    world.look()
    assert world.delivery(webhook, unreadable).last_error == "The key is missing."


def test_supervisor_that_lost_its_lease_stops(world: World) -> None:
    webhook = world.hook("a")
    ids = [world.event(webhook, f"job_{number}") for number in range(5)]
    assert world.store.leases.acquire("supervisor", "other", now=NOW + timedelta(hours=2), seconds=60)
    world.look()
    assert len(world.sent) == 1
    assert {world.delivery(webhook, each).status for each in ids} == {DeliveryStatus.PENDING}


def test_deleted_webhook_gets_nothing_more(world: World) -> None:
    webhook = world.hook("a")
    world.event(webhook, "job_1")
    world.event(webhook, "job_2")

    def delete(_: Delivery) -> Answer:
        world.store.webhooks.delete(webhook)
        return OK

    world.answer = delete
    world.look()
    assert len(world.sent) == 1
