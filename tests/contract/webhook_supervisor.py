"""A process that holds the supervisor's lease when it can, and delivers to webhooks.

Arguments: the URL of the database, and the file of its keys.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from raylift.access_settings import WebhookSettings
from raylift.domain.errors import EngineUnavailable, StaleLease
from raylift.domain.lease import SUPERVISOR
from raylift.engines.webhooks.http_sender import HttpSender
from raylift.engines.webhooks.outlet import Outlet
from raylift.store import KeyRing, Store
from raylift.supervisor.webhooks import plan
from raylift.supervisor.webhooks.deliver import WebhookDeliverer

_LEASE_SECONDS: Final = 1.0


def main(url: str, keys: str) -> None:
    plan.FIRST_PAUSE_SECONDS = 0.05  # pyright: ignore[reportConstantRedefinition] # A refused delivery is tried again at once.
    store = Store.open(url, KeyRing(Path(keys)))
    settings = WebhookSettings.model_validate({"allowed_networks": ["127.0.0.0/8"], "timeout_seconds": 5})
    deliverer = WebhookDeliverer(
        store,
        settings,
        Outlet(settings, HttpSender(settings)).send,
        submit=ThreadPoolExecutor(8).submit,
        clock=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
    )
    while True:
        try:
            lease = store.leases.acquire(SUPERVISOR, str(os.getpid()), now=datetime.now(UTC), seconds=_LEASE_SECONDS)
            until = time.monotonic() + _LEASE_SECONDS / 2
            while lease is not None and time.monotonic() < until:
                deliverer.attend(lease)
                time.sleep(0.02)
        except (StaleLease, EngineUnavailable):
            pass
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
