"""A real platform for the end-to-end tests: free ports, its state in a temporary directory, nothing left afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylift import Client
from raylift.launcher import LocalPlatform
from raylift.launcher.processes import processes_of

HERE = Path(__file__).parent
OVERRIDES = {
    "ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0, "grpc": 0},
    # Of a machine that runs the tests besides.
    "startup": {"timeout_seconds": 300},
    # Else each model that was asked keeps its process for five minutes.
    "serving": {"downscale_delay_seconds": 60.0},
    "jobs": {"stop_grace_seconds": 3.0},
}


@pytest.fixture(scope="session")
def platform() -> Iterator[LocalPlatform]:
    """Started once for all tests: they use names of their own for models and experiments."""
    state_dir = Path(tempfile.mkdtemp(prefix="raylift-e2e-"))
    running = LocalPlatform.start(state_dir, overrides=OVERRIDES)
    try:
        yield running
    finally:
        running.stop()
    left = [" ".join(process.cmdline()) for process in processes_of(running.record.instance)]
    assert not left, "processes were left behind"
    assert not running.record.session_dir.exists()
    shutil.rmtree(state_dir)


@pytest.fixture
def client(platform: LocalPlatform) -> Iterator[Client]:
    with Client(platform.url) as connected:
        yield connected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test also waits for the platform: a minute or two on two cores."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))
