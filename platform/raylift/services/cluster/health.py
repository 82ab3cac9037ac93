"""Whether the parts the platform stands on answer, each by name, within a bounded time."""

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
    """Asks every part at once. One that hangs holds one thread, however often it is asked for."""

    def __init__(self, checks: Mapping[str, Callable[[], object]], *, bound_seconds: float = _BOUND_SECONDS) -> None:
        self._checks = checks
        self._bound_seconds = bound_seconds
        self._threads = ThreadPoolExecutor(max_workers=len(checks), thread_name_prefix="readiness")
        self._running: dict[str, asyncio.Future[PartState]] = {}

    async def parts(self) -> dict[str, PartState]:
        """The state of each part, within the bound."""
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


def supervisor_at_work(store: Store) -> None:
    """Raise EngineUnavailable unless a supervisor holds the lease: without one, jobs wait and nothing is deployed."""
    if store.leases.held(SUPERVISOR, now=datetime.now(UTC)) is None:
        raise EngineUnavailable("No supervisor is at work; Ray starts another within seconds.")


def _state(check: Callable[[], object]) -> PartState:
    try:
        check()
    except PlatformError as error:
        return PartState(False, error.detail)
    except Exception as error:  # noqa: BLE001 - whatever a part raises, it is not well, and the others are told all the same
        return PartState(False, f"{type(error).__name__}: {error}")
    return PartState(True)
