"""A process that holds the supervisor's lease when it can, and attends to rollouts.

Arguments: the database's URL, the file of its keys, and a directory for counters and the registry's file.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from raylift.domain.errors import EngineUnavailable, StaleLease
from raylift.domain.lease import SUPERVISOR
from raylift.services.models.quality import QualityService
from raylift.services.traffic.tables import TrafficService
from raylift.store import KeyRing, Store
from raylift.supervisor.rollouts.execute import RolloutExecutor
from tests.contract.file_registry import FileRegistry

_LEASE_SECONDS: Final = 0.5


def executor_of(store: Store, directory: Path) -> RolloutExecutor:
    registry = cast("Any", FileRegistry(directory / "aliases.json"))
    quality = QualityService(store, registry, directory / "payloads")
    return RolloutExecutor(store, TrafficService(store, registry), quality, directory / "counters", _now)


def _now() -> datetime:
    return datetime.now(UTC)


def main(url: str, keys: str, directory: str) -> None:
    store = Store.open(url, KeyRing(Path(keys)))
    executor = executor_of(store, Path(directory))
    while True:
        lease = store.leases.acquire(SUPERVISOR, str(os.getpid()), now=_now(), seconds=_LEASE_SECONDS)
        until = _now() + timedelta(seconds=_LEASE_SECONDS / 2)
        try:
            while lease is not None and _now() < until:
                executor.attend(lease)
                time.sleep(0.005)
        except (StaleLease, EngineUnavailable):
            pass
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
