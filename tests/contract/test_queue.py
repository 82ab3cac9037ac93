"""The queue as admission reads it, quotas, and the change mark of the store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from raylift.domain.errors import PlatformError, QuotaExceeded
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import Job, JobState, Resources, Workers, WorkerStrategy
from raylift.domain.lease import Lease
from raylift.domain.quota import Held
from raylift.store import JobFilter, Store
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of, start

GIB = 2**30


def add_within(store: Store, max_queued: int, owner: str = "ann", workspace: str = "default") -> Job:
    spec = spec_of(owner=owner, workspace=workspace)
    return store.jobs.add(spec, SCRIPT, job_id=new_job_id(), now=NOW, max_queued=max_queued)


class TestHeads:
    def test_jobs_of_one_owner_do_not_hide_another_owner(self, store: Store) -> None:
        for n in range(20):
            add(store, now=after(n), owner="ann", priority=90)
        late = add(store, now=after(99), owner="bob", priority=0)
        heads = store.jobs.queue_heads(3)
        assert [job.account for job in heads] == ["ann", "ann", "ann", "bob"]
        assert heads[-1].job_id == late.job_id

    def test_jobs_of_an_owner_are_ordered_by_priority_then_age(self, store: Store) -> None:
        late, early = add(store, now=after(2)), add(store, now=after(1))
        urgent = add(store, now=after(3), priority=51)
        assert [job.job_id for job in store.jobs.queue_heads(9)] == [urgent.job_id, early.job_id, late.job_id]

    def test_queue_rows_have_the_fields_of_admission(self, store: Store) -> None:
        job = add(store, owner="ann", priority=7, resources=Resources(0.5, 3 * GIB, 1.0))
        (head,) = store.jobs.queue_heads(1)
        assert (head.job_id, head.account, head.priority, head.created_at) == (job.job_id, "ann", 7, NOW)
        assert head.resources == Resources(0.5, 3 * GIB, 1.0)

    def test_jobs_too_large_for_every_node_do_not_hide_others(self, store: Store) -> None:
        for n in range(5):
            add(store, now=after(n), resources=Resources(64.0, GIB))
        add(store, now=after(6), resources=Resources(1.0, GIB, 1.0))
        small = add(store, now=after(7), resources=Resources(0.1, GIB))
        nodes = [Resources(0.1, 2 * GIB), Resources(8.0, GIB // 2)]
        assert [job.job_id for job in store.jobs.queue_heads(2, nodes=nodes)] == [small.job_id]

    def test_gang_is_read_whole(self, store: Store) -> None:
        wanted = Resources(0.5, GIB, 1.0, Workers(4, 2.0, 8 * GIB, 0.5, WorkerStrategy.SPREAD))
        job = add(store, resources=wanted)
        (head,) = store.jobs.queue_heads(1)
        assert head.resources == wanted
        assert store.jobs.get(job.job_id).spec.resources == wanted

    def test_gang_larger_than_any_node_is_read_where_all_together_may_hold_it(self, store: Store) -> None:
        add(store, resources=Resources(1.0, GIB, 0.0, Workers(3, 2.0, GIB)))
        node = Resources(4.0, 16 * GIB)
        assert store.jobs.queue_heads(5, nodes=[node]) == []
        assert len(store.jobs.queue_heads(5, nodes=[node, node])) == 1

    def test_queue_holds_only_waiting_jobs(self, store: Store, lease: Lease) -> None:
        start(store, lease, add(store))
        assert store.jobs.queue_heads(5) == []


class TestQuota:
    def test_held_resources_count_the_workers(self, store: Store, lease: Lease) -> None:
        start(store, lease, add(store, owner="ann", resources=Resources(1.0, GIB, 0.0, Workers(4, 2.0, 8 * GIB, 1.0))))
        assert store.jobs.held_by("ann") == Held(1, 9.0, 33 * GIB, 4.0)

    def test_quota_counts_the_waiting_jobs_of_an_owner(self, store: Store, lease: Lease) -> None:
        first, _ = add_within(store, 2), add_within(store, 2)
        with pytest.raises(QuotaExceeded, match="quota is 2"):
            add_within(store, 2)
        add_within(store, 2, owner="bob")
        start(store, lease, first)
        add_within(store, 2)

    def test_quota_holds_for_concurrent_uploads(self, store: Store) -> None:
        def attempt(_: int) -> bool:
            try:
                add_within(store, 5)
            except PlatformError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(attempt, range(16)))
        assert sum(taken) == 5
        assert len(store.jobs.list(JobFilter(owner="ann"), limit=50).jobs) == 5

    def test_admitted_jobs_hold_resources(self, store: Store, lease: Lease) -> None:
        for _ in range(2):
            start(store, lease, add(store, owner="ann", resources=Resources(0.5, GIB, 1.0)))
        add(store, owner="ann")
        finish(store, lease, add(store, owner="ann"))
        start(store, lease, add(store, owner="bob"))
        assert store.jobs.held_by("ann") == Held(2, 1.0, 2 * GIB, 2.0)
        assert store.jobs.held_by("nobody") == Held()

    def test_owner_of_another_workspace_has_a_quota_of_its_own(self, store: Store, lease: Lease) -> None:
        add_within(store, 1)
        with pytest.raises(QuotaExceeded, match="'ann' wait already"):
            add_within(store, 1)
        add_within(store, 1, workspace="red")
        with pytest.raises(QuotaExceeded, match="'red/ann' wait already"):
            add_within(store, 1, workspace="red")
        start(store, lease, add(store, owner="ann", workspace="blue"))
        assert (store.jobs.held_by("blue/ann").jobs, store.jobs.held_by("ann").jobs) == (1, 0)
        assert {job.account for job in store.jobs.queue_heads(1)} == {"ann", "red/ann"}


def test_jobs_are_listed_by_owner(store: Store, lease: Lease) -> None:
    mine, _ = add(store, owner="ann"), add(store, owner="bob")
    started = start(store, lease, add(store, owner="ann", now=after(1)))
    assert store.jobs.list(JobFilter(owner="ann"), limit=9).jobs == [started, mine]
    assert store.jobs.list(JobFilter(owner="ann", status=mine.status), limit=9).jobs[-1] == mine
    assert store.jobs.list(JobFilter(owner="cid"), limit=9).jobs == []


class TestChanges:
    def test_change_mark_stays_without_writes(self, store: Store) -> None:
        mark = store.changes.mark()
        store.jobs.list(JobFilter(), limit=5)
        store.jobs.queue_heads(5)
        assert store.changes.mark() == mark

    def test_every_write_changes_the_change_mark(self, store: Store, lease: Lease, open_store: Callable[[], Store]) -> None:
        marks = [store.changes.mark()]
        job = add(open_store())
        marks.append(store.changes.mark())
        store.jobs.move(lease, job, JobState.FAILED, now=NOW)
        marks.append(store.changes.mark())
        store.jobs.delete(job.job_id)
        marks.append(store.changes.mark())
        assert len(set(marks)) == 4

    def test_later_commit_changes_the_change_mark_again(self, store: Store) -> None:
        with store._database.write() as session:
            session.connection().exec_driver_sql("DELETE FROM idempotency_keys")
            during = store.changes.mark()
        add(store)
        assert store.changes.mark() != during


class TestFollowedJobs:
    """The supervisor reads its active jobs at every look."""

    def test_followed_jobs_are_those_in_their_states_with_all_changes(self, store: Store, lease: Lease) -> None:
        followed = store.jobs.follow({JobState.STARTING, JobState.SCRIPT})
        late, early = add(store, now=after(2)), add(store, now=after(1))
        assert followed.read() == []
        late, early = start(store, lease, late), start(store, lease, early)
        assert followed.read() == [early, late]
        early = store.jobs.amend(lease, early, metrics={"accuracy": 0.5})
        late = store.jobs.move(lease, late, JobState.SCRIPT, now=after(3))
        assert followed.read() == [early, late]
        asked = store.jobs.request_cancel(early.job_id, now=after(4))
        assert followed.read() == [asked, late]
        store.jobs.move(lease, asked, JobState.CANCELLED, now=after(5))
        assert followed.read() == [late] == store.jobs.in_states({JobState.SCRIPT})

    def test_unchanged_jobs_are_not_converted_again(self, store: Store, lease: Lease) -> None:
        followed = store.jobs.follow({JobState.STARTING})
        first, second = (start(store, lease, add(store, now=after(n))) for n in range(2))
        before = followed.read()
        store.jobs.amend(lease, second, exit_code=1)
        again = followed.read()
        assert again[0] is before[0]
        assert (before[0], again[1].exit_code) == (first, 1)


def test_heads_are_found_for_any_number_of_different_nodes(store: Store) -> None:
    small, _ = add(store, resources=Resources(1.0, GIB)), add(store, resources=Resources(9.0, GIB))
    nodes = [Resources(4.0, 8 * GIB + n) for n in range(1_500)]
    assert [job.job_id for job in store.jobs.queue_heads(5, nodes=nodes)] == [small.job_id]
