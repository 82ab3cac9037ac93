"""Batches over HTTP. What their program leaves is written by the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.access_settings import ReportSettings
from raylift.domain.batches.order import WORK_FOLDER
from raylift.domain.job import JobState
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.settings import JobSettings, PlatformSettings
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

PATH = "/mlops/batches"
RESULT = {"output": None, "rejected_output": None, "rows": 3, "rows_written": 2, "rejected": 1, "files": 1}
PROGRESS = {
    "phase": "scoring", "rows": 10, "rows_total": 40, "rejected": 1, "items": 1, "items_total": 4,
    "rows_per_second": 5.0, "eta_seconds": 6.0,
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "rows.parquet").write_bytes(b"PAR1")
    return folder


@pytest.fixture
def settings(settings: PlatformSettings, data: Path) -> PlatformSettings:
    return settings.model_copy(update={"jobs": JobSettings(writable_paths=(data,))})


@pytest.fixture(autouse=True)
def version(platform: Platform) -> None:
    deploy(platform, "churn", "1")
    deploy(platform, "churn", "2")


def deploy(platform: Platform, name: str, version: str, *, files: dict[str, str] | None = None, **fields: Any) -> None:
    platform.registry.register(name, version)
    platform.store.deployments.ensure(
        name,
        version,
        model_uri=f"models:/{name}/{version}",
        config=DeploymentConfig(environment={"MODE": "x"}),
        now=datetime.now(UTC),
        environment_lock=("tinynumpy==1.2.1",),
        files={"MLmodel": "0" * 64} if files is None else files,
        **fields,
    )


async def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(PATH, json={"model_name": "churn", **fields})


async def make(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await post(client, **fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["batch_id"]


def work_of(platform: Platform, batch_id: str) -> Path:
    return platform.settings.batches_dir / batch_id / WORK_FOLDER


async def test_batch_is_a_job_of_the_newest_version(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    batch_id = await make(client, input=f"file://{data}/rows.parquet", output=f"{data}/out.csv", keep=["id"], stamp=True)
    shown = (await client.get(f"{PATH}/{batch_id}")).json()
    assert (shown["model_version"], shown["output_format"], shown["keep"]) == ("2", "csv", ["id"])
    assert shown["input"] == f"{data}/rows.parquet"
    job = platform.store.jobs.get(batch_id)
    assert job.spec.environment_lock == ("tinynumpy==1.2.1",)
    assert job.spec.environment == {"MODE": "x"}
    assert (job.spec.model_name, job.spec.deploy, job.spec.isolation) == (None, False, "sandbox")
    assert (await client.get(f"/mlops/training/jobs/{batch_id}")).json()["kind"] == "batch"
    assert [each["batch_id"] for each in (await client.get(PATH, params={"model_name": "churn"})).json()["batches"]] == [
        batch_id
    ]
    assert (await client.get(PATH, params={"model_name": "other"})).json()["batches"] == []


async def test_alias_is_looked_up_once(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    platform.registry.set_alias("churn", "champion", "1")
    batch_id = await make(client, input=f"{data}/rows.parquet", alias="champion")
    platform.registry.set_alias("churn", "champion", "2")
    shown = (await client.get(f"{PATH}/{batch_id}")).json()
    assert (shown["alias"], shown["model_version"]) == ("champion", "1")


async def test_uploaded_files_are_kept_for_all_attempts(client: httpx.AsyncClient, platform: Platform) -> None:
    files = [("file", ("a.csv", b"x\n1\n")), ("file", ("b.csv", b"x\n2\n"))]
    data = {"batch": json.dumps({"model_name": "churn"})}
    key = {"Idempotency-Key": "k"}
    first = await client.post(PATH, data=data, files=files, headers=key)
    again = await client.post(PATH, data=data, files=files, headers=key)
    assert first.status_code == 202, first.text
    assert first.json()["batch_id"] == again.json()["batch_id"]
    folder = platform.settings.batches_dir / first.json()["batch_id"] / "input"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.csv": b"x\n1\n", "b.csv": b"x\n2\n"}
    assert len(list(platform.settings.batches_dir.iterdir())) == 1
    other = await client.post(PATH, data=data, files=files[:1], headers=key)
    assert other.json()["code"] == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "input is required"),
        ({"input": "rows.parquet"}, "neither a path"),
        ({"input": "/etc/passwd"}, "outside of the folders that batches may read"),
        ({"input": "{data}/../store.db"}, "has .. in it"),
        ({"input": "{data}/link.db"}, "outside of the folders"),
        ({"input": "{data}/*.csv"}, "does not exist"),
        ({"input": "s3://bucket"}, "names no object"),
        ({"input": "s3://KEY:SECRET@bucket/rows.parquet"}, "credentials belong in a secret"),
        ({"input": "{data}/**/x/**/*.csv"}, "has ** twice"),
        ({"input": "{data}/rows.parquet", "output": "/etc/out.csv"}, "outside of the folders that batches may write"),
        ({"input": "{data}/rows.parquet", "output": "{data}/rows.parquet"}, "exists already"),
        ({"input": "{data}/rows.parquet", "output": "{data}/no/out.csv"}, "is no folder"),
        ({"input": "{data}/rows.parquet", "output": "{data}/o.csv", "output_format": "parquet"}, "the output's name says csv"),
        ({"input": "{data}/rows.parquet", "alias": "a", "model_version": "1"}, "cannot be given with model_version"),
        ({"input": "{data}/rows.parquet", "secrets": ["gone"]}, "does not exist"),
        ({"input": "{data}/rows.parquet", "resources": {"cpus": 99}}, "cpus"),
        ({"input": "{data}/rows.parquet", "timeout_seconds": 1}, "must be from 60"),
        ({"input": "{data}/rows.parquet", "on_error": "hide"}, "on_error"),
    ],
)
async def test_wrong_requests_are_refused(
    client: httpx.AsyncClient, platform: Platform, data: Path, fields: dict[str, Any], said: str
) -> None:
    (data / "link.db").symlink_to(data.parent / "store.db")
    asked = {name: value.format(data=data) if isinstance(value, str) else value for name, value in fields.items()}
    answer = await post(client, **asked)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]
    assert "SECRET" not in answer.text
    assert not platform.settings.batches_dir.exists()


async def test_names_of_uploads_stay_in_their_folder(client: httpx.AsyncClient, platform: Platform) -> None:
    data = {"batch": json.dumps({"model_name": "churn"})}
    answer = await client.post(PATH, data=data, files=[("file", ("../../evil.csv", b"x"))])
    assert answer.status_code == 202
    assert (platform.settings.batches_dir / answer.json()["batch_id"] / "input" / "evil.csv").exists()
    twice = await client.post(PATH, data=data, files=[("file", ("a/x.csv", b"1")), ("file", ("b/x.csv", b"2"))])
    assert "twice" in twice.json()["detail"]


async def test_unknown_versions_are_refused(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    path = f"{data}/rows.parquet"
    assert (await post(client, input=path, model_version="9")).json()["code"] == "version_not_found"
    assert (await client.post(PATH, json={"model_name": "nope", "input": path})).json()["code"] == "model_not_found"
    platform.registry.register("fresh", "1")
    now = datetime.now(UTC)
    platform.store.deployments.ensure("fresh", "1", model_uri="models:/fresh/1", config=DeploymentConfig(), now=now)
    answer = await client.post(PATH, json={"model_name": "fresh", "input": path})
    assert (answer.status_code, answer.json()["code"]) == (503, "deployment_not_ready")


async def test_unhealthy_versions_are_passed_over(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    platform.deploy("churn", "2", DeploymentStatus.UNHEALTHY)
    batch_id = await make(client, input=f"{data}/rows.parquet")
    assert (await client.get(f"{PATH}/{batch_id}")).json()["model_version"] == "1"


async def test_progress_then_result_are_shown(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    batch_id = await make(client, input=f"{data}/rows.parquet", output_format="csv")
    platform.start(batch_id)
    work = work_of(platform, batch_id)
    (work / "progress.json").write_text(json.dumps(PROGRESS))
    shown = (await client.get(f"{PATH}/{batch_id}")).json()
    assert shown["progress"]["rows_total"] == 40
    assert (shown["progress"]["parts"], shown["progress"]["eta_seconds"]) == (1, 6.0)
    assert (await client.get(f"{PATH}/{batch_id}/output")).status_code == 404
    (work / "progress.json").write_text('{"rows": "many"}')
    assert (await client.get(f"{PATH}/{batch_id}")).json()["progress"] is None
    (work / "output.csv").write_text("id,prediction\n1,2\n")
    (work / "rejected.jsonl").write_text("{}\n")
    (work / "result.json").write_text(json.dumps(RESULT))
    platform.finish(batch_id)
    shown = (await client.get(f"{PATH}/{batch_id}")).json()
    assert (shown["result"]["rejected"], shown["links"]["output"]) == (1, f"{PATH}/{batch_id}/output")
    output = await client.get(shown["links"]["output"])
    assert output.content == b"id,prediction\n1,2\n"
    assert output.headers["content-disposition"] == 'attachment; filename="output.csv"'
    assert (await client.get(shown["links"]["rejected"])).content == b"{}\n"
    assert (await client.delete(f"/mlops/training/jobs/{batch_id}")).status_code == 204
    assert not work.exists()


async def test_output_that_is_a_link_is_not_sent(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    batch_id = await make(client, input=f"{data}/rows.parquet")
    platform.start(batch_id)
    work = work_of(platform, batch_id)
    (work / "result.json").write_text(json.dumps(RESULT))
    (work / "output.parquet").symlink_to(platform.settings.state_dir / "store.db")
    platform.finish(batch_id)
    answer = await client.get(f"{PATH}/{batch_id}/output")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_failed_batch_has_no_output(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    batch_id = await make(client, input=f"{data}/rows.parquet")
    platform.start(batch_id)
    platform.finish(batch_id, JobState.FAILED, message="in.csv: row 7 cannot be scored.")
    shown = (await client.get(f"{PATH}/{batch_id}")).json()
    assert (shown["status"], shown["message"]) == ("failed", "in.csv: row 7 cannot be scored.")
    assert "is failed" in (await client.get(f"{PATH}/{batch_id}/output")).json()["detail"]


async def test_job_that_is_no_batch_is_not_found(client: httpx.AsyncClient) -> None:
    upload = {"script_content": "print(1)", "experiment_name": "e"}
    job_id = (await client.post("/mlops/training/upload", json=upload)).json()["job_id"]
    assert (await client.get(f"{PATH}/{job_id}")).status_code == 404
    assert (await client.get(f"/mlops/training/jobs/{job_id}")).json()["kind"] == "train"


async def test_refused_version_is_not_loaded_by_a_batch(settings: PlatformSettings, migrated: Path, data: Path) -> None:
    reports = ReportSettings(refuse_models="high")
    async with keyed_platform(settings.model_copy(update={"reports": reports}), migrated) as keyed:
        platform, asked = keyed.platform, {"model_name": "theirs", "model_version": "1", "input": str(data / "rows.parquet")}
        platform.store.workspaces.claim_model("theirs", "red")
        deploy(platform, "theirs", "1")
        waits = await keyed.send("submitter", "POST", PATH, json=asked)
        assert (waits.status_code, "refuse_models" in waits.json()["detail"]) == (503, True)
        row = platform.store.deployments.get("theirs", "1")
        platform.store.deployments.observe(
            platform.lease,
            row,
            now=datetime.now(UTC),
            status=DeploymentStatus.UNHEALTHY,
            message="picklescan found os.system.",
            applied_generation=row.generation,
        )
        refused = await keyed.send("submitter", "POST", PATH, json=asked)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "model_version")
        assert "picklescan found os.system" in refused.text


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def test_batches_of_other_workspaces_are_not_found(keyed: KeyedPlatform, data: Path) -> None:
    keyed.platform.store.workspaces.claim_model("theirs", "red")
    deploy(keyed.platform, "theirs", "1")
    asked = {"model_name": "theirs", "input": f"{data}/rows.parquet"}
    assert (await keyed.send("viewer", "POST", PATH, json=asked)).status_code == 403
    assert (await keyed.send("other", "POST", PATH, json=asked)).json()["code"] == "model_not_found"
    batch_id = (await keyed.send("submitter", "POST", PATH, json=asked)).json()["batch_id"]
    for path in (batch_id, f"{batch_id}/output", f"{batch_id}/rejected"):
        assert (await keyed.send("other", "GET", f"{PATH}/{path}")).json()["code"] == "job_not_found"
    assert (await keyed.send("other", "GET", PATH)).json()["batches"] == []
    assert (await keyed.send("viewer", "GET", f"{PATH}/{batch_id}")).status_code == 200
