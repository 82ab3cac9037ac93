"""Schedules in the store: a moment makes at most one job, also with several supervisors, and a schedule keeps its source."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.errors import (
    NotFound,
    QuotaExceeded,
    ScheduleExists,
    ScheduleNotFound,
    StaleLease,
    StaleSchedule,
)
from raylift.domain.identifiers import new_job_id, new_schedule_id
from raylift.domain.job import JobStatus
from raylift.domain.lease import Lease
from raylift.domain.project import ProjectFile, pack
from raylift.domain.schedules.schedule import Overlap, RunOutcome, Schedule, ScheduleRun, TemplateKind, Timetable, job_spec
from raylift.store import JobFilter, NewJob, ScheduleStep, Store
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of

DUE = after(60)


def schedule_of(name: str = "nightly", **fields: Any) -> Schedule:
    spec = fields.pop("template", None) or spec_of(environment={"TOKEN": "s3cret"})
    given: dict[str, Any] = {"considered_until": NOW, "wakes_at": DUE} | fields
    return Schedule(
        new_schedule_id(NOW.timestamp()), name, given.pop("workspace", "default"), "anna", TemplateKind.TRAIN,
        Timetable("* * * * *"), spec, NOW, NOW, "anna", **given,
    )  # fmt: skip


def added(store: Store, **fields: Any) -> Schedule:
    schedule = schedule_of(**fields)
    store.schedules.add(schedule, SCRIPT)
    return schedule


def firing(schedule: Schedule, due: datetime = DUE, **fields: Any) -> ScheduleStep:
    job_id = new_job_id(due.timestamp())
    run = ScheduleRun(schedule.schedule_id, due, due, RunOutcome.SUBMITTED, job_id=job_id)
    new = NewJob(job_id, job_spec(schedule, due), fields.pop("max_queued", None))
    following = due + timedelta(minutes=1)
    return ScheduleStep(due, following, None, [run], new, **fields)


def test_schedule_is_stored_and_found(store: Store) -> None:
    schedule = added(store)
    assert store.schedules.get(schedule.schedule_id) == schedule
    assert store.schedules.find("default", "nightly") == schedule
    assert dict(store.schedules.get(schedule.schedule_id).template.environment) == {"TOKEN": "s3cret"}
    with pytest.raises(ScheduleNotFound):
        store.schedules.find("other", "nightly")


def test_name_is_unique_in_its_workspace(store: Store) -> None:
    added(store)
    with pytest.raises(ScheduleExists):
        added(store)
    added(store, workspace="credit")
    assert [each.workspace for each in store.schedules.list()] == ["credit", "default"]
    assert [each.name for each in store.schedules.list("credit")] == ["nightly"]


def test_due_schedules(store: Store) -> None:
    schedule = added(store)
    added(store, name="paused", paused_at=NOW)
    added(store, name="never", wakes_at=None)
    waiting = added(store, name="waiting", wakes_at=None, waiting_at=NOW)
    assert store.schedules.due(after(59)) == [waiting]
    assert {each.name for each in store.schedules.due(DUE)} == {schedule.name, waiting.name}


def test_moment_makes_a_job_with_its_history(store: Store, lease: Lease) -> None:
    schedule = added(store)
    moved = store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    assert (moved.considered_until, moved.revision) == (DUE, 2)
    (job,) = store.jobs.list(JobFilter(schedule="nightly"), limit=9).jobs
    assert job.spec.schedule is not None
    assert (job.spec.schedule.name, job.spec.schedule.due_at, job.spec.owner) == ("nightly", DUE, "anna")
    (run,) = store.schedules.runs(schedule.schedule_id, limit=9).runs
    assert (run.outcome, run.job_id, run.job_status) == (RunOutcome.SUBMITTED, job.job_id, JobStatus.QUEUED)
    assert store.schedules.last_runs("default") == {schedule.schedule_id: run}
    assert store.schedules.unfinished_jobs(schedule.schedule_id) == [job.job_id]
    finish(store, lease, job)
    assert store.schedules.unfinished_jobs(schedule.schedule_id) == []
    assert store.jobs.list(JobFilter(schedule="other"), limit=9).jobs == []


def test_moment_with_a_row_makes_no_second_job(store: Store, lease: Lease) -> None:
    """As after a clock that was put back, and a pause."""
    schedule = added(store)
    moved = store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    back = store.schedules.update(replace(moved, considered_until=NOW, wakes_at=DUE), drops_waiting=False)
    store.schedules.apply(lease, back, firing(schedule), now=DUE)
    assert len(store.jobs.list(JobFilter(), limit=9).jobs) == 1
    assert len(store.schedules.runs(schedule.schedule_id, limit=9).runs) == 1


def test_step_of_a_changed_schedule_is_dropped(store: Store, lease: Lease) -> None:
    schedule = added(store)
    store.schedules.update(replace(schedule, paused_at=NOW), drops_waiting=False)
    with pytest.raises(StaleSchedule):
        store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    assert store.jobs.list(JobFilter(), limit=9).jobs == []


def test_supervisor_without_the_lease_fires_nothing(store: Store, lease: Lease) -> None:
    schedule = added(store)
    assert store.leases.acquire("supervisor", "second", now=after(16), seconds=15) is not None
    with pytest.raises(StaleLease):
        store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    assert store.jobs.list(JobFilter(), limit=9).jobs == []


def test_two_supervisors_at_a_time_make_one_job(open_store: Callable[[], Store], lease: Lease) -> None:
    """The worst case: both believe that they hold the same lease, each with a connection of its own."""
    stores = [open_store() for _ in range(4)]
    schedule = added(stores[0])
    barrier, stale = threading.Barrier(len(stores)), list[Exception]()

    def fire(store: Store) -> None:
        barrier.wait()
        try:
            store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
        except StaleSchedule as error:
            stale.append(error)

    threads = [threading.Thread(target=fire, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stale) == len(stores) - 1
    assert len(stores[0].jobs.list(JobFilter(), limit=9).jobs) == 1


def test_refused_job_leaves_no_trace(store: Store, lease: Lease) -> None:
    schedule = added(store)
    add(store, owner="anna")
    with pytest.raises(QuotaExceeded):
        store.schedules.apply(lease, schedule, firing(schedule, max_queued=1), now=DUE)
    assert store.schedules.get(schedule.schedule_id) == schedule
    assert store.schedules.runs(schedule.schedule_id, limit=9).runs == []


def test_waiting_moment_makes_its_job_later(store: Store, lease: Lease) -> None:
    schedule = added(store)
    waits = ScheduleRun(schedule.schedule_id, DUE, DUE, RunOutcome.WAITING)
    moved = store.schedules.apply(lease, schedule, ScheduleStep(DUE, after(120), DUE, [waits]), now=DUE)
    store.schedules.apply(lease, moved, firing(schedule), now=after(90))
    (run,) = store.schedules.runs(schedule.schedule_id, limit=9).runs
    assert (run.outcome, run.job_status) == (RunOutcome.SUBMITTED, JobStatus.QUEUED)


def test_pause_drops_a_waiting_moment(store: Store, lease: Lease) -> None:
    schedule = added(store)
    waits = ScheduleRun(schedule.schedule_id, DUE, DUE, RunOutcome.WAITING)
    moved = store.schedules.apply(lease, schedule, ScheduleStep(DUE, after(120), DUE, [waits]), now=DUE)
    store.schedules.update(replace(moved, paused_at=DUE, waiting_at=None), drops_waiting=True)
    (run,) = store.schedules.runs(schedule.schedule_id, limit=9).runs
    assert run.outcome is RunOutcome.SKIPPED


def test_previous_jobs_are_cancelled_with_the_new_one_made(store: Store, lease: Lease) -> None:
    schedule = added(store)
    moved = store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    other = add(store)
    store.schedules.apply(lease, moved, firing(schedule, after(120), cancels_previous=True), now=after(120))
    newest, first = store.jobs.list(JobFilter(schedule="nightly"), limit=9).jobs
    assert first.cancel_requested_at == after(120)
    assert newest.cancel_requested_at is None
    assert store.jobs.get(other.job_id).cancel_requested_at is None


def test_run_now(store: Store) -> None:
    schedule = added(store, paused_at=NOW)
    step = firing(schedule)
    assert step.new_job is not None
    job = store.schedules.run_now(schedule, replace(step.runs[0], manual=True), step.new_job, now=DUE)
    assert store.schedules.unfinished_jobs(schedule.schedule_id) == [job.job_id]
    assert store.schedules.runs(schedule.schedule_id, limit=9).runs[0].manual
    store.schedules.delete(schedule)
    with pytest.raises(ScheduleNotFound):
        store.schedules.run_now(schedule, step.runs[0], step.new_job, now=DUE)


def test_source_of_a_schedule_survives_its_jobs(store: Store, lease: Lease) -> None:
    project = pack([ProjectFile("train.py", SCRIPT)])
    schedule = schedule_of(template=spec_of(project_sha256=project.sha256, entrypoint="train.py"))
    store.schedules.add(schedule, SCRIPT, project)
    store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    (job,) = store.jobs.list(JobFilter(), limit=9).jobs
    store.jobs.delete(finish(store, lease, job).job_id)
    assert store.jobs.script(schedule.template.script_sha256) == SCRIPT
    assert store.jobs.project(project.sha256) == project.content
    (run,) = store.schedules.runs(schedule.schedule_id, limit=9).runs
    assert (run.job_id, run.job_status) == (job.job_id, None)
    store.schedules.delete(schedule)
    with pytest.raises(NotFound):
        store.jobs.script(schedule.template.script_sha256)
    with pytest.raises(NotFound):
        store.jobs.project(project.sha256)


def test_new_template_replaces_the_source(store: Store) -> None:
    schedule = added(store)
    other = b"print(1)\n"
    changed = replace(schedule, template=spec_of(other), timetable=Timetable("0 3 * * *", overlap=Overlap.QUEUE))
    updated = store.schedules.update(changed, script=other, drops_waiting=False)
    assert updated == replace(changed, revision=2)
    with pytest.raises(NotFound):
        store.jobs.script(schedule.template.script_sha256)
    assert store.jobs.script(changed.template.script_sha256) == other


def test_history_has_pages_and_an_end(store: Store, lease: Lease) -> None:
    schedule = added(store)
    for minute in range(1, 6):
        schedule = store.schedules.apply(lease, schedule, firing(schedule, after(60 * minute)), now=after(60 * minute))
    page = store.schedules.runs(schedule.schedule_id, limit=2)
    assert [run.due_at for run in page.runs] == [after(300), after(240)]
    rest = store.schedules.runs(schedule.schedule_id, limit=9, cursor=page.next_cursor)
    assert [run.due_at for run in rest.runs] == [after(180), after(120), after(60)]
    store.schedules.forget_runs_before(after(240))
    assert len(store.schedules.runs(schedule.schedule_id, limit=9).runs) == 2


def test_firing_is_in_the_audit(store: Store, lease: Lease) -> None:
    schedule = added(store)
    store.schedules.apply(lease, schedule, firing(schedule), now=DUE)
    (job,) = store.jobs.list(JobFilter(), limit=9).jobs
    (entry,) = store.audit.list(AuditFilter(action="schedule.fire"), limit=9).entries
    assert (entry.who, entry.target, entry.workspace) == ("anna", job.job_id, "default")
