"""The console in a real browser, on a real gateway and store. Engines are fakes: tests play the supervisor."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page

from raylift.settings import PlatformSettings
from raylift.store import Store
from serve_apps.gateway.rest_api import create_app
from tests.browser import Watched, running_browser, watched_page
from tests.unit.gateway.conftest import Platform, assembled

SCRIPT = "print(1)"


@dataclass
class Gateway:
    """A gateway that can be stopped and started again at its port, and what is behind it."""

    platform: Platform
    app: FastAPI
    port: int
    http: httpx.Client
    server: uvicorn.Server | None = None
    thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.server = uvicorn.Server(uvicorn.Config(self.app, port=self.port, log_level="error", access_log=False))
        self.server.config.timeout_graceful_shutdown = 1
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        assert self.server and self.thread
        self.server.should_exit = True
        self.thread.join(30)

    def upload(self, **fields: Any) -> str:
        body = {"script_content": SCRIPT, "experiment_name": "demo"} | fields
        answer = self.http.post("/mlops/training/upload", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["job_id"]

    def jobs(self, text: str) -> list[dict[str, Any]]:
        return self.http.get("/mlops/training/jobs", params={"q": text}).json()["jobs"]


@contextmanager
def running_gateway(folder: Path) -> Iterator[Gateway]:
    nowhere = "http://127.0.0.1:9"
    settings = PlatformSettings(
        state_dir=folder,
        database_url=f"sqlite:///{folder}/store.db",
        mlflow_url=nowhere,
        ray_dashboard_url=nowhere,
        gateway_url=nowhere,
    )
    store = Store.open(settings.database_url)
    store.migrate()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with (
        assembled(settings, store) as behind,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http,
    ):
        made = Gateway(behind, create_app(behind.services), port, http)
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for the tests of a file: they use names of their own."""
    with running_gateway(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as launched:
        yield launched


@pytest.fixture
def watched(browser: Browser, gateway: Gateway) -> Iterator[Watched]:
    with watched_page(browser, gateway.url) as seen:
        yield seen


def polls(page: Page, part: str, count: int) -> None:
    """Wait for the next ``count`` answers of an address that contains ``part``."""
    for _ in range(count):
        with page.expect_response(lambda answer: part in answer.url):
            pass
