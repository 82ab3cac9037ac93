"""Scale-up requests of versions that warm processes answer for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.services.traffic.scale_up_requests import ScaleUpRequests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCALED_TO_ZERO = Deployment("m", "1", "models:/m/1", DeploymentConfig(), DeploymentStatus.SCALED_TO_ZERO, NOW, NOW)


def slower(config: DeploymentConfig, seconds: float) -> Deployment:
    return replace(SCALED_TO_ZERO, config=replace(config, upscale_delay_s=seconds))


@pytest.mark.parametrize(
    ("deployment", "times", "in_flight", "called"),
    [
        (SCALED_TO_ZERO, [0.0, 2.9], 1, 0),
        (SCALED_TO_ZERO, [0.0, 3.0], 1, 1),
        (slower(SCALED_TO_ZERO.config, 10.0), [0.0, 9.0], 1, 0),
        (slower(SCALED_TO_ZERO.config, 10.0), [0.0, 9.0, 10.0], 1, 1),
        (slower(SCALED_TO_ZERO.config, 0.0), [0.0], 1, 1),
        (SCALED_TO_ZERO, [0.0], 9, 1),  # A burst.
        (SCALED_TO_ZERO, [0.0, 70.0], 1, 0),  # The second is a first again.
    ],
)
async def test_lasting_requests_scale_a_version_up(
    deployment: Deployment, times: list[float], in_flight: int, called: int
) -> None:
    calls: list[tuple[str, str]] = []

    def note(name: str, version: str, *, now: datetime) -> None:
        calls.append((name, version))

    store: Any = SimpleNamespace(deployments=SimpleNamespace(request_scale_up=note))
    now = 0.0
    requests = ScaleUpRequests(store, lasting_seconds=3.0, clock=lambda: NOW, monotonic=lambda: now)
    for moment in times:
        now = moment
        requests.on_warm_answer(deployment, in_flight=in_flight)
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert calls == [("m", "1")] * called
