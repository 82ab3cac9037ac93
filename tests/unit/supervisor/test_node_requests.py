"""Requests for machines: they follow the jobs and versions in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.domain.job import JobSpec, JobState, Resources, Workers
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentConfig
from raylift.settings import JobSettings, OwnerQuota, PlatformSettings, QuotaSettings
from raylift.store import Store
from raylift.supervisor.nodes.requests import NodeRequests
from raylift.supervisor.store_view import StoreView
from tests.migrated_store import open_migrated

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EMPTY_SCRIPT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
GIB = 2**30


class Asked(list[list[Resources]]):
    """Fake of Ray's autoscaler."""

    def request(self, places: Sequence[Resources]) -> None:
        self.append(list(places))


@dataclass
class Bench:
    store: Store
    lease: Lease
    asked: Asked = field(default_factory=Asked)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.view = StoreView(self.store)
        quotas = QuotaSettings(owners={"ann": OwnerQuota(max_running_jobs=1)})
        settings = PlatformSettings(
            state_dir=Path(),
            database_url="",
            mlflow_url="http://mlflow",
            ray_dashboard_url="http://ray",
            gateway_url="http://gateway",
            jobs=JobSettings(quotas=quotas),
        )
        self.requests = NodeRequests(settings, self.store, self.view, self.asked, monotonic=lambda: self.seconds)

    def job(self, job_id: str, wanted: Resources, *, owner: str = "local") -> None:
        spec = JobSpec(EMPTY_SCRIPT, "train.py", "exp", resources=wanted, owner=owner)
        self.store.jobs.add(spec, b"", job_id=job_id, now=NOW)

    def look(self) -> list[list[Resources]]:
        """Return what the autoscaler was asked since the last look."""
        before = len(self.asked)
        self.view.refresh([])
        self.requests.attend(self.lease)
        return self.asked[before:]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    store = open_migrated(tmp_path / "raylift.db")
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=15)
    assert lease is not None
    yield Bench(store, lease)
    store.close()


def test_waiting_job_is_asked_for_until_it_is_cancelled(bench: Bench) -> None:
    assert bench.look() == [[]], "what a former supervisor asked is withdrawn"
    assert bench.look() == []
    bench.job("job_A", Resources(8.0, GIB, 1.0))
    assert bench.look() == [[Resources(8.0, GIB, 1.0)]]
    assert bench.look() == []
    bench.store.jobs.move(bench.lease, bench.store.jobs.get("job_A"), JobState.CANCELLED, now=NOW)
    assert bench.look() == [[]]


def test_running_jobs_count_too(bench: Bench) -> None:
    """Ray compares with the cluster's total: without them it would find room on the nodes that they hold."""
    for job_id in ("job_A", "job_B"):
        bench.job(job_id, Resources(8.0, GIB))
    bench.store.jobs.move(bench.lease, bench.store.jobs.get("job_A"), JobState.STARTING, now=NOW, submission_id="job_A-a1")
    assert bench.look() == [[Resources(8.0, GIB)] * 2]


def test_gang_needs_a_place_for_each_worker(bench: Bench) -> None:
    bench.job("job_A", Resources(1.0, GIB, workers=Workers(2, 4.0, 2 * GIB, 1.0)))
    assert bench.look() == [[Resources(1.0, GIB), *[Resources(4.0, 2 * GIB, 1.0)] * 2]]


def test_nothing_is_asked_for_beyond_a_quota(bench: Bench) -> None:
    for job_id in ("job_A", "job_B"):
        bench.job(job_id, Resources(8.0, GIB), owner="ann")
    assert bench.look() == [[Resources(8.0, GIB)]]


def test_request_is_repeated_because_a_new_head_knows_nothing_of_it(bench: Bench) -> None:
    bench.job("job_A", Resources(8.0, GIB))
    assert len(bench.look()) == 1
    bench.seconds = 20.0
    assert bench.look() == [[Resources(8.0, GIB)]]


def test_version_that_is_to_start_needs_a_place(bench: Bench) -> None:
    bench.store.deployments.ensure("churn", "1", model_uri="models:/churn/1", config=DeploymentConfig(cpus=2.0), now=NOW)
    assert bench.look() == [[Resources(2.0, 0)]]
    bench.store.deployments.want("churn", "1", wanted=False, now=NOW)
    assert bench.look() == [[]]
