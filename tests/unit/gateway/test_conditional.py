"""ETags of lists and resources: a poll of what has not changed is a 304 without a body."""

from __future__ import annotations

import httpx

from tests.unit.gateway.conftest import Platform

UPLOAD = {"script_content": "print(1)", "experiment_name": "churn"}


async def test_unchanged_list_is_not_sent_again(client: httpx.AsyncClient) -> None:
    await client.post("/mlops/training/upload", json=UPLOAD)
    first = await client.get("/mlops/training/jobs")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/mlops/training/jobs", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


async def test_changed_list_is_sent(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/mlops/training/jobs")).headers["etag"]
    await client.post("/mlops/training/upload", json=UPLOAD)
    answer = await client.get("/mlops/training/jobs", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert len(answer.json()["jobs"]) == 1


async def test_one_of_several_tags_is_enough(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/mlops/models")).headers["etag"]
    answer = await client.get("/mlops/models", headers={"If-None-Match": f'W/"other", {tag}'})
    assert answer.status_code == 304


async def test_own_tag_of_a_traffic_table_stays(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.registry.register("churn", "1")
    answer = await client.get("/mlops/models/churn/traffic")
    assert answer.headers["etag"] == '"0"'


async def test_errors_and_texts_have_no_tag(client: httpx.AsyncClient) -> None:
    job_id = (await client.post("/mlops/training/upload", json=UPLOAD)).json()["job_id"]
    assert "etag" not in (await client.get("/mlops/training/jobs/job_missing")).headers
    assert "etag" not in (await client.get(f"/mlops/training/jobs/{job_id}/script")).headers
