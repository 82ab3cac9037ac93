"""From a dropped script to a prediction by mouse alone, and what a person sees of jobs on the way."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from raylift import Client
from tests.browser import Watched, drop

pytestmark = pytest.mark.timeout(600)

TRAINING = """
import mlflow
import pandas as pd
from sklearn.linear_model import LinearRegression

rows = pd.DataFrame({"months": [9.0, 1.0, 2.0]})
model = LinearRegression().fit(rows, 3 * rows.months)
mlflow.sklearn.log_model(model, name="model", input_example=rows.head(1))
"""
PRINTING = """
import sys, time
print("begun")
for percent in range(0, 101, 10):
    print(f"\\rloading: {percent}%", end="")
print()
print("<script>document.title = 'owned'</script>")
print("\\x1b[31mred words\\x1b[0m")
for number in range(3000):
    print("line", number)
print("the last line", flush=True)
"""


def new_name(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:6]}"


def test_example_is_trained_and_asked_by_mouse_alone(watched: Watched) -> None:
    page, model = watched.open("/"), new_name("seen")
    expect(page).to_have_url(f"{watched.url}/console/")
    page.get_by_role("link", name="New job").first.click()
    page.get_by_role("button", name="Take the example").click()
    expect(page.get_by_label("Model")).to_have_value("churn")
    page.get_by_label("Model").fill(model)
    page.get_by_label("Experiment").fill(model)
    # A double click makes one job.
    page.get_by_role("button", name="Start the job").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text(model)
    expect(page.locator(".title-row .state")).to_have_text("completed", timeout=180_000)
    expect(page.get_by_role("log")).to_contain_text("trained on 1500 customers")
    assert len(httpx.get(f"{watched.url}/mlops/training/jobs", params={"model_name": model}).json()["jobs"]) == 1
    page.get_by_role("link", name="Metrics").click()
    expect(page.get_by_role("row", name=re.compile(r"^accuracy \d"))).to_be_visible()

    page.get_by_role("link", name=f"{model} v1").click()
    with page.expect_popup() as opened:
        source = page.get_by_role("region", name="Where it comes from")
        source.get_by_role("link", name=re.compile("^[0-9a-f]{12}$")).last.click()
    expect(opened.value.get_by_text("accuracy").first).to_be_visible(timeout=60_000)
    opened.value.close()
    page.get_by_role("main").get_by_role("link", name="Playground").click()
    page.get_by_label("months").fill("3")
    page.get_by_label("monthly_fee").fill("110")
    page.get_by_label("support_calls").fill("five")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_text("must be a number")).to_be_visible()
    page.get_by_label("support_calls").fill("5")
    page.get_by_label("Probabilities of the classes").check()
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".prediction")).to_have_text("1", timeout=120_000)
    row = {"months": 3.0, "monthly_fee": 110.0, "support_calls": 5.0}
    with Client(watched.url) as client:
        answer = client.predict(model, [row], version="1", proba=True)
    assert list(answer.predictions) == [1]
    assert answer.probabilities is not None
    share = f"{round(float(answer.probabilities[0][1]) * 1000) / 10:g} %"
    expect(page.locator(".class-shares li").nth(1)).to_contain_text(share)


def test_dropped_script_answers_by_mouse_alone(watched: Watched, tmp_path: Path) -> None:
    model = new_name("dropped")
    source = tmp_path / f"{model}.py"
    source.write_text(TRAINING, encoding="utf-8")
    page = watched.open("/console/")
    drop(page, page.locator("main"), source)
    page.get_by_role("button", name="Start the job").click()
    # The script's name is the model's; its input example fills the form.
    page.get_by_role("link", name="Ask the model").click(timeout=180_000)
    expect(page.get_by_label("Model")).to_have_value(model)
    page.get_by_role("button", name="Ask").click()
    expect(page.locator(".prediction")).to_have_text("27", timeout=120_000)


def test_log_is_text_follows_and_finds(watched: Watched, client: Client) -> None:
    job = client.train(script_content=PRINTING, experiment=new_name("log"), deploy=False)
    page = watched.open(f"/console/jobs/{job.job_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("the last line", timeout=120_000)
    # A progress bar stays one line, and few of 3,000 lines are in the page.
    expect(page.locator(".log-bar")).to_contain_text(re.compile(r"3.0\d\d lines"))
    assert page.locator(".log-line").count() < 150
    assert page.title() == f"{job.experiment_name} · Raylift"
    page.keyboard.press("/")
    page.keyboard.type("<script>")
    expect(page.get_by_text("1 of 1")).to_be_visible()
    page.keyboard.press("Enter")
    expect(log).to_contain_text("<script>document.title = 'owned'</script>")
    expect(log.locator(".ansi-red")).to_have_text("red words")
    expect(log).to_contain_text("loading: 100%")
    expect(log).not_to_contain_text("loading: 90%")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Jump to end").click()
    expect(log).to_contain_text("the last line")


def test_failure_says_why_and_what_to_do(watched: Watched, client: Client) -> None:
    job = client.train(script_content="raise SystemExit('no table customers')", experiment=new_name("fails"), max_retries=1)
    page = watched.open(f"/console/jobs/{job.job_id}?tab=history")
    expect(page.locator(".title-row .state")).to_have_text("failed", timeout=120_000)
    reason = page.get_by_role("region", name="Reason")
    expect(reason).to_contain_text("script error")
    expect(reason).to_contain_text("Mend the script")
    expect(page.get_by_role("row", name=re.compile("^2 "))).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(job.job_id))
    expect(page.locator(".title-row .state")).to_have_text("failed", timeout=120_000)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(f"{watched.url}/console/jobs")
    page.go_back()
    expect(page.get_by_text("There is no such job")).to_be_visible()


def test_running_job_is_cancelled_after_a_question(watched: Watched, client: Client) -> None:
    job = client.train(script_content="import time; print('up', flush=True); time.sleep(600)", experiment=new_name("cancel"))
    page = watched.open(f"/console/jobs/{job.job_id}")
    expect(page.get_by_role("log")).to_contain_text("up", timeout=120_000)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"jobs cancel {job.job_id}")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".title-row .state")).to_have_text("cancelled", timeout=60_000)
