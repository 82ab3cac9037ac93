"""Jobs and deployments for the planners."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from raylift.domain.job import Isolation, Job, JobSpec, JobState, Resources, Workers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_job() -> Callable[..., Job]:
    def make(
        state: JobState = JobState.SCRIPT,
        *,
        job_id: str = "job_A",
        cpus: float = 1.0,
        memory_bytes: int = 2**30,
        max_retries: int = 0,
        model_name: str | None = "churn",
        owner: str = "local",
        gpus: float = 0.0,
        workers: Workers | None = None,
        isolation: Isolation = Isolation.SANDBOX,
        **fields: object,
    ) -> Job:
        spec = JobSpec(
            script_sha256="0" * 64,
            script_name="train.py",
            experiment_name="exp",
            model_name=model_name,
            owner=owner,
            max_retries=max_retries,
            resources=Resources(cpus, memory_bytes, gpus, workers),
            isolation=isolation,
        )
        defaults: dict[str, object] = {"created_at": NOW, "entered_at": NOW, "submission_id": f"{job_id}-a1"}
        return Job(job_id=job_id, spec=spec, state=state, **{**defaults, **fields})  # type: ignore[arg-type]

    return make
