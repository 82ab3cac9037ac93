from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest

from raylift.domain.errors import IllegalMove, JobNotFound, StaleJob, StaleLease
from raylift.domain.job import FINAL_STATES, JOB_MOVES, Attempt, Event, Job, JobState, Reason, Usage
from raylift.domain.lease import Lease
from raylift.store import Store
from tests.contract.samples import NOW, add, after, finish, start

S = JobState
USAGE = Usage(cpu_seconds=1.5, peak_memory_bytes=2**33, wall_seconds=2.25, memory_enforced_by="watchdog")

PATHS: dict[JobState, list[JobState]] = {
    S.QUEUED: [],
    S.ENVIRONMENT: [S.ENVIRONMENT],
    S.STARTING: [S.STARTING],
    S.SCRIPT: [S.STARTING, S.SCRIPT],
    S.REGISTRATION: [S.STARTING, S.SCRIPT, S.REGISTRATION],
    S.COMPLETED: [S.STARTING, S.SCRIPT, S.REGISTRATION, S.COMPLETED],
    S.FAILED: [S.FAILED],
    S.CANCELLED: [S.CANCELLED],
}


def job_in(store: Store, lease: Lease, state: JobState) -> Job:
    job = add(store)
    for step in PATHS[state]:
        job = store.jobs.move(lease, job, step, now=NOW)
    return job


@pytest.mark.parametrize(("before", "to"), list(itertools.product(JobState, JobState)))
def test_only_moves_of_the_transition_table_are_made(store: Store, lease: Lease, before: JobState, to: JobState) -> None:
    job = job_in(store, lease, before)
    events = store.jobs.events(job.job_id)
    if to not in JOB_MOVES[before]:
        with pytest.raises(IllegalMove):
            store.jobs.move(lease, job, to, now=after(1))
        assert store.jobs.get(job.job_id) == job
        assert store.jobs.events(job.job_id) == events
        return
    moved = store.jobs.move(lease, job, to, now=after(1), reason=Reason.SCRIPT_ERROR, message="because")
    assert moved == store.jobs.get(job.job_id)
    assert (moved.state, moved.entered_at, moved.reason, moved.message) == (to, after(1), Reason.SCRIPT_ERROR, "because")
    assert moved.finished_at == (after(1) if to in FINAL_STATES else None)
    latest = Event(job.job_id, len(events) + 1, after(1), before, to, 1, Reason.SCRIPT_ERROR, "because")
    assert store.jobs.events(job.job_id) == [*events, latest]


def test_upload_is_the_first_event(store: Store) -> None:
    job = add(store)
    assert store.jobs.events(job.job_id) == [Event(job.job_id, 1, NOW, None, S.QUEUED, 1)]


def test_every_fact_of_a_move_is_stored(store: Store, lease: Lease) -> None:
    job = start(store, lease, add(store))
    facts = {
        "infrastructure_losses": 2,
        "started_at": after(1),
        "deadline_at": after(601),
        "stop_reason": Reason.TIMEOUT,
        "usage": USAGE,
        "exit_code": -9,
        "environment_lock": ("a==1", "b==2"),
        "mlflow_experiment_id": "7",
        "mlflow_run_id": "abc",
        "metrics": {"accuracy": 0.1 + 0.2, "tiny": 5e-324, "loss": math.inf},
        "model_version": "3",
    }
    moved = store.jobs.move(lease, job, S.SCRIPT, now=after(1), **facts)  # pyright: ignore[reportArgumentType]
    expected = replace(job, state=S.SCRIPT, entered_at=after(1), phases={"queued": 0.0, "starting": 1.0}, **facts)
    assert moved == store.jobs.get(job.job_id) == expected


def test_metric_that_is_nan_is_stored(store: Store, lease: Lease) -> None:
    job = store.jobs.amend(lease, add(store), metrics={"loss": math.nan, "gain": -math.inf})
    metrics = store.jobs.get(job.job_id).metrics
    assert math.isnan(metrics["loss"])
    assert metrics["gain"] == -math.inf


