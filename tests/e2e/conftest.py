"""A real platform for the end-to-end tests: free ports, its state in a temporary directory, nothing left afterwards."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from raylift import Client
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

if TYPE_CHECKING:
    from tests.e2e.protocol_models import Served

HERE = Path(__file__).parent
OVERRIDES = {
    "ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0, "grpc": 0},
    # Of a machine that runs the tests besides.
    "startup": {"timeout_seconds": 300},
    # Else each model that was asked keeps its process for five minutes.
    "serving": {"downscale_delay_seconds": 60.0},
    "jobs": {"stop_grace_seconds": 3.0},
    # Of the index that some tests start.
    "environments": {"http_hosts": ["127.0.0.1"]},
    # Receivers of webhooks are processes of the tests.
    "webhooks": {"allowed_networks": ["127.0.0.0/8"]},
    # The tree of these tests, even if another one is installed.
    "environment": {"set": {"PYTHONPATH": f"{HERE.parents[1] / 'platform'}{os.pathsep}{HERE.parents[1]}"}},
    # Else a payload is seen after half a minute.
    "observability": {"payload_file_seconds": 0.5},
}

ARITHMETIC = ("MKL_CBWR", "COMPATIBLE")
"""A setting of the machine's owner for a numerical library. No test computes with this one."""


@pytest.fixture(scope="session")
def platform() -> Iterator[LocalPlatform]:
    """Started once for all tests: they use names of their own for models and experiments."""
    state_dir = Path(tempfile.mkdtemp(prefix="raylift-e2e-"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(*ARITHMETIC)
        running = LocalPlatform.start(state_dir, overrides=OVERRIDES)
    try:
        yield running
    finally:
        running.stop()
    left = [" ".join(process.cmdline()) for process in processes_of(running.record.instance)]
    assert not left, "processes were left behind"
    assert not running.record.session_dir.exists()
    shutil.rmtree(state_dir)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect garbage after each test: a resource that a test leaves open is reported as that test's error."""
    yield
    gc.collect()


@pytest.fixture
def client(platform: LocalPlatform) -> Iterator[Client]:
    with Client(platform.url) as connected:
        yield connected


@pytest.fixture(scope="session")
def served(platform: LocalPlatform) -> Served:
    """The models of ``protocol_models``, registered once for all tests that ask them."""
    from tests.e2e.protocol_models import Served, models, register

    registered = Served(platform.url, f"protocols-{uuid.uuid4().hex[:6]}", models())
    register(registered.models, registered.prefix, platform.record.mlflow_url)
    names = {registered.name(model) for model in registered.models}
    end = time.monotonic() + 120
    with httpx.Client(base_url=platform.url) as http:
        while not names <= set(http.get("/v1/models").json()["models"]):
            assert time.monotonic() < end, "they were not found"
            time.sleep(0.3)
    return registered


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test also waits for the platform: a minute or two on two cores."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))
