from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from raylift.domain.errors import (
    IdempotencyMismatch,
    IllegalMove,
    JobNotFound,
    StaleLease,
    StaleSweep,
    SweepNotFinished,
    SweepNotFound,
)
from raylift.domain.identifiers import new_job_id, new_sweep_id
from raylift.domain.job import Job, JobState, JobStatus, Resources, SweepPart
from raylift.domain.lease import Lease
from raylift.domain.sweep import Sweep, SweepMode, SweepRegistration, SweepSpec, SweepState, grid
from raylift.store import AddedSweep, IdempotencyKey, JobFilter, Store
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of
from tests.contract.test_query_plans import recorded

PARAMETERS = {"lr": ("0.01", "0.1"), "depth": ("3", "5")}


def add_sweep(store: Store, *, idempotency: IdempotencyKey | None = None, now: Any = NOW, **fields: Any) -> AddedSweep:
    sweep_id = new_sweep_id(now.timestamp())
    parameters: dict[str, tuple[str, ...]] = fields.pop("parameters", PARAMETERS)
    spec = SweepSpec(parameters=parameters, script_name="train.py", experiment_name="churn", **fields)
    ids = sorted(new_job_id(now.timestamp()) for _ in grid(parameters))
    specs = [spec_of(sweep=SweepPart(sweep_id, values)) for values in grid(parameters)]
    pairs = list(zip(ids, specs, strict=True))
    return store.sweeps.add(spec, pairs, SCRIPT, sweep_id=sweep_id, now=now, idempotency=idempotency)


def ended(store: Store, lease: Lease, added: AddedSweep) -> list[Job]:
    return [finish(store, lease, job) for job in added.jobs]


def closed(store: Store, lease: Lease, sweep: Sweep) -> Sweep:
    sweep = store.sweeps.move(lease, sweep, SweepState.CLOSING, now=NOW, best_job_id="job_b")
    return store.sweeps.move(lease, sweep, SweepState.COMPLETED, now=after(1), message="done")


def test_sweep_and_its_jobs_are_added_together(store: Store) -> None:
    spec_fields: dict[str, Any] = {
        "metric": "loss",
        "mode": SweepMode.MIN,
        "registration": SweepRegistration.BEST,
        "model_name": "m",
    }
    added = add_sweep(store, max_parallel=2, tags={"a": "b"}, **spec_fields)
    sweep_id = added.sweep.sweep_id
    assert store.sweeps.get(sweep_id) == added.sweep
    assert store.sweeps.jobs(sweep_id) == added.jobs
    assert [job.spec.sweep and dict(job.spec.sweep.parameters) for job in store.sweeps.jobs(sweep_id)] == grid(PARAMETERS)
    assert list(store.sweeps.get(sweep_id).spec.parameters) == ["lr", "depth"]
    # In the order of the sweep's table.
    assert store.jobs.in_states([JobState.QUEUED]) == added.jobs


def test_sweep_is_added_whole_or_not_at_all(store: Store) -> None:
    taken = add(store)
    spec = SweepSpec(parameters={"a": ("1", "2")}, script_name="train.py", experiment_name="churn")
    pairs = [(new_job_id(), spec_of()), (taken.job_id, spec_of())]
    with pytest.raises(ValueError, match=taken.job_id):
        store.sweeps.add(spec, pairs, SCRIPT, sweep_id="sweep_A", now=NOW)
    with pytest.raises(SweepNotFound):
        store.sweeps.get("sweep_A")
    assert store.jobs.list(JobFilter(), limit=9).jobs == [taken]


def test_repeated_upload_makes_one_sweep(store: Store) -> None:
    key = IdempotencyKey("k", "body", expires_at=after(60))
    first = add_sweep(store, idempotency=key)
    assert not first.repeated
    assert add_sweep(store, idempotency=key, now=after(1)) == replace(first, repeated=True)
    with pytest.raises(IdempotencyMismatch):
        add_sweep(store, idempotency=IdempotencyKey("k", "other", expires_at=after(60)))
    assert len(store.jobs.list(JobFilter(), limit=99).jobs) == len(first.jobs)


