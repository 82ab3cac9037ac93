"""A platform for one benchmark on free ports, or one that runs already."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raylift.launcher import LocalPlatform

_FREE_PORTS = {"ports": {"gateway": 0, "ray_dashboard": 0, "mlflow": 0}, "startup": {"timeout_seconds": 300}}


@contextmanager
def platform(found: Path | None, overrides: Mapping[str, Any] | None = None) -> Iterator[LocalPlatform]:
    """The platform with state directory ``found``. Without one: a new platform (SQLite), stopped and removed afterwards."""
    if found is not None:
        running = LocalPlatform.find(found)
        if running is None:
            raise SystemExit(f"no platform runs at {found}")
        yield running
        return
    # Otherwise `timeout` and `kill` would leave it running.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    state_dir = Path(tempfile.mkdtemp(prefix="rlb-"))
    running = LocalPlatform.start(state_dir, overrides={**_FREE_PORTS, **(overrides or {})})
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(state_dir, ignore_errors=True)
