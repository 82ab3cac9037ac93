"""A process that holds the supervisor's lease when it can, and attends to schedules. Its clock runs fast: see ``clock``.

Arguments: the database's URL, the file of its keys, the state directory, and the time at which the fast clock began.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from raylift.domain.errors import EngineUnavailable, StaleLease
from raylift.domain.lease import SUPERVISOR
from raylift.services.schedules.jobs import ScheduledJobs
from raylift.services.secrets import SecretService
from raylift.settings import PlatformSettings
from raylift.store import KeyRing, Store
from raylift.supervisor.schedules.execute import ScheduleExecutor

FASTER: Final = 300
"""A minute lasts a fifth of a second."""
_LEASE_SECONDS: Final = 0.5


def clock(began: datetime) -> datetime:
    """Return the time of the fast clock."""
    return began + FASTER * (datetime.now(UTC) - began)


def main(url: str, keys: str, state_dir: str, began: str) -> None:
    start = datetime.fromisoformat(began)
    nowhere = "http://127.0.0.1:1"
    engines = {"mlflow_url": nowhere, "ray_dashboard_url": nowhere, "gateway_url": nowhere}
    settings = PlatformSettings.model_validate({"state_dir": state_dir, "database_url": url, **engines})
    store = Store.open(url, KeyRing(Path(keys)))
    executor = ScheduleExecutor(
        store, ScheduledJobs(store, settings, SecretService(store), lambda spec: spec), lambda: clock(start)
    )
    while True:
        lease = store.leases.acquire(SUPERVISOR, str(os.getpid()), now=datetime.now(UTC), seconds=_LEASE_SECONDS)
        until = datetime.now(UTC) + timedelta(seconds=_LEASE_SECONDS / 2)
        try:
            while lease is not None and datetime.now(UTC) < until:
                executor.attend(lease)
                time.sleep(0.005)
        except (StaleLease, EngineUnavailable):
            pass
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