def test_characters_that_databases_refuse_are_replaced_in_messages(store: Store, lease: Lease) -> None:
    job = store.jobs.move(lease, add(store), S.FAILED, now=NOW, message="a\0b\ud800c ☃")
    assert job.message == store.jobs.events(job.job_id)[-1].message == "a\ufffdb\ufffdc ☃"


def test_run_seconds_add_up_over_attempts(store: Store, lease: Lease) -> None:
    job = add(store)
    job = start(store, lease, job, now=after(2))
    job = store.jobs.move(lease, job, S.QUEUED, now=after(5), attempt=2)
    job = start(store, lease, job, now=after(5.5))
    job = store.jobs.move(lease, job, S.FAILED, now=after(6))
    assert job.phases == {"queued": 2.5, "starting": 3.5}


def test_clock_set_back_reduces_no_run_seconds(store: Store, lease: Lease) -> None:
    assert start(store, lease, add(store), now=after(-60)).phases == {"queued": 0.0}


class TestGuards:
    def test_supervisor_that_lost_its_lease_writes_nothing(self, store: Store, lease: Lease) -> None:
        job = add(store)
        newer = store.leases.acquire("supervisor", "second", now=after(16), seconds=15)
        assert newer is not None
        with pytest.raises(StaleLease):
            start(store, lease, job)
        with pytest.raises(StaleLease):
            store.jobs.amend(lease, job, reason=Reason.WAITING_FOR_CAPACITY)
        assert store.jobs.get(job.job_id) == job
        assert len(store.jobs.events(job.job_id)) == 1
        assert start(store, newer, job).state is S.STARTING

    def test_expired_lease_still_writes_until_it_is_taken(self, store: Store, lease: Lease) -> None:
        assert start(store, lease, add(store), now=after(3600)).state is S.STARTING

    def test_released_lease_writes_nothing(self, store: Store, lease: Lease) -> None:
        job = add(store)
        store.leases.release(lease)
        with pytest.raises(StaleLease):
            start(store, lease, job)

    def test_unknown_lease_writes_nothing(self, store: Store, lease: Lease) -> None:
        for forged in (replace(lease, token=lease.token + 1), replace(lease, holder="x"), replace(lease, name="x")):
            with pytest.raises(StaleLease):
                start(store, forged, add(store))

    def test_error_tells_a_moved_job_from_a_lost_lease(self, store: Store, lease: Lease) -> None:
        seen = add(store)
        moved = start(store, lease, seen)
        for act in (
            lambda: store.jobs.move(lease, seen, S.FAILED, now=after(1)),
            lambda: store.jobs.amend(lease, seen, exit_code=1),
        ):
            with pytest.raises(StaleJob) as caught:
                act()
            assert caught.value.facts["state"] is S.STARTING
        assert store.jobs.get(seen.job_id) == moved

    def test_job_that_returned_to_the_queue_is_not_moved_by_an_old_view(self, store: Store, lease: Lease) -> None:
        seen = add(store)
        resolving = store.jobs.move(lease, seen, S.ENVIRONMENT, now=after(1))
        store.jobs.move(lease, resolving, S.QUEUED, now=after(2))
        with pytest.raises(StaleJob):
            start(store, lease, seen)

    def test_move_of_another_attempt_is_refused(self, store: Store, lease: Lease) -> None:
        seen = add(store)
        store.jobs.amend(lease, seen, attempt=2)
        with pytest.raises(StaleJob):
            start(store, lease, seen)

    def test_move_of_a_deleted_job_is_refused(self, store: Store, lease: Lease) -> None:
        done = finish(store, lease, add(store))
        store.jobs.delete(done.job_id)
        with pytest.raises(JobNotFound):
            store.jobs.amend(lease, done, model_version="1")

    def test_cancel_request_before_a_move_is_kept_and_returned(self, store: Store, lease: Lease) -> None:
        seen = add(store)
        store.jobs.request_cancel(seen.job_id, now=after(1))
        assert start(store, lease, seen, now=after(2)).cancel_requested_at == after(1)


