"""Routes made for the console: overview, attempts, signatures, search, and logs as they were printed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest

from raylift.domain.job import JobState, JobStatus, Reason, Usage
from raylift.domain.models.version import InputColumn, InputTensor, ModelParameter, ModelSignature
from tests.unit.gateway.conftest import Platform


async def upload(client: httpx.AsyncClient, **fields: object) -> str:
    answer = await client.post("/mlops/training/upload", json={"script_content": "print(1)", "experiment_name": "e"} | fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def test_overview_counts_and_checks(client: httpx.AsyncClient, platform: Platform) -> None:
    await upload(client)
    platform.deploy("churn", "1")
    platform.registry.down = True
    seen = (await client.get("/mlops/overview")).json()
    assert seen["jobs"] == {"queued": 1, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}
    assert seen["deployments"]["ready"] == 1
    assert seen["parts"]["store"] == {"ok": True, "detail": None}
    assert seen["parts"]["mlflow"] == {"ok": False, "detail": "MLflow is away"}
    assert seen["limits"]["max_timeout_seconds"] == 3600
    assert seen["mlflow_pages"] == platform.settings.mlflow_url


async def test_attempts_show_the_end_of_each(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    assert (await client.get(f"/mlops/training/jobs/{job_id}/attempts")).json() == {"job_id": job_id, "attempts": []}
    platform.start(job_id)
    usage = Usage(1.5, 1024, 2.0, "watchdog", "affinity")
    job = platform.move(
        platform.store.jobs.get(job_id), JobState.QUEUED, reason=Reason.SCRIPT_ERROR, message="it fell", usage=usage, attempt=2
    )
    assert job.attempt == 2
    platform.start(job_id)
    first, second = (await client.get(f"/mlops/training/jobs/{job_id}/attempts")).json()["attempts"]
    assert (first["number"], first["reason"], first["message"]) == (1, "script_error", "it fell")
    assert first["usage"]["peak_memory_bytes"] == 1024
    assert (second["number"], second["finished_at"], second["reason"]) == (2, None, None)


async def test_attempts_of_no_job_are_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/mlops/training/jobs/job_missing/attempts")).status_code == 404


async def test_list_is_searched_in_any_case(client: httpx.AsyncClient) -> None:
    wanted = await upload(client, model_name="Churn-EU")
    await upload(client, model_name="fraud")
    for text in ("churn", "N-e", wanted[-6:].lower()):
        found = (await client.get("/mlops/training/jobs", params={"q": text})).json()["jobs"]
        assert [job["job_id"] for job in found] == [wanted], text
    assert (await client.get("/mlops/training/jobs", params={"q": "%"})).json()["jobs"] == []


async def test_list_shows_resources_and_phase(client: httpx.AsyncClient) -> None:
    await upload(client, resources={"cpus": 2, "memory": "1GiB"})
    (job,) = (await client.get("/mlops/training/jobs")).json()["jobs"]
    assert job["resources"] == {"cpus": 2.0, "memory": 2**30, "gpus": 0.0, "workers": None}
    assert job["phase"] == "queued"


async def test_signature_is_read_once(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.registry.register("churn", "1", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    platform.registry.signatures["churn", "1"] = ModelSignature(
        columns=(InputColumn("months", "long", required=True),),
        tensors=(InputTensor(None, "float64", (-1, 3)),),
        params=(ModelParameter("top", "long", 5),),
        example={"columns": ["months"], "data": [[3]]},
    )
    seen = (await client.get("/mlops/models/churn/versions/1/signature")).json()
    assert seen == {
        "model_name": "churn",
        "model_version": "1",
        "inputs": [{"name": "months", "type": "long", "required": True}],
        "tensors": [{"name": None, "dtype": "float64", "shape": [-1, 3]}],
        "params": [{"name": "top", "type": "long", "default": 5}],
        "example": {"columns": ["months"], "data": [[3]]},
    }
    del platform.registry.signatures["churn", "1"]
    assert (await client.get("/mlops/models/churn/versions/1/signature")).json() == seen
    assert (await client.get("/mlops/models/churn/versions/2/signature")).status_code == 404


async def test_followed_log_keeps_carriage_returns(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    platform.start(job_id, b"one\n10%\r20%\r\ntwo\n")
    platform.finish(job_id)
    answer = await client.get(f"/mlops/training/jobs/{job_id}/logs", params={"follow": True, "encoding": "json"})
    first, last = answer.text.strip().split("\n\n")
    assert first == f"id: 17\ndata: {json.dumps(chr(10).join(['one', '10%' + chr(13) + '20%' + chr(13), 'two', '']))}"
    assert last.startswith("id: 17\nevent: end")


async def test_followed_log_begins_at_its_last_lines(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    platform.start(job_id, b"".join(b"line %d\n" % number for number in range(1000)))
    platform.finish(job_id)
    address = f"/mlops/training/jobs/{job_id}/logs"
    answer = await client.get(address, params={"follow": True, "tail": 2})
    assert answer.text.startswith("id: 8890\ndata: line 998\ndata: line 999\n")
    resumed = await client.get(address, params={"follow": True, "tail": 2, "position": "8881"})
    assert resumed.text.startswith("id: 8890\ndata: line 999\n")
    header = await client.get(address, params={"follow": True, "position": "0"}, headers={"Last-Event-ID": "8881"})
    assert header.text.startswith("id: 8890\ndata: line 999\n")
    assert (await client.get(address, params={"follow": True, "position": "x"})).status_code == 422


async def test_jobs_are_counted_again_only_after_a_write(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str | None] = []
    count = platform.store.jobs.count_by_status

    def watch(workspace: str | None = None) -> dict[JobStatus, int]:
        counted.append(workspace)
        return count(workspace)

    monkeypatch.setattr(platform.store.jobs, "count_by_status", watch)
    for _ in range(3):
        assert (await client.get("/mlops/overview")).json()["jobs"]["queued"] == 0
    assert len(counted) == 1
    await client.post("/mlops/training/upload", json={"script_content": "print(1)", "experiment_name": "e"})
    assert (await client.get("/mlops/overview")).json()["jobs"]["queued"] == 1
