"""Waits until the ingress knows a new key, so that its first request is not refused."""

from __future__ import annotations

import logging
import time
from typing import Final

from fastapi.concurrency import run_in_threadpool

from raylift.domain.access import AccessKey
from raylift.domain.errors import EngineUnavailable
from raylift.ingress.keys import KeyMaps
from raylift.services.container import Services
from raylift.settings import IngressSettings

log = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 5.0
"""Without a supervisor the ingress learns of no key. The next one tells it."""
_PAUSE_SECONDS: Final = 0.05


async def make_known(services: Services, key: AccessKey) -> None:
    """Return when this gateway and the ingress accept the key."""
    services.callers.forget()
    await run_in_threadpool(wait_for_ingress, services.settings.ingress, key)


def wait_for_ingress(ingress: IngressSettings | None, key: AccessKey) -> None:
    """Return when this machine's HAProxy knows the key, which the supervisor tells it every second."""
    if ingress is None:
        return
    maps, deadline = KeyMaps(ingress.directory), time.monotonic() + _PATIENCE_SECONDS
    try:
        while not maps.has(key.sha256):
            if time.monotonic() > deadline:
                log.warning("the ingress does not know the key %s yet", key.key_id)
                return
            time.sleep(_PAUSE_SECONDS)
    except EngineUnavailable as error:
        log.warning("%s", error)
