"""Files of datasets, in a directory and in a real object store."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

import pytest

from raylift.dataset_settings import DatasetSettings, S3Settings
from raylift.domain.datasets.dataset import DataFile
from raylift.domain.errors import EngineUnavailable, InvalidRequest
from raylift.engines.datasets.blobs import Blobs, blobs_of, chunks_of
from raylift.engines.datasets.profiling import profile_of
from raylift.services.datasets.datasets import DatasetService
from raylift.services.datasets.uploads import FileUploads
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.housekeeping import dataset_files
from raylift.supervisor.housekeeping.dataset_files import DatasetFiles
from tests.migrated_store import open_migrated
from tests.object_store import ObjectStore, running_object_store

CONTENT = b"age,left\n20,0\n" * 200_000
"""More than one portion."""
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def object_store() -> Generator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture(params=["directory", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> PlatformSettings:
    datasets = DatasetSettings()
    if request.param == "s3":
        store: ObjectStore = request.getfixturevalue("object_store")
        s3 = S3Settings(endpoint=store.endpoint, region="us-east-1", credentials_file=store.credentials_file)
        address = f"s3://{store.bucket}"
        datasets = DatasetSettings(bytes_at=f"{address}/{tmp_path.name}", sources=(f"{address}/lake",), s3=s3)
    return PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        gateway_url="http://127.0.0.1:9",
        datasets=datasets,
    )


@pytest.fixture
def blobs(settings: PlatformSettings) -> Blobs:
    return blobs_of(settings)


@pytest.fixture
def store(tmp_path: Path) -> Generator[Store]:
    store = open_migrated(tmp_path / "store.db")
    yield store
    store.close()


def put(blobs: Blobs, tmp_path: Path, content: bytes = CONTENT, workspace: str = "default") -> str:
    file, sha256 = tmp_path / "part", hashlib.sha256(content).hexdigest()
    file.write_bytes(content)
    blobs.put(workspace, sha256, file)
    assert not file.exists()
    return sha256


def test_stored_file_is_read_from_any_position(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.size("default", SHA) is None
    put(blobs, tmp_path)
    put(blobs, tmp_path)
    assert blobs.size("default", SHA) == len(CONTENT)
    assert blobs.size("other", SHA) is None
    for offset in (0, 7, len(CONTENT)):
        assert b"".join(chunks_of(blobs.open("default", SHA, offset))) == CONTENT[offset:]


def test_all_files_are_listed_and_removed(blobs: Blobs, tmp_path: Path) -> None:
    put(blobs, tmp_path, b"one")
    two = put(blobs, tmp_path, b"two", workspace="credit")
    found = sorted(blobs.all(), key=lambda each: each.workspace)
    assert [each.workspace for each in found] == ["credit", "default"]
    assert found[0].sha256 == two
    assert abs(found[0].changed_at - time.time()) < 3600
    assert not blobs.remove("credit", two, unchanged_since=time.time() - 7200)
    assert blobs.size("credit", two) == 3
    assert blobs.remove("credit", two, unchanged_since=time.time() + 3600)
    assert not blobs.remove("credit", two, unchanged_since=time.time() + 3600)
    assert [each.workspace for each in blobs.all()] == ["default"]
    with pytest.raises(FileNotFoundError):
        blobs.open("credit", two)


def test_bytes_without_a_version_go(
    settings: PlatformSettings, blobs: Blobs, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = DatasetService(store, settings)
    kept, unused = (hashlib.sha256(content).hexdigest() for content in (b"a\n1\n", b"b\n1\n"))
    for sha256, content in ((kept, b"a\n1\n"), (unused, b"b\n1\n")):
        assert service.uploads.take("default", sha256, content, offset=0, total=4).complete
    version, _ = service.add("default", "churn", [("a.csv", kept)], is_folder=False, by="ada")
    assert (version.profile.rows, version.profile.format) == (1, "csv")
    DatasetFiles(settings, store).remove_unused()
    assert {each.sha256 for each in blobs.all()} == {kept, unused}
    monkeypatch.setattr(dataset_files, "_AGE_SECONDS", -3600.0)
    DatasetFiles(settings, store).remove_unused()
    assert {each.sha256 for each in blobs.all()} == {kept}
    service.delete("default", "churn")
    DatasetFiles(settings, store).remove_unused()
    assert list(blobs.all()) == []


def test_file_that_a_client_is_about_to_use_is_kept(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9"
    settings = PlatformSettings(
        state_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/store.db", mlflow_url=nowhere, ray_dashboard_url=nowhere,
        gateway_url=nowhere,
    )  # fmt: skip
    service, blobs = DatasetService(store, settings), blobs_of(settings)
    sha256 = put(blobs, tmp_path, b"a\n1\n")
    path = blobs.path("default", sha256)
    assert path is not None
    os.utime(path, (0, 0))
    known = store.datasets.known_blobs

    def known_before_the_client(workspace: str, names: list[str]) -> set[str]:
        found = known(workspace, names)
        assert service.uploads.state(workspace, sha256).complete
        return found

    monkeypatch.setattr(store.datasets, "known_blobs", known_before_the_client)
    DatasetFiles(settings, store).remove_unused()
    assert service.add("default", "churn", [("a.csv", sha256)], is_folder=False, by="ada")[1]
    assert path.read_bytes() == b"a\n1\n"


def test_part_that_vanishes_does_not_stop_the_removal_of_others(tmp_path: Path, settings: PlatformSettings) -> None:
    uploads = FileUploads(tmp_path / "parts", blobs_of(settings), 100)
    old = tmp_path / "parts" / "default" / "old"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "glob", lambda *_: iter([old.with_name("gone"), old]))
        uploads.remove_old()
    assert not old.exists()


def test_profile_without_its_files_says_so() -> None:
    def fetch(_: DataFile) -> BinaryIO:
        raise OSError("the bucket is away")

    assert "could not be fetched" in (profile_of([DataFile("a.csv", SHA, 5)], [None], fetch).note or "")


def test_objects_of_a_bucket_are_registered(object_store: ObjectStore, settings: PlatformSettings, store: Store) -> None:
    if settings.datasets.bytes_at is None:
        return
    service = DatasetService(store, settings)
    lake = f"s3://{object_store.bucket}/lake/events"
    s3 = service._sources._s3
    for name in ("a.csv", "sub/b.csv"):
        with s3.create(f"{lake}/{name}") as file:
            file.write(b"x\n1\n")
    version, _ = service.register("default", "events", lake, by="ada")
    assert (version.source, version.is_folder, version.file_count, version.profile.rows) == (lake, True, 2, 2)
    files = service.files(version)
    assert [file.path for file in files] == ["a.csv", "sub/b.csv"]
    assert b"".join(service.stream("default", files[1], 2)) == b"1\n"
    single, _ = service.register("default", "one", f"{lake}/a.csv", by="ada")
    assert (single.is_folder, single.digest) == (False, hashlib.sha256(b"x\n1\n").hexdigest())
    with pytest.raises(InvalidRequest, match="no files"):
        service.register("default", "none", f"{lake}/none", by="ada")
    s3.remove(f"{lake}/a.csv")
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        service.stream("default", files[0], 0)
