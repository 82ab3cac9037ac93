"""Files that are opened only where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_entrypoints.data.fetching import DataWrong, Fetching
from job_entrypoints.data.regular_file import open_regular

if TYPE_CHECKING:
    from job_entrypoints.contract import DataFileRecord, DataRecord


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    base = Path(os.path.realpath(tmp_path))
    (base / "real").mkdir()
    (base / "real" / "file").write_text("x")
    with os.fdopen(open_regular(str(base / "real" / "file")), encoding="ascii") as file:
        assert file.read() == "x"
    (base / "link").symlink_to("real/file")
    (base / "folder").symlink_to("real")
    os.mkfifo(base / "pipe")
    for name in ("link", "folder/file", "pipe", "real", "nothing"):
        with pytest.raises(OSError, match=name.partition("/")[0]):
            open_regular(str(base / name))


def test_registered_file_behind_a_link_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "rows.csv").symlink_to("secret")
    (tmp_path / "copy").mkdir()
    file: DataFileRecord = {"path": "rows.csv", "sha256": "0" * 64, "bytes": 1, "local": str(tmp_path / "rows.csv")}
    record: DataRecord = {
        "alias": "x", "variable": "X", "name": "churn", "version": 1, "digest": "", "key": "k", "single": "rows.csv",
        "source": "", "files": [file],
    }  # fmt: skip
    with pytest.raises(DataWrong, match="cannot be read"):
        Fetching(record, "job_1-a1", lambda _: None).bring(str(tmp_path / "copy"))
    assert list((tmp_path / "copy").iterdir()) == []
