"""The gateway's watch over the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from raylift.settings import PlatformSettings, SupervisorSettings
from serve_apps.gateway.supervisor_watch import watch_supervisor


async def test_supervisor_is_looked_for_again_after_an_error() -> None:
    settings = PlatformSettings(
        state_dir=Path("/s"),
        database_url="",
        mlflow_url="",
        ray_dashboard_url="",
        gateway_url="http://127.0.0.1:1",
        supervisor=SupervisorSettings(lease_seconds=0.01),
    )
    asked: list[PlatformSettings] = []
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()

    def revive(given: PlatformSettings) -> bool:
        asked.append(given)
        if len(asked) == 1:
            raise RuntimeError("Ray is away")
        if len(asked) == 3:
            loop.call_soon_threadsafe(enough.set)
        return len(asked) == 2

    watch = asyncio.create_task(watch_supervisor(settings, revive))
    await asyncio.wait_for(enough.wait(), 30)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    assert asked[0] is settings
