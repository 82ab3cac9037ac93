"""Registered files: only those that a sandboxed script may read, also when others replace them by links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from raylift.dataset_settings import S3Settings
from raylift.domain.datasets.dataset import DataFile
from raylift.engines.datasets.profiling import profile_of
from raylift.engines.datasets.s3 import S3
from raylift.engines.datasets.sources import SourceRefused, Sources


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "rows.csv").write_text("age\n20\n")
    return folder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the folders of data, in a folder with the layout of ``inner``."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "rows.csv").write_text("hash\n1\n")
    return folder / "rows.csv"


def sources(*folders: Path, protected: tuple[Path, ...] = (), for_others: bool = False) -> Sources:
    return Sources(folders, ["s3://allowed/prefix"], S3(S3Settings()), protected=protected, for_others=for_others)


@pytest.mark.parametrize(
    "address",
    [
        "/etc/shadow", "file:///etc/shadow", "{data}/../elsewhere/rows.csv", "{data}/inner/../../elsewhere", "http://127.0.0.1/x",
        "s3://other/prefix/x", "s3://allowed/prefix/../x", "s3://allowed/prefixed/x", "relative.csv", "/proc/self/environ",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(data: Path, secret: Path, address: str) -> None:
    assert secret.exists()
    with pytest.raises(SourceRefused):
        sources(data).find(address.format(data=data))


def test_files_of_the_platform_are_refused_in_an_open_folder(tmp_path: Path, data: Path) -> None:
    state = data / "raylift"
    state.mkdir()
    (state / "secrets-key").write_text("key")
    found = sources(tmp_path, protected=(state,))
    for address in (state / "secrets-key", state):
        with pytest.raises(SourceRefused, match="readable_paths"):
            found.find(str(address))
    with pytest.raises(SourceRefused, match="belongs to the platform"):
        found.find(str(data))
    with pytest.raises(OSError, match="no folder of data"):
        found.open(str(state / "secrets-key"))


def test_files_that_a_job_could_not_read_are_refused(data: Path) -> None:
    rows, found = data / "inner" / "rows.csv", sources(data, for_others=True)
    found.open(str(rows)).close()
    for closed, mode in ((rows, 0o600), (data / "inner", 0o750)):
        before = closed.stat().st_mode
        closed.chmod(mode)
        for address in (rows, data):
            with pytest.raises(SourceRefused, match=f"chmod o.rX {closed}"):
                found.find(str(address))
        with pytest.raises(OSError, match="closed to it"):
            found.open(str(rows))
        closed.chmod(before)


def test_links_that_took_a_place_are_not_followed(data: Path, secret: Path) -> None:
    rows, found = data / "inner" / "rows.csv", sources(data)
    found.open(str(rows)).close()
    rows.unlink()
    rows.symlink_to(secret)
    with pytest.raises(OSError, match=r"rows\.csv"):
        found.open(str(rows))
    rows.unlink()
    rows.parent.rmdir()
    (data / "inner").symlink_to(secret.parent)
    with pytest.raises(OSError, match="by a link"):
        found.open(str(rows))
    (data / "inner").unlink()
    (data / "inner").mkdir()
    os.mkfifo(rows)
    with pytest.raises(OSError, match="no regular file"):
        found.open(str(rows))


def test_profile_reads_no_file_outside_of_the_folders(data: Path, secret: Path) -> None:
    rows = data / "inner" / "rows.csv"
    files, found = [DataFile("rows.csv", "0" * 64, 7, str(rows))], sources(data)
    assert [column["name"] for column in profile_of(files, [rows], _no_fetch, within=found.folders).columns] == ["age"]
    rows.unlink()
    rows.symlink_to(secret)
    replaced = profile_of(files, [rows], _no_fetch, within=found.folders)
    assert not replaced.columns
    assert replaced.note


def _no_fetch(file: DataFile) -> BinaryIO:
    raise AssertionError(file)