class TestAmend:
    def test_amend_changes_facts_without_an_event(self, store: Store, lease: Lease) -> None:
        job = add(store)
        amended = store.jobs.amend(lease, job, reason=Reason.WAITING_FOR_CAPACITY, message="waits for 2 CPUs")
        assert amended == store.jobs.get(job.job_id)
        assert amended == replace(job, reason=Reason.WAITING_FOR_CAPACITY, message="waits for 2 CPUs")
        assert len(store.jobs.events(job.job_id)) == 1

    def test_amend_without_facts_is_refused(self, store: Store, lease: Lease) -> None:
        with pytest.raises(ValueError, match="changes something"):
            store.jobs.amend(lease, add(store))

    @pytest.mark.parametrize("field", ["state", "status", "job_id", "cancel_requested_at", "phases", "nonsense"])
    def test_amend_refuses_fields_that_only_a_move_changes(self, store: Store, lease: Lease, field: str) -> None:
        job = add(store)
        with pytest.raises(TypeError, match=field):
            store.jobs.amend(lease, job, **{field: None})  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError):
            store.jobs.move(lease, job, S.FAILED, now=NOW, **{field: None})  # pyright: ignore[reportArgumentType]


class TestAttempts:
    def test_attempt_that_succeeds_is_stored(self, store: Store, lease: Lease) -> None:
        job = add(store)
        assert store.jobs.attempts(job.job_id) == []
        job = start(store, lease, job, now=after(1))
        attempt = Attempt(job.job_id, 1, f"{job.job_id}-a1", created_at=after(1))
        assert store.jobs.attempts(job.job_id) == [attempt]
        job = store.jobs.move(lease, job, S.SCRIPT, now=after(3), started_at=after(2))
        assert store.jobs.attempts(job.job_id) == [replace(attempt, started_at=after(2))]
        job = store.jobs.move(lease, job, S.REGISTRATION, now=after(4), exit_code=0, usage=USAGE)
        ended = replace(attempt, started_at=after(2), finished_at=after(4), exit_code=0, usage=USAGE)
        assert store.jobs.attempts(job.job_id) == [ended]
        # The registration does not belong to the attempt.
        store.jobs.move(lease, job, S.FAILED, now=after(5), reason=Reason.REGISTRATION_ERROR)
        assert store.jobs.attempts(job.job_id) == [ended]

    def test_lost_attempt_and_failed_attempt_are_stored(self, store: Store, lease: Lease) -> None:
        job = start(store, lease, add(store), now=after(1))
        job = store.jobs.amend(lease, job, deadline_at=after(700), stop_reason=Reason.TIMEOUT, started_at=after(1))
        job = store.jobs.move(
            lease, job, S.QUEUED, now=after(2), reason=Reason.NODE_LOST, message="gone", attempt=2, infrastructure_losses=1
        )
        assert (job.attempt, job.submission_id, job.started_at, job.deadline_at, job.stop_reason) == (2, None, None, None, None)
        job = start(store, lease, job, now=after(3))
        store.jobs.move(lease, job, S.FAILED, now=after(4), reason=Reason.SCRIPT_ERROR, exit_code=1, usage=USAGE)
        first, second = store.jobs.attempts(job.job_id)
        assert first == Attempt(
            job.job_id,
            1,
            f"{job.job_id}-a1",
            created_at=after(1),
            started_at=after(1),
            finished_at=after(2),
            reason=Reason.NODE_LOST,
            message="gone",
        )
        assert second == Attempt(
            job.job_id,
            2,
            f"{job.job_id}-a2",
            created_at=after(3),
            finished_at=after(4),
            exit_code=1,
            reason=Reason.SCRIPT_ERROR,
            usage=USAGE,
        )

    def test_amended_submission_is_stored_as_an_attempt(self, store: Store, lease: Lease) -> None:
        job = store.jobs.move(lease, add(store), S.ENVIRONMENT, now=after(1))
        job = store.jobs.amend(lease, job, submission_id="s")
        assert [(a.submission_id, a.created_at) for a in store.jobs.attempts(job.job_id)] == [("s", after(1))]
