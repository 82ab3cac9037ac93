from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import update

from raylift.domain.errors import InvalidRequest, JobNotFinished, JobNotFound, NotFound, PlatformError
from raylift.domain.job import Job, JobSpec, JobState, JobStatus, Origin, QueuedJob, Reason, Resources
from raylift.domain.lease import Lease
from raylift.store import JobFilter, Store
from raylift.store.engine.tables import ScriptRow
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of, start

EVERYTHING = JobFilter()


def ids(jobs: Sequence[Job | QueuedJob]) -> list[str]:
    return [job.job_id for job in jobs]


def test_job_is_read_as_it_was_added(store: Store) -> None:
    spec = JobSpec(
        script_sha256=spec_of().script_sha256,
        script_name="träin.py",
        experiment_name="x",
        model_name="churn",
        requirements=("torch>=2",),
        environment={"TOKEN": "s3cret", "NUL": "a\0b"},
        args=("--lr", "0.1", "naïve ☃"),
        timeout_seconds=61,
        resources=Resources(cpus=0.5, memory_bytes=2**40, gpus=1.0),
        max_retries=2,
        priority=99,
        autolog=False,
        deploy=False,
        tags={"team": "growth"},
        owner="ada",
        origin=Origin.PLATFORM,
        environment_lock=("torch==2.9.0",),
    )
    added = store.jobs.add(spec, SCRIPT, job_id="job_1", now=NOW)
    assert added == store.jobs.get("job_1")
    assert added == Job("job_1", spec, JobState.QUEUED, created_at=NOW, entered_at=NOW)
    assert store.jobs.script(spec.script_sha256) == SCRIPT


def test_times_are_stored_and_read_in_utc(store: Store) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    job = add(store, now=elsewhere)
    read = store.jobs.get(job.job_id)
    assert read == job
    assert job.created_at.tzinfo is UTC and read.created_at.tzinfo is UTC
    with pytest.raises(ValueError, match="no time zone"):
        add(store, now=datetime(2026, 1, 1))  # noqa: DTZ001


def test_missing_lock_differs_from_an_empty_lock(store: Store, lease: Lease) -> None:
    assert add(store, environment_lock=()).spec.environment_lock == ()
    job = add(store, environment_lock=None)
    assert store.jobs.get(job.job_id).spec.environment_lock is None
    assert job.environment_lock is None
    assert store.jobs.amend(lease, job, environment_lock=()).environment_lock == ()


def test_values_of_environment_variables_are_not_printed(store: Store) -> None:
    job = add(store, environment={"TOKEN": "s3cret"})
    assert store.jobs.get(job.job_id).spec.environment == {"TOKEN": "s3cret"}
    assert "s3cret" not in repr(store.jobs.get(job.job_id))


def test_database_errors_show_no_values(store: Store) -> None:
    with pytest.raises(Exception, match="INSERT") as caught:  # noqa: PT012 (the statement fails, not the spec)
        spec = replace(spec_of(environment={"TOKEN": "s3cret"}), experiment_name=None)  # pyright: ignore[reportArgumentType]
        store.jobs.add(spec, SCRIPT, job_id="job_1", now=NOW)
    assert "s3cret" not in str(caught.value)


def test_script_that_differs_from_the_spec_s_hash_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        store.jobs.add(spec_of(), b"something else", job_id="job_1", now=NOW)
    with pytest.raises(JobNotFound):
        store.jobs.get("job_1")


def test_second_job_with_the_same_id_is_refused(store: Store) -> None:
    first = add(store, job_id="job_1")
    with pytest.raises(ValueError, match="job_1"):
        add(store, job_id="job_1", model_name="other")
    assert store.jobs.get("job_1") == first


