"""Webhooks over HTTP: rights, workspaces, secrets that are shown once, and the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.webhooks.delivery import AfterAttempt, Answer, DeliveryStatus
from raylift.settings import PlatformSettings
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

PATH = "/mlops/webhooks"
UPLOAD = {"script_content": "print(1)", "experiment_name": "e"}
HOOK = {"name": "ci", "url": "https://hooks.example.com/x?token=t0ken", "events": ["job.*"]}


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def make(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=HOOK | changes)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def deliveries(client: httpx.AsyncClient, name: str = "ci") -> list[dict[str, Any]]:
    return (await client.get(f"{PATH}/{name}/deliveries")).json()["deliveries"]


async def test_secret_is_shown_once_and_the_query_never(client: httpx.AsyncClient) -> None:
    made = await make(client)
    assert made["secret"].startswith("whsec_")
    shown = [(await client.get(path)).text for path in (PATH, f"{PATH}/ci", f"{PATH}/{made['webhook_id']}")]
    assert all("whsec_" not in text and "t0ken" not in text for text in (*shown, made["url"]))
    (listed,) = (await client.get(PATH)).json()["webhooks"]
    assert listed == {field: value for field, value in made.items() if field != "secret"}
    assert (listed["pending"], listed["dead"], listed["format"], listed["events"]) == (0, 0, "standard", ["job.*"])
    assert "job.failed" in (await client.get(PATH)).json()["event_types"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"events": ["job.sucess"]}, "events[0]"),
        ({"events": []}, "events"),
        ({"format": "xml"}, "format"),
        ({"url": "hooks.example.com"}, "url"),
        ({"url": "ftp://hooks.example.com"}, "url"),
        ({"url": "http://hooks.example.com"}, "url"),
        ({"url": "https://user:pass@hooks.example.com"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://hooks.example.com:99999/"}, "url"),
        ({"url": "json://127.0.0.1/", "format": "apprise"}, "url"),
    ],
)
async def test_wrong_webhooks_are_refused_with_the_field(client: httpx.AsyncClient, wrong: Any, field: str) -> None:
    answer = await client.post(PATH, json=HOOK | wrong)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert "pass@" not in answer.text


async def test_dry_run_tells_the_events_and_stores_nothing(client: httpx.AsyncClient, platform: Platform) -> None:
    asked = await client.post(f"{PATH}?dry_run=true", json=HOOK | {"events": ["job.*ed", "alias.*"]})
    assert asked.status_code == 200
    assert asked.json()["event_types"] == ["job.queued", "job.completed", "job.failed", "job.cancelled", "alias.moved"]
    assert (await client.get(PATH)).json()["webhooks"] == []
    assert platform.store.audit.list(AuditFilter(), limit=10).entries == []
    wrong = await client.post(f"{PATH}?dry_run=true", json=HOOK | {"url": "ftp://x", "name": "a b"})
    assert {error["field"] for error in wrong.json()["errors"]} == {"name", "url"}
    await make(client)
    (taken,) = (await client.post(f"{PATH}?dry_run=true", json=HOOK)).json()["errors"]
    assert taken["field"] == "name"


async def test_name_that_is_taken_and_one_that_is_missing(client: httpx.AsyncClient) -> None:
    await make(client)
    assert (await client.post(PATH, json=HOOK)).json()["code"] == "webhook_exists"
    assert (await client.get(f"{PATH}/no")).json()["code"] == "webhook_not_found"
    assert (await client.post(f"{PATH}/ci/deliveries/msg_1/redeliver")).json()["code"] == "delivery_not_found"


async def test_filters_are_changed_one_by_one(client: httpx.AsyncClient) -> None:
    await make(client, models=["churn"])
    changed = (await client.patch(f"{PATH}/ci", json={"events": ["alias.moved"], "url": "https://other.example.com/"})).json()
    assert (changed["events"], changed["models"]) == (["alias.moved"], ["churn"])
    assert changed["url"] == "https://other.example.com/"
    assert (await client.patch(f"{PATH}/ci", json={"url": "https://10.0.0.1/"})).status_code == 422
    assert (await client.patch(f"{PATH}/ci", json={"events": ["zzz"]})).status_code == 422


async def test_paused_webhook_records_nothing(client: httpx.AsyncClient) -> None:
    await make(client)
    assert (await client.patch(f"{PATH}/ci", json={"paused": True})).json()["paused"]
    await client.post("/mlops/training/upload", json=UPLOAD)
    assert (await client.post(f"{PATH}/ci/test")).status_code == 422
    assert await deliveries(client) == []
    assert not (await client.patch(f"{PATH}/ci", json={"paused": False})).json()["paused"]
    await client.post("/mlops/training/upload", json=UPLOAD)
    assert [each["event_type"] for each in await deliveries(client)] == ["job.queued"]


async def test_secret_is_rotated_with_a_grace_time(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client)
    rotated = (await client.post(f"{PATH}/ci/rotate", json={"grace_hours": 2})).json()
    target = platform.store.webhooks.target(made["webhook_id"])
    assert (target.secret, target.former_secret) == (rotated["secret"], made["secret"])
    assert target.url == HOOK["url"]
    assert rotated["former_secret_until"] is not None
    at_once = (await client.post(f"{PATH}/ci/rotate", json={"grace_hours": 0})).json()
    target = platform.store.webhooks.target(made["webhook_id"])
    assert (target.secret, target.former_secret, at_once["former_secret_until"]) == (at_once["secret"], None, None)
    assert (await client.post(f"{PATH}/ci/rotate", json={"grace_hours": 1000})).status_code == 422


async def test_test_event_is_delivered_again_by_hand(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client)
    answer = await client.post(f"{PATH}/ci/test")
    assert answer.status_code == 202
    sent = answer.json()
    assert (await client.get(answer.headers["location"])).json() == sent
    now = datetime.now(UTC)
    stored = platform.store.webhooks.delivery(made["webhook_id"], sent["delivery_id"])
    dead = AfterAttempt(DeliveryStatus.DEAD, now)
    platform.store.webhooks.record_attempt(platform.lease, stored, Answer(500, "No."), dead, now=now)
    (shown,) = (await client.get(f"{PATH}/ci/deliveries?status=dead")).json()["deliveries"]
    assert (shown["attempts"], shown["last_status_code"], shown["last_error"], shown["due_at"]) == (1, 500, "No.", None)
    assert (await client.get(f"{PATH}/ci")).json()["dead"] == 1
    assert (await client.post(f"{PATH}/ci/redeliver")).json() == {"redelivered": 1}
    again = (await client.post(f"{PATH}/ci/deliveries/{sent['delivery_id']}/redeliver")).json()
    assert (again["delivery_id"], again["status"]) == (sent["delivery_id"], "pending")


async def test_webhook_is_deleted_with_its_deliveries(client: httpx.AsyncClient) -> None:
    await make(client)
    await client.post(f"{PATH}/ci/test")
    assert (await client.delete(f"{PATH}/ci")).status_code == 204
    assert (await client.get(f"{PATH}/ci")).status_code == 404
    await make(client)
    assert await deliveries(client) == []


async def test_roles_and_workspaces_are_held(keyed: KeyedPlatform) -> None:
    assert (await keyed.send("viewer", "POST", PATH, json=HOOK)).status_code == 403
    made = await keyed.send("submitter", "POST", PATH, json=HOOK)
    assert (made.status_code, made.json()["workspace"], made.json()["created_by"]) == (201, "red", "submitter")
    of_it = f"{PATH}/{made.json()['webhook_id']}"
    assert (await keyed.send("viewer", "GET", f"{PATH}/ci/deliveries")).status_code == 200
    for method, path in (("GET", of_it), ("DELETE", of_it), ("POST", f"{of_it}/rotate"), ("GET", f"{of_it}/deliveries")):
        assert (await keyed.send("other", method, path, json={})).status_code == 404
    assert (await keyed.send("other", "GET", PATH)).json()["webhooks"] == []
    assert (await keyed.send("admin", "GET", of_it)).status_code == 200


async def test_only_admins_use_apprise(keyed: KeyedPlatform) -> None:
    people = {"name": "people", "url": "slack://TokenA/TokenB/TokenC/#ops", "format": "apprise"}
    assert (await keyed.send("deployer", "POST", PATH, json=people)).status_code == 403
    made = (await keyed.send("admin", "POST", PATH, json=people)).json()
    assert (made["url"], made["secret"]) == ("slack://***", None)
    assert (await keyed.send("deployer", "PATCH", f"{PATH}/people", json={"paused": True})).status_code == 403
    assert (await keyed.send("admin", "POST", f"{PATH}/people/rotate", json={})).status_code == 422


async def test_changes_are_in_the_audit_without_secrets(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client)
    await client.post(f"{PATH}/ci/rotate", json={})
    await client.post(f"{PATH}/ci/test")
    await client.delete(f"{PATH}/ci")
    entries = platform.store.audit.list(AuditFilter(), limit=10).entries
    verbs = [f"webhook.{verb}" for verb in ("create", "rotate", "test", "delete")]
    assert [(each.action, each.target) for each in reversed(entries)] == [(verb, "ci") for verb in verbs]
    assert made["secret"] not in repr(entries)
