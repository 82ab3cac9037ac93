"""Readiness of the platform's parts, each by name, within a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from raylift.domain.errors import EngineUnavailable, PlatformError
from raylift.domain.lease import SUPERVISOR
from raylift.store import Store

_BOUND_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class PartState:
    ok: bool
    detail: str | None = None


class HealthService:
    """Checks all parts in parallel. A part that hangs blocks one thread, also over many calls."""

    def __init__(self, checks: Mapping[str, Callable[[], object]], *, bound_seconds: float = _BOUND_SECONDS) -> None:
        self._checks = checks
        self._bound_seconds = bound_seconds
        self._threads = ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="readiness")
        self._running: dict[str, asyncio.Future[PartState]] = {}

    async def parts(self) -> dict[str, PartState]:
        """Return the state of each part after at most two seconds."""
        loop = asyncio.get_running_loop()
        for name, check in self._checks.items():
            running = self._running.get(name)
            if running is None or running.done():
                self._running[name] = loop.run_in_executor(self._threads, _state, check)
        await asyncio.wait(self._running.values(), timeout=self._bound_seconds)
        silent = PartState(False, f"no answer within {self._bound_seconds:g} s")
        return {name: future.result() if future.done() else silent for name, future in self._running.items()}

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def check_supervisor(store: Store) -> None:
    """Raise EngineUnavailable unless a supervisor holds the lease."""
    if store.leases.held(SUPERVISOR, now=datetime.now(UTC)) is None:
        raise EngineUnavailable("No supervisor runs; another starts within seconds.")


def _state(check: Callable[[], object]) -> PartState:
    try:
        check()
    except PlatformError as error:
        return PartState(False, error.detail)
    except Exception as error:  # noqa: BLE001 - any error means that this part is down
        return PartState(False, f"{type(error).__name__}: {error}")
    return PartState(True)
