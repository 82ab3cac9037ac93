from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from raylift.domain.errors import NotFound, PlatformError
from raylift.domain.identifiers import new_job_id
from raylift.domain.job import Job
from raylift.domain.lease import Lease
from raylift.domain.project import PackedProject, ProjectFile, pack
from raylift.store import Store
from raylift.store.engine.tables import JobProjectRow, ProjectRow
from tests.contract.samples import NOW, SCRIPT, add, finish, spec_of

PROJECT = pack([ProjectFile("train.py", SCRIPT), ProjectFile("data.bin", bytes(range(256)) * 100)])
OTHER = pack([ProjectFile("train.py", SCRIPT)])


def upload(store: Store, project: PackedProject | None = PROJECT, sha256: str = PROJECT.sha256) -> Job:
    spec = spec_of(project_sha256=sha256, entrypoint="train.py", requirements_source="requirements.txt")
    return store.jobs.add(spec, SCRIPT, job_id=new_job_id(NOW.timestamp()), now=NOW, project=project)


def counts(store: Store) -> tuple[int, int]:
    with store._database.read() as session:
        projects = session.scalar(select(func.count()).select_from(ProjectRow))
        return projects or 0, session.scalar(select(func.count()).select_from(JobProjectRow)) or 0


def test_project_of_a_job_is_stored(store: Store) -> None:
    job = upload(store)
    assert store.jobs.get(job.job_id) == job
    assert (job.spec.project_sha256, job.spec.entrypoint) == (PROJECT.sha256, "train.py")
    assert store.jobs.project(PROJECT.sha256) == PROJECT.content


def test_project_of_two_jobs_is_stored_once(store: Store) -> None:
    upload(store)
    upload(store)
    upload(store, project=None)
    assert counts(store) == (1, 3)


def test_project_is_deleted_with_its_last_job(store: Store, lease: Lease) -> None:
    jobs = [upload(store), upload(store)]
    other = upload(store, OTHER, OTHER.sha256)
    for job in jobs:
        assert store.jobs.project(PROJECT.sha256) == PROJECT.content
        finish(store, lease, job)
        store.jobs.delete(job.job_id)
    with pytest.raises(NotFound):
        store.jobs.project(PROJECT.sha256)
    assert counts(store) == (1, 1)
    assert store.jobs.project(OTHER.sha256)
    assert store.jobs.get(other.job_id)


def test_job_without_a_project_changes_no_project(store: Store, lease: Lease) -> None:
    upload(store)
    store.jobs.delete(finish(store, lease, add(store)).job_id)
    assert counts(store) == (1, 1)


def test_job_with_an_unknown_project_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        upload(store, project=None)
    assert counts(store) == (0, 0)
    assert store.jobs.queue_heads(10) == []


@pytest.mark.parametrize("project", [OTHER, replace(OTHER, sha256=PROJECT.sha256)])
def test_project_with_another_hash_is_refused(store: Store, project: PackedProject) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        upload(store, project)
    assert counts(store) == (0, 0)


def test_damaged_project_is_not_returned(store: Store) -> None:
    upload(store)
    with store._database.write() as session:
        row = session.get(ProjectRow, PROJECT.sha256)
        assert row
        row.content = row.content[:-10] + bytes(10)
    with pytest.raises(PlatformError, match="damaged"):
        store.jobs.project(PROJECT.sha256)


def test_concurrent_uploads_and_deletes_lose_no_project(open_store: Callable[[], Store], lease: Lease) -> None:
    errors: list[BaseException] = []

    def play() -> None:
        store = open_store()
        try:
            for _ in range(8):
                job = upload(store)
                assert store.jobs.project(PROJECT.sha256) == PROJECT.content
                store.jobs.delete(finish(store, lease, job).job_id)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=play) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert counts(open_store()) == (0, 0)
