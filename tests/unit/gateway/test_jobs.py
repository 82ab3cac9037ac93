from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.job import JobState, Reason, Usage
from tests.unit.gateway.conftest import Platform

UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"


async def upload(client: httpx.AsyncClient, **more: Any) -> str:
    answer = await client.post(UPLOAD, json={"script_content": "print(1)", "experiment_name": "e"} | more)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def job(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"{JOBS}/{job_id}")
    assert answer.status_code == 200
    return answer.json()


async def test_job_is_shown_from_upload_to_end(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client, environment={"TOKEN": "hunter2"}, model_name="m")
    platform.start(job_id, b"working\n")
    running = await job(client, job_id)
    assert (running["status"], running["phase"], running["logs"]) == ("running", "script", "working\n")
    assert running["duration_seconds"] >= 0
    assert {"queued", "starting", "script"} <= set(running["phases"])
    assert running["environment"] == {"TOKEN": "***"}
    usage = Usage(cpu_seconds=1.5, peak_memory_bytes=7, wall_seconds=2.25, memory_enforced_by="watchdog")
    platform.finish(
        job_id, usage=usage, exit_code=0, metrics={"accuracy": 0.9, "loss": float("nan")}, model_version="3", mlflow_run_id="r1"
    )
    done = await job(client, job_id)
    assert (done["status"], done["model_version"], done["mlflow_run_id"], done["exit_code"]) == ("completed", "3", "r1", 0)
    assert done["metrics"] == {"accuracy": 0.9, "loss": None}
    assert done["duration_seconds"] == 2.25
    assert done["usage"]["memory_enforced_by"] == "watchdog"
    assert done["finished_at"].endswith("Z")
    assert done["links"]["endpoint"] == "/v2/models/m/versions/3"
    platform.deploy("m", "3")
    assert "deployment" in (await job(client, job_id))["phases"]


