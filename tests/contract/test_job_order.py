"""Jobs that come after others, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from raylift.domain.datasets.dataset import DataFile
from raylift.domain.errors import DatasetInUse, DatasetNotFound, JobNotFinished, JobNotFound, StaleJob
from raylift.domain.job import JobState, Reason
from raylift.domain.job_data import DataInput, DatasetReference
from raylift.domain.jobs_order import Edge
from raylift.domain.lease import Lease
from raylift.store import Store
from tests.contract.samples import NOW, add, after, finish, start
from tests.contract.test_datasets import put


def heads(store: Store) -> list[str]:
    return [job.job_id for job in store.jobs.queue_heads(10)]


def due(store: Store) -> list[str]:
    return [job.job_id for job in store.order.due()]


def test_job_waits_for_all_before_it(store: Store, lease: Lease) -> None:
    first, second = add(store), add(store)
    later = add(store, now=after(1), after=(first.job_id, second.job_id), priority=99)
    assert heads(store) == sorted([first.job_id, second.job_id])
    assert due(store) == []
    assert store.order.waits_for(later.job_id) == sorted([first.job_id, second.job_id])
    finish(store, lease, first)
    assert due(store) == []
    finish(store, lease, second)
    assert due(store) == [later.job_id]
    assert heads(store) == [], "until the supervisor has filled in what they made"
    store.order.release(lease, later, later.spec)
    assert heads(store) == [later.job_id]
    assert due(store) == []
    assert store.order.waits_for(later.job_id) is None


def test_one_that_fails_makes_the_later_job_due(store: Store, lease: Lease) -> None:
    first, running = add(store), start(store, lease, add(store))
    later = add(store, after=(first.job_id, running.job_id))
    store.jobs.move(lease, first, JobState.FAILED, now=NOW, reason=Reason.SCRIPT_ERROR)
    assert due(store) == [later.job_id]
    store.jobs.move(lease, later, JobState.CANCELLED, now=NOW, reason=Reason.UPSTREAM_FAILED)
    assert due(store) == []
    assert store.order.waits_for(later.job_id) is None


def test_job_is_released_with_its_data(store: Store, lease: Lease) -> None:
    first = add(store, output_dataset="churn")
    data = DataInput("train", "churn", 0, "", of_job=first.job_id)
    later = add(store, after=(first.job_id,), data=(data,))
    version = put(store, DataFile("a.csv", "a" * 64, 5))
    assert store.datasets.uses("default", "churn", limit=9) == []
    job = start(store, lease, first)
    job = store.jobs.move(lease, job, JobState.SCRIPT, now=NOW)
    job = store.jobs.move(lease, job, JobState.REGISTRATION, now=NOW)
    reference = DatasetReference("churn", version.version)
    assert store.jobs.move(lease, job, JobState.COMPLETED, now=NOW, output=reference).output == reference
    filled = replace(later.spec, data=(replace(data, version=version.version, digest=version.digest),))
    store.order.release(lease, later, filled)
    assert store.jobs.get(later.job_id).spec == filled
    assert [use.job_id for use in store.datasets.uses("default", "churn", limit=9)] == [later.job_id]
    with pytest.raises(DatasetInUse):
        store.datasets.delete("default", "churn")


def test_release_with_deleted_data_changes_nothing(store: Store, lease: Lease) -> None:
    first = finish(store, lease, add(store, output_dataset="churn"))
    data = DataInput("train", "churn", 0, "", of_job=first.job_id)
    later = add(store, after=(first.job_id,), data=(data,))
    with pytest.raises(DatasetNotFound):
        store.order.release(lease, later, replace(later.spec, data=(replace(data, version=1, digest="a"),)))
    assert store.jobs.get(later.job_id) == later
    assert due(store) == [later.job_id]


def test_job_that_has_moved_on_is_not_released(store: Store, lease: Lease) -> None:
    first = finish(store, lease, add(store))
    later = add(store, after=(first.job_id,))
    store.jobs.move(lease, later, JobState.CANCELLED, now=NOW, reason=Reason.CANCELLED_BY_USER)
    with pytest.raises(StaleJob):
        store.order.release(lease, later, later.spec)


def test_job_before_must_exist_in_the_workspace(store: Store) -> None:
    other = add(store, workspace="other")
    for job_id in ("job_none", other.job_id):
        with pytest.raises(JobNotFound, match=job_id):
            add(store, after=(job_id,))


def test_awaited_job_is_kept(store: Store, lease: Lease) -> None:
    first = finish(store, lease, add(store))
    later = add(store, after=(first.job_id,))
    with pytest.raises(JobNotFinished, match=later.job_id):
        store.jobs.delete(first.job_id)
    soon = NOW + timedelta(days=1)
    assert store.history.finished_before(soon, limit=9) == store.history.beyond(0, limit=9) == []
    store.order.release(lease, later, later.spec)
    assert store.history.finished_before(soon, limit=9) == [first.job_id]
    store.jobs.delete(first.job_id)
    assert store.order.edges_of([later.job_id]) == [Edge(first.job_id, later.job_id)], "the graph still names it"


def test_edges_are_found_from_both_ends(store: Store) -> None:
    first = add(store)
    second = add(store, after=(first.job_id,))
    third = add(store, after=(first.job_id, second.job_id))
    one_two, one_three = Edge(first.job_id, second.job_id), Edge(first.job_id, third.job_id)
    two_three = Edge(second.job_id, third.job_id)
    assert store.order.edges_of([first.job_id]) == sorted([one_two, one_three])
    assert store.order.edges_of([second.job_id]) == sorted([one_two, two_three])
    assert store.order.edges_of([first.job_id, third.job_id]) == sorted([one_two, one_three, two_three])
