"""The audit: entries in the transactions of what they tell."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from raylift.domain.audit import AuditFilter, Outcome
from raylift.domain.errors import JobNotFinished
from raylift.domain.job import JobStatus
from raylift.domain.lease import Lease
from raylift.store import Act, JobFilter, Store, acting
from tests.contract.samples import NOW, add, after, finish


def entries(store: Store, **conditions: object) -> list[tuple[str, str, str | None]]:
    wanted = AuditFilter(**conditions)  # pyright: ignore[reportArgumentType]
    return [(entry.who, entry.action, entry.target) for entry in store.audit.list(wanted, limit=100).entries]


def test_entry_of_an_upload_names_its_job(store: Store) -> None:
    with acting(Act("ann", "job.submit", key_id="abc", workspace="red", address="10.0.0.1", request_id="r1")):
        job = add(store)
    (entry,) = store.audit.list(AuditFilter(), limit=10).entries
    assert (entry.who, entry.action, entry.target, entry.outcome) == ("ann", "job.submit", job.job_id, Outcome.DONE)
    assert (entry.key_id, entry.workspace, entry.address, entry.request_id) == ("abc", "red", "10.0.0.1", "r1")


def test_writes_outside_of_a_request_have_no_entry(store: Store) -> None:
    add(store)
    assert entries(store) == []


def test_one_request_has_one_entry(store: Store) -> None:
    with acting(Act("ann", "job.submit")):
        add(store)
        add(store)
    assert len(entries(store)) == 1


def test_rolled_back_change_leaves_no_entry(store: Store) -> None:
    job = add(store)
    act = Act("ann", "job.delete", job.job_id)
    with acting(act), pytest.raises(JobNotFinished):
        store.jobs.delete(job.job_id)
    assert entries(store) == []
    assert not act.is_recorded


def test_grouped_uploads_have_entries_of_their_own(store: Store) -> None:
    def upload(number: int) -> str:
        with acting(Act(f"user{number}", "job.submit")):
            return add(store).job_id

    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(upload, range(40)))
    assert {(who, target) for who, _, target in entries(store)} == {(f"user{n}", ids[n]) for n in range(40)}


def test_threads_that_copy_the_context_record_it(store: Store) -> None:
    with acting(Act("ann", "job.submit")), ThreadPoolExecutor(1) as threads:
        threads.submit(copy_context().run, add, store).result()
    assert len(entries(store)) == 1


def test_entries_are_filtered(store: Store, lease: Lease) -> None:
    with acting(Act("ann", "job.submit", workspace="red")):
        job = finish(store, lease, add(store))
    with acting(Act("bob", "job.delete", job.job_id, workspace="blue")):
        store.jobs.delete(job.job_id)
    store.audit.add(Act("eve", "keys.create").entry(Outcome.REFUSED, "forbidden"))
    assert [action for _, action, _ in entries(store)] == ["keys.create", "job.delete", "job.submit"]
    assert entries(store, who="ann") == [("ann", "job.submit", job.job_id)]
    assert entries(store, workspace="blue") == [("bob", "job.delete", job.job_id)]
    assert [who for who, _, _ in entries(store, action="job.")] == ["bob", "ann"]
    assert [who for who, _, _ in entries(store, action="job.delete")] == ["bob"]
    assert [who for who, _, _ in entries(store, target=job.job_id)] == ["bob", "ann"]
    assert [who for who, _, _ in entries(store, outcome=Outcome.REFUSED)] == ["eve"]
    assert entries(store, until=NOW) == []
    assert len(entries(store, since=NOW)) == 3
    assert store.jobs.list(JobFilter(status=JobStatus.COMPLETED), limit=1).jobs == []


def test_pages_are_complete(store: Store) -> None:
    for number in range(7):
        store.audit.add(Act(f"user{number}", "job.submit").entry(Outcome.REFUSED))
    page = store.audit.list(AuditFilter(), limit=3)
    seen = [entry.who for entry in page.entries]
    while page.next_cursor:
        page = store.audit.list(AuditFilter(), limit=3, cursor=page.next_cursor)
        seen += [entry.who for entry in page.entries]
    assert sorted(seen) == [f"user{number}" for number in range(7)]
    assert [entry.who for entry in store.audit.every(AuditFilter())] == seen


def test_old_entries_are_deleted(open_store: Callable[[], Store]) -> None:
    store = open_store()
    store.audit.add(Act("ann", "job.submit").entry(Outcome.REFUSED))
    assert not store.audit.forget_before(NOW)
    assert len(entries(store)) == 1
    assert not store.audit.forget_before(after(1e9))
    assert entries(store) == []
