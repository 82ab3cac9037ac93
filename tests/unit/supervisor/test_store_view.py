"""The view reads again only when something may have changed, on a real store."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raylift.domain.job import JobSpec, JobState, Resources
from raylift.domain.nodes.gangs import Place
from raylift.domain.quota import Quota
from raylift.store import Store
from raylift.supervisor.jobs.admission import admit
from raylift.supervisor.store_view import StoreView
from tests.migrated_store import open_migrated

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NODE = Resources(2.0, 2**34)


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    store = open_migrated(tmp_path / "store.db")
    yield store
    store.close()


def add(store: Store, job_id: str, cpus: float = 1.0, priority: int = 50) -> None:
    sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    spec = JobSpec(sha256, "train.py", "exp", priority=priority, resources=Resources(cpus, 2**30))
    store.jobs.add(spec, b"", job_id=job_id, now=NOW)


def test_view_reads_nothing_without_writes(store: Store) -> None:
    view = StoreView(store)
    assert view.refresh([NODE])
    assert not view.refresh([NODE])
    add(store, "job_1")
    assert view.refresh([NODE])
    assert [job.job_id for job in view.waiting] == ["job_1"]
    assert not view.refresh([NODE])
    assert view.refresh([NODE], again=True)


def test_view_knows_jobs_that_wait_for_a_missing_node(store: Store) -> None:
    view = StoreView(store)
    add(store, "job_1", cpus=64)
    view.refresh([NODE])
    assert view.waiting == []
    assert view.jobs_wait


def test_each_job_is_active_or_waiting(store: Store) -> None:
    view = StoreView(store)
    add(store, "job_1")
    add(store, "job_2")
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert lease is not None
    store.jobs.move(lease, store.jobs.get("job_1"), JobState.STARTING, now=NOW, submission_id="job_1-a1")
    store.jobs.request_cancel("job_2", now=NOW)
    view.refresh([NODE])
    assert [job.job_id for job in view.active] == ["job_1"]
    assert [job.job_id for job in view.waiting] == ["job_2"]
    assert [job.job_id for job in view.cancelled] == ["job_2"]


def test_view_notices_a_write_at_once(store: Store) -> None:
    view = StoreView(store)
    view.refresh([NODE])
    assert not view.was_written_to()
    add(store, "job_1")
    assert view.was_written_to()
    view.refresh([NODE])
    assert not view.was_written_to()


def test_small_job_is_found_behind_many_large_ones(store: Store) -> None:
    for n in range(60):
        add(store, f"large_{n:02}", cpus=4)
    add(store, "small", cpus=1, priority=1)
    nodes = {"a": Resources(4.0, 2**34), "b": Resources(2.0, 2**34)}
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert lease is not None
    store.jobs.move(lease, store.jobs.get("large_00"), JobState.STARTING, now=NOW, submission_id="s")
    view = StoreView(store)
    view.refresh(list(nodes.values()))

    def decide() -> tuple[list[str], str | None]:
        decision = admit(
            view.waiting,
            view.active,
            nodes,
            quota_of=lambda _: Quota(),
            places={"large_00": Place("a")},
            starting=0,
            max_starting=8,
            behind=view.behind,
        )
        return [job.job_id for job in decision.admitted], decision.reserved_for

    assert decide() == (["small"], "large_01")


def test_view_reads_no_more_when_it_has_all_waiting_jobs(store: Store) -> None:
    view = StoreView(store)
    add(store, "job_1", cpus=2)
    view.refresh([NODE])
    add(store, "job_2", cpus=1)
    assert view.behind([NODE]) == []
