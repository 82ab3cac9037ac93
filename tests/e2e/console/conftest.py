"""A real browser on the session's platform."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from raylift.launcher import LocalPlatform
from tests.browser import Watched, running_browser, watched_page


@pytest.fixture(scope="session")
def url(platform: LocalPlatform) -> str:
    return platform.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as launched:
        yield launched


@pytest.fixture
def watched(browser: Browser, url: str) -> Iterator[Watched]:
    with watched_page(browser, url) as seen:
        yield seen
