"""Secrets over HTTP: values go in and never come out."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.gateway.conftest import Platform

PATH = "/mlops/secrets"
UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"
VALUE = "hunter2-hunter2"
JOB = {"script_content": "pass", "experiment_name": "e"}


async def put(client: httpx.AsyncClient, name: str = "AWS", body: Any = None, **headers: str) -> httpx.Response:
    return await client.put(f"{PATH}/{name}", json={"value": VALUE} if body is None else body, headers=headers)


async def test_secret_is_stored_and_its_value_never_shown(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await put(client, body={"variables": {"AWS_KEY": VALUE, "AWS_ID": "x"}}, **{"X-Raylift-Owner": "ada"})
    assert first.status_code == 201
    again = await put(client)
    assert again.status_code == 200
    assert again.json()["variables"] == ["AWS"]
    assert first.json()["updated_by"] == "ada"
    shown = [first, again, await client.get(PATH), await client.get(f"{PATH}/AWS")]
    assert not any(VALUE in answer.text for answer in shown)
    assert shown[2].json() == {"secrets": [shown[3].json()]}
    assert platform.store.secrets.values("default", ["AWS"]).variables == {"AWS": VALUE}


async def test_deleted_secret_is_not_found(client: httpx.AsyncClient) -> None:
    await put(client)
    assert (await client.delete(f"{PATH}/AWS")).status_code == 204
    for answer in (await client.get(f"{PATH}/AWS"), await client.delete(f"{PATH}/AWS")):
        assert (answer.status_code, answer.json()["code"]) == (404, "secret_not_found")


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("1st", {"value": VALUE}, "name"),
        ("a.b", {"value": VALUE}, "variables.a.b"),
        ("AWS", {}, "body"),
        ("AWS", {"value": VALUE, "variables": {"A": VALUE}}, "body"),
        ("AWS", {"value": ""}, "value"),
        ("AWS", {"variables": {}}, "variables"),
        ("AWS", {"variables": {"A": ""}}, "variables.A"),
        ("AWS", {"variables": {"A": 1, "B": VALUE}}, "variables.A"),
        ("AWS", {"variables": {"RAYLIFT_X": VALUE}}, "variables.RAYLIFT_X"),
        ("AWS", {"variables": {"A": VALUE * 3000}}, "variables"),
        ("AWS", {"valu": VALUE}, "valu"),
    ],
)
async def test_wrong_secret_is_refused_without_its_value(client: httpx.AsyncClient, name: str, body: Any, field: str) -> None:
    answer = await put(client, name, body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert VALUE not in answer.text
    assert (await client.get(PATH)).json() == {"secrets": []}


async def test_malformed_body_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.put(f"{PATH}/AWS", content=f'{{"value": "{VALUE}", ', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert VALUE not in answer.text


async def test_job_names_its_secrets(client: httpx.AsyncClient, platform: Platform) -> None:
    await put(client)
    await put(client, "HF")
    job_id = (await client.post(UPLOAD, json={**JOB, "secrets": ["AWS", "HF"]})).json()["job_id"]
    view = await client.get(f"{JOBS}/{job_id}")
    assert view.json()["secrets"] == ["AWS", "HF"]
    again = (await client.post(f"{JOBS}/{job_id}/rerun")).json()["job_id"]
    changed = (await client.post(f"{JOBS}/{job_id}/rerun", json={"secrets": ["HF"]})).json()["job_id"]
    assert platform.store.jobs.get(again).spec.secrets == ("AWS", "HF")
    assert platform.store.jobs.get(changed).spec.secrets == ("HF",)
    diff = await client.get(f"{JOBS}/{job_id}/diff/{changed}")
    assert {"name": "secrets", "first": ["AWS", "HF"], "second": ["HF"]} in diff.json()["settings"]
    assert not any(VALUE in answer.text for answer in (view, diff))


async def test_form_names_secrets(client: httpx.AsyncClient, platform: Platform) -> None:
    await put(client)
    await put(client, "HF")
    form = {"experiment_name": "e", "secrets": ["AWS", "HF"]}
    answer = await client.post(UPLOAD, data=form, files={"script": ("a.py", b"pass")})
    assert platform.store.jobs.get(answer.json()["job_id"]).spec.secrets == ("AWS", "HF")


async def test_sweep_names_secrets(client: httpx.AsyncClient, platform: Platform) -> None:
    await put(client)
    sweep = {"parameters": {"lr": [1, 2]}}
    answer = await client.post(UPLOAD, json={**JOB, "secrets": ["AWS"], "sweep": sweep})
    jobs = answer.json()["jobs"]
    assert [platform.store.jobs.get(job["job_id"]).spec.secrets for job in jobs] == [("AWS",), ("AWS",)]


async def test_ray_client_names_secrets_in_metadata(client: httpx.AsyncClient, platform: Platform) -> None:
    await put(client)
    await put(client, "HF")
    body = {"entrypoint": "echo hi", "metadata": {"raylift.secrets": "AWS, HF"}}
    answer = await client.post("/api/jobs/", json=body)
    assert answer.status_code == 200, answer.text
    assert platform.store.jobs.get(answer.json()["submission_id"]).spec.secrets == ("AWS", "HF")
    body["metadata"] = {"raylift.secrets": "GONE"}
    refused = await client.post("/api/jobs/", json=body)
    assert "metadata.raylift.secrets[0] is 'GONE', which does not exist" in refused.text


async def test_unknown_secret_is_refused_at_once(client: httpx.AsyncClient) -> None:
    await put(client)
    answer = await client.post(UPLOAD, json={**JOB, "secrets": ["AWS", "GONE"]})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["secrets[1]"]
    many = await client.post(UPLOAD, json={**JOB, "secrets": [f"S{number}" for number in range(17)]})
    assert [error["field"] for error in many.json()["errors"]] == ["secrets"]


async def test_rerun_needs_its_secrets(client: httpx.AsyncClient) -> None:
    await put(client)
    job_id = (await client.post(UPLOAD, json={**JOB, "secrets": ["AWS"]})).json()["job_id"]
    await client.delete(f"{PATH}/AWS")
    answer = await client.post(f"{JOBS}/{job_id}/rerun")
    assert answer.status_code == 422
    assert "secrets[0]" in answer.text


async def test_values_of_variables_are_encrypted_in_the_store(client: httpx.AsyncClient, platform: Platform) -> None:
    await client.post(UPLOAD, json={**JOB, "environment": {"TOKEN": VALUE}})
    await put(client)
    for file in platform.settings.state_dir.glob("store.db*"):
        assert VALUE.encode() not in file.read_bytes(), file
