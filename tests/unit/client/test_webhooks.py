"""``client.webhooks``."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift import AsyncClient
from tests.unit.cli.test_webhook_commands import DELIVERY, NEW, ONE, PATH, WEBHOOK

WAITING = DELIVERY | {"status": "pending", "attempts": 0}


@pytest.fixture
def webhooks(client: Any, platform: Any) -> Any:
    platform.on("POST", PATH, httpx.Response(201, json=NEW))
    platform.on("PATCH", ONE, httpx.Response(200, json=WEBHOOK))
    platform.on("GET", PATH, httpx.Response(200, json={"webhooks": [WEBHOOK], "event_types": []}))
    platform.on("GET", ONE, httpx.Response(200, json=WEBHOOK))
    platform.on("POST", f"{ONE}/rotate", httpx.Response(200, json=NEW))
    platform.on("POST", f"{ONE}/test", httpx.Response(202, json=WAITING))
    platform.on("DELETE", ONE, httpx.Response(204))
    return client.webhooks


def test_webhook_is_created_and_changed(webhooks: Any, platform: Any) -> None:
    made = webhooks.create("ci", "https://hooks.example.com/x", events=("job.*",), owners=["anna"])
    assert made.secret == "whsec_c2VjcmV0"
    assert "whsec" not in repr(made)
    assert webhooks.update("ci", models=[], paused=True).name == "ci"
    assert webhooks.rotate("ci", grace_hours=0).secret == made.secret
    webhooks.delete("ci")
    created, changed, rotated = platform.bodies()
    assert created == {
        "name": "ci", "url": "https://hooks.example.com/x", "events": ["job.*"], "models": [], "experiments": [],
        "owners": ["anna"], "format": "standard",
    }  # fmt: skip
    assert (changed, rotated) == ({"models": [], "paused": True}, {"grace_hours": 0})


def test_webhooks_are_read(webhooks: Any) -> None:
    assert [each.name for each in webhooks.list()] == ["ci"]
    assert webhooks.get("ci").pending == 2


def test_test_waits_for_the_first_attempt(webhooks: Any, platform: Any) -> None:
    platform.on("GET", f"{ONE}/deliveries/msg_1", httpx.Response(200, json=WAITING), httpx.Response(200, json=DELIVERY))
    assert webhooks.test("ci").last_status_code == 500
    platform.on("GET", f"{ONE}/deliveries/msg_1", httpx.Response(200, json=WAITING))
    assert webhooks.test("ci", wait_seconds=1).attempts == 0


def test_deliveries_go_on_over_pages(webhooks: Any, platform: Any) -> None:
    pages = [{"deliveries": [DELIVERY] * 2, "next_cursor": cursor} for cursor in ("5", None)]
    platform.on("GET", f"{ONE}/deliveries", *(httpx.Response(200, json=page) for page in pages))
    assert len(list(webhooks.deliveries("ci", status="dead", limit=3))) == 3
    assert platform.requests[-1].url.params["cursor"] == "5"


def test_one_or_all_dead_deliveries_are_sent_again(webhooks: Any, platform: Any) -> None:
    platform.on("POST", f"{ONE}/deliveries/msg_1/redeliver", httpx.Response(202, json=DELIVERY))
    platform.on("POST", f"{ONE}/redeliver", httpx.Response(202, json={"redelivered": 4}))
    assert (webhooks.redeliver("ci", "msg_1"), webhooks.redeliver("ci")) == (1, 4)


async def test_async_client_has_webhooks(platform: Any) -> None:
    platform.on("GET", ONE, httpx.Response(200, json=WEBHOOK))
    async with AsyncClient("http://platform", transport=httpx.MockTransport(platform)) as client:
        assert (await client.webhooks.get("ci")).name == "ci"
