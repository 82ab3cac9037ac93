"""The form of a new job: what is dropped on it, what it marks, and that it makes each job once."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import Watched, drop, script
from tests.integration.console.conftest import Gateway

pytestmark = pytest.mark.timeout(300)

CHOOSE = "Training script or project"


def test_dropped_script_names_the_job_and_is_sent_once(watched: Watched, gateway: Gateway, tmp_path: Path) -> None:
    source = tmp_path / "Dropped model.py"
    source.write_text("print('dropped')\n", encoding="utf-8")
    page = watched.open("/console/new")
    drop(page, page.locator(".drop"), source)
    expect(page.get_by_label("Model")).to_have_value("dropped-model")
    expect(page.get_by_label("Experiment")).to_have_value("dropped-model")
    page.get_by_label("Memory").fill("1GiB")
    page.get_by_label("Arguments").fill("--name\nO'Neil")
    page.get_by_label("Variables").fill("A=1")
    page.get_by_text("As code", exact=True).click()
    page.get_by_role("button", name="curl", exact=True).click()
    printed = page.get_by_label("Code", exact=True).inner_text()
    page.get_by_role("button", name="Start the job").dblclick()
    expect(page).to_have_url(re.compile("/console/jobs/"))
    (made,) = gateway.jobs("dropped-model")
    # The printed command makes an equal job.
    subprocess.run(["bash", "-c", f"{printed} -sSf"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    first, second = (asked_for(gateway, job["job_id"]) for job in gateway.jobs("dropped-model"))
    assert first == second
    assert first["args"] == ["--name", "O'Neil"]
    assert made["script_name"] == "Dropped model.py"


def asked_for(gateway: Gateway, job_id: str) -> dict[str, Any]:
    """The job without what is its own: its id, times, links, and place in the queue."""
    view = gateway.http.get(f"/mlops/training/jobs/{job_id}").json()
    return {
        name: value
        for name, value in view.items()
        if name not in {"job_id", "created_at", "links", "queue_position", "message", "phases"}
    }


def test_dropped_folder_is_a_project(watched: Watched, gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "housing"
    (folder / "lib").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    for name, text in {"main.py": "import lib.prices\n", "lib/prices.py": "x = 1\n", "__pycache__/x.pyc": "no"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    page = watched.open("/console/new")
    drop(page, page.locator(".drop"), folder)
    expect(page.get_by_label("Script in the project")).to_have_value("main.py")
    expect(page.get_by_label("Model")).to_have_value("housing")
    page.get_by_role("button", name="Start the job").click()
    expect(page).to_have_url(re.compile("/console/jobs/"))
    (job,) = gateway.jobs("housing")
    project = gateway.http.get(f"/mlops/training/jobs/{job['job_id']}/project")
    with tarfile.open(fileobj=io.BytesIO(project.content)) as archive:
        assert sorted(member.name for member in archive if member.isfile()) == ["lib/prices.py", "main.py"]


def test_wrong_scripts_and_fields_are_marked_and_store_nothing(watched: Watched, gateway: Gateway) -> None:
    page = watched.open("/console/new")
    page.get_by_label(CHOOSE).set_input_files(script("x = 1\ny = (\n", "broken.py"))
    # Before anything was sent, and after.
    expect(page.get_by_role("alert").first).to_contain_text(re.compile(r"Line 2, column \d"))
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_text("Nothing was sent")).to_be_visible()
    page.get_by_label(CHOOSE).set_input_files(script("print(1)", "broken.py"))
    for label, value, complaint in (
        ("CPUs", "4000", "no node of the cluster could ever hold"),
        ("Memory", "much", "not an amount of memory"),
        ("Timeout", "0", "must be from 60 to 3600 seconds"),
        ("Model", "a b", "cannot be a model's name"),
    ):
        field = page.locator(".field").filter(has=page.get_by_label(label))
        before = page.get_by_label(label).input_value()
        page.get_by_label(label).fill(value)
        expect(field.get_by_role("alert")).to_contain_text(re.compile(complaint))
        # Sent as it is, it is marked at the same place. The mark goes with the next change.
        page.get_by_role("button", name="Start the job").click()
        expect(page.get_by_text("Nothing was sent: one thing above is wrong")).to_be_visible()
        expect(field.get_by_role("alert")).to_contain_text(re.compile(complaint))
        page.get_by_label(label).fill(before)
        expect(field.get_by_role("alert")).to_have_count(0)
    assert gateway.jobs("broken") == []


def test_sweep_says_its_number_of_jobs(watched: Watched, gateway: Gateway) -> None:
    page = watched.open("/console/new")
    page.get_by_label(CHOOSE).set_input_files(script("print(1)", "grid.py"))
    page.get_by_text("Sweep: one job for each combination").click()
    page.get_by_label("Values").fill("LR = 0.1, 0.2\nDEPTH = 3, 5, 7")
    expect(page.get_by_text(re.compile("A 2 . 3 sweep: 6 jobs"))).to_be_visible()
    page.get_by_role("button", name="Start 6 jobs").dblclick()
    expect(page).to_have_url(re.compile("/console/sweeps/"))
    assert len(gateway.jobs("grid")) == 6
