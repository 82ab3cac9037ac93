"""Owners, their quotas, and the reason of a waiting job, over the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.domain.job import JobState, Reason
from raylift.domain.nodes.node_types import NodeType
from raylift.settings import JobSettings, OwnerQuota, PlatformSettings, QuotaSettings
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.engine_fakes import FakeNode
from tests.unit.gateway.test_jobs import JOBS, UPLOAD, job

QUOTAS = QuotaSettings(
    default=OwnerQuota(max_cpus=3.0, max_memory_bytes=4 * 2**30),
    owners={"ann": OwnerQuota(max_running_jobs=1, max_queued_jobs=2)},
)


@pytest.fixture
def settings(tmp_path: Path) -> PlatformSettings:
    return PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        gateway_url="http://127.0.0.1:9",
        jobs=JobSettings(quotas=QUOTAS),
    )


async def hand_in(client: httpx.AsyncClient, owner: str | None = None, **resources: Any) -> httpx.Response:
    body = {"script_content": "print(1)", "experiment_name": "e", "resources": {"memory": "1GiB"} | resources}
    return await client.post(UPLOAD, json=body, headers={"X-Raylift-Owner": owner} if owner else {})


async def job_id_of(client: httpx.AsyncClient, owner: str | None = None, **resources: Any) -> str:
    answer = await hand_in(client, owner, **resources)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def test_upload_has_its_owner(client: httpx.AsyncClient) -> None:
    anns, nobodys = await job_id_of(client, "ann"), await job_id_of(client)
    assert (await job(client, anns))["owner"] == "ann"
    assert (await job(client, nobodys))["owner"] == "local"
    listed = (await client.get(JOBS, params={"owner": "ann"})).json()["jobs"]
    assert [(item["job_id"], item["owner"]) for item in listed] == [(anns, "ann")]


@pytest.mark.parametrize("owner", ["a b", "../x", "-ann", "a" * 65, "ann;bob"])
async def test_malformed_owner_is_refused(client: httpx.AsyncClient, owner: str) -> None:
    answer = await hand_in(client, owner)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["X-Raylift-Owner"]


async def test_full_queue_says_what_to_do(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await job_id_of(client, "ann")
    answer = await hand_in(client, "ann")
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert "cancel some" in answer.json()["detail"]
    assert answer.headers["Retry-After"]
    await job_id_of(client, "bob")


async def test_rerun_counts_against_the_quota(client: httpx.AsyncClient) -> None:
    first, _ = await job_id_of(client, "ann"), await job_id_of(client, "ann")
    assert (await client.post(f"{JOBS}/{first}/rerun")).status_code == 429


async def test_job_over_its_quota_says_that_it_waits_for_it(client: httpx.AsyncClient, platform: Platform) -> None:
    running, waiting = await job_id_of(client, "ann"), await job_id_of(client, "ann")
    assert (await job(client, waiting))["reason"] == "waiting_for_capacity"
    platform.start(running)
    seen = await job(client, waiting)
    assert (seen["status"], seen["reason"]) == ("queued", "waiting_for_quota")
    assert "1 running jobs" in seen["message"]
    listed = (await client.get(JOBS, params={"status": "queued"})).json()["jobs"]
    assert [item["reason"] for item in listed] == ["waiting_for_quota"]


async def test_job_larger_than_the_quota_is_refused(client: httpx.AsyncClient) -> None:
    answer = await hand_in(client, None, cpus=4, memory="5GiB")
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"resources.cpus", "resources.memory"}
    assert "'local' may have 3" in answer.text


async def test_job_without_a_fitting_node_says_so_until_one_joins(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await job_id_of(client, None, cpus=2)
    platform.cluster.members = [FakeNode(cpus=1.0)]
    platform.services.uploads._capacity._read_at = float("-inf")
    seen = await job(client, job_id)
    assert seen["reason"] == "waiting_for_node"
    assert "the largest has 1 CPUs" in seen["message"]
    platform.cluster.members = [FakeNode(cpus=1.0), FakeNode(cpus=2.0)]
    platform.services.uploads._capacity._read_at = float("-inf")
    assert (await job(client, job_id))["reason"] == "waiting_for_capacity"


async def test_job_for_a_node_of_the_autoscaler_is_taken_and_waits(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.cluster.members = [FakeNode(cpus=1.0)]
    platform.services.uploads._capacity._node_types = [NodeType("big", 2.0, 8 * 2**30, 0.0, max_nodes=1)]
    seen = await job(client, await job_id_of(client, None, cpus=2))
    assert (seen["status"], seen["reason"]) == ("queued", "waiting_for_node")
    assert seen["message"].endswith("Ray's autoscaler is asked for one: big.")
    body = {"script_content": "print(1)", "experiment_name": "e", "resources": {"cpus": 2}}
    planned = await client.post(UPLOAD, json=body, params={"dry_run": "true"})
    assert planned.json()["waits_for"] == seen["message"]
    refused = await hand_in(client, None, cpus=3)
    assert refused.status_code == 422
    assert "nor can Ray's autoscaler add what is missing" in refused.text


async def test_lost_job_says_why_and_what_it_waits_for(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id, other = await job_id_of(client, "ann", cpus=2), await job_id_of(client, "ann")
    lost = platform.start(job_id)
    platform.move(lost, JobState.QUEUED, reason=Reason.NODE_LOST, message="Attempt 1: It is gone. Queued again.", attempt=2)
    seen = await job(client, job_id)
    assert (seen["reason"], seen["message"]) == ("node_lost", "Attempt 1: It is gone. Queued again.")
    platform.start(other)
    seen = await job(client, job_id)
    assert seen["reason"] == "waiting_for_quota"
    assert seen["message"].startswith("Attempt 1: It is gone. Queued again. With it, 'ann' would")
    platform.cluster.members = [FakeNode(cpus=1.0)]
    platform.services.uploads._capacity._read_at = float("-inf")
    seen = await job(client, job_id)
    assert seen["reason"] == "waiting_for_node"
    assert seen["message"].startswith("Attempt 1: It is gone. Queued again. It waits for another node: ")


async def test_rerun_larger_than_the_quota_is_refused(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await job_id_of(client, None, cpus=2)
    platform.services.training._quotas = QuotaSettings(default=OwnerQuota(max_cpus=1.0))
    answer = await client.post(f"{JOBS}/{job_id}/rerun")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["resources.cpus"]
