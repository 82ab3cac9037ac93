"""``raylift data`` on a fake platform."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
PATH = "/mlops/datasets"
TIME = "2026-01-02T03:04:05Z"
CONTENT = b"age,city\n20,Bonn\n"
SHA = hashlib.sha256(CONTENT).hexdigest()
SUMMARY = {
    "name": "churn", "version": 3, "reference": "churn@3", "digest": SHA, "size_bytes": 17, "file_count": 1, "folder": False,
    "format": "csv", "rows": 1, "column_count": 2, "source": None, "job_id": None, "created_at": TIME, "created_by": "ada",
    "links": {"self": f"{PATH}/churn/versions/3"},
}  # fmt: skip
USE = {
    "job_id": "job_1", "alias": "train", "version": 3, "status": "completed", "created_at": TIME, "model_name": "churn",
    "model_version": "7",
}  # fmt: skip
AGE = {"name": "age", "type": "int64", "missing": 1, "min": 20, "max": 30, "mean": 25.0}
CITY = {"name": "city", "type": "string", "missing": 0, "distinct": 2, "top": [{"value": "Bonn", "count": 2}]}
VERSION = SUMMARY | {
    "columns": [AGE, CITY],
    "profiled_rows": 1,
    "note": None,
    "files": [{"path": "a.csv", "sha256": SHA, "size_bytes": 17}],
    "uses": [USE],
}


@pytest.fixture(autouse=True)
def taken(platform: Any) -> None:
    platform.on("GET", PATH, {"datasets": [{"name": "churn", "versions": 3, "newest": SUMMARY}]})
    platform.on("POST", PATH, VERSION, status=201)
    platform.on("PUT", f"{PATH}/files/{SHA}", {"sha256": SHA, "have": 17, "complete": True})
    platform.on("GET", f"{PATH}/churn", {"name": "churn", "versions": [SUMMARY], "uses": [USE], "links": {}})
    platform.on("GET", f"{PATH}/churn/versions/3", VERSION)
    platform.on("DELETE", f"{PATH}/churn/versions/3", None, status=204)
    platform.on("DELETE", f"{PATH}/churn", None, status=204)


def test_added_version_is_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    done = run("data", "add", "churn", str(tmp_path / "a.csv"))
    assert (done.exit_code, done.stdout) == (0, "churn@3\n")
    assert "1 file, 17 B, 1 rows, 2 columns" in done.stderr or "1 file" in done.stderr
    missing = run("data", "add", "churn", str(tmp_path / "none"))
    assert missing.exit_code == 2
    assert "does not exist" in missing.stderr


def test_datasets_and_versions_are_shown(run: Run) -> None:
    assert "churn" in run("data", "list").stdout
    listed = run("data", "show", "churn").stdout
    assert "@3" in listed
    assert "churn v7" in listed
    shown = run("data", "show", "churn@3").stdout
    assert "20 to 30, mean 25" in shown
    assert "2 different: Bonn (2)" in shown


def test_all_versions_are_deleted_only_with_all(run: Run) -> None:
    assert run("data", "delete", "churn").exit_code == 2
    assert run("data", "delete", "churn@3", "--all").exit_code == 2
    assert run("data", "delete", "churn@3").exit_code == 0
    assert run("data", "delete", "churn", "--all").exit_code == 0
