"""A real browser on the session's platform. Playwright drives Debian's Chromium; it downloads none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

from raylift.launcher import LocalPlatform
from tests.e2e.console.browser import BROWSER_ARGUMENTS, browser_program


@pytest.fixture(scope="session")
def url(platform: LocalPlatform) -> str:
    return platform.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file: Playwright's event loop must not outlive it."""
    with sync_playwright() as playwright:
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


@pytest.fixture
def watched(browser: Browser, url: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(30_000)
    seen = Watched(context.new_page(), url)
    yield seen
    context.close()
    assert seen.faults == []


def abort(route: Route) -> None:
    route.abort()


def script(text: str, name: str = "train.py") -> Any:
    """A file for a file field."""
    return {"name": name, "mimeType": "text/x-python", "buffer": text.encode()}
