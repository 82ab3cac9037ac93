"""Removal of Ray's records of ended jobs, and of no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import JobSpec, JobState
from raylift.engines.ray_engine.jobs import RayJob, RayJobStatus
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.adopt_ray_jobs import Adoption
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot
from tests.migrated_store import open_migrated

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EMPTY_SCRIPT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Records:
    """Fake of Ray's job records."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.answers = True

    def delete(self, submission_id: str) -> None:
        if not self.answers:
            raise EngineUnavailable("Ray is away")
        self.deleted.append(submission_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_migrated(tmp_path / "raylift.db")
    yield opened
    opened.close()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def adoption(tmp_path: Path, store: Store, records: Records) -> Adoption:
    settings = PlatformSettings(
        state_dir=tmp_path,
        database_url="sqlite://",
        mlflow_url="http://m",
        ray_dashboard_url="http://r",
        gateway_url="http://g",
    )
    return Adoption(settings, store, cast("Any", records), lambda: NOW)


@pytest.fixture
def ended(store: Store) -> Callable[[int], RaySnapshot]:
    """Ray's list with the given number of ended jobs, all recorded in the store."""
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=15)
    assert lease is not None

    def make(count: int) -> RaySnapshot:
        jobs: dict[str, RayJob] = {}
        for n in range(count):
            job = store.jobs.add(JobSpec(EMPTY_SCRIPT, "train.py", "exp"), b"", job_id=f"job_{n:03}", now=NOW)
            job = store.jobs.move(lease, job, JobState.STARTING, now=NOW, submission_id=f"job_{n:03}-a1")
            store.jobs.move(lease, job, JobState.FAILED, now=NOW)
            jobs[f"job_{n:03}-a1"] = RayJob(
                f"job_{n:03}-a1", RayJobStatus.SUCCEEDED, "python", metadata={"raylift.job_id": job.job_id}
            )
        return RaySnapshot(jobs, answers=True)

    return make


def test_records_are_removed_when_no_job_starts(
    adoption: Adoption, records: Records, ended: Callable[[int], RaySnapshot]
) -> None:
    snapshot = ended(3)
    assert not adoption.has_much_to_forget(others_start=False)
    adoption.scan(snapshot, active=["job_001-a1"])
    assert adoption.has_much_to_forget(others_start=False)
    assert not adoption.has_much_to_forget(others_start=True), "clearing away must not hold up jobs that start"
    adoption.forget()
    assert records.deleted == ["job_000-a1", "job_002-a1"]
    assert not adoption.has_much_to_forget(others_start=False)


def test_long_list_is_removed_even_while_jobs_start(adoption: Adoption, ended: Callable[[int], RaySnapshot]) -> None:
    adoption.scan(ended(60), active=[])
    assert adoption.has_much_to_forget(others_start=True)


def test_record_that_ray_keeps_is_deleted_later(
    adoption: Adoption, records: Records, ended: Callable[[int], RaySnapshot]
) -> None:
    snapshot = ended(2)
    adoption.scan(snapshot, active=[])
    records.answers = False
    with pytest.raises(EngineUnavailable):
        adoption.forget()
    records.answers = True
    adoption.scan(snapshot, active=[])
    adoption.forget()
    assert records.deleted == ["job_000-a1", "job_001-a1"]
