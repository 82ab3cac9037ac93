"""Scale-up requests for a version without a replica."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from serve_apps.gateway.predictions.warm_fallback import WarmFallback
from serve_apps.warm_pool.pool import NoWarmProcess, StillLoading

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCALED_TO_ZERO = Deployment("m", "1", "models:/m/1", DeploymentConfig(), DeploymentStatus.SCALED_TO_ZERO, NOW, NOW)


class Pool:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def can_answer(self, _: Deployment) -> bool:
        return True

    @asynccontextmanager
    async def process_of(self, _: Deployment, __: float) -> AsyncIterator[None]:
        if self.error is not None:
            raise self.error
        yield


@pytest.mark.parametrize(
    ("method", "hold_seconds", "error", "called"),
    [
        ("POST", 60.0, StillLoading(), True),
        # The supervisor's load check of a slow model: no reason to start a replica without a client.
        ("GET", 20.0, StillLoading(), False),
        ("GET", 20.0, NoWarmProcess(), True),
        ("GET", 0.0, NoWarmProcess(), False),
        ("POST", 0.0, NoWarmProcess(), True),
    ],
)
async def test_unanswered_requests_ask_for_a_replica(method: str, hold_seconds: float, error: Exception, called: bool) -> None:
    calls: list[str] = []
    scale_up_requests: Any = SimpleNamespace(on_held_request=lambda deployment: calls.append(deployment.version))
    pool: Any = Pool(error)
    request: Any = SimpleNamespace(method=method, beneath="", headers={}, body=b"", hold_seconds=hold_seconds)
    assert await WarmFallback(scale_up_requests, pool).answer(request, SCALED_TO_ZERO, time.monotonic() + hold_seconds) is None
    assert calls == ["1"] * called