def test_unknown_jobs_and_scripts_are_not_found(store: Store) -> None:
    for job_id in ("job_none", "job_\0", "job_\ud800", ""):
        with pytest.raises(JobNotFound):
            store.jobs.get(job_id)
        with pytest.raises(JobNotFound):
            store.jobs.request_cancel(job_id, now=NOW)
        with pytest.raises(JobNotFound):
            store.jobs.delete(job_id)
        assert store.jobs.events(job_id) == []
        assert store.jobs.attempts(job_id) == []
    with pytest.raises(NotFound):
        store.jobs.script("0" * 64)


def test_damaged_script_is_not_returned(store: Store) -> None:
    job = add(store)
    with store._database.write() as session:
        session.execute(update(ScriptRow).values(content=b"rm -rf"))
    with pytest.raises(PlatformError, match="damaged"):
        store.jobs.script(job.spec.script_sha256)


class TestList:
    def test_pages_are_newest_first_and_complete_while_jobs_are_added(self, store: Store) -> None:
        # Several jobs have the same time: the id orders them.
        jobs = [add(store, now=after(n // 3), job_id=f"job_{9 - n // 3}{n % 3}") for n in range(10)]
        expected = ids(jobs)[::-1]
        page = store.jobs.list(EVERYTHING, limit=4)
        seen = ids(page.jobs)
        while page.next_cursor is not None:
            add(store, now=after(100))
            page = store.jobs.list(EVERYTHING, limit=4, cursor=page.next_cursor)
            seen += ids(page.jobs)
        assert seen == expected

    def test_full_last_page_has_no_cursor(self, store: Store) -> None:
        for n in range(4):
            add(store, now=after(n))
        assert store.jobs.list(EVERYTHING, limit=4).next_cursor is None
        assert store.jobs.list(EVERYTHING, limit=5).next_cursor is None

    def test_page_of_an_empty_store_is_empty(self, store: Store) -> None:
        page = store.jobs.list(EVERYTHING, limit=10)
        assert (page.jobs, page.next_cursor) == ([], None)

    def test_jobs_are_filtered_by_status_model_experiment_and_tag(self, store: Store, lease: Lease) -> None:
        plain = add(store)
        a = add(store, model_name="a", experiment_name="x", tags={"team": "red", "env": "dev"}, now=after(1))
        b = add(store, model_name="b", experiment_name="x", tags={"team": "blue"}, now=after(2))
        done = finish(store, lease, add(store, model_name="a", now=after(3)))

        def found(**wanted: object) -> list[str]:
            return ids(store.jobs.list(JobFilter(**wanted), limit=10).jobs)  # pyright: ignore[reportArgumentType]

        assert found(model_name="a") == ids([done, a])
        assert found(experiment_name="x") == ids([b, a])
        assert found(status=JobStatus.COMPLETED) == ids([done])
        assert found(status=JobStatus.QUEUED, model_name="a") == ids([a])
        assert found(status=JobStatus.QUEUED, experiment_name="churn") == ids([plain])
        assert found(tag=("team", "red")) == ids([a])
        assert found(tag=("team", None)) == ids([b, a])
        assert found(tag=("team", None), model_name="b") == ids([b])
        assert found(tag=("nothing", None)) == []
        assert found(reason=Reason.WAITING_FOR_CAPACITY) == ids([b, a, plain])
        assert found(reason=Reason.SCRIPT_ERROR) == []
        assert found(model_name="A") == []
        assert found(model_name="\0", experiment_name="\ud800") == []

    @pytest.mark.parametrize("tag", [("team", "red"), ("team", None)])
    def test_filter_by_tag_has_pages(self, store: Store, tag: tuple[str, str | None]) -> None:
        jobs = [add(store, now=after(n), tags={"team": "red"}) for n in range(5)]
        page = store.jobs.list(JobFilter(tag=tag), limit=3)
        rest = store.jobs.list(JobFilter(tag=tag), limit=3, cursor=page.next_cursor)
        assert ids(page.jobs + rest.jobs) == ids(jobs)[::-1]

    def test_tags_may_have_any_length(self, store: Store) -> None:
        tags = {"k" * 5000: "v" * 5000, "k" * 5001: "☃" * 5000}
        job = add(store, tags=tags)
        assert store.jobs.get(job.job_id).spec.tags == tags
        assert ids(store.jobs.list(JobFilter(tag=("k" * 5000, None)), limit=9).jobs) == [job.job_id]

    @pytest.mark.parametrize("status", JobStatus)
    def test_filter_by_status_finds_every_internal_state_of_it(self, store: Store, lease: Lease, status: JobStatus) -> None:
        queued = add(store, now=after(0))
        resolving = store.jobs.move(lease, add(store, now=after(1)), JobState.ENVIRONMENT, now=NOW)
        starting = start(store, lease, add(store, now=after(2)))
        script = store.jobs.move(lease, start(store, lease, add(store, now=after(3))), JobState.SCRIPT, now=NOW)
        ran = store.jobs.move(lease, start(store, lease, add(store, now=after(4))), JobState.SCRIPT, now=NOW)
        registering = store.jobs.move(lease, ran, JobState.REGISTRATION, now=NOW)
        completed = finish(store, lease, add(store, now=after(5)))
        failed = store.jobs.move(lease, add(store, now=after(6)), JobState.FAILED, now=NOW)
        cancelled = store.jobs.move(lease, add(store, now=after(7)), JobState.CANCELLED, now=NOW)
        expected = {
            JobStatus.QUEUED: [starting, resolving, queued],
            JobStatus.RUNNING: [registering, script],
            JobStatus.COMPLETED: [completed],
            JobStatus.FAILED: [failed],
            JobStatus.CANCELLED: [cancelled],
        }
        assert store.jobs.list(JobFilter(status=status), limit=10).jobs == expected[status]
        assert store.jobs.count_by_status() == {status: len(jobs) for status, jobs in expected.items()}

    @pytest.mark.parametrize(
        "cursor",
        ["", "x", "äö", "=", "e30", "W10", "AAAA", "[]", base64.urlsafe_b64encode(b'["2026-01-01T00:00:00","a"]').decode()]
        + [base64.urlsafe_b64encode(text).decode() for text in (b'["2026-01-01T00:00:00Z",1]', b"[" * 5000, b'["NaN","a"]')],
    )
    def test_malformed_cursor_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            store.jobs.list(EVERYTHING, limit=1, cursor=cursor)
        assert [error.field for error in caught.value.errors] == ["cursor"]


class TestQueue:
    def test_queue_is_ordered_by_priority_then_age_then_id(self, store: Store) -> None:
        late = add(store, now=after(5), job_id="job_a")
        early = add(store, now=after(1), job_id="job_b")
        urgent = add(store, now=after(9), priority=100)
        idle = add(store, now=after(0), priority=0)
        twins = [add(store, now=after(7), job_id=f"job_{n}") for n in (2, 1, 3)]
        expected = [urgent.job_id, early.job_id, late.job_id, "job_1", "job_2", "job_3", idle.job_id]
        assert ids(store.jobs.queue_heads(100)) == expected
        assert ids(store.jobs.queue_heads(2)) == expected[:2]
        positions = {job.job_id: store.jobs.queue_position(job) for job in [late, early, urgent, idle, *twins]}
        assert sorted(positions, key=lambda job_id: positions[job_id] or 0) == expected
        assert sorted(positions.values(), key=lambda p: p or 0) == list(range(1, 8))

    def test_admitted_job_has_no_queue_position(self, store: Store, lease: Lease) -> None:
        first, second = add(store), add(store, now=after(1))
        assert store.jobs.queue_position(second) == 2
        admitted = start(store, lease, first)
        assert store.jobs.queue_position(admitted) is None
        assert store.jobs.queue_position(second) == 1
        assert ids(store.jobs.queue_heads(5)) == [second.job_id]

    def test_jobs_in_states_are_listed_oldest_first(self, store: Store, lease: Lease) -> None:
        jobs = [add(store, now=after(n)) for n in (2, 0, 1)]
        active = [start(store, lease, job) for job in jobs]
        assert store.jobs.in_states([JobState.STARTING, JobState.SCRIPT]) == [active[1], active[2], active[0]]
        assert store.jobs.in_states([]) == []


class TestCancel:
    def test_cancel_request_is_stored_once(self, store: Store) -> None:
        job = add(store)
        asked = store.jobs.request_cancel(job.job_id, now=after(1))
        assert asked == replace(job, cancel_requested_at=after(1))
        assert store.jobs.request_cancel(job.job_id, now=after(2)) == asked

    def test_cancel_leaves_a_finished_job_unchanged(self, store: Store, lease: Lease) -> None:
        done = finish(store, lease, add(store))
        assert store.jobs.request_cancel(done.job_id, now=after(1)) == done

    def test_supervisor_finds_cancel_requests_in_every_state(self, store: Store, lease: Lease) -> None:
        add(store)
        waiting, running, over = add(store), start(store, lease, add(store)), add(store)
        second = store.jobs.request_cancel(running.job_id, now=after(2))
        first = store.jobs.request_cancel(waiting.job_id, now=after(1))
        over = store.jobs.request_cancel(over.job_id, now=after(1))
        store.jobs.move(lease, over, JobState.CANCELLED, now=after(3), reason=Reason.CANCELLED_BY_USER)
        assert store.jobs.cancelling() == [first, second]


class TestDelete:
    def test_delete_removes_every_row_of_a_job(self, store: Store, lease: Lease) -> None:
        done = finish(store, lease, add(store, tags={"team": "red"}))
        assert store.jobs.delete(done.job_id) == done
        with pytest.raises(JobNotFound):
            store.jobs.get(done.job_id)
        assert store.jobs.events(done.job_id) == []
        assert store.jobs.attempts(done.job_id) == []
        assert store.jobs.list(JobFilter(tag=("team", None)), limit=1).jobs == []
        with pytest.raises(NotFound):
            store.jobs.script(done.spec.script_sha256)

    def test_delete_keeps_a_script_of_another_job(self, store: Store, lease: Lease) -> None:
        other = add(store)
        done = finish(store, lease, add(store))
        store.jobs.delete(done.job_id)
        assert store.jobs.script(other.spec.script_sha256) == SCRIPT

    def test_delete_of_an_unfinished_job_is_refused(self, store: Store, lease: Lease) -> None:
        job = start(store, lease, add(store))
        with pytest.raises(JobNotFinished):
            store.jobs.delete(job.job_id)
        assert store.jobs.get(job.job_id) == job


class TestAdopt:
    def test_adoption_adds_a_job_that_ray_runs(self, store: Store) -> None:
        spec = spec_of(origin=Origin.RAY)
        job = store.jobs.adopt(spec, SCRIPT, job_id="job_raysubmit_1", submission_id="raysubmit_1", now=NOW)
        assert job is not None
        assert job == store.jobs.get("job_raysubmit_1")
        assert (job.state, job.submission_id, job.spec.origin) == (JobState.STARTING, "raysubmit_1", Origin.RAY)
        assert [(e.before, e.after) for e in store.jobs.events(job.job_id)] == [(None, JobState.STARTING)]
        assert [(a.number, a.submission_id, a.created_at) for a in store.jobs.attempts(job.job_id)] == [(1, "raysubmit_1", NOW)]

    def test_adoption_is_made_once(self, store: Store) -> None:
        first = store.jobs.adopt(spec_of(), SCRIPT, job_id="job_1", submission_id="1", now=NOW)
        assert store.jobs.adopt(spec_of(), SCRIPT, job_id="job_1", submission_id="1", now=after(1)) is None
        assert store.jobs.get("job_1") == first
