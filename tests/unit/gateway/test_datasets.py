"""Datasets over HTTP: files in parts, versions by content, registered files, and the data of jobs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from job_entrypoints.contract import ATTEMPT_TOKEN_HEADER, ATTEMPTS_PATH, attempt_token
from raylift.dataset_settings import DatasetSettings
from raylift.domain.job import JobState
from raylift.services.datasets.job_data import JobData
from raylift.settings import JobSettings, PlatformSettings
from tests.unit.gateway.conftest import Platform

PATH = "/mlops/datasets"
UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"
JOB = {"script_content": "pass", "experiment_name": "e"}
CSV = b"age,city\n20,Bonn\n30,Bonn\n,Kiel\n"


@pytest.fixture
def settings(tmp_path: Path) -> PlatformSettings:
    state, data = tmp_path / "state", tmp_path / "data"
    for folder in (state, data):
        folder.mkdir()
    (state / "ray-token").write_text("token-of-ray")
    return PlatformSettings(
        state_dir=state,
        database_url=f"sqlite:///{state}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        ray_token_file=state / "ray-token",
        gateway_url="http://127.0.0.1:9",
        jobs=JobSettings(readable_paths=(data,)),
        datasets=DatasetSettings(max_bytes=1000, max_files=3, sources=("s3://allowed/prefix",)),
    )


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def send(client: httpx.AsyncClient, content: bytes, **where: Any) -> httpx.Response:
    return await client.put(f"{PATH}/files/{where.pop('sha256', sha(content))}", content=content, params=where)


async def add(client: httpx.AsyncClient, files: dict[str, bytes], name: str = "churn", **more: Any) -> httpx.Response:
    for content in files.values():
        assert (await send(client, content)).json()["complete"]
    listed = [{"path": path, "sha256": sha(content)} for path, content in files.items()]
    return await client.post(PATH, json={"name": name, "files": listed, **more})


async def train(client: httpx.AsyncClient, **data: str) -> httpx.Response:
    return await client.post(UPLOAD, json={**JOB, "data": data})


async def test_same_bytes_are_the_same_version(client: httpx.AsyncClient) -> None:
    first = await add(client, {"train.csv": CSV})
    assert (first.status_code, first.json()["reference"], first.json()["digest"]) == (201, "churn@1", sha(CSV))
    again = await add(client, {"other-name.csv": CSV})
    assert (again.status_code, again.json()["reference"]) == (200, "churn@1")
    second = await add(client, {"a/x.csv": CSV, "b.csv": CSV + b"1,Ulm\n"})
    assert (second.json()["version"], second.json()["folder"], second.json()["file_count"]) == (2, True, 2)
    (listed,) = (await client.get(PATH)).json()["datasets"]
    assert (listed["name"], listed["versions"], listed["newest"]["version"]) == ("churn", 2, 2)
    assert [each["version"] for each in (await client.get(f"{PATH}/churn")).json()["versions"]] == [2, 1]


async def test_version_has_its_schema_and_profile(client: httpx.AsyncClient) -> None:
    view = (await add(client, {"train.csv": CSV})).json()
    assert (view["format"], view["rows"], view["profiled_rows"], view["note"]) == ("csv", 3, 3, None)
    age, city = view["columns"]
    assert (age["name"], age["type"], age["missing"], age["min"], age["max"], age["mean"]) == ("age", "int64", 1, 20, 30, 25)
    assert (city["distinct"], city["top"][0]) == (2, {"value": "Bonn", "count": 2})


async def test_file_comes_in_parts_and_goes_on(client: httpx.AsyncClient) -> None:
    name = sha(CSV)
    first = await send(client, CSV[:10], sha256=name, offset=0, total=len(CSV))
    assert first.json() == {"sha256": name, "have": 10, "complete": False}
    wrong = await send(client, CSV[5:], sha256=name, offset=5, total=len(CSV))
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["have"]) == (409, "upload_conflict", 10)
    assert (await client.get(f"{PATH}/files/{name}")).json()["have"] == 10
    last = await send(client, CSV[10:], sha256=name, offset=10, total=len(CSV))
    assert last.json() == {"sha256": name, "have": len(CSV), "complete": True}


async def test_other_bytes_than_announced_are_refused(client: httpx.AsyncClient) -> None:
    answer = await send(client, b"x", sha256=sha(b"y"))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "sha256")
    assert (await client.get(f"{PATH}/files/{sha(b'y')}")).json()["have"] == 0


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"name": "churn"}, 422, "files"),
        ({"name": "churn", "files": []}, 422, "files"),
        ({"name": "a b", "files": [{"path": "x", "sha256": "0" * 64}]}, 422, "name"),
        ({"name": "churn", "files": [{"path": "../x", "sha256": "0" * 64}]}, 422, "files[0].path"),
        ({"name": "churn", "files": [{"path": "x", "sha256": "0" * 64}]}, 422, "files[0]"),
        ({"name": "churn", "files": [{"path": "x", "sha256": "no"}]}, 422, "sha256"),
        ({"name": "churn", "files": [{"path": p, "sha256": "0" * 64} for p in ("a", "a/b")]}, 422, "files[1].path"),
        ({"name": "churn", "uri": "/etc"}, 422, "uri"),
        ({"name": "churn", "uri": "relative"}, 422, "uri"),
        ({"name": "churn", "uri": "s3://other/x"}, 422, "uri"),
        ({"name": "churn", "uri": "s3://allowed/prefix-of-others/x"}, 422, "uri"),
        ({"name": "churn", "uri": "s3://allowed/prefix/../x"}, 422, "uri"),
    ],
)
async def test_wrong_request_names_its_field(client: httpx.AsyncClient, body: Any, status: int, field: str) -> None:
    answer = await client.post(PATH, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field), answer.text


async def test_sizes_are_limited(client: httpx.AsyncClient) -> None:
    assert (await send(client, b"x" * 1001)).status_code == 413
    assert (await add(client, {str(n): bytes([n]) for n in range(4)})).status_code == 413
    assert (await add(client, {str(n): bytes([n]) * 400 for n in range(3)})).status_code == 413


async def test_file_is_downloaded(client: httpx.AsyncClient) -> None:
    await add(client, {"a/x.csv": CSV, "b.csv": b"1\n"})
    answer = await client.get(f"{PATH}/churn/versions/1/file", params={"path": "a/x.csv"})
    assert (answer.content, answer.headers["content-disposition"]) == (CSV, "attachment; filename*=UTF-8''x.csv")
    assert (await client.get(f"{PATH}/churn/versions/1/file", params={"path": "none"})).status_code == 404
    assert (await client.get(f"{PATH}/churn/versions/1/file")).status_code == 422


async def test_mixed_formats_have_no_schema(client: httpx.AsyncClient) -> None:
    view = (await add(client, {"a.csv": CSV, "b.parquet": b"no parquet"})).json()
    assert (view["format"], view["columns"]) == (None, [])
    assert "several formats" in view["note"]


async def test_damaged_file_has_a_note(client: httpx.AsyncClient) -> None:
    view = (await add(client, {"b.parquet": b"no parquet"})).json()
    assert (view["format"], view["rows"]) == ("parquet", None)
    assert "cannot be read as parquet" in view["note"]


async def test_registered_files_stay_where_they_are(client: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir()
    (tmp_path / "data" / "sub" / "x.csv").write_bytes(CSV)
    view = (await client.post(PATH, json={"name": "churn", "uri": str(tmp_path / "data")})).json()
    assert (view["source"], view["folder"], view["rows"]) == (str(tmp_path / "data"), True, 3)
    assert [each["path"] for each in view["files"]] == ["sub/x.csv"]
    assert (await client.get(f"{PATH}/churn/versions/1/file")).content == CSV
    (tmp_path / "data" / "link").symlink_to("/etc/passwd")
    refused = await client.post(PATH, json={"name": "churn", "uri": str(tmp_path / "data")})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "uri")


async def test_job_gets_the_newest_version_of_its_upload(client: httpx.AsyncClient, platform: Platform) -> None:
    await add(client, {"a.csv": CSV})
    job_id = (await train(client, train="churn")).json()["job_id"]
    await add(client, {"a.csv": CSV + b"1,Ulm\n"})
    (given,) = (await client.get(f"{JOBS}/{job_id}")).json()["data"]
    assert (given["alias"], given["version"], given["digest"]) == ("train", 1, sha(CSV))
    fields: Any = JobData(platform.store, platform.settings).for_attempt(platform.store.jobs.get(job_id))
    (record,) = fields["data"]
    assert (record["variable"], record["single"]) == ("RAYLIFT_DATA_TRAIN", "a.csv")
    (blob,) = (each for each in platform.settings.blobs_dir.rglob("*") if each.name == sha(CSV))
    assert record["files"] == [{"path": "a.csv", "sha256": sha(CSV), "bytes": len(CSV), "local": str(blob), "is_ours": True}]
    other = (await train(client, train="churn@2")).json()["job_id"]
    (difference,) = (await client.get(f"{JOBS}/{job_id}/diff/{other}")).json()["data"]
    assert difference == {"name": "train", "first": "churn@1", "second": "churn@2"}
    (use, _) = (await client.get(f"{PATH}/churn")).json()["uses"]
    assert (use["job_id"], use["version"], use["status"]) == (other, 2, "queued")


@pytest.mark.parametrize(
    ("data", "field", "said"),
    [
        ({"train": "none"}, "data.train", "does not exist: raylift data add none FILE"),
        ({"train": "churn@7"}, "data.train", "the newest version is 1"),
        ({"train": "churn@x"}, "data.train", "write NAME, NAME@3"),
        ({"my-data": "churn"}, "data.my-data", "environment variable"),
        ({"train": "churn", "TRAIN": "churn"}, "data.TRAIN", "RAYLIFT_DATA_TRAIN, as 'train' does"),
    ],
)
async def test_wrong_data_of_a_job_is_told(client: httpx.AsyncClient, data: dict[str, str], field: str, said: str) -> None:
    await add(client, {"a.csv": CSV})
    (error,) = (await train(client, **data)).json()["errors"]
    assert error["field"] == field
    assert said in error["detail"]


async def test_dataset_of_an_unfinished_job_stays(client: httpx.AsyncClient, platform: Platform) -> None:
    await add(client, {"a.csv": CSV})
    job_id = (await train(client, train="churn")).json()["job_id"]
    for path in (f"{PATH}/churn", f"{PATH}/churn/versions/1"):
        answer = await client.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset_in_use")
    platform.move(platform.store.jobs.get(job_id), JobState.CANCELLED)
    assert (await client.delete(f"{PATH}/churn/versions/1")).status_code == 204
    assert (await client.get(f"{PATH}/churn")).json()["code"] == "dataset_not_found"
    again = await client.post(f"{JOBS}/{job_id}/rerun")
    assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "data.train")


async def test_rerun_takes_other_data(client: httpx.AsyncClient, platform: Platform) -> None:
    await add(client, {"a.csv": CSV})
    job_id = (await train(client, train="churn", test="churn")).json()["job_id"]
    await add(client, {"a.csv": CSV + b"1,Ulm\n"})

    async def again(data: dict[str, str]) -> httpx.Response:
        return await client.post(f"{JOBS}/{job_id}/rerun", json={"data": data})

    made = (await again({"train": "churn", "third": "churn@1"})).json()["job_id"]
    given = {each.alias: each.version for each in platform.store.jobs.get(made).spec.data}
    assert given == {"train": 2, "test": 1, "third": 1}
    unknown = await again({"train": "churn@9"})
    assert [error["field"] for error in unknown.json()["errors"]] == ["data.train"]
    # Both would be in RAYLIFT_DATA_TRAIN.
    assert (await again({"TRAIN": "churn"})).status_code == 422
    for each in (job_id, made):
        platform.move(platform.store.jobs.get(each), JobState.CANCELLED)
    assert (await client.delete(f"{PATH}/churn/versions/1")).status_code == 204
    gone = (await again({"train": "churn@2"})).json()["errors"]
    assert [error["field"] for error in gone] == ["data.test"]
    assert (await again({"train": "churn@2", "test": "churn@2"})).status_code == 202


async def test_node_gets_the_bytes_of_its_attempt_only(client: httpx.AsyncClient, platform: Platform) -> None:
    await add(client, {"a.csv": CSV})
    job_id = (await train(client, train="churn")).json()["job_id"]
    job = platform.move(platform.store.jobs.get(job_id), JobState.STARTING, submission_id=f"{job_id}-a1")
    headers = {ATTEMPT_TOKEN_HEADER: attempt_token("token-of-ray", f"{job_id}-a1")}
    path = f"{ATTEMPTS_PATH}/{job_id}-a1/data/train"
    assert (await client.get(path, params={"offset": 9}, headers=headers)).content == CSV[9:]
    assert (await client.get(path, headers={ATTEMPT_TOKEN_HEADER: "wrong"})).status_code == 401
    assert (await client.get(path, params={"index": 1}, headers=headers)).status_code == 404
    assert (await client.get(path.replace("train", "test"), headers=headers)).status_code == 404
    platform.move(job, JobState.SCRIPT)
    assert (await client.get(path, headers=headers)).status_code == 409


async def test_schedule_takes_the_newest_version_at_each_run(client: httpx.AsyncClient, platform: Platform) -> None:
    await add(client, {"a.csv": CSV})
    body = {"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}
    data = {"train": "churn", "fixed": "churn@1"}
    answer = await client.post("/mlops/schedules", json={**body, "train": {**JOB, "data": data}})
    assert answer.status_code == 201, answer.text
    await add(client, {"a.csv": CSV + b"1,Ulm\n"})
    job_id = (await client.post("/mlops/schedules/nightly/run")).json()["job_id"]
    given = {each.alias: each.version for each in platform.store.jobs.get(job_id).spec.data}
    assert given == {"train": 2, "fixed": 1}
    again = (await client.post(f"{JOBS}/{job_id}/rerun")).json()["job_id"]
    await add(client, {"a.csv": CSV + b"2,Ulm\n"})
    assert platform.store.jobs.get(again).spec.data == platform.store.jobs.get(job_id).spec.data
