"""Signing in in a real browser, with a key and with an identity provider: the form, a followed log, a download, and nothing
that outlives signing out.

The gateway is real, and in keys mode; no engine has to run for that.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.async_api import Page, async_playwright, expect

from raylift.access_settings import OidcSettings
from raylift.settings import PlatformSettings
from raylift.store import Store
from tests.browser import BROWSER_ARGUMENTS, browser_program
from tests.identity_provider import running_provider
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

pytestmark = pytest.mark.timeout(300)

UPLOAD = {"script_content": "print(1)", "experiment_name": "demo", "model_name": "churn"}
LOG = b"hello\n10%\r20%\nlast\n"


@asynccontextmanager
async def keyed_gateway(state_dir: Path, **more: Any) -> AsyncIterator[KeyedPlatform]:
    nowhere, empty = "http://127.0.0.1:9", state_dir / "empty.db"
    store = Store.open(f"sqlite:///{empty}")
    store.migrate()
    store.close()
    settings = PlatformSettings(
        state_dir=state_dir,
        database_url=f"sqlite:///{state_dir}/store.db",
        mlflow_url=nowhere,
        ray_dashboard_url=nowhere,
        gateway_url=nowhere,
        **more,
    )
    async with keyed_platform(settings, empty) as made:
        yield made


@pytest.fixture
async def keyed(tmp_path: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_gateway(tmp_path) as made:
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
        (session,) = await page.context.cookies()
        assert (session.get("name"), session.get("httpOnly"), session.get("sameSite")) == ("raylift_session", True, "Strict")
        assert await page.evaluate("document.cookie + sessionStorage.length + localStorage.length") == "00"

        await page.get_by_role("button", name="Sign out").click()
        await expect(key).to_be_visible()
        assert keyed.tokens["viewer"] not in str(await page.context.storage_state(indexed_db=True))
        assert faults == []


async def test_new_key_is_shown_once(keyed: KeyedPlatform) -> None:
    async with served(keyed) as url, browser_page() as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(f"{url}/console/access")
        await page.get_by_label("Key", exact=True).fill(keyed.tokens["admin"])
        await page.get_by_label("Key", exact=True).press("Enter")
        await page.get_by_role("button", name="New key").click()
        await page.get_by_label("Name of the user or program").fill("ci-deploy")
        await page.get_by_role("radio", name="submitter").check()
        # A double click makes one key.
        await page.get_by_role("button", name="Make the key").dblclick()
        shown = page.get_by_role("dialog", name="The key of ci-deploy")
        key = await shown.locator(".secret code").inner_text()
        await shown.get_by_role("button", name="Copy the key").click()
        assert await page.evaluate("navigator.clipboard.readText()") == key
        assert (await keyed.send(key, "GET", "/mlops/whoami")).json()["role"] == "submitter"
        await shown.get_by_role("button", name="I have it").click()
        row = page.get_by_role("row", name=re.compile("ci-deploy"))
        await expect(row).to_have_count(1)
        await page.reload()
        await expect(row).to_be_visible()
        secret = key.rpartition("_")[2]
        assert secret not in await page.content()
        await row.get_by_role("button", name="Revoke").click()
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(row).to_contain_text("revoked")
        assert (await keyed.send(key, "GET", "/mlops/whoami")).status_code == 401


async def test_identity_provider_signs_in(tmp_path: Path) -> None:
    secret = tmp_path / "client-secret"
    secret.write_text("s3cret")
    with running_provider() as provider:
        provider.put("ann", email="ann@example.org", groups=["red"])
        oidc = OidcSettings.model_validate(provider.settings(client_secret_file=str(secret), name="Example ID"))
        async with keyed_gateway(tmp_path, oidc=oidc) as keyed, served(keyed) as url, browser_page() as page:
            await page.goto(f"{url}/console/models")
            await page.get_by_role("link", name="Sign in with Example ID").click()
            await page.locator("input[name=sub]").fill("ann")
            await page.locator("input[name=sub]").press("Enter")
            await expect(page.get_by_text("submitter · red")).to_be_visible()
            assert page.url == f"{url}/console/models"
            (session,) = await page.context.cookies(url)
            token = session.get("value", "")
            assert (await keyed.send(token, "GET", "/mlops/whoami")).json()["name"] == "ann@example.org"
            # Posted with the session: the browser names the page's origin.
            await page.get_by_role("button", name="Sign out").click()
            await expect(page.get_by_label("Key", exact=True)).to_be_visible()
            assert (await keyed.send(token, "GET", "/mlops/whoami")).status_code == 401
