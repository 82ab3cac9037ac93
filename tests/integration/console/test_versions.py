"""Overview, models, versions and the playground, while the registry and the supervisor change what is behind them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.models.version import InputColumn, ModelSignature
from tests.browser import Watched, watched_page
from tests.integration.console.conftest import Gateway, running_gateway

pytestmark = pytest.mark.timeout(300)


def test_fresh_platform_shows_three_steps(browser: Browser, tmp_path: Path) -> None:
    with running_gateway(tmp_path) as fresh, watched_page(browser, fresh.url) as seen:
        page = seen.open("/")
        expect(page.locator(".steps h2")).to_have_text(["Send a training script", "Watch it train", "Ask the model"])
        parts = page.get_by_label("Parts of the platform")
        light = parts.get_by_role("listitem").filter(has_text="mlflow")
        expect(light).to_contain_text("up")
        fresh.platform.registry.down = True
        expect(light).to_contain_text("MLflow is away")
        expect(page.get_by_role("navigation", name="Main")).to_contain_text("MLflow is down")
        fresh.platform.registry.down = False
        expect(light).to_contain_text("up")
        # The steps go with the first job.
        fresh.upload(experiment_name="first")
        expect(page.locator(".steps")).to_have_count(0)
        expect(page.get_by_role("link", name="first")).to_be_visible()
        # As after `make demo`: one job has completed, and its version is ready.
        (job,) = fresh.jobs("first")
        fresh.platform.start(job["job_id"])
        fresh.platform.finish(job["job_id"])
        fresh.platform.registry.register("first", "1")
        fresh.platform.deploy("first", "1")
        expect(page.get_by_role("region", name="Jobs").get_by_role("link", name=re.compile("^1 ?completed"))).to_be_visible()
        expect(page.get_by_role("region", name="Deployments").get_by_role("link", name=re.compile("^1 ?ready"))).to_be_visible()


def test_alias_moved_in_mlflow_is_seen(watched: Watched, gateway: Gateway) -> None:
    registry = gateway.platform.registry
    registry.register("aliased", "1")
    registry.register("aliased", "2")
    registry.set_alias("aliased", "champion", "1")
    page = watched.open("/console/models/aliased")
    expect(page.get_by_label("Version of champion")).to_have_value("1")
    registry.set_alias("aliased", "champion", "2")
    expect(page.get_by_label("Version of champion")).to_have_value("2")
    # Another tool's alias appears, too.
    registry.set_alias("aliased", "challenger", "1")
    expect(page.get_by_label("Version of challenger")).to_have_value("1")


def test_version_leads_to_its_job_and_script_and_shows_its_start(watched: Watched, gateway: Gateway) -> None:
    platform = gateway.platform
    job_id = gateway.upload(experiment_name="traced", model_name="traced", script_content="print('traced')")
    platform.start(job_id)
    platform.finish(job_id, model_version="1", environment_lock=("humanize==4.9.0",))
    platform.registry.register("traced", "1", tags={TAG_JOB_ID: job_id}, run_id="run" + "1" * 29)
    page = watched.open("/console/models/traced/1")
    source = page.get_by_role("region", name="Where it comes from")
    run = source.get_by_role("link", name="run111111111")
    expect(run).to_have_attribute("href", f"{platform.settings.mlflow_url}/#/runs/run{'1' * 29}")
    source.get_by_role("link", name="1 locked").click()
    expect(page.get_by_text("humanize==4.9.0")).to_be_visible()
    page.go_back()
    source.get_by_role("link", name=re.compile("^[0-9a-f]{12}$")).click()
    expect(page.locator(".code").first).to_contain_text("print('traced')")
    page.go_back()
    source.get_by_role("link", name=re.compile(job_id[-6:])).click()
    expect(page).to_have_url(re.compile(f"/console/jobs/{job_id}$"))
    page.go_back()

    page.evaluate("window.isSame = true")
    state = page.locator(".title-row .state")
    deployment = page.get_by_role("region", name="Deployment")
    for status, words, replicas in (
        (DeploymentStatus.SCALED_TO_ZERO, "scaled to zero", 0),
        (DeploymentStatus.STARTING, "starting", 0),
        (DeploymentStatus.READY, "ready", 1),
    ):
        platform.deploy("traced", "1", status, replicas=replicas)
        expect(state).to_have_text(words)
        expect(deployment).to_contain_text(f"{replicas} of 0 to")
    platform.deploy(
        "traced", "1", DeploymentStatus.UNHEALTHY, replicas=0, message="ModuleNotFoundError: No module named 'humanize'"
    )
    expect(state).to_have_text("unhealthy")
    expect(deployment).to_contain_text("ModuleNotFoundError: No module named 'humanize'")
    assert page.evaluate("window.isSame")
    page = watched.open("/console/")
    expect(page.get_by_role("region", name="1 deployment cannot answer")).to_contain_text("No module named 'humanize'")


def test_playground_has_the_fields_of_the_signature(watched: Watched, gateway: Gateway) -> None:
    types = {"age": "long", "fee": "double", "member": "boolean", "city": "string", "history": "array"}
    columns = tuple(InputColumn(name, kind, required=name != "city") for name, kind in types.items())
    gateway.platform.registry.register("typed", "1")
    gateway.platform.registry.signatures["typed", "1"] = ModelSignature(columns=columns)
    gateway.platform.deploy("typed", "1", DeploymentStatus.SCALED_TO_ZERO, replicas=0)
    page = watched.open("/console/playground?model=typed&version=1")
    form = page.locator(".signature-form label")
    expect(form).to_have_count(len(types))
    for number, (name, kind) in enumerate(types.items()):
        expect(form.nth(number)).to_contain_text(f"{name} {kind}")
    expect(form.nth(3)).to_contain_text("may be empty")
    for name, wrong, complaint in (
        ("age", "3.5", "must be a whole number"),
        ("fee", "five", "must be a number"),
        ("member", "yes", "must be true or false"),
        ("history", "[1,", "must be JSON"),
    ):
        field = form.filter(has_text=name)
        field.get_by_role("textbox").fill(wrong)
        expect(field.locator(".field-error")).to_have_text(complaint)
        expect(field.get_by_role("textbox")).to_have_attribute("aria-invalid", "true")
    watched.requests.clear()
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("4 fields above cannot be sent")
    assert "/mlops/inference" not in watched.requests


def test_cold_version_says_how_far_its_start_is(watched: Watched, gateway: Gateway) -> None:
    platform = gateway.platform
    platform.registry.register("cold", "1")
    platform.registry.signatures["cold", "1"] = ModelSignature(columns=(InputColumn("age", "double", required=True),))
    platform.deploy("cold", "1", DeploymentStatus.SCALED_TO_ZERO, replicas=0)
    page = watched.open("/console/playground?model=cold&version=1")
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)

    page.route("**/mlops/inference", hold)
    page.get_by_role("button", name="Ask").click()
    waiting = page.get_by_role("status").filter(has_text="Asking")
    expect(waiting).to_contain_text("scaled to zero It has no process; this request starts one.")
    platform.deploy("cold", "1", DeploymentStatus.STARTING, message="A process loads the model (3 of 7 files).")
    expect(waiting).to_contain_text("starting A process loads the model (3 of 7 files).")
    expect(waiting).to_contain_text(re.compile(r"\d s so far"))
    expect(waiting.get_by_role("progressbar")).to_be_visible()
    platform.deploy("cold", "1", DeploymentStatus.READY)
    expect(waiting.get_by_role("progressbar")).to_have_count(0)
    answer = {"model_name": "cold", "model_version": "1", "predictions": [7], "inference_time_ms": 0.2, "request_id": "r"}
    asked[0].fulfill(json=answer)
    expect(page.locator(".prediction")).to_have_text("7")
