from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from raylift.domain.job import Job, JobState
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.services.container import Services
from raylift.settings import PlatformSettings
from raylift.store import Store
from tests.unit.gateway.engine_fakes import FakeCluster, FakeRegistry
from tests.unit.gateway.routes_once import app_of


@dataclass
class Platform:
    """The services behind a gateway: a real store, fake engines, and methods that play the supervisor."""

    settings: PlatformSettings
    store: Store
    registry: FakeRegistry
    cluster: FakeCluster
    services: Services
    lease: Lease

    def move(self, job: Job, *states: JobState, **changes: Any) -> Job:
        for state in states:
            told: dict[str, Any] = changes if state is states[-1] else {}
            job = self.store.jobs.move(self.lease, job, state, now=datetime.now(UTC), **told)
        return job

    def start(self, job_id: str, output: bytes = b"") -> Job:
        """Let the job's script run and print ``output``."""
        job = self.store.jobs.get(job_id)
        submission_id = f"{job_id}-a{job.attempt}"
        job = self.move(job, JobState.STARTING, submission_id=submission_id)
        job = self.move(job, JobState.SCRIPT, started_at=datetime.now(UTC))
        self.print(job_id, output)
        return job

    def print(self, job_id: str, output: bytes) -> None:
        job = self.store.jobs.get(job_id)
        assert job.submission_id
        path = self.settings.attempts_dir / job.submission_id / "output.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(output)

    def finish(self, job_id: str, state: JobState = JobState.COMPLETED, **changes: Any) -> Job:
        job = self.store.jobs.get(job_id)
        if state is JobState.COMPLETED:
            job = self.move(job, JobState.REGISTRATION)
        return self.move(job, state, **changes)

    def deploy(
        self,
        name: str,
        version: str,
        status: DeploymentStatus = DeploymentStatus.READY,
        *,
        replicas: int = 1,
        message: str | None = None,
        ready_at: datetime | None = None,
    ) -> None:
        now = datetime.now(UTC)
        row = self.store.deployments.ensure(
            name, version, model_uri=f"models:/{name}/{version}", config=DeploymentConfig(), now=now
        )
        observed = self.store.deployments.observe(
            self.lease,
            row,
            now=now,
            status=status,
            replicas=replicas,
            message=message,
            applied_generation=row.generation,
            ready_at=ready_at,
        )
        assert observed


@contextmanager
def assembled(settings: PlatformSettings, store: Store) -> Iterator[Platform]:
    """A platform on a store with its tables. Closes both."""
    registry, cluster = FakeRegistry(), FakeCluster()
    services = Services.assemble(settings, store=store, registry=registry, cluster=cluster)
    lease = store.leases.acquire("supervisor", "test", now=datetime.now(UTC), seconds=3600)
    assert lease
    yield Platform(settings, store, registry, cluster, services, lease)
    services.health.close()
    store.close()


@pytest.fixture
def settings(tmp_path: Path) -> PlatformSettings:
    return PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        gateway_url="http://127.0.0.1:9",
    )


@pytest.fixture
def platform(settings: PlatformSettings, migrated: Path) -> Iterator[Platform]:
    shutil.copy(migrated, settings.state_dir / "store.db")
    with assembled(settings, Store.open(settings.database_url)) as made:
        yield made


@asynccontextmanager
async def asked(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with asked(app_of(platform.services)) as http:
        yield http
