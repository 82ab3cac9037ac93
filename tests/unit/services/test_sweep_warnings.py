from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from raylift.domain.job import Job, JobSpec, JobState
from raylift.domain.sweep import Sweep, SweepSpec, SweepState
from raylift.services.jobs.sweeps import SweepService
from raylift.settings import QuotaSettings

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Reasons:
    def explained(self, jobs: list[Job]) -> list[Job]:
        return jobs


class Sweeps:
    def __init__(self, sweep: Sweep, jobs: list[Job]) -> None:
        self.sweep, self.all = sweep, jobs
        self.sweeps = self

    def get(self, _: str) -> Sweep:
        return self.sweep

    def jobs(self, _: str) -> list[Job]:
        return self.all


def message(
    metrics: dict[str, float], state: JobState = JobState.COMPLETED, sweep: SweepState = SweepState.RUNNING
) -> str | None:
    spec = SweepSpec({"lr": ("1", "2")}, "train.py", "exp", metric="auc")
    jobs = [
        Job("job_A", JobSpec("0" * 64, "train.py", "exp"), state, NOW, NOW, metrics=metrics),
        Job("job_B", JobSpec("0" * 64, "train.py", "exp"), JobState.SCRIPT, NOW, NOW),
    ]
    store: Any = Sweeps(Sweep("sweep_A", spec, sweep, NOW, NOW), jobs)
    nothing: Any = Reasons()
    return SweepService(store, nothing, quotas=QuotaSettings(), reasons=nothing).details("sweep_A").sweep.message


def test_sweep_warns_at_once_if_its_first_job_lacks_the_metric() -> None:
    said = message({"accuracy": 0.9}) or ""
    assert "'auc'" in said
    assert "they have: accuracy" in said
    assert "Cancel the sweep" in said


@pytest.mark.parametrize(
    ("metrics", "state", "sweep"),
    [
        ({"auc": 0.9}, JobState.COMPLETED, SweepState.RUNNING),
        ({}, JobState.FAILED, SweepState.RUNNING),
        ({}, JobState.COMPLETED, SweepState.COMPLETED),
    ],
)
def test_sweep_with_its_metric_or_without_one_has_no_warning(
    metrics: dict[str, float], state: JobState, sweep: SweepState
) -> None:
    assert message(metrics, state, sweep) is None
