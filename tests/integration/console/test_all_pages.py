"""Every page with something on it: accessible in light and dark, and no wider than its window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Watched, scrolls_sideways, violations, watched_page
from tests.integration.console.conftest import Gateway, running_gateway
from tests.integration.console.filled import MODEL, Filled, add_dataset, fill

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("filled")) as made:
        yield made


@pytest.fixture(scope="module")
def filled(gateway: Gateway) -> Filled:
    return fill(gateway)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit(browser: Browser, gateway: Gateway, filled: Filled, scheme: Any) -> None:
    found: dict[str, list[str]] = {}
    with watched_page(browser, gateway.url) as seen:
        seen.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for path in filled.paths():
            page = seen.open(f"/console/{path}")
            expect(page.locator("h1")).to_be_visible()
            expect(page.locator(".loading")).to_have_count(0)
            found[path] = violations(page)
            for width in (1920, 390, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                if not fits(page):
                    found[path].append(f"scrolls sideways at {width} px")
    assert {path: items for path, items in found.items() if items} == {}


def fits(page: Page) -> bool:
    """Charts take their new width in the next frame, or some frames later on a busy machine."""
    for _ in range(20):
        if not scrolls_sideways(page):
            return True
        page.wait_for_timeout(100)
    return False


def test_version_shows_its_drift_and_its_model_the_rollout(watched: Watched, filled: Filled) -> None:
    page = watched.open(f"/console/models/{MODEL}/3")
    drift = page.get_by_role("region", name="Drift")
    expect(drift).to_contain_text("2 open alerts")
    expect(drift.get_by_role("row", name=re.compile("^city, Berlin unseen 7.3 % 3.1 %"))).to_be_visible()
    # The column beyond its limit comes first, and is marked.
    first = drift.get_by_role("table").last.get_by_role("row").nth(1)
    expect(first).to_contain_text("monthly_fee")
    expect(first.locator(".beyond")).to_have_text("0.412")
    page = watched.open(f"/console/models/{MODEL}")
    rollout = page.get_by_role("region", name=re.compile("^Rollout"))
    expect(rollout).to_contain_text("Step 2 of 5: 5 % of requests go to version 3.")
    expect(rollout.get_by_role("listitem").filter(has_text="25 %")).to_contain_text("10 min")
    rollout.get_by_role("button", name="Abort").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The traffic is again what it was before the rollout.")
    dialog.get_by_role("button", name="Abort").click()
    expect(page.locator(".share-figures").first).to_contain_text("100 % v2")
    # Why it ended stays on the page.
    ended = page.get_by_role("region", name="Last rollout v2 → v3")
    expect(ended).to_contain_text("rolled back")
    expect(ended).to_contain_text("Aborted by local")
    ended.get_by_text("What happened in it").click()
    expect(ended.get_by_role("listitem").filter(has_text="5 % of requests go to version 3")).to_be_visible()


def test_batches_say_how_far_they_are_and_why_not_further(watched: Watched, filled: Filled) -> None:
    page = watched.open("/console/batches")
    expect(page.get_by_role("row", name=re.compile("running.*about 43 s left"))).to_be_visible()
    failed = page.get_by_role("row", name=re.compile("^failed"))
    expect(failed).to_contain_text("data error: Row 7 of october.csv")
    expect(failed).not_to_contain_text("left")
    failed.get_by_role("link").click()
    expect(page.get_by_role("region", name="Reason")).to_contain_text("Row 7 of october.csv")
    page = watched.open(f"/console/batches/{filled.batches['rejected']}")
    expect(page.get_by_text("is left out")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the output").click()
    assert download.value.suggested_filename.endswith(".parquet")


def test_job_runs_again_with_another_version_of_its_data(watched: Watched, gateway: Gateway, filled: Filled) -> None:
    page = watched.open("/console/datasets/customers")
    expect(page.get_by_role("row", name=re.compile("^monthly_fee double 30 \\(2.5 %\\)"))).to_be_visible()
    page.get_by_role("row", name=re.compile("^failed")).get_by_role("link").first.click()
    page.get_by_role("button", name="Run again").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Data: train").locator("option")).to_have_count(2)
    dialog.get_by_label("Data: train").select_option("customers@2")
    dialog.get_by_text("As code").click()
    expect(dialog.get_by_label("Code", exact=True)).to_contain_text("--data train=customers@2")
    dialog.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(filled.failed))
    again = page.url.rpartition("/")[2]
    data = gateway.http.get(f"/mlops/training/jobs/{again}").json()["data"]
    assert [(each["alias"], each["version"]) for each in data] == [("train", 2)]


def test_version_of_a_dataset_is_deleted(watched: Watched, gateway: Gateway, filled: Filled) -> None:
    add_dataset(gateway, "old", {"a.csv": b"x\n1\n"})
    add_dataset(gateway, "old", {"a.csv": b"x\n2\n"})
    page = watched.open("/console/datasets/old")
    page.get_by_role("button", name="Delete old@2").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Delete old@1")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^@1 shown above"))).to_be_visible()
    page.get_by_role("button", name="Delete old@1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Datasets", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="old")).to_have_count(0)


def test_reasons_of_failures_lead_to_their_jobs(watched: Watched, filled: Filled) -> None:
    page = watched.open("/console/")
    page.get_by_role("region", name="Why jobs failed").get_by_role("link", name=re.compile("script error")).click()
    expect(page).to_have_url(re.compile("status=failed&reason=script_error$"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="reason: script error").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_scan_of_a_script_shows_its_findings(watched: Watched, gateway: Gateway) -> None:
    job_id = gateway.upload(experiment_name="scanned", script_content="import os\nos.chmod('x', 0o777)\n")
    page = watched.open(f"/console/jobs/{job_id}?tab=script")
    reports = page.get_by_role("region", name="Reports of scanners")
    reports.get_by_role("button", name="Scan").click()
    expect(reports).to_contain_text("bandit")
    expect(reports.get_by_role("button", name="Scan again")).to_be_enabled()


def test_webhook_is_changed(watched: Watched, gateway: Gateway, filled: Filled) -> None:
    page = watched.open(f"/console/webhooks/{filled.webhook}")
    page.get_by_role("button", name="Change", exact=True).click()
    dialog = page.get_by_role("dialog", name="Change ops-channel")
    dialog.get_by_label("Types of events").fill("job.fialed")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog.locator(".field.wrong")).to_contain_text("did you mean 'job.failed'")
    assert violations(page) == []
    dialog.get_by_label("Types of events").fill("job.failed, batch.failed")
    dialog.get_by_label("Only about these models").fill("")
    dialog.get_by_role("button", name="Change").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_text("no condition")).to_be_visible()
    made = gateway.http.get("/mlops/webhooks/ops-channel").json()
    assert (made["events"], made["models"]) == (["job.failed", "batch.failed"], [])
    page.go_back()


def test_last_page_of_the_audit_leads_to_the_newest(watched: Watched, gateway: Gateway) -> None:
    for number in range(101):
        gateway.http.put(f"/mlops/secrets/s{number}", json={"variables": {"A": "b"}})
    page = watched.open("/console/audit")
    page.get_by_role("link", name="Older entries").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    expect(page.get_by_role("link", name="Older entries")).to_have_count(0)
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("link", name="Older entries")).to_be_visible()
    expect(page).to_have_url(re.compile("/audit$"))
