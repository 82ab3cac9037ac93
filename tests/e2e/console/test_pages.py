"""Rules that hold for every page: own origin, no fault, accessible in light and dark, keyboard, address, little traffic."""

from __future__ import annotations

import re
import uuid

import httpx
import pytest
from playwright.sync_api import expect

from raylift import Client
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of
from tests.browser import Watched

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def job_ids(url: str) -> list[str]:
    """Two jobs that have ended, in one experiment."""
    experiment = f"pages-{uuid.uuid4().hex[:6]}"
    with Client(url) as client:
        jobs = [
            client.train(script_content=f"print({number})", experiment=experiment, params={"depth": number}, deploy=False)
            for number in (1, 2)
        ]
        for job in jobs:
            job.wait()
    return [job.job_id for job in jobs]


def test_poll_of_unchanged_jobs_is_not_modified(watched: Watched, job_ids: list[str]) -> None:
    page = watched.open(f"/console/jobs?q={job_ids[0]}")
    expect(page.locator("tbody tr")).to_have_count(1)
    with page.expect_response(lambda answer: "/training/jobs?" in answer.url) as polled:
        pass
    assert polled.value.status == 304


def test_filters_are_in_the_address(watched: Watched, job_ids: list[str]) -> None:
    page = watched.open("/console/jobs")
    page.keyboard.press("/")
    page.keyboard.type(job_ids[0][-8:])
    expect(page).to_have_url(re.compile(f"q={job_ids[0][-8:]}"))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=re.compile("^failed")).click()
    expect(page.get_by_text("No job matches")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Filter jobs")).to_have_value(job_ids[0][-8:])
    expect(page.get_by_text("No job matches")).to_be_visible()
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_keyboard_alone_opens_a_job(watched: Watched, job_ids: list[str]) -> None:
    page = watched.open("/console/")
    expect(page.locator("h1")).to_have_text("Overview")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.locator("h1")).to_have_text("Jobs")
    expect(page.locator("tbody tr").nth(1)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("[data-row]").nth(1)
    expect(second).to_be_focused()
    # Three polls later the focus is where it was.
    for _ in range(3):
        with page.expect_response(lambda answer: "/training/jobs?" in answer.url):
            pass
    expect(second).to_be_focused()
    address = second.get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{watched.url}{address}")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill(job_ids[1])
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{watched.url}/console/jobs/{job_ids[1]}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_two_selected_jobs_are_compared(watched: Watched, job_ids: list[str]) -> None:
    first, second = job_ids
    experiment = httpx.get(f"{watched.url}/mlops/training/jobs/{first}").json()["experiment_name"]
    page = watched.open(f"/console/jobs?experiment={experiment}")
    boxes = page.locator("tbody input[type=checkbox]")
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    page.get_by_role("link", name="Compare two jobs").click()
    expect(page).to_have_url(re.compile(f"/jobs/({first}|{second})/diff/({first}|{second})$"))
    expect(page.locator(".patch .added")).to_contain_text("print(")
    expect(page.get_by_role("row", name=re.compile("^depth"))).to_be_visible()


def test_hanging_mlflow_turns_its_light(watched: Watched, platform: LocalPlatform) -> None:
    page = watched.open("/console/")
    light = page.get_by_label("Parts of the platform").get_by_role("listitem").filter(has_text="mlflow")
    expect(light).to_contain_text("up")
    lines = [(process, " ".join(process.cmdline())) for process in processes_of(platform.record.instance)]
    servers = [process for process, line in lines if "mlflow" in line and "server" in line and "raylift.launcher" not in line]
    assert servers
    for server in servers:
        server.suspend()
    try:
        expect(light).not_to_contain_text("up")
        expect(page.get_by_role("navigation", name="Main")).to_contain_text("MLflow is down")
    finally:
        for server in servers:
            server.resume()
    expect(light).to_contain_text("up")


def test_theme_is_kept(watched: Watched) -> None:
    page = watched.open("/console/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    page.get_by_role("button", name="Theme: system").click()
    light = page.evaluate(background)
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(background) != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(background) != light


def test_api_reference_works_without_the_internet(watched: Watched) -> None:
    page = watched.open("/docs")
    expect(page.get_by_role("heading", name=re.compile("Raylift"))).to_be_visible()
    expect(page.locator(".opblock").first).to_be_visible()
