"""A process that holds the supervisor's lease when it can, and closes the windows of watched versions.

Arguments: the URL of the database, the file of its keys, and the directory of the sketches.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from raylift.domain.errors import EngineUnavailable, StaleLease
from raylift.domain.lease import SUPERVISOR
from raylift.domain.models.version import ModelVersion
from raylift.store import KeyRing, Store
from raylift.supervisor.monitors.watch import MonitorWatch

_LEASE_SECONDS: Final = 0.4


class _NoRegistry:
    """The references are in the store."""

    def version(self, name: str, version: str) -> ModelVersion:
        raise AssertionError(name, version)

    def reference_profile(self, version: ModelVersion) -> dict[str, Any] | None:
        raise AssertionError(version)


def main(url: str, keys: str, sketches: str) -> None:
    store = Store.open(url, KeyRing(Path(keys)))
    watch = MonitorWatch(store, _NoRegistry(), Path(sketches), lambda: datetime.now(UTC))
    while True:
        try:
            lease = store.leases.acquire(SUPERVISOR, str(os.getpid()), now=datetime.now(UTC), seconds=_LEASE_SECONDS)
            until = time.monotonic() + _LEASE_SECONDS / 2
            while lease is not None and time.monotonic() < until:
                watch.close_windows(lease)
        except (StaleLease, EngineUnavailable):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
