"""Hypothesis profile, signal handling and garbage collection for all tests, and an empty store to copy."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings


def pytest_configure() -> None:
    # CI generates the same examples in each run, so its verdict depends on the change only. Runs by hand generate new ones.
    # No deadlines: the time of an example depends on the load of the machine.
    settings.register_profile("raylift", derandomize=bool(os.environ.get("CI")), deadline=None)
    settings.load_profile("raylift")
    # Threads of OpenMP otherwise spin while they wait for each other. Beside other tests, that takes three times the CPU.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A shell that runs the tests in the background ignores Ctrl-C. Processes of the tests would inherit that.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    # Each collection would look at all objects of MLflow, pandas and Ray: a quarter of the unit tests' CPU.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, to be copied."""
    # Imported by the tests that need it.
    from raylift.store import Store

    path = tmp_path_factory.mktemp("store") / "store.db"
    store = Store.open(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path
