"""The form of a new schedule: its next moments, what it marks, and what it makes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from raylift.domain.nodes.reservation import Reservation
from tests.browser import Watched
from tests.integration.console.conftest import SCRIPT, Gateway

pytestmark = pytest.mark.timeout(300)

SCHEDULES = "/mlops/schedules"


def test_schedule_of_a_script_is_previewed_and_made(watched: Watched, gateway: Gateway, tmp_path: Path) -> None:
    source = tmp_path / "refresh.py"
    source.write_text("print('again')\n", encoding="utf-8")
    page = watched.open("/console/schedules")
    page.get_by_role("link", name="New schedule").first.click()
    page.get_by_label("Name").fill("weekly refresh")
    expect(page.locator(".field.wrong", has=page.get_by_label("Name"))).to_be_visible()
    page.get_by_label("Name").fill("weekly")
    page.get_by_role("button", name="on Mondays").click()
    page.get_by_label("Time zone").fill("Europe/Berln")
    expect(page.get_by_text("did you mean 'Europe/Berlin'")).to_be_visible()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    moments = page.get_by_role("region", name="Next jobs").locator("time")
    expect(moments).to_have_count(5)
    expect(moments.first).to_have_text(re.compile(r"\d{4}-\d\d-\d\d 06:00"))
    page.get_by_role("button", name="Create the schedule").click()
    expect(page.get_by_text("is required: the upload of the jobs")).to_be_visible()
    page.get_by_label("Training script or project").set_input_files(source)
    page.get_by_label("CPUs").fill("99")
    expect(page.locator(".field.wrong", has=page.get_by_label("CPUs"))).to_be_visible()
    page.get_by_label("CPUs").fill("1")
    page.get_by_text("As code", exact=True).click()
    page.get_by_role("button", name="curl", exact=True).click()
    printed = page.get_by_label("Code", exact=True).inner_text()
    page.get_by_role("button", name="Create the schedule").dblclick()
    expect(page.get_by_role("heading", name="weekly", exact=True)).to_be_visible()
    made = gateway.http.get(f"{SCHEDULES}/weekly").json()
    assert (made["cron"], made["timezone"], made["script_name"]) == ("0 6 * * 1", "Europe/Berlin", "refresh.py")
    # The printed command makes an equal schedule.
    gateway.http.delete(f"{SCHEDULES}/weekly")
    subprocess.run(["bash", "-c", f"{printed} -sSf"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    again = gateway.http.get(f"{SCHEDULES}/weekly").json()
    own = {"schedule_id", "created_at", "updated_at", "links"}
    assert {name: again[name] for name in again.keys() - own} == {name: made[name] for name in made.keys() - own}


def test_finished_job_is_scheduled_from_its_page(watched: Watched, gateway: Gateway) -> None:
    job_id = gateway.upload(script_content=SCRIPT, experiment_name="nights")
    gateway.platform.start(job_id)
    gateway.platform.finish(job_id)
    page = watched.open(f"/console/jobs/{job_id}")
    page.get_by_role("link", name="Schedule", exact=True).click()
    expect(page.get_by_label("Job", exact=True)).to_have_value(job_id)
    page.get_by_label("Name").fill("nights")
    page.get_by_role("button", name="Create the schedule").click()
    expect(page.get_by_role("heading", name="nights", exact=True)).to_be_visible()
    assert gateway.http.get(f"{SCHEDULES}/nights").json()["kind"] == "rerun"


def test_node_that_is_set_aside_names_its_job(watched: Watched, gateway: Gateway) -> None:
    platform = gateway.platform
    job_id = gateway.upload(experiment_name="large", model_name="large")
    platform.store.reservations.put(platform.lease, Reservation(job_id, platform.cluster.members[0].node_id))
    page = watched.open("/console/cluster")
    expect(page.get_by_role("list", name="Nodes").get_by_text("Set aside for large")).to_be_visible()