async def test_list_has_three_metrics_those_of_held_out_data_first(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    platform.start(job_id)
    metrics = {"training_score": 1.0, "train_loss": 0.1, "roc_auc": 0.95, "accuracy": 0.9, "f1": 0.8}
    platform.finish(job_id, metrics=metrics)
    listed = (await client.get(JOBS)).json()["jobs"][0]
    assert list(listed["metrics"]) == ["accuracy", "f1", "roc_auc"]
    assert (await job(client, job_id))["metrics"] == metrics


async def test_failed_job_says_why(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    platform.start(job_id)
    platform.finish(job_id, JobState.FAILED, reason=Reason.SCRIPT_ERROR, message="ValueError: no", exit_code=1)
    failed = await job(client, job_id)
    assert (failed["status"], failed["reason"], failed["message"], failed["exit_code"]) == (
        "failed", "script_error", "ValueError: no", 1,
    )  # fmt: skip


@pytest.mark.parametrize("path", ["", "/logs", "/script", "/events", "/logs?follow=true", "/logs?tail=3"])
async def test_unknown_job_is_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"{JOBS}/job_nope{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_list_has_pages_and_filters(client: httpx.AsyncClient) -> None:
    ids = [
        await upload(client, model_name=f"m{n % 2}", experiment_name=f"e{n}", tags={"n": str(n), "a:b": "x"}) for n in range(5)
    ]

    async def listed(**query: Any) -> list[str]:
        answer = await client.get(JOBS, params=query)
        assert answer.status_code == 200, answer.text
        return [item["job_id"] for item in answer.json()["jobs"]]

    assert await listed() == ids[::-1]
    assert await listed(model_name="m1") == [ids[3], ids[1]]
    assert await listed(experiment_name="e2") == [ids[2]]
    assert await listed(tag="n:4") == [ids[4]] == await listed(tag="n=4")
    assert await listed(tag="n") == ids[::-1]
    assert await listed(tag="a:b=x") == ids[::-1]
    assert await listed(status="running") == [] == await listed(reason="out_of_memory")
    assert await listed(reason="waiting_for_capacity") == ids[::-1]
    assert await listed(status="queued", limit=500) == ids[::-1]
    first = (await client.get(JOBS, params={"limit": 2})).json()
    assert [item["job_id"] for item in first["jobs"]] == ids[:2:-1]
    second = (await client.get(JOBS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [item["job_id"] for item in second["jobs"]] == ids[2::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"status": "done"}, "status"),
        ({"cursor": "?"}, "cursor"),
    ],
)
async def test_malformed_query_is_named(client: httpx.AsyncClient, query: dict[str, Any], field: str) -> None:
    answer = await client.get(JOBS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_repeated_cancel_gives_the_same_answer(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    platform.start(job_id)
    first = await client.post(f"{JOBS}/{job_id}/cancel")
    assert (first.status_code, first.json()["status"]) == (202, "running")
    asked = platform.store.jobs.get(job_id).cancel_requested_at
    assert asked is not None
    assert (await client.post(f"{JOBS}/{job_id}/cancel")).status_code == 202
    assert platform.store.jobs.get(job_id).cancel_requested_at == asked
    platform.finish(job_id, JobState.CANCELLED, reason=Reason.CANCELLED_BY_USER)
    last = await client.post(f"{JOBS}/{job_id}/cancel")
    assert (last.status_code, last.json()["status"]) == (200, "cancelled")
    assert (await client.post(f"{JOBS}/job_nope/cancel")).status_code == 404


async def test_rerun_uses_the_spec_of_the_first_job(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client, environment={"A": "1"}, args=["x"], resources={"cpus": 0.5}, requirements=["humanize"])
    first = platform.move(platform.store.jobs.get(job_id), JobState.ENVIRONMENT, environment_lock=("humanize==4.9.0",))
    answer = await client.post(f"{JOBS}/{job_id}/rerun")
    assert answer.status_code == 202
    again = platform.store.jobs.get(answer.json()["job_id"])
    assert again.job_id != job_id
    assert again.spec.environment_lock == ("humanize==4.9.0",) == first.environment_lock
    assert (again.spec.environment, again.spec.args, again.spec.resources, again.spec.script_sha256) == (
        first.spec.environment, first.spec.args, first.spec.resources, first.spec.script_sha256,
    )  # fmt: skip
    assert (await client.post(f"{JOBS}/job_nope/rerun")).status_code == 404


async def test_events_list_every_transition(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await upload(client)
    platform.start(job_id)
    events = (await client.get(f"{JOBS}/{job_id}/events")).json()["events"]
    assert [(event["before"], event["after"], event["status"]) for event in events] == [
        (None, "queued", "queued"),
        ("queued", "starting", "queued"),
        ("starting", "script", "running"),
    ]


class TestDelete:
    async def test_delete_removes_a_finished_job_and_its_logs(self, client: httpx.AsyncClient, platform: Platform) -> None:
        job_id = await upload(client)
        platform.start(job_id, b"out")
        refused = await client.delete(f"{JOBS}/{job_id}")
        assert (refused.status_code, refused.json()["code"]) == (409, "job_not_finished")
        platform.finish(job_id)
        attempts = platform.settings.attempts_dir
        assert list(attempts.iterdir())
        answer = await client.delete(f"{JOBS}/{job_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert not list(attempts.iterdir())
        assert (await client.get(f"{JOBS}/{job_id}")).status_code == 404
        assert (await client.delete(f"{JOBS}/{job_id}")).status_code == 404

    async def test_delete_touches_no_file_outside_the_attempts(self, client: httpx.AsyncClient, platform: Platform) -> None:
        job_id = await upload(client)
        found = platform.store.jobs.get(job_id)
        precious = platform.settings.state_dir / "precious"
        precious.mkdir()
        platform.move(found, JobState.STARTING, submission_id="../precious")
        platform.move(platform.store.jobs.get(job_id), JobState.FAILED)
        assert (await job(client, job_id))["logs"] == ""
        assert (await client.delete(f"{JOBS}/{job_id}")).status_code == 204
        assert precious.is_dir()