def test_jobs_are_filtered_by_sweep(store: Store) -> None:
    added, other = add_sweep(store), add(store)
    page = store.jobs.list(JobFilter(sweep_id=added.sweep.sweep_id), limit=3)
    rest = store.jobs.list(JobFilter(sweep_id=added.sweep.sweep_id), limit=3, cursor=page.next_cursor)
    assert [*page.jobs, *rest.jobs] == added.jobs[::-1]
    assert other not in page.jobs


def test_pages_of_sweeps_are_newest_first_with_status_counts(store: Store, lease: Lease) -> None:
    first, second, third = (add_sweep(store, now=after(seconds)) for seconds in (0, 1, 2))
    finish(store, lease, first.jobs[0])
    page = store.sweeps.list(limit=2)
    assert [item.sweep for item in page.sweeps] == [third.sweep, second.sweep]
    last = store.sweeps.list(limit=2, cursor=page.next_cursor)
    assert last.next_cursor is None
    assert [item.sweep for item in last.sweeps] == [first.sweep]
    assert (last.sweeps[0].counts[JobStatus.COMPLETED], last.sweeps[0].counts[JobStatus.QUEUED]) == (1, 3)


def test_sweep_is_due_before_it_runs_and_after_its_last_job(store: Store, lease: Lease) -> None:
    added = add_sweep(store)
    assert store.sweeps.due() == [added.sweep]
    running = store.sweeps.move(lease, added.sweep, SweepState.RUNNING, now=NOW, parent_run_id="r", mlflow_experiment_id="1")
    assert (running.parent_run_id, running.mlflow_experiment_id) == ("r", "1")
    assert store.sweeps.due() == []
    for job in added.jobs[1:]:
        finish(store, lease, job)
    add_sweep(store)  # The other sweep's jobs wait, not those of this one.
    assert running not in store.sweeps.due()
    finish(store, lease, added.jobs[0])
    assert running in store.sweeps.due()
    over = closed(store, lease, running)
    assert (over.best_job_id, over.message, over.finished_at) == ("job_b", "done", after(1))
    assert over.sweep_id not in {sweep.sweep_id for sweep in store.sweeps.due()}


def test_moves_of_sweeps_are_guarded_by_lease_and_state(store: Store, lease: Lease) -> None:
    sweep = add_sweep(store).sweep
    with pytest.raises(IllegalMove):
        store.sweeps.move(lease, sweep, SweepState.COMPLETED, now=NOW)
    store.sweeps.move(lease, sweep, SweepState.RUNNING, now=NOW)
    with pytest.raises(StaleSweep):
        store.sweeps.move(lease, sweep, SweepState.CLOSING, now=NOW)
    taken = store.leases.acquire("supervisor", "second", now=after(60), seconds=15)
    assert taken
    with pytest.raises(StaleLease):
        store.sweeps.move(lease, store.sweeps.get(sweep.sweep_id), SweepState.CLOSING, now=NOW)


def test_cancelling_a_sweep_cancels_its_unfinished_jobs(store: Store, lease: Lease) -> None:
    added, other = add_sweep(store), add(store)
    done = finish(store, lease, added.jobs[0])
    first = store.sweeps.request_cancel(added.sweep.sweep_id, now=after(1))
    again = store.sweeps.request_cancel(added.sweep.sweep_id, now=after(2))
    assert first.cancel_requested_at == again.cancel_requested_at == after(1)
    assert {job.job_id for job in store.jobs.cancelling()} == {job.job_id for job in added.jobs[1:]}
    assert store.jobs.get(done.job_id).cancel_requested_at is None
    assert store.jobs.get(other.job_id).cancel_requested_at is None
    with pytest.raises(SweepNotFound):
        store.sweeps.request_cancel("sweep_unknown", now=NOW)


