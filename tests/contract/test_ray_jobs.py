from __future__ import annotations

from datetime import timedelta

import pytest

from raylift.domain.errors import JobNotFound, SubmissionIdTaken
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import Job, RayRequest
from raylift.domain.lease import Lease
from raylift.store import Store
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of

DAY = timedelta(days=1)


def submit(store: Store, submission_id: str) -> Job:
    request = RayRequest("python train.py", submission_id, {"team": "blue"}, {"pip": ["numpy"]})
    return store.jobs.add(spec_of(ray=request), SCRIPT, job_id=new_job_id(NOW.timestamp()), now=NOW)


def test_job_is_found_by_the_submission_id_of_its_client(store: Store) -> None:
    job = submit(store, "mine")
    submit(store, "other")
    assert store.jobs.of_submission("mine") == job == store.jobs.get(job.job_id)
    assert store.jobs.of_submission("nobody's") is None


def test_submission_id_belongs_to_one_job(store: Store) -> None:
    job, platform_job = submit(store, "mine"), add(store)
    for taken in ("mine", platform_job.job_id):
        with pytest.raises(SubmissionIdTaken, match="already exists"):
            submit(store, taken)
    assert store.jobs.of_submission("mine") == job
    assert sum(store.jobs.count_by_status().values()) == 2


def test_submission_id_is_free_after_its_job_is_deleted(store: Store, lease: Lease) -> None:
    first = submit(store, "mine")
    finish(store, lease, first)
    store.jobs.delete(first.job_id)
    assert store.jobs.of_submission("mine") is None
    second = submit(store, "mine")
    assert store.jobs.of_submission("mine") == second != first
    with pytest.raises(JobNotFound):
        store.jobs.get(first.job_id)


def test_package_is_kept_until_it_expires(store: Store) -> None:
    packages = store.ray_packages
    packages.keep("a.zip", b"a", expires_at=NOW + DAY)
    packages.keep("b.zip", b"b", expires_at=NOW + DAY)
    assert (packages.read("a.zip"), packages.read("c.zip")) == (b"a", None)
    assert packages.extend("a.zip", expires_at=NOW + 3 * DAY)
    assert not packages.extend("c.zip", expires_at=NOW + 3 * DAY)
    packages.keep("d.zip", b"d", expires_at=NOW + 3 * DAY)
    assert packages.forget_expired(NOW + 2 * DAY) == 1
    assert packages.forget_expired(NOW + 2 * DAY) == 0
    assert (packages.read("a.zip"), packages.read("b.zip"), packages.read("d.zip")) == (b"a", None, b"d")


def test_package_can_be_uploaded_again(store: Store) -> None:
    for content in (b"first", b"second"):
        store.ray_packages.keep("a.zip", content, expires_at=after(60))
    assert store.ray_packages.read("a.zip") == b"second"
