"""Scale-up requests of versions that warm processes answer for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from raylift.domain.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.services.traffic.demand import Demand

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARKED = Deployment("m", "1", "models:/m/1", DeploymentConfig(), DeploymentStatus.SCALED_TO_ZERO, NOW, NOW)


def slower(config: DeploymentConfig, seconds: float) -> Deployment:
    return replace(PARKED, config=replace(config, upscale_delay_s=seconds))


@pytest.mark.parametrize(
    ("deployment", "times", "in_flight", "called"),
    [
        (PARKED, [0.0, 2.9], 1, 0),
        (PARKED, [0.0, 3.0], 1, 1),
        (slower(PARKED.config, 10.0), [0.0, 9.0], 1, 0),
        (slower(PARKED.config, 10.0), [0.0, 9.0, 10.0], 1, 1),
        (slower(PARKED.config, 0.0), [0.0], 1, 1),
        (PARKED, [0.0], 9, 1),  # A burst.
        (PARKED, [0.0, 70.0], 1, 0),  # The second one counts as a first one again.
    ],
)
async def test_lasting_requests_scale_a_version_up(
    deployment: Deployment, times: list[float], in_flight: int, called: int
) -> None:
    calls: list[tuple[str, str]] = []

    def note(name: str, version: str, *, now: datetime) -> None:
        calls.append((name, version))

    store: Any = SimpleNamespace(deployments=SimpleNamespace(demand=note))
    now = 0.0
    demand = Demand(store, lasting_seconds=3.0, clock=lambda: NOW, monotonic=lambda: now)
    for moment in times:
        now = moment
        demand.answered_warm(deployment, in_flight=in_flight)
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert calls == [("m", "1")] * called
