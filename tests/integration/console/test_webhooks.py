"""The pages of webhooks: the form and what it marks, the secret that is shown once, deliveries, dead letters, pause, delete."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from raylift.domain.webhooks.delivery import AfterAttempt, Answer, DeliveryStatus
from tests.browser import Watched, violations
from tests.integration.console.conftest import Gateway

pytestmark = pytest.mark.timeout(300)

WEBHOOKS = "/mlops/webhooks"


def test_webhook_is_checked_and_made_and_its_secret_is_shown_once(watched: Watched, gateway: Gateway) -> None:
    page = watched.open("/console/webhooks")
    page.get_by_role("link", name="New webhook").first.click()
    page.get_by_label("Name").fill("a b")
    page.get_by_label("Address").fill("https://10.0.0.1/hook")
    expect(page.locator(".field.wrong", has=page.get_by_label("Name"))).to_be_visible()
    expect(page.locator(".field.wrong", has=page.get_by_label("Address"))).to_contain_text("is not public")
    assert violations(page) == []
    page.get_by_label("Name").fill("ops")
    page.get_by_label("Address").fill("https://hooks.example.com/x?token=t0ken")
    page.get_by_label("Types").fill("job.fialed")
    expect(page.get_by_text("did you mean 'job.failed'")).to_be_visible()
    page.get_by_role("button", name="what fails").click()
    gets = page.get_by_role("region", name="It gets 6 types of events")
    expect(gets).to_contain_text("model_version.unhealthy")
    page.get_by_label("Models").fill("churn, fraud*")
    page.get_by_text("As code", exact=True).click()
    page.get_by_role("button", name="curl", exact=True).click()
    printed = page.get_by_label("Code", exact=True).inner_text()
    assert gateway.http.get(WEBHOOKS).json()["webhooks"] == []
    page.get_by_role("button", name="Create the webhook").dblclick()
    shown = page.get_by_role("dialog", name="The signing secret of ops")
    expect(shown).to_contain_text("whsec_")
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_role("heading", name="ops", exact=True)).to_be_visible()
    expect(page.get_by_text("whsec_")).to_have_count(0)
    expect(page.get_by_text("t0ken")).to_have_count(0)
    made = gateway.http.get(f"{WEBHOOKS}/ops").json()
    kinds = ["job.failed", "batch.failed", "model_version.unhealthy", "rollout.rolled_back", "monitor.alert", "schedule.missed"]
    assert set(made["events"]) == set(kinds)
    assert made["models"] == ["churn", "fraud*"]
    # The printed command makes an equal webhook.
    gateway.http.delete(f"{WEBHOOKS}/ops")
    subprocess.run(["bash", "-c", f"{printed} -sSf"], check=True, capture_output=True, timeout=60)
    again = gateway.http.get(f"{WEBHOOKS}/ops").json()
    own = {"webhook_id", "created_at", "updated_at", "links"}
    assert {name: again[name] for name in again.keys() - own} == {name: made[name] for name in made.keys() - own}


def test_deliveries_are_shown_and_dead_ones_are_sent_again(watched: Watched, gateway: Gateway) -> None:
    made = gateway.http.post(WEBHOOKS, json={"name": "ci", "url": "https://hooks.example.com/ci", "events": ["job.*"]}).json()
    job_id = gateway.upload(experiment_name="reported")
    page = watched.open(f"/console/webhooks/{made['webhook_id']}")
    row = page.get_by_role("row", name=re.compile("job.queued"))
    expect(row).to_contain_text("not sent yet")
    expect(row.get_by_role("link")).to_have_attribute("href", f"/console/jobs/{job_id}")
    page.get_by_role("button", name="Send a test").click()
    page.get_by_role("dialog").get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("row", name=re.compile("webhook.test"))).to_be_visible()
    _give_up(gateway, made["webhook_id"])
    page.get_by_role("link", name=re.compile("^dead")).click()
    expect(row).to_contain_text("503 Busy, try later")
    assert violations(page) == []
    row.get_by_role("button", name="job.queued").click()
    content = page.get_by_role("dialog", name="job.queued")
    expect(content).to_contain_text(job_id)
    expect(content).to_contain_text("Busy, try later")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Deliver all again").click()
    page.get_by_role("dialog", name="Deliver 1 dead letter again?").get_by_role("button", name="Deliver again").click()
    expect(page.get_by_text("No delivery is dead")).to_be_visible()
    assert gateway.http.get(f"{WEBHOOKS}/ci").json()["dead"] == 0


def test_webhook_is_paused_and_deleted(watched: Watched, gateway: Gateway) -> None:
    made = gateway.http.post(WEBHOOKS, json={"name": "old", "url": "https://hooks.example.com/old"}).json()
    page = watched.open(f"/console/webhooks/{made['webhook_id']}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_role("button", name="Send a test")).to_be_disabled()
    page.get_by_role("button", name="New secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Make it").click()
    expect(page.get_by_role("dialog", name="The signing secret of old")).to_contain_text("whsec_")
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete this webhook?").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Webhooks")).to_be_visible()
    assert gateway.http.get(f"{WEBHOOKS}/old").status_code == 404


def _give_up(gateway: Gateway, webhook_id: str) -> None:
    """Play the supervisor: the receiver of the oldest delivery has answered 503 until it was given up."""
    store, now = gateway.platform.store, datetime.now(UTC)
    oldest = store.webhooks.deliveries(webhook_id, status=None, limit=10, cursor=None).deliveries[-1]
    given_up = AfterAttempt(DeliveryStatus.DEAD, now)
    store.webhooks.record_attempt(
        gateway.platform.lease, oldest, Answer(503, "The receiver answered with 503.", "Busy, try later"), given_up, now=now
    )
