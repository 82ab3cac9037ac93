"""``client.batches`` against a scripted platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift import Client, JobFailed
from raylift.client.jobs.batch_files import local_files
from tests.unit.job_resource import job_resource

PATH = "/mlops/batches"
ONE = f"{PATH}/job_7"
RESULT = {"rows": 3, "rows_written": 3, "rejected": 0, "files": 1, "output": None, "rejected_output": None}
VIEW: dict[str, Any] = {
    "batch_id": "job_7", "status": "completed", "reason": None, "message": "Scored 3 rows.", "model_name": "churn",
    "model_version": "4", "alias": None, "input": None, "output": None, "owner": "local", "workspace": "default", "attempt": 1,
    "created_at": "2026-01-02T03:04:05Z", "started_at": None, "finished_at": None, "duration_seconds": None, "progress": None,
    "result": RESULT, "links": {}, "uploads": ["rows.csv"], "input_format": None, "output_format": "csv", "columns": None,
    "keep": None, "return_probabilities": False, "on_error": "fail", "stamp": False, "params": {}, "secrets": [], "tags": {},
    "timeout_seconds": 60, "max_retries": 0, "priority": 50,
}  # fmt: skip
ACCEPTED = {
    "batch_id": "job_7", "status": "queued", "model_name": "churn", "model_version": "4", "message": "", "links": {},
    "created_at": "2026-01-02T03:04:05Z",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    return tmp_path


@pytest.fixture
def batches(client: Client, platform: Any) -> Any:
    platform.on("POST", PATH, httpx.Response(202, json=ACCEPTED))
    platform.on("GET", ONE, httpx.Response(200, json=VIEW))
    platform.on("GET", f"{ONE}/output", httpx.Response(200, content=b"prediction\n1\n"))
    return client.batches


def posted(platform: Any) -> httpx.Request:
    return next(request for request in platform.requests if request.method == "POST")


def test_local_files_go_up_and_the_output_comes_down(batches: Any, platform: Any, here: Path) -> None:
    batch = batches.run("churn", "rows.csv", "scored.csv", keep=["a"])
    assert (here / "scored.csv").read_bytes() == b"prediction\n1\n"
    assert (batch.model_version, batch.view.result.rows) == ("4", 3)
    body = posted(platform).content
    assert b'filename="rows.csv"' in body
    assert b'"output_format": "csv"' in body
    assert "Idempotency-Key" in posted(platform).headers
    assert sorted(path.name for path in here.iterdir()) == ["rows.csv", "scored.csv"]


def test_paths_of_the_platform_are_sent_as_they_are(batches: Any, platform: Any) -> None:
    batches.create("churn", "file:///data/*.parquet", output="s3://b/out/", alias="champion", on_error="skip", cpus=2)
    body = json.loads(posted(platform).content)
    assert (body["input"], body["output"], body["alias"]) == ("/data/*.parquet", "s3://b/out/", "champion")
    assert body["resources"] == {"cpus": 2, "memory": "2GiB", "gpus": 0.0}


def test_wrong_paths_are_said_before_anything_is_sent(batches: Any, platform: Any, here: Path) -> None:
    with pytest.raises(ValueError, match="is no file here"):
        batches.create("churn", "gone.csv")
    with pytest.raises(ValueError, match=r"use client\.batches\.run"):
        batches.create("churn", "rows.csv", output="scored.csv")
    with pytest.raises(ValueError, match="exists already"):
        batches.run("churn", "rows.csv", "rows.csv")
    with pytest.raises(ValueError, match="says no format"):
        batches.run("churn", "rows.csv", "scored.xls")
    assert platform.requests == []


def test_files_of_a_folder_have_names_of_their_own(here: Path) -> None:
    for name in ("a/1.csv", "a/b/2.csv", "a/_old.csv", "a/read.me"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("x")
    assert [path.name for path in local_files(here / "a")] == ["1.csv", "2.csv"]
    assert [path.name for path in local_files(Path("*.csv"))] == ["rows.csv"]
    (here / "a/b/1.csv").write_text("x")
    with pytest.raises(ValueError, match=r"two files are named 1\.csv"):
        local_files(here / "a")


def test_failed_batch_raises_with_its_message(client: Client, platform: Any) -> None:
    failed = VIEW | {"status": "failed", "reason": "script_error", "message": "row 7 cannot be scored", "result": None}
    platform.on("GET", ONE, httpx.Response(200, json=failed))
    job = job_resource("failed", job_id="job_7", reason="script_error", message="row 7 cannot be scored")
    platform.on("GET", "/mlops/training/jobs/job_7", httpx.Response(200, json=job))
    with pytest.raises(JobFailed, match="row 7 cannot be scored"):
        client.batches.get("job_7").wait()
