"""Property test of the job machine: after any sequence of operations, the store agrees with a simple model."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from raylift.domain.errors import IllegalMove, JobNotFinished, JobNotFound, StaleJob, StaleLease
from raylift.domain.identifiers import submission_id
from raylift.domain.job import FINAL_STATES, JOB_MOVES, Job, JobState, JobStatus, Reason
from raylift.domain.lease import Lease
from raylift.store import JobFilter, Store
from tests.contract.samples import NOW, add, after

S = JobState
reasons = st.sampled_from([None, *Reason])
_NUMBERS = itertools.count()


class JobMachine(RuleBasedStateMachine):
    """State of the test. ``model`` holds every job as it must be. ``past`` holds old views, as a slow supervisor may have."""

    jobs = Bundle("jobs")

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.model: dict[str, Job] = {}
        self.states: dict[str, list[JobState]] = {}
        self.past: dict[str, list[Job]] = {}
        self.clock = 0.0
        self.stale: Lease | None = None
        self.lease = self._take_over()

    def teardown(self) -> None:
        for job in self.model.values():
            if not job.is_final:
                self.store.jobs.move(self.lease, job, S.CANCELLED, now=NOW)
            self.store.jobs.delete(job.job_id)

    @rule(target=jobs, priority=st.sampled_from([0, 50, 100]), seconds=st.sampled_from([0, 1]))
    def upload(self, priority: int, seconds: int) -> str:
        self.clock += seconds
        job = add(self.store, now=after(self.clock), priority=priority)
        self._remember(job, entered=True)
        return job.job_id

    @rule(job_id=jobs, data=st.data(), reason=reasons)
    def move(self, job_id: str, data: st.DataObject, reason: Reason | None) -> None:
        job = self._job(job_id)
        if job is None or job.is_final:
            return
        to = data.draw(st.sampled_from(sorted(JOB_MOVES[job.state])))
        self.clock += 1
        spent = (after(self.clock) - job.entered_at).total_seconds()
        expected = replace(
            job,
            state=to,
            entered_at=after(self.clock),
            reason=reason,
            message=None,
            phases={
                **job.phases,
                job.state: job.phases.get(job.state, 0.0) + spent,
            },
            finished_at=after(self.clock) if to in FINAL_STATES else None,
        )
        if to is S.QUEUED:
            expected = replace(expected, attempt=job.attempt + 1, submission_id=None)
            moved = self.store.jobs.move(self.lease, job, to, now=after(self.clock), reason=reason, attempt=job.attempt + 1)
        elif to is S.STARTING:
            submission = submission_id(job_id, job.attempt)
            expected = replace(expected, submission_id=submission)
            moved = self.store.jobs.move(self.lease, job, to, now=after(self.clock), reason=reason, submission_id=submission)
        else:
            moved = self.store.jobs.move(self.lease, job, to, now=after(self.clock), reason=reason)
        assert moved == expected
        self._remember(moved, entered=True)

    @rule(job_id=jobs, data=st.data())
    def move_where_none_leads(self, job_id: str, data: st.DataObject) -> None:
        job = self._job(job_id)
        if job is None:
            return
        to = data.draw(st.sampled_from(sorted(set(S) - JOB_MOVES[job.state])))
        with pytest.raises(IllegalMove):
            self.store.jobs.move(self.lease, job, to, now=after(self.clock))

    @rule(job_id=jobs, reason=reasons)
    def amend(self, job_id: str, reason: Reason | None) -> None:
        job = self._job(job_id)
        if job is None:
            return
        amended = self.store.jobs.amend(self.lease, job, reason=reason, exit_code=3)
        assert amended == replace(job, reason=reason, exit_code=3)
        self._remember(amended)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        job = self._job(job_id)
        if job is None:
            with pytest.raises(JobNotFound):
                self.store.jobs.request_cancel(job_id, now=after(self.clock))
            return
        if not job.is_final and job.cancel_requested_at is None:
            job = replace(job, cancel_requested_at=after(self.clock))
        assert self.store.jobs.request_cancel(job_id, now=after(self.clock)) == job
        self._remember(job)

    @rule(job_id=jobs, data=st.data())
    def act_on_what_was(self, job_id: str, data: st.DataObject) -> None:
        job = self._job(job_id)
        views = [] if job is None else [v for v in self.past[job_id] if v.entered_at != job.entered_at and not v.is_final]
        if not views:
            return
        view = data.draw(st.sampled_from(views))
        with pytest.raises(StaleJob):
            self.store.jobs.move(self.lease, view, S.FAILED, now=after(self.clock))
        with pytest.raises(StaleJob):
            self.store.jobs.amend(self.lease, view, exit_code=9)

    @precondition(lambda self: self.stale is not None)
    @rule(job_id=jobs)
    def act_after_the_takeover(self, job_id: str) -> None:
        job = self._job(job_id)
        if job is None or self.stale is None:
            return
        if not job.is_final:
            with pytest.raises(StaleLease):
                self.store.jobs.move(self.stale, job, S.FAILED, now=after(self.clock))
        with pytest.raises(StaleLease):
            self.store.jobs.amend(self.stale, job, exit_code=9)

    @rule()
    def take_over(self) -> None:
        self.stale = self.lease
        self.lease = self._take_over()

    @rule(target=jobs, job_id=jobs)
    def delete(self, job_id: str) -> object:
        job = self._job(job_id)
        if job is None:
            with pytest.raises(JobNotFound):
                self.store.jobs.delete(job_id)
        elif job.is_final:
            assert self.store.jobs.delete(job_id) == job
            del self.model[job_id]
        else:
            with pytest.raises(JobNotFinished):
                self.store.jobs.delete(job_id)
        return multiple()

    @invariant()
    def every_job_is_what_it_should_be(self) -> None:
        newest_first = sorted(self.model.values(), key=lambda job: (job.created_at, job.job_id), reverse=True)
        assert self.store.jobs.list(JobFilter(), limit=1000).jobs == newest_first
        for status in JobStatus:
            shown = [job for job in newest_first if job.status is status]
            assert self.store.jobs.list(JobFilter(status=status), limit=1000).jobs == shown
        counts = Counter(job.status for job in newest_first)
        assert self.store.jobs.count_by_status() == {status: counts[status] for status in JobStatus}

    @invariant()
    def the_queue_is_in_order(self) -> None:
        queued = [job for job in self.model.values() if job.state is S.QUEUED]
        queued.sort(key=lambda job: (-job.spec.priority, job.created_at, job.job_id))
        assert [job.job_id for job in self.store.jobs.queue_heads(1000)] == [job.job_id for job in queued]
        assert [self.store.jobs.queue_position(job) for job in queued] == list(range(1, len(queued) + 1))

    @invariant()
    def every_transition_has_its_event(self) -> None:
        for job_id in self.model:
            events = self.store.jobs.events(job_id)
            assert [event.after for event in events] == self.states[job_id]
            assert [event.before for event in events] == [None, *self.states[job_id][:-1]]
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))

    @invariant()
    def an_attempt_is_open_only_while_its_submission_runs(self) -> None:
        for job in self.model.values():
            is_open = [a.number for a in self.store.jobs.attempts(job.job_id) if a.finished_at is None]
            assert is_open == ([job.attempt] if job.submission_id and job.state in {S.STARTING, S.SCRIPT} else [])

    def _take_over(self) -> Lease:
        # The lease expires at once, so the next supervisor can take it.
        holder = f"supervisor {next(_NUMBERS)}"
        lease = self.store.leases.acquire("supervisor", holder, now=NOW, seconds=0)
        assert lease is not None
        return lease

    def _job(self, job_id: str) -> Job | None:
        return self.model.get(job_id)

    def _remember(self, job: Job, *, entered: bool = False) -> None:
        self.model[job.job_id] = job
        self.past.setdefault(job.job_id, []).append(job)
        if entered:
            self.states.setdefault(job.job_id, []).append(job.state)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_store_agrees_with_the_model(store: Store) -> None:
    class Machine(JobMachine):
        def __init__(self) -> None:
            super().__init__(store)

    how = settings(max_examples=12, stateful_step_count=20, deadline=None, database=None, derandomize=True)
    # Databases on a busy machine are slow, and most rules need a job first. Neither is a fault.
    unhurried = settings(how, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
    run_state_machine_as_test(Machine, settings=unhurried)
