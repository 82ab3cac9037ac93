from __future__ import annotations

from dataclasses import replace

import pytest

from raylift.domain.errors import DeploymentNotFound, StaleLease
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import Batching, Deployment, DeploymentConfig, DeploymentStatus
from raylift.store import Store
from tests.contract.samples import NOW, after

CONFIG = DeploymentConfig(min_replicas=1, max_replicas=4, memory_bytes=2**31, batching=Batching(max_rows=32, wait_ms=5.0))


def ensure(store: Store, name: str = "churn", version: str = "1") -> Deployment:
    return store.deployments.ensure(name, version, model_uri=f"models:/{name}/{version}", config=CONFIG, now=NOW)


def test_deployment_is_read_as_it_was_added(store: Store) -> None:
    entered = store.deployments.ensure(
        "churn",
        "3",
        model_uri="models:/churn/3",
        config=CONFIG,
        now=NOW,
        job_id="job_1",
        environment_lock=("torch==2.9.0",),
        tags={"team": "growth"},
    )
    assert entered == Deployment(
        "churn",
        "3",
        "models:/churn/3",
        CONFIG,
        DeploymentStatus.PENDING,
        created_at=NOW,
        updated_at=NOW,
        job_id="job_1",
        environment_lock=("torch==2.9.0",),
        tags={"team": "growth"},
    )
    assert store.deployments.get("churn", "3") == entered


def test_adding_a_deployment_twice_changes_nothing(store: Store) -> None:
    first = ensure(store)
    again = store.deployments.ensure("churn", "1", model_uri="other", config=DeploymentConfig(), now=after(1), wanted=False)
    assert again == first


def test_unwanted_deployment_starts_as_stopped(store: Store) -> None:
    entered = store.deployments.ensure("churn", "1", model_uri="u", config=CONFIG, now=NOW, wanted=False)
    assert (entered.wanted, entered.status) == (False, DeploymentStatus.STOPPED)


def test_each_change_of_the_target_raises_its_generation(store: Store, lease: Lease) -> None:
    first = ensure(store)
    ready = store.deployments.observe(
        lease, first, now=after(1), status=DeploymentStatus.UNHEALTHY, replicas=1, message="no", applied_generation=1
    )
    assert ready is not None
    assert ready == replace(
        first, status=DeploymentStatus.UNHEALTHY, replicas=1, message="no", applied_generation=1, updated_at=after(1)
    )
    other = DeploymentConfig(max_replicas=9)
    changed = store.deployments.want("churn", "1", now=after(2), config=other)
    assert changed == replace(
        ready,
        config=other,
        generation=2,
        status=DeploymentStatus.PENDING,
        message=None,
        updated_at=after(2),
        demanded_at=after(2),
    )
    gone = store.deployments.want("churn", "1", now=after(3), wanted=False)
    assert gone == replace(changed, wanted=False, generation=3, updated_at=after(3))
    assert store.deployments.get("churn", "1") == gone


def test_observation_of_an_older_target_is_dropped(store: Store, lease: Lease) -> None:
    seen = ensure(store)
    wanted = store.deployments.want("churn", "1", now=after(1), wanted=False)
    assert store.deployments.observe(lease, seen, now=after(2), status=DeploymentStatus.READY) is None
    assert store.deployments.get("churn", "1") == wanted


def test_scale_up_request_is_stored_and_changes_nothing_else(store: Store, lease: Lease) -> None:
    first = ensure(store)
    store.deployments.request_scale_up("churn", "1", now=after(5))
    assert store.deployments.get("churn", "1") == replace(first, demanded_at=after(5))
    # An observation that the supervisor made before the request is still stored.
    assert store.deployments.observe(lease, first, now=after(6), status=DeploymentStatus.STARTING) is not None
    assert store.deployments.get("churn", "1").demanded_at == after(5)
    store.deployments.request_scale_up("churn", "2", now=after(5))
    assert len(store.deployments.list()) == 1


def test_deploying_a_version_requests_a_scale_up(store: Store) -> None:
    assert ensure(store).demanded_at is None
    entered = store.deployments.ensure("churn", "2", model_uri="u", config=CONFIG, now=NOW, scale_up=True)
    assert entered.demanded_at == NOW
    assert store.deployments.want("churn", "1", now=after(2)).demanded_at == after(2)
    assert store.deployments.want("churn", "1", now=after(3), wanted=False).demanded_at == after(2)


def test_deleted_deployment_takes_no_observation(store: Store, lease: Lease) -> None:
    seen = ensure(store)
    store.deployments.delete("churn", "1")
    assert store.deployments.observe(lease, seen, now=after(2), status=DeploymentStatus.READY) is None


def test_observation_of_a_stale_supervisor_is_refused(store: Store, lease: Lease) -> None:
    seen = ensure(store)
    store.leases.acquire("supervisor", "second", now=after(60), seconds=15)
    with pytest.raises(StaleLease):
        store.deployments.observe(lease, seen, now=after(61), status=DeploymentStatus.READY)
    assert store.deployments.get("churn", "1") == seen


def test_observation_changes_only_observed_fields(store: Store, lease: Lease) -> None:
    facts = {"generation": 7}
    with pytest.raises(TypeError, match="generation"):
        store.deployments.observe(lease, ensure(store), now=NOW, status=DeploymentStatus.READY, **facts)  # pyright: ignore[reportArgumentType]


def test_list_is_ordered_by_name_and_version_number(store: Store) -> None:
    for name, version in [("b", "10"), ("b", "9"), ("a", "2"), ("B", "1")]:
        ensure(store, name, version)
    assert [(d.model_name, d.version) for d in store.deployments.list()] == [("B", "1"), ("a", "2"), ("b", "9"), ("b", "10")]
    assert [d.version for d in store.deployments.list("b")] == ["9", "10"]
    assert store.deployments.list("c") == []


def test_unknown_deployment_is_not_found(store: Store) -> None:
    ensure(store)
    with pytest.raises(DeploymentNotFound):
        store.deployments.get("churn", "2")
    with pytest.raises(DeploymentNotFound):
        store.deployments.want("churn", "\0", now=NOW)
    with pytest.raises(DeploymentNotFound):
        store.deployments.delete("churn", "2")
    assert len(store.deployments.list()) == 1


def test_files_are_recorded_once(store: Store, lease: Lease) -> None:
    row = ensure(store)
    assert row.files is None
    store.deployments.record_files(lease, row, {"MLmodel": "5e"}, now=after(1))
    store.deployments.record_files(lease, row, {"MLmodel": "other"}, now=after(2))
    assert store.deployments.get(row.model_name, row.version).files == {"MLmodel": "5e"}
    given = store.deployments.ensure("churn", "9", model_uri="u", config=CONFIG, now=NOW, files={})
    assert given.files == {}
