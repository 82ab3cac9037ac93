"""Sample jobs. The clock stands still at NOW unless a test moves it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from raylift.domain.identifiers import new_job_id, submission_id
from raylift.domain.job import Job, JobSpec, JobState
from raylift.domain.lease import Lease
from raylift.store import IdempotencyKey, Store

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SCRIPT = b"import mlflow\n"


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def spec_of(script: bytes = SCRIPT, **fields: Any) -> JobSpec:
    given: dict[str, Any] = {"script_name": "train.py", "experiment_name": "churn"} | fields
    return JobSpec(script_sha256=hashlib.sha256(script).hexdigest(), **given)


def add(
    store: Store,
    *,
    now: datetime = NOW,
    script: bytes = SCRIPT,
    job_id: str | None = None,
    idempotency: IdempotencyKey | None = None,
    **fields: Any,
) -> Job:
    job_id = job_id or new_job_id(now.timestamp())
    return store.jobs.add(spec_of(script, **fields), script, job_id=job_id, now=now, idempotency=idempotency)


def start(store: Store, lease: Lease, job: Job, *, now: datetime = NOW) -> Job:
    """Move a queued job to ``running``."""
    return store.jobs.move(lease, job, JobState.STARTING, now=now, submission_id=submission_id(job.job_id, job.attempt))


def finish(store: Store, lease: Lease, job: Job, *, now: datetime = NOW) -> Job:
    """Take a queued job to ``completed``."""
    job = start(store, lease, job, now=now)
    job = store.jobs.move(lease, job, JobState.SCRIPT, now=now, started_at=now)
    job = store.jobs.move(lease, job, JobState.REGISTRATION, now=now, exit_code=0)
    return store.jobs.move(lease, job, JobState.COMPLETED, now=now)
