"""Datasets of attempts on a node that does not see the state directory: over HTTP, in the sandbox, kept by content."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Any

import pytest

from job_entrypoints.linux.landlock import ABI_OF_SCOPES, abi_version
from raylift.domain.datasets.dataset import DatasetVersion
from raylift.domain.job import Isolation
from raylift.domain.job_data import DataInput
from raylift.engines.datasets.results import ResultRefused
from raylift.services.datasets.datasets import DatasetService
from tests.integration.remote_attempts.conftest import World

SCRIPT = """
import os
folder = os.environ["RAYLIFT_DATA_TRAIN"]
print(sum(os.path.getsize(os.path.join(folder, name)) for name in ("a.bin", "sub/b.csv")), open(folder + "/sub/b.csv").read())
try:
    open(folder + "/a.bin", "wb")
except OSError:
    print("refused")
"""


def add(world: World, files: dict[str, bytes]) -> DatasetVersion:
    service = DatasetService(world.store, world.settings)
    named: list[tuple[str, str]] = []
    for path, content in files.items():
        sha256 = hashlib.sha256(content).hexdigest()
        assert service.uploads.take("default", sha256, content, offset=0, total=len(content)).complete
        named.append((path, sha256))
    return service.add("default", f"data-{uuid.uuid4().hex[:8]}", named, is_folder=True, by="ada")[0]


def given(version: DatasetVersion) -> dict[str, Any]:
    return {"data": (DataInput("train", version.name, version.version, version.digest),)}


@pytest.mark.skipif(abi_version() < ABI_OF_SCOPES, reason="this kernel's Landlock cannot confine all of it")
def test_data_comes_over_http_once_a_node(world: World) -> None:
    version = add(world, {"a.bin": os.urandom(3_000_000), "sub/b.csv": b"hello"})
    for _ in range(2):
        node = world.run(world.job(SCRIPT, isolation=Isolation.SANDBOX, **given(version)))
        assert world.ended(node)["outcome"] == "exited", world.output(node)
        assert b"3000005 hello\nrefused" in world.output(node)
        node.wait()
        copies = [path for path in (world.folder / "node" / "data").iterdir() if path.is_dir()]
        assert [sorted(file.name for file in copy.rglob("*.*")) for copy in copies] == [["a.bin", "b.csv"]]
        # The second attempt needs no bytes of the platform.
        for blob in world.settings.blobs_dir.rglob("*"):
            if blob.is_file():
                blob.unlink()


def test_data_that_the_platform_lost_ends_the_attempt(world: World) -> None:
    version = add(world, {"a.bin": b"1", "sub/b.csv": b"2"})
    job = world.job(SCRIPT, **given(version))
    for file in DatasetService(world.store, world.settings).files(version):
        blob = next(path for path in world.settings.blobs_dir.rglob("*") if path.name == file.sha256)
        blob.chmod(0o644)
        blob.write_bytes(b"x")
    node = world.run(job)
    ended = world.ended(node)
    assert ended["outcome"] == "data_error"
    assert "has changed since it was added" in ended["message"]
    node.wait()


RESULT = """
import os
folder = os.environ["RAYLIFT_OUTPUT"]
os.makedirs(folder + "/sub")
open(folder + "/large.bin", "wb").write(bytes(2_500_000))
open(folder + "/sub/b.csv", "w").write("x")
"""


def test_result_comes_over_http_before_the_end(world: World) -> None:
    job = world.job(RESULT, output_dataset="made")
    node = world.run(job)
    assert world.ended(node)["outcome"] == "exited", world.output(node)
    version = DatasetService(world.store, world.settings).add_result(
        "default", "made", world.directory(job).result(), by="ada", job_id=job.job_id
    )
    assert version is not None
    files = DatasetService(world.store, world.settings).files(version)
    assert [(file.path, file.size_bytes) for file in files] == [("large.bin", 2_500_000), ("sub/b.csv", 1)]
    node.wait()


def test_link_in_a_result_of_another_node_is_refused(world: World) -> None:
    job = world.job('import os; os.symlink("/etc/hostname", os.environ["RAYLIFT_OUTPUT"] + "/link")', output_dataset="made")
    node = world.run(job)
    assert world.ended(node)["outcome"] == "exited", world.output(node)
    with pytest.raises(ResultRefused, match="'link' is a link"):
        DatasetService(world.store, world.settings).add_result(
            "default", "made", world.directory(job).result(), by="ada", job_id=job.job_id
        )
    node.wait()