def test_sweep_with_a_chosen_best_job_is_not_cancelled(store: Store, lease: Lease) -> None:
    added = add_sweep(store)
    ended(store, lease, added)
    closing = store.sweeps.move(lease, added.sweep, SweepState.CLOSING, now=NOW)
    assert store.sweeps.request_cancel(closing.sweep_id, now=after(1)) == closing


def test_sweep_is_deleted_after_its_jobs(store: Store, lease: Lease) -> None:
    added, other = add_sweep(store), add_sweep(store)
    with pytest.raises(SweepNotFinished):
        store.sweeps.delete(added.sweep.sweep_id)
    ended(store, lease, added)
    sweep = closed(store, lease, added.sweep)
    with pytest.raises(SweepNotFinished):
        store.sweeps.delete(sweep.sweep_id)
    store.sweeps.forget_empty()
    assert store.sweeps.get(sweep.sweep_id) == sweep
    for job in added.jobs:
        store.jobs.delete(job.job_id)
        with pytest.raises(JobNotFound):
            store.jobs.get(job.job_id)
    assert store.sweeps.jobs(sweep.sweep_id) == []
    store.sweeps.forget_empty()
    store.sweeps.delete(sweep.sweep_id)
    with pytest.raises(SweepNotFound):
        store.sweeps.get(sweep.sweep_id)
    assert store.sweeps.get(other.sweep.sweep_id) == other.sweep


def test_jobs_wait_until_their_sweep_opens_and_has_a_free_slot(store: Store, lease: Lease) -> None:
    opening, limited, free = add_sweep(store), add_sweep(store, max_parallel=2), add_sweep(store)
    for added in (limited, free):
        store.sweeps.move(lease, added.sweep, SweepState.RUNNING, now=NOW)
    go = {job.job_id for job in [*limited.jobs[:2], *free.jobs]}
    assert let_go(store) == go
    store.jobs.move(lease, limited.jobs[0], JobState.STARTING, now=NOW, submission_id="s")
    assert let_go(store) == go - {limited.jobs[0].job_id}
    finish(store, lease, limited.jobs[1])
    assert let_go(store) == {job.job_id for job in [limited.jobs[2], *free.jobs]}
    assert not {job.job_id for job in opening.jobs} & let_go(store)
    held_back = {job.job_id for job in [*opening.jobs, limited.jobs[3]]}
    sweeps = [store.sweeps.get(added.sweep.sweep_id) for added in (opening, limited, free)]
    assert frozenset().union(*map(store.sweeps.held_back, sweeps)) == held_back


def test_job_that_fits_no_node_takes_no_slot_of_its_sweep(store: Store, lease: Lease) -> None:
    added, other = add_sweep(store, max_parallel=1), add(store, owner="ann", now=after(9))
    store.sweeps.move(lease, added.sweep, SweepState.RUNNING, now=NOW)
    before, behind = add(store, now=after(-1)), add(store, now=after(1))
    assert [job.job_id for job in store.jobs.queue_heads(2)] == [other.job_id, before.job_id, added.jobs[0].job_id]
    assert [job.job_id for job in store.jobs.queue_heads(9)][-1] == behind.job_id
    assert store.jobs.queue_heads(9, nodes=[Resources(0.0, 0)]) == []
    assert store.jobs.has_queued_jobs()


def test_many_waiting_sweep_jobs_need_few_query_parameters(store: Store, lease: Lease) -> None:
    # PostgreSQL takes at most 65,535 parameters in a statement.
    added, other = add_sweep(store, max_parallel=1), add(store, now=after(9))
    store.sweeps.move(lease, added.sweep, SweepState.RUNNING, now=NOW)
    with recorded(store) as statements:
        assert let_go(store) == {added.jobs[0].job_id, other.job_id}
    assert not [job.job_id for job in added.jobs if job.job_id in str(statements)]


def let_go(store: Store) -> set[str]:
    return {job.job_id for job in store.jobs.queue_heads(100)}
