"""Datasets on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raylift.domain.datasets.dataset import DataFile, DatasetVersion, Profile, digest_of
from raylift.domain.errors import DatasetInUse, DatasetNotFound
from raylift.domain.job import Job, JobState
from raylift.domain.job_data import DataInput
from raylift.domain.lease import Lease
from raylift.store import Store
from tests.contract.samples import NOW, add, after

ONE, TWO = DataFile("a.csv", "a" * 64, 5), DataFile("sub/b.csv", "b" * 64, 2**40)


def put(store: Store, *files: DataFile, name: str = "churn", workspace: str = "default") -> DatasetVersion:
    return put_version(store, *files, name=name, workspace=workspace)[0]


def put_version(store: Store, *files: DataFile, name: str = "churn", workspace: str = "default") -> tuple[DatasetVersion, bool]:
    is_folder = len(files) > 1
    version = DatasetVersion(
        workspace,
        name,
        0,
        digest_of(files, is_folder=is_folder),
        sum(file.size_bytes for file in files),
        len(files),
        is_folder,
        NOW,
        "ada",
        profile=Profile("csv", 3, 3, ({"name": "x", "type": "int64", "missing": 0},)),
    )
    return store.datasets.add(version, files)


def use(store: Store, version: DatasetVersion, alias: str = "train") -> Job:
    return add(store, data=(DataInput(alias, version.name, version.version, version.digest),))


def test_same_content_is_the_same_version(store: Store) -> None:
    first, is_new = put_version(store, ONE)
    assert is_new
    assert first.version == 1
    again, is_new = put_version(store, ONE)
    assert (again, is_new) == (first, False)
    assert put(store, ONE, TWO).version == 2
    assert put(store, ONE, name="other").version == 1


def test_version_is_stored_with_its_files(store: Store) -> None:
    version = put(store, TWO, ONE)
    assert store.datasets.get("default", "churn", 1) == store.datasets.get("default", "churn") == version
    assert store.datasets.files("default", "churn", 1) == [ONE, TWO]
    assert version.size_bytes == 2**40 + 5
    assert store.datasets.of_digest("default", "churn", version.digest) == version


def test_list_has_the_newest_version_of_each(store: Store) -> None:
    put(store, ONE, name="b")
    put(store, ONE, name="a")
    newest = put(store, TWO, name="a")
    put(store, TWO, name="c", workspace="credit")
    listed = store.datasets.list("default")
    assert [(each.newest.name, each.newest.version, each.versions) for each in listed] == [("a", 2, 2), ("b", 1, 1)]
    assert listed[0].newest == newest
    assert [each.version for each in store.datasets.versions("default", "a")] == [2, 1]


def test_other_workspace_has_no_such_dataset(store: Store) -> None:
    put(store, ONE)
    with pytest.raises(DatasetNotFound):
        store.datasets.get("credit", "churn")


def test_number_of_a_deleted_version_does_not_return(store: Store) -> None:
    put(store, ONE)
    assert store.datasets.delete("default", "churn") == 1
    assert store.datasets.list("default") == []
    with pytest.raises(DatasetNotFound, match="no dataset churn"):
        store.datasets.versions("default", "churn")
    assert put(store, ONE).version == 2


def test_jobs_of_a_version_are_known(store: Store) -> None:
    version = put(store, ONE)
    job = use(store, version)
    (found,) = store.datasets.uses("default", "churn", 1, limit=10)
    assert (found.job_id, found.alias, found.version, found.status) == (job.job_id, "train", 1, "queued")
    assert store.datasets.uses("default", "churn", 2, limit=10) == []
    assert store.jobs.get(job.job_id).spec.data == job.spec.data


def test_version_of_an_unfinished_job_cannot_be_deleted(store: Store, lease: Lease) -> None:
    version, other = put(store, ONE), put(store, TWO)
    job = use(store, version)
    with pytest.raises(DatasetInUse, match=job.job_id):
        store.datasets.delete("default", "churn", 1)
    with pytest.raises(DatasetInUse):
        store.datasets.delete("default", "churn")
    assert store.datasets.delete("default", "churn", other.version) == 1
    store.jobs.move(lease, job, JobState.CANCELLED, now=after(1))
    assert store.datasets.delete("default", "churn", 1) == 1


def test_job_of_a_deleted_version_is_refused(store: Store) -> None:
    version = put(store, ONE)
    store.datasets.delete("default", "churn")
    with pytest.raises(DatasetNotFound, match="churn@1"):
        use(store, version)


def test_bytes_are_known_while_a_version_has_them(store: Store) -> None:
    put(store, ONE, replace(TWO, location="/data/b.csv"))
    assert store.datasets.known_blobs("default", [ONE.sha256, TWO.sha256]) == {ONE.sha256}
    assert store.datasets.known_blobs("credit", [ONE.sha256]) == set()
    store.datasets.delete("default", "churn")
    assert store.datasets.known_blobs("default", [ONE.sha256]) == set()
