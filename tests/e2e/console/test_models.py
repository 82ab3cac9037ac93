"""A model's page and its versions': traffic that is asked, charts. Two versions of a model answer on the session's platform."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from raylift import Client
from tests.browser import Watched, edit_traffic, violations

# Two models are trained, deployed and asked a thousand times. In CI, a browser changes traffic, aliases and scale without Ray.
pytestmark = [pytest.mark.timeout(600), pytest.mark.nightly]

SCRIPT = """
import os
import mlflow
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor

frame = load_diabetes(as_frame=True)
model = DummyRegressor(strategy="constant", constant=float(os.environ["ANSWER"])).fit(frame.data[["age"]], frame.target)
for step in range(20):
    mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metric("val_loss", 1.2 / (step + 1), step=step)
mlflow.sklearn.log_model(model, name="model", input_example=frame.data[["age"]].head(2), pip_requirements=["scikit-learn"])
"""


@pytest.fixture(scope="module")
def model(url: str) -> str:
    """Versions 1 and 2 are ready; there is no traffic table."""
    name = f"page-{uuid.uuid4().hex[:6]}"
    with Client(url) as client:
        for answer in ("1", "2"):
            client.train(script_content=SCRIPT, model=name, env={"ANSWER": answer}).wait()
            assert client.deployments.wait(name, answer, timeout=120).status == "ready"
    return name


def shares(url: str, model: str) -> dict[str, float]:
    routes = httpx.get(f"{url}/mlops/models/{model}/traffic").json()["routes"]
    return {route["version"] or route["alias"]: route["weight"] for route in routes}


def answers_of_version_1(url: str, model: str, count: int) -> int:
    """Ask by the model's name ``count`` times. Returns how often version 1 answered. Its prediction is 1, version 2's is 2."""
    body = {"model_name": model, "inputs": [{"age": 0.1}]}
    with httpx.Client(base_url=url, timeout=60) as http:
        answers = [http.post("/mlops/inference", json=body).raise_for_status().json() for _ in range(count)]
    assert all(answer["predictions"] == [float(answer["model_version"])] for answer in answers)
    return sum(answer["model_version"] == "1" for answer in answers)


def test_traffic_is_changed_and_undone_with_before_and_after(watched: Watched, model: str, url: str) -> None:
    page = watched.open(f"/console/models/{model}")
    edit_traffic(page, second="10")
    expect(page.get_by_label("Share of v2 in percent")).to_have_value("90")
    page.get_by_role("button", name="Review").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name=re.compile("^v2 100 % 90 %"))).to_be_visible()
    expect(dialog.get_by_role("row", name=re.compile("^v1 — 10 %"))).to_be_visible()
    dialog.get_by_text("As code").click()
    printed = dialog.get_by_label("Code", exact=True).inner_text()
    dialog.get_by_role("button", name="Apply").click()
    expect(page.locator(".share-figures")).to_contain_text("10 % v1")
    assert shares(url, model) == {"2": 90, "1": 10}
    answered = answers_of_version_1(url, model, 1_000)
    # Four standard deviations around a tenth of a thousand.
    assert answered == pytest.approx(100, abs=38)

    page.get_by_text("1 change, the last by local").click()
    page.get_by_role("button", name="Roll back").click()
    expect(dialog.get_by_role("row", name=re.compile("^v2 90 % "))).to_be_visible()
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("There is no traffic table")).to_be_visible()
    # The command works as printed.
    program, *words = shlex.split(printed)
    subprocess.run([Path(sys.executable).parent / program, *words], check=True, capture_output=True, timeout=60)
    expect(page.locator(".share-figures")).to_contain_text("10 % v1")
    httpx.delete(f"{url}/mlops/models/{model}/traffic").raise_for_status()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_accessible_and_have_a_table(watched: Watched, model: str, url: str, scheme: Any) -> None:
    watched.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    job = httpx.get(f"{url}/mlops/training/jobs", params={"model_name": model}).json()["jobs"][0]["job_id"]
    found: dict[str, list[str]] = {}
    for path in (f"models/{model}", f"models/{model}/1", f"deployments?charts={model}/1", f"jobs/{job}?tab=metrics"):
        page = watched.open(f"/console/{path}")
        chart = page.locator(".chart-plot").first
        expect(chart.locator("canvas")).to_be_visible()
        chart.focus()
        page.keyboard.press("ArrowRight")
        page.get_by_text("Figures as a table").first.click()
        expect(page.get_by_role("region", name="Figures").get_by_role("row").nth(1)).to_be_visible()
        if path == f"models/{model}":
            page.get_by_role("button", name="Change traffic").click()
        found[path] = violations(page)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), f"{path} scrolls sideways"
    assert {path: items for path, items in found.items() if items} == {}


def test_curves_of_a_job_are_in_one_chart_where_they_are_of_one_thing(watched: Watched, model: str, url: str) -> None:
    job = httpx.get(f"{url}/mlops/training/jobs", params={"model_name": model}).json()["jobs"][0]["job_id"]
    page = watched.open(f"/console/jobs/{job}?tab=metrics")
    chart = page.locator(".chart").filter(has_text="over 20 steps")
    expect(chart).to_have_count(1)
    expect(chart.locator(".chart-legend")).to_contain_text(re.compile("loss 0.05.*val_loss 0.06"))
    chart.locator(".chart-plot").focus()
    page.keyboard.press("ArrowRight")
    expect(chart).to_contain_text("step 0")
    expect(chart.locator(".chart-legend")).to_contain_text(re.compile("loss 1.*val_loss 1.2"))
