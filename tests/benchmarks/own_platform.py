"""A platform for one benchmark on free ports, or one that runs already."""

from __future__ import annotations

import os
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
        _use_token(running)
        yield running
        return
    # Otherwise `timeout` and `kill` would leave it running.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    state_dir = Path(tempfile.mkdtemp(prefix="rlb-"))
    running = LocalPlatform.start(state_dir, overrides={**_FREE_PORTS, **(overrides or {})})
    _use_token(running)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


def ray_headers() -> dict[str, str]:
    """Headers for requests to the platform's Ray, inside of ``platform``."""
    return {"Authorization": f"Bearer {Path(os.environ['RAY_AUTH_TOKEN_PATH']).read_text(encoding='ascii')}"}


def _use_token(running: LocalPlatform) -> None:
    """Let this process's own clients of Ray use the platform's token."""
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(running.record.ray_token_file)})
