"""Pictures for docs/guides/closed_loop.md, taken while the example runs. `make pictures` writes them to docs/pictures/."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import yaml
from playwright.sync_api import Browser, sync_playwright

from raylift import Client, NotFound
from raylift.launcher import LocalPlatform
from tests.browser import BROWSER_ARGUMENTS, browser_program
from tests.e2e.console.demo.pictures import FOLDER, ROOT, SETTLE_MS, SIZE, write_picture

EXAMPLE: Final = ROOT / "examples" / "closed_loop"
MODEL: Final = "late-deliveries"
DAYS: Final = ["--days", "12", "--suburbs-from", "3", "--winter-from", "99", "--broken-export", "7"]
LONGEST_SECONDS: Final = 1800


def is_drifting(client: Client) -> bool:
    return bool(client.monitors.get(MODEL, 1).open_alerts)


def has_rollout(status: str, step: int) -> Callable[[Client], bool]:
    def is_there(client: Client) -> bool:
        return any(one.status == status and (one.step or 0) >= step for one in client.rollouts.list(model=MODEL))

    return is_there


PICTURES: Final = (
    ("loop-drift", is_drifting, f"models/{MODEL}/1?range=1h", "drift"),
    ("loop-rollout", has_rollout("running", 1), f"models/{MODEL}?range=1h", "rollout"),
)
"""Name, condition, page, and id of the heading that is scrolled to, in the order of time."""


def take(url: str, browser: Browser) -> None:
    """Take each picture as soon as its condition holds."""
    end = time.monotonic() + LONGEST_SECONDS
    with Client(url) as client:
        for name, condition, page, heading in PICTURES:
            while not _holds(condition, client):
                if time.monotonic() > end:
                    raise TimeoutError(f"{name}: nothing to see after {LONGEST_SECONDS} s")
                time.sleep(0.5)
            for theme in ("light", "dark"):
                _photograph(browser, f"{url}/console/{page}", theme, heading, FOLDER / f"{name}-{theme}.webp")
            print(name, flush=True)


def _holds(condition: Callable[[Client], bool], client: Client) -> bool:
    with suppress(NotFound):  # The first version is not trained yet.
        return condition(client)
    return False


def _photograph(browser: Browser, address: str, theme: str, heading: str | None, file: Path) -> None:
    context = browser.new_context(
        viewport=SIZE, color_scheme="dark" if theme == "dark" else "light", locale="en-GB", timezone_id="UTC"
    )
    page = context.new_page()
    page.goto(address)
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(SETTLE_MS)
    if heading is not None:
        page.locator(f"#{heading}").evaluate("element => element.scrollIntoView()")
    write_picture(file, page.screenshot())
    context.close()


def run(url: str) -> None:
    """Run the example beside a browser."""
    example = subprocess.Popen([sys.executable, EXAMPLE / "loop.py", "--url", url, "--model", MODEL, *DAYS])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_program(), args=BROWSER_ARGUMENTS)
            take(url, browser)
            browser.close()
    finally:
        example.terminate()
        example.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a platform that runs; without it one is started")
    url = parser.parse_args().url
    if url is not None:
        return run(url)
    ports = {"gateway": 0, "ray_dashboard": 0, "mlflow": 0, "grpc": 0}
    settings = yaml.safe_load((EXAMPLE / "raylift.yaml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="raylift-pictures-") as folder:
        running = LocalPlatform.start(Path(folder), overrides={"ports": ports, **settings})
        try:
            run(running.url)
        finally:
            running.stop()
    return None


if __name__ == "__main__":
    main()
