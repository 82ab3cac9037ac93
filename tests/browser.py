"""A real browser for tests of the console. Playwright drives Debian's Chromium; it downloads none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
PATIENCE_MS = 60_000
"""The time a page may take to show what is expected."""
ROOT = Path(__file__).resolve().parents[1]
AXE = "serve_apps/console/web/node_modules/axe-core/axe.min.js"
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def browser_program() -> str:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.fail("There is no Chromium: apt-get install chromium")
    return program


@contextmanager
def running_browser() -> Iterator[Browser]:
    """One browser for the tests of a file: Playwright's event loop must not outlive it."""
    with sync_playwright() as playwright:
        # Five seconds are not enough for a machine that runs other tests, too.
        expect.set_options(timeout=PATIENCE_MS)
        launched = playwright.chromium.launch(executable_path=browser_program(), args=BROWSER_ARGUMENTS)
        yield launched
        launched.close()


class Watched:
    """A page that notes what no page of the console may do: errors, and requests that leave the origin."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._request)

    def open(self, path: str = "/console/") -> Page:
        self.page.goto(self.url + path)
        return self.page

    def _note(self, kind: str, text: str) -> None:
        # The browser itself reports answers of 4xx, which pages show in words.
        if kind == "error" and "Failed to load resource" not in text:
            self.faults.append(text)

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        self.requests.append(address.path)
        if address.scheme in {"http", "https"} and address.netloc != urlsplit(self.url).netloc:
            self.faults.append(f"a request left the origin: {request.url}")


@contextmanager
def watched_page(browser: Browser, url: str, *, width: int = 1280, height: int = 800) -> Iterator[Watched]:
    """A page in a context of its own. Fails where the page did what no page may."""
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    seen = Watched(context.new_page(), url)
    yield seen
    context.close()
    assert seen.faults == []


def hide(page: Page, *, hidden: bool) -> None:
    """Tell the page that its tab is hidden, or shown again. Playwright keeps every tab visible."""
    page.evaluate(HIDE, hidden)


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def script(text: str, name: str = "train.py") -> Any:
    """A file for a file field."""
    return {"name": name, "mimeType": "text/x-python", "buffer": text.encode()}


def drop(page: Page, onto: Locator, *paths: Path) -> None:
    """Drop files or folders of this machine, as a person does from the file manager."""
    box = onto.bounding_box()
    assert box
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **place})


def edit_traffic(page: Page, *, second: str) -> None:
    """Give version 1 a share beside version 2, up to the question."""
    page.get_by_role("button", name="Change traffic").click()
    page.get_by_label("Add").select_option("1")
    page.get_by_label("Share of v1 in percent").fill(second)
    page.get_by_label("Share of v1 in percent").press("Tab")


def violations(page: Page) -> list[str]:
    """Return the violations that axe-core finds. It runs outside the page's policy, as the browser's own tools do."""
    if not (ROOT / AXE).is_file():
        pytest.fail(f"There is no {AXE}: python .ci/console_check.py installs it")
    source = (ROOT / AXE).read_text(encoding="utf-8")
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": source})
    found: dict[str, Any] = session.send(
        "Runtime.evaluate",
        {
            "expression": "axe.run().then(found => JSON.stringify(found.violations))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    return [f"{item['id']}: {item['help']}: {item['nodes'][0]['html'][:160]}" for item in json.loads(found["result"]["value"])]
