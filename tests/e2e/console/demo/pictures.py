"""Pictures of the console for the README and the guides: `make pictures` writes docs/pictures/.

A platform of its own is started and filled; every page is opened in a real browser, in light and dark.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from raylift import Client
from raylift.launcher import LocalPlatform
from tests.browser import BROWSER_ARGUMENTS, browser_program
from tests.e2e.console.demo.fill import fill, send_traffic

ROOT: Final = Path(__file__).resolve().parents[4]
FOLDER: Final = ROOT / "docs" / "pictures"
STAMP: Final = "sources.sha256"
"""Digest of the sources that the pictures show; `make check` compares it."""
SIZE: Final[ViewportSize] = {"width": 1280, "height": 800}
SETTLE_MS: Final = 2500
"""Charts are drawn, and the second poll has come."""

Prepare = Callable[[Page], Any]


def pages(client: Client) -> dict[str, tuple[str, Prepare | None]]:
    """Return the path of each picture's page, and what is done there first."""
    running = next(iter(client.jobs.list(status="running", model="fraud-score")))
    trained = next(job for job in client.jobs.list(status="completed", model="churn") if job.view.model_version == "1")
    sweep = client.request("GET", "/mlops/training/sweeps")["sweeps"][0]["sweep_id"]
    return {
        "overview": ("", None),
        "jobs": ("jobs", None),
        "new-job": ("new", _example),
        "job": (f"jobs/{running.job_id}", None),
        "job-metrics": (f"jobs/{trained.job_id}?tab=metrics", None),
        "sweep": (f"sweeps/{sweep}", None),
        "model": ("models/churn?range=24h&versions=5,6", None),
        "version": ("models/fraud-score/4?range=24h", None),
        "deployments": ("deployments", None),
        "playground": ("playground?model=churn&version=5&beside=6", _ask),
        "cluster": ("cluster", None),
        "new-schedule": ("schedules/new", _example),
    }


def _example(page: Page) -> None:
    page.get_by_role("button", name="Take the example").click()


def _ask(page: Page) -> None:
    for name, value in (("months", "3"), ("monthly_fee", "110"), ("support_calls", "4")):
        page.get_by_label(name).fill(value)
    page.get_by_label("Probabilities of the classes").check()
    page.get_by_role("button", name="Ask").click()
    page.locator(".prediction").nth(1).wait_for()


def take(url: str, folder: Path, say: Callable[[str], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Client(url) as client, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_program(), args=BROWSER_ARGUMENTS)
        for theme in ("light", "dark"):
            context = browser.new_context(viewport=SIZE, color_scheme=theme, locale="en-GB", timezone_id="UTC")
            page = context.new_page()
            for name, (path, prepare) in pages(client).items():
                page.goto(f"{url}/console/{path}")
                page.get_by_role("heading", level=1).wait_for()
                if prepare is not None:
                    prepare(page)
                page.wait_for_timeout(SETTLE_MS)
                write_picture(folder / f"{name}-{theme}.webp", page.screenshot())
                say(f"{name}, {theme}")
            context.close()
        browser.close()
    shutil.copyfile(ROOT / "serve_apps" / "console" / "static" / STAMP, folder / STAMP)


def write_picture(path: Path, png: bytes) -> None:
    """Write a picture of 256 colours: a third of its size, with no difference to the eye."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).convert("RGB").save(path, lossless=True, quality=100, method=4)


def main() -> None:
    state_dir = Path(tempfile.mkdtemp(prefix="raylift-pictures-"))
    ports = {"gateway": 0, "ray_dashboard": 0, "mlflow": 0, "grpc": 0}
    running = LocalPlatform.start(state_dir, overrides={"ports": ports})
    try:
        fill(running.url, state_dir, running.record.mlflow_url, print)
        traffic = threading.Thread(target=send_traffic, args=(running.url, 120), daemon=True)
        traffic.start()
        # The charts show a day, whose figures are in the store already.
        traffic.join(20)
        take(running.url, FOLDER, print)
    finally:
        running.stop()
        shutil.rmtree(state_dir)


if __name__ == "__main__":
    main()
