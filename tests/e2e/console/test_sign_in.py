"""Signing in with a key in a real browser: the form, a followed log, a download, and nothing that outlives signing out.

The gateway is real, and in keys mode; no engine has to run for that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import Page, async_playwright, expect

from raylift.settings import PlatformSettings
from raylift.store import Store
from tests.e2e.console.conftest import BROWSER_ARGUMENTS, browser_program
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

pytestmark = pytest.mark.timeout(300)

UPLOAD = {"script_content": "print(1)", "experiment_name": "demo", "model_name": "churn"}
LOG = b"hello\n10%\r20%\nlast\n"


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[KeyedPlatform]:
    nowhere, empty = "http://127.0.0.1:9", tmp_path / "empty.db"
    store = Store.open(f"sqlite:///{empty}")
    store.migrate()
    store.close()
    settings = PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url=nowhere,
        ray_dashboard_url=nowhere,
        gateway_url=nowhere,
    )
    async with keyed_platform(settings, empty) as made:
        yield made


@asynccontextmanager
async def served(keyed: KeyedPlatform) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(keyed.app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


@asynccontextmanager
async def browser_page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_program(), args=BROWSER_ARGUMENTS)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        yield page
        await browser.close()


async def test_key_is_asked_for_and_forgotten(keyed: KeyedPlatform) -> None:
    async with served(keyed) as url, browser_page() as page:
        job_id = (await keyed.send("submitter", "POST", "/mlops/training/upload", json=UPLOAD)).json()["job_id"]
        keyed.platform.start(job_id, LOG)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(f"{url}/console/jobs/{job_id}")

        key = page.get_by_label("Key", exact=True)
        await expect(key).to_be_focused()
        await key.fill("not-a-key")
        await key.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("does not know this key")

        await key.fill(keyed.tokens["viewer"])
        await key.press("Enter")
        await expect(page.get_by_text("viewer · red")).to_be_visible()
        await expect(page.get_by_text("last", exact=True)).to_be_visible()
        async with page.expect_download() as download:
            await page.get_by_text("Download", exact=True).click()
        saved = await (await download.value).path()
        assert await asyncio.to_thread(saved.read_bytes) == LOG

        keyed.platform.finish(job_id)
        await expect(page.get_by_text("live", exact=True)).to_have_count(0)
        await page.reload()
        await expect(page.get_by_text("viewer · red")).to_be_visible()
        assert await page.context.cookies() == []

        await page.get_by_role("button", name="Sign out").click()
        await expect(key).to_be_visible()
        assert keyed.tokens["viewer"] not in str(await page.context.storage_state(indexed_db=True))
        assert await page.evaluate("sessionStorage.length") == 0
        assert faults == []
