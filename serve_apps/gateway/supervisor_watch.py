"""Starts the supervisor again after a kill that Ray does not repair (``ray.kill(actor, no_restart=True)``).

Any script that reaches Ray can do that. Every replica of the gateway watches: Ray Serve keeps the gateway alive, a stopped
platform has none, and Ray makes only one actor of a name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from raylift.settings import PlatformSettings

_LOG: Final = logging.getLogger(__name__)
_LOOKS_PER_LEASE: Final = 3

Revive = Callable[[PlatformSettings], bool]
"""Starts the supervisor unless it exists. Returns True if it started one. Blocks."""


async def watch_supervisor(settings: PlatformSettings, revive: Revive) -> None:
    """Call ``revive`` in a thread, again and again, three times in the supervisor's lease. Never returns."""
    while True:
        # First the pause: `raylift up` starts the first supervisor at the same time as the gateway.
        await asyncio.sleep(settings.supervisor.lease_seconds / _LOOKS_PER_LEASE)
        try:
            if await asyncio.to_thread(revive, settings):
                _LOG.warning("The supervisor was gone for good; another one is started.")
        except Exception:  # noqa: BLE001 - Ray may be away
            _LOG.exception("The supervisor could not be looked for; the next try follows")
